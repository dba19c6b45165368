"""A run under way: watched, gathered, failed; an experiment's own note is left alone."""

import shutil
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipelines.config import ExperimentConfig, load_experiment
from pipelines.runs.artifacts import (
    gathered_artifacts,
    log_document,
    log_figure,
    log_table,
    log_text,
)
from pipelines.runs.description import EXPERIMENT_MARK
from pipelines.runs.open_run import training_run
from pipelines.stopwatch import Stopwatch
from pipelines.tracking import Store, open_store, start_run

DEMO = Path(__file__).resolve().parents[3] / "conf" / "experiments" / "demo.yaml"
NOTE = "mlflow.note.content"


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Store:
    database = shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = Store(f"sqlite:///{database}", (tmp_path / "artifacts").as_uri())
    open_store(store, experiment="x")
    return store


@pytest.fixture
def config() -> ExperimentConfig:
    return load_experiment(DEMO, with_local=False)


def artifacts(run_id: str) -> set[str]:
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id))
    return {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}


def log_one_of_each() -> None:
    log_table(pd.DataFrame({"a": [1]}), "tables/a.parquet")
    log_figure(Figure(), "figures/b.png")
    log_text("β", "c.txt")
    log_document({"d": [1]}, "config/d.yaml")


EVERYTHING = {"tables/a.parquet", "figures/b.png", "c.txt", "config/d.yaml"}


def test_artifacts_go_one_by_one_or_gathered_as_a_whole(store: Store) -> None:
    with start_run("single", tags={}) as single:
        log_one_of_each()
        assert artifacts(single) == EVERYTHING
    with start_run("gathered", tags={}) as gathered:
        with gathered_artifacts() as folder:
            log_one_of_each()
            assert (folder / "c.txt").read_text(encoding="utf-8") == "β"
            assert mlflow.MlflowClient().list_artifacts(gathered) == []
        assert artifacts(gathered) == EVERYTHING


def test_what_was_gathered_before_a_fault_is_kept(store: Store) -> None:
    def fail(ids: list[str]) -> None:
        with start_run("x", tags={}) as run_id, gathered_artifacts():
            ids.append(run_id)
            log_text("a", "a.txt")
            raise RuntimeError("no ink")

    ids: list[str] = []
    with pytest.raises(RuntimeError, match="no ink"):
        fail(ids)
    assert artifacts(ids[0]) == {"a.txt"}


def test_the_machine_is_watched_where_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with start_run("watched", tags={}, watched=True) as run_id:
        deadline = time.monotonic() + 20
        while not mlflow.get_run(run_id).data.metrics and time.monotonic() < deadline:
            time.sleep(0.1)
    metrics = mlflow.get_run(run_id).data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 0


def test_a_run_stands_as_running_and_says_why_it_failed(
    store: Store, config: ExperimentConfig
) -> None:
    client = mlflow.MlflowClient()

    def fail(error: BaseException, ids: list[str]) -> None:
        with training_run(config, store=store, versions={}, watch=Stopwatch()) as opened:
            ids.append(opened.run_id)
            assert client.get_run(opened.run_id).info.status == "RUNNING"
            opened.stage = "peers"
            raise error

    for error in (RuntimeError("```disk on fire"), KeyboardInterrupt()):
        ids: list[str] = []
        with pytest.raises(type(error)):
            fail(error, ids)
        found = client.get_run(ids[0])
        assert found.info.status == "FAILED"
        assert found.data.tags[NOTE].startswith("**Failed** while: peers. No model was registered.")
        assert found.data.tags[NOTE].count("```") == 2


def test_an_experiments_own_note_is_left_alone_and_ours_is_renewed(
    store: Store, config: ExperimentConfig
) -> None:
    def note_after_run() -> str:
        with training_run(config, store=store, versions={}, watch=Stopwatch()):
            found = mlflow.get_experiment_by_name(config.tracking.experiment)
        return str(found.tags[NOTE])

    ours = note_after_run()
    assert "promote or not" in ours
    client = mlflow.MlflowClient()
    experiment = mlflow.get_experiment_by_name(config.tracking.experiment).experiment_id
    client.set_experiment_tag(experiment, NOTE, f"an earlier release\n{EXPERIMENT_MARK}")
    assert note_after_run() == ours
    client.set_experiment_tag(experiment, NOTE, "our team's own")
    assert note_after_run() == "our team's own"
