"""One pass over the cells of a file: sums, scores and detections by sample and cell type."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Marker
from features.cells.cell_types import CELL_TYPES
from features.cells.score_table import WriteScores, read_scores, score_table
from features.cells.scores import (
    CellScorer,
    LinearCells,
    linear_cells,
    taken_as_they_are,
    zeros_stay,
)
from features.cells.source import CellSource, chunk_size
from features.cells.sums import GroupSums
from features.cohort import TARGET_SUM
from features.errors import CohortError, ConfigError, examples
from features.units import UnitFinding, to_linear

__all__ = ["CellPlan", "CellSummary", "read_scores", "summarise_cells"]


@dataclass(frozen=True)
class CellPlan:
    """What is computed of every cell.

    Attributes
    ----------
    markers
        Scored in each cell.
    detected
        Rule id → genes, all of which must be above zero.
    min_coverage
        Least share of a marker's genes that must be in the file.
    """

    markers: tuple[Marker, ...]
    detected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_coverage: float = 0.5


@dataclass(frozen=True, eq=False)
class CellSummary:
    """Sums over the cells of each sample and type.

    Attributes
    ----------
    samples, types, symbols, marker_ids, detected_ids
        Names of the axes: samples, :data:`features.cells.cell_types.CELL_TYPES`, the file's
        approved symbols each once, markers, and the detection rules whose genes are all in the
        file.
    n_cells
        (n_samples, n_types).
    expression
        (n_samples, n_types, n_genes): sums over cells of raw counts (unit counts), of counts per
        10,000 (other units with a linear scale), or of the values (``gene_scaled``,
        ``log2_intensity``). NaN where a gene was not measured in one of the cells.
    score_sums, score_squares, score_cells
        (n_samples, n_types, n_markers): sum of scores, of their squares, and number of cells that
        have one.
    detected
        (n_samples, n_types, n_rules): cells in which all genes of a rule are above zero.
    not_measured
        Rules of which a gene is not in the file.
    finding
        The unit of the file.
    scores
        Parquet file with the scores of each cell, None where none was asked for.
    """

    samples: tuple[str, ...]
    types: tuple[str, ...]
    symbols: tuple[str, ...]
    n_cells: NDArray[np.int64]
    expression: NDArray[np.float64]
    marker_ids: tuple[str, ...]
    score_sums: NDArray[np.float64]
    score_squares: NDArray[np.float64]
    score_cells: NDArray[np.int64]
    detected_ids: tuple[str, ...]
    detected: NDArray[np.int64]
    not_measured: tuple[str, ...]
    finding: UnitFinding
    scores: Path | None

    def counts_of(self, types: Sequence[str] | None = None) -> NDArray[np.int64]:
        """Return the number of cells of these types, of None all, (n_samples,).

        Raises
        ------
        ConfigError
            There is no such type.
        """
        return np.asarray(self.n_cells[:, self._codes(types)].sum(axis=1))

    def pseudobulk(self, types: Sequence[str] | None = None, *, min_cells: int) -> ad.AnnData:
        """Return the expression of each sample's cells of these types, of None all, as bulk.

        ``X`` (n_samples, n_genes) is log1p of the summed counts per million, or of the mean linear
        value scaled to a million; the mean value where it came scaled per gene. A sample with fewer
        than ``min_cells`` such cells, or without counts, is NaN. ``obs['n_cells']``: the cells.

        Raises
        ------
        ConfigError
            There is no such type.

        Notes
        -----
        Of ``log2_intensity`` the mean of the logarithms is brought to the linear scale.
        """
        n_cells = self.counts_of(types)
        values = np.zeros((len(self.samples), len(self.symbols)))
        for code in self._codes(types):  # one type at a time: all at once would copy them all
            values += self.expression[:, code]
        values[n_cells < max(min_cells, 1)] = np.nan
        if taken_as_they_are(self.finding):
            values /= np.maximum(n_cells, 1)[:, None]
        if self.finding.unit != "gene_scaled":
            if taken_as_they_are(self.finding):
                values = to_linear(values, self.finding)
            totals = np.nansum(values, axis=1, keepdims=True)
            values = np.log1p(values * (TARGET_SUM / np.where(totals > 0, totals, np.nan)))
        index = pd.Index(self.samples, dtype=object)
        return ad.AnnData(
            values,
            obs=pd.DataFrame({"n_cells": n_cells}, index=index),
            var=pd.DataFrame(index=pd.Index(self.symbols, dtype=object)),
            uns={"oncoresist": {"unit": self.finding.unit}},
        )

    def score_mean(self, types: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the mean score over cells (n_samples, n_markers), NaN where no cell has one.

        Raises
        ------
        ConfigError
            There is no such type.
        """
        codes = self._codes(types)
        sums = self.score_sums[:, codes].sum(axis=1)
        cells = self.score_cells[:, codes].sum(axis=1)
        means = np.full(sums.shape, np.nan)
        np.divide(sums, cells, out=means, where=cells > 0)
        return pd.DataFrame(means, index=list(self.samples), columns=list(self.marker_ids))

    def _codes(self, types: Sequence[str] | None) -> list[int]:
        chosen = self.types if types is None else tuple(dict.fromkeys(types))
        strangers = [name for name in chosen if name not in self.types]
        if strangers:
            raise ConfigError(
                f"there is no cell type {examples(strangers)}; types are {', '.join(self.types)}"
            )
        return [self.types.index(name) for name in chosen]


def summarise_cells(
    source: CellSource,
    *,
    symbols: Sequence[str],
    finding: UnitFinding,
    samples: NDArray[np.int32],
    sample_names: Sequence[str],
    types: NDArray[np.int8],
    plan: CellPlan,
    memory_mb: int = 1024,
    rows: int | None = None,
    scores: Path | None = None,
) -> CellSummary:
    """Return sums by sample and cell type, in one pass over the file, a chunk at a time.

    Parameters
    ----------
    source
        The cells.
    symbols
        Approved symbol of each gene of the file, ``""`` where there is none: such a gene counts
        into a cell's total alone. A symbol that stands more than once has its columns added up
        (averaged for ``gene_scaled`` and ``log2_intensity``).
    finding
        The unit.
    samples
        (n_cells,): position in ``sample_names``, -1 for a cell left out of all sums.
    sample_names
        Name of each sample.
    types
        (n_cells,): position in :data:`features.cells.cell_types.CELL_TYPES`.
    plan
        What is computed of every cell.
    memory_mb, rows
        Megabytes for the work on a chunk, see :func:`features.cells.source.chunk_size`; or the rows
        of a chunk.
    scores
        Parquet file for the scores of each cell, see
        :func:`features.cells.score_table.score_table`; written whole or not at all.

    Raises
    ------
    CohortError
        The file is damaged, its values do not fit the unit, or symbols, samples and types do not
        fit the file.
    ConfigError
        The parquet file cannot be written, or a marker is over one that is not in the plan.
    """
    _check_axes(source, symbols, samples=samples, sample_names=sample_names, types=types)
    scorer = CellScorer(
        plan.markers,
        symbols=symbols,
        finding=finding,
        min_coverage=plan.min_coverage,
        detected=plan.detected,
    )
    rows = rows or chunk_size(source, memory_mb=memory_mb, dense=not zeros_stay(finding))
    sums = GroupSums(
        len(sample_names) * len(CELL_TYPES), scorer, symbols, average=taken_as_they_are(finding)
    )
    names = {"marker_ids": scorer.marker_ids, "sample_names": sample_names}
    table: AbstractContextManager[WriteScores | None] = (
        score_table(scores, type_names=CELL_TYPES, **names) if scores else nullcontext()
    )
    with table as write:
        for start, block in source.chunks(rows):
            here = slice(start, start + block.shape[0])
            cells = _linear_cells(block, source, start, finding=finding)
            found = scorer.score_linear(cells)
            own, kinds = samples[here], types[here]
            if finding.unit != "counts":
                cells.values.data *= np.repeat(cells.factors, np.diff(cells.values.indptr))
            sums.add(cells, found, np.where(own < 0, -1, own * np.int64(len(CELL_TYPES)) + kinds))
            if write:
                ids = source.cell_ids(here.start, here.stop)
                write(found, cell_ids=ids, samples=own, types=kinds)
    return _summary(sums, scorer, sample_names, finding=finding, scores=scores)


def _summary(
    sums: GroupSums,
    scorer: CellScorer,
    sample_names: Sequence[str],
    *,
    finding: UnitFinding,
    scores: Path | None,
) -> CellSummary:
    shape = (len(sample_names), len(CELL_TYPES))
    return CellSummary(
        samples=tuple(sample_names),
        types=CELL_TYPES,
        symbols=sums.symbols,
        n_cells=sums.n_cells.reshape(shape),
        expression=sums.expression.reshape(*shape, len(sums.symbols)),
        marker_ids=scorer.marker_ids,
        score_sums=sums.score_sums.reshape(*shape, len(scorer.marker_ids)),
        score_squares=sums.score_squares.reshape(*shape, len(scorer.marker_ids)),
        score_cells=sums.score_cells.reshape(*shape, len(scorer.marker_ids)),
        detected_ids=scorer.detected_ids,
        detected=sums.detected.reshape(*shape, len(scorer.detected_ids)),
        not_measured=scorer.not_measured,
        finding=finding,
        scores=scores,
    )


def _linear_cells(
    block: Any, source: CellSource, start: int, *, finding: UnitFinding
) -> LinearCells:
    try:
        return linear_cells(block, finding=finding)
    except CohortError as error:
        stop = start + block.shape[0] - 1
        raise CohortError(f"{source.name}, cells {start} to {stop}: {error}") from error


def _check_axes(
    source: CellSource,
    symbols: Sequence[str],
    *,
    samples: NDArray[np.int32],
    sample_names: Sequence[str],
    types: NDArray[np.int8],
) -> None:
    """Refuse symbols, samples and types that do not fit the file."""
    for what, given, needed in (
        ("symbols", len(symbols), len(source.genes)),
        ("sample codes", len(samples), source.n_cells),
        ("type codes", len(types), source.n_cells),
    ):
        if given != needed:
            raise CohortError(f"{source.name}: {given} {what} for {needed}; give one for each")
    for what, codes, lowest, most in (
        ("sample", samples, -1, len(sample_names)),
        ("type", types, 0, len(CELL_TYPES)),
    ):
        wrong = np.unique(codes[(codes < lowest) | (codes >= most)])
        if wrong.size:
            raise CohortError(
                f"{source.name}: {what} codes {examples(wrong)}; allowed: {lowest} to {most - 1}"
            )
