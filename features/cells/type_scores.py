"""How much each cell looks like each type: its marker genes against all others, standardised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.cells.cell_types import (
    CELL_TYPES,
    CellType,
    cell_types,
    lineage_of,
    name_marker_genes,
)
from features.cells.expression import has_linear_scale, is_sparse, log_columns
from features.cells.source import CellSource
from features.units import UnitFinding

__all__ = ["GeneScale", "TypeMarkers", "TypeScores", "learn_scale", "type_scores"]

_ENOUGH_SHARE, _ENOUGH_GENES = 0.5, 3
"""A signature counts as measured with this share of its genes, or this many of them."""
_SPREAD = 0.1
"""Standard deviation of mean evidence between cells of one type, beyond that of few genes."""
_SMALLEST_VARIANCE = 0.02
"""Variance of evidence in a cell in which hardly a marker gene is found."""


@dataclass(frozen=True)
class GeneScale:
    """How values of marker genes become evidence between 0 (absent) and 1.

    Attributes
    ----------
    kind
        ``per_10k``: log1p of counts per 10,000; ``positive``: zero means absent, each gene on a
        scale of its own; ``centred``: values about a mean, without a zero.
    centre, spread
        Per marker gene (n_markers,): what is half of the evidence and, where centred, the
        standard deviation.
    """

    kind: Literal["per_10k", "positive", "centred"]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]

    def evidence(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the evidence (n_cells, n_markers) of values of the same shape."""
        if self.kind == "per_10k":  # x of 10,000 gives x / (x + 1)
            return -np.expm1(-np.maximum(values, 0.0))
        if self.kind == "positive":
            positive = np.maximum(values, 0.0)
            return positive / (positive + self.centre)
        # Beyond the mean of the file, in standard deviations: absent and average are alike there.
        z = np.maximum((values - self.centre) / self.spread, 0.0)
        return z / (z + 1.0)


@dataclass(frozen=True)
class TypeScores:
    """Scores of cells for types.

    Attributes
    ----------
    excess
        (n_cells, n_types): mean evidence of the type's best signature, less that of the genes
        against it and that of the marker genes of other lineages; NaN where not measured.
    standardised
        (n_cells, n_types): ``excess`` over its standard error, so that types with few and with
        many markers, and cells of any depth, compare.
    """

    excess: NDArray[np.float64]
    standardised: NDArray[np.float64]


class TypeMarkers:
    """The marker genes of the cell types among the genes of a file.

    Parameters
    ----------
    symbols
        Symbol, or any other identifier that
        :func:`features.cells.cell_types.name_marker_genes` knows, of each column of the file.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        names = name_marker_genes(symbols)
        self.columns = np.flatnonzero([bool(name) for name in names])
        named = [names[column] for column in self.columns]
        self.genes: tuple[str, ...] = tuple(dict.fromkeys(named))
        places = {gene: place for place, gene in enumerate(self.genes)}
        self._place: Mapping[str, int] = places
        rows = np.arange(len(named))
        owner = np.array([places[name] for name in named], dtype=np.intp)
        shape = (len(named), len(self.genes))
        self._gather = sparse.csr_matrix((np.ones(len(named)), (rows, owner)), shape=shape)
        self._copies = np.asarray(self._gather.sum(axis=0)).ravel()

    @cached_property
    def signatures(self) -> tuple[tuple[CellType, tuple[int, ...]], ...]:
        """Type and marker places of each signature that is measured well enough."""
        found = []
        for kind in cell_types():
            for genes in kind.signatures.values():
                places = tuple(self._place[gene] for gene in genes if gene in self._place)
                enough = len(places) >= min(_ENOUGH_GENES, len(genes))
                if places and (enough or len(places) >= _ENOUGH_SHARE * len(genes)):
                    found.append((kind, places))
        return tuple(found)

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """Ids of the types that have a measured signature."""
        return tuple(dict.fromkeys(kind.id for kind, _ in self.signatures))

    @cached_property
    def not_measured(self) -> tuple[str, ...]:
        """Ids of the types that have signatures, none of them measured."""
        return tuple(k.id for k in cell_types() if k.signatures and k.id not in self.measured)

    def values(self, block: Any, *, average: bool) -> NDArray[np.float64]:
        """Return the marker genes (n_cells, n_markers) of their columns, those of a gene added up.

        ``block`` is (n_cells, n_columns), the file's at ``columns``; ``average`` takes the mean
        instead, for values that cannot be added.
        """
        summed = block @ self._gather
        dense = summed.toarray() if is_sparse(summed) else np.asarray(summed)
        return dense / self._copies if average else dense

    def score(self, evidence: NDArray[np.float64]) -> TypeScores:
        """Return the scores of cells by the evidence (n_cells, n_markers) of their marker genes."""
        shape = (evidence.shape[0], len(CELL_TYPES))
        excess, standardised = np.full(shape, np.nan), np.full(shape, np.nan)
        if not self.signatures:
            return TypeScores(excess, standardised)
        means, sizes, owners = evidence @ self._weights, self._sizes, self._owners
        spread = np.maximum(evidence.var(axis=1), _SMALLEST_VARIANCE)
        errors = np.sqrt(spread[:, None] / sizes + _SPREAD**2)
        for code in np.unique(owners):
            own = np.flatnonzero(owners == code)
            ratio = means[:, own] / errors[:, own]
            best = ratio.argmax(axis=1)[:, None]
            excess[:, code] = np.take_along_axis(means[:, own], best, axis=1)[:, 0]
            standardised[:, code] = np.take_along_axis(ratio, best, axis=1)[:, 0]
        return TypeScores(excess, standardised)

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        return np.array([len(places) for _, places in self.signatures], dtype=np.float64)

    @cached_property
    def _owners(self) -> NDArray[np.intp]:
        return np.array([CELL_TYPES.index(kind.id) for kind, _ in self.signatures], dtype=np.intp)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """Weights (n_markers, n_signatures) that make evidence the excess of each signature."""
        weights = np.zeros((len(self.genes), len(self.signatures)))
        for column, (kind, places) in enumerate(self.signatures):
            weights[list(places), column] += 1.0 / len(places)
            against = [self._place[gene] for gene in kind.against if gene in self._place]
            if against:
                weights[against, column] -= 1.0 / len(against)
            others = sorted(set(range(len(self.genes))) - self._of_lineage(kind) - {*places})
            if others:
                weights[others, column] -= 1.0 / len(others)
        return weights

    def _of_lineage(self, kind: CellType) -> set[int]:
        lineage = lineage_of(kind.id)
        genes = {gene for k in cell_types() if lineage_of(k.id) == lineage for gene in k.genes}
        return {self._place[gene] for gene in genes if gene in self._place}


def learn_scale(
    source: CellSource, markers: TypeMarkers, *, finding: UnitFinding, rows: int
) -> GeneScale:
    """Return how values of marker genes become evidence, from one reading where that needs it.

    Counts, TPM and their logarithms need none. Values scaled per gene do: where none is negative,
    zero means absent, and half of a gene's mean where it is present is half of the evidence;
    where some are, and for intensities, a gene's mean and standard deviation in the file are all
    that there is, so that a type that all cells are of cannot be told.
    """
    n_markers = len(markers.genes)
    if has_linear_scale(finding):
        return GeneScale("per_10k", np.ones(n_markers), np.ones(n_markers))
    sums, squares, above, present = (np.zeros(n_markers) for _ in range(4))
    lowest = np.inf
    for _, block in source.chunks(rows):
        chosen = log_columns(block, finding, columns=markers.columns)
        values = markers.values(chosen, average=True)
        lowest = min(lowest, float(values.min(initial=np.inf)))
        sums += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
        above += np.maximum(values, 0.0).sum(axis=0)
        present += (values > 0).sum(axis=0)
    if lowest >= 0 and finding.unit == "gene_scaled":
        mean = np.divide(above, present, out=np.ones(n_markers), where=present > 0)
        return GeneScale("positive", mean / 2, np.ones(n_markers))
    mean = sums / source.n_cells
    spread = np.sqrt(np.maximum(squares / source.n_cells - mean**2, 0.0))
    return GeneScale("centred", mean, np.where(spread > 0, spread, 1.0))


def type_scores(log_values: Any, symbols: Sequence[str]) -> TypeScores:
    """Return the scores of cells for types by log1p of counts per 10,000.

    Parameters
    ----------
    log_values
        (n_cells, n_genes), CSR or dense.
    symbols
        Symbol of each column.

    Notes
    -----
    Each marker gene gives evidence ``x / (x + 1)`` of ``x`` counts per 10,000. A type's excess is
    the mean over the genes of its best signature, less the mean over the genes against it (as
    ScType's negative markers, 10.1038/s41467-022-28803-w), less the mean over the marker genes of
    all other lineages, which is what dropout, depth and ambient RNA leave everywhere in this cell.
    It is divided by its standard error ``sqrt(v / n + 0.1**2)``, with ``v`` the variance of the
    evidence over all marker genes of the cell and ``n`` the genes of the signature. No gene is
    scaled over cells, so that a file of one cell type is told as well as one of many.
    """
    markers = TypeMarkers(symbols)
    ones = np.ones(len(markers.genes))
    scale = GeneScale("per_10k", ones, ones)
    values = markers.values(log_values[:, markers.columns], average=False)
    return markers.score(scale.evidence(values))
