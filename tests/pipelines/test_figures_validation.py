import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.special import expit

from models.comparison import compare_with_peers
from models.decision import decision_curve
from models.survival import kaplan_meier_curves, survival_table
from pipelines.figures_forests import difference_forest, peers_forest, subgroup_forest
from pipelines.figures_survival import kaplan_meier_cohorts, kaplan_meier_pooled
from pipelines.figures_validation import (
    RESISTANT,
    decision_curve_figure,
    learning_curve_figure,
    permutation_null,
    reliability_with_intervals,
    risk_coverage_figure,
    shift_scores,
    stability_bars,
)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 120
    score = rng.normal(0.3, 1, n)
    time = rng.exponential(10 * np.exp(-0.5 * score))
    return pd.DataFrame(
        {
            "cohort": np.repeat(["a", "b", "c"], 40),
            "patient_id": [f"p{i}" for i in range(n)],
            "resistant": (rng.random(n) < expit(score)).astype(float),
            "score": score,
            "probability": expit(score),
            "os_time": time,
            "os_event": (rng.random(n) < 0.8).astype(float),
        },
        index=[f"s{i}" for i in range(n)],
    )


@pytest.fixture(scope="module")
def differences(predictions: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    peers = {
        name: predictions.assign(score=predictions["score"] * effect + rng.normal(size=120))
        for name, effect in (("weak", 0.1), ("strong", 1.0))
    }
    return compare_with_peers(predictions, peers, n_resamples=50, n_permutations=50, seed=0)


def labels(figure: Figure) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


def drawn(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=50)
    return buffer.getvalue()


def test_a_forest_names_every_cohort_its_size_and_the_heterogeneity(differences):
    figure = difference_forest(differences, peer="weak", title="Against weak")
    assert labels(figure)[:4] == ["a (40)", "b (40)", "c (40)", "mean of cohorts (120)"]
    title = figure.axes[0].get_title()
    assert title.startswith("Against weak")
    assert "I² = " in title
    assert drawn(figure)


def test_a_forest_of_one_cohort_says_that_heterogeneity_is_not_defined(differences):
    alone = differences.assign(i2=np.nan)
    title = difference_forest(alone, peer="weak", title="One").axes[0].get_title()
    assert "I² = not defined" in title


def test_peers_stand_by_their_difference_largest_first(differences):
    figure = peers_forest(differences, title="Peers")
    pooled = differences[differences["cohort"] == "within_cohort_pairs"]
    expected = pooled.sort_values("difference", ascending=False)["peer"].tolist()
    assert labels(figure) == expected
    assert peers_forest(differences, scheme="random_effects", title="Peers")


def test_subgroups_without_a_figure_are_still_named():
    table = pd.DataFrame(
        {
            "group": ["drug_class", "sex"],
            "level": ["anti-PD-1", "female"],
            "n": [100, 4],
            "auroc": [0.6, np.nan],
            "low": [0.5, np.nan],
            "high": [0.7, np.nan],
        }
    )
    figure = subgroup_forest(table, title="Subgroups")
    assert labels(figure) == ["drug class: anti-PD-1 (100)", "sex: female (4)"]
    assert drawn(figure)


def test_reliability_shows_ten_bins_with_intervals_and_every_probability(predictions):
    figure = reliability_with_intervals({"model": predictions}, title="Reliability")
    above, below = figure.axes
    points = next(line for line in above.get_lines() if line.get_label() == "model")
    assert len(points.get_xdata()) == 10
    assert sum(patch.get_height() for patch in below.patches) == 120


def test_curves_show_the_figures_of_their_tables(predictions):
    share = np.linspace(1, 0.1, 10)
    columns = {
        f"{name}{end}": 0.2 + 0.1 * share
        for name in ("brier", "balanced_accuracy")
        for end in ("", "_low", "_high")
    }
    figure = risk_coverage_figure(pd.DataFrame({"share": share, **columns}), title="Risk")
    np.testing.assert_allclose(figure.axes[0].get_lines()[0].get_ydata(), columns["brier"])
    table = decision_curve(predictions, thresholds=[0.2, 0.5, 0.8], n_resamples=20, seed=0)
    line = decision_curve_figure(table, title="Decision").axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), table["net_benefit"])
    learning = pd.DataFrame({"n_cohorts": [2, 4], "value": [0.5, 0.6], "low": 0.4, "high": 0.7})
    assert drawn(learning_curve_figure(learning, title="Learning"))


def test_the_null_figure_tells_observed_and_mean():
    axes = permutation_null([0.45, 0.5, 0.55, np.nan], observed=0.62, title="Null").axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "3 permutations",
        "observed: 0.620",
    ]
    assert "mean 0.500" in axes.get_xlabel()
    assert drawn(permutation_null([], observed=0.6, title="None yet"))


def test_shift_scores_tell_the_share_flagged_and_draw_the_same_every_time():
    table = pd.DataFrame({"set": ["x", "x", "y"], "shift_score": [0.5, 1.5, np.nan]})
    figures = [shift_scores(table, title="Shift") for _ in range(2)]
    assert labels(figures[0]) == ["x (50% of 2)", "y (none)"]
    assert drawn(figures[0]) == drawn(figures[1])


def test_stability_bars_show_what_drifted_most():
    table = pd.DataFrame({"feature": list("abc"), "psi": [0.05, 0.4, np.nan], "expected_psi": 0.08})
    figure = stability_bars(table, title="Drift", most=1)
    assert labels(figure) == ["b"]
    assert drawn(stability_bars(table.drop(columns="expected_psi"), title="Drift"))


def test_kaplan_meier_figures_tell_numbers_at_risk_and_hazard_ratios(predictions):
    curves = kaplan_meier_curves(predictions, endpoint="os")
    table = survival_table(predictions, endpoint="os", n_resamples=10, seed=0)
    pooled = kaplan_meier_pooled(curves, table, endpoint="overall survival", title="Survival")
    axes = pooled.axes[0]
    assert "HR " in axes.get_title()
    assert "n = 120" in axes.get_title()
    assert axes.get_lines()[0].get_color() == RESISTANT
    assert axes.texts[0].get_text() == "60"
    cohorts = kaplan_meier_cohorts(curves, table, endpoint="overall survival", title="Survival")
    assert [axes.get_title().split("\n")[0] for axes in cohorts.axes] == ["a", "b", "c"]
    assert drawn(cohorts)


def test_kaplan_meier_figures_bear_that_no_cohort_has_events(predictions):
    quiet = predictions.assign(os_event=0.0)
    curves = kaplan_meier_curves(quiet, endpoint="os")
    table = survival_table(quiet, endpoint="os", n_resamples=2, seed=0)
    for figure in (kaplan_meier_pooled, kaplan_meier_cohorts):
        assert drawn(figure(curves, table, endpoint="overall survival", title="Survival"))
