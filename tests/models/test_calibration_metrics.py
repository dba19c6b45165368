from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from models.calibration_metrics import (
    calibration_estimates,
    calibration_line,
    ece_floor,
    reliability_table,
)
from models.metrics import expected_calibration_error


def predictions(n: int, *, slope: float = 1.0, intercept: float = 0.0, seed: int = 0):
    """Probabilities whose true log-odds are ``intercept + slope * log-odds``."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0.3, 1.0, n)
    y = (rng.random(n) < expit(intercept + slope * log_odds)).astype(float)
    return pd.DataFrame(
        {
            "cohort": np.where(np.arange(n) < n // 3, "small", "large"),
            "patient_id": [f"p{i}" for i in range(n)],
            "resistant": y,
            "probability": expit(log_odds),
            "prior": 0.6,
        },
        index=[f"s{i}" for i in range(n)],
    )


def test_slope_and_intercept_equal_those_of_statsmodels_for_every_resample():
    frame = predictions(120, slope=0.5, intercept=0.4)
    y, probability = frame["resistant"].to_numpy(), frame["probability"].to_numpy()
    weights = np.vstack([np.ones(120), np.random.default_rng(1).integers(0, 3, (3, 120))])
    intercept, slope = calibration_line(y, probability, weights)
    large, fixed = calibration_line(y, probability, weights, slope=1.0)
    np.testing.assert_array_equal(fixed, 1.0)
    x = logit(probability)
    for row, weight in enumerate(weights):
        options = {"family": sm.families.Binomial(), "freq_weights": weight}
        line = sm.GLM(y, sm.add_constant(x), **options).fit().params
        assert [intercept[row], slope[row]] == pytest.approx(line.tolist(), abs=1e-6)
        shift = sm.GLM(y, np.ones(120), offset=x, **options).fit().params
        assert large[row] == pytest.approx(shift[0], abs=1e-6)


def test_calibration_of_a_known_model_is_found():
    found = calibration_estimates(
        predictions(6000, slope=0.5, intercept=-0.4), n_resamples=100, seed=0
    )
    assert found["calibration_slope"].value == pytest.approx(0.5, abs=0.08)
    assert found["calibration_intercept"].value == pytest.approx(-0.4, abs=0.08)
    assert found["calibration_slope"].high < 1
    assert found["calibration_in_the_large"].high < 0
    assert found["ece"].value > found["ece_floor"].high


def test_a_calibrated_model_lies_within_the_floor_and_beats_the_prior():
    found = calibration_estimates(predictions(3000), n_resamples=200, seed=0)
    assert found["calibration_slope"].low < 1 < found["calibration_slope"].high
    assert found["calibration_in_the_large"].low < 0 < found["calibration_in_the_large"].high
    assert found["ece_floor"].low < found["ece"].value < found["ece_floor"].high
    assert found["brier_skill"].low > 0


def test_skill_is_one_minus_the_ratio_of_the_brier_scores_pooled_and_per_cohort():
    frame = predictions(90)
    frame["prior"] = np.where(frame["cohort"] == "small", 0.7, 0.5)
    found = calibration_estimates(frame, n_resamples=20, seed=0)

    def skill(part: pd.DataFrame) -> float:
        errors = [
            ((part[name] - part["resistant"]) ** 2).mean() for name in ("probability", "prior")
        ]
        return 1 - errors[0] / errors[1]

    assert found["brier_skill"].value == pytest.approx(skill(frame))
    small = frame[frame["cohort"] == "small"]
    assert found["small.brier_skill"].value == pytest.approx(skill(small))
    priors = frame.assign(probability=frame["prior"])
    none = calibration_estimates(priors, n_resamples=20, seed=0)["brier_skill"]
    assert none.value == pytest.approx(0.0)
    without = calibration_estimates(frame.drop(columns="prior"), n_resamples=20, seed=0)
    assert "brier_skill" not in without
    assert without["brier"] == found["brier"]


def test_a_cohorts_figures_do_not_depend_on_the_cohorts_beside_it():
    frame = predictions(90)
    together = calibration_estimates(frame, n_resamples=20, seed=0)
    alone = calibration_estimates(frame[frame["cohort"] == "small"], n_resamples=20, seed=0)
    for name in ("brier", "brier_skill", "calibration_in_the_large"):
        pair = [astuple(found) for found in (together[f"small.{name}"], alone[name])]
        assert pair[0] == pytest.approx(pair[1])


@pytest.mark.parametrize("case", ["constant", "separated", "one class"])
def test_what_is_not_determined_is_nan_and_nothing_breaks(case):
    frame = predictions(60)
    if case == "constant":
        frame["probability"] = 0.4
    elif case == "separated":
        frame["resistant"] = (frame["probability"] > 0.5).astype(float)
    else:
        frame["resistant"] = 1.0
    found = calibration_estimates(frame, n_resamples=20, seed=0)
    assert np.isnan(found["calibration_slope"].value)
    assert np.isfinite(found["brier"].value)
    assert np.isfinite(found["calibration_in_the_large"].value) == (case != "one class")


def test_certain_probabilities_do_not_break_the_line():
    frame = predictions(60)
    frame.iloc[:2, frame.columns.get_loc("probability")] = [0.0, 1.0]
    found = calibration_estimates(frame, n_resamples=10, seed=0)
    assert np.isfinite(found["calibration_in_the_large"].value)


def test_samples_without_label_or_probability_are_left_out():
    frame = predictions(60)
    holes = pd.concat([frame, frame.iloc[:2].rename(index=lambda name: f"{name}x")])
    holes.iloc[60, holes.columns.get_loc("resistant")] = np.nan
    holes.iloc[61, holes.columns.get_loc("probability")] = np.nan
    assert calibration_estimates(holes, n_resamples=10, seed=0) == calibration_estimates(
        frame, n_resamples=10, seed=0
    )
    assert calibration_estimates(frame.assign(resistant=np.nan), n_resamples=10, seed=0) == {}


def test_the_floor_is_what_calibrated_labels_give():
    probability = predictions(400)["probability"].to_numpy()
    floor = ece_floor(probability, n_simulations=400, seed=0)
    rng = np.random.default_rng(9)
    drawn = [
        expected_calibration_error(
            (rng.random(400) < probability).astype(float), probability, np.ones((1, 400))
        )[0]
        for _ in range(300)
    ]
    assert floor.value == pytest.approx(np.mean(drawn), abs=0.003)
    inside = np.mean((floor.low <= np.array(drawn)) & (np.array(drawn) <= floor.high))
    assert inside == pytest.approx(0.95, abs=0.04)


def test_the_reliability_table_holds_the_calibration_error_and_wilson_intervals():
    frame = predictions(205)
    frame["probability"] = frame["probability"].round(1)
    table = reliability_table(frame)
    assert table["n"].tolist() == [21] * 5 + [20] * 5
    error = (table["n"] * (table["observed"] - table["predicted"]).abs()).sum() / 205
    expected = expected_calibration_error(
        frame["resistant"].to_numpy(), frame["probability"].to_numpy(), np.ones((1, 205))
    )
    assert error == pytest.approx(expected[0])
    first = table.iloc[0]
    low, high = proportion_confint(first["observed"] * 21, 21, method="wilson")
    assert (first["low"], first["high"]) == pytest.approx((low, high))
    shuffled = reliability_table(frame.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(table, shuffled)
    assert len(reliability_table(frame.iloc[:4])) == 4
    assert reliability_table(frame.iloc[:0]).empty
