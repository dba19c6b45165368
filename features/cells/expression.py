"""Blocks of cells on a scale: linear, or log1p of counts per 10,000, sparse where they were."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.units import UnitFinding, to_linear

__all__ = [
    "COUNTS_PER",
    "has_linear_scale",
    "is_sparse",
    "keeps_zeros",
    "linear_block",
    "log_block",
    "log_columns",
    "row_sums",
]

COUNTS_PER = 1e4
"""What a cell's counts are brought to before the logarithm, scanpy's convention."""


def has_linear_scale(finding: UnitFinding) -> bool:
    """Return whether values of the unit can be brought to counts, or to what is like them."""
    return finding.unit not in ("gene_scaled", "log2_intensity")


def keeps_zeros(finding: UnitFinding) -> bool:
    """Return whether a stored zero is a zero on the linear scale, so that blocks stay sparse."""
    if finding.unit == "log2_tpm":
        return finding.pseudocount == 1.0
    return finding.unit in ("counts", "tpm", "ln_tpm")


def linear_block(block: Any, finding: UnitFinding) -> Any:
    """Return a block (n_cells, n_genes) on the linear scale, float64, CSR where it can stay so.

    What was not measured (NaN) counts as 0. A unit without a linear scale comes as it is.
    """
    if is_sparse(block):
        if keeps_zeros(finding) or not has_linear_scale(finding):
            block = sparse.csr_matrix(block, dtype=np.float64, copy=True)
            block.data = _linear(block.data, finding)
            return block
        block = block.toarray()
    return _linear(np.asarray(block, dtype=np.float64), finding)


def _linear(values: NDArray[np.float64], finding: UnitFinding) -> NDArray[np.float64]:
    if not has_linear_scale(finding):
        return np.nan_to_num(values, nan=0.0)
    return np.nan_to_num(to_linear(values, finding), nan=0.0)


def is_sparse(block: Any) -> bool:
    """Return whether a block is a sparse matrix."""
    return bool(sparse.issparse(block))


def row_sums(block: Any) -> NDArray[np.float64]:
    """Return the sum of each cell (n_cells,)."""
    return np.asarray(block.sum(axis=1), dtype=np.float64).ravel()


def log_block(block: Any, finding: UnitFinding) -> Any:
    """Return log1p of counts per 10,000, (n_cells, n_genes), CSR where it can stay so.

    A unit without a linear scale comes as it is; a cell without counts is 0 throughout.
    """
    linear = linear_block(block, finding)
    return _log(linear, row_sums(linear)) if has_linear_scale(finding) else linear


def log_columns(block: Any, finding: UnitFinding, *, columns: NDArray[np.intp]) -> Any:
    """Return columns of :func:`log_block`, the others only counted: (n_cells, n_columns)."""
    if finding.unit in ("counts", "tpm"):
        totals = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        if not np.isnan(totals).any():
            return _log(linear_block(block[:, columns], finding), totals)
    elif not has_linear_scale(finding):
        return linear_block(block[:, columns], finding)
    return log_block(block, finding)[:, columns]


def _log(linear: Any, totals: NDArray[np.float64]) -> Any:
    factors = np.divide(COUNTS_PER, totals, out=np.zeros_like(totals), where=totals > 0)
    if is_sparse(linear):
        linear.data *= np.repeat(factors, np.diff(linear.indptr))
        np.log1p(linear.data, out=linear.data)
        return linear
    return np.log1p(linear * factors[:, None])
