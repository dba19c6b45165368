"""The demo: simulated cohorts with known truth → train → score a fourth → report → verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.config import configuration_folder, load_cohort, load_experiment, tracking_uri
from pipelines.ingest import ingest_cohort
from pipelines.report import write_scored
from pipelines.runs.log import TrainingResult
from pipelines.score import score_cohort
from pipelines.simulate import Finding, judge_demo, simulate_cohorts
from pipelines.tracking import load_model
from pipelines.train import train

__all__ = ["DemoResult", "run_demo"]

_NEW_COHORT = "demo_new"


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: folders, the training, and whether the planted truth was found."""

    folder: Path
    scored: Path
    training: TrainingResult
    findings: Sequence[Finding]


def run_demo(output: Path, *, progress: Callable[[str], None] = lambda stage: None) -> DemoResult:
    """Simulate, train, score and judge; everything lies under ``output`` and in the store."""
    folder = output.resolve()
    experiment = configuration_folder() / "experiments" / "demo.yaml"
    config = load_experiment(experiment, with_local=False)
    progress("simulating cohorts")
    truth = simulate_cohorts(folder / "cohorts", seed=config.seed)
    files = [str(folder / "cohorts" / f"{name}.yaml") for name in config.cohorts.train]
    config = config.model_copy(
        update={
            "cohorts": config.cohorts.model_copy(update={"train": tuple(files)}),
            "tracking": config.tracking.model_copy(update={"uri": tracking_uri()}),
        }
    )
    training = train(config, config_file=experiment, progress=progress)
    progress("scoring a new cohort")
    loaded = load_model(f"models:/{training.model_name}/{training.model_version}")
    cohort, path = load_cohort(
        str(folder / "cohorts" / f"{_NEW_COHORT}.yaml"), conf=experiment.parent.parent
    )
    ingested = ingest_cohort(cohort, root=path.parent, labels_required=False)
    scored = score_cohort(
        loaded.model,
        ingested,
        standardisation="auto",
        uri=loaded.uri,
        version=loaded.version,
    )
    write_scored(scored, loaded, folder / "scored")
    importance = training.mean_absolute_attribution
    findings = judge_demo(importance["cohort"], training.signs, truth=truth)
    findings.append(_decoy_in_reference(importance["reference"], truth.decoy))
    return DemoResult(folder / "cohorts", folder / "scored", training, findings)


def _decoy_in_reference(importance: "pd.Series[float]", decoy: str) -> Finding:
    """Say what became of the decoy where cohorts are not their own reference: a finding, no test.

    Cohort-relative features cannot hold a difference between cohorts; reference-relative ones do,
    and a model trained on few cohorts may take it for a cause.
    """
    rank = int(importance.rank(ascending=False, method="first")[decoy])
    return Finding(
        what=f"decoy, reference-relative: {decoy}",
        expected="not guarded against: cohorts differ in it",
        seen=f"mean |SHAP| {importance[decoy]:.3f}, rank {rank} of {len(importance)}",
        passed=None,
    )
