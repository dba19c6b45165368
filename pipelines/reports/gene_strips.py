"""What each gene of a report is held against: quantiles on a strip, and the cohort's median."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.gene_reference import normal_quantiles
from pipelines.reports.data import ReportData
from pipelines.reports.facts import ReportFacts

__all__ = ["GeneStrip", "gene_quantiles", "gene_strips", "median_of", "place_on_strip"]

_WIDEST_Z = 3.0


@dataclass(frozen=True)
class GeneStrip:
    """What one gene is held against, in hundredths of the strip's width.

    Attributes
    ----------
    number
        Of the gene in the report.
    quantiles
        Of the reference, at :data:`models.gene_reference.SHARES`; empty where there is none.
    cohort
        Median of the report's own cohort.
    """

    number: int
    quantiles: tuple[float, ...]
    cohort: float


def gene_strips(data: ReportData) -> dict[str, GeneStrip]:
    """Return what each gene of a report is held against."""
    facts, ranked = data.facts, data.facts.score_kind == "rank"
    genes = data.genes.drop(columns="sample_id")
    return {
        str(gene): GeneStrip(
            number,
            tuple(
                place_on_strip(quantile, ranked=ranked)
                for quantile in gene_quantiles(facts, str(gene))
            ),
            place_on_strip(median_of(genes[gene].to_numpy(dtype=float)), ranked=ranked),
        )
        for number, gene in enumerate(genes)
    }


def gene_quantiles(facts: ReportFacts, gene: str) -> tuple[float, ...]:
    """Return the reference of a gene; empty where there is none."""
    return facts.gene_quantiles.get(gene, ()) if facts.score_kind == "rank" else normal_quantiles()


def place_on_strip(value: float, *, ranked: bool) -> float:
    """Return where a value stands on its strip, in hundredths."""
    share = value if ranked else (value / _WIDEST_Z + 1.0) / 2.0
    return round(100.0 * min(max(share, 0.0), 1.0), 1)


def median_of(values: NDArray[np.float64]) -> float:
    """Return the median of what was measured, NaN where nothing was."""
    measured = values[np.isfinite(values)]
    return float(np.median(measured)) if measured.size else float("nan")
