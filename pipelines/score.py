"""Score a cohort with a frozen model: predictions, attributions, outputs on disk."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from features.errors import CohortError
from features.reference import Standardisation
from models.explanation import Attributions
from models.metrics import Estimate, evaluate_predictions
from models.resistance_model import ResistanceModel
from pipelines.files import write_table
from pipelines.ingest import IngestedCohort

__all__ = ["PREDICTION_COLUMNS", "ScoredCohort", "choose_standardisation", "score_cohort"]

_LOG = logging.getLogger(__name__)

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
_LEAST_COVERAGE = 0.5
"""Least share of the catalogue's genes, and in the reference arm of the background's."""


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
    threshold
        Probability from which a sample is called resistant.
    notes
        What to know of this cohort under this model.
    in_sample
        True when the model was trained on this cohort: its figures say nothing of new ones.
    background_coverage
        Share of the model's background genes that the file has.
    """

    cohort: IngestedCohort
    predictions: pd.DataFrame
    attributions: Attributions
    mechanism_sums: pd.DataFrame
    features: pd.DataFrame
    threshold: float
    notes: tuple[str, ...]
    in_sample: bool
    background_coverage: float

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

    def write(self, folder: Path) -> None:
        """Write ``predictions.parquet``, ``predictions.csv`` and ``attributions.parquet``."""
        write_table(self.predictions, folder / "predictions.parquet")
        write_table(self.predictions, folder / "predictions.csv")
        write_table(self.attribution_table(), folder / "attributions.parquet")


def choose_standardisation(
    cohort: IngestedCohort,
    *,
    asked: Literal["auto", "cohort", "reference"],
    min_cohort_size: int,
) -> Standardisation:
    """Return the standardisation to use: cohort-relative where the cohort is large enough.

    Raises
    ------
    CohortError
        What was asked, or the only one left, means nothing for this cohort.
    """
    size = cohort.adata.n_obs
    if asked == "cohort" or (asked == "auto" and size >= min_cohort_size):
        if size < min_cohort_size:
            raise CohortError(
                f"cohort '{cohort.name}' has {size} samples; cohort-relative standardisation needs "
                f"{min_cohort_size}: use --standardisation reference"
            )
        return "cohort"
    if not cohort.reference_offered and size >= min_cohort_size:
        raise CohortError(
            f"cohort '{cohort.name}' holds raw counts without gene lengths: they cannot be "
            "compared with the training reference; use --standardisation cohort, or give "
            "gene_lengths"
        )
    if not cohort.reference_offered:
        raise CohortError(
            f"cohort '{cohort.name}' holds raw counts without gene lengths: they can only be "
            f"compared within a cohort of at least {min_cohort_size} samples (it has {size}); give "
            "TPM, a Length column, or gene_lengths in the cohort's configuration"
        )
    return "reference"


def score_cohort(
    model: ResistanceModel,
    cohort: IngestedCohort,
    *,
    standardisation: Literal["auto", "cohort", "reference"],
    uri: str,
    version: str | None,
) -> ScoredCohort:
    """Return explained predictions of a cohort.

    Raises
    ------
    CohortError
        The cohort cannot be scored this way; the message names the mend.
    """
    adata = cohort.adata
    chosen = choose_standardisation(
        cohort, asked=standardisation, min_cohort_size=model.min_cohort_size
    )
    features = model.transformer.transform(adata)
    cohorts = adata.obs["cohort"].astype(str)
    probability = model.predict(features, standardisation=chosen, cohorts=cohorts)
    attributions = model.explain(features, standardisation=chosen, cohorts=cohorts)
    mechanisms = model.catalogue.mechanisms
    arm = model.arm(chosen)
    predictions = pd.DataFrame(
        {
            "sample_id": adata.obs["sample_id"].astype(str),
            "patient_id": adata.obs["patient_id"].astype(str),
            "cohort": cohorts,
            "probability": probability,
            "calibration_method": arm.calibrator.method,
            "gene_coverage": model.transformer.gene_coverage(adata),
            "score_kind": model.transformer.score_kind,
            "standardisation": chosen,
        }
    )
    background = model.transformer.background_coverage(adata)
    comparable = chosen == "cohort" or background >= _LEAST_COVERAGE
    calls = _calls(
        predictions, threshold=arm.threshold, background=None if comparable else background
    )
    predictions = predictions.join(calls)
    predictions = predictions.join(attributions.leading_mechanisms(mechanisms))
    predictions["prediction_set"] = pd.Series(None, index=predictions.index, dtype="string")
    predictions["shift_score"] = np.nan
    predictions["model_uri"] = uri
    predictions["model_version"] = pd.Series(version, index=predictions.index, dtype="string")
    training = model.facts.get("training_files", {})
    in_sample = cohort.name in training or cohort.expression_hash in training.values()
    return ScoredCohort(
        cohort,
        predictions[list(PREDICTION_COLUMNS)].reset_index(drop=True),
        attributions,
        attributions.by_mechanism(mechanisms),
        features,
        arm.threshold,
        _notes(in_sample=in_sample, background=background, comparable=comparable),
        in_sample,
        background,
    )


def _notes(*, in_sample: bool, background: float, comparable: bool) -> tuple[str, ...]:
    notes = []
    if in_sample:
        notes.append(
            "the model was trained on this cohort: its predictions fit too well and say nothing "
            "about new patients"
        )
    if not comparable:
        notes.append(
            f"only {background:.0%} of the model's background genes are in the file: ranks within "
            "a sample cannot be compared with the training reference"
        )
    return tuple(notes)


def _calls(
    predictions: pd.DataFrame, *, threshold: float, background: float | None
) -> pd.DataFrame:
    """Return ``call`` and ``call_reason`` of each sample.

    ``background`` is the share of background genes where it forbids a call, else None.
    """
    pairs = zip(predictions["probability"], predictions["gene_coverage"], strict=True)
    rows = [_call(p, coverage, threshold, background) for p, coverage in pairs]
    return pd.DataFrame(rows, columns=["call", "call_reason"], index=predictions.index)


def _call(
    probability: float, coverage: float, threshold: float, background: float | None
) -> tuple[str, str]:
    needed = f"at least {_LEAST_COVERAGE:.0%} needed"
    if coverage < _LEAST_COVERAGE:
        return "uncertain", f"only {coverage:.0%} of the catalogue's genes are measured ({needed})"
    if background is not None:
        reason = f"only {background:.0%} of the background genes are measured ({needed})"
        return "uncertain", reason
    base_rate = f"{threshold:.3f}, the share of resistant samples in training"
    if probability >= threshold:
        return "resistant", f"probability {probability:.3f} is at least {base_rate}"
    return "responsive", f"probability {probability:.3f} is below {base_rate}"
