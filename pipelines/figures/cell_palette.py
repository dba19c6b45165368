"""What cell types and responses are called and coloured in the figures of single cells."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.colors import LinearSegmentedColormap

from features.cells.cell_types import CELL_TYPES
from pipelines.figures.palette import (
    GROUPS,
    HIGH,
    RESISTANT,
    RESPONSIVE,
    UNKNOWN,
    category_colours,
)
from pipelines.figures.style import readable

__all__ = [
    "CELL_TYPE_COLOURS",
    "RESPONSES",
    "SCORE_MAP",
    "cell_type_colours",
    "cell_type_name",
    "in_order",
    "response_words",
]

CELL_TYPE_COLOURS: Mapping[str, str] = {
    "malignant": "#4c0328",
    "melanocytic": "#92032c",
    "epithelial": "#bf84a7",
    "glial": "#d99797",
    "cd8_t": "#0417bf",
    "cd4_t": "#1861ed",
    "treg": "#4748b2",
    "t_cell": "#a6aeff",
    "nk": "#128ff2",
    "b": "#369952",
    "plasma": "#3acf65",
    "macrophage": "#d39d13",
    "monocyte": "#ffe826",
    "mdsc_like": "#400f00",
    "dc": "#f9fe78",
    "mast": "#9a4f0a",
    "myeloid": "#e6dbac",
    "fibroblast": "#6b3d79",
    "endothelial": "#a675bf",
    "lymphocyte": "#91c7e6",
    "other": "#636363",
    "unknown": "#d6d6d6",
}
"""One hue a lineage; lightness parts its types. Searched so that the closest two of all, as the
red- and green-blind see them, are as far apart as can be."""

RESPONSES: Mapping[str, str] = {
    "responsive": RESPONSIVE,
    "resistant": RESISTANT,
    "not known": UNKNOWN,
}
"""Response of a cell's lesion, in the order in which they are drawn, and its colour."""

SCORE_MAP = LinearSegmentedColormap.from_list("score", ["#e2e2e2", "#f3bd72", HIGH, "#6b3200"])
"""From a low to a high score of a mechanism."""

_NAMES: Mapping[str, str] = {
    "malignant": "malignant",
    "cd8_t": "CD8 T",
    "cd4_t": "CD4 T",
    "treg": "Treg",
    "t_cell": "T (unspecific)",
    "nk": "NK",
    "nk_cell": "NK",
    "b": "B",
    "b_cell": "B and plasma",
    "mdsc_like": "MDSC-like",
    "dc": "dendritic",
    "myeloid": "myeloid (unspecific)",
    "lymphocyte": "T or NK",
}


def cell_type_name(name: object, names: Mapping[str, str] | None = None) -> str:
    """Return what a cell type or compartment is called in a figure.

    Examples
    --------
    >>> cell_type_name("mdsc_like"), cell_type_name("fibroblast"), cell_type_name("my_type")
    ('MDSC-like', 'fibroblast', 'My type')
    """
    given = {**_NAMES, **(names or {})}
    if str(name) in CELL_TYPE_COLOURS and str(name) not in given:
        return str(name).replace("_", " ")
    return readable(name, given)


def cell_type_colours(types: Iterable[object]) -> dict[str, str]:
    """Return the colour of each type; of names outside the vocabulary, one after the other."""
    names = in_order(types)
    others = category_colours([n for n in names if n not in CELL_TYPE_COLOURS], palette=GROUPS)
    return {name: CELL_TYPE_COLOURS.get(name) or others[name] for name in names}


def in_order(types: Iterable[object]) -> list[str]:
    """Return the types there are in the order of the vocabulary, then those outside it."""
    found = dict.fromkeys(str(name) for name in types)
    known = [name for name in CELL_TYPES if name in found]
    return known + sorted(set(found) - set(known))


def response_words(values: "pd.Series[Any]") -> "pd.Series[str]":
    """Return ``responsive``, ``resistant`` or ``not known``, of labels 1, 0, missing or of words.

    Examples
    --------
    >>> response_words(pd.Series([1.0, 0.0, float("nan")])).tolist()
    ['resistant', 'responsive', 'not known']
    """
    words: dict[Any, str] = {1.0: "resistant", 0.0: "responsive"}
    words |= {word: word for word in RESPONSES}
    return values.astype(object).map(words).fillna("not known").astype(str)
