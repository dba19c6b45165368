"""Rows of a matrix and columns of a table, in memory or on disk, read only where asked for."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray
from scipy import sparse

from features.errors import CohortError

__all__ = [
    "MEGABYTE",
    "CellMatrix",
    "CellTable",
    "DenseRows",
    "FrameTable",
    "SparseRows",
    "StoredTable",
    "open_store",
    "reason",
    "repeated_ids",
    "stored_bytes",
    "stored_matrix",
    "stored_table",
]

MEGABYTE = 10**6
_COLUMNWISE = "0.2.0"
"""Version of anndata's table whose columns can be read one at a time."""
_IDS_AT_ONCE, _MOST_NAMED = 100_000, 1_000
_INT32_MOST = np.iinfo(np.int32).max


class CellMatrix(Protocol):
    """Values (n_cells, n_genes) of which a run of rows can be read."""

    shape: tuple[int, int]
    is_sparse: bool

    def read(self, start: int, stop: int) -> Any:
        """Return the rows from ``start`` to before ``stop``: CSR, or a dense array."""
        ...

    def stored_values(self, rows: int) -> int:
        """Return the most values that a chunk of ``rows`` rows holds."""
        ...

    @property
    def value_bytes(self) -> int:
        """Bytes of a value as it lies in a chunk, its column index included."""
        ...


class CellTable(Protocol):
    """A table with an id per row, of which single columns can be read."""

    columns: tuple[str, ...]

    def ids(self, start: int, stop: int) -> NDArray[np.object_]:
        """Return the ids of a run of rows, as text."""
        ...

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns, the ids as index."""
        ...

    def column(self, name: str) -> "pd.Series[Any]":
        """Return one column by position: ids weigh more than most columns."""
        ...


class SparseRows:
    """Compressed rows: arrays of HDF5, zarr or numpy; only where each row starts is in memory."""

    is_sparse = True

    def __init__(self, data: Any, indices: Any, indptr: Any, *, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._data, self._indices = data, indices
        self._indptr = np.asarray(indptr[...], dtype=np.int64)
        if self._indptr.size != shape[0] + 1 or self._indptr[-1] != data.shape[0]:
            raise CohortError(
                f"its X does not hang together: {shape[0]} cells, {self._indptr.size} row starts, "
                f"{data.shape[0]} values; write it anew with anndata"
            )

    def read(self, start: int, stop: int) -> sparse.csr_matrix[Any]:
        """Return the rows from ``start`` to before ``stop`` as CSR, nothing copied twice."""
        first, last = int(self._indptr[start]), int(self._indptr[stop])
        indices = np.asarray(self._indices[first:last])
        small = last - first <= _INT32_MOST and self.shape[1] <= _INT32_MOST
        kind = np.int32 if small else np.int64
        starts = (self._indptr[start : stop + 1] - first).astype(kind)
        parts: Any = (np.asarray(self._data[first:last]), indices.astype(kind, copy=False), starts)
        return sparse.csr_matrix(parts, shape=(stop - start, self.shape[1]))

    def stored_values(self, rows: int) -> int:
        """Return the most values that a chunk of ``rows`` rows holds."""
        edges = np.append(np.arange(0, self.shape[0], rows), self.shape[0])
        return int(np.diff(self._indptr[edges]).max(initial=0))

    @property
    def value_bytes(self) -> int:
        """Bytes of a value and its column index."""
        return int(self._data.dtype.itemsize + self._indices.dtype.itemsize)


class DenseRows:
    """A dense array of HDF5, zarr or numpy."""

    is_sparse = False

    def __init__(self, values: Any) -> None:
        self.shape: tuple[int, int] = (int(values.shape[0]), int(values.shape[1]))
        self._values = values

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return the rows from ``start`` to before ``stop``."""
        return np.asarray(self._values[start:stop])

    def stored_values(self, rows: int) -> int:
        """Return the values of ``rows`` rows."""
        return min(rows, self.shape[0]) * self.shape[1]

    @property
    def value_bytes(self) -> int:
        """Bytes of a value."""
        return int(self._values.dtype.itemsize)


class FrameTable:
    """A table in memory."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.columns = tuple(str(column) for column in frame.columns)

    def ids(self, start: int, stop: int) -> NDArray[np.object_]:
        """Return the ids of a run of rows, as text."""
        return np.asarray([_text(name) for name in self._frame.index[start:stop]], dtype=object)

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns, the ids as index."""
        chosen = self._frame.iloc[:, [self.columns.index(column) for column in columns]].copy()
        chosen.index = pd.Index(self.ids(0, len(chosen)), dtype=object)
        return chosen

    def column(self, name: str) -> "pd.Series[Any]":
        """Return one column by position."""
        return self._frame.iloc[:, self.columns.index(name)].reset_index(drop=True)


class StoredTable:
    """A table of an h5ad file or a zarr store, by columns."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._ids = group[str(group.attrs["_index"])]
        self.columns = tuple(str(column) for column in group.attrs["column-order"])

    def ids(self, start: int, stop: int) -> NDArray[np.object_]:
        """Return the ids of a run of rows, as text."""
        stored = self._ids
        if not hasattr(stored, "shape"):  # a nullable array: values and a mask of their own
            found = np.asarray(ad.io.read_elem(stored), dtype=object)[start:stop]
        elif hasattr(stored, "asstr") and stored.dtype.kind == "O":
            return np.asarray(stored.asstr()[start:stop], dtype=object)
        else:
            found = stored[start:stop]
        return np.asarray([_text(name) for name in found], dtype=object)

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns, the ids as index."""
        read = {column: ad.io.read_elem(self._group[column]) for column in columns}
        stored = self._ids if hasattr(self._ids, "shape") else ad.io.read_elem(self._ids)
        ids = self.ids(0, int(stored.shape[0]))
        return pd.DataFrame(read, index=pd.Index(ids, dtype=object))

    def column(self, name: str) -> "pd.Series[Any]":
        """Return one column by position."""
        return pd.Series(ad.io.read_elem(self._group[name]))


def stored_table(group: Any) -> CellTable:
    """Return a stored table by columns, or read whole where an old layout needs it."""
    if group.attrs.get("encoding-version") == _COLUMNWISE:
        return StoredTable(group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ad.OldFormatWarning)
        whole = ad.io.read_elem(group)
    if isinstance(whole, np.ndarray):  # a compound array, whose first field is the id
        return FrameTable(pd.DataFrame.from_records(whole, index=whole.dtype.names[0]))
    return FrameTable(whole)


def repeated_ids(table: CellTable, n_rows: int) -> tuple[int, list[str]]:
    """Return how many rows share their id with another, and the first such ids."""
    # Eight bytes a cell instead of its id: a million ids would weigh as much as a chunk.
    hashes = np.concatenate(
        [
            pd.util.hash_array(table.ids(start, min(start + _IDS_AT_ONCE, n_rows)))
            for start in range(0, n_rows, _IDS_AT_ONCE)
        ]
    )
    shared = np.flatnonzero(pd.Series(hashes).duplicated(keep=False))
    together = shared[np.argsort(hashes[shared], kind="stable")][:_MOST_NAMED]
    names = pd.Index([str(table.ids(int(at), int(at) + 1)[0]) for at in together])
    return shared.size, list(names[names.duplicated()].unique())


def _text(name: object) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def open_store(place: Path) -> Any:
    """Return the open HDF5 file or zarr group at a path.

    Raises
    ------
    CohortError
        There is none, or it is damaged.
    """
    try:
        if place.is_dir():
            return zarr.open_group(place, mode="r")
        if place.is_file():
            return h5py.File(place, "r")
    except Exception as error:
        raise CohortError(
            f"{place} is neither a readable h5ad file nor a zarr store: {reason(error)}; "
            "write it anew with anndata"
        ) from error
    raise CohortError(f"there is no file {place}; check the path (and data.root)")


def stored_matrix(stored: Any, attributes: Any, name: str, *, memory_mb: int) -> CellMatrix:
    """Return a matrix by rows, of arrays in memory or of what lies on disk.

    Raises
    ------
    CohortError
        It is stored by columns, and turning it would take more than ``memory_mb``.
    """
    is_sparse = bool(sparse.issparse(stored))
    if is_sparse:
        rows: Any = sparse.csr_matrix(stored)  # no copy where it is CSR
        return SparseRows(rows.data, rows.indices, rows.indptr, shape=rows.shape)
    if isinstance(stored, np.ndarray) or not hasattr(stored, "keys"):
        return DenseRows(stored)
    form = str(attributes.get("encoding-type", attributes.get("h5sparse_format", "")))
    data, indices, indptr = stored["data"], stored["indices"], stored["indptr"]
    n_cells, n_genes = attributes.get("shape", attributes.get("h5sparse_shape"))
    shape = (int(n_cells), int(n_genes))
    if not form.startswith("csc"):
        return SparseRows(data, indices, indptr, shape=shape)
    needed = 2 * data.shape[0] * (data.dtype.itemsize + indices.dtype.itemsize) / MEGABYTE
    if needed > memory_mb:
        raise CohortError(
            f"{name} stores X by columns (CSC): its cells cannot be read in chunks, and turning it "
            f"takes {needed:,.0f} MB where {memory_mb:,} MB are allowed; write it by rows once "
            "(adata.X = adata.X.tocsr(); adata.write_h5ad), or raise the memory setting"
        )
    columns = sparse.csc_matrix((data[...], indices[...], indptr[...]), shape=shape).tocsr()
    return SparseRows(columns.data, columns.indices, columns.indptr, shape=shape)


def stored_bytes(stored: Any) -> int:
    """Return the bytes of an array, or of all arrays of a group."""
    if hasattr(stored, "keys"):
        return sum(stored_bytes(stored[key]) for key in stored)
    return int(np.prod(stored.shape, dtype=np.int64)) * int(stored.dtype.itemsize)


def reason(error: Exception) -> str:
    """Return the first line of an error's message, or its kind."""
    return next(iter(str(error).splitlines()), type(error).__name__)
