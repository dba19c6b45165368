"""Cells by rows from every layout, and no read that is larger than what was asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse

from features.cells.source import CellSource, chunk_size, open_cells
from features.cells.storage import SparseRows
from features.errors import CohortError

N_CELLS, N_GENES = 57, 12
GENES = ["CD274", "B2M", "HLA-A", "PDCD1", "HAVCR2", "TCF7", *(f"G{i}" for i in range(6))]


def counts(seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.poisson(0.6, (N_CELLS, N_GENES))).astype(np.float32)


def made(values: Any) -> ad.AnnData:
    obs = pd.DataFrame(
        {
            "sample": pd.Categorical([f"s{i % 3}" for i in range(N_CELLS)]),
            "depth": np.arange(N_CELLS, dtype=float),
            "word": ["a"] * N_CELLS,
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    var = pd.DataFrame({"feature_name": GENES}, index=GENES)
    return ad.AnnData(values, obs=obs, var=var, uns={"source": "made up"})


LAYOUTS: dict[str, Callable[[NDArray[np.float32]], Any]] = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": np.asarray,
}


@pytest.fixture(params=["h5ad", "zarr", "backed", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[ad.AnnData], Any]:
    """Return what puts an AnnData where cells are read from."""

    def put(adata: ad.AnnData) -> Any:
        if request.param == "memory":
            return adata
        path = tmp_path / "cells"
        if request.param == "zarr":
            adata.write_zarr(path)
            return path
        adata.write_h5ad(path)
        return ad.read_h5ad(path, backed="r") if request.param == "backed" else path

    return put


def dense(block: Any) -> NDArray[np.float64]:
    return np.asarray(block.toarray() if sparse.issparse(block) else block, dtype=float)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_chunks_of_any_size_put_together_are_the_file(
    layout: str, place: Callable[[ad.AnnData], Any]
) -> None:
    values = counts()
    with open_cells(place(made(LAYOUTS[layout](values)))) as source:
        assert (source.n_cells, source.genes) == (N_CELLS, tuple(GENES))
        assert source.is_sparse == (layout != "dense")
        for rows in (1, 7, 1000):
            chunks = list(source.chunks(rows))
            assert [start for start, _ in chunks] == list(range(0, N_CELLS, rows))
            assert max(block.shape[0] for _, block in chunks) <= rows
            np.testing.assert_array_equal(np.vstack([dense(b) for _, b in chunks]), values)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_at_sorted_positions_are_those_rows(
    layout: str, place: Callable[[ad.AnnData], Any]
) -> None:
    values = counts()
    with open_cells(place(made(LAYOUTS[layout](values)))) as source:
        for positions in ([0], [3, 3, 4, 50], [], list(range(N_CELLS))):
            found = source.rows(np.array(positions, dtype=np.intp))
            np.testing.assert_array_equal(dense(found), values[positions])


def test_rows_far_apart_are_read_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    values = sparse.random(5000, 3, density=0.5, format="csr", random_state=1)
    source = open_cells(ad.AnnData(values))
    read = SparseRows.read
    asked: list[tuple[int, int]] = []

    def noted(self: SparseRows, start: int, stop: int) -> Any:
        asked.append((start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(SparseRows, "read", noted)
    positions = np.array([5, 6, 60, 2000, *range(3000, 4999)])
    np.testing.assert_array_equal(source.rows(positions).toarray(), values[positions].toarray())
    assert asked[:2] == [(5, 61), (2000, 2001)]
    assert max(stop - start for start, stop in asked) <= 1024


def test_positions_out_of_order_or_outside_are_refused() -> None:
    source = open_cells(made(counts()))
    for positions in ([3, 2], [-1, 0], [0, N_CELLS]):
        with pytest.raises(CohortError, match="in rising order"):
            source.rows(np.array(positions))


def test_ids_columns_and_notes_are_those_of_the_file(place: Callable[[ad.AnnData], Any]) -> None:
    adata = made(sparse.csr_matrix(counts()))
    with open_cells(place(adata)) as source:
        assert source.obs_columns == ("sample", "depth", "word")
        assert source.var_columns == ("feature_name",)
        assert source.cell_ids().tolist() == [f"cell{i}" for i in range(N_CELLS)]
        assert source.cell_ids(5, 7).tolist() == ["cell5", "cell6"]
        obs = source.obs(["depth", "sample"])
        assert list(obs) == ["depth", "sample"]
        assert obs.index.tolist() == source.cell_ids().tolist()
        assert obs["depth"].tolist() == adata.obs["depth"].tolist()
        assert obs["sample"].astype(str).tolist() == adata.obs["sample"].astype(str).tolist()
        assert source.var()["feature_name"].astype(str).tolist() == GENES
        assert source.uns()["source"] == "made up"
        with pytest.raises(CohortError, match=r"obs lacks the columns \['patient'\]; it has"):
            source.obs(["patient"])


def test_repeated_genes_stay_as_they_are(tmp_path: Path) -> None:
    adata = made(sparse.csr_matrix(counts()))
    adata.var_names = ["B2M", "B2M", *GENES[2:]]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with open_cells(tmp_path / "cells.h5ad") as source:
        assert source.genes[:2] == ("B2M", "B2M")


@pytest.mark.parametrize("version", ["0.1.0", "unnamed"])
def test_tables_of_older_layouts_are_read(version: str, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    made(sparse.csr_matrix(counts())).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if version == "unnamed":  # anndata before 0.7: a compound array
            del file["obs"]
            rows = [(f"cell{i}".encode(), float(i)) for i in range(N_CELLS)]
            file["obs"] = np.array(rows, dtype=[("index", "S10"), ("depth", "f8")])
        else:  # anndata 0.7: categories beside the columns
            group = file["obs"]
            codes = group["sample/codes"][...]
            categories = group["sample/categories"][...]
            del group["sample"]
            group.attrs["encoding-version"] = version
            kept = group.create_group("__categories")
            kept.create_dataset("sample", data=categories, dtype=h5py.string_dtype())
            group["sample"] = codes
            group["sample"].attrs["categories"] = kept["sample"].ref
    with open_cells(path) as source:
        assert source.obs(["depth"])["depth"].tolist() == list(range(N_CELLS))
        assert source.cell_ids(2, 3).tolist() == ["cell2"]
        if version == "0.1.0":
            assert source.obs(["sample"])["sample"].astype(str).tolist()[:4] == [
                "s0",
                "s1",
                "s2",
                "s0",
            ]


def test_what_lies_large_in_uns_is_left_there(tmp_path: Path) -> None:
    adata = made(counts())
    adata.uns["large"] = np.zeros(2_100_000)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with open_cells(tmp_path / "cells.h5ad") as source:
        assert source.uns() == {"source": "made up"}


def test_missing_damaged_and_foreign_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="there is no file"):
        open_cells(tmp_path / "nowhere.h5ad")
    (tmp_path / "text.h5ad").write_text("cell,gene\n")
    with pytest.raises(CohortError, match="neither a readable h5ad file nor a zarr store"):
        open_cells(tmp_path / "text.h5ad")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CohortError, match="neither a readable h5ad file nor a zarr store"):
        open_cells(tmp_path / "folder")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["values"] = np.ones(3)
    with pytest.raises(CohortError, match="has no obs; write it with anndata"):
        open_cells(tmp_path / "foreign.h5")


def test_a_file_without_expression_or_cells_says_so(tmp_path: Path) -> None:
    adata = made(counts())
    for nothing in (ad.AnnData(obs=adata.obs, var=adata.var), adata[:0].copy()):
        nothing.write_h5ad(tmp_path / "cells.h5ad")
        for place in (nothing, tmp_path / "cells.h5ad"):
            with pytest.raises(CohortError, match=r"has no X; put|matrix is empty \(0 cells"):
                open_cells(place)


def test_repeated_cell_ids_are_named(place: Callable[[ad.AnnData], Any]) -> None:
    adata = made(counts())
    adata.obs_names = ["twice", "twice", *adata.obs_names[2:]]
    with pytest.raises(CohortError, match=r"2 cells share their id with another \(twice\)"):
        open_cells(place(adata))


def test_cells_in_var_are_told(place: Callable[[ad.AnnData], Any]) -> None:
    with pytest.raises(CohortError, match=r"genes in obs and cells in var; write adata\.T"):
        open_cells(place(made(counts()).T.copy()))


def test_columns_too_large_to_turn_are_refused_with_the_mend(tmp_path: Path) -> None:
    values = sparse.random(3000, 60, density=0.9, format="csc", random_state=0)
    ad.AnnData(values).write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(CohortError, match=r"by columns \(CSC\).*adata\.X\.tocsr\(\)"):
        open_cells(tmp_path / "cells.h5ad", memory_mb=1)
    with open_cells(tmp_path / "cells.h5ad", memory_mb=10) as source:
        np.testing.assert_array_equal(source.rows(np.arange(9)).toarray(), values[:9].toarray())


def test_a_file_cut_short_says_which_cells(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    made(sparse.csr_matrix(counts())).write_h5ad(path, compression="gzip")
    with h5py.File(path, "r+") as file:
        data = file["X/data"]
        data.id.write_direct_chunk((0,), b"not what gzip writes")
    with (
        open_cells(path) as source,
        pytest.raises(CohortError, match="cells 0 to 6 cannot be read"),
    ):
        next(source.chunks(7))


def test_values_and_row_starts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    made(sparse.csr_matrix(counts())).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        starts = file["X/indptr"][...]
        del file["X/indptr"]
        file["X/indptr"] = starts[:-3]
    with pytest.raises(CohortError, match="its X does not hang together"):
        open_cells(path)


def test_a_chunk_needs_a_row() -> None:
    with pytest.raises(CohortError, match="a chunk has at least one"):
        next(open_cells(made(counts())).chunks(0))


def uneven(n_cells: int) -> CellSource:
    """Return cells the last tenth of which express ten times as much as the others."""
    values = np.zeros((n_cells, 2000), dtype=np.float32)
    values[:, :50] = 1
    values[-n_cells // 10 :, :500] = 1
    return open_cells(ad.AnnData(sparse.csr_matrix(values)))


def test_the_largest_chunk_fits_the_memory_setting() -> None:
    for n_cells in (2000, 4000):
        source = uneven(n_cells)
        rows = chunk_size(source, memory_mb=20)
        largest = max(block.nnz for _, block in source.chunks(rows))
        assert rows > 100
        assert largest * 40 < 20e6
        assert chunk_size(source, memory_mb=40) > rows
        assert chunk_size(source, memory_mb=20, dense=True) < rows


def test_the_rows_of_a_chunk_do_not_depend_on_how_many_cells_there_are() -> None:
    sizes = set()
    for n_cells in (2048, 4096, 8192):
        values = sparse.csr_matrix(np.ones((n_cells, 500), dtype=np.float32))
        sizes.add(chunk_size(open_cells(ad.AnnData(values)), memory_mb=20))
    assert len(sizes) == 1
    assert sizes.pop() < 2048


def test_a_cell_that_does_not_fit_is_told() -> None:
    source = open_cells(ad.AnnData(np.ones((2, 20_000), dtype=np.float32)))
    with pytest.raises(CohortError, match="does not fit into 1 MB; raise the memory setting"):
        chunk_size(source, memory_mb=1)
