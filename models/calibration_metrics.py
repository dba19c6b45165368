"""Do probabilities mean what they say: Brier skill, calibration slope, calibration error."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from models.metrics import (
    N_BINS,
    Array,
    Estimate,
    brier_score,
    check_predictions,
    expected_calibration_error,
    ratio,
    read_estimate,
    stratified_resamples,
)

__all__ = ["calibration_estimates", "calibration_line", "ece_floor", "reliability_table"]

_LEAST_PROBABILITY = 1e-6
_MOST_ITERATIONS = 50
_MOST_STEP = 2.0
_TOLERANCE = 1e-8
_LEAST_CURVATURE = 1e-9
"""Of the log-likelihood a sample: below it a slope is not determined (all log-odds alike)."""
_MOST_COEFFICIENT = 50.0
_COLUMNS = ("cohort", "patient_id", "resistant", "probability")


def calibration_estimates(
    predictions: pd.DataFrame, *, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return figures of calibration with intervals, pooled over samples and per cohort.

    Parameters
    ----------
    predictions
        One row a sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN), ``probability``
        and, for the skill, ``prior``: the share of resistant samples among those the sample's
        model was trained on. Rows without label or probability are left out.
    n_resamples
        Bootstrap resamples of the patients within each cohort; as many simulations of the floor.
    seed
        Of both.

    Returns
    -------
    estimates
        ``brier``; ``brier_skill`` (1 - Brier / Brier of the prior; above 0 the model beats it);
        ``calibration_slope`` and ``calibration_intercept`` (logistic regression of the label on
        the calibrated log-odds: 1 and 0 when calibrated); ``calibration_in_the_large`` (intercept
        with the slope fixed at 1: above 0 resistance is more frequent than predicted); ``ece``
        and ``ece_floor`` (see :func:`ece_floor`). Then ``<cohort>.brier``,
        ``<cohort>.brier_skill`` and ``<cohort>.calibration_in_the_large``. What cannot be
        determined is NaN, and counts in no interval: a slope where all probabilities are alike or
        separate the classes, an intercept where there is one class.

    Raises
    ------
    ModelError
        A column is missing, or a sample has several rows.

    References
    ----------
    Van Calster et al., BMC Med 2019, doi:10.1186/s12916-019-1466-7; Steyerberg et al., Epidemiology
    2010, doi:10.1097/EDE.0b013e3181c30fb2.
    """
    check_predictions(predictions, _COLUMNS, where="the predictions")
    usable = predictions[predictions["probability"].notna() & predictions["resistant"].notna()]
    if usable.empty:
        return {}
    weights = stratified_resamples(usable, count=n_resamples, seed=seed)
    y, probability = usable["resistant"].to_numpy(float), usable["probability"].to_numpy(float)
    intercept, slope = calibration_line(y, probability, weights)
    ece = expected_calibration_error(y, probability, weights)
    replicates = dict(_figures(usable, weights))
    replicates |= {"calibration_slope": slope, "calibration_intercept": intercept, "ece": ece}
    estimates = {name: read_estimate(values) for name, values in replicates.items()}
    estimates["ece_floor"] = ece_floor(probability, n_simulations=n_resamples, seed=seed)
    for cohort in sorted(usable["cohort"].unique()):
        rows = (usable["cohort"] == cohort).to_numpy()
        own = dict(_figures(usable[rows], weights[:, rows]))
        own["ece"] = expected_calibration_error(y[rows], probability[rows], weights[:, rows])
        estimates |= {f"{cohort}.{name}": read_estimate(values) for name, values in own.items()}
        floor = ece_floor(probability[rows], n_simulations=n_resamples, seed=seed)
        estimates[f"{cohort}.ece_floor"] = floor
    return estimates


def _figures(part: pd.DataFrame, weights: Array) -> Mapping[str, Array]:
    """Return what is told both pooled and per cohort."""
    y, probability = part["resistant"].to_numpy(float), part["probability"].to_numpy(float)
    figures = {"brier": brier_score(y, probability, weights)}
    if "prior" in part:
        of_prior = brier_score(y, part["prior"].to_numpy(float), weights)
        figures["brier_skill"] = 1.0 - ratio(figures["brier"], of_prior)
    large, _ = calibration_line(y, probability, weights, slope=1.0)
    return figures | {"calibration_in_the_large": large}


def calibration_line(
    y: Array, probability: Array, weights: Array, *, slope: float | None = None
) -> tuple[Array, Array]:
    """Return intercept and slope of the label on the log-odds, for each row of ``weights``.

    Weighted maximum likelihood by Newton's method, all resamples at once.

    Parameters
    ----------
    y
        Labels 1 or 0 (n_samples,).
    probability
        (n_samples,); its log-odds are held within those of 0.000001 and 0.999999.
    weights
        (n_resamples, n_samples).
    slope
        Hold the slope at this value; None fits it.

    Returns
    -------
    intercept, slope
        (n_resamples,) each; NaN where the likelihood has no maximum.
    """
    log_odds = logit(np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
    count = np.maximum(weights.sum(axis=1), 1.0)
    beta = np.zeros((2, weights.shape[0]))
    beta[1] = 0.0 if slope is None else slope
    step = np.full_like(beta, np.inf)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(_MOST_ITERATIONS):
            fitted = expit(beta[0][:, None] + beta[1][:, None] * log_odds)
            residual, curvature = weights * (y - fitted), weights * fitted * (1 - fitted)
            gradient = np.stack([residual.sum(axis=1), residual @ log_odds]) / count
            moments = [curvature @ log_odds**power / count for power in range(3)]
            step = _newton_step(gradient, moments, fixed=slope is not None)
            beta = beta + np.clip(step, -_MOST_STEP, _MOST_STEP)
            if not (np.abs(step) > _TOLERANCE).any():
                break
    found = (np.abs(step) <= _TOLERANCE).all(axis=0) & (np.abs(beta) < _MOST_COEFFICIENT).all(
        axis=0
    )
    return np.where(found, beta[0], np.nan), np.where(found, beta[1], np.nan)


def _newton_step(gradient: Array, moments: list[Array], *, fixed: bool) -> Array:
    """Return the step of intercept and slope (2, n_resamples); NaN where it is not determined."""
    zero, one, two = moments
    if fixed:
        first = np.where(zero > _LEAST_CURVATURE, gradient[0] / zero, np.nan)
        return np.stack([first, np.zeros_like(first)])
    determinant = zero * two - one**2
    determinant = np.where(determinant > _LEAST_CURVATURE * zero, determinant, np.nan)
    first = (two * gradient[0] - one * gradient[1]) / determinant
    second = (zero * gradient[1] - one * gradient[0]) / determinant
    return np.stack([first, second])


def ece_floor(probability: Array, *, n_simulations: int, seed: int) -> Estimate:
    """Return the calibration error that a perfectly calibrated model of these probabilities has.

    Labels are drawn from the probabilities (n_samples,); an ECE inside this range is noise.

    Returns
    -------
    floor
        ``value`` the mean over simulations, ``low`` and ``high`` their 2.5% and 97.5% points,
        ``standard_error`` their standard deviation.
    """
    rng = np.random.default_rng(seed)
    simulated = rng.random((n_simulations, probability.size)) < probability
    errors = expected_calibration_error(
        simulated.astype(float), probability, np.ones(simulated.shape)
    )
    low, high = np.percentile(errors, [2.5, 97.5])
    return Estimate(float(errors.mean()), float(low), float(high), float(errors.std(ddof=1)))


def reliability_table(predictions: pd.DataFrame, *, n_bins: int = N_BINS) -> pd.DataFrame:
    """Return predicted and observed resistance in bins of as many samples each.

    The bins are those of :func:`models.metrics.expected_calibration_error`: samples with equal
    probabilities share their labels, so their order is nothing.

    Parameters
    ----------
    predictions
        ``probability`` and ``resistant`` (1, 0, NaN) of each sample.
    n_bins
        Fewer where there are fewer samples.

    Returns
    -------
    table
        One row a bin: ``n``, ``lowest`` and ``highest`` probability in it, ``predicted`` (mean),
        ``observed`` (share resistant), ``low`` and ``high`` (95% Wilson interval).
    """
    usable = predictions.dropna(subset=["probability", "resistant"])
    shared = usable.groupby("probability")["resistant"].transform("mean").to_numpy(dtype=float)
    probability = usable["probability"].to_numpy(dtype=float)
    order = np.argsort(probability, kind="stable")
    rows = []
    for chosen in np.array_split(order, max(1, min(n_bins, order.size))):
        if not chosen.size:
            continue
        observed = shared[chosen].mean()
        low, high = proportion_confint(observed * chosen.size, chosen.size, method="wilson")
        part = probability[chosen]
        ends = (part.min(), part.max(), part.mean())
        rows.append((chosen.size, *ends, observed, max(0.0, low), min(1.0, high)))
    names = ["n", "lowest", "highest", "predicted", "observed", "low", "high"]
    return pd.DataFrame(rows, columns=names)
