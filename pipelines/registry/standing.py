"""What the gate recorded on a model version, read from its tags."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

__all__ = [
    "RECORD_TAG",
    "Check",
    "GateRecord",
    "Verdict",
    "read_record",
    "standing_notes",
    "utc_now",
]

RECORD_TAG = "gate.record"
Status = Literal["passed", "failed", "not applicable", "not run"]
Verdict = Literal["passed", "failed", "provisional", "forced"]
_MOST_NAMED = 3


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Attributes
    ----------
    group
        What the check belongs to: ``beats the baselines``, ``calibrated``, ``no leak``,
        ``catalogue fresh``, ``loads in a fresh process``, ``scores identical``.
    what
        What was looked at, with its standardisation.
    status
        ``not applicable`` counts as passed; ``not run`` does not.
    value, limit
        What was found, and what is allowed.
    mend
        What to do where it failed.
    """

    group: str
    what: str
    status: Status
    value: str
    limit: str
    mend: str = ""

    def line(self) -> str:
        """Return the check as one line of text."""
        told = f"{self.group}: {self.what}: {self.value}"
        if self.status == "failed":
            return f"{told} (limit: {self.limit}); {self.mend}"
        return f"{told} (limit: {self.limit})" if self.limit else told


@dataclass(frozen=True)
class GateRecord:
    """What the gate said of a version, when, by which code, and who asked.

    Attributes
    ----------
    verdict
        ``passed``; ``failed``; ``provisional`` (failed, and let through because there was no
        champion); ``forced`` (failed, and let through by hand). It is written before the alias
        moves: where that points is told by the alias alone.
    checks
        Every check.
    standardisations
        Which were judged.
    time
        UTC, ISO 8601.
    code_version
        OncoResist's version and git commit.
    by
        Who ran it.
    reason
        Why it was forced, else empty.
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    standardisations: tuple[str, ...]
    time: str
    code_version: str
    by: str
    reason: str = ""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    def to_json(self) -> str:
        """Return the record as JSON, for a tag."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read_record(tags: Mapping[str, str]) -> GateRecord | None:
    """Return what the gate recorded among a version's tags; None where nothing can be read."""
    try:
        found: dict[str, Any] = json.loads(tags[RECORD_TAG])
        checks = tuple(Check(**check) for check in found.pop("checks"))
        judged = tuple(found.pop("standardisations"))
        return GateRecord(checks=checks, standardisations=judged, **found)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def standing_notes(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return what whoever scores with a version should know of it, from its tags.

    Nothing for a version that passed, or that the gate has never seen.
    """
    record = read_record(tags)
    if record is None or record.verdict == "passed":
        return ()
    told = {
        "provisional": "was let through provisionally for want of another; the gate refused it",
        "forced": f"was let through by force ({record.reason}); the gate refused it",
        "failed": "was refused by the gate",
    }
    return (f"this version {told[record.verdict]}: {_named(record.failed)}",)


def utc_now() -> str:
    """Return the time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _named(checks: Sequence[Check]) -> str:
    shown = [f"{check.what} {check.value}" for check in checks[:_MOST_NAMED]]
    more = len(checks) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
