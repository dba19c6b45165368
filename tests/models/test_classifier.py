import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMClassifier
from scipy.special import expit
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from models.classifier import ResistanceClassifier
from models.weights import sample_weights
from tests.lightgbm_reference import reference_of


def simulated_table(n_samples: int = 240, *, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_samples, 6)), columns=list("abcdef"))
    log_odds = 1.5 * X["a"] - 1.5 * X["b"]
    return X, pd.Series((rng.random(n_samples) < expit(log_odds)).astype(int), name="resistant")


@parametrize_with_checks([ResistanceClassifier(n_estimators=30, n_seeds=1, min_child_samples=5)])
def test_scikit_learn_conventions_hold(estimator, check):
    check(estimator)


def test_planted_signal_is_learned():
    X, y = simulated_table()
    model = ResistanceClassifier().fit(X.iloc[:160], y[:160])
    probability = model.predict_proba(X.iloc[160:])
    assert roc_auc_score(y[160:], probability[:, 1]) > 0.75
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert list(model.feature_names_in_) == list("abcdef")


def test_constraints_hold_whatever_the_data_say():
    X, y = simulated_table()
    model = ResistanceClassifier(monotone_constraints={"a": -1, "b": -1}).fit(X, y)
    grid = pd.DataFrame(np.zeros((50, 6)), columns=list("abcdef"))
    for feature in "ab":
        moved = grid.assign(**{feature: np.linspace(-3, 3, 50)})
        assert (np.diff(model.predict_proba(moved)[:, 1]) <= 0).all()
    by_position = ResistanceClassifier(monotone_constraints=[-1, -1, 0, 0, 0, 0]).fit(X, y)
    np.testing.assert_array_equal(by_position.predict_proba(X), model.predict_proba(X))


def test_unknown_constraint_and_single_class_are_refused():
    X, y = simulated_table(40)
    with pytest.raises(ValueError, match=r"unknown features \['z'\]"):
        ResistanceClassifier(monotone_constraints={"z": 1}).fit(X, y)
    with pytest.raises(ValueError, match="2 signs \\(monotone constraints\\) for 6 features"):
        ResistanceClassifier(monotone_constraints=[1, 0]).fit(X, y)
    with pytest.raises(ValueError, match="one class"):
        ResistanceClassifier().fit(X, np.zeros(40, dtype=int))


def test_the_same_seed_gives_the_same_model_on_any_number_of_threads():
    X, y = simulated_table()
    first = ResistanceClassifier(random_state=3, n_jobs=1).fit(X, y)
    again = ResistanceClassifier(random_state=3, n_jobs=2).fit(X, y)
    other = ResistanceClassifier(random_state=4).fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


def test_missing_values_stay_missing():
    X, y = simulated_table()
    X.loc[::3, "c"] = np.nan
    model = ResistanceClassifier().fit(X.assign(never=np.nan), y)
    assert np.isfinite(model.predict_proba(X.assign(never=np.nan))).all()


def test_a_patients_samples_weigh_as_one():
    X, y = simulated_table(120)
    repeated = [*range(120), *range(40), *range(40)]
    X3, y3 = X.iloc[repeated].reset_index(drop=True), y.iloc[repeated].reset_index(drop=True)
    model = ResistanceClassifier(n_seeds=1)
    grouped = model.fit(X3, y3, groups=repeated).decision_function(X)
    by_hand = reference_of(LGBMClassifier, model).fit(
        X3.to_numpy(), y3, sample_weight=sample_weights(len(repeated), groups=repeated)
    )
    np.testing.assert_array_equal(grouped, by_hand.predict(X.to_numpy(), raw_score=True))
    assert not np.array_equal(grouped, clone(model).fit(X3, y3).decision_function(X))


def test_cohorts_weigh_the_same_where_they_are_given():
    X, y = simulated_table(120)
    cohorts = np.where(np.arange(120) < 30, "small", "large")
    model = ResistanceClassifier(n_seeds=1)
    weighed = clone(model).fit(X, y, cohorts=cohorts).decision_function(X)
    by_hand = reference_of(LGBMClassifier, model).fit(
        X.to_numpy(), y, sample_weight=sample_weights(120, cohorts=cohorts)
    )
    np.testing.assert_array_equal(weighed, by_hand.predict(X.to_numpy(), raw_score=True))
    assert not np.array_equal(weighed, clone(model).fit(X, y).decision_function(X))


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_leaves": 2, "subsample": 0.7}, {"monotone_constraints": [1, 0, -1, 0, 0, 0]}],
)
def test_the_trees_are_those_of_lightgbms_own_estimator(settings: dict[str, object]):
    X, y = simulated_table()
    X.loc[::5, "b"] = np.nan
    model = ResistanceClassifier(n_seeds=1, random_state=11, **settings).fit(X, y)
    reference = reference_of(
        LGBMClassifier, model, constraints=settings.get("monotone_constraints")
    ).fit(X.to_numpy(), y)
    np.testing.assert_array_equal(
        model.decision_function(X), reference.predict(X.to_numpy(), raw_score=True)
    )


def test_bagging_draws_samples_anew_but_the_same_for_the_same_seed():
    X, y = simulated_table()
    whole = ResistanceClassifier(n_seeds=2, n_estimators=30)
    bagged = ResistanceClassifier(n_seeds=2, n_estimators=30, subsample=0.6, n_jobs=1)
    first = bagged.fit(X, y).predict_proba(X)
    again = clone(bagged).set_params(n_jobs=2).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, whole.fit(X, y).predict_proba(X))


def test_two_leaves_a_tree_make_an_additive_model():
    X, y = simulated_table()
    model = ResistanceClassifier(num_leaves=2, n_estimators=50).fit(X, y)
    moved = X.assign(a=X["a"] + 1.0)
    other = X.assign(c=0.7, d=-0.3)
    gain = model.decision_function(moved) - model.decision_function(X)
    elsewhere = model.decision_function(other.assign(a=moved["a"])) - model.decision_function(other)
    np.testing.assert_allclose(gain, elsewhere, atol=1e-9)


def test_clone_and_skops_keep_the_model(tmp_path):
    X, y = simulated_table()
    model = ResistanceClassifier(monotone_constraints={"a": 1}).fit(X, y)
    assert clone(model).monotone_constraints == {"a": 1}
    skops.io.dump(model, tmp_path / "model.skops")
    unknown = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=unknown)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
