"""A whole training of an experiment with drug screens, and what its run holds."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from pipelines.config import load_experiment
from pipelines.runs.log import TrainingResult
from pipelines.single_cohort import run
from pipelines.tracking import Store, open_store
from pipelines.train import train
from tests.screens import line_names, make_screen, write_screen

pytestmark = pytest.mark.slow

ADC = Path(__file__).resolve().parents[3] / "conf" / "experiments" / "adc.yaml"


@dataclass(frozen=True)
class Trained:
    result: TrainingResult

    @property
    def metrics(self) -> dict[str, float]:
        found = mlflow.MlflowClient().get_run(self.result.run_id).data.metrics
        return {str(name): float(value) for name, value in found.items()}

    def files(self, folder: str) -> set[str]:
        found = mlflow.MlflowClient().list_artifacts(self.result.run_id, folder)
        return {Path(file.path).name for file in found}

    def table(self, name: str) -> pd.DataFrame:
        path = f"tables/{name}.parquet"
        found = mlflow.artifacts.download_artifacts(run_id=self.result.run_id, artifact_path=path)
        return pd.read_parquet(found)


@pytest.fixture(scope="module")
def trained_once(
    empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Trained]:
    """Train on a simulated screen of two groups, with another apart."""
    folder = tmp_path_factory.mktemp("screens")
    shutil.copy(empty_store, folder / "mlflow.db")
    groups = {"tubulin": {"drugs": ["Paclitaxel"]}, "top1": {"drugs": ["Topotecan"]}}
    sets = {
        "sim_one": (make_screen(line_names(36), drugs=("Paclitaxel", "Topotecan"), seed=1), groups),
        "sim_two": (make_screen(line_names(40, start=30), seed=2), {"tubulin": groups["tubulin"]}),
    }
    files = []
    for name, (screen, named) in sets.items():
        config = write_screen(folder, screen, name, drug_response={"groups": named}, root=".")
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    overrides = [
        f"cohorts.train=[{files[0]}]",
        f"screens.apart=[{files[1]}]",
        "screens.transfers=[{train: sim_one/tubulin, test: sim_two/tubulin}]",
        *("screens.genes=[ABCB1]", "screens.n_splits=3", "screens.n_repeats=2"),
        *("validation.n_splits=3", "validation.n_repeats=1", "validation.n_resamples=20"),
        *("classifier.n_estimators=40", "classifier.n_seeds=1", "classifier.learning_rate=0.1"),
        *("tuning.trials=1", "model.registered_name=small_screens"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        for name in ("_log_figures", "_log_report"):
            patch.setattr(run, name, lambda *told: None)
        config = load_experiment(ADC, overrides=overrides, with_local=False)
        return folder, Trained(train(config, config_file=ADC))


@pytest.fixture
def trained(trained_once: tuple[Path, Trained], monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Return the training, its store open."""
    uri = f"sqlite:///{trained_once[0] / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    open_store(Store(uri, None))
    return trained_once[1]


def test_the_run_holds_the_tables_of_the_screens(trained: Trained) -> None:
    screens = trained.table("screens")
    groups = screens[["cohort", "drug_group"]].drop_duplicates()
    assert set(groups.agg("/".join, axis=1)) == {
        *("sim_one/tubulin", "sim_one/top1", "sim_two/tubulin"),
    }
    assert set(screens["predictor"]) >= {"model", "tissue_mean", "classifier"}
    moved = trained.table("transfers")
    assert set(moved["n_train"]) == {30}
    assert set(moved["shared"]) == {6}
    identities = trained.table("line_identities")
    assert len(identities) == 6
    assert identities["itself"].all()
    assert set(trained.table("genes_by_drug")["gene"]) == {"ABCB1"}
    assert set(trained.table("screen_evidence")["verdict"]) == {"fits"}


def test_the_run_holds_the_metrics_with_their_intervals(trained: Trained) -> None:
    found = trained.metrics
    for name in (
        "screen.sim_one.tubulin.spearman",
        "screen.sim_one.tubulin.within_tissue_spearman",
        "screen.sim_two.tubulin.spearman",
        "baseline.tissue_mean.screen.sim_one.top1.spearman",
        "transfer.sim_one.tubulin.to.sim_two.tubulin.spearman",
    ):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert found["screen.sim_one.tubulin.within_tissue_spearman"] > 0.2
    assert found["nested.auroc"] > 0.6
    assert found["minutes.screens"] > 0


def test_the_run_holds_the_figures(trained: Trained) -> None:
    assert trained.files("figures/drugs") >= {
        *("spearman.png", "within_tissue_spearman.png", "auroc.png"),
        *("observed_and_predicted.png", "transfers.png"),
    }
    assert trained.files("figures/genes") == {"ABCB1.png"}
    assert "screen_sim_one_tubulin.png" in trained.files("shap")


def test_samples_of_a_line_are_one_patient_of_the_model(trained: Trained) -> None:
    held = trained.table("screen_predictions")
    own = held[held["cohort"] == "sim_one"]
    assert own.groupby(["drug_group", "repeat"])["line"].nunique().eq(36).all()
