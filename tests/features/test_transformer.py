"""MarkerFeatures: what may change a feature and, exactly, what may not."""

from collections.abc import Callable, Iterable

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

from features import cohort as cohort_module
from features import transformer
from features.catalogue import Catalogue, genes_of
from features.errors import CohortError, ConfigError
from features.gene_scores import ScoreKind, gene_z_scores
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
    obs, var, uns = adata.obs.copy(), adata.var.copy(), dict(adata.uns)
    return ad.AnnData(np.ascontiguousarray(values), obs=obs, var=var, uns=uns)


DRUGS = ("T-DM1", "Trodelvy", "pembrolizumab", None, "never heard of", "mirvetuximab soravtansine")


def with_drugs(cohort: ad.AnnData, drugs: Iterable[str | None] = DRUGS) -> ad.AnnData:
    """Return the cohort with these drugs in turn, so that every rule of scoring takes part."""
    listed = list(drugs)
    cohort.obs["drug"] = [listed[i % len(listed)] for i in range(cohort.n_obs)]
    return cohort


def small_cohort(make_cohort: MakeCohort, seed: int = 0) -> ad.AnnData:
    return with_drugs(make_cohort(6, seed=seed, n_background=60))


def by_drug(catalogue: Catalogue) -> set[str]:
    """Return the features whose genes the drug chooses."""
    return {marker.id for marker in catalogue.markers if marker.by_drug}


def of_known_unit(cohort: ad.AnnData) -> ad.AnnData:
    """Return the cohort with its unit told, so that nothing is judged by the look of values."""
    cohort.uns["oncoresist"] = {"unit": "tpm"}
    return cohort


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
    assert set(features.columns[features.isna().any()]) == by_drug(catalogue)
    assert features.drop(columns="cd8_treg_ratio").abs().max(axis=None) <= 1


@pytest.mark.parametrize("setting", ["ici", "adc", "hcc", "sclc"])
@pytest.mark.parametrize("kind", ["rank", "mean_z"])
def test_a_setting_has_its_own_features_scored_as_among_all(
    make_cohort: MakeCohort, catalogue: Catalogue, setting: str, kind: ScoreKind
) -> None:
    cohort = with_drugs(make_cohort())
    every = MarkerFeatures(score_kind=kind).fit(cohort).transform(cohort)
    own = MarkerFeatures(setting=setting, score_kind=kind).fit(cohort)
    features = own.transform(cohort)
    assert list(features.columns) == [marker.id for marker in catalogue.markers_of(setting)]
    pd.testing.assert_frame_equal(features, every[list(features.columns)], check_exact=True)
    assert own.knows_drugs == (setting == "adc")


def test_an_unknown_setting_or_kind_of_score_is_refused(make_cohort: MakeCohort) -> None:
    with pytest.raises(ConfigError, match=r"no marker of the catalogue is of setting 'car_t'"):
        MarkerFeatures(setting="car_t").fit(make_cohort())
    with pytest.raises(ConfigError, match=r"score_kind is 'gsva'; allowed: rank, mean_z"):
        MarkerFeatures(score_kind="gsva").fit(make_cohort())  # type: ignore[arg-type]


@given(seed=seeds)
@fast
def test_any_strictly_monotone_map_of_each_sample_changes_nothing(
    make_cohort: MakeCohort, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cohort = of_known_unit(small_cohort(make_cohort, seed % 100))
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
    cohort = with_drugs(make_cohort())
    linear = np.expm1(cohort.X)
    markers = MarkerFeatures().fit(cohort)
    changed = with_expression(cohort, MONOTONE[name](linear))
    np.testing.assert_array_equal(markers.transform(changed), markers.transform(cohort))


@given(factors=st.lists(st.floats(1e-6, 1e6), min_size=6, max_size=6))
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
    training = with_drugs(make_cohort(seed=1))
    cohort = with_drugs(make_cohort(8, seed=2))
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
    cohort = with_drugs(make_cohort(8))
    for values in (np.expm1(cohort.X), np.log2(np.expm1(cohort.X) + 0.001)):
        together = ingested(cohort, values)
        markers = MarkerFeatures().fit(together)
        expected = markers.transform(together)
        for row in range(cohort.n_obs):
            alone = ingested(cohort[[row]].copy(), values[[row]])
            np.testing.assert_array_equal(markers.transform(alone), expected.iloc[[row]])


def test_genes_outside_the_background_change_nothing(make_cohort: MakeCohort) -> None:
    cohort = with_drugs(make_cohort())
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
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    cohort = make_cohort()
    gone = ["TMEM92", "CD276", "PDCD1"]
    fewer = cohort[:, ~cohort.var_names.isin(gone)].copy()
    markers = MarkerFeatures().fit(fewer)
    features, coverage = markers.transform(fewer), markers.coverage(fewer)
    absent = {"tmem92", "b7_h3", "pd1", "tim3_pd1_coexpression", "compensatory_checkpoints"}
    assert set(features.columns[features.isna().any()]) == absent | by_drug(catalogue)
    assert features[list(absent)].isna().all(axis=None)
    assert set(coverage["tmem92"]) == set(coverage["b7_h3"]) == set(coverage["pd1"]) == {0.0}
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
    markers = MarkerFeatures(setting="ici").fit(cohort)
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
    needed = genes_of(catalogue.markers_of("sclc"))
    cohort = make_cohort(3)
    cohort = cohort[:, ~cohort.var_names.isin(needed[:4])].copy()
    cohort.X[1, cohort.var_names.isin(needed[4:6])] = np.nan
    coverage = MarkerFeatures(setting="sclc").gene_coverage(cohort)
    assert coverage.name == "gene_coverage"
    total = len(needed)
    np.testing.assert_allclose(coverage, np.array([total - 4, total - 6, total - 4]) / total)


def test_the_genes_of_a_drug_count_for_the_coverage_where_a_feature_takes_them(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    own = genes_of(catalogue.markers_of("adc"))
    assert "FOLR1" not in own
    cohort = with_drugs(make_cohort(3), ["mirvetuximab soravtansine"])
    fewer = cohort[:, ~cohort.var_names.isin(["FOLR1"])].copy()
    assert (MarkerFeatures(setting="ici").gene_coverage(fewer) == 1.0).all()
    found = MarkerFeatures(setting="adc").gene_coverage(fewer)
    assert len(set(found)) == 1
    needed = round(1 / (1 - found.iloc[0]))
    assert found.iloc[0] == (needed - 1) / needed
    assert needed > len(own)


SPARSE = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
}


def as_sparse(cohort: ad.AnnData, kind: str = "csr") -> ad.AnnData:
    obs, var, uns = cohort.obs.copy(), cohort.var.copy(), dict(cohort.uns)
    return ad.AnnData(SPARSE[kind](cohort.X), obs=obs, var=var, uns=uns)


@pytest.mark.parametrize("kind", SPARSE)
def test_a_sparse_cohort_gives_exactly_the_features_of_a_dense_one_and_stays_sparse(
    make_cohort: MakeCohort, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    cohort = with_drugs(make_cohort())
    cohort.X[cohort.X < 3] = 0.0
    stored = as_sparse(cohort, kind)
    dense = MarkerFeatures().fit(cohort)
    expected = [dense.transform(cohort), dense.coverage(cohort), dense.gene_coverage(cohort)]

    make_dense = cohort_module.dense_expression

    def of_some_genes(adata: ad.AnnData) -> Values:
        assert adata.n_vars < cohort.n_vars, "a sparse cohort was made dense"
        return make_dense(adata)

    for module in (transformer, cohort_module):
        monkeypatch.setattr(module, "dense_expression", of_some_genes)
    for markers in (dense, MarkerFeatures().fit(stored)):
        assert markers.background_ == dense.background_
        np.testing.assert_array_equal(markers.transform(stored), expected[0])
        np.testing.assert_array_equal(markers.coverage(stored), expected[1])
        np.testing.assert_array_equal(markers.gene_coverage(stored), expected[2])
        for row in (0, 7):
            alone = markers.transform(stored[[row]].copy())
            np.testing.assert_array_equal(alone, expected[0].iloc[[row]])
    report = dense.gene_report(stored)
    assert report.coverage == 1.0


def test_a_sparse_cohort_has_the_z_scores_of_a_dense_one(make_cohort: MakeCohort) -> None:
    cohort = with_drugs(make_cohort())
    markers = MarkerFeatures(score_kind="mean_z").fit(cohort)
    np.testing.assert_array_equal(markers.transform(as_sparse(cohort)), markers.transform(cohort))


@pytest.mark.parametrize("value", [-1.5, np.nan], ids=["negative", "not measured"])
def test_sparse_values_that_are_no_expression_are_not_taken_for_zeros(
    make_cohort: MakeCohort, value: float
) -> None:
    # Fixed: what a sparse matrix stores below zero, or as NaN, was ranked as if it were not
    # expressed, silently.
    cohort = of_known_unit(make_cohort(5))
    cohort.X[2, cohort.var_names.isin(["B2M", "BG0001"])] = value
    stored = as_sparse(cohort)
    dense = MarkerFeatures().fit(cohort)
    assert MarkerFeatures().fit(stored).background_ == dense.background_
    np.testing.assert_array_equal(dense.transform(stored), dense.transform(cohort))
    np.testing.assert_array_equal(dense.gene_coverage(stored), dense.gene_coverage(cohort))


# --- mean z


def test_z_scores_are_taken_per_gene_within_each_cohort(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    one, two = make_cohort(7, seed=1, name="one"), make_cohort(9, seed=2, name="two")
    two.X = 3 * two.X + 40
    both = ad.concat([one, two])[np.random.default_rng(0).permutation(16)].copy()
    markers = MarkerFeatures(score_kind="mean_z").fit(both)
    found = markers.transform(both)
    genes = next(list(m.genes) for m in catalogue.markers if m.id == "mhc_class_i")
    for part in (one, two):
        alone = markers.transform(part)
        pd.testing.assert_frame_equal(found.loc[part.obs_names], alone, check_exact=True)
        z = gene_z_scores(part[:, genes].X)
        own = found.loc[part.obs_names]
        np.testing.assert_allclose(own["mhc_class_i"], z.mean(axis=1), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(own["b2m"].mean(), 0.0, atol=1e-12)
        np.testing.assert_allclose(own["b2m"].std(ddof=0), 1.0, rtol=1e-12)


def test_without_a_cohort_column_all_samples_are_one_cohort(make_cohort: MakeCohort) -> None:
    cohort = with_drugs(make_cohort(8))
    markers = MarkerFeatures(score_kind="mean_z").fit(cohort)
    expected = markers.transform(cohort)
    del cohort.obs["cohort"]
    pd.testing.assert_frame_equal(markers.transform(cohort), expected, check_exact=True)


def test_mean_z_needs_three_samples_of_each_cohort(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(3)
    markers = MarkerFeatures(score_kind="mean_z").fit(cohort)
    assert markers.transform(cohort)["b2m"].notna().all()
    with pytest.raises(
        CohortError,
        match=r"cohort 'synthetic' has 2 samples: z-scores per gene need at least 3; give the "
        "whole cohort, or values that are not scaled",
    ):
        markers.transform(cohort[:2].copy())
    both = ad.concat([cohort, make_cohort(2, name="tiny")])
    with pytest.raises(CohortError, match=r"cohort 'tiny' has 2 samples"):
        markers.transform(both)


@given(seed=seeds)
@fast
def test_the_order_of_genes_and_samples_is_nothing_to_mean_z(
    make_cohort: MakeCohort, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cohort = small_cohort(make_cohort)
    shuffled = cohort[rng.permutation(cohort.n_obs), rng.permutation(cohort.n_vars)].copy()
    markers = MarkerFeatures(score_kind="mean_z").fit(cohort)
    expected = markers.transform(cohort)
    np.testing.assert_array_equal(markers.transform(shuffled).loc[expected.index], expected)


@pytest.mark.parametrize("change", ["factor", "shift"])
def test_mean_z_forgets_the_scale_and_place_of_every_gene(
    make_cohort: MakeCohort, change: str
) -> None:
    cohort = with_drugs(make_cohort(20))
    rng = np.random.default_rng(3)
    by_gene = rng.uniform(0.2, 5.0, cohort.n_vars)
    values = cohort.X * by_gene if change == "factor" else cohort.X + by_gene
    markers = MarkerFeatures(score_kind="mean_z").fit(cohort)
    found = markers.transform(with_expression(cohort, values))
    np.testing.assert_allclose(found, markers.transform(cohort), rtol=1e-9, atol=1e-9)


def test_the_same_features_can_be_scored_the_other_way(make_cohort: MakeCohort) -> None:
    cohort = with_drugs(make_cohort())
    ranks = MarkerFeatures(min_coverage=0.7, setting="adc").fit(cohort[:, :500].copy())
    other = ranks.with_score_kind("mean_z")
    assert other.get_params() == {**ranks.get_params(), "score_kind": "mean_z"}
    assert other.background_ == ranks.background_
    expected = MarkerFeatures(min_coverage=0.7, setting="adc", score_kind="mean_z").fit(cohort)
    np.testing.assert_array_equal(other.transform(cohort), expected.transform(cohort))
    assert ranks.score_kind == "rank"
    with pytest.raises(NotFittedError, match=r"not fitted yet"):
        MarkerFeatures().with_score_kind("mean_z")


# --- ranks of values scaled per gene


def z_scores_of(cohort: ad.AnnData) -> ad.AnnData:
    return with_expression(cohort, gene_z_scores(cohort.X))


def test_ranks_refuse_values_whose_unit_is_scaled_per_gene(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures().fit(cohort)
    cohort.uns["oncoresist"] = {"unit": "gene_scaled"}
    with pytest.raises(
        CohortError,
        match=r"centred or scaled per gene \(as its unit says\): ranks within a sample mean "
        r"nothing there; use score_kind='mean_z', or give the values before scaling",
    ):
        markers.transform(cohort)
    assert markers.with_score_kind("mean_z").transform(cohort)["b2m"].notna().all()


LOOKS = {
    "centred": lambda x: x - x.mean(axis=0),
    "z-scores": gene_z_scores,
    "clipped z-scores": lambda x: gene_z_scores(x).clip(-1.5, 1.5),
    "z-scores with a gap": lambda x: np.where(gene_z_scores(x) > 1.8, np.nan, gene_z_scores(x)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_ranks_refuse_values_that_look_scaled_per_gene_where_no_unit_is_known(
    make_cohort: MakeCohort, look: str
) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures().fit(cohort)
    scaled = with_expression(cohort, LOOKS[look](cohort.X))
    with pytest.raises(CohortError, match=r"scaled per gene \(centred per gene .*mean_z"):
        markers.transform(scaled)
    scaled.uns["oncoresist"] = {"unit": "log2_intensity"}
    assert markers.transform(scaled)["mhc_class_i"].notna().any()


def test_ranks_refuse_values_scaled_to_one_highest_value_where_no_unit_is_known(
    make_cohort: MakeCohort,
) -> None:
    # Fixed: only values below zero are looked at; is_gene_scaled tells these too.
    cohort = make_cohort()
    markers = MarkerFeatures().fit(cohort)
    with pytest.raises(CohortError, match=r"scaled per gene \(.*mean_z"):
        markers.transform(with_expression(cohort, cohort.X / cohort.X.max(axis=0)))


def test_the_look_of_a_real_floor_is_not_that_of_scaled_values(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures().fit(cohort)
    for n_samples in (1, 2, 3, 30):
        part = cohort[:n_samples].copy()
        logged = with_expression(part, np.log2(np.expm1(part.X) + 0.001))
        np.testing.assert_array_equal(markers.transform(logged), markers.transform(part))


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
        match=rf"only 19 of the {cohort.n_vars} background genes are in the file "
        r"\(its first genes: .* and 14 more\); ranks need at least 20: check the gene identifiers",
    ):
        markers.transform(cohort[:, :19].copy())
    own = ["HLA-A", "HLA-B", "HLA-C", "HLA-E", "B2M", "TAP1", "TAP2", "TAPBP"]
    enough = [*own, *(gene for gene in cohort.var_names if gene.startswith("BG"))][:20]
    assert markers.transform(cohort[:, enough].copy())["mhc_class_i"].notna().all()


def test_the_transformer_follows_scikit_learn(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    cohort = make_cohort()
    markers = MarkerFeatures(catalogue, min_coverage=0.7, setting="hcc", score_kind="rank")
    fitted = clone(markers).fit(cohort)
    assert fitted.get_params()["min_coverage"] == 0.7
    assert fitted.get_params()["setting"] == "hcc"
    own = [marker.id for marker in catalogue.markers_of("hcc")]
    assert list(fitted.get_feature_names_out()) == own
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
