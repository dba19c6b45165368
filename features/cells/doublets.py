"""Doublets of raw counts by scrublet, one sample in memory at a time."""

import warnings
from collections.abc import Sequence
from typing import Any

import anndata as ad
import numpy as np
import scanpy as sc
from numpy.typing import NDArray

from features.cells.expression import is_sparse
from features.cells.source import CellSource
from features.errors import examples

__all__ = ["find_doublets"]

_FEWEST_CELLS = 50
_FEWEST_GENES_OF_CELL = 10
"""Genes that a cell needs to be looked at."""
_MOST_EXACT = 4000
"""Cells of a sample up to which neighbours are exact; approximate ones are faster beyond."""
_BYTES_PER_COUNT = 150
"""Memory by stored count: the sample, twice as many simulated cells, their copies."""


def find_doublets(
    source: CellSource,
    *,
    n_genes: NDArray[np.float32],
    samples: NDArray[np.integer[Any]],
    sample_names: Sequence[str],
    memory_mb: int,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[str, ...]]:
    """Return the doublet score of each cell, whether it is one, and what was left out.

    Parameters
    ----------
    source
        Cells with raw counts.
    n_genes
        Genes detected in each cell (n_cells,).
    samples, sample_names
        Position in the names per cell (n_cells,), -1 for a cell that is left out.
    memory_mb
        Megabytes that a sample may take.
    seed
        Seed of the simulated doublets.

    Returns
    -------
    scores
        (n_cells,); NaN where a cell was not looked at.
    doublets
        (n_cells,).
    skipped
        Samples that were left out and why, a sentence for each reason.

    Notes
    -----
    scrublet (10.1016/j.cels.2018.11.005) as in scanpy.
    """
    scores = np.full(source.n_cells, np.nan, dtype=np.float32)
    doublets = np.zeros(source.n_cells, dtype=np.bool_)
    left: dict[str, list[str]] = {}
    for code, sample in enumerate(sample_names):
        cells = np.flatnonzero((samples == code) & (n_genes >= _FEWEST_GENES_OF_CELL))
        stored = float(n_genes[cells].sum())
        if cells.size < _FEWEST_CELLS:
            left.setdefault(f"fewer than {_FEWEST_CELLS} cells", []).append(str(sample))
        elif stored * _BYTES_PER_COUNT > memory_mb * 1e6:
            left.setdefault(f"too large for {memory_mb} MB", []).append(str(sample))
        else:
            found = _scrublet(source.rows(cells), seed=seed)
            if found is None:
                left.setdefault("no threshold parts them from single cells", []).append(str(sample))
            else:
                scores[cells], doublets[cells] = found
    skipped = tuple(f"doublets of {examples(names)}: {why}" for why, names in left.items())
    return scores, doublets, skipped


def _scrublet(counts: Any, *, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """Return scores and calls of scrublet for the cells of one sample, None where it has none."""
    values = counts.astype(np.float32) if is_sparse(counts) else np.asarray(counts, np.float32)
    adata = ad.AnnData(values)
    components = max(2, min(30, adata.n_obs - 2, adata.n_vars - 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            sc.pp.scrublet(
                adata,
                n_prin_comps=components,
                use_approx_neighbors=False if adata.n_obs <= _MOST_EXACT else None,
                random_state=seed,
                verbose=False,
            )
        except ValueError:  # too few variable genes, or one value throughout
            return None
    if "predicted_doublet" not in adata.obs or adata.obs["predicted_doublet"].isna().any():
        return None
    scores = adata.obs["doublet_score"].to_numpy(dtype=np.float32)
    return scores, adata.obs["predicted_doublet"].to_numpy(dtype=np.bool_)
