"""Validate an experiment: out-of-fold predictions of model and baselines, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from features.catalogue import Catalogue
from features.reference import Standardisation
from models.classifier import ResistanceClassifier
from models.metrics import Estimate, evaluate_predictions
from models.splits import Split
from models.validation import OutOfFold, predict_baselines, predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset

__all__ = ["ARMS", "ARM_SUFFIX", "Validation", "compare", "new_classifier", "validate"]

_THREADS = 2
ARMS: tuple[Standardisation, ...] = ("cohort", "reference")
ARM_SUFFIX: Mapping[Standardisation, str] = {"cohort": "", "reference": "_reference"}
"""What a standardisation adds to metric prefixes and file names: 'loco', 'loco_reference'."""


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


def new_classifier(config: ExperimentConfig, catalogue: Catalogue) -> ResistanceClassifier:
    """Return an unfitted classifier as the experiment configures it, the setting's signs held."""
    settings = config.classifier.model_dump()
    signs = catalogue.signs(config.setting) if settings.pop("monotone") else None
    return ResistanceClassifier(
        **settings, monotone_constraints=signs, random_state=config.seed, n_jobs=_THREADS
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
            make_classifier=lambda: new_classifier(config, dataset.catalogue),
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
    suffix = ARM_SUFFIX[standardisation]
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


def compare(validations: Mapping[Standardisation, Validation]) -> pd.DataFrame:
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
