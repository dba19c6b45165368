from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import clone

from models.candidates import (
    AveragedModels,
    Candidate,
    CandidateBuilder,
    FeatureModel,
    base_log_odds,
    resistance_score,
)
from models.classifier import ResistanceClassifier
from models.linear import SignedLogisticRegression

LINEAR = Candidate("line", "linear", settings={"alpha": 0.1})
BOOSTED = Candidate("trees", "boosted", settings={"n_estimators": 20, "n_seeds": 1})
BUILD = CandidateBuilder(("a", "b", "c"), ("c", "a"), {"a": 1, "b": -1}, seed=5)


def simulated_table(n_samples: int = 120) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n_samples, 3)), columns=list("abc"))
    return X, pd.Series((rng.random(n_samples) < expit(2 * X["a"] - X["c"])).astype(int))


def test_a_model_takes_its_columns_by_name_alone():
    X, y = simulated_table()
    model = FeatureModel(SignedLogisticRegression(alpha=0.1), ["c", "a"]).fit(X, y)
    bare = SignedLogisticRegression(alpha=0.1).fit(X[["c", "a"]], y)
    expected = bare.decision_function(X[["c", "a"]])
    np.testing.assert_array_equal(model.decision_function(X), expected)
    other = X[["b", "c", "a"]].assign(b=1e9, more=np.nan)
    np.testing.assert_array_equal(model.decision_function(other), expected)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], expit(expected))
    np.testing.assert_array_equal(model.predict(X), (expected > 0).astype(int))


def test_cohorts_weigh_the_same_only_where_asked_for():
    X, y = simulated_table()
    cohorts, patients = np.where(np.arange(120) < 20, "small", "large"), np.arange(120) // 2
    line = SignedLogisticRegression(alpha=0.1)

    def scores(*, weigh_cohorts: bool) -> np.ndarray:
        model = FeatureModel(line, list("abc"), weigh_cohorts=weigh_cohorts)
        return model.fit(X, y, groups=patients, cohorts=cohorts).decision_function(X)

    by_patient = clone(line).fit(X, y, groups=patients).decision_function(X)
    by_cohort = clone(line).fit(X, y, groups=patients, cohorts=cohorts).decision_function(X)
    np.testing.assert_array_equal(scores(weigh_cohorts=False), by_patient)
    np.testing.assert_array_equal(scores(weigh_cohorts=True), by_cohort)
    assert not np.allclose(by_patient, by_cohort)


def test_an_average_is_the_mean_of_its_models_log_odds():
    X, y = simulated_table()
    parts = [BUILD(LINEAR), BUILD(BOOSTED)]
    average = AveragedModels(parts).fit(X, y)
    alone = [clone(part).fit(X, y).decision_function(X) for part in parts]
    np.testing.assert_allclose(average.decision_function(X), np.mean(alone, axis=0), atol=1e-12)
    np.testing.assert_allclose(average.predict_proba(X).sum(axis=1), 1.0)
    assert average.classes_.tolist() == [0, 1]


def test_fitting_leaves_the_given_models_unfitted():
    X, y = simulated_table()
    inner = SignedLogisticRegression()
    model = FeatureModel(inner, ["a"])
    AveragedModels([model]).fit(X, y)
    assert not hasattr(inner, "coef_")
    assert not hasattr(model, "estimator_")


def test_a_score_is_the_log_odds_beyond_the_base_rate():
    X, y = simulated_table()
    cohorts, patients = np.where(np.arange(120) < 20, "small", "large"), np.arange(120) // 2
    line = BUILD(LINEAR).fit(X, y, groups=patients, cohorts=cohorts)
    assert base_log_odds(line) == pytest.approx(logit(y.mean()))
    np.testing.assert_allclose(
        resistance_score(line, X), line.decision_function(X) - logit(y.mean())
    )
    weighed = BUILD(replace(BOOSTED, weights="cohorts")).fit(X, y, groups=patients, cohorts=cohorts)
    rate = (y[:20].mean() + y[20:].mean()) / 2
    assert base_log_odds(weighed) == pytest.approx(logit(rate))
    average = AveragedModels([BUILD(LINEAR), BUILD(BOOSTED)]).fit(X, y)
    parts = [resistance_score(model, X) for model in average.models_]
    np.testing.assert_allclose(resistance_score(average, X), np.mean(parts, axis=0), atol=1e-12)
    bare = SignedLogisticRegression().fit(X, y)
    assert base_log_odds(bare) == 0.0
    np.testing.assert_array_equal(resistance_score(bare, X), bare.decision_function(X))


def test_a_model_without_any_effect_scores_zero():
    X, y = simulated_table()
    strict = {"alpha": 100.0, "l1_ratio": 1.0}
    for candidate in (
        replace(LINEAR, settings=strict),
        replace(BOOSTED, settings={"min_child_samples": 200, "n_estimators": 5}),
    ):
        model = BUILD(candidate).fit(X, y)
        np.testing.assert_allclose(resistance_score(model, X), 0.0, atol=1e-5)


def test_the_key_tells_every_difference_and_nothing_else():
    twin = replace(LINEAR, settings={"l1_ratio": 0.1, "alpha": 0.1})
    turned = replace(LINEAR, settings={"alpha": 0.1, "l1_ratio": 0.1})
    assert twin.key == turned.key
    average = Candidate("both", "average", members=(LINEAR, BOOSTED))
    differing = [
        LINEAR,
        twin,
        BOOSTED,
        average,
        replace(LINEAR, name="other"),
        replace(LINEAR, features="mechanisms"),
        replace(LINEAR, signs=False),
        replace(LINEAR, weights="cohorts"),
        replace(LINEAR, settings={"alpha": 0.2}),
        replace(average, members=(twin, BOOSTED)),
    ]
    assert len({candidate.key for candidate in differing}) == len(differing)


def test_the_builder_makes_what_the_candidate_says():
    line = BUILD(replace(LINEAR, features="mechanisms", weights="cohorts"))
    assert isinstance(line.estimator, SignedLogisticRegression)
    assert (line.columns, line.weigh_cohorts) == (("c", "a"), True)
    assert line.estimator.alpha == 0.1
    assert line.estimator.signs == {"c": 0, "a": 1}
    trees = BUILD(BOOSTED)
    assert isinstance(trees.estimator, ResistanceClassifier)
    assert trees.columns == ("a", "b", "c")
    assert trees.estimator.monotone_constraints == {"a": 1, "b": -1, "c": 0}
    assert (trees.estimator.random_state, trees.estimator.n_estimators) == (5, 20)
    assert BUILD(replace(BOOSTED, signs=False)).estimator.monotone_constraints is None
    average = BUILD(Candidate("both", "average", members=(LINEAR, BOOSTED)))
    assert [type(model.estimator) for model in average.models] == [
        SignedLogisticRegression,
        ResistanceClassifier,
    ]


def test_an_unknown_setting_is_no_argument_of_the_classifier():
    with pytest.raises(TypeError, match="num_leaves"):
        BUILD(replace(LINEAR, settings={"num_leaves": 3}))
