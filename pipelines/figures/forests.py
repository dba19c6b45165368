"""Forest plots: differences to peers per cohort and pooled, and figures of subgroups."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.comparison import POOLED_ROWS
from pipelines.figures.names import predictor_name
from pipelines.figures.palette import FAINT, GREY, RESISTANT, RESPONSIVE
from pipelines.figures.style import (
    SMALL_SIZE,
    drawing_of,
    finished,
    no_grid,
    one_line,
    readable,
    reference_line,
    styled,
)

__all__ = ["claims_forest", "difference_forest", "peers_forest", "subgroup_forest"]

_POOLED_NAMES = {
    "mean": "mean of cohorts",
    "within_cohort_pairs": "pairs within cohorts",
    "random_effects": "random effects",
}
_LEVEL_NAMES = {
    "anti_pd1_pdl1": "anti-PD-1/PD-L1",
    "anti_ctla4": "anti-CTLA-4",
}


@styled
def difference_forest(table: pd.DataFrame, *, peer: str, title: str) -> Figure:
    """Return the model's AUROC minus a peer's, per cohort and pooled; I² stands in the note.

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
    sizes = zip(ordered.index, ordered["n"], strict=True)
    labels = [f"{one_line(name)} ({n})" for name, n in sizes]
    pooled = part.loc["random_effects"]
    note = f"Random effects: I² = {pooled['i2']:.0%}, p = {pooled['p_value']:.2g}."
    return _forest(
        ordered.assign(
            label=labels,
            colour=[RESPONSIVE] * len(cohorts) + [RESISTANT] * len(POOLED_ROWS),
            marker=["s"] * len(cohorts) + ["D"] * len(POOLED_ROWS),
            block=[0] * len(cohorts) + [1] * len(POOLED_ROWS),
        ),
        value="difference",
        reference=0.0,
        xlabel=f"AUROC of the model minus that of {predictor_name(peer)} (95% paired bootstrap)",
        title=title,
        note=f"{note} Right of zero the model ranks better.".replace("nan%", "not defined"),
    )


@styled
def peers_forest(table: pd.DataFrame, *, scheme: str = "within_cohort_pairs", title: str) -> Figure:
    """Return the pooled difference to every peer, largest first.

    ``table`` is that of :func:`models.comparison.compare_with_peers`; ``scheme`` one of its
    pooled rows.
    """
    part = table[table["cohort"] == scheme].sort_values("difference", ascending=False)
    return _forest(
        part.assign(label=part["peer"].map(predictor_name), colour=RESISTANT, marker="D", block=0),
        value="difference",
        reference=0.0,
        xlabel=f"AUROC of the model minus the peer's, {_POOLED_NAMES[scheme]} (95% interval)",
        title=title,
        note="Right of zero the model ranks better than the peer.",
    )


@styled
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
    groups = list(table["group"].unique())
    labels = [
        f"{readable(group)}: {_level(level)} ({n})"
        for group, level, n in zip(table["group"], table["level"], table["n"], strict=True)
    ]
    return _forest(
        table.assign(
            label=labels,
            colour=RESISTANT,
            marker="o",
            block=table["group"].map(groups.index),
        ),
        value=value,
        reference=reference,
        xlabel=xlabel,
        title=title,
        note="In brackets: samples. Levels with few have no figure.",
    )


@styled
def claims_forest(table: pd.DataFrame, *, title: str, note: str) -> Figure:
    """Return the effect of features beside the direction that the reviews give them.

    Parameters
    ----------
    table
        ``name, sign`` (``+``, ``-``, ``·``), ``evidence, n, effect, low, high``, rows of an
        evidence together: of :func:`pipelines.claims.table.claims_table`.
    """
    looks = {"+": (RESISTANT, "^"), "-": (RESPONSIVE, "v"), "·": (GREY, "o")}
    blocks = []
    for number, (evidence, part) in enumerate(table.groupby("evidence", sort=False)):
        counted = zip(part["name"], part["n"], strict=True)
        rows = part[["effect", "low", "high"]].assign(
            label=[f"{one_line(name)} ({n})" for name, n in counted],
            colour=[looks[sign][0] for sign in part["sign"]],
            marker=[looks[sign][1] for sign in part["sign"]],
            header=False,
            block=number,
        )
        header = pd.DataFrame({"label": [evidence], "header": [True], "block": [number]})
        blocks += [header, rows]
    return _forest(
        pd.concat(blocks, ignore_index=True),
        value="effect",
        reference=0.0,
        xlabel="Somers' D (95% interval): right of zero, more of it, more resistance",
        title=title,
        note=f"▲ the sign says resistance, ▼ response, ● not fixed. {note}",
    )


def _level(level: object) -> str:
    known = _LEVEL_NAMES.get(str(level))
    return known or one_line(str(level).replace("_", " ").replace(">=", "≥"), most=36)


def _forest(
    rows: pd.DataFrame, *, value: str, reference: float, xlabel: str, title: str, note: str
) -> Figure:
    """Return a point with its interval for each row, and the figures at the right.

    Columns ``label, colour, marker, low, high`` and ``block``: a gap parts the blocks; where there
    is a column ``header``, its rows are names of what follows.
    """
    headers = rows.get("header", pd.Series(False, index=rows.index)).to_numpy(dtype=bool)
    gaps = 0.6 * rows["block"].diff().fillna(0).ne(0).cumsum().to_numpy()
    positions = -np.arange(len(rows), dtype=float) - gaps
    figure, axes = drawing_of(0.25 * (len(rows) + float(gaps.max(initial=0.0))) + 1.55)
    for position, (_, row) in zip(positions[~headers], rows[~headers].iterrows(), strict=True):
        axes.plot([row["low"], row["high"]], [position] * 2, color=row["colour"], linewidth=1.7)
        axes.plot(row[value], position, row["marker"], color=row["colour"], markersize=5.5)
        axes.text(
            1.02,
            position,
            _figures(row[value], row["low"], row["high"]),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=SMALL_SIZE,
            color=FAINT,
        )
    reference_line(axes, x=reference)
    axes.set_yticks(positions, list(rows["label"]))
    for label, bold in zip(axes.get_yticklabels(), headers, strict=True):
        label.set_fontweight("bold" if bold else "normal")
    axes.set_ylim(positions.min(initial=0.0) - 0.7, 0.7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(xlabel)
    no_grid(axes, keep="x")
    return finished(figure, title=title, note=note)


def _figures(value: float, low: float, high: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:.2f} ({low:.2f} to {high:.2f})".replace("-", "−")
