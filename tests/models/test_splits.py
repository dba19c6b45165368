import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import CohortError
from models.splits import (
    Split,
    check_splits,
    grouped_splits,
    inner_splits,
    leave_one_cohort_out_splits,
    leave_one_tumour_type_out_splits,
    patient_keys,
    splits_table,
)


def samples(n: int = 60, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "cohort": rng.choice(["a", "b", "c"], n),
            "patient_id": [f"Pt{i}" for i in rng.integers(0, n // 3, n)],
            "resistant": rng.choice([0.0, 1.0, np.nan], n, p=[0.4, 0.5, 0.1]),
        },
        index=[f"s{i}" for i in range(n)],
    )


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_a_patients_samples_never_straddle_a_split(seed):
    frame = samples(seed=seed)
    plans = [
        leave_one_cohort_out_splits(frame),
        grouped_splits(frame, n_splits=3, n_repeats=2, seed=seed),
    ]
    keys = patient_keys(frame).to_numpy()
    for splits in plans:
        check_splits(frame, splits)
        for split in splits:
            assert not set(keys[split.train]) & set(keys[split.test])


def test_grouped_folds_test_every_labelled_sample_once_a_repeat():
    frame = samples()
    splits = grouped_splits(frame, n_splits=3, n_repeats=2, seed=0)
    labelled = set(np.flatnonzero(frame["resistant"].notna()))
    for repeat in ("repeat0", "repeat1"):
        tested = np.concatenate([s.test for s in splits if s.name.startswith(repeat)])
        assert sorted(tested) == sorted(labelled)


def test_leave_one_cohort_out_holds_out_each_cohort_whole():
    frame = samples()
    for split in leave_one_cohort_out_splits(frame):
        assert set(frame["cohort"].iloc[split.test]) == {split.name}
        assert split.name not in set(frame["cohort"].iloc[split.train])


def test_a_leak_is_named():
    frame = pd.DataFrame(
        {"cohort": "a", "patient_id": ["p1", "p1", "p2"], "resistant": [0.0, 0.0, 1.0]}
    )
    leak = Split("leaky", np.array([0, 2]), np.array([1]))
    with pytest.raises(
        CohortError, match=r"split 'leaky' has 1 patients on both sides: a/p1; keep"
    ):
        check_splits(frame, [leak])


def test_too_few_cohorts_or_patients_are_refused():
    frame = samples()
    with pytest.raises(CohortError, match="at least two cohorts"):
        leave_one_cohort_out_splits(frame[frame["cohort"] == "a"])
    with pytest.raises(CohortError, match=r"50 folds need at least 50 patients"):
        grouped_splits(frame, n_splits=50, n_repeats=1, seed=0)


def test_the_table_tells_every_sample_of_every_split():
    frame = samples(30)
    splits = leave_one_cohort_out_splits(frame)
    table = splits_table(frame, splits)
    assert len(table) == len(frame) * len(splits)
    assert set(table["side"]) == {"train", "test"}


def test_leave_one_tumour_type_out_holds_out_each_type_whole():
    frame = samples().assign(cancer_type=lambda t: t["cohort"].map({"a": "lung", "b": "skin"}))
    splits = leave_one_tumour_type_out_splits(frame)
    assert [split.name for split in splits] == ["lung", "skin", "unstated"]
    for split in splits:
        held_out = frame["cancer_type"].fillna("unstated") == split.name
        np.testing.assert_array_equal(split.test, np.flatnonzero(held_out))
        np.testing.assert_array_equal(split.train, np.flatnonzero(~held_out))


def test_a_tumour_type_whose_absence_leaves_one_class_is_no_split():
    frame = samples().assign(cancer_type="lung")
    frame.loc[frame["cohort"] == "a", "cancer_type"] = "skin"
    frame.loc[frame["cohort"] == "a", "resistant"] = 1.0
    assert [split.name for split in leave_one_tumour_type_out_splits(frame)] == ["skin"]
    assert leave_one_tumour_type_out_splits(frame.assign(cancer_type="lung")) == []


def test_inner_splits_leave_one_training_cohort_out():
    frame = samples()
    for split in leave_one_cohort_out_splits(frame):
        inner = inner_splits(frame, split.train)
        assert [part.name for part in inner] == [name for name in "abc" if name != split.name]
        for part in inner:
            assert set(frame["cohort"].iloc[part.test]) == {part.name}
            assert set(part.train) | set(part.test) == set(split.train)


def test_inner_splits_of_one_cohort_are_folds_of_its_patients():
    frame = samples().sort_values("cohort")
    train = np.flatnonzero(frame["cohort"] == "b")
    inner = inner_splits(frame, train)
    check_splits(frame, inner)
    assert len(inner) == 3
    labelled = train[frame["resistant"].iloc[train].notna()]
    np.testing.assert_array_equal(np.sort(np.concatenate([p.test for p in inner])), labelled)


def test_cohorts_of_one_class_each_are_folded_by_patient():
    frame = pd.DataFrame(
        {
            "cohort": np.repeat(["a", "b"], 6),
            "patient_id": [f"p{i}" for i in range(12)],
            "resistant": np.repeat([0.0, 1.0], 6),
        }
    )
    for part in inner_splits(frame, np.arange(12)):
        assert set(frame["resistant"].iloc[part.train]) == {0.0, 1.0}


def test_a_training_part_with_a_single_patient_of_a_class_is_refused():
    frame = pd.DataFrame(
        {"cohort": "a", "patient_id": ["p1", "p1", "p2", "p3"], "resistant": [1.0, 1.0, 0.0, 0.0]}
    )
    with pytest.raises(CohortError, match=r"\(a\) has a single patient of one class.*add cohorts"):
        inner_splits(frame, np.arange(4))


def test_a_sample_under_two_names_is_refused_on_two_sides_only():
    frame = samples(30)
    duplicates = pd.DataFrame({"sample": ["s2"], "other": ["s9"]})
    outside = Split("apart", np.array([2, 4]), np.array([5]))
    beside = Split("together", np.array([2, 9]), np.array([5]))
    check_splits(frame.assign(patient_id=frame.index), [outside, beside], duplicates=duplicates)
    for train, test in (([2, 4], [9]), ([9], [1, 2])):
        leak = Split("leaky", np.array(train), np.array(test))
        with pytest.raises(CohortError, match=r"split 'leaky' has 1 samples .*: s2 = s9"):
            check_splits(
                frame.assign(patient_id=frame.index), [outside, leak], duplicates=duplicates
            )


def test_a_tumour_type_whose_absence_leaves_nothing_to_calibrate_is_no_split():
    frame = pd.DataFrame(
        {
            "cohort": ["a"] * 20 + ["b"] * 20 + ["lung"] * 20,
            "cancer_type": ["melanoma"] * 40 + ["NSCLC"] * 20,
            "patient_id": [f"p{i}" for i in range(60)],
            "resistant": [0.0, 1.0] * 20 + [1.0] + [0.0] * 19,
        }
    )
    assert [split.name for split in leave_one_tumour_type_out_splits(frame)] == ["NSCLC"]
