"""Figures of attributions over all samples: beeswarm of features, bars of mechanisms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from features.mechanism_groups import MECHANISM_GROUPS
from models.explanation import Attributions
from pipelines.figures.palette import FAINT, GREY, GROUPS, HIGH, INK, LOW, RESISTANT
from pipelines.figures.style import (
    SMALL_SIZE,
    drawing_of,
    finished,
    new_figure,
    no_grid,
    readable,
    styled,
    tint_sides,
)

__all__ = ["FEATURE_MAP", "LOG_ODDS", "beeswarm", "mechanism_bar", "mechanism_means"]

LOG_ODDS = "calibrated log-odds of resistance"
FEATURE_MAP = LinearSegmentedColormap.from_list("feature", [LOW, "#c9c9c9", HIGH])
"""From a low to a high value of a feature; other colours than those of the response."""

_MOST_FEATURES, _MOST_MECHANISMS = 15, 24
_BINS = 120
_FAR = 1.6
"""Times the middle 99.5% of the values, from which the others are drawn on the edge."""
_SPREAD = 0.38
Array = NDArray[np.float64]


@styled
def beeswarm(
    attributions: Attributions,
    *,
    title: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return the SHAP values of the leading features, a point a sample.

    Points are coloured by the standardised feature, clipped at its 5th and 95th percentile; hollow
    where it is missing. Features stand by their mean |SHAP|, largest first.

    Parameters
    ----------
    attributions
        In calibrated log-odds.
    names
        Feature → name for people.
    note
        Stands under the title.
    """
    mean = attributions.values.abs().mean().sort_values(ascending=False, kind="stable")
    shown = [str(name) for name in mean.index[:_MOST_FEATURES]]
    figure, axes = drawing_of(0.37 * len(shown) + 1.95)
    edges = _edges(attributions.values[shown].to_numpy(dtype=float))
    beyond = 0
    for position, name in enumerate(shown):
        beyond += _swarm(axes, attributions, name, at=-position, edges=edges)
    labels = [readable(name, names, most=34, lines=2) for name in shown]
    axes.set_yticks(-np.arange(len(shown), dtype=float), labels)
    axes.set_ylim(-len(shown) + 0.4, 0.6)
    axes.margins(x=0.03)
    axes.set_xlabel(f"SHAP value ({LOG_ODDS})")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    no_grid(axes, keep="y")
    tint_sides(axes)
    scale = ScalarMappable(Normalize(0, 1), FEATURE_MAP)
    bar = figure.colorbar(scale, ax=axes, aspect=40, pad=0.015, shrink=0.9)
    bar.set_ticks([0, 1], labels=["low", "high"])
    bar.ax.tick_params(length=0)
    bar.set_label("standardised feature", labelpad=-12)
    bar.outline.set_visible(False)
    if beyond:
        note = f"{note} Triangles: {beyond} values beyond the edge.".strip()
    return finished(figure, title=title, note=note)


def _edges(values: Array) -> tuple[float, float]:
    """Return what is shown of values: all, unless a few would press the others together."""
    low, high = (float(end) for end in np.nanpercentile(values, [0.25, 99.75]))
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    few = most - least > _FAR * (high - low)
    return (low, high) if few else (least, most)


def _swarm(
    axes: Any, attributions: Attributions, name: str, *, at: float, edges: tuple[float, float]
) -> int:
    """Draw the points of a feature; return how many lie beyond the edges, where they are drawn."""
    values = attributions.values[name].to_numpy(dtype=float)
    colour = attributions.features[name].to_numpy(dtype=float)
    x = np.clip(values, *edges)
    y = at + swarm_offsets(x)
    known = np.isfinite(colour)
    scaled = np.full(x.size, 0.5)
    if known.any():
        low, high = np.nanpercentile(colour, [5, 95])
        scaled[known] = (np.clip(colour[known], low, high) - low) / max(high - low, 1e-12)
    looks = {"cmap": FEATURE_MAP, "vmin": 0, "vmax": 1, "linewidths": 0, "zorder": 3}
    for marker, rows in (("<", values < x), (">", values > x), ("o", values == x)):
        chosen = rows & known
        size = 14 if marker == "o" else 26
        axes.scatter(x[chosen], y[chosen], c=scaled[chosen], s=size, marker=marker, **looks)
    hollow = {"facecolors": "none", "edgecolors": GREY, "linewidths": 0.6, "zorder": 2}
    axes.scatter(x[~known], y[~known], s=12, **hollow)
    return int((values != x).sum())


def swarm_offsets(x: Array) -> Array:
    """Return how far each point (n_samples,) moves aside so that its like do not hide it."""
    span = max(float(np.ptp(x)), 1e-12) if x.size else 1.0
    bins = np.round((x - x.min(initial=0.0)) / span * _BINS).astype(int) if x.size else x
    offsets = np.zeros(x.size)
    for found in np.unique(bins):
        members = np.flatnonzero(bins == found)
        layers = (np.arange(members.size) + 1) // 2
        offsets[members] = np.where(np.arange(members.size) % 2, layers, -layers)
    return offsets * _SPREAD / max(float(np.abs(offsets).max(initial=0.0)), 6.0)


def mechanism_means(sums: pd.DataFrame) -> pd.DataFrame:
    """Return the column ``mean_abs`` by mechanism of sums (n_samples, n_mechanisms)."""
    return sums.abs().mean().rename("mean_abs").to_frame()


@styled
def mechanism_bar(
    table: pd.DataFrame,
    *,
    title: str,
    groups: pd.DataFrame | None = None,
    group_of: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return the mean |SHAP| of each mechanism, and of the broad groups beneath.

    Parameters
    ----------
    table
        Index mechanism; ``mean_abs`` and, where known, ``low``, ``high`` (95%) and ``stable``:
        unstable drivers are hollow and hatched, and told in the note.
    groups
        The same of broad groups.
    group_of
        Mechanism → group, whose colour it takes.
    """
    ordered = table.sort_values("mean_abs", ascending=False, kind="stable")
    ordered = ordered.head(_MOST_MECHANISMS)
    panels = [ordered]
    if groups is not None:
        panels.append(groups.sort_values("mean_abs", ascending=False, kind="stable"))
    rows = [len(panel) + 1.2 for panel in panels]
    figure = new_figure(0.245 * sum(rows) + 1.75)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=rows)[:, 0]
    colours = _group_colours(groups)
    names = {str(name): (group_of or {}).get(str(name), "") for name in ordered.index}
    _bars(axes[0], ordered, [colours.get(names[str(name)], RESISTANT) for name in ordered.index])
    if groups is not None:
        axes[0].set_title("Mechanisms, in the colour of their class")
        axes[1].set_title("Classes")
        _bars(axes[1], panels[1], [colours[str(name)] for name in panels[1].index])
    axes[-1].set_xlabel(f"mean |SHAP| summed to the mechanism ({LOG_ODDS})")
    if "stable" in ordered and not ordered["stable"].all():
        note = f"{note} Hollow bars: unstable drivers.".strip()
    return finished(figure, title=title, note=note)


def _group_colours(groups: pd.DataFrame | None) -> dict[str, str]:
    if groups is None:
        return {}
    known = {name: GROUPS[i % len(GROUPS)] for i, name in enumerate(MECHANISM_GROUPS)}
    return {str(name): known.get(str(name), GREY) for name in groups.index}


def _bars(axes: Any, table: pd.DataFrame, colours: list[str]) -> None:
    positions = -np.arange(len(table), dtype=float)
    stable = table["stable"].tolist() if "stable" in table else [True] * len(table)
    fills = [c if is_stable else "white" for c, is_stable in zip(colours, stable, strict=True)]
    bars = axes.barh(positions, table["mean_abs"], color=fills, edgecolor=colours, height=0.68)
    for bar, is_stable in zip(bars, stable, strict=True):
        bar.set_hatch("" if is_stable else "/////")
    if "low" in table:
        axes.hlines(positions, table["low"], table["high"], color=INK, linewidth=1.3)
        for end in ("low", "high"):
            axes.plot(table[end], positions, "|", color=INK, markersize=5)
    axes.set_yticks(positions, [readable(name) for name in table.index])
    for label, is_stable in zip(axes.get_yticklabels(), stable, strict=True):
        if not is_stable:
            label.set(color=FAINT, fontstyle="italic")
    axes.tick_params(axis="y", length=0, labelsize=SMALL_SIZE + 0.5)
    axes.set_ylim(-len(table) + 0.4, 0.6)
    axes.set_xlim(left=0)
    no_grid(axes, keep="x")
