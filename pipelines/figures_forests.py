"""Forest plots: differences to peers per cohort and pooled, and figures of subgroups."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.comparison import POOLED_ROWS
from pipelines.figures_validation import finished
from pipelines.palette import GREY, RESISTANT, RESPONSIVE, SERIES, WIDTH

__all__ = ["difference_forest", "peers_forest", "subgroup_forest"]

_POOLED_NAMES = {
    "mean": "mean of cohorts",
    "within_cohort_pairs": "pairs within cohorts",
    "random_effects": "random effects",
}


def difference_forest(table: pd.DataFrame, *, peer: str, title: str) -> Figure:
    """Return the model's AUROC minus a peer's, per cohort and pooled; I² stands in the title.

    Parameters
    ----------
    table
        From :func:`models.comparison.compare_with_peers`.
    peer
        Which of its peers.
    """
    part = table[table["peer"] == peer].set_index("cohort")
    cohorts = [name for name in part.index if name not in POOLED_ROWS]
    ordered = part.loc[[*cohorts, *POOLED_ROWS]].rename(index=_POOLED_NAMES)
    labels = [f"{name} ({n})" for name, n in zip(ordered.index, ordered["n"], strict=True)]
    colours = [RESPONSIVE] * len(cohorts) + [RESISTANT] * len(POOLED_ROWS)
    pooled = part.loc["random_effects"]
    heading = f"{title}\n(I² = {pooled['i2']:.0%}, p = {pooled['p_value']:.2g} of random effects)"
    return _forest(
        ordered.assign(label=labels, colour=colours),
        value="difference",
        reference=0.0,
        xlabel=f"AUROC of the model minus that of {peer} (95% paired bootstrap over patients)",
        title=heading.replace("nan%", "not defined"),
    )


def peers_forest(table: pd.DataFrame, *, scheme: str = "within_cohort_pairs", title: str) -> Figure:
    """Return the pooled difference to every peer, largest first.

    ``table`` is that of :func:`models.comparison.compare_with_peers`; ``scheme`` one of its
    pooled rows.
    """
    part = table[table["cohort"] == scheme].sort_values("difference", ascending=False)
    return _forest(
        part.assign(label=part["peer"], colour=RESISTANT),
        value="difference",
        reference=0.0,
        xlabel=f"AUROC of the model minus the peer's, {_POOLED_NAMES[scheme]} (95% interval)",
        title=title,
    )


def subgroup_forest(
    table: pd.DataFrame,
    *,
    title: str,
    value: str = "auroc",
    reference: float = 0.5,
    xlabel: str = "AUROC over pairs within cohorts (95% bootstrap over patients)",
) -> Figure:
    """Return a figure of each subgroup, the groups apart from one another.

    Parameters
    ----------
    table
        ``group, level, n, low, high`` and the column ``value``; levels without a figure are shown
        by their name and size alone.
    reference
        Where the dashed line stands.
    """
    colours = {group: SERIES[i % len(SERIES)] for i, group in enumerate(table["group"].unique())}
    labels = [
        f"{group.replace('_', ' ')}: {level} ({n})"
        for group, level, n in zip(table["group"], table["level"], table["n"], strict=True)
    ]
    return _forest(
        table.assign(label=labels, colour=table["group"].map(colours)),
        value=value,
        reference=reference,
        xlabel=xlabel,
        title=title,
    )


def _forest(rows: pd.DataFrame, *, value: str, reference: float, xlabel: str, title: str) -> Figure:
    """Return a point with its interval for each row; columns ``label, colour, low, high``."""
    figure = Figure(figsize=(WIDTH, 0.28 * len(rows) + 1.8))
    axes = figure.subplots()
    positions = -np.arange(len(rows), dtype=float)
    for position, (_, row) in zip(positions, rows.iterrows(), strict=True):
        axes.plot(
            [row["low"], row["high"]], [position, position], color=row["colour"], linewidth=1.5
        )
        axes.plot(row[value], position, "o", color=row["colour"], markersize=5)
    axes.axvline(reference, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(positions, list(rows["label"]))
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    return finished(figure, axes, xlabel=xlabel, ylabel="", title=title)
