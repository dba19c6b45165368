"""One score per marker from a sample's expression: ranks within the sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Marker

__all__ = ["MarkerScores", "doubled_midranks", "score_markers"]


@dataclass(frozen=True)
class MarkerScores:
    """Scores and coverage of markers.

    Attributes
    ----------
    scores
        (n_samples, n_markers); NaN where too few of the marker's genes are measured.
    coverage
        (n_samples, n_markers); share of the marker's genes measured in the sample.
    """

    scores: NDArray[np.float64]
    coverage: NDArray[np.float64]


def doubled_midranks(
    values: NDArray[np.float64], *, background: NDArray[np.intp], genes: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return twice the mid-rank of genes among a background, and the background's size.

    Parameters
    ----------
    values
        Expression (n_samples, n_genes) on any scale; NaN means not measured.
    background, genes
        Columns of the background and of the genes to rank, (n_background,) and (n_ranked,).

    Returns
    -------
    ranks
        (n_samples, n_ranked): background genes below, twice, plus those equal. Whole numbers, so
        that sums of them are exact in any order. NaN where the gene is not measured.
    sizes
        (n_samples,): background genes measured in the sample.
    """
    ranks = np.full((values.shape[0], genes.size), np.nan)
    sizes = np.zeros(values.shape[0])
    for row in range(values.shape[0]):
        ordered = np.sort(values[row, background])
        ordered = ordered[: ordered.size - int(np.isnan(ordered).sum())]
        ranked = values[row, genes]
        below = np.searchsorted(ordered, ranked, side="left")
        not_above = np.searchsorted(ordered, ranked, side="right")
        ranks[row] = np.where(np.isnan(ranked), np.nan, below + not_above)
        sizes[row] = ordered.size
    return ranks, sizes


def score_markers(
    ranks: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    symbols: Sequence[str],
    markers: Sequence[Marker],
    min_coverage: float,
) -> MarkerScores:
    """Return the scores of markers from doubled mid-ranks.

    Parameters
    ----------
    ranks, sizes
        From :func:`doubled_midranks`: (n_samples, n_ranked) and (n_samples,).
    symbols
        Symbol of each ranked gene.
    markers
        What to score. Gene sets score the mean rank as a fraction of the background (0 to 1);
        ``difference`` and ``excess`` subtract the mean of the minus genes (-1 to 1);
        ``lower_of_two`` takes the lower.
    min_coverage
        Least share of a marker's genes (and of its minus genes) that must be measured.
    """
    columns = {symbol: position for position, symbol in enumerate(symbols)}
    scores = np.full((ranks.shape[0], len(markers)), np.nan)
    coverage = np.zeros_like(scores)
    for position, marker in enumerate(markers):
        plus = _select(ranks, columns, marker.genes)
        minus = _select(ranks, columns, marker.minus_genes)
        measured = np.isfinite(np.hstack([plus, minus])).sum(axis=1)
        coverage[:, position] = measured / (len(marker.genes) + len(marker.minus_genes))
        if marker.score == "lower_of_two":
            scores[:, position] = plus.min(axis=1) / (2 * sizes)
            continue
        scores[:, position] = _mean_fraction(plus, sizes, min_coverage)
        if marker.minus_genes:
            scores[:, position] -= _mean_fraction(minus, sizes, min_coverage)
    return MarkerScores(scores, coverage)


def _select(
    ranks: NDArray[np.float64], columns: dict[str, int], genes: Sequence[str]
) -> NDArray[np.float64]:
    selected = np.full((ranks.shape[0], len(genes)), np.nan)
    for position, gene in enumerate(genes):
        if gene in columns:
            selected[:, position] = ranks[:, columns[gene]]
    return selected


def _mean_fraction(
    ranks: NDArray[np.float64], sizes: NDArray[np.float64], min_coverage: float
) -> NDArray[np.float64]:
    """Return the mean rank of the measured genes as a fraction, NaN below the coverage."""
    measured = np.isfinite(ranks).sum(axis=1)
    enough = (measured > 0) & (measured >= min_coverage * ranks.shape[1]) & (sizes > 0)
    total = np.nansum(ranks, axis=1)
    mean = np.full(ranks.shape[0], np.nan)
    np.divide(total, 2 * sizes * measured, out=mean, where=enough)
    return mean
