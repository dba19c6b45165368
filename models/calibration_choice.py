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
    at most one standard error of the paired differences per sample: a later method has to win by
    more than that (and by more than 1e-6, below which two fits are one). A group whose absence
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
    errors = {name: _held_out_errors(name, scores, labels, members) for name in methods}
    method = _simplest_of_the_best(errors)
    losses = {name: float(error.mean()) for name, error in errors.items() if error.size}
    return CalibrationChoice(CALIBRATORS[method]().fit(scores, labels), method, losses)


def _held_out_errors(
    method: str, scores: Array, labels: Array, groups: NDArray[np.generic]
) -> Array:
    """Return squared errors of the samples of usable groups; none with fewer than two groups."""
    errors = []
    for group in np.unique(groups):
        held = groups == group
        if np.unique(labels[~held]).size == 2:
            calibrator = CALIBRATORS[method]().fit(scores[~held], labels[~held])
            errors.append((calibrator.predict(scores[held]) - labels[held]) ** 2)
    return np.concatenate(errors) if len(errors) > 1 else np.empty(0)


def _simplest_of_the_best(errors: Mapping[str, Array]) -> str:
    simplest = next(iter(errors))
    if not errors[simplest].size:
        return simplest
    best = min(errors, key=lambda name: float(errors[name].mean()))
    for name, error in errors.items():
        difference = error - errors[best]
        standard_error = float(difference.std(ddof=1)) / np.sqrt(difference.size)
        if difference.mean() <= standard_error + _TIE:
            return name
    return best


def _check_methods(methods: Sequence[str]) -> None:
    unknown = [name for name in methods if name not in CALIBRATORS]
    if unknown or not methods:
        raise ConfigError(
            f"calibration methods {list(methods)}: {examples(unknown) or 'none'} cannot be taken; "
            f"allowed: {', '.join(CALIBRATORS)}"
        )
