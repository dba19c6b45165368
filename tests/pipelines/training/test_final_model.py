"""What a final model knows of itself: how often calls were right, what its data can bear."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from models.metrics import Estimate
from pipelines.training.final_model import calls_held_out, held_out_sufficiency
from pipelines.validation.validate import Validation

PREDICTIONS = pd.DataFrame(
    {
        "resistant": [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, np.nan],
        "in_responsive": [False, False, False, True, True, False, True],
        "in_resistant": [True, True, True, False, True, False, False],
    }
)


def test_a_call_counts_labelled_samples_whose_set_holds_one_label() -> None:
    found = calls_held_out(PREDICTIONS)
    assert {call: figures["n"] for call, figures in found.items()} == {
        "resistant": 3,
        "responsive": 1,
    }
    assert found["resistant"]["share"] == pytest.approx(2 / 3)
    assert found["responsive"]["share"] == 1.0


def test_the_interval_is_wilsons() -> None:
    z, n, share = 1.959963984540054, 3, 2 / 3
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    found = calls_held_out(PREDICTIONS)["resistant"]
    assert (found["low"], found["high"]) == pytest.approx((middle - half, middle + half))


def test_none_called_has_no_share_and_no_sets_no_figure() -> None:
    nobody = {"n": 0, "share": None, "low": None, "high": None}
    assert calls_held_out(PREDICTIONS.iloc[4:]) == {"resistant": nobody, "responsive": nobody}
    assert calls_held_out(PREDICTIONS[["resistant"]]) == {}


# --- what its data can bear


def validation(scheme: str = "loco", *, cohorts: dict[str, int]) -> Validation:
    """Return a validation of 40 samples a cohort, so many of them resistant, with an AUROC."""
    parts = [
        pd.DataFrame({"cohort": name, "resistant": np.arange(40) < n, "score": 0.5})
        for name, n in cohorts.items()
    ]
    predictions = pd.concat(parts, ignore_index=True).astype({"resistant": float})
    unscored = pd.DataFrame({"cohort": ["none"] * 2, "resistant": [1.0, 0.0], "score": np.nan})
    unlabelled = pd.DataFrame({"cohort": ["a"], "resistant": [np.nan], "score": [0.5]})
    predictions = pd.concat([predictions, unscored, unlabelled], ignore_index=True)
    predictions["patient_id"] = [f"p{number}" for number in range(len(predictions))]
    found: Any = SimpleNamespace(
        main=SimpleNamespace(predictions=predictions),
        scheme=scheme,
        prefix=scheme,
        estimates={scheme: {"auroc": Estimate(0.6, 0.55, 0.65, 0.02)}},
        learner=SimpleNamespace(standardisation="cohort"),
    )
    return cast(Validation, found)


def test_the_verdict_counts_the_samples_that_the_auroc_is_of() -> None:
    found = validation(cohorts={"a": 10, "b": 20, "all responsive": 0, "c": 30})
    samples = found.main.predictions[["cohort"]]
    judged = held_out_sufficiency(found, samples)
    assert judged.verdict == "usable for ranking"
    assert "on 3 cohorts held out is 0.600" in judged.why
    assert "of 120 patients with a label, 60 resistant" in judged.why
    within = held_out_sufficiency(validation("nested", cohorts={"a": 20}), samples)
    assert within.verdict == "exploratory"
    assert "the AUROC on patients held out" in within.why


def test_several_samples_of_a_patient_count_once() -> None:
    found = validation("nested", cohorts={"a": 20})
    predictions = found.main.predictions
    predictions["patient_id"] = [f"p{number // 2}" for number in range(len(predictions))]
    judged = held_out_sufficiency(found, predictions[["cohort"]])
    assert "of 20 patients with a label, 10 resistant" in judged.why
    assert judged.verdict == "not enough data"


def test_cell_lines_are_told_by_their_column_and_one_tumour_cohort_is_enough() -> None:
    found = validation(cohorts={"a": 20, "b": 20, "c": 20})
    samples = found.main.predictions[["cohort"]]
    lines = samples.assign(cell_line=True)
    assert "cell lines alone" in held_out_sufficiency(found, lines).why
    assert held_out_sufficiency(found, lines).verdict == "exploratory"
    mixed = lines.assign(cell_line=(samples["cohort"] != "b").to_numpy())
    unknown = lines.assign(cell_line=np.where(samples["cohort"] == "b", None, True))
    for some in (mixed, unknown, lines.assign(cell_line=False)):
        assert "cell lines" not in held_out_sufficiency(found, some).why
