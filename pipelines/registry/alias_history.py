"""Where an alias points, where it pointed before, and the moving of it.

The history of an alias is one tag, ``history.<alias>``, of the version that it points to. It is
written to the version that comes next before the alias moves there, and counts only while the alias
points there. The move is one call. So a kill at any point leaves the old state or the new one, each
with its own history.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import mlflow
from mlflow.exceptions import MlflowException

from pipelines.store_faults import lost_race

__all__ = [
    "AliasHistory",
    "AliasMovedError",
    "Event",
    "aliased_version",
    "history_of",
    "move_alias",
]

How = Literal["passed", "provisional", "forced", "rolled back"]
_MOST_KEPT = 100


class AliasMovedError(Exception):
    """Someone else moved the alias between the look at it and the move of it."""


@dataclass(frozen=True)
class Event:
    """One move of an alias: when (UTC), to which version, from which, how, by whom, and why."""

    time: str
    version: str
    before: str | None
    how: How
    by: str
    reason: str = ""


@dataclass(frozen=True)
class AliasHistory:
    """Versions that an alias can go back to, oldest first, and every move of it that is known."""

    past: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()

    def after(self, event: Event) -> "AliasHistory":
        """Return the history once an alias has moved on, or was confirmed where it is.

        The version that it pointed to can be gone back to.
        """
        moved = event.before not in (None, event.version)
        past = (*self.past, str(event.before)) if moved else self.past
        return AliasHistory(past[-_MOST_KEPT:], (*self.events, event)[-_MOST_KEPT:])

    def back_to(self, place: int, event: Event) -> "AliasHistory":
        """Return the history once an alias has gone back to ``past[place]``."""
        return AliasHistory(self.past[:place], (*self.events, event)[-_MOST_KEPT:])

    def to_json(self) -> str:
        """Return the history as JSON, for a tag."""
        return json.dumps(asdict(self), ensure_ascii=False)


def history_of(tags: Mapping[str, str], *, alias: str) -> AliasHistory:
    """Return the history in the tags of the version that an alias points to; empty for none."""
    try:
        found: dict[str, Any] = json.loads(tags[_tag(alias)])
        events = tuple(Event(**event) for event in found["events"])
        return AliasHistory(tuple(str(version) for version in found["past"]), events)
    except (KeyError, TypeError, ValueError):
        return AliasHistory()


def aliased_version(name: str, alias: str) -> str | None:
    """Return the version that an alias of a registered model points to; None for none."""
    found = mlflow.MlflowClient().get_registered_model(name).aliases.get(alias)
    return None if found is None else str(found)


def move_alias(
    name: str, version: str, *, alias: str, before: str | None, history: AliasHistory
) -> str | None:
    """Let an alias point to a version; return where it points after that, None for nowhere.

    Where it points there already, the history alone is written.

    A store moves an alias without asking where it was. So between the look at it and the move,
    another promotion can move it too: the later of the two wins, and the one before is missing
    from the history that it brings. The alias is therefore read again after the move, and another
    version than ``version`` comes back where another promotion won; what is overwritten in that
    window, a few milliseconds, is told to the other alone.

    Raises
    ------
    AliasMovedError
        It no longer points to ``before``. Nothing that counts was changed.
    """
    client = mlflow.MlflowClient()
    client.set_model_version_tag(name, version, _tag(alias), history.to_json())
    if aliased_version(name, alias) != before:
        raise AliasMovedError(name, alias)
    if before == version:
        return version
    try:
        client.set_registered_model_alias(name, alias, version)
    except MlflowException as error:
        if not lost_race(error):
            raise
        raise AliasMovedError(name, alias) from error
    return aliased_version(name, alias)


def _tag(alias: str) -> str:
    return f"history.{alias}"
