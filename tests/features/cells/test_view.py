"""A sketch, its clusters and its map: the same for a seed, never moved by integration."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

import features.cells.view
from features.cells.source import open_cells
from features.cells.view import CellView, cluster_cells, sketch, view_cells
from features.errors import CohortError, ConfigError
from features.units import UnitFinding

pytestmark = pytest.mark.slow

COUNTS = UnitFinding("counts", 0.0, "made")
KINDS = np.repeat([0, 1, 2], 40)


def three_kinds(*, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    profiles = rng.gamma(0.5, 4.0, size=(3, 150))
    counts = rng.poisson(profiles[KINDS]).astype(np.float32)
    return ad.AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame(index=[f"c{cell}" for cell in range(KINDS.size)]),
        var=pd.DataFrame(index=[f"G{gene}" for gene in range(150)]),
    )


def view(
    adata: ad.AnnData, *, finding: UnitFinding = COUNTS, positions: list[int] | None = None
) -> CellView:
    chosen = np.arange(adata.n_obs) if positions is None else np.array(positions)
    return view_cells(
        open_cells(adata),
        symbols=list(adata.var_names),
        finding=finding,
        positions=chosen.astype(np.intp),
        seed=0,
    )


@pytest.fixture(scope="module")
def whole() -> CellView:
    return view(three_kinds())


def test_clusters_are_the_planted_kinds(whole: CellView) -> None:
    assert adjusted_rand_score(KINDS, whole.clusters) > 0.95
    sizes = np.bincount(whole.clusters)
    assert (np.diff(sizes) <= 0).all()


def test_a_view_has_a_place_for_each_cell(whole: CellView) -> None:
    assert whole.umap.shape == (120, 2)
    assert np.isfinite(whole.umap).all()
    assert whole.pcs.shape == (120, 30)
    assert set(whole.hvg) <= {f"G{gene}" for gene in range(150)}
    assert "Leiden clusters" in whole.steps


def test_the_same_seed_gives_the_same_view(whole: CellView) -> None:
    again = view(three_kinds())
    np.testing.assert_array_equal(again.clusters, whole.clusters)
    np.testing.assert_allclose(again.umap, whole.umap)


def test_components_of_the_model_are_those_of_the_view(whole: CellView) -> None:
    block = three_kinds().X
    np.testing.assert_allclose(whole.model.components(block), whole.pcs, atol=1e-3)


def test_cells_outside_the_sketch_get_the_cluster_of_their_kind() -> None:
    adata = three_kinds()
    source = open_cells(adata)
    positions = np.arange(0, 120, 2)
    seen = view(adata, positions=list(positions))
    clusters = cluster_cells(
        source, model=seen.model, positions=positions, clusters=seen.clusters, memory_mb=64
    )
    np.testing.assert_array_equal(clusters[positions], seen.clusters)
    assert adjusted_rand_score(KINDS, clusters) > 0.95


def test_harmony_moves_the_map_alone(whole: CellView) -> None:
    adata = three_kinds()
    moved = view_cells(
        open_cells(adata),
        symbols=list(adata.var_names),
        finding=COUNTS,
        positions=np.arange(120),
        batches=np.tile([0, 1], 60),
        integrate="harmony",
        seed=0,
    )
    np.testing.assert_array_equal(moved.clusters, whole.clusters)
    np.testing.assert_allclose(moved.pcs, whole.pcs)
    assert "Harmony over batches, for the map alone" in moved.steps
    assert not np.allclose(moved.umap, whole.umap)


def test_without_igraph_k_means_stands_in_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.cells.view, "find_spec", lambda name: None)
    found = view(three_kinds())
    assert any("igraph is not installed" in note for note in found.skipped)
    assert found.clusters.max() >= 1


def test_harmony_needs_its_extra_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    adata = three_kinds()
    with pytest.raises(ConfigError, match="needs a batch per cell"):
        view_cells(
            open_cells(adata),
            symbols=list(adata.var_names),
            finding=COUNTS,
            positions=np.arange(120),
            integrate="harmony",
        )
    monkeypatch.setattr(features.cells.view, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="extra 'harmony'"):
        view_cells(
            open_cells(adata),
            symbols=list(adata.var_names),
            finding=COUNTS,
            positions=np.arange(120),
            batches=np.tile([0, 1], 60),
            integrate="harmony",
        )


def test_scaled_values_are_taken_as_they_are_with_a_word() -> None:
    adata = three_kinds()
    dense = np.log1p(adata.X.toarray())
    adata.X = (dense - dense.mean(axis=0)) / np.maximum(dense.std(axis=0), 1e-3)
    found = view(adata, finding=UnitFinding("gene_scaled", 0.0, "made"))
    assert any("normalisation" in note for note in found.skipped)
    assert adjusted_rand_score(KINDS, found.clusters) > 0.9


def test_a_handful_of_cells_is_one_cluster_with_a_word() -> None:
    adata = three_kinds()
    found = view(adata, positions=[0, 50, 100])
    assert found.clusters.tolist() == [0, 0, 0]
    assert any("clusters and map" in note for note in found.skipped)
    assert found.model.predict(adata.X[:4]).tolist() == [0, 0, 0, 0]


def test_a_sketch_takes_cells_of_every_sample_and_leaves_out_the_others() -> None:
    adata = three_kinds()
    source = open_cells(adata)
    samples = np.where(KINDS == 2, -1, KINDS).astype(np.int32)
    samples[:2] = 5
    drawn = sketch(source, samples=samples, size=40, seed=1)
    assert (np.diff(drawn) > 0).all()
    assert set(samples[drawn]) == {0, 1, 5}
    np.testing.assert_array_equal(drawn, sketch(source, samples=samples, size=40, seed=1))
    everything = sketch(source, samples=samples, size=1000, seed=1)
    np.testing.assert_array_equal(everything, np.flatnonzero(samples >= 0))


def test_a_sketch_of_no_sample_is_refused() -> None:
    source = open_cells(three_kinds())
    with pytest.raises(CohortError, match="no cell belongs to a sample"):
        sketch(source, samples=np.full(120, -1), size=10, seed=0)
    with pytest.raises(CohortError, match="samples are given"):
        sketch(source, samples=np.zeros(3, dtype=np.int32), size=10, seed=0)


def test_what_does_not_fit_a_view_is_refused() -> None:
    source = open_cells(three_kinds())
    with pytest.raises(CohortError, match="symbols are given"):
        view_cells(source, symbols=["G1"], finding=COUNTS, positions=np.arange(3))
    names = [f"G{gene}" for gene in range(150)]
    with pytest.raises(CohortError, match="no cells to show"):
        view_cells(source, symbols=names, finding=COUNTS, positions=np.array([], dtype=np.intp))
