"""The metrics of a training run, by the names that reviewers filter and compare."""

import time
from collections.abc import Mapping
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.entities import Metric

from models.metrics import evaluate_predictions
from pipelines.tracking import estimate_metrics
from pipelines.training.trained import TrainedExperiment
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = [
    "held_out_metrics",
    "log_linked_metrics",
    "shift_metrics",
    "training_metrics",
    "validation_metrics",
]

_DIFFERENCES = {"mean": "difference", "within_cohort_pairs": "difference_pairs"}
_POOLED = "pooled"
_ENDS = ("", "_low", "_high")
_FIRST = (
    *("loco.auroc", "loco.auroc_low", "loco.auroc_high", "baseline.gep_18.loco.auroc"),
    *("loco.brier", "baseline.prior.loco.brier", "loco.ece", "loco.ece_floor"),
    *("loco_reference.auroc", "loco_reference.auroc_low", "loco_reference.auroc_high"),
    *("loco_reference.brier", "baseline.prior.loco_reference.brier", "loco_reference.ece"),
)
"""What the UI, which lists metrics as they were logged, shows without scrolling."""
_OF_MODEL = {
    *(f"{name}{end}" for name in ("auroc", "brier_skill", "calibration_slope") for end in _ENDS),
    *(f"difference.gep_18{end}" for end in _ENDS),
    *("auprc", "brier", "ece", "ece_floor", "calibration_in_the_large", "n", "null_auroc"),
    *("coverage.resistant", "coverage.responsive", "two_label_share"),
}
"""Of the cohorts held out, what the page of the logged model shows."""


def training_metrics(trained: TrainedExperiment) -> dict[str, float]:
    """Return every metric of the parent run that is known before cohorts are scored."""
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
    for validation in trained.validations.values():
        metrics |= validation_metrics(validation)
    metrics |= shift_metrics(trained.shift)
    return {name: metrics[name] for name in _FIRST if name in metrics} | metrics


def validation_metrics(validation: Validation) -> dict[str, float]:
    """Return every figure of one standardisation: ``loco.auroc``, ``baseline.impres.loco.brier``.

    Calibration (``loco.calibration_slope``), coverage (``loco.coverage.resistant``), the gain of
    abstention (``loco.most_certain.brier``), differences to peers (``loco.difference.gep_18``,
    over pairs within cohorts ``loco.difference_pairs.gep_18``) and the permutation null
    (``loco.null_auroc``) stand beside ``loco.auroc``; a tumour type's AUROC by what the models
    trained on under ``tumour_type.<type>.<training>.auroc``.
    """
    metrics: dict[str, float] = {}
    for prefix, estimates in validation.estimates.items():
        metrics |= estimate_metrics(estimates, prefix=prefix)
        metrics[f"{prefix}.n"] = float(validation.sizes[prefix])
    prefix, tables = validation.prefix, validation.tables
    calibration = tables["calibration"]
    whole = calibration[~calibration["name"].str.contains(".", regex=False)]
    metrics = _named(whole, prefix) | metrics
    coverage = tables["coverage"]
    for row in coverage[coverage["cohort"] == _POOLED].to_dict("records"):
        metrics[f"{prefix}.coverage.{row['label']}"] = float(row["coverage"])
        if row["label"] == "all":
            metrics[f"{prefix}.two_label_share"] = float(row["two_label"])
    metrics |= _named(tables["most_certain"], f"{prefix}.most_certain")
    differences = tables["differences"]
    for pooled, suffix in _DIFFERENCES.items():
        metrics |= _named(_of_peers(differences, pooled), f"{prefix}.{suffix}")
    if "tumour_types" in tables:
        scheme = f"tumour_type{ARM_SUFFIX[validation.learner.standardisation]}"
        metrics |= _of_types(tables["tumour_types"], scheme)
    if "null" in tables:
        null = tables["null"]["auroc"]
        metrics[f"{prefix}.null_auroc"] = float(null.mean())
        metrics[f"{prefix}.null_auroc_se"] = float(null.std(ddof=1) / len(null) ** 0.5)
        if validation.scheme == "nested":
            metrics |= _against_null(validation, prefix)
    return _finite(metrics)


def _of_types(table: pd.DataFrame, scheme: str) -> dict[str, float]:
    """Return each type's AUROC by kind of training; words of a type are joined by ``_``."""
    types = table["tumour_type"].str.replace(r"\W+", "_", regex=True)
    names = scheme + "." + types + "." + table["training"] + ".auroc"
    return dict(zip(names, table["auroc"].astype(float), strict=True))


def _against_null(validation: Validation, prefix: str) -> dict[str, float]:
    """Return where the first repeat's AUROC stands among those on shuffled labels.

    ``null_auroc_95``: the AUROC that one shuffle in twenty exceeds; ``null_p``: the share of
    shuffles at least as high, the data counted among them.
    """
    null = validation.tables["null"]["auroc"].to_numpy(dtype=float)
    first = evaluate_predictions(validation.main.predictions, n_resamples=2, seed=0)["auroc"].value
    return {
        f"{prefix}.first_repeat.auroc": first,
        f"{prefix}.null_auroc_95": float(np.quantile(null, 0.95)),
        f"{prefix}.null_p": float((1 + (null >= first).sum()) / (1 + null.size)),
    }


def held_out_metrics(validation: Validation, *, cohort: str) -> dict[str, float]:
    """Return one held-out cohort's figures under the parent's names, few enough to compare.

    ``loco.auroc``, ``loco.brier``, ``loco.ece`` and the like with their intervals,
    ``loco.coverage.<label>``, ``loco.difference.gep_18``, and of every peer
    ``baseline.<peer>.loco.auroc``; reference-relative under ``loco_reference``.
    """
    prefix, tables = validation.prefix, validation.tables
    metrics: dict[str, float] = {}
    for source, estimates in validation.estimates.items():
        wanted = ("auroc", "auprc") if source == prefix else ("auroc",)
        if not source.endswith(prefix):
            continue
        for name in wanted:
            found = estimates.get(f"{cohort}.{name}")
            if found is None:
                continue
            metrics[f"{source}.{name}"] = found.value
            if source == prefix:
                metrics |= {f"{source}.{name}_low": found.low, f"{source}.{name}_high": found.high}
    calibration = tables["calibration"]
    own = calibration[calibration["name"].str.startswith(f"{cohort}.")]
    names = own["name"].str.removeprefix(f"{cohort}.")
    metrics |= _named(own.assign(name=names), prefix)
    differences = _of_peers(tables["differences"], cohort)
    metrics |= _named(differences[differences["name"] == "gep_18"], f"{prefix}.difference")
    coverage = tables["coverage"]
    for row in coverage[coverage["cohort"] == cohort].to_dict("records"):
        metrics[f"{prefix}.coverage.{row['label']}"] = float(row["coverage"])
    predicted = validation.main.predictions
    part = predicted[(predicted["cohort"] == cohort) & predicted["resistant"].notna()]
    metrics[f"{prefix}.n"] = float(part["score"].notna().sum())
    return _finite(metrics)


def _of_peers(differences: pd.DataFrame, cohort: str) -> pd.DataFrame:
    return differences[differences["cohort"] == cohort].rename(
        columns={"peer": "name", "difference": "value"}
    )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value == value}


def _named(table: pd.DataFrame, prefix: str) -> dict[str, float]:
    metrics = {}
    for row in table.to_dict("records"):
        for end, column in zip(_ENDS, ("value", "low", "high"), strict=True):
            metrics[f"{prefix}.{row['name']}{end}"] = float(row[column])
    return metrics


def shift_metrics(shift: pd.DataFrame) -> dict[str, float]:
    """Return the share of each set's samples that the shift score puts out of scope."""
    return {
        f"shift.flagged.{str(name).replace(' ', '_')}": float((part["shift_score"] > 1).mean())
        for name, part in shift.groupby("set", sort=False)
    }


def log_linked_metrics(
    metrics: Mapping[str, float],
    *,
    run_id: str,
    model_id: str,
    datasets: Mapping[str, PandasDataset],
) -> None:
    """Log the metrics; the headline stands on the model's page, a cohort's beside its dataset.

    What is linked to the model was measured on cohorts held out of models made in the same way,
    never on the samples that it was fitted on.
    """
    now = int(time.time() * 1000)
    entities = [
        Metric(name, value, now, 0, run_id=run_id, **_links(name, model_id, datasets))
        for name, value in metrics.items()
    ]
    mlflow.MlflowClient().log_batch(run_id, metrics=entities)


def _links(name: str, model_id: str, datasets: Mapping[str, PandasDataset]) -> dict[str, Any]:
    scheme, _, figure = name.partition(".")
    if name in ("nested.auroc", "nested_reference.auroc", "baseline.gep_18.loco.auroc"):
        return {"model_id": model_id}
    if scheme not in ("loco", "loco_reference", "nested", "nested_reference"):
        return {}
    if figure in _OF_MODEL:
        return {"model_id": model_id}
    dataset = datasets.get(figure.removesuffix(".auroc")) if figure.endswith(".auroc") else None
    if dataset is None:
        return {}
    return {
        "model_id": model_id,
        "dataset_name": dataset.name,
        "dataset_digest": dataset.digest,
    }
