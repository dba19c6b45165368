"""Figures of power: the learning curve over cohorts, and the pipeline on shuffled labels."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pipelines.figures.palette import GREY, INK, RESISTANT
from pipelines.figures.style import drawing_of, finished, no_grid, reference_line, styled

__all__ = ["learning_curve_figure", "permutation_null"]


@styled
def learning_curve_figure(table: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Return the mean AUROC over the number of training cohorts.

    ``table`` has ``n_cohorts, value, low, high``.
    """
    figure, axes = drawing_of(4.4)
    axes.fill_between(
        table["n_cohorts"], table["low"], table["high"], color=RESISTANT, alpha=0.14, linewidth=0
    )
    axes.plot(table["n_cohorts"], table["value"], "o-", color=RESISTANT, markersize=6)
    reference_line(axes, y=0.5)
    axes.set_xticks(sorted(table["n_cohorts"].unique()))
    axes.set(xlabel="training cohorts", ylabel="mean AUROC over held-out cohorts (95%)")
    no_grid(axes, keep="y")
    return finished(figure, title=title, note=note)


@styled
def permutation_null(null: ArrayLike, *, observed: float, title: str, note: str = "") -> Figure:
    """Return the AUROC of the pipeline on shuffled labels (n_permutations,) and on true ones."""
    values = np.asarray(null, dtype=float)
    values = values[np.isfinite(values)]
    figure, axes = drawing_of(4.2)
    bins = max(5, min(30, values.size // 2))
    axes.hist(
        values,
        bins=bins,
        color=GREY,
        alpha=0.45,
        edgecolor="white",
        label=f"{values.size} permutations",
    )
    axes.plot(
        values,
        np.full(values.size, 0.025),
        "|",
        color=INK,
        markersize=11,
        transform=axes.get_xaxis_transform(),
    )
    axes.axvline(observed, color=RESISTANT, linewidth=2.4, label=f"observed: {observed:.3f}")
    reference_line(axes, x=0.5)
    axes.legend(loc="upper left")
    mean = f"mean {values.mean():.3f}" if values.size else "no permutations"
    axes.set_xlabel(f"mean AUROC over held-out cohorts ({mean} on shuffled labels)")
    axes.set_ylabel("permutations")
    no_grid(axes, keep="y")
    return finished(figure, title=title, note=note)
