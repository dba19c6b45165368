"""Standardisation: relative to the cohort, and to a frozen reference."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from features.errors import CohortError
from features.reference import (
    MIN_COHORT_SIZE,
    ReferenceStandardiser,
    mean_and_spread,
    standardise_in_cohort,
)


def table(n_samples: int = 40, n_features: int = 5, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        rng.normal(0.4, 0.2, (n_samples, n_features)),
        index=[f"s{i}" for i in range(n_samples)],
        columns=[f"marker_{i}" for i in range(n_features)],
    )


def two_cohorts(features: pd.DataFrame, *, first: int = 18) -> "pd.Series[str]":
    names = ["one" if row < first else "two" for row in range(len(features))]
    return pd.Series(names, index=features.index)


def test_cohort_relative_values_are_z_scores_within_each_cohort() -> None:
    features = table()
    found = standardise_in_cohort(features, cohorts=two_cohorts(features))
    for rows in (slice(0, 18), slice(18, 40)):
        part = features.iloc[rows].to_numpy()
        expected = (part - part.mean(axis=0)) / part.std(axis=0)
        np.testing.assert_allclose(found.iloc[rows], expected, rtol=1e-12, atol=1e-12)
    assert list(found.columns) == list(features.columns)
    assert list(found.index) == list(features.index)


def test_a_cohort_is_standardised_as_if_it_were_alone() -> None:
    features = table()
    cohorts = two_cohorts(features)
    together = standardise_in_cohort(features, cohorts=cohorts)
    alone = standardise_in_cohort(features[cohorts == "two"], cohorts=cohorts[cohorts == "two"])
    pd.testing.assert_frame_equal(together[cohorts == "two"], alone, check_exact=True)


@pytest.mark.parametrize("seed", range(5))
def test_sample_order_is_nothing_to_cohort_relative_values(seed: int) -> None:
    features = table()
    features.iloc[3, 2] = np.nan
    cohorts = two_cohorts(features)
    order = np.random.default_rng(seed).permutation(len(features))
    found = standardise_in_cohort(features.iloc[order], cohorts=cohorts.iloc[order])
    expected = standardise_in_cohort(features, cohorts=cohorts)
    np.testing.assert_array_equal(found.loc[features.index], expected)


def test_missing_values_stay_missing_and_count_for_nothing() -> None:
    features = table()
    features.iloc[[1, 5], 2] = np.nan
    features["marker_4"] = np.nan
    cohorts = pd.Series("one", index=features.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = standardise_in_cohort(features, cohorts=cohorts)
    np.testing.assert_array_equal(found.isna(), features.isna())
    values = features["marker_2"]
    expected = (values - values.mean()) / values.std(ddof=0)
    np.testing.assert_allclose(found["marker_2"], expected, rtol=1e-12, atol=1e-12)


def test_a_feature_that_does_not_vary_is_zero_where_it_is_measured() -> None:
    features = table()
    features["marker_1"] = 0.1 + 0.2
    features.iloc[4, 1] = np.nan
    found = standardise_in_cohort(features, cohorts=pd.Series("one", index=features.index))
    assert np.isnan(found.iloc[4, 1])
    np.testing.assert_array_equal(found["marker_1"].drop("s4"), 0.0)


def test_a_feature_that_does_not_vary_in_one_cohort_is_zero_there_only() -> None:
    features = table()
    features.iloc[:18, 0] = 0.3
    found = standardise_in_cohort(features, cohorts=two_cohorts(features))
    np.testing.assert_array_equal(found.iloc[:18, 0], 0.0)
    assert found.iloc[18:, 0].std(ddof=0) == pytest.approx(1.0)


def test_a_cohort_of_the_least_size_is_standardised_and_a_smaller_one_refused() -> None:
    features = table(MIN_COHORT_SIZE)
    cohorts = pd.Series("tiny", index=features.index)
    assert standardise_in_cohort(features, cohorts=cohorts).notna().all(axis=None)
    with pytest.raises(
        CohortError,
        match=r"cohort 'tiny' has 14 samples; cohort-relative standardisation needs 15: use the "
        r"reference-relative one",
    ):
        standardise_in_cohort(features[1:], cohorts=cohorts[1:])


def test_the_least_cohort_size_is_a_setting() -> None:
    features = table(20)
    cohorts = two_cohorts(features, first=16)
    standardise_in_cohort(features, cohorts=cohorts, min_cohort_size=4)
    with pytest.raises(CohortError, match=r"cohort 'two' has 4 samples; .* needs 5"):
        standardise_in_cohort(features, cohorts=cohorts, min_cohort_size=5)


def test_standardising_leaves_what_came_in_as_it_was() -> None:
    features = table()
    before = features.copy()
    standardise_in_cohort(features, cohorts=two_cohorts(features))
    ReferenceStandardiser().fit(features).transform(features)
    pd.testing.assert_frame_equal(features, before, check_exact=True)


def test_mean_and_spread_are_numpys_over_what_is_measured() -> None:
    values = table().to_numpy(copy=True)
    values[3, 1] = values[7:9, 2] = np.nan
    values[:, 4] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        mean, spread = mean_and_spread(values)
    np.testing.assert_allclose(mean[:4], np.nanmean(values[:, :4], axis=0), rtol=1e-12)
    np.testing.assert_allclose(spread[:4], np.nanstd(values[:, :4], axis=0), rtol=1e-12)
    assert np.isnan([mean[4], spread[4]]).all()


def test_the_reference_of_one_cohort_is_its_mean_and_spread() -> None:
    features, new = table(), table(3, seed=9)
    found = ReferenceStandardiser().fit(features).transform(new)
    expected = (new - features.mean()) / features.std(ddof=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_in_the_reference_every_cohort_counts_the_same() -> None:
    features = table()
    features.iloc[18:] += 0.5
    cohorts = two_cohorts(features)
    fitted = ReferenceStandardiser().fit(features, cohorts=cohorts)
    one, two = features[:18].to_numpy(), features[18:].to_numpy()
    mean = (one.mean(axis=0) + two.mean(axis=0)) / 2
    between = ((one.mean(axis=0) - mean) ** 2 + (two.mean(axis=0) - mean) ** 2) / 2
    spread = np.sqrt((one.var(axis=0) + two.var(axis=0)) / 2 + between)
    np.testing.assert_allclose(fitted.mean_, mean, rtol=1e-12)
    np.testing.assert_allclose(fitted.spread_, spread, rtol=1e-12)


def test_a_cohort_repeated_ten_times_over_leaves_the_reference_as_it_was() -> None:
    features = table()
    features.iloc[18:] += 0.5
    grown = pd.concat([features, *[features[18:]] * 9])
    cohorts = two_cohorts(grown)
    small = ReferenceStandardiser().fit(features, cohorts=two_cohorts(features))
    large = ReferenceStandardiser().fit(grown, cohorts=cohorts)
    np.testing.assert_allclose(large.mean_, small.mean_, rtol=1e-12)
    np.testing.assert_allclose(large.spread_, small.spread_, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_sample_order_is_nothing_to_the_reference(seed: int) -> None:
    features = table()
    features.iloc[3, 2] = np.nan
    cohorts = two_cohorts(features)
    order = np.random.default_rng(seed).permutation(len(features))
    fitted = ReferenceStandardiser().fit(features, cohorts=cohorts)
    shuffled = ReferenceStandardiser().fit(features.iloc[order], cohorts=cohorts.iloc[order])
    np.testing.assert_array_equal(shuffled.mean_, fitted.mean_)
    np.testing.assert_array_equal(shuffled.spread_, fitted.spread_)


def test_one_sample_alone_is_standardised_exactly_as_in_a_batch() -> None:
    fitted = ReferenceStandardiser().fit(table())
    new = table(6, seed=4)
    together = fitted.transform(new)
    for sample in new.index:
        np.testing.assert_array_equal(fitted.transform(new.loc[[sample]]), together.loc[[sample]])


def test_the_reference_ignores_missing_values_and_keeps_them() -> None:
    features = table()
    features.iloc[:18, 0] = np.nan
    features["marker_1"] = np.nan
    cohorts = two_cohorts(features)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fitted = ReferenceStandardiser().fit(features, cohorts=cohorts)
        found = fitted.transform(features)
    np.testing.assert_allclose(fitted.mean_[0], features.iloc[18:, 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(fitted.spread_[0], features.iloc[18:, 0].std(ddof=0), rtol=1e-12)
    assert np.isnan(fitted.mean_[1])
    assert np.isnan(fitted.spread_[1])
    np.testing.assert_array_equal(found.isna(), features.isna())


def test_a_feature_that_is_constant_in_the_reference_is_zero() -> None:
    features = table()
    features["marker_3"] = 0.7
    found = ReferenceStandardiser().fit(features).transform(table(4, seed=2))
    np.testing.assert_array_equal(found["marker_3"], 0.0)


def test_columns_are_matched_by_name() -> None:
    features, new = table(), table(4, seed=2)
    fitted = ReferenceStandardiser().fit(features)
    shuffled = new[["marker_4", "marker_0", "marker_3", "marker_1", "marker_2"]].assign(extra=1.0)
    pd.testing.assert_frame_equal(
        fitted.transform(shuffled), fitted.transform(new), check_exact=True
    )


def test_a_table_that_lacks_features_of_the_reference_is_refused() -> None:
    fitted = ReferenceStandardiser().fit(table())
    with pytest.raises(
        CohortError, match=r"lacks 2 of the reference's 5 features: marker_1, marker_3; give every"
    ):
        fitted.transform(table()[["marker_0", "marker_2", "marker_4"]])


def test_the_standardiser_follows_scikit_learn() -> None:
    fitted = ReferenceStandardiser().fit(table())
    assert list(fitted.get_feature_names_out()) == [f"marker_{i}" for i in range(5)]
    assert fitted.n_features_in_ == 5
    assert isinstance(clone(fitted), ReferenceStandardiser)
    assert isinstance(fitted.set_output(transform="pandas").transform(table()), pd.DataFrame)
    with pytest.raises(NotFittedError, match=r"not fitted yet"):
        clone(fitted).transform(table())


def test_a_feature_no_training_sample_had_stays_missing():
    train = pd.DataFrame({"known": [0.1, 0.5, 0.9], "never": [np.nan] * 3})
    new = pd.DataFrame({"known": [0.5], "never": [0.7]})
    found = ReferenceStandardiser().fit(train).transform(new)
    assert found["known"].notna().all()
    assert found["never"].isna().all()


def test_a_sample_without_a_cohort_is_refused():
    features = pd.DataFrame({"a": np.arange(20.0)})
    cohorts = pd.Series(["x"] * 19 + [None])
    with pytest.raises(CohortError, match=r"1 samples have no cohort: 19; .* one for each"):
        standardise_in_cohort(features, cohorts=cohorts)
