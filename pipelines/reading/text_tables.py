"""Read a table of text as users have them: CSV or TSV, gz or not, with the faults they have."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO, cast

import pandas as pd

from features.errors import CohortError, examples
from pipelines.files import is_file

__all__ = ["EMPTY_CELLS", "read_text_table"]

EMPTY_CELLS = ("", "NA", "na", "NaN", "nan", "N/A", "n/a", "#N/A", "<NA>", "None", "null", "NULL")
"""Cells that mean: not measured."""
_SEPARATORS = ("\t", ",", ";")
_NOT_TEXT = {
    b"PK\x03\x04": "an Excel or zip file; save the sheet as CSV or TSV",
    b"\xd0\xcf\x11\xe0": "an Excel file; save the sheet as CSV or TSV",
    b"\x89HDF": "an HDF5 file; if it holds an AnnData, name it .h5ad",
    b"\xff\xfe": "text in UTF-16; save it as UTF-8",
    b"\xfe\xff": "text in UTF-16; save it as UTF-8",
}
_CORNER = re.compile(
    r"(?:(?:gene|hugo|hgnc|ensembl|entrez|probe|feature|sample|patient|target|row|run)s?)?"
    r"[ _.-]?(?:id|name|symbol)?s?",
    re.IGNORECASE,
)
"""Names of a column of ids: such a header is not R's, which leaves that column's name out."""


@dataclass(frozen=True)
class _Layout:
    """Names of the header, separator, lines down to the first row, fields of the widest row."""

    names: list[str]
    separator: str
    lines: int
    width: int


def _open_text(path: Path) -> TextIO:
    if not is_file(path):
        raise CohortError(
            f"{path} is a folder; give a file"
            if path.is_dir()
            else f"there is no file {path}; check the path (and data.root)"
        )
    with path.open("rb") as handle:
        first = handle.read(8)
    for magic, what in _NOT_TEXT.items():
        if first.startswith(magic):
            raise CohortError(f"{path} is {what}")
    opener = gzip.open if first.startswith(b"\x1f\x8b") else open
    # Line ends are translated: a lone carriage return sends pandas' parser into all the memory.
    return cast(TextIO, opener(path, "rt", encoding="utf-8-sig"))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of whatever goes wrong while reading which file it is and what to do."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise CohortError(
            f"{path} is not a text table in UTF-8 (byte {error.start} is no text); save it as "
            "CSV or TSV in UTF-8"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CohortError(
            f"{path} is damaged or cut off: {error}; copy or download it again"
        ) from error
    except OSError as error:
        raise CohortError(f"{path} cannot be read: {error.strerror or error}") from error
    except (csv.Error, pd.errors.ParserError) as error:
        what = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise CohortError(
            f"{path} is not a table: {what}; give CSV or TSV with a header line"
        ) from error


def _layout(path: Path) -> _Layout:
    """Find the header below comments and blank lines, and the separator."""
    with _reading(path), _open_text(path) as handle:
        before, above = 0, ""
        for line in handle:
            if line.strip() and not line.startswith("#") and not _gct_size(above, line):
                break
            before, above = before + 1, line
        else:
            raise CohortError(f"{path} is empty; give a table with a header line")
        lines = [line, *islice(handle, 20)]
        if "\0" in line:
            raise CohortError(f"{path} is not a text table; give CSV or TSV with a header line")
        if above.startswith("#") and _is_header_of(above, line):
            lines, before = [above.removeprefix("#"), *lines], before - 1
        return _likeliest(lines, before)


def _likeliest(lines: Sequence[str], before: int) -> _Layout:
    """Split at the separator that separates, makes rows as long as the header, most fields."""
    layouts, faults = [], []
    for separator in _SEPARATORS:
        try:
            layouts.append(_split(lines, separator, before))
        except csv.Error as error:  # a wide line is one huge field for the wrong separator
            faults.append(error)
    likeliest = max(
        layouts,
        key=lambda one: (one.width > 1, one.width - len(one.names) in (0, 1), one.width),
        default=None,
    )
    if likeliest is None or (likeliest.width == 1 and faults):
        raise faults[0]
    return likeliest


def _split(lines: Sequence[str], separator: str, before: int) -> _Layout:
    reader = csv.reader(lines, delimiter=separator)
    names = [name.strip() for name in next(reader)]
    used = reader.line_num
    first: list[str] = next((row for row in reader if row), [])
    if used > 1 and not first:
        raise csv.Error("a quote in the header does not close")
    return _Layout(names, separator, before + used, max(len(names), len(first)))


def _gct_size(above: str, line: str) -> bool:
    """Tell the second line of a GCT file, which holds its numbers of rows and columns."""
    return above.startswith("#1.") and all(part.isdigit() for part in line.split())


def _is_header_of(comment: str, line: str) -> bool:
    """Tell a header that begins with #, as in ``#gene  s1  s2``: below it stand numbers."""
    for separator in _SEPARATORS:
        names, cells = (text.strip().split(separator) for text in (comment, line))
        if len(names) == len(cells) > 1 and _CORNER.fullmatch(names[0].lstrip("# ")):
            return all(_is_number_text(cell) for cell in cells[1:])
    return False


def _is_number_text(cell: str) -> bool:
    try:
        float(cell.strip('" ') or "nan")
    except ValueError:
        return cell.strip('" ') in EMPTY_CELLS
    return True


def read_text_table(path: Path, *, text: bool) -> tuple[pd.DataFrame, list[str]]:
    """Return the table, columns by position, and their names.

    With ``text`` every cell is text, else only the first column is, and cells that were not
    measured are NaN. Columns and rows of nothing but separators are left out.

    Raises
    ------
    CohortError
        The file is missing, empty, damaged, not text, or its rows differ in length.
    """
    layout = _layout(path)
    columns = list(range(layout.width))
    missing = {column: list(EMPTY_CELLS) for column in columns[1:]}
    with _reading(path), _open_text(path) as handle:
        for _ in range(layout.lines):
            next(handle)
        try:
            frame = pd.read_csv(
                handle,
                sep=layout.separator,
                header=None,
                names=columns,
                dtype=str if text else {0: str},
                index_col=False,
                na_values=None if text else missing,  # type: ignore[arg-type]
                keep_default_na=False,
                low_memory=False,
            )
        except pd.errors.EmptyDataError:
            frame = pd.DataFrame(columns=columns, dtype=str)
        except pd.errors.ParserError:
            _refuse_ragged(path, layout, least=0)
            raise
    frame[0] = frame[0].fillna("").str.strip()
    kept, names = _named_columns(frame, layout, path, text=text)
    last = frame[kept[-1]]
    if (last.isna() | (last == "")).any():
        _refuse_ragged(path, layout, least=len(kept))
    if len(kept) < layout.width:
        frame = frame[kept].set_axis(range(len(kept)), axis=1)
    nameless = frame[frame[0] == ""]
    blank = nameless.index[(nameless.isna() | (nameless == "")).all(axis=1)]
    return frame.drop(index=blank).reset_index(drop=True), names


def _named_columns(
    frame: pd.DataFrame, layout: _Layout, path: Path, *, text: bool
) -> tuple[list[int], list[str]]:
    """Pair columns with names: trailing separators are dropped, R's short header is shifted."""
    names = layout.names
    empty = {
        column
        for column in range(1, layout.width)
        if (column >= len(names) or not names[column])
        and (frame[column].isna() | (frame[column] == "")).all()
    }
    names_ids = _CORNER.fullmatch(names[0]) is not None
    trailing = layout.width - 1 in empty and names_ids
    if layout.width == len(names) + 1 and not trailing and (text or not names_ids):
        return list(range(layout.width)), ["", *names]
    kept = [column for column in range(layout.width) if column not in empty]
    if kept[-1] >= len(names):
        raise CohortError(
            f"{path}: the first row has {layout.width} fields, the header {len(names)} "
            f"({examples(names)}); give every column a name"
        )
    return kept, [names[column] for column in kept]


def _refuse_ragged(path: Path, layout: _Layout, *, least: int) -> None:
    """Name the first row with too few or too many fields."""
    with _open_text(path) as handle:
        for _ in range(layout.lines):
            next(handle)
        reader = csv.reader(handle, delimiter=layout.separator)
        for row in reader:
            if row and not least <= len(row) <= layout.width:
                raise CohortError(
                    f"{path}: line {layout.lines + reader.line_num} ('{row[0]}') has {len(row)} "
                    f"fields where the header has {len(layout.names)}; the file may be cut off, "
                    "or a name may hold the separator and need quotes"
                )
