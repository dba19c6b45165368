"""Recalibrate a frozen model to a cohort's response rate, and say honestly what that gained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from features.errors import ModelError
from features.reference import Standardisation
from models.calibration import Calibrator, ShiftedCalibrator, fit_intercept
from models.resistance_model import ResistanceModel
from models.splits import grouped_splits, patient_keys

__all__ = ["LEAST_SAMPLES", "Recalibration", "base_rate_of", "recalibrate", "recalibration_of"]

LEAST_SAMPLES = 20
"""Fewest labelled samples that a response rate is learned from."""
_LEAST_PATIENTS = 2
_MOST_FOLDS = 10


@dataclass(frozen=True)
class Recalibration:
    """A model with intercept and base rate of a cohort, and what the cohort's patients say of it.

    Attributes
    ----------
    model
        The model with the shifted calibrator and the cohort's base rate as threshold; nothing
        else in it changed, its facts say so.
    standardisation
        The arm that was recalibrated.
    delta
        What was added to the arm's calibrated log-odds.
    n_samples, n_resistant
        Labelled samples it was fitted on.
    n_folds
        Of the cross-fitting.
    cross_fitted
        Index as the samples': ``probability`` by a shift, and ``prior``, the base rate, both
        fitted without the sample's patient.
    """

    model: ResistanceModel
    standardisation: Standardisation
    delta: float
    n_samples: int
    n_resistant: int
    n_folds: int
    cross_fitted: pd.DataFrame

    @property
    def base_rate(self) -> float:
        """The cohort's share of resistant samples, smoothed: the arm's threshold from now on."""
        return self.model.arm(self.standardisation).threshold


def recalibrate(
    model: ResistanceModel,
    samples: pd.DataFrame,
    *,
    standardisation: Standardisation,
    source: Mapping[str, str],
    seed: int = 0,
) -> Recalibration:
    """Return the model with one arm's intercept and base rate those of a cohort's labelled samples.

    Probabilities move; their order, and the prediction sets, which depend on the uncalibrated
    log-odds alone, stay. What the shift is worth is told by folds grouped by patient and
    stratified by label (ten, or as many as the smaller class has patients): each sample's
    probability comes from a shift fitted on the other folds. Leaving out one sample at a time
    would not do: without a resistant sample the rate is lower, so that label and shift would run
    against each other.

    The base rate is the mean of the targets that the shift was fitted to (Platt's), and so the mean
    probability of the recalibrated samples.

    Parameters
    ----------
    model
        Stays as it is.
    samples
        One row a sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0; NaN takes no part) and
        ``log_odds`` (uncalibrated).
    standardisation
        The arm the log-odds are of.
    source
        ``cohort``, ``expression`` (hash of its file) and ``model`` (URI): kept in the facts.
    seed
        Of the folds.

    Raises
    ------
    ModelError
        There are too few labelled samples, or too few patients of a class.
    """
    labelled = samples.dropna(subset=["resistant", "log_odds"])
    n_folds = _folds(labelled, name=source["cohort"])
    arm = model.arm(standardisation)
    fitted = _fit(arm.calibrator, labelled)
    delta = fitted.delta - _shift_of(arm.calibrator)
    cross_fitted = pd.DataFrame(index=labelled.index, columns=["probability", "prior"], dtype=float)
    for split in grouped_splits(labelled, n_splits=n_folds, n_repeats=1, seed=seed):
        known, held = labelled.iloc[split.train], labelled.iloc[split.test]
        shifted = _fit(arm.calibrator, known)
        cross_fitted.iloc[split.test, 0] = shifted.predict(held["log_odds"].to_numpy(float))
        cross_fitted.iloc[split.test, 1] = _base_rate(shifted, known)
    resistant = int(labelled["resistant"].sum())
    base_rate = _base_rate(fitted, labelled)
    done = {
        **source,
        "standardisation": standardisation,
        "delta": delta,
        "n": len(labelled),
        "n_resistant": resistant,
        "base_rate": base_rate,
    }
    moved = replace(arm, calibrator=fitted, threshold=base_rate)
    arms = {**model.arms, standardisation: moved}
    changed = replace(model, arms=arms, facts=_facts(model, done))
    return Recalibration(
        changed, standardisation, delta, len(labelled), resistant, n_folds, cross_fitted
    )


def recalibration_of(
    model: ResistanceModel, *, cohort: str, expression: str, standardisation: Standardisation
) -> bool:
    """Return whether an arm was recalibrated on a cohort of this name or expression file."""
    return any(
        done["standardisation"] == standardisation
        and (done["cohort"] == cohort or done["expression"] == expression)
        for done in model.facts.get("recalibrations", ())
    )


def base_rate_of(model: ResistanceModel, *, standardisation: Standardisation) -> str:
    """Return whose share of resistant samples an arm's threshold is: ``training``, or a cohort."""
    for done in reversed(model.facts.get("recalibrations", ())):
        if done["standardisation"] == standardisation and "base_rate" in done:
            return f"cohort '{done['cohort']}'"
    return "training"


def _fit(calibrator: Calibrator, samples: pd.DataFrame) -> ShiftedCalibrator:
    log_odds, y = samples["log_odds"].to_numpy(float), samples["resistant"].to_numpy(float)
    return fit_intercept(calibrator, log_odds, y)


def _base_rate(fitted: ShiftedCalibrator, samples: pd.DataFrame) -> float:
    """Return the mean probability, by the shift, of the samples that the shift was fitted on."""
    return float(fitted.predict(samples["log_odds"].to_numpy(float)).mean())


def _shift_of(calibrator: Calibrator) -> float:
    return calibrator.delta if isinstance(calibrator, ShiftedCalibrator) else 0.0


def _folds(labelled: pd.DataFrame, *, name: str) -> int:
    """Return the folds that a cohort's labelled samples allow; refuse those that allow none."""
    if len(labelled) < LEAST_SAMPLES:
        raise ModelError(
            f"cohort '{name}' has {len(labelled)} labelled samples to recalibrate on; at least "
            f"{LEAST_SAMPLES} are needed: leave out --recalibrate, or add labelled samples"
        )
    patients = patient_keys(labelled).groupby(labelled["resistant"]).nunique()
    counts = {
        text: int(patients.get(y, 0)) for y, text in ((1.0, "resistant"), (0.0, "responsive"))
    }
    if min(counts.values()) < _LEAST_PATIENTS:
        raise ModelError(
            f"cohort '{name}' has {counts['resistant']} resistant and {counts['responsive']} "
            f"responsive patients to recalibrate on; at least {_LEAST_PATIENTS} of each are "
            "needed: leave out --recalibrate, or add labelled patients of the rarer class"
        )
    return min(_MOST_FOLDS, *counts.values())


def _facts(model: ResistanceModel, done: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's facts with a recalibration added, as a sentence and as values."""
    sentence = (
        f"{done['standardisation']}-relative, to the response rate of cohort '{done['cohort']}' "
        f"({done['n_resistant']} of {done['n']} resistant): {done['delta']:+.3f} in log-odds on "
        f"{done['model']}; figures of held-out cohorts are those before it"
    )
    earlier = list(model.facts.get("recalibrations", ()))
    return {**model.facts, "recalibrated": sentence, "recalibrations": [*earlier, dict(done)]}
