"""Figures of attributions: what is drawn is what the tables hold."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.special import expit
from scipy.stats import spearmanr

from models.explanation import Attributions
from pipelines.figures.attribution import (
    beeswarm,
    mechanism_bar,
    mechanism_means,
    swarm_offsets,
)
from pipelines.figures.dependence import dependence, dependence_plots, mean_curve
from pipelines.figures.heatmap import mechanism_heatmap, sample_tracks
from pipelines.figures.palette import GREY, RESISTANT, RESPONSIVE, UNKNOWN
from pipelines.figures.patients import probability_ranking
from pipelines.figures.sample_order import order_mechanisms, order_samples
from pipelines.figures.waterfall import waterfall

NAMES = {"strong": "Strong marker", "weak": "Weak marker"}


@pytest.fixture(scope="module")
def attributions() -> Attributions:
    rng = np.random.default_rng(0)
    index = pd.Index([f"c/s{i}" for i in range(40)], name="sample")
    features = pd.DataFrame(rng.normal(size=(40, 3)), index=index, columns=["weak", "strong", "no"])
    values = features * [0.1, -0.8, 0.0]
    features.loc["c/s3", "weak"] = np.nan
    return Attributions(values, pd.Series(0.5, index=index), features)


@pytest.fixture
def samples(attributions: Attributions) -> pd.DataFrame:
    n = len(attributions.values)
    return pd.DataFrame(
        {
            "resistant": [1.0, 0.0, np.nan, 1.0] * (n // 4),
            "cohort": ["a", "b"] * (n // 2),
            "drug": ["Nivolumab", "nivolumab", None, "Nivolumab"] * (n // 4),
            "timepoint": ["pre_treatment", "unstated"] * (n // 2),
            "probability": np.linspace(0, 1, n),
        },
        index=attributions.values.index,
    )


def labels(figure: Figure, axes: int = 0) -> list[str]:
    return [tick.get_text() for tick in figure.axes[axes].get_yticklabels()]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_beeswarm_names_features_by_the_catalogue_strongest_first(attributions):
    figure = beeswarm(attributions, title="Swarm", names=NAMES)
    assert labels(figure) == ["Strong marker", "Weak marker", "No"]
    x = np.concatenate([c.get_offsets()[:, 0] for c in figure.axes[0].collections])
    assert len(x) == 3 * 40
    np.testing.assert_allclose(np.sort(x), np.sort(attributions.values.to_numpy().ravel()))
    assert plt.get_fignums() == []


def test_a_missing_feature_is_hollow_in_the_beeswarm(attributions):
    figure = beeswarm(attributions, title="Swarm")
    hollow = [c for c in figure.axes[0].collections if len(c.get_facecolors()) == 0]
    assert sum(len(c.get_offsets()) for c in hollow) == 1


def test_a_few_far_values_stand_on_the_edge_and_are_told(attributions):
    far = attributions.values.copy()
    far.iloc[0, 1] = 90.0
    many = Attributions.concat([Attributions(far, attributions.base_value, attributions.features)])
    big = Attributions.concat([many] + [attributions] * 9)
    figure = beeswarm(big, title="Swarm")
    assert "Triangles: " in figure.texts[1].get_text()
    assert figure.axes[0].get_xlim()[1] < 10


def test_points_of_one_place_move_aside_evenly():
    offsets = swarm_offsets(np.array([0.0, 0.0, 0.0, 5.0]))
    assert sorted(np.sign(offsets[:3])) == [-1, 0, 1]
    assert offsets[3] == 0
    assert swarm_offsets(np.array([])).size == 0


def test_bars_show_means_intervals_and_hollow_unstable_drivers():
    table = pd.DataFrame(
        {
            "mean_abs": [0.1, 0.3, 0.2],
            "low": [0.05, 0.2, 0.1],
            "high": [0.15, 0.4, 0.3],
            "stable": [True, True, False],
        },
        index=["stroma", "plasticity", "not_measured"],
    )
    groups = pd.DataFrame(
        {"mean_abs": [0.3, 0.1], "stable": True},
        index=["tumour-intrinsic programmes", "immunosuppressive microenvironment"],
    )
    figure = mechanism_bar(
        table,
        title="Bars",
        groups=groups,
        group_of={
            "stroma": "immunosuppressive microenvironment",
            "plasticity": "tumour-intrinsic programmes",
        },
    )
    assert labels(figure) == ["Plasticity", "Not measured", "Stroma"]
    bars = [bar for bar in figure.axes[0].patches if bar.get_width() > 0]
    np.testing.assert_allclose([bar.get_width() for bar in bars], [0.3, 0.2, 0.1])
    assert [bool(bar.get_hatch()) for bar in bars] == [False, True, False]
    assert to_hex(bars[1].get_facecolor()) == "#ffffff"
    classes = figure.axes[1].patches
    assert to_hex(bars[0].get_facecolor()) == to_hex(classes[0].get_facecolor())
    assert to_hex(bars[2].get_facecolor()) == to_hex(classes[1].get_facecolor())
    assert "Hollow bars: unstable drivers." in figure.texts[1].get_text()
    assert GREY not in {to_hex(bar.get_facecolor()) for bar in classes}


def test_plain_means_need_no_intervals(attributions):
    table = mechanism_means(attributions.values)
    assert table["mean_abs"]["strong"] == pytest.approx(attributions.values["strong"].abs().mean())
    assert labels(mechanism_bar(table, title="Bars"))[0] == "Strong"


def test_a_waterfall_leads_from_base_to_probability(attributions):
    figure = waterfall(attributions, sample="c/s5", title="One", names=NAMES)
    axes = figure.axes[0]
    bars = axes.patches
    total = attributions.values.loc["c/s5"].sum()
    assert sum(bar.get_width() for bar in bars) == pytest.approx(total)
    assert bars[0].get_x() == pytest.approx(0.5)
    end = expit(0.5 + total)
    assert f"this sample: P = {end:.2f}" in texts(figure)
    assert f"before any feature: P = {expit(0.5):.2f}" in texts(figure)
    value = attributions.features.loc["c/s5", "strong"]
    assert labels(figure)[-1] == f"Strong marker = {value:+.1f}".replace("-", "−")


def test_small_reasons_look_small_in_a_waterfall(attributions):
    small = Attributions(attributions.values / 1000, attributions.base_value, attributions.features)
    low, high = waterfall(small, sample="c/s5", title="One").axes[0].get_xlim()
    assert high - low > 0.5


def test_a_waterfall_bears_a_sample_without_reasons_and_one_near_certain(attributions):
    none = Attributions(attributions.values * 0, attributions.base_value, attributions.features)
    assert waterfall(none, sample="c/s5", title="None")
    sure = Attributions(attributions.values * 0 + 4, attributions.base_value, attributions.features)
    assert "this sample: P = 1.000" in texts(waterfall(sure, sample="c/s5", title="Sure"))


def test_dependence_tells_whether_the_model_goes_the_catalogues_way():
    x = np.linspace(-1, 1, 50)
    assert dependence(2 * x, x, sign=1).agreement == "agrees"
    assert dependence(2 * x, x, sign=-1).agreement == "opposes"
    assert dependence(2 * x, x, sign=0).agreement == "no sign"
    assert dependence(0 * x, x, sign=1).agreement == "flat"
    noise = np.random.default_rng(0).normal(size=50)
    found = dependence(noise, np.append(x[:-1], np.nan), sign=1)
    expected = spearmanr(x[:-1], noise[:-1]).statistic
    assert found.correlation == pytest.approx(expected)


def test_dependence_panels_show_sign_and_verdict(attributions, samples):
    figure = dependence_plots(
        attributions,
        signs={"strong": 1, "weak": 1},
        resistant=samples["resistant"],
        title="Dependence",
        names=NAMES,
    )
    shown = [axes.get_title(loc="left") for axes in figure.axes[:3]]
    assert shown == ["Strong marker", "Weak marker", "No"]
    told = texts(figure)
    assert told.count("▲ more of it: resistance") == 2
    assert "THE MODEL OPPOSES" in told
    assert "the model agrees" in told
    assert "the model hardly uses it" in told


def test_the_mean_curve_has_bins_of_equal_count():
    x = np.arange(80.0)
    middle, height = mean_curve(x * 2, np.append(x[:-1], np.nan))
    assert len(middle) == 8
    np.testing.assert_allclose(height, middle * 2)


def test_tracks_tell_response_cohort_drug_and_timepoint(samples):
    tracks = {track.name: track for track in sample_tracks(samples)}
    assert list(tracks) == ["response", "cohort", "drug", "timepoint"]
    colours = tracks["response"].colours
    assert colours == {"resistant": RESISTANT, "responsive": RESPONSIVE, "not known": UNKNOWN}
    assert list(tracks["drug"].colours) == ["Nivolumab", "unstated"]  # one spelling
    assert sample_tracks(samples[["probability"]]) == []


def test_cohorts_keep_their_colours_whatever_their_order(samples):
    one, other = (sample_tracks(part)[1].colours for part in (samples, samples.iloc[::-1]))
    assert one == other


def test_more_drugs_than_colours_are_others():
    many = pd.DataFrame({"drug": [f"d{i}" for i in range(12)] + ["d0"]})
    track = sample_tracks(many)[0]
    assert len(track.colours) == 10
    assert (track.values == "others").sum() == 3


def test_the_heatmap_shows_each_sample_in_its_column(attributions, samples):
    sums = attributions.values
    figure = mechanism_heatmap(sums, samples=samples, title="Heat")
    order = order_samples(sums[["weak", "strong"]]).names
    shown = order_mechanisms(sums[["weak", "strong"]])
    image = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(image, sums.loc[order, shown].T)
    assert labels(figure, 2) == [name.capitalize() for name in shown]  # "no" never weighs
    assert labels(figure, 1) == ["probability", "response", "cohort", "drug", "timepoint"]
    axes = figure.axes[3]
    legends = [axes.get_legend(), *(a for a in axes.artists if hasattr(a, "get_title"))]
    assert {legend.get_title().get_text() for legend in legends} == set(labels(figure, 1)[1:])


def test_the_heatmap_bears_one_sample_and_nothing_known_of_it(attributions):
    one = attributions.values.iloc[:1]
    assert mechanism_heatmap(one, samples=pd.DataFrame(index=one.index), title="One")


def test_like_stands_beside_like_and_the_resistant_at_the_right():
    rng = np.random.default_rng(0)
    centres = np.repeat([[2.0, 2.0], [-2.0, -2.0]], 10, axis=0)
    sums = pd.DataFrame(centres + 0.1 * rng.normal(size=(20, 2)), index=range(20))
    mixed = sums.sample(frac=1, random_state=0)
    order = order_samples(mixed)
    assert set(order.names[:10]) == set(range(10, 20))
    assert order.branches.shape == (19, 2, 4)
    assert order.branches[:, 0].min() >= 0
    assert order.branches[:, 0].max() <= 19


def test_many_samples_are_ordered_by_their_sum():
    sums = pd.DataFrame({"a": np.arange(2500.0)[::-1]})
    order = order_samples(sums)
    assert not order.clustered
    assert list(order.names[:2]) == [2499, 2498]


def test_samples_stand_by_probability_in_the_colour_of_their_label(samples):
    figure = probability_ranking(samples, threshold=0.6, title="Ranking")
    bars = figure.axes[0].patches
    heights = [bar.get_height() for bar in bars]
    assert heights == sorted(heights, reverse=True)
    assert to_hex(bars[0].get_facecolor()) == RESISTANT  # the last sample's label
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["resistant", "responsive", "no label", "base rate in training: 0.60"]
    unlabelled = probability_ranking(samples[["probability"]], threshold=0.6, title="Ranking")
    assert {to_hex(bar.get_facecolor()) for bar in unlabelled.axes[0].patches} == {UNKNOWN}
