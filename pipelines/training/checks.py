"""What a training refuses before any work is done, each with the mend."""

from collections.abc import Sequence

from features.catalogue import Catalogue
from features.cohort import is_gene_scaled_cohort
from features.errors import ConfigError, examples
from features.gene_scores import ScoreKind
from features.transformer import MarkerFeatures
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort
from pipelines.scoring.notes import too_little

__all__ = [
    "refuse_gene_scaled",
    "refuse_repeated_cohorts",
    "refuse_single_class",
    "refuse_small_cohorts",
    "refuse_too_little",
    "refuse_unknown_exclusions",
]


def refuse_gene_scaled(cohorts: Sequence[IngestedCohort]) -> None:
    """Refuse to train on values that ranks mean nothing of."""
    scaled = [cohort.name for cohort in cohorts if is_gene_scaled_cohort(cohort.adata)]
    if scaled:
        raise ConfigError(
            f"cohorts {scaled} hold values centred or scaled per gene: ranks within a sample mean "
            "nothing there, and models are trained on ranks; give the values before scaling, or "
            "name the cohorts under cohorts.score or cohorts.exclude"
        )


def refuse_too_little(
    cohorts: Sequence[IngestedCohort], *, catalogue: Catalogue, setting: str
) -> None:
    """Refuse cohorts that could only be scored by force, before any work is done."""
    for cohort in cohorts:
        kind: ScoreKind = "mean_z" if is_gene_scaled_cohort(cohort.adata) else "rank"
        features = MarkerFeatures(catalogue, setting=setting, score_kind=kind).fit(cohort.adata)
        genes = features.gene_report(cohort.adata)
        if genes.grade == "too little":
            raise ConfigError(
                f"cohorts.score: {too_little(cohort.name, genes)}; take it out here, and score it "
                "with oncoresist score --force"
            )


def refuse_repeated_cohorts(cohorts: Sequence[IngestedCohort]) -> None:
    """Refuse a cohort that takes part twice, by name or by its expression file."""
    seen: dict[str, str] = {}
    for cohort in cohorts:
        expression = cohort.expression_hash
        for key in (cohort.name, expression):
            if key in seen:
                raise ConfigError(
                    f"cohorts '{seen[key]}' and '{cohort.name}' are the same (name or expression "
                    "file); name it once, in cohorts.train or cohorts.score"
                )
        seen |= {cohort.name: cohort.name, expression: cohort.name}


def refuse_single_class(dataset: Dataset) -> None:
    """Refuse cohorts that leave a training part with one class once timepoints are chosen."""
    labels = dataset.samples["resistant"]
    for name in dataset.cohorts:
        found = labels[dataset.samples["cohort"] != name].dropna()
        if len(dataset.cohorts) > 1 and found.nunique() < 2:
            others = [other for other in dataset.cohorts if other != name]
            raise ConfigError(
                f"without cohort '{name}' the samples of {examples(others)} in use are all of one "
                "class; add cohorts under cohorts.train, or widen samples.timepoints"
            )


def refuse_unknown_exclusions(config: ExperimentConfig) -> None:
    """Refuse names under cohorts.exclude that stand nowhere else."""
    known = [*config.cohorts.train, *config.cohorts.score, *config.cohorts.decline]
    unknown = [name for name in config.cohorts.exclude if name not in known]
    if unknown:
        raise ConfigError(
            f"cohorts.exclude names {unknown}, not in cohorts.train, score or decline: "
            f"{examples(known, most=20)}"
        )


def refuse_small_cohorts(dataset: Dataset, *, min_cohort_size: int) -> None:
    """Refuse cohorts too small to be their own reference."""
    sizes = {name: adata.n_obs for name, adata in dataset.cohorts.items()}
    small = [f"{name} ({size})" for name, size in sizes.items() if size < min_cohort_size]
    if small:
        raise ConfigError(
            f"cohorts with fewer than {min_cohort_size} samples of the timepoints in use: "
            f"{examples(small)}; name them under cohorts.exclude, or lower "
            "features.min_cohort_size"
        )
