"""Figures of a validation: calibration, decisions, learning curve, null, shift."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from models.calibration_metrics import reliability_table
from pipelines.palette import GREY, RESISTANT, RESPONSIVE, SERIES, TITLE_SIZE, WIDTH

__all__ = [
    "decision_curve_figure",
    "finished",
    "learning_curve_figure",
    "permutation_null",
    "reliability_with_intervals",
    "risk_coverage_figure",
    "shift_scores",
    "stability_bars",
]

_MODERATE, _DRIFTED = 0.1, 0.25


def finished(figure: Figure, axes: Any, *, xlabel: str, ylabel: str, title: str) -> Figure:
    """Return the figure with the names of its axes and its title."""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, fontsize=TITLE_SIZE)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def _band(axes: Any, x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str) -> None:
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def reliability_with_intervals(predictions: Mapping[str, pd.DataFrame], *, title: str) -> Figure:
    """Return observed against predicted resistance with Wilson intervals, and the probabilities.

    Parameters
    ----------
    predictions
        Name → predictions with ``probability`` and ``resistant`` (1, 0, NaN).
    """
    figure = Figure(figsize=(7.5, 7.5))
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    edges = np.linspace(0, 1, 41)
    for number, (name, frame) in enumerate(predictions.items()):
        colour = SERIES[number % len(SERIES)]
        table = reliability_table(frame)
        axes.vlines(table["predicted"], table["low"], table["high"], color=colour, linewidth=1.2)
        axes.plot(table["predicted"], table["observed"], "o", color=colour, label=name)
        below.hist(frame["probability"].dropna(), bins=edges, color=colour, alpha=0.5, label=name)
    axes.set(ylim=(0, 1), ylabel="observed resistant (95% Wilson)")
    axes.set_title(title, fontsize=TITLE_SIZE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9, loc="upper left")
    return finished(
        figure, below, xlabel="predicted probability of resistance", ylabel="samples", title=""
    )


def risk_coverage_figure(curve: pd.DataFrame, *, title: str) -> Figure:
    """Return Brier score and balanced accuracy over the share of samples kept.

    ``curve`` has ``share`` (most certain first), and ``brier`` and ``balanced_accuracy``, each
    with ``_low`` and ``_high``.
    """
    figure = Figure(figsize=(WIDTH, 4.2))
    figures = {"brier": "Brier score (lower is better)", "balanced_accuracy": "balanced accuracy"}
    for axes, (name, label) in zip(figure.subplots(1, 2), figures.items(), strict=True):
        colour = RESISTANT if name == "brier" else RESPONSIVE
        axes.plot(curve["share"], curve[name], "o-", color=colour, markersize=4)
        _band(axes, curve["share"], curve[f"{name}_low"], curve[f"{name}_high"], colour)
        axes.set(xlabel="share of samples kept, most certain first", ylabel=label, xlim=(1.02, 0))
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=TITLE_SIZE)
    figure.tight_layout()
    return figure


def decision_curve_figure(table: pd.DataFrame, *, title: str) -> Figure:
    """Return net benefit over threshold probabilities beside calling all or none resistant.

    ``table`` is that of :func:`models.decision.decision_curve`.
    """
    figure = Figure(figsize=(WIDTH, 5))
    axes = figure.subplots()
    x = table["threshold"]
    axes.plot(x, table["net_benefit"], color=RESISTANT, linewidth=1.8, label="model")
    _band(axes, x, table["low"], table["high"], RESISTANT)
    axes.plot(x, table["all_resistant"], color=RESPONSIVE, label="call all resistant")
    axes.plot(x, table["none_resistant"], color=GREY, linestyle="--", label="call none resistant")
    top = float(np.nanmax([table["high"].max(), table["all_resistant"].max(), 0.01]))
    axes.set_ylim(-0.25 * top, 1.08 * top)
    axes.legend(fontsize=9)
    return finished(
        figure,
        axes,
        xlabel="threshold probability of resistance",
        ylabel="net benefit (95% bootstrap over patients)",
        title=title,
    )


def learning_curve_figure(table: pd.DataFrame, *, title: str) -> Figure:
    """Return the mean AUROC over the number of training cohorts.

    ``table`` has ``n_cohorts, value, low, high``.
    """
    figure = Figure(figsize=(WIDTH, 4.5))
    axes = figure.subplots()
    axes.plot(table["n_cohorts"], table["value"], "o-", color=RESISTANT)
    _band(axes, table["n_cohorts"], table["low"], table["high"], RESISTANT)
    axes.axhline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_xticks(sorted(table["n_cohorts"].unique()))
    return finished(
        figure,
        axes,
        xlabel="training cohorts",
        ylabel="mean AUROC over held-out cohorts (95%)",
        title=title,
    )


def permutation_null(null: ArrayLike, *, observed: float, title: str) -> Figure:
    """Return the AUROC of the pipeline on shuffled labels (n_permutations,) and on true ones."""
    values = np.asarray(null, dtype=float)
    values = values[np.isfinite(values)]
    figure = Figure(figsize=(WIDTH, 4))
    axes = figure.subplots()
    bins = max(5, min(30, values.size // 2))
    axes.hist(values, bins=bins, color=GREY, alpha=0.6, label=f"{values.size} permutations")
    axes.plot(
        values,
        np.full(values.size, 0.03),
        "|",
        color="black",
        markersize=10,
        transform=axes.get_xaxis_transform(),
    )
    axes.axvline(observed, color=RESISTANT, linewidth=2, label=f"observed: {observed:.3f}")
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.legend(fontsize=9)
    mean = f"mean {values.mean():.3f}" if values.size else "no permutations"
    return finished(
        figure,
        axes,
        xlabel=f"mean AUROC over held-out cohorts ({mean} on shuffled labels)",
        ylabel="permutations",
        title=title,
    )


def shift_scores(table: pd.DataFrame, *, title: str, names: Sequence[str] | None = None) -> Figure:
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
    figure = Figure(figsize=(WIDTH, 0.36 * len(sets) + 1.8))
    axes = figure.subplots()
    positions = -np.arange(len(sets), dtype=float)
    rng = np.random.default_rng(0)  # spreads the points, no figure depends on it
    for position, values in zip(positions, scores, strict=True):
        spread = position + rng.uniform(-0.28, 0.28, len(values))
        colours = np.where(values > 1, RESISTANT, RESPONSIVE)
        axes.scatter(values, spread, s=6, c=colours, alpha=0.5, linewidths=0)
    labels = [
        f"{name} ({(values > 1).mean():.0%} of {len(values)})" if len(values) else f"{name} (none)"
        for name, values in zip(sets, scores, strict=True)
    ]
    axes.axvline(1.0, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(positions, labels)
    return finished(
        figure,
        axes,
        xlabel="shift score (above 1: out of scope; share flagged beside the set)",
        ylabel="",
        title=title,
    )


def stability_bars(table: pd.DataFrame, *, title: str, most: int = 30) -> Figure:
    """Return the population stability index of the features that drifted most.

    Parameters
    ----------
    table
        ``feature``, ``psi`` and, where known, ``expected_psi`` (of a sample that did not drift).
    most
        Features shown.
    """
    ordered = table.dropna(subset=["psi"]).nlargest(most, "psi").iloc[::-1]
    figure = Figure(figsize=(WIDTH, 0.24 * len(ordered) + 1.8))
    axes = figure.subplots()
    positions = np.arange(len(ordered))
    limits = [ordered["psi"] > _DRIFTED, ordered["psi"] > _MODERATE]
    colours = np.select(limits, [RESISTANT, "#f4a582"], RESPONSIVE)
    axes.barh(positions, ordered["psi"], color=colours)
    if "expected_psi" in ordered:
        axes.plot(
            ordered["expected_psi"],
            positions,
            "|",
            color="black",
            markersize=9,
            label="noise alone",
        )
        axes.legend(fontsize=9, loc="lower right")
    for limit in (_MODERATE, _DRIFTED):
        axes.axvline(limit, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(positions, list(ordered["feature"]), fontsize=8)
    axes.margins(y=0.01)
    return finished(
        figure,
        axes,
        xlabel=f"population stability index ({_MODERATE}: moderate, {_DRIFTED}: drifted)",
        ylabel="",
        title=title,
    )
