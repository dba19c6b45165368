"""The rows of a table of drug responses: which are kept, their numbers, measures, experiments."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.catalogue_check import normalised_name
from features.cell_lines import line_identity
from features.drug_response import Direction, measure_direction
from features.errors import CohortError, examples
from pipelines.reading.text_tables import EMPTY_CELLS
from pipelines.settings.drug_response import DrugResponseConfig

__all__ = ["read_rows"]


def read_rows(
    table: pd.DataFrame, config: DrugResponseConfig, *, expression: pd.Index, where: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return the measurements of samples that the expression file holds, and notes on the others.

    Columns ``sample, line, drug, response, direction, tissue, cosmic_id, experiment``.

    Raises
    ------
    CohortError
        As :func:`pipelines.reading.drug_tables.read_drug_screen`.
    """
    columns = config.columns
    _require(table, config, where=where)
    table, notes = _with_expression(
        _asked_for(table, config, where=where),
        columns.sample,
        _without_excluded(expression, config, where=where),
        where=where,
    )
    measures, directions = _measures(table, config, where=where)
    notes += [
        f"measure '{name}': {way.replace('_', ' = more ')}" for name, way in directions.items()
    ]
    stated = columns.line in table
    names = table[columns.line] if stated else table[columns.sample]
    names = names.where(~names.isin(EMPTY_CELLS), table[columns.sample])
    rows = pd.DataFrame(
        {
            "sample": table[columns.sample],
            "line": names.map(line_identity),
            "drug": table[columns.drug],
            "response": _numbers(table[columns.response], table[columns.sample], where=where),
            "direction": measures.map(directions),
            "tissue": table.get(columns.tissue, pd.Series("", index=table.index)),
            "cosmic_id": _cosmic(table, columns.cosmic),
            "experiment": _experiments(table, measures, config),
        }
    )
    empty = int(rows["response"].isna().sum())
    if empty == len(rows):
        raise CohortError(
            f"{where}: all {empty} responses (column '{columns.response}') of the samples in the "
            "expression file are empty; give numbers"
        )
    if empty:
        notes.append(f"{empty} responses are empty and left out")
    nameless = int(rows["drug"].isin(EMPTY_CELLS).sum())
    if nameless:
        notes.append(
            f"warning: {nameless} rows of the drug table name no drug; no group takes them"
        )
    return rows[rows["response"].notna()], notes


def _asked_for(table: pd.DataFrame, config: DrugResponseConfig, *, where: str) -> pd.DataFrame:
    """Return the rows that ``where`` of the configuration keeps."""
    for name, values in config.where.items():
        table = table[table[name].str.casefold().isin([value.casefold() for value in values])]
        if table.empty:
            raise CohortError(f"{where}: no row has {name} {examples(values)}; see where")
    return table


def _without_excluded(expression: pd.Index, config: DrugResponseConfig, *, where: str) -> pd.Index:
    """Return the samples of the expression file without those that the configuration leaves out."""
    unknown = [name for name in config.exclude if name not in expression]
    if unknown:
        raise CohortError(
            f"{where}: drug_response.exclude names {examples(unknown)}, no samples of the "
            f"expression file ({examples(expression)})"
        )
    kept = expression.drop(list(config.exclude))
    if kept.empty:
        raise CohortError(f"{where}: drug_response.exclude leaves no sample; name fewer")
    return kept


def _with_expression(
    table: pd.DataFrame, column: str, expression: pd.Index, *, where: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of samples that have expression, and notes on all others of either side."""
    notes = []
    known = table[column].isin(expression)
    if not known.any():
        raise CohortError(
            f"{where}: no sample of the table (column '{column}': "
            f"{examples(table[column].unique())}) is in the expression file "
            f"({examples(expression)}); the ids must be spelled alike"
        )
    without = sorted(table[column][~known].unique())
    if without:
        notes.append(_without_expression(without, expression))
    silent = expression[~expression.isin(table[column])]
    if len(silent):
        notes.append(f"{len(silent)} samples without a response left out: {examples(silent)}")
    return table[known], notes


def _measures(
    table: pd.DataFrame, config: DrugResponseConfig, *, where: str
) -> tuple["pd.Series[str]", dict[str, Direction]]:
    """Return what was measured in each row, and which way each measure goes."""
    columns = config.columns
    measure = table[columns.measure] if columns.measure in table else config.measure
    measures = pd.Series(measure, index=table.index).astype(str)
    blank = measures.isin(EMPTY_CELLS)
    if blank.any():
        raise CohortError(
            f"{where}: {int(blank.sum())} rows do not say what was measured (column "
            f"'{columns.measure}'), first that of sample {table[columns.sample][blank].iloc[0]}; "
            "fill the cells, or take the column out and state drug_response.measure"
        )
    directions = {
        name: measure_direction(name, stated=config.directions, where=where)
        for name in measures.unique()
    }
    idle = [
        text
        for text in config.directions
        if not any(text.casefold() in name.casefold() for name in directions)
    ]
    if idle:
        raise CohortError(
            f"{where}: drug_response.directions names {examples(idle)}, which stands in no measure "
            f"of the table ({examples(directions)})"
        )
    return measures, directions


def _without_expression(samples: Sequence[str], expression: pd.Index) -> str:
    """Return the note on samples that the expression file does not hold, alike in all but case."""
    note = f"{len(samples)} samples of the drug table have no expression: {examples(samples)}"
    folded = {str(name).casefold() for name in expression}
    alike = sum(name.casefold() in folded for name in samples)
    if not alike:
        return note
    return f"warning: {note}; {alike} of them differ from one that has it by upper and lower case"


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
