"""CellSource: the cells of a file or an AnnData, read by rows, never more than was asked for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.catalogue import default_catalogue
from features.cells.storage import (
    MEGABYTE,
    CellMatrix,
    CellTable,
    FrameTable,
    open_store,
    reason,
    repeated_ids,
    stored_bytes,
    stored_matrix,
    stored_table,
)
from features.errors import CohortError, examples
from features.genes import count_genes

__all__ = ["CellSource", "chunk_size", "open_cells"]

_MOST_ROWS = 2048
"""Rows of a chunk beyond which larger chunks are no faster."""
_BYTES_A_ROW = 8_000
"""Scores of a cell with what is computed from them: about ninety markers."""
_EXTRA_SPARSE, _EXTRA_DENSE = 32, 72
"""Bytes a value beside those of two chunks as they lie: as float64, ordered by group, its index."""
_WINDOW, _NEAR = 1024, 64
"""Rows read at once at most, and the gap between wanted rows that is read rather than skipped."""
_MOST_TO_TURN = 100_000
"""Cells up to which ids are looked at as genes; no transcriptome has more."""
_SMALL = 16 * MEGABYTE


class CellSource:
    """Cells of an h5ad file, a zarr store or an AnnData, read by rows.

    In memory are the rows that were asked for, where each row starts (8 bytes a cell), and the
    gene names. Made by :func:`open_cells`; a context manager that closes the file.

    Attributes
    ----------
    name
        Path, or ``AnnData``.
    n_cells
        Number of cells.
    genes
        Index of ``var`` as in the file, repeats included.
    is_sparse
        Whether blocks are CSR, else dense.
    var_columns, obs_columns
        Columns of ``var`` and ``obs``.
    """

    def __init__(
        self, name: str, *, matrix: CellMatrix, obs: CellTable, var: CellTable, file: Any
    ) -> None:
        self.name = name
        self.n_cells, n_genes = matrix.shape
        self.is_sparse = matrix.is_sparse
        self.obs_columns, self.var_columns = obs.columns, var.columns
        self._matrix, self._obs, self._var, self._file = matrix, obs, var, file
        self.genes = tuple(str(gene) for gene in var.ids(0, n_genes))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; an AnnData stays as it is."""
        if isinstance(self._file, h5py.File):
            self._file.close()

    @property
    def matrix(self) -> CellMatrix:
        """The expression by rows."""
        return self._matrix

    def cell_ids(self, start: int = 0, stop: int | None = None) -> NDArray[np.object_]:
        """Return the ids of all cells, or of a run of them, as text."""
        return self._obs.ids(start, self.n_cells if stop is None else stop)

    def obs(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of ``obs`` (n_cells, n_columns), cell ids as index.

        Raises
        ------
        CohortError
            There is no such column, or it cannot be read.
        """
        return self._frame(self._obs, columns, "obs")

    def obs_column(self, name: str) -> "pd.Series[Any]":
        """Return one column of ``obs`` (n_cells,) by position, without the cells' ids.

        Raises
        ------
        CohortError
            There is no such column, or it cannot be read.
        """
        if name not in self.obs_columns:
            raise CohortError(
                f"{self.name}: obs lacks the column '{name}'; it has {examples(self.obs_columns)}"
            )
        try:
            return self._obs.column(name)
        except Exception as error:
            raise CohortError(
                f"{self.name}: obs['{name}'] cannot be read: {reason(error)}; write it anew with "
                "anndata"
            ) from error

    def var(self) -> pd.DataFrame:
        """Return ``var`` (n_genes, n_columns).

        Raises
        ------
        CohortError
            It cannot be read.
        """
        return self._frame(self._var, self._var.columns, "var")

    def uns(self) -> dict[str, Any]:
        """Return what is small in ``uns`` (16 MB an entry at most); empty when unreadable."""
        if isinstance(self._file, ad.AnnData):
            return dict(self._file.uns)
        try:
            group = self._file["uns"]
            return {
                str(key): ad.io.read_elem(group[key])
                for key in group
                if stored_bytes(group[key]) <= _SMALL
            }
        except Exception:  # noqa: BLE001  # uns holds anything, and nothing that is needed
            return {}

    def chunks(self, rows: int) -> Iterator[tuple[int, Any]]:
        """Yield the first position and the block of ``rows`` rows at a time, in file order.

        A block (n_rows, n_genes) is CSR or dense, values as they came; it may be a view of an
        AnnData's own values, so it is not to be changed.

        Raises
        ------
        CohortError
            The file is damaged there.
        """
        if rows < 1:
            raise CohortError(f"{self.name}: chunks of {rows} rows; a chunk has at least one")
        for start in range(0, self.n_cells, rows):
            yield start, self._read(start, min(start + rows, self.n_cells))

    def rows(self, positions: NDArray[np.intp]) -> Any:
        """Return the rows at sorted positions, (n_positions, n_genes), CSR or dense.

        At most 1,024 rows of the file are read at once; what lies far from any wanted row is
        skipped.

        Raises
        ------
        CohortError
            Positions are not sorted or not in the file, or the file is damaged there.
        """
        positions = np.asarray(positions, dtype=np.intp)
        if positions.size == 0:
            return self._read(0, 0)
        outside = positions[0] < 0 or positions[-1] >= self.n_cells
        if outside or (np.diff(positions) < 0).any():
            raise CohortError(
                f"{self.name}: rows are asked for by positions from 0 to {self.n_cells - 1} in "
                f"rising order, not by {examples(positions)}"
            )
        far = np.diff(positions) > _NEAR
        windows = np.diff(positions // _WINDOW) > 0
        blocks = [
            self._read(int(run[0]), int(run[-1]) + 1)[run - run[0]]
            for run in np.split(positions, np.flatnonzero(far | windows) + 1)
        ]
        if self.is_sparse:
            return sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        return np.concatenate(blocks)

    def _read(self, start: int, stop: int) -> Any:
        try:
            return self._matrix.read(start, stop)
        except Exception as error:  # a damaged file makes HDF5 and zarr raise anything
            where = f"{self.name}: cells {start} to {stop - 1} cannot be read"
            raise CohortError(f"{where}: {reason(error)}; write it anew with anndata") from error

    def _frame(self, table: CellTable, columns: Sequence[str], what: str) -> pd.DataFrame:
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise CohortError(
                f"{self.name}: {what} lacks the columns {missing}; it has {examples(table.columns)}"
            )
        try:
            return table.frame(columns)
        except Exception as error:
            raise CohortError(
                f"{self.name}: {what} cannot be read: {reason(error)}; write it anew with anndata"
            ) from error


def open_cells(place: Path | ad.AnnData, *, memory_mb: int = 1024) -> CellSource:
    """Return the cells of an h5ad file, a zarr store or an AnnData, nothing of X read yet.

    Parameters
    ----------
    place
        An ``.h5ad`` file, the folder of a zarr store, or an AnnData (backed ones stay on disk).
    memory_mb
        A matrix stored by columns (CSC) cannot be read by rows: it is loaded whole where that
        takes no more than this, and refused otherwise.

    Raises
    ------
    CohortError
        The file is missing or damaged, has no ``X``, is empty, repeats cell ids, holds cells in
        ``var``, or is stored by columns and too large.
    """
    name = "AnnData" if isinstance(place, ad.AnnData) else str(place)
    file = place if isinstance(place, ad.AnnData) else open_store(place)
    try:
        return _source(file, name, memory_mb=memory_mb)
    except BaseException as error:
        if isinstance(file, h5py.File):
            file.close()
        if isinstance(error, CohortError) or not isinstance(error, Exception):
            raise
        raise CohortError(
            f"{name} is not a readable file of cells: {reason(error)}; write it anew with anndata"
        ) from error


def chunk_size(source: CellSource, *, memory_mb: int, dense: bool = False) -> int:
    """Return how many rows a chunk may have for the work on it to stay within ``memory_mb``.

    The largest chunk of the file counts. What does not grow with a chunk comes on top: the sums
    (n_samples × n_types × n_genes × 8 bytes) and the program itself.

    Parameters
    ----------
    source
        The cells.
    memory_mb
        Megabytes for all temporaries of :func:`features.cells.summary.summarise_cells`.
    dense
        The values are made dense, because a zero of the unit does not mean "not expressed".

    Raises
    ------
    CohortError
        Not even one cell fits.
    """
    matrix, budget = source.matrix, memory_mb * MEGABYTE
    filled = dense or not source.is_sparse
    a_value = 2 * matrix.value_bytes + (_EXTRA_DENSE if filled else _EXTRA_SPARSE)
    rows = min(_MOST_ROWS, max(source.n_cells, 1))
    while True:
        values = rows * len(source.genes) if filled else matrix.stored_values(rows)
        if values * a_value + rows * _BYTES_A_ROW <= budget:
            return rows
        if rows == 1:
            raise CohortError(
                f"{source.name}: one cell of {len(source.genes)} genes does not fit into "
                f"{memory_mb} MB; raise the memory setting"
            )
        rows = max(rows // 2, 1)


def _source(file: Any, name: str, *, memory_mb: int) -> CellSource:
    if isinstance(file, ad.AnnData):
        stored: Any = getattr(file.X, "group", file.X)  # backed: the group on disk
        obs: CellTable = FrameTable(file.obs)
        var: CellTable = FrameTable(file.var)
    else:
        stored = file.get("X")
        lacking = [part for part in ("obs", "var") if part not in file]
        if lacking:
            raise CohortError(f"{name} has no {lacking[0]}; write it with anndata")
        obs, var = stored_table(file["obs"]), stored_table(file["var"])
    attributes = getattr(stored, "attrs", {})
    if stored is None or attributes.get("encoding-type") == "null":
        raise CohortError(f"{name} has no X; put the expression (counts, TPM or log) there")
    matrix = stored_matrix(stored, attributes, name, memory_mb=memory_mb)
    source = CellSource(name, matrix=matrix, obs=obs, var=var, file=file)
    _check(source, obs)
    return source


def _check(source: CellSource, obs: CellTable) -> None:
    """Refuse what has no cells or genes, repeats cells, or holds them in ``var``."""
    if source.n_cells == 0 or not source.genes:
        shape = f"{source.n_cells} cells × {len(source.genes)} genes"
        raise CohortError(f"{source.name}: the expression matrix is empty ({shape})")
    catalogue = default_catalogue()
    if (
        source.n_cells <= _MOST_TO_TURN
        and set(catalogue.gene_symbols).isdisjoint(source.genes)  # mostly answers at once
        and not count_genes(source.genes, catalogue=catalogue, numbers=True)
        and count_genes([str(name) for name in source.cell_ids()], catalogue=catalogue)
    ):
        raise CohortError(f"{source.name} has genes in obs and cells in var; write adata.T instead")
    n_repeated, repeated = repeated_ids(obs, source.n_cells)
    if repeated:
        raise CohortError(
            f"{source.name}: {n_repeated} cells share their id with another "
            f"({examples(repeated)}); give each cell an id of its own (obs_names_make_unique)"
        )
