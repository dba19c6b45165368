"""Every table of a trained experiment, logged: predictions, figures, features."""

import pandas as pd

from pipelines.registry.gate_scores import expected_scores
from pipelines.runs.artifacts import log_table
from pipelines.training.trained import TrainedExperiment
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["log_tables", "log_validation_tables"]


def log_tables(trained: TrainedExperiment, comparison: pd.DataFrame) -> None:
    """Log predictions and tables of each standardisation, and what both share."""
    for arm, validation in trained.validations.items():
        log_validation_tables(validation, suffix=ARM_SUFFIX[arm])
    log_table(comparison, "tables/comparison.parquet")
    log_table(trained.signs, "tables/feature_signs.parquet")
    log_table(trained.shift, "tables/shift.parquet")
    log_table(trained.drift, "tables/drift.parquet")
    log_table(trained.features.rename_axis("sample"), "tables/features.parquet")
    log_table(expected_scores(trained.model), "gate/expected.parquet")


def log_validation_tables(validation: Validation, *, suffix: str) -> None:
    """Log predictions, choices and figures of one standardisation."""
    schemes = {"nested": validation.nested}
    if validation.scheme != "nested":
        schemes = {validation.scheme: validation.main, **schemes}
    if validation.tumour_type is not None:
        schemes["tumour_type"] = validation.tumour_type
    if validation.per_type is not None:
        schemes["per_type"] = validation.per_type
    predictions = {name: found.predictions for name, found in schemes.items()}
    predictions |= {f"baseline.{name}": frame for name, frame in validation.peers.items()}
    tables = dict(validation.tables)
    for what in ("folds", "trials"):
        parts = [getattr(found, what).assign(scheme=name) for name, found in schemes.items()]
        tables[what] = pd.concat(parts, ignore_index=True)
    for name, frame in predictions.items():
        log_table(frame.rename_axis("sample"), f"predictions/{name}{suffix}.parquet")
    for name, frame in tables.items():
        log_table(frame, f"tables/{name}{suffix}.parquet")
