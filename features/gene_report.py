"""Which of the catalogue's genes a cohort has, under which name, and what that allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from features.catalogue import Marker

__all__ = [
    "FULL_COVERAGE",
    "LEAST_COVERAGE",
    "GeneReport",
    "Grade",
    "build_gene_report",
    "grade_of",
]

Grade = Literal["full", "partial", "too little"]

FULL_COVERAGE = 0.9
"""Share of the catalogue's genes from which a cohort is graded ``full``."""
LEAST_COVERAGE = 1 / 3
"""Share of the catalogue's genes below which a cohort is graded ``too little``."""


@dataclass(frozen=True)
class GeneReport:
    """What a cohort's file holds of the catalogue.

    Attributes
    ----------
    features
        One row per feature, index the marker id: ``name``, ``genes`` (needed), ``found``,
        ``coverage``, ``scored`` (False: NaN in every sample), ``found_as`` (symbols; those that
        the file names otherwise with that name), ``missing``, ``note``.
    found_as
        Approved symbol → identifier in the file, for every gene found.
    missing
        Approved symbols of the genes not found.
    """

    features: pd.DataFrame
    found_as: Mapping[str, str]
    missing: tuple[str, ...]

    @property
    def needed(self) -> int:
        """How many genes the features read."""
        return len(self.found_as) + len(self.missing)

    @property
    def coverage(self) -> float:
        """Share of these genes that the file has."""
        return len(self.found_as) / self.needed

    @property
    def grade(self) -> Grade:
        """``full``, ``partial`` or ``too little`` for a prediction."""
        return grade_of(self.coverage)

    @property
    def unscored(self) -> tuple[str, ...]:
        """Ids of the features that no sample has."""
        return tuple(str(name) for name in self.features.index[~self.features["scored"]])

    def sentence(self) -> str:
        """Return the grade with its figures, in a sentence."""
        scored = int(self.features["scored"].sum())
        return (
            f"{self.grade}: {len(self.found_as)} of {self.needed} catalogue genes "
            f"({self.coverage:.0%}), {scored} of {len(self.features)} features can be scored"
        )


def grade_of(coverage: float) -> Grade:
    """Return the grade of a share of the catalogue's genes."""
    if coverage >= FULL_COVERAGE:
        return "full"
    return "partial" if coverage >= LEAST_COVERAGE else "too little"


def build_gene_report(
    markers: Sequence[Marker],
    *,
    needed: Mapping[str, Sequence[str]],
    originals: Mapping[str, str],
    scored: Mapping[str, bool],
    notes: Mapping[str, str],
    min_coverage: float,
) -> GeneReport:
    """Return the report of a cohort.

    Parameters
    ----------
    markers
        The features.
    needed
        Marker id → genes that its score reads in this cohort.
    originals
        Symbol → identifier in the file, for every gene measured in at least one sample.
    scored
        Marker id → whether any sample has a score.
    notes
        Marker id → what is to be said of it, where anything is.
    min_coverage
        Least share of a feature's genes.
    """
    rows = {}
    for marker in markers:
        genes = tuple(needed[marker.id])
        found = [gene for gene in genes if gene in originals]
        lacking = [gene for gene in genes if gene not in originals]
        note = notes.get(marker.id, "")
        if not scored[marker.id] and not note:
            note = f"not scored: {_reason(marker, originals, min_coverage)}"
        rows[marker.id] = {
            "name": marker.name,
            "genes": len(genes),
            "found": len(found),
            "coverage": len(found) / len(genes) if genes else float("nan"),
            "scored": scored[marker.id],
            "found_as": " ".join(_named(gene, originals[gene]) for gene in found),
            "missing": " ".join(lacking),
            "note": note,
        }
    wanted = tuple(dict.fromkeys(gene for genes in needed.values() for gene in genes))
    return GeneReport(
        pd.DataFrame.from_dict(rows, orient="index").rename_axis("feature"),
        {gene: originals[gene] for gene in wanted if gene in originals},
        tuple(gene for gene in wanted if gene not in originals),
    )


def _reason(marker: Marker, originals: Mapping[str, str], min_coverage: float) -> str:
    """Return why a marker has no score."""
    if marker.score == "lower_of_two":
        return "both genes are needed"
    lacking = [gene for gene in marker.minus_genes if gene not in originals]
    if lacking and len(marker.minus_genes) - len(lacking) < min_coverage * len(marker.minus_genes):
        return f"at least {min_coverage:.0%} of the genes that are subtracted are needed"
    found = sum(gene in originals for gene in marker.genes)
    if marker.over and found >= min_coverage * len(marker.genes):
        return f"{marker.over}, which is subtracted, is not scored"
    return f"at least {min_coverage:.0%} of its genes are needed"


def _named(symbol: str, original: str) -> str:
    return symbol if symbol == original else f"{symbol}({original})"
