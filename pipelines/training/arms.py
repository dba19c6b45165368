"""Both standardisations validated and fitted, one after the other or in two processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.reference import Standardisation
from models.plan import ValidationPlan
from models.tuning import Tuner
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.stopwatch import Stopwatch
from pipelines.training.final_model import TrainedArm
from pipelines.training.processes import run_tasks
from pipelines.validation.tumour_types import with_tumour_types
from pipelines.validation.validate import measure_null, validate

__all__ = ["measure_nulls", "train_arms"]

Progress = Callable[[str], None]


def train_arms(
    parts: Mapping[Standardisation, tuple[Dataset, ValidationPlan]],
    *,
    config: ExperimentConfig,
    tuner: Tuner,
    everyone: Dataset,
    progress: Progress,
    watch: Stopwatch,
) -> dict[Standardisation, TrainedArm]:
    """Return how each standardisation validates, and its final parts fitted on all samples.

    Parameters
    ----------
    parts
        Standardisation → the samples that take part, and their splits.
    config, tuner
        The experiment and its tuner.
    everyone
        The samples whose background the model serves; the final parts take its features.
    progress
        Told each stage as it begins.
    watch
        Counts what further processes take.

    Raises
    ------
    CohortError
        A patient stands on both sides of a split, or a training part cannot be calibrated.
    """
    tasks = [
        _ArmTask(dataset, plan, config, arm, tuner, everyone)
        for arm, (dataset, plan) in parts.items()
    ]
    found = run_tasks(tasks, processes=config.validation.processes, progress=progress, watch=watch)
    return dict(zip(parts, found, strict=True))


def measure_nulls(
    trained: Mapping[Standardisation, TrainedArm],
    *,
    config: ExperimentConfig,
    tuner: Tuner,
    progress: Progress,
    watch: Stopwatch,
) -> dict[Standardisation, dict[str, pd.DataFrame]]:
    """Return the tables of each standardisation's null; none where it is not asked for."""
    if not config.validation.permutations:
        return {arm: {} for arm in trained}
    tasks = [_NullTask(found, config, tuner) for found in trained.values()]
    found = run_tasks(tasks, processes=config.validation.processes, progress=progress, watch=watch)
    return dict(zip(trained, found, strict=True))


@dataclass(frozen=True)
class _ArmTask:
    """All there is to do with one standardisation; travels to another process whole."""

    dataset: Dataset
    plan: ValidationPlan
    config: ExperimentConfig
    standardisation: Standardisation
    tuner: Tuner
    everyone: Dataset

    def __call__(self, progress: Progress) -> TrainedArm:
        arm, tuner = self.standardisation, self.tuner
        validation = validate(
            self.dataset,
            self.plan,
            config=self.config,
            standardisation=arm,
            tuner=tuner,
            progress=progress,
        )
        validation = with_tumour_types(
            validation, config=self.config, tuner=tuner, progress=progress
        )
        progress(f"{arm}-relative: the final choice")
        learner = validation.learner
        if len(self.everyone.cohorts) > len(self.dataset.cohorts):
            features = self.everyone.features(list(self.everyone.cohorts))
            learner = learner.with_features(features.loc[self.dataset.samples.index])
        positions = np.arange(len(self.dataset.samples))
        final = learner.train(positions, tuner=tuner, fold=f"{arm}/final")
        return TrainedArm(validation, final)


@dataclass(frozen=True)
class _NullTask:
    """The null of one standardisation."""

    found: TrainedArm
    config: ExperimentConfig
    tuner: Tuner

    def __call__(self, progress: Progress) -> dict[str, pd.DataFrame]:
        return measure_null(
            self.found.validation, config=self.config, tuner=self.tuner, progress=progress
        )
