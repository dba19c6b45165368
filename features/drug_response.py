"""From a long table of drug responses to resistance: direction, experiments, classes, labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from features.errors import CohortError, examples

__all__ = [
    "Direction",
    "ResponseLabel",
    "experiments_agreement",
    "label_responses",
    "mean_resistance",
    "measure_direction",
    "standardise_experiments",
    "waterfall_cut",
]

Direction = Literal["higher_resistant", "lower_resistant"]
LabelKind = Literal["quantile", "threshold", "waterfall"]
_FEWEST_SAMPLES = 10
"""Samples of an experiment; with fewer its mean and spread say little."""
_LEAST_SPREAD = 1e-9
"""Of an experiment's largest value, whatever its unit; below it all respond alike."""
_STRAIGHT = 0.95
_STATED = re.compile(
    r"\b(high|low)(?:er)?(?:\s+values?)?\s*(?:=|:|\bis\b|\bare\b|\bmeans?\b)\s*"
    r"(?:(more|less)\s+)?(sensitive|resistant)",
    re.IGNORECASE,
)
_MEASURES: tuple[tuple[str, Direction], ...] = (
    (r"(?:(?:^|\()\s*[-−]\s*|(?<![a-z0-9])[-−])(?:log|ln)", "lower_resistant"),
    (r"\b(?:neg(?:ative|\.)?|minus)[ _]*(?:log|ln)", "lower_resistant"),
    (r"(?<![a-z])p(?:IC|GI|EC)[ _]?50", "lower_resistant"),
    (r"\b1\s*[-−/]\s*(?:IC|GI|EC|AUC|viability)", "lower_resistant"),
    (r"\bact(?:ivity)?[ _]?area|\bAAC\b|\bDSS\b", "lower_resistant"),
    (r"(?:IC|GI|EC)[ _]?50|\bTGI\b|\bLC50\b", "higher_resistant"),
    (r"\bAUC\b|area under the (?:dose|curve)|viability", "higher_resistant"),
)
"""What a measure is called → which way it goes, the first that matches."""

_TURNED = re.compile(
    r"^\s*[-−–]|\bneg|\bminus\b|invers|recipro|1\s*[-−/]|inhibit|sensitiv|respond|reduc|kill", re.I
)
"""Words beside a measure that may turn it round: then its direction has to be stated."""


@dataclass(frozen=True)
class ResponseLabel:
    """How continuous resistance becomes a label.

    Attributes
    ----------
    rule
        ``quantile``: the most and the least resistant shares of the lines, those between without a
        label; ``threshold``: at and above it resistant, below responsive; ``waterfall``:
        :func:`waterfall_cut`.
    share
        Of each end, for ``quantile``; one half leaves nobody out.
    threshold
        For ``threshold``, in the unit of the resistance that is labelled.
    """

    rule: LabelKind = "quantile"
    share: float = 1 / 3
    threshold: float | None = None


def measure_direction(measure: str, *, stated: Mapping[str, Direction], where: str) -> Direction:
    """Return which way a measure of drug response goes.

    Parameters
    ----------
    measure
        What the table calls it, such as ``ln_IC50_uM (lower = more sensitive)``.
    stated
        Text that stands in the measure → direction, from the configuration; wins.

    Raises
    ------
    CohortError
        It cannot be told; the message says how to state it.

    Examples
    --------
    >>> measure_direction("-log10 GI50 M", stated={}, where="NCI60")
    'lower_resistant'
    >>> measure_direction("ln IC50", stated={}, where="GDSC")
    'higher_resistant'
    """
    for text in sorted(stated, key=len, reverse=True):
        if text.casefold() in measure.casefold():
            return stated[text]
    said = _STATED.search(measure)
    if said is not None:
        up, less = said[1].casefold() == "high", (said[2] or "").casefold() == "less"
        sensitive = (said[3].casefold() == "sensitive") != less
        return "lower_resistant" if up == sensitive else "higher_resistant"
    for pattern, direction in _MEASURES:
        if re.search(pattern, measure, re.IGNORECASE):
            if direction == "higher_resistant" and _TURNED.search(measure):
                break
            return direction
    raise CohortError(
        f"{where}: it cannot be told whether more of the measure '{measure}' means sensitive or "
        "resistant; state it under drug_response.directions, such as "
        f"{{'{measure}': lower_resistant}}"
    )


def standardise_experiments(rows: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Return the rows with ``z``, the resistance in standard deviations of its own experiment.

    Parameters
    ----------
    rows
        ``sample``, ``experiment`` (one drug under one protocol and one measure), ``response``
        (number) and ``direction`` (:data:`Direction`) of each measurement; several of a sample in
        an experiment are averaged first. Experiments of fewer than ten samples, or in which all
        respond alike, are left out.

    Raises
    ------
    CohortError
        No experiment is left.
    """
    kept = ["experiment", "sample"]
    upwards = rows["direction"] == "higher_resistant"
    turned = rows.assign(raw=rows["response"].where(upwards, -rows["response"]))
    once = turned.groupby(kept, sort=False).agg(raw=("raw", "mean"), drug=("drug", "first"))
    once = once.reset_index()
    by = once.groupby("experiment")["raw"]
    spread, count = by.transform("std", ddof=1), by.transform("count")
    largest = once["raw"].abs().groupby(once["experiment"]).transform("max")
    usable = (count >= _FEWEST_SAMPLES) & (spread > _LEAST_SPREAD * largest)
    if not usable.any():
        raise CohortError(
            f"{where}: no experiment has {_FEWEST_SAMPLES} samples that respond differently "
            f"({examples(once['experiment'].unique())}); name other drugs under drug_response"
        )
    z = (once["raw"] - by.transform("mean")) / spread
    return once.assign(z=z)[usable].reset_index(drop=True)


def mean_resistance(standardised: pd.DataFrame, *, least_share: float) -> "pd.Series[float]":
    """Return each sample's resistance to a drug or class (n_samples,), in standard deviations.

    Experiments of a drug are averaged, then drugs: a drug measured often does not weigh more. A
    sample measured for fewer than ``least_share`` of the drugs is left out.

    Parameters
    ----------
    standardised
        As :func:`standardise_experiments` returns it, of the drugs of one class, each under one
        name.
    least_share
        Of the drugs.
    """
    by_drug = standardised.pivot_table(index="sample", columns="drug", values="z")
    enough = by_drug.notna().mean(axis=1) >= least_share
    found = by_drug[enough].mean(axis=1)
    spread = float(found.std(ddof=1))
    return ((found - found.mean()) / spread).rename("resistance")


def experiments_agreement(standardised: pd.DataFrame) -> float:
    """Return the mean Spearman correlation of pairs of experiments; NaN with a single one."""
    wide = standardised.pivot_table(index="sample", columns="experiment", values="z")
    found = wide.corr(method="spearman", min_periods=_FEWEST_SAMPLES).to_numpy()
    pairs = found[np.triu_indices_from(found, k=1)]
    pairs = pairs[np.isfinite(pairs)]
    return float(pairs.mean()) if pairs.size else float("nan")


def label_responses(resistance: "pd.Series[float]", *, label: ResponseLabel) -> "pd.Series[float]":
    """Return 1.0 (resistant), 0.0 (responsive) or NaN (between) of each sample (n_samples,).

    ``resistance`` rises with resistance, in the unit of ``label.threshold`` where there is one.
    """
    if label.rule == "quantile":
        low, high = resistance.quantile([label.share, 1 - label.share])
        above = (resistance >= high) & (resistance > low)
        return _labels(resistance, above=above, below=resistance <= low)
    cut = label.threshold
    if label.rule == "waterfall":
        cut = waterfall_cut(resistance.to_numpy())
    cut = float(cut)  # type: ignore[arg-type]
    return _labels(resistance, above=resistance >= cut, below=resistance < cut)


def _labels(
    resistance: "pd.Series[float]", *, above: "pd.Series[bool]", below: "pd.Series[bool]"
) -> "pd.Series[float]":
    labels = pd.Series(np.nan, index=resistance.index, name="resistant")
    labels[below], labels[above] = 0.0, 1.0
    return labels


def waterfall_cut(resistance: Sequence[float] | np.ndarray) -> float:
    """Return the resistance that parts responsive from resistant lines by the waterfall rule.

    Lines are ordered from the most sensitive on. Where the order is nearly a straight line
    (Pearson's r above 0.95) the median parts them; else the point farthest from the line through
    both ends, as Barretina 2012 (doi:10.1038/nature11003) does. NaN is left out.
    """
    values = np.asarray(resistance, dtype=float)
    ordered = np.sort(values[np.isfinite(values)])
    place = np.linspace(0.0, 1.0, ordered.size)
    if np.corrcoef(place, ordered)[0, 1] > _STRAIGHT:
        return float(np.median(ordered))
    chord = ordered[0] + place * (ordered[-1] - ordered[0])
    return float(ordered[int(np.argmax(np.abs(ordered - chord)))])
