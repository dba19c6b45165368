"""Quality of cells by sample: counts, genes and mitochondrial share, and where the limits lie."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from pipelines.figures.palette import FAINT, HIGH, INK, LOW
from pipelines.figures.style import (
    SMALL_SIZE,
    finished,
    new_figure,
    no_grid,
    one_line,
    styled,
)

__all__ = ["quality_figure"]

_METRICS: Mapping[str, tuple[str, bool]] = {
    "total_counts": ("counts a cell", True),
    "n_genes": ("genes a cell", True),
    "mito_share": ("mitochondrial share", False),
    "doublet_score": ("doublet score", False),
}
"""Metric → what it is called, and whether on a logarithmic axis."""
_MOST_SAMPLES = 60
_BINS = 60
_HEIGHT = 0.82
Array = NDArray[np.float64]


@styled
def quality_figure(
    table: pd.DataFrame, *, thresholds: pd.DataFrame, title: str, note: str = ""
) -> Figure:
    """Return the distribution of each metric in each sample, and the cells beyond its limits.

    Parameters
    ----------
    table
        (n_cells,) rows: ``sample`` and any of ``total_counts, n_genes, mito_share,
        doublet_score``; metrics without a value are left out. Cells without a sample too.
    thresholds
        ``sample, metric, low, high`` as columns or levels of the index; a missing limit is none.
        At the right of a row stands the share of its cells beyond them.
    note
        Stands under the title. Past sixty samples only those with the most cells beyond a limit
        are drawn, and the note says so.
    """
    cells = table[table["sample"].notna()]
    metrics = [name for name in _METRICS if name in cells and cells[name].notna().any()]
    limits = _limits(thresholds)
    samples, left = _shown_samples(cells, metrics=metrics, limits=limits)
    if left:
        total = len(samples) + left
        note = f"{note} {len(samples)} of {total} samples: most cells beyond a limit.".strip()
    figure = new_figure(0.2 * max(len(samples), 4) + 1.9)
    panels = figure.subplots(1, max(len(metrics), 1), sharey=True, squeeze=False)[0]
    groups = {str(name): part for name, part in cells.groupby(cells["sample"].astype(str))}
    for axes, metric in zip(panels, metrics, strict=False):
        values = {name: groups[name][metric].to_numpy(dtype=float) for name in samples}
        _draw_metric(axes, values, metric=metric, limits=limits)
    for axes in panels:
        axes.set_ylim(-len(samples) + 0.4, 0.8)
        axes.tick_params(axis="y", length=0, labelsize=SMALL_SIZE - (len(samples) > 20))
        axes.spines["left"].set_visible(False)
    labels = [f"{one_line(name, most=22)} ({len(groups[name]):,})" for name in samples]
    panels[0].set_yticks(-np.arange(len(samples), dtype=float), labels)
    figure.legend(
        handles=[Patch(color=LOW, label="within the limits"), Patch(color=HIGH, label="beyond")],
        loc="outside lower left",
        ncols=2,
        fontsize=SMALL_SIZE,
    )
    return finished(figure, title=title, note=note)


def _limits(thresholds: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the limits of each sample and metric; infinite where there is none."""
    named = [name for name in thresholds.index.names if name is not None]
    rows = thresholds.reset_index(named) if named else thresholds
    lows, highs = rows["low"].fillna(-np.inf), rows["high"].fillna(np.inf)
    keys = zip(rows["sample"].astype(str), rows["metric"].astype(str), strict=True)
    ends = zip(lows.astype(float), highs.astype(float), strict=True)
    return dict(zip(keys, ends, strict=True))


def _is_beyond(values: Array, ends: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray((values < ends[0]) | (values > ends[1]))


def _shown_samples(
    cells: pd.DataFrame,
    *,
    metrics: list[str],
    limits: Mapping[tuple[str, str], tuple[float, float]],
) -> tuple[list[str], int]:
    """Return the samples that are drawn, in order of their names, and how many are not."""
    names = cells["sample"].astype(str)
    samples = sorted(names.unique())
    if len(samples) <= _MOST_SAMPLES:
        return samples, 0
    worst = pd.Series(0.0, index=samples)
    for metric in metrics:
        for name, values in cells[metric].groupby(names):
            ends = limits.get((str(name), metric), (-np.inf, np.inf))
            share = float(_is_beyond(values.to_numpy(dtype=float), ends).mean())
            worst[str(name)] = max(worst[str(name)], share)
    kept = worst.sort_values(ascending=False, kind="stable").index[:_MOST_SAMPLES]
    return sorted(str(name) for name in kept), len(samples) - _MOST_SAMPLES


def _draw_metric(
    axes: Any,
    values: Mapping[str, Array],
    *,
    metric: str,
    limits: Mapping[tuple[str, str], tuple[float, float]],
) -> None:
    title, on_log = _METRICS[metric]
    edges = _edges(np.concatenate(list(values.values())), on_log=on_log)
    boxes, colours, marks, medians, shares = [], [], [], [], []
    for row, (name, found) in enumerate(values.items()):
        ends = limits.get((name, metric), (-np.inf, np.inf))
        known, bottom = found[np.isfinite(found)], -row - _HEIGHT / 2
        if known.size:
            corners, beyond = _histogram(known, edges, bottom=bottom, ends=ends)
            boxes += list(corners)
            colours += list(np.where(beyond, HIGH, LOW))
            medians.append((float(np.median(known)), bottom + 0.1))
            marks += [(end, bottom) for end in ends if edges[0] < end < edges[-1]]
        if known.size and np.isfinite(ends).any():
            shares.append((row, f"{_is_beyond(known, ends).mean():.1%}"))
    axes.add_collection(PolyCollection(boxes, facecolors=colours, linewidths=0))
    axes.plot(*_columns(medians), "|", color=INK, markersize=6, zorder=4)
    x, bottoms = _columns(marks)
    axes.vlines(x, bottoms, bottoms + _HEIGHT, color=HIGH, linewidth=1.2, zorder=3)
    _write_shares(axes, shares)
    if on_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title(title)
    axes.tick_params(axis="x", labelsize=SMALL_SIZE)
    no_grid(axes, keep="x")


def _edges(values: Array, *, on_log: bool) -> Array:
    known = values[np.isfinite(values) & ((values > 0) | (not on_log))]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.5, 1.0)
    if on_log:
        return np.geomspace(low, max(high, low * 1.01), _BINS + 1)
    return np.linspace(min(low, 0.0), max(high, low + 1e-6), _BINS + 1)


def _histogram(
    values: Array, edges: Array, *, bottom: float, ends: tuple[float, float]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the boxes (n_boxes, 4, 2) of a histogram cut at its limits, and which are beyond."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    heights = counts / counts.max() * _HEIGHT
    cuts = np.sort([*edges, *[end for end in ends if edges[0] < end < edges[-1]]])
    middles = (cuts[:-1] + cuts[1:]) / 2
    tops = bottom + heights[np.searchsorted(edges, middles, side="right") - 1]
    left, right, base = cuts[:-1], cuts[1:], np.full(middles.size, bottom)
    corners = [(left, base), (left, tops), (right, tops), (right, base)]
    boxes = np.stack([np.column_stack(corner) for corner in corners], axis=1)
    drawn = tops > bottom
    return boxes[drawn], _is_beyond(middles, ends)[drawn]


def _columns(pairs: list[tuple[float, float]]) -> Array:
    return np.array(pairs, dtype=float).reshape(-1, 2).T


def _write_shares(axes: Any, shares: list[tuple[int, str]]) -> None:
    """Write the share of cells beyond the limits at the right of each row."""
    widest = max((len(text) for _, text in shares), default=0)
    for row, text in shares:
        placed = axes.text(
            1.01,
            -row,
            text,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL_SIZE - 1.5,
            color=FAINT,
        )
        # Laying out takes long: the widest speak for all.
        placed.set_in_layout(len(text) == widest)
