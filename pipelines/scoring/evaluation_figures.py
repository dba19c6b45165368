"""Figures of an evaluation: one row a figure and group of samples, with its interval."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.abstention import coverage_table
from models.calibration_metrics import calibration_estimates
from models.decision import threshold_figures
from models.metrics import (
    Estimate,
    evaluate_predictions,
    ratio,
    read_estimate,
    stratified_resamples,
)
from models.survival_patients import Endpoint

__all__ = [
    "ALL",
    "IN_SCOPE",
    "RECALIBRATED",
    "Noise",
    "call_figures",
    "group_figures",
    "survival_figures",
]

ALL, IN_SCOPE, RECALIBRATED = "all", "in_scope", "recalibrated"
"""Groups of figures: all samples; without those out of scope; the latter, recalibrated."""
_COLUMNS = ["what", "group", "value", "low", "high", "n"]
_CALL_COLUMNS = ["rule", "threshold", "figure", "value", "low", "high", "n"]

Noise = Mapping[str, int]
"""``n_resamples`` and ``seed`` of the bootstrap over patients."""
_Row = tuple[str, float, float, float, int]


def group_figures(samples: pd.DataFrame, *, group: str, noise: Noise) -> pd.DataFrame:
    """Return every figure of a group but those of survival.

    Parameters
    ----------
    samples
        Predictions with ``score``, ``probability``, ``prior``, sets, ``call`` and ``resistant``.
    group
        Name of the group; of ``recalibrated`` only what a recalibration can change.
    noise
        Of the bootstrap.

    Returns
    -------
    figures
        ``what, group, value, low, high, n``.
    """
    labelled = samples.dropna(subset=["resistant"])
    rows = list(_of_probabilities(labelled, noise))
    if group != RECALIBRATED:  # ranking, sets and calls stay
        rows = [*_of_ranking(labelled, noise), *rows, *_of_sets(labelled, noise)]
        rows += _of_calls(samples, noise)
    table = pd.DataFrame(rows, columns=[name for name in _COLUMNS if name != "group"])
    return table.assign(group=group)[_COLUMNS]


def _of_ranking(labelled: pd.DataFrame, noise: Noise) -> Iterator[_Row]:
    estimates = evaluate_predictions(labelled, **noise)
    for name in ("auroc", "auprc"):
        if name in estimates:
            yield _row(name, estimates[name], len(labelled))


def _of_probabilities(labelled: pd.DataFrame, noise: Noise) -> Iterator[_Row]:
    """Give calibration figures, and the Brier score of knowing the base rate alone."""
    of_prior = evaluate_predictions(labelled.assign(probability=labelled["prior"]), **noise)
    yield _row("share_resistant", _share(labelled, labelled["resistant"], noise), len(labelled))
    yield _row("brier_of_base_rate", of_prior["brier"], len(labelled))
    for name, found in calibration_estimates(labelled, **noise).items():
        if "." not in name:
            yield _row(name, found, len(labelled))


def _of_sets(labelled: pd.DataFrame, noise: Noise) -> Iterator[_Row]:
    sets = labelled[["in_responsive", "in_resistant"]].to_numpy()
    table = coverage_table(labelled, sets, **noise)
    for row in table[table["cohort"] == "pooled"].to_dict("records"):
        found = Estimate(*(row[name] for name in ("coverage", "low", "high", "standard_error")))
        yield _row(f"coverage.{row['label']}", found, row["n_samples"])


def _of_calls(samples: pd.DataFrame, noise: Noise) -> Iterator[_Row]:
    """Give the share of each call, and of the sets that hold both labels, of all samples."""
    shares = {
        f"share_called.{call}": samples["call"] == call
        for call in ("resistant", "responsive", "uncertain", "out_of_scope")
    }
    shares["two_label_share"] = samples["in_responsive"] & samples["in_resistant"]
    for name, members in shares.items():
        yield _row(name, _share(samples, members, noise), len(samples))


def _share(samples: pd.DataFrame, members: "pd.Series[Any]", noise: Noise) -> Estimate:
    weights = stratified_resamples(samples, count=noise["n_resamples"], seed=noise["seed"])
    return read_estimate(ratio(weights @ members.to_numpy(float), weights.sum(axis=1)))


def _row(what: str, found: Estimate, n: int) -> _Row:
    return what, found.value, found.low, found.high, n


def call_figures(
    samples: pd.DataFrame, *, group: str, threshold: float, noise: Noise
) -> pd.DataFrame:
    """Return PPV, NPV, sensitivity and specificity of the rules a reader may call by.

    ``base_rate``: resistant from the model's base rate on. ``set_resistant``: resistant where the
    prediction set holds resistant alone. ``set_responsive``: responsive where it holds responsive
    alone, resistant elsewhere, so that NPV and specificity are those of the calls responsive. A
    recalibration leaves the sets, so its group has the first rule alone; its base rate is the
    cohort's, which differs from sample to sample, being cross-fitted as the probabilities are.

    Parameters
    ----------
    samples
        As of :func:`group_figures`.
    group
        Name of the group.
    threshold
        The model's base rate; of ``recalibrated`` each sample's ``prior`` takes its place.
    noise
        Of the bootstrap.

    Returns
    -------
    table
        ``rule, threshold, figure, value, low, high, n``; ``threshold`` is the mean where samples
        differ in it, NaN for the sets.
    """
    if group == RECALIBRATED:
        found = _figures_of_calls(samples, samples["probability"] >= samples["prior"], noise)
        return found.assign(rule="base_rate", threshold=samples["prior"].mean())[_CALL_COLUMNS]
    alone = {
        "set_resistant": samples["in_resistant"] & ~samples["in_responsive"],
        "set_responsive": ~(samples["in_responsive"] & ~samples["in_resistant"]),
    }
    at_rate = threshold_figures(samples, thresholds=[threshold], **noise)
    tables = [at_rate.assign(rule="base_rate")]
    for rule, called in alone.items():
        found = _figures_of_calls(samples, called, noise)
        tables.append(found.assign(rule=rule, threshold=np.nan))
    return pd.concat(tables, ignore_index=True)[_CALL_COLUMNS]


def _figures_of_calls(
    samples: pd.DataFrame, called: "pd.Series[bool]", noise: Noise
) -> pd.DataFrame:
    as_called = samples.assign(probability=called.astype(float))
    return threshold_figures(as_called, thresholds=[0.5], **noise)


def survival_figures(table: pd.DataFrame, *, endpoint: Endpoint, group: str) -> pd.DataFrame:
    """Return a cohort's row of :func:`models.survival.survival_table` as figures of a group."""
    row = table.iloc[0]
    names = ("hazard_ratio", "high_low_hazard_ratio", "concordance")
    rows = [
        (f"{endpoint}.{name}", row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in names
    ]
    rows.append((f"{endpoint}.log_rank_p", row["log_rank_p"], np.nan, np.nan))
    rows.append((f"{endpoint}.events", row["events"], np.nan, np.nan))
    figures = pd.DataFrame(rows, columns=["what", "value", "low", "high"])
    return figures.assign(group=group, n=row["n"])[_COLUMNS]
