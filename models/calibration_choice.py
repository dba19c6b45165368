"""Which calibrator to take: the simplest that calibrates groups it was not fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import ConfigError, ModelError, examples
from models.calibration import (
    BetaCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    checked_scores,
)

__all__ = ["CALIBRATORS", "CalibrationChoice", "choose_calibrator"]

Array = NDArray[np.float64]
_TIE = 1e-6
"""Difference of Brier scores below which two fits are one: the optimiser's rounding."""

CALIBRATORS: Mapping[str, type[PlattCalibrator | BetaCalibrator | IsotonicCalibrator]] = {
    kind.method: kind for kind in (PlattCalibrator, BetaCalibrator, IsotonicCalibrator)
}
"""Method → unfitted calibrator, the simplest first."""


@dataclass(frozen=True)
class CalibrationChoice:
    """The calibrator chosen, fitted on all samples, and what its rivals reached.

    Attributes
    ----------
    calibrator
        Fitted on all samples.
    method
        ``platt``, ``beta`` or ``isotonic``.
    losses
        Method → Brier score pooled over the groups left out; empty where nothing was compared.
    """

    calibrator: PlattCalibrator | BetaCalibrator | IsotonicCalibrator
    method: str
    losses: Mapping[str, float]


def choose_calibrator(
    log_odds: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike,
    methods: Sequence[str] = tuple(CALIBRATORS),
) -> CalibrationChoice:
    """Return the calibrator that calibrates groups it was not fitted on, the simplest that does.

    Each method is fitted on all groups but one and gives the Brier score of that one; the scores
    are pooled over samples. Taken is the first of ``methods`` whose loss exceeds the smallest by
    at most one standard error of the paired differences, the groups being the units of noise (the
    samples of a cohort share what sets it apart): a later method has to win by more than that
    (and by more than 1e-6, below which two fits are one). A group whose absence
    leaves a single class takes no part; with fewer than two groups that do, the first method
    (Platt) is taken unseen.

    Parameters
    ----------
    log_odds, y
        Out-of-cohort log-odds (n_samples,) and labels 1 or 0 (n_samples,).
    groups
        Group of each sample: its cohort.
    methods
        From ``CALIBRATORS``, the preferred first.

    Raises
    ------
    ConfigError
        No method, or an unknown one.
    ModelError
        A log-odds or a label is missing, or the groups are not one a sample.
    """
    _check_methods(methods)
    scores, labels, _ = checked_scores(log_odds, y, None)
    members = np.asarray(groups)
    if members.shape != scores.shape:
        raise ModelError(f"{members.size} groups for {scores.size} log-odds; give one a sample")
    found = {name: _held_out_losses(name, scores, labels, members) for name in methods}
    sizes = next(iter(found.values()))[1]
    method = _simplest_of_the_best({name: loss for name, (loss, _) in found.items()}, sizes)
    losses = {
        name: float(np.average(loss, weights=sizes))
        for name, (loss, _) in found.items()
        if sizes.size
    }
    return CalibrationChoice(CALIBRATORS[method]().fit(scores, labels), method, losses)


def _held_out_losses(
    method: str, scores: Array, labels: Array, groups: NDArray[np.generic]
) -> tuple[Array, Array]:
    """Return Brier score and size of each usable group; none with fewer than two groups."""
    losses, sizes = [], []
    for group in np.unique(groups):
        held = groups == group
        if np.unique(labels[~held]).size == 2:
            calibrator = CALIBRATORS[method]().fit(scores[~held], labels[~held])
            losses.append(float(np.mean((calibrator.predict(scores[held]) - labels[held]) ** 2)))
            sizes.append(float(held.sum()))
    if len(losses) < 2:
        return np.empty(0), np.empty(0)
    return np.array(losses), np.array(sizes)


def _simplest_of_the_best(losses: Mapping[str, Array], sizes: Array) -> str:
    """Return the first method that is as good as the best within the noise between groups."""
    simplest = next(iter(losses))
    if not sizes.size:
        return simplest
    best = min(losses, key=lambda name: float(np.average(losses[name], weights=sizes)))
    shares = sizes / sizes.sum()
    for name, loss in losses.items():
        difference = loss - losses[best]
        mean = float(shares @ difference)
        inflation = sizes.size / (sizes.size - 1)
        standard_error = float(np.sqrt(inflation * np.sum((shares * (difference - mean)) ** 2)))
        if mean <= standard_error + _TIE:
            return name
    return best


def _check_methods(methods: Sequence[str]) -> None:
    unknown = [name for name in methods if name not in CALIBRATORS]
    if unknown or not methods:
        raise ConfigError(
            f"calibration methods {list(methods)}: {examples(unknown) or 'none'} cannot be taken; "
            f"allowed: {', '.join(CALIBRATORS)}"
        )
