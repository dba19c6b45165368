"""What speaks for or against a claim: cohorts of patients as one, each drug group by itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from features.catalogue import Catalogue, Drug
from features.reference import MIN_COHORT_SIZE
from features.therapy import DrugTable
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort
from pipelines.screens.task import Task, tasks_of

__all__ = ["Evidence", "evidence_of", "outcome_of", "resistant_units", "too_small"]


@dataclass(frozen=True)
class Evidence:
    """Samples that a claim is held against.

    Attributes
    ----------
    name
        ``cohort/group``, or how many cohorts were pooled.
    tasks
        The samples; several where cohorts of patients are pooled.
    drug
        The drug that the features and signs are made for; None where there are several or none is
        known.
    cell_lines
        Whether these are cell lines, which have neither immune system nor stroma.
    """

    name: str
    tasks: tuple[Task, ...]
    drug: Drug | None
    cell_lines: bool

    @property
    def unit(self) -> str:
        """What is counted: ``patients`` or ``cell lines``."""
        return "cell lines" if self.cell_lines else "patients"

    @property
    def size(self) -> int:
        """Patients or lines of known response."""
        return sum(
            task.samples.loc[outcome_of(task).notna(), "line"].nunique() for task in self.tasks
        )

    @property
    def resistant(self) -> int:
        """How many of them are labelled resistant."""
        return sum(resistant_units(task) for task in self.tasks)


def evidence_of(
    config: ExperimentConfig, cohorts: Sequence[IngestedCohort], *, catalogue: Catalogue
) -> list[Evidence]:
    """Return what an experiment's cohorts have to say.

    Cohorts of patients are pooled where there are several. Each drug group of a screen stands by
    itself: groups share cell lines. Groups of fewer than fifteen samples are left out
    (:func:`too_small`), as are samples of other timepoints and those that the experiment excludes.
    """
    tasks = [task for task in _tasks(config, cohorts) if len(task.samples) >= MIN_COHORT_SIZE]
    patients = [task for task in tasks if not task.cell_lines]
    drugs = DrugTable(catalogue)
    if len(patients) > 1:
        pooled = [Evidence(f"{len(patients)} cohorts pooled", tuple(patients), None, False)]
        tasks = [task for task in tasks if task.cell_lines]
    else:
        pooled = []
    alone = [Evidence(t.name, (t,), _drug(t, drugs), t.cell_lines) for t in tasks]
    return [*pooled, *alone]


def outcome_of(task: Task) -> "pd.Series[float]":
    """Return resistance: the number where the task has one, else the label."""
    return task.samples["resistance" if task.continuous else "resistant"]


def resistant_units(task: Task) -> int:
    """Return the patients or lines of known response that are labelled resistant."""
    known = outcome_of(task).notna() & (task.samples["resistant"] == 1)
    return int(task.samples.loc[known, "line"].nunique())


def too_small(config: ExperimentConfig, cohorts: Sequence[IngestedCohort]) -> dict[str, int]:
    """Return the samples of each cohort or drug group that has fewer than fifteen."""
    sizes = {task.name: len(task.samples) for task in _tasks(config, cohorts)}
    return {name: size for name, size in sizes.items() if size < MIN_COHORT_SIZE}


def _tasks(config: ExperimentConfig, cohorts: Sequence[IngestedCohort]) -> list[Task]:
    return tasks_of(cohorts, samples=config.samples)


def _drug(task: Task, drugs: DrugTable) -> Drug | None:
    """Return the one drug of all samples, or None."""
    stated = task.adata.obs["drug"].unique() if "drug" in task.adata.obs else []
    return drugs.find(stated[0]).drug if len(stated) == 1 else None
