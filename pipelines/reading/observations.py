"""Join the clinical table to the samples of an expression file, and read what it says."""

import pandas as pd

from features.covariates import CovariateRule, read_covariates
from features.errors import CohortError, examples
from features.labels import (
    LabelRule,
    label_resistance,
    name_timepoints,
    survival_event,
    survival_months,
)
from pipelines.reading.text_tables import EMPTY_CELLS
from pipelines.settings.cohort import CohortConfig, ColumnNames, CovariatesConfig, SurvivalColumn

__all__ = ["build_observations"]

_SAMPLE_ID = "sample_id"


def build_observations(
    index: pd.Index,
    clinical: pd.DataFrame | None,
    *,
    config: CohortConfig,
    notes: list[str],
) -> pd.DataFrame:
    """Return ``obs`` of the cohort contract: ids, timepoint, drug, survival, covariates, labels.

    Parameters
    ----------
    index
        Sample ids of the expression file.
    clinical
        Clinical table as text, a row per sample, or None.
    config
        Names of its columns and spellings.
    notes
        What a user should know is appended here.

    Raises
    ------
    CohortError
        No id overlaps, a named column is missing, a sample has several rows, or a label,
        timepoint, survival or covariate entry is not understood.
    ConfigError
        A covariate's spelling is given a value that there is not.
    """
    obs = pd.DataFrame({"sample_id": index.astype(str)}, index=index)
    joined = pd.DataFrame(index=index)
    if clinical is not None:
        joined = _join(index, clinical, config=config, notes=notes)
    where = f"cohort '{config.name}'"
    obs["patient_id"] = _patients(joined, obs, config.columns, notes)
    obs["cohort"] = config.name
    for name in ("cancer_type", "therapy", "drug"):
        column = getattr(config.columns, name)
        constant = getattr(config, name, None)
        if column in joined:
            obs[name] = joined[column].replace("", None)
        elif constant is not None:
            obs[name] = constant
    spellings = {name: (name, *more) for name, more in config.timepoints.model_dump().items()}
    stated = joined.get(config.columns.timepoint, pd.Series("", index=index))
    obs["timepoint"] = name_timepoints(stated, names=spellings, where=where)
    for endpoint in ("pfs", "os"):
        column = getattr(config.survival, endpoint)
        if column is not None and clinical is not None:
            obs = obs.join(_survival(joined, column, endpoint=endpoint, where=where))
    if clinical is not None:
        rules = _covariate_rules(config.covariates)
        obs = obs.join(read_covariates(joined, rules=rules, where=where))
    labels = pd.DataFrame(index=index)
    for name in ("response", "recist"):
        if getattr(config.columns, name) in joined:
            labels[name] = joined[getattr(config.columns, name)]
            obs[name] = labels[name].replace("", None)
    rule = LabelRule(**config.labels.model_dump())
    obs["resistant"] = label_resistance(
        labels.join(obs.filter(["pfs_time", "pfs_event"])), rule=rule, where=where
    )
    return obs


def _join(
    index: pd.Index, clinical: pd.DataFrame, *, config: CohortConfig, notes: list[str]
) -> pd.DataFrame:
    key = _key_column(index, clinical, config)
    matched = int(index.isin(clinical[key]).sum())
    notes.append(f"clinical table joined on column '{key}': {matched} of {len(index)} samples")
    for name in sorted(config.columns.model_fields_set - {"sample_id"}):
        if getattr(config.columns, name) not in clinical:
            raise CohortError(
                f"cohort '{config.name}': the clinical table has no column "
                f"'{getattr(config.columns, name)}' (columns.{name}); its columns: "
                f"{examples(clinical.columns, most=10)}"
            )
    repeated = clinical[key][clinical[key].duplicated() & clinical[key].isin(index)].unique()
    if len(repeated):
        raise CohortError(
            f"cohort '{config.name}': {len(repeated)} samples have several rows in the clinical "
            f"table (column '{key}'): {examples(repeated)}; give one row per sample"
        )
    unmatched = index[~index.isin(clinical[key])]
    if len(unmatched):
        notes.append(f"{len(unmatched)} samples not in the clinical table: {examples(unmatched)}")
    extra = clinical[key][~clinical[key].isin(index)]
    if len(extra):
        notes.append(f"{len(extra)} clinical rows without expression: {examples(extra)}")
    return clinical.set_index(key).reindex(index).fillna("")


def _key_column(index: pd.Index, clinical: pd.DataFrame, config: CohortConfig) -> str:
    overlap = {str(c): int(index.isin(clinical[c]).sum()) for c in clinical.columns}
    stated = config.columns.sample_id
    if stated is not None and stated not in overlap:
        raise CohortError(
            f"cohort '{config.name}': the clinical table has no column '{stated}' "
            f"(columns.sample_id); its columns: {examples(clinical.columns, most=10)}"
        )
    named = stated or (_SAMPLE_ID if _SAMPLE_ID in overlap else None)
    unique = [name for name in overlap if not clinical[name].duplicated().any()]
    key = named or max(unique or list(overlap), key=lambda name: overlap[name])
    if overlap[key] == 0:
        raise CohortError(
            f"cohort '{config.name}': no sample of the expression file ({examples(index)}) is in "
            f"the clinical table (column '{key}': {examples(clinical[key])}); the ids must "
            "be spelled alike, or name the id column under columns.sample_id in a cohort YAML"
        )
    return key


def _patients(
    joined: pd.DataFrame, obs: pd.DataFrame, columns: ColumnNames, notes: list[str]
) -> "pd.Series[str]":
    if columns.patient_id not in joined:
        notes.append("no patient ids: every sample counts as a patient of its own")
        return obs["sample_id"]
    patients = joined[columns.patient_id]
    unknown = patients.isin(EMPTY_CELLS)
    if unknown.any():
        notes.append(
            f"{int(unknown.sum())} samples without a patient id count as patients of their own: "
            f"{examples(obs.index[unknown])}"
        )
    return patients.where(~unknown, obs["sample_id"])


def _covariate_rules(covariates: CovariatesConfig) -> dict[str, CovariateRule]:
    stated = {name: getattr(covariates, name) for name in CovariatesConfig.model_fields}
    return {
        name: CovariateRule(given.column, given.values, given.missing)
        for name, given in stated.items()
        if given is not None
    }


def _survival(
    joined: pd.DataFrame, column: SurvivalColumn, *, endpoint: str, where: str
) -> pd.DataFrame:
    for name in (column.time, column.event):
        if name not in joined:
            raise CohortError(
                f"{where}: the clinical table has no column '{name}' (survival.{endpoint}); its "
                f"columns: {examples(joined.columns, most=10)}"
            )
    return pd.DataFrame(
        {
            f"{endpoint}_time": survival_months(joined[column.time], unit=column.unit, where=where),
            f"{endpoint}_event": survival_event(joined[column.event], where=where),
        }
    )
