"""The cohort contract: an AnnData of log1p expression, and the check that lists all faults."""

from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.catalogue import Catalogue, default_catalogue
from features.covariates import COVARIATES
from features.errors import CohortError, examples

__all__ = [
    "REQUIRED_COLUMNS",
    "TARGET_SUM",
    "CohortReport",
    "check_cohort",
    "cohort_facts",
    "dense_expression",
    "is_gene_scaled_cohort",
    "is_sparse",
]

REQUIRED_COLUMNS = ("sample_id", "patient_id", "cohort")
"""Columns of ``obs`` that every cohort has; the rest are there where known."""
OPTIONAL_COLUMNS = (
    "cancer_type",
    "therapy",
    "drug",
    "timepoint",
    "response",
    "resistant",
    "pfs_time",
    "pfs_event",
    "os_time",
    "os_event",
    *COVARIATES,
)
TARGET_SUM = 1e6
"""Every sample is scaled to this total before log1p (CPM, TPM)."""
_HIGHEST_LOG1P = np.log1p(TARGET_SUM) + 1e-9
_FEWEST_CATALOGUE_GENES = 1


@dataclass(frozen=True)
class CohortReport:
    """What a check of a cohort found.

    Attributes
    ----------
    faults
        What breaks the contract: the cohort cannot be used.
    notes
        What a user should know: renamed genes, unlabelled samples, outliers.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]

    def raise_if_faulty(self, where: str) -> None:
        """Raise one error that lists every fault.

        Raises
        ------
        CohortError
            There is at least one fault.
        """
        if self.faults:
            listed = "; ".join(self.faults)
            raise CohortError(f"{where}: {listed}")


def is_sparse(adata: ad.AnnData) -> bool:
    """Return whether ``X`` is sparse, wholly measured and never negative: zeros are the lowest."""
    matrix: Any = adata.X
    if not sparse.issparse(matrix):
        return False
    values: Any = getattr(matrix, "data", None)
    return not (np.isnan(values).any() or np.min(values, initial=0.0) < 0)


def dense_expression(adata: ad.AnnData) -> NDArray[np.float64]:
    """Return ``X`` as a dense float64 array (n_samples, n_genes); no copy where it is one."""
    matrix: Any = adata.X
    values: Any = matrix.toarray() if bool(sparse.issparse(matrix)) else matrix
    return np.ascontiguousarray(values, dtype=np.float64)


def is_gene_scaled_cohort(adata: ad.AnnData) -> bool:
    """Return whether the cohort's values came centred or scaled per gene."""
    return cohort_facts(adata).get("unit") == "gene_scaled"


def cohort_facts(adata: ad.AnnData) -> dict[str, Any]:
    """Return the cohort's ``uns['oncoresist']`` (unit, modality, notes …), empty when absent."""
    facts: dict[str, Any] = adata.uns.get("oncoresist", {})
    return facts


def check_cohort(
    adata: ad.AnnData, *, labels_required: bool = False, catalogue: Catalogue | None = None
) -> CohortReport:
    """Return every fault of a cohort at once, and what is worth knowing.

    Parameters
    ----------
    adata
        Cohort: ``X`` (n_samples, n_genes) log1p of CPM or TPM, or as it came where it is centred
        or scaled per gene (``uns['oncoresist']['unit']``: ``gene_scaled``); ``var`` index HGNC
        symbols, ``obs`` with :data:`REQUIRED_COLUMNS`.
    labels_required
        Whether both classes of ``obs['resistant']`` must be present (training, evaluation).
    catalogue
        Whose genes are looked for; the packaged one by default.
    """
    catalogue = catalogue or default_catalogue()
    if adata.n_obs == 0 or adata.n_vars == 0:
        shape = f"{adata.n_obs} samples × {adata.n_vars} genes"
        return CohortReport((f"the expression matrix is empty ({shape})",), ())
    faults = [
        *_column_faults(adata.obs),
        *_index_faults(adata),
        *_value_faults(adata),
        *_gene_faults(adata, catalogue),
    ]
    if labels_required:
        faults += _label_faults(adata.obs)
    return CohortReport(tuple(faults), tuple(_notes(adata)))


def _column_faults(obs: pd.DataFrame) -> list[str]:
    missing = [column for column in REQUIRED_COLUMNS if column not in obs]
    faults = [f"obs lacks the columns {missing}"] if missing else []
    for column in REQUIRED_COLUMNS:
        if column in obs and obs[column].isna().any():
            samples = obs.index[obs[column].isna()]
            faults.append(f"obs['{column}'] is empty for samples {examples(samples)}")
    if "resistant" in obs:
        values = obs["resistant"].dropna()
        wrong = sorted(set(values[~values.isin([0, 1])]), key=str)
        if wrong:
            faults.append(f"obs['resistant'] holds {wrong[:5]}; allowed: 1, 0, NaN")
    return faults


def _index_faults(adata: ad.AnnData) -> list[str]:
    faults = []
    for what, index in (("sample ids", adata.obs_names), ("gene symbols", adata.var_names)):
        repeated = index[index.duplicated()].unique()
        if len(repeated):
            faults.append(f"{len(repeated)} {what} stand more than once: {examples(repeated)}")
    return faults


def _value_faults(adata: ad.AnnData) -> list[str]:
    low, high, measured = _sample_ranges(adata)
    faults = []
    if np.isinf(low).any() or np.isinf(high).any():
        faults.append("expression holds infinite values")
    scaled = is_gene_scaled_cohort(adata)
    if np.nanmin(low, initial=0.0) < 0 and not scaled:
        faults.append(f"expression holds negative values (lowest {np.nanmin(low):.4g})")
    highest = np.nanmax(high, initial=0.0)
    if highest > _HIGHEST_LOG1P and not scaled:
        faults.append(f"X is not log1p of CPM or TPM: its highest value is {highest:.4g}")
    unmeasured = measured == 0
    flat = np.zeros_like(unmeasured) if scaled else ~unmeasured & (high <= 0)
    constant = ~unmeasured & ~flat & (adata.n_vars > 1) & (low == high)
    for what, samples in (
        ("no measured gene", unmeasured),
        ("no expressed gene", flat),
        ("the same value in every gene", constant),
    ):
        if samples.any():
            faults.append(f"samples with {what}: {examples(adata.obs_names[samples])}")
    return faults


def _sample_ranges(
    adata: ad.AnnData,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Return lowest and highest value (NaN where there is none) and measured genes per sample."""
    if is_sparse(adata):
        low, high = (adata.X.min(axis=1), adata.X.max(axis=1))
        genes = np.full(adata.n_obs, adata.n_vars)
        return low.toarray().ravel().astype(float), high.toarray().ravel().astype(float), genes
    values = dense_expression(adata)
    return (
        np.fmin.reduce(values, axis=1),
        np.fmax.reduce(values, axis=1),
        (~np.isnan(values)).sum(axis=1),
    )


def _gene_faults(adata: ad.AnnData, catalogue: Catalogue) -> list[str]:
    wanted = catalogue.gene_symbols
    found = adata.var_names.intersection(pd.Index(wanted))
    if len(found) >= min(_FEWEST_CATALOGUE_GENES, len(wanted)):
        return []
    return [
        f"only {len(found)} of the catalogue's {len(wanted)} genes are in the file "
        f"(its first gene ids: {examples(adata.var_names)}); genes are human symbols of any age, "
        "Ensembl or Entrez ids: translate others before ingesting"
    ]


def _label_faults(obs: pd.DataFrame) -> list[str]:
    labels = obs["resistant"].dropna() if "resistant" in obs else pd.Series(dtype=float)
    if labels.empty:
        return [
            f"none of the {len(obs)} samples has a response label; give a clinical table with "
            "recist or response, or name its columns in the cohort's configuration under columns"
        ]
    if labels.nunique() == 1:
        only = "resistant" if labels.iloc[0] == 1 else "responsive"
        return [
            f"all {len(labels)} labelled samples are {only}: both classes are needed; "
            "check the label rule"
        ]
    return []


def _notes(adata: ad.AnnData) -> list[str]:
    notes = list(cohort_facts(adata).get("notes", []))
    obs = adata.obs
    if "resistant" in obs and obs["resistant"].isna().any():
        unlabelled = obs.index[obs["resistant"].isna()]
        notes.append(f"{len(unlabelled)} samples without a label: {examples(unlabelled)}")
    if "patient_id" in obs:
        patients = obs["patient_id"].value_counts()
        several = patients[patients > 1]
        if len(several):
            notes.append(
                f"{len(several)} patients have several samples ({examples(several.index)}); "
                "a patient's samples are never split"
            )
    return notes
