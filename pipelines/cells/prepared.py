"""What is known of a file's cells once they have been read: samples, types, quality, view."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cells.annotation import CellAnnotation
from features.cells.cell_types import CELL_TYPES
from features.cells.quality import CellQuality
from features.cells.summary import CellSummary
from features.cells.view import CellView
from features.units import UnitFinding

__all__ = ["PreparedCells"]


@dataclass(frozen=True)
class PreparedCells:
    """The cells behind a cohort's samples.

    Attributes
    ----------
    path
        The file that they were read from.
    symbols
        Approved symbol of each column of the file.
    finding
        The unit of the values.
    originals
        Identifier of each column, as the file has it.
    samples
        (n_cells,) position in ``sample_names``, -1 for cells left out.
    sampled
        The same before cells of low quality and doublets were left out.
    sample_names
        The samples, as in the cohort.
    types
        (n_cells,) position in :data:`features.cells.cell_types.CELL_TYPES`.
    annotation
        How the types were found; None where the file gave them.
    quality
        Quality of each cell and thresholds of each sample.
    view
        Clusters and UMAP of the cells at ``positions``; None where nothing could be embedded.
    positions
        (n_viewed,) the cells of the view.
    summary
        Sums over cells, and where the scores of each cell lie.
    notes
        What was done, skipped and found, in words.
    holds
        Keeps the files on disk as long as this is in use.
    """

    path: Path
    symbols: tuple[str, ...]
    originals: tuple[str, ...]
    finding: UnitFinding
    samples: NDArray[np.int32]
    sampled: NDArray[np.int32]
    sample_names: tuple[str, ...]
    types: NDArray[np.int8]
    annotation: CellAnnotation | None
    quality: CellQuality
    view: CellView | None
    positions: NDArray[np.intp]
    summary: CellSummary
    notes: tuple[str, ...]
    holds: TemporaryDirectory[str] = field(repr=False)

    @property
    def type_names(self) -> NDArray[np.object_]:
        """Cell type of each cell."""
        return np.asarray(CELL_TYPES, dtype=object)[self.types]

    @property
    def measured_markers(self) -> list[str]:
        """Markers that any cell has a score of."""
        scored = self.summary.score_cells.any(axis=(0, 1))
        return [name for name, any_ in zip(self.summary.marker_ids, scored, strict=True) if any_]

    @property
    def told(self) -> tuple[str, ...]:
        """Cell types that the file's genes can tell, or that its annotation has."""
        there = {CELL_TYPES[code] for code in np.unique(self.types)}
        measured = set() if self.annotation is None else set(self.annotation.measured)
        return tuple(name for name in CELL_TYPES if name in there | measured)

    def composition(self) -> pd.DataFrame:
        """Return the number of cells of each type (n_samples, n_types)."""
        return pd.DataFrame(
            self.summary.n_cells, index=list(self.sample_names), columns=list(CELL_TYPES)
        )

    def facts(self) -> Mapping[str, object]:
        """Return what stands in the cohort's ``uns`` of its cells."""
        return {
            "unit": self.finding.unit,
            "unit_evidence": self.finding.evidence,
            "n_cells": len(self.samples),
            "n_kept": int((self.samples >= 0).sum()),
            "annotated_by": "markers" if self.annotation is not None else "the file",
        }
