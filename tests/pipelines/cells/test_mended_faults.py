"""Faults that were found in reading and writing single cells, each a test of its mend."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.cells.cell_types import COMPARTMENTS, cell_types
from features.cells.transformer import CELL_TABLE
from features.errors import CohortError, ConfigError
from models.metrics import evaluate_predictions
from models.plan import make_nested_plan
from pipelines.cells import outputs
from pipelines.cells.outputs import write_cells
from pipelines.config import load_experiment
from pipelines.score import score_cohort
from pipelines.single_cohort.peers import naive_peers
from pipelines.tracking import LoadedModel
from tests.cells import MadeCells
from tests.pipelines.cells.conftest import Read, Write

pytestmark = pytest.mark.slow

MELANOMA = Path(__file__).resolve().parents[3] / "conf" / "experiments" / "sc_melanoma.yaml"


@pytest.mark.parametrize("blank", [False, True])
def test_cell_types_of_the_file_are_mapped(
    blank: bool, read: Read, write: Write, made: MadeCells
) -> None:
    # Fixed: anndata stores text as categories, and fillna of a category that is none raised.
    spelling = {
        "cd8_t": "CD8+ T cells",
        "cd4_t": "Cd4 T-cell",
        "b": "B_cell",
        "macrophage": "Macrophages",
        "melanocytic": "Node1",
    }
    given = pd.Series(made.truth).map(spelling)
    if blank:
        given[::10] = None
    adata = made.adata.copy()
    adata.obs["author_type"] = pd.Categorical(given)
    found = read(write(adata), cells={"cell_type": "author_type"})
    assert found.cells is not None
    assert found.cells.annotation is None
    expected = np.where(given.isna() | (made.truth == "melanocytic"), "unknown", made.truth)
    assert found.cells.type_names.tolist() == expected.tolist()
    assert found.adata.uns["oncoresist"]["cells"]["annotated_by"] == "the file"
    assert any("obs['author_type'], in this project" in note for note in found.report.notes)
    # Nobody said of a cell that it is malignant: its share is not zero but unknown.
    assert found.adata.obsm[CELL_TABLE]["malignant_share"].isna().all()


@pytest.mark.parametrize("name", ["t_cell", "myeloid"])
def test_an_absent_compartment_takes_those_within_it_along(name: str, read: Read) -> None:
    # Fixed: absent T cells still gave features of CD8 T cells, absent myeloid ones of macrophages.
    found = read(cells={"absent": [name]})
    within = [key for key, types in COMPARTMENTS.items() if set(types) <= set(COMPARTMENTS[name])]
    assert not {f"in_{key}" for key in within} & set(map(str, found.adata.layers))
    shares = {"t_cell": "cd8_t_share", "myeloid": "macrophage_share"}
    assert found.adata.obsm[CELL_TABLE][shares[name]].isna().all()


def test_malignant_cells_that_the_file_names_have_a_share(
    read: Read, write: Write, made: MadeCells
) -> None:
    # Fixed: where no marker could tell malignant cells, those that cells.malignant named had none.
    genes = {g for kind in cell_types() if kind.compartment == "malignant" for g in kind.genes}
    adata = made.adata[:, [gene not in genes for gene in made.adata.var_names]].copy()
    adata.obs["ploidy"] = np.where(made.truth == "melanocytic", "aneuploid", "diploid")
    found = read(write(adata), cells={"malignant": "ploidy"})
    assert found.adata.obsm[CELL_TABLE]["malignant_share"].between(0.1, 0.5).all()


def scored_zarr(read: Read, trained: LoadedModel) -> Any:
    return score_cohort(
        trained.model, read("cells.zarr"), standardisation="auto", uri=trained.uri, version="1"
    )


def test_a_zarr_store_comes_back_as_one(read: Read, trained: LoadedModel, tmp_path: Path) -> None:
    # Fixed: anndata consolidates a store's metadata, and such a store could not be written to.
    scored = scored_zarr(read, trained)
    for _ in range(2):  # over the copy of an earlier scoring
        table, copy = write_cells(scored, trained, tmp_path)
    assert copy.name == "cells.scored.zarr"
    found, cells = ad.read_zarr(copy), pd.read_parquet(table)
    np.testing.assert_array_equal(found.obs["oncoresist_resistance"], cells["resistance"])
    assert found.obs["oncoresist_type"].astype(str).tolist() == cells["type"].astype(str).tolist()
    names = list(found.uns["oncoresist_scoring"]["score_names"])
    np.testing.assert_array_equal(found.obsm["X_oncoresist"], cells[names].to_numpy("float32"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.parquet", copy.name]
    again = score_cohort(
        trained.model, read(str(copy)), standardisation="auto", uri=trained.uri, version="1"
    )
    pd.testing.assert_frame_equal(again.predictions, scored.predictions)


def test_a_zarr_store_is_not_left_half_written(
    read: Read, trained: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fixed: the copy in the making stayed, and the error came without path and mend.
    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(outputs, "_add_scores", fail)
    with pytest.raises(ConfigError, match=r"cells.scored.zarr cannot be written: no space left"):
        write_cells(scored_zarr(read, trained), trained, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cells.parquet"]


def test_a_cohort_too_small_for_a_model_without_a_reference_is_refused_with_the_mend(
    read: Read, trained: LoadedModel
) -> None:
    # Fixed: "standardisation 'reference'; allowed: cohort", which names neither cohort nor mend.
    model = replace(trained.model, min_cohort_size=15)
    with pytest.raises(CohortError, match=r"'made'.*10 samples.*at least 15"):
        score_cohort(model, read(), standardisation="auto", uri=trained.uri, version="1")


def test_the_class_prior_of_one_cohort_ranks_nothing() -> None:
    # Fixed: the share of resistant samples in each fold's training part differs, and pooled over
    # folds it ranked those held out the wrong way (an AUROC of 0.45 where nothing is known).
    samples = pd.DataFrame(
        {
            "cohort": "only",
            "patient_id": [f"p{i}" for i in range(31)],
            "cancer_type": "melanoma",
            "resistant": [float(i % 3 == 0) for i in range(31)],
        },
        index=[f"only/s{i}" for i in range(31)],
    )
    values = np.random.default_rng(0).random((31, 2))
    features = pd.DataFrame(values, index=samples.index, columns=["tcf7", "ccr7"])
    cohort = ad.AnnData(np.zeros((31, 1)), obs=pd.DataFrame(index=samples.index))
    dataset = SimpleNamespace(
        samples=samples,
        cohorts={"only": cohort},
        score_kind="mean_z",
        features=lambda names: features,
    )
    plan = make_nested_plan(samples, n_splits=4, n_repeats=1, seed=0)
    config = load_experiment(MELANOMA)
    peers = naive_peers(
        dataset,  # type: ignore[arg-type]
        plan,
        config=config,
        standardisation="cohort",
    )
    found = evaluate_predictions(peers["prior"], n_resamples=10, seed=0)
    assert found["auroc"].value == pytest.approx(0.5)
