"""Prepare the cells of a file: quality, clusters, types, and the sums over each sample."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.cells.annotation import CellAnnotation, annotate_cells
from features.cells.cell_types import CELL_TYPES, COMPARTMENTS, map_annotation
from features.cells.clusters import cluster_cells
from features.cells.cohort import cell_plan
from features.cells.features import CellFeature
from features.cells.quality import CellQuality, ambient_notes, cell_quality
from features.cells.source import CellSource
from features.cells.summary import summarise_cells
from features.cells.view import CellView, sketch, view_cells
from features.errors import CohortError, examples
from features.genes import GeneTranslation
from features.units import UnitFinding
from pipelines.cells.prepared import PreparedCells
from pipelines.cells.samples import CellSamples
from pipelines.reading.units import unit_of
from pipelines.settings.cohort import CohortConfig

__all__ = ["cell_unit", "prepare_cells"]

_LOOKED_AT = 500
_SEED = 0
_FEWEST_VIEWED = 500
# A view holds its cells in several copies on the way: bytes a value, all of them together.
_BYTES_SPARSE, _BYTES_DENSE = 60, 40
_MALIGNANT = {"true", "yes", "1", "1.0", "aneuploid", "malignant", "tumor", "tumour"}
_NOT_SAID = {"", "unknown", "nan", "na", "n/a", "none", "not.defined", "not defined"}
_SCORES = "cells.parquet"


def cell_unit(source: CellSource, config: CohortConfig) -> UnitFinding:
    """Return the unit of a file of cells, as stated or as some of its cells show."""
    chosen = np.unique(np.linspace(0, source.n_cells - 1, _LOOKED_AT).astype(np.intp))
    block = source.rows(chosen)
    values = block.toarray() if hasattr(block, "toarray") else np.asarray(block)
    return unit_of(np.asarray(values, dtype=float), config)


def prepare_cells(
    source: CellSource,
    found: CellSamples,
    *,
    config: CohortConfig,
    translation: GeneTranslation,
    catalogue: Catalogue,
    cell_features: Sequence[CellFeature],
) -> PreparedCells:
    """Return the cells of a file with quality, types and view, and their sums by sample.

    Raises
    ------
    CohortError
        A column named is missing, or no cell is left.
    """
    symbols = tuple(str(symbol) for symbol in translation.symbols)
    finding = cell_unit(source, config)
    settings = config.cells
    quality = cell_quality(
        source,
        symbols=symbols,
        finding=finding,
        samples=found.codes,
        sample_names=found.names,
        memory_mb=settings.memory_mb,
        doublets="doublet" in settings.drop,
    )
    samples = _without_dropped(found.codes, quality, config)
    view, positions, clusters = _view(source, samples, symbols, finding, config)
    annotation, types, type_notes = _types(source, symbols, finding, clusters, config)
    ambient = ambient_notes(
        source, symbols=symbols, finding=finding, types=types, memory_mb=settings.memory_mb
    )
    holds = TemporaryDirectory(prefix="oncoresist-cells-")
    summary = summarise_cells(
        source,
        symbols=symbols,
        finding=finding,
        samples=samples,
        sample_names=found.names,
        types=types,
        plan=cell_plan(catalogue, setting=None, cell_features=cell_features),
        memory_mb=settings.memory_mb,
        scores=Path(holds.name) / _SCORES,
    )
    notes = (
        *found.notes,
        *(note for note in quality.skipped if not note.startswith("ambient")),
        *_quality_notes(found.codes, samples, quality, settings.drop),
        *([f"view: {', '.join(view.steps)}"] if view.steps else []),
        *view.skipped,
        *type_notes,
        *ambient,
    )
    return PreparedCells(
        path=Path(source.name),
        symbols=symbols,
        originals=tuple(source.genes),
        finding=finding,
        samples=samples,
        sampled=found.codes,
        sample_names=found.names,
        types=types,
        annotation=annotation,
        quality=quality,
        view=view if clusters is not None else None,
        positions=positions,
        summary=summary,
        notes=notes,
        holds=holds,
    )


def _without_dropped(
    codes: NDArray[np.int32], quality: CellQuality, config: CohortConfig
) -> NDArray[np.int32]:
    """Return the samples of the cells, -1 for those of low quality and doublets."""
    dropped = quality.table["total_counts"].eq(0).to_numpy()
    for name in config.cells.drop:
        if name in quality.table:
            dropped |= quality.table[name].fillna(False).to_numpy(dtype=bool)
    kept = np.where(dropped, np.int32(-1), codes).astype(np.int32)
    if not (kept >= 0).any():
        raise CohortError(
            f"cohort '{config.name}': all {len(codes):,} cells are of low quality or doublets; "
            "look at the unit, or set cells.drop: []"
        )
    return kept


def _quality_notes(
    before: NDArray[np.int32],
    after: NDArray[np.int32],
    quality: CellQuality,
    drop: Sequence[str],
) -> list[str]:
    left_out = int(((before >= 0) & (after < 0)).sum())
    if not left_out:
        return []
    told = [
        f"{int(quality.table[name][before >= 0].fillna(False).astype(bool).sum()):,} {words}"
        for name, words in (("low_quality", "of low quality"), ("doublet", "doublets"))
        if name in quality.table and name in drop
    ]
    nothing = int(quality.table["total_counts"][before >= 0].eq(0).sum())
    told += [f"{nothing:,} without any count"] if nothing else []
    return [f"{left_out:,} of {len(before):,} cells left out: {', '.join(told)}"]


def _view(
    source: CellSource,
    samples: NDArray[np.int32],
    symbols: tuple[str, ...],
    finding: UnitFinding,
    config: CohortConfig,
) -> tuple[CellView, NDArray[np.intp], NDArray[np.int32] | None]:
    """Return the view of a sketch, its cells, and each cell's cluster; None where there are none.

    Too few cells or genes make no clusters: nothing is then smoothed over all cells as if they were
    one.
    """
    size = min(config.cells.sketch, _cells_in_memory(source, config.cells.memory_mb))
    positions = sketch(source, samples=samples, size=size, seed=_SEED)
    view = view_cells(
        source,
        symbols=symbols,
        finding=finding,
        positions=positions,
        batches=_batches(source, positions, config),
        integrate="none" if config.cells.batch is None else "harmony",
        seed=_SEED,
    )
    if not view.umap.any():
        return view, positions, None
    clusters = cluster_cells(
        source,
        model=view.model,
        positions=positions,
        clusters=view.clusters,
        memory_mb=config.cells.memory_mb,
    )
    return view, positions, clusters


def _cells_in_memory(source: CellSource, memory_mb: int) -> int:
    """Return how many cells a view can be made of within the memory set for chunks."""
    chosen = np.unique(np.linspace(0, source.n_cells - 1, _LOOKED_AT).astype(np.intp))
    block = source.rows(chosen)
    values = block.nnz * _BYTES_SPARSE if hasattr(block, "nnz") else block.size * _BYTES_DENSE
    return max(_FEWEST_VIEWED, int(memory_mb * 2**20 * chosen.size // max(values, 1)))


def _batches(
    source: CellSource, positions: NDArray[np.intp], config: CohortConfig
) -> NDArray[np.int32] | None:
    if config.cells.batch is None:
        return None
    column = _named_column(source, config.cells.batch, "cells.batch", config)
    codes = pd.factorize(column.astype(str))[0].astype(np.int32)
    return np.asarray(codes[positions], dtype=np.int32)


def _types(
    source: CellSource,
    symbols: tuple[str, ...],
    finding: UnitFinding,
    clusters: NDArray[np.int32] | None,
    config: CohortConfig,
) -> tuple[CellAnnotation | None, NDArray[np.int8], list[str]]:
    """Return the type of each cell: as the file says, or by markers."""
    settings, annotation = config.cells, None
    if settings.cell_type is not None:
        given = _named_column(source, settings.cell_type, "cells.cell_type", config)
        names, unmapped = map_annotation(
            [str(value) for value in given.astype(object).where(given.notna(), "unknown")]
        )
        types = np.array([CELL_TYPES.index(name) for name in names], dtype=np.int8)
        notes = [f"cell types: obs['{settings.cell_type}'], in this project's vocabulary"]
        if unmapped:
            notes.append(f"cell types not understood, taken as unknown: {examples(unmapped)}")
    else:
        annotation = annotate_cells(
            source,
            symbols=symbols,
            finding=finding,
            clusters=clusters,
            memory_mb=settings.memory_mb,
        )
        types, notes = annotation.types, list(annotation.notes)
    if settings.malignant is not None:
        said = _named_column(source, settings.malignant, "cells.malignant", config)
        words = said.astype(object).where(said.notna(), "").astype(str).str.lower().str.strip()
        malignant = words.isin(_MALIGNANT).to_numpy()
        normal = ~malignant & ~words.isin(_NOT_SAID).to_numpy()
        called = np.isin(types, [CELL_TYPES.index(name) for name in COMPARTMENTS["malignant"]])
        types = np.where(malignant, CELL_TYPES.index("malignant"), types)
        types = np.where(normal & called, CELL_TYPES.index("other"), types).astype(np.int8)
        notes.append(
            f"{int(malignant.sum()):,} cells malignant by obs['{settings.malignant}'], "
            f"{int((normal & called).sum()):,} called so by markers are not"
        )
    gone = {name for part in settings.absent for name in COMPARTMENTS[part]}
    called = np.isin(types, [CELL_TYPES.index(name) for name in gone])
    if called.any():
        types = np.where(called, CELL_TYPES.index("unknown"), types).astype(np.int8)
        notes.append(
            f"{int(called.sum()):,} cells called as what the preparation took away "
            "(cells.absent) are taken as unknown"
        )
    return annotation, types, notes


def _named_column(
    source: CellSource, column: str, setting: str, config: CohortConfig
) -> "pd.Series[str]":
    if column not in source.obs_columns:
        raise CohortError(
            f"cohort '{config.name}' ({source.name}): obs has no column '{column}' ({setting}); "
            f"its columns: {examples(source.obs_columns, most=20)}"
        )
    return source.obs_column(column)
