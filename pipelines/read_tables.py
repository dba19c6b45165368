"""Read expression and clinical tables as users have them: CSV or TSV, gz or not, any way round."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO, cast

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.errors import CohortError, examples
from features.genes import looks_like_genes

__all__ = ["ExpressionTable", "read_clinical", "read_expression", "read_gene_lengths"]

Orientation = Literal["auto", "genes_in_rows", "samples_in_rows"]

_NOT_MEASURED = ("", "NA", "NaN", "nan", "N/A", "null", "NULL")
_ANNOTATION_COLUMNS = ("chr", "start", "end", "strand", "length", "description", "gene_type")
_SEPARATORS = ("\t", ",", ";")


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
    """

    values: pd.DataFrame
    lengths: "pd.Series[float] | None"
    orientation: str


def _open_text(path: Path) -> TextIO:
    if not path.is_file():
        raise CohortError(f"there is no file {path}; check the path (and data.root)")
    try:
        with path.open("rb") as handle:
            compressed = handle.read(2) == b"\x1f\x8b"
        opener = gzip.open if compressed else open
        return cast(TextIO, opener(path, "rt", encoding="utf-8-sig", newline=""))
    except OSError as error:
        raise CohortError(f"{path} cannot be read: {error}") from error


def _header(path: Path) -> tuple[list[str], str, int]:
    """Return column names, separator and the number of comment lines before them."""
    comments = 0
    try:
        with _open_text(path) as handle:
            for line in handle:
                if not line.startswith("#"):
                    break
                comments += 1
            else:
                line = ""
            second = next(handle, "")
    except (UnicodeDecodeError, EOFError, OSError) as error:
        raise CohortError(f"{path} is not a text table in UTF-8: {error}") from error
    if not line.strip():
        raise CohortError(f"{path} is empty; give a table with a header line")
    separator = max(_SEPARATORS, key=line.count)
    names = next(csv.reader([line], delimiter=separator))
    if second and len(next(csv.reader([second], delimiter=separator))) == len(names) + 1:
        names = ["", *names]
    return [name.strip() for name in names], separator, comments


def _read_frame(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the table, columns by position, and their names; 'not measured' cells are NaN."""
    names, separator, comments = _header(path)
    with _open_text(path) as handle:
        try:
            frame = pd.read_csv(
                handle,
                sep=separator,
                skiprows=comments + 1,
                header=None,
                names=list(range(len(names))),
                dtype={0: str},
                index_col=False,
                na_values={column: list(_NOT_MEASURED) for column in range(1, len(names))},  # type: ignore[misc]
                keep_default_na=False,
                low_memory=False,
            )
        except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError) as error:
            raise CohortError(f"{path} is not a table: {error}") from error
    return frame, names


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
    frame, names = _read_frame(path)
    if frame.empty or len(names) < 2:
        raise CohortError(
            f"{path} is empty: {len(frame)} rows × {max(len(names) - 1, 0)} columns of expression"
        )
    frame, names, lengths = _take_annotation(frame, names)
    rows = frame[0].fillna("").str.strip()
    way, found = _orientation(orientation, rows.tolist(), names[1:], catalogue, path)
    numbers = _numbers(frame.iloc[:, 1:], rows=rows.tolist(), columns=names[1:], path=path)
    if way == "genes_in_rows":
        samples, genes, values = names[1:], rows.tolist(), numbers.T
    else:
        samples, genes, values = rows.tolist(), names[1:], numbers
        lengths = None
    _refuse_repeats(samples, path)
    named = np.array([bool(gene) for gene in genes])
    table = pd.DataFrame(
        np.ascontiguousarray(values[:, named]),
        index=pd.Index(samples, dtype=object),
        columns=pd.Index(np.asarray(genes, dtype=object)[named], dtype=object),
    )
    if lengths is not None:
        lengths = pd.Series(lengths.to_numpy()[named], index=table.columns, name="length")
    return ExpressionTable(table, lengths, found)


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
    if asked != "auto":
        return asked, f"{asked} (stated)"
    in_rows = looks_like_genes(rows, catalogue=catalogue)
    in_columns = looks_like_genes(columns, catalogue=catalogue)
    if in_rows == in_columns == 0:
        raise CohortError(
            f"{path}: no known gene in the rows (first: {examples(rows)}) or columns (first: "
            f"{examples(columns)}); genes must be HGNC symbols such as CD274 or B2M"
        )
    way = "genes_in_rows" if in_rows >= in_columns else "samples_in_rows"
    return way, f"{way} ({in_rows} catalogue genes in the rows, {in_columns} in the columns)"


def _numbers(
    frame: pd.DataFrame, *, rows: Sequence[str], columns: Sequence[str], path: Path
) -> np.ndarray:
    text = [position for position, kind in enumerate(frame.dtypes) if not _is_number(kind)]
    for position in text:
        column = frame.iloc[:, position]
        wrong = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
        if len(wrong):
            row = int(frame.index.get_loc(wrong.index[0]))  # type: ignore[arg-type]
            raise CohortError(
                f"{path}: '{wrong.iloc[0]}' in row '{rows[row]}', column '{columns[position]}' is "
                "not a number; expression is numbers with a decimal point, NA where not measured"
            )
    if text:
        frame = frame.apply(pd.to_numeric, errors="coerce")
    return frame.to_numpy(dtype=np.float64)


def _is_number(kind: object) -> bool:
    return pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)  # type: ignore[arg-type]


def _refuse_repeats(samples: Sequence[str], path: Path) -> None:
    index = pd.Index(samples)
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        raise CohortError(
            f"{path}: {len(repeated)} sample ids stand more than once: {examples(repeated)}; "
            "give every sample an id of its own"
        )
    if "" in samples:
        raise CohortError(f"{path}: a sample has no id; give every sample one")


def read_clinical(path: Path) -> pd.DataFrame:
    """Return a clinical table, every cell as the text that stands there (ids keep their zeros).

    Raises
    ------
    CohortError
        The file is missing, empty, not a table, or repeats a column.
    """
    names, separator, comments = _header(path)
    repeated = pd.Index(names)[pd.Index(names).duplicated()]
    if len(repeated):
        raise CohortError(f"{path}: columns stand more than once: {examples(repeated)}")
    with _open_text(path) as handle:
        try:
            table = pd.read_csv(
                handle,
                sep=separator,
                skiprows=comments + 1,
                header=None,
                names=names,
                dtype=str,
                keep_default_na=False,
                index_col=False,
            )
        except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError) as error:
            raise CohortError(f"{path} is not a table: {error}") from error
    if table.empty:
        raise CohortError(f"{path} has a header but no rows")
    stripped: pd.DataFrame = table.apply(lambda column: column.str.strip())
    return stripped


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
