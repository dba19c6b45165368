"""How much a model's data can bear: every boundary, and that more data never lowers it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import Estimate
from models.sufficiency import (
    CALL_BAR,
    RULES,
    VERDICTS,
    Sufficiency,
    judge_sufficiency,
    main_sufficiency,
    read_sufficiency,
)

ENOUGH, HINT, NOTHING = "usable for ranking", "exploratory", "not enough data"


def judged(
    value: float = 0.65,
    low: float = 0.58,
    high: float = 0.72,
    *,
    samples: int = 200,
    resistant: int = 100,
    cohorts: int = 5,
    cell_lines: bool = False,
) -> Sufficiency:
    return judge_sufficiency(
        Estimate(value, low, high, 0.03),
        standardisation="cohort",
        samples=samples,
        resistant=resistant,
        cohorts=cohorts,
        cell_lines=cell_lines,
    )


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        ((0.6, 0.5001, 0.7), ENOUGH),
        ((0.6, 0.5, 0.7), NOTHING),  # the lower end has to lie above 0.5, not on it
        ((0.6, 0.5001, 0.7002), HINT),
        ((0.7, 0.6, 0.8), ENOUGH),  # 0.8 - 0.6 is more than 0.2 in floating point
        ((0.7, 0.6, 0.801), HINT),
        ((0.95, 0.51, 0.99), HINT),
        ((0.55, 0.4, 0.7), NOTHING),
        ((0.5, 0.47, 0.53), NOTHING),
        ((0.4, 0.35, 0.45), NOTHING),
        ((0.9, np.nan, np.nan), NOTHING),
    ],
)
def test_the_interval_decides(figure: tuple[float, float, float], verdict: str) -> None:
    assert judged(*figure).verdict == verdict


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({"samples": 100, "resistant": 50}, ENOUGH),
        ({"samples": 99, "resistant": 50}, HINT),
        ({"cohorts": 2}, ENOUGH),
        ({"cohorts": 1}, HINT),
        ({"cohorts": 0}, HINT),
        ({"samples": 30, "resistant": 15}, HINT),
        ({"samples": 29, "resistant": 15}, NOTHING),
        ({"samples": 200, "resistant": 10}, ENOUGH),
        ({"samples": 200, "resistant": 9}, NOTHING),
        ({"samples": 200, "resistant": 190}, ENOUGH),
        ({"samples": 200, "resistant": 191}, NOTHING),
        ({"cell_lines": True}, HINT),
        ({"cell_lines": True, "samples": 29, "resistant": 15}, NOTHING),
    ],
)
def test_samples_classes_cohorts_and_cell_lines_decide(
    counts: dict[str, int], verdict: str
) -> None:
    assert judged(**counts).verdict == verdict  # type: ignore[arg-type]


def test_the_real_figures_of_bulk_and_of_single_cells() -> None:
    # README: nine cohorts held out; patients of one cohort held out.
    assert judged(0.602, 0.536, 0.675, samples=424, resistant=285, cohorts=9).verdict == ENOUGH
    cells = judged(0.833, 0.687, 0.958, samples=48, resistant=31, cohorts=0)
    assert cells.verdict == HINT
    assert cells.reasons == (
        "the AUROC on patients held out is 0.833 (95% interval 0.687 to 0.958), of 48 patients "
        "with a label, 31 resistant",
        "the interval is 0.271 wide, at most 0.2 is needed to rank",
        "48 with a label are fewer than the 100 needed to rank",
        "no cohort was held out whole, at least 2 are needed to rank new ones",
    )


def test_the_reasons_name_each_number_that_is_lacking() -> None:
    told = judged(0.56, 0.36, 0.74, samples=26, resistant=9, cohorts=1).why
    assert told == (
        "the AUROC on 1 cohort held out is 0.560 (95% interval 0.360 to 0.740), of 26 patients "
        "with a label, 9 resistant; 26 with a label are fewer than 30; 9 resistant ones are "
        "fewer than 10; the interval, 0.380 wide, holds 0.5: no ranking is shown"
    )
    assert "the wrong way round" in judged(0.4, 0.35, 0.45).why
    assert "its interval cannot be determined" in judged(0.9, np.nan, np.nan).why
    lines = "validated on cell lines alone: no patient was ever held out"
    assert judged(cell_lines=True).reasons[1:] == (lines,)
    assert judged(cell_lines=True, samples=20, resistant=10).reasons[-1] == lines


def test_patients_are_called_from_exploratory_on() -> None:
    assert CALL_BAR == HINT
    suffices = {found: Sufficiency(found, (), "cohort").suffices for found in VERDICTS}
    assert suffices == {NOTHING: False, HINT: True, ENOUGH: True}
    assert set(RULES) == set(VERDICTS)


share = st.floats(0.0, 1.0)
counts = st.integers(0, 300)


@given(st.tuples(share, share, share), st.tuples(share, share), st.tuples(counts, counts, counts))
def test_a_narrower_interval_or_more_data_never_lowers_the_verdict(
    figure: tuple[float, float, float],
    narrower: tuple[float, float],
    more: tuple[int, int, int],
) -> None:
    low, value, high = sorted(figure)
    nearer = (value - narrower[0] * (value - low), value + narrower[1] * (high - value))
    for resistant, responsive, cohorts in ((5, 30, 0), (12, 20, 1), (60, 60, 2)):
        start = {"resistant": resistant, "samples": resistant + responsive, "cohorts": cohorts}
        rank = VERDICTS.index(judged(value, low, high, **start).verdict)  # type: ignore[arg-type]
        larger = {
            "resistant": resistant + more[0],
            "samples": resistant + responsive + more[0] + more[1],
            "cohorts": cohorts + more[2],
        }
        for ends, counted in (((low, high), larger), (nearer, start), (nearer, larger)):
            found = judged(value, *ends, **counted)  # type: ignore[arg-type]
            assert VERDICTS.index(found.verdict) >= rank


def test_verdicts_survive_a_models_facts_and_the_cohort_relative_one_is_the_models() -> None:
    one, two = judged(), judged(0.5, 0.4, 0.9)
    other = Sufficiency(two.verdict, two.reasons, "reference")
    facts = {"sufficiency": {"reference": other.to_json(), "cohort": one.to_json()}}
    again = json.loads(json.dumps(facts))
    assert read_sufficiency(again) == {"cohort": one, "reference": other}
    assert main_sufficiency(again) == one
    assert main_sufficiency({"sufficiency": {"reference": other.to_json()}}) == other
    assert main_sufficiency({}) is None
    assert one.sentence().startswith("usable for ranking, cohort-relative: the AUROC on 5 cohorts")
