"""The colours and sizes of every figure: told apart by the colour-blind, the same everywhere."""

from collections.abc import Iterable, Sequence

__all__ = [
    "COHORTS",
    "DPI",
    "DRUGS",
    "FAINT",
    "GREY",
    "GROUPS",
    "HIGH",
    "INK",
    "LOW",
    "MARKERS",
    "PALE",
    "RESISTANT",
    "RESISTANT_TINT",
    "RESPONSIVE",
    "RESPONSIVE_TINT",
    "SERIES",
    "UNKNOWN",
    "WIDTH",
    "category_colours",
    "label_colours",
]

RESISTANT, RESPONSIVE, GREY = "#b2182b", "#2166ac", "#777777"
RESISTANT_TINT, RESPONSIVE_TINT = "#fbeeee", "#edf3f9"
UNKNOWN = "#bdbdbd"
"""A sample without a published response."""

INK, FAINT, PALE = "#262626", "#5c5c5c", "#e6e6e6"
"""Of titles and labels; of notes and ticks; of grids."""

LOW, HIGH = "#12897b", "#e07b00"
"""Ends of the scale of a feature's value, which says nothing of resistance by itself."""

SERIES = (RESISTANT, RESPONSIVE, "#e3a31b", "#35a79c", "#7b5ea7", GREY)
MARKERS = ("o", "s", "D", "^", "v", "P")
"""Of the predictors beside one another; the model is the first. Never the colour alone."""

GROUPS = ("#332288", "#cc6677", "#44aa99", "#ddcc77", "#88ccee", "#882255", "#999933")
"""Of broad classes of mechanisms (Tol's muted scheme)."""

COHORTS = (
    *("#332288", "#ddcc77", "#44aa99", "#cc6677", "#88ccee"),
    *("#117733", "#aa4499", "#999933", "#882255"),
)
"""Of cohorts in tracks, in order of their names (Tol's muted scheme)."""

DRUGS = (
    *("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2"),
    *("#f0e442", "#d55e00", "#7f6a4f", "#404040"),
)
"""Of drugs in tracks (Okabe and Ito's scheme)."""

WIDTH, DPI = 8.0, 115
"""Inches, and dots an inch: 920 pixels, the width at which MLflow shows an artifact."""

_LABEL_COLOURS = {1.0: RESISTANT, 0.0: RESPONSIVE}


def label_colours(labels: "Iterable[float]") -> list[str]:
    """Return the colour of each sample's published response (1, 0, NaN)."""
    return [_LABEL_COLOURS.get(float(label), UNKNOWN) for label in labels]


def category_colours(names: Sequence[str], *, palette: Sequence[str] = COHORTS) -> dict[str, str]:
    """Return a colour for each name; past the last colour they begin anew.

    Examples
    --------
    >>> category_colours(["a", "b"])
    {'a': '#332288', 'b': '#ddcc77'}
    """
    unique = dict.fromkeys(str(name) for name in names)
    return {name: palette[i % len(palette)] for i, name in enumerate(unique)}
