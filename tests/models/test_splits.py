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
    leave_one_cohort_out_splits,
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
    with pytest.raises(CohortError, match=r"split 'leaky' has 1 patients on both sides: a/p1"):
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
