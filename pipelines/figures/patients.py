"""The samples of a cohort by their probability of resistance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipelines.figures.palette import INK, RESISTANT, RESPONSIVE, UNKNOWN, label_colours
from pipelines.figures.style import drawing_of, finished, no_grid, styled

__all__ = ["probability_ranking"]

_BARS = 200
"""Samples beyond which bars would be thinner than a few pixels."""


@styled
def probability_ranking(
    predictions: pd.DataFrame, *, threshold: float, title: str, note: str = ""
) -> Figure:
    """Return the samples by probability, coloured by label where ``resistant`` is known.

    Parameters
    ----------
    predictions
        ``probability`` and, where known, ``resistant`` (1, 0, NaN).
    threshold
        Where the dashed line stands: the share of resistant samples the model was trained on.
    """
    ordered = predictions.sort_values("probability", ascending=False).reset_index(drop=True)
    labels = ordered.get("resistant", pd.Series(np.nan, index=ordered.index))
    colours = label_colours(labels.to_numpy(dtype=float))
    figure, axes = drawing_of(3.7)
    _draw(axes, ordered["probability"].to_numpy(dtype=float), colours)
    axes.axhline(threshold, color=INK, linestyle=(0, (4, 3)), linewidth=1.1)
    axes.set(ylim=(0, 1), ylabel="probability of resistance")
    axes.set_xlabel(f"{len(ordered)} samples, most resistant first")
    axes.set_xticks([])
    no_grid(axes, keep="y")
    kinds = (("resistant", RESISTANT), ("responsive", RESPONSIVE), ("no label", UNKNOWN))
    handles: list[Any] = [Patch(color=c, label=name) for name, c in kinds if c in set(colours)]
    handles.append(
        Line2D([], [], color=INK, linestyle="--", label=f"base rate in training: {threshold:.2f}")
    )
    figure.legend(handles=handles, ncols=4, loc="outside lower center")
    return finished(figure, title=title, note=note)


def _draw(axes: Any, probabilities: Any, colours: Sequence[str]) -> None:
    x = np.arange(len(probabilities))
    width = 0.86 if len(x) <= _BARS else 1.0
    axes.bar(x, probabilities, color=colours, width=width, linewidth=0)
    axes.set_xlim(-0.8, max(len(x), 1) - 0.2)
