"""Read a long table of drug responses: a sample's resistance to each drug or class of drugs."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.catalogue_check import normalised_name
from features.drug_response import (
    ResponseLabel,
    experiments_agreement,
    label_responses,
    mean_resistance,
    standardise_experiments,
)
from features.errors import CohortError, examples
from features.therapy import DrugTable
from pipelines.reading.drug_rows import read_rows
from pipelines.reading.tables import read_clinical
from pipelines.settings.drug_response import DrugGroup, DrugResponseConfig
from pipelines.settings.layers import did_you_mean

__all__ = ["GROUP_MARK", "SCREEN_COLUMNS", "DrugScreen", "read_drug_screen"]

GROUP_MARK = "|"
"""Parts sample and group in the ids of a screen with several groups."""
SCREEN_COLUMNS = ("drug_group", "resistance", "cell_line", "cosmic_id")
"""What a screen adds to ``obs``: group, resistance in standard deviations over the group's lines,
that the sample is a cell line, and its COSMIC id (empty where unknown)."""


@dataclass(frozen=True)
class DrugScreen:
    """What a long table says of the samples of an expression file.

    Attributes
    ----------
    samples
        A row a sample and group, index the sample's id in the cohort: ``expression_id``,
        ``patient_id`` (the line, :func:`features.cell_lines.line_identity`), ``cancer_type``,
        ``drug``, ``resistant`` and :data:`SCREEN_COLUMNS`.
    measurements
        ``sample, line, drug, experiment, raw, z, group``: every experiment's resistance; ``drug``
        under one name in all spellings (:meth:`features.therapy.DrugTable.name_of`).
    everything
        The same of all drugs of the table, in a group or not.
    notes
        What a user should know.
    """

    samples: pd.DataFrame
    measurements: pd.DataFrame
    everything: pd.DataFrame
    notes: tuple[str, ...]


def read_drug_screen(
    path: Path,
    config: DrugResponseConfig,
    *,
    expression: pd.Index,
    drugs: DrugTable,
    where: str,
) -> DrugScreen:
    """Return the responses of the samples that an expression file holds.

    Parameters
    ----------
    path
        The long table.
    config
        Its columns, the groups of drugs, the label rule.
    expression
        Sample ids of the expression file.
    drugs
        Knows drugs by all their names.
    where
        The cohort, for messages.

    Raises
    ------
    CohortError
        A column or drug is missing, a response is no number, its direction cannot be told, or no
        sample of the expression file is in the table.
    """
    where = f"{where} ({path})"
    rows, notes = read_rows(read_clinical(path), config, expression=expression, where=where)
    names = {text: drugs.name_of(text) for text in rows["drug"].unique()}
    rows = rows.assign(spelled=rows["drug"], drug=rows["drug"].map(names))
    described = _described(rows)
    single = len(config.groups) == 1
    parts, measured = [], []
    for name, group in config.groups.items():
        found = standardise_experiments(_of_group(rows, group, where=where), where=where)
        resistance = mean_resistance(found, least_share=config.least_share)
        if len(resistance) < 2:
            raise CohortError(
                f"{where}: group '{name}' has {len(resistance)} samples measured for "
                f"{config.least_share:.0%} of its drugs ({examples(group.drugs)}); lower "
                "drug_response.least_share, or name fewer drugs"
            )
        notes.append(_note_of_group(name, found, resistance))
        table = described.loc[described.index.isin(resistance.index)].copy()
        table["resistance"] = resistance.reindex(table.index)
        table["resistant"] = _labels(found, resistance, config, rows).reindex(table.index)
        table["expression_id"] = table.index
        table["drug_group"], table["drug"] = name, group.drug or group.drugs[0]
        ids = table.index if single else table.index + GROUP_MARK + name
        parts.append(table.set_index(pd.Index(ids, dtype=object)))
        lines = found["sample"].map(described["patient_id"])
        measured.append(found.assign(line=lines, group=name))
    samples = pd.concat(parts).assign(cell_line=True)
    everything = standardise_experiments(rows, where=where)
    lines = everything["sample"].map(described["patient_id"])
    return DrugScreen(
        samples,
        pd.concat(measured, ignore_index=True),
        everything.assign(line=lines),
        tuple(notes),
    )


def _described(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each sample's line, tissue and COSMIC id: its most frequent ones that are known.

    Of several as frequent the first in alphabetical order: the order of rows is nothing.
    """
    samples = pd.Index(sorted(rows["sample"].unique()), name="sample")

    def commonest(column: str) -> "pd.Series[str]":
        known = rows.loc[rows[column] != "", ["sample", column]].value_counts().reset_index()
        ordered = known.sort_values(["count", column], ascending=[False, True])
        first = ordered.drop_duplicates("sample").set_index("sample")[column]
        return first.reindex(samples, fill_value="")

    names = {"line": "patient_id", "tissue": "cancer_type", "cosmic_id": "cosmic_id"}
    return pd.DataFrame({name: commonest(column) for column, name in names.items()})


def _of_group(rows: pd.DataFrame, group: DrugGroup, *, where: str) -> pd.DataFrame:
    named = rows["spelled"].map(normalised_name)
    known = sorted(rows["spelled"].unique())
    for drug in group.drugs:
        if not (named == normalised_name(drug)).any():
            raise CohortError(
                f"{where}: no response to '{drug}' (drug_response.groups)"
                + did_you_mean(drug, known)
                + f"; drugs of the table: {examples(known, most=12)}"
            )
    return rows[named.isin([normalised_name(drug) for drug in group.drugs])]


def _labels(
    found: pd.DataFrame,
    resistance: "pd.Series[float]",
    config: DrugResponseConfig,
    rows: pd.DataFrame,
) -> "pd.Series[float]":
    """Return the labels by sample; a threshold is in the table's unit where there is one unit."""
    label = ResponseLabel(**config.label.model_dump())
    experiments = found["experiment"].unique()
    if label.threshold is None or len(experiments) > 1:
        return label_responses(resistance, label=label)
    raw = found.set_index("sample")["raw"].reindex(resistance.index)
    way = rows.loc[rows["experiment"] == experiments[0], "direction"].iloc[0]
    cut = label.threshold if way == "higher_resistant" else -label.threshold
    return label_responses(raw, label=ResponseLabel(label.rule, label.share, cut))


def _note_of_group(name: str, found: pd.DataFrame, resistance: "pd.Series[float]") -> str:
    count, drugs = found["experiment"].nunique(), found["drug"].nunique()
    agreement = experiments_agreement(found)
    alike = "" if count < 2 else f", mean Spearman correlation of two {agreement:.2f}"
    return (
        f"{name}: {len(resistance)} samples, {drugs} drugs in {count} experiments{alike}; "
        "resistance is the mean over drugs, in standard deviations over the samples"
    )
