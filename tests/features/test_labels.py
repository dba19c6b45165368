"""Labels from a clinical table: response, stable disease, timepoints, survival."""

import numpy as np
import pandas as pd
import pytest

from features.errors import CohortError
from features.labels import (
    LabelRule,
    StableDisease,
    label_resistance,
    name_timepoints,
    survival_event,
    survival_months,
)

NAN = float("nan")


def labelled(rule: LabelRule | None = None, **columns: list[object]) -> list[float]:
    n_samples = len(next(iter(columns.values())))
    table = pd.DataFrame(columns, index=[f"s{i}" for i in range(n_samples)])
    labels = label_resistance(table, rule=rule or LabelRule(), where="cohort 'x'")
    assert labels.name == "resistant"
    assert list(labels.index) == list(table.index)
    return [float(value) for value in labels]


def test_complete_and_partial_response_are_responsive_and_progression_is_resistant() -> None:
    assert labelled(recist=["CR", "PR", "PD"]) == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("spelling", "label"),
    [
        ("R", 0.0),
        ("responder", 0.0),
        ("CR/PR", 0.0),
        ("CRPR", 0.0),
        ("DCB", 0.0),
        ("yes", 0.0),
        (" pr ", 0.0),
        ("NR", 1.0),
        ("N", 1.0),
        ("NDB", 1.0),
        ("SD/PD", 1.0),
        ("Non-Responder", 1.0),
        ("no", 1.0),
        ("", NAN),
        ("NA", NAN),
        ("n/a", NAN),
        ("NE", NAN),
        ("UNK", NAN),
        (None, NAN),
        (NAN, NAN),
    ],
)
def test_known_spellings_are_read_in_any_case(spelling: object, label: float) -> None:
    np.testing.assert_array_equal(labelled(response=[spelling]), [label])


def test_recist_decides_where_it_is_given_and_the_published_response_elsewhere() -> None:
    labels = labelled(response=["R", "R", "NR", ""], recist=["PD", "", "NE", "CR"])
    assert labels == [1.0, 0.0, 1.0, 0.0]


def test_stable_disease_by_recist_overrides_the_published_response() -> None:
    assert labelled(response=["R"], recist=["SD"]) == [1.0]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("resistant", 1.0), ("responsive", 0.0), ("exclude", NAN)],
)
def test_stable_disease_follows_the_rule(choice: StableDisease, expected: float) -> None:
    labels = labelled(LabelRule(stable_disease=choice), recist=["SD", "PD", "CR"])
    np.testing.assert_array_equal(labels, [expected, 1.0, 0.0])


def test_pfs6_calls_stable_disease_responsive_from_six_months_without_progression() -> None:
    labels = labelled(
        LabelRule(stable_disease="pfs6"),
        recist=["SD"] * 7 + ["PD", "CR"],
        pfs_time=[6.0, 5.99, 5.99, 12.0, NAN, 3.0, 6.0, 24.0, 1.0],
        pfs_event=[1.0, 1.0, 0.0, 0.0, 1.0, NAN, NAN, 0.0, 1.0],
    )
    np.testing.assert_array_equal(labels, [0.0, 1.0, NAN, 0.0, NAN, NAN, 0.0, 1.0, 0.0])


def test_pfs6_without_survival_leaves_stable_disease_unlabelled() -> None:
    labels = labelled(LabelRule(stable_disease="pfs6"), recist=["SD", "PD"])
    np.testing.assert_array_equal(labels, [NAN, 1.0])


def test_a_cohorts_own_spellings_are_added() -> None:
    rule = LabelRule(responsive=("clinical benefit",), resistant=("pseudo",), missing=("MR",))
    labels = labelled(rule, response=["Clinical Benefit", "PSEUDO", "mr", "CR"])
    np.testing.assert_array_equal(labels, [0.0, 1.0, NAN, 0.0])


def test_a_cohorts_own_spellings_win_over_the_known_ones() -> None:
    rule = LabelRule(responsive=("SD", "NA"), resistant=("N/A",), missing=("PD", "CR"))
    labels = labelled(rule, recist=["SD", "PD", "CR", "PR", "NA", "N/A"])
    np.testing.assert_array_equal(labels, [0.0, NAN, NAN, 0.0, 0.0, 1.0])


def test_a_table_without_response_columns_is_unlabelled() -> None:
    np.testing.assert_array_equal(labelled(age=[50, 60]), [NAN, NAN])


def test_an_unknown_label_is_refused_with_its_samples_and_the_mend() -> None:
    with pytest.raises(
        CohortError,
        match=r"cohort 'x': 2 unknown response labels \['MAYBE', 'MIXED'\] \(samples s1, s3, s2\); "
        r"known: .* Map them under labels in a cohort YAML",
    ):
        labelled(response=["CR", "maybe", "mixed", "Maybe"])


def test_an_unknown_response_is_refused_even_where_recist_is_given() -> None:
    with pytest.raises(CohortError, match=r"1 unknown response labels \['MAYBE'\] \(samples s0\)"):
        labelled(response=["maybe"], recist=["CR"])


def test_many_samples_of_an_unknown_label_are_named_by_examples() -> None:
    with pytest.raises(CohortError, match=r"\(samples s0, s1, s2, s3, s4 and 7 more\)"):
        labelled(recist=["?"] * 12)


def test_labelling_leaves_the_table_as_it_was() -> None:
    table = pd.DataFrame({"recist": ["sd", "CR "], "response": ["R", "R"]})
    before = table.copy()
    label_resistance(table, rule=LabelRule(), where="x")
    pd.testing.assert_frame_equal(table, before)


TIMEPOINTS = {"pre_treatment": ["PRE", "baseline"], "on_treatment": ["on"], "unstated": ["?"]}


def test_timepoints_are_named_in_any_case_and_unstated_where_empty() -> None:
    stated = pd.Series(["pre", " Baseline", "ON", "", None, "?"])
    named = name_timepoints(stated, names=TIMEPOINTS, where="x")
    assert named.name == "timepoint"
    assert list(named) == [
        "pre_treatment",
        "pre_treatment",
        "on_treatment",
        "unstated",
        "unstated",
        "unstated",
    ]


def test_an_unknown_timepoint_is_refused_with_the_mend() -> None:
    with pytest.raises(
        CohortError, match=r"cohort 'x': unknown timepoints \['EDT'\]; map them .*under timepoints"
    ):
        name_timepoints(pd.Series(["PRE", "edt"]), names=TIMEPOINTS, where="cohort 'x'")


@pytest.mark.parametrize(
    ("unit", "months"),
    [
        ("day", 100 * 12 / 365.25),
        ("days", 100 * 12 / 365.25),
        ("week", 700 * 12 / 365.25),
        ("Month", 100.0),
        ("years", 1200.0),
    ],
)
def test_survival_comes_back_in_months(unit: str, months: float) -> None:
    times = survival_months(pd.Series(["100", "0", "", "NA"]), unit=unit, where="x")
    np.testing.assert_allclose(times, [months, 0.0, NAN, NAN], rtol=1e-12)


def test_each_sample_may_have_its_own_unit() -> None:
    units = pd.Series(["day", "weeks", "Month", "year", ""])
    times = survival_months(pd.Series(["365.25", "1", "2", "3", ""]), unit=units, where="x")
    np.testing.assert_allclose(times, [12.0, 7 * 12 / 365.25, 2.0, 36.0, NAN], rtol=1e-12)


@pytest.mark.parametrize("wrong", ["-3", "about 5", "5,3"])
def test_a_time_that_is_no_number_of_zero_or_more_is_refused(wrong: str) -> None:
    times = pd.Series(["1", wrong], index=["s0", "s1"])
    with pytest.raises(
        CohortError, match=rf"cohort 'x': survival time '{wrong}' of sample s1 is not a number"
    ):
        survival_months(times, unit="month", where="cohort 'x'")


def test_an_unknown_survival_unit_is_refused_where_a_time_is_given() -> None:
    with pytest.raises(
        CohortError, match=r"unknown survival unit \['decade'\]; use one of \['day'"
    ):
        survival_months(pd.Series(["1"]), unit="decades", where="x")
    units = pd.Series(["month", "decade"])
    times = survival_months(pd.Series(["1", ""]), unit=units, where="x")
    np.testing.assert_array_equal(times, [1.0, NAN])


def test_survival_events_are_read_in_the_spellings_of_the_cohorts() -> None:
    spelled = ["1", "1.0", "TRUE", "Dead", "VRAI", "yes", "0", "0.0", "False", "Alive", "FAUX", ""]
    events = survival_event(pd.Series([*spelled, "NA", None]), where="x")
    np.testing.assert_array_equal(events, [1.0] * 6 + [0.0] * 5 + [NAN] * 3)


def test_an_unknown_survival_event_is_refused_with_the_mend() -> None:
    with pytest.raises(
        CohortError, match=r"cohort 'x': unknown survival events \['2', 'LOST'\]; use 1 \(event\)"
    ):
        survival_event(pd.Series(["1", "lost", "2"]), where="cohort 'x'")
