"""Fixtures shared by the tests: small cohorts with known truth, and where the real ones lie."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import mlflow
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.engine import Engine

from features.catalogue import Catalogue, default_catalogue
from features.fingerprint import fingerprint
from features.profile import rank_profile
from features.reference import ReferenceStandardiser, standardise_in_cohort
from features.transformer import MarkerFeatures
from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets
from models.drift import DriftReference
from models.gene_reference import GeneReference, gene_ranks
from models.resistance_model import ModelArm, ResistanceModel
from models.shift import ShiftDetector
from models.training_reference import TrainingReference
from pipelines import train as training
from pipelines.config import load_experiment
from pipelines.dataset import Dataset, build_dataset
from pipelines.demo import DemoResult, run_demo
from pipelines.ingest import IngestedCohort
from pipelines.registry import gate
from pipelines.runs import children as run_children
from pipelines.runs import log as run_log
from pipelines.simulate import SimulatedTruth, simulate_cohorts
from pipelines.train import ingest_cohorts

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
ICI = PROJECT / "conf" / "experiments" / "ici.yaml"


@event.listens_for(Engine, "connect")
def _wait_for_no_disk(connection: object, record: object) -> None:
    """Let SQLite leave it to the system when a store reaches the disk; waiting proves nothing."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


def require(condition: bool, reason: str) -> None:
    """Skip with a reason, or fail where everything is required."""
    if condition:
        return
    if os.environ.get("ONCORESIST_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (ONCORESIST_REQUIRE_ALL=1)")
    pytest.skip(reason)


def without_times(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return a run's metrics without how long it took, which no two runs share."""
    return {name: value for name, value in metrics.items() if not name.startswith("minutes.")}


def leave_out_figures(patch: pytest.MonkeyPatch) -> None:
    """Let trainings draw and report nothing.

    The demo's tests look at figures and reports, and drawing takes most of the time.
    """
    drawing = (
        (run_log, "log_figures"),
        (run_log, "log_held_out_reports"),
        (run_children, "log_attributions"),
        (run_children, "log_scored_report"),
        (training, "log_claims"),
    )
    for module, name in drawing:
        patch.setattr(module, name, lambda *arguments, **options: None)


def leave_out_fresh_process(patch: pytest.MonkeyPatch) -> None:
    """Let the gate start no process; its own tests look at that, and it takes seconds each time."""
    patch.setattr(gate, "fresh_process_checks", lambda *arguments, **options: ())


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return default_catalogue()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real cohorts beside the checkout."""
    require((SHARED / "cohorts" / "bulk").is_dir(), f"real cohorts absent: {SHARED / 'cohorts'}")
    return SHARED


@pytest.fixture(scope="session")
def real_cohorts(shared: Path) -> dict[str, IngestedCohort]:
    """Return the nine full-transcriptome cohorts, read once; nobody changes them."""
    config = load_experiment(ICI)
    read = ingest_cohorts(config.cohorts.train, config, config_file=ICI, labels_required=True)
    return {cohort.name: cohort for cohort in read}


@pytest.fixture(scope="session")
def everyone(real_cohorts: dict[str, IngestedCohort], catalogue: Catalogue) -> Dataset:
    """All samples of the nine cohorts, the timepoint setting switched off."""
    config = load_experiment(ICI)
    return build_dataset(
        list(real_cohorts.values()),
        timepoints=["pre_treatment", "on_treatment", "post_treatment", "unstated"],
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
        setting=config.setting,
    )


@dataclass(frozen=True)
class Simulated:
    """The simulated cohorts of the demo: where they lie, and what was planted."""

    folder: Path
    truth: SimulatedTruth


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Return the demo's cohorts, written once; nobody changes them."""
    folder = tmp_path_factory.mktemp("simulated") / "made" / "when_missing"
    return Simulated(folder, simulate_cohorts(folder, seed=7))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the database of a store without runs, to copy; making its tables takes seconds.

    The first process that needs it makes it for all.
    """
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    database = folder / "empty.db"
    with FileLock(folder / "empty.lock"):
        if not database.exists():
            made = base / "made.db"
            mlflow.MlflowClient(f"sqlite:///{made}").search_experiments()
            made.rename(database)
    return database


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Debian's Chromium."""
    path = Path("/usr/bin/chromium")
    require(path.exists(), "Debian's chromium is not installed")
    return str(path)


@pytest.fixture(scope="session")
def make_cohort(catalogue: Catalogue) -> Callable[..., ad.AnnData]:
    """Return a maker of cohorts: log1p TPM over the catalogue's genes and a background."""

    def make(
        n_samples: int = 30, *, seed: int = 0, name: str = "synthetic", n_background: int = 200
    ) -> ad.AnnData:
        rng = np.random.default_rng(seed)
        genes = [*catalogue.gene_symbols, *(f"BG{i:04d}" for i in range(n_background))]
        tpm = rng.gamma(0.8, 40.0, (n_samples, len(genes))).round(4)
        tpm[rng.random(tpm.shape) < 0.1] = 0.0
        samples = [f"{name}_s{i}" for i in range(n_samples)]
        obs = pd.DataFrame(
            {
                "sample_id": samples,
                "patient_id": [f"p{i // 2}" if i < 6 else f"p{i}" for i in range(n_samples)],
                "cohort": name,
                "resistant": rng.permutation(np.arange(n_samples) % 2).astype(float),
            },
            index=samples,
        )
        return ad.AnnData(np.log1p(tpm), obs=obs, var=pd.DataFrame(index=genes))

    return make


@pytest.fixture(scope="session")
def session_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tracking URI of a SQLite store that all trainings of the session share."""
    database = shutil.copy(empty_store, tmp_path_factory.mktemp("mlruns") / "mlflow.db")
    return f"sqlite:///{database}"


@pytest.fixture(scope="session")
def demo_run(session_store: str, tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    """The demo, run once: simulated cohorts, a trained model, a scored cohort."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", session_store)
        return run_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def train_small_model() -> Callable[..., ResistanceModel]:
    """Return a trainer of a small model on one cohort: both standardisations, threshold 0.5."""

    def train(
        training: ad.AnnData, catalogue: Catalogue, *, setting: str, facts: dict[str, object]
    ) -> ResistanceModel:
        transformer = MarkerFeatures(catalogue, setting=setting).fit(training)
        features = transformer.transform(training)
        y = training.obs["resistant"].astype(int)
        reference = ReferenceStandardiser().fit(features)
        tables = {
            "cohort": standardise_in_cohort(features, cohorts=training.obs["cohort"]),
            "reference": reference.transform(features),
        }
        arms = {}
        for name, table in tables.items():
            classifier = ResistanceClassifier(n_estimators=20, min_child_samples=5).fit(table, y)
            scores = classifier.decision_function(table)
            calibrator, sets = PlattCalibrator().fit(scores, y), ConformalSets().fit(scores, y)
            standardiser = reference if name == "reference" else None
            arms[name] = ModelArm(classifier, calibrator, sets, standardiser, 0.5)
        background, cohorts = transformer.background_, training.obs["cohort"]
        profiles = rank_profile(training, background=background)
        detector = ShiftDetector().fit(profiles, features, cohorts=cohorts, background=background)
        ranks = gene_ranks(training, background=background, genes=catalogue.gene_symbols)
        known = TrainingReference(
            detector,
            DriftReference().fit(features, cohorts=cohorts),
            fingerprint(training),
            GeneReference.learn(ranks, cohorts=cohorts),
        )
        return ResistanceModel(setting, catalogue, transformer, arms, known, 15, facts)

    return train
