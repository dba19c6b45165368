"""Does predicted resistance go with shorter survival: hazard ratios, log-rank, concordance."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import logrank_test
from scipy.stats import norm
from statsmodels.duration.survfunc import survdiff

from models.meta_analysis import Pooled, meta_analysis
from models.metrics import Estimate, ratio, read_estimate, stratified_resamples
from models.survival_patients import (
    Endpoint,
    comparable_pairs_won,
    patients_at_risk,
    reason_to_leave_out,
)

__all__ = [
    "POOLED_ROWS",
    "kaplan_meier_curves",
    "survival_table",
]

POOLED_ROWS = ("stratified", "random_effects")
"""What ``cohort`` says in the rows over all cohorts."""

_MOST_LOG_HAZARD_RATIO_ERROR = 10.0
_NAN = float("nan")


@dataclass(frozen=True)
class _HazardRatio:
    """Logarithm of a hazard ratio with its standard error and p-value; NaN with a note."""

    log: float = _NAN
    standard_error: float = _NAN
    p_value: float = _NAN
    note: str = ""

    def columns(self, prefix: str) -> dict[str, float]:
        reach = float(norm.ppf(0.975)) * self.standard_error
        return {
            prefix: float(np.exp(self.log)),
            f"{prefix}_low": float(np.exp(self.log - reach)),
            f"{prefix}_high": float(np.exp(self.log + reach)),
            f"{prefix}_p": self.p_value,
        }


def survival_table(
    predictions: pd.DataFrame, *, endpoint: Endpoint, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Return how the score goes with survival, per cohort and pooled.

    A patient counts once, with the mean score of the patient's samples. Patients without score,
    time (months, not below zero) or event do not enter.

    Parameters
    ----------
    predictions
        One row a sample: ``cohort``, ``patient_id``, ``score``, and ``pfs_time, pfs_event`` or
        ``os_time, os_event`` (NaN where unknown; event 1, censored 0).
    endpoint
        ``pfs`` or ``os``.
    n_resamples, seed
        Of the bootstrap of the concordance, over patients within each cohort.

    Returns
    -------
    table
        ``cohort, n, events``; ``hazard_ratio`` (Cox) per standard deviation of the score within
        the cohort, with ``_low, _high, _p``; ``log_rank_p`` and ``high_low_hazard_ratio`` (with
        ``_low, _high, _p``) of patients above against patients at or below their cohort's median
        score; Harrell's ``concordance`` of the score as risk with ``_low, _high``; ``i2, tau2``;
        ``note``. One row a cohort; those with fewer than five events or one score alone hold a
        note and no figures. Then ``stratified`` (Cox and log-rank stratified by cohort, standard
        errors robust and clustered by patient; concordance over the comparable pairs within
        cohorts) and ``random_effects`` (meta-analysis of the log hazard ratios per standard
        deviation, whose ``i2`` and ``tau2`` these are, and of those of high against low). What
        does not converge is NaN, and the note says so.

    Raises
    ------
    ConfigError
        The endpoint is neither ``pfs`` nor ``os``.
    ModelError
        A column is missing, or a sample has several rows.

    References
    ----------
    Cox, J R Stat Soc B 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Harrell et al., Stat Med 1996,
    doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    patients = patients_at_risk(predictions, endpoint=endpoint)
    names = sorted(predictions["cohort"].astype(str).unique())
    reasons = {name: reason_to_leave_out(patients[patients["cohort"] == name]) for name in names}
    kept = patients[patients["cohort"].map(reasons).eq("")]
    weights = stratified_resamples(kept, count=n_resamples, seed=seed)
    rows: list[dict[str, object]] = []
    fits: list[tuple[_HazardRatio, _HazardRatio]] = []
    won, total = np.zeros(n_resamples + 1), np.zeros(n_resamples + 1)
    for name in names:
        part = patients[patients["cohort"] == name]
        row: dict[str, object] = {"cohort": name, **_counts(part), "note": reasons[name]}
        if not reasons[name]:
            pairs = comparable_pairs_won(part, weights[:, (kept["cohort"] == name).to_numpy()])
            won, total = won + pairs[0], total + pairs[1]
            fits.append((_cox(part, "scaled"), _cox(part, "high")))
            row |= _figures(fits[-1], read_estimate(ratio(*pairs)), _log_rank(part))
        rows.append(row)
    if fits:
        both = (_cox(kept, "scaled", pooled=True), _cox(kept, "high", pooled=True))
        concordance = read_estimate(ratio(won, total))
        log_rank = _stratified_log_rank(kept)
        counts = _counts(kept)
        rows.append({"cohort": "stratified", **counts, **_figures(both, concordance, log_rank)})
        rows.append({"cohort": "random_effects", **counts, **_random_effects(fits)})
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *("cohort", "n", "events"),
    *("hazard_ratio", "hazard_ratio_low", "hazard_ratio_high", "hazard_ratio_p", "log_rank_p"),
    *("high_low_hazard_ratio", "high_low_hazard_ratio_low", "high_low_hazard_ratio_high"),
    *("high_low_hazard_ratio_p", "concordance", "concordance_low", "concordance_high"),
    *("i2", "tau2", "note"),
]


def _counts(part: pd.DataFrame) -> dict[str, object]:
    return {"n": len(part), "events": int(part["event"].sum())}


def _figures(
    fits: tuple[_HazardRatio, _HazardRatio], concordance: Estimate, log_rank_p: float
) -> dict[str, object]:
    """Return the columns of a cohort's row, or of the stratified row."""
    scaled, high = fits
    notes = [f"{what}: {fit.note}" for what, fit in zip(_FITS, fits, strict=True) if fit.note]
    return {
        **scaled.columns("hazard_ratio"),
        "log_rank_p": log_rank_p,
        **high.columns("high_low_hazard_ratio"),
        "concordance": concordance.value,
        "concordance_low": concordance.low,
        "concordance_high": concordance.high,
        "note": "; ".join(notes),
    }


_FITS = ("score", "high against low")


def _random_effects(fits: list[tuple[_HazardRatio, _HazardRatio]]) -> dict[str, object]:
    scaled, high = (
        meta_analysis([fit.log for fit in column], [fit.standard_error for fit in column])
        for column in zip(*fits, strict=True)
    )
    dropped = len(fits) - scaled.count
    return {
        **_pooled_ratio(scaled).columns("hazard_ratio"),
        **_pooled_ratio(high).columns("high_low_hazard_ratio"),
        "i2": scaled.i2,
        "tau2": scaled.tau2,
        "note": f"{dropped} cohorts without a hazard ratio" if dropped else "",
    }


def _pooled_ratio(pooled: Pooled) -> _HazardRatio:
    return _HazardRatio(pooled.estimate, pooled.standard_error, pooled.p_value)


def _cox(part: pd.DataFrame, covariate: str, *, pooled: bool = False) -> _HazardRatio:
    """Return the hazard ratio of a covariate; pooled: stratified by cohort, robust by patient."""
    columns = ["time", "event", covariate]
    frame = part[[*columns, "cohort"]] if pooled else part[columns]
    options: dict[str, object] = {}
    if pooled:
        frame = frame.assign(patient=np.arange(len(frame)))
        options = {"strata": ["cohort"], "cluster_col": "patient"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            fitted = CoxPHFitter().fit(frame, duration_col="time", event_col="event", **options)
        except (ConvergenceError, ConvergenceWarning, np.linalg.LinAlgError):
            return _HazardRatio(note="the hazard ratio does not converge")
    row = fitted.summary.loc[covariate]
    found = _HazardRatio(float(row["coef"]), float(row["se(coef)"]), float(row["p"]))
    if not 0 < found.standard_error < _MOST_LOG_HAZARD_RATIO_ERROR:
        return _HazardRatio(note="the hazard ratio is not determined")
    return found


def _log_rank(part: pd.DataFrame) -> float:
    high = part["high"] == 1
    first, second = part[high], part[~high]
    return float(
        logrank_test(first["time"], second["time"], first["event"], second["event"]).p_value
    )


def _stratified_log_rank(patients: pd.DataFrame) -> float:
    columns = (patients[name].to_numpy() for name in ("time", "event", "high"))
    return float(survdiff(*columns, strata=patients["cohort"].to_numpy())[1])


def kaplan_meier_curves(predictions: pd.DataFrame, *, endpoint: Endpoint) -> pd.DataFrame:
    """Return Kaplan-Meier curves of patients above and at or below their cohort's median score.

    Parameters
    ----------
    predictions, endpoint
        As in :func:`survival_table`; the same cohorts are left out.

    Returns
    -------
    curves
        ``cohort`` (last ``pooled``: all, each patient grouped within the own cohort), ``group``
        (high, low), ``time`` (months, from 0), ``survival``, ``low, high`` (95%, log-log) and
        ``at_risk`` (just before the time), one row for each time of an event or of censoring.

    Raises
    ------
    ConfigError, ModelError
        As in :func:`survival_table`.
    """
    patients = patients_at_risk(predictions, endpoint=endpoint)
    names = sorted(patients["cohort"].unique())
    sets = {name: patients[patients["cohort"] == name] for name in names}
    sets = {name: part for name, part in sets.items() if not reason_to_leave_out(part)}
    if sets:
        sets["pooled"] = patients[patients["cohort"].isin(list(sets))]
    curves = [
        _curve(part[part["high"] == value]).assign(cohort=name, group=group)
        for name, part in sets.items()
        for group, value in (("high", 1.0), ("low", 0.0))
    ]
    columns = ["cohort", "group", "time", "survival", "low", "high", "at_risk"]
    if not curves:
        return pd.DataFrame(columns=columns).astype(dict.fromkeys(columns[2:], float))
    return pd.concat(curves)[columns].reset_index(drop=True)


def _curve(part: pd.DataFrame) -> pd.DataFrame:
    fitted = KaplanMeierFitter().fit(part["time"], part["event"])
    interval = fitted.confidence_interval_survival_function_
    return pd.DataFrame(
        {
            "time": fitted.survival_function_.index.to_numpy(dtype=float),
            "survival": fitted.survival_function_.iloc[:, 0].to_numpy(),
            "low": interval.iloc[:, 0].to_numpy(),
            "high": interval.iloc[:, 1].to_numpy(),
            "at_risk": fitted.event_table["at_risk"].to_numpy(dtype=int),
        }
    )
