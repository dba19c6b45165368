"""The waterfall of one sample: from what the model says of anyone to what it says of this one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import expit, logit

from models.explanation import Attributions
from pipelines.figures.palette import FAINT, GREY, INK, RESISTANT, RESPONSIVE
from pipelines.figures.style import SMALL_SIZE, drawing_of, finished, no_grid, readable, styled

__all__ = ["waterfall"]

_MOST_FEATURES = 12
_PROBABILITIES = tuple(
    np.round(np.arange(step, 1, step), 4) for step in (0.1, 0.05, 0.02, 0.01, 0.002)
)
_LEAST_GAP = 0.085
"""Of two ticks of probability, as a share of the axis."""
_ENOUGH_TICKS = 5
_LEAST_SPAN = 0.5
"""Log-odds shown at the least: small reasons are to look small."""


@styled
def waterfall(
    attributions: Attributions,
    *,
    sample: str,
    title: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> Figure:
    """Return how the features of one sample lead from the base value to its probability.

    Read from the bottom: the base value, all lesser features together, then each leading feature,
    the largest last. The scale beneath is in calibrated log-odds, that above in probability.

    Parameters
    ----------
    attributions
        In calibrated log-odds.
    sample
        Name in their index.
    names
        Feature → name for people.
    note
        Stands under the title.
    """
    position = int(attributions.values.index.get_indexer(pd.Index([sample]))[0])
    features = attributions.features.iloc[position]
    steps = _steps(attributions.values.iloc[position])
    base = float(attributions.base_value.loc[sample])
    ends = base + steps["value"].cumsum().to_numpy()
    starts = np.concatenate([[base], ends[:-1]])
    figure, axes = drawing_of(0.36 * len(steps) + 2.3)
    _draw_steps(axes, starts, ends)
    labels = [_label(name, features, names, steps) for name in steps.index]
    axes.set_yticks(np.arange(len(steps)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    no_grid(axes, keep="x")
    _draw_ends(axes, base, float(ends[-1]), len(steps))
    axes.set_xlabel("calibrated log-odds of resistance")
    _probability_axis(axes)
    return finished(figure, title=title, note=note)


def _steps(values: "pd.Series[float]") -> pd.DataFrame:
    """Return ``value`` of the leading features, the largest last, and before them of the others."""
    order = values.abs().sort_values(ascending=False, kind="stable").index
    leading = [name for name in order[:_MOST_FEATURES] if values[name] != 0] or list(order[:1])
    others = [name for name in order if name not in leading and values[name] != 0]
    rows = [("", float(values[others].sum()), len(others))] if others else []
    rows += [(str(name), float(values[name]), 1) for name in reversed(leading)]
    return pd.DataFrame(rows, columns=["name", "value", "n"]).set_index("name")


def _label(
    name: object, features: "pd.Series[float]", names: Mapping[str, str] | None, steps: pd.DataFrame
) -> str:
    if name == "":
        return f"{steps['n'].iloc[0]} other features together"
    value = features[str(name)]
    rounded = round(float(value), 1) + 0.0  # no minus zero
    stated = f"{rounded:+.1f}".replace("-", "−") if np.isfinite(value) else "missing"
    return f"{readable(name, names, most=36, lines=2)} = {stated}"


def _draw_steps(axes: Any, starts: Any, ends: Any) -> None:
    span = max(float(np.ptp(np.concatenate([starts, ends]))), 1e-6)
    for position, (start, end) in enumerate(zip(starts, ends, strict=True)):
        up = end >= start
        colour = RESISTANT if up else RESPONSIVE
        axes.barh(position, end - start, left=start, height=0.62, color=colour, linewidth=0)
        axes.annotate(
            f"{end - start:+.2f}".replace("-", "−"),
            (max(start, end) if up else min(start, end), position),
            xytext=(4 if up else -4, 0),
            textcoords="offset points",
            va="center",
            ha="left" if up else "right",
            fontsize=SMALL_SIZE,
            color=colour,
        )
        if position + 1 < len(starts):
            axes.vlines(end, position, position + 1, color=GREY, linewidth=0.7)
    low, high = min(starts.min(), ends.min()), max(starts.max(), ends.max())
    rest = max(_LEAST_SPAN - (high - low), 0.0) / 2
    span = max(span, _LEAST_SPAN)
    axes.set_xlim(low - rest - 0.14 * span, high + rest + 0.14 * span)


def _draw_ends(axes: Any, base: float, end: float, n_steps: int) -> None:
    """Mark base value and outcome with their probabilities."""
    axes.set_ylim(-1.25, n_steps + 0.15)
    axes.vlines(base, -0.75, 0, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.vlines(end, n_steps - 1, n_steps - 0.35, color=INK, linewidth=1.2)
    for x, y, text, colour, weight in (
        (base, -0.78, f"before any feature: P = {_probability(base)}", FAINT, "normal"),
        (end, n_steps - 0.32, f"this sample: P = {_probability(end)}", INK, "bold"),
    ):
        low, high = axes.get_xlim()
        share = (x - low) / (high - low)
        ha = "left" if share < 0.3 else "right" if share > 0.7 else "center"
        va = "top" if y < 0 else "bottom"
        axes.text(
            x, y, text, ha=ha, va=va, color=colour, fontweight=weight, fontsize=SMALL_SIZE + 0.5
        )


def _probability_axis(axes: Any) -> None:
    above = axes.secondary_xaxis("top", functions=(expit, _safe_logit))
    above.set_xticks(_probability_ticks(*axes.get_xlim()))
    above.set_xlabel("probability of resistance")
    above.spines["top"].set_visible(True)


def _probability_ticks(low: float, high: float) -> list[float]:
    """Return round probabilities between two log-odds, no two of them too near to be read."""
    ticks: list[float] = []
    for candidates in (*_PROBABILITIES, 1 - _PROBABILITIES[-1][:5]):
        for tick in candidates:
            place = float(logit(tick))
            gaps = [abs(place - float(logit(other))) for other in ticks]
            if low <= place <= high and min(gaps, default=np.inf) >= _LEAST_GAP * (high - low):
                ticks.append(float(tick))
        if len(ticks) >= _ENOUGH_TICKS:
            break
    return sorted(ticks)


def _probability(log_odds: float) -> str:
    """Return a probability with two decimals, more where it is near 0 or 1."""
    probability = float(expit(log_odds))
    return f"{probability:.2f}" if 0.01 <= probability <= 0.99 else f"{probability:.3f}"


def _safe_logit(probability: Any) -> Any:
    return logit(np.clip(probability, 1e-9, 1 - 1e-9))
