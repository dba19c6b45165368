import numpy as np
import pandas as pd
import pytest
import skops.io
from lightgbm import LGBMRegressor
from scipy import stats
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from models.explanation import raw_attributions
from models.regressor import ResistanceRegressor
from models.weights import sample_weights
from tests.lightgbm_reference import reference_of


def simulated_table(n_samples: int = 160, *, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_samples, 5)), columns=list("abcde"))
    y = X["a"] - X["b"] + rng.normal(0, 0.5, n_samples)
    return X, pd.Series(y, name="resistance")


QUICK = {"n_estimators": 80, "learning_rate": 0.1, "n_seeds": 1, "min_child_samples": 5}


@parametrize_with_checks([ResistanceRegressor(**QUICK, colsample_bytree=1.0, reg_lambda=1.0)])
def test_scikit_learn_conventions_hold(estimator, check):
    check(estimator)


def test_planted_signal_is_learned():
    X, y = simulated_table()
    model = ResistanceRegressor(min_child_samples=5).fit(X.iloc[:110], y[:110])
    assert stats.spearmanr(model.predict(X.iloc[110:]), y[110:]).statistic > 0.6


def test_constraints_hold_whatever_the_data_say():
    X, y = simulated_table()
    model = ResistanceRegressor(monotone_constraints={"a": -1, "b": -1}, n_seeds=1).fit(X, y)
    for feature in "ab":
        moved = pd.DataFrame(np.zeros((50, 5)), columns=list("abcde"))
        moved[feature] = np.linspace(-3, 3, 50)
        assert (np.diff(model.predict(moved)) <= 0).all()


def test_unknown_constraints_and_missing_responses_are_refused():
    X, y = simulated_table(40)
    with pytest.raises(ValueError, match=r"unknown features \['z'\]"):
        ResistanceRegressor(monotone_constraints={"z": 1}).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        ResistanceRegressor().fit(X, y.where(y.index > 0))


def test_missing_values_stay_missing():
    X, y = simulated_table()
    X.loc[::3, "c"] = np.nan
    model = ResistanceRegressor(n_seeds=1).fit(X.assign(never=np.nan), y)
    assert np.isfinite(model.predict(X.assign(never=np.nan))).all()


def test_a_lines_samples_weigh_as_one():
    X, y = simulated_table(90)
    repeated = [*range(90), *range(30)]
    X2, y2 = X.iloc[repeated].reset_index(drop=True), y.iloc[repeated].reset_index(drop=True)
    model = ResistanceRegressor(n_seeds=1, min_child_samples=5)
    grouped = model.fit(X2, y2, groups=repeated).predict(X)
    by_hand = reference_of(LGBMRegressor, model).fit(
        X2.to_numpy(), y2, sample_weight=sample_weights(len(repeated), groups=repeated)
    )
    np.testing.assert_array_equal(grouped, by_hand.predict(X.to_numpy()))
    assert not np.array_equal(grouped, clone(model).fit(X2, y2).predict(X))


def test_seeds_are_averaged_and_threads_change_nothing():
    X, y = simulated_table()
    model = ResistanceRegressor(n_seeds=2, random_state=3)
    found = clone(model).set_params(n_jobs=2).fit(X, y).predict(X)
    np.testing.assert_array_equal(found, clone(model).set_params(n_jobs=1).fit(X, y).predict(X))
    alone = [ResistanceRegressor(n_seeds=1, random_state=seed).fit(X, y) for seed in (3, 4)]
    np.testing.assert_allclose(found, np.mean([one.predict(X) for one in alone], axis=0))


def test_attributions_add_up_to_the_prediction():
    X, y = simulated_table()
    model = ResistanceRegressor(n_seeds=2).fit(X, y)
    values, base = raw_attributions(model, X)
    np.testing.assert_allclose(values.sum(axis=1) + base, model.predict(X), atol=1e-9)


def test_clone_and_skops_keep_the_model(tmp_path):
    X, y = simulated_table()
    model = ResistanceRegressor(monotone_constraints={"a": 1}, n_seeds=1).fit(X, y)
    assert clone(model).monotone_constraints == {"a": 1}
    skops.io.dump(model, tmp_path / "model.skops")
    unknown = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    loaded = skops.io.load(tmp_path / "model.skops", trusted=unknown)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
