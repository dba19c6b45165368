"""MLflow: the store, what a run holds, the registered model."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException

from features.errors import ConfigError, ModelError, examples
from models.metrics import Estimate
from models.resistance_model import ResistanceModel
from pipelines.registry.standing import standing_notes
from pipelines.store_faults import refusals_told, store_fault

__all__ = [
    "LoadedModel",
    "Store",
    "default_store",
    "describe_run",
    "estimate_metrics",
    "load_model",
    "open_store",
    "start_run",
    "trials_file",
]

_SQLITE = "sqlite:///"
_SQLITE_HEADER = b"SQLite format 3\x00"


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store: its URI, and where a local store keeps artifacts (else None)."""

    uri: str
    artifacts: str | None


def default_store(project: Path, *, uri: str | None = None) -> Store:
    """Return the store in use: ``uri``, else MLFLOW_TRACKING_URI, else ``mlruns/mlflow.db``.

    A SQLite store keeps its artifacts in the folder ``artifacts`` beside its file.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if chosen is None:
        chosen = f"{_SQLITE}{(project / 'mlruns' / 'mlflow.db').resolve()}"
    if not chosen.startswith(_SQLITE):
        return Store(chosen, None)
    folder = Path(chosen.removeprefix(_SQLITE)).resolve().parent
    return Store(chosen, (folder / "artifacts").as_uri())


def trials_file(store: Store, *, project: Path) -> Path:
    """Return the SQLite file of the trials of tuning: beside a local store's, else in mlruns."""
    if store.uri.startswith(_SQLITE):
        return Path(store.uri.removeprefix(_SQLITE)).resolve().with_name("tuning.db")
    return (project / "mlruns" / "tuning.db").resolve()


def open_store(store: Store, *, experiment: str | None = None) -> None:
    """Point MLflow at a store; with ``experiment``, make store and experiment if need be.

    Raises
    ------
    ConfigError
        The store does not answer, or, without ``experiment``, there is none.
    """
    file = Path(store.uri.removeprefix(_SQLITE)) if store.uri.startswith(_SQLITE) else None
    if experiment is None and file is not None and not file.is_file():
        raise ConfigError(
            f"there is no MLflow store {file}; train a model first, or set tracking.uri or "
            "MLFLOW_TRACKING_URI"
        )
    if file is not None and not _may_be_sqlite(file):
        raise ConfigError(
            f"{file} is not an SQLite database; name that of the store (mlruns/mlflow.db) in "
            "tracking.uri or MLFLOW_TRACKING_URI"
        )
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_registry_uri(store.uri)
        if experiment is None:
            mlflow.MlflowClient().search_experiments(max_results=1)
            return
        if mlflow.get_experiment_by_name(experiment) is None:
            _make_experiment(store, experiment)
        mlflow.set_experiment(experiment)
    except (MlflowException, OSError, ImportError) as error:
        raise ConfigError(store_fault(store.uri, error)) from error


def _may_be_sqlite(file: Path) -> bool:
    """Return whether a file is an SQLite database, or is still to become one."""
    if not file.is_file():
        return True
    with file.open("rb") as opened:
        begun = opened.read(len(_SQLITE_HEADER))
    return begun in (b"", _SQLITE_HEADER)


def _make_experiment(store: Store, name: str) -> None:
    """Make an experiment, unless another training has just made it."""
    location = f"{store.artifacts}/{name}" if store.artifacts else None
    tags = {"mlflow.experimentKind": "custom_model_development"}
    try:
        mlflow.create_experiment(name, artifact_location=location, tags=tags)
    except MlflowException:
        if mlflow.get_experiment_by_name(name) is None:
            raise


@contextmanager
def start_run(
    name: str, *, tags: Mapping[str, str], nested: bool = False, watched: bool = False
) -> Iterator[str]:
    """Start a run and yield its id; it ends FAILED when the block raises.

    ``watched``: the machine's processor, memory, disk and network are logged all the while.

    Raises
    ------
    ConfigError
        The server refuses the user, here or inside the block.
    """
    with (
        refusals_told(),
        _quiet(),
        mlflow.start_run(
            run_name=name, tags=dict(tags), nested=nested, log_system_metrics=watched
        ) as run,
    ):
        yield run.info.run_id


@contextmanager
def _quiet() -> Iterator[None]:
    """Let MLflow's watch over the machine tell only what went wrong."""
    logger = logging.getLogger("mlflow.system_metrics.system_metrics_monitor")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def estimate_metrics(estimates: Mapping[str, Estimate], *, prefix: str) -> dict[str, float]:
    """Return MLflow metrics: ``<prefix>.<name>``, with ``_low``, ``_high`` and ``_se``.

    A single cohort's figures go without: tables/comparison.parquet holds their intervals.
    """
    metrics = {}
    for name, estimate in estimates.items():
        metrics[f"{prefix}.{name}"] = estimate.value
        if "." not in name:
            metrics[f"{prefix}.{name}_low"] = estimate.low
            metrics[f"{prefix}.{name}_high"] = estimate.high
            metrics[f"{prefix}.{name}_se"] = estimate.standard_error
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def describe_run(text: str) -> None:
    """Set the active run's description, Markdown that the UI shows on its first page."""
    mlflow.set_tag("mlflow.note.content", text)


@dataclass(frozen=True)
class LoadedModel:
    """A model out of the store, with the URI asked for and its registered version if any.

    ``notes`` say what the gate holds against the version, as of
    :func:`pipelines.registry.standing.standing_notes`.
    """

    model: ResistanceModel
    uri: str
    version: str | None
    notes: tuple[str, ...] = ()


def load_model(uri: str) -> LoadedModel:
    """Return a logged model by MLflow URI (``models:/name@alias``, ``models:/name/3``, a path).

    Raises
    ------
    ModelError
        There is no such model in the store.
    """
    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri))
    except (MlflowException, OSError, ImportError) as error:
        raise ModelError(
            f"no model '{uri}' in the store {mlflow.get_tracking_uri()} ({error}); registered "
            f"models: {examples(_registered()) or 'none'} (write models:/NAME@champion); train "
            "one with `oncoresist train conf/experiments/ici.yaml`"
        ) from error
    found = sorted(folder.glob("artifacts/*/model.json"))
    if not found:
        raise ModelError(f"'{uri}' is not an OncoResist model (no artifacts/model/model.json)")
    version = _version(uri)
    model = ResistanceModel.load(found[0].parent)
    return LoadedModel(model, uri, version, _notes(uri, version))


def _notes(uri: str, version: str | None) -> tuple[str, ...]:
    if version is None:
        return ()
    name = re.split("[@/]", uri.removeprefix("models:/"))[0]
    try:
        return standing_notes(mlflow.MlflowClient().get_model_version(name, version).tags)
    except MlflowException:
        return ()


def _registered() -> Sequence[str]:
    try:
        return [model.name for model in mlflow.MlflowClient().search_registered_models()]
    except MlflowException:
        return []


def _version(uri: str) -> str | None:
    if not uri.startswith("models:/"):
        return None
    client: Any = mlflow.MlflowClient()
    name = uri.removeprefix("models:/")
    try:
        if "@" in name:
            registered, alias = name.split("@", 1)
            return str(client.get_model_version_by_alias(registered, alias).version)
        registered, _, wanted = name.partition("/")
        if wanted == "latest":
            found = client.search_model_versions(f"name = '{registered}'")
            return str(max(int(version.version) for version in found))
        return wanted or None
    except MlflowException:
        return None
