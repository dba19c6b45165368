"""Small cohorts of single cells with known truth: who is what, what was planted, and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import KMeans

from features.catalogue import default_catalogue
from features.cells import view as cell_view
from features.cells.cell_types import cell_types

__all__ = ["PLANTED", "MadeCells", "leave_out_umap", "make_cells"]

PLANTED = ("PDCD1", "HAVCR2", "LAG3", "TIGIT", "ENTPD1", "LAYN", "TOX")
"""Genes of exhaustion that are raised in CD8 T cells of resistant lesions."""
_LINEAGES: Mapping[str, tuple[str, ...]] = {
    "melanocytic": ("melanocytic",),
    "cd8_t": ("t_cell", "cd8_t"),
    "cd4_t": ("t_cell", "cd4_t"),
    "b": ("b",),
    "macrophage": ("myeloid", "macrophage"),
}
"""Cell type → types whose markers it expresses."""
_SHARES = {"melanocytic": 0.25, "cd8_t": 0.3, "cd4_t": 0.15, "b": 0.1, "macrophage": 0.2}
_MORE_B = 3.0
_MARKER_RATE, _ELSEWHERE = 12.0, 0.05
_RAISED = 6.0
_DEPTH = 3_000.0


@dataclass(frozen=True)
class MadeCells:
    """Cells and what is true of them.

    Attributes
    ----------
    adata
        Raw counts (n_cells, n_genes), CSR; ``obs``: ``sample_id``, ``patient_id``, ``response``
        (R or NR), ``timepoint``, ``truth`` (cell type).
    truth
        Type of each cell (n_cells,).
    resistant
        Label by lesion, 1 or 0.
    """

    adata: ad.AnnData
    truth: NDArray[np.object_]
    resistant: "pd.Series[float]"

    @property
    def lesions(self) -> list[str]:
        """Lesions in the order of their names."""
        return sorted(self.resistant.index)


def leave_out_umap(patch: pytest.MonkeyPatch, *, clusters: bool = True) -> None:
    """Let views be made of k-means and two components: compiling UMAP takes twenty seconds.

    Clusters stay as they are made where ``clusters`` is false, and the map alone is left out.
    """

    def cluster(adata: ad.AnnData, *, seed: int, **told: Any) -> NDArray[np.int32]:
        number = min(8, adata.n_obs)
        found = KMeans(number, n_init=1, random_state=seed).fit(adata.obsm["X_pca"])
        return np.asarray(found.labels_, dtype=np.int32)

    def place(adata: ad.AnnData, *batches: Any, **told: Any) -> NDArray[np.float32]:
        return np.asarray(adata.obsm["X_pca"][:, :2], dtype=np.float32)

    if clusters:
        patch.setattr(cell_view, "_cluster", cluster)
    patch.setattr(cell_view, "_map", place)


def make_cells(
    *,
    n_patients: int = 8,
    n_pairs: int = 2,
    cells: int = 60,
    types: tuple[str, ...] = tuple(_LINEAGES),
    background: int = 150,
    planted: bool = True,
    seed: int = 0,
) -> MadeCells:
    """Return cells of a lesion each, or two of the first ``n_pairs`` patients (before and on).

    Patients are resistant and responsive by turns. Where ``planted``, CD8 T cells of resistant
    lesions are exhausted, and responsive lesions have more B cells.

    Parameters
    ----------
    cells
        Cells of a lesion; every third lesion has a fifth fewer.
    types
        Cell types that there are.
    background
        Genes that nothing reads.
    """
    rng = np.random.default_rng(seed)
    genes = _genes(background)
    profiles = _profiles(genes, types, rng)
    blocks, rows = [], []
    for patient in range(n_patients):
        resistant = patient % 2 == 1
        own = rng.lognormal(0.0, 0.5, len(genes))  # people differ, and so do a patient's lesions
        for visit in range(2 if patient < n_pairs else 1):
            size = cells - (cells // 5 if (patient + visit) % 3 == 2 else 0)
            drawn = _draw_types(types, size, more_b=planted and not resistant, rng=rng)
            rates = profiles.loc[drawn].to_numpy() * own * rng.lognormal(0.0, 0.2, len(genes))
            if planted and resistant:
                raised = np.isin(genes, PLANTED)
                rates[np.ix_(drawn == "cd8_t", raised)] *= _RAISED
            depth = _DEPTH * rng.lognormal(0.0, 0.2, (size, 1))
            blocks.append(rng.poisson(rates / rates.sum(axis=1, keepdims=True) * depth))
            rows.append(
                pd.DataFrame(
                    {
                        "sample_id": f"P{patient:02d}_{'on' if visit else 'pre'}",
                        "patient_id": f"P{patient:02d}",
                        "response": "NR" if resistant else "R",
                        "timepoint": "on" if visit else "pre",
                        "truth": drawn,
                    }
                )
            )
    obs = pd.concat(rows, ignore_index=True)
    obs.index = pd.Index([f"cell{position:05d}" for position in range(len(obs))])
    counts = sparse.csr_matrix(np.vstack(blocks).astype(np.float32))
    label = (obs["response"] == "NR").astype(float).groupby(obs["sample_id"]).first()
    truth = obs["truth"].to_numpy(dtype=object)
    return MadeCells(ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes)), truth, label)


def _genes(background: int) -> list[str]:
    markers = [gene for kind in cell_types() for gene in kind.genes]
    known = dict.fromkeys([*default_catalogue().gene_symbols, *markers])
    return [*known, *(f"BG{number:04d}" for number in range(background))]


def _profiles(genes: list[str], types: tuple[str, ...], rng: np.random.Generator) -> pd.DataFrame:
    """Return the expected share of each gene by type (n_types, n_genes), before scaling."""
    base = rng.gamma(1.0, 1.0, len(genes)) + 0.05
    own = {kind.id: set(kind.genes) for kind in cell_types()}
    signatures = {k.id: {g for s in k.signatures.values() for g in s} for k in cell_types()}
    marker = np.isin(genes, list(set().union(*own.values())))
    table = pd.DataFrame(np.tile(base, (len(types), 1)), index=list(types), columns=genes)
    for name in types:
        table.loc[name, marker] = _ELSEWHERE
        against = {g for part in _LINEAGES[name] for g in _against(part)}
        raised = set().union(*(signatures[part] for part in _LINEAGES[name])) - against
        table.loc[name, sorted(raised)] = _MARKER_RATE
    return table


def _against(name: str) -> tuple[str, ...]:
    return next(kind.against for kind in cell_types() if kind.id == name)


def _draw_types(
    types: tuple[str, ...], size: int, *, more_b: bool, rng: np.random.Generator
) -> NDArray[np.object_]:
    shares = np.array(
        [_SHARES[name] * (_MORE_B if more_b and name == "b" else 1) for name in types]
    )
    counts = rng.multinomial(size, shares / shares.sum())
    drawn = np.repeat(np.asarray(types, dtype=object), counts)
    return rng.permutation(drawn)
