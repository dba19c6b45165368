"""A scored cohort: its predictions with their reasons, and what is known of its data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pandas as pd

from features.gene_report import GeneReport
from features.reference import Standardisation
from models.explanation import Attributions
from models.metrics import Estimate, evaluate_predictions
from models.sufficiency import Sufficiency
from pipelines.files import write_table
from pipelines.ingest import IngestedCohort
from pipelines.scoring.data_verdict import data_warning

__all__ = ["PREDICTION_COLUMNS", "ScoredCohort"]

PREDICTION_COLUMNS = (
    "sample_id",
    "patient_id",
    "cohort",
    "probability",
    "calibration_method",
    "call",
    "call_reason",
    "prediction_set",
    "score_kind",
    "standardisation",
    "gene_coverage",
    "shift_score",
    "mechanism_1",
    "mechanism_2",
    "mechanism_3",
    "model_uri",
    "model_version",
)


@dataclass(frozen=True)
class ScoredCohort:
    """A scored cohort.

    Attributes
    ----------
    predictions
        One row per sample, :data:`PREDICTION_COLUMNS`.
    attributions
        SHAP in calibrated log-odds, indexed by sample id.
    mechanism_sums
        The same summed to mechanism classes (n_samples, n_mechanisms).
    features
        Unstandardised features (n_samples, n_features).
    shift
        How far each sample lies from the training samples, by component
        (:meth:`models.shift.ShiftDetector.measure`); empty where ranks mean nothing.
    drift
        Population stability index of each feature, cohort against training; no row where ranks
        mean nothing.
    threshold
        Share of resistant samples in training, or in the cohort that the arm was recalibrated to.
    notes
        What to know of this cohort under this model.
    in_sample
        True when the model was trained on this cohort or on samples of it: its figures say
        nothing of new ones.
    background_coverage
        Share of the model's background genes that the file has.
    genes
        Which genes the cohort has, and which features that allows.
    gene_values
        (n_samples, n_genes) of the genes that the features read: the rank within the sample as a
        fraction of the background, or the z-score within the cohort; NaN where not measured.
    subtypes
        ``sample_id`` and :data:`features.subtypes.SUBTYPE_COLUMNS`, a row per sample; empty where
        the model is not of small-cell lung cancer.
    sufficiency
        What the model's data can bear in this standardisation; None where no verdict is stored.
    called_anyway
        Whether calls were to be made whatever the verdict.
    """

    cohort: IngestedCohort
    predictions: pd.DataFrame
    attributions: Attributions
    mechanism_sums: pd.DataFrame
    features: pd.DataFrame
    shift: pd.DataFrame
    drift: pd.DataFrame
    threshold: float
    notes: tuple[str, ...]
    in_sample: bool
    background_coverage: float
    genes: GeneReport
    gene_values: pd.DataFrame
    subtypes: pd.DataFrame = field(default_factory=pd.DataFrame)
    sufficiency: Sufficiency | None = None
    called_anyway: bool = False

    @property
    def standardisation(self) -> Standardisation:
        """How the cohort was standardised."""
        return cast(Standardisation, str(self.predictions["standardisation"].iloc[0]))

    @property
    def data_warning(self) -> str | None:
        """What is to be said first where the model's data do not suffice for calls."""
        return data_warning(self.sufficiency, called_anyway=self.called_anyway)

    @property
    def resistant(self) -> "pd.Series[float]":
        """Published labels (1, 0, NaN) where the cohort has them, by sample id."""
        labels: pd.Series[float] = self.cohort.adata.obs["resistant"]
        return labels

    def evaluate(self, *, n_resamples: int, seed: int) -> Mapping[str, Estimate]:
        """Return the metrics on the cohort's own labels, empty where it lacks either class."""
        labelled = self.predictions.set_index("sample_id").assign(resistant=self.resistant)
        labelled = labelled.dropna(subset=["resistant"])
        if labelled["resistant"].nunique() < 2:
            return {}
        return evaluate_predictions(
            labelled.assign(score=labelled["probability"]), n_resamples=n_resamples, seed=seed
        )

    def attribution_table(self) -> pd.DataFrame:
        """Return sample × feature SHAP with base value and ``mechanism.<class>`` sums."""
        values = self.attributions.values
        table = pd.DataFrame({"sample_id": values.index, "cohort": self.cohort.name})
        table["base_value"] = self.attributions.base_value.to_numpy()
        return pd.concat(
            [
                table,
                values.reset_index(drop=True),
                self.mechanism_sums.add_prefix("mechanism.").reset_index(drop=True),
            ],
            axis=1,
        )

    def standardised_table(self) -> pd.DataFrame:
        """Return the standardised features that the model saw, with ``sample_id``."""
        return _with_sample_id(self.attributions.features)

    def gene_table(self) -> pd.DataFrame:
        """Return ``gene_values``, a column a gene, with ``sample_id``."""
        return _with_sample_id(self.gene_values)

    def write(self, folder: Path) -> None:
        """Write every table but those of the report alone (:mod:`pipelines.reports.data`)."""
        write_table(self.predictions, folder / "predictions.parquet")
        write_table(self.predictions, folder / "predictions.csv")
        write_table(self.attribution_table(), folder / "attributions.parquet")
        write_table(self.genes.features.reset_index(), folder / "gene_report.csv")
        write_table(self.drift, folder / "drift.csv")
        write_table(self.shift.rename_axis("sample_id").reset_index(), folder / "shift.csv")
        if not self.subtypes.empty:
            write_table(self.subtypes, folder / "subtypes.parquet")
            write_table(self.subtypes, folder / "subtypes.csv")


def _with_sample_id(table: pd.DataFrame) -> pd.DataFrame:
    plain = table.reset_index(drop=True)
    plain.insert(0, "sample_id", table.index.astype(str))
    return plain
