"""Scores of single genes in a cohort: ranks within the sample, or z-scores within the cohort."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.cohort import dense_expression, is_gene_scaled_cohort, is_sparse
from features.errors import CohortError, examples
from features.gene_order import GeneOrder
from features.reference import mean_and_spread
from features.units import is_gene_scaled, share_highest_value

__all__ = [
    "GeneScores",
    "ScoreKind",
    "doubled_midranks",
    "gene_z_scores",
    "rank_genes",
    "z_score_genes",
]

ScoreKind = Literal["rank", "mean_z"]
_FEWEST_BACKGROUND_GENES = 20
_FEWEST_FOR_Z = 3


@dataclass(frozen=True)
class GeneScores:
    """Scores of single genes.

    Attributes
    ----------
    kind
        ``rank``: twice the mid-rank among the background; ``mean_z``: z-score within the cohort.
    values
        (n_samples, n_genes); NaN where the gene is not measured.
    sizes
        (n_samples,): what a rank is divided by to be a fraction (twice the background genes
        measured); ones for z-scores.
    symbols
        Symbol of each column.
    """

    kind: ScoreKind
    values: NDArray[np.float64]
    sizes: NDArray[np.float64]
    symbols: Sequence[str]

    @property
    def middle(self) -> float:
        """Score of a gene that is neither high nor low."""
        return 0.5 if self.kind == "rank" else 0.0

    def table(self, samples: pd.Index) -> pd.DataFrame:
        """Return ranks as fractions of the background, or z-scores (n_samples, n_genes)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = self.values / self.sizes[:, None]
        return pd.DataFrame(scores, index=samples.copy(), columns=list(self.symbols))


def rank_genes(
    adata: ad.AnnData,
    *,
    background: Sequence[str],
    genes: Sequence[str],
    order: GeneOrder | None = None,
) -> GeneScores:
    """Return the ranks of genes among a background within each sample of a cohort.

    ``order``, where the cohort's genes have been sorted before, saves sorting them again.

    Raises
    ------
    CohortError
        Too few background genes are in the file, or the values are centred or scaled per gene.
    """
    _refuse_gene_scaled(adata)
    among = np.flatnonzero(adata.var_names.isin(pd.Index(background)))
    if among.size < _FEWEST_BACKGROUND_GENES:
        raise CohortError(
            f"only {among.size} of the {len(background)} background genes are in the file "
            f"(its first genes: {examples(adata.var_names)}); ranks need at least "
            f"{_FEWEST_BACKGROUND_GENES}: check the gene identifiers"
        )
    wanted = np.flatnonzero(adata.var_names.isin(pd.Index(genes)))
    if order is None:
        values = adata.X if is_sparse(adata) else dense_expression(adata)
        ranks, sizes = doubled_midranks(values, background=among, genes=wanted)
    else:
        ranks, sizes = order.doubled_midranks(background=among, genes=wanted)
    return GeneScores("rank", ranks, 2.0 * sizes, list(adata.var_names[wanted]))


def z_score_genes(adata: ad.AnnData, *, genes: Sequence[str]) -> GeneScores:
    """Return the z-scores of genes within each sample's cohort (``obs['cohort']``, else all).

    Raises
    ------
    CohortError
        A cohort has too few samples.
    """
    found = adata[:, adata.var_names.isin(pd.Index(genes))]
    values = dense_expression(found)
    cohorts = pd.Series("", adata.obs_names)
    if "cohort" in adata.obs:
        cohorts = adata.obs["cohort"].astype(str)
    z = np.full_like(values, np.nan)
    for cohort in dict.fromkeys(cohorts):
        rows = (cohorts == cohort).to_numpy()
        if rows.sum() < _FEWEST_FOR_Z:
            raise CohortError(
                f"cohort '{cohort}' has {rows.sum()} samples: z-scores per gene need at least "
                f"{_FEWEST_FOR_Z}; give the whole cohort, or values that are not scaled per gene"
            )
        z[rows] = gene_z_scores(values[rows])
    return GeneScores("mean_z", z, np.ones(adata.n_obs), list(found.var_names))


def doubled_midranks(
    values: NDArray[np.float64] | Any,
    *,
    background: NDArray[np.intp],
    genes: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return twice the mid-rank of genes among a background, and the background's size.

    Parameters
    ----------
    values
        Expression (n_samples, n_genes) on any scale; NaN means not measured. A sparse matrix is
        wholly measured, holds no negative value, and is never made dense.
    background, genes
        Columns of the background and of the genes to rank, (n_background,) and (n_ranked,).

    Returns
    -------
    ranks
        (n_samples, n_ranked): background genes below, twice, plus those equal. Whole numbers, so
        that sums of them are exact in any order. NaN where the gene is not measured.
    sizes
        (n_samples,): background genes measured in the sample.
    """
    if sparse.issparse(values):
        return _sparse_midranks(values, background, genes)
    ranks = np.full((values.shape[0], genes.size), np.nan)
    sizes = np.zeros(values.shape[0])
    for row in range(values.shape[0]):
        ordered = np.sort(values[row, background])
        ordered = ordered[: ordered.size - int(np.isnan(ordered).sum())]
        ranked = values[row, genes]
        ranks[row] = np.where(np.isnan(ranked), np.nan, _below_and_not_above(ordered, ranked))
        sizes[row] = ordered.size
    return ranks, sizes


def _below_and_not_above(
    ordered: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return how many of the ordered lie below each value, plus how many not above it."""
    order = np.argsort(values)
    rising = values[order]  # in rising order the search finds its place from the one before
    both = np.searchsorted(ordered, rising, side="left")
    both += np.searchsorted(ordered, rising, side="right")
    counts = np.empty_like(both)
    counts[order] = both
    return counts


def _sparse_midranks(
    values: Any, background: NDArray[np.intp], genes: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the dense way gives: all genes without a value tie at the bottom."""
    values = values.tocsr()
    n_samples, n_genes = values.shape
    in_background = np.zeros(n_genes, dtype=bool)
    in_background[background] = True
    column = np.full(n_genes, -1)
    column[genes] = np.arange(genes.size)
    ranks = np.empty((n_samples, genes.size))
    for row in range(n_samples):
        own = slice(values.indptr[row], values.indptr[row + 1])
        found, data = values.indices[own], values.data[own]
        found, data = found[data > 0], data[data > 0]
        ordered = np.sort(data[in_background[found]])
        unexpressed = background.size - ordered.size
        ranks[row] = unexpressed
        ranked = column[found] >= 0
        counts = _below_and_not_above(ordered, data[ranked])
        ranks[row, column[found[ranked]]] = 2 * unexpressed + counts
    return ranks, np.full(n_samples, float(background.size))


def gene_z_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return z-scores per gene of one cohort's values (n_samples, n_genes).

    Mean and population standard deviation are those of the measured samples; a gene that does not
    vary is 0.
    """
    mean, spread = mean_and_spread(values)
    constant = np.fmax.reduce(values, axis=0) == np.fmin.reduce(values, axis=0)
    z = (values - mean) / np.where(constant | (spread <= 0), 1.0, spread)
    return np.where(np.isfinite(values) & constant, 0.0, z)


def _refuse_gene_scaled(adata: ad.AnnData) -> None:
    """Refuse ranks of values that are centred or scaled per gene, by their unit or their look."""
    evidence = "as its unit says" if is_gene_scaled_cohort(adata) else ""
    if not evidence and not is_sparse(adata) and "unit" not in adata.uns.get("oncoresist", {}):
        values = dense_expression(adata)
        lowest = np.nanmin(values, initial=0.0)
        if lowest < 0:
            floor_share = float(np.mean(values == lowest))
            evidence = is_gene_scaled(values, floor_share=floor_share)
        elif share_highest_value(values):
            evidence = "most genes reach one highest value"
    if evidence:
        raise CohortError(
            f"expression is centred or scaled per gene ({evidence}): ranks within a sample mean "
            "nothing there; use score_kind='mean_z', or give the values before scaling"
        )
