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
from urllib.parse import quote

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
    cohort: str
    model: str
    version: str
    aliases: tuple[str, ...]


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
        experiment=experiment.name,
        experiment_id=experiment.experiment_id,
        run_id=run_id,
        cohort=cohort,
        model=version.name,
        version=str(version.version),
        aliases=tuple(version.aliases),
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
    _find_the_run(reviewer, reviewed)
    page = reviewer.page
    page.get_by_text("Research use only.").first.wait_for()
    page.get_by_text("Gate:").first.wait_for()
    reviewer.keep("03_run")

    run = reviewer.follow(page.get_by_role("link", name="the figures", exact=True))
    reviewer.wait_for_picture(least_width=900)
    reviewer.keep("04_figures")

    reviewer.click(reviewer.page.get_by_text("reports", exact=True))
    reviewer.click(reviewer.page.get_by_text(f"{reviewed.cohort}.html", exact=True))
    _read_a_patient(reviewer, reviewed)

    reviewer.go_back_to(run)
    version = f"a[href*='/models/{quote(reviewed.model)}/versions/{reviewed.version}']"
    reviewer.click(page.locator(version).first)
    page.get_by_role("heading", name=f"Version {reviewed.version}").wait_for()
    page.get_by_text("gate.verdict", exact=True).wait_for()
    for alias in reviewed.aliases:
        page.get_by_text(alias).first.wait_for()
    reviewer.keep("08_version")
    assert reviewer.clicks <= _MOST_CLICKS
    assert reviewer.faults == []


def _find_the_run(reviewer: Reviewer, reviewed: Reviewed) -> None:
    """Go from the list of experiments, by the list of trainings, to the run."""
    page = reviewer.page
    reviewer.click(page.get_by_text("Model training", exact=True))
    page.get_by_text("Runs that predict resistance").first.wait_for()
    reviewer.keep("01_experiments")
    reviewer.click(page.get_by_role("link", name=reviewed.experiment, exact=True))
    run = page.locator(f"a[href*='/runs/{reviewed.run_id}']").first
    run.wait_for()
    page.get_by_text("Runs that predict resistance").first.wait_for()
    reviewer.keep("02_runs")
    reviewer.click(run)


def _read_a_patient(reviewer: Reviewer, reviewed: Reviewed) -> None:
    """Look at a cohort's report, sort it, and open the patient that stands first."""
    report = reviewer.page.frame_locator("iframe")
    report.get_by_role("heading", name=reviewed.cohort).first.wait_for()
    reviewer.keep("05_cohort")
    head = report.locator("#samples th[data-kind=number]").first
    orders = []
    for way in ("descending", "ascending"):
        head.get_by_role("button").click()  # a closer look; the way to a decision needs it not
        assert head.get_attribute("aria-sort") == way
        cells = report.locator("#samples tbody tr td:nth-child(1)").all_inner_texts()
        orders.append(cells)
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    report.locator("#samples").evaluate("table => table.scrollIntoView()")
    reviewer.keep("06_cohort_sorted")
    reviewer.click(report.locator("#samples tbody a").first)
    report.locator(".patient.open h1").first.wait_for()
    reviewer.keep("07_patient")


def test_runs_are_filtered_by_tag_and_two_are_compared(reviewer: Reviewer, reviewed: Reviewed):
    page = reviewer.page
    page.goto(page.url.split("#")[0] + f"#/experiments/{reviewed.experiment_id}/runs")
    page.get_by_role("button", name="Views").click()
    page.get_by_test_id("saved-views-item-oncoresist_held_out").click()
    held_out = page.get_by_role("link", name="held out: ")
    held_out.nth(1).wait_for()
    reviewer.keep("09_held_out")

    pick = page.get_by_label("Press Space to toggle row selection (unchecked)")
    pick.first.click()
    pick.first.click()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    reviewer.keep("10_compared")
    page.go_back()

    search = page.get_by_placeholder("metrics.rmse")
    search.fill(f"tags.role = 'held_out' and tags.cohort = '{reviewed.cohort}'")
    search.press("Enter")
    page.get_by_text("1 matching run").wait_for()
    assert held_out.all_inner_texts() == [f"held out: {reviewed.cohort}"]
    assert reviewer.faults == []
