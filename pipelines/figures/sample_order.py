"""The order in which a heatmap shows samples and mechanisms: like beside like."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, linkage, optimal_leaf_ordering
from scipy.spatial.distance import pdist

__all__ = ["SampleOrder", "order_mechanisms", "order_samples"]

Array = NDArray[np.float64]
_MOST_CLUSTERED, _MOST_OPTIMAL = 2000, 600
"""Samples beyond which distances of all pairs, or the best order of leaves, take too long."""


@dataclass(frozen=True)
class SampleOrder:
    """Samples, like beside like.

    Attributes
    ----------
    names
        In the order to show.
    branches
        Of the tree above them: (n_branches, 2, 4) positions and heights of each branch's corners,
        positions counted in samples from 0; empty where they are ordered by their sum.
    """

    names: pd.Index
    branches: Array

    @property
    def clustered(self) -> bool:
        """Whether there is a tree."""
        return len(self.branches) > 0


def order_samples(sums: pd.DataFrame) -> SampleOrder:
    """Return the samples of (n_samples, n_mechanisms) clustered by Ward's method.

    The least resistant end of the tree comes first. Above 2,000 samples, and of fewer than three,
    they are ordered by the sum of their attributions.

    References
    ----------
    Ward, J Am Stat Assoc 1963, doi:10.1080/01621459.1963.10500845; Bar-Joseph et al.,
    Bioinformatics 2001, doi:10.1093/bioinformatics/17.suppl_1.S22.
    """
    total = sums.sum(axis=1).to_numpy(dtype=float)
    if not 3 <= len(sums) <= _MOST_CLUSTERED:
        return SampleOrder(sums.index[np.argsort(total, kind="stable")], np.empty((0, 2, 4)))
    tree = dendrogram(_tree(sums.to_numpy(dtype=float)), no_plot=True)
    leaves = np.asarray(tree["leaves"])
    # scipy puts leaf i at 10 i + 5.
    branches = np.stack([(np.asarray(tree["icoord"]) - 5) / 10, np.asarray(tree["dcoord"])], axis=1)
    half = len(leaves) // 2
    if total[leaves[:half]].sum() / half > total[leaves[half:]].sum() / (len(leaves) - half):
        leaves = leaves[::-1]
        branches[:, 0] = len(leaves) - 1 - branches[:, 0]
    return SampleOrder(sums.index[leaves], branches)


def order_mechanisms(sums: pd.DataFrame) -> list[str]:
    """Return the mechanisms clustered by the correlation of their attributions over samples."""
    names = [str(name) for name in sums.columns]
    if len(names) < 3 or len(sums) < 3:
        return names
    values = sums.to_numpy(dtype=float)
    scaled = values / np.maximum(np.linalg.norm(values, axis=0), 1e-12)
    tree = dendrogram(_tree(scaled.T), no_plot=True)
    return [names[leaf] for leaf in tree["leaves"]]


def _tree(values: Array) -> Array:
    distances = pdist(values)
    tree: Array = linkage(distances, method="ward")
    return optimal_leaf_ordering(tree, distances) if len(values) <= _MOST_OPTIMAL else tree
