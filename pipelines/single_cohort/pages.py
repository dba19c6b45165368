"""What a reviewer reads of a training on a single cohort: model card, note, short card."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from models.sufficiency import RULES
from pipelines.figures.names import predictor_name
from pipelines.reports.markdown import interval
from pipelines.reports.notes import render_note
from pipelines.reports.templates import page_environment
from pipelines.reports.validation import RunRecord
from pipelines.runs.description import artifact_link, figure_folders
from pipelines.screens.card import screen_facts
from pipelines.single_cohort.train import TrainedSingle
from pipelines.validation.headline import verdict
from pipelines.validation.validate import ARM_SUFFIX

__all__ = ["run_note", "short_card", "single_card"]

_METRICS = ("auroc", "auprc", "brier", "ece")
_BIOLOGY = {
    "stem_like_memory": "responsive",
    "tcf7": "responsive",
    "tcf7_cd8_share": "responsive",
    "ccr7": "responsive",
    "b_cells_tls": "responsive",
    "b_cells_share": "responsive",
    "cd38": "resistant",
    "tim3": "resistant",
    "tim3_in_cd8_t": "resistant",
    "exhaustion": "resistant",
    "exhaustion_in_cd8_t": "resistant",
}
"""Feature → whom more of it was reported with (Sade-Feldman, doi:10.1016/j.cell.2018.10.038)."""


def single_card(record: RunRecord, trained: TrainedSingle) -> str:
    """Return the model card in Markdown, from the run alone."""
    environment = page_environment(html=False)
    text = environment.get_template("single_card.md.j2").render(**_facts(record, trained))
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def short_card(record: RunRecord, trained: TrainedSingle) -> str:
    """Return the card as a registered version's description."""
    return render_note("single_card_short.md.j2", **_facts(record, trained))


def run_note(record: RunRecord, trained: TrainedSingle, *, experiment: str, run: str) -> str:
    """Return the run's description in Markdown."""
    return render_note(
        "single_run.md.j2",
        **_facts(record, trained),
        gate="**Gate:** not asked yet; it decides when everything is logged.",
        folders=figure_folders(record.folder),
        link=lambda path: artifact_link(path, experiment=experiment, run=run),
    )


def _facts(record: RunRecord, trained: TrainedSingle) -> dict[str, Any]:
    config = trained.config
    comparison = record.table("comparison")
    cohort = record.table("cohorts").iloc[0].to_dict()
    return {
        "arms": {arm: ARM_SUFFIX[arm] for arm in trained.validations},
        "biology": {arm: _biology(record, ARM_SUFFIX[arm]) for arm in trained.validations},
        "catalogue": _catalogue(trained),
        "chosen": {arm: _chosen(record, ARM_SUFFIX[arm]) for arm in trained.validations},
        "cohort": cohort,
        "config": record.config,
        "demonstration": config.demonstration,
        "headline": _headline(comparison),
        "metrics": record.metrics,
        "notes": trained.notes,
        "cohort_notes": trained.cohort.report.notes if trained.notable else (),
        "screens": _screens(record, trained),
        "rules": RULES,
        "sufficiency": record.sufficiency,
        "of_cells": trained.cohort.cells is not None,
        "table": record.table,
        "tags": record.tags,
        "timepoints": {arm: _timepoints(record, ARM_SUFFIX[arm]) for arm in trained.validations},
        "verdict": verdict(comparison),
    }


def _screens(record: RunRecord, trained: TrainedSingle) -> Mapping[str, Any] | None:
    if trained.screens is None:
        return None
    return screen_facts(record, catalogue=trained.dataset.catalogue, notes=trained.screens.notes)


def _headline(comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """Return model and peers, a row each and standardisation, the model first."""
    chosen = comparison[comparison["cohort"].isin(["mean", "pooled"])]
    rows = []
    for (arm, predictor), part in chosen.groupby(["standardisation", "predictor"], sort=False):
        own = {row["metric"]: interval(row) for row in _records(part)}
        if "auroc" in own:
            figures = {metric: own.get(metric, "–") for metric in _METRICS}
            rows.append({"arm": arm, "predictor": predictor_name(str(predictor)), **figures})
    return rows


def _timepoints(record: RunRecord, suffix: str) -> list[dict[str, Any]]:
    table = record.table(f"timepoints{suffix}")
    rows = []
    for row in _records(table):
        prefix = str(row["prefix"])
        name = prefix.split(".")[1] if prefix.startswith("baseline.") else "model"
        rows.append({**row, "predictor": predictor_name(name), "auroc": interval(row)})
    return rows


def _biology(record: RunRecord, suffix: str) -> list[dict[str, Any]]:
    """Return what was reported of some features, and what the data and a free model say.

    Nothing in a setting that the report is not about.
    """
    if record.config["setting"] != "ici":
        return []
    table = record.table(f"biology{suffix}")
    if table.empty:
        return []
    found = {str(row["feature"]): row for row in _records(table)}
    return [
        {**found[name], "reported": reported}
        for name, reported in _BIOLOGY.items()
        if name in found and pd.notna(found[name]["auroc"])
    ]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _chosen(record: RunRecord, suffix: str) -> str:
    folds = record.table(f"folds{suffix}")
    counts = folds["candidate"].value_counts(sort=False).sort_index()
    return ", ".join(f"{name} {count}×" for name, count in counts.items())


def _catalogue(trained: TrainedSingle) -> Mapping[str, int]:
    features = trained.features
    return {
        "features": features.shape[1],
        "measured": int(features.notna().any().sum()),
        "signed": int((trained.signs["sign"] != 0).sum()),
    }
