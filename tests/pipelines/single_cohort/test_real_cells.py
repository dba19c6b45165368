"""Real single cells as they lie: read to the verdict that fits, and trained on once with little."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.cells.features import cell_catalogue, default_cell_features
from features.cells.transformer import CELL_TABLE, CellFeatures
from features.gene_report import GeneReport
from features.transformer import MarkerFeatures
from pipelines.cohorts import read_cohort
from pipelines.config import load_cohort, load_experiment
from pipelines.ingest import IngestedCohort
from pipelines.runs.log import TrainingResult
from pipelines.single_cohort import run
from pipelines.tracking import Store, open_store
from pipelines.train import train
from tests.cells import leave_out_umap
from tests.fixtures import leave_out_fresh_process

pytestmark = pytest.mark.real_data

PROJECT = Path(__file__).resolve().parents[3]
MELANOMA = PROJECT / "conf" / "experiments" / "sc_melanoma.yaml"
ReadReal = Callable[[str], IngestedCohort]


@pytest.fixture(scope="module")
def real(shared: Path) -> ReadReal:
    """Return a reader of the configured cohorts; each is read once and nobody changes it."""
    found: dict[str, IngestedCohort] = {}

    def give(name: str) -> IngestedCohort:
        if name not in found:
            config, _ = load_cohort(name, conf=PROJECT / "conf")
            with pytest.MonkeyPatch.context() as patch:
                leave_out_umap(patch, clusters=False)
                root = shared / "cohorts"
                found[name] = read_cohort(config, root=root, labels_required=False)
        return found[name]

    return give


def bulk_report(cohort: IngestedCohort, catalogue: Catalogue) -> GeneReport:
    """Return the genes that the markers of the setting find, whatever the rows are."""
    scaled = cohort.adata.uns["oncoresist"]["unit"] == "gene_scaled"
    kind = "mean_z" if scaled else "rank"
    markers = MarkerFeatures(catalogue, setting="ici", score_kind=kind)
    return markers.fit(cohort.adata).gene_report(cohort.adata)


def of_cells(cohort: IngestedCohort, catalogue: Catalogue) -> tuple[CellFeatures, pd.DataFrame]:
    """Return features of cells, fitted on the cohort itself, and their table."""
    carried = cell_catalogue(catalogue, setting="ici", cell_features=default_cell_features())
    fitted = CellFeatures(carried, setting="ici").fit(cohort.adata)
    return fitted, fitted.transform(cohort.adata)


def shares(cohort: IngestedCohort) -> "pd.Series[float]":
    assert cohort.cells is not None
    return pd.Series(cohort.cells.type_names).value_counts(normalize=True)


# --- verdicts


def test_a375_cells_are_rows_by_entrez_ids_scaled_per_gene(
    real: ReadReal, catalogue: Catalogue
) -> None:
    cohort = real("scad_a375_brafi")
    assert cohort.cells is None
    assert cohort.adata.shape == (108, 2873)
    facts = cohort.adata.uns["oncoresist"]
    assert (facts["unit"], facts["gene_id_type"]) == ("gene_scaled", "Entrez")
    assert cohort.adata.obs["resistant"].notna().all()
    assert cohort.adata.obs["patient_id"].is_unique
    report = bulk_report(cohort, catalogue)
    assert report.grade == "too little"
    assert report.found_as["HLA-A"] == "3105"
    assert 0.2 < report.coverage < 1 / 3


def test_pc9_cells_are_malignant_and_nothing_else(real: ReadReal, catalogue: Catalogue) -> None:
    cohort = real("pc9_erlotinib_cells")
    assert list(cohort.adata.obs_names) == ["PC9_rep1", "PC9_rep2"]
    assert cohort.adata.obs["resistant"].isna().all()
    assert shares(cohort)["epithelial"] > 0.95
    fitted, table = of_cells(cohort, catalogue)
    assert fitted.compartments_ == ("malignant",)
    assert table["abc_transporters_in_malignant"].notna().all()
    assert not any("_in_t_cell" in name or "_cd8_" in name for name in _measured(table))
    notes = "\n".join(cohort.report.notes)
    assert "renamed genes recognised: C10orf54 → VSIR" in notes
    assert "t cell: no sample has 10 such cells" in notes
    assert fitted.gene_report(cohort.adata).grade == "partial"
    assert bulk_report(cohort, catalogue).grade == "partial"


def _measured(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if table[name].notna().any() and "share" not in str(name)]


def test_a_glioblastoma_panel_has_too_little_and_names_what_is_missing(
    real: ReadReal, catalogue: Catalogue
) -> None:
    cohort = real("glioblastoma_panobinostat_cells")
    assert cohort.adata.n_obs == 10
    assert cohort.adata.obs["patient_id"].nunique() == 5
    assert cohort.adata.uns["oncoresist"]["gene_id_type"] == "Ensembl"
    assert cohort.adata.uns["oncoresist"]["unit"] == "counts"
    fitted, _ = of_cells(cohort, catalogue)
    for report in (fitted.gene_report(cohort.adata), bulk_report(cohort, catalogue)):
        assert report.grade == "too little"
        assert {"TAP1", "TAP2", "PSMB8"} <= set(report.missing)
        assert report.found_as["HLA-A"] == "ENSG00000206503.11"
        assert report.sentence().startswith("too little: 3")
    assert shares(cohort).drop(["unknown"], errors="ignore").idxmax() == "glial"
    notes = "\n".join(cohort.report.notes)
    assert "a panel of 300 genes" in notes
    assert "too few marker genes in the file to tell melanocytic, epithelial, cd8_t" in notes
    table = cohort.adata.obsm[CELL_TABLE]
    assert table[["b_cells_share", "cd8_t_share", "nk_share"]].isna().all().all()


def test_tirosh_cells_are_one_sample_of_many_types_on_a_logarithmic_scale(
    real: ReadReal, catalogue: Catalogue
) -> None:
    cohort = real("tirosh_melanoma_cells")
    assert list(cohort.adata.obs_names) == ["tirosh_melanoma_cells"]
    assert cohort.adata.obs["n_cells"].tolist() == [150]
    assert cohort.adata.uns["oncoresist"]["unit"] in ("ln_tpm", "log2_tpm")
    found = shares(cohort)
    assert {"melanocytic", "cd8_t", "cd4_t", "b", "fibroblast", "endothelial"} <= set(found.index)
    assert found.get("unknown", 0.0) < 0.1
    fitted, table = of_cells(cohort, catalogue)
    assert {"malignant", "t_cell", "b_cell"} <= set(fitted.compartments_)
    assert fitted.gene_report(cohort.adata).grade == "partial"
    assert table["exhaustion_in_cd8_t"].between(0, 1).all()
    assert "all cells are one sample" in "\n".join(cohort.report.notes)


# --- Sade-Feldman


def test_lesions_of_sade_feldman_are_those_of_the_study(real: ReadReal) -> None:
    cohort = real("sade_feldman_2018_lesions")
    obs = cohort.adata.obs
    assert len(obs) == 48
    assert obs["patient_id"].nunique() == 32
    assert (obs["resistant"] == 1).sum() == 31
    assert (obs["resistant"] == 0).sum() == 17
    assert set(obs["timepoint"]) == {"pre_treatment", "post_treatment"}
    both = obs.groupby("patient_id")["resistant"].nunique()
    assert set(both.index[both == 2]) == {"P1", "P4", "P5", "P28"}
    assert len(cohort.files) == 2


def test_cells_sorted_by_cd45_give_no_malignant_and_no_stroma_features_and_it_is_said(
    real: ReadReal, catalogue: Catalogue
) -> None:
    cohort = real("sade_feldman_2018_lesions")
    for place in ("malignant", "stroma"):
        message = f"{place}: none by preparation (cells.absent), so no {place} features"
        assert message in cohort.report.notes
        assert f"in_{place}" not in cohort.adata.layers
    fitted, table = of_cells(cohort, catalogue)
    entries = {marker.id: marker for marker in fitted.catalogue.markers}  # type: ignore[union-attr]
    assert not {"malignant", "stroma"} & {entries[str(name)].compartment for name in table}
    assert not {"mhc_class_i", "mhc_class_i_in_malignant", "malignant_share"} & set(table)
    assert table[["tcf7", "b_cells_share", "cd8_t_share", "b_cells_tls"]].notna().all().all()
    assert fitted.gene_report(cohort.adata).grade == "full"


def test_the_published_directions_stand_in_the_lesions(real: ReadReal) -> None:
    cohort = real("sade_feldman_2018_lesions")
    resistant = cohort.adata.obs["resistant"].to_numpy() == 1
    b_cells = cohort.adata.obsm[CELL_TABLE]["b_cells_share"].to_numpy()
    tcf7 = cohort.adata.to_df()["TCF7"].to_numpy()
    for values in (b_cells, tcf7):
        assert np.median(values[~resistant]) > np.median(values[resistant])


# --- a training with little


@dataclass(frozen=True)
class Trained:
    """The training on Sade-Feldman with few resources, and its store."""

    store: str
    result: TrainingResult

    def table(self, name: str) -> pd.DataFrame:
        """Return a parquet artifact of the run."""
        open_store(Store(self.store, None))
        path = f"{name}.parquet"
        found = mlflow.artifacts.download_artifacts(run_id=self.result.run_id, artifact_path=path)
        return pd.read_parquet(found)


@pytest.fixture(scope="module")
def trained(real: ReadReal, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("melanoma")
    shutil.copy(empty_store, folder / "mlflow.db")
    store = f"sqlite:///{folder / 'mlflow.db'}"
    few = [
        "validation.n_repeats=1",
        "validation.permutations=0",
        "validation.n_resamples=100",
        "validation.bulk_model=null",
        "model.registered_name=melanoma_cells",
    ]
    config = load_experiment(MELANOMA, overrides=few)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        leave_out_umap(patch, clusters=False)
        patch.setattr("pipelines.train.read_cohort", lambda config, **told: real(config.name))
        leave_out_fresh_process(patch)
        for name in ("_log_figures", "_log_cells", "_log_report"):
            patch.setattr(run, name, lambda *told: None)
        return Trained(store, train(config, config_file=MELANOMA))


@pytest.mark.slow
def test_patients_of_several_lesions_never_straddle(trained: Trained) -> None:
    plan = trained.table("splits/plan")
    sides = plan.groupby(["split", "inner", "patient_id"])["side"].nunique()
    assert (sides == 1).all()
    assert plan["patient_id"].nunique() == 32
    assert plan["sample"].nunique() == 48


@pytest.mark.slow
def test_lesions_are_told_better_than_by_chance(trained: Trained) -> None:
    metrics = trained.result.metrics
    assert metrics["samples.labelled"] == 48
    assert metrics["nested.auroc"] > 0.65
    assert "nested_reference.auroc" not in metrics  # values scaled per gene have no reference
    assert metrics["nested.brier"] < metrics["baseline.prior.nested.brier"] + 0.02
    assert "baseline.cells.nested.auroc" in metrics
    assert "baseline.bulk_model.nested.auroc" not in metrics


@pytest.mark.slow
def test_b_cells_and_tcf7_go_with_response_as_was_published(trained: Trained) -> None:
    biology = trained.table("tables/biology").set_index("feature")
    for name in ("b_cells_tls", "b_cells_share", "tcf7"):
        assert biology.loc[name, "auroc"] < 0.5, name
        assert not biology.loc[name, "direction"] > 0, name
