"""Single cells are told by their look where nobody says; what is said is held against the file."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.cells.source import open_cells
from features.errors import CohortError
from pipelines.cells.detect import holds_cells, looks_like_cells
from pipelines.cohorts import read_cohort
from pipelines.settings.cohort import CohortConfig
from tests.cells import MadeCells

MakeCohort = Callable[..., ad.AnnData]


def looks(cells: ad.AnnData, catalogue: Catalogue) -> bool:
    return looks_like_cells(open_cells(cells), catalogue=catalogue)


def holds(path: Path, catalogue: Catalogue, **settings: object) -> bool:
    config = CohortConfig.model_validate({"name": "made", "expression": path.name, **settings})
    return holds_cells(config, path, catalogue=catalogue)


def shallow(catalogue: Catalogue, *, n_cells: int = 80, rate: float = 0.3) -> ad.AnnData:
    """Return cells in which most genes are not detected, and no column of samples."""
    rng = np.random.default_rng(0)
    genes = list(catalogue.gene_symbols)
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)])
    values = rng.poisson(rate, (n_cells, len(genes))).astype(float)
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=genes))


def test_many_rows_a_sample_are_cells(made: MadeCells, catalogue: Catalogue) -> None:
    assert looks(made.adata, catalogue)


def test_rows_without_samples_are_cells_where_most_genes_are_undetected(
    catalogue: Catalogue,
) -> None:
    assert looks(shallow(catalogue), catalogue)
    assert not looks(shallow(catalogue, rate=4.0), catalogue)


def test_a_few_rows_are_no_cells(catalogue: Catalogue) -> None:
    assert not looks(shallow(catalogue, n_cells=49), catalogue)


def test_genes_that_nobody_knows_tell_nothing(catalogue: Catalogue) -> None:
    cells = shallow(catalogue)
    cells.var_names = [f"X{i}" for i in range(cells.n_vars)]
    assert not looks(cells, catalogue)


def test_sixty_samples_of_bulk_are_no_cells(
    make_cohort: MakeCohort, catalogue: Catalogue, tmp_path: Path
) -> None:
    bulk = make_cohort(60)
    bulk.write_h5ad(tmp_path / "bulk.h5ad")
    assert not holds(tmp_path / "bulk.h5ad", catalogue)
    config = CohortConfig(name="bulk", expression="bulk.h5ad")
    cohort = read_cohort(config, root=tmp_path, labels_required=False)
    assert cohort.cells is None
    assert cohort.adata.n_obs == 60


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_what_is_said_of_the_rows_holds(
    name: str, cells_folder: Path, catalogue: Catalogue
) -> None:
    assert holds(cells_folder / name, catalogue)
    assert holds(cells_folder / name, catalogue, modality="single_cell")
    assert not holds(cells_folder / name, catalogue, modality="bulk")


@pytest.mark.parametrize("name", ["cells.csv", "cells.tsv.gz", "cells.loom"])
def test_cells_stated_of_a_table_are_refused_with_the_mend(
    name: str, tmp_path: Path, catalogue: Catalogue
) -> None:
    assert not holds(tmp_path / name, catalogue)
    message = rf"'made': modality single_cell, but .*{name} is no h5ad or zarr; write the cells"
    with pytest.raises(CohortError, match=message):
        holds(tmp_path / name, catalogue, modality="single_cell")


@pytest.mark.parametrize("modality", ["auto", "single_cell"])
@pytest.mark.parametrize("name", ["nowhere.h5ad", "nowhere.zarr"])
def test_a_file_that_is_not_there_is_named(name: str, modality: str, tmp_path: Path) -> None:
    config = CohortConfig.model_validate({"name": "made", "expression": name, "modality": modality})
    with pytest.raises(CohortError, match=rf"there is no file .*{name}; check the path"):
        read_cohort(config, root=tmp_path, labels_required=False)


def test_cells_as_rows_are_samples_of_their_own(cells_folder: Path, made: MadeCells) -> None:
    config = CohortConfig.model_validate(
        {"name": "made", "expression": "cells.h5ad", "cells": {"rows": "cell"}}
    )
    cohort = read_cohort(config, root=cells_folder, labels_required=False)
    assert cohort.cells is None
    assert cohort.adata.n_obs == made.adata.n_obs
