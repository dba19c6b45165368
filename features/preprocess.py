"""Preprocess bulk expression with scanpy: quality control, normalisation, log1p."""

import warnings
from collections.abc import Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from numpy.typing import NDArray
from scipy import sparse

from features.cohort import TARGET_SUM, dense_expression, is_sparse
from features.errors import CohortError, examples
from features.units import UnitFinding, to_linear

__all__ = ["merge_duplicate_genes", "normalise", "sample_quality"]

_OUTLIER_DEVIATIONS = 5.0
_MAD_TO_SD = 1.4826


def merge_duplicate_genes(
    linear: NDArray[np.float64], symbols: Sequence[str], *, additive: bool
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return a matrix with one column per symbol, its symbols, and which stood more than once.

    Parameters
    ----------
    linear
        Linear expression (n_samples, n_genes).
    symbols
        A symbol per column, repeats allowed.
    additive
        Add repeats up (counts, TPM), or average them (intensities). A repeat that is NaN in a
        sample is left out there; all NaN stays NaN.
    """
    index = pd.Index(symbols)
    if not index.has_duplicates:
        return linear, list(symbols), []
    repeated = list(index[index.duplicated()].unique())
    grouped = pd.DataFrame(linear.T, index=index).groupby(level=0, sort=False)
    merged = grouped.sum(min_count=1) if additive else grouped.mean()
    return np.ascontiguousarray(merged.to_numpy().T), list(merged.index), repeated


def normalise(
    adata: ad.AnnData, *, finding: UnitFinding, lengths: "pd.Series[float] | None" = None
) -> ad.AnnData:
    """Return a copy whose ``X`` is log1p of CPM or TPM, with quality figures in ``obs``.

    Values centred or scaled per gene stay as they came. Sparse ``X`` stays sparse where a zero
    means no expression (counts, TPM, and logarithms of them plus one).

    Parameters
    ----------
    adata
        Expression as it came (n_samples, n_genes), unit as in ``finding``.
    finding
        The unit, see :func:`features.units.detect_unit`.
    lengths
        Gene lengths in bases by gene identifier; counts are divided by them, and genes without
        a length are left out (noted). None leaves counts as they are.

    Raises
    ------
    CohortError
        Counts are negative, or no gene of the file has a length.

    Notes
    -----
    ``layers['counts']`` keeps raw counts. NaN stays NaN: it is a gene not measured, never zero.
    """
    if finding.unit == "gene_scaled":
        values = dense_expression(adata).copy()
        return ad.AnnData(values, obs=adata.obs.copy(), var=adata.var.copy())
    zeros_stay = _zeros_stay(adata, finding)
    raw: Any = (
        sparse.csr_matrix(adata.X, dtype=np.float64, copy=True)
        if zeros_stay
        else dense_expression(adata)
    )
    values = raw.data if zeros_stay else raw
    lowest = np.nanmin(values, initial=0.0)
    if finding.unit in ("counts", "tpm") and lowest < 0:
        raise CohortError(
            f"expression holds negative values (lowest {lowest:.4g}) although its unit is "
            f"{finding.meaning}; correct the file or the unit"
        )
    linear: Any = to_linear(values, finding)
    if zeros_stay:
        parts = (linear, raw.indices.copy(), raw.indptr.copy())
        linear = sparse.csr_matrix(parts, shape=raw.shape)
    result = ad.AnnData(X=linear, obs=adata.obs.copy(), var=adata.var.copy())
    quality = sample_quality(result)
    result.obs = result.obs.drop(columns=quality.columns, errors="ignore").join(quality)
    if finding.unit == "counts":
        result.layers["counts"] = raw if zeros_stay else raw.copy()
        if lengths is not None:
            result = _divide_by_length(result, lengths)
    _normalise_log1p(result)
    return result


def _zeros_stay(adata: ad.AnnData, finding: UnitFinding) -> bool:
    """Return whether ``X`` is sparse and its zeros are zeros when linear."""
    return is_sparse(adata) and (
        finding.unit in ("counts", "tpm", "ln_tpm")
        or (finding.unit == "log2_tpm" and finding.pseudocount == 1.0)
    )


def _divide_by_length(adata: ad.AnnData, lengths: "pd.Series[float]") -> ad.AnnData:
    known = lengths.reindex(adata.var_names)
    usable = (known > 0).to_numpy()
    if not usable.any():
        raise CohortError(
            f"none of the {adata.n_vars} genes has a length (first genes: "
            f"{examples(adata.var_names)}); check gene_lengths in the cohort's configuration"
        )
    adata = adata[:, usable].copy()
    adata.var["length"] = known[usable].to_numpy()
    own = adata.var["length"].to_numpy()
    if is_sparse(adata):
        adata.X.data /= own[adata.X.indices]
    else:
        adata.X = adata.X / own
    return adata


def _normalise_log1p(adata: ad.AnnData) -> None:
    """Scale and log1p in place through scanpy; genes not measured in a sample stay NaN."""
    unmeasured = None if is_sparse(adata) else np.isnan(adata.X)
    if unmeasured is not None:
        adata.X = np.where(unmeasured, 0.0, adata.X)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some cells have zero counts")
        sc.pp.normalize_total(adata, target_sum=TARGET_SUM)
    sc.pp.log1p(adata)
    adata.uns.pop("log1p", None)
    if unmeasured is not None:
        adata.X[unmeasured] = np.nan


def sample_quality(adata: ad.AnnData) -> pd.DataFrame:
    """Return ``library_size``, ``genes_detected`` and ``qc_outlier`` of each sample.

    Parameters
    ----------
    adata
        Linear expression (n_samples, n_genes).

    Notes
    -----
    An outlier lies more than five median absolute deviations (scaled to a standard deviation)
    from the cohort's median of log library size or of genes detected. Outliers are reported,
    never dropped.
    """
    values = adata.X if is_sparse(adata) else np.nan_to_num(dense_expression(adata))
    filled = ad.AnnData(X=values, obs=adata.obs[[]].copy())
    metrics, _ = sc.pp.calculate_qc_metrics(filled, percent_top=None, log1p=False)
    quality = pd.DataFrame(
        {
            "library_size": metrics["total_counts"].astype(float),
            "genes_detected": metrics["n_genes_by_counts"].astype(int),
        },
        index=adata.obs_names,
    )
    quality["qc_outlier"] = _far_from_median(np.log1p(quality["library_size"])) | _far_from_median(
        quality["genes_detected"].astype(float)
    )
    return quality


def _far_from_median(values: "pd.Series[float]") -> "pd.Series[bool]":
    distance = (values - values.median()).abs()
    spread = _MAD_TO_SD * distance.median()
    return distance > _OUTLIER_DEVIATIONS * max(float(spread), 1e-12)
