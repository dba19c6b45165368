"""Write a trained experiment into MLflow: inputs, metrics, figures, model, a child per cohort."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from features.reference import Standardisation
from models.metrics import evaluate_predictions
from models.resistance_model import ResistanceModel
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.headline import compare
from pipelines.ingest import IngestedCohort
from pipelines.run_description import run_description
from pipelines.run_figures import log_attributions, log_figures
from pipelines.run_metrics import shift_metrics, validation_metrics
from pipelines.score import ScoredCohort, score_cohort
from pipelines.tracking import (
    default_store,
    describe_run,
    estimate_metrics,
    log_cohort,
    log_table,
    move_alias,
    open_store,
    register_model,
    start_run,
)
from pipelines.validate import ARM_SUFFIX, ARMS, Validation
from pipelines.validation_page import read_run, validation_page

__all__ = ["TrainedExperiment", "TrainingResult", "log_run"]


@dataclass(frozen=True)
class TrainedExperiment:
    """Everything that goes into the run of one experiment."""

    config: ExperimentConfig
    project: Path
    dataset: Dataset
    ingested: Sequence[IngestedCohort]
    extra: Sequence[IngestedCohort]
    validations: Mapping[Standardisation, Validation]
    model: ResistanceModel
    signs: pd.DataFrame
    shift: pd.DataFrame
    drift: pd.DataFrame
    minutes: float
    tags: Mapping[str, str]

    @property
    def features(self) -> pd.DataFrame:
        """Unstandardised features of the final model (n_samples, n_features)."""
        return self.dataset.features(list(self.dataset.cohorts))


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves behind.

    Attributes
    ----------
    run_id, model_name, model_version, tracking_uri
        Where it lies in MLflow.
    metrics
        Every metric of the parent run by name.
    comparison
        ``predictor, standardisation, metric, cohort, value, low, high``.
    signs
        Table of :func:`models.signs.sign_agreement`.
    mean_absolute_attribution
        Standardisation → mean |SHAP| of each feature over the out-of-cohort predictions.
    """

    run_id: str
    model_name: str
    model_version: str
    tracking_uri: str
    metrics: Mapping[str, float]
    comparison: pd.DataFrame
    signs: pd.DataFrame
    mean_absolute_attribution: Mapping[Standardisation, "pd.Series[float]"]


def log_run(trained: TrainedExperiment) -> TrainingResult:
    """Write the run, register the model, move the alias last, and return where it all lies."""
    config = trained.config
    store = default_store(trained.project, uri=config.tracking.uri)
    open_store(store, experiment=config.tracking.experiment)
    comparison = compare(trained.validations)
    name = config.model.registered_name
    with start_run(name, tags={**trained.tags, "setting": config.setting}) as run_id:
        _log_inputs(trained)
        _log_tables(trained, comparison)
        log_figures(
            trained.validations,
            comparison,
            signs=trained.signs,
            shift=trained.shift,
            drift=trained.drift,
            mechanisms=trained.model.catalogue.mechanisms,
        )
        metrics = _metrics(trained)
        mlflow.log_metrics(metrics)
        describe_run(run_description(trained.dataset.samples, comparison))
        page = validation_page(read_run(run_id))
        mlflow.log_text(page, "validation.md")
        version = register_model(trained.model, name=name)
        for cohort in trained.dataset.cohorts:
            _log_held_out(trained, cohort)
        for scored in trained.extra:
            found = _log_scored(trained, scored, version)
            mlflow.log_metrics(found)
            metrics |= found
    move_alias(name, alias=config.model.alias, version=version)
    importance = {
        arm: validation.loco.attributions.values.abs().mean()
        for arm, validation in trained.validations.items()
        if validation.loco.attributions is not None
    }
    return TrainingResult(
        run_id, name, version, store.uri, metrics, comparison, trained.signs, importance
    )


def _log_inputs(trained: TrainedExperiment) -> None:
    dataset = trained.dataset
    resolved = trained.config.model_dump(mode="json")
    mlflow.log_params(_flatten(resolved))
    mlflow.log_dict(resolved, "config/resolved.yaml")
    cohorts = [*trained.ingested, *trained.extra]
    documents: Mapping[str, Any] = {
        "files_sha256": {cohort.name: dict(cohort.files) for cohort in cohorts},
        "left_out_by_timepoint": {n: dict(counts) for n, counts in dataset.left_out.items()},
        "notes": {cohort.name: list(cohort.report.notes) for cohort in cohorts},
        "catalogue": trained.model.catalogue.model_dump(mode="json"),
    }
    for name, document in documents.items():
        mlflow.log_dict(document, f"data/{name}.json")
    for cohort in trained.ingested:
        rows = dataset.samples["cohort"] == cohort.name
        labels = dataset.samples.loc[rows, "resistant"]
        source = next(iter(cohort.files))
        log_cohort(trained.features[rows], labels, name=cohort.name, source=source)
    for arm, validation in trained.validations.items():
        log_table(validation.plan.table(), f"splits/plan{ARM_SUFFIX[arm]}.parquet")


def _log_tables(trained: TrainedExperiment, comparison: pd.DataFrame) -> None:
    for arm, validation in trained.validations.items():
        suffix = ARM_SUFFIX[arm]
        predictions = {
            "loco": validation.loco.predictions,
            "nested": validation.nested.predictions,
            **{f"baseline.{name}": frame for name, frame in validation.peers.items()},
        }
        schemes = {"loco": validation.loco, "nested": validation.nested}
        if validation.tumour_type is not None:
            schemes["tumour_type"] = validation.tumour_type
            predictions["tumour_type"] = validation.tumour_type.predictions
        tables = dict(validation.tables)
        for what in ("folds", "trials"):
            parts = [getattr(found, what).assign(scheme=name) for name, found in schemes.items()]
            tables[what] = pd.concat(parts, ignore_index=True)
        for name, frame in predictions.items():
            log_table(frame.rename_axis("sample"), f"predictions/{name}{suffix}.parquet")
        for name, frame in tables.items():
            log_table(frame, f"tables/{name}{suffix}.parquet")
    log_table(comparison, "tables/comparison.parquet")
    log_table(trained.signs, "tables/feature_signs.parquet")
    log_table(trained.shift, "tables/shift.parquet")
    log_table(trained.drift, "tables/drift.parquet")
    log_table(trained.features.rename_axis("sample"), "tables/features.parquet")


def _metrics(trained: TrainedExperiment) -> dict[str, float]:
    dataset = trained.dataset
    left_out = sum(sum(counts.values()) for counts in dataset.left_out.values())
    metrics = {
        "samples.labelled": float(dataset.samples["resistant"].notna().sum()),
        "samples.left_out_by_timepoint": float(left_out),
        "minutes.validation": trained.minutes,
    }
    verdicts = trained.signs["verdict"].value_counts()
    for outcome in ("agrees", "opposes", "unclear"):
        metrics[f"signs.{outcome}"] = float(verdicts.get(outcome, 0))
    for arm, validation in trained.validations.items():
        metrics |= validation_metrics(validation, arm=arm)
    return metrics | shift_metrics(trained.shift)


def _log_held_out(trained: TrainedExperiment, cohort: str) -> None:
    """Log one held-out cohort as a child run, under the parent's metric names."""
    samples = trained.dataset.samples
    with start_run(f"held out: {cohort}", tags={"held_out": cohort, **trained.tags}, nested=True):
        for arm, validation in trained.validations.items():
            samples = validation.samples
            if cohort not in set(samples["cohort"]):
                continue
            frames = {"loco": validation.loco.predictions} | {
                f"baseline.{name}.loco": frame for name, frame in validation.peers.items()
            }
            for prefix, frame in frames.items():
                estimates = evaluate_predictions(
                    frame[frame["cohort"] == cohort],
                    n_resamples=trained.config.validation.n_resamples,
                    seed=trained.config.seed,
                )
                own = {name: found for name, found in estimates.items() if "." not in name}
                mlflow.log_metrics(estimate_metrics(own, prefix=f"{prefix}{ARM_SUFFIX[arm]}"))
            if arm == "cohort" and validation.loco.attributions is not None:
                rows = samples.index[samples["cohort"] == cohort]
                log_attributions(
                    validation.loco.attributions.of(rows),
                    mechanisms=trained.model.catalogue.mechanisms,
                    arm=arm,
                    what=cohort,
                )


def _log_scored(
    trained: TrainedExperiment, cohort: IngestedCohort, version: str
) -> dict[str, float]:
    """Score a cohort that was not trained on, as a child run; return its metrics."""
    config = trained.config
    uri = f"models:/{config.model.registered_name}/{version}"
    metrics: dict[str, float] = {}
    with start_run(
        f"scored: {cohort.name}", tags={"scored": cohort.name, **trained.tags}, nested=True
    ):
        for arm in ARMS:
            if not _can_be_scored(cohort, arm, min_cohort_size=trained.model.min_cohort_size):
                continue
            scored = score_cohort(
                trained.model, cohort, standardisation=arm, uri=uri, version=version
            )
            log_table(scored.predictions, f"predictions{ARM_SUFFIX[arm]}.parquet")
            log_table(scored.attribution_table(), f"shap/attributions{ARM_SUFFIX[arm]}.parquet")
            metrics |= _scored_metrics(scored, config, prefix=f"scored{ARM_SUFFIX[arm]}")
        mlflow.log_metrics(metrics)
    return metrics


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


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat
