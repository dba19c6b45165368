"""CellFeatures: markers where their cells are, what only cells show, and nothing from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from features.catalogue import Catalogue
from features.cells.cell_types import CELL_TYPES
from features.cells.cohort import build_cell_cohort, cell_plan
from features.cells.features import (
    CELL_SECTION,
    cell_catalogue,
    default_cell_features,
    in_compartment,
)
from features.cells.source import open_cells
from features.cells.summary import summarise_cells
from features.cells.transformer import CellFeatures, compartment_layer
from features.errors import CohortError
from features.gene_scores import gene_z_scores
from features.transformer import MarkerFeatures
from features.units import UnitFinding
from tests.cells import MadeCells, make_cells

FEATURES = default_cell_features()
MakeCohort = Callable[..., ad.AnnData]


def cohort_of(
    made: MadeCells,
    catalogue: Catalogue,
    folder: Path,
    *,
    unit: str = "counts",
    absent: Sequence[str] = (),
) -> ad.AnnData:
    """Return the cohort of made cells by their true types."""
    names = made.lesions
    samples = np.array([names.index(name) for name in made.adata.obs["sample_id"]], dtype=np.int32)
    types = np.array([CELL_TYPES.index(name) for name in made.truth], dtype=np.int8)
    with open_cells(made.adata) as source:
        summary = summarise_cells(
            source,
            symbols=list(made.adata.var_names),
            finding=UnitFinding(unit, 0.0, "made"),  # type: ignore[arg-type]
            samples=samples,
            sample_names=names,
            types=types,
            plan=cell_plan(catalogue, setting=None, cell_features=FEATURES),
            scores=folder / "scores.parquet",
        )
    built = build_cell_cohort(
        summary,
        samples=samples,
        types=types,
        cell_features=FEATURES,
        min_cells=5,
        absent=absent,
    )
    built.obs["cohort"] = "made"
    built.uns["oncoresist"] = {"unit": unit, "cells": {"unit": unit}}
    return built


@pytest.fixture(scope="module")
def carried(catalogue: Catalogue) -> Catalogue:
    return cell_catalogue(catalogue, setting="ici", cell_features=FEATURES)


@pytest.fixture(scope="module")
def cohort(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> ad.AnnData:
    return cohort_of(make_cells(background=60), catalogue, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sorted_cells(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> ad.AnnData:
    """Return a cohort of immune cells alone, as sorting by CD45 leaves them."""
    made = make_cells(types=("cd8_t", "cd4_t", "b", "macrophage"), background=60, seed=1)
    folder = tmp_path_factory.mktemp("sorted")
    return cohort_of(made, catalogue, folder, absent=["malignant", "stroma"])


@pytest.fixture(scope="module")
def fitted(cohort: ad.AnnData, carried: Catalogue) -> CellFeatures:
    return CellFeatures(carried, setting="ici").fit(cohort)


def test_features_are_markers_of_all_cells_of_compartments_and_what_cells_show(
    fitted: CellFeatures, cohort: ad.AnnData
) -> None:
    table = fitted.transform(cohort)
    assert list(table.columns) == list(fitted.get_feature_names_out())
    assert len(set(table.columns)) == table.shape[1]
    for name in (
        "exhaustion",
        "exhaustion_in_t_cell",
        "exhaustion_in_cd8_t",
        "tcf7",
        "cd8_t_share",
    ):
        assert table[name].notna().all()
    assert set(fitted.compartments_) == {
        *("malignant", "t_cell", "cd8_t", "cd4_t", "b_cell", "myeloid", "macrophage")
    }


def test_markers_of_all_cells_are_those_of_bulk(
    fitted: CellFeatures, cohort: ad.AnnData, catalogue: Catalogue
) -> None:
    bulk = MarkerFeatures(catalogue, setting="ici").fit(cohort).transform(cohort)
    found = fitted.transform(cohort)
    shared = [name for name in bulk if name in found]
    assert len(shared) > 40
    pd.testing.assert_frame_equal(found[shared], bulk[shared])


def test_a_marker_of_a_compartment_is_its_rank_among_that_compartments_pseudobulk(
    fitted: CellFeatures, cohort: ad.AnnData
) -> None:
    inside = cohort.to_df(compartment_layer("t_cell"))[list(fitted.background_)]
    ranks = inside.apply(lambda row: (stats.rankdata(row) - 0.5) / len(row), axis=1, raw=True)
    found = fitted.transform(cohort)["tim3_in_t_cell"]
    np.testing.assert_allclose(found, ranks["HAVCR2"], atol=1e-6)


def test_markers_of_a_compartment_without_cells_at_fit_are_not_taken_from_other_cells(
    sorted_cells: ad.AnnData, carried: Catalogue, catalogue: Catalogue
) -> None:
    fitted = CellFeatures(carried, setting="ici").fit(sorted_cells)
    names = set(fitted.transform(sorted_cells).columns)
    assert "malignant" not in fitted.compartments_
    for marker in catalogue.markers_of("ici"):
        if marker.compartment in ("malignant", "stroma", "nk_cell"):
            assert not {marker.id, in_compartment(marker.id, marker.compartment)} & names
        if marker.compartment == "any":
            assert marker.id in names
    of_malignant = {f.id for f in FEATURES if f.compartment in ("malignant", "stroma")}
    assert not of_malignant & names
    assert "exhaustion_in_cd8_t" in names


def test_a_compartment_that_a_new_cohort_lacks_is_missing_and_the_rest_is_there(
    fitted: CellFeatures, sorted_cells: ad.AnnData
) -> None:
    table = fitted.transform(sorted_cells)
    assert list(table.columns) == list(fitted.feature_names_)
    assert table["mhc_class_i_in_malignant"].isna().all()
    assert table["mhc_i_low_malignant_share"].isna().all()
    assert table["exhaustion_in_cd8_t"].notna().all()


def test_restored_features_equal_those_fitted(
    fitted: CellFeatures, cohort: ad.AnnData, carried: Catalogue
) -> None:
    restored = CellFeatures(carried, setting="ici", cell_features=fitted.entries).restore(
        list(fitted.background_),
        compartments=list(fitted.compartments_),
        table=list(fitted.cell_table_features_),
    )
    pd.testing.assert_frame_equal(restored.transform(cohort), fitted.transform(cohort))
    assert restored.feature_names_ == fitted.feature_names_


def test_the_order_of_samples_and_of_genes_is_nothing(
    fitted: CellFeatures, cohort: ad.AnnData
) -> None:
    rng = np.random.default_rng(3)
    turned = cohort[rng.permutation(cohort.n_obs), rng.permutation(cohort.n_vars)].copy()
    expected = fitted.transform(cohort)
    found = fitted.transform(turned).loc[expected.index]
    pd.testing.assert_frame_equal(found, expected)


def test_cells_scaled_per_gene_are_scored_by_the_mean_of_z_within_their_compartment(
    carried: Catalogue, catalogue: Catalogue, tmp_path: Path
) -> None:
    made = make_cells(background=60, seed=2)
    scaled = cohort_of(made, catalogue, tmp_path, unit="gene_scaled")
    fitted = CellFeatures(carried, setting="ici", score_kind="mean_z").fit(scaled)
    inside = scaled.to_df(compartment_layer("t_cell"))
    genes = list(next(m for m in catalogue.markers if m.id == "exhaustion").genes)
    z = gene_z_scores(inside[genes].to_numpy())
    found = fitted.transform(scaled)["exhaustion_in_t_cell"]
    np.testing.assert_allclose(found, z.mean(axis=1), atol=1e-9)


def test_scored_another_way_the_compartments_stay_as_they_are(
    fitted: CellFeatures, cohort: ad.AnnData
) -> None:
    other = fitted.with_score_kind("mean_z")
    assert isinstance(other, CellFeatures)
    found, before = other.transform(cohort), fitted.transform(cohort)
    assert list(found) == list(before)
    pd.testing.assert_series_equal(found["exhaustion_in_cd8_t"], before["exhaustion_in_cd8_t"])
    assert not np.allclose(found["exhaustion"], before["exhaustion"])


def test_a_cohort_of_bulk_is_refused_with_the_mend(
    fitted: CellFeatures, make_cohort: MakeCohort
) -> None:
    message = r"the cohort has none: give an h5ad of cells \(modality: single_cell"
    with pytest.raises(CohortError, match=message):
        fitted.transform(make_cohort())
    with pytest.raises(CohortError, match="or use a model trained on bulk"):
        clone(fitted).fit(make_cohort())


def test_features_that_were_not_fitted_say_so(cohort: ad.AnnData, carried: Catalogue) -> None:
    with pytest.raises(NotFittedError):
        CellFeatures(carried, setting="ici").get_feature_names_out()


def test_each_feature_has_an_entry_with_its_sign(fitted: CellFeatures, carried: Catalogue) -> None:
    entries = {marker.id: marker for marker in carried.markers_of("ici")}
    signs = carried.signs("ici")
    assert set(fitted.feature_names_) <= set(entries) & set(signs)
    for feature in fitted.entries:
        if feature.id in fitted.feature_names_:
            assert entries[feature.id].section == CELL_SECTION
            assert signs[feature.id] == {"+": 1, "-": -1, "·": 0}[feature.sign]


def test_the_planted_exhaustion_is_in_cd8_t_cells(fitted: CellFeatures, cohort: ad.AnnData) -> None:
    table = fitted.transform(cohort)
    resistant = make_cells(background=60).resistant.loc[table.index] == 1
    within = table["exhaustion_in_cd8_t"]
    assert within[resistant].min() > within[~resistant].max()


def test_genes_are_reported_of_the_markers_that_have_cells(
    fitted: CellFeatures, cohort: ad.AnnData
) -> None:
    report = fitted.gene_report(cohort)
    assert report.grade == "full"
    assert "exhaustion" in report.features.index
