"""Where genes stand in the training samples: quantiles, each cohort counting the same."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from features.catalogue import Catalogue
from features.errors import ModelError
from models.gene_reference import SHARES, GeneReference, gene_ranks, normal_quantiles

MakeCohort = Callable[..., ad.AnnData]


def test_ranks_are_those_that_scipy_gives_within_each_sample(
    make_cohort: MakeCohort, catalogue: Catalogue
) -> None:
    cohort = make_cohort(5)
    genes = ["B2M", "CD8A", "not_there"]
    ranks = gene_ranks(cohort, background=list(cohort.var_names), genes=genes)
    assert sorted(ranks.columns) == ["B2M", "CD8A"]
    expected = (stats.rankdata(cohort.X, axis=1) - 0.5) / cohort.n_vars
    for gene in ranks:
        column = expected[:, cohort.var_names.get_loc(gene)]
        np.testing.assert_allclose(ranks[gene], column, rtol=1e-12)


def test_quantiles_of_cohorts_of_one_size_are_those_of_all_samples() -> None:
    ranks = pd.DataFrame({"A": np.random.default_rng(0).random(400)})
    cohorts = pd.Series(["x", "y"] * 200)
    found = GeneReference.learn(ranks, cohorts=cohorts).quantiles["A"]
    expected = np.quantile(ranks["A"], SHARES, method="inverted_cdf")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_large_cohort_counts_no_more_than_a_small_one() -> None:
    ranks = pd.DataFrame({"A": [0.2] * 90 + [0.8] * 10})
    cohorts = pd.Series(["large"] * 90 + ["small"] * 10)
    found = GeneReference.learn(ranks, cohorts=cohorts).quantiles["A"]
    assert found[1] == 0.2
    assert found[3] == 0.8


def test_a_gene_of_few_training_samples_is_left_out_and_missing_values_do_not_count() -> None:
    ranks = pd.DataFrame({"few": [0.5] * 9 + [np.nan] * 3, "enough": [0.5] * 10 + [np.nan] * 2})
    reference = GeneReference.learn(ranks, cohorts=pd.Series(["x"] * 12))
    assert dict(reference.quantiles) == {"enough": (0.5,) * 5}
    assert (reference.n_samples, reference.n_cohorts) == (12, 1)
    assert GeneReference.from_json(reference.to_json()) == reference


def test_rows_and_cohorts_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ModelError, match="3 rows of gene ranks and 2 cohorts"):
        GeneReference.learn(pd.DataFrame({"A": [0.1, 0.2, 0.3]}), cohorts=pd.Series(["x", "x"]))


def test_z_scores_are_held_against_a_standard_normal() -> None:
    np.testing.assert_allclose(normal_quantiles(), stats.norm.ppf(SHARES), atol=1e-4)


def test_the_quantiles_outline_mean_and_spread_of_the_training_samples() -> None:
    rng = np.random.default_rng(0)
    on = rng.random(4000) < 0.2
    ranks = pd.DataFrame(
        {
            "even": rng.random(4000),
            "on_in_a_fifth": np.where(on, rng.normal(0.9, 0.03, 4000), rng.normal(0.2, 0.05, 4000)),
            "fixed": np.full(4000, 0.5),
        }
    )
    reference = GeneReference.learn(ranks, cohorts=pd.Series("x", index=ranks.index))
    found = reference.standardiser()
    np.testing.assert_allclose(found.mean_, ranks.mean(), atol=0.04)
    np.testing.assert_allclose(found.spread_, ranks.std(ddof=0), rtol=0.2)
    z = found.transform(ranks)
    assert z["fixed"].eq(0).all()
    assert z.loc[on, "on_in_a_fifth"].mean() > 1.5
    assert z.loc[~on, "on_in_a_fifth"].mean() < 0


def test_a_reference_of_no_gene_outlines_none() -> None:
    found = GeneReference({}, 0, 0).standardiser()
    assert found.transform(pd.DataFrame({"A": [0.1]})).shape == (1, 0)
