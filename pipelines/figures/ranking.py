"""Figures of discrimination: AUROC of cohorts, pooled curves with peers, features alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.metrics import Estimate
from models.rank_curves import RankCurves
from pipelines.figures.names import predictor_name
from pipelines.figures.palette import GREY, MARKERS, RESISTANT, RESPONSIVE, SERIES
from pipelines.figures.style import (
    SMALL_SIZE,
    drawing_of,
    finished,
    new_figure,
    no_grid,
    readable,
    reference_line,
    styled,
)

__all__ = ["auroc_forest", "feature_signs", "roc_and_precision_recall"]

_LEAST_RECALL = 0.05
"""Below it a handful of samples decides the precision."""


@styled
def auroc_forest(table: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Return AUROC with 95% intervals per held-out cohort and predictor.

    Parameters
    ----------
    table
        Columns ``predictor, cohort, value, low, high``; ``cohort`` 'mean' stands last.
    """
    cohorts = [name for name in table["cohort"].unique() if name != "mean"] + ["mean"]
    predictors = list(table["predictor"].unique())
    step = len(predictors) + 1.2
    figure, axes = drawing_of(0.155 * len(cohorts) * step + 1.95)
    for offset, predictor in enumerate(predictors):
        part = table[table["predictor"] == predictor].set_index("cohort").reindex(cohorts)
        y = -(np.arange(len(cohorts)) * step + offset)
        colour = SERIES[offset % len(SERIES)]
        axes.hlines(y, part["low"], part["high"], color=colour, linewidth=1.5)
        axes.plot(
            part["value"],
            y,
            MARKERS[offset % len(MARKERS)],
            markersize=5.5 if offset == 0 else 4.5,
            color=colour,
            label=predictor_name(predictor),
        )
    middle = (len(predictors) - 1) / 2
    names = [*cohorts[:-1], "mean of cohorts"]
    axes.set_yticks(-(np.arange(len(cohorts)) * step + middle), names)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    for row in range(1, len(cohorts)):
        axes.axhline(-(row * step - 1.1), color="#eeeeee", linewidth=0.8)
    reference_line(axes, x=0.5)
    axes.set(xlim=(0, 1), ylim=(-(len(cohorts) * step) + 0.6, 1.0))
    axes.set_xlabel("AUROC for resistance (95% bootstrap over patients)")
    axes.tick_params(axis="y", length=0)
    no_grid(axes, keep="x")
    figure.legend(loc="outside lower center", ncols=len(predictors))
    return finished(figure, title=title, note=note)


@styled
def roc_and_precision_recall(
    curves: Mapping[str, RankCurves], *, title: str, note: str = ""
) -> Figure:
    """Return ROC and precision-recall curves of the predictors, the first with its band.

    Parameters
    ----------
    curves
        Predictor → curves over the ranks within cohorts.
    """
    figure = new_figure(5.05)
    roc, recall = figure.subplots(1, 2)
    for number, (predictor, found) in enumerate(curves.items()):
        look = {"color": SERIES[number % len(SERIES)], "linewidth": 2.2 if number == 0 else 1.5}
        look["linestyle"] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))[number % 4]
        panels = (
            (roc, found.roc, "false_positive_rate", "true_positive_rate", found.auroc),
            (recall, found.precision_recall, "recall", "precision", found.average_precision),
        )
        for axes, whole, x, y, area in panels:
            curve = whole[whole[x] >= _LEAST_RECALL] if axes is recall else whole
            axes.plot(curve[x], curve[y], label=_with_area(predictor, area), zorder=4, **look)
            if number == 0:
                axes.fill_between(
                    curve[x], curve["low"], curve["high"], color=look["color"], alpha=0.12, lw=0
                )
    prior = predictor_name("prior")
    roc.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label=f"{prior} 0.50")
    base = next(iter(curves.values())).base_rate if curves else 0.5
    recall.axhline(base, color=GREY, linestyle="--", linewidth=1, label=f"{prior} {base:.2f}")
    roc.set(xlabel="responsive called resistant", ylabel="resistant called resistant")
    recall.set(xlabel="recall of the resistant", ylabel="precision")
    for axes, words in ((roc, "ROC (area)"), (recall, "Precision-recall (average precision)")):
        axes.set_title(words)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.legend(loc="lower right", fontsize=SMALL_SIZE)
    return finished(figure, title=title, note=note)


def _with_area(predictor: str, area: Estimate) -> str:
    interval = f" ({area.low:.2f} to {area.high:.2f})" if np.isfinite(area.low) else ""
    return f"{predictor_name(predictor)} {area.value:.2f}{interval}"


@styled
def feature_signs(
    table: pd.DataFrame, *, title: str, names: Mapping[str, str] | None = None, note: str = ""
) -> Figure:
    """Return each feature's own AUROC with its interval, by the catalogue's sign.

    ``table`` is that of :func:`models.signs.sign_agreement`. A feature that goes against its sign
    beyond its interval is named in bold.
    """
    ordered = table.dropna(subset=["auroc"]).sort_values("auroc", kind="stable")
    figure, axes = drawing_of(0.158 * len(ordered) + 1.95)
    kinds: tuple[tuple[int, str, str, str], ...] = (
        (1, RESISTANT, "^", "catalogue: resistance"),
        (-1, RESPONSIVE, "v", "catalogue: response"),
        (0, GREY, "o", "catalogue: not fixed"),
    )
    for sign, colour, marker, name in kinds:
        part = ordered[ordered["sign"] == sign]
        y = ordered.index.get_indexer(part.index)
        axes.hlines(y, part["low"], part["high"], color=colour, linewidth=1.3)
        axes.plot(part["auroc"], y, marker, markersize=5, color=colour, label=name)
    labels = [readable(name, names, most=56) for name in ordered.index]
    axes.set_yticks(range(len(ordered)), labels, fontsize=SMALL_SIZE - 0.5)
    _embolden(axes, (ordered["verdict"] == "opposes").to_list())
    axes.set_ylim(-0.8, len(ordered) - 0.2)
    reference_line(axes, x=0.5)
    axes.set_xlabel("AUROC of the feature alone (above 0.5: more of it in resistant tumours)")
    axes.tick_params(axis="y", length=0)
    no_grid(axes, keep="x")
    figure.legend(loc="outside lower center", ncols=3)
    return finished(figure, title=title, note=note)


def _embolden(axes: Any, rows: list[bool]) -> None:
    for label, bold in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if bold else "normal")
