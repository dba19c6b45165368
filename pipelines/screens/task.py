"""One group of drugs on one cohort as a task: features, response, tissue, line of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anndata as ad
import pandas as pd

from features.catalogue import Catalogue
from features.cell_lines import unite_by_cosmic
from features.cohort import is_gene_scaled_cohort
from features.errors import ConfigError, examples
from features.gene_scores import ScoreKind
from features.reference import standardise_in_cohort
from features.transformer import MarkerFeatures
from models.regression_metrics import NO_TISSUE
from pipelines.config import SamplesConfig
from pipelines.ingest import IngestedCohort, keep_timepoints
from pipelines.reading.drug_tables import GROUP_MARK

__all__ = ["IN_CELL_LINES", "Task", "find_task", "tasks_of"]

IN_CELL_LINES = ("malignant", "any")
"""Compartments of the catalogue that cell lines have."""


@dataclass(frozen=True)
class Task:
    """Samples of a cohort under one group of drugs, or under the therapy of its patients.

    Attributes
    ----------
    cohort, group
        Names; the group is empty of patients.
    adata
        The samples' expression.
    samples
        By sample: ``line`` (one identity in all sets; of a patient, the patient), ``tissue``
        (:data:`models.regression_metrics.NO_TISSUE` where not known),
        ``resistance`` (standard deviations; NaN of patients) and ``resistant`` (1, 0, NaN).
    scaled
        Whether the values came centred per gene.
    """

    cohort: str
    group: str
    adata: ad.AnnData
    samples: pd.DataFrame
    scaled: bool

    @property
    def name(self) -> str:
        """``cohort/group``, as the configuration names it."""
        return f"{self.cohort}/{self.group}" if self.group else self.cohort

    @property
    def continuous(self) -> bool:
        """Whether there is a number to predict, not a class alone."""
        return bool(self.samples["resistance"].notna().any())

    @property
    def cell_lines(self) -> bool:
        """Whether every sample is a cell line."""
        return "cell_line" in self.adata.obs and bool(self.adata.obs["cell_line"].all())

    def testable(self, catalogue: Catalogue, features: Sequence[str]) -> list[str]:
        """Return those of the features that the samples can have: cell lines are malignant."""
        places = {marker.id: marker.compartment for marker in catalogue.markers}
        return [name for name in features if not self.cell_lines or places[name] in IN_CELL_LINES]

    def transformer(
        self,
        catalogue: Catalogue,
        *,
        setting: str,
        min_coverage: float,
        like: ad.AnnData | None = None,
        score_kind: ScoreKind | None = None,
    ) -> MarkerFeatures:
        """Return the features of a setting, their background that of ``like`` or these samples."""
        kind: ScoreKind = score_kind or ("mean_z" if self.scaled else "rank")
        made = MarkerFeatures(catalogue, min_coverage, setting, kind)
        return made.fit(self.adata if like is None else like)

    def features(
        self,
        catalogue: Catalogue,
        *,
        setting: str,
        min_coverage: float,
        like: ad.AnnData | None = None,
        score_kind: ScoreKind | None = None,
        least: int = 15,
    ) -> pd.DataFrame:
        """Return the measured features standardised within the cohort (n_samples, n_features).

        ``like`` gives the background that the ranks are taken in; these samples by default.
        """
        made = self.transformer(
            catalogue, setting=setting, min_coverage=min_coverage, like=like, score_kind=score_kind
        )
        raw = made.transform(self.adata)
        cohorts = pd.Series(self.cohort, index=raw.index)
        table = standardise_in_cohort(raw, cohorts=cohorts, min_cohort_size=least)
        return table.loc[:, table.notna().any()]


def tasks_of(
    cohorts: Sequence[IngestedCohort], *, samples: SamplesConfig | None = None
) -> list[Task]:
    """Return the tasks of cohorts, lines named alike in all of them (name and COSMIC id).

    ``samples`` says which of them take part; all by default.

    Raises
    ------
    ConfigError
        A cohort stands among them twice.
    """
    names = [cohort.name for cohort in cohorts]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(
            f"cohorts.train and screens.apart name {examples(repeated)} twice; name it once"
        )
    if samples is not None:
        cohorts = [_in_use(cohort, samples) for cohort in cohorts]
    identities = _identities(cohorts)
    return [
        task for cohort in cohorts for task in _tasks_of_cohort(cohort, identities[cohort.name])
    ]


def _in_use(cohort: IngestedCohort, samples: SamplesConfig) -> IngestedCohort:
    """Return the cohort's samples of the timepoints in use, without those excluded by name."""
    adata, _ = keep_timepoints(cohort, timepoints=samples.timepoints)
    names = cohort.name + "/" + adata.obs["sample_id"].astype(str)
    return replace(cohort, adata=adata[~names.isin(samples.exclude).to_numpy()].copy())


def _tasks_of_cohort(cohort: IngestedCohort, lines: "pd.Series[str]") -> list[Task]:
    obs = cohort.adata.obs
    groups = obs["drug_group"] if "drug_group" in obs else pd.Series("", index=obs.index)
    missing = pd.Series(float("nan"), index=obs.index)
    unknown = pd.Series(NO_TISSUE, index=obs.index)
    samples = pd.DataFrame(
        {
            "line": lines,
            "tissue": obs.get("cancer_type", unknown).fillna(NO_TISSUE).astype(str),
            "resistance": obs.get("resistance", missing).astype(float),
            "resistant": obs["resistant"].astype(float),
        }
    )
    scaled = is_gene_scaled_cohort(cohort.adata)
    tasks = []
    for group in groups.unique():
        rows = (groups == group).to_numpy()
        part = samples[rows]
        names = part.index.str.removesuffix(f"{GROUP_MARK}{group}") if group else part.index
        adata = cohort.adata[rows].copy()
        adata.obs_names = names
        tasks.append(Task(cohort.name, str(group), adata, part.set_axis(names), scaled))
    return tasks


def _identities(cohorts: Sequence[IngestedCohort]) -> Mapping[str, "pd.Series[str]"]:
    """Return the line of each sample by cohort; patients of two cohorts are never one."""
    tables = []
    for cohort in cohorts:
        obs = cohort.adata.obs
        lines = obs["patient_id"].astype(str)
        if "cell_line" not in obs:
            lines = cohort.name + "/" + lines
        cosmic = obs["cosmic_id"].astype(str) if "cosmic_id" in obs else ""
        tables.append(pd.DataFrame({"cohort": cohort.name, "line": lines, "cosmic_id": cosmic}))
    found = pd.concat(tables)
    found["line"] = unite_by_cosmic(found).to_numpy()
    return {str(name): part["line"] for name, part in found.groupby("cohort", sort=False)}


def find_task(name: str, tasks: Sequence[Task]) -> Task:
    """Return the task of a name of the configuration.

    Raises
    ------
    ConfigError
        There is no such cohort or group in the experiment.
    """
    for task in tasks:
        if task.name == name:
            return task
    known = [task.name for task in tasks]
    raise ConfigError(
        f"screens.transfers names '{name}', which is not among the groups of cohorts.train and "
        f"screens.apart: {examples(known, most=20)}"
    )
