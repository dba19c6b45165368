import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy.special import expit
from scipy.stats import zscore
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from features.errors import CohortError
from features.reference import ReferenceStandardiser, standardise_in_cohort
from models.all_genes import AllGenesClassifier, all_gene_expression


def cohort(name: str, genes: list[str], *, n_samples: int = 20, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    samples = [f"s{i}" for i in range(n_samples)]
    values = rng.gamma(1.0, 2.0, (n_samples, len(genes)))
    obs = pd.DataFrame({"cohort": name}, index=samples)
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=genes))


def three_cohorts() -> dict[str, ad.AnnData]:
    return {
        "one": cohort("one", ["B2M", "CD8A", "TP53", "VSIR"], seed=1),
        "two": cohort("two", ["TP53", "JAK1", "B2M", "CD8A"], seed=2),
        "new": cohort("new", ["CD8A", "VSIR", "B2M"], n_samples=4, seed=3),
    }


def planted(n_samples: int = 160, n_genes: int = 60, *, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        rng.normal(size=(n_samples, n_genes)), columns=[f"G{i}" for i in range(n_genes)]
    )
    return X, (rng.random(n_samples) < expit(3.0 * X["G7"])).astype(int)


@parametrize_with_checks([AllGenesClassifier()])
def test_scikit_learn_conventions_hold(estimator, check):
    check(estimator)


def test_the_genes_are_those_that_all_training_cohorts_share_in_alphabetical_order():
    cohorts = three_cohorts()
    found = all_gene_expression(cohorts, training=["one", "two"])
    assert list(found.columns) == ["B2M", "CD8A", "TP53"]
    assert (found.dtypes == np.float32).all()
    assert found.index[0] == "one/s0"
    assert len(found) == 44
    expected = cohorts["two"][:, ["B2M", "CD8A", "TP53"]].X
    np.testing.assert_allclose(found.iloc[20:40], expected, rtol=1e-6)


def test_a_gene_that_a_held_out_cohort_lacks_is_missing_there_and_never_zero():
    found = all_gene_expression(three_cohorts(), training=["one", "two"])
    assert found.loc["new/s0", "TP53":].isna().all()
    assert found.iloc[40:][["B2M", "CD8A"]].notna().all(axis=None)


def test_a_held_out_cohort_has_no_say_in_the_genes():
    cohorts = three_cohorts()
    with_it = all_gene_expression(cohorts, training=["one", "two"])
    cohorts["new"] = cohort("new", ["JAK1"], n_samples=4)
    without = all_gene_expression(cohorts, training=["one", "two"])
    pd.testing.assert_frame_equal(with_it.iloc[:40], without.iloc[:40])


def test_a_gene_that_a_training_cohort_names_but_never_measured_is_left_out():
    cohorts = three_cohorts()
    cohorts["two"].X[:, 0] = np.nan
    found = all_gene_expression(cohorts, training=["one", "two"])
    assert list(found.columns) == ["B2M", "CD8A"]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_a_files_genes_is_nothing(seed):
    cohorts = three_cohorts()
    order = np.random.default_rng(seed).permutation(4)
    shuffled = {**cohorts, "one": cohorts["one"][:, order].copy()}
    pd.testing.assert_frame_equal(
        all_gene_expression(shuffled, training=["one", "two"]),
        all_gene_expression(cohorts, training=["one", "two"]),
        check_exact=True,
    )


def test_training_cohorts_that_are_unknown_or_share_nothing_are_refused():
    cohorts = three_cohorts()
    with pytest.raises(CohortError, match=r"training is \['three'\], but the cohorts are one, two"):
        all_gene_expression(cohorts, training=["three"])
    with pytest.raises(CohortError, match=r"training is \[\]"):
        all_gene_expression(cohorts, training=[])
    cohorts["two"] = cohort("two", ["ENSG1", "ENSG2"])
    with pytest.raises(CohortError, match="cohorts one, two share no measured gene; translate"):
        all_gene_expression(cohorts, training=["one", "two"])


def test_it_is_the_librarys_default_model():
    X, y = planted()
    found = AllGenesClassifier(max_bin=255, colsample_bytree=1.0).fit(X, y).decision_function(X)
    reference = LGBMClassifier(n_jobs=1, verbosity=-1).fit(X.to_numpy(), y)
    np.testing.assert_allclose(
        found, reference.predict_proba(X.to_numpy(), raw_score=True), rtol=1e-9
    )


def test_a_planted_gene_is_found_and_noise_is_not():
    X, y = planted(400)
    score = AllGenesClassifier().fit(X[:250], y[:250]).decision_function(X[250:])
    assert roc_auc_score(y[250:], score) > 0.8
    shuffled = np.random.default_rng(1).permutation(y[:250])
    null = AllGenesClassifier().fit(X[:250], shuffled).decision_function(X[250:])
    assert abs(roc_auc_score(y[250:], null) - 0.5) < 0.15


@pytest.mark.slow
def test_threads_change_nothing_and_the_seed_draws_the_genes():
    X, y = planted()
    first = AllGenesClassifier(random_state=0, n_jobs=1).fit(X, y).decision_function(X)
    again = AllGenesClassifier(random_state=0, n_jobs=2).fit(X, y).decision_function(X)
    np.testing.assert_array_equal(first, again)
    other = AllGenesClassifier(random_state=5).fit(X, y).decision_function(X)
    assert not np.array_equal(first, other)


def test_a_patients_samples_weigh_as_one():
    X, y = planted()
    twice = pd.concat([X, X[:40]])
    patients = [*range(160), *range(40)]
    labels = pd.concat([y, y[:40]])
    found = AllGenesClassifier().fit(twice, labels, groups=patients).decision_function(X)
    weights = np.repeat([0.5, 1.0, 0.5], [40, 120, 40]) * 200 / 160
    reference = LGBMClassifier(
        n_jobs=1, verbosity=-1, max_bin=31, colsample_bytree=0.1, random_state=0
    )
    reference.fit(twice.to_numpy(), labels, sample_weight=weights)
    np.testing.assert_allclose(
        found, reference.predict_proba(X.to_numpy(), raw_score=True), rtol=1e-9
    )


def test_a_single_class_is_refused():
    X, _ = planted(40)
    with pytest.raises(ValueError, match="one class"):
        AllGenesClassifier().fit(X, np.ones(40, dtype=int))


def test_a_gene_that_only_a_new_cohort_lacks_is_taken_at_the_mean():
    X, y = planted()
    model = AllGenesClassifier().fit(X, y)
    np.testing.assert_array_equal(
        model.decision_function(X.assign(G7=np.nan)), model.decision_function(X.assign(G7=0.0))
    )


@pytest.mark.parametrize("arm", ["cohort", "reference"])
def test_out_of_cohort_standardisation_takes_thousands_of_genes_at_once(arm):
    genes = [f"G{i}" for i in range(5000)]
    cohorts = {name: cohort(name, genes, seed=seed) for seed, name in enumerate("abc")}
    table = all_gene_expression(cohorts, training=["a", "b", "c"])
    names = table.index.str[0].to_series(index=table.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if arm == "cohort":
            found = standardise_in_cohort(table, cohorts=names)
        else:
            found = ReferenceStandardiser().fit(table, cohorts=names).transform(table)
    part = cohorts["b"][:, table.columns].X.astype(np.float32).astype(float)
    if arm == "cohort":
        np.testing.assert_allclose(found[names == "b"], zscore(part), rtol=1e-6, atol=1e-6)
    assert found.shape == (60, 5000)
