"""What a reviewer reads first: the notes of experiment, run, held-out cohort and model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from models.sufficiency import CALL_BAR
from pipelines.figures.names import predictor_name
from pipelines.reports.markdown import plain_text
from pipelines.reports.notes import render_note
from pipelines.reports.validation import RunRecord
from pipelines.runs.tags import TAGS
from pipelines.runs.views import VIEWS, view_link
from pipelines.score import ScoredCohort
from pipelines.validation.criteria import judge
from pipelines.validation.headline import headline_rows, verdict

__all__ = [
    "EXPERIMENT_MARK",
    "artifact_link",
    "compare_link",
    "experiment_description",
    "failed_description",
    "figure_folders",
    "held_out_description",
    "registered_model_description",
    "run_description",
    "scored_description",
    "with_children",
    "with_gate",
]

EXPERIMENT_MARK = "<!-- written by oncoresist -->"
"""In an experiment's description that a training may write anew; last, as lists show its start."""
_LEADS = (
    *("loco_auroc.png", "reliability.png", "loco_risk_coverage.png", "shift.png"),
    *("loco_subgroups.png", "loco_survival_pfs.png", "loco_null.png", "beeswarm.png"),
)
_GATE_TO_COME = "**Gate:** not asked yet; it decides when everything is logged."
_WHEN_TRAINED = (
    "(when trained; how it stands now: `oncoresist models show`, or the version's tags and aliases)"
)
_COMPARISON_TO_COME = "select them in the list and *Compare*"
_NONE = ("", "none", "nan")


def artifact_link(path: str, *, experiment: str, run: str) -> str:
    """Return the route of an artifact of a run in MLflow's UI, for a link in a description."""
    return f"#/experiments/{experiment}/runs/{run}/artifacts/{path}"


def experiment_description(*, experiment: str) -> str:
    """Return how to read an experiment's list of runs, in Markdown."""
    views = {view: view_link(view, experiment=experiment) for view in VIEWS}
    return render_note(
        "experiment.md.j2", mark=EXPERIMENT_MARK, views=views, names=VIEWS, tags=TAGS
    )


def run_description(record: RunRecord, *, experiment: str, run: str) -> str:
    """Return the run's description in Markdown: verdict, headline, where everything lies.

    Parameters
    ----------
    record
        The run's artifacts, tags and metrics.
    experiment, run
        Their ids, for the links.
    """
    comparison, coverage = record.table("comparison"), record.config["validation"]["coverage"]
    judged = {
        arm: judge(
            record.metrics,
            prefix=prefix,
            shift=record.table("shift"),
            coverage=float(coverage),
        )
        for arm, prefix in (("cohort", "loco"), ("reference", "loco_reference"))
    }
    rows = [[predictor_name(row[0]), *row[1:]] for row in headline_rows(comparison)]
    return render_note(
        "run.md.j2",
        record=record,
        verdict=verdict(comparison),
        rows=rows,
        judged=judged,
        gate=_GATE_TO_COME,
        sufficiency=record.sufficiency,
        comparison=_COMPARISON_TO_COME,
        cohorts=record.table("cohorts"),
        folders=figure_folders(record.folder),
        link=lambda path: artifact_link(path, experiment=experiment, run=run),
    )


def compare_link(runs: Sequence[str], *, experiment: str) -> str:
    """Return the route in MLflow's UI that sets runs side by side."""
    listed = quote(json.dumps(list(runs), separators=(",", ":")), safe=",")
    return f"#/compare-runs?runs={listed}&experiments={quote(json.dumps([experiment]))}"


def with_children(note: str, children: Sequence[str], *, experiment: str) -> str:
    """Return a run's description with a link that compares its held-out cohorts."""
    link = f"[compare them]({compare_link(children, experiment=experiment)})"
    return note.replace(_COMPARISON_TO_COME, link)


def with_gate(note: str, lines: Sequence[str]) -> str:
    """Return a run's description with what the gate said at its training, a line each."""
    told = "\n".join([f"**Gate:** {lines[0]} {_WHEN_TRAINED}", "", *lines[1:]]).rstrip()
    return note.replace(_GATE_TO_COME, told)


def figure_folders(root: Path) -> dict[str, str]:
    """Return each folder of figures and the file of it to open first."""
    found: dict[str, list[str]] = {}
    for file in sorted(root.rglob("*")):
        if file.suffix in (".png", ".html"):
            found.setdefault(file.parent.relative_to(root).as_posix(), []).append(file.name)
    leads = {}
    for folder, names in found.items():
        lead = next((name for name in _LEADS if name in names), names[0])
        leads[folder] = f"{folder}/{lead}"
    return leads


def held_out_description(facts: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Return what a held-out cohort is, and how it was predicted."""
    what = ", ".join(
        plain_text(facts[name])
        for name in ("cancer_type", "drug", "timepoint")
        if str(facts[name]) not in _NONE
    )
    figures = "; ".join(
        f"{arm}-relative {metrics[f'{prefix}.auroc']:.3f} "
        f"({metrics[f'{prefix}.auroc_low']:.3f} to {metrics[f'{prefix}.auroc_high']:.3f})"
        for arm, prefix in (("cohort", "loco"), ("reference", "loco_reference"))
        if f"{prefix}.auroc" in metrics
    )
    return (
        f"`{facts['cohort']}` ({what}): {facts['labelled']} labelled samples, "
        f"{facts['resistant']} resistant ({facts['resistant_share']:.0%}), predicted by a model "
        f"that had not seen the cohort.\n\nAUROC {figures or 'not defined'}.\n\n`shap/` says why; "
        "the cohort's report is `reports/` of the parent run. Select the held-out runs and choose "
        "*Compare* to set the cohorts side by side."
    )


def scored_description(cohort: str, scored: Sequence[ScoredCohort]) -> str:
    """Return what became of a cohort that was only scored."""
    lines = [f"`{cohort}` took no part in training and was scored by the registered model."]
    for found in scored:
        calls = found.predictions["call"].value_counts()
        told = ", ".join(f"{count} {str(call).replace('_', ' ')}" for call, count in calls.items())
        lines.append(f"- {found.standardisation}-relative: {told}")
    return "\n\n".join([lines[0], "\n".join(lines[1:])]).rstrip()


def failed_description(stage: str, error: BaseException) -> str:
    """Return why a run ended without a model."""
    text = f"{type(error).__name__}: {error}".replace("```", "'''")
    return f"**Failed** while: {stage}. No model was registered.\n\n```\n{text[:2000]}\n```"


def registered_model_description(name: str, *, setting: str) -> str:
    """Return what a registered model is and how its versions are to be read."""
    return render_note("registered_model.md.j2", name=name, setting=setting, bar=CALL_BAR)
