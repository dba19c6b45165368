"""Figures of the data: distance from the training cohorts, drift of features, genes measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pipelines.figures.palette import FAINT, INK, RESISTANT, RESPONSIVE
from pipelines.figures.style import (
    LABEL_SIZE,
    SMALL_SIZE,
    drawing_of,
    finished,
    no_grid,
    one_line,
    readable,
    reference_line,
    styled,
)

__all__ = ["gene_coverage_figure", "shift_scores", "stability_bars"]

_MODERATE, _DRIFTED = 0.1, 0.25
_MOST_INCOMPLETE = 40
_COVERAGE_MAP = LinearSegmentedColormap.from_list("coverage", ["#8c3a00", "#f2c879", "#eef3f0"])


@styled
def shift_scores(
    table: pd.DataFrame, *, title: str, names: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """Return the distribution of the shift score of each set of samples, with the share flagged.

    Parameters
    ----------
    table
        ``set`` and ``shift_score`` (above 1: out of scope) of each sample.
    names
        Order of the sets; None: as they come.
    """
    sets = list(table["set"].unique()) if names is None else list(names)
    scores = [table.loc[table["set"] == name, "shift_score"].dropna() for name in sets]
    figure, axes = drawing_of(0.36 * len(sets) + 1.55)
    positions = -np.arange(len(sets), dtype=float)
    rng = np.random.default_rng(0)  # spreads the points, no figure depends on it
    for position, values in zip(positions, scores, strict=True):
        spread = position + rng.uniform(-0.28, 0.28, len(values))
        colours = np.where(values > 1, RESISTANT, RESPONSIVE)
        axes.scatter(values, spread, s=8, c=colours, alpha=0.5, linewidths=0)
        flagged = f"{(values > 1).mean():.0%} of {len(values)}" if len(values) else "none"
        axes.text(
            1.015,
            position,
            flagged,
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=LABEL_SIZE,
            color=FAINT,
        )
    reference_line(axes, x=1.0)
    axes.set_yticks(positions, [one_line(name) for name in sets])
    axes.set_ylim(-len(sets) + 0.4, 0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("shift score (above 1: out of scope; share flagged at the right)")
    no_grid(axes, keep="x")
    return finished(figure, title=title, note=note)


@styled
def stability_bars(
    table: pd.DataFrame,
    *,
    title: str,
    most: int = 30,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return the population stability index of the features that drifted most.

    Parameters
    ----------
    table
        ``feature``, ``psi`` and, where known, ``expected_psi`` (of a sample that did not drift).
    most
        Features shown.
    names
        Feature → name for people.
    """
    ordered = table.dropna(subset=["psi"]).nlargest(most, "psi").iloc[::-1]
    figure, axes = drawing_of(0.235 * len(ordered) + 1.75)
    positions = np.arange(len(ordered))
    limits = [ordered["psi"] > _DRIFTED, ordered["psi"] > _MODERATE]
    colours = np.select(limits, [RESISTANT, "#f4a582"], RESPONSIVE)
    axes.barh(positions, ordered["psi"], color=colours, height=0.7)
    if "expected_psi" in ordered:
        axes.plot(
            ordered["expected_psi"],
            positions,
            "|",
            color=INK,
            markersize=9,
            markeredgewidth=1.6,
            label="noise alone",
        )
        axes.legend(loc="lower right")
    for limit in (_MODERATE, _DRIFTED):
        reference_line(axes, x=limit)
    labels = [readable(name, names, most=50) for name in ordered["feature"]]
    axes.set_yticks(positions, labels, fontsize=SMALL_SIZE)
    axes.margins(y=0.01)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"population stability index ({_MODERATE}: moderate, {_DRIFTED}: drifted)")
    no_grid(axes, keep="x")
    return finished(figure, title=title, note=note)


@styled
def gene_coverage_figure(
    coverage: pd.DataFrame, *, title: str, names: Mapping[str, str] | None = None, note: str = ""
) -> Figure:
    """Return the share of each feature's genes that each cohort measured.

    Features whose genes every cohort has are counted in the note; of the others the poorest stand
    at the top.

    Parameters
    ----------
    coverage
        (n_features, n_cohorts) between 0 and 1; NaN where no sample's drug names a gene.
    names
        Feature → name for people.
    """
    incomplete = coverage[~(coverage >= 1).all(axis=1)]  # NaN is not complete
    shown = incomplete.loc[incomplete.mean(axis=1).sort_values(kind="stable").index]
    shown = shown.head(_MOST_INCOMPLETE)
    full = len(coverage) - len(incomplete)
    told = f"{full} of {len(coverage)} features have all their genes in every cohort."
    if len(shown) < len(incomplete):
        told += f" The {len(shown)} poorest of the others are shown."
    if shown.empty:
        figure, axes = drawing_of(1.3)
        axes.set_axis_off()
        return finished(figure, title=title, note=f"{told} {note}".strip())
    figure, axes = drawing_of(0.225 * len(shown) + 2.6)
    _draw_coverage(axes, shown, names)
    return finished(figure, title=title, note=f"{told} {note}".strip())


def _draw_coverage(axes: Any, shown: pd.DataFrame, names: Mapping[str, str] | None) -> None:
    values = shown.to_numpy(dtype=float)
    axes.imshow(values, aspect="auto", cmap=_COVERAGE_MAP, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(values):
        if not share >= 1:
            text = f"{share:.0%}" if np.isfinite(share) else "no drug"
            colour = "white" if share < 0.3 else INK
            axes.text(
                column, row, text, ha="center", va="center", fontsize=SMALL_SIZE - 0.5, color=colour
            )
    labels = [readable(name, names, most=46) for name in shown.index]
    axes.set_yticks(range(len(shown)), labels, fontsize=SMALL_SIZE)
    cohorts = [one_line(name, most=30) for name in shown.columns]
    axes.set_xticks(range(len(cohorts)), cohorts, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xticks(np.arange(len(cohorts) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(shown) - 1) + 0.5, minor=True)
    no_grid(axes)
    axes.grid(visible=True, which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
