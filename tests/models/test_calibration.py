import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from models.calibration import PlattCalibrator


def test_slope_and_intercept_are_found_again():
    rng = np.random.default_rng(0)
    log_odds = rng.normal(size=20000) * 2
    y = rng.random(20000) < expit(0.4 * log_odds + 0.7)
    calibrator = PlattCalibrator().fit(log_odds, y)
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


def test_a_ranking_is_never_turned_round():
    log_odds = np.linspace(-2, 2, 100)
    calibrator = PlattCalibrator().fit(log_odds, log_odds < 0)
    probability = calibrator.predict(log_odds)
    assert (np.diff(probability) > 0).all()
    assert np.ptp(probability) < 0.01
    assert probability.mean() == pytest.approx(0.5, abs=0.02)
