"""Cells with planted marker genes are told; clusters decide in doubt alone."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse

from features.cells.agreement import agree, confusion_table
from features.cells.annotation import CellAnnotation, annotate_cells
from features.cells.cell_types import CELL_TYPES, TYPE_CODES, cell_type_catalogue, cell_types
from features.cells.smoothing import smooth
from features.cells.source import open_cells
from features.cells.type_scores import TypeMarkers, type_scores
from features.errors import CohortError
from features.units import UnitFinding

COUNTS = UnitFinding("counts", 0.0, "made")
SCALED = UnitFinding("gene_scaled", 0.0, "made")
HOUSEKEEPING = [f"HK{number}" for number in range(300)]
GENES = [*cell_type_catalogue().genes, *HOUSEKEEPING]
TYPICAL = {
    "melanocytic": ["PMEL", "MLANA", "TYR", "DCT", "SOX10", "MITF", "S100B"],
    "cd8_t": ["CD3D", "CD3E", "CD3G", "TRAC", "CD2", "CD8A", "CD8B", "CCL5", "NKG7", "GZMA"],
    "cd4_t": ["CD3D", "CD3E", "CD3G", "TRAC", "CD2", "CD28", "CD4", "CD40LG", "IL7R"],
    "treg": ["CD3D", "CD3E", "TRAC", "CD2", "CD28", "CD4", "FOXP3", "IL2RA", "CTLA4", "TNFRSF18"],
    "nk": ["KLRF1", "NCAM1", "FCGR3A", "FGFBP2", "TYROBP", "FCER1G", "GNLY", "KLRD1", "NKG7"],
    "b": ["MS4A1", "CD79A", "CD79B", "CD19", "BANK1", "CD22", "BLK"],
    "plasma": ["MZB1", "JCHAIN", "SDC1", "DERL3", "IGHG1", "IGHG2", "IGKC", "TNFRSF17"],
    "macrophage": ["LYZ", "CD14", "CD68", "TYROBP", "C1QA", "C1QB", "C1QC", "CD163", "APOE"],
    "monocyte": ["LYZ", "CD14", "TYROBP", "FCN1", "VCAN", "S100A8", "S100A9", "S100A12"],
    "dc": ["LILRA4", "CLEC4C", "IL3RA", "IRF7", "PTCRA", "SPIB", "PLD4"],
    "fibroblast": ["COL1A1", "COL1A2", "COL3A1", "DCN", "LUM", "FAP", "PDGFRB"],
    "endothelial": ["PECAM1", "VWF", "CDH5", "CLDN5", "ESAM", "EMCN"],
}


def cells_of(types: list[str], *, seed: int = 0, found: float = 0.8) -> ad.AnnData:
    """Return counts of cells: markers of their type, found with a chance, and the rest sparse."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.01, size=(len(types), len(GENES))).astype(np.float32)
    counts[:, -len(HOUSEKEEPING) :] = rng.poisson(4, size=(len(types), len(HOUSEKEEPING)))
    for cell, name in enumerate(types):
        for gene in TYPICAL.get(name, []):
            counts[cell, GENES.index(gene)] = rng.poisson(4) * (rng.random() < found)
    names = [f"c{cell}" for cell in range(len(types))]
    return ad.AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame(index=names),
        var=pd.DataFrame(index=GENES),
    )


def annotate(
    adata: ad.AnnData,
    *,
    finding: UnitFinding = COUNTS,
    clusters: NDArray[np.int32] | None = None,
    memory_mb: int = 64,
) -> CellAnnotation:
    return annotate_cells(
        open_cells(adata),
        symbols=list(adata.var_names),
        finding=finding,
        clusters=clusters,
        memory_mb=memory_mb,
    )


MIXED = [name for name in TYPICAL for _ in range(20)]


def test_planted_types_are_found_cell_by_cell() -> None:
    agreement = agree(list(annotate(cells_of(MIXED)).names), MIXED)
    assert agreement.balanced_lineage > 0.9
    assert agreement.balanced_accuracy > 0.85
    assert agreement.balanced_contradicted < 0.03


def test_a_file_of_one_type_is_told_as_well_as_one_of_many() -> None:
    names = annotate(cells_of(["melanocytic"] * 50)).names
    assert np.mean(names == "melanocytic") > 0.95


def test_cells_without_markers_are_unknown() -> None:
    found = annotate(cells_of(["nothing"] * 50))
    assert set(found.names) == {"unknown"}
    assert found.confidence.max() < 0.5


def test_a_t_cell_whose_subtype_was_not_seen_stays_a_t_cell() -> None:
    adata = cells_of(["cd8_t"] * 30)
    adata = adata[:, ~adata.var_names.isin(["CD8A", "CD8B"])].copy()
    names = annotate(adata).names
    assert set(names) <= {"t_cell", "lymphocyte", "unknown"}
    assert np.mean(names == "t_cell") > 0.8


def test_types_whose_markers_are_missing_are_not_called_and_named_in_a_note() -> None:
    adata = cells_of(MIXED)
    panel = adata[
        :, adata.var_names.isin([*TYPICAL["b"], *TYPICAL["plasma"], *HOUSEKEEPING])
    ].copy()
    found = annotate(panel)
    assert set(found.names) <= {"b", "plasma", "unknown"}
    assert "macrophage" not in found.measured
    assert any("macrophage" in note for note in found.notes)


def test_a_file_without_markers_leaves_every_cell_unknown_and_says_so() -> None:
    adata = cells_of(["b"] * 5)
    found = annotate(adata[:, HOUSEKEEPING].copy())
    assert set(found.names) == {"unknown"}
    assert any("no cell type can be told" in note for note in found.notes)


def test_results_do_not_depend_on_the_chunks() -> None:
    adata = cells_of(MIXED)
    small, large = annotate(adata, memory_mb=1), annotate(adata, memory_mb=256)
    np.testing.assert_array_equal(small.types, large.types)
    np.testing.assert_allclose(small.confidence, large.confidence, atol=1e-6)


def test_results_do_not_depend_on_the_order_of_genes() -> None:
    adata = cells_of(MIXED)
    order = np.random.default_rng(1).permutation(adata.n_vars)
    np.testing.assert_array_equal(annotate(adata).types, annotate(adata[:, order].copy()).types)


def test_dense_counts_and_their_logarithm_give_the_same_types() -> None:
    adata = cells_of(MIXED)
    dense = adata.copy()
    dense.X = adata.X.toarray()
    logged = adata.copy()
    logged.X = adata.X.log1p()
    natural = UnitFinding("ln_tpm", 1.0, "made")
    np.testing.assert_array_equal(annotate(dense).types, annotate(adata).types)
    np.testing.assert_array_equal(annotate(logged, finding=natural).types, annotate(adata).types)


def test_values_scaled_without_centring_are_told_by_their_zeros() -> None:
    adata = cells_of(MIXED)
    values = np.log1p(adata.X.toarray())
    adata.X = values / np.maximum(values.std(axis=0), 1e-3)
    found = annotate(adata, finding=SCALED)
    agreement = agree(list(found.names), MIXED)
    assert agreement.balanced_lineage > 0.75
    assert agreement.balanced_contradicted < 0.03
    assert any("scaled per gene" in note for note in found.notes)


def test_z_scores_of_a_mixture_are_told_by_what_lies_above_the_mean() -> None:
    adata = cells_of(MIXED)
    values = np.log1p(adata.X.toarray())
    adata.X = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-3)
    found = annotate(adata, finding=SCALED)
    agreement = agree(list(found.names), MIXED)
    assert agreement.balanced_lineage > 0.5
    assert agreement.balanced_contradicted < 0.03
    assert any("without a zero" in note for note in found.notes)


def test_symbols_that_repeat_are_added_up() -> None:
    adata = cells_of(["b"] * 10)
    values = sparse.csr_matrix(sparse.hstack([adata.X, adata.X]))
    source = open_cells(ad.AnnData(values, obs=adata.obs))
    twice = annotate_cells(source, symbols=[*GENES, *GENES], finding=COUNTS)
    np.testing.assert_array_equal(twice.types, annotate(adata).types)


def test_a_cluster_lends_its_type_to_cells_in_doubt() -> None:
    adata = cells_of(["b"] * 40 + ["nothing"] * 5)
    found = annotate(adata, clusters=np.zeros(45, dtype=np.int32))
    assert set(found.names[40:]) == {"b"}
    assert set(np.array(CELL_TYPES)[found.per_cell[40:]]) == {"unknown"}
    assert found.cluster_table.loc[0, "type"] == "b"


def test_a_sure_cell_keeps_its_type_in_a_cluster_of_others() -> None:
    adata = cells_of(["b"] * 40 + ["endothelial"] * 2, found=1.0)
    found = annotate(adata, clusters=np.zeros(42, dtype=np.int32))
    assert set(found.names[40:]) == {"endothelial"}


def test_a_cluster_without_a_clear_majority_decides_nothing() -> None:
    adata = cells_of(["b"] * 20 + ["endothelial"] * 20)
    found = annotate(adata, clusters=np.zeros(40, dtype=np.int32))
    np.testing.assert_array_equal(found.types, found.per_cell)
    assert found.cluster_table.loc[0, "type"] == "unknown"


def test_cells_of_no_cluster_stay_as_they_are() -> None:
    types = np.array([TYPE_CODES["b"], TYPE_CODES["unknown"]], dtype=np.int8)
    sure = np.array([0.9, 0.1], dtype=np.float32)
    smoothed, _, table = smooth(
        types, confidence=sure, lineage_confidence=sure, clusters=np.array([-1, -1])
    )
    np.testing.assert_array_equal(smoothed, types)
    assert table.empty


def test_a_less_specific_cell_takes_the_type_that_its_cluster_names() -> None:
    codes = [TYPE_CODES["cd8_t"]] * 6 + [TYPE_CODES["t_cell"]] * 3 + [TYPE_CODES["cd4_t"]]
    sure = np.full(10, 0.6, dtype=np.float32)
    sure[-1] = 0.9
    smoothed, _, table = smooth(
        np.array(codes, dtype=np.int8),
        confidence=sure,
        lineage_confidence=sure,
        clusters=np.zeros(10, dtype=np.int32),
    )
    assert [CELL_TYPES[code] for code in smoothed] == ["cd8_t"] * 9 + ["cd4_t"]
    assert table.loc[0, "type"] == "cd8_t"


def test_scores_equal_those_written_out_by_hand() -> None:
    rng = np.random.default_rng(3)
    genes = list(cell_type_catalogue().genes)
    logged = rng.exponential(0.5, size=(4, len(genes))) * (rng.random((4, len(genes))) < 0.3)
    scores = type_scores(logged, genes)
    evidence = pd.DataFrame(1 - np.exp(-logged), columns=genes)
    kind = next(kind for kind in cell_types() if kind.id == "b")
    others = [
        gene
        for other in cell_types()
        for gene in (*other.genes, *other.against)
        if gene not in kind.genes
    ]
    excess = evidence[list(kind.genes)].mean(axis=1) - evidence[sorted({*others})].mean(axis=1)
    error = np.sqrt(np.maximum(evidence.var(axis=1, ddof=0), 0.02) / len(kind.genes) + 0.1**2)
    code = TYPE_CODES["b"]
    np.testing.assert_allclose(scores.excess[:, code], excess, atol=1e-12)
    np.testing.assert_allclose(scores.standardised[:, code], excess / error, atol=1e-12)
    assert np.isnan(scores.excess[:, TYPE_CODES["unknown"]]).all()


def test_types_that_a_panel_cannot_tell_are_listed() -> None:
    markers = TypeMarkers(["CD3D", "CD3E", "CD2"])
    assert markers.measured == ("t_cell",)
    assert "b" in markers.not_measured


@pytest.mark.parametrize("lengths", [{"symbols": 3}, {"clusters": 3}])
def test_symbols_and_clusters_have_to_fit_the_file(lengths: dict[str, int]) -> None:
    adata = cells_of(["b"] * 5)
    symbols = GENES[: lengths.get("symbols", len(GENES))]
    clusters = np.zeros(lengths.get("clusters", 5), dtype=np.int32)
    with pytest.raises(CohortError, match="are given"):
        annotate_cells(open_cells(adata), symbols=symbols, finding=COUNTS, clusters=clusters)


def test_agreement_counts_more_specific_types_as_right_and_others_by_kind() -> None:
    published = ["t_cell", "cd8_t", "cd8_t", "cd8_t", "cd8_t"]
    agreement = agree(["treg", "t_cell", "cd4_t", "b", "unknown"], published)
    row = agreement.table.loc["cd8_t"]
    assert agreement.table.loc["t_cell", "recall"] == 1.0
    assert (row["recall"], row["less_specific"], row["unknown"]) == (0.0, 0.25, 0.25)
    assert (row["lineage"], row["contradicted"]) == (0.5, 0.5)
    assert agreement.balanced_accuracy == 0.5


def test_types_that_cannot_be_told_are_left_out_of_the_agreement() -> None:
    agreement = agree(["b", "unknown"], ["b", "mast"], types=("b",))
    assert (agreement.balanced_accuracy, agreement.n_cells) == (1.0, 1)


def test_the_confusion_table_is_in_the_order_of_the_types() -> None:
    table = confusion_table(["nk", "b", "cd8_t"], ["x", "x", "y"])
    assert list(table.columns) == ["cd8_t", "nk", "b"]
    assert table.to_numpy().sum() == 3


def test_annotations_of_different_cells_are_refused() -> None:
    with pytest.raises(CohortError, match="same cells"):
        confusion_table(["b"], ["b", "b"])
    with pytest.raises(CohortError, match="no cell has a published type"):
        agree(["b"], ["unknown"])
