"""CellScorer: the catalogue's markers in every cell of a block, without making it dense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.catalogue import Marker, genes_read
from features.errors import CohortError, ConfigError, examples
from features.gene_scores import GeneScores
from features.scoring import score_markers
from features.units import UnitFinding, to_linear

__all__ = [
    "CELL_TARGET_SUM",
    "CellBlock",
    "CellScorer",
    "LinearCells",
    "linear_cells",
    "taken_as_they_are",
    "zeros_stay",
]

CELL_TARGET_SUM = 1e4
"""Every cell is scaled to this total before log1p."""
_NO_RULES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True)
class LinearCells:
    """A block on a linear scale, or as it came where there is none.

    Attributes
    ----------
    values
        (n_cells, n_genes) CSR of float64; NaN where a gene was not measured.
    totals
        (n_cells,): sum over the measured genes; NaN where values are taken as they are.
    n_genes
        (n_cells,): genes above zero.
    factors
        (n_cells,): what brings a cell to counts per 10,000; 0 for a cell without counts; 1 where
        values are taken as they are.
    """

    values: Any
    totals: NDArray[np.float64]
    n_genes: NDArray[np.int64]
    factors: NDArray[np.float64]


@dataclass(frozen=True)
class CellBlock:
    """What was found in each cell of a block.

    Attributes
    ----------
    scores
        (n_cells, n_markers); NaN where too few genes are measured or the cell has no counts.
    detected
        (n_cells, n_rules): whether all genes of a rule are above zero.
    totals, n_genes
        (n_cells,): as in :class:`LinearCells`.
    """

    scores: NDArray[np.float64]
    detected: NDArray[np.bool_]
    totals: NDArray[np.float64]
    n_genes: NDArray[np.int64]


def taken_as_they_are(finding: UnitFinding) -> bool:
    """Return whether cells are not normalised: values per gene, or intensities."""
    return finding.unit in ("gene_scaled", "log2_intensity")


def zeros_stay(finding: UnitFinding) -> bool:
    """Return whether a zero of this unit is a zero of what it is brought to."""
    return finding.unit != "log2_tpm" or finding.pseudocount == 1.0


def linear_cells(block: Any, *, finding: UnitFinding) -> LinearCells:
    """Return a block of cells on a linear scale, with totals and genes detected.

    Parameters
    ----------
    block
        (n_cells, n_genes), sparse or dense, unit as in ``finding``; it is not changed.
    finding
        The unit; ``gene_scaled`` and ``log2_intensity`` are taken as they are.

    Raises
    ------
    CohortError
        Counts or linear values are negative, or values are infinite.
    """
    values = _linear(block, finding)
    data, lengths = values.data, np.diff(values.indptr)
    lowest = data.min(initial=np.inf)  # NaN where there is one
    if finding.unit in ("counts", "tpm") and np.nanmin(data, initial=0.0) < 0:
        raise CohortError(
            f"expression holds negative values (lowest {np.nanmin(data):.4g}) although its unit is "
            f"{finding.meaning}; correct the file or the unit"
        )
    n_genes = lengths if lowest > 0 else _row_sums(values, (data > 0).astype(np.float64))
    measured = np.where(np.isnan(data), 0.0, data) if np.isnan(lowest) else data
    totals = _row_sums(values, measured)
    if not np.isfinite(totals).all():
        raise CohortError(
            "expression holds infinite values; correct the file, or write NA where a gene was not "
            "measured"
        )
    if taken_as_they_are(finding):
        totals, factors = np.full_like(totals, np.nan), np.ones_like(totals)
    else:
        factors = np.zeros_like(totals)
        np.divide(CELL_TARGET_SUM, totals, out=factors, where=totals > 0)
    return LinearCells(values, totals, n_genes.astype(np.int64), factors)


def _linear(block: Any, finding: UnitFinding) -> Any:
    """Return a copy of a block as CSR of float64, linear where the unit has a linear scale."""
    as_it_is = finding.unit in ("counts", "tpm") or taken_as_they_are(finding)
    is_sparse = bool(sparse.issparse(block))
    if is_sparse and zeros_stay(finding):
        rows: Any = sparse.csr_matrix(block)
        data = rows.data.astype(np.float64)
        parts = (data if as_it_is else to_linear(data, finding), rows.indices, rows.indptr)
        return sparse.csr_matrix(parts, shape=rows.shape)
    dense = np.asarray(block.toarray() if is_sparse else block, dtype=np.float64)
    return sparse.csr_matrix(dense if as_it_is else to_linear(dense, finding))


def _row_sums(values: Any, data: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of stored numbers by row; rows without any are zero."""
    sums = np.zeros(values.shape[0])
    filled = np.diff(values.indptr) > 0
    if filled.any():
        sums[filled] = np.add.reduceat(data, values.indptr[:-1][filled])
    return sums


class CellScorer:
    """Markers and detection rules, ready to be scored in any block of one file's cells.

    A cell's score is the marker's rule (:class:`features.catalogue.Marker`) over the natural
    log1p of counts per 10,000 of its genes: their mean, weighted mean, the lower of two, a
    difference of means for ``excess`` and ``ratio``. Values of ``gene_scaled`` and
    ``log2_intensity`` are taken as they are.

    Parameters
    ----------
    markers
        What to score. Those whose genes a drug chooses are NaN.
    symbols
        Approved symbol of each column of the file, ``""`` where there is none. A symbol that
        stands more than once has its columns added up on the linear scale (averaged where values
        are taken as they are); NaN in one of them is NaN.
    finding
        The unit.
    min_coverage
        Least share of a marker's genes (and of its minus genes) that must be measured.
    detected
        Rule id → genes, all of which must be above zero.

    Attributes
    ----------
    marker_ids, detected_ids
        The columns of ``scores`` and ``detected``.
    not_measured
        Rules of which a gene is not in the file; they give no result.

    Raises
    ------
    ConfigError
        A marker is over one that is not among ``markers``.

    Notes
    -----
    All rules but ``lower_of_two`` are linear in their genes, so the scores that
    :func:`features.scoring.score_markers` gives to single genes are the weights of one product.
    """

    def __init__(
        self,
        markers: Sequence[Marker],
        *,
        symbols: Sequence[str],
        finding: UnitFinding,
        min_coverage: float = 0.5,
        detected: Mapping[str, tuple[str, ...]] = _NO_RULES,
    ) -> None:
        self._markers, self._finding, self._min_coverage = tuple(markers), finding, min_coverage
        self.marker_ids = tuple(marker.id for marker in markers)
        by_id = {marker.id: marker for marker in markers}
        strangers = [m.id for m in markers if m.over is not None and m.over not in by_id]
        if strangers:
            raise ConfigError(
                f"markers {examples(strangers)} are scored over a marker that is not scored; "
                "add it to the markers"
            )
        in_file = set(symbols) - {""}
        rules = {name: genes for name, genes in detected.items() if in_file.issuperset(genes)}
        self.detected_ids = tuple(rules)
        self.not_measured = tuple(name for name in detected if name not in rules)
        read = [gene for marker in markers for gene in genes_read(marker, by_id)]
        read += [gene for genes in rules.values() for gene in genes]
        self._genes = [gene for gene in dict.fromkeys(read) if gene in in_file]
        self._selector = _selector(symbols, self._genes, average=taken_as_they_are(finding))
        # One gene at a time, and last none of them, which only an uncovered marker is NaN in.
        alone = self._score_genes(np.eye(len(self._genes) + 1, len(self._genes)))
        self._uncovered = np.isnan(alone[-1])
        self._weights = np.where(self._uncovered, 0.0, alone[:-1])
        place = {gene: position for position, gene in enumerate(self._genes)}
        self._lower_of_two = {
            position: [place[gene] for gene in marker.genes]
            for position, marker in enumerate(markers)
            if marker.score == "lower_of_two" and in_file.issuperset(marker.genes)
        }
        self._members = np.zeros((len(self._genes), len(rules)))
        for position, genes in enumerate(rules.values()):
            self._members[[place[gene] for gene in genes], position] = 1.0

    def score(self, block: Any) -> CellBlock:
        """Return the scores of a block's cells.

        Parameters
        ----------
        block
            (n_cells, n_genes), sparse or dense, columns as ``symbols``; it is not changed.

        Raises
        ------
        CohortError
            The block has other columns, counts are negative, or values are infinite.
        """
        return self.score_linear(linear_cells(block, finding=self._finding))

    def score_linear(self, cells: LinearCells) -> CellBlock:
        """Return the scores of cells that :func:`linear_cells` has made linear."""
        if cells.values.shape[1] != self._selector.shape[0]:
            raise CohortError(
                f"a block of {cells.values.shape[1]} genes where the file has "
                f"{self._selector.shape[0]}; give symbols for each gene of the file"
            )
        picked = cells.values @ self._selector
        seen = picked > 0
        if not taken_as_they_are(self._finding):
            picked.data *= np.repeat(cells.factors, np.diff(picked.indptr))
            np.log1p(picked.data, out=picked.data)
        if np.isnan(picked.data).any():
            scores = self._score_genes(picked.toarray())
        else:
            scores = self._score_sparse(picked)
        scores[cells.factors == 0] = np.nan
        detected = np.asarray(seen @ self._members) == self._members.sum(axis=0)
        return CellBlock(scores, detected, cells.totals, cells.n_genes)

    def _score_sparse(self, picked: Any) -> NDArray[np.float64]:
        scores = np.asarray(picked @ self._weights)
        columns: Any = picked.tocsc() if self._lower_of_two else None
        for position, pair in self._lower_of_two.items():
            scores[:, position] = columns[:, pair].toarray().min(axis=1)
        scores[:, self._uncovered] = np.nan
        return scores

    def _score_genes(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of dense values of the wanted genes, NaN meaning not measured."""
        genes = GeneScores("mean_z", values, np.ones(values.shape[0]), self._genes)
        return score_markers(genes, markers=self._markers, min_coverage=self._min_coverage).scores


def _selector(symbols: Sequence[str], genes: Sequence[str], *, average: bool) -> Any:
    """Return what adds up, or averages, the columns of each gene, (n_columns, n_genes) CSR."""
    places = pd.Index(genes).get_indexer(pd.Index(symbols))
    columns = np.flatnonzero(places >= 0)
    places = places[columns]
    share = np.ones(columns.size)
    if average:
        share /= np.bincount(places, minlength=len(genes))[places]
    return sparse.csr_matrix((share, (columns, places)), shape=(len(symbols), len(genes)))
