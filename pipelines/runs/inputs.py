"""What went into a run: configuration, cohorts, samples left out, datasets by source and digest."""

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
import pandas as pd
from mlflow.data.pandas_dataset import PandasDataset

from features.reference import Standardisation
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort
from pipelines.runs.artifacts import log_document, log_table
from pipelines.store_faults import again_if_raced
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = [
    "cohort_dataset",
    "cohort_table",
    "flat_params",
    "log_datasets",
    "log_inputs",
    "training_datasets",
]

_LISTED = ("cancer_type", "drug", "timepoint")


def log_inputs(
    config: ExperimentConfig,
    dataset: Dataset,
    *,
    ingested: Sequence[IngestedCohort],
    extra: Sequence[IngestedCohort] = (),
    validations: Mapping[Standardisation, Validation],
    facts: Mapping[str, Any],
) -> None:
    """Log configuration, cohorts, catalogue and splits as artifacts.

    Parameters
    ----------
    config, dataset, validations
        The experiment, the samples that took part, their validations.
    ingested, extra
        The cohorts trained on, and those that are only scored.
    facts
        Of the model.
    """
    cohorts = [*ingested, *extra]
    documents: Mapping[str, Mapping[str, Any]] = {
        "config/resolved.yaml": config.model_dump(mode="json"),
        "data/files_sha256.json": {cohort.name: dict(cohort.files) for cohort in cohorts},
        "data/left_out_by_timepoint.json": {
            name: dict(counts) for name, counts in dataset.left_out.items()
        },
        "data/notes.json": {cohort.name: list(cohort.report.notes) for cohort in cohorts},
        "data/catalogue.json": dataset.catalogue.model_dump(mode="json"),
        "data/facts.json": {key: value for key, value in facts.items() if key != "held_out"},
    }
    for path, document in documents.items():
        log_document(document, path)
    log_table(cohort_table(dataset, ingested), "tables/cohorts.parquet")
    for arm, validation in validations.items():
        log_table(validation.plan.table(), f"splits/plan{ARM_SUFFIX[arm]}.parquet")


def cohort_table(dataset: Dataset, ingested: Sequence[IngestedCohort]) -> pd.DataFrame:
    """Return a row a cohort of training: who took part, by which label rule, from which file.

    Columns ``cohort, n, patients, labelled, resistant, resistant_share, cancer_type, drug,
    timepoint, left_out, sex_known, female, age_known, age_median, pfs_known, os_known, unit,
    label_rule, file, sha256``; ``left_out`` counts samples of other timepoints, words that a
    cohort does not say are empty.
    """
    samples = dataset.samples
    rows = []
    for cohort in ingested:
        part = samples[samples["cohort"] == cohort.name]
        left_out = dataset.left_out.get(cohort.name, {})
        row: dict[str, Any] = {
            "cohort": cohort.name,
            **_counts(part),
            **{name: _listed(part[name]) for name in _LISTED},
            "left_out": ", ".join(f"{count} {name}" for name, count in left_out.items()),
            **_known(part),
            **_origin(cohort),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _counts(part: pd.DataFrame) -> dict[str, float]:
    labels = part["resistant"].dropna()
    return {
        "n": len(part),
        "patients": int(part["patient_id"].nunique()),
        "labelled": len(labels),
        "resistant": int(labels.sum()),
        "resistant_share": float(labels.mean()),
    }


def _known(part: pd.DataFrame) -> dict[str, float]:
    """Return for how many samples sex, age and survival are known, and what they are."""
    ages = part["age"].dropna()
    return {
        "sex_known": int(part["sex"].notna().sum()),
        "female": int((part["sex"] == "female").sum()),
        "age_known": len(ages),
        "age_median": float(ages.median()) if len(ages) else float("nan"),
        **{f"{end}_known": int(part[f"{end}_time"].notna().sum()) for end in ("pfs", "os")},
    }


def _origin(cohort: IngestedCohort) -> dict[str, str]:
    facts = cohort.adata.uns["oncoresist"]
    source = next(iter(cohort.files))
    return {
        "unit": str(facts["unit"]),
        "label_rule": str(facts["label_rule"]),
        "file": source.replace("\\", "/").rpartition("/")[2],
        "sha256": cohort.files[source],
    }


def _listed(values: "pd.Series[str]") -> str:
    """Return what a column says, the commonest first; empty where it says nothing."""
    return ", ".join(str(value) for value in values.dropna().value_counts().index)


def training_datasets(
    dataset: Dataset, ingested: Sequence[IngestedCohort]
) -> dict[str, PandasDataset]:
    """Return the samples of each cohort that took part, features and label, as a dataset."""
    samples, features = dataset.samples, dataset.features(list(dataset.cohorts))
    found = {}
    for cohort in ingested:
        rows = samples["cohort"] == cohort.name
        found[cohort.name] = cohort_dataset(
            features[rows], samples.loc[rows, "resistant"], cohort=cohort
        )
    return found


def cohort_dataset(
    features: pd.DataFrame, labels: "pd.Series[float]", *, cohort: IngestedCohort
) -> PandasDataset:
    """Return features and labels as a dataset for MLflow: schema and digest, no data.

    The source is the cohort's expression file; the digest is that of features and labels, which
    also changes with the samples that take part and with the catalogue.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="mlflow")
        return mlflow.data.from_pandas(
            features.assign(resistant=labels),
            source=next(iter(cohort.files)),
            name=cohort.name,
            targets="resistant",
        )


def log_datasets(datasets: Mapping[str, PandasDataset], *, context: str) -> None:
    """Log datasets as inputs of the active run, in one call."""
    count = len(datasets)
    again_if_raced(
        lambda: mlflow.log_inputs(
            datasets=list(datasets.values()), contexts=[context] * count, tags_list=[{}] * count
        )
    )


def flat_params(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration as flat parameters: ``validation.n_splits``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_params(value, f"{prefix}{key}.")
        else:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            flat[f"{prefix}{key}"] = json.dumps(value) if is_list else value
    return flat
