"""From summed cells to a cohort: a row per sample, with pseudobulk and what its cells show."""

from collections.abc import Mapping, Sequence

import anndata as ad
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.cells.cell_types import CELL_TYPES, COMPARTMENTS
from features.cells.features import ALL_CELLS, CELL_SECTION, CellFeature
from features.cells.score_table import read_scores
from features.cells.summary import CellPlan, CellSummary
from features.cells.transformer import CELL_TABLE, compartment_layer

__all__ = ["build_cell_cohort", "cell_feature_table", "cell_plan"]

_LOW, _HIGH = 5.0, 95.0
_SPREAD = (10.0, 90.0)
_UNTYPED = ("unknown", "other")
Array = NDArray[np.float64]


def cell_plan(
    catalogue: Catalogue,
    *,
    setting: str | None,
    cell_features: Sequence[CellFeature],
    min_coverage: float = 0.5,
) -> CellPlan:
    """Return what is read of each cell: the markers of a setting and the genes to be detected.

    Entries that single cells add to a catalogue are read from samples, not from cells.
    """
    detected = {f.id: f.genes for f in cell_features if f.measure == "detected"}
    usable = [m for m in catalogue.markers if m.by_drug is None and m.section != CELL_SECTION]
    chosen = {marker.id for marker in catalogue.markers_of(setting)}
    named = {f.marker for f in cell_features if f.marker}
    markers = tuple(marker for marker in usable if marker.id in chosen | named)
    return CellPlan(markers, detected, min_coverage)


def build_cell_cohort(
    summary: CellSummary,
    *,
    samples: NDArray[np.int32],
    types: NDArray[np.int8],
    cell_features: Sequence[CellFeature],
    min_cells: int,
    absent: Sequence[str] = (),
    told: Sequence[str] = CELL_TYPES,
    pseudobulk: ad.AnnData | None = None,
) -> ad.AnnData:
    """Return a cohort with a row per sample: X, compartments as layers, the cells' features.

    Parameters
    ----------
    summary
        Sums over cells, with the per-cell scores on disk where features need quantiles.
    samples, types
        Sample (-1: left out) and cell type of each cell, as summed.
    cell_features
        What is read from the cells.
    min_cells
        Fewest cells of a sample, or of its compartment; with fewer, NaN.
    absent
        Compartments that the sample preparation took away (sorted cells): they give nothing.
    told
        Cell types that can be told; the share of a compartment none of whose types can is NaN.
    pseudobulk
        A given pseudobulk (n_samples, n_genes), log1p CPM or TPM, by the same sample names; by
        default that of all cells here.

    Returns
    -------
    adata
        ``X`` log1p CPM of all cells; ``layers['in_<compartment>']`` that of each compartment, NaN
        in samples with fewer than ``min_cells``; ``obsm['cell_features']``; ``obs['n_cells']``.
    """
    absent = _with_parts(absent)
    found = summary.pseudobulk(min_cells=1) if pseudobulk is None else pseudobulk
    found = found[list(summary.samples)].copy()
    found.obs["n_cells"] = summary.counts_of(None)
    for compartment, members in COMPARTMENTS.items():
        if compartment in absent or not (summary.counts_of(members) >= min_cells).any():
            continue
        own = summary.pseudobulk(members, min_cells=min_cells)
        table = pd.DataFrame(np.asarray(own.X), index=own.obs_names, columns=own.var_names)
        aligned = table.reindex(index=found.obs_names, columns=found.var_names)
        found.layers[compartment_layer(compartment)] = aligned.to_numpy(dtype=float)
    found.obsm[CELL_TABLE] = cell_feature_table(
        summary,
        samples=samples,
        types=types,
        cell_features=cell_features,
        min_cells=min_cells,
        absent=absent,
        told=told,
    ).loc[found.obs_names]
    return found


def cell_feature_table(
    summary: CellSummary,
    *,
    samples: NDArray[np.int32],
    types: NDArray[np.int8],
    cell_features: Sequence[CellFeature],
    min_cells: int,
    absent: Sequence[str] = (),
    told: Sequence[str] = CELL_TYPES,
) -> pd.DataFrame:
    """Return what cells show beyond pseudobulk (n_samples, n_features), NaN below ``min_cells``.

    ``expression`` features are not among them: they are scored in the pseudobulk.
    """
    untold = [
        compartment for compartment, members in COMPARTMENTS.items() if not set(members) & set(told)
    ]
    reader = _CellReader(summary, samples, types, min_cells, (*_with_parts(absent), *untold))
    columns = {f.id: reader.measure(f) for f in cell_features if f.measure != "expression"}
    return pd.DataFrame(columns, index=list(summary.samples), dtype=float)


def _with_parts(absent: Sequence[str]) -> tuple[str, ...]:
    """Return compartments with those that lie wholly within one of them: no T cells, no CD8."""
    gone = [set(COMPARTMENTS[name]) for name in absent]
    return tuple(
        name for name, members in COMPARTMENTS.items() if any(set(members) <= g for g in gone)
    )


class _CellReader:
    """The measures, over one summary."""

    def __init__(
        self,
        summary: CellSummary,
        samples: NDArray[np.int32],
        types: NDArray[np.int8],
        min_cells: int,
        absent: tuple[str, ...],
    ) -> None:
        self._summary = summary
        self._samples = samples
        self._types = types
        self._min_cells = min_cells
        self._absent = absent
        self._rows: Mapping[int, NDArray[np.intp]] | None = None

    def measure(self, feature: CellFeature) -> Array:
        """Return a feature (n_samples,)."""
        if feature.compartment in self._absent:
            return np.full(len(self._summary.samples), np.nan)
        if feature.measure == "composition":
            return self._composition(feature)
        if feature.measure == "entropy":
            return self._entropy()
        if feature.measure == "detected":
            return self._detected(feature)
        return self._of_scores(feature)

    def _composition(self, feature: CellFeature) -> Array:
        part = self._summary.counts_of(_members(feature.compartment))
        whole = self._summary.counts_of(_members(feature.among))
        return _share(part, whole, self._min_cells)

    def _entropy(self) -> Array:
        kept = [i for i, name in enumerate(CELL_TYPES) if name not in _UNTYPED]
        counts = self._summary.n_cells[:, kept].astype(float)
        total = counts.sum(axis=1)
        shares = counts / np.where(total > 0, total, 1.0)[:, None]
        logs = np.log(np.where(shares > 0, shares, 1.0))
        entropy = -(shares * logs).sum(axis=1) / np.log(len(kept))
        return np.where(total >= self._min_cells, entropy, np.nan)

    def _detected(self, feature: CellFeature) -> Array:
        if feature.id not in self._summary.detected_ids:
            return np.full(len(self._summary.samples), np.nan)
        place = self._summary.detected_ids.index(feature.id)
        columns = _columns(feature.compartment)
        part = self._summary.detected[:, columns, place].sum(axis=1)
        whole = self._summary.n_cells[:, columns].sum(axis=1)
        return _share(part, whole, self._min_cells)

    def _of_scores(self, feature: CellFeature) -> Array:
        """Return low, high or spread of a marker's score over the cells of a compartment."""
        result = np.full(len(self._summary.samples), np.nan)
        marker = str(feature.marker)
        if self._summary.scores is None or marker not in self._summary.marker_ids:
            return result
        scores = read_scores(self._summary.scores, marker)
        members = np.isin(self._types, _columns(feature.compartment))
        for sample, rows in self._rows_of_samples().items():
            inside = members[rows] & np.isfinite(scores[rows])
            own, others = scores[rows][inside], scores[rows][~members[rows]]
            result[sample] = self._one(feature, own, others[np.isfinite(others)])
        return result

    def _one(
        self, feature: CellFeature, own: NDArray[np.float32], others: NDArray[np.float32]
    ) -> float:
        if own.size < self._min_cells:
            return np.nan
        if feature.measure == "spread":
            low, high = np.percentile(own.astype(float), _SPREAD)
            return float(high - low)
        if others.size < self._min_cells:
            return np.nan
        if feature.measure == "low":
            limit = np.percentile(others.astype(float), _LOW)
            # Where a twentieth of the others show nothing at all, nothing can lie lower.
            return float(np.mean(own < limit)) if limit > others.min() else np.nan
        return float(np.mean(own > np.percentile(others.astype(float), _HIGH)))

    def _rows_of_samples(self) -> Mapping[int, NDArray[np.intp]]:
        if self._rows is None:
            order = np.argsort(self._samples, kind="stable")
            ordered = self._samples[order]
            starts = np.searchsorted(ordered, np.arange(len(self._summary.samples) + 1))
            self._rows = {
                sample: order[starts[sample] : starts[sample + 1]]
                for sample in range(len(self._summary.samples))
            }
        return self._rows


def _members(compartment: str) -> tuple[str, ...] | None:
    return None if compartment == ALL_CELLS else COMPARTMENTS[compartment]


def _columns(compartment: str) -> list[int]:
    members = _members(compartment)
    return [i for i, name in enumerate(CELL_TYPES) if members is None or name in members]


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], min_cells: int) -> Array:
    enough = whole >= max(min_cells, 1)
    share = np.full(len(whole), np.nan)
    np.divide(part, whole, out=share, where=enough)
    return share
