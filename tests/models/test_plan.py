import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.errors import CohortError
from features.fingerprint import Fingerprints, find_duplicates, fingerprint
from models.plan import ValidationPlan, make_plan
from models.splits import inner_splits, patient_keys


def labelled_samples(*, seed: int = 0) -> pd.DataFrame:
    """Three cohorts of 30, two samples a patient, some without a label; two tumour types."""
    rng = np.random.default_rng(seed)
    resistant = rng.permutation(np.arange(90) % 2).astype(float)
    resistant[::13] = np.nan
    return pd.DataFrame(
        {
            "cohort": np.repeat(["a", "b", "c"], 30),
            "patient_id": [f"p{i // 2}" for i in range(90)],
            "cancer_type": np.repeat(["melanoma", "lung", "melanoma"], 30),
            "resistant": resistant,
        },
        index=[f"s{i}" for i in range(90)],
    )


def plan_of(samples: pd.DataFrame, **options) -> ValidationPlan:
    return make_plan(samples, **{"n_splits": 3, "n_repeats": 2, "seed": 0, **options})


def test_the_plan_holds_every_scheme():
    plan = plan_of(labelled_samples())
    names = {scheme: [split.name for split in splits] for scheme, splits in plan.schemes.items()}
    assert names["loco"] == ["a", "b", "c"]
    assert names["tumour_type"] == ["lung", "melanoma"]
    assert names["nested"] == [f"repeat{r}.fold{f}" for r in (0, 1) for f in (0, 1, 2)]


def test_inner_splits_never_meet_what_the_outer_split_holds_out():
    samples = labelled_samples()
    plan = plan_of(samples)
    keys = patient_keys(samples).to_numpy()
    for splits in plan.schemes.values():
        for split in splits:
            inner = inner_splits(samples, split.train)
            assert inner
            for part in inner:
                inside = np.concatenate([part.train, part.test])
                assert set(inside) <= set(split.train)
                assert not set(keys[inside]) & set(keys[split.test])
                assert not set(keys[part.train]) & set(keys[part.test])


def test_the_table_tells_the_whole_plan():
    samples = labelled_samples()
    plan = plan_of(samples)
    table = plan.table()
    assert list(table.columns) == [
        *("scheme", "split", "inner", "sample", "cohort", "patient_id", "side")
    ]
    assert not table.isna().any().any()
    assert set(table["side"]) == {"train", "test"}
    facts = samples.loc[table["sample"]]
    assert (table["cohort"].to_numpy() == facts["cohort"].to_numpy()).all()
    assert (table["patient_id"].to_numpy() == facts["patient_id"].to_numpy()).all()
    for scheme, splits in plan.schemes.items():
        for split in splits:
            rows = table[(table["scheme"] == scheme) & (table["split"] == split.name)]
            outer = rows[rows["inner"] == ""].groupby("side")["sample"].agg(list)
            assert outer["train"] == list(samples.index[split.train])
            assert outer["test"] == list(samples.index[split.test])
            inner = rows[rows["inner"] != ""]
            assert not set(inner["sample"]) & set(outer["test"])
            expected = {part.name: part for part in inner_splits(samples, split.train)}
            assert set(inner["inner"]) == set(expected)
            for name, part in expected.items():
                sides = inner[inner["inner"] == name].groupby("side")["sample"].agg(list)
                assert sides["train"] == list(samples.index[part.train])
                assert sides["test"] == list(samples.index[part.test])


def test_the_same_seed_gives_the_same_plan():
    samples = labelled_samples()
    first, again, other = (plan_of(samples, seed=seed).table() for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_one_tumour_type_leaves_none_out():
    samples = labelled_samples().assign(cancer_type="melanoma")
    assert plan_of(samples).schemes["tumour_type"] == ()


def test_a_patient_of_two_tumour_types_is_refused_by_name_with_the_mend():
    samples = labelled_samples()
    samples.loc["s0", "cancer_type"] = "lung"
    message = r"split 'lung' has 1 patients on both sides: a/p0; .*one cancer_type.*samples.exclude"
    with pytest.raises(CohortError, match=message):
        plan_of(samples)


def cohort_as_another(cohort: ad.AnnData, *, position: int, into: ad.AnnData) -> ad.AnnData:
    """Return a cohort whose sample 4 is another cohort's, in another unit."""
    leaky = into.copy()
    leaky.X[4] = np.log2(1.0 + 3.0 * np.expm1(cohort.X[position]))
    return leaky


def test_a_sample_of_two_cohorts_under_two_names_is_refused_by_both_names(make_cohort):
    cohorts = {name: make_cohort(30, seed=seed, name=name) for seed, name in enumerate("abc")}
    samples = pd.concat([cohort.obs.assign(cancer_type="lung") for cohort in cohorts.values()])

    def duplicates(parts: dict[str, ad.AnnData]) -> pd.DataFrame:
        return find_duplicates(Fingerprints.concat([fingerprint(part) for part in parts.values()]))

    assert plan_of(samples, duplicates=duplicates(cohorts)).schemes["loco"]
    leaky = {**cohorts, "c": cohort_as_another(cohorts["a"], position=7, into=cohorts["c"])}
    message = (
        r"split 'a' has 1 samples on both sides under two names, by their expression: "
        r"a_s7 = c_s4; name one of each pair under samples.exclude, or its cohort under "
        r"cohorts.exclude"
    )
    with pytest.raises(CohortError, match=message):
        plan_of(samples, duplicates=duplicates(leaky))
    kept = samples.drop(index="c_s4")
    assert plan_of(kept, duplicates=duplicates(leaky)).schemes["loco"]


def test_a_sample_twice_within_a_cohort_under_two_patients_is_refused():
    samples = labelled_samples()
    # Labelled samples of two patients of a cohort, both on one side of every outer cohort split.
    duplicates = pd.DataFrame({"sample": ["s1"], "other": ["s20"], "distance": [0.0]})
    with pytest.raises(CohortError, match=r"split 'repeat\d.fold\d' has 1 samples .*s1 = s20"):
        plan_of(samples, duplicates=duplicates, n_repeats=5)


def test_too_few_cohorts_are_refused():
    with pytest.raises(CohortError, match=r"needs at least two cohorts, got \['a'\]"):
        plan_of(labelled_samples().iloc[:30])
