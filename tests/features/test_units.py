"""The unit of a matrix told by evidence, and its way back to a linear scale."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import CohortError
from features.gene_scores import gene_z_scores
from features.units import UnitFinding, detect_unit, is_gene_scaled, to_linear

N_GENES = 400


def linear_tpm(n_samples: int = 12, *, seed: int = 0, zeros: float = 0.15) -> NDArray[np.float64]:
    """Return TPM with zeros, each sample summing to a million."""
    rng = np.random.default_rng(seed)
    level = rng.lognormal(2.0, 2.0, N_GENES)
    values = level * rng.lognormal(0.0, 0.5, (n_samples, N_GENES))
    values[rng.random(values.shape) < zeros] = 0.0
    return values / values.sum(axis=1, keepdims=True) * 1e6


def counts(n_samples: int = 12, *, depth: float = 1e6) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    return rng.poisson(linear_tpm(n_samples) / 1e6 * depth).astype(float)


def log2_intensities(n_samples: int = 12) -> NDArray[np.float64]:
    """Return a panel whose genes are all above the background, as nanoString's."""
    rng = np.random.default_rng(2)
    return rng.normal(rng.uniform(4, 14, N_GENES), 0.7, (n_samples, N_GENES)).clip(1.5, 19)


MATRICES = {
    "counts": (counts(), "counts", 0.0),
    "counts of a shallow panel, none above 50": (counts(depth=300), "counts", 0.0),
    "TPM": (linear_tpm(), "tpm", 0.0),
    "TPM without zeros": (linear_tpm(zeros=0.0), "tpm", 0.0),
    "FPKM-like": (linear_tpm() / 7.3, "tpm", 0.0),
    "log2(TPM + 0.001)": (np.log2(linear_tpm() + 0.001), "log2_tpm", 0.001),
    "log2(TPM + 0.01)": (np.log2(linear_tpm() + 0.01), "log2_tpm", 0.01),
    "log2(TPM + 1)": (np.log2(linear_tpm() + 1), "log2_tpm", 1.0),
    "ln(TPM + 1)": (np.log1p(linear_tpm()), "ln_tpm", 1.0),
    "ln(CP10k + 1)": (np.log1p(linear_tpm() / 100), "ln_tpm", 1.0),
    "log2 intensity": (log2_intensities(), "log2_intensity", 0.0),
}


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_each_unit_is_told_apart(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    finding = detect_unit(values)
    assert finding.unit == unit
    assert finding.pseudocount == pytest.approx(pseudocount, rel=1e-9)
    assert not finding.stated
    assert "values" in finding.evidence
    assert finding.meaning


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_one_sample_has_the_unit_of_its_cohort(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    for row in range(len(values)):
        finding = detect_unit(values[[row]])
        assert (finding.unit, finding.pseudocount) == (unit, pytest.approx(pseudocount))


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_values_not_measured_are_ignored(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    holed = values.copy()
    holed[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    holed[:, 5] = np.nan
    finding = detect_unit(holed)
    assert (finding.unit, finding.pseudocount) == (unit, pytest.approx(pseudocount))


def test_log2_of_counts_per_ten_thousand_is_told_from_the_natural_logarithm() -> None:
    # Fixed: totals of ten thousand speak for ln, but not for log2, where they agree exactly here.
    assert detect_unit(np.log2(linear_tpm() / 100 + 1)).unit == "log2_tpm"


def test_where_few_genes_tell_no_base_log2_is_taken() -> None:
    panel = linear_tpm()[:, :80]
    panel = panel / panel.sum(axis=1, keepdims=True) * np.geomspace(200, 3e4, 12)[:, np.newaxis]
    assert detect_unit(np.log2(panel + 1)).unit == "log2_tpm"


def test_the_lowest_value_of_a_small_panel_sample_is_not_a_pseudocount() -> None:
    values = np.linspace(-2.0, 12.0, 300)[np.newaxis]
    assert detect_unit(values).unit == "log2_intensity"


def test_zeros_logged_without_pseudocount_are_read_as_zeros() -> None:
    tpm = linear_tpm().round(2)
    with np.errstate(divide="ignore"):
        values = np.log2(tpm)
    finding = detect_unit(values)
    assert (finding.unit, finding.pseudocount) == ("log2_tpm", 0.0)
    assert "minus infinity" in finding.evidence
    np.testing.assert_allclose(to_linear(values, finding), tpm, rtol=1e-12)


def test_a_matrix_of_zeros_is_taken_as_counts() -> None:
    assert detect_unit(np.zeros((3, 5))).unit == "counts"


def negative_counts() -> NDArray[np.float64]:
    values = counts()
    values[2, 3] = -7.0
    return values


def negative_tpm() -> NDArray[np.float64]:
    values = linear_tpm()
    values[2, 3] = -7.5
    return values


def holding_infinity() -> NDArray[np.float64]:
    values = linear_tpm()
    values[0, :7] = np.inf
    return values


REFUSED = {
    "negative counts": (negative_counts(), r"raw counts but holds 1 negative counts \(-7\)"),
    "few low negative counts": (np.array([[0.0, 3, -2, 1]]), r"1 negative counts \(-2\)"),
    "negative TPM": (negative_tpm(), r"negative values on a linear scale \(values -7\.5 to"),
    "no rows": (np.empty((0, 5)), r"the expression matrix holds no number"),
    "only NaN": (np.full((2, 5), np.nan), r"the expression matrix holds no number"),
    "infinite": (holding_infinity(), r"expression holds 7 infinite values"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=list(REFUSED.keys()))
def test_what_cannot_be_ranked_is_refused(values: NDArray[np.float64], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        detect_unit(values)


def test_many_negative_counts_are_named_by_examples() -> None:
    values = counts()
    values[0, :8] = -np.arange(1.0, 9.0)
    with pytest.raises(CohortError, match=r"8 negative counts \(-1, -2, -3, -4, -5 and 3 more\)"):
        detect_unit(values)


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_the_linear_scale_keeps_order_and_ties_of_genes(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    linear = to_linear(values, detect_unit(values))
    assert linear.min() >= 0
    for before, after in zip(values, linear, strict=True):
        _, rank_before = np.unique(before, return_inverse=True)
        _, rank_after = np.unique(after, return_inverse=True)
        np.testing.assert_array_equal(rank_after, rank_before)


@pytest.mark.parametrize("pseudocount", [0.001, 0.01, 0.1, 1.0])
def test_the_logarithm_is_undone_and_the_floor_becomes_exactly_zero(pseudocount: float) -> None:
    tpm = linear_tpm()
    values = np.log2(tpm + pseudocount)
    linear = to_linear(values, detect_unit(values))
    np.testing.assert_allclose(linear, tpm, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(linear == 0, tpm == 0)


def test_any_floor_becomes_exactly_zero() -> None:
    values = np.random.default_rng(1).uniform(0.5, 12.0, (4, 100))
    floors = np.random.default_rng(0).uniform(-14.0, -0.01, 100_000)
    rounded_apart = np.exp2(floors) > np.array([2.0**floor for floor in floors.tolist()])
    for floor in [*floors[rounded_apart], *floors[:100]]:
        values[:, :10] = floor
        linear = to_linear(values, detect_unit(values))
        assert (linear[:, :10] == 0).all()
        assert (linear[:, 10:] > 0).all()


def test_ln_and_intensities_are_undone_with_their_base() -> None:
    tpm = linear_tpm()
    undone = to_linear(np.log1p(tpm), UnitFinding("ln_tpm", 1.0, "stated", stated=True))
    np.testing.assert_allclose(undone, tpm, rtol=1e-9)
    intensities = log2_intensities()
    undone = to_linear(intensities, detect_unit(intensities))
    np.testing.assert_allclose(np.log2(undone), intensities, rtol=1e-12)


def test_linear_values_come_back_as_a_copy() -> None:
    values = counts()
    linear = to_linear(values, detect_unit(values))
    np.testing.assert_array_equal(linear, values)
    assert linear is not values


@pytest.mark.parametrize("unit", ["counts", "tpm", "log2_tpm", "ln_tpm", "log2_intensity"])
def test_a_gene_not_measured_stays_missing_on_the_linear_scale(unit: str) -> None:
    finding = UnitFinding(unit, 1.0 if unit == "log2_tpm" else 0.0, "stated", stated=True)  # type: ignore[arg-type]
    linear = to_linear(np.array([[np.nan, 0.0, 3.0]]), finding)
    np.testing.assert_array_equal(np.isnan(linear), [[True, False, False]])


# --- values centred or scaled per gene


def log2_tpm(n_samples: int = 12) -> NDArray[np.float64]:
    return np.asarray(np.log2(linear_tpm(n_samples) + 1))


def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values - values.mean(axis=0))


def z_scores(n_samples: int = 12) -> NDArray[np.float64]:
    return gene_z_scores(log2_tpm(n_samples))


def even_z_scores(n_samples: int = 41) -> NDArray[np.float64]:
    """Return z-scores of genes spread evenly about their means."""
    rng = np.random.default_rng(0)
    return gene_z_scores(rng.normal(rng.normal(3, 3, N_GENES), 1.5, (n_samples, N_GENES)))


def scaled_and_clipped(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values divided by each gene's spread and clipped at ten, as single cells often are."""
    spread = values.std(axis=0)
    return np.asarray(values / np.where(spread > 0, spread, 1.0)).clip(max=10)


def with_infinity(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values[0, 0] = -np.inf
    return values


SCALED = {
    "centred": centred(log2_tpm()),
    "centred, intensities": centred(log2_intensities()),
    "centred, linear": centred(linear_tpm()),
    "centred on the median": log2_tpm() - np.median(log2_tpm(), axis=0),
    "z-scores": z_scores(),
    "z-scores of three samples": z_scores(3),
    "z-scores, one sample of many": even_z_scores()[[0]],
    "z-scores, five samples of many": even_z_scores()[:5],
    "z-scores clipped": z_scores().clip(-1.5, 1.5),
    "z-scores clipped hard": z_scores().clip(-0.5, 0.5),
    "z-scores clipped above": z_scores().clip(max=1.0),
    "z-scores with gaps": np.where(z_scores() > 1.8, np.nan, z_scores()),
    "from 0 to 1 per gene": (log2_tpm() - log2_tpm().min(axis=0)) / np.ptp(log2_tpm(), axis=0),
    "share of each gene's highest": log2_tpm() / log2_tpm().max(axis=0),
    "spread of one, not centred": scaled_and_clipped(log2_tpm(60)),
}


@pytest.mark.parametrize("name", SCALED)
def test_values_centred_or_scaled_per_gene_are_told_by_their_evidence(name: str) -> None:
    finding = detect_unit(SCALED[name])
    assert (finding.unit, finding.pseudocount, finding.stated) == ("gene_scaled", 0.0, False)
    evidence = "centred per gene" if name.startswith(("centred", "z-")) else "scaled per gene"
    assert evidence in finding.evidence
    assert finding.meaning == "centred or scaled per gene, such as z-scores"


@pytest.mark.parametrize("values", [v for v, _, _ in MATRICES.values()], ids=list(MATRICES))
@given(seed=st.integers(0, 2**32 - 1), n_samples=st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_no_part_of_a_cohort_on_another_scale_is_taken_for_scaled(
    values: NDArray[np.float64], seed: int, n_samples: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.choice(12, n_samples, replace=False)
    columns = rng.choice(values.shape[1], 60, replace=False)
    assert detect_unit(values[np.ix_(rows, columns)]).unit != "gene_scaled"


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_order_of_samples_and_genes_is_nothing_to_the_look_of_scaled_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for values in (z_scores(), log2_tpm() / log2_tpm().max(axis=0), log2_tpm()):
        shuffled = values[rng.permutation(12)][:, rng.permutation(N_GENES)]
        assert is_gene_scaled(shuffled) == is_gene_scaled(values)


def test_centred_linear_values_of_too_few_samples_are_refused_as_negative() -> None:
    with pytest.raises(CohortError, match="negative values on a linear scale"):
        detect_unit(centred(linear_tpm())[:2])


def test_a_few_genes_that_are_centred_do_not_make_a_cohort_so() -> None:
    values = log2_intensities()
    values[:, :150] = centred(values[:, :150])
    assert detect_unit(values).unit == "log2_intensity"


# --- the real files


REAL: dict[str, str] = {
    "bulk/gide_2019_antiPD1": "log2_tpm",
    "bulk/hugo_2016": "log2_tpm",
    "bulk/imvigor210_nonbladder86_full": "log2_tpm",
    "bulk/jung_2019_gse135222": "tpm",
    "bulk/liu_2019": "log2_tpm",
    "bulk/miao_2018_ccrcc": "log2_tpm",
    "bulk/prat_2017_gse93157": "log2_intensity",
    "bulk/riaz_2017_gse91061_counts109": "counts",
    "bulk/van_allen_2015": "log2_tpm",
    "bulk/zhao_2019_gbm": "log2_tpm",
    "drug_response/BRCA_Trastuzumab_5": "counts",
    "drug_response/CCLE_SCLC_NAPY": "log2_tpm",
    "drug_response/CGP_Camptothecin": "log2_intensity",
    "drug_response/GDSC_COSMIC656": "gene_scaled",
    "drug_response/HCC_GSE140901_ICI": "log2_intensity",
    "drug_response/NCI60_HGU133A": "log2_intensity",
    "single_cell/glioblastoma_panobinostat_5000x300.h5ad": "counts",
    "single_cell/gse120575_lesion_pseudobulk_48.h5ad": "log2_tpm",
    "single_cell/pc9_erlotinib_day11_unlabelled.h5ad": "counts",
    "single_cell/sade_feldman_8000x450.h5ad": "gene_scaled",
    "single_cell/sade_feldman_scfeatures_550x3523.h5ad": "log2_tpm",
    "single_cell/scad_a375_brafi_108x2873.h5ad": "gene_scaled",
    "single_cell/tirosh_melanoma_chetah_150.h5ad": "ln_tpm",
}


@cache
def real_values(path: Path) -> NDArray[np.float64]:
    """Return a real file's expression (n_samples, n_genes); of many cells, every fourth."""
    if path.suffix == ".h5ad":
        adata = ad.read_h5ad(path)
        return np.asarray(adata[:: 4 if adata.n_vars > 20_000 else 1].to_df(), dtype=float)
    table = pd.read_csv(path / "expression.csv.gz", index_col=0)
    return np.ascontiguousarray(table.to_numpy(dtype=float).T)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "unit"), REAL.items(), ids=list(REAL))
def test_the_unit_of_every_real_file_is_told(shared: Path, name: str, unit: str) -> None:
    assert detect_unit(real_values(shared / "cohorts" / name)).unit == unit


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name, unit in REAL.items() if unit != "gene_scaled"])
def test_no_part_of_a_real_file_on_another_scale_is_taken_for_scaled(
    shared: Path, name: str
) -> None:
    values = real_values(shared / "cohorts" / name)
    rng = np.random.default_rng(0)
    for n_samples in (1, 2, 3, 5, 10, 20):
        for _ in range(5):
            rows = rng.choice(len(values), min(n_samples, len(values)), replace=False)
            columns = rng.choice(values.shape[1], min(500, values.shape[1]), replace=False)
            part = values[np.ix_(rows, columns)]
            assert detect_unit(part).unit != "gene_scaled", (n_samples, name)


CELLS = {
    "log2(CPM + 1)": (lambda share: np.log2(share * 1e6 + 1), "log2_tpm"),
    "log2(CPM + 0.1)": (lambda share: np.log2(share * 1e6 + 0.1), "log2_tpm"),
    "log2(CPM + 0.001)": (lambda share: np.log2(share * 1e6 + 0.001), "log2_tpm"),
    "log2(CP10k + 1)": (lambda share: np.log2(share * 1e4 + 1), "log2_tpm"),
    "ln(CP10k + 1)": (lambda share: np.log1p(share * 1e4), "ln_tpm"),
}


@pytest.mark.real_data
@pytest.mark.parametrize("scale", CELLS)
@pytest.mark.parametrize(
    "name", ["pc9_erlotinib_day11_unlabelled", "glioblastoma_panobinostat_5000x300"]
)
def test_the_unit_of_real_cells_is_told_on_every_usual_scale(
    shared: Path, name: str, scale: str
) -> None:
    # Fixed: cells differ more from each other than genes do where most values are on the floor of
    # undetected genes: a floor speaks against z-scores, whatever the variances. And of a panel in
    # which many a cell has one gene alone, most genes reach the same highest value, a million.
    counts = real_values(shared / "cohorts" / "single_cell" / f"{name}.h5ad")
    counts = counts[counts.sum(axis=1) > 0]
    convert, unit = CELLS[scale]
    values = convert(counts / counts.sum(axis=1, keepdims=True))
    rng = np.random.default_rng(0)
    for n_cells in (len(values), 100, 10, 3):
        rows = rng.choice(len(values), n_cells, replace=False)
        assert detect_unit(values[rows]).unit == unit, n_cells


CHANGES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "centred": centred,
    "z-scores": gene_z_scores,
    "clipped z-scores": lambda values: gene_z_scores(values).clip(-2, 2),
}


@pytest.mark.real_data
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["bulk/zhao_2019_gbm", "drug_response/HCC_GSE140901_ICI"])
def test_real_values_are_told_as_scaled_once_they_are(shared: Path, name: str, change: str) -> None:
    values = CHANGES[change](real_values(shared / "cohorts" / name))
    assert detect_unit(values).unit == "gene_scaled"


@pytest.mark.real_data
@pytest.mark.parametrize("change", ["z-scores", "clipped z-scores"])
@pytest.mark.parametrize("name", ["bulk/gide_2019_antiPD1", "drug_response/NCI60_HGU133A"])
def test_a_few_samples_of_a_real_cohort_scaled_per_gene_are_told_too(
    shared: Path, name: str, change: str
) -> None:
    # Fixed: means say nothing of few samples; z-scores are then taken for log2 intensities, clipped
    # ones for log2 of a pseudo-count 0.25. No sample on a log2 scale has its highest value below 8
    # among thousands of genes, and none is cut off alike on both sides.
    values = CHANGES[change](real_values(shared / "cohorts" / name))
    found = [detect_unit(values[start : start + 3]).unit for start in range(0, 30, 3)]
    assert found == ["gene_scaled"] * 10
