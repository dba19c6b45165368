"""What a model card says of drug screens, from the tables of the run."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from features.catalogue import Catalogue
from pipelines.reports.markdown import interval
from pipelines.reports.validation import RunRecord

__all__ = ["screen_facts"]

_FIGURES = (
    ("model", "spearman"),
    ("model", "within_tissue_spearman"),
    ("model", "rmse"),
    ("unsigned", "spearman"),
    ("unsigned", "within_tissue_spearman"),
    ("unsigned", "auroc"),
    ("null", "within_tissue_spearman"),
    ("tissue_mean", "spearman"),
    ("tissue_mean", "rmse"),
    ("leave_one_tissue_out", "within_tissue_spearman"),
    ("classifier", "auroc"),
    ("tissue_mean", "auroc"),
)
_TRANSFERRED = (
    "spearman",
    "within_tissue_spearman",
    "auroc",
    "unsigned_spearman",
    "unsigned_auroc",
)
"""Figures of a transfer; patients have no number, and so the AUROC alone."""
_DIGITS = 2
_MOST_REASONS = 6


def screen_facts(
    record: RunRecord, *, catalogue: Catalogue, notes: Sequence[str]
) -> dict[str, Any]:
    """Return the rows of the card's part on drug screens."""
    return {
        "groups": _groups(record),
        "transfers": _transfers(record),
        "genes": _genes(record.table("genes_by_drug")),
        "tissues": _tissues(record),
        "evidence": _told(record.table("screen_evidence")),
        "identities": _identities(record.table("line_identities")),
        "absent": _absent(record.table("absent_features"), catalogue),
        "notes": tuple(notes),
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _groups(record: RunRecord) -> list[dict[str, Any]]:
    """Return a row a cohort and group, with each figure as text."""
    table, reasons = record.table("screens"), record.table("screen_reasons")
    rows = []
    for (cohort, group), part in table.groupby(["cohort", "drug_group"], sort=False):
        found = {(row["predictor"], row["metric"]): row for row in _records(part)}
        figures = {
            f"{predictor}_{metric}": interval(found.get((predictor, metric), {}), digits=_DIGITS)
            for predictor, metric in _FIGURES
        }
        own = reasons[(reasons["cohort"] == cohort) & (reasons["drug_group"] == group)]
        leading = ", ".join(own["feature"].head(_MOST_REASONS).str.replace("_", " "))
        facts = {"cohort": cohort, "group": group or "patients", "leading": leading or "–"}
        size = {name: int(part[name].iloc[0]) for name in ("n", "labelled", "features")}
        rows.append({**facts, **size, **figures})
    return rows


def _tissues(record: RunRecord) -> list[dict[str, Any]]:
    """Return the tissues that the setting is about, by models that had not seen them."""
    table = record.table("screen_tissues")
    chosen = table[table["tissue"].isin(record.config["screens"]["tissues"])]
    return [{**row, "effect": interval(row, "rho", digits=_DIGITS)} for row in _records(chosen)]


def _transfers(record: RunRecord) -> list[dict[str, Any]]:
    table = record.table("transfers")
    if table.empty:
        return []
    keys = ["train", "test", "n_train", "n_test", "shared", "genes", "features"]
    rows = []
    for values, part in table.groupby(keys, sort=False):
        found = dict.fromkeys(_TRANSFERRED, "–")
        found |= {row["metric"]: interval(row, digits=_DIGITS) for row in _records(part)}
        rows.append({**dict(zip(keys, values, strict=True)), **found})
    return rows


def _genes(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a cohort, gene and drug whose interval leaves out zero."""
    told = table[(table["low"] > 0) | (table["high"] < 0)]
    return [{**row, "effect": interval(row, "rho", digits=_DIGITS)} for row in _records(told)]


def _told(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{**row, "effect": interval(row, "rho", digits=_DIGITS)} for row in _records(table)]


def _identities(table: pd.DataFrame) -> list[dict[str, Any]]:
    if table.empty:
        return []
    counts = table.groupby(["cohort", "other"], sort=False)["itself"].agg(["sum", "size"])
    return _records(counts.reset_index())


def _absent(table: pd.DataFrame, catalogue: Catalogue) -> list[dict[str, Any]]:
    """Return the features that a cohort's genes do not give, by cohort and mechanism."""
    mechanisms = catalogue.mechanisms
    rows = []
    for cohort, part in table.groupby("cohort", sort=False):
        named = part["feature"].drop_duplicates()
        by = named.groupby(named.map(mechanisms).to_numpy(), sort=True).agg(", ".join)
        words = "; ".join(f"{mechanism}: {names}" for mechanism, names in by.items())
        rows.append({"cohort": cohort, "count": len(named), "features": words.replace("_", " ")})
    return rows
