"""What the cells of a sample show equals what a dense table of them says, chunk by chunk."""

from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.cells.cell_types import CELL_TYPES, COMPARTMENTS
from features.cells.cohort import build_cell_cohort, cell_feature_table, cell_plan
from features.cells.features import default_cell_features
from features.cells.source import open_cells
from features.cells.summary import CellSummary, summarise_cells
from features.cells.transformer import CELL_TABLE, compartment_layer
from features.units import UnitFinding
from tests.cells import MadeCells, make_cells

COUNTS = UnitFinding("counts", 0.0, "made")
FEATURES = default_cell_features()
FEWEST = 6
READ = [feature for feature in FEATURES if feature.measure != "expression"]
CHECKED = {
    "composition": ["b_cells_share", "cd8_t_share", "treg_share", "malignant_share"],
    "entropy": ["cell_type_entropy"],
    "detected": ["tim3_pd1_cd8_share", "apoe_macrophage_share", "tcf7_cd8_share"],
    "low": ["mhc_i_low_malignant_share"],
    "high": ["abc_high_malignant_share"],
    "spread": ["mhc_i_spread_malignant", "exhaustion_spread_cd8_t"],
}


class Cells(NamedTuple):
    """Cells as they are summed."""

    adata: ad.AnnData
    samples: NDArray[np.int32]
    names: tuple[str, ...]
    types: NDArray[np.int8]


def cells_of(made: MadeCells, *, left_out: int = 7) -> Cells:
    """Return the cells by sample, every ``left_out``-th of no sample."""
    names = made.lesions
    samples = np.array([names.index(name) for name in made.adata.obs["sample_id"]], dtype=np.int32)
    samples[::left_out] = -1
    types = np.array([CELL_TYPES.index(name) for name in made.truth], dtype=np.int8)
    types[3::11] = CELL_TYPES.index("unknown")
    return Cells(made.adata, samples, tuple(names), types)


def summed(
    cells: Cells, catalogue: Catalogue, folder: Path, *, rows: int | None = None
) -> CellSummary:
    with open_cells(cells.adata) as source:
        return summarise_cells(
            source,
            symbols=list(cells.adata.var_names),
            finding=COUNTS,
            samples=cells.samples,
            sample_names=cells.names,
            types=cells.types,
            plan=cell_plan(catalogue, setting=None, cell_features=FEATURES),
            rows=rows,
            scores=folder / "scores.parquet",
        )


def table_of(cells: Cells, summary: CellSummary, **options: object) -> pd.DataFrame:
    return cell_feature_table(
        summary,
        samples=cells.samples,
        types=cells.types,
        cell_features=FEATURES,
        **{"min_cells": FEWEST, **options},  # type: ignore[arg-type]
    )


class Dense:
    """The measures, from a dense table of all cells."""

    def __init__(self, cells: Cells, catalogue: Catalogue, *, fewest: int) -> None:
        counts = pd.DataFrame(cells.adata.X.toarray(), columns=cells.adata.var_names, dtype=float)
        self.counts, self.fewest, self.cells = counts, fewest, cells
        self.log = np.log1p(counts.div(counts.sum(axis=1), axis=0) * 1e4)
        self.genes = {marker.id: list(marker.genes) for marker in catalogue.markers}

    def inside(self, sample: int, compartment: str) -> NDArray[np.bool_]:
        members = None if compartment == "all" else COMPARTMENTS[compartment]
        named = np.asarray(CELL_TYPES, dtype=object)[self.cells.types]
        chosen = np.isin(named, members) if members is not None else np.ones(len(named), dtype=bool)
        return np.asarray((self.cells.samples == sample) & chosen)

    def value(self, name: str, sample: int) -> float:
        feature = next(feature for feature in FEATURES if feature.id == name)
        own = self.inside(sample, feature.compartment)
        if feature.measure == "composition":
            whole = self.inside(sample, feature.among).sum()
            return float(own.sum() / whole) if whole >= self.fewest else np.nan
        if feature.measure == "entropy":
            named = np.asarray(CELL_TYPES, dtype=object)[self.cells.types[own]]
            told = pd.Series(named[~np.isin(named, ["unknown", "other"])])
            shares = told.value_counts(normalize=True).to_numpy()
            return float(-(shares * np.log(shares)).sum() / np.log(len(CELL_TYPES) - 2))
        if own.sum() < self.fewest:
            return np.nan
        if feature.measure == "detected":
            return float((self.counts.loc[own, list(feature.genes)] > 0).all(axis=1).mean())
        scores = self.log[self.genes[str(feature.marker)]].mean(axis=1).to_numpy()
        others = scores[self.inside(sample, "all") & ~own]
        if feature.measure == "low":
            return float(np.mean(scores[own] < np.percentile(others, 5)))
        if feature.measure == "high":
            return float(np.mean(scores[own] > np.percentile(others, 95)))
        return float(np.percentile(scores[own], 90) - np.percentile(scores[own], 10))


@pytest.fixture(scope="module")
def cells() -> Cells:
    return cells_of(make_cells(n_patients=4, n_pairs=1, background=40))


@pytest.fixture(scope="module")
def summary(
    cells: Cells, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> CellSummary:
    return summed(cells, catalogue, tmp_path_factory.mktemp("scores"))


@pytest.fixture(scope="module")
def dense(cells: Cells, catalogue: Catalogue) -> Dense:
    return Dense(cells, catalogue, fewest=FEWEST)


def test_all_that_is_read_of_cells_is_checked_here() -> None:
    assert set(CHECKED) == {feature.measure for feature in READ}


@pytest.mark.parametrize("measure", CHECKED)
def test_a_measure_equals_that_of_a_dense_table(
    measure: str, cells: Cells, summary: CellSummary, dense: Dense
) -> None:
    found = table_of(cells, summary)
    assert list(found.columns) == [feature.id for feature in READ]
    for name in CHECKED[measure]:
        expected = [dense.value(name, sample) for sample in range(len(cells.names))]
        np.testing.assert_allclose(found[name], expected, atol=1e-6, rtol=0, err_msg=name)
        assert np.isfinite(expected).any()


@pytest.mark.parametrize("rows", [1, 7])
def test_the_size_of_chunks_is_nothing(
    rows: int, cells: Cells, catalogue: Catalogue, tmp_path: Path
) -> None:
    some = np.arange(0, cells.adata.n_obs, 3)
    fewer = Cells(cells.adata[some], cells.samples[some], cells.names, cells.types[some])
    whole = table_of(fewer, summed(fewer, catalogue, tmp_path), min_cells=2)
    parts = table_of(fewer, summed(fewer, catalogue, tmp_path, rows=rows), min_cells=2)
    pd.testing.assert_frame_equal(parts, whole, rtol=0, atol=1e-6)
    assert whole.notna().any().sum() > 10


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_cells_and_of_genes_is_nothing(
    seed: int, cells: Cells, summary: CellSummary, catalogue: Catalogue, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(cells.adata.n_obs)
    turned = cells.adata[order, rng.permutation(cells.adata.n_vars)].copy()
    other = Cells(turned, cells.samples[order], cells.names, cells.types[order])
    again = summed(other, catalogue, tmp_path)
    pd.testing.assert_frame_equal(
        table_of(other, again), table_of(cells, summary), rtol=0, atol=1e-6
    )


def test_fewer_cells_than_asked_for_give_nothing(cells: Cells, summary: CellSummary) -> None:
    counts = summary.counts_of(COMPARTMENTS["cd8_t"])
    fewest = int(np.sort(counts)[-1])
    found = table_of(cells, summary, min_cells=fewest)
    for name in ("tim3_pd1_cd8_share", "exhaustion_spread_cd8_t"):
        assert (found[name].notna().to_numpy() == (counts >= fewest)).all()
    assert found["cd8_t_share"].notna().all()  # a share of all cells, of which there are enough
    nobody = table_of(cells, summary, min_cells=1000)
    assert nobody.isna().all().all()


def test_a_compartment_taken_away_by_the_preparation_gives_nothing(
    cells: Cells, summary: CellSummary
) -> None:
    built = cohort_of(cells, summary, absent=["malignant", "stroma"])
    table = built.obsm[CELL_TABLE]
    assert compartment_layer("malignant") not in built.layers
    of_malignant = [f.id for f in READ if f.compartment in ("malignant", "stroma")]
    assert table[of_malignant].isna().all().all()
    assert table["b_cells_share"].notna().all()


def test_a_compartment_that_cannot_be_told_has_no_share(cells: Cells, summary: CellSummary) -> None:
    told = [name for name in CELL_TYPES if name not in COMPARTMENTS["nk_cell"]]
    without, with_nk = table_of(cells, summary, told=told), table_of(cells, summary)
    assert without["nk_share"].isna().all()
    assert (with_nk["nk_share"] == 0).all()


def cohort_of(cells: Cells, summary: CellSummary, **options: object) -> ad.AnnData:
    return build_cell_cohort(
        summary,
        samples=cells.samples,
        types=cells.types,
        cell_features=FEATURES,
        **{"min_cells": FEWEST, **options},  # type: ignore[arg-type]
    )


def test_x_is_the_pseudobulk_of_all_cells_and_layers_those_of_compartments(
    cells: Cells, summary: CellSummary, dense: Dense
) -> None:
    built = cohort_of(cells, summary)
    assert list(built.obs_names) == list(cells.names)
    assert built.obs["n_cells"].tolist() == [
        int((cells.samples == sample).sum()) for sample in range(len(cells.names))
    ]
    for compartment, values in (
        ("all", built.X),
        ("malignant", built.layers["in_malignant"]),
        ("cd8_t", built.layers["in_cd8_t"]),
    ):
        for sample in range(len(cells.names)):
            own = dense.inside(sample, compartment)
            counts = dense.counts.loc[own, list(built.var_names)].sum()
            expected = np.log1p(counts / counts.sum() * 1e6).to_numpy()
            if own.sum() < FEWEST:
                expected = np.full(built.n_vars, np.nan)
            np.testing.assert_allclose(np.asarray(values)[sample], expected, atol=1e-6)
    assert compartment_layer("nk_cell") not in built.layers


def test_a_given_pseudobulk_stands_in_x_by_the_names_of_the_samples(
    cells: Cells, summary: CellSummary
) -> None:
    rng = np.random.default_rng(0)
    turned = list(reversed(cells.names))
    given_ = ad.AnnData(
        rng.gamma(1.0, 1.0, (len(turned), 4)),
        obs=pd.DataFrame(index=turned),
        var=pd.DataFrame(index=["B2M", "ONLY_HERE", "CD8A", "PDCD1"]),
    )
    built = cohort_of(cells, summary, pseudobulk=given_)
    assert list(built.obs_names) == list(cells.names)
    np.testing.assert_array_equal(np.asarray(built.X), np.asarray(given_.X)[::-1])
    inside = built.to_df("in_cd8_t")
    assert inside["ONLY_HERE"].isna().all()
    expected = cohort_of(cells, summary).to_df("in_cd8_t")["PDCD1"]
    pd.testing.assert_series_equal(inside["PDCD1"], expected)
    assert "obs" not in given_.obs
    assert "n_cells" not in given_.obs


def test_what_was_planted_is_found(tmp_path: Path, catalogue: Catalogue) -> None:
    made = make_cells(n_patients=10, n_pairs=0, cells=60, background=40)
    cells = cells_of(made)
    found = table_of(cells, summed(cells, catalogue, tmp_path))
    resistant = made.resistant.loc[list(cells.names)].to_numpy() == 1
    assert (
        found["tim3_pd1_cd8_share"][resistant].min() > found["tim3_pd1_cd8_share"][~resistant].max()
    )
    assert (
        found["b_cells_share"][~resistant].mean() > 1.5 * found["b_cells_share"][resistant].mean()
    )
