"""Patients with a score and a survival time, and the pairs of them that can be compared."""

from typing import Literal

import numpy as np
import pandas as pd

from features.errors import ConfigError
from models.metrics import Array, check_predictions
from models.splits import patient_keys

__all__ = [
    "LEAST_EVENTS",
    "Endpoint",
    "comparable_pairs_won",
    "patients_at_risk",
    "reason_to_leave_out",
]

Endpoint = Literal["pfs", "os"]
LEAST_EVENTS = 5
"""A cohort with fewer events is left out."""
_LEAST_RANGE = 1e-12
"""Scores that lie closer are one score."""


def patients_at_risk(predictions: pd.DataFrame, *, endpoint: Endpoint) -> pd.DataFrame:
    """Return one row a patient with score and survival, and the patient's place in the cohort.

    Parameters
    ----------
    predictions
        One row a sample: ``cohort``, ``patient_id``, ``score``, and ``pfs_time, pfs_event`` or
        ``os_time, os_event`` (months; NaN where unknown; event 1, censored 0).
    endpoint
        ``pfs`` or ``os``.

    Returns
    -------
    patients
        Index ``cohort/patient``; ``cohort, patient_id, time, event``, ``score`` (mean over the
        patient's samples), ``scaled`` (in standard deviations within the cohort) and ``high`` (1
        above the cohort's median, else 0). Without patients that lack score, time or event, or
        whose time is below zero.

    Raises
    ------
    ConfigError
        The endpoint is neither ``pfs`` nor ``os``.
    ModelError
        A column is missing, or a sample has several rows.
    """
    if endpoint not in ("pfs", "os"):
        raise ConfigError(f"the endpoint is {endpoint!r}; give pfs or os")
    time, event = f"{endpoint}_time", f"{endpoint}_event"
    needed = ("cohort", "patient_id", "score", time, event)
    check_predictions(predictions, needed, where="the predictions")
    known = predictions.dropna(subset=["score", time, event])
    known = known[known[time] >= 0]
    grouped = known.groupby(patient_keys(known), sort=False)
    patients = grouped[["cohort", "patient_id", time, event]].first()
    patients = patients.set_axis(["cohort", "patient_id", "time", "event"], axis=1)
    patients = patients.astype({"cohort": str, "time": float, "event": float})
    patients["score"] = grouped["score"].mean().astype(float)
    of_cohort = patients.groupby("cohort")["score"]
    centred = patients["score"] - of_cohort.transform("mean")
    patients["scaled"] = centred / of_cohort.transform("std")
    median = of_cohort.transform("median")
    # Where more than half share the highest score, nobody lies above the median.
    at_top = median >= of_cohort.transform("max")
    above = (patients["score"] > median) | (at_top & (patients["score"] >= median))
    patients["high"] = above.astype(float)
    return patients


def reason_to_leave_out(patients: pd.DataFrame) -> str:
    """Return why a cohort's patients cannot be analysed; empty where they can."""
    events = int(patients["event"].sum())
    if patients.empty:
        return "left out: no patient with score, time and event"
    if events < LEAST_EVENTS:
        return f"left out: {events} events, fewer than {LEAST_EVENTS}"
    if np.ptp(patients["score"]) < _LEAST_RANGE:
        return "left out: every patient has the same score"
    return ""


def comparable_pairs_won(patients: pd.DataFrame, weights: Array) -> tuple[Array, Array]:
    """Return the weight of pairs whose score agrees with survival, and of all comparable pairs.

    A pair is comparable when one has the event while the other is still at risk; it agrees when
    the one with the event has the higher score, half so when the scores tie. Their ratio is
    Harrell's concordance; sums over cohorts give that of the pairs within cohorts.

    Parameters
    ----------
    patients
        ``time``, ``event`` (1, 0) and ``score`` of each patient (n_patients,).
    weights
        (n_resamples, n_patients).
    """
    time, event, score = (patients[name].to_numpy(float) for name in ("time", "event", "score"))
    later = time[:, None] < time[None, :]
    censored_then = (time[:, None] == time[None, :]) & (event[None, :] == 0)
    comparable = ((event[:, None] == 1) & (later | censored_then)).astype(float)
    agrees = comparable * (0.5 * np.sign(score[:, None] - score[None, :]) + 0.5)
    won = ((weights @ agrees) * weights).sum(axis=1)
    return won, ((weights @ comparable) * weights).sum(axis=1)
