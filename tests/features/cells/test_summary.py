"""One pass in chunks gives what a dense computation in memory gives, whatever the chunk size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from features.catalogue import Catalogue, Marker, default_catalogue
from features.cells.cell_types import CELL_TYPES
from features.cells.source import CellSource, chunk_size, open_cells
from features.cells.storage import SparseRows
from features.cells.summary import CellPlan, CellSummary, read_scores, summarise_cells
from features.errors import CohortError, ConfigError
from features.genes import translate_genes
from features.transformer import MarkerFeatures
from features.units import Unit, UnitFinding, detect_unit

N_CELLS = 90
SAMPLES = ("first", "second", "third", "nobody")
COUNTS = UnitFinding("counts", 0.0, "made up")
DETECTED = {"tim3_pd1": ("HAVCR2", "PDCD1"), "nowhere": ("B2M", "NOT_A_GENE")}


class Made(NamedTuple):
    """Cells with their samples and types."""

    values: NDArray[np.float64]
    symbols: list[str]
    samples: NDArray[np.int32]
    types: NDArray[np.int8]

    @property
    def adata(self) -> ad.AnnData:
        obs = pd.DataFrame(index=[f"cell{i}" for i in range(len(self.values))])
        names = [symbol or f"blank{i}" for i, symbol in enumerate(self.symbols)]
        return ad.AnnData(self.values.copy(), obs=obs, var=pd.DataFrame(index=names))


def made(catalogue: Catalogue, *, n_cells: int = N_CELLS, seed: int = 0) -> Made:
    """Return counts in which a symbol stands thrice, one column has none, and a cell is empty."""
    rng = np.random.default_rng(seed)
    known = [*catalogue.gene_symbols[:120], "HAVCR2", "PDCD1", "B2M"]
    symbols = [*dict.fromkeys(known), *(f"BG{i}" for i in range(30))]
    symbols += [symbols[0], symbols[0], symbols[5], ""]
    values = rng.poisson(0.7, (n_cells, len(symbols))).astype(float)
    values[3 % n_cells] = 0
    samples = rng.integers(-1, 3, n_cells).astype(np.int32)
    return Made(values, symbols, samples, rng.integers(0, 5, n_cells).astype(np.int8))


def summary_of(
    cells: Made,
    place: Any,
    plan: CellPlan,
    *,
    finding: UnitFinding = COUNTS,
    rows: int | None = None,
    scores: Path | None = None,
) -> CellSummary:
    with open_cells(place) as source:
        return summarise_cells(
            source,
            symbols=cells.symbols,
            finding=finding,
            samples=cells.samples,
            sample_names=SAMPLES,
            types=cells.types,
            plan=plan,
            rows=rows,
            scores=scores,
        )


def by_symbol(cells: Made, *, average: bool = False) -> pd.DataFrame:
    """Return one column per symbol, in order of first appearance."""
    table = pd.DataFrame(cells.values.T, index=cells.symbols).groupby(level=0, sort=False)
    return (table.mean() if average else table.sum()).T


def scanpy_log(cells: Made) -> pd.DataFrame:
    """Return scanpy's log1p of counts per 10,000, a column per symbol."""
    merged = by_symbol(cells)
    adata = ad.AnnData(merged.to_numpy())
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return pd.DataFrame(np.asarray(adata.X), columns=merged.columns)


def plain_scores(cells: Made, markers: tuple[Marker, ...]) -> pd.DataFrame:
    """Return the means of plain sets over scanpy's values, at a coverage of half."""
    log = scanpy_log(cells)
    log[cells.values.sum(axis=1) == 0] = np.nan
    scores = {}
    for marker in markers:
        genes = [gene for gene in marker.genes if gene in log]
        enough = len(genes) >= max(0.5 * len(marker.genes), 1)
        scores[marker.id] = log[genes].mean(axis=1) if enough else log.iloc[:, 0] * np.nan
    return pd.DataFrame(scores)


@pytest.fixture(scope="module")
def markers(catalogue: Catalogue) -> tuple[Marker, ...]:
    plain = [m for m in catalogue.markers if m.score in ("mean", "single") and not m.by_drug]
    return tuple(plain)


def written(adata: ad.AnnData, where: str, folder: Path) -> Any:
    if where == "memory":
        return adata
    if where == "zarr":
        adata.write_zarr(folder / "cells")
    else:
        adata.write_h5ad(folder / "cells")
    return folder / "cells"


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "dense": np.asarray,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("where", ["h5ad", "zarr", "memory"])
def test_sums_equal_those_of_dense_values_at_any_chunk_size(
    where: str, layout: str, catalogue: Catalogue, markers: tuple[Marker, ...], tmp_path: Path
) -> None:
    cells = made(catalogue)
    adata = cells.adata
    adata.X = LAYOUTS[layout](cells.values.astype(np.float32))
    place = written(adata, where, tmp_path)
    merged, scores = by_symbol(cells), plain_scores(cells, markers)
    both = (merged["HAVCR2"] > 0) & (merged["PDCD1"] > 0)
    for rows in (1, 7, 1000):
        found = summary_of(cells, place, CellPlan(markers, DETECTED), rows=rows)
        assert found.symbols == tuple(name for name in merged if name)
        assert (found.samples, found.types) == (SAMPLES, CELL_TYPES)
        assert (found.detected_ids, found.not_measured) == (("tim3_pd1",), ("nowhere",))
        for sample in range(len(SAMPLES)):
            for kind in range(6):
                own = (cells.samples == sample) & (cells.types == kind)
                here = (sample, kind)
                assert found.n_cells[here] == own.sum()
                assert found.detected[here].tolist() == [both[own].sum()]
                expected = merged.loc[own, list(found.symbols)].sum()
                np.testing.assert_allclose(found.expression[here], expected, atol=1e-6)
                np.testing.assert_allclose(found.score_sums[here], scores[own].sum(), atol=1e-6)
                squares = (scores[own] ** 2).sum()
                np.testing.assert_allclose(found.score_squares[here], squares, atol=1e-6)
                assert found.score_cells[here].tolist() == scores[own].notna().sum().tolist()


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_pseudobulk_of_counts_is_scanpys_log_of_the_summed_counts(
    rows: int, catalogue: Catalogue
) -> None:
    cells = made(catalogue)
    found = summary_of(cells, cells.adata, CellPlan(()), rows=rows)
    types = (CELL_TYPES[1], CELL_TYPES[2], CELL_TYPES[1])
    bulk = found.pseudobulk(types, min_cells=2)
    own = np.isin(cells.types, [1, 2])
    merged = by_symbol(cells).drop(columns="")
    summed = np.vstack([merged[own & (cells.samples == s)].sum() for s in range(3)])
    expected = ad.AnnData(summed)
    sc.pp.normalize_total(expected, target_sum=1e6)
    sc.pp.log1p(expected)
    np.testing.assert_allclose(bulk.X[:3], np.asarray(expected.X), atol=1e-6)
    assert np.isnan(bulk.X[3]).all()
    assert bulk.obs_names.tolist() == list(SAMPLES)
    assert bulk.obs["n_cells"].tolist() == found.counts_of(types).tolist()
    assert bulk.uns["oncoresist"] == {"unit": "counts"}
    assert found.counts_of().tolist() == [int((cells.samples == s).sum()) for s in range(4)]


def test_samples_with_too_few_cells_have_no_pseudobulk(catalogue: Catalogue) -> None:
    cells = made(catalogue)
    found = summary_of(cells, cells.adata, CellPlan(()))
    for least in (0, 1, 20, 25, 1000):
        bulk = found.pseudobulk(min_cells=least)
        few = found.counts_of() < max(least, 1)
        assert np.isnan(bulk.X).all(axis=1).tolist() == few.tolist()


def test_mean_scores_are_those_of_the_cells(
    catalogue: Catalogue, markers: tuple[Marker, ...]
) -> None:
    cells = made(catalogue)
    found = summary_of(cells, cells.adata, CellPlan(markers), rows=11)
    scores = plain_scores(cells, markers)
    means = found.score_mean([CELL_TYPES[0], CELL_TYPES[3]])
    own = np.isin(cells.types, [0, 3])
    expected = np.vstack([scores[own & (cells.samples == s)].mean() for s in range(4)])
    np.testing.assert_allclose(means.to_numpy(), expected, atol=1e-6)
    assert means.index.tolist() == list(SAMPLES)
    assert list(means) == [marker.id for marker in markers]
    with pytest.raises(ConfigError, match="there is no cell type neuron; types are malignant"):
        found.score_mean(["neuron"])


def linear_units(values: NDArray[np.float64]) -> dict[Unit, tuple[Any, UnitFinding]]:
    tpm = values * 12.5
    floor = float(np.exp2(np.log2(0.01)))  # as detect_unit finds it
    return {
        "tpm": (sparse.csr_matrix(tpm), UnitFinding("tpm", 0.0, "")),
        "log2_tpm": (np.log2(tpm + 0.01), UnitFinding("log2_tpm", floor, "")),
        "ln_tpm": (sparse.csr_matrix(np.log1p(tpm)), UnitFinding("ln_tpm", 1.0, "")),
    }


@pytest.mark.parametrize("name", ["tpm", "log2_tpm", "ln_tpm"])
def test_other_linear_units_are_summed_as_counts_per_ten_thousand(
    name: Unit, catalogue: Catalogue, markers: tuple[Marker, ...]
) -> None:
    cells = made(catalogue)
    adata = cells.adata
    adata.X, finding = linear_units(cells.values)[name]
    found = summary_of(cells, adata, CellPlan(markers), finding=finding, rows=13)
    scaled = np.expm1(scanpy_log(cells))
    scores = plain_scores(cells, markers)
    bulk = found.pseudobulk(min_cells=1)
    for sample in range(3):
        own = cells.samples == sample
        sums = scaled.loc[own, list(found.symbols)].sum()
        np.testing.assert_allclose(found.expression[sample].sum(axis=0), sums, rtol=1e-6)
        np.testing.assert_allclose(bulk.X[sample], np.log1p(sums / sums.sum() * 1e6), atol=1e-6)
        np.testing.assert_allclose(
            found.score_sums[sample].sum(axis=0), scores[own].sum(), atol=1e-6
        )


@pytest.mark.parametrize("dense", [True, False])
def test_gene_scaled_values_are_averaged_as_they_came(dense: bool, catalogue: Catalogue) -> None:
    cells = made(catalogue)
    scaled = cells._replace(values=cells.values - 0.7 * dense)
    adata = scaled.adata
    if not dense:
        adata.X = sparse.csr_matrix(scaled.values)
    finding = UnitFinding("gene_scaled", 0.0, "")
    found = summary_of(scaled, adata, CellPlan(()), finding=finding, rows=7)
    bulk = found.pseudobulk(min_cells=1)
    merged = by_symbol(scaled, average=True)[list(found.symbols)]
    for sample in range(3):
        np.testing.assert_allclose(bulk.X[sample], merged[cells.samples == sample].mean())
    assert bulk.uns["oncoresist"] == {"unit": "gene_scaled"}


def test_intensities_become_linear_after_their_mean(catalogue: Catalogue) -> None:
    cells = made(catalogue)
    finding = UnitFinding("log2_intensity", 0.0, "")
    found = summary_of(cells, cells.adata, CellPlan(()), finding=finding, rows=7)
    merged = by_symbol(cells, average=True)[list(found.symbols)]
    linear = np.exp2(merged[cells.samples == 1].mean())
    expected = np.log1p(linear / linear.sum() * 1e6)
    np.testing.assert_allclose(found.pseudobulk(min_cells=1).X[1], expected)


def test_a_gene_not_measured_in_a_sample_is_nan_in_its_pseudobulk(catalogue: Catalogue) -> None:
    cells = made(catalogue)
    gene = cells.symbols.index("BG4")
    cells.values[cells.samples == 1, gene] = np.nan
    bulk = summary_of(cells, cells.adata, CellPlan(()), rows=7).pseudobulk(min_cells=1)
    assert bulk.to_df()["BG4"].isna().tolist() == [False, True, False, True]
    assert bulk.to_df().drop(columns="BG4").iloc[:3].notna().all(axis=None)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_the_order_of_cells_and_genes_changes_nothing(random: Any, rows: int) -> None:
    cells = made(default_catalogue(), n_cells=40)
    plan = CellPlan(default_catalogue().markers, DETECTED)
    order, genes = list(range(40)), list(range(len(cells.symbols)))
    random.shuffle(order)
    random.shuffle(genes)
    turned = Made(
        cells.values[np.ix_(order, genes)],
        [cells.symbols[gene] for gene in genes],
        cells.samples[order],
        cells.types[order],
    )
    one = summary_of(cells, cells.adata, plan, rows=9)
    other = summary_of(turned, turned.adata, plan, rows=rows)
    places = [other.symbols.index(symbol) for symbol in one.symbols]
    np.testing.assert_array_equal(one.expression, other.expression[:, :, places])
    np.testing.assert_array_equal(one.detected, other.detected)
    np.testing.assert_allclose(one.score_sums, other.score_sums, atol=1e-9)


def test_scores_of_each_cell_are_kept_in_file_order(
    catalogue: Catalogue, markers: tuple[Marker, ...], tmp_path: Path
) -> None:
    cells = made(catalogue)
    path = tmp_path / "scores.parquet"
    found = summary_of(cells, cells.adata, CellPlan(markers), rows=7, scores=path)
    assert found.scores == path
    table = pd.read_parquet(path)
    assert list(table)[:5] == ["cell_id", "sample", "type", "total_counts", "n_genes"]
    assert table["cell_id"].tolist() == [f"cell{i}" for i in range(N_CELLS)]
    left_out = cells.samples < 0
    assert table["sample"].isna().tolist() == left_out.tolist()
    names = [SAMPLES[code] for code in cells.samples[~left_out]]
    assert table["sample"].dropna().tolist() == names
    assert table["type"].tolist() == [CELL_TYPES[code] for code in cells.types]
    assert table["total_counts"].tolist() == cells.values.sum(axis=1).tolist()
    assert table["n_genes"].tolist() == (cells.values > 0).sum(axis=1).tolist()
    scores = plain_scores(cells, markers)
    np.testing.assert_allclose(table[list(scores)], scores, atol=1e-6, rtol=1e-6)
    column = read_scores(path, markers[0].id)
    assert column.dtype == np.float32
    np.testing.assert_array_equal(column, table[markers[0].id])
    with pytest.raises(CohortError, match="has no scores of 'nothing'; it has"):
        read_scores(path, "nothing")
    with pytest.raises(CohortError, match="scores cannot be read"):
        read_scores(tmp_path / "nowhere.parquet", markers[0].id)


def test_an_error_on_the_way_leaves_no_half_written_scores(
    catalogue: Catalogue, markers: tuple[Marker, ...], tmp_path: Path
) -> None:
    cells = made(catalogue)
    path = tmp_path / "scores.parquet"
    cells.values[60, 4] = -1
    with pytest.raises(CohortError, match=r"AnnData, cells 56 to 62: expression holds negative"):
        summary_of(cells, cells.adata, CellPlan(markers), rows=7, scores=path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("what was there before")
    with pytest.raises(CohortError, match="negative"):
        summary_of(cells, cells.adata, CellPlan(markers), rows=7, scores=path)
    assert path.read_text() == "what was there before"
    cells.values[60, 4] = 0
    with pytest.raises(ConfigError, match="cannot be written"):
        summary_of(cells, cells.adata, CellPlan(()), scores=tmp_path / "no" / "folder.parquet")


def test_symbols_samples_and_types_that_do_not_fit_are_refused(catalogue: Catalogue) -> None:
    cells = made(catalogue)
    for wrong, message in (
        (cells._replace(symbols=cells.symbols[1:]), "symbols for .*; give one for each"),
        (cells._replace(samples=cells.samples[1:]), "89 sample codes for 90; give one for each"),
        (cells._replace(types=cells.types[1:]), "89 type codes for 90; give one for each"),
        (cells._replace(samples=cells.samples + 2), "sample codes 4; allowed: -1 to 3"),
        (cells._replace(types=cells.types - 1), "type codes -1; allowed: 0 to"),
    ):
        with pytest.raises(CohortError, match=message):
            summary_of(wrong, cells.adata, CellPlan(()))


def test_cells_that_are_all_left_out_give_empty_sums(catalogue: Catalogue) -> None:
    cells = made(catalogue)._replace(samples=np.full(N_CELLS, -1, dtype=np.int32))
    found = summary_of(cells, cells.adata, CellPlan(catalogue.markers))
    assert found.n_cells.sum() == found.expression.sum() == found.score_cells.sum() == 0
    assert found.score_mean().isna().all(axis=None)


def test_no_more_than_a_chunk_is_read_or_held(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read, asked = SparseRows.read, []

    def noted(self: SparseRows, start: int, stop: int) -> Any:
        asked.append(stop - start)
        return read(self, start, stop)

    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("the whole file was asked for")

    monkeypatch.setattr(SparseRows, "read", noted)
    monkeypatch.setattr(ad, "read_h5ad", refused)
    monkeypatch.setattr(CellSource, "rows", refused)
    for n_cells in (300, 900):
        cells = made(catalogue, n_cells=n_cells)
        adata = cells.adata
        adata.X = sparse.csr_matrix(cells.values)
        adata.write_h5ad(tmp_path / f"{n_cells}.h5ad")
        asked.clear()
        with open_cells(tmp_path / f"{n_cells}.h5ad") as source:
            rows = chunk_size(source, memory_mb=2)
            assert rows < n_cells
            summarise_cells(
                source,
                symbols=cells.symbols,
                finding=COUNTS,
                samples=cells.samples,
                sample_names=SAMPLES,
                types=cells.types,
                plan=CellPlan(()),
                memory_mb=2,
                scores=tmp_path / "scores.parquet",
            )
        assert max(asked) == rows
        assert sum(asked) == n_cells


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["glioblastoma_panobinostat_5000x300", "pc9_erlotinib_day11_unlabelled"]
)
def test_real_cells_in_chunks_give_the_bulk_of_their_summed_counts(
    name: str, shared: Path, catalogue: Catalogue
) -> None:
    path = shared / "cohorts" / "single_cell" / f"{name}.h5ad"
    whole = ad.read_h5ad(path)
    with open_cells(path) as source:
        symbols = translate_genes(source.genes, catalogue=catalogue).symbols
        sample = source.rows(np.arange(0, source.n_cells, 10))
        finding = detect_unit(sample.toarray().astype(float))
        assert finding.unit == "counts"
        found = summarise_cells(
            source,
            symbols=symbols,
            finding=finding,
            samples=np.zeros(source.n_cells, dtype=np.int32),
            sample_names=["all"],
            types=np.zeros(source.n_cells, dtype=np.int8),
            plan=CellPlan(catalogue.markers),
            rows=997,
        )
    bulk = found.pseudobulk(min_cells=1)
    summed = pd.Series(np.asarray(whole.X.sum(axis=0)).ravel(), index=symbols)
    expected = summed.groupby(level=0).sum().reindex(bulk.var_names)
    np.testing.assert_allclose(bulk.X[0], np.log1p(expected / expected.sum() * 1e6), rtol=1e-6)
    if bulk.n_vars > 5000:
        assert MarkerFeatures(catalogue).fit(bulk).transform(bulk).notna().mean(axis=None) > 0.5
