"""Is the shift score worth its threshold? Measured on cohorts held out and on what is no tumour."""

from collections.abc import Callable, Sequence

import anndata as ad
import numpy as np
import pandas as pd

from features.cohort import is_gene_scaled_cohort
from features.errors import CohortError
from features.profile import rank_profile
from features.transformer import MarkerFeatures
from models.drift import DriftReference
from models.shift import ShiftDetector
from models.training_reference import TrainingReference
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort

__all__ = ["HELD_OUT", "SHUFFLED", "drift_of_held_out", "held_out_shift", "probe_shift"]

HELD_OUT, SHUFFLED = "held-out tumours", "genes shuffled"
_BEYOND = 10.0
"""Shown for samples whose values cannot be ranked at all."""


def held_out_shift(
    dataset: Dataset, *, seed: int, progress: Callable[[str], None] = lambda stage: None
) -> pd.DataFrame:
    """Return the shift of each cohort's samples by a detector that never saw the cohort.

    Each sample is measured as it is and with its values shuffled over its genes.

    Returns
    -------
    table
        ``set`` (:data:`HELD_OUT`, :data:`SHUFFLED`), ``cohort, sample, shift_score, reason`` and
        the components.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for name in dataset.cohorts:
        progress(f"distribution shift, {name} held out")
        others = [other for other in dataset.cohorts if other != name]
        if not others:
            continue
        rest = dataset.of(others)
        transformer, detector = rest.transformer(others), rest.shift_detector()
        adata = dataset.cohorts[name]
        index = dataset.samples.index[(dataset.samples["cohort"] == name).to_numpy()]
        for what, cohort in ((HELD_OUT, adata), (SHUFFLED, _shuffled(adata, rng))):
            measured = _measure(detector, transformer, cohort).set_axis(index)
            parts.append(measured.assign(set=what, cohort=name))
    return pd.concat(parts).rename_axis("sample").reset_index()


def _measure(
    detector: ShiftDetector, transformer: MarkerFeatures, adata: ad.AnnData
) -> pd.DataFrame:
    return detector.measure(
        rank_profile(adata, background=transformer.background_),
        transformer.transform(adata),
        gene_coverage=transformer.gene_coverage(adata),
    )


def _shuffled(adata: ad.AnnData, rng: np.random.Generator) -> ad.AnnData:
    """Return a cohort whose values are permuted over the genes, sample by sample."""
    values = np.asarray(adata.X, dtype=float)
    return ad.AnnData(rng.permuted(values, axis=1), obs=adata.obs.copy(), var=adata.var.copy())


def probe_shift(
    reference: TrainingReference, transformer: MarkerFeatures, cohorts: Sequence[IngestedCohort]
) -> pd.DataFrame:
    """Return the shift of cohorts that the model is to decline, as :func:`held_out_shift` does.

    Values that cannot be ranked (scaled per gene, fewer than twenty background genes) are beyond
    any limit.
    """
    parts = []
    for cohort in cohorts:
        adata = cohort.adata
        try:
            if is_gene_scaled_cohort(adata):
                raise CohortError("values scaled per gene have no ranks within a sample")
            measured = _measure(reference.shift, transformer, adata)
        except CohortError as error:
            measured = pd.DataFrame(
                {"shift_score": _BEYOND, "reason": str(error)}, index=adata.obs_names
            )
        parts.append(measured.assign(set=cohort.name, cohort=cohort.name))
    return pd.concat(parts).rename_axis("sample").reset_index()


def drift_of_held_out(dataset: Dataset) -> pd.DataFrame:
    """Return the drift table of each cohort against the others, with a column ``cohort``."""
    parts = []
    for name in dataset.cohorts:
        others = [other for other in dataset.cohorts if other != name]
        if others:
            features = dataset.features(others)
            rows = (dataset.samples["cohort"] == name).to_numpy()
            cohorts = dataset.samples["cohort"][~rows]
            drift = DriftReference().fit(features[~rows], cohorts=cohorts)
            parts.append(drift.table(features[rows]).assign(cohort=name))
    return pd.concat(parts, ignore_index=True)
