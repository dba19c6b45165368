import numpy as np
import pandas as pd
import pytest
import skops.io
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from features.errors import ConfigError, ModelError
from models.calibration import (
    BetaCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    fit_intercept,
    shift_intercept,
)
from models.calibration_choice import CALIBRATORS, choose_calibrator

every_method = pytest.mark.parametrize("method", sorted(CALIBRATORS))


def simulated(n_samples: int, *, slope: float = 1.0, intercept: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(size=n_samples) * 2
    return log_odds, (rng.random(n_samples) < expit(slope * log_odds + intercept)).astype(int)


def test_slope_and_intercept_are_found_again():
    calibrator = PlattCalibrator().fit(*simulated(20000, slope=0.4, intercept=0.7))
    assert calibrator.slope_ == pytest.approx(0.4, abs=0.03)
    assert calibrator.intercept_ == pytest.approx(0.7, abs=0.05)


def test_it_agrees_with_unpenalised_logistic_regression_on_many_samples():
    rng = np.random.default_rng(1)
    log_odds = rng.normal(size=5000)
    y = (rng.random(5000) < expit(1.3 * log_odds - 0.2)).astype(int)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(log_odds[:, None], y)
    expected = reference.predict_proba(log_odds[:, None])[:, 1]
    found = PlattCalibrator().fit(log_odds, y).predict(log_odds)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_beta_agrees_with_logistic_regression_on_the_two_logarithms():
    log_odds, _ = simulated(5000)
    s = expit(log_odds)
    rng = np.random.default_rng(1)
    y = (rng.random(5000) < expit(0.3 * np.log(s) - 1.5 * np.log(1 - s) + 0.2)).astype(int)
    design = np.column_stack([np.log(s), -np.log(1 - s)])
    reference = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000).fit(design, y)
    calibrator = BetaCalibrator().fit(log_odds, y)
    found = [calibrator.low_slope_, calibrator.high_slope_]
    np.testing.assert_allclose(found, reference.coef_[0], atol=0.02)
    expected = reference.predict_proba(design)[:, 1]
    np.testing.assert_allclose(calibrator.predict(log_odds), expected, atol=2e-3)


def test_beta_holds_a_coefficient_that_would_turn_the_ranking_at_its_bound():
    log_odds, _ = simulated(2000)
    rng = np.random.default_rng(1)
    y = rng.random(2000) < expit(np.abs(log_odds))  # falls, then rises
    calibrator = BetaCalibrator().fit(log_odds, y)
    assert calibrator.low_slope_ == pytest.approx(1e-3)
    assert calibrator.high_slope_ > 0.1


def test_isotonic_agrees_with_scikit_learn_inside_its_bounds():
    log_odds, y = simulated(200, slope=0.7)
    new = np.linspace(-9, 9, 500)
    reference = IsotonicRegression(out_of_bounds="clip").fit(log_odds, y)
    found = IsotonicCalibrator().fit(log_odds, y).predict(new)
    np.testing.assert_allclose(found, reference.predict(new).clip(1 / 202, 201 / 202), atol=1e-2)
    knots = reference.X_thresholds_
    at_knots = IsotonicCalibrator().fit(log_odds, y).predict(knots)
    np.testing.assert_allclose(at_knots, reference.predict(knots).clip(1 / 202, 201 / 202))


@every_method
def test_a_ranking_is_never_turned_round(method):
    log_odds = np.linspace(-2, 2, 100)
    calibrator = CALIBRATORS[method]().fit(log_odds, log_odds < 0)
    probability = calibrator.predict(log_odds)
    assert (np.diff(probability) >= 0).all()
    assert method == "isotonic" or (np.diff(probability) > 0).all()
    assert np.ptp(probability) < 0.01
    assert probability.mean() == pytest.approx(0.5, abs=0.02)


@every_method
@given(seed=st.integers(0, 10_000), size=st.integers(4, 60))
@settings(deadline=None, max_examples=25)
def test_any_labels_give_rising_probabilities_and_finite_log_odds(method, seed, size):
    rng = np.random.default_rng(seed)
    log_odds, y = rng.normal(size=size) * 3, rng.integers(0, 2, size)
    calibrator = CALIBRATORS[method]().fit(log_odds, y)
    new = np.sort(rng.normal(size=50) * 10)
    calibrated = calibrator.calibrated_log_odds(new)
    assert np.isfinite(calibrated).all()
    assert (np.diff(calibrated) >= 0).all()
    np.testing.assert_allclose(calibrator.predict(new), expit(calibrated), rtol=1e-9)


@every_method
def test_separated_classes_leave_finite_log_odds(method):
    log_odds = np.array([-30.0, -20.0, 20.0, 30.0])
    calibrator = CALIBRATORS[method]().fit(log_odds, [0, 0, 1, 1])
    assert (np.abs(calibrator.calibrated_log_odds(log_odds)) < 10).all()


@every_method
def test_a_sample_of_weight_two_counts_as_two_samples(method):
    log_odds, y = simulated(80, slope=0.6)
    weights = np.random.default_rng(2).integers(0, 4, 80)
    repeated = np.repeat(np.arange(80), weights)
    weighted = CALIBRATORS[method]().fit(log_odds, y, sample_weight=weights)
    by_hand = CALIBRATORS[method]().fit(log_odds[repeated], y[repeated])
    new = np.linspace(-4, 4, 50)
    np.testing.assert_allclose(weighted.predict(new), by_hand.predict(new), atol=1e-5)


@every_method
def test_skops_keeps_a_calibrator_and_its_shift(method, tmp_path):
    log_odds, y = simulated(60)
    calibrator = shift_intercept(CALIBRATORS[method]().fit(log_odds, y), 0.3)
    skops.io.dump(calibrator, tmp_path / "calibrator.skops")
    unknown = skops.io.get_untrusted_types(file=tmp_path / "calibrator.skops")
    assert all(name.startswith("models.calibration.") for name in unknown)
    loaded = skops.io.load(tmp_path / "calibrator.skops", trusted=unknown)
    np.testing.assert_array_equal(loaded.predict(log_odds), calibrator.predict(log_odds))
    assert loaded.method == f"{method}+intercept"


def test_faulty_input_is_named():
    with pytest.raises(ModelError, match=r"2 log-odds are not finite, labels hold 2\.0, nan"):
        PlattCalibrator().fit([np.nan, 1.0, np.inf], [np.nan, 2.0, 1.0])
    with pytest.raises(ModelError, match=r"shapes \(2,\), \(3,\)"):
        BetaCalibrator().fit([0.0, 1.0], [0, 1, 1])
    with pytest.raises(ModelError, match="weights of at least 0"):
        IsotonicCalibrator().fit([0.0, 1.0], [0, 1], sample_weight=[1.0, -1.0])


def test_a_logistic_truth_is_mostly_left_to_platt():
    chosen = []
    for seed in range(20):
        log_odds, y = simulated(400, slope=0.5, intercept=0.5, seed=seed)
        choice = choose_calibrator(log_odds, y, groups=np.arange(400) % 8)
        assert set(choice.losses) == {"platt", "beta", "isotonic"}
        assert choice.method == choice.calibrator.method
        chosen.append(choice.method)
    assert chosen.count("platt") >= 13, chosen


def test_a_step_is_left_to_isotonic_regression():
    log_odds, _ = simulated(3000)
    y = np.random.default_rng(1).random(3000) < 0.3
    y |= log_odds > 2
    choice = choose_calibrator(log_odds, y, groups=np.arange(3000) % 5)
    assert choice.method == "isotonic"
    assert choice.losses["isotonic"] < choice.losses["platt"]


def test_losses_are_those_of_groups_left_out():
    log_odds, y = simulated(90, slope=0.5)
    groups = np.repeat(["a", "b", "c"], 30)
    errors = []
    for group in "abc":
        held = groups == group
        calibrator = PlattCalibrator().fit(log_odds[~held], y[~held])
        errors.append((calibrator.predict(log_odds[held]) - y[held]) ** 2)
    choice = choose_calibrator(log_odds, y, groups=groups)
    assert choice.losses["platt"] == pytest.approx(np.mean(errors))


def test_ties_go_to_the_first_method_and_order_of_samples_is_nothing():
    rng = np.random.default_rng(0)
    log_odds, y, groups = rng.normal(size=60), rng.integers(0, 2, 60), np.arange(60) % 3
    shuffled = rng.permutation(60)
    first = choose_calibrator(log_odds, y, groups=groups)
    again = choose_calibrator(log_odds[shuffled], y[shuffled], groups=groups[shuffled])
    # Without signal, slopes stand at their bounds and the methods are one but for rounding.
    assert first.method == again.method == "platt"
    assert first.losses == pytest.approx(again.losses)
    alone = choose_calibrator(np.zeros(60), y, groups=groups, methods=("beta", "platt"))
    assert alone.method == "beta"


def test_with_nothing_to_leave_out_platt_is_taken_unseen():
    log_odds, y = simulated(40)
    one = choose_calibrator(log_odds, y, groups=np.zeros(40))
    # Without its group of resistant samples, the rest holds one class.
    split = choose_calibrator(log_odds, y, groups=np.where(y == 1, "a", "b"))
    assert one.method == split.method == "platt"
    assert dict(one.losses) == dict(split.losses) == {}


def test_unknown_methods_and_missing_groups_are_named():
    log_odds, y = simulated(10)
    with pytest.raises(ConfigError, match="spline cannot be taken; allowed: platt, beta, isotonic"):
        choose_calibrator(log_odds, y, groups=np.zeros(10), methods=("platt", "spline"))
    with pytest.raises(ConfigError, match="none cannot be taken"):
        choose_calibrator(log_odds, y, groups=np.zeros(10), methods=())
    with pytest.raises(ModelError, match="9 groups for 10 log-odds"):
        choose_calibrator(log_odds, y, groups=np.zeros(9))


def test_shifts_add_up():
    base = PlattCalibrator().fit(*simulated(50))
    shifted = shift_intercept(shift_intercept(base, 0.5), -0.2)
    assert shifted.delta == pytest.approx(0.3)
    assert shifted.method == "platt+intercept"
    np.testing.assert_allclose(
        shifted.predict([0.0, 1.0]), expit(base.calibrated_log_odds([0.0, 1.0]) + 0.3)
    )


@every_method
def test_the_shift_is_that_of_a_logistic_regression_with_offset(method):
    base = CALIBRATORS[method]().fit(*simulated(500))
    log_odds, y = simulated(4000, slope=1.0, intercept=-1.0, seed=1)
    offset = base.calibrated_log_odds(log_odds)
    family = sm.families.Binomial()
    reference = sm.GLM(y, np.ones((4000, 1)), family=family, offset=offset).fit()
    found = fit_intercept(base, log_odds, y)
    assert found.delta == pytest.approx(float(reference.params[0]), abs=5e-3)
    again = fit_intercept(found, log_odds, y)
    assert again.delta == pytest.approx(found.delta, abs=1e-9)


def test_the_shifted_mean_is_the_smoothed_rate():
    base = PlattCalibrator().fit(*simulated(500))
    log_odds, y = np.linspace(-3, 3, 20), pd.Series([1.0] + [0.0] * 19)
    found = fit_intercept(base, log_odds, y).predict(log_odds).mean()
    assert found == pytest.approx((2 / 3 + 19 / 21) / 20)
    one_score = fit_intercept(base, np.zeros(20), y).predict([0.0])[0]
    assert logit(one_score) == pytest.approx(logit((2 / 3 + 19 / 21) / 20))


def test_a_cohort_of_one_class_cannot_recalibrate():
    base = PlattCalibrator().fit(*simulated(50))
    with pytest.raises(ModelError, match="3 of the 3 are resistant"):
        fit_intercept(base, [0.0, 1.0, 2.0], [1, 1, 1])
