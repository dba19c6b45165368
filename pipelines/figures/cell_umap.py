"""UMAPs of cells: type, sample, response, resistance and mechanism scores, panel by panel."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from pipelines.figures.cell_palette import (
    RESPONSES,
    SCORE_MAP,
    cell_type_colours,
    cell_type_name,
    in_order,
    response_words,
)
from pipelines.figures.heatmap import RESISTANCE_MAP
from pipelines.figures.palette import COHORTS, INK, category_colours
from pipelines.figures.style import (
    SMALL_SIZE,
    finished,
    new_figure,
    no_grid,
    one_line,
    readable,
    styled,
)

__all__ = ["umap_panels"]

_PLACES = ["umap_1", "umap_2"]
_MOST_SCORES = 4
_NOT_SCORED = "#f0f0f0"
_HALO = "#c4c4c4"
_LEAST_SHARE, _LEAST_CELLS = 0.01, 5
"""Of a type whose name stands on the map; the legend names all."""
_ROOM = np.array([0.17, 0.055])
"""Share of the panel that a name takes, across and upwards."""

Array = NDArray[np.float64]
Draw = Callable[[Any], None]


@styled
def umap_panels(
    view: pd.DataFrame,
    *,
    title: str,
    scores: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    most_cells: int = 20_000,
    seed: int = 0,
    note: str = "",
) -> Figure:
    """Return the cells' map once for each thing that is known of them.

    Cells are drawn in a random order, so that none hides the others by where it stands in the
    file.

    Parameters
    ----------
    view
        (n_cells,) rows: ``umap_1, umap_2`` and any of ``cell_type``, ``sample``, ``response`` (of
        the lesion: 1, 0, missing, or words) and ``resistance`` (in (0, 1), 0.5 says nothing).
        Cells without a place are left out.
    scores
        Columns of mechanism scores; the first four that the view has are drawn. A panel of which
        nothing is known of any cell is left out.
    names
        Mechanism or cell type → name for people.
    most_cells
        Cells drawn, a sample by ``seed`` where there are more.
    note
        Stands under the title.
    """
    placed = view[np.isfinite(view[_PLACES].to_numpy(dtype=float)).all(axis=1)]
    rng = np.random.default_rng(seed)
    drawn = placed.iloc[rng.permutation(len(placed))[:most_cells]]
    panels = _panels(drawn, placed, scores=scores, names=names)
    rows = -(-len(panels) // 2)
    figure = new_figure(3.15 * max(rows, 1) + 0.9)
    axes = figure.subplots(max(rows, 1), 2, squeeze=False).ravel()
    for place, draw in zip(axes, panels, strict=False):
        draw(place)
    for place in axes[len(panels) :]:
        place.set_axis_off()
    shown = f"{len(drawn):,} of {len(view):,} cells drawn"
    how = ", a random sample" if len(drawn) < len(placed) else ""
    return finished(figure, title=title, note=f"{note} {shown}{how}.".strip())


def _panels(
    drawn: pd.DataFrame,
    placed: pd.DataFrame,
    *,
    scores: Sequence[str],
    names: Mapping[str, str] | None,
) -> list[Draw]:
    """Return what draws each panel, of what the view has."""
    panels: list[Draw] = []
    if "cell_type" in drawn:
        panels.append(partial(_draw_types, drawn=drawn, names=names))
        panels.append(partial(_draw_type_legend, types=placed["cell_type"], names=names))
    if "sample" in drawn:
        panels.append(partial(_draw_samples, drawn=drawn))
    if "response" in drawn and (response_words(drawn["response"]) != "not known").any():
        panels.append(partial(_draw_response, drawn=drawn))
    if "resistance" in drawn and drawn["resistance"].notna().any():
        panels.append(partial(_draw_resistance, drawn=drawn))
    shown = [name for name in scores if name in drawn and drawn[name].notna().any()][:_MOST_SCORES]
    return panels + [partial(_draw_score, drawn=drawn, name=n, names=names) for n in shown]


def _draw_types(axes: Any, *, drawn: pd.DataFrame, names: Mapping[str, str] | None) -> None:
    types = drawn["cell_type"].astype(str)
    colours = cell_type_colours(types.unique())
    _points(axes, drawn, to_rgba_array([colours[name] for name in types]))
    axes.set_title("Cell type")
    counts = types.value_counts()
    least = max(_LEAST_CELLS, _LEAST_SHARE * len(types))
    shown = [name for name in colours if counts[name] >= least and name != "unknown"]
    middles = np.array([drawn.loc[types == name, _PLACES].median() for name in shown])
    for name, place in zip(shown, _parted(middles, axes), strict=True):
        axes.text(
            *place,
            cell_type_name(name, names),
            ha="center",
            va="center",
            fontsize=SMALL_SIZE - 0.5,
            fontweight="bold",
            color=INK,
            path_effects=[withStroke(linewidth=2.2, foreground="white", alpha=0.9)],
        )


def _parted(middles: Array, axes: Any) -> Array:
    """Return where names are put (n_names, 2): at the middles, moved until none hides another."""
    if not len(middles):
        return middles
    low = np.array([axes.get_xlim()[0], axes.get_ylim()[0]])
    span = np.array([axes.get_xlim()[1], axes.get_ylim()[1]]) - low
    at = (middles - low) / span
    for _ in range(200):
        apart = at[:, None] - at[None]
        overlap = _ROOM - np.abs(apart)
        touching = (overlap > 1e-9).all(axis=2) & ~np.eye(len(at), dtype=bool)
        if not touching.any():
            break
        # Names are wide and low: moving up or down is the shorter way out.
        upwards = np.sign(apart[..., 1]) + np.where(apart[..., 1] == 0, _before(len(at)), 0)
        at[:, 1] += 0.3 * np.where(touching, upwards * overlap[..., 1], 0.0).sum(axis=1)
    return np.asarray(low + np.clip(at, 0.02, 0.98) * span)


def _before(count: int) -> Array:
    return np.sign(np.subtract.outer(np.arange(count), np.arange(count))).astype(float)


def _draw_type_legend(
    axes: Any, *, types: "pd.Series[Any]", names: Mapping[str, str] | None
) -> None:
    counts = types.astype(str).value_counts()
    colours = cell_type_colours(counts.index)
    handles = [
        _key(colours[name], f"{cell_type_name(name, names)} ({counts[name]:,})")
        for name in in_order(counts.index)
    ]
    axes.set_axis_off()
    axes.legend(
        handles=handles,
        loc="center left",
        ncols=1 + (len(handles) > 12),
        fontsize=SMALL_SIZE,
        labelspacing=0.55,
        columnspacing=1.0,
        borderaxespad=0,
    )


def _draw_samples(axes: Any, *, drawn: pd.DataFrame) -> None:
    samples = drawn["sample"].astype(object).where(drawn["sample"].notna(), "none").astype(str)
    names = sorted(samples.unique())
    colours = category_colours(names)
    _points(axes, drawn, to_rgba_array([colours[name] for name in samples]))
    few = len(names) <= len(COHORTS)
    axes.set_title(f"Sample ({len(names)}{'' if few else '; colours recur'})")
    if few:
        _legend(axes, {one_line(name, most=18): colour for name, colour in colours.items()})


def _draw_response(axes: Any, *, drawn: pd.DataFrame) -> None:
    words = response_words(drawn["response"])
    _points(axes, drawn, to_rgba_array([RESPONSES[word] for word in words]))
    axes.set_title("Response of the lesion")
    _legend(axes, {word: RESPONSES[word] for word in RESPONSES if (words == word).any()})


def _draw_resistance(axes: Any, *, drawn: pd.DataFrame) -> None:
    values = drawn["resistance"].to_numpy(dtype=float)
    far = np.abs(values[np.isfinite(values)] - 0.5)
    limit = max(float(np.percentile(far, 99)) if far.size else 0.0, 0.01)
    # The middle of the scale is nearly white: a grey halo keeps these cells on the page.
    x, y = drawn[_PLACES].to_numpy(dtype=float).T
    axes.scatter(x, y, s=2.4 * _size(len(x)), c=_HALO, linewidths=0, rasterized=True)
    _scaled(axes, drawn, values, limits=(0.5 - limit, 0.5 + limit), colours=RESISTANCE_MAP)
    axes.set_title("Resistance of the cell (uncalibrated)")


def _draw_score(
    axes: Any, *, drawn: pd.DataFrame, name: str, names: Mapping[str, str] | None
) -> None:
    values = drawn[name].to_numpy(dtype=float)
    known = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(known, [1, 99])) if known.size else (0.0, 1.0)
    _scaled(axes, drawn, values, limits=(low, max(high, low + 1e-9)), colours=SCORE_MAP)
    axes.set_title(readable(name, names, most=38))


def _scaled(
    axes: Any, drawn: pd.DataFrame, values: Array, *, limits: tuple[float, float], colours: Colormap
) -> None:
    """Draw cells by a number; those without one pale."""
    scale = Normalize(*limits)
    shades = colours(scale(np.nan_to_num(values, nan=limits[0])))
    shades[~np.isfinite(values)] = to_rgba_array(_NOT_SCORED)[0]
    _points(axes, drawn, shades)
    mapped = axes.figure.colorbar(
        ScalarMappable(scale, colours),
        ax=axes,
        aspect=28,
        pad=0.01,
        shrink=0.75,
        extend="both",
        extendfrac=0.03,
    )
    mapped.outline.set_visible(False)
    mapped.ax.tick_params(labelsize=SMALL_SIZE - 0.5, length=2)
    mapped.ax.locator_params(nbins=5)


def _points(axes: Any, drawn: pd.DataFrame, colours: Array) -> None:
    x, y = drawn[_PLACES].to_numpy(dtype=float).T
    axes.scatter(x, y, s=_size(len(x)), c=colours, linewidths=0, rasterized=True)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    no_grid(axes)


def _size(count: int) -> float:
    """Return the area of a point: the more cells, the smaller."""
    return float(np.clip(24_000 / max(count, 1), 1.2, 22.0))


def _legend(axes: Any, colours: Mapping[str, str]) -> None:
    axes.legend(
        handles=[_key(colour, name) for name, colour in colours.items()],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=3,
        fontsize=SMALL_SIZE,
        labelspacing=0.4,
        columnspacing=1.0,
        borderaxespad=0,
        handletextpad=0.2,
    )


def _key(colour: str, name: str) -> Line2D:
    return Line2D([], [], marker="o", linestyle="", color=colour, markersize=6, label=name)
