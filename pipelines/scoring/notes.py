"""What to know of a cohort under a model: notes for people, and the refusal of too few genes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.errors import CohortError, examples
from features.gene_report import LEAST_COVERAGE, GeneReport
from features.reference import Standardisation
from features.transformer import MarkerFeatures
from models.recalibration import recalibration_of
from models.resistance_model import ResistanceModel
from pipelines.ingest import IngestedCohort

__all__ = ["IN_SAMPLE", "cohort_notes", "flat_note", "recalibration_note", "too_little"]

IN_SAMPLE = "the model was trained on"
"""How the note begins that says that figures are in-sample."""
_FLAT = 0.01
"""Range of a cohort's probabilities below which they tell its samples apart no more."""


def flat_note(probability: "pd.Series[float]") -> tuple[str, ...]:
    """Return what to know where the calibration makes next to no difference between samples."""
    if len(probability) < 2 or float(np.ptp(probability)) >= _FLAT:
        return ()
    return (
        f"the calibration is flat: every probability lies between {probability.min():.3f} and "
        f"{probability.max():.3f}, near the base rate, since the scores of held-out cohorts said "
        "next to nothing of response in training; calls rest on the order of the scores alone",
    )


def recalibration_note(
    model: ResistanceModel, cohort: IngestedCohort, standardisation: Standardisation
) -> tuple[str, ...]:
    """Return what to know where the model was recalibrated on this very cohort."""
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


def too_little(name: str, genes: GeneReport) -> CohortError:
    """Return the refusal of a cohort with too few of the catalogue's genes, all missing listed."""
    return CohortError(
        f"cohort '{name}' cannot be scored: gene coverage is {genes.sentence()}; at least "
        f"{LEAST_COVERAGE:.0%} of the genes are needed. Check the gene identifiers (oncoresist "
        "check); --force scores it all the same, without calls. Missing: "
        f"{' '.join(genes.missing)}"
    )


def cohort_notes(
    transformer: MarkerFeatures,
    cohort: IngestedCohort,
    *,
    genes: GeneReport,
    known: Sequence[str],
    in_sample: bool,
    doubts: Sequence[str],
) -> tuple[str, ...]:
    """Return whether figures are in-sample, what is in doubt, missing genes and unknown drugs."""
    notes = []
    if in_sample:
        count = "1 sample" if len(known) == 1 else f"{len(known)} samples"
        what = f"{count} of this cohort" if known else "this cohort"
        which = f" ({examples(known)})" if known else ""
        notes.append(
            f"{IN_SAMPLE} {what}{which}: its predictions fit too well and say nothing "
            "about new patients"
        )
    notes += doubts
    if genes.grade != "full":
        notes.append(f"gene coverage is {genes.sentence()}; see gene_report.csv")
    if transformer.knows_drugs:
        found = transformer.therapies(cohort.adata)
        notes += dict.fromkeys(therapy.note for therapy in found.values() if therapy.note)
    return tuple(notes)
