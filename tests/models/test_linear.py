import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from models.linear import SignedLogisticRegression
from models.weights import sample_weights


def simulated_table(n_samples: int = 150, *, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_samples, 5)), columns=list("abcde"))
    X["b"] = 10 * X["b"] + 3
    log_odds = 1.5 * X["a"] - 0.15 * X["b"]
    return X, pd.Series((rng.random(n_samples) < expit(log_odds)).astype(int))


@parametrize_with_checks([SignedLogisticRegression(alpha=0.05)])
def test_scikit_learn_conventions_hold(estimator, check):
    check(estimator)


@pytest.mark.parametrize("alpha", [0.02, 0.1])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.1, 0.5, 1.0])
def test_without_signs_it_is_scikit_learns_elastic_net(alpha, l1_ratio):
    X, y = simulated_table()
    found = SignedLogisticRegression(alpha=alpha, l1_ratio=l1_ratio).fit(X, y)
    Z = (X - X.mean()) / X.std(ddof=0)
    reference = LogisticRegression(
        penalty="elasticnet",
        solver="saga",
        C=1.0 / (alpha * len(y)),
        l1_ratio=l1_ratio,
        tol=1e-9,
        max_iter=50_000,
    ).fit(Z.to_numpy(), y)
    np.testing.assert_allclose(found.coef_, reference.coef_[0], atol=1e-4)
    assert found.intercept_ == pytest.approx(reference.intercept_[0], abs=1e-4)
    np.testing.assert_allclose(
        found.predict_proba(X), reference.predict_proba(Z.to_numpy()), atol=1e-4
    )


def test_patients_and_cohorts_weigh_as_scikit_learns_sample_weight():
    X, y = simulated_table()
    patients, cohorts = np.arange(150) // 2, np.where(np.arange(150) < 20, "small", "large")
    found = SignedLogisticRegression(alpha=0.1).fit(X, y, groups=patients, cohorts=cohorts)
    Z = ((X - X.mean()) / X.std(ddof=0)).to_numpy()
    reference = LogisticRegression(
        penalty="elasticnet", solver="saga", C=10 / 150, l1_ratio=0.1, tol=1e-9, max_iter=50_000
    ).fit(Z, y, sample_weight=sample_weights(150, groups=patients, cohorts=cohorts))
    np.testing.assert_allclose(found.coef_, reference.coef_[0], atol=1e-4)


def test_a_sign_is_held_whatever_the_data_say():
    X, y = simulated_table()
    with_signs = SignedLogisticRegression(alpha=0.02, signs={"a": -1, "b": -1, "c": 1})
    held = with_signs.fit(X, y).coef_
    assert held[0] == 0.0
    assert held[1] < 0
    assert held[2] >= 0
    by_position = SignedLogisticRegression(alpha=0.02, signs=[-1, -1, 1, 0, 0]).fit(X, y)
    np.testing.assert_array_equal(by_position.coef_, held)


def test_signs_that_agree_with_the_data_change_nothing():
    X, y = simulated_table()
    free = SignedLogisticRegression(alpha=0.02).fit(X, y)
    held = SignedLogisticRegression(alpha=0.02, signs=np.sign(free.coef_).astype(int)).fit(X, y)
    np.testing.assert_allclose(held.coef_, free.coef_, atol=1e-4)


def test_what_was_not_measured_counts_as_the_mean():
    X, y = simulated_table()
    X.loc[::4, "a"] = np.nan
    X["never"] = np.nan
    model = SignedLogisticRegression(alpha=0.1).fit(X, y)
    filled = X.fillna(X.mean()).fillna(0.0)
    np.testing.assert_allclose(model.decision_function(X), model.decision_function(filled))
    assert model.coef_[-1] == 0.0
    nothing = X.iloc[:1] * np.nan
    np.testing.assert_array_equal(model.decision_function(nothing), model.intercept_)
    np.testing.assert_array_equal(model.contributions(nothing), 0.0)


def test_a_features_unit_and_the_order_of_features_and_samples_change_nothing():
    X, y = simulated_table()
    model = SignedLogisticRegression(alpha=0.1)
    expected = clone(model).fit(X, y).predict_proba(X)
    rescaled = X.assign(b=X["b"] / 1000 - 7)
    np.testing.assert_allclose(
        clone(model).fit(rescaled, y).predict_proba(rescaled), expected, atol=1e-5
    )
    turned = X.iloc[::-1, ::-1]
    found = clone(model).fit(turned, y[::-1]).predict_proba(turned)
    np.testing.assert_allclose(found[::-1], expected, atol=1e-5)


def test_a_strong_penalty_leaves_the_base_rate():
    X, y = simulated_table()
    model = SignedLogisticRegression(alpha=100.0, l1_ratio=0.5).fit(X, y)
    np.testing.assert_array_equal(model.coef_, 0.0)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], y.mean(), atol=1e-6)


def test_contributions_add_up_to_the_log_odds():
    X, y = simulated_table()
    model = SignedLogisticRegression(alpha=0.05).fit(X, y)
    total = model.contributions(X).sum(axis=1) + model.intercept_
    np.testing.assert_allclose(total, model.decision_function(X), atol=1e-12)
    np.testing.assert_allclose(model.contributions(X).mean(axis=0), 0.0, atol=1e-12)


def test_unknown_signs_and_single_classes_are_refused():
    X, y = simulated_table(40)
    with pytest.raises(ValueError, match=r"unknown features \['z'\]"):
        SignedLogisticRegression(signs={"z": 1}).fit(X, y)
    with pytest.raises(ValueError, match=r"2 signs \(monotone constraints\) for 5 features"):
        SignedLogisticRegression(signs=[1, 0]).fit(X, y)
    with pytest.raises(ValueError, match="one class"):
        SignedLogisticRegression().fit(X, np.ones(40, dtype=int))
