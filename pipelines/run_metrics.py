"""The metrics of a training run, by the names that reviewers filter and compare."""

import pandas as pd

from features.reference import Standardisation
from pipelines.tracking import estimate_metrics
from pipelines.validate import ARM_SUFFIX, Validation

__all__ = ["shift_metrics", "validation_metrics"]

_DIFFERENCES = {"mean": "difference", "within_cohort_pairs": "difference_pairs"}
_POOLED = "pooled"


def validation_metrics(validation: Validation, *, arm: Standardisation) -> dict[str, float]:
    """Return every figure of one standardisation: ``loco.auroc``, ``baseline.impres.loco.brier``.

    Calibration (``loco.calibration_slope``), coverage (``loco.coverage.resistant``), the gain of
    abstention (``loco.most_certain.brier``), differences to peers (``loco.difference.gep_18``,
    over pairs within cohorts ``loco.difference_pairs.gep_18``) and the permutation null
    (``loco.null_auroc``) stand beside ``loco.auroc``.
    """
    metrics: dict[str, float] = {}
    for prefix, estimates in validation.estimates.items():
        metrics |= estimate_metrics(estimates, prefix=prefix)
        metrics[f"{prefix}.n"] = float(validation.sizes[prefix])
    prefix, tables = f"loco{ARM_SUFFIX[arm]}", validation.tables
    calibration = tables["calibration"]
    metrics |= _named(calibration[~calibration["name"].str.contains(".", regex=False)], prefix)
    coverage = tables["coverage"]
    for row in coverage[coverage["cohort"] == _POOLED].to_dict("records"):
        metrics[f"{prefix}.coverage.{row['label']}"] = float(row["coverage"])
        if row["label"] == "all":
            metrics[f"{prefix}.two_label_share"] = float(row["two_label"])
    metrics |= _named(tables["most_certain"], f"{prefix}.most_certain")
    differences = tables["differences"]
    for pooled, suffix in _DIFFERENCES.items():
        found = differences[differences["cohort"] == pooled].rename(
            columns={"peer": "name", "difference": "value"}
        )
        metrics |= _named(found, f"{prefix}.{suffix}")
    if "null" in tables:
        null = tables["null"]["auroc"]
        metrics[f"{prefix}.null_auroc"] = float(null.mean())
        metrics[f"{prefix}.null_auroc_se"] = float(null.std(ddof=1) / len(null) ** 0.5)
    return {name: value for name, value in metrics.items() if value == value}


def _named(table: pd.DataFrame, prefix: str) -> dict[str, float]:
    metrics = {}
    for row in table.to_dict("records"):
        metrics[f"{prefix}.{row['name']}"] = float(row["value"])
        metrics[f"{prefix}.{row['name']}_low"] = float(row["low"])
        metrics[f"{prefix}.{row['name']}_high"] = float(row["high"])
    return metrics


def shift_metrics(shift: pd.DataFrame) -> dict[str, float]:
    """Return the share of each set's samples that the shift score puts out of scope."""
    return {
        f"shift.flagged.{str(name).replace(' ', '_')}": float((part["shift_score"] > 1).mean())
        for name, part in shift.groupby("set", sort=False)
    }
