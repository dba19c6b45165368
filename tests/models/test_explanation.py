import tracemalloc

import numpy as np
import pandas as pd
import pytest
import shap
from scipy.special import expit, logit

from models import explanation
from models.calibration import (
    BetaCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    ShiftedCalibrator,
)
from models.candidates import AveragedModels, FeatureModel, resistance_score
from models.classifier import ResistanceClassifier
from models.explanation import NOT_MEASURED, AdditivityError, Attributions, explain
from models.linear import SignedLogisticRegression

TREES = ResistanceClassifier(n_estimators=40, n_seeds=2, colsample_bytree=1.0)
LINE = SignedLogisticRegression(alpha=0.05)
FAMILIES = {
    "boosted": TREES,
    "bagged": ResistanceClassifier(n_estimators=40, n_seeds=2, subsample=0.6),
    "without a split": ResistanceClassifier(n_estimators=5, min_child_samples=90),
    "linear": LINE,
    "some columns": FeatureModel(TREES, ["d", "b"]),
    "average": AveragedModels([FeatureModel(TREES, list("abcd")), FeatureModel(LINE, ["c", "a"])]),
}
CALIBRATORS = {
    "platt": lambda scores, y: PlattCalibrator().fit(scores, y),
    "beta": lambda scores, y: BetaCalibrator().fit(scores, y),
    "isotonic": lambda scores, y: IsotonicCalibrator().fit(scores, y),
    "shifted platt": lambda scores, y: ShiftedCalibrator(
        PlattCalibrator().fit(scores, y), delta=-0.8
    ),
    "shifted isotonic": lambda scores, y: ShiftedCalibrator(
        IsotonicCalibrator().fit(scores, y), delta=1.3
    ),
}


def simulated() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(150, 4)), columns=list("abcd"))
    y = pd.Series((rng.random(150) < expit(2 * X["a"] - X["b"])).astype(int))
    X.loc[::7, "b"] = np.nan
    return X, y


def fitted():
    X, y = simulated()
    classifier = ResistanceClassifier(n_estimators=80).fit(X, y)
    calibrator = PlattCalibrator().fit(classifier.decision_function(X), y)
    return X, classifier, calibrator


@pytest.mark.parametrize("calibration", CALIBRATORS)
@pytest.mark.parametrize("family", FAMILIES)
def test_attributions_add_up_to_the_calibrated_log_odds(family, calibration):
    X, y = simulated()
    classifier = FAMILIES[family].fit(X[:100], y[:100])
    X.loc[::9, "a"] = np.nan  # never missing in training
    scores = resistance_score(classifier, X)
    calibrator = CALIBRATORS[calibration](scores[:100], y[:100])
    found = explain(classifier, calibrator, X)
    total = found.values.sum(axis=1) + found.base_value
    expected = calibrator.calibrated_log_odds(scores)
    np.testing.assert_allclose(total, expected, atol=1e-6)
    assert np.isfinite(found.values.to_numpy()).all()
    assert found.values.columns.equals(X.columns)
    assert found.values.index.equals(X.index)
    pd.testing.assert_frame_equal(found.features, X)
    np.testing.assert_allclose(found.log_odds, expected, atol=1e-12)
    probability = calibrator.predict(scores)
    np.testing.assert_allclose(found.probability, probability, atol=1e-12)
    shown = found.in_probability()
    total = shown.values.sum(axis=1) + shown.base_value
    np.testing.assert_allclose(total, probability, atol=1e-12)
    assert (np.sign(shown.values) == np.sign(found.values)).all().all()


def test_the_attributions_of_a_line_are_those_of_shaps_linear_explainer():
    X, y = simulated()
    X = X.fillna(0.2)
    model = SignedLogisticRegression(alpha=0.05).fit(X, y)
    identity = PlattCalibrator()
    identity.slope_, identity.intercept_ = 1.0, 0.0
    found = explain(model, identity, X)
    raw = model.coef_ / model.scale_
    intercept = model.intercept_ - raw @ model.mean_
    reference = shap.LinearExplainer(
        (raw, intercept), shap.maskers.Independent(X.to_numpy(), max_samples=len(X))
    )(X.to_numpy())
    np.testing.assert_allclose(found.values, reference.values, atol=1e-6)
    np.testing.assert_allclose(found.base_value, reference.base_values, atol=1e-6)


def test_the_attributions_of_an_average_are_the_mean_of_its_models():
    X, y = simulated()
    average = FAMILIES["average"].fit(X, y)
    calibrator = PlattCalibrator().fit(resistance_score(average, X), y)
    parts = [explain(model, calibrator, X) for model in average.models_]
    found = explain(average, calibrator, X)
    np.testing.assert_allclose(
        found.values, np.mean([part.values for part in parts], axis=0), atol=1e-9
    )
    base = np.mean([part.base_value for part in parts], axis=0)
    np.testing.assert_allclose(found.base_value, base, atol=1e-9)


def test_a_feature_that_a_model_does_not_take_explains_nothing():
    X, y = simulated()
    model = FAMILIES["some columns"].fit(X, y)
    calibrator = PlattCalibrator().fit(resistance_score(model, X), y)
    found = explain(model, calibrator, X).values
    assert (found[["a", "c"]] == 0).all().all()
    alone = explain(model.estimator_, calibrator, X[["d", "b"]]).values
    pd.testing.assert_frame_equal(found[["d", "b"]], alone)


def test_a_calibration_never_turns_what_a_feature_does():
    X, y = simulated()
    model = FAMILIES["linear"].fit(X, y)
    scores = model.decision_function(X)
    raw = model.contributions(X)
    for make in CALIBRATORS.values():
        found = explain(model, make(scores, y), X).values.to_numpy()
        assert (np.sign(found) * np.sign(raw) >= 0).all()


def test_a_sample_at_the_base_value_keeps_its_calibrated_log_odds():
    X, y = simulated()
    model = SignedLogisticRegression(alpha=0.05).fit(X, y)
    calibrator = IsotonicCalibrator().fit(model.decision_function(X), y)
    unknown = X.iloc[:2] * np.nan
    found = explain(model, calibrator, unknown)
    assert (found.values == 0).all().all()
    expected = calibrator.calibrated_log_odds(model.decision_function(unknown))
    np.testing.assert_allclose(found.base_value, expected, atol=1e-12)


def test_terms_that_cancel_out_keep_their_size():
    X, y = simulated()
    model = SignedLogisticRegression(alpha=0.05).fit(X, y)
    model.coef_, model.mean_, model.scale_ = np.array([3.0, -3.0, 0, 0]), np.zeros(4), np.ones(4)
    calibrator = PlattCalibrator().fit(model.decision_function(X), y)
    found = explain(model, calibrator, X.iloc[1:2] * 0 + 1)
    expected = calibrator.slope_ * model.coef_
    np.testing.assert_allclose(found.values.iloc[0], expected, rtol=1e-9)
    base = expit(found.base_value.iloc[0])
    shown = found.in_probability().values.iloc[0]
    np.testing.assert_allclose(shown, base * (1 - base) * expected, rtol=1e-9)


def test_probabilities_are_shared_out_as_the_log_odds_are():
    X, classifier, calibrator = fitted()
    found = explain(classifier, calibrator, X)
    shown = found.in_probability()
    shares = found.values.div(found.values.sum(axis=1), axis=0)
    np.testing.assert_allclose(shown.values.div(shown.values.sum(axis=1), axis=0), shares)
    np.testing.assert_allclose(shown.base_value, expit(found.base_value), atol=1e-15)
    np.testing.assert_allclose(logit(shown.probability), found.log_odds, atol=1e-9)
    np.testing.assert_allclose(shown.log_odds, found.log_odds, atol=1e-9)
    assert shown.in_probability() is shown
    assert shown.of(X.index[:3]).scale == Attributions.concat([shown, shown]).scale == shown.scale
    groups = {"a": "one", "c": "one"}
    total = shown.by_group(groups).sum(axis=1) + shown.base_value
    np.testing.assert_allclose(total, found.probability, atol=1e-12)


def test_attributions_that_do_not_add_up_are_refused_by_name():
    X, classifier, calibrator = fitted()
    X = X.set_axis([f"s{i}" for i in range(len(X))])
    scores = resistance_score(classifier, X)
    pd.testing.assert_frame_equal(
        explain(classifier, calibrator, X, log_odds=scores).values,
        explain(classifier, calibrator, X).values,
    )
    scores[7] += 2e-6
    scores[8] += 1e-3
    with pytest.raises(AdditivityError, match=r"sample 's8'.*0\.001 apart.*\(2 of 150 samples"):
        explain(classifier, calibrator, X, log_odds=scores)
    scores[3] = np.nan
    with pytest.raises(AdditivityError, match="sample 's3'"):
        explain(classifier, calibrator, X, log_odds=scores)


def test_chunks_of_rows_change_nothing(monkeypatch):
    X, y = simulated()
    average = FAMILIES["average"].fit(X, y)
    calibrator = PlattCalibrator().fit(resistance_score(average, X), y)
    whole = explain(average, calibrator, X)
    monkeypatch.setattr(explanation, "_CHUNK_ROWS", 7)
    parts = explain(average, calibrator, X)
    pd.testing.assert_frame_equal(parts.values, whole.values, rtol=1e-12)
    pd.testing.assert_series_equal(parts.base_value, whole.base_value, rtol=1e-12)
    assert explain(average, calibrator, X[:0]).values.shape == (0, 4)


def test_memory_beyond_the_returned_table_does_not_grow_with_rows(monkeypatch):
    monkeypatch.setattr(explanation, "_CHUNK_ROWS", 2000)
    X, y = simulated()
    model = FeatureModel(ResistanceClassifier(n_estimators=2, n_seeds=2), list("abcd")).fit(X, y)
    calibrator = PlattCalibrator().fit(resistance_score(model, X), y)

    def beyond(n_samples: int) -> int:
        table = X.sample(n_samples, replace=True, random_state=0, ignore_index=True)
        tracemalloc.start()
        found = explain(model, calibrator, table)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - found.values.to_numpy().nbytes - found.base_value.to_numpy().nbytes

    more_rows = 36_000
    assert beyond(4_000 + more_rows) - beyond(4_000) < 0.1 * more_rows * X.shape[1] * 8


@pytest.mark.parametrize("model", [TREES, LINE])
def test_columns_in_another_order_are_refused(model):
    X, y = simulated()
    model.fit(X, y)
    calibrator = PlattCalibrator().fit(model.decision_function(X), y)
    with pytest.raises(ValueError, match=r"[Ff]eature names must be in the same order"):
        explain(model, calibrator, X[list("dcba")])


def test_what_has_no_attributions_is_refused():
    X, y = simulated()
    with pytest.raises(TypeError, match=r"no attributions of .* for PlattCalibrator"):
        explain(PlattCalibrator(), PlattCalibrator().fit(X["a"], y), X)


def test_parts_are_put_together_and_taken_apart_by_sample():
    X, classifier, calibrator = fitted()
    whole = explain(classifier, calibrator, X)
    halves = [explain(classifier, calibrator, part) for part in (X[:60], X[60:])]
    joined = Attributions.concat(halves)
    pd.testing.assert_frame_equal(joined.values, whole.values)
    pd.testing.assert_series_equal(joined.base_value, whole.base_value)
    some = joined.of(pd.Index([80, 3]))
    pd.testing.assert_frame_equal(some.values, whole.values.loc[[80, 3]])
    pd.testing.assert_frame_equal(some.features, X.loc[[80, 3]])


def test_attributions_equal_lightgbms_own_and_sum_to_the_log_odds():
    X, classifier, calibrator = fitted()
    found = explain(classifier, calibrator, X)
    native = np.mean(
        [m.predict(X.to_numpy(), pred_contrib=True) for m in classifier.estimators_],
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
