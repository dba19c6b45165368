"""MLflow: the store, what a run holds, the registered model."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from features.errors import ConfigError, ModelError, examples
from models.metrics import Estimate
from models.resistance_model import ResistanceModel
from pipelines.provenance import library_requirements

__all__ = [
    "LoadedModel",
    "Store",
    "default_store",
    "describe_run",
    "estimate_metrics",
    "load_model",
    "log_cohort",
    "log_figure",
    "log_table",
    "move_alias",
    "open_store",
    "register_model",
    "start_run",
    "trials_file",
]

_PACKAGES = Path(__file__).resolve().parent.parent
_MODEL_ARTIFACT = "model"
_SQLITE = "sqlite:///"


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
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_registry_uri(store.uri)
        if experiment is None:
            mlflow.MlflowClient().search_experiments(max_results=1)
            return
        if mlflow.get_experiment_by_name(experiment) is None:
            location = f"{store.artifacts}/{experiment}" if store.artifacts else None
            tags = {"mlflow.experimentKind": "custom_model_development"}
            mlflow.create_experiment(experiment, artifact_location=location, tags=tags)
        mlflow.set_experiment(experiment)
    except (MlflowException, OSError, ImportError) as error:
        raise ConfigError(
            f"the MLflow store {store.uri} does not answer: {error}; check tracking.uri and "
            "MLFLOW_TRACKING_URI"
        ) from error


@contextmanager
def start_run(name: str, *, tags: Mapping[str, str], nested: bool = False) -> Iterator[str]:
    """Start a run and yield its id; it ends FAILED when the block raises."""
    with mlflow.start_run(run_name=name, tags=dict(tags), nested=nested) as run:
        yield run.info.run_id


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


def log_figure(figure: Figure, path: str) -> None:
    """Log a figure as PNG."""
    mlflow.log_figure(figure, path, save_kwargs={"dpi": 120, "bbox_inches": "tight"})


def log_table(table: pd.DataFrame, path: str) -> None:
    """Log a table as parquet; an index with a name becomes a column."""
    flat = table.reset_index() if table.index.name else table
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / Path(path).name
        flat.to_parquet(target, index=False)
        parent = Path(path).parent.as_posix()
        mlflow.log_artifact(str(target), None if parent == "." else parent)


def log_cohort(
    features: pd.DataFrame, labels: "pd.Series[float]", *, name: str, source: str
) -> None:
    """Log a cohort's features and labels as a dataset of the run (schema and digest, no data)."""
    table = features.assign(resistant=labels)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="mlflow")
        dataset = mlflow.data.from_pandas(table, source=source, name=name, targets="resistant")
    mlflow.log_input(dataset, context="training")


def register_model(model: ResistanceModel, *, name: str) -> str:
    """Log the model to the active run, register it, and return its version.

    The logged model holds its code, catalogue and reference, and no pickle. Its input example is
    made up, never a patient.
    """
    columns = [ColSpec(DataType.double, feature) for feature in model.feature_names]
    signature = ModelSignature(
        inputs=Schema([*columns, ColSpec(DataType.string, "cohort", required=False)]),
        outputs=Schema([ColSpec(DataType.double, "probability")]),
        params=ParamSchema([ParamSpec("standardisation", DataType.string, "reference")]),
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), _no_uv_detection():
        warnings.filterwarnings("ignore", module="mlflow")
        model.save(Path(folder) / _MODEL_ARTIFACT)
        info = mlflow.pyfunc.log_model(
            name=_MODEL_ARTIFACT,
            python_model=str(_PACKAGES / "models" / "served.py"),
            artifacts={_MODEL_ARTIFACT: str(Path(folder) / _MODEL_ARTIFACT)},
            code_paths=[str(_PACKAGES / "features"), str(_PACKAGES / "models")],
            signature=signature,
            input_example=_made_up_example(model.feature_names),
            pip_requirements=library_requirements(),
            registered_model_name=name,
        )
    return str(info.registered_model_version)


def _made_up_example(features: Sequence[str]) -> pd.DataFrame:
    values = np.random.default_rng(0).uniform(0.2, 0.8, (3, len(features))).round(3)
    return pd.DataFrame(values, columns=list(features)).assign(cohort="synthetic")


@contextmanager
def _no_uv_detection() -> Iterator[None]:
    """Keep MLflow from packing the uv project of whatever folder the user stands in."""
    variable = mlflow.environment_variables.MLFLOW_UV_AUTO_DETECT
    before = variable.get_raw()
    variable.set(False)
    try:
        yield
    finally:
        variable.unset() if before is None else variable.set(before)


def move_alias(name: str, *, alias: str, version: str) -> None:
    """Let an alias of a registered model point to a version."""
    mlflow.MlflowClient().set_registered_model_alias(name, alias, version)


@dataclass(frozen=True)
class LoadedModel:
    """A model out of the store, with the URI asked for and its registered version if any."""

    model: ResistanceModel
    uri: str
    version: str | None


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
    return LoadedModel(ResistanceModel.load(found[0].parent), uri, _version(uri))


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
