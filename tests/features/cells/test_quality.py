"""Quality metrics, thresholds per sample, doublets, and what is skipped with a word."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse

import features.cells.doublets
from features.cells.cell_types import TYPE_CODES
from features.cells.quality import CellQuality, cell_quality
from features.cells.source import open_cells
from features.errors import CohortError
from features.units import UnitFinding

COUNTS = UnitFinding("counts", 0.0, "made")
MITO = [f"MT-ND{number}" for number in range(1, 7)]
RIBO = [f"RPL{number}" for number in range(3, 15)]
GLOBIN = ["HBA1", "HBB", "IGKC"]
PLAIN = [f"G{number}" for number in range(179)]
GENES = [*MITO, *RIBO, *GLOBIN, *PLAIN]


def cells(n_cells: int = 60, *, seed: int = 0) -> ad.AnnData:
    counts = np.random.default_rng(seed).poisson(3, size=(n_cells, len(GENES))).astype(np.float32)
    names = [f"c{cell}" for cell in range(n_cells)]
    return ad.AnnData(
        sparse.csr_matrix(counts), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=GENES)
    )


def quality(
    adata: ad.AnnData,
    *,
    finding: UnitFinding = COUNTS,
    samples: NDArray[np.int32] | None = None,
    names: tuple[str, ...] = ("s",),
    types: NDArray[np.int8] | None = None,
    memory_mb: int = 64,
) -> CellQuality:
    return cell_quality(
        open_cells(adata),
        symbols=list(adata.var_names),
        finding=finding,
        samples=np.zeros(adata.n_obs, dtype=np.int32) if samples is None else samples,
        sample_names=names,
        types=types,
        memory_mb=memory_mb,
    )


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small file count as a whole transcriptome, its doublets being the first ten."""

    def first_ten(counts: Any, *, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        called = np.arange(counts.shape[0]) < 10
        return called.astype(np.float32), called

    monkeypatch.setattr("features.cells.quality._PANEL", 10)
    monkeypatch.setattr(features.cells.doublets, "_scrublet", first_ten)


def test_metrics_equal_those_of_the_dense_matrix() -> None:
    adata = cells()
    dense = adata.X.toarray()
    table = quality(adata).table
    np.testing.assert_allclose(table["total_counts"], dense.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(table["n_genes"], (dense > 0).sum(axis=1))
    share = dense[:, : len(MITO)].sum(axis=1) / dense.sum(axis=1)
    np.testing.assert_allclose(table["mito_share"], share, rtol=1e-5)
    ribo = dense[:, len(MITO) : len(MITO) + len(RIBO)].sum(axis=1) / dense.sum(axis=1)
    np.testing.assert_allclose(table["ribo_share"], ribo, rtol=1e-5)


def test_metrics_do_not_depend_on_the_chunks() -> None:
    adata = cells(300)
    pd.testing.assert_frame_equal(
        quality(adata, memory_mb=1).table, quality(adata, memory_mb=500).table
    )


def test_a_cell_five_deviations_off_is_of_low_quality(whole: None) -> None:
    adata = cells()
    adata.X = sparse.csr_matrix(adata.X.toarray() * (1 + 30 * (np.arange(60) == 7))[:, None])
    found = quality(adata)
    assert list(np.flatnonzero(found.table["low_quality"])) == [7]
    assert found.thresholds.loc[("s", "total_counts"), "n_outside"] == 1
    logged = np.log1p(found.table["total_counts"].astype(float))
    reach = 5 * (logged - logged.median()).abs().median()
    high = np.expm1(logged.median() + reach)
    assert found.thresholds.loc[("s", "total_counts"), "high"] == pytest.approx(high, rel=1e-6)


def test_a_mitochondrial_share_below_eight_percent_is_never_low_quality(whole: None) -> None:
    adata = cells()
    dense = adata.X.toarray()
    dense[:, : len(MITO)] = 0
    dense[3, 0] = 0.05 * dense[3].sum()
    dense[4, 0] = 0.5 * dense[4].sum()
    adata.X = sparse.csr_matrix(np.round(dense))
    found = quality(adata)
    assert found.thresholds.loc[("s", "mito_share"), "high"] == pytest.approx(0.08)
    assert found.thresholds.loc[("s", "mito_share"), "n_outside"] == 1
    assert not found.table["low_quality"][3]
    assert found.table["low_quality"][4]


def test_each_sample_has_its_own_thresholds(whole: None) -> None:
    adata = cells(80)
    samples = np.repeat([0, 1], 40).astype(np.int32)
    adata.X = sparse.csr_matrix(adata.X.toarray() * np.where(samples == 1, 50, 1)[:, None])
    found = quality(adata, samples=samples, names=("thin", "deep"))
    thin, deep = (found.thresholds.loc[(name, "total_counts")] for name in ("thin", "deep"))
    assert thin["high"] < deep["low"]
    assert not found.table["low_quality"].any()


def test_left_out_cells_are_measured_and_never_judged(whole: None) -> None:
    adata = cells()
    samples = np.where(np.arange(60) < 5, -1, 0).astype(np.int32)
    found = quality(adata, samples=samples)
    assert found.table["total_counts"].notna().all()
    assert found.table["doublet_score"][:5].isna().all()
    assert not found.table["low_quality"][:5].any()


def test_a_small_sample_has_no_thresholds_and_no_doublets(whole: None) -> None:
    found = quality(cells(15))
    assert found.thresholds.empty
    assert any("fewer than 20 cells: s" in note for note in found.skipped)
    assert any(note == "doublets of s: fewer than 50 cells" for note in found.skipped)


def test_doublets_are_looked_for_in_each_sample_alone(whole: None) -> None:
    samples = np.tile([0, 1], 60).astype(np.int32)
    found = quality(cells(120), samples=samples, names=("a", "b"))
    assert list(np.flatnonzero(found.table["doublet"])) == list(range(20))


def test_a_sample_too_large_for_the_memory_is_not_searched_for_doublets(whole: None) -> None:
    found = quality(cells(100), memory_mb=2)
    assert any(note == "doublets of s: too large for 2 MB" for note in found.skipped)
    assert found.table["doublet_score"].isna().all()


def test_a_panel_has_no_doublets_and_no_mitochondrial_threshold() -> None:
    found = quality(cells())
    assert ("s", "mito_share") not in found.thresholds.index
    assert any("shows no mixtures" in note for note in found.skipped)
    assert any("a panel of 200 genes" in note for note in found.skipped)


def test_genes_that_are_absent_leave_their_share_untold() -> None:
    adata = cells()[:, PLAIN].copy()
    found = quality(adata)
    assert found.table[["mito_share", "ribo_share"]].isna().all().all()
    assert any("mitochondrial share: 0 such genes" in note for note in found.skipped)


def test_mitochondrial_genes_are_known_by_their_ensembl_ids() -> None:
    adata = cells()
    ids = ["ENSG00000198888.2", "ENSG00000198763", "ENSG00000198804", "ENSG00000198712"]
    adata.var_names = [*ids, "ENSG00000198899", "ENSG00000198938", *adata.var_names[6:]]
    assert quality(adata).table["mito_share"].notna().all()


def test_logarithms_have_no_threshold_of_counts_and_no_doublets() -> None:
    adata = cells()
    adata.X = adata.X.log1p()
    found = quality(adata, finding=UnitFinding("ln_tpm", 1.0, "made"))
    assert ("s", "total_counts") not in found.thresholds.index
    assert ("s", "n_genes") in found.thresholds.index
    words = " ".join(found.skipped)
    assert "threshold of counts" in words
    assert "doublets: values are" in words


def test_z_scores_have_no_quality_at_all() -> None:
    adata = cells()
    dense = adata.X.toarray()
    adata.X = (dense - dense.mean(axis=0)) / dense.std(axis=0)
    found = quality(adata, finding=UnitFinding("gene_scaled", 0.0, "made"))
    assert found.table[["total_counts", "n_genes", "mito_share"]].isna().all().all()
    assert not found.table["low_quality"].any()
    assert found.thresholds.empty
    assert len(found.skipped) >= 4


def test_a_cell_without_counts_has_no_share_and_no_error() -> None:
    adata = cells()
    adata.X = sparse.csr_matrix(adata.X.toarray() * (np.arange(60) != 5)[:, None])
    found = quality(adata)
    assert found.table.loc[5, "total_counts"] == 0
    assert found.table.loc[5, "mito_share"] == 0


def test_transcripts_outside_their_lineage_are_told_as_ambient() -> None:
    adata = cells()
    types = np.full(60, TYPE_CODES["cd8_t"], dtype=np.int8)
    found = quality(adata, types=types)
    assert any("immunoglobulin" in note and "60 cells" in note for note in found.ambient)
    assert any("haemoglobin" in note for note in found.ambient)
    assert quality(adata).ambient == ()


@pytest.mark.parametrize("wrong", ["samples", "types"])
def test_what_does_not_fit_the_file_is_refused(wrong: str) -> None:
    adata = cells()
    given: dict[str, Any] = {wrong: np.zeros(3, dtype=np.int8)}
    with pytest.raises(CohortError, match=f"3 {wrong} are given, 60 are needed"):
        quality(adata, **given)


def test_samples_without_a_name_are_refused() -> None:
    with pytest.raises(CohortError, match="only 1 samples have a name"):
        quality(cells(), samples=np.ones(60, dtype=np.int32))


@pytest.mark.slow
def test_planted_doublets_have_higher_scores_than_single_cells() -> None:
    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.3, 8.0, size=(3, 1200))
    single = rng.poisson(profiles[np.repeat([0, 1, 2], 100)])
    mixed = rng.poisson(profiles[0] + profiles[1], size=(15, 1200))
    counts = np.vstack([single, mixed]).astype(np.float32)
    found = features.cells.doublets._scrublet(sparse.csr_matrix(counts), seed=0)
    assert found is not None
    scores, doublets = found
    assert np.median(scores[300:]) > np.quantile(scores[:300], 0.95)
    assert doublets[:300].mean() < 0.1
