"""Figures of single cells: what is drawn is what the tables hold."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from features.cells.cell_types import CELL_TYPES
from models.explanation import Attributions
from pipelines.figures.cell_attribution import cell_beeswarm
from pipelines.figures.cell_composition import composition_figure, composition_order
from pipelines.figures.cell_dots import dot_plot, standardised_means
from pipelines.figures.cell_palette import (
    CELL_TYPE_COLOURS,
    cell_type_colours,
    cell_type_name,
    in_order,
    response_words,
)
from pipelines.figures.cell_quality import quality_figure
from pipelines.figures.palette import HIGH, RESISTANT, RESPONSIVE, UNKNOWN

# Machado et al. 2009, doi:10.1109/TVCG.2009.113, severity 1, on linear RGB.
_BLIND = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


def lab(colour: str, seen_by: str) -> np.ndarray:
    """Return CIELAB (D65) of a colour as it is seen."""
    rgb = np.asarray(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    f = np.cbrt(np.asarray(to_xyz) @ np.clip(_BLIND[seen_by] @ linear, 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def titles(figure: Figure) -> list[str]:
    return [t for t in (axes.get_title(loc="left") for axes in figure.axes) if t]


def note(figure: Figure) -> str:
    return figure.texts[1].get_text()


def legend_texts(figure: Figure) -> list[str]:
    legends = [a.get_legend() for a in figure.axes if a.get_legend()] + figure.legends
    return [text.get_text() for legend in legends for text in legend.get_texts()]


@pytest.mark.parametrize("seen_by", list(_BLIND))
def test_colours_of_all_cell_types_are_told_apart_by_the_colour_blind(seen_by):
    assert tuple(CELL_TYPE_COLOURS) == CELL_TYPES
    for one, other in itertools.combinations(CELL_TYPE_COLOURS.values(), 2):
        assert np.linalg.norm(lab(one, seen_by) - lab(other, seen_by)) > 12, (one, other)


def test_types_outside_the_vocabulary_have_a_colour_and_stand_last():
    assert in_order(["mine", "unknown", "cd8_t"]) == ["cd8_t", "unknown", "mine"]
    assert cell_type_colours(["mine", "b"])["b"] == CELL_TYPE_COLOURS["b"]
    assert cell_type_colours(["mine"])["mine"].startswith("#")
    assert cell_type_name("treg", {"treg": "regulatory T"}) == "regulatory T"


def test_responses_are_words_or_labels():
    words = response_words(pd.Series(["resistant", "responsive", 1, 0.0, None, "maybe"]))
    assert words.tolist() == [
        *("resistant", "responsive", "resistant", "responsive"),
        *("not known", "not known"),
    ]


def dots(n_lesions: int = 5) -> pd.DataFrame:
    rows = itertools.product(["mhc_i", "tgf"], ["b", "cd8_t"], [1.0, 0.0])
    table = pd.DataFrame(list(rows), columns=["mechanism", "cell_type", "response"])
    return table.assign(
        name=table["mechanism"].map({"mhc_i": "MHC class I", "tgf": "TGF-β"}),
        mean=np.arange(8.0),
        detected_share=np.linspace(0, 1, 8),
        n_cells=40,
        n_lesions=n_lesions,
    )


def test_two_dots_a_cell_type_grow_with_the_share_and_stand_by_response():
    figure = dot_plot(dots(), title="Dots")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["MHC class I", "TGF-β"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["CD8 T", "B"]
    found = next(c for c in axes.collections if len(c.get_offsets()) == 8)
    x = found.get_offsets()[:, 0]
    np.testing.assert_allclose(x, [1.22, 0.78, 0.22, -0.22] * 2)
    assert (np.diff(found.get_sizes()) > 0).all()
    assert {"left: responsive", "right: resistant", "10%", "100%"} <= set(legend_texts(figure))
    assert [t.get_text() for t in axes.texts].count("5") == 4
    assert plt.get_fignums() == []


def test_dots_of_few_lesions_are_hollow_and_told():
    table = dots()
    table.loc[0, "n_lesions"] = 2
    figure = dot_plot(table, title="Dots", note="Means.")
    hollow = [c for c in figure.axes[0].collections if len(c.get_facecolors()) == 0]
    assert sum(len(c.get_offsets()) for c in hollow) == 1
    assert note(figure) == "Means. Hollow: fewer than 3 lesions."


def test_means_are_standardised_within_the_mechanism_by_rows_of_enough_lesions():
    table = dots()
    table.loc[3, ["mean", "n_lesions"]] = [1000.0, 1]
    found = standardised_means(table)
    kept = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(found[:3], (kept - 1) / kept.std())
    assert found[3] > 100
    assert found[4:].mean() == pytest.approx(0.0)
    assert (standardised_means(table.assign(mean=3.0)) == 0).all()


def test_without_labels_there_is_one_dot_a_cell_type():
    table = dots()
    figure = dot_plot(table[table["response"] == 1].assign(response=np.nan), title="Dots")
    found = next(c for c in figure.axes[0].collections if len(c.get_offsets()) == 4)
    np.testing.assert_allclose(found.get_offsets()[:, 0], [1, 0, 1, 0])
    assert "not known" in legend_texts(figure)


@pytest.fixture(scope="module")
def quality() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "sample": np.repeat(["s1", "s2"], 50).astype(object),
            "total_counts": rng.lognormal(8, 0.4, 100),
            "n_genes": rng.lognormal(6, 0.4, 100),
            "mito_share": np.tile(np.linspace(0, 0.2, 50), 2),
            "doublet_score": np.nan,
        }
    )
    limits = pd.DataFrame(
        [("s1", "mito_share", np.nan, 0.101), ("s2", "mito_share", np.nan, 0.5)],
        columns=["sample", "metric", "low", "high"],
    )
    return table, limits


def test_quality_shows_the_metrics_there_are_and_the_share_beyond_the_limits(quality):
    table, limits = quality
    figure = quality_figure(table, thresholds=limits, title="Quality")
    assert titles(figure) == ["counts a cell", "genes a cell", "mitochondrial share"]
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == ["s1 (50)", "s2 (50)"]
    shares = [t.get_text() for t in figure.axes[2].texts]
    assert shares == ["50.0%", "0.0%"]
    drawn = {to_hex(c) for part in figure.axes[2].collections for c in part.get_facecolors()}
    assert HIGH in drawn
    assert figure.axes[0].texts[:] == []
    by_index = quality_figure(table, thresholds=limits.set_index(["sample", "metric"]), title="Q")
    assert [t.get_text() for t in by_index.axes[2].texts] == shares


def test_axes_of_counts_have_plain_numbers(quality):
    table, limits = quality
    figure = quality_figure(table, thresholds=limits, title="Quality")
    figure.canvas.draw()
    texts = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert any(text.replace(",", "").isdigit() for text in texts)
    assert not any("math" in text for text in texts)


def test_of_many_samples_those_with_most_cells_beyond_a_limit_are_drawn():
    names = [f"s{i:03d}" for i in range(64)]
    table = pd.DataFrame({"sample": np.repeat(names, 4), "mito_share": 0.05})
    table.loc[table["sample"] == "s063", "mito_share"] = 0.9
    limits = pd.DataFrame({"sample": names, "metric": "mito_share", "low": np.nan, "high": 0.1})
    figure = quality_figure(table, thresholds=limits, title="Quality")
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert len(labels) == 60
    assert "s063 (4)" in labels
    assert note(figure) == "60 of 64 samples: most cells beyond a limit."


def test_cells_without_a_sample_or_counts_do_not_stop_the_figure(quality):
    table, limits = quality
    odd = table.copy()
    odd.loc[:60, "sample"] = None
    odd.loc[70:80, "total_counts"] = 0.0
    figure = quality_figure(odd, thresholds=limits.iloc[:0], title="Quality")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["s2 (39)"]


def test_samples_stand_by_response_and_their_shares_add_up():
    shares = pd.DataFrame(
        {"b": [0.2, 0.9, 0.5, 0.4], "cd8_t": [0.8, 0.1, 0.5, 0.6], "mast": 0.0},
        index=["s1", "s2", "s3", "s4"],
    )
    response = pd.Series({"s1": 1.0, "s2": 0.0, "s3": 0.0})
    assert list(composition_order(shares, response).index) == ["s2", "s3", "s1", "s4"]
    figure = composition_figure(shares, response=response, title="Cells")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["s2", "s3", "s1", "s4"]
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches[-4:]]
    np.testing.assert_allclose(tops, 1.0)
    assert legend_texts(figure) == ["B", "CD8 T"]
    marks = {t.get_text(): t.get_color() for t in axes.texts}
    assert list(marks) == ["responsive (2)", "resistant (1)", "not known (1)"]
    assert marks["resistant (1)"] == RESISTANT
    assert {line.get_color() for line in axes.lines} == {RESISTANT, RESPONSIVE, UNKNOWN}


def test_a_hundred_samples_are_not_named():
    rng = np.random.default_rng(0)
    shares = pd.DataFrame(rng.dirichlet([1, 1], 100), columns=["b", "nk"]).rename(index=str)
    figure = composition_figure(shares, response=pd.Series(dtype=float), title="Cells")
    assert figure.axes[0].get_xlabel() == "100 samples"


def test_no_sample_with_cells_is_an_empty_figure():
    shares = pd.DataFrame(columns=["b", "nk"], dtype=float)
    figure = composition_figure(shares, response=pd.Series(dtype=float), title="Cells")
    assert figure.axes[0].patches[:] == []


def test_the_swarm_of_cells_says_its_scale_and_how_many_are_drawn():
    rng = np.random.default_rng(0)
    index = pd.Index(["a", "b"] * 60)  # ids recur where folds are repeated
    features = pd.DataFrame(rng.normal(size=(120, 2)), index=index, columns=["weak", "strong"])
    found = Attributions(features * [0.1, 1.0], pd.Series(0.0, index=index), features)
    figure = cell_beeswarm(found, title="Swarm", names={"strong": "Strong one"}, most_cells=40)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Strong one", "Weak"]
    assert axes.get_xlabel() == "SHAP value (uncalibrated log-odds of resistance of a cell)"
    assert note(figure) == "40 of 120 cells drawn, a random sample."
    assert sum(len(c.get_offsets()) for c in axes.collections) == 80
