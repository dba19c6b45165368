"""How well the response to each group of drugs is predicted, beside the tissue's mean."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from models.explanation import Attributions
from models.metrics import Estimate
from models.regression_metrics import (
    correlation_with_interval,
    evaluate_responses,
    tissue_mean_of_others,
)
from pipelines.screens.predict import COLUMNS, predict_by_folds, predict_by_tissue
from pipelines.screens.task import Task
from pipelines.settings.screens import ScreensConfig

__all__ = ["TISSUE_MEAN", "Analysis", "analyse", "mean_estimates"]

TISSUE_MEAN = "tissue_mean"
MODEL = "model"
CLASSIFIER = "classifier"
TISSUE_OUT = "leave_one_tissue_out"
UNSIGNED = "unsigned"
NULL = "null"


@dataclass(frozen=True)
class Analysis:
    """What is found of one group of drugs.

    Attributes
    ----------
    task
        The samples.
    features
        Those that entered (n_samples, n_features), standardised.
    estimates
        Predictor (``model``, ``unsigned``: without signs, ``classifier``, ``tissue_mean``,
        ``leave_one_tissue_out``) → metric (``spearman``, ``within_tissue_spearman``, ``rmse``,
        ``auroc``) → estimate; ``null``: mean and range (95%) of the model on shuffled responses.
    predictions
        Out-of-fold predictions, a row a sample and repeat.
    tissues
        ``tissue, n, rho, low, high`` of the predictions by models that had not seen the tissue.
    attributions
        SHAP of the regression, None of patients.
    """

    task: Task
    features: pd.DataFrame
    estimates: Mapping[str, Mapping[str, Estimate]]
    predictions: pd.DataFrame
    tissues: pd.DataFrame
    attributions: Attributions | None


def analyse(
    task: Task,
    *,
    catalogue: Catalogue,
    setting: str,
    min_coverage: float,
    settings: Mapping[str, Any],
    config: ScreensConfig,
    n_resamples: int,
    seed: int,
) -> Analysis:
    """Return how well a task is predicted by models that had not seen the line or its tissue.

    One configuration (``settings``), nothing chosen: the figures need no inner folds. Signs of the
    catalogue's setting are held, and left free beside it. Cell lines take no features of T cells,
    myeloid cells or stroma, which they do not hold. Where the task's genes give no feature there
    are no estimates.
    """
    X = task.features(catalogue, setting=setting, min_coverage=min_coverage)
    X = X[task.testable(catalogue, list(map(str, X)))]
    tissues = pd.DataFrame(columns=["tissue", "n", "rho", "low", "high"])
    if X.empty:
        nothing = pd.DataFrame(columns=[*COLUMNS, "predicted", "score", "repeat"])
        return Analysis(task, X, {}, nothing, tissues, None)
    signs = catalogue.signs(setting)
    folds: dict[str, Any] = {
        "settings": settings,
        "n_splits": config.n_splits,
        "n_repeats": config.n_repeats,
        "seed": seed,
    }
    held = predict_by_folds(X, task.samples, signs=signs, **folds)
    noise = {"n_resamples": n_resamples, "seed": seed}
    by_class = held.predictions.assign(predicted=held.predictions["score"])
    estimates = {CLASSIFIER: _auroc_alone(by_class, **noise)}
    if task.continuous:
        estimates[MODEL] = mean_estimates(held.predictions, **noise)
        free = predict_by_folds(X, task.samples, signs={}, classify=False, **folds)
        estimates[UNSIGNED] = mean_estimates(free.predictions, **noise)
        if config.permutations:
            estimates[NULL] = _null(
                X, task.samples, settings=settings, signs=signs, config=config, seed=seed
            )
        naive = task.samples.assign(predicted=tissue_mean_of_others(task.samples))
        found = evaluate_responses(naive, **noise)
        # Of a single tissue the mean of the others falls as a line's own response rises.
        shown = ("spearman", "rmse", "auroc") if task.samples["tissue"].nunique() > 1 else ("rmse",)
        estimates[TISSUE_MEAN] = {name: found[name] for name in shown}
        apart = predict_by_tissue(
            X, task.samples, settings=settings, signs=signs, least=config.least_tissue
        )
        if len(apart):
            estimates[TISSUE_OUT] = evaluate_responses(apart, **noise)
            tissues = _by_tissue(apart)
    return Analysis(task, X, estimates, held.predictions, tissues, held.attributions)


def _null(
    X: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    settings: Mapping[str, Any],
    signs: Mapping[str, int],
    config: ScreensConfig,
    seed: int,
) -> dict[str, Estimate]:
    """Return what the regression shows on responses shuffled over the samples.

    A model of folds learns the tissues' means without the line it is asked about: within tissues,
    no signal lies a little below 0. One repeat and one seed of the trees a shuffle.
    """
    rng = np.random.default_rng([seed, 1])
    found: dict[str, list[float]] = {"spearman": [], "within_tissue_spearman": []}
    for _ in range(config.permutations):
        order = rng.permutation(len(samples))
        shuffled = samples.assign(resistance=samples["resistance"].to_numpy()[order])
        held = predict_by_folds(
            X,
            shuffled,
            settings={**settings, "n_seeds": 1},
            signs=signs,
            n_splits=config.n_splits,
            n_repeats=1,
            seed=seed,
            classify=False,
        )
        one = evaluate_responses(held.predictions, n_resamples=0, seed=seed)
        for metric, values in found.items():
            values.append(one[metric].value)
    return {metric: _range(values) for metric, values in found.items()}


def _range(values: Sequence[float]) -> Estimate:
    known = np.asarray(values)[np.isfinite(values)]
    if known.size < 2:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(float(known.mean()), float(low), float(high), float(known.std(ddof=1)))


def mean_estimates(
    predictions: pd.DataFrame, *, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return the means over the repeats of their figures and intervals."""
    found = [
        evaluate_responses(part, n_resamples=n_resamples, seed=seed)
        for _, part in predictions.groupby("repeat")
    ]
    return {
        name: Estimate(*np.mean([astuple(one[name]) for one in found], axis=0).tolist())
        for name in found[0]
    }


def _auroc_alone(predictions: pd.DataFrame, *, n_resamples: int, seed: int) -> dict[str, Estimate]:
    """Return the AUROC of the classification, of patients too, who have no number."""
    labels = predictions.assign(resistance=predictions["resistant"].fillna(0.5))
    found = mean_estimates(labels, n_resamples=n_resamples, seed=seed)
    return {"auroc": found["auroc"]}


def _by_tissue(predictions: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"tissue": tissue, **correlation_with_interval(part["predicted"], part["resistance"])}
        for tissue, part in predictions.groupby("tissue")
    ]
    return pd.DataFrame(rows)[["tissue", "n", "rho", "low", "high"]]
