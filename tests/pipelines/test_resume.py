"""A training that is killed goes on where it was, and ends as if nothing had happened."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from pipelines.config import load_experiment
from pipelines.train import train
from tests.fixtures import (
    Simulated,
    leave_out_figures,
    leave_out_fresh_process,
    without_times,
)

pytestmark = pytest.mark.slow

CONF = Path(__file__).resolve().parents[2] / "conf"
COMMAND = str(Path(sys.executable).with_name("oncoresist"))
EXPERIMENT = """\
setting: ici
seed: 3
cohorts:
  train: [cohorts/demo_counts.yaml, cohorts/demo_tpm.yaml]
classifier: {n_estimators: 20, n_seeds: 1}
tuning:
  candidates:
    trees: {family: boosted}
    line: {family: linear}
validation:
  n_splits: 2
  n_repeats: 1
  n_resamples: 20
  learning_curve: 0
  all_genes: false
  on_treatment: false
  tide: false
model:
  registered_name: resumed
"""


@pytest.fixture(scope="module")
def project(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "conf" / "experiments").mkdir(parents=True)
    shutil.copy(CONF / "defaults.yaml", folder / "conf")
    (folder / "conf" / "experiments" / "test.yaml").write_text(EXPERIMENT)
    shutil.copytree(simulated.folder, folder / "cohorts")
    return folder


def finished(store: Path) -> pd.DataFrame:
    """Return the finished trials of a store: study, number of the trial, candidate, end."""
    query = """
        SELECT s.study_name AS study, t.trial_id AS trial, p.param_value AS candidate,
               t.datetime_complete AS ended
        FROM trials t JOIN studies s USING (study_id) JOIN trial_params p USING (trial_id)
        WHERE t.state = 'COMPLETE' AND p.param_name = 'candidate'
    """
    if not store.is_file():
        return pd.DataFrame()
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            return pd.read_sql_query(query, database)
        except (pd.errors.DatabaseError, sqlite3.Error):
            return pd.DataFrame()


def kill_after_trials(project: Path, store: Path, *, least: int) -> None:
    """Start a training and kill it once so many trials are in its store."""
    process = subprocess.Popen(
        [COMMAND, "train", "conf/experiments/test.yaml"],
        cwd=project,
        env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store / 'mlflow.db'}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(finished(store / "tuning.db")) < least:
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_killed_training_keeps_its_trials_and_ends_as_an_undisturbed_one(
    project: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    disturbed.mkdir()
    shutil.copy(empty_store, disturbed / "mlflow.db")
    kill_after_trials(project, disturbed, least=5)
    before = finished(disturbed / "tuning.db")
    uri = f"sqlite:///{disturbed / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri, registry_uri=uri)
    assert client.search_registered_models() == []
    leave_out_figures(monkeypatch)
    leave_out_fresh_process(monkeypatch)
    config_file = project / "conf" / "experiments" / "test.yaml"
    monkeypatch.chdir(project)
    results = []
    undisturbed.mkdir()
    for store in (disturbed, undisturbed):
        shutil.copy(empty_store, store / "mlflow.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / 'mlflow.db'}")
        results.append(train(load_experiment(config_file), config_file=config_file))
    after, alone = (finished(store / "tuning.db") for store in (disturbed, undisturbed))
    kept = after[after["trial"].isin(before["trial"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before)
    assert len(before) < len(after) == len(alone)
    columns = ["study", "candidate"]
    assert not after.duplicated(columns).any()
    assert set(after[columns].itertuples(index=False)) == set(
        alone[columns].itertuples(index=False)
    )
    resumed, whole = results
    assert without_times(resumed.metrics) == without_times(whole.metrics)
    pd.testing.assert_frame_equal(resumed.comparison, whole.comparison)
