"""Which features of a cohort drifted from a model's training, and which samples are unlike it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.cohort import is_gene_scaled_cohort
from features.errors import CohortError
from features.profile import rank_profile
from models.resistance_model import ResistanceModel
from pipelines.files import write_table
from pipelines.ingest import IngestedCohort

__all__ = ["CohortDrift", "measure_drift"]


@dataclass(frozen=True)
class CohortDrift:
    """How far a cohort lies from a model's training cohorts.

    Attributes
    ----------
    features
        Population stability index of each feature, the most drifted first
        (:meth:`models.drift.DriftReference.table`).
    samples
        Shift of each sample by component, indexed by sample id
        (:meth:`models.shift.ShiftDetector.measure`).
    """

    features: pd.DataFrame
    samples: pd.DataFrame

    @property
    def drifted(self) -> int:
        """Features that drifted."""
        return int((self.features["verdict"] == "drifted").sum())

    @property
    def beyond_training(self) -> int:
        """Features that drifted further than training cohorts lie from one another."""
        drifted = self.features["verdict"] == "drifted"
        return int((drifted & (self.features["psi"] > self.features["training_psi"])).sum())

    @property
    def out_of_scope(self) -> int:
        """Samples unlike the training samples."""
        return int((self.samples["shift_score"] > 1).sum())

    def write(self, folder: Path) -> None:
        """Write ``drift.csv`` (a row per feature) and ``shift.csv`` (a row per sample)."""
        write_table(self.features, folder / "drift.csv")
        write_table(self.samples.rename_axis("sample_id").reset_index(), folder / "shift.csv")


def measure_drift(model: ResistanceModel, cohort: IngestedCohort) -> CohortDrift:
    """Return the drift of a cohort's unstandardised features and the shift of its samples.

    Raises
    ------
    CohortError
        The cohort's values are scaled per gene, so that samples cannot be compared with others.
    """
    adata = cohort.adata
    if is_gene_scaled_cohort(adata):
        raise CohortError(
            f"cohort '{cohort.name}' holds values centred or scaled per gene: ranks within a "
            "sample mean nothing there, and drift is measured on them; give the values before "
            "scaling"
        )
    transformer = model.transformer
    features = transformer.transform(adata)
    shift = model.training.shift.measure(
        rank_profile(adata, background=transformer.background_),
        features,
        gene_coverage=transformer.gene_coverage(adata),
    )
    return CohortDrift(model.training.drift.table(features), shift)
