"""What speaks for or against a claim: cohorts of patients as one, each drug group by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from features.catalogue import Catalogue, Drug
from features.reference import MIN_COHORT_SIZE
from features.therapy import DrugTable
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort, keep_timepoints
from pipelines.screens.task import Task, tasks_of

__all__ = ["Evidence", "evidence_of", "too_small"]


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


def evidence_of(
    config: ExperimentConfig, cohorts: Sequence[IngestedCohort], *, catalogue: Catalogue
) -> list[Evidence]:
    """Return what an experiment's cohorts have to say.

    Cohorts of patients are pooled where there are several. Each drug group of a screen stands by
    itself: groups share cell lines. Groups of fewer than fifteen samples are left out
    (:func:`too_small`), as are samples of other timepoints and those that the experiment excludes.
    """
    tasks = [task for task in _tasks(config, cohorts) if len(task.samples) >= MIN_COHORT_SIZE]
    patients = [task for task in tasks if not _of_cell_lines(task)]
    drugs = DrugTable(catalogue)
    found = []
    if len(patients) > 1:
        found.append(Evidence(f"{len(patients)} cohorts pooled", tuple(patients), None, False))
    for task in tasks:
        if _of_cell_lines(task) or len(patients) == 1:
            found.append(Evidence(task.name, (task,), _drug(task, drugs), _of_cell_lines(task)))
    return found


def too_small(config: ExperimentConfig, cohorts: Sequence[IngestedCohort]) -> dict[str, int]:
    """Return the samples of each cohort or drug group that has fewer than fifteen."""
    sizes = {task.name: len(task.samples) for task in _tasks(config, cohorts)}
    return {name: size for name, size in sizes.items() if size < MIN_COHORT_SIZE}


def _tasks(config: ExperimentConfig, cohorts: Sequence[IngestedCohort]) -> list[Task]:
    return tasks_of([_in_use(cohort, config) for cohort in cohorts])


def _in_use(cohort: IngestedCohort, config: ExperimentConfig) -> IngestedCohort:
    """Return the cohort's samples of the timepoints in use, without those excluded by name."""
    adata, _ = keep_timepoints(cohort, timepoints=config.samples.timepoints)
    names = cohort.name + "/" + adata.obs["sample_id"].astype(str)
    return replace(cohort, adata=adata[~names.isin(config.samples.exclude).to_numpy()].copy())


def _of_cell_lines(task: Task) -> bool:
    return "cell_line" in task.adata.obs and bool(task.adata.obs["cell_line"].all())


def _drug(task: Task, drugs: DrugTable) -> Drug | None:
    """Return the one drug of all samples, or None."""
    stated = task.adata.obs["drug"].unique() if "drug" in task.adata.obs else []
    return drugs.find(stated[0]).drug if len(stated) == 1 else None
