"""Gate, figures: a version must beat the baselines, and its probabilities mean what they say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from features.reference import Standardisation
from pipelines.registry.standing import Check
from pipelines.registry.version_record import VersionRecord
from pipelines.settings.gate import GateConfig
from pipelines.validation.validate import ARM_SUFFIX

__all__ = ["figure_checks", "interval_of"]

_BASELINES = "beats the baselines"
_CALIBRATED = "calibrated"
_RANKING_MEND = (
    "on cohorts held out it ranks no better than chance can; train on more cohorts, or look at "
    "validation.md of the run for cohorts that pull it down"
)
_PEER_MEND = "a published signature ranks better: use that, or train on more cohorts"
_RECALIBRATE = (
    "recalibrate it on a labelled cohort of your own (oncoresist evaluate --recalibrate), or train "
    "on more cohorts"
)
_COVERAGE = "coverage by the prediction sets"


@dataclass(frozen=True)
class _Arm:
    """The figures of one standardisation, by one name for trained and recalibrated versions."""

    name: Standardisation
    ranking: Mapping[str, float]
    probabilities: Mapping[str, float]
    ranking_of: str
    probabilities_of: str

    @classmethod
    def of(cls, record: VersionRecord, arm: Standardisation) -> "_Arm":
        origin = record.origin
        prefix = f"{origin.scheme}{ARM_SUFFIX[arm]}"
        ranking = _under(origin.metrics, f"{prefix}.")
        probabilities = ranking | {
            "brier_of_prior": origin.metrics.get(f"baseline.prior.{prefix}.brier", np.nan)
        }
        if record is origin:
            return cls(arm, ranking, probabilities, "", "")
        kept = f", of version {origin.version}, whose {{}} it keeps"
        if record.recalibrated != arm:
            return cls(arm, ranking, probabilities, kept.format("ranking"), kept.format("scores"))
        own = _under(record.metrics, "evaluate.recalibrated.")
        own["brier_of_prior"] = own.get("brier_of_base_rate", np.nan)
        cohort = record.tags.get("recalibrated_on", "unknown")
        return cls(arm, ranking, own, kept.format("ranking"), f", on cohort '{cohort}'")


def _under(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def figure_checks(
    record: VersionRecord, arm: Standardisation, *, limits: GateConfig
) -> Iterator[Check]:
    """Give the checks of one standardisation's figures on cohorts held out.

    A version that was recalibrated keeps its origin's ranking and prediction sets, and is judged by
    them; its probabilities are judged by the cross-fitted figures of the cohort it was recalibrated
    to, in that standardisation.
    """
    figures = _Arm.of(record, arm)
    yield _beyond_chance(figures, limits)
    yield _against_peer(figures, limits)
    yield _against_prior(figures)
    yield _calibration_error(figures, limits)
    yield _slope(figures, limits)
    yield from _coverage(record.origin, figures, limits)


def _beyond_chance(arm: _Arm, limits: GateConfig) -> Check:
    found = arm.ranking.get("auroc_low", np.nan)
    return _judged(
        _BASELINES,
        f"AUROC, {arm.name}-relative",
        _told(arm.ranking, "auroc") + arm.ranking_of,
        f"95% interval above {limits.least_auroc:g}",
        passed=found > limits.least_auroc,
        mend=_RANKING_MEND,
    )


def _against_peer(arm: _Arm, limits: GateConfig) -> Check:
    name = f"difference_pairs.{limits.peer}"
    what = f"AUROC over pairs within cohorts minus that of {limits.peer}, {arm.name}-relative"
    held = {name, f"difference.{limits.peer}"} & set(arm.ranking)
    if limits.peer is None or ("auroc" in arm.ranking and not held):
        return Check(_BASELINES, what, "not applicable", "the run holds no such baseline", "")
    return _judged(
        _BASELINES,
        what,
        _told(arm.ranking, name, sign="+") + arm.ranking_of,
        f"at least {-limits.peer_margin:g}",
        passed=arm.ranking.get(name, np.nan) >= -limits.peer_margin,
        mend=_PEER_MEND if name in arm.ranking else _GONE,
    )


def _against_prior(arm: _Arm) -> Check:
    prior = arm.probabilities["brier_of_prior"]
    return _judged(
        _BASELINES,
        f"Brier score, {arm.name}-relative",
        _told(arm.probabilities, "brier", digits=4) + arm.probabilities_of,
        f"at most {prior:.4f}, of the share of resistant samples alone",
        passed=arm.probabilities.get("brier", np.nan) <= prior,
        mend=f"telling everyone the same share is nearer the truth; {_RECALIBRATE}",
    )


def _calibration_error(arm: _Arm, limits: GateConfig) -> Check:
    floor = arm.probabilities.get("ece_floor_high", np.nan)
    limit = np.nanmax([limits.most_ece, floor])
    allowed = f"at most {limits.most_ece:.4f}"
    if floor > limits.most_ece:
        allowed = f"at most {floor:.4f}, which at this size could be noise"
    return _judged(
        _CALIBRATED,
        f"expected calibration error, {arm.name}-relative",
        _told(arm.probabilities, "ece", digits=4) + arm.probabilities_of,
        allowed,
        passed=arm.probabilities.get("ece", np.nan) <= limit,
        mend=_RECALIBRATE,
    )


def _slope(arm: _Arm, limits: GateConfig) -> Check:
    """Check the slope itself; that its interval reaches below the limit is told, and passes."""
    name = "calibration_slope"
    slope, low = (arm.probabilities.get(key, np.nan) for key in (name, f"{name}_low"))
    unsure = ""
    if slope > limits.least_slope >= low:
        unsure = f", not shown to be above {limits.least_slope:g}"
    return _judged(
        _CALIBRATED,
        f"calibration slope, {arm.name}-relative",
        _told(arm.probabilities, name) + unsure + arm.probabilities_of,
        f"above {limits.least_slope:g}",
        passed=slope > limits.least_slope,
        mend=(
            "a higher probability does not go with more resistance, which recalibration cannot "
            "mend; train on more cohorts"
        ),
    )


def _coverage(origin: VersionRecord, arm: _Arm, limits: GateConfig) -> Iterator[Check]:
    table = origin.table(f"tables/coverage{ARM_SUFFIX[arm.name]}.parquet")
    kept = arm.ranking_of.replace("ranking", "sets")
    for label in ("resistant", "responsive"):
        what = f"{_COVERAGE}, {label}, {arm.name}-relative"
        if table is None:
            yield _judged(_CALIBRATED, what, "not in the run", "measured", passed=False, mend=_GONE)
            continue
        row = table[(table["cohort"] == "pooled") & (table["label"] == label)].iloc[0]
        nominal, low, high = (float(row[name]) for name in ("nominal", "low", "high"))
        least, most = nominal - limits.coverage_margin, nominal + limits.coverage_margin
        fault = "sets are wider than they say" if low > most else "sets hold less than they say"
        yield _judged(
            _CALIBRATED,
            what,
            f"{row['coverage']:.1%} ({low:.1%} to {high:.1%}){kept}",
            f"{least:.0%} to {most:.0%}, or not told apart from it",
            passed=low <= most and high >= least,
            mend=f"{fault}: train on cohorts like those they are used on",
        )


_GONE = "train again: the run lacks what is judged"


def _judged(group: str, what: str, value: str, limit: str, *, passed: bool, mend: str) -> Check:
    """Return a check; a figure that is not there fails."""
    return Check(group, what, "passed" if passed else "failed", value, limit, mend)


def interval_of(
    figures: Mapping[str, float], name: str, *, sign: str = "", digits: int = 3
) -> str | None:
    """Return a metric with its interval as text, None where it is not there."""
    form = f"{sign}.{digits}f"
    value = figures.get(name)
    if value is None:
        return None
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    if low is None or high is None:
        return f"{value:{form}}"
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def _told(figures: Mapping[str, float], name: str, *, sign: str = "", digits: int = 3) -> str:
    return (
        interval_of(figures, name, sign=sign, digits=digits) or "not determined, or not in the run"
    )
