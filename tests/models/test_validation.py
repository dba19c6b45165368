import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.errors import CohortError
from models.classifier import ResistanceClassifier
from models.metrics import evaluate_predictions
from models.signatures import SIGNATURES
from models.splits import Split, grouped_splits, leave_one_cohort_out_splits
from models.validation import predict_baselines, predict_out_of_fold, shuffle_labels


def simulated(*, effect: float = 2.0, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four cohorts of 30; feature a drives resistance, batch shifts every feature by cohort."""
    rng = np.random.default_rng(seed)
    cohort = np.repeat(["w", "x", "y", "z"], 30)
    X = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    resistant = (rng.random(120) < expit(effect * X["a"])).astype(float)
    resistant[::17] = np.nan
    X += pd.Series(cohort).map({"w": 0.0, "x": 3.0, "y": -2.0, "z": 9.0}).to_numpy()[:, None]
    samples = pd.DataFrame(
        {"cohort": cohort, "patient_id": [f"p{i // 2}" for i in range(120)], "resistant": resistant}
    )
    index = [f"s{i}" for i in range(120)]
    return X.set_axis(index), samples.set_axis(index)


def run(X, samples, splits=None, **options):
    return predict_out_of_fold(
        samples,
        splits or leave_one_cohort_out_splits(samples),
        features_of=lambda cohorts: X,
        make_classifier=lambda: ResistanceClassifier(n_seeds=1, n_estimators=60),
        min_cohort_size=15,
        **{"standardisation": "cohort", **options},
    )


def test_planted_signal_is_found_out_of_cohort_whatever_the_batch():
    X, samples = simulated()
    found = run(X, samples)
    estimates = evaluate_predictions(found.predictions, n_resamples=50, seed=0)
    assert estimates["auroc"].value > 0.75
    assert set(found.predictions.index) == set(samples.index)


def test_the_features_of_a_split_are_learned_without_the_cohort_held_out():
    X, samples = simulated()
    asked = []

    def features_of(cohorts):
        asked.append(tuple(cohorts))
        return X

    splits = leave_one_cohort_out_splits(samples)
    predict_out_of_fold(
        samples,
        splits,
        features_of=features_of,
        make_classifier=lambda: ResistanceClassifier(n_seeds=1, n_estimators=5),
        standardisation="reference",
        min_cohort_size=15,
    )
    assert asked == [tuple(c for c in "wxyz" if c != split.name) for split in splits]


def test_labels_of_the_held_out_cohort_never_enter_its_predictions():
    X, samples = simulated()
    changed = samples.copy()
    rows = changed["cohort"] == "z"
    changed.loc[rows, "resistant"] = 1.0 - changed.loc[rows, "resistant"]
    for arm in ("cohort", "reference"):
        first = run(X, samples, standardisation=arm).predictions
        second = run(X, changed, standardisation=arm).predictions
        columns = ["score", "probability"]
        pd.testing.assert_frame_equal(first.loc[rows, columns], second.loc[rows, columns])


def test_attributions_sum_to_the_calibrated_log_odds():
    X, samples = simulated()
    found = run(X, samples, with_attributions=True)
    total = found.attributions.values.sum(axis=1) + found.attributions.base_value
    np.testing.assert_allclose(expit(total), found.predictions["probability"], atol=1e-6)


def test_shuffled_labels_give_no_signal():
    X, samples = simulated(effect=3.0)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(20):
        null = run(X, shuffle_labels(samples, rng=rng), calibrate=False).predictions
        values.append(evaluate_predictions(null, n_resamples=10, seed=0)["auroc"].value)
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - 0.5) < 2.1 * error + 0.01


def test_shuffling_keeps_each_cohorts_labels():
    _, samples = simulated()
    shuffled = shuffle_labels(samples, rng=np.random.default_rng(1))
    counts = samples.groupby("cohort")["resistant"].sum()
    pd.testing.assert_series_equal(shuffled.groupby("cohort")["resistant"].sum(), counts)
    assert shuffled["resistant"].isna().equals(samples["resistant"].isna())
    assert not shuffled["resistant"].equals(samples["resistant"])


def test_a_patient_on_both_sides_stops_the_validation():
    X, samples = simulated()
    leak = Split("leaky", np.arange(0, 119), np.array([119]))
    with pytest.raises(CohortError, match="patients on both sides"):
        run(X, samples, splits=[leak])


def test_grouped_folds_calibrate_inside_too():
    X, samples = simulated()
    folds = grouped_splits(samples, n_splits=3, n_repeats=1, seed=0)
    found = run(X, samples, splits=folds).predictions
    assert found["probability"].between(0, 1).all()
    assert evaluate_predictions(found, n_resamples=20, seed=0)["brier"].value < 0.25


def test_baselines_are_predicted_on_the_same_samples():
    _, samples = simulated()
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(
        rng.normal(size=(120, len(SIGNATURES))), columns=list(SIGNATURES), index=samples.index
    )
    found = predict_baselines(
        samples,
        leave_one_cohort_out_splits(samples),
        scores=scores,
        standardisation="cohort",
        min_cohort_size=15,
    )
    assert set(found) == {*SIGNATURES, "prior"}
    for baseline in found.values():
        assert set(baseline.predictions.index) == set(samples.index)
    prior = found["prior"].predictions
    held = samples["cohort"] == "w"
    expected = samples.loc[~held, "resistant"].mean()
    assert prior.loc[held, "probability"].iloc[0] == pytest.approx(expected)
