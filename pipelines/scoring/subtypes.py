"""Subtypes of small-cell lung cancer of a scored cohort, beside its predictions."""

import pandas as pd

from features.reference import Standardisation
from features.subtypes import call_subtypes
from models.resistance_model import ResistanceModel

__all__ = ["subtype_table", "subtype_words"]

_SETTING = "sclc"


def subtype_table(
    model: ResistanceModel,
    gene_values: pd.DataFrame,
    *,
    cohorts: "pd.Series[str]",
    standardisation: Standardisation,
) -> pd.DataFrame:
    """Return ``sample_id`` and :data:`features.subtypes.SUBTYPE_COLUMNS`, a row a sample.

    Empty where the model is of another setting.

    Parameters
    ----------
    model
        Its training samples' genes are the reference of a reference-relative scoring.
    gene_values
        (n_samples, n_genes): ranks within the sample as fractions, or z-scores in the cohort.
    cohorts
        Cohort of each sample.
    standardisation
        That of the scoring.
    """
    if model.setting != _SETTING:
        return pd.DataFrame()
    calls = call_subtypes(
        gene_values,
        cohorts=cohorts,
        reference=model.training.genes.standardiser() if standardisation == "reference" else None,
        min_cohort_size=model.min_cohort_size,
        catalogue=model.catalogue,
    )
    return calls.rename_axis("sample_id").reset_index()


def subtype_words(subtypes: pd.DataFrame) -> str:
    """Return how many samples are of each subtype, and how many are inflamed.

    Examples
    --------
    >>> found = {"subtype": ["SCLC-A", "unknown", "SCLC-A"], "inflamed": [True, None, False]}
    >>> subtype_words(pd.DataFrame(found).astype({"inflamed": "boolean"}))
    '2 SCLC-A, 1 unknown; inflamed: 1 of 2 told'
    """
    counts = subtypes["subtype"].value_counts().sort_index()
    told = subtypes["inflamed"].dropna()
    counted = ", ".join(f"{count} {subtype}" for subtype, count in counts.items())
    return f"{counted}; inflamed: {int(told.sum())} of {len(told)} told"
