"""What each sample's cells are: shares of the types, samples of like response together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipelines.figures.cell_palette import (
    RESPONSES,
    cell_type_colours,
    cell_type_name,
    in_order,
    response_words,
)
from pipelines.figures.style import (
    SMALL_SIZE,
    finished,
    new_figure,
    no_grid,
    one_line,
    styled,
)

__all__ = ["composition_figure", "composition_order"]

_MOST_NAMED = 60
_GAP = 1.2


def composition_order(shares: pd.DataFrame, response: "pd.Series[Any]") -> "pd.Series[str]":
    """Return the response of each sample, as words, in the order in which samples are drawn.

    Responsive samples first, then resistant ones, then those without a label; within each by the
    share of the type that is commonest over all.
    """
    words = response_words(response.reindex(shares.index))
    leading = shares.sum().idxmax()
    rank = words.map(list(RESPONSES).index)
    order = np.lexsort((-shares[leading].fillna(0.0).to_numpy(), rank.to_numpy()))
    return words.iloc[order]


@styled
def composition_figure(
    shares: pd.DataFrame,
    *,
    response: "pd.Series[Any]",
    title: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return a stacked bar of cell types for each sample, ordered by response.

    Parameters
    ----------
    shares
        (n_samples, n_types), rows adding up to 1; missing is none.
    response
        By sample: 1, 0, missing, or words.
    names
        Cell type → name for people.
    note
        Stands under the title.
    """
    words = composition_order(shares, response)
    types = in_order(name for name in shares if (shares[name] > 0).any())
    ordered = shares.rename(columns=str).loc[words.index, types].fillna(0.0)
    ends = words.ne(words.shift()).cumsum().to_numpy() - 1
    x = np.arange(len(words)) + _GAP * ends
    figure = new_figure(4.7)
    axes = figure.subplots()
    colours = cell_type_colours(types)
    below = np.zeros(len(words))
    edge = "white" if len(words) <= _MOST_NAMED else "none"
    for name in types:
        height = ordered[name].to_numpy()
        looks: dict[str, Any] = {"color": colours[name], "edgecolor": edge, "linewidth": 0.4}
        axes.bar(x, height, bottom=below, width=0.92, **looks)
        below += height
    _mark_responses(axes, words, x)
    _name_samples(axes, words, x)
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.set_ylabel("share of the sample's cells")
    axes.set(xlim=(-0.8, float(x.max(initial=0.0)) + 0.8), ylim=(0, 1.0))
    axes.spines[:].set_visible(False)
    no_grid(axes)
    figure.legend(
        handles=[Patch(color=colours[n], label=cell_type_name(n, names)) for n in types[::-1]],
        loc="outside right center",
        fontsize=SMALL_SIZE,
        handlelength=0.9,
        handleheight=0.9,
        labelspacing=0.45,
    )
    return finished(figure, title=title, note=note)


def _mark_responses(axes: Any, words: "pd.Series[str]", x: Any) -> None:
    """Draw a line over the samples of each response, with its name and their number."""
    for word, colour in RESPONSES.items():
        places = x[(words == word).to_numpy()]
        if places.size:
            line = {"transform": axes.get_xaxis_transform(), "clip_on": False, "color": colour}
            axes.plot([places[0] - 0.46, places[-1] + 0.46], [1.02, 1.02], linewidth=4, **line)
            axes.text(
                places.mean(),
                1.04,
                f"{word} ({places.size})",
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=SMALL_SIZE,
                fontweight="bold",
                color=colour if word != "not known" else "#6f6f6f",
            )


def _name_samples(axes: Any, words: "pd.Series[str]", x: Any) -> None:
    axes.tick_params(axis="x", length=0, labelsize=SMALL_SIZE - 1.5, labelrotation=90, pad=1)
    if len(words) <= _MOST_NAMED:
        axes.set_xticks(x, [one_line(name, most=16) for name in words.index])
    else:
        axes.set_xticks([])
        axes.set_xlabel(f"{len(words)} samples")
