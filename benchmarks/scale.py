"""Feature building for 1,000 bulk samples × 20,000 genes: time, memory, ratios to two peers.

Run with ``make bench``; needs no data. The same gene sets are scored by OncoResist, by scanpy's
``score_genes`` (a call a set) and by decoupler's ``zscore``, in one run. Memory is the peak of what
Python and numpy allocate while the features are built, the input not counted.
"""

import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial

import anndata as ad
import decoupler
import numpy as np
import pandas as pd
import scanpy as sc

from features.catalogue import default_catalogue
from features.catalogue_export import network
from features.gene_scores import ScoreKind
from features.transformer import MarkerFeatures

N_SAMPLES, N_GENES = 1_000, 20_000
_REPEATS = 3
KINDS: tuple[ScoreKind, ...] = ("rank", "mean_z")


def simulated_cohort() -> ad.AnnData:
    """Return log1p TPM of made-up samples over the catalogue's genes and others."""
    rng = np.random.default_rng(0)
    known = list(default_catalogue().gene_symbols)
    genes = [*known, *(f"BG{i:05d}" for i in range(N_GENES - len(known)))]
    tpm = rng.gamma(0.5, 100.0, (N_SAMPLES, N_GENES))
    tpm[rng.random(tpm.shape) < 0.2] = 0.0
    obs = pd.DataFrame(
        {"drug": rng.choice(["T-DM1", "T-DXd", "sacituzumab govitecan"], N_SAMPLES)},
        index=[f"s{i}" for i in range(N_SAMPLES)],
    )
    return ad.AnnData(np.log1p(tpm), obs=obs, var=pd.DataFrame(index=genes))


def build(cohort: ad.AnnData, *, score_kind: ScoreKind) -> pd.DataFrame:
    """Return all features of the cohort, of every setting."""
    return MarkerFeatures(score_kind=score_kind).fit(cohort).transform(cohort)


def median_seconds(task: Callable[[], object], *, repeats: int = _REPEATS) -> float:
    """Return the median wall time of a few runs after one warm-up."""
    task()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_megabytes(task: Callable[[], object]) -> float:
    """Return the most that a task holds beyond what there was before it, in MB."""
    tracemalloc.start()
    task()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    """Measure and print."""
    cohort = simulated_cohort()
    ours, memory = {}, {}
    for kind in KINDS:
        task = partial(build, cohort, score_kind=kind)
        memory[kind], ours[kind] = peak_megabytes(task), median_seconds(task)
    catalogue = default_catalogue()
    markers = [marker for marker in catalogue.markers if marker.by_drug is None]
    sets = network(catalogue)
    sets = sets[~sets["source"].str.contains(".", regex=False)]

    def score_genes() -> None:
        for marker in markers:
            sc.tl.score_genes(cohort, list(marker.genes), score_name="_score")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy = median_seconds(score_genes, repeats=1)
        peer = median_seconds(lambda: decoupler.mt.zscore(cohort, sets, tmin=1), repeats=1)
    print(f"{N_SAMPLES:,} samples × {N_GENES:,} genes, {len(catalogue.markers)} features")
    for kind, seconds in ours.items():
        print(f"OncoResist, {kind:22} {seconds:7.2f} s {memory[kind]:6.0f} MB beyond the input")
    for name, seconds in (("scanpy score_genes", scanpy), ("decoupler zscore", peer)):
        ratios = ", ".join(f"{seconds / own:.1f} × our {kind}" for kind, own in ours.items())
        print(f"{name:34} {seconds:7.2f} s  {ratios}")


if __name__ == "__main__":
    main()
