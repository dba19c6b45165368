"""A team's server for real: PostgreSQL, artifacts through the server, names and passwords."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipelines import train as training
from pipelines.cli import app
from pipelines.config import load_experiment
from pipelines.registry.gate_scores import EXPECTED_TABLE, expected_scores
from pipelines.runs.metrics import training_metrics
from pipelines.tracking import load_model
from pipelines.training.trained import TrainedExperiment
from tests.fixtures import Simulated, require, without_times
from tests.pipelines.team_server import (
    TeamServer,
    documented,
    postgres_folder,
    team_server,
    wait_for,
)

pytestmark = pytest.mark.slow

CONF = Path(__file__).resolve().parents[2] / "conf"
NAME = "oncoresist-team"
EXPERIMENT = """\
setting: ici
cohorts:
  train: [cohorts/demo_counts.yaml, cohorts/demo_tpm.yaml]
classifier: {n_estimators: 10, n_seeds: 1}
tuning:
  candidates:
    trees: {family: boosted}
    stumps: {family: boosted, settings: {num_leaves: 2}}
validation:
  n_splits: 2
  n_repeats: 1
  n_resamples: 20
  learning_curve: 0
  all_genes: false
  on_treatment: false
  tide: false
tracking:
  experiment: team
model:
  registered_name: oncoresist-team
"""
WITHOUT_FIGURES = """\
from pipelines.runs import children as run_children
from pipelines.runs import log as run_log
nothing = lambda *arguments, **options: None
run_log.log_figures = run_children.log_attributions = run_log.log_held_out_reports = nothing
from pipelines.registry import gate
gate.fresh_process_checks = lambda *arguments, **options: ()
from pipelines.cli import main
main()
"""
SEEDS = (1, 2)
_AGAIN_ALONE = SEEDS[1:]
PEOPLE = {1: "ana", 2: "ben"}
Invoke = Callable[..., Result]


@dataclass(frozen=True)
class Team:
    """The server, what two trainings at the same time left there, and one of them alone."""

    server: TeamServer
    project: Path
    runs: Mapping[int, mlflow.entities.Run]
    alone: Mapping[int, TrainedExperiment]


@pytest.fixture(scope="module")
def project(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "conf" / "experiments").mkdir(parents=True)
    shutil.copy(CONF / "defaults.yaml", folder / "conf")
    (folder / "conf" / "experiments" / "team.yaml").write_text(EXPERIMENT)
    shutil.copytree(simulated.folder, folder / "cohorts")
    return folder


@pytest.fixture(scope="module")
def team(
    project: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    """Two people train at the same time against a server; one training again, alone in SQLite."""
    require(postgres_folder() is not None, "PostgreSQL is not installed (apt: postgresql)")
    with team_server() as (server, process):
        store = Path(shutil.copy(empty_store, tmp_path_factory.mktemp("alone") / "mlflow.db"))
        alone = {seed: trained_alone(project, store, seed=seed) for seed in _AGAIN_ALONE}
        wait_for(server.address, process=process, log=server.log)
        admit_people(server)
        train_together(project, server)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.as_user("rita").items():
                patch.setenv(name, value)
            patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            mlflow.set_tracking_uri(server.address)
            mlflow.set_registry_uri(server.address)
            found = mlflow.search_runs(
                experiment_names=["team"],
                filter_string="tags.role='training'",
                output_format="list",
            )
            runs = {int(run.data.params["seed"]): run for run in found}
            yield Team(server, project, runs, alone)


def trained_alone(project: Path, store: Path, *, seed: int) -> TrainedExperiment:
    """Train with a SQLite store; all but the writing of figures and tables."""
    config_file = project / "conf" / "experiments" / "team.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
        patch.setattr(training, "log_run", lambda trained, opened: trained)
        patch.setattr(training, "decide", lambda trained, **options: trained)
        config = load_experiment(config_file, overrides=[f"seed={seed}"])
        return training.train(config, config_file=config_file)


def admit_people(server: TeamServer) -> None:
    """Make the roles and the users of the page, as the page says."""
    code = documented("python", holds="create_role").replace(
        "http://mlflow.example", server.address
    )
    environment = {**os.environ, **server.as_user("admin", "admin-password")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, check=True)


def train_together(project: Path, server: TeamServer) -> None:
    """Start two trainings at once, as two people, from one project folder; one of them whole."""
    whole = [str(Path(sys.executable).with_name("oncoresist"))]
    quick = [sys.executable, "-c", WITHOUT_FIGURES]
    started = [
        subprocess.Popen(
            [
                *(whole if seed == SEEDS[0] else quick),
                *("train", "conf/experiments/team.yaml", "--set", f"seed={seed}"),
            ],
            cwd=project,
            env={**os.environ, **server.as_user(PEOPLE[seed])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for seed in SEEDS
    ]
    told = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(SEEDS), "\n".join(told)


@pytest.fixture
def invoke(team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Return a runner of commands as a user, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

    def run(user: str, *arguments: object, password: str | None = None, code: int = 0) -> Result:
        for name, value in team.server.as_user(user, password).items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == code, done.output
        return done

    return run


def table_of(run: mlflow.entities.Run, path: str) -> pd.DataFrame:
    return pd.read_parquet(
        mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path)
    )


def versions() -> dict[str, str]:
    """Return version → run."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{NAME}'")
    return {str(version.version): str(version.run_id) for version in found}


def test_trainings_at_once_lose_nothing_and_mix_nothing_up(team):
    assert sorted(team.runs) == list(SEEDS)
    runs = list(team.runs.values())
    assert [run.info.status for run in runs] == ["FINISHED"] * len(SEEDS)
    assert max(run.info.start_time for run in runs) < min(run.info.end_time for run in runs)
    for seed, alone in team.alone.items():
        run = team.runs[seed]
        metrics = without_times(training_metrics(alone))
        assert {name: run.data.metrics.get(name) for name in metrics} == metrics
        pd.testing.assert_frame_equal(
            table_of(run, "predictions/loco.parquet").set_index("sample"),
            alone.validations["cohort"].main.predictions.rename_axis("sample"),
            check_dtype=False,
        )
    for run in runs:
        children = mlflow.search_runs(
            experiment_names=["team"],
            filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'",
            output_format="list",
        )
        assert sorted(child.data.tags["held_out"] for child in children) == [
            "demo_counts",
            "demo_tpm",
        ]
    aurocs = {run.data.metrics["loco.auroc"] for run in runs}
    assert len(aurocs) > 1


def test_each_version_is_the_model_of_its_own_run(team):
    found = versions()
    assert sorted(found) == ["1", "2"]
    by_run = {run_id: version for version, run_id in found.items()}
    for seed, run in team.runs.items():
        loaded = load_model(f"models:/{NAME}/{by_run[run.info.run_id]}")
        scores = expected_scores(loaded.model)
        if seed in team.alone:
            pd.testing.assert_frame_equal(scores, expected_scores(team.alone[seed].model))
        pd.testing.assert_frame_equal(scores, table_of(run, EXPECTED_TABLE))
    model = mlflow.MlflowClient().get_registered_model(NAME)
    assert str(model.aliases["champion"]) in found
    rows = team.server.query("SELECT version FROM registered_model_aliases WHERE alias='champion'")
    assert len(rows) == 1


def test_artifacts_go_through_the_server_and_the_trainings_share_the_trials(team):
    for run in team.runs.values():
        assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
        folder = run.info.artifact_uri.removeprefix("mlflow-artifacts:")
        assert (team.server.artifacts / folder.strip("/") / "config" / "resolved.yaml").is_file()
    assert sorted(file.name for file in (team.project / "mlruns").iterdir()) == ["tuning.db"]


def test_who_may_read_scores_and_rebuilds_the_report(team, invoke, tmp_path):
    cohort = team.project / "cohorts" / "demo_new.yaml"
    uri = f"models:/{NAME}@champion"
    invoke("rita", "score", "--model", uri, "--cohort", cohort, "--output", "scored")
    predictions = pd.read_parquet(tmp_path / "scored" / "predictions.parquet")
    champion = mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion")
    assert predictions["model_version"].unique().tolist() == [str(champion.version)]
    assert predictions["probability"].notna().all()
    assert (tmp_path / "scored" / "report.html").is_file()
    whole = team.runs[SEEDS[0]]
    invoke("rita", "report", whole.info.run_id, "--output", tmp_path / "validation.md")
    assert f"{whole.data.metrics['loco.auroc']:.3f}" in (tmp_path / "validation.md").read_text()
    assert list((tmp_path / "images").rglob("*.png"))
    assert NAME in invoke("rita", "models", "list").output


def test_who_may_edit_promotes_and_rolls_back(team, invoke):
    before = str(mlflow.MlflowClient().get_model_version_by_alias(NAME, "champion").version)
    other = next(version for version in versions() if version != before)
    forced = ("--force", "--reason", "a trial of the server")
    invoke("ana", "models", "promote", f"{NAME}/{other}", *forced)
    assert champion_of(NAME) == other
    refused = invoke("rita", "models", "rollback", NAME, code=2)
    assert "user 'rita' has no permission for this on the MLflow server" in refused.output
    assert champion_of(NAME) == other
    invoke("ben", "models", "rollback", NAME)
    assert champion_of(NAME) == before


def champion_of(name: str) -> str:
    return str(mlflow.MlflowClient().get_model_version_by_alias(name, "champion").version)


def test_who_may_not_train_is_told_before_the_training(team, invoke):
    experiment = team.project / "conf" / "experiments" / "team.yaml"
    done = invoke("rita", "train", experiment, code=2)
    assert "user 'rita' has no permission" in done.output
    assert "held out" not in done.output
    assert len(versions()) == 2


def test_a_wrong_password_and_none_are_told(team, invoke, monkeypatch):
    wrong = invoke("ana", "models", "list", password="not-her-password", code=2)
    assert "knows no user 'ana' with this password" in wrong.output
    assert "not-her-password" not in wrong.output
    monkeypatch.setenv("HOME", "/nonexistent")
    nobody = invoke("", "models", "list", password="", code=2)
    assert "asks who you are; set MLFLOW_TRACKING_USERNAME" in nobody.output


def test_the_ui_of_a_server_is_at_its_own_address(team, invoke):
    assert f"open {team.server.address} in a browser" in invoke("ana", "ui", code=2).output


def test_who_may_edit_recalibrates_there(team, invoke, tmp_path):
    cohort = team.project / "cohorts" / "demo_new.yaml"
    uri = f"models:/{NAME}@champion"
    before = champion_of(NAME)
    invoke("ben", "evaluate", "--model", uri, "--cohort", cohort, "--output", "e", "--recalibrate")
    assert (tmp_path / "e" / "evaluation.html").is_file()
    assert sorted(versions()) == ["1", "2", "3"]
    assert champion_of(NAME) == before
