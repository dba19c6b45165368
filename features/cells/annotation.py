"""The type of each cell by its marker genes, how sure it is, and what its cluster makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cells.calls import CellCalls, call_cells
from features.cells.cell_types import CELL_TYPES, TYPE_CODES
from features.cells.expression import has_linear_scale, log_columns
from features.cells.scores import zeros_stay
from features.cells.smoothing import smooth
from features.cells.source import CellSource, chunk_size
from features.cells.type_scores import GeneScale, TypeMarkers, learn_scale
from features.errors import CohortError, examples
from features.units import UnitFinding

__all__ = ["CellAnnotation", "annotate_cells"]

_LEAST_EXCESS = {"per_10k": 0.1, "positive": 0.1, "centred": 0.3}
"""Mean evidence above the background that a type needs at least, by the scale of the genes: where
there is no zero, half of all values lie above the mean of the file by chance."""
_UNKNOWN = TYPE_CODES["unknown"]


@dataclass(frozen=True)
class CellAnnotation:
    """The types of all cells.

    Attributes
    ----------
    types
        Codes of :data:`features.cells.cell_types.CELL_TYPES` (n_cells,), int8, after smoothing.
    confidence
        Confidence in them between 0 and 1 (n_cells,), float32.
    per_cell
        Codes before smoothing (n_cells,), int8.
    cluster_table
        A row per cluster: ``n_cells``, its ``type`` ("unknown" where no majority is clear), the
        ``share`` of its votes that go there, the share of cells ``changed`` by it.
    notes
        What a reader should know, a sentence each.
    measured
        Ids of the types whose markers the file holds; the others cannot be told in it.
    """

    types: NDArray[np.int8]
    confidence: NDArray[np.float32]
    per_cell: NDArray[np.int8]
    cluster_table: pd.DataFrame
    notes: tuple[str, ...]
    measured: tuple[str, ...]

    @property
    def names(self) -> NDArray[np.object_]:
        """Id of each cell's type (n_cells,)."""
        return np.array(CELL_TYPES, dtype=object)[self.types]


def annotate_cells(
    source: CellSource,
    *,
    symbols: Sequence[str],
    finding: UnitFinding,
    clusters: NDArray[np.integer[Any]] | None = None,
    memory_mb: int = 1024,
) -> CellAnnotation:
    """Return the type of every cell, read in chunks.

    Parameters
    ----------
    source
        The cells.
    symbols
        Symbol of each column of the file.
    finding
        Unit of the values.
    clusters
        Cluster of each cell (n_cells,), -1 for none; without it nothing is smoothed.
    memory_mb
        Megabytes that the chunks may take; beside them are some 30 bytes a cell.

    Raises
    ------
    CohortError
        ``symbols`` or ``clusters`` do not fit the file.

    Notes
    -----
    Scores are those of :func:`features.cells.type_scores.type_scores`. Over the lineages (T and NK,
    B, plasma, myeloid, fibroblast, endothelial, melanocytic, epithelial, glial, others) and "none
    of these" they become probabilities by a softmax of half their squares, and so on among the
    types of a lineage, downwards as far as one of them is more likely than not, as classifiers
    along a tree go (CHETAH, 10.1093/nar/gkz543). Then, as CellTypist does
    (10.1126/science.abl5197), a cluster takes the type that most votes go to, where the majority
    is clear; a cell that is confidently of another type keeps its own.
    """
    _check(source, symbols, clusters)
    markers = TypeMarkers(symbols)
    rows = chunk_size(source, memory_mb=memory_mb, dense=not zeros_stay(finding))
    scale = learn_scale(source, markers, finding=finding, rows=rows)
    calls = _call_all(source, markers, scale, finding=finding, rows=rows)
    notes = _notes(markers, scale, calls)
    if clusters is None:
        notes += ("no clusters were given: each cell is called by itself",)
        clusters = np.full(source.n_cells, -1)
    types, confidence, table = smooth(
        calls.types,
        confidence=calls.confidence,
        lineage_confidence=calls.lineage_confidence,
        clusters=np.asarray(clusters),
    )
    return CellAnnotation(types, confidence, calls.types, table, notes, markers.measured)


def _check(
    source: CellSource, symbols: Sequence[str], clusters: NDArray[np.integer[Any]] | None
) -> None:
    if len(symbols) != len(source.genes):
        raise CohortError(
            f"{source.name} has {len(source.genes)} genes, but {len(symbols)} symbols are given; "
            "give one a column"
        )
    if clusters is not None and len(clusters) != source.n_cells:
        raise CohortError(
            f"{source.name} has {source.n_cells} cells, but {len(clusters)} clusters are given; "
            "give one a cell (-1 for none)"
        )


def _call_all(
    source: CellSource, markers: TypeMarkers, scale: GeneScale, *, finding: UnitFinding, rows: int
) -> CellCalls:
    n_cells = source.n_cells
    calls = CellCalls(
        types=np.full(n_cells, _UNKNOWN, dtype=np.int8),
        confidence=np.zeros(n_cells, dtype=np.float32),
        lineage_confidence=np.zeros(n_cells, dtype=np.float32),
    )
    average = not has_linear_scale(finding)
    for start, block in source.chunks(rows):
        chosen = log_columns(block, finding, columns=markers.columns)
        values = markers.values(chosen, average=average)
        found = call_cells(
            markers.score(scale.evidence(values)), least_excess=_LEAST_EXCESS[scale.kind]
        )
        within = slice(start, start + values.shape[0])
        calls.types[within], calls.confidence[within] = found.types, found.confidence
        calls.lineage_confidence[within] = found.lineage_confidence
    return calls


def _notes(markers: TypeMarkers, scale: GeneScale, calls: CellCalls) -> tuple[str, ...]:
    notes = []
    if not markers.measured:
        notes.append(
            "no cell type can be told: the file holds too few marker genes "
            f"({len(markers.genes)} of all)"
        )
    elif markers.not_measured:
        notes.append(
            f"too few marker genes in the file to tell {examples(markers.not_measured, most=30)}; "
            "such cells are given a less specific type or are unknown"
        )
    if "cd4_t" in markers.measured and "treg" not in markers.measured:
        notes.append("regulatory T cells cannot be told from other CD4 T cells: cd4_t holds both")
    if scale.kind == "positive":
        notes.append("values scaled per gene: zero is read as absent, each gene on its own scale")
    if scale.kind == "centred":
        notes.append(
            "values without a zero: types are told by what lies above the file's mean, so that a "
            "type that most cells are of cannot be told"
        )
    unknown = int((calls.types == _UNKNOWN).sum())
    if unknown:
        notes.append(f"{unknown} of {calls.types.size} cells are unknown by themselves")
    return tuple(notes)
