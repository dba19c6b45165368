import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import confusion_matrix

from features.errors import ConfigError
from models.decision import decision_curve, threshold_figures


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0.4, 1.2, 160)
    return pd.DataFrame(
        {
            "cohort": np.repeat(["a", "b"], 80),
            "patient_id": [f"p{i // 2}" for i in range(160)],
            "resistant": (rng.random(160) < expit(log_odds)).astype(float),
            "probability": expit(log_odds),
        },
        index=[f"s{i}" for i in range(160)],
    )


def counts(frame: pd.DataFrame, threshold: float) -> tuple[int, int, int, int]:
    called = (frame["probability"] >= threshold).astype(int)
    return tuple(confusion_matrix(frame["resistant"], called).ravel())


def test_net_benefit_is_true_minus_weighed_false_positives(frame):
    table = decision_curve(frame, thresholds=[0.2, 0.5, 0.8], n_resamples=50, seed=0)
    prevalence = frame["resistant"].mean()
    for row in table.itertuples():
        odds = row.threshold / (1 - row.threshold)
        _, false, _, true = counts(frame, row.threshold)
        assert row.net_benefit == pytest.approx(true / 160 - false / 160 * odds)
        assert row.all_resistant == pytest.approx(prevalence - (1 - prevalence) * odds)
        assert row.low < row.net_benefit < row.high
    assert (table["none_resistant"] == 0).all()


def test_a_model_that_calls_everyone_has_the_benefit_of_calling_everyone(frame):
    table = decision_curve(
        frame.assign(probability=0.999), thresholds=[0.1, 0.6], n_resamples=10, seed=0
    )
    np.testing.assert_allclose(table["net_benefit"], table["all_resistant"])


def test_a_perfect_model_gains_the_prevalence_everywhere(frame):
    perfect = frame.assign(probability=0.99 * frame["resistant"])
    table = decision_curve(perfect, thresholds=np.linspace(0.05, 0.95, 5), n_resamples=5, seed=0)
    np.testing.assert_allclose(table["net_benefit"], frame["resistant"].mean())


def test_figures_at_thresholds_are_those_of_the_confusion_matrix(frame):
    found = threshold_figures(frame, thresholds=[0.4, 0.7], n_resamples=100, seed=0)
    for threshold, part in found.groupby("threshold"):
        tn, fp, fn, tp = counts(frame, threshold)
        expected = {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "share_called": (tp + fp) / 160,
        }
        values = part.set_index("figure")["value"]
        assert values.to_dict() == pytest.approx(expected)
        assert part.set_index("figure").loc["ppv", "n"] == tp + fp
    assert (found["low"] < found["value"]).all()
    assert (found["value"] < found["high"]).all()


def test_shares_of_no_samples_are_nan(frame):
    found = threshold_figures(
        frame.assign(probability=0.9), thresholds=[0.5], n_resamples=10, seed=0
    ).set_index("figure")
    assert found.loc["npv", "n"] == 0
    assert np.isnan(found.loc["npv", ["value", "low", "high"]].astype(float)).all()
    assert found.loc["sensitivity", "value"] == 1.0


def test_unlabelled_samples_and_missing_probabilities_are_left_out(frame):
    holes = frame.copy()
    holes.iloc[0, holes.columns.get_loc("resistant")] = np.nan
    holes.iloc[1, holes.columns.get_loc("probability")] = np.nan
    found = decision_curve(holes, thresholds=[0.5], n_resamples=10, seed=0)
    pd.testing.assert_frame_equal(
        found, decision_curve(frame.iloc[2:], thresholds=[0.5], n_resamples=10, seed=0)
    )
    nothing = decision_curve(frame.iloc[:0], thresholds=[0.5], n_resamples=10, seed=0)
    assert np.isnan(nothing.loc[0, "net_benefit"])


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.2, float("nan")])
def test_thresholds_that_are_no_probability_are_refused(frame, threshold):
    with pytest.raises(ConfigError, match="thresholds hold"):
        decision_curve(frame, thresholds=[0.5, threshold], n_resamples=5, seed=0)
