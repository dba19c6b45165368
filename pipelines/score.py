"""Score a cohort with a frozen model: predictions, attributions, outputs on disk."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd

from features.cohort import is_gene_scaled_cohort
from features.errors import CohortError, examples
from features.fingerprint import find_duplicates, fingerprint
from features.gene_report import LEAST_COVERAGE, GeneReport
from features.profile import rank_profile
from features.reference import Standardisation
from features.transformer import MarkerFeatures
from models.conformal import set_names
from models.explanation import Attributions
from models.metrics import Estimate, evaluate_predictions
from models.recalibration import recalibration_of
from models.resistance_model import ResistanceModel
from pipelines.calls import cohort_doubts, make_calls
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


_FLAT = 0.01
"""Range of a cohort's probabilities below which they tell its samples apart no more."""


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

    @property
    def standardisation(self) -> Standardisation:
        """How the cohort was standardised."""
        return cast(Standardisation, str(self.predictions["standardisation"].iloc[0]))

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
        """Write predictions (parquet, csv), attributions, gene report, shift and drift tables."""
        write_table(self.predictions, folder / "predictions.parquet")
        write_table(self.predictions, folder / "predictions.csv")
        write_table(self.attribution_table(), folder / "attributions.parquet")
        write_table(self.genes.features.reset_index(), folder / "gene_report.csv")
        write_table(self.drift, folder / "drift.csv")
        write_table(self.shift.rename_axis("sample_id").reset_index(), folder / "shift.csv")


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
    chosen = choose_standardisation(
        cohort, asked=standardisation, min_cohort_size=model.min_cohort_size
    )
    transformer = model.transformer
    if is_gene_scaled_cohort(cohort.adata):
        transformer = transformer.with_score_kind("mean_z")
    features = transformer.transform(cohort.adata)
    genes = transformer.gene_report(cohort.adata)
    if genes.grade == "too little" and not force:
        raise too_little(cohort.name, genes)
    cohorts = cohort.adata.obs["cohort"].astype(str)
    attributions = model.explain(features, standardisation=chosen, cohorts=cohorts)
    like_training = transformer.score_kind == model.transformer.score_kind
    ranked = like_training and transformer.score_kind == "rank"
    coverage = transformer.gene_coverage(cohort.adata)
    shift = _shift(model, cohort, features, coverage=coverage if ranked else None)
    doubts = cohort_doubts(genes, unlike_training=not like_training)
    predictions = _predictions(
        model, cohort, features, standardisation=chosen, uri=uri, version=version
    ).assign(
        score_kind=transformer.score_kind,
        gene_coverage=coverage,
        shift_score=shift["shift_score"],
    )
    arm, mechanisms = model.arm(chosen), model.catalogue.mechanisms
    calls = make_calls(predictions, shift["reason"], coverage=arm.sets.coverage, doubts=doubts)
    predictions = predictions.join(calls).join(attributions.leading_mechanisms(mechanisms))
    known = _training_samples(model, cohort) if ranked else []
    in_sample = _was_trained_on(model, cohort) or bool(known)
    drift = model.training.drift.table(features)
    notes = (
        *_recalibration_note(model, cohort, chosen),
        *_flat_note(predictions["probability"]),
        *_notes(transformer, cohort, genes=genes, known=known, in_sample=in_sample, doubts=doubts),
    )
    return ScoredCohort(
        cohort,
        predictions[list(PREDICTION_COLUMNS)].reset_index(drop=True),
        attributions,
        attributions.by_mechanism(mechanisms),
        features,
        shift,
        drift if ranked else drift.iloc[:0],
        arm.threshold,
        notes,
        in_sample,
        model.transformer.background_coverage(cohort.adata),
        genes,
    )


def _predictions(
    model: ResistanceModel,
    cohort: IngestedCohort,
    features: pd.DataFrame,
    *,
    standardisation: Standardisation,
    uri: str,
    version: str | None,
) -> pd.DataFrame:
    """Return who was predicted, what, and by which model, a row a sample."""
    obs = cohort.adata.obs
    cohorts = obs["cohort"].astype(str)
    found = model.predict(features, standardisation=standardisation, cohorts=cohorts)
    sets = set_names(found[["in_responsive", "in_resistant"]])
    return pd.DataFrame(
        {
            "sample_id": obs["sample_id"].astype(str),
            "patient_id": obs["patient_id"].astype(str),
            "cohort": cohorts,
            "probability": found["probability"],
            "calibration_method": model.arm(standardisation).calibrator.method,
            "prediction_set": pd.Series(sets, index=obs.index),
            "standardisation": standardisation,
            "model_uri": uri,
            "model_version": pd.Series(version, index=obs.index, dtype="string"),
        }
    )


def _shift(
    model: ResistanceModel,
    cohort: IngestedCohort,
    features: pd.DataFrame,
    *,
    coverage: "pd.Series[float] | None",
) -> pd.DataFrame:
    """Return how far samples lie from training; empty (``coverage`` None) without ranks."""
    if coverage is None:
        empty = {"shift_score": np.nan, "reason": ""}
        return pd.DataFrame(empty, index=cohort.adata.obs_names)
    profiles = rank_profile(cohort.adata, background=model.transformer.background_)
    return model.training.shift.measure(profiles, features, gene_coverage=coverage)


def _was_trained_on(model: ResistanceModel, cohort: IngestedCohort) -> bool:
    """Return whether the model was trained on a cohort of this name or on its expression file."""
    training = model.facts.get("training_files", {})
    return cohort.name in training or cohort.expression_hash in training.values()


def _flat_note(probability: "pd.Series[float]") -> tuple[str, ...]:
    """Return what to know where the calibration makes next to no difference between samples."""
    if len(probability) < 2 or float(np.ptp(probability)) >= _FLAT:
        return ()
    return (
        f"the calibration is flat: every probability lies between {probability.min():.3f} and "
        f"{probability.max():.3f}, near the base rate, since the scores of held-out cohorts said "
        "next to nothing of response in training; calls rest on the order of the scores alone",
    )


def _recalibration_note(
    model: ResistanceModel, cohort: IngestedCohort, standardisation: Standardisation
) -> tuple[str, ...]:
    if not recalibration_of(
        model,
        cohort=cohort.name,
        expression=cohort.expression_hash,
        standardisation=standardisation,
    ):
        return ()
    return (
        "the model was recalibrated on this cohort: its probabilities have seen these responses",
    )


def _training_samples(model: ResistanceModel, cohort: IngestedCohort) -> list[str]:
    """Return samples that are, by their expression, training samples: ``here = there``."""
    prints = model.training.fingerprints
    own = fingerprint(cohort.adata, pairs=prints.pairs)
    pairs = find_duplicates(own, prints)
    return [f"{a} = {b}" for a, b in zip(pairs["sample"], pairs["other"], strict=True)]


def too_little(name: str, genes: GeneReport) -> CohortError:
    """Return the refusal of a cohort with too few of the catalogue's genes, all missing listed."""
    return CohortError(
        f"cohort '{name}' cannot be scored: gene coverage is {genes.sentence()}; at least "
        f"{LEAST_COVERAGE:.0%} of the genes are needed. Check the gene identifiers (oncoresist "
        "check); --force scores it all the same, without calls. Missing: "
        f"{' '.join(genes.missing)}"
    )


def _notes(
    transformer: MarkerFeatures,
    cohort: IngestedCohort,
    *,
    genes: GeneReport,
    known: Sequence[str],
    in_sample: bool,
    doubts: Sequence[str],
) -> tuple[str, ...]:
    notes = []
    if in_sample:
        count = "1 sample" if len(known) == 1 else f"{len(known)} samples"
        what = f"{count} of this cohort" if known else "this cohort"
        which = f" ({examples(known)})" if known else ""
        notes.append(
            f"the model was trained on {what}{which}: its predictions fit too well and say nothing "
            "about new patients"
        )
    notes += doubts
    if genes.grade != "full":
        notes.append(f"gene coverage is {genes.sentence()}; see gene_report.csv")
    if transformer.knows_drugs:
        found = transformer.therapies(cohort.adata)
        notes += dict.fromkeys(therapy.note for therapy in found.values() if therapy.note)
    return tuple(notes)
