"""Validate an experiment: out-of-fold predictions of model and baselines, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from features.catalogue import Catalogue
from features.reference import Standardisation
from models.classifier import ResistanceClassifier
from models.metrics import Estimate, evaluate_predictions
from models.splits import Split, grouped_splits, leave_one_cohort_out_splits
from models.validation import OutOfFold, predict_baselines, predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset

__all__ = [
    "ARMS",
    "ARM_SUFFIX",
    "Validation",
    "compare",
    "headline_rows",
    "new_classifier",
    "validate",
    "verdict",
]

_THREADS = 2
_RANKING = ("auroc", "auprc")
ARMS: tuple[Standardisation, ...] = ("cohort", "reference")
ARM_SUFFIX: Mapping[Standardisation, str] = {"cohort": "", "reference": "_reference"}
"""What a standardisation adds to metric prefixes and file names: 'loco', 'loco_reference'."""


@dataclass(frozen=True)
class Validation:
    """Out-of-fold predictions of one standardisation, and their figures.

    Attributes
    ----------
    samples
        The samples that took part.
    splits
        ``loco`` and ``grouped_cv``: the splits as they were used.
    loco, grouped
        Leave-one-cohort-out, and repeated patient-grouped folds (averaged over repeats).
    baselines
        Name → leave-one-cohort-out predictions on the same samples.
    estimates
        Metric prefix (``loco``, ``baseline.gep_18.loco``, ``grouped_cv`` …) → estimates.
    sizes
        Metric prefix → labelled samples with a score, the number behind each figure.
    """

    samples: pd.DataFrame
    splits: Mapping[str, Sequence[Split]]
    loco: OutOfFold
    grouped: pd.DataFrame
    baselines: Mapping[str, OutOfFold]
    estimates: Mapping[str, Mapping[str, Estimate]]
    sizes: Mapping[str, int]


def new_classifier(config: ExperimentConfig, catalogue: Catalogue) -> ResistanceClassifier:
    """Return an unfitted classifier as the experiment configures it, the setting's signs held."""
    settings = config.classifier.model_dump()
    signs = catalogue.signs(config.setting) if settings.pop("monotone") else None
    return ResistanceClassifier(
        **settings, monotone_constraints=signs, random_state=config.seed, n_jobs=_THREADS
    )


def validate(
    dataset: Dataset, *, config: ExperimentConfig, standardisation: Standardisation
) -> Validation:
    """Return out-of-fold predictions and figures of one standardisation.

    Raises
    ------
    CohortError
        The samples cannot be split: too few cohorts, or too few patients of a class.
    """
    size, samples = config.features.min_cohort_size, dataset.samples
    loco_splits = leave_one_cohort_out_splits(samples)
    folds = grouped_splits(
        samples,
        n_splits=config.validation.n_splits,
        n_repeats=config.validation.n_repeats,
        seed=config.seed,
    )

    def predict(splits: Sequence[Split], *, attributions: bool) -> OutOfFold:
        return predict_out_of_fold(
            samples,
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
        samples,
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
    sizes = {
        prefix: int((frame["score"].notna() & frame["resistant"].notna()).sum())
        for prefix, frame in predictions.items()
    }
    splits = {"loco": loco_splits, "grouped_cv": folds}
    return Validation(samples, splits, loco, grouped, baselines, estimates, sizes)


def _average_repeats(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a sample: score and probability averaged over the repeats."""
    grouped = predictions.groupby(level=0, sort=False)
    first = grouped[["cohort", "patient_id", "resistant"]].first()
    return first.join(grouped[["score", "probability"]].mean())


def compare(validations: Mapping[Standardisation, Validation]) -> pd.DataFrame:
    """Return all estimates as one table.

    Columns ``predictor, scheme (loco, grouped_cv), standardisation, metric, cohort, value, low,
    high``; ``cohort`` is 'mean' (ranking metrics) or 'pooled' (calibration) for all together.
    """
    rows = []
    for arm, validation in validations.items():
        for prefix, estimates in validation.estimates.items():
            for name, estimate in estimates.items():
                cohort, _, metric = name.rpartition(".")
                rows.append(
                    {
                        "predictor": prefix.split(".")[1] if "." in prefix else "model",
                        "scheme": "grouped_cv" if prefix.startswith("grouped_cv") else "loco",
                        "standardisation": arm,
                        "metric": metric,
                        "cohort": cohort or ("mean" if metric in _RANKING else "pooled"),
                        "value": estimate.value,
                        "low": estimate.low,
                        "high": estimate.high,
                    }
                )
    return pd.DataFrame(rows)


def verdict(comparison: pd.DataFrame) -> str:
    """Return in a sentence how the model ranks beside the best baseline and the class prior."""
    chosen = comparison[
        (comparison["scheme"] == "loco")
        & (comparison["standardisation"] == "cohort")
        & comparison["cohort"].isin(["mean", "pooled"])
    ]
    auroc = chosen[chosen["metric"] == "auroc"].set_index("predictor")["value"].astype(float)
    brier = chosen[chosen["metric"] == "brier"].set_index("predictor")["value"].astype(float)
    best = str(auroc.drop("model").idxmax())
    return (
        f"Cohorts held out, cohort-relative: the model's AUROC is {auroc['model']:.3f}, that of "
        f"the best published signature {auroc[best]:.3f} ({best}); its Brier score is "
        f"{brier['model']:.3f}, that of the class prior {brier['prior']:.3f}."
    )


def headline_rows(comparison: pd.DataFrame) -> list[list[str]]:
    """Return the comparison over all held-out cohorts as rows of text.

    Each row: predictor, then AUROC with interval, Brier score and expected calibration error,
    cohort-relative and reference-relative.
    """
    chosen = comparison[
        (comparison["scheme"] == "loco") & comparison["cohort"].isin(["mean", "pooled"])
    ]
    rows = []
    for predictor, part in chosen.groupby("predictor", sort=False):
        row = [str(predictor)]
        for arm in ARMS:
            own = part[part["standardisation"] == arm].set_index("metric")
            value, low, high = (own[column].astype(float) for column in ("value", "low", "high"))
            row.append(f"{value['auroc']:.3f} ({low['auroc']:.3f} to {high['auroc']:.3f})")
            row += [f"{value[metric]:.3f}" for metric in ("brier", "ece")]
        rows.append(row)
    return rows
