"""What pairs of samples can say: sets of features, their signs, and what is planted in them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from models.change import feature_sets, predict_feature_set, predict_scores
from models.metrics import evaluate_predictions
from models.splits import grouped_splits

SIGNS = {"a": 1, "b": -1}


def paired(*, n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return patients, features before and on therapy: the fall of ``a`` goes with resistance."""
    rng = np.random.default_rng(seed)
    pre = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    change = rng.normal(size=n)
    on = pre + rng.normal(scale=0.3, size=(n, 3)) + 2.0
    on["a"] = pre["a"] + change + 5.0
    patients = pd.DataFrame(
        {
            "cohort": "x",
            "patient_id": [f"p{i}" for i in range(n)],
            "resistant": (rng.random(n) < expit(-3 * change)).astype(float),
        }
    )
    index = [f"x/p{i}" for i in range(n)]
    return patients.set_axis(index), pre.set_axis(index), on.set_axis(index)


def auroc_of(frame: pd.DataFrame) -> float:
    return evaluate_predictions(frame, n_resamples=2, seed=0)["auroc"].value


def test_sets_hold_what_their_names_say_and_signs_of_levels_alone():
    _, pre, on = paired()
    sets = feature_sets(pre, on, signs=SIGNS)
    assert list(sets) == ["pre", "on", "change", "pre_and_change", "pre_unsigned"]
    pd.testing.assert_frame_equal(sets["change"].features, on - pre)
    both = sets["pre_and_change"].features
    assert list(both) == ["pre.a", "pre.b", "pre.c", "change.a", "change.b", "change.c"]
    np.testing.assert_array_equal(both["change.b"], on["b"] - pre["b"])
    assert sets["pre"].signs == sets["on"].signs == {"a": 1, "b": -1, "c": 0}
    assert sets["change"].signs == sets["pre_unsigned"].signs == {}
    assert sets["pre_and_change"].signs == {"pre.a": 1, "pre.b": -1, "pre.c": 0}


def test_a_planted_change_is_found_by_the_change_though_against_the_sign():
    patients, pre, on = paired()
    splits = grouped_splits(patients, n_splits=5, n_repeats=1, seed=0)
    found = {
        name: auroc_of(predict_feature_set(patients, one, splits=splits, min_cohort_size=10))
        for name, one in feature_sets(pre, on, signs=SIGNS).items()
    }
    assert found["change"] > 0.85
    assert found["pre_and_change"] > 0.8
    assert abs(found["pre"] - 0.5) < 0.15
    # The sign of a level forbids what the level on therapy shows.
    assert found["on"] < 0.6


def test_what_moves_in_all_patients_and_the_unit_of_a_feature_change_nothing():
    patients, pre, on = paired()
    splits = grouped_splits(patients, n_splits=5, n_repeats=1, seed=0)
    first, moved = (
        predict_feature_set(
            patients,
            feature_sets(pre * unit, on * unit + shift, signs={})["change"],
            splits=splits,
            min_cohort_size=10,
        )
        for unit, shift in ((1.0, 0.0), (7.0, 3.0))
    )
    pd.testing.assert_frame_equal(first, moved, atol=1e-5, rtol=1e-5)


def test_without_signal_folds_do_not_rank_backwards():
    # Fixed: a fold that holds out many resistant patients trains on few; its base rate must not
    # enter the ranks, which would put AUROCs far below 0.5.
    patients, pre, _ = paired(n=40, seed=3)
    noise = np.random.default_rng(5).normal(size=pre.shape) * 1e-9
    constant = feature_sets(pre * 0 + noise, pre, signs={"a": 1, "b": 1, "c": 1})["pre"]
    labels = np.repeat([1.0, 0.0], [33, 7])
    values = []
    for seed in range(10):
        drawn = patients.assign(resistant=np.random.default_rng(seed).permutation(labels))
        splits = grouped_splits(drawn, n_splits=5, n_repeats=1, seed=seed)
        frame = predict_feature_set(drawn, constant, splits=splits, min_cohort_size=10)
        values.append(auroc_of(frame))
    assert np.mean(values) == pytest.approx(0.5, abs=0.1)


def test_scores_rank_as_they_stand_and_the_prior_ranks_nobody():
    patients, pre, on = paired()
    splits = grouped_splits(patients, n_splits=5, n_repeats=2, seed=0)
    scores = pd.DataFrame({"fall": pre["a"] - on["a"]})
    found = predict_scores(patients, scores, splits=splits, min_cohort_size=10)
    assert set(found) == {"fall", "prior"}
    fall = found["fall"]
    np.testing.assert_array_equal(fall["score"], scores["fall"].loc[fall.index])
    assert fall["probability"].between(0, 1).all()
    assert (found["prior"]["score"] == 0).all()
    share = patients["resistant"].mean()
    assert found["prior"]["probability"].to_numpy() == pytest.approx(share, abs=0.03)


def test_a_patients_label_never_enters_its_own_prediction():
    patients, pre, on = paired()
    change = feature_sets(pre, on, signs={})["change"]
    splits = grouped_splits(patients, n_splits=5, n_repeats=1, seed=0)
    held_out = patients.index[splits[0].test]
    flipped = patients.copy()
    flipped.loc[held_out, "resistant"] = 1.0 - flipped.loc[held_out, "resistant"]
    first, second = (
        predict_feature_set(table, change, splits=splits[:1], min_cohort_size=10)["score"]
        for table in (patients, flipped)
    )
    pd.testing.assert_series_equal(first, second)
