"""Interactive figures as pages of their own: no network, nothing from input is ever markup."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.explanation import Attributions
from pipelines.figures.attribution import LOG_ODDS
from pipelines.figures.dependence import dependence, sign_words
from pipelines.figures.heatmap import Track, colour_limit, sample_tracks
from pipelines.figures.palette import FAINT, INK, PALE, RESISTANT, RESPONSIVE, UNKNOWN
from pipelines.figures.sample_order import order_mechanisms, order_samples
from pipelines.figures.style import readable

__all__ = ["explorer_page", "heatmap_page"]

_MOST_FEATURES = 25
_DIVERGING = [[0.0, RESPONSIVE], [0.5, "#f7f7f7"], [1.0, RESISTANT]]
_FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
_CONFIG: Mapping[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "showSendToCloud": False,  # a button that would upload the patients' data
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: {font}; color: {ink}; margin: 16px 20px; max-width: 1100px; }}
h1 {{ font-size: 19px; margin: 0 0 4px; }}
p {{ color: {faint}; font-size: 13.5px; margin: 0 0 10px; line-height: 1.45; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note} Research use only.</p>
{figure}
</body>
</html>
"""


def heatmap_page(sums: pd.DataFrame, *, samples: pd.DataFrame, title: str, note: str = "") -> str:
    """Return the patient by mechanism heatmap as a page; hovering tells who a column is.

    Parameters
    ----------
    sums
        (n_samples, n_mechanisms), calibrated log-odds.
    samples
        Same index; any of ``probability``, ``resistant``, ``cohort``, ``drug``, ``timepoint``.
    title, note
        Of the page, as text.
    """
    from plotly.graph_objects import Heatmap
    from plotly.subplots import make_subplots

    shown = sums.loc[:, (sums != 0).any()] if (sums != 0).any(axis=None) else sums
    order, mechanisms = order_samples(shown), order_mechanisms(shown)
    known = samples.loc[order.names]
    tracks = sample_tracks(known)
    columns = _sample_words(known)
    n_tracks = max(len(tracks), 1)
    shares = [0.026 * n_tracks, 1 - 0.026 * n_tracks]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=shares, vertical_spacing=0.015
    )
    if tracks:
        figure.add_trace(_track_trace(tracks, columns), row=1, col=1)
    limit = colour_limit(shown)
    figure.add_trace(
        Heatmap(
            z=shown.loc[order.names, mechanisms].T.round(4).to_numpy(),
            x=columns,
            y=[_escaped(readable(name)) for name in mechanisms],
            zmin=-limit,
            zmax=limit,
            colorscale=_DIVERGING,
            colorbar={"title": {"text": "SHAP,<br>log-odds", "side": "top"}, "len": 0.7},
            hovertemplate="%{x}<br><b>%{y}: %{z:+.3f}</b><extra></extra>",
        ),
        row=2,
        col=1,
    )
    figure.update_xaxes(type="category", showticklabels=False, ticks="")
    figure.update_yaxes(autorange="reversed", ticks="")
    figure.update_layout(height=170 + 26 * (len(mechanisms) + n_tracks), **_layout())
    told = f"{len(known)} samples, like beside like. Red pushes towards resistance. Drag to zoom."
    return _page(figure, title=title, note=f"{note} {told}".strip())


def explorer_page(
    attributions: Attributions,
    *,
    samples: pd.DataFrame,
    signs: Mapping[str, int],
    title: str,
    names: Mapping[str, str] | None = None,
    note: str = "",
) -> str:
    """Return attribution over value of the leading features as a page, one chosen from a list.

    Parameters
    ----------
    attributions
        In calibrated log-odds.
    samples
        As of :func:`heatmap_page`.
    signs
        Feature → +1, -1, 0, of the catalogue.
    title, names, note
        As text.
    """
    from plotly.graph_objects import Figure, Scatter

    mean = attributions.values.abs().mean().sort_values(ascending=False, kind="stable")
    features = [str(name) for name in mean.index[:_MOST_FEATURES]]
    known = samples.loc[attributions.values.index]
    kinds = _kinds(known)
    points = {name: _points(attributions, name, [rows for *_, rows in kinds]) for name in features}
    words = np.asarray(_sample_words(known), dtype=object)
    first = points[features[0]]
    traces = [
        Scatter(
            x=first["x"][number],
            y=first["y"][number],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 8, "opacity": 0.7},
            text=list(words[rows]),
            hovertemplate="%{text}<br>value %{x:.2f}, SHAP %{y:+.3f}<extra></extra>",
        )
        for number, (name, colour, rows) in enumerate(kinds)
    ]
    headings = {name: _heading(attributions, name, signs, names) for name in features}
    buttons = [
        {
            "label": _escaped(readable(name, names)),
            "method": "update",
            "args": [points[name], {"title.text": headings[name]}],
        }
        for name in features
    ]
    figure = Figure(traces)
    figure.update_layout(
        height=620,
        title={"text": headings[features[0]], "x": 0.01, "y": 0.9},
        updatemenus=[{"buttons": buttons, "x": 1.0, "xanchor": "right", "y": 1.16}],
        xaxis={"title": {"text": "standardised feature"}},
        yaxis={"title": {"text": f"SHAP value ({LOG_ODDS})"}},
        **_layout(top=110),
    )
    figure.add_hline(y=0, line={"color": FAINT, "dash": "dash", "width": 1})
    told = "Choose a feature at the right; hover over a point to see whose it is."
    return _page(figure, title=title, note=f"{note} {told}".strip())


def _kinds(samples: pd.DataFrame) -> list[tuple[str, str, Any]]:
    """Return name, colour and positions of the samples of each response there is."""
    labels = samples.get("resistant", pd.Series(np.nan, index=samples.index)).to_numpy(dtype=float)
    kinds: Sequence[tuple[str, str, Any]] = (
        ("resistant", RESISTANT, labels == 1),
        ("responsive", RESPONSIVE, labels == 0),
        ("no label", UNKNOWN, np.isnan(labels)),
    )
    return [(name, colour, np.flatnonzero(rows)) for name, colour, rows in kinds if rows.any()]


def _points(attributions: Attributions, name: str, parts: Sequence[Any]) -> dict[str, list[Any]]:
    x = attributions.features[name].to_numpy(dtype=float).round(4)
    y = attributions.values[name].to_numpy(dtype=float).round(5)
    values = [[None if np.isnan(v) else v for v in x[rows].tolist()] for rows in parts]
    return {"x": values, "y": [y[rows].tolist() for rows in parts]}


def _heading(
    attributions: Attributions, name: str, signs: Mapping[str, int], names: Mapping[str, str] | None
) -> str:
    found = dependence(
        attributions.values[name].to_numpy(dtype=float),
        attributions.features[name].to_numpy(dtype=float),
        sign=signs.get(name, 0),
    )
    curve = {"flat": "hardly used", "no sign": "no sign to agree with"}.get(
        found.agreement, f"the model {found.agreement}"
    )
    shown = _escaped(readable(name, names, most=60))
    return f"<b>{shown}</b><br><sup>catalogue: {sign_words(found.sign)}; {curve}</sup>"


def _track_trace(tracks: Sequence[Track], columns: Sequence[str]) -> Any:
    """Return the tracks as one heatmap, a step of its colour scale for each word."""
    from plotly.graph_objects import Heatmap

    colours = list(dict.fromkeys(c for track in tracks for c in track.colours.values()))
    codes = [[colours.index(track.colours[word]) for word in track.values] for track in tracks]
    edges = np.linspace(0, 1, len(colours) + 1)
    scale = [[edges[i + end], colour] for i, colour in enumerate(colours) for end in (0, 1)]
    return Heatmap(
        z=codes,
        x=list(columns),
        y=[track.name for track in tracks],
        text=[[_escaped(word) for word in track.values] for track in tracks],
        zmin=-0.5,
        zmax=len(colours) - 0.5,
        colorscale=scale,
        showscale=False,
        hovertemplate="%{x}<br><b>%{y}: %{text}</b><extra></extra>",
    )


def _sample_words(samples: pd.DataFrame) -> list[str]:
    """Return what hovering tells of each sample, escaped; the line breaks are ours."""
    lines = [[f"<b>{_escaped(name)}</b>"] for name in samples.index]
    for name in ("cohort", "drug", "timepoint"):
        for line, value in zip(lines, samples.get(name, pd.Series(dtype=object)), strict=False):
            line.append(f"{name}: {_escaped('unstated' if pd.isna(value) else value)}")
    if "resistant" in samples:
        told = {1.0: "resistant", 0.0: "responsive"}
        for line, label in zip(lines, samples["resistant"], strict=True):
            line.append(f"response: {told.get(label, 'not known')}")
    if "probability" in samples:
        for line, value in zip(lines, samples["probability"], strict=True):
            line.append(f"probability of resistance: {value:.3f}")
    return ["<br>".join(line) for line in lines]


def _escaped(text: object) -> str:
    """Return text that neither HTML nor plotly's own little HTML takes for markup."""
    return html.escape(" ".join(str(text).split()))


def _layout(*, top: int = 36) -> dict[str, Any]:
    return {
        "template": "simple_white",
        "font": {"family": _FONT, "size": 12.5, "color": INK},
        "margin": {"l": 10, "r": 10, "t": top, "b": 40},
        "hoverlabel": {"bgcolor": "white", "bordercolor": PALE, "font": {"color": INK}},
        "legend": {"orientation": "h", "y": -0.12},
    }


def _page(figure: Any, *, title: str, note: str) -> str:
    drawn = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        include_mathjax=False,
        div_id="figure",
        config=_CONFIG,
    )
    return _PAGE.format(
        title=_escaped(title),
        note=_escaped(note),
        figure=drawn,
        font=_FONT,
        ink=INK,
        faint=FAINT,
    )
