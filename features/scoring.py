"""One score per marker and sample, from the scores of its genes, by the catalogue's rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Marker, genes_read
from features.gene_scores import GeneScores
from features.therapy import DrugGenes

__all__ = ["MarkerScores", "score_markers"]

_Vector = NDArray[np.float64]


@dataclass(frozen=True)
class MarkerScores:
    """Scores and coverage of markers.

    Attributes
    ----------
    scores
        (n_samples, n_markers); NaN where too few of the marker's genes are measured.
    coverage
        (n_samples, n_markers); share of the marker's genes measured in the sample, NaN where the
        sample's drug chooses none.
    """

    scores: NDArray[np.float64]
    coverage: NDArray[np.float64]


def score_markers(
    genes: GeneScores,
    *,
    markers: Sequence[Marker],
    min_coverage: float,
    by_drug: Mapping[str, Sequence[DrugGenes]] | None = None,
) -> MarkerScores:
    """Return the scores of markers from those of genes, all samples at once.

    Parameters
    ----------
    genes
        Scores of single genes.
    markers
        What to score, by the rules of :class:`features.catalogue.Marker`. Ranks are fractions of
        the background: a mean lies in 0 to 1, a difference in -1 to 1; ``ratio`` is log2.
    min_coverage
        Least share of a marker's genes (and of its minus genes) that must be measured.
    by_drug
        Marker id → the genes of each sample, for markers whose genes the drug chooses. NaN where a
        sample's drug chooses none.
    """
    by_id = {marker.id: marker for marker in markers}
    scorer = _Scorer(genes, min_coverage, by_id)
    scores = np.full((genes.values.shape[0], len(markers)), np.nan)
    coverage = np.full_like(scores, np.nan)
    for position, marker in enumerate(markers):
        if marker.by_drug is not None:
            chosen = (by_drug or {}).get(marker.id, ())
            scores[:, position], coverage[:, position] = scorer.by_drug(chosen)
        else:
            scores[:, position] = scorer.rule(marker)
            coverage[:, position] = scorer.coverage(genes_read(marker, by_id))
    return MarkerScores(scores, coverage)


class _Scorer:
    """The rules, over one table of gene scores."""

    def __init__(
        self, genes: GeneScores, min_coverage: float, markers: Mapping[str, Marker]
    ) -> None:
        self._genes = genes
        self._min_coverage = min_coverage
        self._markers = markers
        self._columns = {symbol: position for position, symbol in enumerate(genes.symbols)}
        self._rules: Mapping[str, Callable[[Marker], _Vector]] = {
            "mean": lambda marker: self.mean(marker.genes),
            "single": lambda marker: self.mean(marker.genes),
            "weighted": self._weighted,
            "lower_of_two": self._lower_of_two,
            "excess": self._excess,
            "ratio": self._ratio,
        }

    def rule(self, marker: Marker) -> _Vector:
        """Return a marker's score (n_samples,)."""
        return self._rules[marker.score](marker)

    def coverage(self, symbols: Sequence[str]) -> _Vector:
        """Return the share of genes measured (n_samples,)."""
        return np.isfinite(self._select(symbols)).mean(axis=1)

    def mean(self, symbols: Sequence[str], weights: Mapping[str, int] | None = None) -> _Vector:
        """Return the (weighted) mean of the measured genes, NaN below the least coverage."""
        values = self._select(symbols)
        weight = np.array([(weights or {}).get(symbol, 1) for symbol in symbols], dtype=float)
        measured = np.isfinite(values)
        count = measured.sum(axis=1)
        sizes = self._genes.sizes
        enough = (count > 0) & (count >= self._min_coverage * len(symbols)) & (sizes > 0)
        total = np.where(measured, values * weight, 0.0).sum(axis=1)
        mean = np.full(values.shape[0], np.nan)
        np.divide(total, sizes * (measured * weight).sum(axis=1), out=mean, where=enough)
        return mean

    def by_drug(self, chosen: Sequence[DrugGenes]) -> tuple[_Vector, _Vector]:
        """Return score and coverage where each sample has genes of its own."""
        scores = np.full(self._genes.values.shape[0], np.nan)
        coverage = scores.copy()
        for own in dict.fromkeys(chosen):
            named = own.plus + own.minus
            if not named:
                continue
            rows = np.array([other == own for other in chosen])
            middle = np.full(rows.size, self._genes.middle)
            plus = self.mean(own.plus) if own.plus else middle
            minus = self.mean(own.minus) if own.minus else middle
            score = plus - minus if own.balanced else plus
            scores[rows], coverage[rows] = score[rows], self.coverage(named)[rows]
        return scores, coverage

    def _weighted(self, marker: Marker) -> _Vector:
        score = self.mean(marker.genes, marker.weights)
        if not marker.minus_genes:
            return score
        return score - self.mean(marker.minus_genes, marker.weights)

    def _lower_of_two(self, marker: Marker) -> _Vector:
        return self._select(marker.genes).min(axis=1) / self._genes.sizes

    def _excess(self, marker: Marker) -> _Vector:
        over = self._markers[str(marker.over)]
        return self.mean(marker.genes) - self.mean(over.genes)

    def _ratio(self, marker: Marker) -> _Vector:
        plus, minus = self.mean(marker.genes), self.mean(marker.minus_genes)
        if self._genes.kind == "mean_z":
            return plus - minus
        half_a_rank = 1.0 / np.where(self._genes.sizes > 0, self._genes.sizes, np.nan)
        return np.log2((plus + half_a_rank) / (minus + half_a_rank))

    def _select(self, symbols: Sequence[str]) -> NDArray[np.float64]:
        selected = np.full((self._genes.values.shape[0], len(symbols)), np.nan)
        for position, symbol in enumerate(symbols):
            if symbol in self._columns:
                selected[:, position] = self._genes.values[:, self._columns[symbol]]
        return selected
