"""The plan of a single cohort: repeated folds of patients, and the null on the first of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.errors import CohortError
from models import power
from models.plan import make_nested_plan, make_plan
from models.power import null_auroc
from models.tuning import Tuner


@pytest.fixture
def samples() -> pd.DataFrame:
    """Return thirty samples of twenty patients, ten of whom have two."""
    patients = [f"p{i % 20:02d}" for i in range(30)]
    return pd.DataFrame(
        {
            "cohort": "only",
            "patient_id": patients,
            "cancer_type": "melanoma",
            "resistant": [float(i % 2) for i in range(30)],
        },
        index=[f"only/s{i:02d}" for i in range(30)],
    )


def test_the_plan_has_folds_of_patients_alone(samples: pd.DataFrame) -> None:
    plan = make_nested_plan(samples, n_splits=5, n_repeats=3, seed=0)
    assert list(plan.schemes) == ["nested"]
    names = [split.name for split in plan.schemes["nested"]]
    assert names == [f"repeat{r}.fold{f}" for r in range(3) for f in range(5)]
    for repeat in range(3):
        tested = [s.test for s in plan.schemes["nested"] if s.name.startswith(f"repeat{repeat}.")]
        assert sorted(np.concatenate(tested)) == list(range(30))


def test_no_patient_stands_on_both_sides_of_a_split_or_of_one_within(
    samples: pd.DataFrame,
) -> None:
    table = make_nested_plan(samples, n_splits=5, n_repeats=2, seed=1).table()
    sides = table.groupby(["split", "inner", "patient_id"])["side"].nunique()
    assert (sides == 1).all()
    outer = table[table["inner"] == ""]
    tested = outer[outer["side"] == "test"].groupby("split")["sample"].agg(set)
    inner = table[table["inner"] != ""].groupby("split")["sample"].agg(set)
    assert all(tested[split].isdisjoint(inner[split]) for split in tested.index)


def test_the_folds_are_those_that_several_cohorts_would_have(samples: pd.DataFrame) -> None:
    more = pd.concat(
        [samples, samples.assign(cohort="other").rename(index=lambda n: n.replace("only", "other"))]
    )
    nested = make_plan(more, n_splits=4, n_repeats=2, seed=3).schemes["nested"]
    alone = make_nested_plan(more, n_splits=4, n_repeats=2, seed=3).schemes["nested"]
    for one, other in zip(nested, alone, strict=True):
        assert one.name == other.name
        assert np.array_equal(one.test, other.test)


def test_a_sample_under_two_names_is_refused(samples: pd.DataFrame) -> None:
    pairs = pd.DataFrame({"sample": ["only/s00"], "other": ["only/s01"], "similarity": [1.0]})
    with pytest.raises(CohortError, match=r"under two names.*only/s00 = only/s01"):
        make_nested_plan(samples, n_splits=5, n_repeats=1, seed=0, duplicates=pairs)


@pytest.mark.parametrize("scheme", ["nested", "loco"])
def test_labels_are_shuffled_on_the_first_repeat_alone(
    scheme: str, samples: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_nested_plan(samples, n_splits=5, n_repeats=3, seed=0)
    if scheme == "loco":
        other = samples.assign(cohort="other").rename(index=lambda n: n.replace("only", "other"))
        plan = make_plan(pd.concat([samples, other]), n_splits=2, n_repeats=2, seed=0)
    seen: list[list[str]] = []

    def predict(learner: Any, splits: Any, **told: Any) -> Any:
        seen.append([split.name for split in splits])
        frame = samples.assign(score=0.0, probability=0.5, prior=0.5, split="x")
        return SimpleNamespace(predictions=frame)

    monkeypatch.setattr(power, "predict_out_of_fold", predict)
    learner = SimpleNamespace(with_labels_shuffled=lambda rng, by_patient: None)
    found = null_auroc(
        learner,  # type: ignore[arg-type]
        plan,
        tuner=Tuner((), trials=1),
        permutations=2,
        seed=0,
        scheme=scheme,
    )
    assert found["auroc"].tolist() == [0.5, 0.5]
    expected = [f"repeat0.fold{f}" for f in range(5)] if scheme == "nested" else ["only", "other"]
    assert [sorted(names) for names in seen] == [expected, expected]
