"""The heatmap of mechanisms by patient, clustered, with tracks of what is known of each sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipelines.figures.palette import (
    COHORTS,
    DRUGS,
    GREY,
    PALE,
    RESISTANT,
    RESPONSIVE,
    UNKNOWN,
    category_colours,
)
from pipelines.figures.sample_order import SampleOrder, order_mechanisms, order_samples
from pipelines.figures.style import (
    SMALL_SIZE,
    finished,
    new_figure,
    no_grid,
    one_line,
    readable,
    styled,
)

__all__ = ["RESISTANCE_MAP", "Track", "colour_limit", "mechanism_heatmap", "sample_tracks"]

RESISTANCE_MAP = LinearSegmentedColormap.from_list(
    "resistance", ["#0b3c73", RESPONSIVE, "#9dc3e0", "#f7f7f7", "#efaa94", RESISTANT, "#6d0a1a"]
)
_PROBABILITY_MAP = LinearSegmentedColormap.from_list("probability", ["#f4f4f4", "#3b3b3b"])
_TIMEPOINTS = {
    "pre_treatment": "#4b2e83",
    "on_treatment": "#b08fd8",
    "post_treatment": "#e8c9a0",
    "unstated": PALE,
}
_MOST_NAMES = 9
_PIXELS = 500
_OTHERS, _UNSTATED = "others", "unstated"


@dataclass(frozen=True)
class Track:
    """One row of colours above a heatmap.

    Attributes
    ----------
    name
        What it shows.
    values
        Its text by sample.
    colours
        Colour of each text, in the order of the legend.
    """

    name: str
    values: "pd.Series[str]"
    colours: dict[str, str]


def sample_tracks(samples: pd.DataFrame) -> list[Track]:
    """Return the tracks of response, cohort, drug and timepoint that a table of samples allows.

    Spellings of a drug that differ in case are one; past the ninth name the rest are *others*. A
    timepoint of no known kind is *unstated*.

    Parameters
    ----------
    samples
        Any of ``resistant`` (1, 0, NaN), ``cohort``, ``drug``, ``timepoint``.
    """
    tracks = []
    if "resistant" in samples:
        words = samples["resistant"].map({1.0: "resistant", 0.0: "responsive"})
        colours = {"resistant": RESISTANT, "responsive": RESPONSIVE, "not known": UNKNOWN}
        tracks.append(_track("response", words.fillna("not known").astype(str), colours))
    for name in ("cohort", "drug"):
        if name in samples:
            words = _leading(_one_spelling(samples[name]))
            named = sorted(set(words) - {_OTHERS, _UNSTATED})
            colours = category_colours(named, palette=COHORTS if name == "cohort" else DRUGS)
            tracks.append(_track(name, words, {**colours, _OTHERS: GREY, _UNSTATED: PALE}))
    if "timepoint" in samples:
        words = samples["timepoint"].astype(object).where(samples["timepoint"].isin(_TIMEPOINTS))
        tracks.append(_track("timepoint", words.fillna(_UNSTATED).astype(str), _TIMEPOINTS))
    return tracks


def _track(name: str, values: "pd.Series[str]", colours: dict[str, str]) -> Track:
    used = set(values)
    return Track(name, values, {word: c for word, c in colours.items() if word in used})


def _one_spelling(names: "pd.Series[Any]") -> "pd.Series[str]":
    """Return names of which those that differ in case alone are spelled as the commonest."""
    stated = names.astype(object).where(names.notna(), _UNSTATED).astype(str).map(one_line)
    folded = stated.str.casefold()
    common = stated.groupby(folded).agg(lambda same: same.value_counts().index[0])
    return folded.map(common)


def _leading(names: "pd.Series[str]") -> "pd.Series[str]":
    counts = names.value_counts()
    kept = counts.index[:_MOST_NAMES] if len(counts) > _MOST_NAMES else counts.index
    return names.where(names.isin([*kept, _UNSTATED]), _OTHERS)


def colour_limit(sums: pd.DataFrame) -> float:
    """Return where the colours of attributions end: their 99th percentile."""
    return max(float(np.nanpercentile(np.abs(sums.to_numpy(dtype=float)), 99)), 1e-9)


@styled
def mechanism_heatmap(
    sums: pd.DataFrame, *, samples: pd.DataFrame, title: str, note: str = ""
) -> Figure:
    """Return attributions by mechanism (rows) and sample (columns), like beside like.

    Parameters
    ----------
    sums
        (n_samples, n_mechanisms), calibrated log-odds.
    samples
        Same index; any of ``probability``, ``resistant``, ``cohort``, ``drug``, ``timepoint``,
        each a track.
    note
        Stands under the title.
    """
    shown = sums.loc[:, (sums != 0).any()]
    shown = shown if shown.shape[1] else sums.iloc[:, :1]
    order, mechanisms = order_samples(shown), order_mechanisms(shown)
    known = samples.loc[order.names]
    tracks = sample_tracks(known)
    n_tracks = len(tracks) + ("probability" in known)
    heights = [0.6 if order.clustered else 0.05, 0.19 * max(n_tracks, 0.3)]
    heights += [0.235 * len(mechanisms) + 0.2, _legend_height(tracks)]
    figure = new_figure(sum(heights) + 1.35)
    panels = figure.subplots(4, 1, height_ratios=heights)
    _draw_tree(panels[0], order)
    _draw_tracks(panels[1], tracks, known)
    values = shown.loc[order.names, mechanisms].T.to_numpy(dtype=float)
    limit = colour_limit(shown)
    image = panels[2].imshow(
        values,
        aspect="auto",
        cmap=RESISTANCE_MAP,
        vmin=-limit,
        vmax=limit,
        interpolation="none" if len(known) < _PIXELS else "antialiased",
    )
    panels[2].set_yticks(range(len(mechanisms)), [readable(name) for name in mechanisms])
    panels[2].tick_params(axis="y", length=0, labelsize=SMALL_SIZE)
    panels[2].set_xticks([])
    panels[2].set_xlabel(f"{len(known)} samples{', clustered by mechanism' * order.clustered}")
    no_grid(panels[2])
    bar = figure.colorbar(image, ax=panels[2], aspect=30, pad=0.012, extend="both")
    bar.set_label("SHAP, log-odds (red: resistance)")
    bar.outline.set_visible(False)
    _draw_legends(panels[3], tracks)
    if "probability" in known:
        note = f"{note} Probability: from light (0) to dark (1).".strip()
    return finished(figure, title=title, note=note)


def _legend_height(tracks: Sequence[Track]) -> float:
    longest = max((len(track.colours) for track in tracks), default=0)
    return 0.155 * longest + 0.3 if tracks else 0.05


def _draw_tree(axes: Any, order: SampleOrder) -> None:
    axes.set_axis_off()
    if order.clustered:
        lines = [branch.T for branch in order.branches]
        axes.add_collection(LineCollection(lines, colors="#8a8a8a", linewidths=0.6))
        axes.set_ylim(0, float(order.branches[:, 1].max()) * 1.02)
    axes.set_xlim(-0.5, len(order.names) - 0.5)


def _draw_tracks(axes: Any, tracks: Sequence[Track], samples: pd.DataFrame) -> None:
    rows = [[to_rgb(track.colours[word]) for word in track.values] for track in tracks]
    names = [track.name for track in tracks]
    if "probability" in samples:
        shares = samples["probability"].to_numpy(dtype=float)
        rows.insert(0, [tuple(_PROBABILITY_MAP(share)[:3]) for share in shares])
        names.insert(0, "probability")
    if rows:
        axes.imshow(np.asarray(rows), aspect="auto", interpolation="none")
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelsize=SMALL_SIZE)
    axes.spines[:].set_visible(False)
    no_grid(axes)
    for row in range(1, len(names)):
        axes.axhline(row - 0.5, color="white", linewidth=1.5)


def _draw_legends(axes: Any, tracks: Sequence[Track]) -> None:
    """Stand the legends of the tracks beside one another."""
    axes.set_axis_off()
    places = {2: (0.0, 0.5), 3: (0.0, 0.3, 0.72), 4: (-0.22, 0.0, 0.42, 0.78)}
    for place, track in zip(places.get(len(tracks), (0.0,)), tracks, strict=False):
        if axes.get_legend() is not None:
            axes.add_artist(axes.get_legend())  # a further legend would take its place
        plain = track.name in ("cohort", "drug")
        handles = [
            Patch(color=colour, label=word if plain else readable(word))
            for word, colour in track.colours.items()
        ]
        axes.legend(
            handles=handles,
            title=track.name,
            fontsize=SMALL_SIZE - 0.5,
            title_fontproperties={"size": SMALL_SIZE, "weight": "bold"},
            loc="upper left",
            bbox_to_anchor=(place, 1.05),
            borderaxespad=0,
            handlelength=0.9,
            handleheight=0.9,
            labelspacing=0.3,
            alignment="left",
        )
