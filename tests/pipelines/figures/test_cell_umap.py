"""Maps of cells: each cell in each panel, names one can read, what is not known left out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pipelines.figures.cell_umap import umap_panels
from pipelines.figures.heatmap import RESISTANCE_MAP
from pipelines.figures.palette import DPI


@pytest.fixture(scope="module")
def view() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 300
    types = np.repeat(["cd8_t", "macrophage", "b"], n // 3)
    return pd.DataFrame(
        {
            "umap_1": rng.normal(size=n) + np.repeat([0, 8, 16], n // 3),
            "umap_2": rng.normal(size=n),
            "cell_type": types,
            "sample": rng.choice(["s1", "s2"], n),
            "response": rng.choice([1.0, 0.0, np.nan], n),
            "resistance": rng.random(n),
            "mhc_i": rng.normal(size=n),
        },
        index=[f"cell{i}" for i in range(n)],
    )


def titles(figure: Figure) -> list[str]:
    return [t for t in (axes.get_title(loc="left") for axes in figure.axes) if t]


def note(figure: Figure) -> str:
    return figure.texts[1].get_text()


def points(figure: Figure, title: str) -> np.ndarray:
    axes = next(a for a in figure.axes if a.get_title(loc="left") == title)
    return np.concatenate([c.get_offsets() for c in axes.collections])


def legend_texts(figure: Figure) -> list[str]:
    legends = [a.get_legend() for a in figure.axes if a.get_legend()] + figure.legends
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_the_maps_show_each_cell_in_each_panel(view):
    figure = umap_panels(view, title="Map", scores=["mhc_i", "absent"], names={"mhc_i": "MHC-I"})
    assert titles(figure) == [
        *("Cell type", "Sample (2)", "Response of the lesion"),
        *("Resistance of the cell (uncalibrated)", "MHC-I"),
    ]
    expected = np.sort(view[["umap_1", "umap_2"]].to_numpy(), axis=0)
    for title in ("Cell type", "MHC-I"):
        np.testing.assert_allclose(np.sort(points(figure, title), axis=0), expected)
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == ["CD8 T", "B", "macrophage"]
    assert {"CD8 T (100)", "s1", "responsive", "resistant", "not known"} <= set(
        legend_texts(figure)
    )
    assert note(figure) == "300 of 300 cells drawn."
    assert figure.get_size_inches()[0] * DPI == pytest.approx(920)
    assert all(c.get_rasterized() for c in figure.axes[0].collections)
    assert plt.get_fignums() == []


def test_a_name_stands_in_the_middle_of_its_cells(view):
    figure = umap_panels(view, title="Map")
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    middle = view.loc[view["cell_type"] == "b", ["umap_1", "umap_2"]].median()
    np.testing.assert_allclose(places["B"], middle, atol=1e-9)


def test_names_of_types_in_one_place_do_not_hide_one_another(view):
    figure = umap_panels(view.assign(umap_1=view["umap_2"] ** 2), title="Map")
    heights = sorted(text.get_position()[1] for text in figure.axes[0].texts)
    room = 0.05 * np.ptp(figure.axes[0].get_ylim())
    assert np.diff(heights).min() > room


def test_of_many_cells_a_seeded_sample_is_drawn_and_told(view):
    first, again, other = (
        points(umap_panels(view, title="Map", most_cells=50, seed=seed), "Cell type")
        for seed in (0, 0, 1)
    )
    assert len(first) == 50
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    shown = note(umap_panels(view, title="Map", most_cells=50, note="Harmony."))
    assert shown == "Harmony. 50 of 300 cells drawn, a random sample."


def test_panels_of_what_is_not_known_are_left_out(view):
    part = view[["umap_1", "umap_2", "resistance"]].copy()
    part.iloc[:10, 0] = np.nan
    part.iloc[10:20, 2] = np.nan
    figure = umap_panels(part, title="Map")
    assert titles(figure) == ["Resistance of the cell (uncalibrated)"]
    assert note(figure) == "290 of 300 cells drawn."
    nothing = dict.fromkeys(["response", "resistance", "mhc_i"], np.nan)
    empty = umap_panels(view.assign(**nothing), title="Map", scores=["mhc_i"])
    assert titles(empty) == ["Cell type", "Sample (2)"]
    many = view[["umap_1", "umap_2"]].assign(sample=np.arange(300).astype(str))
    assert titles(umap_panels(many, title="Map")) == ["Sample (300; colours recur)"]


def test_the_middle_of_the_colours_of_resistance_is_one_half(view):
    values = np.full(300, 0.5)
    values[:3] = [0.9, 0.1, np.nan]
    figure = umap_panels(
        view[["umap_1", "umap_2"]].assign(resistance=values), title="Map", most_cells=300
    )
    shades = figure.axes[0].collections[-1].get_facecolors()
    common = pd.Series([to_hex(shade) for shade in shades]).value_counts()
    assert common.index[0] == to_hex(RESISTANCE_MAP(0.5))
    assert common.iloc[0] == 297
