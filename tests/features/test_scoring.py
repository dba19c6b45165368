"""Ranks within a sample, z-scores within a cohort, and the rules that make scores of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import percentileofscore, rankdata, zscore

from features.catalogue import Catalogue, Citation, Marker
from features.gene_order import GeneOrder
from features.gene_scores import GeneScores, ScoreKind, doubled_midranks, gene_z_scores
from features.scoring import MarkerScores, score_markers
from features.therapy import DrugGenes

NAN = float("nan")
HALF_A_RANK = 0.05
"""Half a rank among the ten background genes of these tests, as a fraction."""


def marker(
    *genes: str,
    minus: tuple[str, ...] = (),
    score: str = "mean",
    weights: Mapping[str, int] | None = None,
    over: str | None = None,
    by_drug: str | None = None,
    name: str = "made_up",
) -> Marker:
    return Marker(
        id=name,
        name="Made up",
        section="Tests",
        mechanism="tests",
        genes=genes,
        minus_genes=minus,
        weights=dict(weights or {}),
        over=over,
        by_drug=by_drug,  # type: ignore[arg-type]
        score=score,  # type: ignore[arg-type]
        sign="·",
        compartment="any",
        evidence="field",
        sources=(Citation(source="none", paraphrase="Made up for these tests."),),
    )


def ranked(ranks: Sequence[Sequence[float]], *, background: float = 10.0) -> GeneScores:
    """Return samples whose genes A, B, C … have these doubled ranks among a background."""
    values = np.array(ranks, dtype=float)
    sizes = np.full(len(values), 2 * background)
    return GeneScores("rank", values, sizes, list("ABCDEF"[: values.shape[1]]))


def z_scored(z: Sequence[Sequence[float]]) -> GeneScores:
    """Return samples whose genes A, B, C … have these z-scores."""
    values = np.array(z, dtype=float)
    return GeneScores("mean_z", values, np.ones(len(values)), list("ABCDEF"[: values.shape[1]]))


def score(
    ranks: list[float], *markers: Marker, min_coverage: float = 0.5, background: float = 10.0
) -> tuple[float, float]:
    """Return score and coverage of the first marker in one sample of these doubled ranks."""
    genes = ranked([ranks], background=background)
    found = score_markers(genes, markers=markers, min_coverage=min_coverage)
    return float(found.scores[0, 0]), float(found.coverage[0, 0])


def mean_z(z: list[float], *markers: Marker, min_coverage: float = 0.5) -> tuple[float, float]:
    """Return score and coverage of the first marker in one sample of these z-scores."""
    found = score_markers(z_scored([z]), markers=markers, min_coverage=min_coverage)
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


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_genes_in_order_give_the_ranks_among_any_background(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = tied_values(seed)
    values[rng.random(values.shape) < 0.1] = NAN
    order = GeneOrder.of(values)
    for size in (1, 20, 60):  # the second and third find the places kept
        background = np.sort(rng.choice(60, size, replace=False))
        for genes in (np.arange(15), np.sort(rng.choice(60, 9, replace=False))):
            found = order.doubled_midranks(background=background, genes=genes)
            expected = doubled_midranks(values, background=background, genes=genes)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


# --- sparse


ArrayMaker = Callable[[Any], Any]
SPARSE: Mapping[str, ArrayMaker] = {
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}


def stored(values: NDArray[np.float64], make: ArrayMaker, rng: np.random.Generator) -> Any:
    """Return a sparse matrix that stores some zeros too, its indices in any order."""
    by_column = make is sparse.csc_matrix or make is sparse.csc_array
    outer = values.T if by_column else values
    indices, indptr = [], [0]
    for line in outer:
        kept = np.flatnonzero((line > 0) | (rng.random(line.size) < 0.2))
        indices.append(rng.permutation(kept))
        indptr.append(indptr[-1] + kept.size)
    columns = np.concatenate(indices).astype(np.int32)
    data = outer[np.repeat(np.arange(len(outer)), np.diff(indptr)), columns]
    made = make((data, columns, np.array(indptr)), shape=values.shape)
    np.testing.assert_array_equal(made.toarray(), values)
    return made


@pytest.mark.parametrize("kind", SPARSE)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_ranks_of_a_sparse_matrix_are_exactly_those_of_the_dense_one(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 6, (4, 40)) * rng.choice([0.1, 1.0, 1e5])
    values[rng.random(values.shape) < rng.random()] = 0.0
    values[0] = 0.0
    background = rng.permutation(40)[: rng.integers(1, 40)]
    genes = rng.permutation(40)[: rng.integers(1, 40)]
    made = stored(values, SPARSE[kind], rng)
    found = doubled_midranks(made, background=background, genes=genes)
    expected = doubled_midranks(values, background=background, genes=genes)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("kind", SPARSE)
def test_ranking_does_not_change_a_sparse_matrix(kind: str) -> None:
    made = stored(tied_values(0), SPARSE[kind], np.random.default_rng(0))
    before = made.copy()
    doubled_midranks(made, background=np.arange(60), genes=np.arange(60))
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(made, part), getattr(before, part))


def test_a_sparse_matrix_of_single_precision_is_ranked_as_its_dense_form() -> None:
    values = tied_values(1).astype(np.float32) / 3
    found, _ = doubled_midranks(
        sparse.csr_matrix(values), background=np.arange(60), genes=np.arange(60)
    )
    expected, _ = doubled_midranks(
        values.astype(float), background=np.arange(60), genes=np.arange(60)
    )
    np.testing.assert_array_equal(found, expected)


# --- z-scores per gene


def test_z_scores_agree_with_scipys_and_leave_out_what_is_not_measured() -> None:
    values = np.random.default_rng(0).normal(3, 2, (9, 5))
    values[2, 1] = values[4:6, 3] = NAN
    expected = zscore(values, axis=0, nan_policy="omit")
    np.testing.assert_allclose(gene_z_scores(values), expected, rtol=1e-12, atol=1e-12)


def test_a_gene_measured_in_no_sample_has_no_z_score() -> None:
    values = np.array([[1.0, NAN], [2.0, NAN], [3.0, NAN]])
    found = gene_z_scores(values)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, 0], np.array([-1, 0, 1]) * np.sqrt(1.5))


@pytest.mark.parametrize("n_samples", [3, 7, 10, 41])
def test_a_gene_that_does_not_vary_has_a_z_score_of_zero(n_samples: int) -> None:
    # Fixed: the mean of equal values may differ from them in the last bit; all samples then got
    # -1 or +1.
    constants = [0.0, 0.1, 0.7, 1.1, 9.7, -3.3, 1e-9, 12345.678]
    values = np.tile(constants, (n_samples, 1))
    values[1] = NAN
    expected = np.zeros_like(values)
    expected[1] = NAN
    np.testing.assert_array_equal(gene_z_scores(values), expected)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_order_of_samples_is_nothing_to_z_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(12, 6))
    values[rng.random(values.shape) < 0.1] = NAN
    order = rng.permutation(12)
    np.testing.assert_array_equal(gene_z_scores(values[order]), gene_z_scores(values)[order])


# --- the rules, by hand


def test_a_gene_set_scores_the_mean_rank_as_a_fraction() -> None:
    assert score([4, 10, 16, 1], marker("A", "B", "C")) == (0.5, 1.0)
    assert score([20, 20], marker("A", "B")) == (1.0, 1.0)
    assert score([0, 0], marker("A", "B")) == (0.0, 1.0)


def test_a_gene_set_scores_the_mean_of_its_z_scores() -> None:
    assert mean_z([0.5, -1.5, 4.0, 9.0], marker("A", "B", "C")) == (1.0, 1.0)


def test_a_single_gene_scores_its_own_rank_or_z_score() -> None:
    assert score([4, 13], marker("B", score="single")) == (0.65, 1.0)
    assert mean_z([4.0, -2.25], marker("B", score="single")) == (-2.25, 1.0)


def test_minus_genes_are_subtracted_by_their_mean() -> None:
    rule = marker("A", "B", minus=("C", "D"), score="weighted")
    assert score([16, 12, 4, 8], rule) == (pytest.approx(0.7 - 0.3), 1.0)
    assert score([0, 20], marker("A", minus=("B",), score="weighted")) == (-1.0, 1.0)
    assert mean_z([1.0, 2.0, -1.0, 4.0], rule) == (1.5 - 1.5, 1.0)


def test_weights_count_a_gene_so_many_times_on_either_side() -> None:
    plus_only = marker("A", "B", score="weighted", weights={"A": 3})
    assert score([16, 4], plus_only) == ((3 * 16 + 4) / 4 / 20, 1.0)
    assert mean_z([1.0, -1.0], plus_only) == (0.5, 1.0)
    both = marker("A", "B", minus=("C", "D"), score="weighted", weights={"A": 3, "D": 2})
    found, coverage = score([16, 4, 10, 1], both)
    assert (found, coverage) == (pytest.approx(13 / 20 - (10 + 2 * 1) / 3 / 20), 1.0)
    found, _ = mean_z([1.0, -1.0, 4.0, 1.0], both)
    assert found == pytest.approx(0.5 - (4 + 2 * 1) / 3)


def test_weights_of_genes_not_measured_are_left_out() -> None:
    rule = marker("A", "B", "C", score="weighted", weights={"A": 5, "B": 2})
    assert score([NAN, 16, 4], rule) == ((2 * 16 + 4) / 3 / 20, pytest.approx(2 / 3))
    assert mean_z([NAN, 3.0, 0.0], rule)[0] == 2.0


def test_equal_weights_are_a_plain_mean() -> None:
    equal = marker("A", "B", "C", score="weighted", weights=dict.fromkeys("ABC", 7))
    assert score([4, 9, 17], equal) == score([4, 9, 17], marker("A", "B", "C"))


def test_coexpression_scores_the_lower_of_two() -> None:
    both = marker("A", "B", score="lower_of_two")
    assert score([16, 6], both) == score([6, 16], both) == (0.3, 1.0)
    assert mean_z([-0.5, 2.0], both) == mean_z([2.0, -0.5], both) == (-0.5, 1.0)


def test_a_ratio_of_ranks_is_log2_with_half_a_rank_added() -> None:
    rule = marker("A", "B", minus=("C",), score="ratio")
    expected = np.log2((0.5 + HALF_A_RANK) / (0.2 + HALF_A_RANK))
    assert score([16, 4, 4], rule) == (pytest.approx(expected, rel=1e-14), 1.0)


def test_a_ratio_of_ranks_is_finite_at_either_end_and_zero_between_equals() -> None:
    rule = marker("A", minus=("B",), score="ratio")
    assert score([20, 0], rule)[0] == pytest.approx(np.log2(21))
    assert score([0, 20], rule)[0] == pytest.approx(-np.log2(21))
    assert score([0, 0], rule)[0] == score([7, 7], rule)[0] == 0.0


def test_a_ratio_of_z_scores_is_their_difference() -> None:
    rule = marker("A", "B", minus=("C",), score="ratio")
    assert mean_z([1.0, 2.0, -0.5], rule) == (2.0, 1.0)


def test_an_excess_is_over_the_mean_of_another_marker() -> None:
    rule = marker("A", "B", score="excess", over="other")
    other = marker("C", "D", name="other")
    assert score([16, 12, 4, 8], rule, other) == (pytest.approx(0.7 - 0.3), 1.0)
    assert mean_z([1.0, 2.0, 0.5, 0.0], rule, other) == (1.25, 1.0)
    alone = marker("C", score="single", name="other")
    assert score([16, 12, 4, 8], rule, alone) == (pytest.approx(0.7 - 0.2), 1.0)


def test_the_coverage_of_an_excess_counts_the_genes_of_the_other_marker_once() -> None:
    rule = marker("A", "B", score="excess", over="other")
    shared = marker("B", "C", "D", name="other")
    found, coverage = score([16, 12, NAN, 6], rule, shared)
    assert (found, coverage) == (pytest.approx(0.7 - 0.45), 0.75)
    found, coverage = score([16, NAN, NAN, 6], rule, shared)
    assert np.isnan(found)
    assert coverage == 0.5


def test_genes_not_measured_are_left_out_of_the_mean_and_lower_the_coverage() -> None:
    four = marker("A", "B", "C", "D")
    assert score([4, NAN, 16, 10], four) == (0.5, 0.75)
    assert score([4, NAN, 16], four) == (0.5, 0.5)
    assert mean_z([1.0, NAN, 2.0, 3.0], four) == (2.0, 0.75)


@pytest.mark.parametrize(
    ("min_coverage", "scored"), [(0.0, True), (0.5, True), (0.51, False), (1.0, False)]
)
def test_below_the_least_coverage_a_marker_is_missing_never_zero(
    min_coverage: float, scored: bool
) -> None:
    found, coverage = score([4, NAN, 16, NAN], marker(*"ABCD"), min_coverage=min_coverage)
    assert coverage == 0.5
    assert found == 0.5 if scored else np.isnan(found)
    found, coverage = mean_z([1.0, NAN, 4.0, NAN], marker(*"ABCD"), min_coverage=min_coverage)
    assert coverage == 0.5
    assert found == 2.5 if scored else np.isnan(found)


ABSENT = {
    "single": marker("A", score="single"),
    "mean": marker("X", "Y"),
    "weighted": marker("A", "X", score="weighted", weights={"X": 2}),
    "lower_of_two": marker("A", "X", score="lower_of_two"),
    "ratio": marker("A", minus=("X",), score="ratio"),
    "excess": marker("A", "X", score="excess", over="made_up_too"),
}


@pytest.mark.parametrize("rule", ABSENT)
@pytest.mark.parametrize("min_coverage", [0.0, 0.5])
def test_a_marker_without_any_measured_gene_is_missing(rule: str, min_coverage: float) -> None:
    other = marker("A", score="single", name="made_up_too")
    for scored in (score, mean_z):
        found, coverage = scored([NAN, 12.0], ABSENT[rule], other, min_coverage=min_coverage)
        assert np.isnan(found)
        assert coverage == 0.0


@pytest.mark.parametrize("rule", ["weighted", "ratio", "excess"])
def test_either_side_of_a_difference_needs_the_coverage(rule: str) -> None:
    over = {"over": "other"} if rule == "excess" else {"minus": ("E",)}
    wide = marker("A", "B", "C", "D", score=rule, **over)  # type: ignore[arg-type]
    other = marker("E", score="single", name="other")
    for scored in (score, mean_z):
        found, coverage = scored([4, 4, 4, 4, NAN], wide, other)
        assert np.isnan(found)
        assert coverage == 0.8
        found, coverage = scored([4, NAN, NAN, NAN, 8], wide, other)
        assert np.isnan(found)
        assert coverage == 0.4
        assert np.isfinite(scored([4, 4, NAN, NAN, 8], wide, other)[0])


def test_coexpression_needs_both_genes_at_any_coverage() -> None:
    both = marker("A", "B", score="lower_of_two")
    for scored in (score, mean_z):
        found, coverage = scored([4, NAN], both, min_coverage=0.0)
        assert np.isnan(found)
        assert coverage == 0.5


@pytest.mark.parametrize("rule", ["mean", "weighted", "ratio", "lower_of_two"])
def test_a_sample_without_a_measured_background_has_no_score(rule: str) -> None:
    minus = ("B",) if rule in ("weighted", "ratio") else ()
    genes = ("A",) if minus else ("A", "B")
    found, _ = score([NAN, NAN], marker(*genes, minus=minus, score=rule), background=0.0)
    assert np.isnan(found)


# --- genes chosen by the drug


def by_drug(
    genes: GeneScores, chosen: Sequence[DrugGenes], *, min_coverage: float = 0.5
) -> tuple[list[float], list[float]]:
    """Return scores and coverage of a marker whose genes each sample's drug chooses."""
    rule = marker(by_drug="payload_target")
    found = score_markers(
        genes, markers=[rule], min_coverage=min_coverage, by_drug={"made_up": chosen}
    )
    return found.scores[:, 0].tolist(), found.coverage[:, 0].tolist()


def test_every_sample_takes_the_genes_of_its_own_drug() -> None:
    one, two = DrugGenes(plus=("A",)), DrugGenes(plus=("B", "C"))
    rows = [[4.0, 10.0, 14.0], [2.0, 8.0, 16.0], [6.0, 1.0, 3.0]]
    assert by_drug(ranked(rows), [one, two, one]) == ([0.2, 0.6, 0.3], [1.0, 1.0, 1.0])
    assert by_drug(z_scored(rows), [two, one, two]) == ([12.0, 2.0, 2.0], [1.0, 1.0, 1.0])


def test_a_drug_that_chooses_no_gene_leaves_score_and_coverage_missing() -> None:
    none = DrugGenes(note="no drug is stated")
    scores, coverage = by_drug(ranked([[4.0], [6.0]]), [none, DrugGenes(plus=("A",))])
    np.testing.assert_array_equal(scores, [NAN, 0.3])
    np.testing.assert_array_equal(coverage, [NAN, 1.0])


def test_without_any_drug_the_marker_is_missing() -> None:
    found = score_markers(
        ranked([[4.0], [6.0]]), markers=[marker(by_drug="target_antigen")], min_coverage=0.5
    )
    assert np.isnan(found.scores).all()
    assert np.isnan(found.coverage).all()


@pytest.mark.parametrize(
    ("genes", "middle"), [(ranked([[15.0, 4.0]]), 0.5), (z_scored([[15.0, 4.0]]), 0.0)]
)
def test_a_balanced_score_takes_a_side_without_genes_as_neither_high_nor_low(
    genes: GeneScores, middle: float
) -> None:
    high, low = genes.values[0] / genes.sizes[0]
    sides = {("A", "B"): high - low, ("A", None): high - middle, (None, "B"): middle - low}
    for (plus, minus), expected in sides.items():
        drug = DrugGenes(
            plus=(plus,) if plus else (), minus=(minus,) if minus else (), balanced=True
        )
        assert by_drug(genes, [drug])[0] == [pytest.approx(expected)]


def test_a_score_that_is_not_balanced_is_that_of_its_genes() -> None:
    assert by_drug(ranked([[15.0, 4.0]]), [DrugGenes(plus=("A", "B"))])[0] == [0.475]


def test_drug_genes_need_the_coverage_on_either_side() -> None:
    drug = DrugGenes(plus=("A", "B"), minus=("C",), balanced=True)
    for make in (ranked, z_scored):
        genes = make([[4.0, NAN, 2.0], [4.0, 6.0, NAN], [NAN, NAN, 2.0]])
        scores, coverage = by_drug(genes, [drug] * 3)
        assert [np.isnan(value) for value in scores] == [False, True, True]
        np.testing.assert_allclose(coverage, [2 / 3, 2 / 3, 1 / 3])


# --- all rules of the catalogue


def plain_scores(genes: GeneScores, markers: Sequence[Marker]) -> NDArray[np.float64]:
    """Return the scores by the rules' wording, a sample and a marker at a time."""
    by_id = {entry.id: entry for entry in markers}
    scores = np.full((len(genes.values), len(markers)), NAN)
    for row, (values, size) in enumerate(zip(genes.values, genes.sizes, strict=True)):
        own = dict(zip(genes.symbols, values / size, strict=True))
        for column, entry in enumerate(markers):
            if not entry.by_drug:
                scores[row, column] = plain_score(entry, own, by_id, genes.kind, size)
    return scores


def plain_score(
    entry: Marker,
    own: Mapping[str, float],
    by_id: Mapping[str, Marker],
    kind: ScoreKind,
    size: float,
) -> float:
    def mean(symbols: Sequence[str]) -> float:
        counted = [own[gene] for gene in symbols for _ in range(entry.weights.get(gene, 1))]
        return sum(counted) / len(counted)

    plus = mean(entry.genes)
    minus = mean(entry.minus_genes) if entry.minus_genes else 0.0
    if entry.score == "lower_of_two":
        return min(own[gene] for gene in entry.genes)
    if entry.score == "excess":
        others = by_id[str(entry.over)].genes
        return plus - sum(own[gene] for gene in others) / len(others)
    if entry.score == "ratio" and kind == "rank":
        return float(np.log2((plus * size + 1) / (minus * size + 1)))
    return plus - minus


def catalogue_scores(catalogue: Catalogue, kind: ScoreKind) -> GeneScores:
    genes = list(catalogue.gene_symbols)
    values = np.random.default_rng(5).integers(0, 90, (7, len(genes))).astype(float)
    if kind == "mean_z":
        return GeneScores(kind, gene_z_scores(values), np.ones(7), genes)
    every = np.arange(len(genes))
    ranks, sizes = doubled_midranks(values, background=every, genes=every)
    return GeneScores(kind, ranks, 2 * sizes, genes)


@pytest.mark.parametrize("kind", ["rank", "mean_z"])
def test_every_marker_of_the_catalogue_scores_by_its_rule(
    catalogue: Catalogue, kind: ScoreKind
) -> None:
    genes = catalogue_scores(catalogue, kind)
    found = score_markers(genes, markers=catalogue.markers, min_coverage=0.5)
    assert isinstance(found, MarkerScores)
    expected = plain_scores(genes, catalogue.markers)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-12, atol=1e-15)
    drugs_choose = np.array([entry.by_drug is not None for entry in catalogue.markers])
    np.testing.assert_array_equal(np.isnan(found.coverage), np.tile(drugs_choose, (7, 1)))
    np.testing.assert_array_equal(found.coverage[:, ~drugs_choose], 1.0)


@pytest.mark.parametrize("kind", ["rank", "mean_z"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_sample_alone_scores_exactly_as_in_any_batch_and_gene_order(
    catalogue: Catalogue, kind: ScoreKind, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    genes = catalogue_scores(catalogue, kind)
    genes.values[rng.random(genes.values.shape) < 0.2] = NAN
    drugs = [DrugGenes(("EGFR",)), DrugGenes(("TUBB3", "MAPT"), ("TOP1",), balanced=True)]
    own = [drugs[i] for i in rng.integers(0, 2, 7)]
    named = [entry.id for entry in catalogue.markers if entry.by_drug]

    def scores(rows: Sequence[int], columns: Sequence[int]) -> NDArray[np.float64]:
        part = GeneScores(
            kind,
            genes.values[np.ix_(rows, columns)],
            genes.sizes[list(rows)],
            [genes.symbols[i] for i in columns],
        )
        chosen = {name: [own[row] for row in rows] for name in named}
        return score_markers(
            part, markers=catalogue.markers, min_coverage=0.5, by_drug=chosen
        ).scores

    together = scores(range(7), range(len(genes.symbols)))
    columns = rng.permutation(len(genes.symbols)).tolist()
    rows = rng.permutation(7).tolist()
    np.testing.assert_array_equal(scores(rows, columns), together[rows])
    np.testing.assert_array_equal(scores([3], columns), together[[3]])
