"""The registry: which version an alias points to, by the gate or by hand, with a way back."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mlflow

from features.errors import ConfigError, ModelError
from pipelines.registry.alias_history import (
    AliasHistory,
    AliasMovedError,
    Event,
    aliased_version,
    history_of,
    move_alias,
)
from pipelines.registry.decision import Decision
from pipelines.registry.gate import GateReport, judge, who
from pipelines.registry.standing import RECORD_TAG, GateRecord, utc_now
from pipelines.registry.version_record import read_version, store_errors, versions_of
from pipelines.settings.gate import GateConfig
from pipelines.store_faults import again_if_raced

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Decision",
    "RolledBack",
    "check_alias",
    "decide_after_training",
    "promote",
    "rollback",
]

CHAMPION = "champion"
CHALLENGER = "challenger"
"""Alias of a new version that the gate refused while a champion stands."""
_MOST_ATTEMPTS = 5
_LOOK = "`oncoresist models list` shows what stands; run this again if it should be otherwise"
_ROLLED_BACK: Literal["rolled back"] = "rolled back"
Progress = Callable[[str], None]
Accepted = Literal["passed", "provisional", "forced"]


@dataclass(frozen=True)
class RolledBack:
    """An alias that went back from ``before`` to ``now``, past versions since deleted: ``gone``."""

    name: str
    alias: str
    before: str
    now: str
    gone: tuple[str, ...]


def check_alias(alias: str) -> str:
    """Return an alias that can be one.

    Raises
    ------
    ConfigError
        It has other signs than letters, digits, - and _, or MLflow keeps it to itself.
    """
    if not re.fullmatch(r"[\w-]+", alias) or re.fullmatch(r"latest|v\d+", alias.lower()):
        raise ConfigError(
            f"alias '{alias}' cannot be one: letters, digits, - and _ are allowed; MLflow keeps "
            "latest, v1, v2, … to itself"
        )
    return alias


def decide_after_training(
    name: str, version: str, *, alias: str, limits: GateConfig, project: Path
) -> Decision:
    """Judge a newly trained version, move the alias if it may, and return what became of it.

    A version that passes gets the alias. One that does not gets it too where there is none yet,
    provisionally; else the alias stays, and ``challenger`` points to the version. A version that
    failed other checks is not started in a fresh process: that takes seconds and could not change
    the verdict; :func:`promote` does it.

    Parameters
    ----------
    name, version
        As registered, in the store that MLflow points to.
    alias
        What others score with; ``champion`` by default of the configuration.
    limits
        Of the gate.
    project
        Where a relative ``features.catalogue`` of the run starts from.
    """

    def decide() -> Decision:
        before = aliased_version(name, alias)
        if report.passed:
            return _accept(report, alias=alias, before=before, how="passed")
        if before is None or alias == CHALLENGER:
            return _accept(report, alias=alias, before=before, how="provisional")
        _keep(report, report.record("failed"))
        client = mlflow.MlflowClient()
        again_if_raced(lambda: client.set_registered_model_alias(name, CHALLENGER, version))
        return Decision(alias, before, "refused", report)

    report = judge(name, version, limits=limits, project=project, spare=True)
    return _with_run_tagged(_unless_moved(decide, name=name, alias=alias))


def promote(
    name: str,
    version: str,
    *,
    alias: str = CHAMPION,
    limits: GateConfig,
    project: Path,
    reason: str | None = None,
    progress: Progress = lambda stage: None,
) -> Decision:
    """Judge a version by every check, move the alias to it if it may, and record who asked.

    Parameters
    ----------
    name, version, alias, limits, project
        As for :func:`decide_after_training`.
    reason
        Why it is promoted even where it fails; None: it is not. Where it passes, the reason goes
        to the alias's history alone, as not needed.
    progress
        Told the name of each stage.

    Returns
    -------
    decision
        ``refused`` where checks failed and there is no reason; the alias then is where it was.

    Raises
    ------
    ConfigError
        The alias cannot be one.
    ModelError
        There is no such version, the store refuses, or another promotion won at the same time.
    """
    check_alias(alias)
    told = " ".join((reason or "").split())

    def decide() -> Decision:
        before = aliased_version(name, alias)
        if report.passed:
            return _accept(report, alias=alias, before=before, how="passed", reason=told)
        if reason is not None:
            return _accept(report, alias=alias, before=before, how="forced", reason=told)
        if before != version:  # a forced or provisional champion stays known as that
            _keep(report, report.record("failed"))
        return Decision(alias, before, "refused", report)

    report = judge(name, version, limits=limits, project=project, progress=progress)
    decision = _unless_moved(decide, name=name, alias=alias)
    if decision.outcome != "refused" and alias != CHALLENGER:
        # A server lets only who may delete take an alias away; what is left says nothing wrong.
        with suppress(ConfigError), store_errors():
            if aliased_version(name, CHALLENGER) == version:
                mlflow.MlflowClient().delete_registered_model_alias(name, CHALLENGER)
    if decision.outcome == "refused" and decision.points_to == version:
        return decision  # what its run and its version say of it stands
    _with_run_tagged(decision)
    if decision.overtaken:
        raise ModelError(f"{decision.overtaken}; {_LOOK}")
    return decision


def rollback(name: str, *, alias: str = CHAMPION) -> RolledBack:
    """Point an alias back to the version before; again, to the one before that.

    Versions deleted since are passed over. No check runs: there must always be a way back.

    Raises
    ------
    ConfigError
        Nothing is known to go back to.
    ModelError
        There is no such model or alias, the store refuses, or a promotion won at the same time.
    """

    def decide() -> RolledBack:
        before = aliased_version(name, alias)
        if before is None:
            raise ModelError(f"model '{name}' has no alias {alias}, so nothing can be rolled back")
        history = history_of(read_version(name, before).tags, alias=alias)
        there = set(versions_of(name))
        places = [place for place, version in enumerate(history.past) if version in there]
        if not places:
            deleted = f" that is still there (deleted: {', '.join(history.past)})"
            raise ConfigError(
                f"{alias} of model '{name}' cannot go back from version {before}: nothing was "
                f"{alias} before it{deleted if history.past else ''}; `oncoresist models promote "
                f"{name}/VERSION` names another"
            )
        now, gone = history.past[places[-1]], history.past[places[-1] + 1 :]
        event = Event(utc_now(), now, before, _ROLLED_BACK, who())
        kept = history.back_to(places[-1], event)
        found = move_alias(name, now, alias=alias, before=before, history=kept)
        if found != now:
            raise ModelError(
                f"{alias} of model '{name}' went back to version {now}, and a promotion moved it "
                f"at the same time to {found or 'nowhere'}; {_LOOK}"
            )
        return RolledBack(name, alias, before, now, gone)

    return _unless_moved(decide, name=name, alias=alias)


def _accept(
    report: GateReport, *, alias: str, before: str | None, how: Accepted, reason: str = ""
) -> Decision:
    """Record the verdict on the version, then move the alias to it.

    A kill in between leaves the verdict, which is the gate's, on a version without the alias.
    """
    unneeded = reason if how == "passed" else ""
    record = report.record(how, reason="" if unneeded else reason)
    _keep(report, record)
    history = AliasHistory()
    if before is not None:
        history = history_of(read_version(report.name, before).tags, alias=alias)
    told = f"not needed, the gate passed: {unneeded}" if unneeded else reason
    event = Event(record.time, report.version, before, how, record.by, told)
    points_to = move_alias(
        report.name, report.version, alias=alias, before=before, history=history.after(event)
    )
    return Decision(alias, points_to, how, report, unneeded)


def _keep(report: GateReport, record: GateRecord) -> None:
    """Write the gate's record on the version, whole in one tag; then what people filter by."""
    failed = sorted({check.group for check in record.failed})
    tags = {
        RECORD_TAG: record.to_json(),
        "gate.verdict": record.verdict,
        "gate.failed": ", ".join(failed) or "none",
        "gate.reason": record.reason or "none",
    }
    client = mlflow.MlflowClient()
    for key, value in tags.items():
        client.set_model_version_tag(report.name, report.version, key, value)


def _with_run_tagged(decision: Decision) -> Decision:
    """Return the decision, told on the run too, so that runs can be filtered by it.

    It is the gate's last word, not where an alias points: a rollback leaves it as it is.
    """
    if decision.report.run_id is not None:
        with store_errors():
            mlflow.MlflowClient().set_tag(decision.report.run_id, "gate", decision.outcome)
    return decision


def _unless_moved[Result](decide: Callable[[], Result], *, name: str, alias: str) -> Result:
    """Return what is decided on where the alias points; decide again where it moved meanwhile."""
    with store_errors():
        for _ in range(_MOST_ATTEMPTS):
            try:
                return decide()
            except AliasMovedError:
                continue
    raise ModelError(
        f"{alias} of model '{name}' keeps moving while this runs: others promote at the same time; "
        "try again"
    )
