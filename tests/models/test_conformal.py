import logging

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.classification import SplitConformalClassifier
from scipy.special import expit
from scipy.stats import norm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import balanced_accuracy_score, brier_score_loss

from features.errors import ConfigError, ModelError
from models.abstention import coverage_table, expected_two_label_share, risk_coverage
from models.conformal import ConformalSets, set_names


class Sigmoid(ClassifierMixin, BaseEstimator):
    """What MAPIE asks for around scores that are there already."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - expit(X[:, 0]), expit(X[:, 0])])

    def predict(self, X):
        return (X[:, 0] > 0).astype(int)


def binormal(n_samples: int, *, distance: float, rng: np.random.Generator, prevalence: float = 0.5):
    y = (rng.random(n_samples) < prevalence).astype(int)
    return rng.normal(size=n_samples) + distance * y, y


def simulated_predictions(n_samples: int = 600, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score, y = binormal(n_samples, distance=1.5, rng=rng)
    return pd.DataFrame(
        {
            "cohort": np.where(np.arange(n_samples) % 3 == 0, "small", "large"),
            "patient_id": [f"p{i // 2}" for i in range(n_samples)],
            "resistant": y.astype(float),
            "score": score,
            "probability": expit(1.5 * score - 1.5**2 / 2),
        },
        index=[f"s{i}" for i in range(n_samples)],
    )


@pytest.mark.filterwarnings("ignore:WARNING")
@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9])
def test_sets_are_those_of_mapie_class_by_class(coverage):
    rng = np.random.default_rng(0)
    scores, y = binormal(150, distance=1.0, rng=rng)
    new, _ = binormal(500, distance=1.0, rng=rng)
    found = ConformalSets(coverage=coverage).fit(scores, y).predict_set(new)
    for label in (0, 1):
        own = y == label
        mapie = SplitConformalClassifier(Sigmoid(), confidence_level=coverage)
        mapie.conformalize(scores[own][:, None], y[own])
        expected = mapie.predict_set(new[:, None])[1][:, label, 0]
        np.testing.assert_array_equal(found[:, label], expected)


@pytest.mark.slow
@pytest.mark.parametrize("size", [9, 10, 15, 40])
def test_mean_coverage_is_what_the_finite_sample_promises(size):
    rng = np.random.default_rng(size)
    y = np.repeat([0, 1], size)
    promised = np.ceil((size + 1) * 0.9) / (size + 1)
    covered = np.empty((225, 2))
    for draw in covered:
        sets = ConformalSets().fit(rng.normal(size=2 * size) + y, y)
        draw[:] = norm.cdf(sets.most_responsive_), norm.sf(sets.least_resistant_ - 1)
    standard_error = covered.std(axis=0) / 15
    assert (np.abs(covered.mean(axis=0) - promised) < 4 * standard_error).all()


def test_a_class_with_too_few_samples_is_in_every_set_and_said_so(caplog):
    scores, y = np.r_[np.zeros(8), np.arange(20.0)], np.repeat([1, 0], [8, 20])
    with caplog.at_level(logging.WARNING):
        sets = ConformalSets().fit(scores, y)
    assert sets.n_calibration_ == (20, 8)
    assert sets.least_resistant_ == -np.inf
    assert sets.predict_set([-99.0, 99.0])[:, 1].all()
    assert "8 resistant calibration samples are too few for 90% coverage" in caplog.text


def test_no_calibration_samples_and_missing_scores_exclude_nothing():
    sets = ConformalSets().fit([], [])
    assert sets.predict_set([0.0]).all()
    rng = np.random.default_rng(0)
    scores, y = binormal(80, distance=3.0, rng=rng)
    whole = ConformalSets().fit(scores, y)
    padded = ConformalSets().fit(np.r_[scores, np.nan, 5.0], np.r_[y, 1.0, np.nan])
    assert padded.least_resistant_ == whole.least_resistant_
    assert padded.n_calibration_ == whole.n_calibration_
    np.testing.assert_array_equal(whole.predict_set([np.nan]), [[True, True]])


@given(seed=st.integers(0, 10_000), slope=st.floats(0.1, 50.0))
@settings(deadline=None, max_examples=20)
def test_rising_maps_and_the_order_of_samples_change_no_set(seed, slope):
    rng = np.random.default_rng(seed)
    scores, y = rng.integers(-6, 7, 60).astype(float), rng.integers(0, 2, 60)
    order = rng.permutation(60)
    plain = ConformalSets(coverage=0.8).fit(scores, y).predict_set(scores)
    moved = ConformalSets(coverage=0.8).fit(slope * scores[order] + 3, y[order])
    np.testing.assert_array_equal(plain, moved.predict_set(slope * scores + 3))


def test_names_follow_the_columns():
    names = set_names(np.array([[False, True], [True, False], [True, True], [False, False]]))
    assert list(names) == ["resistant", "responsive", "resistant|responsive", ""]
    assert pd.Series(names).dtype == "string"
    assert len(set_names(np.empty((0, 2)))) == 0


def test_thresholds_survive_skops(tmp_path):
    sets = ConformalSets().fit([0.0, 1.0], [0, 1])  # both thresholds infinite
    skops.io.dump(sets, tmp_path / "sets.skops")
    loaded = skops.io.load(tmp_path / "sets.skops", trusted=["models.conformal.ConformalSets"])
    assert loaded.least_resistant_ == -np.inf
    assert loaded.most_responsive_ == np.inf


def test_faults_are_named():
    with pytest.raises(ConfigError, match="coverage is 90; give one above 0 and below 1"):
        ConformalSets(coverage=90).fit([0.0], [1])
    with pytest.raises(ModelError, match=r"shapes \(2,\) and \(1,\)"):
        ConformalSets().fit([0.0, 1.0], [1])
    predictions = simulated_predictions(10)
    with pytest.raises(ModelError, match=r"shape \(9, 2\) for 10 predictions"):
        coverage_table(predictions, np.ones((9, 2)))
    with pytest.raises(ModelError, match="between 0 and 1"):
        risk_coverage(predictions, base_rate=1.0)
    with pytest.raises(ModelError, match="no labelled prediction"):
        risk_coverage(predictions.assign(resistant=np.nan), base_rate=0.5)
    with pytest.raises(ConfigError, match=r"AUROC 1\.2"):
        expected_two_label_share(1.2)


def test_coverage_table_counts_by_hand():
    predictions = pd.DataFrame(
        {
            "cohort": ["a", "a", "a", "b", "b"],
            "patient_id": ["1", "1", "2", "1", "2"],
            "resistant": [1.0, 1.0, 0.0, 1.0, np.nan],
        }
    )
    sets = np.array([[1, 1], [1, 0], [0, 0], [0, 1], [0, 1]], dtype=bool)
    table = coverage_table(predictions, sets, n_resamples=200).set_index(["cohort", "label"])
    assert table.loc[("pooled", "resistant"), "coverage"] == pytest.approx(2 / 3)
    assert table.loc[("pooled", "responsive"), "coverage"] == 0.0
    assert table.loc[("a", "resistant"), "coverage"] == 0.5
    shares = table.loc[("pooled", "all"), ["n_samples", "two_label", "one_label", "empty"]]
    assert list(shares) == [4, 0.25, 0.5, 0.25]
    assert ("b", "responsive") not in table.index
    # Both resistant samples of cohort a are one patient's: their coverage does not vary.
    assert table.loc[("a", "resistant"), ["low", "high"]].tolist() == [0.5, 0.5]


@pytest.mark.slow
def test_coverage_intervals_hold_the_truth_as_often_as_they_say():
    sets = ConformalSets()
    sets.least_resistant_, sets.most_responsive_ = 1.5 + norm.ppf(0.1), norm.ppf(0.9)
    held = []
    for seed in range(60):
        predictions = simulated_predictions(seed=seed).assign(patient_id=range(600))
        found = sets.predict_set(predictions["score"])
        table = coverage_table(predictions, found, n_resamples=200)
        row = table[(table["cohort"] == "pooled") & (table["label"] == "resistant")].iloc[0]
        held.append(row["low"] <= 0.9 <= row["high"])
        expected = np.sqrt(row["coverage"] * (1 - row["coverage"]) / row["n_samples"])
        assert row["standard_error"] == pytest.approx(expected, rel=0.25)
    assert np.mean(held) > 0.87


@pytest.mark.parametrize("auroc", [0.5, 0.62, 0.8, 0.99])
@pytest.mark.parametrize("prevalence", [0.2, 0.7])
def test_expected_two_label_share_is_that_of_simulated_binormal_scores(auroc, prevalence):
    rng = np.random.default_rng(0)
    distance = np.sqrt(2) * norm.ppf(auroc)
    scores, y = binormal(40_000, distance=distance, rng=rng, prevalence=prevalence)
    sets = ConformalSets(coverage=0.9).fit(scores, y)
    new, _ = binormal(40_000, distance=distance, rng=rng, prevalence=prevalence)
    measured = (sets.predict_set(new).sum(axis=1) == 2).mean()
    assert measured == pytest.approx(expected_two_label_share(auroc, coverage=0.9), abs=0.015)


def test_useless_scores_leave_twice_the_coverage_less_one_and_perfect_ones_nothing():
    assert expected_two_label_share(0.5, coverage=0.9) == pytest.approx(0.8)
    assert expected_two_label_share(1.0, coverage=0.9) == 0.0


def test_risk_coverage_equals_scikit_learn_on_the_samples_kept():
    predictions = simulated_predictions()
    found = risk_coverage(predictions, base_rate=0.4, n_resamples=50)
    curve = found.curve.set_index("share")
    certainty = np.abs(
        np.log(predictions["probability"] / (1 - predictions["probability"])) - np.log(0.4 / 0.6)
    )
    for share in (1.0, 0.7, 0.1):
        kept = predictions.loc[certainty.nlargest(round(share * 600)).index]
        row = curve.loc[share]
        assert row["n_samples"] == len(kept)
        expected = brier_score_loss(kept["resistant"], kept["probability"])
        assert row["brier"] == pytest.approx(expected)
        called = kept["probability"] >= 0.4
        expected = balanced_accuracy_score(kept["resistant"], called)
        assert row["balanced_accuracy"] == pytest.approx(expected)
    gained = curve.loc[0.7, "brier"] - curve.loc[1.0, "brier"]
    assert found.brier_difference.value == pytest.approx(gained)


@pytest.mark.slow
def test_calibrated_probabilities_gain_by_declining_and_noise_does_not():
    predictions = simulated_predictions(1500)
    found = risk_coverage(predictions, base_rate=0.5, n_resamples=300)
    assert found.brier_difference.high < 0
    assert found.balanced_accuracy_difference.low > 0
    noise = predictions.assign(probability=np.random.default_rng(1).uniform(0.3, 0.7, 1500))
    lost = risk_coverage(noise, base_rate=0.5, n_resamples=300)
    assert lost.balanced_accuracy_difference.low < 0 < lost.balanced_accuracy_difference.high


def test_one_certainty_for_all_means_that_declining_changes_nothing():
    predictions = simulated_predictions().assign(probability=0.6)
    found = risk_coverage(predictions, base_rate=0.5, n_resamples=50)
    np.testing.assert_allclose(found.curve["brier"], found.curve["brier"].iloc[0])
    assert found.brier_difference.low == pytest.approx(0.0, abs=1e-12)


def test_order_of_samples_ties_and_unlabelled_samples_do_not_matter():
    predictions = simulated_predictions(200)
    predictions["probability"] = predictions["probability"].round(1).clip(0.1, 0.9)
    rates = pd.Series(np.linspace(0.4, 0.6, 200).round(1), index=predictions.index)
    plain = risk_coverage(predictions, base_rate=rates, n_resamples=20)
    extra = predictions.iloc[:3].assign(resistant=np.nan, cohort="unlabelled")
    padded = pd.concat([predictions, extra]).iloc[::-1]
    padded_rates = pd.concat([rates, rates.iloc[:3]]).iloc[::-1]
    again = risk_coverage(padded, base_rate=padded_rates, n_resamples=20)
    columns = ["share", "n_samples", "brier", "balanced_accuracy"]
    pd.testing.assert_frame_equal(plain.curve[columns], again.curve[columns])
