"""Figures of probabilities: reliability, what abstaining gains, what deciding by them gains."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from models.calibration_metrics import reliability_table
from pipelines.figures.palette import GREY, MARKERS, RESISTANT, RESPONSIVE, SERIES
from pipelines.figures.style import (
    drawing_of,
    finished,
    new_figure,
    no_grid,
    styled,
)

__all__ = ["decision_curve_figure", "reliability_with_intervals", "risk_coverage_figure"]


@styled
def reliability_with_intervals(
    predictions: Mapping[str, pd.DataFrame], *, title: str, note: str = ""
) -> Figure:
    """Return observed against predicted resistance with Wilson intervals, and the probabilities.

    Parameters
    ----------
    predictions
        Name → predictions with ``probability`` and ``resistant`` (1, 0, NaN).
    """
    figure = new_figure(8.4)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.1, label="perfect")
    edges = np.linspace(0, 1, 41)
    heights = []
    for number, (name, frame) in enumerate(predictions.items()):
        colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
        table = reliability_table(frame)
        axes.vlines(table["predicted"], table["low"], table["high"], color=colour, linewidth=1.5)
        axes.plot(
            table["predicted"], table["observed"], marker, markersize=6.5, color=colour, label=name
        )
        counts, _ = np.histogram(frame["probability"].dropna(), bins=edges)
        below.stairs(counts, edges, color=colour, fill=True, alpha=0.25)
        below.stairs(counts, edges, color=colour, linewidth=1.4)
        heights.append(counts.max())
    axes.set(ylim=(0, 1), ylabel="observed share resistant (95% Wilson)")
    axes.legend(loc="upper left")
    below.set(xlim=(0, 1), ylabel="samples", ylim=(0, 1.1 * max([1, *heights])))
    below.set_xlabel("predicted probability of resistance")
    no_grid(below, keep="y")
    return finished(figure, title=title, note=note)


@styled
def risk_coverage_figure(curve: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Return Brier score and balanced accuracy over the share of samples kept.

    ``curve`` has ``share`` (most certain first), and ``brier`` and ``balanced_accuracy``, each
    with ``_low`` and ``_high``.
    """
    figure = new_figure(4.4)
    figures = {
        "brier": ("Brier score", "lower is better", RESISTANT),
        "balanced_accuracy": ("Balanced accuracy", "higher is better", RESPONSIVE),
    }
    for axes, (name, (words, better, colour)) in zip(
        figure.subplots(1, 2), figures.items(), strict=True
    ):
        axes.plot(curve["share"], curve[name], "o-", color=colour, markersize=5)
        _band(axes, curve["share"], curve[f"{name}_low"], curve[f"{name}_high"], colour)
        axes.set_title(f"{words} ({better})")
        axes.set(xlabel="share kept, most certain first", xlim=(1.02, 0))
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    return finished(figure, title=title, note=note)


@styled
def decision_curve_figure(table: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Return net benefit over threshold probabilities beside calling all or none resistant.

    ``table`` is that of :func:`models.decision.decision_curve`.
    """
    figure, axes = drawing_of(5.2)
    x = table["threshold"]
    axes.plot(x, table["net_benefit"], color=RESISTANT, linewidth=2.2, label="model")
    _band(axes, x, table["low"], table["high"], RESISTANT)
    axes.plot(
        x,
        table["all_resistant"],
        color=RESPONSIVE,
        linestyle=(0, (6, 2)),
        label="call all resistant",
    )
    axes.plot(x, table["none_resistant"], color=GREY, linestyle=":", label="call none resistant")
    top = float(np.nanmax([table["high"].max(), table["all_resistant"].max(), 0.01]))
    axes.set_ylim(-0.25 * top, 1.08 * top)
    axes.legend()
    axes.set(
        xlabel="threshold probability of resistance",
        ylabel="net benefit (95% bootstrap over patients)",
    )
    return finished(figure, title=title, note=note)


def _band(axes: Any, x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str) -> None:
    axes.fill_between(x, low, high, color=colour, alpha=0.14, linewidth=0)
