"""Rank profiles against scipy, and what they must not depend on."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import rankdata

from features.errors import CohortError, ConfigError
from features.profile import rank_profile

GENES = [f"G{i:02d}" for i in range(40)]


def _cohort(values: np.ndarray) -> ad.AnnData:
    return ad.AnnData(values, var=pd.DataFrame(index=GENES[: values.shape[1]]))


def test_profile_is_the_mid_rank_as_scipy_gives_it() -> None:
    values = np.random.default_rng(0).poisson(2.0, (5, 40)).astype(float)
    expected = (rankdata(values, axis=1) - 0.5) / 40
    profile = rank_profile(_cohort(values), background=GENES)
    assert profile.dtype == np.float32
    np.testing.assert_allclose(profile, expected, atol=1e-6)


def test_genes_not_in_the_file_are_missing_and_the_others_ranked_among_themselves() -> None:
    values = np.random.default_rng(1).gamma(1.0, 1.0, (3, 30))
    profile = rank_profile(_cohort(values), background=GENES[::-1])
    assert np.isnan(profile[:, :10]).all()
    np.testing.assert_allclose(profile[:, :9:-1], (rankdata(values, axis=1) - 0.5) / 30, atol=1e-6)


def test_a_value_not_measured_is_missing_in_its_sample_alone() -> None:
    values = np.random.default_rng(2).gamma(1.0, 1.0, (2, 40))
    values[0, 3] = np.nan
    profile = rank_profile(_cohort(values), background=GENES)
    assert np.isnan(profile[0]).tolist() == [gene == 3 for gene in range(40)]
    assert np.isfinite(profile[1]).all()
    rest = np.delete(values[0], 3)
    np.testing.assert_allclose(np.delete(profile[0], 3), (rankdata(rest) - 0.5) / 39, atol=1e-6)


def test_sparse_expression_gives_the_same_profile() -> None:
    values = np.random.default_rng(3).poisson(0.5, (6, 40)).astype(float)
    dense = rank_profile(_cohort(values), background=GENES)
    thin = ad.AnnData(sparse.csr_matrix(values), var=pd.DataFrame(index=GENES))
    np.testing.assert_array_equal(rank_profile(thin, background=GENES), dense)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), power=st.floats(0.2, 3.0), scale=st.floats(0.01, 100.0))
def test_monotone_transformations_and_gene_order_change_nothing(
    seed: int, power: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 50, (3, 40)).astype(float)
    before = rank_profile(_cohort(values), background=GENES)
    order = rng.permutation(40)
    other = _cohort(np.log1p(scale * values**power))[:, order].copy()
    np.testing.assert_array_equal(rank_profile(other, background=GENES), before)


def test_too_few_background_genes_are_refused() -> None:
    with pytest.raises(CohortError, match="only 5 of the 40 background genes"):
        rank_profile(_cohort(np.ones((2, 5))), background=GENES)


def test_a_background_that_names_a_gene_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names genes twice: G00"):
        rank_profile(_cohort(np.ones((2, 40))), background=[*GENES, "G00"])


def test_values_scaled_per_gene_are_refused(make_cohort: Callable[..., ad.AnnData]) -> None:
    cohort = make_cohort(10)
    cohort.uns["oncoresist"] = {"unit": "gene_scaled"}
    with pytest.raises(CohortError, match="centred or scaled per gene"):
        rank_profile(cohort, background=list(cohort.var_names))
