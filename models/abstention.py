"""What prediction sets and abstention are worth: coverage measured, risk over the share kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import norm

from features.errors import ConfigError, ModelError
from models.conformal import LABELS
from models.metrics import Estimate, brier_score, ratio, read_estimate, stratified_resamples

__all__ = [
    "POOLED",
    "RiskCoverage",
    "coverage_table",
    "expected_two_label_share",
    "risk_coverage",
]

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

POOLED = "pooled"
_EDGE = 1e-12


def coverage_table(
    predictions: pd.DataFrame, sets: ArrayLike, *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return the measured coverage and the sizes of the sets, per class, pooled and per cohort.

    Parameters
    ----------
    predictions
        One row per sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN: left out).
    sets
        The samples' sets, row by row (n_samples, 2): responsive, resistant.
    n_resamples, seed
        Bootstrap of the patients within each cohort.

    Returns
    -------
    table
        One row a cohort (``pooled`` first) and label (``responsive``, ``resistant``, ``all``)
        with samples: ``cohort, label, n_samples, coverage, low, high, standard_error`` (95%
        bootstrap interval) and the shares ``two_label, one_label, empty``.

    Raises
    ------
    ModelError
        There is not one set a prediction.
    """
    held = np.asarray(sets, dtype=bool)
    if held.shape != (len(predictions), 2):
        raise ModelError(
            f"sets of shape {held.shape} for {len(predictions)} predictions; give one row each"
        )
    labelled = predictions["resistant"].notna().to_numpy()
    rows, held = predictions[labelled], held[labelled]
    y = rows["resistant"].to_numpy(dtype=int)
    covered = held[np.arange(len(rows)), y].astype(float)
    weights = stratified_resamples(rows, count=n_resamples, seed=seed)
    cohorts = rows["cohort"].astype(str).to_numpy()
    classes = {LABELS[0]: y == 0, LABELS[1]: y == 1, "all": np.ones(len(rows), dtype=bool)}
    table = []
    for cohort in [POOLED, *sorted(set(cohorts))]:
        for label, members in classes.items():
            chosen = members & ((cohorts == cohort) | (cohort == POOLED))
            if chosen.any():
                part = weights[:, chosen]
                found = read_estimate(ratio(part @ covered[chosen], part.sum(axis=1)))
                table.append(_coverage_row(cohort, label, found, held[chosen].sum(axis=1)))
    return pd.DataFrame(table)


def _coverage_row(
    cohort: str, label: str, found: Estimate, sizes: NDArray[np.int_]
) -> dict[str, str | int | float]:
    return {
        "cohort": cohort,
        "label": label,
        "n_samples": int(sizes.size),
        "coverage": found.value,
        "low": found.low,
        "high": found.high,
        "standard_error": found.standard_error,
        "two_label": float((sizes == 2).mean()),
        "one_label": float((sizes == 1).mean()),
        "empty": float((sizes == 0).mean()),
    }


def expected_two_label_share(auroc: float, *, coverage: float = 0.9) -> float:
    """Return the share of two-label sets that scores of a given AUROC leave in the long run.

    For equal-variance binormal scores, N(0, 1) of the responsive and N(d, 1) of the resistant, the
    AUROC is Phi(d / sqrt 2). With z the coverage's normal quantile, responsive is in the set up to
    the score z, resistant from d - z upwards. Between the two lie Phi(z) - Phi(d - z) of the
    responsive and Phi(z - d) - Phi(-z) of the resistant, which is the same share,
    ``coverage - Phi(d - z)``: prevalence does not enter. None where that is negative (some sets
    are then empty); ``2 coverage - 1`` at an AUROC of 0.5.

    Parameters
    ----------
    auroc
        Of the scores as the sets see them: pooled over the cohorts, in [0, 1].

    Raises
    ------
    ConfigError
        AUROC or coverage lies outside 0 to 1.
    """
    if not (0.0 <= auroc <= 1.0 and 0.0 < coverage < 1.0):
        raise ConfigError(f"AUROC {auroc} and coverage {coverage} have to lie between 0 and 1")
    distance = np.sqrt(2.0) * norm.ppf(auroc)
    return max(0.0, float(coverage - norm.cdf(distance - norm.ppf(coverage))))


@dataclass(frozen=True)
class RiskCoverage:
    """What keeping only the most certain samples gains.

    Attributes
    ----------
    curve
        One row a share kept: ``share, n_samples, brier, brier_low, brier_high,
        balanced_accuracy, balanced_accuracy_low, balanced_accuracy_high``.
    share
        The share that the differences are taken at.
    brier_difference
        Brier score of the most certain ``share`` minus that of all; below 0: better.
    balanced_accuracy_difference
        The same of balanced accuracy; above 0: better.
    """

    curve: pd.DataFrame
    share: float
    brier_difference: Estimate
    balanced_accuracy_difference: Estimate


def risk_coverage(
    predictions: pd.DataFrame,
    *,
    base_rate: "float | pd.Series[float]",
    share: float = 0.7,
    shares: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
    n_resamples: int = 1000,
    seed: int = 0,
) -> RiskCoverage:
    """Return Brier score and balanced accuracy of the most certain samples, with intervals.

    Certainty is the distance of the calibrated log-odds from those of the base rate, which is also
    the threshold of the calls (resistant from the base rate upwards). Samples of the same
    certainty are kept in the same part. A resample of the patients chooses its own most certain
    samples; the differences are paired within resamples.

    Parameters
    ----------
    predictions
        One row per sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN: left out) and
        ``probability`` (calibrated; NaN: left out).
    base_rate
        Share of resistant samples among those the model was trained on: one figure, or one a
        prediction (n_samples,), row by row.
    share
        Kept share at which the differences to all are taken.
    shares
        Kept shares of the curve.
    n_resamples, seed
        Bootstrap of the patients within each cohort.

    Raises
    ------
    ModelError
        A base rate does not lie between 0 and 1, or there is not one a prediction; or no
        prediction has a label and a probability.
    """
    rates = np.asarray(base_rate, dtype=float)
    if rates.shape not in [(), (len(predictions),)] or not ((rates > 0) & (rates < 1)).all():
        raise ModelError(
            f"base rates of shape {rates.shape} for {len(predictions)} predictions; give one, or "
            "one a prediction, between 0 and 1"
        )
    usable = (predictions["resistant"].notna() & predictions["probability"].notna()).to_numpy()
    if not usable.any():
        raise ModelError(
            f"no labelled prediction among {len(predictions)}; give some with 'resistant' and "
            "'probability'"
        )
    rows = predictions[usable]
    rates = np.broadcast_to(rates, len(predictions))[usable]
    y, probability = rows["resistant"].to_numpy(float), rows["probability"].to_numpy(float)
    certainty = np.abs(logit(np.clip(probability, _EDGE, 1.0 - _EDGE)) - logit(rates))
    weights = stratified_resamples(rows, count=n_resamples, seed=seed)

    def figures(part: float) -> tuple[Array, Array]:
        kept = _most_certain(certainty, weights, share=part)
        return brier_score(y, probability, kept), _balanced_accuracy(y, probability >= rates, kept)

    whole, certain = figures(1.0), figures(share)
    curve = [_curve_row(part, round(part * len(rows)), figures(part)) for part in shares]
    return RiskCoverage(
        curve=pd.DataFrame(curve),
        share=share,
        brier_difference=read_estimate(certain[0] - whole[0]),
        balanced_accuracy_difference=read_estimate(certain[1] - whole[1]),
    )


def _curve_row(share: float, n_samples: int, figures: tuple[Array, Array]) -> dict[str, float]:
    row: dict[str, float] = {"share": share, "n_samples": n_samples}
    for name, values in zip(("brier", "balanced_accuracy"), figures, strict=True):
        found = read_estimate(values)
        row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def _most_certain(certainty: Array, weights: Array, *, share: float) -> Array:
    """Return the weights of the most certain ``share`` of each row; ties are kept in part."""
    order = np.argsort(-certainty, kind="stable")
    ordered = weights[:, order]
    starts = np.flatnonzero(np.diff(certainty[order], prepend=np.inf) != 0)
    level = np.cumsum(np.diff(certainty[order], prepend=np.inf) != 0) - 1
    mass = np.add.reduceat(ordered, starts, axis=1)
    before = np.cumsum(mass, axis=1) - mass
    room = share * weights.sum(axis=1, keepdims=True) - before
    part = np.divide(room, mass, out=np.zeros_like(mass), where=mass > 0).clip(0.0, 1.0)
    kept = np.empty_like(weights)
    kept[:, order] = ordered * part[:, level]
    return kept


def _balanced_accuracy(y: Array, called: BoolArray, weights: Array) -> Array:
    """Return the mean of sensitivity and specificity of each row of ``weights``."""
    sensitivity = ratio(weights @ ((y == 1) & called), weights @ (y == 1))
    specificity = ratio(weights @ ((y == 0) & ~called), weights @ (y == 0))
    return (sensitivity + specificity) / 2.0
