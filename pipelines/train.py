"""Train: cohorts → features → validated, explained, calibrated, tracked, registered model."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from features.catalogue import Catalogue, default_catalogue
from features.errors import ConfigError, examples
from features.reference import ReferenceStandardiser, Standardisation, standardise_in_cohort
from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier
from models.metrics import Estimate, evaluate_predictions
from models.resistance_model import ModelArm, ResistanceModel
from models.signs import sign_agreement
from models.splits import (
    Split,
    grouped_splits,
    leave_one_cohort_out_splits,
    patient_keys,
    splits_table,
)
from models.validation import OutOfFold, predict_baselines, predict_out_of_fold
from pipelines.config import ExperimentConfig, configuration_folder, load_cohort, project_folder
from pipelines.dataset import Dataset, build_dataset
from pipelines.figures import (
    auroc_forest,
    beeswarm,
    feature_signs,
    mechanism_bar,
    reliability,
    waterfall,
)
from pipelines.ingest import IngestedCohort, ingest_cohort
from pipelines.provenance import code_versions
from pipelines.score import ScoredCohort, score_cohort
from pipelines.tracking import (
    default_store,
    estimate_metrics,
    log_cohort,
    log_figure,
    log_table,
    open_store,
    register_model,
    start_run,
)

__all__ = ["TrainingResult", "Validation", "ingest_cohorts", "train", "validate"]

_LOG = logging.getLogger(__name__)
_ARMS: tuple[Standardisation, ...] = ("cohort", "reference")
_SUFFIX: Mapping[Standardisation, str] = {"cohort": "", "reference": "_reference"}
_FOREST_BASELINES = ("gep_18", "ifng_6", "impres")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Validation:
    """Out-of-fold predictions of one standardisation, and their figures.

    Attributes
    ----------
    loco, grouped
        Leave-one-cohort-out, and repeated patient-grouped folds (averaged over repeats).
    baselines
        Name → leave-one-cohort-out predictions on the same samples.
    estimates
        Metric prefix (``loco``, ``baseline.gep_18.loco``, ``grouped_cv`` …) → estimates.
    """

    loco: OutOfFold
    grouped: pd.DataFrame
    baselines: Mapping[str, OutOfFold]
    estimates: Mapping[str, Mapping[str, Estimate]]


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
        Mean |SHAP| of each feature over the out-of-cohort predictions (cohort-relative).
    """

    run_id: str
    model_name: str
    model_version: str
    tracking_uri: str
    metrics: Mapping[str, float]
    comparison: pd.DataFrame
    signs: pd.DataFrame
    mean_absolute_attribution: "pd.Series[float]"


def ingest_cohorts(
    names: Sequence[str], config: ExperimentConfig, *, config_file: Path, labels_required: bool
) -> list[IngestedCohort]:
    """Return the named cohorts, ingested and checked.

    Raises
    ------
    ConfigError, CohortError
        A cohort file is missing or wrong, or its data break the contract.
    """
    conf = configuration_folder(config_file)
    data_root = (project_folder(config_file) / config.data.root).resolve()
    cohorts = []
    for name in names:
        cohort, path = load_cohort(name, conf=conf)
        root = data_root if cohort.root is None else (path.parent / cohort.root).resolve()
        cohorts.append(ingest_cohort(cohort, root=root, labels_required=labels_required))
    _refuse_same_name([cohort.name for cohort in cohorts])
    return cohorts


def _refuse_same_name(names: Sequence[str]) -> None:
    index = pd.Index(names)
    if index.has_duplicates:
        raise ConfigError(
            f"cohorts.train names a cohort twice: {examples(index[index.duplicated()])}"
        )


def train(
    config: ExperimentConfig, *, config_file: Path, progress: Progress = lambda stage: None
) -> TrainingResult:
    """Train, validate, explain, track and register a model as an experiment says.

    Parameters
    ----------
    config
        The checked experiment.
    config_file
        Where it stands; relative paths start from the folder above its ``conf``.
    progress
        Told the name of each stage as it begins.

    Raises
    ------
    ConfigError, CohortError
        Something in the configuration or the files is wrong; nothing is logged then.
    """
    catalogue = default_catalogue()
    progress("reading cohorts")
    excluded = set(config.cohorts.exclude)
    _refuse_unknown_exclusions(config)
    names = [name for name in config.cohorts.train if name not in excluded]
    ingested = ingest_cohorts(names, config, config_file=config_file, labels_required=True)
    extra = ingest_cohorts(
        [name for name in config.cohorts.score if name not in excluded],
        config,
        config_file=config_file,
        labels_required=False,
    )
    dataset = build_dataset(
        ingested,
        timepoints=config.samples.timepoints,
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
    )
    splits = leave_one_cohort_out_splits(dataset.samples)
    folds = grouped_splits(
        dataset.samples,
        n_splits=config.validation.n_splits,
        n_repeats=config.validation.n_repeats,
        seed=config.seed,
    )
    validations = {}
    for arm in _ARMS:
        progress(f"validating, {arm}-relative")
        validations[arm] = validate(
            dataset, loco_splits=splits, folds=folds, config=config, standardisation=arm
        )
    progress("fitting the final model")
    project = project_folder(config_file)
    facts = code_versions(project) | _catalogue_facts(catalogue)
    model = _final_model(dataset, validations, config=config, facts=facts)
    signs = sign_agreement(
        dataset.features(list(dataset.cohorts)),
        dataset.samples,
        signs=catalogue.signs(config.setting),
        n_resamples=config.validation.n_resamples,
        seed=config.seed,
    )
    progress("writing the run")
    run = _Run(config, config_file, dataset, ingested, extra, validations, model, signs, facts)
    return run.log({"loco": splits, "grouped_cv": folds})


def _refuse_unknown_exclusions(config: ExperimentConfig) -> None:
    known = [*config.cohorts.train, *config.cohorts.score]
    unknown = [name for name in config.cohorts.exclude if name not in known]
    if unknown:
        raise ConfigError(
            f"cohorts.exclude names {unknown}, not in cohorts.train or cohorts.score: "
            f"{examples(known, most=20)}"
        )


def _catalogue_facts(catalogue: Catalogue) -> dict[str, str]:
    return {
        "catalogue_version": catalogue.version,
        "catalogue_hash": catalogue.content_hash(),
    }


def _classifier(config: ExperimentConfig, catalogue: Catalogue) -> ResistanceClassifier:
    settings = config.classifier.model_dump()
    signs = catalogue.signs(config.setting) if settings.pop("monotone") else None
    return ResistanceClassifier(
        **settings, monotone_constraints=signs, random_state=config.seed
    )


def validate(
    dataset: Dataset,
    *,
    loco_splits: Sequence[Split],
    folds: Sequence[Split],
    config: ExperimentConfig,
    standardisation: Standardisation,
) -> Validation:
    """Return out-of-fold predictions and figures of one standardisation."""
    size = config.features.min_cohort_size

    def predict(splits: Sequence[Split], *, attributions: bool) -> OutOfFold:
        return predict_out_of_fold(
            dataset.samples,
            splits,
            features_of=dataset.features,
            make_classifier=lambda: _classifier(config, dataset.catalogue),
            standardisation=standardisation,
            min_cohort_size=size,
            with_attributions=attributions,
        )

    loco = predict(loco_splits, attributions=True)
    grouped = _average_repeats(predict(folds, attributions=False).predictions)
    baselines = predict_baselines(
        dataset.samples,
        loco_splits,
        scores=dataset.signature_scores(),
        standardisation=standardisation,
        min_cohort_size=size,
    )
    suffix = _SUFFIX[standardisation]
    predictions = {f"loco{suffix}": loco.predictions, f"grouped_cv{suffix}": grouped}
    predictions |= {
        f"baseline.{name}.loco{suffix}": found.predictions for name, found in baselines.items()
    }
    estimates = {
        prefix: evaluate_predictions(
            frame, n_resamples=config.validation.n_resamples, seed=config.seed
        )
        for prefix, frame in predictions.items()
    }
    return Validation(loco, grouped, baselines, estimates)


def _average_repeats(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a sample: score and probability averaged over the repeats."""
    grouped = predictions.groupby(level=0, sort=False)
    first = grouped[["cohort", "patient_id", "resistant"]].first()
    return first.join(grouped[["score", "probability"]].mean())


def _final_model(
    dataset: Dataset,
    validations: Mapping[Standardisation, Validation],
    *,
    config: ExperimentConfig,
    facts: Mapping[str, str],
) -> ResistanceModel:
    names = list(dataset.cohorts)
    features, samples = dataset.features(names), dataset.samples
    labelled = samples["resistant"].notna()
    base_rate = float(samples["resistant"].mean())
    arms = {}
    for arm, validation in validations.items():
        standardiser = None
        if arm == "reference":
            standardiser = ReferenceStandardiser().fit(features, cohorts=samples["cohort"])
            X = standardiser.transform(features)
        else:
            X = standardise_in_cohort(
                features,
                cohorts=samples["cohort"],
                min_cohort_size=config.features.min_cohort_size,
            )
        classifier = _classifier(config, dataset.catalogue).fit(
            X[labelled],
            samples.loc[labelled, "resistant"].astype(int),
            groups=patient_keys(samples[labelled]),
        )
        held_out = validation.loco.predictions.dropna(subset=["resistant"])
        calibrator = PlattCalibrator().fit(held_out["score"], held_out["resistant"])
        arms[arm] = ModelArm(classifier, calibrator, standardiser, base_rate)
    return ResistanceModel(
        setting=config.setting,
        catalogue=dataset.catalogue,
        transformer=dataset.transformer(names),
        arms=arms,
        min_cohort_size=config.features.min_cohort_size,
        facts={**facts, "training_cohorts": names, "base_rate": base_rate},
    )


@dataclass(frozen=True)
class _Run:
    """Everything that goes into the MLflow run."""

    config: ExperimentConfig
    config_file: Path
    dataset: Dataset
    ingested: Sequence[IngestedCohort]
    extra: Sequence[IngestedCohort]
    validations: Mapping[Standardisation, Validation]
    model: ResistanceModel
    signs: pd.DataFrame
    facts: Mapping[str, str]

    def log(self, splits: Mapping[str, Sequence[Split]]) -> TrainingResult:
        store = default_store(project_folder(self.config_file), uri=self.config.tracking.uri)
        open_store(store, experiment=self.config.tracking.experiment)
        comparison = _comparison(self.validations)
        name = self.config.model.registered_name
        with start_run(name, tags={**self.facts, "setting": self.config.setting}) as run_id:
            self._log_inputs(splits)
            metrics = self._log_metrics(comparison)
            self._log_figures(comparison)
            version = register_model(
                self.model,
                name=name,
                alias=self.config.model.alias,
                example=_synthetic_example(self.model.feature_names, seed=self.config.seed),
            )
            for cohort in self.dataset.cohorts:
                self._log_held_out(cohort)
            for scored in self.extra:
                metrics |= self._log_scored(scored, version)
            mlflow.log_metrics(metrics)
        attributions = self.validations["cohort"].loco.attributions
        importance = attributions.values.abs().mean() if attributions else pd.Series(dtype=float)
        return TrainingResult(
            run_id, name, version, store.uri, metrics, comparison, self.signs, importance
        )

    def _log_inputs(self, splits: Mapping[str, Sequence[Split]]) -> None:
        resolved = self.config.model_dump(mode="json")
        mlflow.log_params(_flatten(resolved))
        mlflow.log_dict(resolved, "config/resolved.yaml")
        files = {
            cohort.name: dict(cohort.files) for cohort in [*self.ingested, *self.extra]
        }
        mlflow.log_dict(files, "data/files_sha256.json")
        mlflow.log_dict(
            {name: dict(counts) for name, counts in self.dataset.left_out.items()},
            "data/left_out_by_timepoint.json",
        )
        notes = {cohort.name: list(cohort.report.notes) for cohort in self.ingested}
        mlflow.log_dict(notes, "data/notes.json")
        mlflow.log_dict(self.model.catalogue.model_dump(mode="json"), "data/catalogue.json")
        features = self.dataset.features(list(self.dataset.cohorts))
        for cohort in self.ingested:
            rows = self.dataset.samples["cohort"] == cohort.name
            log_cohort(
                features[rows],
                self.dataset.samples.loc[rows, "resistant"],
                name=cohort.name,
                source=next(iter(cohort.files)),
            )
        for name, plan in splits.items():
            log_table(splits_table(self.dataset.samples, list(plan)), f"splits/{name}.parquet")

    def _log_metrics(self, comparison: pd.DataFrame) -> dict[str, float]:
        metrics: dict[str, float] = {
            "samples.labelled": float(self.dataset.samples["resistant"].notna().sum()),
            "samples.left_out_by_timepoint": float(
                sum(sum(counts.values()) for counts in self.dataset.left_out.values())
            ),
        }
        for arm, validation in self.validations.items():
            for prefix, estimates in validation.estimates.items():
                metrics |= estimate_metrics(estimates, prefix=prefix)
            frames = {
                "loco": validation.loco.predictions,
                "grouped_cv": validation.grouped,
                **{f"baseline.{n}": f.predictions for n, f in validation.baselines.items()},
            }
            for name, frame in frames.items():
                log_table(frame.rename_axis("sample"), f"predictions/{name}{_SUFFIX[arm]}.parquet")
        log_table(comparison, "tables/comparison.parquet")
        log_table(self.signs, "tables/feature_signs.parquet")
        verdicts = self.signs["verdict"].value_counts()
        for verdict in ("agrees", "opposes", "unclear"):
            metrics[f"signs.{verdict}"] = float(verdicts.get(verdict, 0))
        return metrics

    def _log_figures(self, comparison: pd.DataFrame) -> None:
        for arm, validation in self.validations.items():
            suffix = _SUFFIX[arm]
            chosen = comparison[
                (comparison["standardisation"] == arm)
                & (comparison["metric"] == "auroc")
                & comparison["predictor"].isin(["model", *_FOREST_BASELINES])
            ]
            title = f"Leave-one-cohort-out AUROC, {arm}-relative"
            log_figure(auroc_forest(chosen, title=title), f"figures/loco{suffix}_auroc.png")
            self._log_attributions(validation, arm, folder="shap", cohort=None)
        log_figure(
            reliability(
                {f"{arm}-relative": v.loco.predictions for arm, v in self.validations.items()},
                title="Calibration of out-of-cohort probabilities",
            ),
            "figures/reliability.png",
        )
        log_figure(
            feature_signs(self.signs, title="Do features go the catalogue's way?"),
            "figures/feature_signs.png",
        )

    def _log_attributions(
        self, validation: Validation, arm: Standardisation, *, folder: str, cohort: str | None
    ) -> None:
        """Log SHAP tables and figures of the out-of-cohort predictions, all or one cohort's."""
        attributions = validation.loco.attributions
        if attributions is None:
            return
        rows = attributions.values.index
        if cohort is not None:
            rows = rows[(self.dataset.samples.loc[rows, "cohort"] == cohort).to_numpy()]
        part = type(attributions)(attributions.values.loc[rows], attributions.base_value[rows])
        features = self.dataset.features(list(self.dataset.cohorts))
        suffix, what = _SUFFIX[arm], cohort or "all held-out cohorts"
        sums = part.by_mechanism(self.model.catalogue.mechanisms)
        log_table(part.values.rename_axis("sample"), f"{folder}/attributions{suffix}.parquet")
        log_table(sums.rename_axis("sample"), f"{folder}/mechanisms{suffix}.parquet")
        title = f"{what}, {arm}-relative"
        log_figure(beeswarm(part, features, title=title), f"{folder}/beeswarm{suffix}.png")
        log_figure(mechanism_bar(sums, title=title), f"{folder}/mechanisms{suffix}.png")
        probability = validation.loco.predictions.loc[rows, "probability"]
        for which, sample in (
            ("most", str(probability.idxmax())),
            ("least", str(probability.idxmin())),
        ):
            figure = waterfall(
                part, features, sample=sample, title=f"{which} resistant: {sample}, {arm}-relative"
            )
            log_figure(figure, f"{folder}/waterfall_{which}_resistant{suffix}.png")

    def _log_held_out(self, cohort: str) -> None:
        tags = {"held_out": cohort, "setting": self.config.setting}
        with start_run(f"held out: {cohort}", tags=tags, nested=True):
            for arm, validation in self.validations.items():
                suffix = _SUFFIX[arm]
                frames = {"loco": validation.loco} | {
                    f"baseline.{name}.loco": found for name, found in validation.baselines.items()
                }
                for prefix, found in frames.items():
                    frame = found.predictions
                    estimates = evaluate_predictions(
                        frame[frame["cohort"] == cohort],
                        n_resamples=self.config.validation.n_resamples,
                        seed=self.config.seed,
                    )
                    pooled = {k: v for k, v in estimates.items() if "." not in k}
                    mlflow.log_metrics(estimate_metrics(pooled, prefix=f"{prefix}{suffix}"))
                self._log_attributions(validation, arm, folder="shap", cohort=cohort)

    def _log_scored(self, cohort: IngestedCohort, version: str) -> dict[str, float]:
        """Score a cohort that was not trained on, as a child run; return its parent metrics."""
        uri = f"models:/{self.config.model.registered_name}/{version}"
        metrics: dict[str, float] = {}
        tags = {"scored": cohort.name, "setting": self.config.setting}
        with start_run(f"scored: {cohort.name}", tags=tags, nested=True):
            for arm in _ARMS:
                if arm == "reference" and not cohort.reference_offered:
                    continue
                if arm == "cohort" and cohort.adata.n_obs < self.model.min_cohort_size:
                    continue
                scored = score_cohort(
                    self.model, cohort, standardisation=arm, uri=uri, version=version
                )
                log_table(scored.predictions, f"predictions{_SUFFIX[arm]}.parquet")
                metrics |= self._scored_metrics(scored, prefix=f"scored{_SUFFIX[arm]}")
            mlflow.log_metrics(metrics)
        return metrics

    def _scored_metrics(self, scored: ScoredCohort, *, prefix: str) -> dict[str, float]:
        estimates = scored.evaluate(
            n_resamples=self.config.validation.n_resamples, seed=self.config.seed
        )
        own = {name: value for name, value in estimates.items() if "." not in name}
        return estimate_metrics(own, prefix=f"{prefix}.{scored.cohort.name}")


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list) else value
    return flat


def _comparison(validations: Mapping[Standardisation, Validation]) -> pd.DataFrame:
    """Return all estimates as one table; ``cohort`` is 'mean' (ranking) or 'pooled'."""
    rows = []
    for arm, validation in validations.items():
        for prefix, estimates in validation.estimates.items():
            predictor = prefix.split(".")[1] if prefix.startswith("baseline.") else "model"
            scheme = "grouped_cv" if prefix.startswith("grouped_cv") else "loco"
            for name, estimate in estimates.items():
                cohort, _, metric = name.rpartition(".")
                pooled = "mean" if metric in ("auroc", "auprc") else "pooled"
                rows.append(
                    {
                        "predictor": predictor if scheme == "loco" else "model, grouped folds",
                        "standardisation": arm,
                        "metric": metric,
                        "cohort": cohort or pooled,
                        "value": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                    }
                )
    return pd.DataFrame(rows)


def _synthetic_example(features: Sequence[str], *, seed: int) -> pd.DataFrame:
    """Return made-up feature rows: the input example, never a patient."""
    rng = np.random.default_rng(seed)
    example = pd.DataFrame(
        rng.uniform(0.2, 0.8, (3, len(features))).round(3), columns=list(features)
    )
    return example.assign(cohort="synthetic")
