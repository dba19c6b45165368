"""The cell-level model of a cohort, beside the patient-level one; and a bulk model as a peer."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.errors import OncoResistError
from models.cell_model import CellModel, fit_cell_model
from models.cell_table import CellTable
from models.cell_validation import CellOutOfFold, predict_cells_out_of_fold
from models.plan import ValidationPlan
from pipelines.cells.prepared import PreparedCells
from pipelines.cells.scores import cells_at
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort
from pipelines.score import score_cohort
from pipelines.tracking import load_model

__all__ = [
    "CELL_MODEL_PARAMS",
    "CellFindings",
    "as_peer",
    "cell_table",
    "learn_cells",
    "predict_by_bulk_model",
]

_LOG = logging.getLogger(__name__)
_MOST_CELLS = 2000
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
_BY_SAMPLE = "n_cells"


CELL_MODEL_PARAMS: Mapping[str, int | float] = {
    **{f"cell_model.{name}": value for name, value in _SETTINGS.items()},
    "cell_model.max_cells": _MAX_CELLS,
    "cell_model.explained_cells": _EXPLAINED,
}
"""Settings of the cell-level model, as a run's parameters."""


@dataclass(frozen=True)
class CellFindings:
    """What the cells of a cohort say by themselves.

    Attributes
    ----------
    prepared
        The cells.
    positions
        (n_scored,) the cells that took part, in the file.
    out_of_fold
        Cells and lesions scored by models that saw none of the patient's cells.
    model
        Fitted on all labelled lesions; scores the cells of new cohorts.
    """

    prepared: PreparedCells
    positions: NDArray[np.intp]
    out_of_fold: CellOutOfFold
    model: CellModel

    def scores(self) -> NDArray[np.float32]:
        """Return each cell's score by models that had not seen its patient (n_cells,), else NaN."""
        found = np.full(len(self.prepared.samples), np.nan, dtype=np.float32)
        own = self.out_of_fold.cell_scores()
        ids = cells_at(self.prepared, self.positions)["cell_id"].astype(str)
        found[self.positions] = own.reindex(ids).to_numpy(dtype=np.float32)
        return found


def cell_table(
    prepared: PreparedCells, *, catalogue: Catalogue, setting: str, seed: int
) -> tuple[CellTable, NDArray[np.intp]]:
    """Return the markers' scores of cells with the sample of each, and the cells' positions.

    At most 2,000 cells a sample, so that memory does not grow with the number of cells.
    """
    rng, drawn = np.random.default_rng(seed), []
    for code in range(len(prepared.sample_names)):
        rows = np.flatnonzero(prepared.samples == code)
        drawn.append(rng.permutation(rows)[:_MOST_CELLS])
    positions = np.sort(np.concatenate(drawn))
    table = cells_at(prepared, positions).set_index("cell_id")
    measured = set(prepared.measured_markers)
    wanted = [marker.id for marker in catalogue.markers_of(setting) if marker.id in measured]
    return CellTable(table[wanted], table["sample"].astype(str)), positions


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
    table, positions = cell_table(
        prepared, catalogue=dataset.catalogue, setting=config.setting, seed=config.seed
    )
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
    return CellFindings(prepared, positions, found, model)


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
