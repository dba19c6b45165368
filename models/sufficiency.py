"""How much a model's data can bear: a verdict from the interval of its held-out AUROC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np

from features.reference import Standardisation
from models.metrics import Estimate

__all__ = [
    "CALL_BAR",
    "RULES",
    "VERDICTS",
    "DataVerdict",
    "Sufficiency",
    "judge_sufficiency",
    "main_sufficiency",
    "read_sufficiency",
]

DataVerdict = Literal["not enough data", "exploratory", "usable for ranking"]
VERDICTS: tuple[DataVerdict, ...] = get_args(DataVerdict)
"""The verdicts, the least first."""
CALL_BAR: DataVerdict = "exploratory"
"""The least verdict with which patients are called resistant or responsive."""

# Conventions, fitted to nothing.
_CHANCE = 0.5
_RANKING_WIDTH = 0.2
"""Widest interval of a usable AUROC: 0.6 ± 0.1 still tells a weak ranking from a good one."""
_RANKING_SAMPLES = 100
"""Fewest labelled samples of a usable ranking. External validations are advised to have 100 events
(Collins et al. 2016, doi:10.1002/sim.6787); here 100 samples, since the interval is asked for
besides."""
_RANKING_COHORTS = 2
"""Fewest cohorts held out: with one nobody can say how much cohorts differ."""
_LEAST_SAMPLES = 30
_LEAST_OF_CLASS = 10
"""Fewest labelled samples, and of each class: with fewer the bootstrap itself is too narrow."""
_DIGITS = 9
"""Decimals of a width: 0.8 − 0.6 is 0.2, whatever the floating point says."""
_CELL_LINES_ALONE = "validated on cell lines alone: no patient was ever held out"

RULES: Mapping[DataVerdict, str] = {
    "usable for ranking": (
        f"the 95% interval of the held-out AUROC lies above {_CHANCE} and is at most "
        f"{_RANKING_WIDTH} wide, over at least {_RANKING_SAMPLES} patients with a label of at "
        f"least {_RANKING_COHORTS} cohorts held out, not of cell lines alone"
    ),
    "exploratory": (
        f"the interval lies above {_CHANCE}, but something else of that is lacking: there may be "
        "something"
    ),
    "not enough data": (
        f"the interval reaches {_CHANCE} or lies below it, or there are fewer than "
        f"{_LEAST_SAMPLES} patients with a label or fewer than {_LEAST_OF_CLASS} of a class"
    ),
}
"""Verdict → what it takes."""


@dataclass(frozen=True)
class Sufficiency:
    """How much the data of one standardisation of a model can bear.

    Attributes
    ----------
    verdict
        ``usable for ranking``, ``exploratory`` or ``not enough data``.
    reasons
        Plain sentences with the numbers: the figure first, then what it lacks.
    standardisation
        Whose held-out figures were judged.
    """

    verdict: DataVerdict
    reasons: tuple[str, ...]
    standardisation: Standardisation

    @property
    def suffices(self) -> bool:
        """Whether patients may be called: the verdict is at least :data:`CALL_BAR`."""
        return VERDICTS.index(self.verdict) >= VERDICTS.index(CALL_BAR)

    @property
    def why(self) -> str:
        """The reasons as one text."""
        return "; ".join(self.reasons)

    def sentence(self) -> str:
        """Return verdict, standardisation and reasons as one line."""
        return f"{self.verdict}, {self.standardisation}-relative: {self.why}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a model's facts."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "standardisation": self.standardisation,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote."""
        return cls(stored["verdict"], tuple(stored["reasons"]), stored["standardisation"])


def judge_sufficiency(
    auroc: Estimate,
    *,
    standardisation: Standardisation,
    samples: int,
    resistant: int,
    cohorts: int,
    responsive: int | None = None,
    cell_lines: bool = False,
) -> Sufficiency:
    """Return what the data behind a held-out AUROC can bear, by :data:`RULES`.

    A narrower interval around the same value, or more samples of either class, never lowers the
    verdict. An interval that holds 0.5 is ``not enough data``, however narrow: no ranking is shown
    that a call could rest on.

    Parameters
    ----------
    auroc
        On samples held out, with its 95% interval over patients.
    standardisation
        Of the features.
    samples, resistant, responsive
        Patients (or cell lines) with a label behind the figure, and how many of them are
        resistant and responsive; null: those that are not resistant. Several samples of one that
        respond differently count for each.
    cohorts
        Cohorts that were held out whole; 0 where patients of a single cohort were held out.
    cell_lines
        Whether every sample behind the figure is a cell line: at most ``exploratory`` then.

    Examples
    --------
    >>> found = judge_sufficiency(
    ...     Estimate(0.6, 0.54, 0.67, 0.03),
    ...     standardisation="cohort",
    ...     samples=424,
    ...     resistant=285,
    ...     cohorts=1,
    ... )
    >>> found.verdict, found.reasons[1]
    ('exploratory', '1 cohort was held out, at least 2 are needed to rank new ones')
    """
    figure = _figure(
        auroc, samples=samples, resistant=resistant, cohorts=cohorts, cell_lines=cell_lines
    )
    counts = {
        "resistant": resistant,
        "responsive": samples - resistant if responsive is None else responsive,
    }
    alone = (_CELL_LINES_ALONE,) if cell_lines else ()
    fatal = (*_too_few(samples, counts), *_not_shown(auroc))
    lacking = (*_short_of_ranking(auroc, samples=samples, cohorts=cohorts), *alone)
    if fatal:
        return Sufficiency("not enough data", (figure, *fatal, *alone), standardisation)
    if lacking:
        return Sufficiency("exploratory", (figure, *lacking), standardisation)
    width = f"the interval lies above {_CHANCE} and is {_width(auroc):.3f} wide"
    return Sufficiency("usable for ranking", (figure, width), standardisation)


def read_sufficiency(facts: Mapping[str, Any]) -> dict[Standardisation, Sufficiency]:
    """Return the verdicts among a model's facts; empty of a version that stores none."""
    return {
        arm: Sufficiency.from_json(found) for arm, found in facts.get("sufficiency", {}).items()
    }


def main_sufficiency(facts: Mapping[str, Any]) -> Sufficiency | None:
    """Return the model's verdict, that of the cohort-relative arm where it has one; else None."""
    found = read_sufficiency(facts)
    return found.get("cohort") or next(iter(found.values()), None)


def _width(auroc: Estimate) -> float:
    return round(auroc.high - auroc.low, _DIGITS)


def _figure(
    auroc: Estimate, *, samples: int, resistant: int, cohorts: int, cell_lines: bool
) -> str:
    who = "cell lines" if cell_lines else "patients"
    of = f"{cohorts} cohort{'s' * (cohorts != 1)} held out" if cohorts else f"{who} held out"
    known = np.isfinite([auroc.low, auroc.high]).all()
    interval = f" (95% interval {auroc.low:.3f} to {auroc.high:.3f})" if known else ""
    return (
        f"the AUROC on {of} is {auroc.value:.3f}{interval}, of {samples} {who} with a label, "
        f"{resistant} resistant"
    )


def _too_few(samples: int, counts: Mapping[str, int]) -> Iterator[str]:
    if samples < _LEAST_SAMPLES:
        yield f"{samples} with a label are fewer than {_LEAST_SAMPLES}"
    for name, count in counts.items():
        if count < _LEAST_OF_CLASS:
            yield f"{count} {name} ones are fewer than {_LEAST_OF_CLASS}"


def _not_shown(auroc: Estimate) -> Iterator[str]:
    """Give why the interval lets nobody say that there may be something."""
    width = _width(auroc)
    if not np.isfinite([auroc.value, width]).all():
        yield "its interval cannot be determined"
    elif auroc.low > _CHANCE:
        return
    elif auroc.high < _CHANCE:
        yield f"the whole interval lies below {_CHANCE}: the ranking is the wrong way round"
    else:
        yield f"the interval, {width:.3f} wide, holds {_CHANCE}: no ranking is shown"


def _short_of_ranking(auroc: Estimate, *, samples: int, cohorts: int) -> Iterator[str]:
    """Give what a figure that tells something lacks to be usable."""
    width = _width(auroc)
    if width > _RANKING_WIDTH:
        yield f"the interval is {width:.3f} wide, at most {_RANKING_WIDTH} is needed to rank"
    if samples < _RANKING_SAMPLES:
        yield f"{samples} with a label are fewer than the {_RANKING_SAMPLES} needed to rank"
    if cohorts < _RANKING_COHORTS:
        held = {0: "no cohort was held out whole", 1: "1 cohort was held out"}[cohorts]
        yield f"{held}, at least {_RANKING_COHORTS} are needed to rank new ones"
