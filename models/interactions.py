"""SHAP interaction values: what two features do together beyond what each does alone."""

from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import Booster
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from features.errors import ModelError
from models.candidates import AveragedModels, FeatureModel
from models.classifier import ResistanceClassifier
from models.explanation import check_additivity, raw_attributions
from models.linear import SignedLogisticRegression

__all__ = ["MOST_VALUES", "interaction_values"]

Array = NDArray[np.float64]
MOST_VALUES = 50_000_000
"""Most interaction values that are returned at once: 400 MB."""
_CHUNK_ROWS = 256


def interaction_values(classifier: Any, X: pd.DataFrame) -> Array:
    """Return SHAP interaction values (n_samples, n_features, n_features), uncalibrated log-odds.

    The diagonal holds what a feature does alone; what two do together is shared half and half
    between their two places. Each matrix is symmetrical, and its rows sum to the features'
    attributions before calibration, which is checked. Trees are explained by TreeSHAP averaged
    over seeds; a linear model has a diagonal alone; an average has the average of its models.

    Parameters
    ----------
    classifier
        Fitted, as :func:`models.explanation.explain` takes it.
    X
        Standardised features (n_samples, n_features).

    Raises
    ------
    ModelError
        The result would be larger than 400 MB.
    AdditivityError
        Interaction values do not add up to the attributions.

    References
    ----------
    Lundberg et al., Nat Mach Intell 2020, doi:10.1038/s42256-019-0138-9.
    """
    n_samples, n_features = X.shape
    if X.size * n_features > MOST_VALUES:
        raise ModelError(
            f"interaction values of {n_samples:,} samples × {n_features} × {n_features} features "
            f"are {X.size * n_features:,} numbers, more than the {MOST_VALUES:,} that are given at "
            f"once; ask for at most {MOST_VALUES // n_features**2:,} samples at a time"
        )
    values = np.empty((n_samples, n_features, n_features))
    for start in range(0, n_samples, _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        values[rows] = _interactions(classifier, X.iloc[rows])
        _check_rows(values[rows], raw_attributions(classifier, X.iloc[rows])[0], X.index[rows])
    return values


def _check_rows(values: Array, attributions: Array, samples: pd.Index) -> None:
    """Refuse matrices whose rows do not sum to the attributions (n_samples, n_features)."""
    sums = values.sum(axis=2)
    worst = np.abs(sums - attributions).argmax(axis=1)[:, None]
    found, expected = (np.take_along_axis(part, worst, axis=1) for part in (sums, attributions))
    check_additivity(found[:, 0], expected[:, 0], samples=samples)


@singledispatch
def _interactions(classifier: Any, X: pd.DataFrame) -> Array:
    """Return interaction values of a few samples (n_samples, n_features, n_features)."""
    raise TypeError(f"no interactions of {X.shape} features for {type(classifier).__name__}")


@_interactions.register
def _of_trees(classifier: ResistanceClassifier, X: pd.DataFrame) -> Array:
    import shap

    features = validate_data(
        classifier, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
    )
    parts = [
        shap.TreeExplainer(booster).shap_interaction_values(_as_lightgbm_reads(booster, features))
        for booster in classifier.estimators_
    ]
    return np.asarray(np.mean(parts, axis=0))


@_interactions.register
def _of_line(classifier: SignedLogisticRegression, X: pd.DataFrame) -> Array:
    terms = classifier.contributions(X)
    return terms[:, :, None] * np.eye(terms.shape[1])


@_interactions.register
def _of_columns(classifier: FeatureModel, X: pd.DataFrame) -> Array:
    columns = list(classifier.columns)
    places = X.columns.get_indexer(pd.Index(columns))
    values = np.zeros((*X.shape, X.shape[1]))
    values[:, places[:, None], places] = _interactions(classifier.estimator_, X[columns])
    return values


@_interactions.register
def _of_average(classifier: AveragedModels, X: pd.DataFrame) -> Array:
    return np.asarray(np.mean([_interactions(model, X) for model in classifier.models_], axis=0))


def _as_lightgbm_reads(booster: Booster, features: Array) -> Array:
    """Return features with 0 for NaN where LightGBM reads it so: not missing in training.

    shap sends NaN down the default side of a split, whatever the feature was in training.
    """
    nodes = booster.trees_to_dataframe()
    always_there = nodes.loc[nodes["missing_type"] == "None", "split_feature"].unique()
    places = pd.Index(booster.feature_name()).get_indexer(pd.Index(always_there))
    read = features.copy()
    read[:, places] = np.nan_to_num(features[:, places], nan=0.0)
    return read
