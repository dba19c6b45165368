"""From a clinical table to labels: response, timepoint, survival, as the cohort contract asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from features.errors import CohortError, examples

__all__ = [
    "LabelRule",
    "StableDisease",
    "label_resistance",
    "name_timepoints",
    "survival_event",
    "survival_months",
]

StableDisease = Literal["resistant", "responsive", "exclude", "pfs6"]

_RESPONSIVE = (
    "CR",
    "PR",
    "R",
    "CRPR",
    "CR/PR",
    "RESPONDER",
    "YES",
    "DCB",
    "RESPONSIVE",
    "SENSITIVE",
)
_RESISTANT = ("PD", "NR", "N", "SD/PD", "NON-RESPONDER", "NONRESPONDER", "NO", "NDB", "RESISTANT")
_STABLE = ("SD",)
_MISSING = ("", "NA", "N/A", "NAN", "NE", "UNK", "UNKNOWN", "NOT EVALUABLE", "-", ".")
_PFS6_MONTHS = 6.0

_DAYS_PER_MONTH = 365.25 / 12
_MONTHS: Mapping[str, float] = {
    "day": 1 / _DAYS_PER_MONTH,
    "week": 7 / _DAYS_PER_MONTH,
    "month": 1.0,
    "year": 12.0,
}
_EVENT = ("1", "1.0", "TRUE", "YES", "DEAD", "DECEASED", "VRAI", "PROGRESSED", "EVENT")
_CENSORED = ("0", "0.0", "FALSE", "NO", "ALIVE", "LIVING", "FAUX", "CENSORED")


@dataclass(frozen=True)
class LabelRule:
    """How published response becomes ``resistant`` (1, 0, NaN).

    Attributes
    ----------
    stable_disease
        What RECIST SD means: resistant (default), responsive, exclude (NaN), or pfs6
        (responsive when progression-free for at least six months).
    responsive, resistant, missing
        Further spellings of this cohort's file, any case.
    """

    stable_disease: StableDisease = "resistant"
    responsive: tuple[str, ...] = field(default=())
    resistant: tuple[str, ...] = field(default=())
    missing: tuple[str, ...] = field(default=())


def _clean(values: "pd.Series[str]") -> "pd.Series[str]":
    return values.astype("string").fillna("").str.strip().str.upper().astype(str)


def label_resistance(clinical: pd.DataFrame, *, rule: LabelRule, where: str) -> "pd.Series[float]":
    """Return 1.0 (resistant), 0.0 (responsive) or NaN for each row of a clinical table.

    RECIST (column ``recist``) decides where it is given, else the published ``response``.

    Raises
    ------
    CohortError
        A label is in no list; the message names it, its samples and the mend.
    """
    meaning = _label_meaning(rule)
    labels = pd.Series("", index=clinical.index, dtype=object)
    unknown: dict[str, list[str]] = {}
    for column in ("response", "recist"):
        if column not in clinical:
            continue
        cleaned = _clean(clinical[column])
        for value in cleaned[~cleaned.isin(meaning)].unique():
            unknown.setdefault(value, []).extend(map(str, clinical.index[cleaned == value]))
        given = cleaned.map(lambda value: meaning.get(value, "missing")) != "missing"
        labels[given] = cleaned[given]
    if unknown:
        samples = [sample for names in unknown.values() for sample in names]
        raise CohortError(
            f"{where}: {len(unknown)} unknown response labels {sorted(unknown)[:5]} (samples "
            f"{examples(samples)}); known: CR, PR, SD, PD, R, NR, N, DCB, NDB, yes, no. "
            "Map them under labels in a cohort YAML (score takes it by --cohort)"
        )
    resistant = labels.map(lambda value: _OUTCOME[meaning.get(value, "missing")]).astype(float)
    stable = labels.map(lambda value: meaning.get(value, "missing") == "stable").astype(bool)
    resistant[stable] = _stable_outcome(clinical.loc[stable], rule.stable_disease)
    return resistant.rename("resistant")


_OUTCOME = {"responsive": 0.0, "resistant": 1.0, "missing": np.nan, "stable": np.nan}


def _label_meaning(rule: LabelRule) -> dict[str, str]:
    """Map every known spelling to its outcome; the cohort's own spellings win."""
    meaning: dict[str, str] = dict.fromkeys(_STABLE, "stable")
    for outcome, spellings in (
        ("missing", _MISSING),
        ("responsive", _RESPONSIVE),
        ("resistant", _RESISTANT),
        ("missing", rule.missing),
        ("responsive", rule.responsive),
        ("resistant", rule.resistant),
    ):
        meaning.update({spelling.strip().upper(): outcome for spelling in spellings})
    return meaning


def _stable_outcome(rows: pd.DataFrame, choice: StableDisease) -> "pd.Series[float]":
    if choice == "pfs6":
        if "pfs_time" not in rows or "pfs_event" not in rows:
            return pd.Series(np.nan, index=rows.index)
        time = rows["pfs_time"].astype(float)
        event = rows["pfs_event"].astype(float)
        outcome = pd.Series(np.nan, index=rows.index)
        outcome[time >= _PFS6_MONTHS] = 0.0
        outcome[(time < _PFS6_MONTHS) & (event == 1)] = 1.0
        return outcome
    value = {"resistant": 1.0, "responsive": 0.0, "exclude": np.nan}[choice]
    return pd.Series(value, index=rows.index)


def name_timepoints(
    stated: "pd.Series[str]", *, names: Mapping[str, Sequence[str]], where: str
) -> "pd.Series[str]":
    """Return ``pre_treatment``, ``on_treatment``, … or ``unstated`` for each sample.

    Parameters
    ----------
    stated
        Timepoints as the file spells them.
    names
        Timepoint → the file's spellings, any case.

    Raises
    ------
    CohortError
        A spelling is in no list.
    """
    meaning = {"": "unstated"}
    for timepoint, spellings in names.items():
        meaning.update({spelling.strip().upper(): timepoint for spelling in spellings})
    cleaned = _clean(stated)
    unknown = sorted(set(cleaned) - set(meaning))
    if unknown:
        raise CohortError(
            f"{where}: unknown timepoints {unknown[:5]}; "
            "map them in the cohort's configuration under timepoints"
        )
    return cleaned.map(meaning).rename("timepoint")


def survival_months(
    times: "pd.Series[str]", *, unit: "str | pd.Series[str]", where: str
) -> "pd.Series[float]":
    """Return times in months; ``unit`` (day, week, month, year) is one word or one per sample.

    Raises
    ------
    CohortError
        A time is not a number, is negative, or a unit is unknown.
    """
    numbers = pd.to_numeric(times, errors="coerce").astype(float)
    text = _clean(times)
    wrong = times.index[(numbers.isna() & ~text.isin(_MISSING)) | (numbers < 0) | np.isinf(numbers)]
    if len(wrong):
        raise CohortError(
            f"{where}: survival time '{times[wrong[0]]}' of sample {wrong[0]} is not a number of "
            "zero or more; correct the clinical table"
        )
    units = pd.Series(unit, index=times.index) if isinstance(unit, str) else unit
    units = _clean(units).str.lower().str.removesuffix("s")
    unknown = sorted(set(units[numbers.notna()]) - set(_MONTHS))
    if unknown:
        raise CohortError(f"{where}: unknown survival unit {unknown}; use one of {list(_MONTHS)}")
    return numbers * units.map(_MONTHS)


def survival_event(events: "pd.Series[str]", *, where: str) -> "pd.Series[float]":
    """Return 1.0 (event), 0.0 (censored) or NaN; known spellings include Dead, VRAI, TRUE.

    Raises
    ------
    CohortError
        A spelling is unknown.
    """
    cleaned = _clean(events)
    meaning: dict[str, float] = dict.fromkeys(_EVENT, 1.0) | dict.fromkeys(_CENSORED, 0.0)
    unknown = sorted(set(cleaned) - set(meaning) - set(_MISSING))
    if unknown:
        raise CohortError(
            f"{where}: unknown survival events {unknown[:5]}; use 1 (event) and 0 (censored)"
        )
    return cleaned.map(meaning).astype(float)
