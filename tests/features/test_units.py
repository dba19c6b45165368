"""The unit of a matrix told by evidence, and its way back to a linear scale."""

import numpy as np
import pytest
from numpy.typing import NDArray

from features.errors import CohortError
from features.units import UnitFinding, detect_unit, to_linear

N_GENES = 400


def linear_tpm(n_samples: int = 12, *, seed: int = 0, zeros: float = 0.15) -> NDArray[np.float64]:
    """Return TPM with zeros, each sample summing to a million."""
    rng = np.random.default_rng(seed)
    level = rng.lognormal(2.0, 2.0, N_GENES)
    values = level * rng.lognormal(0.0, 0.5, (n_samples, N_GENES))
    values[rng.random(values.shape) < zeros] = 0.0
    return values / values.sum(axis=1, keepdims=True) * 1e6


def counts(n_samples: int = 12, *, depth: float = 1e6) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    return rng.poisson(linear_tpm(n_samples) / 1e6 * depth).astype(float)


def log2_intensities(n_samples: int = 12) -> NDArray[np.float64]:
    """Return a panel whose genes are all above the background, as nanoString's."""
    rng = np.random.default_rng(2)
    return rng.normal(rng.uniform(4, 14, N_GENES), 0.7, (n_samples, N_GENES)).clip(1.5, 19)


MATRICES = {
    "counts": (counts(), "counts", 0.0),
    "counts of a shallow panel, none above 50": (counts(depth=300), "counts", 0.0),
    "TPM": (linear_tpm(), "tpm", 0.0),
    "TPM without zeros": (linear_tpm(zeros=0.0), "tpm", 0.0),
    "FPKM-like": (linear_tpm() / 7.3, "tpm", 0.0),
    "log2(TPM + 0.001)": (np.log2(linear_tpm() + 0.001), "log2_tpm", 0.001),
    "log2(TPM + 0.01)": (np.log2(linear_tpm() + 0.01), "log2_tpm", 0.01),
    "log2(TPM + 1)": (np.log2(linear_tpm() + 1), "log2_tpm", 1.0),
    "ln(TPM + 1)": (np.log1p(linear_tpm()), "ln_tpm", 1.0),
    "log2 intensity": (log2_intensities(), "log2_intensity", 0.0),
}


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_each_unit_is_told_apart(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    finding = detect_unit(values)
    assert finding.unit == unit
    assert finding.pseudocount == pytest.approx(pseudocount, rel=1e-9)
    assert not finding.stated
    assert "values" in finding.evidence
    assert finding.meaning


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_one_sample_has_the_unit_of_its_cohort(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    for row in range(len(values)):
        finding = detect_unit(values[[row]])
        assert (finding.unit, finding.pseudocount) == (unit, pytest.approx(pseudocount))


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_values_not_measured_are_ignored(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    holed = values.copy()
    holed[np.random.default_rng(3).random(values.shape) < 0.1] = np.nan
    holed[:, 5] = np.nan
    finding = detect_unit(holed)
    assert (finding.unit, finding.pseudocount) == (unit, pytest.approx(pseudocount))


def test_the_lowest_value_of_a_small_panel_sample_is_not_a_pseudocount() -> None:
    values = np.linspace(-2.0, 12.0, 300)[np.newaxis]
    assert detect_unit(values).unit == "log2_intensity"


def test_zeros_logged_without_pseudocount_are_read_as_zeros() -> None:
    tpm = linear_tpm().round(2)
    with np.errstate(divide="ignore"):
        values = np.log2(tpm)
    finding = detect_unit(values)
    assert (finding.unit, finding.pseudocount) == ("log2_tpm", 0.0)
    assert "minus infinity" in finding.evidence
    np.testing.assert_allclose(to_linear(values, finding), tpm, rtol=1e-12)


def test_a_matrix_of_zeros_is_taken_as_counts() -> None:
    assert detect_unit(np.zeros((3, 5))).unit == "counts"


def negative_counts() -> NDArray[np.float64]:
    values = counts()
    values[2, 3] = -7.0
    return values


def negative_tpm() -> NDArray[np.float64]:
    values = linear_tpm()
    values[2, 3] = -7.5
    return values


def z_scores(n_samples: int = 12) -> NDArray[np.float64]:
    values = np.log2(linear_tpm(n_samples, zeros=0.0) + 1)
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def holding_infinity() -> NDArray[np.float64]:
    values = linear_tpm()
    values[0, :7] = np.inf
    return values


REFUSED = {
    "negative counts": (negative_counts(), r"raw counts but holds 1 negative counts \(-7\)"),
    "few low negative counts": (np.array([[0.0, 3, -2, 1]]), r"1 negative counts \(-2\)"),
    "negative TPM": (negative_tpm(), r"negative values on a linear scale \(values -7\.5 to"),
    "centred": (np.log2(linear_tpm() + 1) - np.log2(linear_tpm() + 1).mean(axis=0), r"is centred"),
    "z-scores": (z_scores(), r"centred per gene .*: ranks within a sample mean nothing"),
    "z-scores clipped": (z_scores().clip(-1.5, 1.5), r"expression is centred per gene"),
    "z-scores with a gap": (np.where(z_scores() > 1.8, np.nan, z_scores()), r"is centred per gene"),
    "z-scores, one sample": (z_scores()[:1] - z_scores()[:1].mean(), r"is centred per gene"),
    "no rows": (np.empty((0, 5)), r"the expression matrix holds no number"),
    "only NaN": (np.full((2, 5), np.nan), r"the expression matrix holds no number"),
    "infinite": (holding_infinity(), r"expression holds 7 infinite values"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=list(REFUSED.keys()))
def test_what_cannot_be_ranked_is_refused(values: NDArray[np.float64], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        detect_unit(values)


def test_many_negative_counts_are_named_by_examples() -> None:
    values = counts()
    values[0, :8] = -np.arange(1.0, 9.0)
    with pytest.raises(CohortError, match=r"8 negative counts \(-1, -2, -3, -4, -5 and 3 more\)"):
        detect_unit(values)


@pytest.mark.parametrize(
    ("values", "unit", "pseudocount"), MATRICES.values(), ids=list(MATRICES.keys())
)
def test_the_linear_scale_keeps_order_and_ties_of_genes(
    values: NDArray[np.float64], unit: str, pseudocount: float
) -> None:
    linear = to_linear(values, detect_unit(values))
    assert linear.min() >= 0
    for before, after in zip(values, linear, strict=True):
        _, rank_before = np.unique(before, return_inverse=True)
        _, rank_after = np.unique(after, return_inverse=True)
        np.testing.assert_array_equal(rank_after, rank_before)


@pytest.mark.parametrize("pseudocount", [0.001, 0.01, 0.1, 1.0])
def test_the_logarithm_is_undone_and_the_floor_becomes_exactly_zero(pseudocount: float) -> None:
    tpm = linear_tpm()
    values = np.log2(tpm + pseudocount)
    linear = to_linear(values, detect_unit(values))
    np.testing.assert_allclose(linear, tpm, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(linear == 0, tpm == 0)


def test_any_floor_becomes_exactly_zero() -> None:
    values = np.linspace(0.5, 12.0, 400).reshape(4, 100)
    floors = np.random.default_rng(0).uniform(-14.0, -0.01, 100_000)
    rounded_apart = np.exp2(floors) > np.array([2.0**floor for floor in floors.tolist()])
    for floor in [*floors[rounded_apart], *floors[:100]]:
        values[:, :10] = floor
        linear = to_linear(values, detect_unit(values))
        assert (linear[:, :10] == 0).all()
        assert (linear[:, 10:] > 0).all()


def test_ln_and_intensities_are_undone_with_their_base() -> None:
    tpm = linear_tpm()
    undone = to_linear(np.log1p(tpm), UnitFinding("ln_tpm", 1.0, "stated", stated=True))
    np.testing.assert_allclose(undone, tpm, rtol=1e-9)
    intensities = log2_intensities()
    undone = to_linear(intensities, detect_unit(intensities))
    np.testing.assert_allclose(np.log2(undone), intensities, rtol=1e-12)


def test_linear_values_come_back_as_a_copy() -> None:
    values = counts()
    linear = to_linear(values, detect_unit(values))
    np.testing.assert_array_equal(linear, values)
    assert linear is not values


@pytest.mark.parametrize("unit", ["counts", "tpm", "log2_tpm", "ln_tpm", "log2_intensity"])
def test_a_gene_not_measured_stays_missing_on_the_linear_scale(unit: str) -> None:
    finding = UnitFinding(unit, 1.0 if unit == "log2_tpm" else 0.0, "stated", stated=True)  # type: ignore[arg-type]
    linear = to_linear(np.array([[np.nan, 0.0, 3.0]]), finding)
    np.testing.assert_array_equal(np.isnan(linear), [[True, False, False]])


def test_z_scores_are_refused_with_infinities_few_samples_and_scaled_genes():
    rng = np.random.default_rng(0)
    log2 = rng.normal(rng.normal(3, 3, 400), 1.5, (41, 400))
    z = (log2 - log2.mean(axis=0)) / log2.std(axis=0)
    with_infinity = z.copy()
    with_infinity[0, 0] = -np.inf
    for values in (z, z[:5], z[:1], with_infinity):
        with pytest.raises(CohortError, match="centred per gene"):
            detect_unit(values)
    scaled = (log2 - log2.min(axis=0)) / np.ptp(log2, axis=0)
    with pytest.raises(CohortError, match="scaled per gene"):
        detect_unit(scaled)
