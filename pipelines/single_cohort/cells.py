"""The cell-level model of a cohort, beside the patient-level one; and a bulk model as a peer."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.errors import ModelError, OncoResistError
from models.cell_model import CellModel, fit_cell_model
from models.cell_table import CellTable
from models.cell_validation import CellOutOfFold, predict_cells_out_of_fold
from models.plan import ValidationPlan
from pipelines.cells.prepared import PreparedCells
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort
from pipelines.score import score_cohort
from pipelines.tracking import load_model

__all__ = ["CellFindings", "cell_table", "learn_cells", "predict_by_bulk_model"]

_LOG = logging.getLogger(__name__)
_MAX_CELLS = 300
# Cells of a patient share much that is not resistance: leaves hold cells of several lesions.
_SETTINGS: Mapping[str, int | float] = {
    "n_estimators": 100,
    "num_leaves": 5,
    "learning_rate": 0.05,
    "colsample_bytree": 0.3,
    "min_child_samples": 100,
    "reg_lambda": 10.0,
    "n_seeds": 1,
}
_EXPLAINED = 20
_DESCRIPTIVE = ("sample", "type", "total_counts", "n_genes")
_BY_SAMPLE = "n_cells"


@dataclass(frozen=True)
class CellFindings:
    """What the cells of a cohort say by themselves.

    Attributes
    ----------
    prepared
        The cells.
    out_of_fold
        Cells and lesions scored by models that saw none of the patient's cells.
    model
        Fitted on all labelled lesions; scores the cells of new cohorts.
    """

    prepared: PreparedCells
    out_of_fold: CellOutOfFold
    model: CellModel


def cell_table(prepared: PreparedCells, *, catalogue: Catalogue, setting: str) -> CellTable:
    """Return the markers' scores of every cell kept, with the sample of each."""
    table = prepared.table()
    wanted = [marker.id for marker in catalogue.markers_of(setting) if marker.id in table]
    scores = table[wanted]
    return CellTable(scores.loc[:, scores.notna().any()], table["sample"].astype(str))


def learn_cells(
    dataset: Dataset,
    plan: ValidationPlan,
    prepared: PreparedCells,
    *,
    config: ExperimentConfig,
    signs: Mapping[str, int],
    progress: Callable[[str], None] = lambda stage: None,
) -> CellFindings:
    """Return the cell-level model, validated on the splits of the patient-level one.

    Raises
    ------
    ModelError
        A training part lacks cells of one class.
    """
    table = cell_table(prepared, catalogue=dataset.catalogue, setting=config.setting)
    lesions = plan.samples.set_index("sample_id")
    common = {
        "settings": _SETTINGS,
        "signs": signs if config.classifier.monotone else None,
        "max_cells": _MAX_CELLS,
        "seed": config.seed,
    }
    found = predict_cells_out_of_fold(
        table,
        lesions,
        splits=plan.schemes["nested"],
        explained_cells=_EXPLAINED,
        progress=lambda stage: progress(f"cell-level model: {stage}"),
        **common,  # type: ignore[arg-type]
    )
    model = fit_cell_model(table, lesions, **common)  # type: ignore[arg-type]
    return CellFindings(prepared, found, model)


def as_peer(found: CellOutOfFold, plan: ValidationPlan) -> pd.DataFrame:
    """Return the lesions' predictions by the cell-level model under the samples' own index."""
    names = pd.Series(plan.samples.index, index=plan.samples["sample_id"].astype(str))
    lesions = found.lesions.drop(columns=_BY_SAMPLE)
    return lesions.set_axis(pd.Index(names.loc[lesions.index.astype(str)], name="sample"), axis=0)


def predict_by_bulk_model(
    cohort: IngestedCohort, dataset: Dataset, *, uri: str
) -> tuple[pd.DataFrame | None, str]:
    """Return what a model trained on bulk says of the pseudobulk, and in words how far it lies.

    None where the store has no such model, or it cannot score the cohort.
    """
    try:
        loaded = load_model(uri)
        scored = score_cohort(
            loaded.model,
            cohort,
            standardisation="auto",
            uri=loaded.uri,
            version=loaded.version,
            force=True,
        )
    except OncoResistError as error:
        _LOG.warning("the bulk model takes no part: %s", error)
        return None, f"bulk model {uri}: takes no part ({str(error).splitlines()[0][:200]})"
    found = scored.predictions.set_index("sample_id")
    samples = dataset.samples
    ids = samples["sample_id"].astype(str)
    probability = found["probability"].reindex(ids).to_numpy(dtype=float)
    frame = samples[["cohort", "patient_id", "resistant"]].assign(
        split="once",
        score=probability,
        probability=probability,
        prior=float(scored.threshold),
    )
    shift = found["shift_score"].reindex(ids).to_numpy(dtype=float)
    share = float(np.mean(shift > 1)) if np.isfinite(shift).any() else float("nan")
    words = (
        f"bulk model {loaded.uri} version {loaded.version} on the pseudobulk, "
        f"{scored.standardisation}-relative: {share:.0%} of the samples out of scope by its shift "
        f"score (median {np.nanmedian(shift):.2f})"
    )
    return frame, words


def require_cells(cohort: IngestedCohort) -> PreparedCells:
    """Return the cells behind a cohort.

    Raises
    ------
    ModelError
        It was not made from single cells.
    """
    if cohort.cells is None:
        raise ModelError(f"cohort '{cohort.name}' was not made from single cells")
    return cohort.cells
