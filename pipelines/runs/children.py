"""The child runs of a training: a cohort held out, or a cohort that was only scored, in each."""

from collections.abc import Mapping
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.entities import LoggedModelInput

from features.reference import Standardisation
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort
from pipelines.runs.artifacts import gathered_artifacts, log_table
from pipelines.runs.description import held_out_description, scored_description
from pipelines.runs.figures import log_attributions
from pipelines.runs.inputs import cohort_dataset, cohort_table, log_datasets
from pipelines.runs.metrics import held_out_metrics
from pipelines.runs.reports import log_scored_report
from pipelines.runs.tags import shared_tags
from pipelines.score import ScoredCohort, score_cohort
from pipelines.tracking import LoadedModel, estimate_metrics, start_run
from pipelines.training.trained import TrainedExperiment
from pipelines.validation.validate import ARM_SUFFIX, ARMS

__all__ = ["log_held_out_cohorts", "log_scored_cohort"]

_OF_COHORT = (
    *("cohort", "n", "patients", "labelled", "resistant", "resistant_share"),
    *("cancer_type", "drug", "timepoint", "unit"),
)


def log_held_out_cohorts(
    trained: TrainedExperiment, *, datasets: Mapping[str, PandasDataset], tags: Mapping[str, str]
) -> list[str]:
    """Log each held-out cohort as a child run that compares with the others; return their ids."""
    rows = cohort_table(trained.dataset, trained.ingested).to_dict("records")
    facts = {row["cohort"]: {str(name): row[name] for name in row} for row in rows}
    return [
        _log_held_out(trained, facts[cohort], dataset=datasets[cohort], tags=tags)
        for cohort in trained.dataset.cohorts
    ]


def _log_held_out(
    trained: TrainedExperiment,
    facts: Mapping[str, Any],
    *,
    dataset: PandasDataset,
    tags: Mapping[str, str],
) -> str:
    cohort = str(facts["cohort"])
    params: dict[str, Any] = {name: facts[name] for name in _OF_COHORT}
    params["resistant_share"] = f"{facts['resistant_share']:.3f}"
    metrics: dict[str, float] = {}
    for arm, validation in trained.validations.items():
        if cohort in set(validation.samples["cohort"]):
            metrics |= held_out_metrics(validation, cohort=cohort)
            params |= _chosen(validation.main.folds, cohort, suffix=ARM_SUFFIX[arm])
    metrics["resistant_share"] = float(facts["resistant_share"])
    own = {"role": "held_out", "held_out": cohort, "cohort": cohort}
    note = {"mlflow.note.content": held_out_description(facts, metrics)}
    with start_run(
        f"held out: {cohort}", tags={**shared_tags(tags), **own, **note}, nested=True
    ) as run_id:
        mlflow.log_params(params)
        log_datasets({cohort: dataset}, context="evaluation")
        mlflow.log_metrics(metrics)
        with gathered_artifacts():
            _log_reasons(trained, cohort, arm="cohort")
    return run_id


def _chosen(folds: pd.DataFrame, cohort: str, *, suffix: str) -> dict[str, str]:
    """Return what the fold that held the cohort out chose."""
    row = folds[folds["split"] == cohort].iloc[0]
    return {f"fold_{what}{suffix}": str(row[what]) for what in ("candidate", "calibration")}


def _log_reasons(trained: TrainedExperiment, cohort: str, *, arm: Standardisation) -> None:
    log_attributions(
        trained.validations[arm],
        cohort=cohort,
        arm=arm,
        catalogue=trained.model.catalogue,
        setting=trained.config.setting,
    )


def log_scored_cohort(
    trained: TrainedExperiment,
    cohort: IngestedCohort,
    *,
    version: str,
    model_id: str,
    tags: Mapping[str, str],
) -> dict[str, float]:
    """Score a cohort that was not trained on, as a child run; return its metrics."""
    config = trained.config
    uri = f"models:/{config.model.registered_name}/{version}"
    offered = [
        arm
        for arm in ARMS
        if _can_be_scored(cohort, arm, min_cohort_size=trained.model.min_cohort_size)
    ]
    scored = {
        arm: score_cohort(trained.model, cohort, standardisation=arm, uri=uri, version=version)
        for arm in offered
    }
    metrics: dict[str, float] = {}
    for arm, found in scored.items():
        metrics |= _scored_metrics(found, config, prefix=f"scored{ARM_SUFFIX[arm]}")
    own = {"role": "scored", "scored": cohort.name, "cohort": cohort.name}
    note = {"mlflow.note.content": scored_description(cohort.name, list(scored.values()))}
    with start_run(
        f"scored: {cohort.name}", tags={**shared_tags(tags), **own, **note}, nested=True
    ) as run_id:
        mlflow.log_params({"cohort": cohort.name, "n": cohort.adata.n_obs, "model": uri})
        _log_scored_data(cohort, scored)
        mlflow.MlflowClient().log_inputs(run_id, models=[LoggedModelInput(model_id)])
        mlflow.log_metrics(metrics)
        with gathered_artifacts():
            for arm, found in scored.items():
                _log_scored_tables(found, suffix=ARM_SUFFIX[arm])
                log_scored_report(found, LoadedModel(trained.model, uri, version))
    return metrics


def _log_scored_data(
    cohort: IngestedCohort, scored: Mapping[Standardisation, ScoredCohort]
) -> None:
    """Log the features that were scored; both standardisations start from the same."""
    labels = cohort.adata.obs["resistant"].astype(float)
    for found in list(scored.values())[:1]:
        dataset = cohort_dataset(found.features, labels, cohort=cohort)
        log_datasets({cohort.name: dataset}, context="scoring")


def _log_scored_tables(scored: ScoredCohort, *, suffix: str) -> None:
    log_table(scored.predictions, f"predictions{suffix}.parquet")
    log_table(scored.attribution_table(), f"shap/attributions{suffix}.parquet")


def _can_be_scored(cohort: IngestedCohort, arm: Standardisation, *, min_cohort_size: int) -> bool:
    if arm == "reference":
        return cohort.reference_offered
    return bool(cohort.adata.n_obs >= min_cohort_size)


def _scored_metrics(
    scored: ScoredCohort, config: ExperimentConfig, *, prefix: str
) -> dict[str, float]:
    estimates = scored.evaluate(n_resamples=config.validation.n_resamples, seed=config.seed)
    own = {name: found for name, found in estimates.items() if "." not in name}
    return estimate_metrics(own, prefix=f"{prefix}.{scored.cohort.name}")
