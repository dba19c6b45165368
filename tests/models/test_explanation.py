import numpy as np
import pandas as pd
from scipy.special import expit

from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier
from models.explanation import NOT_MEASURED, Attributions, explain


def fitted():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(150, 4)), columns=["a", "b", "c", "d"])
    y = (rng.random(150) < expit(2 * X["a"] - X["b"])).astype(int)
    classifier = ResistanceClassifier(n_estimators=80).fit(X, y)
    calibrator = PlattCalibrator().fit(classifier.decision_function(X), y)
    return X, classifier, calibrator


def test_attributions_equal_lightgbms_own_and_sum_to_the_log_odds():
    X, classifier, calibrator = fitted()
    found = explain(classifier, calibrator, X)
    native = np.mean(
        [m.booster_.predict(X.to_numpy(), pred_contrib=True) for m in classifier.estimators_],
        axis=0,
    )
    np.testing.assert_allclose(found.values, calibrator.slope_ * native[:, :-1], atol=1e-8)
    total = found.values.sum(axis=1) + found.base_value
    expected = calibrator.calibrated_log_odds(classifier.decision_function(X))
    np.testing.assert_allclose(total, expected, atol=1e-8)


def test_mechanisms_are_sums_and_the_leading_ones_push_towards_resistance():
    values = pd.DataFrame([[0.4, 0.2, -0.9], [-0.1, -0.2, -0.3]], columns=["a", "b", "c"])
    found = Attributions(values, pd.Series([0.0, 0.0]), values)
    mechanisms = {"a": "one", "b": "one", "c": "two"}
    sums = found.by_mechanism(mechanisms)
    np.testing.assert_allclose(sums[["one", "two"]], [[0.6, -0.9], [-0.3, -0.3]])
    np.testing.assert_allclose(sums[NOT_MEASURED], 0.0)
    leading = found.leading_mechanisms(mechanisms)
    assert leading.iloc[0].tolist() == ["one", None, None]
    assert leading.iloc[1].tolist() == [None, None, None]


def test_a_missing_feature_never_names_its_mechanism():
    values = pd.DataFrame([[0.4, 0.2]], columns=["a", "b"])
    features = pd.DataFrame([[np.nan, 1.0]], columns=["a", "b"])
    found = Attributions(values, pd.Series([0.0]), features)
    mechanisms = {"a": "one", "b": "two"}
    assert found.leading_mechanisms(mechanisms).iloc[0].tolist() == ["two", None, None]
    sums = found.by_mechanism(mechanisms)
    assert sums.loc[0].to_dict() == {"one": 0.0, "two": 0.2, NOT_MEASURED: 0.4}
