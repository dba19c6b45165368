"""Cells to look at: their clusters and their map, as scanpy makes them."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from features.cells.clusters import ClusterModel, cluster_cells, sketch
from features.cells.expression import has_linear_scale, log_block
from features.cells.source import CellSource
from features.errors import CohortError, ConfigError
from features.units import UnitFinding

__all__ = ["CellView", "ClusterModel", "cluster_cells", "sketch", "view_cells"]

_FEWEST_CELLS = 10
"""Cells below which there is nothing to cluster."""
_HVG, _COMPONENTS, _NEIGHBOURS = 2000, 30, 15
_NEIGHBOUR_SEARCH: Literal["sklearn"] = "sklearn"
_MOST_KMEANS = 20


@dataclass(frozen=True)
class CellView:
    """What there is to see of a sketch.

    Attributes
    ----------
    clusters
        Cluster of each cell (n_positions,), from 0, the largest first; never of integrated data.
    umap
        Coordinates (n_positions, 2); of integrated components where integration was asked for.
    pcs
        Principal components (n_positions, n_components), not integrated.
    hvg
        Symbols of the genes that they are made of.
    model
        The clusters, for other cells.
    steps
        What was done, in order.
    skipped
        What was left out and why, a sentence each.
    """

    clusters: NDArray[np.int32]
    umap: NDArray[np.float32]
    pcs: NDArray[np.float32]
    hvg: tuple[str, ...]
    model: ClusterModel
    steps: tuple[str, ...]
    skipped: tuple[str, ...]


def view_cells(
    source: CellSource,
    *,
    symbols: Sequence[str],
    finding: UnitFinding,
    positions: NDArray[np.intp],
    batches: NDArray[np.integer[Any]] | None = None,
    integrate: Literal["none", "harmony"] = "none",
    seed: int = 0,
) -> CellView:
    """Return clusters and a map of the cells at ``positions``; the same for the same seed.

    Parameters
    ----------
    source
        The cells; only those at ``positions`` are in memory.
    symbols
        Symbol of each column of the file.
    finding
        Unit of the values: what is not counts is taken as far as it goes.
    positions
        Sorted positions of cells.
    batches
        Batch of each of them (n_positions,), for integration.
    integrate
        ``harmony`` (10.1038/s41592-019-0619-0) moves the map alone: clusters, components and
        everything computed elsewhere stay as without it.
    seed
        Seed of every step.

    Raises
    ------
    CohortError
        No position, or symbols or batches that do not fit.
    ConfigError
        Harmony is not installed, or has no batches.

    Notes
    -----
    scanpy's steps: log1p of counts per 10,000, 2,000 highly variable genes, 30 principal
    components, 15 neighbours, Leiden clusters (10.1038/s41598-019-41695-z; k-means where igraph
    is not installed), UMAP (10.21105/joss.00861).
    """
    _check_view(source, symbols, positions, batches, integrate)
    steps: list[str] = []
    skipped: list[str] = []
    adata = _prepare(source, symbols, finding, positions, steps, skipped)
    if adata.n_obs < _FEWEST_CELLS or adata.n_vars < 2:
        skipped.append(f"clusters and map: {adata.n_obs} cells of {adata.n_vars} varying genes")
        return _unclustered(adata, finding, steps, skipped)
    components = min(_COMPONENTS, adata.n_obs - 1, adata.n_vars - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.pca(adata, n_comps=components, random_state=seed)
        steps.append(f"{components} principal components")
        clusters = _cluster(adata, seed=seed, steps=steps, skipped=skipped)
        umap = _map(adata, batches, integrate, seed=seed, steps=steps)
    return CellView(
        clusters=clusters,
        umap=umap,
        pcs=np.asarray(adata.obsm["X_pca"], dtype=np.float32),
        hvg=tuple(adata.var["symbol"]),
        model=_model(adata, clusters, finding),
        steps=tuple(steps),
        skipped=tuple(skipped),
    )


def _check_view(
    source: CellSource,
    symbols: Sequence[str],
    positions: NDArray[np.intp],
    batches: NDArray[Any] | None,
    integrate: str,
) -> None:
    if len(symbols) != len(source.genes):
        raise CohortError(
            f"{source.name} has {len(source.genes)} genes, but {len(symbols)} symbols are given"
        )
    if not len(positions):
        raise CohortError(f"{source.name}: no cells to show")
    if batches is not None and len(batches) != len(positions):
        raise CohortError(
            f"{source.name}: {len(positions)} cells are shown, but {len(batches)} batches given"
        )
    if integrate == "harmony" and find_spec("harmonypy") is None:
        raise ConfigError(
            "integrate: harmony needs the extra 'harmony' (pip install 'oncoresist[harmony]'); "
            "install it or set integrate: none"
        )
    if integrate == "harmony" and batches is None:
        raise ConfigError("integrate: harmony needs a batch per cell; give batches, or none")


def _prepare(
    source: CellSource,
    symbols: Sequence[str],
    finding: UnitFinding,
    positions: NDArray[np.intp],
    steps: list[str],
    skipped: list[str],
) -> ad.AnnData:
    """Return the cells on the scale to be looked at, with the genes that are worth it."""
    values = log_block(source.rows(positions), finding)
    var = pd.DataFrame(
        {"symbol": [str(s) for s in symbols], "column": np.arange(len(symbols))},
        index=[str(column) for column in range(len(symbols))],
    )
    adata = ad.AnnData(values.astype(np.float32), var=var)
    if has_linear_scale(finding):
        steps.append("log1p of counts per 10,000")
        if finding.unit != "counts":
            skipped.append(f"counts: values are {finding.meaning}, brought to 10,000 a cell")
    else:
        skipped.append(f"normalisation: values are {finding.meaning}, taken as they are")
    spread = _variance(adata.X)
    adata = adata[:, spread > 0].copy()
    if adata.n_vars <= _HVG or not has_linear_scale(finding) or adata.n_obs < _FEWEST_CELLS:
        skipped.append(f"choice of variable genes: all {adata.n_vars} that vary are taken")
        return adata
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.highly_variable_genes(adata, n_top_genes=_HVG)
    steps.append(f"{_HVG:,} highly variable genes")
    return adata[:, adata.var["highly_variable"].to_numpy()].copy()


def _variance(values: Any) -> NDArray[np.float64]:
    mean = np.asarray(values.mean(axis=0)).ravel()
    squares = values.multiply(values) if hasattr(values, "multiply") else values**2
    variance: NDArray[np.float64] = np.asarray(squares.mean(axis=0)).ravel() - mean**2
    return variance


def _cluster(
    adata: ad.AnnData, *, seed: int, steps: list[str], skipped: list[str]
) -> NDArray[np.int32]:
    neighbours = min(_NEIGHBOURS, adata.n_obs - 1)
    # scanpy's own choice above 8,192 cells gives what its next step cannot read (csr_array).
    sc.pp.neighbors(adata, n_neighbors=neighbours, transformer=_NEIGHBOUR_SEARCH, random_state=seed)
    steps.append(f"{neighbours} nearest neighbours")
    if find_spec("igraph") is not None:
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False, random_state=seed)
        steps.append("Leiden clusters")
        labels = adata.obs["leiden"].astype(int).to_numpy()
    else:
        number = min(_MOST_KMEANS, max(2, adata.n_obs // 50))
        means = KMeans(number, n_init=5, random_state=seed).fit(adata.obsm["X_pca"])
        skipped.append("Leiden: igraph is not installed (extra 'leiden'); k-means instead")
        steps.append(f"{number} k-means clusters")
        labels = means.labels_
    by_size = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.empty_like(by_size)
    rank[by_size] = np.arange(by_size.size)
    ranked: NDArray[np.int32] = rank[labels].astype(np.int32)
    return ranked


def _map(
    adata: ad.AnnData,
    batches: NDArray[Any] | None,
    integrate: str,
    *,
    seed: int,
    steps: list[str],
) -> NDArray[np.float32]:
    if integrate == "harmony" and batches is not None and np.unique(batches).size > 1:
        import harmonypy  # an extra, and only asked for here

        frame = pd.DataFrame({"batch": np.asarray(batches).astype(str)})
        found = harmonypy.run_harmony(
            np.asarray(adata.obsm["X_pca"], dtype=np.float64),
            frame,
            "batch",
            random_state=seed,
            verbose=False,
        )
        moved = np.asarray(found.Z_corr)
        adata.obsm["X_harmony"] = moved if moved.shape[0] == adata.n_obs else moved.T
        sc.pp.neighbors(
            adata,
            n_neighbors=min(_NEIGHBOURS, adata.n_obs - 1),
            use_rep="X_harmony",
            random_state=seed,
        )
        steps.append("Harmony over batches, for the map alone")
    sc.tl.umap(adata, random_state=seed)
    steps.append("UMAP")
    return np.asarray(adata.obsm["X_umap"], dtype=np.float32)


def _model(adata: ad.AnnData, clusters: NDArray[np.int32], finding: UnitFinding) -> ClusterModel:
    loadings = np.asarray(adata.varm["PCs"], dtype=np.float64)
    mean = np.asarray(adata.X.mean(axis=0), dtype=np.float64).ravel()
    components = np.asarray(adata.obsm["X_pca"], dtype=np.float64)
    groups = [components[clusters == code].mean(axis=0) for code in range(clusters.max() + 1)]
    return ClusterModel(
        finding=finding,
        columns=adata.var["column"].to_numpy(dtype=np.intp),
        loadings=loadings,
        offset=mean @ loadings,
        centroids=np.stack(groups),
    )


def _unclustered(
    adata: ad.AnnData, finding: UnitFinding, steps: list[str], skipped: list[str]
) -> CellView:
    n_cells = adata.n_obs
    columns = adata.var["column"].to_numpy(dtype=np.intp)
    model = ClusterModel(
        finding, columns, np.zeros((columns.size, 1)), np.zeros(1), np.zeros((1, 1))
    )
    return CellView(
        clusters=np.zeros(n_cells, dtype=np.int32),
        umap=np.zeros((n_cells, 2), dtype=np.float32),
        pcs=np.zeros((n_cells, 1), dtype=np.float32),
        hvg=tuple(adata.var["symbol"]),
        model=model,
        steps=tuple(steps),
        skipped=tuple(skipped),
    )
