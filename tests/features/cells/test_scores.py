"""Scores of single cells equal the rules over scanpy's log1p of counts per 10,000."""

from collections.abc import Callable, Mapping
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from numpy.typing import NDArray
from scipy import sparse

from features.catalogue import Catalogue, Citation, Marker
from features.cells.scores import CellScorer
from features.errors import CohortError, ConfigError
from features.units import Unit, UnitFinding

NAN = float("nan")
GENES = list("ABCDEF")


def unit(name: Unit, pseudocount: float = 0.0) -> UnitFinding:
    return UnitFinding(name, pseudocount, "made up")


COUNTS = unit("counts")


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


def counts(n_cells: int = 40, *, seed: int = 0) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).poisson(1.0, (n_cells, len(GENES))).astype(np.float32)
    values[:, -1] += 1  # no cell is empty
    return values


def scanpy_log(values: NDArray[np.float32]) -> NDArray[np.float64]:
    cells = ad.AnnData(values.astype(np.float64))
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    return np.asarray(cells.X)


def scores_of(
    values: Any,
    *markers: Marker,
    finding: UnitFinding = COUNTS,
    symbols: list[str] = GENES,
    min_coverage: float = 0.5,
) -> NDArray[np.float64]:
    scorer = CellScorer(markers, symbols=symbols, finding=finding, min_coverage=min_coverage)
    return scorer.score(values).scores


Layout = Callable[[NDArray[np.float32]], Any]
LAYOUTS: dict[str, Layout] = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": np.asarray,
    "integers": lambda values: sparse.csr_matrix(values.astype(np.int64)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_rule_is_what_it_says_over_scanpys_values(layout: str) -> None:
    values = counts()
    log = scanpy_log(values)
    a, b, c, d = log[:, :4].T
    markers = (
        marker("A", "B", "C", name="mean_of_three"),
        marker("B", score="single", name="one"),
        marker("A", "B", minus=("C", "D"), score="weighted", weights={"A": 3}, name="weighed"),
        marker("A", "B", score="weighted", weights={"A": 3}, name="only_plus"),
        marker("A", "C", score="lower_of_two", name="lower"),
        marker("D", over="mean_of_three", score="excess", name="over_three"),
        marker("A", "B", minus=("C",), score="ratio", name="difference"),
    )
    expected = np.column_stack(
        [
            (a + b + c) / 3,
            b,
            (3 * a + b) / 4 - (c + d) / 2,
            (3 * a + b) / 4,
            np.minimum(a, c),
            d - (a + b + c) / 3,
            (a + b) / 2 - c,
        ]
    )
    found = scores_of(LAYOUTS[layout](values), *markers)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_all_markers_of_the_catalogue_equal_a_sum_over_dense_values(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(1)
    symbols = [*catalogue.gene_symbols[::2], *(f"BG{i}" for i in range(50))]
    values = rng.poisson(0.3, (30, len(symbols))).astype(np.float32)
    log = dict(zip(symbols, scanpy_log(values).T, strict=True))
    scorer = CellScorer(catalogue.markers, symbols=symbols, finding=COUNTS, min_coverage=0.5)
    found = dict(
        zip(scorer.marker_ids, scorer.score(sparse.csr_matrix(values)).scores.T, strict=True)
    )
    scored = 0
    for entry in catalogue.markers:
        measured = [log[gene] for gene in entry.genes if gene in log]
        if entry.score not in ("mean", "single") or entry.by_drug:
            continue
        if not measured or len(measured) < 0.5 * len(entry.genes):
            assert np.isnan(found[entry.id]).all(), entry.id
            continue
        scored += 1
        np.testing.assert_allclose(found[entry.id], np.mean(measured, axis=0), atol=1e-10)
    assert scored > 20


def test_too_few_genes_in_the_file_give_no_score() -> None:
    three = marker("A", "X", "Y")
    assert np.isnan(scores_of(counts(), three)).all()
    np.testing.assert_allclose(
        scores_of(counts(), three, min_coverage=0.3)[:, 0], scanpy_log(counts())[:, 0], atol=1e-10
    )
    nothing = marker("X", "Y")
    assert np.isnan(scores_of(counts(), nothing, min_coverage=0.0)).all()
    assert np.isnan(scores_of(counts(), marker("A", "X", score="lower_of_two"))).all()


def test_markers_whose_genes_a_drug_chooses_have_no_score() -> None:
    both = (marker(by_drug="target_antigen", name="antigen"), marker("A", score="single"))
    found = scores_of(counts(), *both)
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


def test_a_marker_over_one_that_is_not_scored_is_refused() -> None:
    with pytest.raises(ConfigError, match="over_three are scored over a marker"):
        scores_of(counts(), marker("D", over="three", score="excess", name="over_three"))


def test_columns_of_one_symbol_are_added_up_before_the_logarithm() -> None:
    values = counts()
    symbols = ["A", "B", "A", "", "", "A"]
    merged = np.column_stack([values[:, [0, 2, 5]].sum(axis=1), values[:, [1, 3, 4]]])
    found = scores_of(sparse.csr_matrix(values), marker("A", score="single"), symbols=symbols)
    np.testing.assert_allclose(found[:, 0], scanpy_log(merged)[:, 0], atol=1e-10)


@pytest.mark.parametrize("name", ["gene_scaled", "log2_intensity"])
def test_values_without_a_linear_scale_are_taken_as_they_are_and_averaged(name: Unit) -> None:
    values = np.random.default_rng(2).normal(size=(20, 6))
    symbols = ["A", "B", "A", "D", "E", "F"]
    scorer = CellScorer(
        [marker("A", "B"), marker("A", "B", score="lower_of_two", name="lower")],
        symbols=symbols,
        finding=unit(name),
        detected={"two": ("D", "E")},
    )
    found = scorer.score(values)
    a = (values[:, 0] + values[:, 2]) / 2
    np.testing.assert_allclose(found.scores[:, 0], (a + values[:, 1]) / 2, atol=1e-12)
    np.testing.assert_allclose(found.scores[:, 1], np.minimum(a, values[:, 1]), atol=1e-12)
    np.testing.assert_array_equal(found.detected[:, 0], (values[:, 3:5] > 0).all(axis=1))
    assert np.isnan(found.totals).all()
    assert found.n_genes.tolist() == (values > 0).sum(axis=1).tolist()


def test_one_expression_gives_the_same_scores_in_every_linear_unit() -> None:
    tpm = counts().astype(float) * 37.5
    rules = (marker("A", "B"), marker("A", "C", score="lower_of_two", name="lower"))
    expected = scores_of(tpm, *rules, finding=unit("tpm"))
    with np.errstate(divide="ignore"):
        written = {
            "log1": (np.log2(tpm + 1), unit("log2_tpm", 1.0)),
            "log0001": (np.log2(tpm + 0.001), unit("log2_tpm", 0.001)),
            "log0": (np.log2(tpm), unit("log2_tpm", 0.0)),
            "natural": (np.log1p(tpm), unit("ln_tpm", 1.0)),
        }
    for name, (values, finding) in written.items():
        for block in (values, sparse.csr_matrix(values)):
            found = scores_of(block, *rules, finding=finding)
            np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=name)


def test_a_cell_without_counts_has_no_score() -> None:
    values = counts(3)
    values[1] = 0
    scorer = CellScorer([marker("A", "B")], symbols=GENES, finding=COUNTS, detected={"a": ("F",)})
    for block in (values, sparse.csr_matrix(values)):
        found = scorer.score(block)
        assert np.isnan(found.scores[:, 0]).tolist() == [False, True, False]
        assert found.detected[:, 0].tolist() == [True, False, True]
        assert found.totals.tolist() == values.sum(axis=1).tolist()
        assert found.n_genes.tolist() == (values > 0).sum(axis=1).tolist()


def test_stored_zeros_are_not_detected() -> None:
    block = sparse.csr_matrix(counts())
    block.data[:4] = 0
    scorer = CellScorer([], symbols=GENES, finding=COUNTS, detected={"f": ("F",)})
    found = scorer.score(block)
    assert found.n_genes.tolist() == (block.toarray() > 0).sum(axis=1).tolist()
    assert found.detected[:, 0].tolist() == (block.toarray()[:, 5] > 0).tolist()
    assert found.scores.shape == (40, 0)


def test_rules_detect_all_their_genes_and_say_which_cannot_be_told() -> None:
    values = counts()
    rules = {"both": ("A", "B"), "strange": ("A", "X"), "one": ("C",)}
    scorer = CellScorer([marker("A", "B")], symbols=GENES, finding=COUNTS, detected=rules)
    assert scorer.detected_ids == ("both", "one")
    assert scorer.not_measured == ("strange",)
    found = scorer.score(sparse.csr_matrix(values)).detected
    expected = np.column_stack([(values[:, :2] > 0).all(axis=1), values[:, 2] > 0])
    np.testing.assert_array_equal(found, expected)


def test_a_gene_not_measured_in_a_cell_is_left_out_of_its_mean() -> None:
    values = counts().astype(float)
    values[:5, 0] = NAN
    values[5:9, :3] = NAN
    filled = np.nan_to_num(values)
    log = np.where(np.isnan(values), NAN, scanpy_log(filled.astype(np.float32)))
    three = marker("A", "B", "C")
    for block in (values, sparse.csr_matrix(values)):
        found = scores_of(block, three, marker("A", "B", score="lower_of_two", name="lower"))
        assert np.isnan(found[5:9]).all()
        assert np.isnan(found[:5, 1]).all()
        np.testing.assert_allclose(found[:5, 0], log[:5, 1:3].mean(axis=1), atol=1e-6)
        np.testing.assert_allclose(found[9:, 0], log[9:, :3].mean(axis=1), atol=1e-6)


def test_a_file_without_any_wanted_gene_has_no_score() -> None:
    found = scores_of(sparse.csr_matrix(counts()), marker("X", "Y"), symbols=[""] * 6)
    assert np.isnan(found).all()


def test_a_block_is_not_changed() -> None:
    for finding in (COUNTS, unit("ln_tpm", 1.0), unit("gene_scaled")):
        for block in (counts(), counts().astype(float), sparse.csr_matrix(counts().astype(float))):
            before = block.copy()
            scores_of(block, marker("A", "B"), finding=finding)
            assert (before != block).sum() == 0


def test_values_that_do_not_fit_the_unit_are_refused() -> None:
    values = counts()
    values[3, 2] = -1
    with pytest.raises(
        CohortError, match=r"negative values \(lowest -1\) although its unit is raw"
    ):
        scores_of(sparse.csr_matrix(values), marker("A", "B"))
    values[3, 2] = np.inf
    for finding in (COUNTS, unit("gene_scaled")):
        with pytest.raises(CohortError, match="infinite values"):
            scores_of(values, marker("A", "B"), finding=finding)
    with pytest.raises(CohortError, match="a block of 5 genes where the file has 6"):
        scores_of(counts()[:, :5], marker("A", "B"))
