"""What a validation set out to reach: each criterion with its figure and a plain verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

__all__ = ["Criterion", "judge"]

MARGIN = 0.02
"""By how much the model may rank below GEP-18."""
MOST_ECE = 0.08
COVERAGE_SLACK = 0.05
MOST_TUMOURS_DECLINED, LEAST_STRANGERS_DECLINED = 0.10, 0.95
_TUMOURS = "held-out tumours"

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Criterion:
    """What was asked, the figure found, and the verdict.

    ``verdict`` is ``met``, ``not met``, ``met, not shown`` (the figure is on the right side and its
    interval reaches across) or ``not measured``.
    """

    text: str
    figure: str
    verdict: str


def judge(
    metrics: Metrics, *, prefix: str, shift: pd.DataFrame, coverage: float
) -> list[Criterion]:
    """Return the criteria of one standardisation, ``prefix`` being ``loco`` or ``loco_reference``.

    Parameters
    ----------
    metrics
        Of the run.
    shift
        ``set`` and ``shift_score`` of each sample measured.
    coverage
        Nominal coverage of the prediction sets.
    """
    low, high = coverage - COVERAGE_SLACK, coverage + COVERAGE_SLACK
    one_sided = (
        (
            f"ranks no more than {MARGIN} below GEP-18 (pairs within cohorts)",
            "difference_pairs.gep_18",
            lambda value: value >= -MARGIN,
        ),
        ("Brier score below the base rate's (skill above 0)", "brier_skill", _positive),
        ("Brier score of the most certain lower than of all", "most_certain.brier", _negative),
        (
            "balanced accuracy of the most certain higher than of all",
            "most_certain.balanced_accuracy",
            _positive,
        ),
    )
    found = [_one_sided(metrics, text, f"{prefix}.{key}", holds) for text, key, holds in one_sided]
    found.insert(2, _ece(metrics, prefix))
    for label in ("responsive", "resistant"):
        text = f"coverage of the {label} between {low:.0%} and {high:.0%}"
        found.append(
            _figure(metrics, text, f"{prefix}.coverage.{label}", lambda v: low <= v <= high)
        )
    return [*found, *_shift(shift), _null(metrics, prefix)]


def _positive(value: float) -> bool:
    return value > 0


def _negative(value: float) -> bool:
    return value < 0


def _one_sided(metrics: Metrics, text: str, key: str, holds: Callable[[float], bool]) -> Criterion:
    if key not in metrics:
        return Criterion(text, "–", "not measured")
    value, low, high = (metrics[key + end] for end in ("", "_low", "_high"))
    verdict = "not met"
    if holds(value):
        verdict = "met" if holds(low) and holds(high) else "met, not shown"
    return Criterion(text, f"{value:+.3f} ({low:+.3f} to {high:+.3f})", verdict)


def _figure(metrics: Metrics, text: str, key: str, holds: Callable[[float], bool]) -> Criterion:
    if key not in metrics:
        return Criterion(text, "–", "not measured")
    return Criterion(text, f"{metrics[key]:.1%}", "met" if holds(metrics[key]) else "not met")


def _ece(metrics: Metrics, prefix: str) -> Criterion:
    text = f"ECE at most {MOST_ECE} (beside it, what perfect calibration would show)"
    if f"{prefix}.ece" not in metrics:
        return Criterion(text, "–", "not measured")
    value, floor = metrics[f"{prefix}.ece"], metrics[f"{prefix}.ece_floor"]
    low, high = metrics[f"{prefix}.ece_floor_low"], metrics[f"{prefix}.ece_floor_high"]
    figure = f"{value:.3f}; {floor:.3f} ({low:.3f} to {high:.3f})"
    return Criterion(text, figure, "met" if value <= MOST_ECE else "not met")


def _shift(shift: pd.DataFrame) -> list[Criterion]:
    flagged = (shift["shift_score"] > 1).groupby(shift["set"]).mean()
    tumours = float(flagged.get(_TUMOURS, float("nan")))
    strangers = flagged.drop(_TUMOURS, errors="ignore")
    found = [
        Criterion(
            f"at most {MOST_TUMOURS_DECLINED:.0%} of held-out tumours out of scope",
            f"{tumours:.1%}",
            "met" if tumours <= MOST_TUMOURS_DECLINED else "not met",
        )
    ]
    if len(strangers):
        least = float(strangers.min())
        found.append(
            Criterion(
                f"at least {LEAST_STRANGERS_DECLINED:.0%} of shuffled genes and of each set that "
                "is no such tumour out of scope",
                f"least: {least:.1%} ({strangers.idxmin()}; {len(strangers)} sets)",
                "met" if least >= LEAST_STRANGERS_DECLINED else "not met",
            )
        )
    return found


def _null(metrics: Metrics, prefix: str) -> Criterion:
    text = "the whole pipeline on shuffled labels ranks at 0.5 within 1.96 standard errors"
    if f"{prefix}.null_auroc" not in metrics:
        return Criterion(text, "–", "not measured")
    mean, error = metrics[f"{prefix}.null_auroc"], metrics[f"{prefix}.null_auroc_se"]
    verdict = "met" if abs(mean - 0.5) <= 1.96 * error else "not met"
    return Criterion(text, f"{mean:.3f} (standard error {error:.3f})", verdict)
