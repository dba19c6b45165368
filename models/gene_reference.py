"""Where each gene stands in the training samples: quantiles of its rank within the sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from features.errors import ModelError
from features.gene_scores import rank_genes
from features.reference import ReferenceStandardiser

__all__ = ["SHARES", "GeneReference", "gene_ranks", "normal_quantiles"]

SHARES = (0.05, 0.25, 0.50, 0.75, 0.95)
"""Shares of the training samples that the quantiles are of."""
_FEWEST_SAMPLES = 10
_DECIMALS = 4

Quantiles = tuple[float, ...]


@dataclass(frozen=True)
class GeneReference:
    """Quantiles of the genes' within-sample ranks over the training samples.

    Attributes
    ----------
    quantiles
        Symbol → the quantiles at :data:`SHARES` of the gene's rank within the sample, as a
        fraction of the background (0 lowest, 1 highest), each training cohort counting the same.
        Genes measured in fewer than 10 training samples are left out.
    n_samples, n_cohorts
        Training samples and cohorts that they are of.
    """

    quantiles: Mapping[str, Quantiles]
    n_samples: int
    n_cohorts: int

    @classmethod
    def learn(cls, ranks: pd.DataFrame, *, cohorts: "pd.Series[str]") -> "GeneReference":
        """Return the reference of training samples.

        Parameters
        ----------
        ranks
            Ranks within the sample as fractions (n_samples, n_genes), as :func:`gene_ranks`
            gives; NaN is a gene not measured.
        cohorts
            Cohort of each sample.

        Raises
        ------
        ModelError
            Not one cohort a sample.
        """
        if len(cohorts) != len(ranks):
            raise ModelError(
                f"{len(ranks)} rows of gene ranks and {len(cohorts)} cohorts; give one cohort for "
                "each row"
            )
        labels, values = cohorts.to_numpy(dtype=str), ranks.to_numpy(dtype=float)
        quantiles = {
            str(gene): found
            for gene, column in zip(ranks.columns, values.T, strict=True)
            if (found := _quantiles(column, labels))
        }
        return cls(quantiles, len(ranks), len(np.unique(labels)))

    def standardiser(self) -> ReferenceStandardiser:
        """Return mean and spread of each gene's rank, as its quantiles outline them.

        The distribution is taken as even between two quantiles; the tails beyond the outermost lie
        at these. The spread of a gene that is on in some samples and off in others comes out up to
        a fifth too small, and that of one that is on in fewer than a twentieth misses these.
        """
        found = ReferenceStandardiser()
        names = list(self.quantiles)
        values = np.array(list(self.quantiles.values()), dtype=float).reshape(-1, len(SHARES))
        ends = np.hstack([values[:, :1], values, values[:, -1:]])
        low, high = ends[:, :-1], ends[:, 1:]
        between = np.diff([0.0, *SHARES, 1.0])
        found.mean_ = (low + high) / 2 @ between
        squares = (low**2 + low * high + high**2) / 3 @ between
        found.spread_ = np.sqrt(np.maximum(squares - found.mean_**2, 0.0))
        found.n_features_in_ = len(names)
        found.feature_names_in_ = np.asarray(names, dtype=object)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "n_samples": self.n_samples,
            "n_cohorts": self.n_cohorts,
            "quantiles": {gene: list(values) for gene, values in self.quantiles.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "GeneReference":
        """Return what :meth:`to_json` gave."""
        quantiles = {gene: tuple(values) for gene, values in stored["quantiles"].items()}
        return cls(quantiles, stored["n_samples"], stored["n_cohorts"])


def _quantiles(values: NDArray[np.float64], cohorts: NDArray[np.str_]) -> Quantiles:
    """Return one gene's quantiles, each cohort counting the same; none where too few have it."""
    measured = np.isfinite(values)
    if measured.sum() < _FEWEST_SAMPLES:
        return ()
    _, which, sizes = np.unique(cohorts[measured], return_inverse=True, return_counts=True)
    found = np.quantile(values[measured], SHARES, weights=1.0 / sizes[which], method="inverted_cdf")
    return tuple(found.round(_DECIMALS).tolist())


def gene_ranks(
    adata: ad.AnnData, *, background: Sequence[str], genes: Sequence[str]
) -> pd.DataFrame:
    """Return the genes' ranks within each sample as fractions of the background.

    (n_samples, n_found); the genes that the file lacks have no column, NaN is not measured.

    Raises
    ------
    CohortError
        As :func:`features.gene_scores.rank_genes`.
    """
    return rank_genes(adata, background=background, genes=genes).table(adata.obs_names)


def normal_quantiles() -> Quantiles:
    """Return the quantiles at :data:`SHARES` of a standard normal: what z-scores are held against.

    Examples
    --------
    >>> normal_quantiles()
    (-1.6449, -0.6745, 0.0, 0.6745, 1.6449)
    """
    return tuple(round(float(stats.norm.ppf(share)), _DECIMALS) for share in SHARES)
