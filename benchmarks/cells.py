"""Features of single cells: time and memory against scanpy's normalisation, and against two peers.

Run with ``make bench``; needs no data. Files of made-up cells × 20,000 genes, 7% non-zero, 40
samples and a column of cell types, are written to a temporary folder as anndata writes them (a
million cells take 11 GB) and removed at the end. Ours is everything the features need from one
pass: all markers of the catalogue in each cell, pseudobulk by sample and type with its features,
detections. The baseline reads the same file in the same chunks through anndata and takes each
through ``normalize_total`` and ``log1p``. Each runs in a fresh process, in alternating order, its
highest resident memory taken; the median of the paired ratios counts, of the clock's time and of
the processor's, which other work on the machine moves less. The peers score the same sets
in memory, at a size that they finish.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import decoupler
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

from features.catalogue import Marker, default_catalogue
from features.cells.cell_types import CELL_TYPES, COMPARTMENTS
from features.cells.scores import CellScorer
from features.cells.source import open_cells
from features.cells.summary import CellPlan, CellSummary, summarise_cells
from features.transformer import MarkerFeatures
from features.units import UnitFinding

SIZES = (200_000, 1_000_000)
N_GENES, N_SAMPLES, SHARE = 20_000, 40, 0.07
PEER_CELLS, PEER_SETS = 20_000, 60
_ROWS = 2048
_PAIRS = 3
_DETECTED = {"tim3_pd1": ("HAVCR2", "PDCD1"), "tcf7": ("TCF7",), "apoe": ("APOE",)}
_COUNTS = UnitFinding("counts", 0.0, "made up")


def gene_names() -> list[str]:
    """Return the catalogue's genes and others."""
    known = list(default_catalogue().gene_symbols)
    return [*known, *(f"BG{i:05d}" for i in range(N_GENES - len(known)))]


def simulated_pool(rng: np.random.Generator) -> sparse.csr_matrix[np.float32]:
    """Return which genes each of a chunk's cells expresses; genes differ in how often they are."""
    often = rng.beta(0.5, 0.5 / SHARE - 0.5, N_GENES)
    often *= SHARE / often.mean()
    parts = [sparse.csr_matrix(rng.random((512, N_GENES)) < often) for _ in range(_ROWS // 512)]
    return sparse.csr_matrix(sparse.vstack(parts, format="csr"), dtype=np.float32)


def write_cells(path: Path, *, n_cells: int) -> None:
    """Write made-up raw counts by chunks as anndata lays them out: the pool's cells, new counts."""
    rng = np.random.default_rng(0)
    pool = simulated_pool(rng)
    chosen = np.concatenate([rng.permutation(_ROWS) for _ in range(0, n_cells, _ROWS)])[:n_cells]
    indptr = np.concatenate([[0], np.cumsum(np.diff(pool.indptr)[chosen], dtype=np.int64)])
    samples = np.arange(n_cells) * N_SAMPLES // n_cells
    types = rng.choice(len(CELL_TYPES), n_cells, p=rng.dirichlet(np.ones(len(CELL_TYPES))))
    obs = pd.DataFrame(
        {
            "sample_id": pd.Categorical.from_codes(samples, [f"s{i}" for i in range(N_SAMPLES)]),
            "cell_type": pd.Categorical.from_codes(types, list(CELL_TYPES)),
        },
        index=[f"cell{i:07d}" for i in range(n_cells)],
    )
    with h5py.File(path, "w") as file:
        ad.io.write_elem(file, "/", ad.AnnData(obs=obs, var=pd.DataFrame(index=gene_names())))
        file.pop("X", None)
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = (n_cells, N_GENES)
        group["indptr"] = indptr
        data = group.create_dataset("data", (int(indptr[-1]),), np.float32)
        indices = group.create_dataset("indices", (int(indptr[-1]),), np.int32)
        for start in range(0, n_cells, _ROWS):
            rows = pool[chosen[start : start + _ROWS]]
            first = int(indptr[start])
            indices[first : first + rows.nnz] = rows.indices
            data[first : first + rows.nnz] = rng.geometric(0.5, rows.nnz)


def normalised(path: Path) -> Iterator[ad.AnnData]:
    """Yield the cells of a file a chunk at a time, through scanpy's normalisation."""
    with h5py.File(path) as file:
        rows = ad.io.sparse_dataset(file["X"])
        for start in range(0, rows.shape[0], _ROWS):
            cells = ad.AnnData(rows[start : start + _ROWS])
            sc.pp.normalize_total(cells, target_sum=1e4)
            sc.pp.log1p(cells)
            yield cells


def summarise(path: Path, *, markers: tuple[Marker, ...], scores: Path | None) -> CellSummary:
    """Return the summary of a file by its columns, as the pipeline would."""
    with open_cells(path) as source:
        obs = source.obs(["sample_id", "cell_type"])
        return summarise_cells(
            source,
            symbols=source.genes,
            finding=_COUNTS,
            samples=np.asarray(obs["sample_id"].cat.codes, dtype=np.int32),
            sample_names=list(obs["sample_id"].cat.categories),
            types=np.asarray(obs["cell_type"].cat.codes, dtype=np.int8),
            plan=CellPlan(markers, _DETECTED),
            scores=scores,
        )


def read_and_normalise(path: Path) -> None:
    """Read and normalise all chunks, one after another."""
    for _ in normalised(path):
        pass


def build_features(path: Path, *, scores: Path | None = None) -> None:
    """Build what the features of all mechanisms need, and those of the pseudobulk."""
    summary = summarise(path, markers=default_catalogue().markers, scores=scores)
    for types in (None, *COMPARTMENTS.values()):
        summary.score_mean(types)
        bulk = summary.pseudobulk(types, min_cells=20)
        bulk = bulk[np.isfinite(bulk.X).any(axis=1)].copy()
        if bulk.n_obs:
            MarkerFeatures().fit(bulk).transform(bulk)


def seconds(task: Callable[[], object]) -> float:
    """Return the wall time of a run."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def run_task(name: str, path: Path) -> None:
    """Print seconds and peak resident memory (MB) of one task in this process, as JSON."""
    tasks: dict[str, Callable[[], object]] = {
        "baseline": lambda: read_and_normalise(path),
        "features": lambda: build_features(path),
        "with_scores": lambda: build_features(path, scores=path.with_suffix(".parquet")),
    }
    if name == "baseline":  # numba compiles once
        few = ad.AnnData(sparse.csr_matrix(np.eye(3, dtype=np.float32)))
        sc.pp.normalize_total(few, target_sum=1e4)
        sc.pp.log1p(few)
    start = time.process_time()
    wall = seconds(tasks[name])
    processor = time.process_time() - start
    found = {"seconds": wall, "processor": processor, "megabytes": peak_megabytes()}
    print(json.dumps(found))


def peak_megabytes() -> float:
    """Return the highest resident memory of this process, not that of the one that started it."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's getrusage counts what was there before the program was loaded
        return float(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def fresh(name: str, path: Path) -> dict[str, float]:
    """Return what a task takes in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cells", "--task", name, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_size(folder: Path, *, n_cells: int, pairs: int) -> None:
    """Print time, ratio and memory at one size."""
    path = folder / f"cells_{n_cells}.h5ad"
    write_cells(path, n_cells=n_cells)
    print(f"{n_cells:,} cells × {N_GENES:,} genes, {path.stat().st_size / 1e9:.1f} GB", flush=True)
    names = ["baseline", "features", "with_scores"]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for pair in range(pairs):
        for name in names if pair % 2 == 0 else names[::-1]:
            runs[name].append(fresh(name, path))
    path.unlink()
    labels = {
        "baseline": "read, normalize_total, log1p",
        "features": "features of all mechanisms",
        "with_scores": "and the scores of each cell kept",
    }
    for name, label in labels.items():
        peak = max(run["megabytes"] for run in runs[name])
        told = [f"{label:33}"]
        for clock, what in (("seconds", "s"), ("processor", "s of processor")):
            times = [run[clock] for run in runs[name]]
            of = [run[clock] for run in runs["baseline"]]
            ratios = [own / base for own, base in zip(times, of, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})"
            told.append(f"{statistics.median(times):6.1f} {what} {ratio}")
        print("  ".join(told), f" peak {peak:.0f} MB", flush=True)


def peer_markers() -> list[Marker]:
    """Return plain sets, which every peer can score."""
    plain = [m for m in default_catalogue().markers if m.score == "mean" and m.by_drug is None]
    return plain[:PEER_SETS]


def measure_peers(folder: Path, *, n_cells: int) -> None:
    """Print how much longer scanpy's score_genes and decoupler's zscore take for the same sets."""
    path = folder / "peers.h5ad"
    write_cells(path, n_cells=n_cells)
    markers = peer_markers()
    sets = pd.DataFrame([(m.id, g) for m in markers for g in m.genes], columns=["source", "target"])
    raw = ad.read_h5ad(path).X
    scorer = CellScorer(markers, symbols=gene_names(), finding=_COUNTS)
    blocks = [raw[start : start + _ROWS] for start in range(0, n_cells, _ROWS)]
    scoring = statistics.median(
        seconds(lambda: [scorer.score(block) for block in blocks]) for _ in range(_PAIRS)
    )
    whole = statistics.median(
        seconds(lambda: summarise(path, markers=tuple(markers), scores=None)) for _ in range(_PAIRS)
    )
    prepared: list[ad.AnnData] = []
    reading = seconds(lambda: prepared.extend(normalised(path)))
    cells = ad.AnnData(sparse.vstack([part.X for part in prepared], format="csr"))
    cells.var_names = pd.Index(gene_names())
    prepared.clear()

    def score_genes() -> None:
        for marker in markers:
            sc.tl.score_genes(cells, list(marker.genes), score_name="_score")

    peers: dict[str, Callable[[], object]] = {
        "scanpy score_genes": score_genes,
        "decoupler zscore": lambda: decoupler.mt.zscore(cells, sets, tmin=1),
    }
    print(f"{n_cells:,} cells in memory, {len(markers)} sets of the catalogue")
    print(
        f"OncoResist from counts, scoring   {scoring:7.2f} s   with reading and sums {whole:.2f} s"
    )
    for name, task in peers.items():
        took = seconds(task)
        print(
            f"{name:33} {took:7.2f} s   {took / scoring:.0f} × our scoring, "
            f"with reading and normalising {(reading + took) / whole:.0f} × ours",
            flush=True,
        )
    path.unlink()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--pairs", type=int, default=_PAIRS)
    parser.add_argument("--peer-cells", type=int, default=PEER_CELLS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.task:
        run_task(given.task, given.file)
        return
    print(
        f"{os.cpu_count()} cores, numerical kernels on {os.environ.get('OMP_NUM_THREADS', 'all')}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if given.peer_cells:
            measure_peers(Path(folder), n_cells=given.peer_cells)
        for n_cells in given.sizes:
            measure_size(Path(folder), n_cells=n_cells, pairs=given.pairs)


if __name__ == "__main__":
    main()
