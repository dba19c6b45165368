"""Write a trained experiment into MLflow: inputs, figures, metrics, model, a child per cohort."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd

from features.reference import Standardisation
from models.resistance_model import ResistanceModel
from models.sufficiency import Sufficiency
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.registry.promotion import Decision, decide_after_training
from pipelines.reports.model_card import model_card, short_model_card
from pipelines.reports.validation import RunRecord, validation_page
from pipelines.runs.artifacts import gathered_artifacts, log_text
from pipelines.runs.children import log_held_out_cohorts, log_scored_cohort
from pipelines.runs.description import (
    registered_model_description,
    run_description,
    with_children,
    with_gate,
)
from pipelines.runs.figures import log_figures
from pipelines.runs.inputs import flat_params, log_datasets, log_inputs, training_datasets
from pipelines.runs.logged_model import (
    describe_registered_model,
    log_model,
    register_version,
    shortened,
)
from pipelines.runs.metrics import log_linked_metrics, training_metrics
from pipelines.runs.open_run import OpenRun
from pipelines.runs.reports import log_held_out_reports
from pipelines.runs.tables import log_tables
from pipelines.runs.tags import sufficiency_tags, verdict_tags, version_tags
from pipelines.training.trained import TrainedExperiment
from pipelines.validation.headline import compare
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["LoggedRun", "TrainingResult", "decide", "log_run", "model_params"]

_LONGEST_NOTE = 8000


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves behind.

    Attributes
    ----------
    run_id, model_name, model_version, tracking_uri
        Where it lies in MLflow.
    metrics
        Every metric of the parent run by name, but for what the machine did.
    comparison
        ``predictor, standardisation, metric, cohort, value, low, high``.
    signs
        Table of :func:`models.signs.sign_agreement`.
    mean_absolute_attribution
        Standardisation → mean |SHAP| of each feature over the out-of-cohort predictions.
    decision
        What the gate said of the version, and where the alias points; None where none was
        registered.
    demonstration
        Why nothing was registered; empty of a model.
    sufficiency
        What the model's data can bear, a verdict a standardisation, the model's own first.
    """

    run_id: str
    model_name: str
    model_version: str
    tracking_uri: str
    metrics: Mapping[str, float]
    comparison: pd.DataFrame
    signs: pd.DataFrame
    mean_absolute_attribution: Mapping[Standardisation, "pd.Series[float]"]
    decision: Decision | None
    demonstration: str = ""
    sufficiency: tuple[Sufficiency, ...] = ()


@dataclass(frozen=True)
class LoggedRun:
    """A run that holds all it is to hold: id, note and metrics, the version and its verdicts."""

    run_id: str
    tracking_uri: str
    version: str
    note: str
    metrics: Mapping[str, float]
    comparison: pd.DataFrame
    sufficiency: tuple[Sufficiency, ...]


def log_run(trained: TrainedExperiment, opened: OpenRun) -> LoggedRun:
    """Write the run, register the model, and return where it all lies; no alias moves."""
    config, comparison = trained.config, compare(trained.validations)
    name, metrics = config.model.registered_name, training_metrics(trained)
    cohorts = ", ".join(trained.dataset.cohorts)
    tags = {**opened.tags, "cohorts": cohorts, **verdict_tags(metrics)}
    tags |= sufficiency_tags(trained.model.facts)
    with gathered_artifacts() as folder:
        log_inputs(
            config,
            trained.dataset,
            ingested=trained.ingested,
            extra=trained.extra,
            validations=trained.validations,
            facts=trained.model.facts,
        )
        log_tables(trained, comparison)
        _log_figures(trained, comparison)
        log_held_out_reports(
            trained.validations["cohort"],
            trained.dataset,
            ingested=trained.ingested,
            shift=trained.shift,
            model=trained.model,
            model_name=name,
        )
        record = RunRecord(folder, tags, metrics)
        card, short = model_card(record), short_model_card(record)
        log_text(card, "model_card.md")
        log_text(validation_page(record), "validation.md")
        note = run_description(record, experiment=opened.experiment_id, run=opened.run_id)
    datasets = training_datasets(trained.dataset, trained.ingested)
    shared = version_tags(tags)
    model_id = log_model(
        trained.model,
        name=name,
        card=card,
        tags={**shared, "mlflow.note.content": short},
        params=model_params(trained.model, trained.dataset, seed=config.seed),
    )
    mlflow.set_tags({**tags, "mlflow.note.content": shortened(note, most=_LONGEST_NOTE)})
    mlflow.log_params(flat_params(config.model_dump(mode="json")))
    log_datasets(datasets, context="training")
    log_linked_metrics(metrics, run_id=opened.run_id, model_id=model_id, datasets=datasets)
    version = register_version(model_id, name=name, description=short, tags=shared)
    describe_registered_model(
        name,
        description=registered_model_description(name, setting=config.setting),
        tags={"setting": config.setting},
    )
    children = log_held_out_cohorts(trained, datasets=datasets, tags=tags)
    note = with_children(note, children, experiment=opened.experiment_id)
    for cohort in trained.extra:
        found = log_scored_cohort(trained, cohort, version=version, model_id=model_id, tags=tags)
        mlflow.log_metrics(found)
        metrics |= found
    opened.watch.lap("writing")
    mlflow.log_metrics(opened.watch.metrics)
    return LoggedRun(
        opened.run_id, opened.store.uri, version, note, metrics, comparison, record.sufficiency
    )


def decide(
    logged: LoggedRun,
    *,
    config: ExperimentConfig,
    project: Path,
    validations: Mapping[Standardisation, Validation],
    signs: pd.DataFrame,
) -> TrainingResult:
    """Let the gate decide on the alias, say so in the run's description, return the result.

    To be called when the run has ended: until then the alias points where it did before. Where no
    version was registered there is nothing to decide.
    """
    model, decision = config.model, None
    if logged.version:
        decision = decide_after_training(
            model.registered_name,
            logged.version,
            alias=model.alias,
            limits=config.gate,
            project=project,
        )
        note = shortened(with_gate(logged.note, decision.lines()), most=_LONGEST_NOTE)
        mlflow.MlflowClient().set_tag(logged.run_id, "mlflow.note.content", note)
    return TrainingResult(
        run_id=logged.run_id,
        model_name=model.registered_name,
        model_version=logged.version,
        tracking_uri=logged.tracking_uri,
        metrics=logged.metrics,
        comparison=logged.comparison,
        signs=signs,
        mean_absolute_attribution={
            arm: validation.main.attributions.values.abs().mean()
            for arm, validation in validations.items()
            if validation.main.attributions is not None
        },
        decision=decision,
        demonstration=config.demonstration or "",
        sufficiency=logged.sufficiency,
    )


def _log_figures(trained: TrainedExperiment, comparison: pd.DataFrame) -> None:
    log_figures(
        trained.validations,
        comparison,
        catalogue=trained.model.catalogue,
        setting=trained.config.setting,
        signs=trained.signs,
        shift=trained.shift,
        drift=trained.drift,
        gene_coverage=trained.dataset.gene_coverage(),
        n_resamples=trained.config.validation.n_resamples,
        seed=trained.config.seed,
    )


def model_params(model: ResistanceModel, dataset: Dataset, *, seed: int) -> dict[str, str]:
    """Return what tells logged models apart at a glance."""
    labels = dataset.samples["resistant"].dropna()
    chosen = model.facts["chosen"]
    return {
        "setting": model.setting,
        "cohorts": str(len(dataset.cohorts)),
        "labelled": str(len(labels)),
        "resistant_share": f"{labels.mean():.3f}",
        "features": str(len(model.feature_names)),
        "seed": str(seed),
        **{f"chosen{ARM_SUFFIX[arm]}": str(chosen[arm]).partition("|")[0] for arm in model.arms},
    }
