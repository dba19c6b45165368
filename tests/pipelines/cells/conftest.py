"""A cohort of single cells with known truth, on disk as h5ad and zarr, read without UMAP."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import pytest

from pipelines.cohorts import read_cohort
from pipelines.ingest import IngestedCohort
from pipelines.settings.cohort import CohortConfig
from tests.cells import MadeCells, leave_out_umap, make_cells

Read = Callable[..., IngestedCohort]
Write = Callable[[ad.AnnData], str]


@pytest.fixture(autouse=True)
def quick_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let views be quick."""
    leave_out_umap(monkeypatch)


@pytest.fixture(scope="session")
def made() -> MadeCells:
    """Return the cells; nobody changes them."""
    return make_cells()


@pytest.fixture(scope="session")
def cells_folder(made: MadeCells, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of ``cells.h5ad`` and ``cells.zarr``, the same cells; nobody changes them."""
    folder = tmp_path_factory.mktemp("cells")
    made.adata.write_h5ad(folder / "cells.h5ad")
    made.adata.write_zarr(folder / "cells.zarr")
    return folder


@pytest.fixture
def read(cells_folder: Path) -> Read:
    """Return a reader of a file of the folder, or elsewhere, with settings of the cohort's YAML."""

    def give(expression: str = "cells.h5ad", **settings: object) -> IngestedCohort:
        config = CohortConfig.model_validate(
            {"name": "made", "expression": expression, **settings}
        )
        return read_cohort(config, root=cells_folder, labels_required=True)

    return give


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a writer of cells to a file of their own, that gives its path."""

    def give(adata: ad.AnnData) -> str:
        path = tmp_path / "own.h5ad"
        adata.write_h5ad(path)
        return str(path)

    return give
