"""Register a recalibrated model as a version of its own, with the evaluation that led to it."""

import re
from dataclasses import dataclass

import mlflow
import numpy as np
import pandas as pd

from features.errors import ConfigError
from models.recalibration import Recalibration
from pipelines.evaluate import Evaluation
from pipelines.ingest import files_hash
from pipelines.provenance import code_versions
from pipelines.runs.artifacts import log_table
from pipelines.runs.logged_model import register_model
from pipelines.runs.tags import sufficiency_tags
from pipelines.scoring.evaluation_figures import ALL
from pipelines.tracking import (
    LoadedModel,
    Store,
    describe_run,
    open_store,
    start_run,
)

__all__ = ["Registered", "name_to_register", "register_recalibrated"]

_SETTINGS = ("ici", "adc", "hcc", "sclc")


@dataclass(frozen=True)
class Registered:
    """Where a recalibrated model lies: its URI and the run it was registered in."""

    uri: str
    run_id: str


def name_to_register(loaded: LoadedModel, *, asked: str | None) -> str:
    """Return the registered name that the recalibrated model goes to: its own, or the asked one.

    Raises
    ------
    ConfigError
        The name cannot be one, belongs to another setting, or there is none.
    """
    if asked is None and loaded.version is None:
        raise ConfigError(
            f"'{loaded.uri}' is not a registered model, so there is no name to recalibrate under; "
            "give one with --register NAME"
        )
    name = asked or re.split("[@/]", loaded.uri.removeprefix("models:/"))[0]
    if not re.fullmatch(r"[^/:]*[^/:\s][^/:]*", name):
        raise ConfigError(f"--register '{name}': a registered name has no / or : and is not empty")
    setting = name.removeprefix("oncoresist-")
    if setting in _SETTINGS and setting != loaded.model.setting:
        raise ConfigError(
            f"--register '{name}' belongs to setting {setting}, not {loaded.model.setting}; name "
            "the model otherwise"
        )
    return name


def register_recalibrated(
    evaluation: Evaluation,
    recalibration: Recalibration,
    loaded: LoadedModel,
    *,
    name: str,
    page: str,
    store: Store,
) -> Registered:
    """Return the version registered in a run ``recalibrated: <cohort>``; no alias moves.

    The run stands in the experiment of the model that was recalibrated, and holds the evaluation:
    metrics ``evaluate.<figure>`` and ``evaluate.<group>.<figure>``, its tables and ``page``.
    """
    cohort = evaluation.scored.cohort
    done = recalibration.model.facts["recalibrations"][-1]
    tags = {
        "recalibrated_on": cohort.name,
        "recalibrated_from": str(done["model"]),
        "recalibrated_delta": f"{recalibration.delta:.6f}",
        "recalibrated_n": str(recalibration.n_samples),
        "recalibrated_standardisation": recalibration.standardisation,
    }
    open_store(store, experiment=_experiment_of(loaded) or name)
    told = {
        **code_versions(),
        "role": "recalibrated",
        "setting": loaded.model.setting,
        "data_hash": files_hash([cohort]),
    }
    with start_run(f"recalibrated: {cohort.name}", tags={**told, **tags}) as run_id:
        version = register_model(recalibration.model, name=name)
        client = mlflow.MlflowClient()
        verdict = sufficiency_tags(recalibration.model.facts)
        for key, value in {**tags, **verdict}.items():
            client.set_model_version_tag(name, version, key, value)
        mlflow.log_metrics(_metrics(evaluation.figures))
        for table, frame in evaluation.tables().items():
            log_table(frame, f"tables/{table}.parquet")
        mlflow.log_text(page, "evaluation.html")
        describe_run(f"Recalibrated {recalibration.model.facts['recalibrated']}.")
    return Registered(f"models:/{name}/{version}", run_id)


def _experiment_of(loaded: LoadedModel) -> str | None:
    """Return the experiment of a registered model's run, None where there is none."""
    if loaded.version is None:
        return None
    name = re.split("[@/]", loaded.uri.removeprefix("models:/"))[0]
    client = mlflow.MlflowClient()
    run = client.get_run(client.get_model_version(name, loaded.version).run_id)
    return str(client.get_experiment(run.info.experiment_id).name)


def _metrics(figures: pd.DataFrame) -> dict[str, float]:
    metrics = {}
    for row in figures.to_dict("records"):
        group = "" if row["group"] == ALL else f"{row['group']}."
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high")):
            metrics[f"evaluate.{group}{row['what']}{end}"] = float(row[column])
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
