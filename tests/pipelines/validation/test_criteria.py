"""Each criterion is judged by its figure and its interval, in plain words."""

import pandas as pd
import pytest

from pipelines.validation.criteria import judge

SHIFT = pd.DataFrame(
    {
        "set": ["held-out tumours"] * 20 + ["genes shuffled"] * 10,
        "shift_score": [0.5] * 19 + [2.0] + [3.0] * 10,
    }
)


def metrics(**changed: float) -> dict[str, float]:
    found = {
        "loco.ece": 0.07,
        "loco.ece_floor": 0.05,
        "loco.ece_floor_low": 0.03,
        "loco.ece_floor_high": 0.08,
        "loco.coverage.responsive": 0.92,
        "loco.coverage.resistant": 0.84,
        "loco.null_auroc": 0.51,
        "loco.null_auroc_se": 0.01,
    }
    for name in ("difference_pairs.gep_18", "brier_skill", "most_certain.balanced_accuracy"):
        found |= {f"loco.{name}": 0.01, f"loco.{name}_low": -0.05, f"loco.{name}_high": 0.06}
    found |= {f"loco.most_certain.brier{end}": -0.02 for end in ("", "_low", "_high")}
    return found | changed


def verdicts(found: dict[str, float], shift: pd.DataFrame = SHIFT) -> dict[str, str]:
    judged = judge(found, prefix="loco", shift=shift, coverage=0.9)
    return {criterion.text: criterion.verdict for criterion in judged}


def of(found: dict[str, str], word: str) -> str:
    return next(verdict for text, verdict in found.items() if word in text)


def test_a_figure_on_the_right_side_whose_interval_reaches_across_is_not_shown():
    found = verdicts(metrics())
    assert of(found, "GEP-18") == of(found, "base rate") == "met, not shown"
    assert of(found, "Brier score of the most certain") == "met"


def test_figures_on_the_wrong_side_are_not_met():
    found = verdicts(metrics(**{"loco.brier_skill": -0.01, "loco.ece": 0.09}))
    assert of(found, "base rate") == of(found, "ECE") == "not met"
    assert of(found, "coverage of the resistant") == "not met"
    assert of(found, "coverage of the responsive") == "met"


@pytest.mark.parametrize(("mean", "verdict"), [(0.51, "met"), (0.53, "not met")])
def test_the_null_is_judged_by_its_standard_error(mean, verdict):
    assert of(verdicts(metrics(**{"loco.null_auroc": mean})), "shuffled labels") == verdict


def test_shift_is_judged_by_the_worst_set():
    assert of(verdicts(metrics()), "held-out tumours") == "met"
    cells = pd.DataFrame({"set": "cells", "shift_score": [2.0] * 9 + [0.5]})
    found = verdicts(metrics(), pd.concat([SHIFT, cells]))
    assert of(found, "no such tumour") == "not met"


def test_what_was_not_measured_is_said_to_be_so():
    found = verdicts({})
    assert of(found, "GEP-18") == of(found, "ECE") == of(found, "shuffled labels") == "not measured"
