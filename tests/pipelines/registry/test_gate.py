"""The gate on trained models: shuffled labels, a catalogue edited since, scores that differ."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from models.calibration_metrics import calibration_estimates
from models.learner import shuffle_labels
from pipelines import train as training
from pipelines.cli import app
from pipelines.registry import gate, gate_scores
from pipelines.registry.compare import compare_versions
from pipelines.registry.gate import GateReport, judge
from pipelines.registry.gate_scores import expected_scores, fresh_process_checks
from pipelines.registry.standing import Check
from pipelines.registry.version_record import VersionRecord, read_version
from pipelines.runs import children as run_children
from pipelines.runs import log as run_log
from pipelines.runs.log import TrainingResult
from pipelines.settings.gate import GateConfig
from pipelines.tracking import Store, estimate_metrics, load_model, open_store
from tests.fixtures import Simulated
from tests.pipelines.test_train import DEMO, small_experiment

pytestmark = pytest.mark.slow

OWN = """\
version: "lab 1"
section: Ours
sources:
  ours_2026:
    citation: Ours et al. A study of ours. 2026.
    doi: 10.1000/ours
    found_in: our own paper
markers:
  - id: our_axis
    name: Our axis
    mechanism: own
    settings: [ici]
    genes: [B2M, TAP1]
    sign: "-"
    compartment: malignant
    evidence: field
    sources: [{source: ours_2026, paraphrase: More of it went with response.}]
"""


@dataclass(frozen=True)
class Trained:
    folder: Path
    own: Path
    sound: TrainingResult
    shuffled: TrainingResult


@pytest.fixture(scope="module")
def trained_once(
    simulated: Simulated, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """Train twice with a catalogue of one's own: on the labels as they are, and shuffled."""
    folder = tmp_path_factory.mktemp("gate")
    shutil.copy(empty_store, folder / "mlflow.db")
    own = folder / "own.yaml"
    own.write_text(OWN, encoding="utf-8")
    config = small_experiment(
        simulated.folder,
        "demo_counts",
        "demo_tpm",
        extra=(f"features.catalogue={own}", "validation.n_resamples=100"),
    )
    build = training.build_dataset

    def build_shuffled(*arguments, **options):
        dataset = build(*arguments, **options)
        return replace(
            dataset, samples=shuffle_labels(dataset.samples, rng=np.random.default_rng(1))
        )

    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, folder)
        sound = train_quietly(config)
        patch.setattr(training, "build_dataset", build_shuffled)
        return Trained(folder, own, sound, train_quietly(config))


def use_store(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let trainings go to a store in the folder; nothing is drawn, which takes most of the time."""
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    for module, name in ((run_log, "log_figures"), (run_children, "log_attributions")):
        patch.setattr(module, name, lambda *arguments, **options: None)


def train_quietly(config) -> TrainingResult:
    return training.train(config, config_file=DEMO)


@pytest.fixture
def trained(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    use_store(monkeypatch, trained_once.folder)
    open_store(Store(os.environ["MLFLOW_TRACKING_URI"], None))
    return trained_once


def judged(result: TrainingResult, *, spare: bool = True) -> GateReport:
    return judge(
        result.model_name, result.model_version, limits=GateConfig(), project=Path(), spare=spare
    )


def status(report: GateReport, what: str) -> Check:
    return next(check for check in report.checks if check.what == what)


def test_shuffled_labels_are_refused_with_every_reason_and_exit_2(trained, monkeypatch):
    monkeypatch.setattr(gate, "fresh_process_checks", lambda *arguments, **options: ())
    result = trained.shuffled
    done = CliRunner().invoke(
        app, ["models", "promote", f"{result.model_name}/{result.model_version}"]
    )
    assert done.exit_code == 2
    lines = [line for line in done.output.splitlines() if line.startswith("- ")]
    for arm in ("cohort", "reference"):
        (line,) = [part for part in lines if f"AUROC, {arm}-relative: " in part]
        assert "(limit: 95% interval above 0.5); on cohorts held out it ranks no better" in line
    assert "champion stays at version 1; to promote it all the same" in done.output


def test_the_first_training_is_champion_and_a_worse_one_challenger(trained):
    client = mlflow.MlflowClient()
    aliases = client.get_registered_model(trained.sound.model_name).aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {
        "champion": trained.sound.model_version,
        "challenger": trained.shuffled.model_version,
    }
    assert trained.sound.decision.outcome in ("passed", "provisional")
    assert trained.shuffled.decision.outcome == "refused"


def test_a_sound_model_ranks_holds_its_splits_and_scores_alike_in_a_fresh_process(trained):
    report = judged(trained.sound, spare=False)
    for what in (
        "AUROC, cohort-relative",
        "splits, cohort-relative",
        "predictions, reference-rela",
    ):
        assert next(c for c in report.checks if c.what.startswith(what)).status == "passed"
    assert status(report, "MLflow").status == "passed"
    here = status(report, "fresh process against this one")
    then = status(report, "fresh process against training")
    assert (here.status, then.status) == ("passed", "passed")
    assert [c.group for c in report.failed if c.group != "calibrated"] == []


def test_a_catalogue_edited_after_training_is_refused_by_hash_and_marker(trained):
    what = f"content hash, with {trained.own}"
    assert status(judged(trained.sound), what).status == "passed"
    trained.own.write_text(OWN.replace("[B2M, TAP1]", "[B2M, TAP2]"), encoding="utf-8")
    check = status(judged(trained.sound), what)
    trained.own.write_text(OWN, encoding="utf-8")
    assert check.status == "failed"
    hashes = [load_model(f"models:/{trained.sound.model_name}/1").model.catalogue.content_hash()]
    assert check.value.startswith(f"{hashes[0]}, edited since: markers changed: our_axis (genes)")
    assert "in use now" in check.limit
    assert hashes[0] not in check.limit
    assert "train again with the catalogue in use" in check.line()


def test_a_wrong_calibrator_is_refused(trained):
    record = read_version(trained.sound.model_name, trained.sound.model_version)
    table = record.table("predictions/loco.parquet").set_index("sample")
    table["probability"] = 1 - table["probability"]
    metrics = estimate_metrics(calibration_estimates(table, n_resamples=100, seed=0), prefix="loco")
    wrong = replace(record, metrics={**record.metrics, **metrics})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.registry.gate.read_version", lambda name, version: wrong)
        report = judged(trained.sound)
    (slope,) = [c for c in report.failed if c.what == "calibration slope, cohort-relative"]
    assert slope.line().startswith("calibrated: calibration slope, cohort-relative: -")
    assert "expected calibration error, cohort-relative" in {c.what for c in report.failed}


def scored_elsewhere(record: VersionRecord, patch: pytest.MonkeyPatch, found) -> dict[str, Check]:
    """Return the checks of the fresh process with what it is to answer."""
    patch.setattr(gate_scores, "_score_elsewhere", lambda uri, rows: found(rows))
    model = load_model(record.uri).model
    return {c.what: c for c in fresh_process_checks(record, model, tolerance=1e-9)}


def test_a_process_that_scores_otherwise_or_not_at_all_is_refused(trained, monkeypatch):
    record = read_version(trained.sound.model_name, trained.sound.model_version)
    model = load_model(record.uri).model

    def slightly_off(rows):
        arms = ("cohort", "reference")
        return {
            f"{name}/{arm}": [
                p + 1e-6
                for p in model.predict(table, standardisation=arm, cohorts=table["cohort"])[
                    "probability"
                ]
            ]
            for name, table in rows.items()
            for arm in arms
        }

    found = scored_elsewhere(record, monkeypatch, slightly_off)
    for what in ("fresh process against this one", "fresh process against training"):
        assert found[what].status == "failed"
        assert "largest difference 1e-06 (limit: 1e-09)" in found[what].line()
    dead = scored_elsewhere(record, monkeypatch, lambda rows: "No module named 'lightgbm'")
    assert "MLflow: No module named 'lightgbm' (limit" in dead["MLflow"].line()
    assert dead["probabilities"].status == "not run"


def test_the_expected_scores_are_of_made_up_rows_and_repeat_themselves(trained):
    model = load_model(f"models:/{trained.sound.model_name}/1").model
    first, second = expected_scores(model), expected_scores(model)
    pd.testing.assert_frame_equal(first, second)
    assert set(first["cohort"]) == {"synthetic"}
    assert first["probability_cohort"].between(0, 1).all()
    assert first[model.feature_names].isna().any().any()


def test_two_versions_are_compared_on_the_same_samples(trained):
    records = [
        read_version(r.model_name, r.model_version) for r in (trained.sound, trained.shuffled)
    ]
    same = compare_versions(records[0], records[0])
    assert same.notes[0].startswith("paired, cohort-relative: ")
    assert {row[3] for row in same.paired} == {"none"}
    assert same.configuration == []
    assert same.catalogue == []
    found = compare_versions(*records)
    assert "left out, labelled otherwise: demo_" in found.notes[0]
    (row,) = [r for r in found.paired if r[:2] == ["AUROC, mean over cohorts", "cohort"]]
    assert int(row[2]) < len(records[0].table("predictions/loco.parquet"))
    assert [row[0] for row in found.chosen] == ["cohort", "reference"]
    assert found.chosen[0][1] != "–"


def test_scoring_with_a_refused_version_carries_a_note(trained):
    loaded = load_model(f"models:/{trained.shuffled.model_name}@challenger")
    assert loaded.notes[0].startswith("this version was refused by the gate: AUROC, cohort-rel")
