"""The run of a training while it is under way, and what it says when it fails."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import mlflow
from mlflow.exceptions import MlflowException

from pipelines.config import ExperimentConfig
from pipelines.runs.description import EXPERIMENT_MARK, experiment_description, failed_description
from pipelines.runs.tags import training_tags
from pipelines.runs.views import saved_views
from pipelines.stopwatch import Stopwatch
from pipelines.store_faults import again_if_raced, refusals_told
from pipelines.tracking import Store, describe_run, open_store, start_run

__all__ = ["OpenRun", "training_run"]

_NOTE = "mlflow.note.content"


@dataclass
class OpenRun:
    """The run of a training under way: its ids, its tags, the stage it is at, its clock."""

    run_id: str
    experiment_id: str
    store: Store
    tags: Mapping[str, str]
    watch: Stopwatch
    stage: str = "training"


@contextmanager
def training_run(
    config: ExperimentConfig, *, store: Store, versions: Mapping[str, str], watch: Stopwatch
) -> Iterator[OpenRun]:
    """Open the run of an experiment; where the block fails it ends FAILED and says why.

    Raises
    ------
    ConfigError
        The store does not answer, or refuses the user.
    """
    open_store(store, experiment=config.tracking.experiment)
    name = config.tracking.experiment
    found = mlflow.get_experiment_by_name(name)
    with refusals_told():
        _describe_experiment(found)
    tags = training_tags(config, versions=versions)
    with start_run(config.model.registered_name, tags=tags, watched=True) as run_id:
        opened = OpenRun(run_id, str(found.experiment_id), store, tags, watch)
        try:
            yield opened
        except (Exception, KeyboardInterrupt) as error:
            with suppress(MlflowException):
                describe_run(failed_description(opened.stage, error))
            raise


def _describe_experiment(experiment: mlflow.entities.Experiment) -> None:
    """Write the experiment's description and views, unless its people wrote one of their own."""
    known = experiment.tags
    wanted = saved_views()
    if EXPERIMENT_MARK in known.get(_NOTE, EXPERIMENT_MARK):
        wanted[_NOTE] = experiment_description(experiment=str(experiment.experiment_id))
    for key, value in wanted.items():
        if known.get(key) != value:
            again_if_raced(partial(mlflow.set_experiment_tag, key, value))
