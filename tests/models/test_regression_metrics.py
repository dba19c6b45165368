"""Metrics of drug response against scipy, pandas and brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from models.regression_metrics import (
    NO_TISSUE,
    correlation_with_interval,
    evaluate_responses,
    tissue_mean_of_others,
    weighted_spearman,
)


def simulated(n: int = 60, *, seed: int = 0, effect: float = 1.0) -> pd.DataFrame:
    """Return predictions of lines of three tissues; the first two lines are of one donor."""
    rng = np.random.default_rng(seed)
    tissue = rng.choice(["lung", "skin", "bone"], n)
    shift = pd.Series(tissue).map({"lung": -2.0, "skin": 0.0, "bone": 2.0}).to_numpy()
    own = rng.normal(size=n)
    table = pd.DataFrame(
        {
            "line": ["L1", "L1", *(f"L{i}" for i in range(2, n))],
            "tissue": tissue,
            "resistance": shift + own,
            "predicted": shift + effect * own + rng.normal(size=n),
        },
        index=[f"s{i}" for i in range(n)],
    )
    labels = (table["resistance"] > 0.7).astype(float).mask(table["resistance"].abs() < 0.7)
    return table.assign(resistant=labels)


def estimates(table: pd.DataFrame, *, n_resamples: int = 20) -> dict[str, float]:
    found = evaluate_responses(table, n_resamples=n_resamples, seed=1)
    return {name: estimate.value for name, estimate in found.items()}


# --- rank correlation


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 8))
def test_unit_weights_are_scipys_correlation_with_ties(seed, levels):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, levels, 25).astype(float), rng.integers(0, levels, 25).astype(float)
    found = weighted_spearman(x, y, np.ones((1, 25)))
    np.testing.assert_allclose(found, [stats.spearmanr(x, y).statistic], atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_weights_are_rows_repeated(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 20).astype(float), rng.normal(size=20)
    weights = rng.integers(0, 4, (5, 20))
    expected = [stats.spearmanr(np.repeat(x, row), np.repeat(y, row)).statistic for row in weights]
    np.testing.assert_allclose(weighted_spearman(x, y, weights.astype(float)), expected)


def test_a_single_value_has_no_correlation():
    y = np.random.default_rng(0).normal(size=8)
    weights = np.array([np.ones(8), np.r_[1, 1, np.zeros(6)]])
    two = np.r_[0.1, 0.1, np.full(6, 0.3)]
    found = weighted_spearman(two, y, weights)
    assert np.isfinite(found[0])
    assert np.isnan(found[1])


# --- all figures of a prediction


def test_figures_are_those_of_other_libraries():
    table = simulated()
    found = estimates(table)
    x, y = table["resistance"], table["predicted"]
    assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(x, y))
    labelled = table.dropna()
    auroc = roc_auc_score(labelled["resistant"], labelled["predicted"])
    assert found["auroc"] == pytest.approx(auroc)


def test_the_correlation_within_tissues_is_pandas_on_centred_values():
    table = simulated()
    rest = table.iloc[:2].assign(tissue="rare")
    unknown = table.iloc[:9].assign(tissue=NO_TISSUE)
    whole = pd.concat([table, rest, unknown])
    by = table.groupby("tissue")
    centred = {
        name: table[name] - by[name].transform("mean") for name in ("resistance", "predicted")
    }
    expected = centred["resistance"].corr(centred["predicted"], method="spearman")
    assert estimates(table)["within_tissue_spearman"] == pytest.approx(expected)
    assert estimates(whole)["within_tissue_spearman"] == pytest.approx(expected)


def test_a_prediction_that_knows_the_tissue_alone_has_no_correlation_within():
    table = simulated()
    level = table["tissue"].map({"lung": 0.1, "skin": 1 / 3, "bone": 0.7})
    found = evaluate_responses(table.assign(predicted=level), n_resamples=20, seed=0)
    assert found["spearman"].value > 0.5
    assert np.isnan(found["within_tissue_spearman"].value)
    assert np.isnan(found["within_tissue_spearman"].low)


def test_tissue_alone_gives_no_correlation_within_and_a_real_effect_does():
    none, some = simulated(300, effect=0.0), simulated(300)
    assert abs(estimates(none)["within_tissue_spearman"]) < 0.15
    assert estimates(none)["spearman"] > 0.6
    assert estimates(some)["within_tissue_spearman"] > 0.5


@settings(max_examples=10, deadline=None)
@given(st.randoms())
def test_the_order_of_samples_and_monotone_units_change_no_rank_figure(random):
    table = simulated()
    order = list(range(len(table)))
    random.shuffle(order)
    moved = table.assign(predicted=3 * table["predicted"] + 5).iloc[order]
    found, expected = estimates(moved), estimates(table)
    for name in ("spearman", "within_tissue_spearman", "auroc"):
        assert found[name] == pytest.approx(expected[name])


def test_lines_without_a_prediction_or_a_response_are_left_out():
    table = simulated()
    extra = table.iloc[:4].copy()
    extra.iloc[:2, extra.columns.get_loc("predicted")] = np.nan
    extra.iloc[2:, extra.columns.get_loc("resistance")] = np.nan
    assert estimates(pd.concat([table, extra])) == estimates(table)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_fewer_than_five_lines_have_no_figure(count):
    found = estimates(simulated().iloc[2 : 2 + count])
    assert set(found) == {"spearman", "rmse", "within_tissue_spearman", "auroc"}
    assert np.isnan(list(found.values())).all()


def test_the_interval_resamples_lines_not_samples():
    table = simulated(30, effect=0.0)
    twice = pd.concat([table, table.set_axis([f"{i}b" for i in table.index])])
    one = evaluate_responses(table, n_resamples=400, seed=0)["spearman"]
    two = evaluate_responses(twice, n_resamples=400, seed=0)["spearman"]
    assert two.standard_error == pytest.approx(one.standard_error, rel=0.2)
    assert one.low < one.value < one.high


# --- the tissue's mean


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_of_others_is_a_loop_that_leaves_the_line_out(seed):
    rng = np.random.default_rng(seed)
    table = simulated(40, seed=seed)
    table["line"] = rng.choice([f"L{i}" for i in range(25)], len(table))
    table.iloc[0, table.columns.get_loc("tissue")] = "alone"
    table.iloc[5:9, table.columns.get_loc("tissue")] = NO_TISSUE
    expected = []
    for _, row in table.iterrows():
        others = table[table["line"] != row["line"]]
        same = others[others["tissue"] == row["tissue"]]
        use = others if same.empty or row["tissue"] == NO_TISSUE else same
        expected.append(use["resistance"].mean())
    found = tissue_mean_of_others(table)
    np.testing.assert_allclose(found, expected)
    moved = table.sample(frac=1, random_state=seed)
    pd.testing.assert_series_equal(tissue_mean_of_others(moved).loc[found.index], found)


def test_the_tissues_mean_ranks_tissues_and_falls_within_them():
    table = simulated(90)
    naive = table.assign(predicted=tissue_mean_of_others(table))
    found = estimates(naive)
    assert found["spearman"] > 0.5
    assert found["within_tissue_spearman"] < -0.9


# --- a single correlation


@pytest.mark.parametrize(("rho", "n"), [(0.0, 20), (0.8, 60)])
def test_the_interval_holds_the_truth_in_about_95_of_100(rho, n):
    rng = np.random.default_rng(0)
    # Spearman's rho of a bivariate normal (Pearson 1907).
    truth = 6 / np.pi * np.arcsin(rho / 2)
    pairs = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(200, n))
    found = [correlation_with_interval(pd.Series(p[:, 0]), pd.Series(p[:, 1])) for p in pairs]
    held = np.mean([one["low"] <= truth <= one["high"] for one in found])
    assert 0.91 <= held <= 0.99


def test_pairs_are_matched_by_name_and_missing_ones_left_out():
    x = pd.Series(np.arange(8.0), index=list("abcdefgh"))
    y = pd.Series([*np.arange(7.0, 0.0, -1), np.nan], index=list("abcdefgh"))[::-1]
    found = correlation_with_interval(x, y)
    assert (found["rho"], found["n"]) == (pytest.approx(-1), 7)
    assert found["low"] <= found["high"] < -0.9


@pytest.mark.parametrize("values", [np.arange(4.0), np.ones(9)])
def test_too_few_pairs_or_a_single_value_have_no_correlation(values):
    found = correlation_with_interval(pd.Series(values), pd.Series(np.arange(float(len(values)))))
    assert np.isnan([found["rho"], found["low"], found["high"]]).all()
    assert found["n"] == len(values)
