"""How well the response to each group of drugs is predicted, beside the tissue's mean."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
import pandas as pd

from models.explanation import Attributions
from models.metrics import Estimate
from models.regression_metrics import (
    correlation_with_interval,
    evaluate_responses,
    tissue_mean_of_others,
)
from pipelines.screens.options import ScreenOptions
from pipelines.screens.predict import COLUMNS, Held, predict_by_folds, predict_by_tissue
from pipelines.screens.task import Task

__all__ = ["TISSUE_MEAN", "Analysis", "analyse", "hold_out_lines", "mean_estimates"]

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


def analyse(task: Task, options: ScreenOptions) -> Analysis:
    """Return how well a task is predicted by models that had not seen the line or its tissue.

    One configuration of the trees, nothing chosen: the figures need no inner folds. Signs of the
    catalogue's setting are held, and left free beside it. Cell lines take no features of T cells,
    myeloid cells or stroma, which they do not hold. Where the task's genes give no feature there
    are no estimates.
    """
    X = task.features(options.catalogue, **options.features)
    X = X[task.testable(options.catalogue, list(map(str, X)))]
    tissues = pd.DataFrame(columns=["tissue", "n", "rho", "low", "high"])
    if X.empty:
        nothing = pd.DataFrame(columns=[*COLUMNS, "predicted", "score", "repeat"])
        return Analysis(task, X, {}, nothing, tissues, None)
    held = hold_out_lines(X, task.samples, options, signs=options.signs)
    by_class = held.predictions.assign(predicted=held.predictions["score"])
    estimates = {CLASSIFIER: _auroc_alone(by_class, **options.noise)}
    if task.continuous:
        estimates[MODEL] = mean_estimates(held.predictions, **options.noise)
        free = hold_out_lines(X, task.samples, options, signs={}, classify=False)
        estimates[UNSIGNED] = mean_estimates(free.predictions, **options.noise)
        if options.folds.permutations:
            estimates[NULL] = _null(X, task.samples, options)
        estimates[TISSUE_MEAN] = _of_tissue_mean(task.samples, options)
        apart = predict_by_tissue(
            X,
            task.samples,
            settings=options.trees,
            signs=options.signs,
            least=options.folds.least_tissue,
        )
        if len(apart):
            estimates[TISSUE_OUT] = evaluate_responses(apart, **options.noise)
            tissues = _by_tissue(apart)
    return Analysis(task, X, estimates, held.predictions, tissues, held.attributions)


def hold_out_lines(
    X: pd.DataFrame,
    samples: pd.DataFrame,
    options: ScreenOptions,
    *,
    signs: Mapping[str, int],
    classify: bool = True,
) -> Held:
    """Return the predictions of models that had not seen the line, in the options' folds."""
    return predict_by_folds(
        X,
        samples,
        settings=options.trees,
        signs=signs,
        n_splits=options.folds.n_splits,
        n_repeats=options.folds.n_repeats,
        seed=options.seed,
        classify=classify,
    )


def _of_tissue_mean(samples: pd.DataFrame, options: ScreenOptions) -> dict[str, Estimate]:
    """Return the figures of the tissue's mean that mean something.

    Within a tissue it falls as a line's own response rises: of a single tissue it ranks nobody.
    """
    naive = samples.assign(predicted=tissue_mean_of_others(samples))
    found = evaluate_responses(naive, **options.noise)
    several = samples["tissue"].nunique() > 1
    return {name: found[name] for name in ("rmse", *(("spearman", "auroc") if several else ()))}


def _null(X: pd.DataFrame, samples: pd.DataFrame, options: ScreenOptions) -> dict[str, Estimate]:
    """Return what the regression shows on responses shuffled over the samples.

    A model of folds learns the tissues' means without the line it is asked about: within tissues,
    no signal lies a little below 0. One repeat and one seed of the trees a shuffle.
    """
    rng = np.random.default_rng([options.seed, 1])
    quick = replace(
        options,
        trees={**options.trees, "n_seeds": 1},
        folds=options.folds.model_copy(update={"n_repeats": 1}),
    )
    found: dict[str, list[float]] = {"spearman": [], "within_tissue_spearman": []}
    for _ in range(options.folds.permutations):
        order = rng.permutation(len(samples))
        shuffled = samples.assign(resistance=samples["resistance"].to_numpy()[order])
        held = hold_out_lines(X, shuffled, quick, signs=options.signs, classify=False)
        one = evaluate_responses(held.predictions, n_resamples=0, seed=options.seed)
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
