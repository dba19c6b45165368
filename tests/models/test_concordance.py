"""Somers' D: against references, units that count once, strata, and intervals that hold."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import roc_auc_score

from models.concordance import concordance_with


def found_in(
    x: np.ndarray, y: np.ndarray, units: list[str] | None = None, n_resamples: int = 200, **more
) -> pd.Series:
    names = units or [f"u{i}" for i in range(len(y))]
    table = concordance_with(
        pd.DataFrame({"x": x}),
        pd.Series(y),
        units=pd.Series(names),
        n_resamples=n_resamples,
        rng=np.random.default_rng(0),
        **more,
    )
    return table.loc["x"]


def drawn(n: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x.round(1), x + rng.normal(size=n)


def test_of_a_number_it_is_somers_d_of_scipy_ties_included() -> None:
    x, y = drawn()
    for outcome in (y, y.round()):
        assert_allclose(
            found_in(x, outcome)["value"], stats.somersd(outcome, x).statistic, atol=1e-12
        )


def test_of_a_label_it_is_the_rank_biserial_correlation() -> None:
    x, y = drawn()
    label = (y > 0.3).astype(float)
    assert_allclose(found_in(x, label)["value"], 2 * roc_auc_score(label, x) - 1, atol=1e-12)


def test_unknown_outcomes_and_values_are_left_out() -> None:
    x, y = drawn()
    holes, unknown = x.copy(), y.copy()
    holes[:5], unknown[5:9] = np.nan, np.nan
    found = found_in(holes, unknown)
    assert found["n"] == 41
    assert_allclose(found["value"], found_in(x[9:], y[9:])["value"])


def test_samples_of_one_patient_count_once() -> None:
    x, y = drawn(20)
    once = found_in(x, y)
    names = [f"u{i}" for i in range(20)]
    thrice = found_in(np.tile(x, 3), np.tile(y, 3), names * 3)
    assert thrice["n"] == once["n"] == 20
    assert_allclose(thrice["value"], once["value"])
    assert_allclose(thrice["standard_error"], once["standard_error"])


def test_samples_of_one_patient_are_not_compared_with_each_other() -> None:
    x, y = np.array([1.0, 9.0, 2.0, 3.0]), np.array([1.0, 0.0, 0.0, 0.0])
    assert found_in(x, y, ["a", "a", "b", "c"])["value"] == -1


def test_within_strata_a_difference_between_them_is_nothing() -> None:
    rng = np.random.default_rng(1)
    tissue = np.repeat([0, 1], 100)
    x, y = rng.normal(size=200) + 5 * tissue, rng.normal(size=200) + 5 * tissue
    assert found_in(x, y)["value"] > 0.4
    within = found_in(x, y, strata=pd.Series(tissue.astype(str)))
    assert abs(within["value"]) < 2.5 * within["standard_error"]


@pytest.mark.parametrize("x", [np.ones(20), np.full(20, np.nan)])
def test_a_feature_that_does_not_vary_has_no_figure(x: np.ndarray) -> None:
    assert np.isnan(found_in(x, drawn(20)[1])["value"])


def test_a_single_label_gives_no_figure() -> None:
    assert np.isnan(found_in(drawn(20)[0], np.ones(20))["value"])


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(labels: bool, shift: float) -> None:
    # Labels: normals a shift apart, D = 2Φ(δ/√2) − 1. Numbers: bivariate normal, τ = 2/π·arcsin ρ.
    rng = np.random.default_rng(7)
    truth = 2 * stats.norm.cdf(shift / np.sqrt(2)) - 1 if labels else 2 / np.pi * np.arcsin(shift)
    held = 0
    for _ in range(300):
        x = rng.normal(size=45)
        y = shift * x + np.sqrt(1 - shift**2) * rng.normal(size=45)
        if labels:
            y = np.repeat([1.0, 0.0], [30, 15])
            x = x + shift * y
        found = found_in(x, y, n_resamples=200)
        held += abs(found["value"] - truth) <= 1.959964 * found["standard_error"]
    assert 0.91 <= held / 300 <= 0.98
