"""The figures of a cohort's single cells, for a run and for a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from features.catalogue import Catalogue
from models.explanation import Attributions
from pipelines.cells.prepared import PreparedCells
from pipelines.cells.scores import dot_table, view_table
from pipelines.figures.cell_attribution import cell_beeswarm
from pipelines.figures.cell_composition import composition_figure
from pipelines.figures.cell_dots import dot_plot
from pipelines.figures.cell_quality import quality_figure
from pipelines.figures.cell_umap import umap_panels

__all__ = ["CellPicture", "cell_figures"]

_SHOWN_FIRST = ("mhc_class_i", "exhaustion", "cytolytic", "stem_like_memory", "tim3", "b_cells_tls")
_MOST_DOTS = 30
_METRICS = ("total_counts", "n_genes", "mito_share", "doublet_score")
_MOST_QUALITY = 50_000


@dataclass(frozen=True)
class CellPicture:
    """What the figures of the cells are drawn from.

    Attributes
    ----------
    prepared
        The cells.
    response
        Label of each sample (1, 0, NaN), by sample.
    resistance
        Score of each cell (n_cells,), NaN where there is none; None without a cell-level model.
    resistance_words
        Where those scores come from, for a caption.
    attributions
        Per-cell SHAP of the cell-level model; None where not explained.
    explained_words
        Which models those are of, for a caption.
    """

    prepared: PreparedCells
    response: "pd.Series[float]"
    resistance: NDArray[np.float32] | None = None
    resistance_words: str = ""
    attributions: Attributions | None = None
    explained_words: str = ""


def cell_figures(
    picture: CellPicture, *, catalogue: Catalogue, setting: str | None
) -> dict[str, Figure]:
    """Return the figures by name: quality, composition, dots, umap, cell_beeswarm where known."""
    prepared = picture.prepared
    names = {marker.id: marker.name for marker in catalogue.markers}
    markers = _measured(prepared, [marker.id for marker in catalogue.markers_of(setting)])
    figures = {
        **_quality(prepared),
        "composition": _composition(picture),
    }
    dots = dot_table(prepared, response=picture.response, names=names, markers=markers[:_MOST_DOTS])
    if len(dots):
        figures["dots"] = dot_plot(
            dots,
            title="Mechanisms by cell type and response",
            note="Mean score of cells, lesions weighing the same; size: cells that score above 0.",
        )
    figures |= _umap(picture, names, markers)
    if picture.attributions is not None:
        figures["cell_beeswarm"] = cell_beeswarm(
            picture.attributions,
            title="What makes a cell look resistant",
            names=names,
            note=picture.explained_words,
        )
    return figures


def _measured(prepared: PreparedCells, wanted: Sequence[str]) -> list[str]:
    """Return the markers that the cells have, those shown first in front."""
    known = set(prepared.measured_markers)
    order = dict.fromkeys([*_SHOWN_FIRST, *wanted])
    return [name for name in order if name in known and name in set(wanted)]


def _quality(prepared: PreparedCells) -> dict[str, Figure]:
    quality = prepared.quality
    names = np.asarray([*prepared.sample_names, None], dtype=object)
    table = quality.table.assign(sample=names[prepared.sampled])
    if len(table) > _MOST_QUALITY:
        table = table.sample(_MOST_QUALITY, random_state=0).sort_index()
    if not table[[c for c in _METRICS if c in table]].notna().any().any():
        return {}
    figure = quality_figure(
        table, thresholds=quality.thresholds, title="Quality of the cells, by sample"
    )
    return {"quality": figure}


def _composition(picture: CellPicture) -> Figure:
    counts = picture.prepared.composition()
    totals = counts.sum(axis=1)
    shares = counts.loc[totals > 0].div(totals[totals > 0], axis=0)
    return composition_figure(
        shares,
        response=picture.response.reindex(shares.index),
        title="Cell types of each sample",
        note=_annotated(picture.prepared),
    )


def _annotated(prepared: PreparedCells) -> str:
    if prepared.annotation is None:
        return "Types as the file gives them."
    return "Types by this project's markers, smoothed over clusters."


def _umap(
    picture: CellPicture, names: Mapping[str, str], markers: Sequence[str]
) -> dict[str, Figure]:
    shown = [name for name in _SHOWN_FIRST if name in markers][:4]
    view = view_table(
        picture.prepared, response=picture.response, resistance=picture.resistance, scores=shown
    )
    if view.empty:
        return {}
    figure = umap_panels(
        view,
        title="Single cells",
        scores=shown,
        names=names,
        note=f"{picture.resistance_words} {_annotated(picture.prepared)}".strip(),
    )
    return {"umap": figure}
