"""The gate: everything that a model version must show before an alias moves to it."""

import getpass
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from features.errors import ModelError
from features.reference import Standardisation
from models.resistance_model import ResistanceModel
from pipelines.provenance import code_versions
from pipelines.registry.gate_catalogue import catalogue_check
from pipelines.registry.gate_figures import figure_checks
from pipelines.registry.gate_leak import leak_checks
from pipelines.registry.gate_scores import fresh_process_checks
from pipelines.registry.standing import Check, GateRecord, Verdict, utc_now
from pipelines.registry.version_record import VersionRecord, read_version
from pipelines.settings.gate import GateConfig
from pipelines.tracking import load_model

__all__ = ["GateReport", "judge", "who"]

Progress = Callable[[str], None]
_ORDER = ("beats the baselines", "calibrated", "no leak", "catalogue fresh")


@dataclass(frozen=True)
class GateReport:
    """What the gate found of a version.

    Attributes
    ----------
    name, version
        Of the registered model.
    run_id
        The run that registered it, where that is still there.
    checks
        Every check, in the order of the issue: baselines, calibration, leaks, catalogue, loading,
        scores.
    standardisations
        Which were judged.
    """

    name: str
    version: str
    run_id: str | None
    checks: tuple[Check, ...]
    standardisations: tuple[str, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")

    @property
    def passed(self) -> bool:
        """Whether every check that applies passed."""
        return all(check.status in ("passed", "not applicable") for check in self.checks)

    def record(self, verdict: Verdict, *, reason: str = "") -> GateRecord:
        """Return the report as what is kept on the version, with time, code and who asked."""
        versions = code_versions()
        return GateRecord(
            verdict=verdict,
            checks=self.checks,
            standardisations=self.standardisations,
            time=utc_now(),
            code_version=f"{versions['oncoresist_version']} {versions['git_commit']}",
            by=who(),
            reason=reason,
        )


def who() -> str:
    """Return who is at work: the user of the MLflow server, else of this machine."""
    try:
        return os.environ.get("MLFLOW_TRACKING_USERNAME") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def judge(
    name: str,
    version: str,
    *,
    limits: GateConfig,
    project: Path,
    spare: bool = False,
    progress: Progress = lambda stage: None,
) -> GateReport:
    """Return what the gate finds of a registered version; nothing is changed.

    Parameters
    ----------
    name, version
        Of the registered model, in the store that MLflow points to.
    limits
        What must be shown.
    project
        Where a relative ``features.catalogue`` of the run's configuration starts from.
    spare
        Leave the fresh process out where the version failed already: it takes seconds, and could
        not change the verdict. The checks then stand as ``not run``.
    progress
        Told the name of each stage.

    Raises
    ------
    ModelError
        There is no such version.
    """
    progress("gate: figures, splits, catalogue")
    record = read_version(name, version)
    model, unreadable = _load(record)
    checks = list(_checks_here(record, model, unreadable, limits=limits, project=project))
    checks.sort(key=lambda check: _ORDER.index(check.group))
    if spare and any(check.status == "failed" for check in checks):
        told = "failed already; oncoresist models promote runs it"
        checks += [
            Check(group, "fresh process", "not run", told, "")
            for group in ("loads in a fresh process", "scores identical")
        ]
    else:
        progress("gate: a fresh process")
        checks += fresh_process_checks(record, model, tolerance=limits.score_tolerance)
    judged = _judged_arms(model, limits)
    return GateReport(name, record.version, record.run_id, tuple(checks), judged)


def _judged_arms(model: ResistanceModel | None, limits: GateConfig) -> tuple[Standardisation, ...]:
    """Return the standardisations asked for that the model has; all where it cannot be read."""
    asked = limits.standardisations
    return tuple(arm for arm in asked if model is None or arm in model.arms)


def _load(record: VersionRecord) -> tuple[ResistanceModel | None, str]:
    try:
        return load_model(record.uri).model, ""
    except ModelError as error:
        return None, str(error)


def _checks_here(
    record: VersionRecord,
    model: ResistanceModel | None,
    unreadable: str,
    *,
    limits: GateConfig,
    project: Path,
) -> Iterator[Check]:
    try:
        origin = record.origin
    except ModelError as error:
        mend = "recalibrate a version that is there"
        yield Check("beats the baselines", "origin", "failed", str(error), "in the store", mend)
        return
    if origin.run_id is None:
        mend = "train again"
        yield Check("beats the baselines", "its run", "failed", "gone", "in the store", mend)
        return
    judged = _judged_arms(model, limits)
    if not judged:
        asked, mend = ", ".join(limits.standardisations), "name one that the model has under gate"
        yield Check("beats the baselines", "standardisation", "failed", asked, "in the model", mend)
    for arm in judged:
        yield from figure_checks(record, arm, limits=limits)
    for arm in judged:
        yield from leak_checks(record, arm, model=model)
    if model is None:
        mend = "use the version of OncoResist that it was trained with, or train again"
        yield Check("catalogue fresh", "the model", "failed", unreadable, "read here", mend)
    else:
        yield catalogue_check(record, model.catalogue, project=project)
