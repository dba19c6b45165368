"""Dependence of the attribution on the leading features, beside the catalogue's sign."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.stats import spearmanr

from models.explanation import Attributions
from pipelines.figures.palette import FAINT, INK, RESISTANT, RESPONSIVE, UNKNOWN, label_colours
from pipelines.figures.style import (
    SMALL_SIZE,
    finished,
    new_figure,
    no_grid,
    readable,
    reference_line,
    styled,
)

__all__ = ["Dependence", "dependence", "dependence_plots", "mean_curve", "sign_words"]

Array = NDArray[np.float64]
Agreement = Literal["agrees", "opposes", "flat", "no sign"]
_COLUMNS, _MOST_FEATURES = 3, 9
_BINS = 8
_STEEP = 0.3
"""Spearman correlation of feature and attribution below which the model's curve is flat."""


@dataclass(frozen=True)
class Dependence:
    """How a feature's attribution follows its value.

    Attributes
    ----------
    sign
        Of the catalogue: +1 more of it goes with resistance, -1 with response, 0 not fixed.
    correlation
        Spearman, of value and attribution; NaN where one of them does not vary.
    agreement
        Of the model's direction with the sign; ``flat`` below 0.3.
    """

    sign: int
    correlation: float
    agreement: Agreement


def dependence(values: Array, feature: Array, *, sign: int) -> Dependence:
    """Return how attributions (n_samples,) follow a feature (n_samples,; NaN: missing)."""
    known = np.isfinite(feature)
    varies = known.sum() > 2 and np.ptp(feature[known]) > 0 and np.ptp(values[known]) > 0
    found = float(spearmanr(feature[known], values[known]).statistic) if varies else float("nan")
    if not abs(found) >= _STEEP:  # NaN, too
        return Dependence(sign, found, "flat")
    if sign == 0:
        return Dependence(sign, found, "no sign")
    return Dependence(sign, found, "agrees" if np.sign(found) == sign else "opposes")


def sign_words(sign: int) -> str:
    """Return the catalogue's sign in words."""
    return {1: "more of it: resistance", -1: "more of it: response"}.get(sign, "sign not fixed")


def mean_curve(values: Array, feature: Array) -> tuple[Array, Array]:
    """Return the means of feature and attribution in eight bins of equal count."""
    known = np.flatnonzero(np.isfinite(feature))
    order = known[np.argsort(feature[known], kind="stable")]
    bins = [part for part in np.array_split(order, min(_BINS, max(len(order), 1))) if part.size]
    return (
        np.array([float(np.mean(feature[part])) for part in bins]),
        np.array([float(np.mean(values[part])) for part in bins]),
    )


@styled
def dependence_plots(
    attributions: Attributions,
    *,
    signs: Mapping[str, int],
    resistant: "pd.Series[float]",
    title: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return attribution over value of the nine leading features, a panel each.

    Under each name stands the catalogue's sign and whether the model's curve goes that way.

    Parameters
    ----------
    attributions
        In calibrated log-odds.
    signs
        Feature → +1, -1, 0, of the catalogue.
    resistant
        Published response of each sample (1, 0, NaN).
    names
        Feature → name for people.
    note
        Stands under the title.
    """
    mean = attributions.values.abs().mean().sort_values(ascending=False, kind="stable")
    shown = [str(name) for name in mean.index[:_MOST_FEATURES]]
    n_rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(2.62 * n_rows + 1.15)
    panels = figure.subplots(n_rows, _COLUMNS, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    labels = np.asarray(resistant.reindex(attributions.values.index), dtype=np.float64)
    for axes, name in zip(panels.flat, shown, strict=False):
        values = attributions.values[name].to_numpy(dtype=float)
        feature = attributions.features[name].to_numpy(dtype=float)
        _draw_panel(axes, values, feature, labels)
        found = dependence(values, feature, sign=signs.get(name, 0))
        _head(axes, readable(name, names, most=25, lines=3), found)
    middle = panels[-1, min(1, len(shown) - 1)]
    middle.set_xlabel("standardised feature, clipped at its 1st and 99th percentile")
    for axes in panels[:, 0]:
        axes.set_ylabel("SHAP (log-odds)")
    _legend(figure, labels)
    return finished(figure, title=title, note=note)


def _draw_panel(axes: Any, values: Array, feature: Array, labels: Array) -> None:
    known = np.isfinite(feature)
    reference_line(axes, y=0.0)
    if known.any():
        x = np.clip(feature, *np.nanpercentile(feature, [1, 99]))
        y = np.clip(values, *np.nanpercentile(values, [0.5, 99.5]))
        order = np.argsort(~np.isnan(labels[known]), kind="stable")  # the unknown underneath
        colours = np.asarray(label_colours(labels[known]))[order]
        axes.scatter(x[known][order], y[known][order], c=colours, s=11, alpha=0.6, linewidths=0)
        middle, height = mean_curve(y, x)
        axes.plot(middle, height, color="white", linewidth=4, zorder=4)
        axes.plot(middle, height, color=INK, linewidth=1.8, zorder=5)
    axes.tick_params(labelsize=SMALL_SIZE)
    axes.margins(0.06)
    axes.locator_params(nbins=5)
    no_grid(axes, keep="y")


def _head(axes: Any, name: str, found: Dependence) -> None:
    """Write name, catalogue's sign and the model's direction above a panel."""
    arrow, colour = {1: ("▲ ", RESISTANT), -1: ("▼ ", RESPONSIVE)}.get(found.sign, ("", FAINT))
    model = {
        "agrees": "the model agrees",
        "opposes": "THE MODEL OPPOSES",
        "flat": "the model hardly uses it",
        "no sign": f"in the model: {'resistance' if found.correlation > 0 else 'response'}",
    }[found.agreement]
    bold = {"fontweight": "bold"} if found.agreement == "opposes" else {}
    axes.set_title(name, pad=28, fontsize=SMALL_SIZE + 0.3)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": SMALL_SIZE}
    axes.annotate(arrow + sign_words(found.sign), (0, 1), xytext=(0, 16), color=colour, **place)
    axes.annotate(model, (0, 1), xytext=(0, 4), color=INK if bold else FAINT, **place, **bold)


def _legend(figure: Figure, labels: Array) -> None:
    kinds = [("resistant", RESISTANT, labels == 1), ("responsive", RESPONSIVE, labels == 0)]
    kinds.append(("no label", UNKNOWN, np.isnan(labels)))
    handles: list[Any] = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=name)
        for name, colour, rows in kinds
        if rows.any()
    ]
    handles.append(Line2D([], [], color=INK, label="mean of eight bins"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
