"""From a file of cells to a cohort: the same from h5ad and zarr, as the YAML says, or refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from features.catalogue import Catalogue
from features.cells.features import default_cell_features
from features.cells.transformer import CELL_TABLE, compartment_layer
from features.errors import CohortError
from pipelines.cells import prepare
from pipelines.cohorts import read_cohort
from pipelines.ingest import IngestedCohort, file_hash
from pipelines.settings.cohort import CohortConfig
from tests.cells import MadeCells
from tests.pipelines.cells.conftest import Read, Write

pytestmark = pytest.mark.slow

REQUIRED = ["sample_id", "patient_id", "cohort", "timepoint", "response", "resistant", "n_cells"]


def pseudobulk_of(made: MadeCells) -> ad.AnnData:
    """Return counts of the lesions over the cells' genes and others, in another order."""
    table = pd.DataFrame(made.adata.X.toarray(), columns=made.adata.var_names, dtype=float)
    summed = table.groupby(made.adata.obs["sample_id"].to_numpy()).sum().iloc[::-1]
    more = np.random.default_rng(0).poisson(30, (len(summed), 200)).astype(float)
    extra = pd.DataFrame(more, index=summed.index, columns=[f"XT{i:03d}" for i in range(200)])
    both = summed.join(extra)
    obs, var = pd.DataFrame(index=both.index), pd.DataFrame(index=both.columns)
    return ad.AnnData(both.to_numpy(), obs=obs, var=var)


@pytest.fixture(scope="module")
def panel() -> dict[str, IngestedCohort]:
    return {}


@pytest.fixture
def cohort(read: Read, panel: dict[str, IngestedCohort]) -> IngestedCohort:
    """Return the made cells as a cohort, read once; nobody changes it."""
    if "cohort" not in panel:
        panel["cohort"] = read()
    return panel["cohort"]


def test_each_lesion_is_a_sample_with_what_its_cells_say(
    cohort: IngestedCohort, made: MadeCells
) -> None:
    obs = cohort.adata.obs
    assert list(cohort.adata.obs_names) == made.lesions
    assert set(REQUIRED) <= set(obs)
    assert obs["resistant"].tolist() == made.resistant.loc[made.lesions].tolist()
    assert obs["patient_id"].tolist() == [name.split("_")[0] for name in made.lesions]
    assert set(obs["timepoint"]) == {"pre_treatment", "on_treatment"}
    kept = np.bincount(cohort.cells.samples[cohort.cells.samples >= 0])  # type: ignore[union-attr]
    assert obs["n_cells"].tolist() == kept.tolist()


def test_cells_are_annotated_as_what_they_are(cohort: IngestedCohort, made: MadeCells) -> None:
    assert cohort.cells is not None
    assert np.mean(cohort.cells.type_names == made.truth) > 0.95
    assert cohort.cells.annotation is not None


def test_the_cohort_says_what_it_was_made_of(
    cohort: IngestedCohort, made: MadeCells, cells_folder: Path
) -> None:
    path = cells_folder / "cells.h5ad"
    assert cohort.files == {str(path): file_hash(path)}
    facts = cohort.adata.uns["oncoresist"]
    assert facts["modality"] == "single_cell"
    assert facts["unit"] == facts["cells"]["unit"] == "counts"
    assert facts["cells"]["n_cells"] == made.adata.n_obs
    assert facts["cells"]["annotated_by"] == "markers"
    notes = "\n".join(cohort.report.notes)
    assert "samples: obs['sample_id'], 10 in 564 cells" in notes
    assert "nk cell: no sample has 10 such cells (nk), so no nk cell features" in notes
    assert "no gene length is divided out" in notes


def test_h5ad_and_zarr_give_the_same_cohort(cohort: IngestedCohort, read: Read) -> None:
    other = read("cells.zarr")
    np.testing.assert_array_equal(np.asarray(other.adata.X), np.asarray(cohort.adata.X))
    pd.testing.assert_frame_equal(other.adata.obs, cohort.adata.obs)
    pd.testing.assert_frame_equal(other.adata.obsm[CELL_TABLE], cohort.adata.obsm[CELL_TABLE])
    assert other.report.notes == cohort.report.notes
    (first,), (again,) = other.files.values(), read("cells.zarr").files.values()
    assert first == again
    assert len(first) == 64


def test_how_a_matrix_is_stored_is_nothing(
    cohort: IngestedCohort, read: Read, write: Write, made: MadeCells
) -> None:
    dense = made.adata.copy()
    dense.X = dense.X.toarray()
    columns = made.adata.copy()
    columns.X = sparse.csc_matrix(columns.X)
    for adata in (dense, columns):
        found = read(write(adata))
        np.testing.assert_allclose(np.asarray(found.adata.X), np.asarray(cohort.adata.X))
        table, expected = found.adata.obsm[CELL_TABLE], cohort.adata.obsm[CELL_TABLE]
        pd.testing.assert_frame_equal(table, expected, rtol=0, atol=1e-6)


def test_genes_are_found_by_ensembl_ids_with_versions(
    read: Read, write: Write, made: MadeCells, catalogue: Catalogue
) -> None:
    ids = {gene.symbol: f"{gene.ensembl_id}.7" for gene in catalogue.genes}
    adata = made.adata[:, [gene in ids for gene in made.adata.var_names]].copy()
    symbols = set(adata.var_names)
    adata.var_names = [ids[str(gene)] for gene in adata.var_names]
    found = read(write(adata))
    assert set(found.adata.var_names) == symbols == set(catalogue.gene_symbols)
    assert found.adata.uns["oncoresist"]["gene_id_type"].lower().startswith("ensembl")


def test_a_column_of_symbols_tells_the_genes_that_the_catalogue_does_not_hold(
    cohort: IngestedCohort, read: Read, write: Write, made: MadeCells, catalogue: Catalogue
) -> None:
    ids = {gene.symbol: f"{gene.ensembl_id}.7" for gene in catalogue.genes}
    whole = made.adata.copy()
    whole.var["feature_name"] = whole.var_names.to_numpy(dtype=object)
    whole.var_names = [
        ids.get(str(gene), f"ENSG9{i:010d}") for i, gene in enumerate(whole.var_names)
    ]
    named = read(write(whole))
    assert set(cohort.adata.var_names) == set(named.adata.var_names)
    assert named.adata.var["original_id"]["CD8A"] == ids["CD8A"]


def test_a_given_pseudobulk_is_what_x_holds(read: Read, made: MadeCells, tmp_path: Path) -> None:
    given = pseudobulk_of(made)
    given.write_h5ad(tmp_path / "bulk.h5ad")
    found = read(cells={"pseudobulk": str(tmp_path / "bulk.h5ad")})
    assert list(found.adata.obs_names) == made.lesions
    assert "XT000" in found.adata.var_names
    values = pd.DataFrame(given.X, index=given.obs_names, columns=given.var_names)
    cpm = np.log1p(values.div(values.sum(axis=1), axis=0) * 1e6).loc[made.lesions]
    expected = cpm[list(found.adata.var_names)].to_numpy()
    np.testing.assert_allclose(np.asarray(found.adata.X), expected, atol=1e-6)
    assert found.adata.to_df("in_cd8_t")["XT000"].isna().all()
    assert str(tmp_path / "bulk.h5ad") in found.files
    assert any(note.startswith("pseudobulk as given: ") for note in found.report.notes)
    assert found.adata.uns["oncoresist"]["modality"] == "single_cell"


def test_a_pseudobulk_that_lacks_lesions_is_refused(
    read: Read, made: MadeCells, tmp_path: Path
) -> None:
    pseudobulk_of(made)[2:].copy().write_h5ad(tmp_path / "bulk.h5ad")
    message = r"bulk.h5ad lacks 2 of 10 samples of the cells \(such as 'P0.*give the same names"
    with pytest.raises(CohortError, match=message):
        read(cells={"pseudobulk": str(tmp_path / "bulk.h5ad")})


def test_cells_said_to_be_malignant_are_so_whatever_their_markers(
    read: Read, write: Write, made: MadeCells
) -> None:
    adata = made.adata.copy()
    said = np.arange(adata.n_obs) % 4 == 0
    adata.obs["ploidy"] = np.where(said, " Aneuploid", "diploid")
    found = read(write(adata), cells={"malignant": "ploidy"})
    assert found.cells is not None
    assert (found.cells.type_names[said] == "malignant").all()
    assert not (found.cells.type_names[~said] == "malignant").any()
    told = f"{said.sum()} cells malignant by obs['ploidy'], "
    assert any(note.startswith(told) for note in found.report.notes)


@pytest.mark.parametrize("spelling", [[True, False], [1, 0], [1.0, 0.0], ["yes", "no"]])
def test_malignant_cells_may_be_said_in_several_ways(
    spelling: list[Any], read: Read, write: Write, made: MadeCells
) -> None:
    adata = made.adata.copy()
    said = made.truth == "melanocytic"
    adata.obs["tumour"] = np.where(said, *spelling)
    found = read(write(adata), cells={"malignant": "tumour"})
    assert found.cells is not None
    assert ((found.cells.type_names == "malignant") == said).all()


@pytest.mark.parametrize("setting", ["cell_type", "malignant", "batch"])
def test_a_column_asked_for_that_is_missing_is_named(setting: str, read: Read) -> None:
    message = rf"obs has no column 'nowhere' \(cells.{setting}\); its columns: sample_id"
    with pytest.raises(CohortError, match=message):
        read(cells={setting: "nowhere"})


def test_a_compartment_taken_away_by_sorting_gives_nothing_and_it_is_said(read: Read) -> None:
    found = read(cells={"absent": ["malignant", "stroma"]})
    assert compartment_layer("malignant") not in found.adata.layers
    table = found.adata.obsm[CELL_TABLE]
    assert (
        table[["malignant_share", "mhc_i_low_malignant_share", "stroma_share"]].isna().all().all()
    )
    message = "malignant: none by preparation (cells.absent), so no malignant features"
    assert message in found.report.notes
    assert found.adata.uns["oncoresist"]["cells"]["absent"] == ["malignant", "stroma"]


def test_a_cohort_whose_cells_are_all_left_out_is_refused_with_the_mend(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare.cell_quality

    def poor(*arguments: Any, **options: Any) -> Any:
        found = whole(*arguments, **options)
        return replace(found, table=found.table.assign(low_quality=True))

    monkeypatch.setattr(prepare, "cell_quality", poor)
    message = r"all 564 cells are of low quality or doublets; look at the unit, or set cells.drop"
    with pytest.raises(CohortError, match=message):
        read()
    found = read(cells={"drop": []})
    assert found.adata.obs["n_cells"].sum() == 564


def test_cells_of_low_quality_take_no_part_and_are_counted(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare.cell_quality

    def some(*arguments: Any, **options: Any) -> Any:
        found = whole(*arguments, **options)
        return replace(found, table=found.table.assign(low_quality=np.arange(564) < 5))

    monkeypatch.setattr(prepare, "cell_quality", some)
    found = read()
    assert found.cells is not None
    assert (found.cells.samples[:5] == -1).all()
    assert found.adata.obs["n_cells"].sum() == 559
    assert (found.cells.samples[5:] >= 0).all()
    assert "5 of 564 cells left out: 5 of low quality, 0 doublets" in found.report.notes


def test_labels_of_one_class_are_refused_where_both_are_needed(
    read: Read, write: Write, made: MadeCells
) -> None:
    adata = made.adata[made.adata.obs["response"] == "R"].copy()
    with pytest.raises(CohortError, match=re.escape("own.h5ad")):
        read(write(adata))


def test_labels_may_come_from_a_clinical_table(read: Read, made: MadeCells, tmp_path: Path) -> None:
    table = pd.DataFrame({"sample_id": made.lesions, "outcome": ["R", "NR"] * 5})
    table.to_csv(tmp_path / "clinical.csv", index=False)
    found = read(clinical=str(tmp_path / "clinical.csv"), columns={"response": "outcome"})
    assert found.adata.obs["resistant"].tolist() == [0.0, 1.0] * 5
    assert str(tmp_path / "clinical.csv") in found.files


def test_what_lies_on_disk_meanwhile_goes_with_the_cohort(read: Read) -> None:
    found = read()
    assert found.cells is not None
    assert found.cells.summary.scores is not None
    scores = found.cells.summary.scores
    assert scores.is_file()
    del found
    import gc

    gc.collect()
    assert not scores.exists()


def test_cells_are_read_by_the_features_that_a_model_carries(cells_folder: Path) -> None:
    # Fixed: a cohort to be scored was read by the packaged features, whatever the model's said.
    (own,) = [f for f in default_cell_features() if f.id == "b_cells_share"]
    reversed_share = own.model_copy(update={"id": "b_of_t", "among": "t_cell"})
    config = CohortConfig(name="made", expression="cells.h5ad", modality="single_cell")
    cohort = read_cohort(
        config, root=cells_folder, labels_required=False, cell_features=[reversed_share]
    )
    assert list(cohort.adata.obsm[CELL_TABLE]) == ["b_of_t"]
