"""The reviewer's walk of docs/review.md, from the list of experiments to "promote or not".

It is walked over the demo; ``ONCORESIST_REVIEW_STORE`` (a tracking URI) takes another store, with
``ONCORESIST_REVIEW_RUN`` a training run of it (the newest by default), ``ONCORESIST_REVIEW_COHORT``
a cohort held out there (the first by default), and ``ONCORESIST_REVIEW_SCREENSHOTS`` the folder for
the screenshots (``test-artifacts/screenshots`` by default).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest

pytest.importorskip("playwright")

from tests.pipelines.browser import SCREENSHOTS, Reviewer, reviewing, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_MOST_CLICKS = 9


@dataclass(frozen=True)
class Reviewed:
    """What is reviewed: a training run, its experiment, a cohort held out, the version."""

    experiment: str
    experiment_id: str
    run_id: str
    run_name: str
    cohort: str
    model: str
    version: str


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest) -> str:
    """Return the tracking URI of what is reviewed: of the environment, else the demo's."""
    named = os.environ.get("ONCORESIST_REVIEW_STORE")
    if named is None:
        request.getfixturevalue("demo_run")
    return named or str(request.getfixturevalue("session_store"))


@pytest.fixture(scope="module")
def reviewed(store: str, request: pytest.FixtureRequest) -> Reviewed:
    client = mlflow.MlflowClient(store, registry_uri=store)
    run_id = os.environ.get("ONCORESIST_REVIEW_RUN")
    if run_id is None and "ONCORESIST_REVIEW_STORE" not in os.environ:
        run_id = request.getfixturevalue("demo_run").training.run_id
    if run_id is None:
        everywhere = [found.experiment_id for found in client.search_experiments()]
        ended = "tags.role = 'training' and attributes.status = 'FINISHED'"
        run_id = client.search_runs(everywhere, ended, max_results=1)[0].info.run_id
    run = client.get_run(run_id)
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    reports = [file.path for file in client.list_artifacts(run_id, "reports")]
    cohort = os.environ.get("ONCORESIST_REVIEW_COHORT") or Path(reports[0]).stem
    experiment = client.get_experiment(run.info.experiment_id)
    return Reviewed(
        experiment.name,
        experiment.experiment_id,
        run_id,
        run.info.run_name,
        cohort,
        version.name,
        str(version.version),
    )


@pytest.fixture(scope="module")
def reviewer(
    store: str, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reviewer]:
    """Return a browser at the list of experiments, as ``oncoresist ui`` tells the address."""
    folder = Path(os.environ.get("ONCORESIST_REVIEW_SCREENSHOTS", SCREENSHOTS))
    with (
        serving(store, folder=tmp_path_factory.mktemp("ui")) as address,
        reviewing(chromium, screenshots=folder) as found,
    ):
        found.page.goto(f"{address}/#/experiments")
        yield found


def test_from_the_list_of_experiments_to_promote_or_not(reviewer: Reviewer, reviewed: Reviewed):
    page = reviewer.page
    _find_the_run(reviewer, reviewed)
    reviewer.click(page.get_by_role("link", name=reviewed.run_name, exact=True).first)
    page.get_by_text("Research use only.").first.wait_for()
    page.get_by_text("Gate:").first.wait_for()
    reviewer.keep("03_run")

    reviewer.click(page.get_by_role("link", name="the figures", exact=True))
    reviewer.wait_for_picture(least_width=900)
    reviewer.keep("04_figure")

    _read_the_patients(reviewer, reviewed)
    reviewer.click(page.get_by_role("tab", name="Overview"))
    reviewer.click(page.get_by_role("link", name=reviewed.model, exact=True).last)
    page.get_by_text(f"Version {reviewed.version}").first.wait_for()
    page.get_by_text("champion").first.wait_for()
    page.get_by_text("gate.verdict").first.wait_for()
    reviewer.keep("08_version")
    assert reviewer.clicks <= _MOST_CLICKS
    assert reviewer.faults == []


def _find_the_run(reviewer: Reviewer, reviewed: Reviewed) -> None:
    """Go from the list of experiments to the list of its trainings."""
    page = reviewer.page
    experiment = page.get_by_role("link", name=reviewed.experiment, exact=True)
    experiment.wait_for()
    reviewer.click(page.get_by_text("Model training", exact=True))
    page.get_by_text("Runs that predict resistance").first.wait_for()
    reviewer.keep("01_experiments")
    reviewer.click(experiment)
    page.get_by_role("link", name=reviewed.run_name, exact=True).first.wait_for()
    page.get_by_text("Runs that predict resistance to a therapy").first.wait_for()
    reviewer.keep("02_runs")


def _read_the_patients(reviewer: Reviewer, reviewed: Reviewed) -> None:
    """Go from a figure to a cohort's report, sort it, and open the first patient."""
    page = reviewer.page
    reviewer.click(page.get_by_text("reports", exact=True))
    reviewer.click(page.get_by_text(f"{reviewed.cohort}.html", exact=True))
    report = page.frame_locator("iframe")
    report.get_by_role("heading", name=reviewed.cohort).first.wait_for()
    reviewer.keep("05_cohort")
    rows = report.locator("#samples tbody tr")
    for _ in range(2):
        head = report.locator("#samples th[data-kind=number]").first
        head.get_by_role("button").click()  # to look closer; the way to a decision needs it not
    page.wait_for_timeout(100)
    assert rows.count() > 1
    reviewer.keep("06_cohort_sorted")
    reviewer.click(report.locator("#samples tbody a").first)
    report.locator(".patient.open h1").wait_for()
    reviewer.keep("07_patient")


def test_runs_are_filtered_by_tag_and_two_are_compared(reviewer: Reviewer, reviewed: Reviewed):
    page = reviewer.page
    page.goto(page.url.split("#")[0] + f"#/experiments/{reviewed.experiment_id}/runs")
    search = page.get_by_placeholder("metrics.rmse")
    search.click()
    search.fill("tags.role = 'held_out'")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="held out: ").first.wait_for()
    reviewer.keep("09_filtered")
    assert reviewer.faults == []
