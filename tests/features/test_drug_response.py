"""From measurements to resistance: direction, experiments, classes of drugs, labels."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from features.drug_response import (
    ResponseLabel,
    experiments_agreement,
    label_responses,
    mean_resistance,
    measure_direction,
    standardise_experiments,
    waterfall_cut,
)
from features.errors import CohortError

UP, DOWN = "higher_resistant", "lower_resistant"
N_SAMPLES = 14


def measured(values: np.ndarray, *, drug: str = "a", direction: str = UP) -> pd.DataFrame:
    """Return an experiment, a row a sample."""
    return pd.DataFrame(
        {
            "sample": [f"s{i:02d}" for i in range(len(values))],
            "experiment": f"{drug} / one",
            "drug": drug,
            "response": values,
            "direction": direction,
        }
    )


def random_values(seed: int = 0, *, count: int = N_SAMPLES) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=count)


def resistance_of(rows: pd.DataFrame, *, least_share: float = 0.5) -> "pd.Series[float]":
    standardised = standardise_experiments(rows, where="here")
    return mean_resistance(standardised, least_share=least_share)


# --- direction


@pytest.mark.parametrize(
    ("measure", "direction"),
    [
        ("ln_IC50_uM (lower = more sensitive)", UP),
        ("-log10 GI50 M (higher = more sensitive)", DOWN),
        ("activity_area_observed (higher = more sensitive)", DOWN),
        ("ln IC50", UP),
        ("IC50 (nM)", UP),
        ("AUC", UP),
        ("area under the dose-response curve", UP),
        ("% viability at 1 uM", UP),
        ("-log10 GI50 M", DOWN),
        ("GI50 (-log10 M)", DOWN),
        ("−log10(IC50)", DOWN),
        ("neg_log IC50", DOWN),
        ("negative log IC50", DOWN),
        ("pIC50", DOWN),
        ("ActArea", DOWN),
        ("AAC", DOWN),
        # Names that hold the name of the opposite measure were taken for it.
        ("-ln(IC50)", DOWN),
        ("minus log10 IC50", DOWN),
        ("pIC50_M", DOWN),
        ("1-AUC", DOWN),
        ("1 - AUC", DOWN),
        ("1/IC50", DOWN),
        ("semi-log IC50", UP),
        ("IC50 - log10 uM", UP),
        # What is said of the measure wins over its name.
        ("AUC (higher is more sensitive)", DOWN),
        ("AUC, high values mean sensitive", DOWN),
        ("score (lower: resistant)", DOWN),
        ("score (higher = less sensitive)", UP),
        ("score (lower = less resistant)", UP),
    ],
)
def test_the_direction_is_read_from_the_measures_name(measure, direction):
    assert measure_direction(measure, stated={}, where="here") == direction
    assert measure_direction(measure.upper(), stated={}, where="here") == direction


def test_a_stated_direction_wins_in_any_case():
    stated = {"gi50": UP}
    measure = "-log10 GI50 M (higher = more sensitive)"
    assert measure_direction(measure, stated=stated, where="here") == UP


def test_a_measure_that_tells_nothing_is_refused_with_the_mend():
    with pytest.raises(CohortError, match=r"NCI60: .*'score'.*under drug_response\.directions"):
        measure_direction("score", stated={"AUC": UP}, where="NCI60")


# --- standardisation


@settings(max_examples=15, deadline=None)
@given(
    st.floats(-9, 9).map(lambda power: 10.0**power),
    st.floats(-5, 5),
    st.booleans(),
)
def test_scale_offset_and_a_reversed_measure_change_nothing(scale, offset, reverse):
    values = random_values()
    moved = scale * (values + offset)
    changed = measured(-moved, direction=DOWN) if reverse else measured(moved)
    pd.testing.assert_series_equal(resistance_of(changed), resistance_of(measured(values)))


def test_molar_concentrations_are_no_flat_line():
    molar = measured(np.exp(random_values()) * 1e-10)
    assert standardise_experiments(molar, where="here")["z"].std() == pytest.approx(1)


@settings(max_examples=8, deadline=None)
@given(st.randoms())
def test_the_order_of_rows_and_the_spelling_of_drugs_change_nothing(random):
    rows = pd.concat([measured(random_values(i), drug=drug) for i, drug in enumerate("ab")])
    twin = rows.assign(experiment=rows["experiment"] + " again", response=rows["response"] + 1)
    rows = pd.concat([rows, twin], ignore_index=True)
    order = list(range(len(rows)))
    random.shuffle(order)
    spelled = rows.assign(drug=[f"{name}-" if i % 2 else name for i, name in enumerate(rows.drug)])
    found = resistance_of(spelled.iloc[order])
    pd.testing.assert_series_equal(found, resistance_of(rows), check_names=False)


def test_z_scores_are_scipys_and_repeats_are_averaged():
    values = random_values()
    repeated = pd.concat([measured(values + 0.5), measured(values - 0.5)])
    found = standardise_experiments(repeated, where="here").set_index("sample")["z"]
    np.testing.assert_allclose(found, stats.zscore(values, ddof=1))


def test_a_drug_measured_often_does_not_weigh_more():
    one, other = random_values(1), random_values(2)
    often = [measured(one).assign(experiment=f"a / {i}") for i in range(4)]
    rows = pd.concat([*often, measured(other, drug="b")])
    expected = stats.zscore(stats.zscore(one, ddof=1) + stats.zscore(other, ddof=1), ddof=1)
    np.testing.assert_allclose(resistance_of(rows), expected)


def test_small_and_flat_experiments_are_left_out_and_none_left_is_refused():
    small = measured(random_values(count=9), drug="small")
    flat = measured(np.full(N_SAMPLES, 0.1), drug="flat")
    both = pd.concat([small, flat, measured(random_values())])
    assert set(standardise_experiments(both, where="here")["drug"]) == {"a"}
    with pytest.raises(CohortError, match=r"here: no experiment has 10 samples .*name other drugs"):
        standardise_experiments(pd.concat([small, flat]), where="here")


def test_a_sample_measured_for_too_few_drugs_is_left_out():
    parts = [measured(random_values(i), drug=drug) for i, drug in enumerate("abc")]
    parts[1], parts[2] = parts[1].iloc[1:], parts[2].iloc[1:]
    assert "s00" not in resistance_of(pd.concat(parts), least_share=0.5).index
    assert "s00" in resistance_of(pd.concat(parts), least_share=1 / 3).index


def test_agreement_is_the_mean_correlation_of_pairs():
    values = random_values()
    parts = [measured(v, drug=d) for d, v in zip("abc", (values, values**3, -values), strict=True)]
    found = experiments_agreement(standardise_experiments(pd.concat(parts), where="here"))
    assert found == pytest.approx((1 - 1 - 1) / 3)
    assert np.isnan(experiments_agreement(standardise_experiments(parts[0], where="here")))


# --- labels


def test_quantiles_leave_the_middle_without_a_label():
    resistance = pd.Series(np.arange(9.0))
    labels = label_responses(resistance, label=ResponseLabel())
    assert labels.tolist()[:3] == [0, 0, 0]
    assert labels.tolist()[6:] == [1, 1, 1]
    assert labels[3:6].isna().all()
    halves = label_responses(resistance, label=ResponseLabel(share=0.5))
    assert halves.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]


def test_lines_that_tie_at_both_cuts_are_never_both():
    labels = label_responses(pd.Series([1.0, 1, 1, 1, 1, 2]), label=ResponseLabel())
    assert labels.tolist() == [0, 0, 0, 0, 0, 1]


def test_at_and_above_the_threshold_is_resistant_and_missing_stays_missing():
    resistance = pd.Series([0.9, 1.0, 1.1, np.nan])
    labels = label_responses(resistance, label=ResponseLabel("threshold", threshold=1.0))
    np.testing.assert_array_equal(labels, [0, 1, 1, np.nan])


def test_the_waterfall_takes_the_median_of_a_straight_line():
    assert waterfall_cut(np.arange(11.0)) == 5


def test_the_waterfall_takes_the_elbow_of_a_bent_line():
    sensitive, resistant = np.linspace(-8, 0, 6), np.linspace(0.05, 0.5, 20)
    values = np.r_[sensitive, resistant]
    # By hand: the distance of each point from the line through both ends.
    start, end = np.array([0, values[0]]), np.array([1, values[-1]])
    points = np.c_[np.linspace(0, 1, values.size), values]
    along = (end - start) / np.linalg.norm(end - start)
    distance = np.abs((points - start) @ np.array([-along[1], along[0]]))
    cut = waterfall_cut(np.random.default_rng(0).permutation(values))
    assert cut == values[distance.argmax()] == 0
    labels = label_responses(pd.Series([*values, np.nan]), label=ResponseLabel("waterfall"))
    assert labels.sum() == 21
    assert labels.isna().sum() == 1
