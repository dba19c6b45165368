"""What calling patients resistant is worth: decision curves and figures at thresholds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from features.errors import ConfigError, examples
from models.metrics import Array, check_predictions, ratio, read_estimate, stratified_resamples

__all__ = ["decision_curve", "threshold_figures"]

_COLUMNS = ("cohort", "patient_id", "resistant", "probability")


def decision_curve(
    predictions: pd.DataFrame, *, thresholds: Sequence[float], n_resamples: int, seed: int
) -> pd.DataFrame:
    """Return the net benefit of calling samples resistant, over threshold probabilities.

    ``net benefit = TP / n - FP / n * t / (1 - t)``, where a sample is called resistant when its
    probability is at least ``t``: the probability of resistance from which on one would treat as
    if it were certain.

    Parameters
    ----------
    predictions
        One row a sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN) and
        ``probability``. Rows without label or probability are left out.
    thresholds
        Above 0 and below 1.
    n_resamples, seed
        Of the bootstrap over patients within each cohort.

    Returns
    -------
    table
        ``threshold, net_benefit, low, high, all_resistant, none_resistant, n``: the benefit of the
        model with its interval, of calling every sample resistant, and of calling none (zero).

    Raises
    ------
    ConfigError
        A threshold is not between 0 and 1.
    ModelError
        A column is missing, or a sample has several rows.

    References
    ----------
    Vickers and Elkin, Med Decis Making 2006, doi:10.1177/0272989X06295361.
    """
    y, probability, weights = _resampled(predictions, thresholds, n_resamples, seed)
    rows = []
    for threshold in thresholds:
        odds = threshold / (1 - threshold)
        worth = np.where(y == 1, 1.0, -odds)
        total = weights.sum(axis=1)
        model = read_estimate(ratio(weights @ (worth * (probability >= threshold)), total))
        every = float(worth.mean()) if y.size else np.nan
        rows.append((threshold, model.value, model.low, model.high, every, 0.0, y.size))
    names = ["threshold", "net_benefit", "low", "high", "all_resistant", "none_resistant", "n"]
    return pd.DataFrame(rows, columns=names)


def threshold_figures(
    predictions: pd.DataFrame, *, thresholds: Sequence[float], n_resamples: int, seed: int
) -> pd.DataFrame:
    """Return sensitivity, specificity and predictive values at thresholds, with intervals.

    Parameters
    ----------
    predictions, thresholds, n_resamples, seed
        As in :func:`decision_curve`; resistant is positive.

    Returns
    -------
    table
        ``threshold, figure, value, low, high, n``: ``figure`` is ``sensitivity``, ``specificity``,
        ``ppv``, ``npv`` or ``share_called`` (resistant); ``n`` the samples it is a share of. A
        share of no samples is NaN, as is its interval.

    Raises
    ------
    ConfigError
        A threshold is not between 0 and 1.
    ModelError
        A column is missing, or a sample has several rows.
    """
    y, probability, weights = _resampled(predictions, thresholds, n_resamples, seed)
    rows = []
    for threshold in thresholds:
        for figure, (hit, among) in _shares(y, probability >= threshold).items():
            shares = ratio(weights @ (hit & among).astype(float), weights @ among.astype(float))
            found = read_estimate(shares)
            rows.append((threshold, figure, found.value, found.low, found.high, int(among.sum())))
    return pd.DataFrame(rows, columns=["threshold", "figure", "value", "low", "high", "n"])


def _shares(y: Array, called: np.ndarray) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each figure which samples count for it, and among which."""
    resistant = y == 1
    return {
        "sensitivity": (called, resistant),
        "specificity": (~called, ~resistant),
        "ppv": (resistant, called),
        "npv": (~resistant, ~called),
        "share_called": (called, np.ones(y.size, dtype=bool)),
    }


def _resampled(
    predictions: pd.DataFrame, thresholds: Sequence[float], n_resamples: int, seed: int
) -> tuple[Array, Array, Array]:
    """Return labels and probabilities of the usable samples, and the resamples' weights."""
    outside = [value for value in thresholds if not 0 < value < 1]
    if outside:
        raise ConfigError(
            f"thresholds hold {examples(outside)}; a threshold is a probability of resistance "
            "above 0 and below 1"
        )
    check_predictions(predictions, _COLUMNS, where="the predictions")
    usable = predictions[predictions["probability"].notna() & predictions["resistant"].notna()]
    weights = stratified_resamples(usable, count=n_resamples, seed=seed)
    y, probability = usable["resistant"].to_numpy(float), usable["probability"].to_numpy(float)
    return y, probability, weights
