"""The scores of every cell as a parquet file, written a chunk at a time and read by columns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.cells.scores import CellBlock
from features.errors import CohortError, ConfigError, examples

__all__ = ["WriteScores", "read_scores", "score_table"]


class WriteScores(Protocol):
    """Appends the rows of a block."""

    def __call__(
        self,
        block: CellBlock,
        *,
        cell_ids: NDArray[np.object_],
        samples: NDArray[np.int32],
        types: NDArray[np.int8],
    ) -> None:
        """Append a block's cells: ids, sample codes (-1: left out), type codes (n_cells,)."""
        ...


@contextmanager
def score_table(
    path: Path,
    *,
    marker_ids: Sequence[str],
    sample_names: Sequence[str],
    type_names: Sequence[str],
) -> Iterator[WriteScores]:
    """Give what appends blocks of cells to a parquet file, whole at the end or not there at all.

    Columns: ``cell_id``, ``sample`` (null for a cell left out), ``type``, ``total_counts``,
    ``n_genes``, and each marker's score (float32, null where there is none); a row a cell, in file
    order, a row group a block.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    schema = _schema(marker_ids)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with pq.ParquetWriter(
            temporary, schema, compression="zstd", use_dictionary=["sample", "type"]
        ) as writer:

            def write(
                block: CellBlock,
                *,
                cell_ids: NDArray[np.object_],
                samples: NDArray[np.int32],
                types: NDArray[np.int8],
            ) -> None:
                columns = [
                    pa.array(cell_ids, pa.string()),
                    _named(samples, sample_names),
                    _named(types.astype(np.int32), type_names),
                    pa.array(block.totals, from_pandas=True),
                    pa.array(block.n_genes),
                ]
                scores = np.ascontiguousarray(block.scores.T, dtype=np.float32)
                columns += [pa.array(score, from_pandas=True) for score in scores]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))

            yield write
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}; choose another output") from error
    finally:
        with suppress(OSError):  # what became the file, or could not be made, is not there
            temporary.unlink()


def read_scores(path: Path, marker: str) -> NDArray[np.float32]:
    """Return the scores of one marker in every cell (n_cells,), in file order, NaN where none.

    Raises
    ------
    CohortError
        The file is missing or unreadable, or has no such column.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if marker in names:
                column = file.read(columns=[marker]).column(marker)
                return np.asarray(column.to_numpy(), dtype=np.float32)
    except (OSError, pa.ArrowException) as error:
        raise CohortError(f"the cells' scores cannot be read: {error}") from error
    raise CohortError(f"{path} has no scores of '{marker}'; it has {examples(names[5:])}")


def _schema(marker_ids: Sequence[str]) -> pa.Schema:
    named = pa.dictionary(pa.int32(), pa.string())
    fixed = [
        pa.field("cell_id", pa.string()),
        pa.field("sample", named),
        pa.field("type", named),
        pa.field("total_counts", pa.float64()),
        pa.field("n_genes", pa.int64()),
    ]
    return pa.schema([*fixed, *(pa.field(marker, pa.float32()) for marker in marker_ids)])


def _named(codes: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
