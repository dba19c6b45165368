"""Ranks within a sample, and the rules that make scores of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import percentileofscore, rankdata

from features.catalogue import Catalogue, Citation, Marker
from features.scoring import MarkerScores, doubled_midranks, score_markers

NAN = float("nan")


def marker(
    *genes: str, minus: tuple[str, ...] = (), score: str = "mean", name: str = "made_up"
) -> Marker:
    return Marker(
        id=name,
        name="Made up",
        section="Tests",
        mechanism="tests",
        genes=genes,
        minus_genes=minus,
        score=score,  # type: ignore[arg-type]
        sign="·",
        compartment="any",
        evidence="field",
        sources=(Citation(source="none", paraphrase="Made up for these tests."),),
    )


def score(
    ranks: list[float], marker_: Marker, *, min_coverage: float = 0.5, size: float = 10.0
) -> tuple[float, float]:
    """Return score and coverage of one sample whose genes A, B, C … have these doubled ranks."""
    found = score_markers(
        np.array([ranks]),
        np.array([size]),
        symbols=list("ABCDEF"[: len(ranks)]),
        markers=[marker_],
        min_coverage=min_coverage,
    )
    return float(found.scores[0, 0]), float(found.coverage[0, 0])


def tied_values(seed: int, n_samples: int = 4, n_genes: int = 60) -> NDArray[np.float64]:
    return np.random.default_rng(seed).integers(0, 25, (n_samples, n_genes)).astype(float)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_ranks_of_background_genes_agree_with_scipys_midranks(seed: int) -> None:
    values = tied_values(seed)
    every = np.arange(values.shape[1])
    ranks, sizes = doubled_midranks(values, background=every, genes=every)
    np.testing.assert_array_equal(ranks, 2 * rankdata(values, axis=1) - 1)
    np.testing.assert_array_equal(sizes, 60)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_ranks_of_genes_outside_the_background_agree_with_scipys_percentiles(seed: int) -> None:
    values = tied_values(seed)
    background, genes = np.arange(5, 60), np.arange(0, 10)
    ranks, sizes = doubled_midranks(values, background=background, genes=genes)
    for row in range(len(values)):
        percent = percentileofscore(values[row, background], values[row, genes], kind="mean")
        np.testing.assert_allclose(ranks[row] / (2 * sizes[row]) * 100, percent, rtol=1e-12)


def test_ranks_are_whole_numbers_between_zero_and_twice_the_background() -> None:
    values = np.array([[5.0, 1.0, 2.0, 2.0, 9.0, 0.0]])
    ranks, sizes = doubled_midranks(
        values, background=np.array([1, 2, 3]), genes=np.array([5, 1, 2, 0, 4])
    )
    np.testing.assert_array_equal(ranks, [[0, 1, 4, 6, 6]])
    np.testing.assert_array_equal(sizes, [3])


def test_background_genes_not_measured_in_a_sample_are_left_out_there() -> None:
    values = tied_values(0)
    holed = values.copy()
    holed[1, 20:30] = np.nan
    background, genes = np.arange(60), np.arange(10)
    ranks, sizes = doubled_midranks(holed, background=background, genes=genes)
    fewer = np.array([gene for gene in background if not 20 <= gene < 30])
    expected, _ = doubled_midranks(values, background=fewer, genes=genes)
    np.testing.assert_array_equal(ranks[1], expected[1])
    np.testing.assert_array_equal(sizes, [60, 50, 60, 60])


def test_a_gene_not_measured_has_no_rank() -> None:
    values = np.array([[NAN, 1.0, 2.0], [3.0, 1.0, NAN]])
    ranks, sizes = doubled_midranks(values, background=np.arange(3), genes=np.arange(3))
    np.testing.assert_array_equal(ranks, [[NAN, 1, 3], [3, 1, NAN]])
    np.testing.assert_array_equal(sizes, [2, 2])


def test_ranking_does_not_change_the_values() -> None:
    values = tied_values(0)
    before = values.copy()
    doubled_midranks(values, background=np.arange(60), genes=np.arange(60))
    np.testing.assert_array_equal(values, before)


def test_a_gene_set_scores_the_mean_rank_as_a_fraction() -> None:
    assert score([4, 10, 16, 1], marker("A", "B", "C")) == (0.5, 1.0)
    assert score([20, 20], marker("A", "B")) == (1.0, 1.0)
    assert score([0, 0], marker("A", "B")) == (0.0, 1.0)


@pytest.mark.parametrize("rule", ["difference", "excess"])
def test_minus_genes_are_subtracted_by_their_mean(rule: str) -> None:
    assert score([16, 12, 4, 8], marker("A", "B", minus=("C", "D"), score=rule)) == (
        pytest.approx(0.7 - 0.3),
        1.0,
    )
    assert score([0, 20], marker("A", minus=("B",), score=rule)) == (-1.0, 1.0)


def test_coexpression_scores_the_lower_of_two() -> None:
    assert score([16, 6], marker("A", "B", score="lower_of_two")) == (0.3, 1.0)
    assert score([6, 16], marker("A", "B", score="lower_of_two")) == (0.3, 1.0)


def test_genes_not_measured_are_left_out_of_the_mean_and_lower_the_coverage() -> None:
    four = marker("A", "B", "C", "D")
    assert score([4, NAN, 16, 10], four) == (0.5, 0.75)
    assert score([4, NAN, 16], four) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("min_coverage", "scored"), [(0.0, True), (0.5, True), (0.51, False), (1.0, False)]
)
def test_below_the_least_coverage_a_marker_is_missing_never_zero(
    min_coverage: float, scored: bool
) -> None:
    found, coverage = score([4, NAN, 16, NAN], marker(*"ABCD"), min_coverage=min_coverage)
    assert coverage == 0.5
    assert found == 0.5 if scored else np.isnan(found)


@pytest.mark.parametrize("min_coverage", [0.0, 0.5])
def test_a_marker_without_any_measured_gene_is_missing(min_coverage: float) -> None:
    for absent in (marker("A"), marker("X", "Y"), marker("A", "X", score="lower_of_two")):
        found, coverage = score([NAN, 12], absent, min_coverage=min_coverage)
        assert np.isnan(found)
        assert coverage == 0.0


@pytest.mark.parametrize("rule", ["difference", "excess"])
def test_genes_and_minus_genes_need_the_coverage_each(rule: str) -> None:
    wide = marker("A", "B", "C", "D", minus=("E",), score=rule)
    found, coverage = score([4, 4, 4, 4, NAN], wide)
    assert np.isnan(found)
    assert coverage == 0.8
    found, coverage = score([4, NAN, NAN, NAN, 8], wide)
    assert np.isnan(found)
    assert coverage == 0.4


def test_coexpression_needs_both_genes_at_any_coverage() -> None:
    found, coverage = score([4, NAN], marker("A", "B", score="lower_of_two"), min_coverage=0.0)
    assert np.isnan(found)
    assert coverage == 0.5


def test_a_sample_without_a_measured_background_has_no_score() -> None:
    found, _ = score([NAN, NAN], marker("A", "B"), size=0.0)
    assert np.isnan(found)


def plain_scores(
    ranks: NDArray[np.float64], sizes: NDArray[np.float64], genes: list[str], markers: list[Marker]
) -> NDArray[np.float64]:
    """Return the scores by the rules' wording, a sample and a marker at a time."""
    scores = np.full((len(ranks), len(markers)), NAN)
    for row in range(len(ranks)):
        fraction = dict(zip(genes, ranks[row] / (2 * sizes[row]), strict=True))
        for column, entry in enumerate(markers):
            plus = [fraction[gene] for gene in entry.genes]
            minus = [fraction[gene] for gene in entry.minus_genes]
            found = min(plus) if entry.score == "lower_of_two" else sum(plus) / len(plus)
            scores[row, column] = found - (sum(minus) / len(minus) if minus else 0.0)
    return scores


def test_every_marker_of_the_catalogue_scores_by_its_rule(catalogue: Catalogue) -> None:
    genes = list(catalogue.gene_symbols)
    values = np.random.default_rng(5).integers(0, 90, (7, len(genes))).astype(float)
    every = np.arange(len(genes))
    ranks, sizes = doubled_midranks(values, background=every, genes=every)
    found = score_markers(ranks, sizes, symbols=genes, markers=catalogue.markers, min_coverage=0.5)
    assert isinstance(found, MarkerScores)
    expected = plain_scores(ranks, sizes, genes, list(catalogue.markers))
    np.testing.assert_allclose(found.scores, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(found.coverage, 1.0)
