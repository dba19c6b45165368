"""MarkerFeatures: what may change a feature and, exactly, what may not."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from features.catalogue import Catalogue
from features.errors import CohortError
from features.preprocess import normalise
from features.reference import ReferenceStandardiser
from features.transformer import MarkerFeatures
from features.units import UnitFinding, detect_unit

MakeCohort = Callable[..., ad.AnnData]
Values = NDArray[np.float64]

seeds = st.integers(0, 2**32 - 1)
fast = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# strictly monotone on zero and more, and far enough from flat for distinct values to stay distinct
MONOTONE: dict[str, Callable[[Values], Values]] = {
    "log2(x + 0.001)": lambda x: np.log2(x + 0.001),
    "log2(x + 1)": lambda x: np.log2(x + 1),
    "log1p": np.log1p,
    "square root": np.sqrt,
    "cube": lambda x: x**3,
    "scaling": lambda x: x * 0.37,
    "shift": lambda x: x - 12.5,
    "arcsinh": np.arcsinh,
}


def with_expression(adata: ad.AnnData, values: Values) -> ad.AnnData:
    return ad.AnnData(np.ascontiguousarray(values), obs=adata.obs.copy(), var=adata.var.copy())


def small_cohort(make_cohort: MakeCohort, seed: int = 0) -> ad.AnnData:
    return make_cohort(5, seed=seed, n_background=60)


def ingested(adata: ad.AnnData, values: Values) -> ad.AnnData:
    """Return the cohort as it is after its unit was found and undone."""
    return normalise(with_expression(adata, values), finding=detect_unit(values))


def test_features_are_a_table_named_by_the_catalogue(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    cohort = make_cohort()
    features = MarkerFeatures().fit(cohort).transform(cohort)
    assert list(features.columns) == list(catalogue.marker_ids)
    assert list(features.index) == list(cohort.obs_names)
    assert features.notna().all(axis=None)
    assert features.abs().max(axis=None) <= 1


@given(seed=seeds)
@fast
def test_any_strictly_monotone_map_of_each_sample_changes_nothing(
    make_cohort: MakeCohort, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cohort = small_cohort(make_cohort, seed % 100)
    mapped = np.empty_like(cohort.X)
    for row, sample in enumerate(cohort.X):
        levels, places = np.unique(sample, return_inverse=True)
        mapped[row] = np.unique(rng.normal(0, 10.0 ** rng.integers(-3, 4), levels.size))[places]
    markers = MarkerFeatures().fit(cohort)
    np.testing.assert_array_equal(
        markers.transform(with_expression(cohort, mapped)), markers.transform(cohort)
    )


@pytest.mark.parametrize("name", MONOTONE)
def test_named_monotone_transformations_change_nothing(make_cohort: MakeCohort, name: str) -> None:
    cohort = make_cohort()
    linear = np.expm1(cohort.X)
    markers = MarkerFeatures().fit(cohort)
    changed = with_expression(cohort, MONOTONE[name](linear))
    np.testing.assert_array_equal(markers.transform(changed), markers.transform(cohort))


@given(factors=st.lists(st.floats(1e-6, 1e6), min_size=5, max_size=5))
@fast
def test_scaling_each_sample_by_its_own_factor_changes_nothing(
    make_cohort: MakeCohort, factors: list[float]
) -> None:
    cohort = small_cohort(make_cohort)
    linear = np.expm1(cohort.X)
    scaled = with_expression(cohort, linear * np.array(factors)[:, np.newaxis])
    stated = UnitFinding("tpm", 0.0, "stated", stated=True)
    markers = MarkerFeatures().fit(cohort)
    expected = markers.transform(cohort)
    np.testing.assert_array_equal(markers.transform(scaled), expected)
    np.testing.assert_array_equal(markers.transform(normalise(scaled, finding=stated)), expected)


@given(seed=seeds)
@fast
def test_tpm_and_its_logarithms_give_the_same_features_once_ingested(
    make_cohort: MakeCohort, seed: int
) -> None:
    cohort = small_cohort(make_cohort, seed % 100)
    tpm = np.expm1(cohort.X).round(4)
    from_tpm = ingested(cohort, tpm)
    markers = MarkerFeatures().fit(from_tpm)
    expected = markers.transform(from_tpm)
    for values in (np.log2(tpm + 0.001), np.log2(tpm + 0.01), np.log2(tpm + 1), np.log1p(tpm)):
        np.testing.assert_array_equal(markers.transform(ingested(cohort, values)), expected)


@given(seed=seeds)
@fast
def test_the_order_of_genes_and_samples_is_nothing(make_cohort: MakeCohort, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cohort = small_cohort(make_cohort)
    shuffled = cohort[rng.permutation(cohort.n_obs), rng.permutation(cohort.n_vars)].copy()
    markers = MarkerFeatures().fit(cohort)
    expected = markers.transform(cohort)
    for fitted in (markers, MarkerFeatures().fit(shuffled)):
        found = fitted.transform(shuffled).loc[expected.index, expected.columns]
        np.testing.assert_array_equal(found, expected)


def test_one_sample_alone_gives_exactly_what_it_gives_in_a_batch(make_cohort: MakeCohort) -> None:
    training = make_cohort(seed=1)
    cohort = make_cohort(8, seed=2)
    markers = MarkerFeatures().fit(training)
    standardiser = ReferenceStandardiser().fit(markers.transform(training))
    together = markers.transform(cohort)
    standardised = standardiser.transform(together)
    for sample in cohort.obs_names:
        alone = markers.transform(cohort[[sample]].copy())
        np.testing.assert_array_equal(alone, together.loc[[sample]])
        np.testing.assert_array_equal(standardiser.transform(alone), standardised.loc[[sample]])


def test_a_sample_ingested_alone_gives_exactly_what_it_gives_in_its_cohort(
    make_cohort: MakeCohort,
) -> None:
    cohort = make_cohort(8)
    for values in (np.expm1(cohort.X), np.log2(np.expm1(cohort.X) + 0.001)):
        together = ingested(cohort, values)
        markers = MarkerFeatures().fit(together)
        expected = markers.transform(together)
        for row in range(cohort.n_obs):
            alone = ingested(cohort[[row]].copy(), values[[row]])
            np.testing.assert_array_equal(markers.transform(alone), expected.iloc[[row]])


def test_genes_outside_the_background_change_nothing(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    rng = np.random.default_rng(7)
    others = ad.AnnData(
        rng.gamma(1.0, 9.0, (cohort.n_obs, 500)),
        obs=cohort.obs.copy(),
        var=pd.DataFrame(index=[f"OTHER{i}" for i in range(500)]),
    )
    wider = ad.AnnData(
        np.hstack([others.X, cohort.X]),
        obs=cohort.obs.copy(),
        var=pd.DataFrame(index=[*others.var_names, *cohort.var_names]),
    )
    markers = MarkerFeatures().fit(cohort)
    np.testing.assert_array_equal(markers.transform(wider), markers.transform(cohort))
    assert markers.background_coverage(wider) == 1.0


def test_the_background_is_what_every_training_sample_measures(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    cohort.X[3, 10] = np.nan
    markers = MarkerFeatures().fit(cohort)
    assert set(cohort.var_names) - set(markers.background_) == {cohort.var_names[10]}
    half = cohort[:, : cohort.n_vars // 2].copy()
    expected = np.mean([gene in set(half.var_names) for gene in markers.background_])
    assert markers.background_coverage(half) == pytest.approx(expected)


def test_a_marker_whose_gene_is_missing_is_nan_with_its_coverage_and_never_zero(
    make_cohort: MakeCohort,
) -> None:
    cohort = make_cohort()
    gone = ["TMEM92", "CD276", "PDCD1"]
    fewer = cohort[:, ~cohort.var_names.isin(gone)].copy()
    markers = MarkerFeatures().fit(fewer)
    features, coverage = markers.transform(fewer), markers.coverage(fewer)
    absent = {"tmem92", "b7_h3", "tim3_pd1_coexpression", "compensatory_checkpoints"}
    assert set(features.columns[features.isna().any()]) == absent
    assert features[list(absent)].isna().all(axis=None)
    assert set(coverage["tmem92"]) == set(coverage["b7_h3"]) == {0.0}
    assert set(coverage["tim3_pd1_coexpression"]) == {0.5}
    np.testing.assert_allclose(coverage["compensatory_checkpoints"], 8 / 9)
    np.testing.assert_allclose(coverage["pd1_pdl1"], 2 / 3)
    np.testing.assert_array_equal(coverage["mapk"], 1.0)
    present = [name for name in features if name not in {*absent, "pd1_pdl1"}]
    rest = [name for name in present if (coverage[name] == 1).all()]
    whole = MarkerFeatures().fit(fewer).transform(cohort)
    np.testing.assert_array_equal(features[rest], whole[rest])


def test_the_least_coverage_is_a_setting(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    fewer = cohort[:, ~cohort.var_names.isin(["CXCL9"])].copy()
    assert MarkerFeatures().fit(fewer).transform(fewer)["th1_chemokines"].notna().all()
    strict = MarkerFeatures(min_coverage=0.6).fit(fewer)
    assert strict.transform(fewer)["th1_chemokines"].isna().all()


def test_values_not_measured_affect_their_sample_only(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures().fit(cohort)
    expected = markers.transform(cohort)
    holed = cohort.copy()
    genes = list(cohort.var_names)
    holed.X[4, [genes.index("B2M"), genes.index("CXCL9"), genes.index("BG0003")]] = np.nan
    found, coverage = markers.transform(holed), markers.coverage(holed)
    sample = cohort.obs_names[4]
    np.testing.assert_array_equal(found.drop(sample), expected.drop(sample))
    np.testing.assert_array_equal(coverage.drop(sample), 1.0)
    assert np.isnan(found.loc[sample, "b2m"])
    assert list(found.columns[found.loc[sample].isna()]) == ["b2m"]
    assert coverage.loc[sample, "b2m"] == 0.0
    assert coverage.loc[sample, "th1_chemokines"] == 0.5
    np.testing.assert_allclose(found.loc[sample, "mapk"], expected.loc[sample, "mapk"], atol=0.01)
    alone = markers.transform(holed[[4]].copy())
    np.testing.assert_array_equal(alone, found.loc[[sample]])


def test_gene_coverage_is_the_share_of_catalogue_genes_measured_in_each_sample(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    total = len(catalogue.gene_symbols)
    cohort = make_cohort(3)[:, 4:].copy()
    cohort.X[1, :2] = np.nan
    coverage = MarkerFeatures().gene_coverage(cohort)
    assert coverage.name == "gene_coverage"
    np.testing.assert_allclose(coverage, np.array([total - 4, total - 6, total - 4]) / total)


def test_a_sparse_cohort_gives_the_features_of_a_dense_one(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    stored = ad.AnnData(sparse.csr_matrix(cohort.X), obs=cohort.obs, var=cohort.var)
    markers = MarkerFeatures().fit(cohort)
    np.testing.assert_array_equal(markers.transform(stored), markers.transform(cohort))


def test_fit_and_transform_leave_the_cohort_as_it_was(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    before = cohort.copy()
    MarkerFeatures().fit(cohort).transform(cohort)
    np.testing.assert_array_equal(cohort.X, before.X)
    pd.testing.assert_frame_equal(cohort.obs, before.obs)


def test_too_few_background_genes_are_refused_with_the_mend(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures().fit(cohort)
    with pytest.raises(
        CohortError,
        match=rf"only 19 of the model's {cohort.n_vars} background genes are in the file "
        r"\(its first genes: .* and 14 more\); ranks need at least 20: check the gene identifiers",
    ):
        markers.transform(cohort[:, :19].copy())
    assert markers.transform(cohort[:, :20].copy())["mhc_class_i"].notna().all()


def test_the_transformer_follows_scikit_learn(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures(catalogue, min_coverage=0.7)
    fitted = clone(markers).fit(cohort)
    assert fitted.get_params()["min_coverage"] == 0.7
    assert list(fitted.get_feature_names_out()) == list(catalogue.marker_ids)
    np.testing.assert_array_equal(
        markers.fit_transform(cohort), fitted.set_output(transform="pandas").transform(cohort)
    )
    with pytest.raises(NotFittedError, match=r"not fitted yet"):
        MarkerFeatures().transform(cohort)


@pytest.mark.real_data
def test_gide_as_published_and_as_tpm_gives_exactly_the_same_features(
    gide_log2: ad.AnnData,
) -> None:
    as_published = ingested(gide_log2, gide_log2.X)
    tpm = np.maximum(np.exp2(gide_log2.X) - 0.001, 0.0)
    assert detect_unit(gide_log2.X).unit == "log2_tpm"
    assert detect_unit(tpm).unit == "tpm"
    markers = MarkerFeatures().fit(as_published)
    expected = markers.transform(as_published)
    np.testing.assert_array_equal(markers.transform(gide_log2), expected)
    np.testing.assert_array_equal(markers.transform(ingested(gide_log2, tpm)), expected)


@pytest.mark.real_data
def test_jung_tpm_its_logarithms_and_its_samples_rescaled_give_exactly_the_same_features(
    jung_tpm: ad.AnnData,
) -> None:
    tpm = jung_tpm.X
    from_tpm = ingested(jung_tpm, tpm)
    markers = MarkerFeatures().fit(from_tpm)
    expected = markers.transform(from_tpm)
    factors = np.random.default_rng(0).uniform(0.01, 100, (jung_tpm.n_obs, 1))
    for values in (np.log2(tpm + 0.001), np.log1p(tpm), tpm * factors):
        np.testing.assert_array_equal(markers.transform(ingested(jung_tpm, values)), expected)


@pytest.mark.real_data
def test_a_real_sample_alone_gives_exactly_what_it_gives_in_its_cohort(
    gide_log2: ad.AnnData,
) -> None:
    together = ingested(gide_log2, gide_log2.X)
    markers = MarkerFeatures().fit(together)
    features = markers.transform(together)
    standardiser = ReferenceStandardiser().fit(features)
    expected = standardiser.transform(features)
    for row in range(0, gide_log2.n_obs, 10):
        alone = ingested(gide_log2[[row]].copy(), gide_log2.X[[row]])
        found = standardiser.transform(markers.transform(alone))
        np.testing.assert_array_equal(found, expected.iloc[[row]])


@pytest.mark.real_data
def test_the_order_of_genes_and_samples_of_a_real_cohort_is_nothing(gide_log2: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(gide_log2.n_obs), rng.permutation(gide_log2.n_vars)
    shuffled = gide_log2[rows, columns].copy()
    markers = MarkerFeatures().fit(ingested(gide_log2, gide_log2.X))
    expected = markers.transform(ingested(gide_log2, gide_log2.X))
    found = markers.transform(ingested(shuffled, shuffled.X))
    np.testing.assert_array_equal(found.loc[expected.index], expected)
