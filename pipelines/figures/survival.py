"""Figures of survival by predicted resistance: Kaplan-Meier curves, pooled and per cohort."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.figures.palette import FAINT, RESISTANT, RESPONSIVE
from pipelines.figures.style import (
    LABEL_SIZE,
    SMALL_SIZE,
    drawing_of,
    finished,
    new_figure,
    no_grid,
    one_line,
    styled,
)

__all__ = ["kaplan_meier_cohorts", "kaplan_meier_pooled"]

_COLOURS = {"high": RESISTANT, "low": RESPONSIVE}
_LINES = {"high": "-", "low": (0, (5, 1.2))}
_NAMES = {"high": "score above the cohort's median", "low": "at or below"}
_COLUMNS = 3
_TICKS = 5
_STEPS = (1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0)


@styled
def kaplan_meier_pooled(
    curves: pd.DataFrame, table: pd.DataFrame, *, endpoint: str, title: str
) -> Figure:
    """Return the curves over all cohorts, with numbers at risk and the stratified figures.

    Parameters
    ----------
    curves
        From :func:`models.survival.kaplan_meier_curves`.
    table
        From :func:`models.survival.survival_table`.
    endpoint
        As the axis names it.
    """
    figure, axes = drawing_of(5.4)
    _draw(axes, curves[curves["cohort"] == "pooled"], size=LABEL_SIZE)
    axes.set_ylabel(f"{endpoint} (95%)")
    axes.legend(loc="upper right")
    note = f"{_figures_text(table, 'stratified')}. Above the cohort's median against at or below."
    return finished(figure, title=title, note=note)


@styled
def kaplan_meier_cohorts(
    curves: pd.DataFrame, table: pd.DataFrame, *, endpoint: str, title: str
) -> Figure:
    """Return the curves of each cohort beside one another; parameters as of the pooled figure."""
    names = [str(name) for name in curves["cohort"].unique() if name != "pooled"]
    n_rows = max(1, -(-len(names) // _COLUMNS))
    figure = new_figure(2.75 * n_rows + 1.0)
    panels = figure.subplots(n_rows, _COLUMNS, squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, names, strict=False):
        _draw(axes, curves[curves["cohort"] == name], size=SMALL_SIZE - 1)
        axes.set_title(one_line(name, most=27), fontsize=SMALL_SIZE, pad=18)
        axes.annotate(
            _short_figures(table, name),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 5),
            textcoords="offset points",
            fontsize=SMALL_SIZE - 0.5,
            color=FAINT,
        )
        axes.tick_params(labelsize=SMALL_SIZE)
        axes.xaxis.label.set_size(SMALL_SIZE)
    for line in panels[:, 0]:
        line.set_ylabel("share without event", fontsize=SMALL_SIZE)
    if names:
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, ncols=2, loc="outside lower center")
    return finished(figure, title=title, note=f"{endpoint.capitalize()}, each cohort by itself.")


def _figures_text(table: pd.DataFrame, cohort: str) -> str:
    """Return hazard ratio and log-rank of high against low in a line."""
    rows = table[table["cohort"] == cohort]
    if rows.empty:
        return "No cohort has events enough"
    row = rows.iloc[0]
    ratio, low, high = (row[f"high_low_hazard_ratio{end}"] for end in ("", "_low", "_high"))
    hazard = f"HR {ratio:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(ratio) else "HR not defined"
    return f"{hazard}, log-rank p = {row['log_rank_p']:.2g}, n = {row['n']:.0f}"


def _short_figures(table: pd.DataFrame, cohort: str) -> str:
    """Return the same for a small panel: without the p value."""
    first, _, rest = _figures_text(table, cohort).partition(", log-rank")
    return f"{first}, n{rest.rpartition(', n')[2]}" if rest else first


def _draw(axes: Any, curves: pd.DataFrame, *, size: float) -> None:
    """Draw both groups with the numbers at risk under the axis."""
    last = float(curves["time"].max()) if len(curves) else 1.0
    step = next((step for step in _STEPS if last / step <= _TICKS + 1), _STEPS[-1])
    ticks = np.arange(0.0, last + 1e-9, step)
    for line, (group, colour) in enumerate(_COLOURS.items()):
        part = curves[curves["group"] == group]
        axes.step(
            part["time"],
            part["survival"],
            where="post",
            color=colour,
            linestyle=_LINES[group],
            label=_NAMES[group],
        )
        axes.fill_between(
            part["time"], part["low"], part["high"], step="post", color=colour, alpha=0.12, lw=0
        )
        for tick in ticks:
            axes.annotate(
                str(_at_risk(part, tick)),
                (tick, 0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, -(2.9 + 1.25 * line) * size),
                textcoords="offset points",
                ha="center",
                fontsize=size,
                color=colour,
            )
    axes.set_xticks(ticks)
    axes.set(xlim=(0, last * 1.02), ylim=(0, 1.02))
    axes.set_xlabel("months (at risk above)", labelpad=3.4 * size)
    no_grid(axes, keep="y")


def _at_risk(curve: pd.DataFrame, time: float) -> int:
    """Return how many patients are still under observation at a time."""
    later = curve.loc[curve["time"] >= time, "at_risk"]
    return int(later.iloc[0]) if len(later) else 0
