"""Splits inside tumour types: nothing of another type, no patient on both sides."""

import numpy as np
import pandas as pd
import pytest

from models.plan import make_plan
from models.splits import check_splits
from models.type_splits import too_few_patients, within_type_splits

OPTIONS = {"n_splits": 5, "n_repeats": 2, "seed": 0}


def typed_samples(**resistant: int) -> pd.DataFrame:
    """Return cohorts of 20, two melanoma and one each of lung, kidney and an unstated type.

    ``resistant`` tells how many of a cohort's samples are; half by default.
    """
    types = {"a": "melanoma", "b": "melanoma", "c": "lung", "d": "kidney", "e": None}
    parts = []
    for cohort, name in types.items():
        labels = (np.arange(20) < resistant.get(cohort, 10)).astype(float)
        patients = [f"p{i}" for i in range(20)]
        part = {"cohort": cohort, "cancer_type": name, "patient_id": patients, "resistant": labels}
        parts.append(pd.DataFrame(part, index=[f"{cohort}{i}" for i in range(20)]))
    return pd.concat(parts).sample(frac=1, random_state=0)


def names(splits) -> list[str]:
    return [split.name for split in splits]


def test_cohorts_of_a_type_are_left_out_and_a_lone_cohort_is_folded():
    samples = typed_samples()
    found = names(within_type_splits(samples, **OPTIONS))
    folds = [f"repeat{r}.fold{f}" for r in (0, 1) for f in range(5)]
    expected = [f"{kind}/{fold}" for kind in ("kidney", "lung") for fold in folds]
    expected += ["melanoma/a", "melanoma/b", *(f"unstated/{fold}" for fold in folds)]
    assert found == expected


def test_nothing_of_another_type_is_in_a_split():
    samples = typed_samples()
    types = samples["cancer_type"].fillna("unstated").to_numpy()
    splits = within_type_splits(samples, **OPTIONS)
    check_splits(samples, splits)
    for split in splits:
        inside = np.concatenate([split.train, split.test])
        assert set(types[inside]) == {split.name.split("/")[0]}
        assert len(inside) == (types == types[inside][0]).sum()


def test_a_type_with_few_patients_of_a_class_has_no_splits_and_the_reason_is_told():
    samples = typed_samples(c=4, d=20)
    assert {name.split("/")[0] for name in names(within_type_splits(samples, **OPTIONS))} == {
        "melanoma",
        "unstated",
    }
    lung, kidney, whole = (
        samples[samples["cohort"] == "c"],
        samples[samples["cohort"] == "d"],
        samples,
    )
    assert too_few_patients(lung) == "4 resistant patients, 5 are needed"
    assert too_few_patients(kidney) == "0 responsive patients, 5 are needed"
    assert too_few_patients(whole) == ""


def test_patients_are_counted_not_samples():
    samples = typed_samples()
    lung = samples[samples["cohort"] == "c"]
    twice = lung.assign(patient_id=[f"p{int(name[1:]) // 5}" for name in lung.index])
    assert too_few_patients(twice) == "2 responsive and 2 resistant patients, 5 are needed"


def test_folds_are_no_more_than_the_patients_of_the_smaller_class():
    splits = within_type_splits(typed_samples(c=7), n_splits=9, n_repeats=1, seed=0)
    assert sum(name.startswith("lung/") for name in names(splits)) == 7


@pytest.mark.parametrize("counts", [{"b": 20}, {"b": 0}])
def test_a_type_of_which_one_cohort_alone_has_both_classes_is_folded_whole(counts):
    samples = typed_samples(**counts)
    splits = [s for s in within_type_splits(samples, **OPTIONS) if s.name.startswith("melanoma/")]
    assert names(splits)[0] == "melanoma/repeat0.fold0"
    tested = np.concatenate([split.test for split in splits if "/repeat1." in split.name])
    assert sorted(samples["cohort"].iloc[tested].unique()) == ["a", "b"]
    assert len(tested) == len(set(tested)) == 40


def test_a_cohort_whose_absence_leaves_nothing_to_train_on_is_not_held_out():
    samples = typed_samples(a=19, b=10)
    splits = within_type_splits(samples, **OPTIONS)
    assert [name for name in names(splits) if name.startswith("melanoma")] == ["melanoma/a"]


def test_samples_of_one_type_have_no_splits_within_types():
    samples = typed_samples().assign(cancer_type="melanoma")
    assert within_type_splits(samples, **OPTIONS) == []
    assert make_plan(samples, **OPTIONS).schemes["per_type"] == ()


def test_the_plan_holds_the_splits_within_types_and_their_inner_splits():
    samples = typed_samples()
    plan = make_plan(samples, **OPTIONS)
    once = {**OPTIONS, "n_repeats": 1}
    assert names(plan.schemes["per_type"]) == names(within_type_splits(samples, **once))
    table = plan.table()
    rows = table[(table["scheme"] == "per_type") & (table["split"] == "melanoma/a")]
    assert set(rows["cohort"]) == {"a", "b"}
    assert set(rows.loc[rows["inner"] != "", "cohort"]) == {"b"}
