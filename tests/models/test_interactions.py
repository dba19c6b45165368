import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.errors import ModelError
from models import interactions
from models.calibration import PlattCalibrator
from models.candidates import AveragedModels, FeatureModel
from models.classifier import ResistanceClassifier
from models.explanation import AdditivityError, raw_attributions
from models.interactions import interaction_values
from models.linear import SignedLogisticRegression

TREES = ResistanceClassifier(n_estimators=60, n_seeds=2, colsample_bytree=1.0)
LINE = SignedLogisticRegression(alpha=0.05)
FAMILIES = {
    "boosted": TREES,
    "linear": LINE,
    "some columns": FeatureModel(TREES, ["d", "b", "a"]),
    "average": AveragedModels([FeatureModel(TREES, list("abcd")), FeatureModel(LINE, ["c", "a"])]),
}


def simulated() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(150, 4)), columns=list("abcd"))
    together = (X["a"] > 0) & (X["d"] > 0)
    y = pd.Series((rng.random(150) < expit(8 * together - 3 - X["b"])).astype(int))
    X.loc[::7, "b"] = np.nan
    return X, y


@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_are_symmetrical_and_their_rows_sum_to_the_attributions(family, monkeypatch):
    monkeypatch.setattr(interactions, "_CHUNK_ROWS", 40)
    X, y = simulated()
    model = FAMILIES[family].fit(X, y)
    X.loc[::9, "a"] = np.nan  # never missing in training
    found = interaction_values(model, X)
    assert found.shape == (150, 4, 4)
    np.testing.assert_allclose(found, found.transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=2), raw_attributions(model, X)[0], atol=1e-9)


def test_what_two_features_do_together_is_found_between_them():
    X, y = simulated()
    strength = np.abs(interaction_values(TREES.fit(X, y), X)).mean(axis=0)
    np.fill_diagonal(strength, 0.0)
    assert np.unravel_index(strength.argmax(), strength.shape) == (0, 3)


def test_a_line_has_no_interactions_and_an_unused_feature_none():
    X, y = simulated()
    line = LINE.fit(X, y)
    np.testing.assert_array_equal(
        interaction_values(line, X), [np.diag(row) for row in line.contributions(X)]
    )
    found = interaction_values(FAMILIES["some columns"].fit(X, y), X)
    assert (found[:, 2] == 0).all()
    assert (found[:, :, 2] == 0).all()


def test_more_samples_than_memory_holds_are_refused(monkeypatch):
    X, y = simulated()
    model = LINE.fit(X, y)
    monkeypatch.setattr(interactions, "MOST_VALUES", 160)
    assert interaction_values(model, X[:10]).size == 160
    with pytest.raises(ModelError, match=r"11 samples × 4 × 4 .* 176 numbers.*at most 10 samples"):
        interaction_values(model, X[:11])


def test_interactions_that_do_not_sum_to_the_attributions_are_refused(monkeypatch):
    X, y = simulated()
    model = TREES.fit(X, y)
    X = X.set_axis([f"s{i}" for i in range(len(X))])
    X.loc["s3", "a"] = np.nan
    monkeypatch.setattr(interactions, "_as_lightgbm_reads", lambda booster, features: features)
    with pytest.raises(AdditivityError, match=r"sample 's3'.*1 of 150 samples"):
        interaction_values(model, X)


def test_what_has_no_interactions_is_refused():
    X, _ = simulated()
    with pytest.raises(TypeError, match=r"no interactions of .* for PlattCalibrator"):
        interaction_values(PlattCalibrator(), X)
