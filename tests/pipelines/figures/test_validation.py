import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.special import expit

from models.comparison import compare_with_peers
from models.decision import decision_curve
from models.rank_curves import rank_curves
from models.survival import kaplan_meier_curves, survival_table
from pipelines.figures.calibration import (
    decision_curve_figure,
    reliability_with_intervals,
    risk_coverage_figure,
)
from pipelines.figures.forests import difference_forest, peers_forest, subgroup_forest
from pipelines.figures.palette import RESISTANT
from pipelines.figures.power import learning_curve_figure, permutation_null
from pipelines.figures.ranking import auroc_forest, feature_signs, roc_and_precision_recall
from pipelines.figures.shift import gene_coverage_figure, shift_scores, stability_bars
from pipelines.figures.survival import kaplan_meier_cohorts, kaplan_meier_pooled


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
    title, note = (text.get_text() for text in figure.texts)
    assert title == "Against weak"
    assert "I² = " in note
    row = differences[(differences["peer"] == "weak") & (differences["cohort"] == "a")].iloc[0]
    shown = f"{row['difference']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
    assert figure.axes[0].texts[0].get_text() == shown.replace("-", "−")
    assert drawn(figure)


def test_a_forest_of_one_cohort_says_that_heterogeneity_is_not_defined(differences):
    alone = differences.assign(i2=np.nan)
    note = difference_forest(alone, peer="weak", title="One").texts[1].get_text()
    assert "I² = not defined" in note


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
            "level": ["anti_pd1_pdl1", "female"],
            "n": [100, 4],
            "auroc": [0.6, np.nan],
            "low": [0.5, np.nan],
            "high": [0.7, np.nan],
        }
    )
    figure = subgroup_forest(table, title="Subgroups")
    assert labels(figure) == ["Drug class: anti-PD-1/PD-L1 (100)", "Sex: female (4)"]
    assert drawn(figure)


def test_reliability_shows_ten_bins_with_intervals_and_every_probability(predictions):
    figure = reliability_with_intervals({"model": predictions}, title="Reliability")
    above, below = figure.axes
    points = next(line for line in above.get_lines() if line.get_label() == "model")
    assert len(points.get_xdata()) == 10
    assert below.patches[0].get_data().values.sum() == 120


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


def test_the_auroc_forest_names_predictors_and_puts_the_mean_last():
    rows = [
        {"predictor": p, "cohort": c, "value": v, "low": v - 0.1, "high": v + 0.1}
        for p, v in (("model", 0.6), ("gep_18", 0.5))
        for c in ("mean", "a", "b")
    ]
    figure = auroc_forest(pd.DataFrame(rows), title="AUROC")
    assert labels(figure) == ["a", "b", "mean of cohorts"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model", "GEP-18"]
    np.testing.assert_allclose(figure.axes[0].get_lines()[0].get_xdata(), [0.6, 0.6, 0.6])


def test_curves_with_peers_tell_their_areas_and_the_prior(predictions):
    curves = {
        name: rank_curves(predictions.assign(score=score), n_resamples=20, seed=0)
        for name, score in (("model", predictions["score"]), ("impres", -predictions["score"]))
    }
    figure = roc_and_precision_recall(curves, title="Curves")
    roc, recall = figure.axes
    words = [text.get_text() for text in roc.get_legend().get_texts()]
    assert words[0].startswith(f"model {curves['model'].auroc.value:.2f} (")
    assert words[1].startswith(f"IMPRES {curves['impres'].auroc.value:.2f} (")
    assert words[2] == "class prior 0.50"
    last = recall.get_legend().get_texts()[-1].get_text()
    assert last == f"class prior {predictions['resistant'].mean():.2f}"
    true = roc.get_lines()[0].get_ydata()
    np.testing.assert_allclose(true, curves["model"].roc["true_positive_rate"])
    assert drawn(figure)


def test_features_stand_by_their_auroc_and_opposed_ones_in_bold():
    table = pd.DataFrame(
        {
            "sign": [1, -1, 0],
            "auroc": [0.4, 0.35, 0.6],
            "low": [0.3, 0.3, 0.5],
            "high": [0.45, 0.4, 0.7],
            "verdict": ["opposes", "agrees", "unsigned"],
        },
        index=["glycolysis", "b2m", "vista"],
    )
    figure = feature_signs(table, title="Signs", names={"b2m": "β2-microglobulin"})
    ticks = figure.axes[0].get_yticklabels()
    assert [tick.get_text() for tick in ticks] == ["β2-microglobulin", "Glycolysis", "Vista"]
    assert [tick.get_fontweight() for tick in ticks] == ["normal", "bold", "normal"]


def test_gene_coverage_shows_what_is_incomplete_poorest_first():
    coverage = pd.DataFrame(
        {"x": [1.0, 0.5, 0.0, np.nan], "y": [1.0, 1.0, 1.0, 1.0]},
        index=["whole", "half", "none", "by_drug"],
    )
    figure = gene_coverage_figure(coverage, title="Genes", names={"half": "Half of them"})
    assert labels(figure) == ["None", "Half of them", "By drug"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0%", "50%", "no drug"]
    assert "1 of 4 features have all their genes" in figure.texts[1].get_text()
    assert drawn(gene_coverage_figure(coverage.iloc[:1], title="All there"))


def test_the_null_figure_tells_observed_and_mean():
    axes = permutation_null([0.45, 0.5, 0.55, np.nan], observed=0.62, title="Null").axes[0]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["3 permutations", "observed: 0.620"]
    assert "mean 0.500" in axes.get_xlabel()
    assert drawn(permutation_null([], observed=0.6, title="None yet"))


def test_shift_scores_tell_the_share_flagged_and_draw_the_same_every_time():
    table = pd.DataFrame({"set": ["x", "x", "y"], "shift_score": [0.5, 1.5, np.nan]})
    figures = [shift_scores(table, title="Shift") for _ in range(2)]
    assert labels(figures[0]) == ["x", "y"]
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["50% of 2", "none"]
    assert drawn(figures[0]) == drawn(figures[1])


def test_stability_bars_show_what_drifted_most():
    table = pd.DataFrame({"feature": list("abc"), "psi": [0.05, 0.4, np.nan], "expected_psi": 0.08})
    figure = stability_bars(table, title="Drift", most=1, names={"b": "Marker b"})
    assert labels(figure) == ["Marker b"]
    assert drawn(stability_bars(table.drop(columns="expected_psi"), title="Drift"))


def test_kaplan_meier_figures_tell_numbers_at_risk_and_hazard_ratios(predictions):
    curves = kaplan_meier_curves(predictions, endpoint="os")
    table = survival_table(predictions, endpoint="os", n_resamples=10, seed=0)
    pooled = kaplan_meier_pooled(curves, table, endpoint="overall survival", title="Survival")
    axes = pooled.axes[0]
    note = pooled.texts[1].get_text()
    assert "HR " in note
    assert "n = 120" in note
    assert axes.get_lines()[0].get_color() == RESISTANT
    assert axes.texts[0].get_text() == "60"
    cohorts = kaplan_meier_cohorts(curves, table, endpoint="overall survival", title="Survival")
    assert [axes.get_title(loc="left") for axes in cohorts.axes] == ["a", "b", "c"]
    assert drawn(cohorts)


def test_kaplan_meier_figures_bear_that_no_cohort_has_events(predictions):
    quiet = predictions.assign(os_event=0.0)
    curves = kaplan_meier_curves(quiet, endpoint="os")
    table = survival_table(quiet, endpoint="os", n_resamples=2, seed=0)
    for figure in (kaplan_meier_pooled, kaplan_meier_cohorts):
        assert drawn(figure(curves, table, endpoint="overall survival", title="Survival"))
