"""Score a cohort with a frozen model: predictions, attributions, calls and notes."""

from typing import Literal

import numpy as np
import pandas as pd

from features.cohort import is_gene_scaled_cohort
from features.errors import CohortError
from features.fingerprint import find_duplicates, fingerprint
from features.gene_report import GeneReport
from features.gene_scores import z_score_genes
from features.profile import rank_profile
from features.reference import Standardisation
from features.transformer import MarkerFeatures
from models.conformal import set_names
from models.gene_reference import gene_ranks
from models.resistance_model import ResistanceModel
from models.sufficiency import read_sufficiency
from pipelines.ingest import IngestedCohort
from pipelines.scoring.calls import cohort_doubts, make_calls
from pipelines.scoring.data_verdict import NO_VERDICT, apply_verdict
from pipelines.scoring.notes import cohort_notes, flat_note, recalibration_note, too_little
from pipelines.scoring.scored_cohort import PREDICTION_COLUMNS, ScoredCohort
from pipelines.scoring.subtypes import subtype_table

__all__ = [
    "PREDICTION_COLUMNS",
    "ScoredCohort",
    "choose_standardisation",
    "score_cohort",
    "too_little",
]


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
    call_anyway: bool = False,
) -> ScoredCohort:
    """Return explained predictions of a cohort.

    Values centred or scaled per gene are scored by mean z, cohort-relative. A cohort with too few
    of the catalogue's genes is refused, unless ``force``: then no sample gets a call. Nor does one
    of a model whose data do not suffice (:mod:`models.sufficiency`), unless ``call_anyway``.

    Raises
    ------
    CohortError
        The cohort cannot be scored this way; the message names the mend.
    """
    chosen = choose_standardisation(
        cohort, asked=standardisation, min_cohort_size=model.min_cohort_size
    )
    if chosen not in model.arms:
        raise _no_such_arm(model, cohort, chosen)
    transformer = model.transformer
    if is_gene_scaled_cohort(cohort.adata):
        transformer = transformer.with_score_kind("mean_z")
    features = transformer.transform(cohort.adata)
    genes = transformer.gene_report(cohort.adata)
    if genes.grade == "too little" and not force:
        raise too_little(cohort.name, genes)
    cohorts = cohort.adata.obs["cohort"].astype(str)
    found = model.predict(features, standardisation=chosen, cohorts=cohorts)
    attributions = model.explain(
        features, standardisation=chosen, cohorts=cohorts, log_odds=found["log_odds"]
    )
    like_training = transformer.score_kind == model.transformer.score_kind
    ranked = like_training and transformer.score_kind == "rank"
    coverage = transformer.gene_coverage(cohort.adata)
    shift = _shift(model, cohort, features, coverage=coverage if ranked else None)
    doubts = cohort_doubts(genes, unlike_training=not like_training)
    predictions = _predictions(
        model, cohort, found, standardisation=chosen, uri=uri, version=version
    ).assign(
        score_kind=transformer.score_kind,
        gene_coverage=coverage,
        shift_score=shift["shift_score"],
    )
    arm, mechanisms = model.arm(chosen), model.catalogue.mechanisms
    sufficiency = read_sufficiency(model.facts).get(chosen)
    calls = apply_verdict(
        make_calls(predictions, shift["reason"], coverage=arm.sets.coverage, doubts=doubts),
        sufficiency,
        call_anyway=call_anyway,
    )
    predictions = predictions.join(calls).join(attributions.leading_mechanisms(mechanisms))
    known = _training_samples(model, cohort) if ranked else []
    in_sample = _was_trained_on(model, cohort) or bool(known)
    drift = model.training.drift.table(features)
    gene_values = _gene_values(transformer, cohort, genes)
    notes = (
        *recalibration_note(model, cohort, chosen),
        *flat_note(predictions["probability"]),
        *cohort_notes(
            transformer, cohort, genes=genes, known=known, in_sample=in_sample, doubts=doubts
        ),
        *((NO_VERDICT,) if sufficiency is None else ()),
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
        gene_values,
        subtype_table(model, gene_values, cohorts=cohorts, standardisation=chosen),
        sufficiency=sufficiency,
        called_anyway=call_anyway,
    )


def _no_such_arm(
    model: ResistanceModel, cohort: IngestedCohort, chosen: Standardisation
) -> CohortError:
    """Return why a model of one standardisation alone cannot score a cohort the other way."""
    others = ", ".join(model.arms)
    mend = f"give at least {model.min_cohort_size} samples, or use a model that has both"
    if chosen == "cohort":
        mend = f"use --standardisation {others}"
    return CohortError(
        f"cohort '{cohort.name}' has {cohort.adata.n_obs} samples and would be scored "
        f"{chosen}-relative; this model is {others}-relative alone: {mend}"
    )


def _predictions(
    model: ResistanceModel,
    cohort: IngestedCohort,
    found: pd.DataFrame,
    *,
    standardisation: Standardisation,
    uri: str,
    version: str | None,
) -> pd.DataFrame:
    """Return who was predicted, what was ``found``, and by which model, a row a sample."""
    obs = cohort.adata.obs
    sets = set_names(found[["in_responsive", "in_resistant"]])
    return pd.DataFrame(
        {
            "sample_id": obs["sample_id"].astype(str),
            "patient_id": obs["patient_id"].astype(str),
            "cohort": obs["cohort"].astype(str),
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


def _training_samples(model: ResistanceModel, cohort: IngestedCohort) -> list[str]:
    """Return samples that are, by their expression, training samples: ``here = there``."""
    prints = model.training.fingerprints
    own = fingerprint(cohort.adata, pairs=prints.pairs)
    # A line stands in the training once for each group of drugs.
    pairs = find_duplicates(own, prints).drop_duplicates("sample")
    return [f"{a} = {b}" for a, b in zip(pairs["sample"], pairs["other"], strict=True)]


def _gene_values(
    transformer: MarkerFeatures, cohort: IngestedCohort, genes: GeneReport
) -> pd.DataFrame:
    """Return the genes that the features read (n_samples, n_genes): ranks, or z-scores."""
    found = list(genes.found_as)
    if transformer.score_kind == "rank":
        return gene_ranks(cohort.adata, background=transformer.background_, genes=found)
    return z_score_genes(cohort.adata, genes=found).table(cohort.adata.obs_names)
