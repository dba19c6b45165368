import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from features.errors import ModelError
from models.paired_brier import paired_brier_difference


def table(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"cohort": ["a", "b"] * (n // 2), "probability": rng.random(n)})
    found["patient_id"] = [f"p{i}" for i in range(n)]
    return found.assign(resistant=(rng.random(n) < 0.5).astype(float))


def test_the_difference_is_that_of_the_two_brier_scores_of_the_shared_samples():
    first = table()
    second = first[["probability"]].iloc[10:].assign(probability=0.5)
    found = paired_brier_difference(first, second, n_resamples=200, seed=0)
    shared = first.iloc[10:]
    expected = brier_score_loss(shared["resistant"], shared["probability"]) - 0.25
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.low < found.value < found.high


def test_a_model_beside_itself_differs_by_nothing():
    found = paired_brier_difference(table(), table(), n_resamples=50, seed=0)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_predictions_without_probabilities_are_refused():
    with pytest.raises(ModelError, match="the second model's predictions lack the columns"):
        paired_brier_difference(table(), table()[["cohort"]], n_resamples=50, seed=0)
