import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.special import expit
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from features.errors import ConfigError
from models.abstaining import ABSTAIN, AbstainingClassifier
from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets

SMALL = ResistanceClassifier(n_estimators=10, n_seeds=1, min_child_samples=5, learning_rate=0.3)


def simulated_table(n_samples: int = 300, *, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_samples, 4)), columns=["ICI.B2M loss", "b", "c", "d"])
    log_odds = 1.5 * X["ICI.B2M loss"] - 1.0 * X["b"] + 0.5
    return X, (rng.random(n_samples) < expit(log_odds)).astype(int)


@parametrize_with_checks([AbstainingClassifier(SMALL, n_splits=3)])
def test_scikit_learn_conventions_hold(estimator, check):
    check(estimator)


def test_calibration_and_sets_come_from_predictions_of_unseen_patients():
    X, y = simulated_table()
    patients = np.arange(300) // 2
    model = AbstainingClassifier(LogisticRegression(), methods=("platt",), random_state=3)
    model.fit(X, y, groups=patients)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=3)
    scores = cross_val_predict(
        LogisticRegression(), X, y, groups=patients, cv=folds, method="decision_function"
    )
    platt, sets = PlattCalibrator().fit(scores, y), ConformalSets().fit(scores, y)
    new, _ = simulated_table(seed=1)
    plain = LogisticRegression().fit(X, y).decision_function(new)
    np.testing.assert_allclose(model.predict_proba(new)[:, 1], platt.predict(plain), atol=1e-9)
    np.testing.assert_array_equal(model.predict_set(new), sets.predict_set(plain))


def test_an_overconfident_base_is_calibrated_on_new_patients():
    X, y = simulated_table(600)
    new, truth = simulated_table(4000, seed=1)
    # Naive Bayes counts each copy of a feature as evidence of its own.
    X, new = (pd.concat([table] * 5, axis=1).set_axis(range(20), axis=1) for table in (X, new))
    model = AbstainingClassifier(GaussianNB()).fit(X, y)
    plain = GaussianNB().fit(X, y).predict_proba(new)[:, 1]
    calibrated = model.predict_proba(new)[:, 1]
    assert np.mean((calibrated - truth) ** 2) < np.mean((plain - truth) ** 2) - 0.03
    for label in (0, 1):
        covered = model.predict_set(new)[truth == label, label].mean()
        assert covered == pytest.approx(0.9, abs=0.05)


def test_calls_are_the_label_of_one_label_sets_and_abstain_elsewhere():
    X, labels = simulated_table()
    y = np.where(labels == 1, "resistant", "responsive")
    model = AbstainingClassifier(SMALL, coverage=0.8).fit(X, y)
    calls, sets = model.predict_call(X), model.predict_set(X)
    assert list(model.classes_) == ["resistant", "responsive"]
    assert set(calls) == {"resistant", "responsive", ABSTAIN}
    np.testing.assert_array_equal(calls == ABSTAIN, sets.sum(axis=1) != 1)
    np.testing.assert_array_equal(calls == "responsive", sets[:, 1] & ~sets[:, 0])


@pytest.mark.parametrize(
    "base",
    [LogisticRegression(), GaussianNB(), RandomForestClassifier(n_estimators=10, random_state=0)],
    ids=lambda base: type(base).__name__,
)
def test_plain_classifiers_are_wrapped_as_they_are(base):
    X, y = simulated_table(120)
    model = AbstainingClassifier(base, n_splits=3).fit(X, y)
    probability = model.predict_proba(X)
    assert np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    np.testing.assert_array_equal(model.predict(X), (probability[:, 1] > 0.5).astype(int))


def test_names_constraints_groups_and_missing_values_reach_the_base():
    X, y = simulated_table()
    X.loc[::4, "c"] = np.nan
    base = clone(SMALL).set_params(monotone_constraints={"ICI.B2M loss": -1, "b": 1})
    patients = np.repeat(np.arange(100), 3)
    model = AbstainingClassifier(base).fit(X, y, groups=patients)
    expected = clone(base).fit(X, y, groups=patients)
    np.testing.assert_array_equal(
        model.estimator_.decision_function(X), expected.decision_function(X)
    )
    assert list(model.estimator_.feature_names_in_) == list(X.columns)


def test_missing_values_are_refused_where_the_base_refuses_them():
    X, y = simulated_table(60)
    model = AbstainingClassifier(LogisticRegression(), n_splits=3)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X.mask(X > 1), y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X, y).predict(X.mask(X > 1))


def test_without_a_base_it_is_the_resistance_classifier():
    assert isinstance(AbstainingClassifier()._base(), ResistanceClassifier)
    assert AbstainingClassifier().__sklearn_tags__().input_tags.allow_nan


def test_faults_are_named():
    X, y = simulated_table(40)
    with pytest.raises(ValueError, match="one class"):
        AbstainingClassifier(SMALL).fit(X, np.zeros(40, dtype=int))
    with pytest.raises(ValueError, match="at least two patients"):
        AbstainingClassifier(SMALL).fit(X, y, groups=np.where(y == 1, 0, np.arange(40)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        AbstainingClassifier(SMALL).fit(X, y, groups=np.arange(39))
    with pytest.raises(ConfigError, match=r"coverage is 1\.5"):
        AbstainingClassifier(SMALL, coverage=1.5).fit(X, y)


def test_skops_keeps_the_fitted_wrapper(tmp_path):
    X, y = simulated_table()
    model = AbstainingClassifier(LogisticRegression()).fit(X, y)
    skops.io.dump(model, tmp_path / "model.skops")
    unknown = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert all(name.startswith("models.") for name in unknown)
    loaded = skops.io.load(tmp_path / "model.skops", trusted=unknown)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict_set(X), model.predict_set(X))
