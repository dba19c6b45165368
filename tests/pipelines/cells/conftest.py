"""A cohort of single cells with known truth, on disk as h5ad and zarr, read without UMAP."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import pytest

from features.catalogue import Catalogue
from features.cells.features import cell_catalogue, default_cell_features
from features.cells.transformer import CellFeatures
from features.fingerprint import fingerprint
from features.profile import rank_profile
from features.reference import standardise_in_cohort
from models.calibration import PlattCalibrator
from models.cell_model import fit_cell_model
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets
from models.drift import DriftReference
from models.gene_reference import GeneReference, gene_ranks
from models.resistance_model import ModelArm, ResistanceModel
from models.shift import ShiftDetector
from models.training_reference import TrainingReference
from pipelines.cohorts import read_cohort
from pipelines.ingest import IngestedCohort
from pipelines.settings.cohort import CohortConfig
from pipelines.single_cohort.cells import cell_table
from pipelines.tracking import LoadedModel
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
        config = CohortConfig.model_validate({"name": "made", "expression": expression, **settings})
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


def train_model(cohort: IngestedCohort, catalogue: Catalogue) -> ResistanceModel:
    """Return a small model of a cohort of cells: one standardisation, and the cells' own model."""
    carried = cell_catalogue(catalogue, setting="ici", cell_features=default_cell_features())
    adata, prepared = cohort.adata, cohort.cells
    assert prepared is not None
    transformer = CellFeatures(carried, setting="ici").fit(adata)
    features = transformer.transform(adata)
    y, cohorts = adata.obs["resistant"].astype(int), adata.obs["cohort"].astype(str)
    table = standardise_in_cohort(features, cohorts=cohorts, min_cohort_size=5)
    classifier = ResistanceClassifier(n_estimators=20, min_child_samples=2).fit(table, y)
    scores = classifier.decision_function(table)
    arm = ModelArm(
        classifier, PlattCalibrator().fit(scores, y), ConformalSets().fit(scores, y), None, 0.5
    )
    background = transformer.background_
    detector = ShiftDetector().fit(
        rank_profile(adata, background=background),
        features,
        cohorts=cohorts,
        background=background,
    )
    ranks = gene_ranks(adata, background=background, genes=carried.gene_symbols)
    known = TrainingReference(
        detector,
        DriftReference().fit(features, cohorts=cohorts),
        fingerprint(adata),
        GeneReference.learn(ranks, cohorts=cohorts),
    )
    held_out = {"auroc": "0.60 (0.55 to 0.65)", "brier": "0.24", "ece": "0.05"}
    facts = {
        "training_cohorts": [cohort.name],
        "training_files": {},
        "held_out": {"cohort": {"model": held_out, "class prior": held_out}},
    }
    cells = fit_cell_model(
        cell_table(prepared, catalogue=carried, setting="ici", seed=0)[0],
        adata.obs[["resistant", "patient_id", "cohort"]],
        settings={"n_estimators": 20, "n_seeds": 1},
        max_cells=60,
    )
    return ResistanceModel("ici", carried, transformer, {"cohort": arm}, known, 5, facts, cells)


@pytest.fixture(scope="session")
def trained(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Return a small model of other cells than those of the folder, as the store gives it."""
    folder = tmp_path_factory.mktemp("training")
    make_cells(n_patients=12, n_pairs=2, seed=5).adata.write_h5ad(folder / "training.h5ad")
    config = CohortConfig(name="training", expression="training.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        leave_out_umap(patch)
        cohort = read_cohort(config, root=folder, labels_required=True)
    return LoadedModel(train_model(cohort, catalogue), "models:/made/1", "1")
