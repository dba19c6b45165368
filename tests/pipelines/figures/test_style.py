"""The one look: who carries it, what survives it, colours that the colour-blind tell apart."""

import inspect
import itertools
import pkgutil

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pipelines import figures
from pipelines.figures.palette import (
    COHORTS,
    DPI,
    DRUGS,
    GROUPS,
    HIGH,
    LOW,
    RESISTANT,
    RESPONSIVE,
    SERIES,
    UNKNOWN,
    WIDTH,
    category_colours,
    label_colours,
)
from pipelines.figures.style import (
    drawing_of,
    finished,
    one_line,
    png_text,
    readable,
    styled,
)

# Machado et al. 2009, doi:10.1109/TVCG.2009.113, severity 1, on linear RGB.
_BLIND = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


@styled
def example(title: str, note: str = "") -> Figure:
    figure, axes = drawing_of(3.0)
    axes.plot([0, 1], [0, 1])
    axes.set_xlabel("$not {math")
    return finished(figure, title=title, note=note)


def lab(colour: str, blindness: str) -> np.ndarray:
    """Return CIELAB (D65) of a colour as it is seen."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(_BLIND[blindness]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    f = np.cbrt(np.asarray(to_xyz) @ seen / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", list(_BLIND))
@pytest.mark.parametrize(
    "colours",
    [
        SERIES[:4],
        (RESISTANT, RESPONSIVE, UNKNOWN),
        (LOW, HIGH),
        GROUPS[:5],
        COHORTS[:5],
        DRUGS[:4],
    ],
    ids=["predictors", "responses", "feature", "groups", "cohorts", "drugs"],
)
def test_colours_beside_one_another_are_told_apart_by_the_colour_blind(blindness, colours):
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(lab(one, blindness) - lab(other, blindness)) > 12, (one, other)


def test_every_function_that_draws_carries_the_style():
    drawing = []
    for module in pkgutil.iter_modules(figures.__path__, "pipelines.figures."):
        if module.name not in ("pipelines.figures.style", "pipelines.scoring.evaluation_figures"):
            loaded = __import__(module.name, fromlist=["__all__"])
            public = [getattr(loaded, name) for name in loaded.__all__]
            drawing += [f for f in public if inspect.isfunction(f) and _returns_figure(f)]
    assert len(drawing) > 15
    assert [f.__name__ for f in drawing if not hasattr(f, "__wrapped__")] == []


def _returns_figure(function: object) -> bool:
    return inspect.signature(function).return_annotation is Figure  # type: ignore[arg-type]


def test_a_figure_is_as_wide_as_the_viewer_and_leaves_nothing_open():
    figure = example("Title", "What to know.")
    assert figure.get_size_inches()[0] * DPI == pytest.approx(WIDTH * DPI) == pytest.approx(920)
    assert [text.get_text() for text in figure.texts] == ["Title", "What to know."]
    assert plt.get_fignums() == []
    assert mpl.rcParams["axes.spines.top"]  # the style ends with the function


def test_dollars_from_input_are_no_mathematics():
    figure = example("$\\frac{")
    assert png_text(figure).startswith("iVBOR")
    assert figure.texts[0].get_text() == "$\\frac{"


def test_a_long_title_is_wrapped_above_the_drawing():
    figure = example("word " * 40)
    assert "\n" in figure.texts[0].get_text()
    title = figure.texts[0].get_window_extent()
    drawn = figure.axes[0].get_window_extent()
    assert title.y0 > drawn.y1
    assert title.x1 <= figure.bbox.x1


def test_names_are_those_of_the_catalogue_else_the_words_of_the_id():
    assert readable("dna_damage_response") == "DNA damage response"
    assert readable("x", {"x": "p53 target genes"}) == "p53 target genes"
    assert readable("a_long_name_of_many_words", most=12, lines=2) == "A long name\nof many…"
    assert one_line("s\n1") == "s 1"


def test_samples_and_categories_have_their_colours():
    assert label_colours([1.0, 0.0, np.nan]) == [RESISTANT, RESPONSIVE, UNKNOWN]
    many = category_colours([f"c{i}" for i in range(12)])
    assert len(many) == 12
    assert many["c0"] == many["c9"] == COHORTS[0]
