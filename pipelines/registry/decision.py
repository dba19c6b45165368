"""What became of a version at the gate, and how it is told."""

from dataclasses import dataclass
from typing import Literal

from pipelines.registry.gate import GateReport

__all__ = ["Decision"]


@dataclass(frozen=True)
class Decision:
    """What became of a version at the gate.

    Attributes
    ----------
    alias, points_to
        The alias asked for, and the version that it points to now; None for none.
    outcome
        ``passed``; ``provisional`` (failed, but there was no other); ``forced`` (failed, promoted
        by hand); ``refused`` (the alias stays where it was). But for the last, ``points_to`` is
        another version where another promotion won at the same time.
    report
        What the gate found.
    unneeded
        A reason to force what passed.
    """

    alias: str
    points_to: str | None
    outcome: Literal["passed", "provisional", "forced", "refused"]
    report: GateReport
    unneeded: str = ""

    @property
    def overtaken(self) -> str:
        """Who won where another promotion did, as text; empty for none."""
        if self.outcome == "refused" or self.points_to == self.report.version:
            return ""
        now = f"at version {self.points_to}" if self.points_to else "nowhere"
        return (
            f"another promotion moved {self.alias} of model '{self.report.name}' at the same time; "
            f"it points {now}, not at version {self.report.version}"
        )

    def lines(self) -> list[str]:
        """Return what to tell the user: where the alias points, and a line a failed check."""
        version, alias = self.report.version, self.alias
        failed, judged = self.report.failed, len(self.report.checks)
        counted = f"{len(failed)} of {judged} checks failed"
        stays = f"{alias} stays at version {self.points_to}" if self.points_to else f"no {alias}"
        if self.points_to == version:
            stays = f"it stays {alias}, as it was before"
        told = {
            "passed": f"gate passed: {alias} is version {version}",
            "forced": f"gate overruled, on record ({counted}): {alias} is version {version}",
            "provisional": (
                f"gate not passed ({counted}): {alias} is version {version} provisionally, there "
                "being no other"
            ),
            "refused": (
                f"gate not passed ({counted}): {stays}; to promote it all the same: oncoresist "
                f"models promote {self.report.name}/{version} --alias {alias} --force --reason TEXT"
            ),
        }
        first = told[self.outcome]
        if self.unneeded:
            first += "; it needed no force: the reason given is kept in the alias's history only"
        if self.overtaken:
            first = f"gate: {self.outcome}, but {self.overtaken}"
        return [first, *(f"- {check.line()}" for check in failed)]
