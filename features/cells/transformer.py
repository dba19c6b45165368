"""CellFeatures: MarkerFeatures of samples whose single cells are known."""

from collections.abc import Sequence
from typing import Any, Self

import anndata as ad
import numpy as np
import pandas as pd

from features.catalogue import Catalogue, Marker
from features.cells.features import (
    ALL_CELLS,
    CELL_SECTION,
    CellFeature,
    default_cell_features,
    in_compartment,
)
from features.cohort import cohort_facts
from features.errors import CohortError
from features.gene_order import GeneOrder
from features.gene_scores import ScoreKind
from features.transformer import MarkerFeatures

__all__ = ["CELL_TABLE", "CellFeatures", "compartment_layer", "has_cells"]

CELL_TABLE = "cell_features"
"""Key of ``obsm`` that holds what the cells of each sample gave."""
_SCALED_UNITS = ("gene_scaled", "log2_intensity")


def compartment_layer(compartment: str) -> str:
    """Return the layer that holds a compartment's pseudobulk."""
    return f"in_{compartment}"


def has_cells(adata: ad.AnnData) -> bool:
    """Return whether a cohort's samples were made from single cells."""
    return CELL_TABLE in adata.obsm


class CellFeatures(MarkerFeatures):
    """Features of samples made from single cells, a column each.

    The catalogue's markers in the pseudobulk of all cells, as in bulk; each again in the
    pseudobulk of the compartment that the catalogue places it in; and what only cells show:
    composition, states, shares of low and high cells, spread. A compartment that no sample of the
    fitted cohort has enough cells of gives no features, and the markers that the catalogue places
    there are not taken from the other cells either.

    Parameters
    ----------
    catalogue
        From :func:`features.cells.features.cell_catalogue`.
    min_coverage, setting, score_kind
        As for :class:`features.MarkerFeatures`; ``score_kind`` is that of the pseudobulk of all
        cells. Compartments of cells that came scaled per gene are scored by mean z.
    cell_features
        What is read from cells; None takes the packaged ones.

    Attributes
    ----------
    compartments_
        Compartments that the features take.
    background_, feature_names_
        As for :class:`features.MarkerFeatures`.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        min_coverage: float = 0.5,
        setting: str | None = None,
        score_kind: ScoreKind = "rank",
        cell_features: Sequence[CellFeature] | None = None,
    ) -> None:
        super().__init__(catalogue, min_coverage, setting, score_kind)
        self.cell_features = cell_features

    def fit(self, X: ad.AnnData, y: None = None) -> Self:
        """Freeze the background, the compartments and the cell features that ``X`` can give.

        Raises
        ------
        CohortError
            The cohort was not made from single cells.
        """
        table = _cell_table(X)
        self.compartments_ = tuple(
            name.removeprefix("in_")
            for name in X.layers
            if name is not None and name.startswith("in_") and np.isfinite(X.layers[name]).any()
        )
        self.cell_table_features_ = tuple(
            feature.id
            for feature in self.entries
            if feature.id in table and table[feature.id].notna().any()
        )
        super().fit(X)
        return self

    def freeze(self, background: Sequence[str]) -> Self:
        """Take a background; compartments and cell features are as they were set before."""
        self.background_ = tuple(background)
        self.feature_names_ = (
            *(marker.id for marker in self._markers()),
            *(name for name, _, _ in self._placed()),
            *self.cell_table_features_,
        )
        return self

    def restore(
        self, background: Sequence[str], *, compartments: Sequence[str], table: Sequence[str]
    ) -> Self:
        """Take what was stored with a model: background, compartments, features of the table."""
        self.compartments_, self.cell_table_features_ = tuple(compartments), tuple(table)
        return self.freeze(background)

    def with_score_kind(self, score_kind: ScoreKind) -> "CellFeatures":
        """Return the same features, the pseudobulk of all cells scored another way."""
        other = CellFeatures(
            self.catalogue, self.min_coverage, self.setting, score_kind, self.cell_features
        )
        return other.restore(
            self.background_, compartments=self.compartments_, table=self.cell_table_features_
        )

    def transform(self, X: ad.AnnData, *, order: GeneOrder | None = None) -> pd.DataFrame:
        """Return the features (n_samples, n_features) of a cohort made from single cells.

        Raises
        ------
        CohortError
            The cohort was not made from single cells; otherwise as for
            :meth:`features.MarkerFeatures.transform`.
        """
        table = _cell_table(X).reindex(columns=list(self.cell_table_features_))
        parts = [super().transform(X, order=order), self._within(X), table]
        return pd.concat(parts, axis=1)[list(self.feature_names_)].astype(float)

    @property
    def entries(self) -> tuple[CellFeature, ...]:
        """What is read from cells, as far as the catalogue holds an entry for it."""
        chosen = default_cell_features() if self.cell_features is None else self.cell_features
        known = set(self._catalogue().marker_ids)
        return tuple(feature for feature in chosen if feature.id in known)

    def _markers(self) -> tuple[Marker, ...]:
        """Return the markers scored in all cells: those placed where there are cells."""
        there = {"any", *self.compartments_}
        single = {f.id for f in self.entries if _is_gene_of_all_cells(f)}
        return tuple(
            marker
            for marker in self._catalogue().markers_of(self.setting)
            if (marker.section != CELL_SECTION and marker.compartment in there)
            or marker.id in single
        )

    def _placed(self) -> list[tuple[str, str, str]]:
        """Return (feature, marker, compartment) of what is scored within a compartment."""
        markers = self._catalogue().markers_of(self.setting)
        found: list[tuple[str, str, str]] = [
            (in_compartment(marker.id, marker.compartment), marker.id, marker.compartment)
            for marker in markers
            if marker.section != CELL_SECTION
            and marker.compartment in self.compartments_
            and marker.by_drug is None
        ]
        found += [
            (feature.id, feature.marker, feature.compartment)
            for feature in self.entries
            if feature.measure == "expression"
            and feature.marker is not None
            and feature.compartment in self.compartments_
        ]
        return found

    def _within(self, X: ad.AnnData) -> pd.DataFrame:
        """Return the markers scored in their compartments (n_samples, n_placed)."""
        columns: dict[str, Any] = {}
        for compartment in self.compartments_:
            placed = [
                (name, marker) for name, marker, where in self._placed() if where == compartment
            ]
            layer = X.layers.get(compartment_layer(compartment))
            if layer is None:
                columns |= {name: np.nan for name, _ in placed}
                continue
            scores = self._scored_within(X, np.asarray(layer, dtype=float))
            columns |= {name: scores[marker].to_numpy() for name, marker in placed}
        return pd.DataFrame(columns, index=X.obs_names)

    def _scored_within(self, X: ad.AnnData, values: Any) -> pd.DataFrame:
        unit = str(cohort_facts(X).get("cells", {}).get("unit", ""))
        kind: ScoreKind = "mean_z" if unit in _SCALED_UNITS else "rank"
        part = ad.AnnData(values, obs=X.obs, var=X.var[[]])
        part.uns["oncoresist"] = {"unit": unit if kind == "mean_z" else "tpm"}
        markers = MarkerFeatures(self.catalogue, self.min_coverage, self.setting, kind)
        markers.freeze(self.background_)
        return markers.transform(part)


def _is_gene_of_all_cells(feature: CellFeature) -> bool:
    return feature.measure == "expression" and feature.compartment == ALL_CELLS


def _cell_table(X: ad.AnnData) -> pd.DataFrame:
    if not has_cells(X):
        raise CohortError(
            "these features are read from single cells, and the cohort has none: give an h5ad of "
            "cells (modality: single_cell in a cohort YAML), or use a model trained on bulk"
        )
    table: pd.DataFrame = X.obsm[CELL_TABLE]
    return table
