"""A registered model version with the run it came from: tags, metrics, artifacts."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException

from features.errors import ModelError
from pipelines.store_faults import refusals_told
from pipelines.validation.headline import main_scheme

__all__ = ["VersionRecord", "read_version", "store_errors", "versions_of"]

_ORIGIN_TAG = "recalibrated_from"
_MOST_STEPS = 20


@dataclass(frozen=True)
class VersionRecord:
    """A registered version, and the run that registered it.

    Attributes
    ----------
    name, version
        Of the registered model.
    tags
        Of the version.
    created
        When it was registered, UTC.
    run_id
        The run it came from; None where it came from none, or the run is gone.
    experiment_id, artifacts, run_tags, metrics, cohorts
        Of that run; ``artifacts`` is their URI, ``cohorts`` its training datasets.
    """

    name: str
    version: str
    tags: Mapping[str, str]
    created: pd.Timestamp
    run_id: str | None
    experiment_id: str
    run_tags: Mapping[str, str]
    metrics: Mapping[str, float]
    cohorts: tuple[str, ...]
    artifacts: str = ""
    _listed: dict[str, frozenset[str]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def uri(self) -> str:
        """MLflow URI of this very version."""
        return f"models:/{self.name}/{self.version}"

    @property
    def scheme(self) -> str:
        """What the run's figures hold out: ``loco``, or patients of one cohort, ``nested``."""
        return main_scheme(self.metrics)

    @property
    def recalibrated(self) -> str | None:
        """The standardisation that this version was recalibrated in; None for a trained one."""
        return self.tags.get("recalibrated_standardisation")

    @cached_property
    def origin(self) -> "VersionRecord":
        """The trained version that recalibrations started from; itself where there is none.

        Raises
        ------
        ModelError
            It is gone from the store.
        """
        found = self
        for _ in range(_MOST_STEPS):
            source = found.tags.get(_ORIGIN_TAG, "").removeprefix("models:/")
            name, _, version = source.partition("/")
            if not version:
                break
            found = read_version(name, version)
        return found

    def table(self, path: str) -> pd.DataFrame | None:
        """Return a parquet artifact of the run, or None where the run has none such."""
        with self._artifact(path) as file:
            return None if file is None else pd.read_parquet(file)

    def document(self, path: str) -> dict[str, Any] | None:
        """Return a YAML or JSON artifact of the run, or None where the run has none such."""
        with self._artifact(path) as file:
            found = None if file is None else yaml.safe_load(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None

    @contextmanager
    def _artifact(self, path: str) -> Iterator[Path | None]:
        place = PurePosixPath(path)
        if place.name not in self._names(str(place.parent)):
            yield None
            return
        with tempfile.TemporaryDirectory() as folder, store_errors():
            uri = f"{self.artifacts}/{path}"
            yield Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))

    def _names(self, folder: str) -> frozenset[str]:
        """Return the names of a folder's artifacts; each folder is asked for once."""
        if folder not in self._listed:
            found: list[Any] = []
            if self.artifacts:  # by their place: the client would read the whole run each time
                with store_errors():
                    uri = f"{self.artifacts}/{folder}"
                    found = mlflow.artifacts.list_artifacts(artifact_uri=uri) or []
            self._listed[folder] = frozenset(PurePosixPath(file.path).name for file in found)
        return self._listed[folder]


def read_version(name: str, version: str) -> VersionRecord:
    """Return a registered version and its run.

    Raises
    ------
    ModelError
        There is no such version in the store.
    """
    client = mlflow.MlflowClient()
    try:
        found = client.get_model_version(name, version)
    except MlflowException as error:
        raise ModelError(
            f"no version {version} of model '{name}' in the store "
            f"{mlflow.get_tracking_uri()}; `oncoresist models list` names what there is"
        ) from error
    run: Any = None
    if found.run_id:
        try:
            run = client.get_run(found.run_id)
        except MlflowException:
            run = None
    return VersionRecord(
        name=name,
        version=str(found.version),
        tags=dict(found.tags),
        created=pd.Timestamp(found.creation_timestamp, unit="ms", tz="UTC"),
        run_id=found.run_id if run else None,
        experiment_id=str(run.info.experiment_id) if run else "",
        run_tags=dict(run.data.tags) if run else {},
        metrics=dict(run.data.metrics) if run else {},
        cohorts=tuple(i.dataset.name for i in run.inputs.dataset_inputs) if run else (),
        artifacts=str(run.info.artifact_uri).rstrip("/") if run else "",
    )


def versions_of(name: str) -> list[str]:
    """Return the versions of a registered model that are there, newest first."""
    quote = '"' if "'" in name else "'"
    client, found, token = mlflow.MlflowClient(), [], None
    while True:
        page = client.search_model_versions(f"name={quote}{name}{quote}", page_token=token)
        found += [int(version.version) for version in page]
        token = page.token
        if not token:
            return [str(version) for version in sorted(found, reverse=True)]


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn what MLflow or the network refuses into one message."""
    try:
        with refusals_told():
            yield
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"the MLflow store {mlflow.get_tracking_uri()} refuses: {error}; check the name, your "
            "rights there, and that the server runs"
        ) from error
