import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from features.errors import ModelError
from models.metrics import (
    area_under_precision_recall,
    area_under_roc,
    brier_score,
    check_predictions,
    cohort_generator,
    evaluate_predictions,
    expected_calibration_error,
    pairs_won,
    patient_resamples,
    read_estimate,
    stratified_resamples,
)


@st.composite
def weighted_scores(draw):
    size = draw(st.integers(4, 40))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    y = np.r_[0.0, 1.0, rng.integers(0, 2, size - 2)]
    score = rng.integers(0, draw(st.integers(2, 30)), size).astype(float)
    weights = rng.integers(0, 4, size).astype(float)
    weights[:2] = 1.0
    return y, score, weights


@given(weighted_scores())
@settings(deadline=None, max_examples=60)
def test_weighted_metrics_equal_those_of_scikit_learn(case):
    y, score, weights = case
    rows = weights[None, :]
    probability = (score - score.min()) / max(np.ptp(score), 1.0)
    assert area_under_roc(y, score, rows)[0] == pytest.approx(
        roc_auc_score(y, score, sample_weight=weights)
    )
    assert area_under_precision_recall(y, score, rows)[0] == pytest.approx(
        average_precision_score(y, score, sample_weight=weights)
    )
    assert brier_score(y, probability, rows)[0] == pytest.approx(
        brier_score_loss(y, probability, sample_weight=weights)
    )


def test_calibration_error_is_zero_for_bins_that_match_and_known_where_they_do_not():
    probability = np.repeat([0.2, 0.8], 50)
    y = np.r_[np.tile([1, 0, 0, 0, 0], 10), np.tile([1, 1, 1, 1, 0], 10)].astype(float)
    ones = np.ones((1, 100))
    assert expected_calibration_error(y, probability, ones)[0] == pytest.approx(0.0)
    assert expected_calibration_error(y, probability + 0.1, ones)[0] == pytest.approx(0.1)


def test_calibration_error_does_not_depend_on_the_order_of_ties():
    rng = np.random.default_rng(0)
    probability = rng.choice([0.3, 0.5, 0.7], 90)
    y = rng.integers(0, 2, 90).astype(float)
    weights = rng.integers(0, 3, (5, 90)).astype(float)
    order = np.lexsort((y, probability))
    found = expected_calibration_error(y, probability, weights)
    shuffled = expected_calibration_error(y[order], probability[order], weights[:, order])
    np.testing.assert_allclose(found, shuffled)
    alike = np.full(100, 0.5)
    sorted_labels = np.repeat([0.0, 1.0], 50)
    ones = np.ones((1, 100))
    assert expected_calibration_error(sorted_labels, alike, ones)[0] == pytest.approx(0.0)


def test_a_cohorts_interval_does_not_depend_on_the_cohorts_beside_it():
    frame = predictions(120, effect=1.0, seed=2)
    together = evaluate_predictions(frame, n_resamples=50, seed=0)["two.auroc"]
    alone = evaluate_predictions(frame[frame["cohort"] == "two"], n_resamples=50, seed=0)
    assert alone["auroc"] == together


def test_a_patients_samples_are_drawn_together():
    patients = pd.Series(["p1", "p1", "p2", "p3"])
    weights = patient_resamples(patients, count=200, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(weights[0], 1.0)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    per_patient = weights[:, [0, 2, 3]].sum(axis=1)
    np.testing.assert_array_equal(per_patient, 3.0)


def predictions(n: int, *, effect: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(float)
    score = rng.normal(size=n) + effect * y
    return pd.DataFrame(
        {
            "cohort": np.where(np.arange(n) < n // 2, "one", "two"),
            "patient_id": [f"p{i}" for i in range(n)],
            "resistant": y,
            "score": score,
            "probability": 0.5,
        }
    )


def test_cohort_means_and_pooled_figures_are_what_their_names_say():
    frame = predictions(120, effect=1.0, seed=2)
    found = evaluate_predictions(frame, n_resamples=200, seed=0)
    own = [roc_auc_score(part["resistant"], part["score"]) for _, part in frame.groupby("cohort")]
    assert found["auroc"].value == pytest.approx(np.mean(own))
    assert found["one.auroc"].value == pytest.approx(own[0])
    assert found["brier"].value == pytest.approx(0.25)
    assert found["auroc"].low < found["auroc"].value < found["auroc"].high


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = 0.7602  # P(N(1, 1) > N(0, 1))
    covered = 0
    for seed in range(60):
        found = evaluate_predictions(
            predictions(160, effect=1.0, seed=seed), n_resamples=200, seed=seed
        )["auroc"]
        covered += found.low <= truth <= found.high
    assert covered >= 50


def test_cohorts_with_one_class_and_missing_scores_are_left_out_of_the_mean():
    frame = predictions(60, effect=2.0, seed=1)
    frame.loc[frame["cohort"] == "two", "resistant"] = 1.0
    found = evaluate_predictions(frame, n_resamples=50, seed=0)
    assert "two.auroc" not in found
    assert found["auroc"].value == pytest.approx(found["one.auroc"].value)
    assert "auroc" not in evaluate_predictions(frame.assign(score=np.nan), n_resamples=50, seed=0)


def test_resamples_of_a_cohort_are_the_same_with_and_without_others():
    frame = predictions(60, effect=1.0, seed=1)
    together = stratified_resamples(frame, count=20, seed=3)
    alone = stratified_resamples(frame[frame["cohort"] == "two"], count=20, seed=3)
    np.testing.assert_array_equal(together[:, 30:], alone)
    np.testing.assert_array_equal(together[0], 1.0)
    np.testing.assert_array_equal(together[:, :30].sum(axis=1), 30.0)


def test_streams_of_a_cohorts_random_numbers_differ():
    first, second = (cohort_generator(0, "a", stream=stream).random(5) for stream in (0, 1))
    assert not np.isclose(first, second).any()


def test_pairs_won_over_all_pairs_are_the_area_under_the_curve():
    frame = predictions(80, effect=1.0, seed=3)
    y, score = frame["resistant"].to_numpy(), frame["score"].to_numpy()
    won, total = pairs_won(y, score, np.ones((1, 80)))
    assert total[0] == y.sum() * (1 - y).sum()
    assert won[0] / total[0] == pytest.approx(roc_auc_score(y, score))


def test_a_calibration_error_can_be_had_for_many_sets_of_labels_at_once():
    rng = np.random.default_rng(0)
    probability = rng.random(50).round(1)
    labels = rng.integers(0, 2, (4, 50)).astype(float)
    ones = np.ones((1, 50))
    alone = [expected_calibration_error(y, probability, ones)[0] for y in labels]
    together = expected_calibration_error(labels, probability, np.ones((4, 50)))
    np.testing.assert_allclose(together, alone)


def test_a_figure_that_is_never_defined_has_no_interval():
    found = read_estimate(np.full(10, np.nan))
    assert np.isnan([found.value, found.low, found.high, found.standard_error]).all()


def test_predictions_without_a_column_or_with_repeated_samples_are_refused():
    frame = predictions(6, effect=1.0, seed=0)
    with pytest.raises(ModelError, match=r"lack the columns \['prior'\]"):
        check_predictions(frame, ["score", "prior"], where="the predictions")
    twice = pd.concat([frame, frame.iloc[:2]])
    with pytest.raises(ModelError, match="several rows of 2 samples"):
        check_predictions(twice, ["score"], where="the predictions")
