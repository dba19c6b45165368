"""The shift detector: known strangers are flagged, a further cohort of the same kind is not."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy import stats
from scipy.spatial.distance import mahalanobis as scipy_mahalanobis
from sklearn.base import clone

from features.errors import ModelError
from models.distances import (
    balanced_quantile,
    mahalanobis,
    mean_profile,
    nearest_correlation,
    new_cohort_bound,
    undetected_share,
)
from models.shift import COMPONENTS, TISSUE_GENES, ShiftDetector

BACKGROUND = [*TISSUE_GENES, *(f"G{i:03d}" for i in range(400))]
N_TISSUE = len(TISSUE_GENES)
LEARNED = ("undetected_genes", "rank_distance", "feature_distance", "tissue_distance")


@dataclass(frozen=True)
class Samples:
    profiles: np.ndarray
    features: pd.DataFrame
    cohorts: "pd.Series[str]"

    def part(self, rows: np.ndarray) -> "Samples":
        return Samples(self.profiles[rows], self.features[rows], self.cohorts[rows])


def _ranks(levels: np.ndarray) -> np.ndarray:
    return ((stats.rankdata(levels, axis=1) - 0.5) / levels.shape[1]).astype(np.float32)


def _samples(n_cohorts: int = 6, n_each: int = 20, *, seed: int = 0) -> Samples:
    """Return cohorts that share genes' levels, each with an effect of its own."""
    rng = np.random.default_rng(seed)
    levels = np.random.default_rng(99).normal(0, 3, len(BACKGROUND))
    levels[:N_TISSUE] = 3.0
    parts, features = [], []
    for _ in range(n_cohorts):
        own = levels + rng.normal(0, 1, len(BACKGROUND))
        parts.append(own + rng.normal(0, 1, (n_each, len(BACKGROUND))))
        features.append(rng.normal(0, 0.5, 8) + rng.normal(0, 1, (n_each, 8)))
    names = [f"{seed}/{c}_{i}" for c in range(n_cohorts) for i in range(n_each)]
    cohorts = pd.Series([name.split("_")[0] for name in names], index=names)
    table = pd.DataFrame(np.vstack(features), names, [f"f{i}" for i in range(8)])
    return Samples(_ranks(np.vstack(parts)), table, cohorts)


def _fit(samples: Samples, **parameters: float) -> ShiftDetector:
    return ShiftDetector(**parameters).fit(
        samples.profiles, samples.features, cohorts=samples.cohorts, background=BACKGROUND
    )


@pytest.fixture(scope="module")
def detector() -> ShiftDetector:
    return _fit(_samples())


@pytest.fixture(scope="module")
def fresh() -> Samples:
    return _samples(5, seed=7)


def test_further_cohorts_of_the_same_kind_are_mostly_in_scope(
    detector: ShiftDetector, fresh: Samples
) -> None:
    shift = detector.measure(fresh.profiles, fresh.features)
    assert (shift["shift_score"] > 1).mean() <= 0.05
    assert list(shift.columns) == ["shift_score", "reason", *COMPONENTS]
    assert shift.index.equals(fresh.features.index)


def test_samples_with_shuffled_genes_are_flagged_by_their_ranks(
    detector: ShiftDetector, fresh: Samples
) -> None:
    shuffled = np.random.default_rng(0).permuted(fresh.profiles, axis=1)
    shift = detector.measure(shuffled, fresh.features)
    assert (shift["shift_score"] > 1).all()
    assert shift["reason"].str.startswith("gene ranks correlate with the nearest").all()


def test_samples_without_tissue_are_flagged_by_its_genes(
    detector: ShiftDetector, fresh: Samples
) -> None:
    levels = fresh.profiles.copy()
    levels[:, :N_TISSUE] *= 0.1
    shift = detector.measure(_ranks(levels), fresh.features)
    assert (shift["shift_score"] > 1).all()
    assert shift["reason"].str.startswith("genes of stroma, vessels and leucocytes").all()


def test_samples_with_most_genes_undetected_are_flagged(
    detector: ShiftDetector, fresh: Samples
) -> None:
    shift = detector.measure(_ranks(np.maximum(fresh.profiles, 0.7)), fresh.features)
    assert (shift["shift_score"] > 1).all()
    np.testing.assert_allclose(shift["undetected_genes"], 0.7, atol=0.01)


def test_samples_with_far_features_are_flagged(detector: ShiftDetector, fresh: Samples) -> None:
    shift = detector.measure(fresh.profiles, fresh.features + 10.0)
    assert (shift["shift_score"] > 1).all()
    assert shift["reason"].str.contains(r"marker features lie \d+\.\d standard").all()


def test_missing_genes_are_named_with_what_is_measured(
    detector: ShiftDetector, fresh: Samples
) -> None:
    profiles = fresh.profiles.copy()
    profiles[:, 100:] = np.nan
    shift = detector.measure(profiles, fresh.features)
    assert (shift["shift_score"] > 1).all()
    assert shift["reason"].iloc[0] == "only 23% of the background genes are measured"
    np.testing.assert_allclose(
        shift["shift_score"].min(), (1 - 100 / len(BACKGROUND)) / 0.5, atol=1e-6
    )


def test_gene_coverage_is_matched_by_sample_and_counts(
    detector: ShiftDetector, fresh: Samples
) -> None:
    coverage = pd.Series(1.0, index=fresh.features.index[::-1])
    coverage.iloc[0] = 0.2
    shift = detector.measure(fresh.profiles, fresh.features, gene_coverage=coverage)
    assert shift["reason"].iloc[-1] == "only 20% of the marker genes are measured"
    assert shift["missing_marker_genes"].iloc[:-1].eq(0).all()


def test_the_score_is_finite_even_where_nothing_is_measured(detector: ShiftDetector) -> None:
    profiles = np.full((2, len(BACKGROUND)), np.nan, dtype=np.float32)
    features = pd.DataFrame(np.nan, index=["a", "b"], columns=detector.feature_names_)
    shift = detector.measure(profiles, features)
    assert shift["shift_score"].tolist() == [2.0, 2.0]


def test_sample_order_and_company_change_nothing(detector: ShiftDetector, fresh: Samples) -> None:
    together = detector.measure(fresh.profiles, fresh.features)
    rows = np.random.default_rng(0).permutation(len(fresh.features))[:9]
    apart = detector.measure(fresh.profiles[rows], fresh.features.iloc[rows])
    pd.testing.assert_frame_equal(apart, together.iloc[rows], rtol=1e-9)


def test_held_out_cohorts_never_enter_their_own_measure() -> None:
    samples = _samples(4)
    held = samples.cohorts == "0/0"
    moved = Samples(samples.profiles, samples.features.copy(), samples.cohorts)
    moved.features.loc[held] += 50.0
    departed = _fit(moved)
    rest = samples.part((~held).to_numpy())
    by_others = _fit(rest).measure(moved.profiles[held.to_numpy()], moved.features[held])
    limits = pd.Series(departed.limits_)[list(LEARNED)]
    expected = (by_others[list(LEARNED)] / limits).max(axis=1)
    np.testing.assert_allclose(departed.held_out_[held.to_numpy()], expected, rtol=1e-6)
    assert (by_others["feature_distance"] > 40).all()


def test_a_single_cohort_is_held_out_in_parts() -> None:
    samples = _samples(1, 60)
    detector = _fit(samples)
    fresh = _samples(1, 60, seed=3)
    shuffled = np.random.default_rng(0).permuted(samples.profiles, axis=1)
    assert len(set(detector.held_out_cohorts_)) == 5
    assert np.isfinite(list(detector.limits_.values())).all()
    assert (detector.measure(shuffled, fresh.features)["shift_score"] > 1).all()


def test_without_tissue_genes_in_the_background_their_component_is_left_out() -> None:
    samples = _samples(3)
    detector = ShiftDetector().fit(
        samples.profiles,
        samples.features,
        cohorts=samples.cohorts,
        background=[f"X{i}" for i in range(len(BACKGROUND))],
    )
    shift = detector.measure(samples.profiles, samples.features)
    assert shift["tissue_distance"].isna().all()
    assert np.isfinite(shift["shift_score"]).all()


def test_fitted_state_survives_skops(detector: ShiftDetector, fresh: Samples) -> None:
    trusted = ["models.shift.ShiftDetector", "features.reference.ReferenceStandardiser"]
    back = skops.io.loads(skops.io.dumps(detector), trusted=trusted)
    pd.testing.assert_frame_equal(
        back.measure(fresh.profiles, fresh.features),
        detector.measure(fresh.profiles, fresh.features),
    )
    assert clone(detector).get_params() == detector.get_params()


def test_what_does_not_go_together_is_refused(detector: ShiftDetector, fresh: Samples) -> None:
    with pytest.raises(ModelError, match="do not go together"):
        _fit(Samples(fresh.profiles[1:], fresh.features, fresh.cohorts))
    with pytest.raises(ModelError, match="8 training samples"):
        _fit(fresh.part(np.arange(len(fresh.features)) < 8))
    with pytest.raises(ModelError, match=r"flagged_share is 1\.5"):
        _fit(fresh, flagged_share=1.5)
    with pytest.raises(ModelError, match="rank them with the model's background"):
        detector.measure(fresh.profiles[:, 1:], fresh.features)
    with pytest.raises(ModelError, match=r"lacks 1 columns \(f3\)"):
        detector.measure(fresh.profiles, fresh.features.drop(columns="f3"))


def test_mahalanobis_is_scipys_over_the_measured_features() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 9))
    covariance = np.cov(rng.normal(size=(50, 9)).T)
    values[3, [0, 4]] = np.nan
    values[5, 4:] = np.nan
    expected = []
    for row in values[:5]:
        kept = np.isfinite(row)
        inverse = np.linalg.inv(covariance[np.ix_(kept, kept)])
        distance = scipy_mahalanobis(row[kept], np.zeros(kept.sum()), inverse)
        expected.append(distance / np.sqrt(kept.sum()))
    np.testing.assert_allclose(mahalanobis(values, covariance)[:5], expected, rtol=1e-10)
    assert np.isnan(mahalanobis(values, covariance)[5])


def test_nearest_correlation_is_the_highest_of_pearsons() -> None:
    rng = np.random.default_rng(1)
    values = rng.random((5, 30)).astype(np.float32)
    means = rng.random((3, 30)).astype(np.float32)
    values[2, :10] = np.nan
    values[4] = 0.5
    expected = [
        max(stats.pearsonr(row[np.isfinite(row)], mean[np.isfinite(row)])[0] for mean in means)
        for row in values[:4]
    ]
    found = nearest_correlation(values, means)
    np.testing.assert_allclose(found[:4], expected, atol=1e-6)
    assert found[4] == 0.0


def test_undetected_genes_are_those_that_tie_at_the_bottom() -> None:
    values = np.array([[0.2, 0.2, 0.7, np.nan], [0.1, 0.4, 0.6, 0.9]], dtype=np.float32)
    np.testing.assert_allclose(
        undetected_share(values, np.isfinite(values)), [2 / 3, 0.0], rtol=1e-12
    )


def test_mean_profile_leaves_out_what_no_sample_has() -> None:
    values = np.array([[0.2, np.nan, np.nan], [0.4, 0.6, np.nan]], dtype=np.float32)
    np.testing.assert_allclose(mean_profile(values), [0.3, 0.6, np.nan], rtol=1e-6)


def test_the_bound_covers_a_further_cohort_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([f"c{i}" for i in range(8)], 5)
    covered = []
    for _ in range(400):
        levels = np.exp(rng.normal(0.5, 0.3, 9))
        bound = new_cohort_bound(np.repeat(levels[:8], 5), groups, 0.95)
        covered.append(levels[8] <= bound)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.isnan(new_cohort_bound(np.full(40, np.nan), groups, 0.95))


def test_the_balanced_quantile_is_that_of_groups_repeated_to_one_size() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=10), rng.normal(2.0, 1.0, size=40)
    expected = np.quantile(np.r_[np.repeat(few, 4), many], 0.9, method="inverted_cdf")
    groups = np.array(["few"] * 10 + ["many"] * 40)
    assert balanced_quantile(np.r_[few, many], groups, 0.9) == expected


def test_at_most_the_share_asked_for_of_held_out_samples_lies_above_one() -> None:
    for share in (0.05, 0.3):
        detector = _fit(_samples(), flagged_share=share)
        assert (detector.held_out_ > 1).mean() <= share
