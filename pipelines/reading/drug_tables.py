"""Read a long table of drug responses: a sample's resistance to each drug or class of drugs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.catalogue_check import normalised_name
from features.cell_lines import line_identity
from features.drug_response import (
    ResponseLabel,
    experiments_agreement,
    label_responses,
    mean_resistance,
    measure_direction,
    standardise_experiments,
)
from features.errors import CohortError, examples
from features.therapy import DrugTable
from pipelines.reading.tables import read_clinical
from pipelines.reading.text_tables import EMPTY_CELLS
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
    rows, notes = _rows(read_clinical(path), config, expression=expression, where=where)
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


def _rows(
    table: pd.DataFrame, config: DrugResponseConfig, *, expression: pd.Index, where: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return the measurements of samples that the expression file holds, with their direction."""
    columns, notes = config.columns, []
    _require(table, config, where=where)
    for name, values in config.where.items():
        table = table[table[name].str.casefold().isin([value.casefold() for value in values])]
        if table.empty:
            raise CohortError(f"{where}: no row has {name} {examples(values)}; see where")
    unknown = [name for name in config.exclude if name not in expression]
    if unknown:
        raise CohortError(
            f"{where}: drug_response.exclude names {examples(unknown)}, no samples of the "
            f"expression file ({examples(expression)})"
        )
    expression = expression.drop(list(config.exclude))
    known = table[columns.sample].isin(expression)
    if not known.any():
        raise CohortError(
            f"{where}: no sample of the table (column '{columns.sample}': "
            f"{examples(table[columns.sample].unique())}) is in the expression file "
            f"({examples(expression)}); the ids must be spelled alike"
        )
    without = table[columns.sample][~known].nunique()
    if without:
        notes.append(f"{without} samples of the drug table have no expression")
    silent = expression[~expression.isin(table[columns.sample])]
    if len(silent):
        notes.append(f"{len(silent)} samples without a response left out: {examples(silent)}")
    table = table[known]
    response = _numbers(table[columns.response], table[columns.sample], where=where)
    measure = table[columns.measure] if columns.measure in table else config.measure
    measures = pd.Series(measure, index=table.index).astype(str)
    turned = {
        name: measure_direction(name, stated=config.directions, where=where)
        for name in measures.unique()
    }
    idle = [
        text
        for text in config.directions
        if not any(text.casefold() in name.casefold() for name in turned)
    ]
    if idle:
        raise CohortError(
            f"{where}: drug_response.directions names {examples(idle)}, which stands in no measure "
            f"of the table ({examples(turned)})"
        )
    notes += [f"measure '{name}': {way.replace('_', ' = more ')}" for name, way in turned.items()]
    stated = columns.line in table
    names = table[columns.line] if stated else table[columns.sample]
    names = names.where(~names.isin(EMPTY_CELLS), table[columns.sample])
    rows = pd.DataFrame(
        {
            "sample": table[columns.sample],
            "line": names.map(line_identity),
            "drug": table[columns.drug],
            "response": response,
            "direction": measures.map(turned),
            "tissue": table.get(columns.tissue, pd.Series("", index=table.index)),
            "cosmic_id": _cosmic(table, columns.cosmic),
            "experiment": _experiments(table, measures, config),
        }
    )
    empty = int(rows["response"].isna().sum())
    if empty:
        notes.append(f"{empty} responses are empty and left out")
    return rows[rows["response"].notna()], notes


def _require(table: pd.DataFrame, config: DrugResponseConfig, *, where: str) -> None:
    columns = config.columns
    stated = columns.model_fields_set
    named = "protocol" in stated
    needed = {
        "columns.sample": columns.sample,
        "columns.drug": columns.drug,
        "columns.response": columns.response,
        **({"columns.cosmic": columns.cosmic} if columns.cosmic else {}),
        **{f"where.{name}": name for name in config.where},
        **({} if config.measure else {"columns.measure": columns.measure}),
        **{f"columns.{name}": getattr(columns, name) for name in stated & {"line", "tissue"}},
        **({f"columns.protocol ({name})": name for name in columns.protocol} if named else {}),
    }
    for setting, name in needed.items():
        if name not in table:
            mend = "; or state what was measured under measure" if "measure" in setting else ""
            raise CohortError(
                f"{where}: the drug table has no column '{name}' (drug_response.{setting}); its "
                f"columns: {examples(table.columns, most=12)}{mend}"
            )


def _numbers(
    text: "pd.Series[str]", samples: "pd.Series[str]", *, where: str
) -> "pd.Series[float]":
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers) & ~text.isin(EMPTY_CELLS)
    if wrong.any():
        value, sample = text[wrong].iloc[0], samples[wrong].iloc[0]
        raise CohortError(
            f"{where}: the response '{value}' of sample {sample} is not a number; "
            "give numbers with a decimal point, NA where not measured"
        )
    return numbers


def _cosmic(table: pd.DataFrame, column: str | None) -> "pd.Series[str]":
    """Return COSMIC ids as text; a table that was once numbers writes 924100.0."""
    if column is None:
        return pd.Series("", index=table.index)
    ids = table[column].str.strip().str.removesuffix(".0")
    return ids.where(ids.str.fullmatch(r"[1-9][0-9]*"), "")


def _experiments(
    table: pd.DataFrame, measures: "pd.Series[str]", config: DrugResponseConfig
) -> "pd.Series[str]":
    """Return what parts experiments: drug, protocol and measure."""
    parts = [table[name] for name in config.columns.protocol if name in table]
    drug = table[config.columns.drug].map(normalised_name)
    return pd.concat([drug, *parts, measures], axis=1).agg(" / ".join, axis=1)


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
