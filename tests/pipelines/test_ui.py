"""The MLflow UI as a reviewer sees it: a real server, a real Chromium."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.serve import ui_command
from pipelines.tracking import default_store

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def server(demo_run, session_store: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ui_command(default_store(Path(), uri=session_store), port=port)
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("the MLflow server did not start")
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def test_a_reviewer_sees_run_metrics_shap_figures_and_model(
    server, page, demo_run, session_store, tmp_path
):
    import mlflow

    mlflow.set_tracking_uri(session_store)
    run = mlflow.get_run(demo_run.training.run_id)
    base = f"{server}/#/experiments/{run.info.experiment_id}"

    page.goto(f"{base}/runs/{run.info.run_id}")
    page.get_by_text("best peer").first.wait_for()
    page.get_by_placeholder("Search metrics").first.fill("loco.auroc")
    page.get_by_text("loco.auroc", exact=True).first.wait_for()

    page.goto(f"{base}/runs/{run.info.run_id}/artifacts/shap/beeswarm.png")
    page.get_by_text("shap/beeswarm.png").first.wait_for()
    page.wait_for_function(
        "() => [...document.images].some(i => i.complete && i.naturalWidth > 700)"
    )
    page.screenshot(path=str(tmp_path / "shap.png"))

    page.goto(f"{server}/#/models/oncoresist-demo")
    page.get_by_text("oncoresist-demo").first.wait_for()
    page.get_by_text("champion").first.wait_for()
    assert (tmp_path / "shap.png").stat().st_size > 10_000
