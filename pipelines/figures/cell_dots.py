"""The dot plot: mechanism by cell type by response, and how many cells and lesions stand behind."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipelines.figures.attribution import FEATURE_MAP
from pipelines.figures.cell_palette import RESPONSES, cell_type_name, in_order, response_words
from pipelines.figures.palette import FAINT, GREY, RESISTANT_TINT, RESPONSIVE_TINT
from pipelines.figures.style import (
    SMALL_SIZE,
    finished,
    new_figure,
    no_grid,
    readable,
    styled,
)

__all__ = ["dot_plot", "standardised_means"]

_MOST_MECHANISMS = 36
_LIMIT = 2.0
_LARGEST, _SMALLEST = 92.0, 5.0
_FEW_LESIONS = 3
_LEAST_SPREAD = 1e-12
_TINTS = {"responsive": RESPONSIVE_TINT, "resistant": RESISTANT_TINT, "not known": "#f6f6f6"}
_OFFSETS = {1: (0.0,), 2: (-0.22, 0.22), 3: (-0.3, 0.0, 0.3)}


def standardised_means(table: pd.DataFrame) -> "pd.Series[float]":
    """Return each mean in standard deviations from the middle of its mechanism's (n_rows,).

    Middle and standard deviation are those of the rows of at least three lesions, so that a single
    lesion does not set the scale. Zero where they are all the same or there are none.
    """
    many = table["mean"].where(table["n_lesions"] >= _FEW_LESIONS)
    groups = many.groupby(table["mechanism"], observed=True)
    spread = groups.transform("std", ddof=0).fillna(0.0)
    far = table["mean"] - groups.transform("mean")
    return (far / spread.where(spread > _LEAST_SPREAD)).where(spread > _LEAST_SPREAD, 0.0)


@styled
def dot_plot(
    table: pd.DataFrame,
    *,
    title: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return mechanisms (rows) by cell type (columns), a dot for each response.

    Size is the share of cells whose score is above zero, colour the mean score, standardised
    within the mechanism (:func:`standardised_means`). Dots of fewer than three lesions are hollow.

    Parameters
    ----------
    table
        Columns ``mechanism, name, cell_type, response`` (words, or 1, 0, missing), ``mean``,
        ``detected_share``, ``n_cells, n_lesions``. Mechanisms stand in the order they come, the
        first 36 of them.
    names
        Cell type → name for people.
    note
        Stands under the title.
    """
    rows = table.assign(
        response=response_words(table["response"]), colour=standardised_means(table)
    )
    mechanisms = list(dict.fromkeys(rows["mechanism"]))[:_MOST_MECHANISMS]
    rows = rows[rows["mechanism"].isin(mechanisms) & rows["mean"].notna()]
    types = in_order(rows["cell_type"].unique())
    responses = [word for word in RESPONSES if (rows["response"] == word).any()]
    figure = new_figure(0.235 * len(mechanisms) + 2.75)
    axes = figure.subplots()
    _tint_columns(axes, count=len(types), responses=responses)
    _draw_dots(axes, rows, mechanisms=mechanisms, types=types, responses=responses)
    labels = rows.drop_duplicates("mechanism").set_index("mechanism")["name"]
    shown = [readable(labels.get(m, m), most=34) for m in mechanisms]
    axes.set_yticks(-np.arange(len(mechanisms), dtype=float), shown, fontsize=SMALL_SIZE)
    axes.set_xticks(range(len(types)), [cell_type_name(name, names) for name in types])
    axes.tick_params(axis="x", labelrotation=40 if len(types) > 5 else 0, labelsize=SMALL_SIZE)
    if len(types) > 5:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.set(xlim=(-0.55, len(types) - 0.45), ylim=(-len(mechanisms) + 0.4, 0.6))
    axes.spines[:].set_visible(False)
    no_grid(axes)
    _write_counts(axes, rows, types=types, responses=responses)
    _draw_keys(figure, axes, responses=responses)
    hollow = (rows["n_lesions"] < _FEW_LESIONS).any()
    return finished(
        figure, title=title, note=f"{note}{' Hollow: fewer than 3 lesions.' * bool(hollow)}".strip()
    )


def _tint_columns(axes: Any, *, count: int, responses: Sequence[str]) -> None:
    width = 0.9 / max(len(responses), 1)
    for column in range(count):
        for number, word in enumerate(responses):
            left = column - 0.45 + number * width
            axes.axvspan(left, left + width, color=_TINTS[word], zorder=0, linewidth=0)


def _draw_dots(
    axes: Any,
    rows: pd.DataFrame,
    *,
    mechanisms: Sequence[str],
    types: Sequence[str],
    responses: Sequence[str],
) -> None:
    offsets = dict(zip(responses, _OFFSETS.get(len(responses), ()), strict=True))
    x = rows["cell_type"].astype(str).map(types.index) + rows["response"].map(offsets)
    y = -rows["mechanism"].map(list(mechanisms).index).astype(float)
    shades = FEATURE_MAP(Normalize(-_LIMIT, _LIMIT, clip=True)(rows["colour"].to_numpy(float)))
    few = (rows["n_lesions"] < _FEW_LESIONS).to_numpy()
    sizes = _area(rows["detected_share"].to_numpy(dtype=float))
    full, edge = {"linewidths": 0, "zorder": 3}, {"linewidths": 1.3, "zorder": 3}
    axes.scatter(x[~few], y[~few], s=sizes[~few], c=shades[~few], **full)
    axes.scatter(x[few], y[few], s=sizes[few], facecolors="none", edgecolors=shades[few], **edge)


def _area(share: Any) -> Any:
    """Return the area of a dot, which grows with the share."""
    return _SMALLEST + (_LARGEST - _SMALLEST) * np.clip(np.nan_to_num(share), 0.0, 1.0)


def _write_counts(
    axes: Any, rows: pd.DataFrame, *, types: Sequence[str], responses: Sequence[str]
) -> None:
    """Write the lesions behind each column of dots above it."""
    offsets = dict(zip(responses, _OFFSETS.get(len(responses), ()), strict=True))
    lesions = rows.groupby(["cell_type", "response"], observed=True)["n_lesions"].max()
    for name, word, count in lesions.reset_index().itertuples(index=False):
        axes.text(
            types.index(str(name)) + offsets[str(word)],
            1.005,
            f"{count:.0f}",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=SMALL_SIZE - 1.5,
            color=RESPONSES[str(word)] if word != "not known" else FAINT,
        )
    axes.text(
        -0.012,
        1.005,
        "lesions",
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=SMALL_SIZE - 1.0,
        color=FAINT,
    )


def _draw_keys(figure: Figure, axes: Any, *, responses: Sequence[str]) -> None:
    scale = ScalarMappable(Normalize(-_LIMIT, _LIMIT), FEATURE_MAP)
    bar = figure.colorbar(
        scale, ax=axes, aspect=26, pad=0.015, shrink=0.8, extend="both", extendfrac=0.02
    )
    bar.set_label("mean score, standardised within the mechanism", fontsize=SMALL_SIZE)
    bar.set_ticks([-2, -1, 0, 1, 2])
    bar.ax.tick_params(labelsize=SMALL_SIZE, length=2)
    bar.outline.set_visible(False)
    keys = [
        Line2D([], [], marker="s", linestyle="", color=RESPONSES[word], label=f"{side}{word}")
        for word, side in zip(responses, _sides(len(responses)), strict=True)
    ]
    keys += [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            color=GREY,
            markersize=float(np.sqrt(_area(share))),
            label=f"{share:.0%}",
        )
        for share in (0.1, 0.5, 1.0)
    ]
    figure.legend(
        handles=keys,
        loc="outside lower left",
        ncols=len(keys),
        fontsize=SMALL_SIZE,
        columnspacing=1.2,
        handletextpad=0.2,
        title="Response of the lesions; cells with a score above zero (size)",
        title_fontproperties={"size": SMALL_SIZE, "weight": "bold"},
        alignment="left",
    )


def _sides(count: int) -> tuple[str, ...]:
    return {2: ("left: ", "right: "), 3: ("left: ", "middle: ", "right: ")}.get(
        count, ("",) * count
    )
