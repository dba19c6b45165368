"""The annotation of real cells, held against published ones."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from numpy.typing import NDArray

from features.catalogue import default_catalogue
from features.cells.agreement import AnnotationAgreement, agree
from features.cells.annotation import CellAnnotation, annotate_cells
from features.cells.cell_types import CELL_TYPES, map_annotation
from features.cells.source import open_cells
from features.genes import translate_genes
from features.units import detect_unit

pytestmark = pytest.mark.real_data


def annotated(
    shared: Path, name: str, *, clusters: NDArray[np.int32] | None = None
) -> tuple[CellAnnotation, pd.DataFrame]:
    adata = ad.read_h5ad(shared / "cohorts" / "single_cell" / f"{name}.h5ad")
    first = sc.get.obs_df(adata[:500], keys=list(adata.var_names)).to_numpy(dtype=np.float64)
    translation = translate_genes(list(adata.var_names), catalogue=default_catalogue())
    found = annotate_cells(
        open_cells(adata),
        symbols=translation.symbols,
        finding=detect_unit(first),
        clusters=clusters,
    )
    return found, adata.obs


def agreement_with(
    found: CellAnnotation, labels: pd.Series, *, per_cell: bool
) -> AnnotationAgreement:
    codes = found.per_cell if per_cell else found.types
    published, _ = map_annotation(list(labels.astype(str)))
    return agree([CELL_TYPES[code] for code in codes], published, types=found.measured)


def test_cells_of_the_melanoma_study_agree_with_the_study_itself(shared: Path) -> None:
    found, obs = annotated(shared, "sade_feldman_scfeatures_550x3523")
    per_cell = agreement_with(found, obs["cell_type_original_study"], per_cell=True)
    # One cell in four shows too little by itself; hardly any is called against the study.
    assert per_cell.balanced_lineage > 0.7
    assert per_cell.balanced_contradicted < 0.02
    smoothed, _ = annotated(
        shared,
        "sade_feldman_scfeatures_550x3523",
        clusters=np.zeros(len(obs), dtype=np.int32),
    )
    together = agreement_with(smoothed, obs["cell_type_original_study"], per_cell=False)
    assert together.balanced_lineage > 0.99


def test_cells_of_melanoma_agree_with_another_programs_calls(shared: Path) -> None:
    found, obs = annotated(shared, "tirosh_melanoma_chetah_150")
    agreement = agreement_with(found, obs["cell_type_chetah"], per_cell=True)
    assert agreement.balanced_lineage > 0.85
    assert agreement.balanced_accuracy > 0.65
    # What the reference of immune cells could not assign are the melanoma cells.
    unassigned = (obs["cell_type_chetah"] == "Unassigned").to_numpy()
    assert np.mean(found.names[unassigned] == "melanocytic") > 0.8


def test_scaled_cells_of_a_panel_agree_by_lineage(shared: Path) -> None:
    found, obs = annotated(shared, "sade_feldman_8000x450")
    agreement = agreement_with(found, obs["cell_type"], per_cell=True)
    assert agreement.balanced_lineage > 0.75
    assert "t_cell" not in found.measured
    table = agreement.table
    assert table.loc[["myeloid", "nk", "dc"], "lineage"].min() > 0.9


def test_many_plasma_cells_of_the_other_program_are_plasmacytoid_dendritic(shared: Path) -> None:
    found, obs = annotated(shared, "sade_feldman_8000x450")
    adata = ad.read_h5ad(shared / "cohorts" / "single_cell" / "sade_feldman_8000x450.h5ad")
    chosen = ((obs["cell_type"] == "Plasma") & (found.names == "dc")).to_numpy()
    assert chosen.sum() > 50
    assert (adata[chosen, "LILRA4"].X.toarray() > 0).mean() > 0.9


def test_a_cell_line_is_one_type(shared: Path) -> None:
    found, _ = annotated(shared, "pc9_erlotinib_day11_unlabelled")
    names = found.names
    assert np.mean(names == "epithelial") > 0.8
    assert np.mean(~np.isin(names, ["epithelial", "unknown"])) < 0.01


def test_a_panel_of_versioned_ensembl_ids_shows_glioma_and_myeloid_cells(shared: Path) -> None:
    found, _ = annotated(shared, "glioblastoma_panobinostat_5000x300")
    assert set(found.names) == {"glial", "myeloid", "unknown"}
    assert found.measured == ("glial", "myeloid")
    assert np.mean(found.names == "glial") > 0.4


def test_z_scores_of_a_cell_line_leave_most_cells_unknown(shared: Path) -> None:
    found, _ = annotated(shared, "scad_a375_brafi_108x2873")
    assert np.mean(found.names == "unknown") > 0.8
    assert any("without a zero" in note for note in found.notes)
