"""Attributions of the cell-level model, a point a cell."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from models.explanation import Attributions
from pipelines.figures.attribution import beeswarm
from pipelines.figures.style import styled

__all__ = ["cell_beeswarm"]


@styled
def cell_beeswarm(
    attributions: Attributions,
    *,
    title: str,
    names: Mapping[str, str] | None = None,
    most_cells: int = 1_500,
    seed: int = 0,
    note: str = "",
) -> Figure:
    """Return the SHAP values of the leading features of the cell-level model, a point a cell.

    Parameters
    ----------
    attributions
        In uncalibrated log-odds, as :meth:`models.cell_model.CellModel.explain` gives them; cell
        ids may repeat.
    names
        Feature → name for people.
    most_cells
        Cells drawn, a sample by ``seed`` where there are more; features stand by the mean |SHAP|
        over those drawn.
    note
        Stands under the title.
    """
    count = len(attributions.values)
    if count > most_cells:
        drawn = np.sort(np.random.default_rng(seed).permutation(count)[:most_cells])
        attributions = Attributions(
            attributions.values.iloc[drawn],
            attributions.base_value.iloc[drawn],
            attributions.features.iloc[drawn],
            attributions.scale,
        )
        note = f"{note} {most_cells:,} of {count:,} cells drawn, a random sample.".strip()
    figure = beeswarm(attributions, title=title, names=names, note=note)
    figure.axes[0].set_xlabel("SHAP value (uncalibrated log-odds of resistance of a cell)")
    return figure
