"""Write a trained experiment into MLflow: inputs, metrics, figures, model, a child per cohort."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from features.reference import Standardisation
from models.explanation import Attributions
from models.metrics import evaluate_predictions
from models.resistance_model import ResistanceModel
from models.splits import splits_table
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.figures import (
    auroc_forest,
    beeswarm,
    feature_signs,
    mechanism_bar,
    reliability,
    waterfall,
)
from pipelines.ingest import IngestedCohort
from pipelines.score import ScoredCohort, score_cohort
from pipelines.tracking import (
    default_store,
    describe_run,
    estimate_metrics,
    log_cohort,
    log_figure,
    log_table,
    move_alias,
    open_store,
    register_model,
    start_run,
)
from pipelines.validate import ARM_SUFFIX, ARMS, Validation, compare, headline_rows, verdict

__all__ = ["TrainedExperiment", "TrainingResult", "log_run"]

_FOREST_BASELINES = ("gep_18", "ifng_6", "impres")


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
        _log_figures(trained, comparison)
        metrics = _metrics(trained)
        example = _synthetic_example(trained.model.feature_names, seed=config.seed)
        version = register_model(trained.model, name=name, example=example)
        for cohort in trained.dataset.cohorts:
            _log_held_out(trained, cohort)
        for scored in trained.extra:
            metrics |= _log_scored(trained, scored, version)
        mlflow.log_metrics(metrics)
        describe_run(_description(trained, comparison))
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
        for name, plan in validation.splits.items():
            table = splits_table(validation.samples, list(plan))
            log_table(table, f"splits/{name}{ARM_SUFFIX[arm]}.parquet")


def _log_tables(trained: TrainedExperiment, comparison: pd.DataFrame) -> None:
    for arm, validation in trained.validations.items():
        frames = {
            "loco": validation.loco.predictions,
            "grouped_cv": validation.grouped,
            **{f"baseline.{name}": b.predictions for name, b in validation.baselines.items()},
        }
        for name, frame in frames.items():
            log_table(frame.rename_axis("sample"), f"predictions/{name}{ARM_SUFFIX[arm]}.parquet")
    log_table(comparison, "tables/comparison.parquet")
    log_table(trained.signs, "tables/feature_signs.parquet")
    log_table(trained.features.rename_axis("sample"), "tables/features.parquet")


def _metrics(trained: TrainedExperiment) -> dict[str, float]:
    dataset = trained.dataset
    left_out = sum(sum(counts.values()) for counts in dataset.left_out.values())
    metrics = {
        "samples.labelled": float(dataset.samples["resistant"].notna().sum()),
        "samples.left_out_by_timepoint": float(left_out),
    }
    verdicts = trained.signs["verdict"].value_counts()
    for outcome in ("agrees", "opposes", "unclear"):
        metrics[f"signs.{outcome}"] = float(verdicts.get(outcome, 0))
    for validation in trained.validations.values():
        for prefix, estimates in validation.estimates.items():
            metrics |= estimate_metrics(estimates, prefix=prefix)
            metrics[f"{prefix}.n"] = float(validation.sizes[prefix])
    return metrics


def _log_figures(trained: TrainedExperiment, comparison: pd.DataFrame) -> None:
    for arm, validation in trained.validations.items():
        chosen = comparison[
            (comparison["standardisation"] == arm)
            & (comparison["metric"] == "auroc")
            & (comparison["scheme"] == "loco")
            & comparison["predictor"].isin(["model", *_FOREST_BASELINES])
        ]
        title = f"Leave-one-cohort-out AUROC, {arm}-relative"
        log_figure(auroc_forest(chosen, title=title), f"figures/loco{ARM_SUFFIX[arm]}_auroc.png")
        if validation.loco.attributions is not None:
            _log_attributions(trained, validation.loco.attributions, arm, "all held-out cohorts")
    log_figure(
        reliability(
            {f"{arm}-relative": v.loco.predictions for arm, v in trained.validations.items()},
            title="Calibration of out-of-cohort probabilities",
        ),
        "figures/reliability.png",
    )
    log_figure(
        feature_signs(trained.signs, title="Do features go the catalogue's way?"),
        "figures/feature_signs.png",
    )


def _log_attributions(
    trained: TrainedExperiment, attributions: Attributions, arm: Standardisation, what: str
) -> None:
    """Log SHAP tables and figures, each sample explained by the model that had not seen it."""
    suffix, title = ARM_SUFFIX[arm], f"{what}, {arm}-relative"
    sums = attributions.by_mechanism(trained.model.catalogue.mechanisms)
    table = attributions.values.assign(base_value=attributions.base_value)
    log_table(table.rename_axis("sample"), f"shap/attributions{suffix}.parquet")
    log_table(sums.rename_axis("sample"), f"shap/mechanisms{suffix}.parquet")
    log_figure(beeswarm(attributions, title=title), f"shap/beeswarm{suffix}.png")
    log_figure(mechanism_bar(sums, title=title), f"shap/mechanisms{suffix}.png")
    log_odds = attributions.values.sum(axis=1) + attributions.base_value
    for which, sample in (("most", log_odds.idxmax()), ("least", log_odds.idxmin())):
        figure = waterfall(
            attributions,
            sample=str(sample),
            title=f"{which} resistant: {sample}, {arm}-relative",
        )
        log_figure(figure, f"shap/waterfall_{which}_resistant{suffix}.png")


def _log_held_out(trained: TrainedExperiment, cohort: str) -> None:
    """Log one held-out cohort as a child run, under the parent's metric names."""
    samples = trained.dataset.samples
    with start_run(f"held out: {cohort}", tags={"held_out": cohort, **trained.tags}, nested=True):
        for arm, validation in trained.validations.items():
            samples = validation.samples
            if cohort not in set(samples["cohort"]):
                continue
            frames = {"loco": validation.loco.predictions} | {
                f"baseline.{name}.loco": b.predictions for name, b in validation.baselines.items()
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
                _log_attributions(trained, validation.loco.attributions.of(rows), arm, cohort)


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


def _description(trained: TrainedExperiment, comparison: pd.DataFrame) -> str:
    """Return the run's first page: what was held out, and how everyone did."""
    samples = trained.dataset.samples
    labelled = samples["resistant"].notna()
    grouped = comparison[
        (comparison["scheme"] == "grouped_cv")
        & (comparison["metric"] == "auroc")
        & (comparison["cohort"] == "mean")
    ]
    inside = ", ".join(
        f"{row.standardisation}-relative {row.value:.3f} ({row.low:.3f} to {row.high:.3f})"
        for row in grouped.itertuples()
    )
    lines = [
        f"**Research use only.** {verdict(comparison)}",
        "",
        "Each cohort predicted by a model that had not seen it; resistant "
        "is the positive class. AUROC: mean over cohorts, 95% interval over patients. Brier score "
        "and expected calibration error (ECE): pooled; a model worth its probabilities lies below "
        "`prior`, the training share of resistant samples.",
        "",
        f"{int(labelled.sum())} labelled samples of {samples['cohort'].nunique()} cohorts.",
        "",
        "| predictor | AUROC, cohort-relative | Brier | ECE "
        "| AUROC, reference-relative | Brier | ECE |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in headline_rows(comparison)),
        "",
        f"Patient-grouped folds, in which every cohort is trained on too: AUROC {inside}.",
        "",
        "Figures: artifacts `figures/` and `shap/`; one child run a held-out cohort.",
    ]
    return "\n".join(lines)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _synthetic_example(features: Sequence[str], *, seed: int) -> pd.DataFrame:
    """Return made-up feature rows: the input example, never a patient."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.2, 0.8, (3, len(features))).round(3)
    return pd.DataFrame(values, columns=list(features)).assign(cohort="synthetic")
