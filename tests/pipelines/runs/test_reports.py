"""Reports in a training run: each held-out cohort as the models saw it that had not seen it."""

import re
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from pipelines.demo import DemoResult
from pipelines.reports.data import read_report

pytestmark = pytest.mark.slow
COHORTS = ("demo_counts", "demo_log2_tpm", "demo_tpm")


@pytest.fixture(scope="module")
def artifacts(demo_run: DemoResult, session_store: str) -> Path:
    mlflow.set_tracking_uri(session_store)
    run = demo_run.training.run_id
    return Path(mlflow.artifacts.download_artifacts(run_id=run))


def test_each_held_out_cohort_has_a_report_of_its_out_of_cohort_predictions(
    artifacts: Path,
) -> None:
    pages = sorted(page.stem for page in (artifacts / "reports").glob("*.html"))
    assert pages == sorted(COHORTS)
    loco = pd.read_parquet(artifacts / "predictions" / "loco.parquet")
    for cohort in COHORTS:
        page = (artifacts / "reports" / f"{cohort}.html").read_text("utf-8")
        assert "comes from a model of the training run that had not seen this cohort" in page
        assert f"trained without {cohort}" in page
        assert "page to print" not in page
        others = sorted(name for name in COHORTS if name != cohort)
        known = re.search(r"<th>training cohorts</th><td>([^<]*)</td>", page)
        assert known is not None
        assert sorted(known[1].split(", ")) == others
        for elsewhere in ("gene_report.csv", "drift.csv", "<code>/"):
            assert elsewhere not in page
        assert "In held-out cohorts" in page
        shown = re.findall(r'data-v="([^"]+)"><span class="p', page)
        own = loco.loc[loco["cohort"] == cohort, "probability"]
        assert sorted(map(float, shown)) == sorted(own)


def test_the_demo_leaves_a_report_that_can_be_built_again(demo_run: DemoResult) -> None:
    data = read_report(demo_run.scored)
    assert data.facts.model.calibration["brier_skill"].value is not None
    assert set(data.facts.gene_quantiles) == set(data.genes.columns) - {"sample_id"}
    patients = data.predictions["patient_id"].nunique()
    assert len(list((demo_run.scored / "patients").iterdir())) == patients
