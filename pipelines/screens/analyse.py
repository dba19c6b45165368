"""How well the response to each group of drugs is predicted, beside the tissue's mean."""

from collections.abc import Mapping
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
        Predictor (``model``, ``classifier``, ``tissue_mean``, ``leave_one_tissue_out``) → metric
        (``spearman``, ``within_tissue_spearman``, ``rmse``, ``auroc``) → estimate.
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
    catalogue's setting are held. Where the task's genes give no feature there are no estimates.
    """
    X = task.features(catalogue, setting=setting, min_coverage=min_coverage)
    tissues = pd.DataFrame(columns=["tissue", "n", "rho", "low", "high"])
    if X.empty:
        nothing = pd.DataFrame(columns=[*COLUMNS, "predicted", "score", "repeat"])
        return Analysis(task, X, {}, nothing, tissues, None)
    signs = catalogue.signs(setting)
    held = predict_by_folds(
        X,
        task.samples,
        settings=settings,
        signs=signs,
        n_splits=config.n_splits,
        n_repeats=config.n_repeats,
        seed=seed,
    )
    noise = {"n_resamples": n_resamples, "seed": seed}
    by_class = held.predictions.assign(predicted=held.predictions["score"])
    estimates = {CLASSIFIER: _auroc_alone(by_class, **noise)}
    if task.continuous:
        estimates[MODEL] = mean_estimates(held.predictions, **noise)
        naive = task.samples.assign(predicted=tissue_mean_of_others(task.samples))
        found = evaluate_responses(naive, **noise)
        estimates[TISSUE_MEAN] = {k: v for k, v in found.items() if k != "within_tissue_spearman"}
        apart = predict_by_tissue(
            X, task.samples, settings=settings, signs=signs, least=config.least_tissue
        )
        if len(apart):
            estimates[TISSUE_OUT] = evaluate_responses(apart, **noise)
            tissues = _by_tissue(apart)
    return Analysis(task, X, estimates, held.predictions, tissues, held.attributions)


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
