"""Score a cohort with a frozen model: predictions, attributions, outputs on disk."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from features.cohort import is_gene_scaled_cohort
from features.errors import CohortError
from features.gene_report import LEAST_COVERAGE, GeneReport
from features.reference import Standardisation
from features.transformer import MarkerFeatures
from models.explanation import Attributions
from models.metrics import Estimate, evaluate_predictions
from models.resistance_model import ResistanceModel
from pipelines.files import write_table
from pipelines.ingest import IngestedCohort

__all__ = [
    "PREDICTION_COLUMNS",
    "ScoredCohort",
    "choose_standardisation",
    "score_cohort",
    "too_little",
]

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
    genes
        Which genes the cohort has, and which features that allows.
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
    genes: GeneReport

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
        """Write predictions (parquet, csv), ``attributions.parquet`` and ``gene_report.csv``."""
        write_table(self.predictions, folder / "predictions.parquet")
        write_table(self.predictions, folder / "predictions.csv")
        write_table(self.attribution_table(), folder / "attributions.parquet")
        write_table(self.genes.features.reset_index(), folder / "gene_report.csv")


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
    large = size >= min_cohort_size
    if not cohort.reference_offered and (asked == "reference" or not large):
        raise CohortError(_only_within(cohort, large=large, min_cohort_size=min_cohort_size))
    if asked == "cohort" and not large:
        raise CohortError(
            f"cohort '{cohort.name}' has {size} samples; cohort-relative standardisation needs "
            f"{min_cohort_size}: use --standardisation reference"
        )
    return "cohort" if asked != "reference" and large else "reference"


def _only_within(cohort: IngestedCohort, *, large: bool, min_cohort_size: int) -> str:
    """Return why a cohort's values mean something only among themselves, and the mend."""
    what, mend = "raw counts without gene lengths", "give TPM, a Length column or gene_lengths"
    if is_gene_scaled_cohort(cohort.adata):
        what, mend = "values centred or scaled per gene", "give the values before scaling"
    other = "use --standardisation cohort, or " if large else ""
    return (
        f"cohort '{cohort.name}' holds {what}: they mean something only within a cohort of at "
        f"least {min_cohort_size} samples (it has {cohort.adata.n_obs}); {other}{mend}"
    )


def score_cohort(
    model: ResistanceModel,
    cohort: IngestedCohort,
    *,
    standardisation: Literal["auto", "cohort", "reference"],
    uri: str,
    version: str | None,
    force: bool = False,
) -> ScoredCohort:
    """Return explained predictions of a cohort.

    Values centred or scaled per gene are scored by mean z, cohort-relative. A cohort with too few
    of the catalogue's genes is refused, unless ``force``: then no sample gets a call.

    Raises
    ------
    CohortError
        The cohort cannot be scored this way; the message names the mend.
    """
    adata = cohort.adata
    chosen = choose_standardisation(
        cohort, asked=standardisation, min_cohort_size=model.min_cohort_size
    )
    transformer = model.transformer
    if is_gene_scaled_cohort(adata):
        transformer = transformer.with_score_kind("mean_z")
    features = transformer.transform(adata)
    genes = transformer.gene_report(adata)
    if genes.grade == "too little" and not force:
        raise too_little(cohort.name, genes)
    cohorts = adata.obs["cohort"].astype(str)
    attributions = model.explain(features, standardisation=chosen, cohorts=cohorts)
    mechanisms = model.catalogue.mechanisms
    arm = model.arm(chosen)
    background = model.transformer.background_coverage(adata)
    doubts = _cohort_doubts(
        genes,
        background=background if chosen == "reference" else None,
        unlike_training=transformer.score_kind != model.transformer.score_kind,
    )
    predictions = pd.DataFrame(
        {
            "sample_id": adata.obs["sample_id"].astype(str),
            "patient_id": adata.obs["patient_id"].astype(str),
            "cohort": cohorts,
            "probability": model.predict(features, standardisation=chosen, cohorts=cohorts),
            "calibration_method": arm.calibrator.method,
            "prediction_set": pd.Series(None, index=adata.obs_names, dtype="string"),
            "score_kind": transformer.score_kind,
            "standardisation": chosen,
            "gene_coverage": transformer.gene_coverage(adata),
            "shift_score": np.nan,
            "model_uri": uri,
            "model_version": pd.Series(version, index=adata.obs_names, dtype="string"),
        }
    )
    predictions = predictions.join(_calls(predictions, threshold=arm.threshold, doubts=doubts))
    predictions = predictions.join(attributions.leading_mechanisms(mechanisms))
    in_sample = _was_trained_on(model, cohort)
    return ScoredCohort(
        cohort,
        predictions[list(PREDICTION_COLUMNS)].reset_index(drop=True),
        attributions,
        attributions.by_mechanism(mechanisms),
        features,
        arm.threshold,
        _notes(transformer, cohort, genes=genes, in_sample=in_sample, doubts=doubts),
        in_sample,
        background,
        genes,
    )


def _was_trained_on(model: ResistanceModel, cohort: IngestedCohort) -> bool:
    """Return whether the model was trained on a cohort of this name or on its expression file."""
    training = model.facts.get("training_files", {})
    return cohort.name in training or cohort.expression_hash in training.values()


def too_little(name: str, genes: GeneReport) -> CohortError:
    """Return the refusal of a cohort with too few of the catalogue's genes, all missing listed."""
    return CohortError(
        f"cohort '{name}' cannot be scored: gene coverage is {genes.sentence()}; at least "
        f"{LEAST_COVERAGE:.0%} of the genes are needed. Check the gene identifiers (oncoresist "
        "check); --force scores it all the same, without calls. Missing: "
        f"{' '.join(genes.missing)}"
    )


def _cohort_doubts(
    genes: GeneReport, *, background: float | None, unlike_training: bool
) -> tuple[str, ...]:
    """Return the reasons that forbid a call for every sample of the cohort, the weightiest first.

    ``background`` is the share of background genes where the reference depends on it, else None.
    """
    doubts = []
    if genes.grade == "too little":
        doubts.append(
            f"scored by force: only {genes.coverage:.0%} of the catalogue's genes are in the file "
            f"(at least {LEAST_COVERAGE:.0%} needed)"
        )
    if unlike_training:
        doubts.append(
            "the values are centred or scaled per gene and scored by mean z; the model was trained "
            "and validated on ranks"
        )
    if background is not None and background < _LEAST_COVERAGE:
        doubts.append(
            f"only {background:.0%} of the model's background genes are in the file (at least "
            f"{_LEAST_COVERAGE:.0%} needed): ranks within a sample cannot be compared with the "
            "training reference"
        )
    return tuple(doubts)


def _notes(
    transformer: MarkerFeatures,
    cohort: IngestedCohort,
    *,
    genes: GeneReport,
    in_sample: bool,
    doubts: Sequence[str],
) -> tuple[str, ...]:
    notes = []
    if in_sample:
        notes.append(
            "the model was trained on this cohort: its predictions fit too well and say nothing "
            "about new patients"
        )
    notes += doubts
    if genes.grade != "full":
        notes.append(f"gene coverage is {genes.sentence()}; see gene_report.csv")
    if transformer.knows_drugs:
        found = transformer.therapies(cohort.adata)
        notes += dict.fromkeys(therapy.note for therapy in found.values() if therapy.note)
    return tuple(notes)


def _calls(predictions: pd.DataFrame, *, threshold: float, doubts: Sequence[str]) -> pd.DataFrame:
    """Return ``call`` and ``call_reason`` of each sample."""
    pairs = zip(predictions["probability"], predictions["gene_coverage"], strict=True)
    rows = [_call(p, coverage, threshold, doubts) for p, coverage in pairs]
    return pd.DataFrame(rows, columns=["call", "call_reason"], index=predictions.index)


def _call(
    probability: float, coverage: float, threshold: float, doubts: Sequence[str]
) -> tuple[str, str]:
    if doubts:
        return "uncertain", doubts[0]
    if coverage < _LEAST_COVERAGE:
        return "uncertain", (
            f"only {coverage:.0%} of the catalogue's genes are measured (at least "
            f"{_LEAST_COVERAGE:.0%} needed)"
        )
    base_rate = f"{threshold:.3f}, the share of resistant samples in training"
    if probability >= threshold:
        return "resistant", f"probability {probability:.3f} is at least {base_rate}"
    return "responsive", f"probability {probability:.3f} is below {base_rate}"
