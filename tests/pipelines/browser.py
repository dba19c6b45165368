"""A reviewer's browser: a real MLflow server and Debian's Chromium, clicks counted, faults kept."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import (
    ConsoleMessage,
    HttpCredentials,
    Locator,
    Page,
    WebError,
    sync_playwright,
)

from pipelines.serve import ui_command
from pipelines.tracking import default_store
from tests.pipelines.team_server import free_port, wait_for

__all__ = ["Reviewer", "reviewing", "serving"]

SCREENSHOTS = Path(__file__).resolve().parents[2] / "test-artifacts" / "screenshots"
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_SIZE = {"width": 1500, "height": 1000}
_MLFLOWS_OWN = (
    r"users/current",  # asked of every server; 404 where there is no authentication
    r"ResizeObserver loop",  # Chromium's word for a table that was measured while it was drawn
)
# MLflow opens its assistant beside every page at the first visit; it stays closed once closed.
_ASSISTANT_CLOSED = """
if (location.protocol.startsWith("http") && window === window.top) {
  localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
  localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
}
"""
# MLflow shows where an artifact lies; a screenshot need not tell whose machine that was.
_PLACES_SHORTENED = r"""() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.nodeValue.includes("file://")) {
      text.nodeValue = text.nodeValue.replace(/file:\/\/.*\/artifacts\//, "…/");
    }
  }
}"""


@contextmanager
def serving(uri: str, *, folder: Path) -> Iterator[str]:
    """Serve the UI of a store as ``oncoresist ui`` does; yield its address, a server's as it is."""
    if uri.startswith("http"):
        yield uri.rstrip("/")
        return
    port, log = free_port(), folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ui_command(default_store(Path(), uri=uri), port=port),
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process=process, log=log)
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


@dataclass
class Reviewer:
    """A page of the UI, the clicks that its reader made, and what the browser complained of."""

    page: Page
    folder: Path
    clicks: int = 0
    faults: list[str] = field(default_factory=list)

    def click(self, target: Locator) -> None:
        """Click as the reader does on the way to a decision; it counts."""
        self.clicks += 1
        target.click()

    def follow(self, target: Locator) -> Page:
        """Click a link of a description, which opens a tab; return the tab that was left."""
        left = self.page
        with left.expect_popup() as opened:
            self.click(target)
        self.page = opened.value
        return left

    def go_back_to(self, page: Page) -> None:
        """Go back to a tab that was left; it counts as a click."""
        self.clicks += 1
        self.page.close()
        self.page = page
        page.bring_to_front()

    def keep(self, name: str) -> Path:
        """Keep a screenshot of what is seen, as ``<name>.png``."""
        file = self.folder / f"{name}.png"
        self.page.wait_for_timeout(400)  # what has just come fades in
        self.page.evaluate(_PLACES_SHORTENED)
        self.page.screenshot(path=str(file))
        return file

    def wait_for_picture(self, *, least_width: int) -> None:
        """Return once a picture of that width has been drawn."""
        self.page.wait_for_function(
            "least => [...document.images].some(i => i.complete && i.naturalWidth >= least)",
            arg=least_width,
        )

    def heed(self, message: ConsoleMessage) -> None:
        """Keep an error of the console, unless it is one that every page of MLflow makes."""
        if message.type == "error":
            self._keep_fault(f"{message.text} {message.location.get('url', '')}")

    def heed_error(self, error: WebError) -> None:
        """Keep an exception that no script caught."""
        self._keep_fault(str(error.error))

    def _keep_fault(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in _MLFLOWS_OWN):
            self.faults.append(text)


def _credentials() -> HttpCredentials | None:
    """Return the user of a server that asks for one, as MLflow's own client takes it."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if name is None:
        return None
    return {"username": name, "password": os.environ.get("MLFLOW_TRACKING_PASSWORD", "")}


@contextmanager
def reviewing(chromium: str, *, screenshots: Path = SCREENSHOTS) -> Iterator[Reviewer]:
    """Open a browser that has been at this server before, and close it."""
    screenshots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        try:
            context = browser.new_context(viewport=_SIZE, http_credentials=_credentials())
            context.set_default_timeout(30_000)
            context.add_init_script(_ASSISTANT_CLOSED)
            reviewer = Reviewer(context.new_page(), screenshots)
            context.on("console", reviewer.heed)
            context.on("weberror", reviewer.heed_error)
            yield reviewer
        finally:
            browser.close()
