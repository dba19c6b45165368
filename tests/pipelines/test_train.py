"""Training on simulated cohorts: what is refused, what is left out, what a failure leaves."""

import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from features.catalogue import genes_of
from features.errors import CohortError, ConfigError
from pipelines.config import ExperimentConfig, load_experiment
from pipelines.runs import log as run_log
from pipelines.runs.log import TrainingResult
from pipelines.score import score_cohort
from pipelines.tracking import Store, load_model, open_store
from pipelines.train import ingest_cohorts, train
from tests.fixtures import (
    Simulated,
    leave_out_figures,
    leave_out_fresh_process,
    without_times,
)

pytestmark = pytest.mark.slow

DEMO = Path(__file__).resolve().parents[2] / "conf" / "experiments" / "demo.yaml"


@pytest.fixture(scope="module")
def cohorts(simulated: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the simulated cohorts, to lay others beside them."""
    return Path(shutil.copytree(simulated.folder, tmp_path_factory.mktemp("cohorts") / "copy"))


def use_store(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let trainings go to a store in the folder, without figures and the gate's process."""
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    leave_out_figures(patch)
    leave_out_fresh_process(patch)


def small_experiment(
    cohorts: Path, *names: str, score: tuple[str, ...] = (), extra: tuple[str, ...] = ()
) -> ExperimentConfig:
    """Return a small experiment on simulated cohorts."""
    paths = {
        key: ",".join(str(cohorts / f"{name}.yaml") for name in chosen)
        for key, chosen in (("train", names), ("score", score))
    }
    overrides = [f"cohorts.{key}=[{listed}]" for key, listed in paths.items()]
    overrides += ["validation.n_resamples=20", "classifier.n_estimators=20"]
    overrides += ["classifier.n_seeds=1", "model.registered_name=small"]
    overrides += ["validation.n_splits=2", "validation.learning_curve=0"]
    overrides += ["validation.all_genes=false", "validation.on_treatment=false", *extra]
    return load_experiment(DEMO, overrides=overrides)


@pytest.fixture
def experiment(cohorts: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a maker of small experiments on the simulated cohorts, with a store of their own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    use_store(monkeypatch, tmp_path)
    return partial(small_experiment, cohorts)


@dataclass(frozen=True)
class Trained:
    folder: Path
    config: ExperimentConfig
    result: TrainingResult


@pytest.fixture(scope="module")
def trained_once(
    cohorts: Path,
    scaled_cohort: str,
    empty_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """Train on two cohorts and score a third, whose values are scaled per gene."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(empty_store, folder / "mlflow.db")
    config = small_experiment(cohorts, "demo_counts", "demo_tpm", score=(scaled_cohort,))
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, folder)
        return Trained(folder, config, train(config, config_file=DEMO))


@pytest.fixture
def trained(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Return the training on two cohorts, its store open."""
    use_store(monkeypatch, trained_once.folder)
    open_store(Store(f"sqlite:///{trained_once.folder / 'mlflow.db'}", None))
    return trained_once


def test_two_cohorts_are_enough_and_one_is_not(trained, experiment):
    assert np.isfinite(trained.result.metrics["loco.auroc"])
    with pytest.raises(CohortError, match=r"at least two cohorts, got \['demo_counts'\]"):
        train(experiment("demo_counts"), config_file=DEMO)


def test_two_processes_give_the_figures_of_one(trained, experiment, scaled_cohort):
    names = ("demo_counts", "demo_tpm")
    two = experiment(*names, score=(scaled_cohort,), extra=("validation.processes=2",))
    told: list[str] = []
    result = train(two, config_file=DEMO, progress=told.append)
    assert without_times(result.metrics) == without_times(trained.result.metrics)
    pd.testing.assert_frame_equal(result.comparison, trained.result.comparison)
    assert {"cohort-relative: peers", "reference-relative: peers"} <= set(told)
    ended = mlflow.get_run(result.run_id)
    assert ended.info.status == "FINISHED"
    assert ended.data.metrics["minutes.processor"] > 0


def test_samples_that_are_excluded_take_no_part(experiment):
    names = ["demo_tpm/0001", "demo_counts/C0002"]
    listed = f"samples.exclude=[{','.join(names)}]"
    result = train(experiment("demo_counts", "demo_tpm", extra=(listed,)), config_file=DEMO)
    for table in ("predictions/loco", "predictions/nested", "splits/plan", "tables/features"):
        file = mlflow.artifacts.download_artifacts(
            run_id=result.run_id, artifact_path=f"{table}.parquet"
        )
        samples = pd.read_parquet(file)["sample"]
        assert "demo_tpm/0002" in set(samples)
        assert not set(names) & set(samples)


def test_a_cohort_takes_part_once(experiment):
    config = experiment("demo_counts", "demo_tpm", score=("demo_tpm",))
    with pytest.raises(ConfigError, match="'demo_tpm' and 'demo_tpm' are the same"):
        train(config, config_file=DEMO)


def test_too_small_cohorts_are_named(experiment):
    config = experiment("demo_counts", "demo_tpm", extra=("features.min_cohort_size=500",))
    with pytest.raises(ConfigError, match=r"fewer than 500 samples.*demo_counts \(\d+\)"):
        train(config, config_file=DEMO)


def test_a_cohort_of_one_class_after_the_timepoints_is_refused(experiment, monkeypatch):
    from pipelines import train as training

    built = training.build_dataset

    def one_class(*arguments, **options):
        dataset = built(*arguments, **options)
        rows = dataset.samples["cohort"] == "demo_tpm"
        dataset.samples.loc[rows, "resistant"] = 1.0
        return dataset

    monkeypatch.setattr(training, "build_dataset", one_class)
    with pytest.raises(ConfigError, match=r"without cohort 'demo_counts'.*are all of one class"):
        train(experiment("demo_counts", "demo_tpm"), config_file=DEMO)


def test_counts_without_lengths_stay_out_of_the_reference(experiment, cohorts, monkeypatch):
    from pipelines import train as training

    read = training.read_cohort

    def without_lengths(config, **options):
        cohort = read(config, **options)
        if config.name == "demo_counts":
            cohort.adata.uns["oncoresist"]["gene_lengths_known"] = False
        return cohort

    monkeypatch.setattr(training, "read_cohort", without_lengths)
    result = train(experiment("demo_counts", "demo_tpm", "demo_log2_tpm"), config_file=DEMO)
    assert "loco.demo_counts.auroc" in result.metrics
    assert "loco_reference.demo_counts.auroc" not in result.metrics
    assert "loco_reference.demo_tpm.auroc" in result.metrics
    assert result.metrics["loco_reference.n"] < result.metrics["loco.n"]
    with pytest.raises(ConfigError, match="fewer than two cohorts; name a table under gene_length"):
        train(experiment("demo_counts", "demo_tpm"), config_file=DEMO)


def test_a_run_that_fails_is_marked_so_and_never_the_champion(trained, monkeypatch):
    config = trained.config

    def fail(*arguments, **options):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(run_log, "log_held_out_cohorts", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        train(config, config_file=DEMO)
    client = mlflow.MlflowClient()
    champion = client.get_model_version_by_alias("small", "champion")
    assert str(champion.version) == trained.result.model_version
    experiment_id = mlflow.get_experiment_by_name(config.tracking.experiment).experiment_id
    parents = [
        run
        for run in client.search_runs([experiment_id])
        if "mlflow.parentRunId" not in run.data.tags
    ]
    assert sorted(run.info.status for run in parents) == ["FAILED", "FINISHED"]
    (failed,) = (run for run in parents if run.info.status == "FAILED")
    assert "**Failed** while: writing the run" in failed.data.tags["mlflow.note.content"]
    assert "RuntimeError: disk on fire" in failed.data.tags["mlflow.note.content"]


def test_scoring_a_training_cohort_is_told(trained, cohorts):
    loaded = load_model(f"models:/small/{trained.result.model_version}")
    again, new = ingest_cohorts(
        [str(cohorts / f"{name}.yaml") for name in ("demo_tpm", "demo_new")],
        trained.config,
        config_file=DEMO,
        labels_required=False,
    )
    scored = [
        score_cohort(loaded.model, cohort, standardisation="auto", uri="x", version=None)
        for cohort in (again, new)
    ]
    assert [found.in_sample for found in scored] == [True, False]
    assert "was trained on 112 samples of this cohort (0001 = demo_tpm/0001" in scored[0].notes[0]
    assert loaded.model.facts["held_out"]["cohort"]["model"]["brier"]


@pytest.fixture(scope="module")
def scaled_cohort(cohorts: Path) -> str:
    """Return the name of the demo's new cohort as z-scores per gene, with its labels."""
    table = pd.read_csv(cohorts / "demo_log2_tpm.csv.gz", index_col="gene").iloc[:, :100]
    spread = table.std(axis=1, ddof=0)
    z = table.sub(table.mean(axis=1), axis=0).div(spread.where(spread > 0, 1.0), axis=0)
    z.to_csv(cohorts / "demo_scaled.csv")
    (cohorts / "demo_scaled.yaml").write_text(
        "name: demo_scaled\nexpression: demo_scaled.csv\nroot: .\n"
        "clinical: demo_log2_tpm.clinical.csv\n"
    )
    return "demo_scaled"


def test_a_cohort_scaled_per_gene_is_not_trained_on_and_nothing_is_logged(
    experiment, scaled_cohort, tmp_path
):
    stages: list[str] = []
    config = experiment("demo_counts", "demo_tpm", scaled_cohort)
    with pytest.raises(ConfigError, match=r"cohorts \['demo_scaled'\] hold values centred or scal"):
        train(config, config_file=DEMO, progress=stages.append)
    assert stages == ["reading cohorts"]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert client.get_experiment_by_name(config.tracking.experiment) is None


def test_a_cohort_scaled_per_gene_is_scored_without_calls(trained):
    metrics = trained.result.metrics
    assert np.isfinite(metrics["scored.demo_scaled.auroc"])
    assert "scored_reference.demo_scaled.auroc" not in metrics
    client = mlflow.MlflowClient()
    named = "tags.mlflow.runName LIKE '%demo_scaled%'"
    experiment_id = mlflow.get_experiment_by_name(trained.config.tracking.experiment).experiment_id
    (child,) = client.search_runs([experiment_id], named)
    predictions = pd.read_parquet(
        mlflow.artifacts.download_artifacts(
            run_id=child.info.run_id, artifact_path="predictions.parquet"
        )
    )
    assert predictions["score_kind"].eq("mean_z").all()
    assert predictions["call"].eq("out_of_scope").all()
    assert predictions["call_reason"].str.contains("scored by mean z").all()


def test_a_cohort_to_be_scored_with_too_little_is_refused_before_any_work(
    experiment, cohorts, catalogue
):
    own = genes_of(catalogue.markers_of("ici"))
    table = pd.read_csv(cohorts / "demo_log2_tpm.csv.gz", index_col="gene")
    table[~table.index.isin([*own[60:], "C10orf54"])].to_csv(cohorts / "demo_few.csv")
    (cohorts / "demo_few.yaml").write_text("name: demo_few\nexpression: demo_few.csv\nroot: .\n")
    stages: list[str] = []
    config = experiment("demo_counts", "demo_tpm", score=("demo_few",))
    with pytest.raises(ConfigError, match=r"cohorts\.score: cohort 'demo_few'.*Missing: ") as found:
        train(config, config_file=DEMO, progress=stages.append)
    assert stages == ["reading cohorts"]
    assert set(own[60:]) <= set(re.split(r"[ ;]+", str(found.value).split("Missing: ")[1]))


def test_the_signature_of_the_served_model_asks_for_every_feature(trained):
    result = trained.result
    model = mlflow.pyfunc.load_model(f"models:/small/{result.model_version}")
    inputs = model.metadata.get_input_schema()
    required = {column.name for column in inputs if column.required}
    assert "b2m" in required
    assert "cohort" not in required
    example: pd.DataFrame = model.input_example
    with pytest.raises(mlflow.exceptions.MlflowException, match="b2m"):
        model.predict(example.drop(columns="b2m"))
    files = {
        file.name
        for file in Path(
            mlflow.artifacts.download_artifacts(f"models:/small/{result.model_version}")
        ).iterdir()
    }
    assert "uv.lock" not in files
