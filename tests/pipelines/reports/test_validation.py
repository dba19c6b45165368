"""The validation page: the same bytes from the same run, every figure an artifact of it."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import yaml
from typer.testing import CliRunner

from features.errors import ConfigError
from pipelines.cli import app
from pipelines.demo import DemoResult
from pipelines.reports.validation import RunRecord, read_run, validation_page
from pipelines.tracking import Store, open_store

pytestmark = pytest.mark.slow
_FOLDERS = ("discrimination", "calibration", "abstention", "shift", "subgroups")


@pytest.fixture
def record(demo_run: DemoResult, session_store: str) -> RunRecord:
    open_store(Store(session_store, None))
    return read_run(demo_run.training.run_id)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_run_gives_the_same_bytes_twice_and_every_image_is_an_artifact(
    demo_run: DemoResult, session_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_store)
    for name, run in (
        ("one", demo_run.training.run_id),
        ("two", "models:/oncoresist-demo@champion"),
    ):
        page = tmp_path / name / "validation.md"
        result = CliRunner().invoke(app, ["report", run, "--output", str(page)])
        assert result.exit_code == 0, (result.output, result.exception)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    text = (tmp_path / "one" / "validation.md").read_text(encoding="utf-8")
    linked = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert len(linked) > 10
    assert len(set(linked)) == len(linked)
    client, run_id = mlflow.MlflowClient(), demo_run.training.run_id
    figures = [folder.path for folder in client.list_artifacts(run_id, "figures")]
    assert set(_FOLDERS) <= {Path(folder).name for folder in figures}
    artifacts = {
        file.path for folder in [*figures, "shap"] for file in client.list_artifacts(run_id, folder)
    }
    named = re.findall(r"\(artifact `([^`]+)` of the run\)", text)
    assert [Path(artifact).name for artifact in named] == [Path(link).name for link in linked]
    assert set(named) <= artifacts
    for link in linked:
        assert (tmp_path / "one" / link).is_file()


def test_the_page_of_the_run_is_the_page_that_report_writes(record: RunRecord) -> None:
    assert (record.folder / "validation.md").read_text(encoding="utf-8") == validation_page(record)


def test_the_latest_version_is_found_as_make_validation_asks_for_it(record: RunRecord) -> None:
    # Fixed: MLflow takes no 'latest' where it asks for a version.
    versions = mlflow.MlflowClient().search_model_versions("name = 'oncoresist-demo'")
    newest = max(versions, key=lambda version: int(version.version))
    found = read_run("models:/oncoresist-demo/latest")
    assert validation_page(found) == validation_page(read_run(newest.run_id))


def test_the_page_says_figures_of_the_run_and_nothing_unfilled(record: RunRecord) -> None:
    text = validation_page(record)
    assert f"**{record.metrics['loco.auroc']:.3f} (" in text
    assert f"{record.metrics['baseline.gep_18.loco.auroc']:.3f} (" in text
    for cohort in ("demo_counts", "demo_log2_tpm", "demo_tpm"):
        assert f"| {cohort} |" in text
    assert "Research use only" in text
    for unfilled in ("{{", "{%", "nan", "None", "Undefined"):
        assert unfilled not in text


def test_the_page_tells_every_tumour_type_and_what_pairs_there_are(record: RunRecord) -> None:
    text = validation_page(record)
    for suffix in ("", "_reference"):
        types = record.table(f"tumour_types{suffix}")
        assert types["training"].value_counts().nunique() == 1
        for row in types.to_dict("records"):
            words = [row[name].replace("_", " ") for name in ("training", "scheme")]
            assert f"| {row['tumour_type']} | {words[0]} | {words[1]} | {row['n']} |" in text
        assert f"tumour_types{suffix}" in record.figures
    pairs = record.table("on_treatment_pairs").set_index("cohort")
    assert list(pairs.index) == ["demo_log2_tpm"]
    assert "cannot decide on it" in text
    found = record.table("on_treatment").set_index("predictor")
    assert (found["n"].drop("pre_all_patients") == pairs["labelled"].iloc[0]).all()
    assert "| change, on minus before |" in text
    assert "on_treatment" in record.figures


def test_a_page_of_a_run_without_these_tables_says_so(record: RunRecord, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(record.folder, folder)
    for file in folder.glob("tables/*.parquet"):
        if file.stem.startswith(("tumour_types", "on_treatment")):
            file.unlink()
    text = validation_page(replace(record, folder=folder))
    assert "The run holds no table of tumour types" in text
    assert "No cohort of this run has patients with a sample from before" in text


def test_only_cohorts_that_were_trained_on_are_counted(record: RunRecord, tmp_path: Path) -> None:
    # Fixed: a cohort to be scored and excluded was subtracted from those trained on.
    folder = tmp_path / "run"
    shutil.copytree(record.folder, folder)
    config = dict(record.config)
    trained = config["cohorts"]["train"]
    config["cohorts"] = {**config["cohorts"], "score": ["new"], "exclude": ["new", trained[0]]}
    (folder / "config" / "resolved.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    text = validation_page(replace(record, folder=folder))
    assert f"| cohorts | 2: {trained[1]}, {trained[2]} |" in text


def test_what_is_no_training_run_is_refused(
    demo_run: DemoResult, session_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_store)
    open_store(Store(session_store, None))
    with pytest.raises(ConfigError, match=r"'nothing' is no training run of the store .*give the"):
        read_run("nothing")
    with pytest.raises(ConfigError, match=r"'models:/nothing@champion' is no training run"):
        read_run("models:/nothing@champion")
    run = mlflow.get_run(demo_run.training.run_id)
    children = mlflow.MlflowClient().search_runs(
        [run.info.experiment_id], "tags.held_out = 'demo_tpm'"
    )
    with pytest.raises(ConfigError, match=r"holds no validation; give the run id of a training"):
        read_run(children[0].info.run_id)
    result = CliRunner().invoke(app, ["report", "nothing", "--output", str(tmp_path / "x.md")])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_the_earlier_layout_is_refused_with_the_mend(session_store: str) -> None:
    open_store(Store(session_store, None), experiment="earlier-layout")
    with mlflow.start_run() as run:
        mlflow.log_text("", "tables/calibration.parquet")
        mlflow.log_text("", "figures/loco_auroc.png")
    with pytest.raises(ConfigError, match=r"as an earlier OncoResist laid them out .*train again"):
        read_run(run.info.run_id)
