"""Read expression and clinical tables as users have them: CSV or TSV, gz or not, any way round."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.errors import CohortError, examples
from features.gene_ids import refuse_foreign
from features.genes import GeneTable, count_genes, is_numbering
from pipelines.reading.text_tables import EMPTY_CELLS, read_text_table

__all__ = [
    "ExpressionTable",
    "read_clinical",
    "read_expression",
    "read_gene_lengths",
    "read_gene_table",
    "refuse_repeated_samples",
]

Orientation = Literal["auto", "genes_in_rows", "samples_in_rows"]

_ANNOTATION_COLUMNS = ("chr", "start", "end", "strand", "length", "description", "gene_type")


@dataclass(frozen=True)
class ExpressionTable:
    """An expression file as it stands.

    Attributes
    ----------
    values
        (n_samples, n_genes) float64; index sample ids, columns gene ids, both text as written.
    lengths
        Gene lengths in bases from a ``Length`` column (featureCounts), or None.
    orientation
        Which way the file stood, and how that was found.
    lengths_known
        False when the file says that it holds counts whose gene lengths were never divided out.
    genes
        Symbols that the file itself gives for its gene ids, or None.
    """

    values: pd.DataFrame
    lengths: "pd.Series[float] | None"
    orientation: str
    lengths_known: bool = True
    genes: GeneTable | None = None


def read_expression(
    path: Path, *, orientation: Orientation, catalogue: Catalogue
) -> ExpressionTable:
    """Return an expression file as samples × genes.

    Parameters
    ----------
    path
        CSV or TSV, plain or gz; comment lines (``#``) and featureCounts' annotation columns are
        understood.
    orientation
        ``auto`` looks where the catalogue's genes stand.
    catalogue
        Whose genes are looked for.

    Raises
    ------
    CohortError
        The file is missing, empty or not a table, holds text where numbers belong, repeats a
        sample id, or its genes are not recognised.
    """
    frame, names = read_text_table(path, text=False)
    frame, names = _without_row_numbers(frame, names, catalogue)
    frame, names, lengths = _take_annotation(frame, names)
    if frame.empty or len(names) < 2:
        raise CohortError(
            f"{path} is empty: {len(frame)} rows × {len(names) - 1} columns of expression (a tab, "
            "a comma or a semicolon separates columns)"
        )
    rows = frame.iloc[:, 0].tolist()
    way, found = _orientation(orientation, rows, names[1:], catalogue, path)
    numbers = _numbers(frame.iloc[:, 1:], rows=rows, columns=names[1:], path=path)
    if way == "genes_in_rows":
        _require_header(names, catalogue, path)
        samples, genes, values = names[1:], rows, numbers.T
    else:
        samples, genes, values = rows, names[1:], numbers
        lengths = None
    refuse_repeated_samples(samples, path)
    named = np.array([bool(gene) for gene in genes])
    table = pd.DataFrame(
        np.ascontiguousarray(values[:, named]),
        index=pd.Index(samples, dtype=object),
        columns=pd.Index(np.asarray(genes, dtype=object)[named], dtype=object),
    )
    if lengths is not None:
        lengths = pd.Series(lengths.to_numpy()[named], index=table.columns, name="length")
    return ExpressionTable(table, lengths, found)


def _without_row_numbers(
    frame: pd.DataFrame, names: Sequence[str], catalogue: Catalogue
) -> tuple[pd.DataFrame, list[str]]:
    """Take out a first column of row numbers where the second one holds the genes."""
    numbered = len(names) > 2 and is_numbering(frame.iloc[:, 0].astype(str).tolist())
    if numbered and not _is_number(frame.dtypes.iloc[1]):
        second = frame.iloc[:, 1].astype(str)
        if count_genes(second.tolist(), catalogue=catalogue):
            kept = frame.iloc[:, 1:]
            return kept.set_axis(range(kept.shape[1]), axis=1), list(names[1:])
    return frame, list(names)


def _take_annotation(
    frame: pd.DataFrame, names: Sequence[str]
) -> tuple[pd.DataFrame, list[str], "pd.Series[float] | None"]:
    annotation = [i for i, name in enumerate(names) if i and name.lower() in _ANNOTATION_COLUMNS]
    lengths = None
    for position in annotation:
        if names[position].lower() == "length":
            lengths = pd.to_numeric(frame[position], errors="coerce").astype(float)
    kept = [i for i in range(len(names)) if i not in annotation]
    return frame[kept], [names[i] for i in kept], lengths


def _orientation(
    asked: Orientation, rows: list[str], columns: list[str], catalogue: Catalogue, path: Path
) -> tuple[str, str]:
    in_rows, in_columns = (count_genes(axis, catalogue=catalogue) for axis in (rows, columns))
    if in_rows == in_columns == 0:  # numbers alone, then: Entrez ids
        in_rows, in_columns = (
            count_genes(axis, catalogue=catalogue, numbers=True) for axis in (rows, columns)
        )
    if asked != "auto":
        there, elsewhere = in_rows, in_columns
        if asked == "samples_in_rows":
            there, elsewhere = in_columns, in_rows
        if there == 0 < elsewhere:
            raise CohortError(
                f"{path}: orientation {asked} is stated, but the genes stand the other way round "
                f"({in_rows} known genes in the rows, {in_columns} in the columns); correct "
                "orientation, or set it to auto"
            )
        return asked, f"{asked} (stated)"
    if in_rows == in_columns == 0:
        try:
            refuse_foreign(max(rows, columns, key=len))
        except CohortError as error:
            raise CohortError(f"{path}: {error}") from error
        raise CohortError(
            f"{path}: no known gene in the rows (first: {examples(rows)}) or columns (first: "
            f"{examples(columns)}); genes are human symbols such as CD274 or B2M, of any age, "
            "Ensembl or Entrez ids"
        )
    way = "genes_in_rows" if in_rows >= in_columns else "samples_in_rows"
    return way, f"{way} ({in_rows} known genes in the rows, {in_columns} in the columns)"


def _require_header(names: Sequence[str], catalogue: Catalogue, path: Path) -> None:
    if count_genes(names[:1], catalogue=catalogue):
        raise CohortError(
            f"{path}: the first line begins with the gene '{names[0]}': it is no header; add a "
            "line with the sample ids above it"
        )


def _numbers(
    frame: pd.DataFrame, *, rows: Sequence[str], columns: Sequence[str], path: Path
) -> np.ndarray:
    text = {p: frame.iloc[:, p] for p, kind in enumerate(frame.dtypes) if not _is_number(kind)}
    converted = {}
    for position, column in text.items():
        cells = column.astype("string").str.strip()
        cells = cells.mask(cells.isin(EMPTY_CELLS))
        numbers = pd.to_numeric(cells, errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & cells.notna())
        if len(wrong):
            mend = "expression is numbers with a decimal point, NA where not measured"
            if len(wrong) == cells.notna().sum() > 1 and "," not in cells.iloc[wrong[0]]:
                mend = f"nothing in that column is: take '{columns[position]}' out of the table"
            raise CohortError(
                f"{path}: '{cells.iloc[wrong[0]]}' in row '{rows[wrong[0]]}', column "
                f"'{columns[position]}' is not a number; {mend}"
            )
        converted[frame.columns[position]] = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    plain = frame.drop(columns=list(converted)).astype(np.float64)
    mended = pd.DataFrame(converted, index=frame.index)
    return pd.concat([plain, mended], axis=1)[list(frame.columns)].to_numpy()


def _is_number(kind: object) -> bool:
    return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)  # type: ignore[arg-type]


def refuse_repeated_samples(samples: Sequence[str], path: Path) -> None:
    """Refuse sample ids that stand more than once or are empty.

    Raises
    ------
    CohortError
        Names the ids.
    """
    if "" in samples:
        raise CohortError(f"{path}: a sample has no id; give every sample one")
    index = pd.Index(samples)
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        raise CohortError(
            f"{path}: {len(repeated)} sample ids stand more than once: {examples(repeated)}; "
            "give every sample an id of its own"
        )


def read_clinical(path: Path) -> pd.DataFrame:
    """Return a clinical table, every cell as the text that stands there (ids keep their zeros).

    Raises
    ------
    CohortError
        The file is missing, empty, not a table, or repeats a column.
    """
    table, names = read_text_table(path, text=True)
    repeated = pd.Index(names)[pd.Index(names).duplicated()]
    if len(repeated):
        raise CohortError(
            f"{path}: columns stand more than once: "
            f"{examples(name or '(no name)' for name in repeated)}; give each a name of its own"
        )
    if table.empty:
        raise CohortError(f"{path} has a header but no rows")
    stripped: pd.DataFrame = table.fillna("").apply(lambda column: column.str.strip())
    return stripped.set_axis(names, axis=1)


def read_gene_table(path: Path) -> GeneTable:
    """Return symbols by Ensembl and Entrez id, from a table that has both.

    The columns are ``symbol``, and ``ensembl_id`` or ``entrez_id`` or both.

    Raises
    ------
    CohortError
        The file is missing or lacks the columns.
    """
    table = read_clinical(path)
    table = table.mask(table.isin(EMPTY_CELLS), "")
    columns = {name.lower(): name for name in table.columns}
    ids = {name: columns[name] for name in ("ensembl_id", "entrez_id") if name in columns}
    if "symbol" not in columns or not ids:
        raise CohortError(
            f"{path}: a table of gene ids has the columns symbol, and ensembl_id or entrez_id; it "
            f"has {examples(table.columns)}"
        )
    return GeneTable.of(
        symbols=table[columns["symbol"]],
        ensembl=table[ids["ensembl_id"]] if "ensembl_id" in ids else None,
        entrez=table[ids["entrez_id"]] if "entrez_id" in ids else None,
    )


def read_gene_lengths(path: Path) -> "pd.Series[float]":
    """Return gene lengths in bases by symbol, from a table with a length column.

    The symbol column is ``symbol`` or the first; the length column ``length`` or
    ``effective_length``. A symbol that stands twice keeps its longest.

    Raises
    ------
    CohortError
        The file is missing or has no length column.
    """
    table = read_clinical(path)
    columns = {name.lower(): name for name in table.columns}
    length = next((columns[n] for n in ("length", "effective_length") if n in columns), None)
    if length is None:
        raise CohortError(
            f"{path}: no column length or effective_length; its columns: {examples(table.columns)}"
        )
    symbols = table[columns.get("symbol", table.columns[0])]
    values = pd.to_numeric(table[length], errors="coerce").astype(float)
    return values.groupby(symbols.to_numpy()).max().rename("length")
