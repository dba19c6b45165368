"""The genes of each sample in order, for ranks among many backgrounds."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["GeneOrder"]

Places = NDArray[np.intp]


@dataclass(frozen=True)
class GeneOrder:
    """Each sample's genes in the order of their expression, sorted once.

    A rank among some of the genes is then a count along the order, where sorting those genes anew
    takes several times as long; validation ranks the same samples among the genes that each set of
    training cohorts shares.

    Attributes
    ----------
    values
        Expression (n_samples, n_genes), NaN where not measured.
    order
        (n_samples, n_genes): columns from the lowest value up, those not measured last.
    measured
        (n_samples,): how many genes are.
    """

    values: NDArray[np.float64]
    order: NDArray[np.int32]
    measured: NDArray[np.intp]
    _places: dict[bytes, tuple[Places, Places]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "GeneOrder":
        """Return the order of dense expression (n_samples, n_genes)."""
        order = np.empty(values.shape, dtype=np.int32)
        for row, sample in enumerate(values):
            order[row] = np.argsort(sample)
        return cls(values, order, (~np.isnan(values)).sum(axis=1))

    def doubled_midranks(
        self, *, background: NDArray[np.intp], genes: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what :func:`features.gene_scores.doubled_midranks` does, of the same values."""
        n_samples, n_genes = self.values.shape
        within = np.zeros(n_genes, dtype=bool)
        within[background] = True
        below, not_above = self._places_of(genes)
        ranks = np.empty((n_samples, genes.size))
        sizes = np.empty(n_samples)
        counts = np.zeros(n_genes + 1, dtype=np.int64)
        for row in range(n_samples):
            np.cumsum(within[self.order[row]], out=counts[1:])
            ranks[row] = counts[below[row]] + counts[not_above[row]]
            sizes[row] = counts[self.measured[row]]
        ranks[np.isnan(self.values[:, genes])] = np.nan
        return ranks, sizes

    def _places_of(self, genes: NDArray[np.intp]) -> tuple[Places, Places]:
        """Return how many genes of the sample lie below each gene, and how many not above it."""
        key = genes.tobytes()
        if key not in self._places:
            below = np.empty((len(self.values), genes.size), dtype=np.intp)
            not_above = np.empty_like(below)
            for row, sample in enumerate(self.values):
                rising = sample[self.order[row][: self.measured[row]]]
                below[row] = np.searchsorted(rising, sample[genes], side="left")
                not_above[row] = np.searchsorted(rising, sample[genes], side="right")
            self._places[key] = below, not_above
        return self._places[key]
