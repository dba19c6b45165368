"""Figures of a model and of a cohort, as matplotlib figures."""

import base64
import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.explanation import Attributions
from models.metrics import Estimate
from pipelines.palette import GREY, RESISTANT, RESPONSIVE

__all__ = [
    "auroc_forest",
    "beeswarm",
    "feature_signs",
    "interval_text",
    "mechanism_bar",
    "mechanism_heatmap",
    "png_text",
    "probability_ranking",
    "waterfall",
]

_LABEL_COLOURS = {1.0: RESISTANT, 0.0: RESPONSIVE}
_MOST_FEATURES = 15


def _explanation(attributions: Attributions) -> Any:
    import shap

    return shap.Explanation(
        values=attributions.values.to_numpy(),
        base_values=attributions.base_value.to_numpy(),
        data=attributions.features.round(2).to_numpy(),
        feature_names=[str(name) for name in attributions.values.columns],
    )


def _finished(pyplot: Any, title: str) -> Figure:
    figure: Figure = pyplot.gcf()
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    pyplot.close(figure)
    return figure


def beeswarm(attributions: Attributions, *, title: str) -> Figure:
    """Return shap's beeswarm of the leading features, coloured by the standardised feature."""
    import matplotlib.pyplot as plt
    import shap

    plt.figure(figsize=(8, 6))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        shap.plots.beeswarm(
            _explanation(attributions),
            max_display=_MOST_FEATURES,
            show=False,
            color_bar_label="standardised feature",
        )
    plt.gca().set_xlabel("SHAP value (calibrated log-odds of resistance)")
    return _finished(plt, title)


def waterfall(attributions: Attributions, *, sample: str, title: str) -> Figure:
    """Return shap's waterfall of one sample, from the base value to its calibrated log-odds."""
    import matplotlib.pyplot as plt
    import shap

    plt.figure(figsize=(8, 6))
    position = int(attributions.values.index.get_loc(sample))  # type: ignore[arg-type]
    shap.plots.waterfall(
        _explanation(attributions)[position], max_display=_MOST_FEATURES, show=False
    )
    return _finished(plt, title)


def mechanism_bar(sums: pd.DataFrame, *, title: str) -> Figure:
    """Return the mean absolute attribution of each mechanism class (n_samples, n_mechanisms)."""
    mean = sums.abs().mean().sort_values()
    figure = Figure(figsize=(7, 0.3 * len(mean) + 1.5))
    axes = figure.subplots()
    axes.barh([name.replace("_", " ") for name in mean.index], mean.to_numpy(), color=RESISTANT)
    axes.set_xlabel("mean |SHAP| summed to the mechanism (calibrated log-odds)")
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def auroc_forest(table: pd.DataFrame, *, title: str) -> Figure:
    """Return AUROC with 95% intervals per held-out cohort and predictor.

    Parameters
    ----------
    table
        Columns ``predictor, cohort, value, low, high``; ``cohort`` 'mean' stands last.
    """
    cohorts = [name for name in table["cohort"].unique() if name != "mean"] + ["mean"]
    predictors = list(table["predictor"].unique())
    figure = Figure(figsize=(8, 0.2 * len(cohorts) * (len(predictors) + 1) + 1.5))
    axes = figure.subplots()
    colours = [RESISTANT, RESPONSIVE, "#4d9221", "#984ea3", GREY]
    for offset, predictor in enumerate(predictors):
        part = table[table["predictor"] == predictor].set_index("cohort").reindex(cohorts)
        y = -(np.arange(len(cohorts)) * (len(predictors) + 1.0) + offset)
        error = [part["value"] - part["low"], part["high"] - part["value"]]
        axes.errorbar(
            part["value"],
            y,
            xerr=np.nan_to_num(np.asarray(error, dtype=float)),
            fmt="o",
            markersize=4,
            linewidth=1,
            color=colours[offset % len(colours)],
            label=predictor,
        )
    middle = (len(predictors) - 1) / 2
    axes.set_yticks(-(np.arange(len(cohorts)) * (len(predictors) + 1.0) + middle), cohorts)
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlim(0, 1)
    axes.set_xlabel("AUROC for resistance (95% bootstrap over patients)")
    axes.set_title(title, fontsize=11)
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(1.01, 0.0))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def feature_signs(table: pd.DataFrame, *, title: str) -> Figure:
    """Return each feature's own AUROC with its interval, coloured by the catalogue's sign.

    ``table`` is that of :func:`models.signs.sign_agreement`.
    """
    ordered = table.dropna(subset=["auroc"]).sort_values("auroc")
    figure = Figure(figsize=(7, 0.19 * len(ordered) + 1.5))
    axes = figure.subplots()
    colours = {1: RESISTANT, -1: RESPONSIVE, 0: GREY}
    names = {1: "catalogue: resistance", -1: "catalogue: response", 0: "catalogue: not fixed"}
    for sign, colour in colours.items():
        part = ordered[ordered["sign"] == sign]
        y = ordered.index.get_indexer(part.index)
        error = np.asarray([part["auroc"] - part["low"], part["high"] - part["auroc"]])
        axes.errorbar(
            part["auroc"], y, xerr=error, fmt="o", markersize=4, color=colour, label=names[sign]
        )
    axes.set_yticks(range(len(ordered)), [str(name) for name in ordered.index], fontsize=7)
    axes.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlabel("AUROC of the feature alone (above 0.5: more of it in resistant tumours)")
    axes.set_title(title, fontsize=11)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    return figure


def probability_ranking(predictions: pd.DataFrame, *, threshold: float, title: str) -> Figure:
    """Return the samples by probability, coloured by label where ``resistant`` is known."""
    ordered = predictions.sort_values("probability", ascending=False).reset_index(drop=True)
    labels = ordered.get("resistant", pd.Series(np.nan, index=ordered.index))
    figure = Figure(figsize=(8, 3.5))
    axes = figure.subplots()
    colours = [_LABEL_COLOURS.get(float(label), "#bbbbbb") for label in labels]
    axes.bar(range(len(ordered)), ordered["probability"], color=colours, width=0.9)
    axes.axhline(threshold, color="black", linestyle="--", linewidth=1)
    for label, colour in (("resistant", RESISTANT), ("responsive", RESPONSIVE)):
        if (labels == (1.0 if label == "resistant" else 0.0)).any():
            axes.bar([0], [0], color=colour, label=label)
    axes.bar([0], [0], color="#bbbbbb", label="no label") if labels.isna().any() else None
    axes.set(ylim=(0, 1), xlabel="samples, most resistant first", ylabel="P(resistant)")
    axes.set_title(title, fontsize=11)
    axes.legend(fontsize=8, title="published response")
    figure.tight_layout()
    return figure


def mechanism_heatmap(sums: pd.DataFrame, *, order: pd.Index, title: str) -> Figure:
    """Return attributions by mechanism (rows) and sample (columns, in ``order``)."""
    mechanisms = sums.abs().mean().sort_values(ascending=False).index
    values = sums.loc[order, mechanisms].T.to_numpy()
    limit = max(float(np.abs(values).max()), 1e-9)
    figure = Figure(figsize=(8, 0.28 * len(mechanisms) + 1.5))
    axes = figure.subplots()
    image = axes.imshow(
        values, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="none"
    )
    axes.set_yticks(range(len(mechanisms)), [str(m).replace("_", " ") for m in mechanisms])
    axes.tick_params(labelsize=8)
    axes.set_xlabel("samples, most resistant first")
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, label="log-odds")
    figure.tight_layout()
    return figure


def png_text(figure: Figure) -> str:
    """Return a figure as PNG in base64, to stand inside a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def interval_text(estimate: Estimate) -> str:
    """Return ``value (low to high)`` with three decimals."""
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
