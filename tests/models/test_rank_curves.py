"""Curves over cohorts: ranks within cohorts, areas as scikit-learn has them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from models.rank_curves import rank_curves, within_cohort_ranks


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 90).astype(float)
    return pd.DataFrame(
        {
            "cohort": np.repeat(["a", "b", "c"], 30),
            "patient_id": [f"p{i}" for i in range(90)],
            "resistant": y,
            "score": (y + rng.normal(size=90)).round(1),  # ties
        },
        index=[f"s{i}" for i in range(90)],
    )


def test_the_areas_are_those_of_the_ranks_within_cohorts(predictions):
    found = rank_curves(predictions, n_resamples=50, seed=0)
    assert found is not None
    ranks, y = within_cohort_ranks(predictions), predictions["resistant"]
    assert found.auroc.value == pytest.approx(roc_auc_score(y, ranks), abs=1e-12)
    expected = average_precision_score(y, ranks)
    assert found.average_precision.value == pytest.approx(expected, abs=1e-12)
    assert found.auroc.low < found.auroc.value < found.auroc.high
    assert found.base_rate == pytest.approx(y.mean())
    assert found.n == 90


def test_the_precision_drawn_is_that_at_each_recall(predictions):
    found = rank_curves(predictions, n_resamples=5, seed=0)
    assert found is not None
    ranks = within_cohort_ranks(predictions)
    precision, recall, _ = precision_recall_curve(predictions["resistant"], ranks)
    table = found.precision_recall
    # Thresholds rise along scikit-learn's curve, whose last point is no threshold.
    expected = [precision[:-1][recall[:-1] >= r - 1e-12][-1] for r in table["recall"]]
    np.testing.assert_allclose(table["precision"], expected)
    assert (table["low"] <= table["high"]).all()


def test_a_shift_of_a_whole_cohort_changes_nothing(predictions):
    moved = predictions.assign(
        score=predictions["score"] + predictions["cohort"].map({"a": 100.0, "b": 0.0, "c": -7.0})
    )
    one = rank_curves(predictions, n_resamples=5, seed=0)
    other = rank_curves(moved, n_resamples=5, seed=0)
    assert one is not None
    assert other is not None
    pd.testing.assert_frame_equal(one.roc, other.roc)


def test_samples_without_label_or_score_are_left_out(predictions):
    holes = predictions.copy()
    holes.iloc[0, holes.columns.get_loc("score")] = np.nan
    holes.iloc[1, holes.columns.get_loc("resistant")] = np.nan
    found = rank_curves(holes, n_resamples=5, seed=0)
    assert found is not None
    assert found.n == 88


def test_one_class_alone_has_no_curves(predictions):
    assert rank_curves(predictions.assign(resistant=1.0), n_resamples=5, seed=0) is None
