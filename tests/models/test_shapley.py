"""Attributions of trees against Shapley values worked out over all coalitions of features.

What a coalition knows is the path-dependent expectation of Lundberg et al. 2020: a split on a known
feature is followed, one on an unknown feature takes both ways by their share of training samples.
"""

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
import shap
from scipy.special import expit

from models.classifier import ResistanceClassifier
from models.explanation import raw_attributions
from models.interactions import interaction_values

SMALL = {"n_estimators": 12, "min_child_samples": 5, "colsample_bytree": 1.0}
MODELS = {
    "all samples": ResistanceClassifier(n_seeds=2, **SMALL),
    "bagged": ResistanceClassifier(n_seeds=2, subsample=0.6, **SMALL),
    "stumps": ResistanceClassifier(n_seeds=1, num_leaves=2, **SMALL),
    "without a split": ResistanceClassifier(n_estimators=3, n_seeds=2, min_child_samples=90),
}


def fitted(name: str) -> tuple[ResistanceClassifier, pd.DataFrame]:
    """Return a model and samples; ``b`` was missing in training, ``a`` only is here and there."""
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(140, 4)), columns=list("abcd"))
    y = (rng.random(140) < expit(3 * X["a"] * X["c"] - X["b"])).astype(int)
    X.loc[::5, "b"] = np.nan
    model = MODELS[name].fit(X, y)
    new = X[:10].copy()
    new.loc[[1, 4], "a"] = np.nan
    return model, new


def goes_left(node: dict, value: float) -> bool:
    """LightGBM reads NaN as 0 in a feature that was never missing in training."""
    if np.isnan(value):
        if node["missing_type"] == "NaN":
            return node["default_left"]
        value = 0.0
    return value <= node["threshold"]


def expectation(node: dict, sample: np.ndarray, known: frozenset[int]) -> float:
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        way = left if goes_left(node, sample[node["split_feature"]]) else right
        return expectation(way, sample, known)
    counts = [way.get("internal_count", way.get("leaf_count")) for way in (left, right)]
    found = [expectation(way, sample, known) for way in (left, right)]
    return float(np.average(found, weights=counts))


def coalition_values(model: ResistanceClassifier, X: pd.DataFrame) -> list[dict[frozenset, float]]:
    """Return what each coalition of features makes the model say, for each sample."""
    forests = [m.dump_model()["tree_info"] for m in model.estimators_]
    trees = [tree["tree_structure"] for forest in forests for tree in forest]
    features = range(X.shape[1])
    coalitions = [frozenset(c) for size in range(5) for c in combinations(features, size)]
    return [
        {
            known: sum(expectation(tree, sample, known) for tree in trees) / len(forests)
            for known in coalitions
        }
        for sample in X.to_numpy()
    ]


def shapley(value: dict[frozenset, float], i: int, *, n: int = 4) -> float:
    total = 0.0
    for known in value:
        if i not in known:
            weight = factorial(len(known)) * factorial(n - len(known) - 1) / factorial(n)
            total += weight * (value[known | {i}] - value[known])
    return total


def shapley_interaction(value: dict[frozenset, float], i: int, j: int, *, n: int = 4) -> float:
    total = 0.0
    for known in value:
        if not known & {i, j}:
            weight = factorial(len(known)) * factorial(n - len(known) - 2) / factorial(n - 1) / 2
            both, without = value[known | {i, j}], value[known]
            total += weight * (both - value[known | {i}] - value[known | {j}] + without)
    return total


@pytest.mark.parametrize("name", MODELS)
def test_attributions_are_shapley_values_over_all_coalitions(name):
    model, X = fitted(name)
    values, base = raw_attributions(model, X)
    worked_out = coalition_values(model, X)
    expected = [[shapley(value, i) for i in range(4)] for value in worked_out]
    np.testing.assert_allclose(values, expected, atol=1e-10)
    assert base == pytest.approx(worked_out[0][frozenset()], abs=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_interaction_values_are_shapley_interactions_over_all_coalitions(name):
    model, X = fitted(name)
    found = interaction_values(model, X)
    for matrix, value in zip(found, coalition_values(model, X), strict=True):
        for i, j in combinations(range(4), 2):
            assert matrix[i, j] == pytest.approx(shapley_interaction(value, i, j), abs=1e-10)
    between = np.abs(found[:, ~np.eye(4, dtype=bool)]).max()
    assert (between > 0.001) == (name in ("all samples", "bagged"))


def test_attributions_are_those_of_shaps_own_tree_walk():
    model, X = fitted("bagged")
    X = X.fillna({"a": 0.0})  # shap sends a feature that was never missing another way
    found, base = raw_attributions(model, X)
    values, bases = [], []
    for member in model.estimators_:
        explainer = shap.TreeExplainer(member)
        explainer.model.model_type = "internal"  # otherwise it asks LightGBM, as we do
        values.append(explainer.shap_values(X.to_numpy(), check_additivity=False))
        bases.append(float(np.ravel(explainer.expected_value)[0]))
    np.testing.assert_allclose(found, np.mean(values, axis=0), atol=1e-10)
    assert base == pytest.approx(np.mean(bases), abs=1e-10)
