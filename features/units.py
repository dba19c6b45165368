"""Tell the unit of an expression matrix by evidence, and bring it to a linear scale."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import CohortError, examples

__all__ = [
    "Unit",
    "UnitFinding",
    "detect_unit",
    "is_gene_scaled",
    "share_highest_value",
    "to_linear",
]

Unit = Literal["counts", "tpm", "log2_tpm", "ln_tpm", "log2_intensity", "gene_scaled"]

_HIGHEST_LOG = 50.0
"""No log2 or natural-log expression exceeds this; linear data of a whole sample always does."""
_INTEGER_SHARE = 0.999
_SHARED_FLOOR = 1e-3
"""Share of values that sit on the minimum when it stands for 'not detected'."""
_SMALL_FLOOR = 0.05
"""Share below which a floor does not speak against z-scores: the one sample in which a gene is not
detected has the same z-score for every such gene."""
_CENTRED_RATIO = 0.2
_FEWEST_FOR_MEANS = 3
"""Fewest samples, and genes, whose variances say whether genes are centred."""
_ABOUT_ZERO = {False: 0.75, True: 0.25}
"""Furthest that the mean of all values may lie from zero, in standard deviations within genes, by
whether the scale is linear. Three samples cut from the z-scores of a real cohort reach 0.74."""
_MANY_GENES, _LOW_FOR_MANY = 500, 8.0
"""Highest value that no logarithm of so many genes stays below."""
_NEAR_A_MILLION, _AGREEMENT = 0.5, 0.2
"""Furthest that undone totals may lie from what they should be, in powers of ten."""
_SAME_SPREAD = 0.05
_SCALED_SHARE = 1 / 3
"""Share of genes of unit spread: 0.66 and 1 in the two real files scaled to it, at most 0.13 in the
others."""
_FEWEST_FOR_SPREADS = 20
"""Fewest genes, and samples, for a spread to be told as shared."""
_FEWEST_FOR_HIGHEST = 5
"""Fewest samples for a highest value to be told as shared."""
_CENTRED = "centred per gene (values about zero, genes differ little)"
_CLIPPED = "centred per gene (clipped alike below and above zero)"
_SCALED = "scaled per gene (genes share one highest value, or unit spread)"

_MEANING: dict[str, str] = {
    "counts": "raw counts",
    "tpm": "linear, such as TPM, FPKM or CPM",
    "log2_tpm": "log2(TPM + pseudo-count)",
    "ln_tpm": "natural log(TPM + 1)",
    "log2_intensity": "log2 intensity, such as a nanoString panel or a microarray",
    "gene_scaled": "centred or scaled per gene, such as z-scores",
}


@dataclass(frozen=True)
class UnitFinding:
    """The unit of a matrix and what it was told by.

    Attributes
    ----------
    unit
        One of :data:`Unit`.
    pseudocount
        Constant added before the logarithm (0 for linear data).
    evidence
        The figures that decided, in words.
    stated
        True when the configuration named the unit, False when it was found.
    """

    unit: Unit
    pseudocount: float
    evidence: str
    stated: bool = False

    @property
    def meaning(self) -> str:
        """The unit in words."""
        return _MEANING[self.unit]


def detect_unit(values: NDArray[np.float64]) -> UnitFinding:
    """Return the unit of an expression matrix.

    Parameters
    ----------
    values
        Expression (n_samples, n_genes); NaN is allowed and ignored.

    Raises
    ------
    CohortError
        The matrix is empty, or holds infinite values, negative counts or negative linear values.

    Notes
    -----
    ``gene_scaled`` is told by its evidence: values that lie about zero without a floor, genes
    differing less from each other than samples do within a gene; values clipped alike on both
    sides of zero; most genes reaching the same highest value; or many genes of unit spread. Ranks
    within a sample mean nothing there.
    Minus infinity is the logarithm of a zero without a pseudo-count and is read as that zero.
    """
    if np.isposinf(values).any():
        raise CohortError(
            f"expression holds {int(np.isposinf(values).sum())} infinite values; "
            "correct the file, or write NA where a gene was not measured"
        )
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise CohortError("the expression matrix holds no number; give a file with expression")
    low, high = float(finite.min()), float(finite.max())
    if high <= 0 and low < 0:
        raise CohortError(
            f"no value is above zero (values {low:.4g} to {high:.4g}): the values seem to be "
            "negated, as Ct values are; turn their sign, so that more means more expression"
        )
    whole = float(np.mean(finite == np.round(finite)))
    seen = f"values {low:.4g} to {high:.4g}, {whole:.1%} whole numbers"
    if whole >= _INTEGER_SHARE:
        if low < 0:
            raise _negative_counts(finite)
        return UnitFinding("counts", 0.0, seen)
    if high > _HIGHEST_LOG:
        scaled = is_gene_scaled(values) if low < 0 else ""
        if scaled:
            return UnitFinding("gene_scaled", 0.0, f"{seen}: {scaled}")
        if low < 0:
            raise CohortError(
                f"expression holds negative values on a linear scale ({seen}); "
                "give counts, TPM or their logarithm, or state unit: gene_scaled for values that "
                "were centred or scaled per gene"
            )
        totals = np.nansum(values, axis=1)
        return UnitFinding("tpm", 0.0, f"{seen}, median sample total {np.median(totals):.4g}")
    return _detect_log_unit(values, low=low, on_floor=int(np.sum(finite == low)), seen=seen)


def _detect_log_unit(
    values: NDArray[np.float64], *, low: float, on_floor: int, seen: str
) -> UnitFinding:
    zeros = np.isneginf(values)
    floor_share = on_floor / np.isfinite(values).sum() if on_floor > 1 else 0.0
    scaled = is_gene_scaled(
        np.where(zeros, np.nan, values), floor_share=1.0 if zeros.any() else floor_share
    )
    if scaled:
        return UnitFinding("gene_scaled", 0.0, f"{seen}: {scaled}")
    if zeros.any():
        return UnitFinding("log2_tpm", 0.0, f"{seen}, zeros as minus infinity: no pseudo-count")
    seen = f"{seen}, {floor_share:.2%} of values on the minimum"
    shared_floor = floor_share >= _SHARED_FLOOR
    if low < 0 and shared_floor:
        constant = float(np.exp2(low))  # as in to_linear, so that the floor becomes exactly zero
        return UnitFinding("log2_tpm", constant, f"{seen}: log2 of a pseudo-count {constant:.4g}")
    if low == 0 and shared_floor:
        return _detect_base(values, seen=seen)
    return UnitFinding("log2_intensity", 0.0, f"{seen}: no shared floor of undetected genes")


def _detect_base(values: NDArray[np.float64], *, seen: str) -> UnitFinding:
    """Tell log2 from natural log: undone with the right base, sample totals agree.

    They agree on a million (TPM, CPM) or, closely, on the ten thousand that single cells are often
    scaled to. Where the totals of few genes agree on neither, log2, the usual one, is taken.
    """
    distance, on_ten_thousand = {}, {}
    for name, undone in (("log2", np.exp2(values)), ("ln", np.exp(values))):
        totals = np.log10(np.nansum(undone - 1.0, axis=1) + 1.0)
        distance[name] = float(np.std(totals) + np.abs(np.mean(totals) - 6.0))
        on_ten_thousand[name] = np.std(totals) + np.abs(np.mean(totals) - 4.0) < _AGREEMENT
    found = f"{seen}; distance of sample totals from 10^6: " + ", ".join(
        f"{name} {value:.2f}" for name, value in distance.items()
    )
    natural = distance["ln"] < min(distance["log2"], _NEAR_A_MILLION) or on_ten_thousand["ln"]
    natural = natural and not on_ten_thousand["log2"]
    return UnitFinding("ln_tpm" if natural else "log2_tpm", 1.0, found)


def is_gene_scaled(values: NDArray[np.float64], *, floor_share: float = 0.0) -> str:
    """Return the evidence that values are centred or scaled per gene, else an empty text.

    ``values`` is (n_samples, n_genes); ``floor_share`` is the share of values on the lowest one: a
    floor of undetected genes speaks against z-scores where nothing else decides.
    """
    lowest, highest = np.nanmin(values, initial=np.inf), np.nanmax(values, initial=-np.inf)
    if lowest < 0:
        if np.isclose(lowest, -highest) and np.sum(values == lowest) > 1 < np.sum(
            values == highest
        ):
            return _CLIPPED
        linear = bool(highest > _HIGHEST_LOG)
        floorless = floor_share < _SHARED_FLOOR
        about_zero = _lie_about_zero(values, linear=linear, floorless=floorless)
        if floor_share < _SMALL_FLOOR and about_zero:
            return _CENTRED
    return _SCALED if share_highest_value(values) or _have_unit_spread(values) else ""


def share_highest_value(values: NDArray[np.float64]) -> bool:
    """Return whether most genes that vary reach one and the same highest value."""
    if values.shape[0] < _FEWEST_FOR_HIGHEST or values.shape[1] < _FEWEST_FOR_MEANS:
        return False
    with np.errstate(all="ignore"):
        highest, lowest = np.fmax.reduce(values, axis=0), np.fmin.reduce(values, axis=0)
    reached = highest[highest > lowest]
    return reached.size > 0 and bool(np.mean(reached == reached.max()) > 0.5)


def _have_unit_spread(values: NDArray[np.float64]) -> bool:
    """Return whether many genes that vary have a standard deviation of one."""
    if min(values.shape) < _FEWEST_FOR_SPREADS:
        return False
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # genes without a value
        spread = np.nanstd(values, axis=0)
    varying = spread[spread > 0]
    alike = np.abs(varying - 1.0) < _SAME_SPREAD
    return varying.size >= _FEWEST_FOR_SPREADS and bool(alike.mean() > _SCALED_SHARE)


def _lie_about_zero(values: NDArray[np.float64], *, linear: bool, floorless: bool) -> bool:
    """Return whether values lie about zero and genes differ less than samples within a gene.

    So it is once each gene was centred, in any subset of its samples; not so in expression. Of one
    or two samples only the first can be told, and of two on a linear scale neither.
    """
    if values.shape[0] < _FEWEST_FOR_MEANS:
        furthest = _ABOUT_ZERO[linear] if floorless else _CENTRED_RATIO
        near = abs(np.nanmedian(values)) < furthest * np.nanstd(values)
        low = floorless and values.shape[1] >= _MANY_GENES and np.nanmax(values) < _LOW_FOR_MANY
        return bool(near or low) and not linear
    measured = values[:, np.isfinite(values).all(axis=0)]
    if min(measured.shape) < _FEWEST_FOR_MEANS:
        return False
    within, means = float(measured.var(axis=0, ddof=1).mean()), measured.mean(axis=0)
    near = abs(float(means.mean())) < _ABOUT_ZERO[linear] * within**0.5
    return near and 0 < float(means.var()) < within


def _negative_counts(finite: NDArray[np.float64]) -> CohortError:
    negative = finite[finite < 0]
    return CohortError(
        f"expression looks like raw counts but holds {negative.size} negative counts "
        f"({examples(f'{value:g}' for value in negative)}); counts are zero or more: "
        "correct the file, or name the unit in the cohort's configuration under unit"
    )


def to_linear(values: NDArray[np.float64], finding: UnitFinding) -> NDArray[np.float64]:
    """Return expression on a linear scale (n_samples, n_genes), never negative; NaN stays NaN.

    The order of genes within a sample is kept, ties included. ``gene_scaled`` has no linear scale.
    """
    if finding.unit in ("counts", "tpm"):
        return values.copy()
    if finding.unit == "log2_tpm":
        return np.maximum(np.exp2(values) - finding.pseudocount, 0.0)
    if finding.unit == "ln_tpm":
        return np.maximum(np.expm1(values), 0.0)
    return np.exp2(values)
