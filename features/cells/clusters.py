"""A sketch of many cells, and the clusters of it for all the others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin

from features.cells.expression import log_columns
from features.cells.scores import zeros_stay
from features.cells.source import CellSource, chunk_size
from features.errors import CohortError
from features.units import UnitFinding

__all__ = ["ClusterModel", "cluster_cells", "sketch"]

_MOST_OVER = 1.5
_FEWEST_OF_SAMPLE = 50
"""Cells of a sample that a sketch takes at least, as far as it has them."""


@dataclass(frozen=True)
class ClusterModel:
    """Clusters of a sketch, for the cells outside it.

    Attributes
    ----------
    finding
        Unit of the values.
    columns
        Columns of the file that the components are made of (n_hvg,).
    loadings
        (n_hvg, n_components).
    offset
        What the sketch's mean cell has in each component (n_components,).
    centroids
        Mean of each cluster in components (n_clusters, n_components).
    """

    finding: UnitFinding
    columns: NDArray[np.intp]
    loadings: NDArray[np.float64]
    offset: NDArray[np.float64]
    centroids: NDArray[np.float64]

    def components(self, block: Any) -> NDArray[np.float64]:
        """Return the principal components of cells (n_cells, n_components)."""
        values = log_columns(block, self.finding, columns=self.columns)
        components: NDArray[np.float64] = np.asarray(values @ self.loadings) - self.offset
        return components

    def predict(self, block: Any) -> NDArray[np.int32]:
        """Return the cluster of each cell of a block (n_cells, n_genes): the nearest centroid."""
        if block.shape[0] == 0:
            return np.zeros(0, dtype=np.int32)
        nearest = pairwise_distances_argmin(self.components(block), self.centroids)
        return np.asarray(nearest, dtype=np.int32)


def sketch(
    source: CellSource, *, samples: NDArray[np.integer[Any]], size: int, seed: int
) -> NDArray[np.intp]:
    """Return sorted positions of about ``size`` cells, drawn from each sample by its share.

    Cells of sample -1 are left out; every sample gives at least 50 cells, or all that it has, as
    long as that does not make more than half as many again.

    Raises
    ------
    CohortError
        No cell belongs to a sample, or ``samples`` does not fit the file.
    """
    if len(samples) != source.n_cells:
        raise CohortError(
            f"{source.name} has {source.n_cells} cells, but {len(samples)} samples are given"
        )
    kept = np.flatnonzero(samples >= 0)
    if not kept.size:
        raise CohortError(f"{source.name}: no cell belongs to a sample; nothing can be shown")
    if kept.size <= size:
        return kept
    rng, drawn = np.random.default_rng(seed), []
    for code in np.unique(samples[kept]):
        cells = np.flatnonzero(samples == code)
        wanted = max(round(size * cells.size / kept.size), min(_FEWEST_OF_SAMPLE, cells.size))
        drawn.append(rng.choice(cells, size=min(wanted, cells.size), replace=False))
    found = np.sort(np.concatenate(drawn))
    if found.size > _MOST_OVER * size:  # very many samples
        found = np.sort(rng.choice(found, size=size, replace=False))
    return found


def cluster_cells(
    source: CellSource,
    *,
    model: ClusterModel,
    positions: NDArray[np.intp],
    clusters: NDArray[np.int32],
    memory_mb: int = 1024,
) -> NDArray[np.int32]:
    """Return the cluster of every cell (n_cells,): the nearest one, of a sketch its own.

    ``clusters`` (n_positions,) are those of the cells at ``positions``.
    """
    found = np.full(source.n_cells, -1, dtype=np.int32)
    found[positions] = clusters
    if positions.size == source.n_cells:
        return found
    rows = chunk_size(source, memory_mb=memory_mb, dense=not zeros_stay(model.finding))
    for start, block in source.chunks(rows):
        within = np.arange(start, start + block.shape[0])
        others = found[within] < 0
        found[within[others]] = model.predict(block[others])
    return found
