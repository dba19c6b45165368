"""A sample's rank profile: where each background gene stands among the others."""

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import ConfigError, examples
from features.gene_scores import rank_genes

__all__ = ["rank_profile"]


def rank_profile(adata: ad.AnnData, *, background: Sequence[str]) -> NDArray[np.float32]:
    """Return the mid-ranks of the background genes within each sample, as fractions.

    Any monotone transformation of a sample, and any order of genes, gives the same profile.

    Parameters
    ----------
    adata
        Expression (n_samples, n_genes) on any scale, genes by approved symbol; may be sparse.
    background
        Symbols of the genes to rank among one another, each once.

    Returns
    -------
    profiles
        (n_samples, n_background), 0 to 1, in the background's order: the share of the measured
        background genes that lie below, half of those that tie (the gene itself among them)
        counted in. NaN where a gene is not measured.

    Raises
    ------
    CohortError
        Fewer than twenty background genes are in the file, or the values are centred or scaled
        per gene.
    ConfigError
        The background names a gene twice.

    Examples
    --------
    >>> genes = [f"G{i}" for i in range(20)]
    >>> sample = ad.AnnData(np.arange(20.0)[None, :], var=pd.DataFrame(index=genes))
    >>> profile = rank_profile(sample, background=["G19", "absent", *genes[:19]])
    >>> profile[0, :3].astype(float).round(3).tolist()
    [0.975, nan, 0.025]
    """
    wanted = pd.Index(background)
    if wanted.has_duplicates:
        raise ConfigError(
            f"the background names genes twice: {examples(wanted[wanted.duplicated()])}; "
            "give each once"
        )
    ranked = rank_genes(adata, background=background, genes=background)
    profiles = np.full((adata.n_obs, len(wanted)), np.nan, dtype=np.float32)
    measured = np.where(ranked.sizes > 0, ranked.sizes, np.nan)
    profiles[:, wanted.get_indexer(pd.Index(ranked.symbols))] = ranked.values / measured[:, None]
    return profiles
