"""Interactive pages: whole in themselves, and nothing from input is ever markup."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.explanation import Attributions
from pipelines.figures.interactive import explorer_page, heatmap_page

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    rng = np.random.default_rng(0)
    index = pd.Index([f"{EVIL}{i}" for i in range(6)])
    features = pd.DataFrame(rng.normal(size=(6, 2)), index=index, columns=["one", EVIL])
    features.iloc[0, 0] = np.nan
    attributions = Attributions(features.fillna(0) * 0.5, pd.Series(0.0, index=index), features)
    samples = pd.DataFrame(
        {
            "resistant": [1.0, 0.0, np.nan] * 2,
            "cohort": EVIL,
            "drug": ["<img src=x onerror=alert(2)>", None] * 3,
            "timepoint": "unstated",
            "probability": 0.25,
        },
        index=index,
    )
    return {
        "heatmap": heatmap_page(attributions.values, samples=samples, title=EVIL, note=EVIL),
        "explorer": explorer_page(
            attributions, samples=samples, signs={"one": 1}, title=EVIL, names={"one": EVIL}
        ),
    }


def own_part(page: str) -> str:
    """Return a page without plotly's library."""
    start = page.index("/**\n* plotly.js")
    return page[:start] + page[page.index("</script>", start) :]


@pytest.mark.parametrize("name", ["heatmap", "explorer"])
def test_markup_of_a_sample_never_reaches_the_page(pages: dict[str, str], name: str) -> None:
    own = own_part(pages[name])
    for markup in ("<script>alert", "<img src=x", "onerror=alert(2)>"):
        assert markup not in own
    assert "&lt;script&gt;alert(1)" in own  # in the title, as text


@pytest.mark.parametrize("name", ["heatmap", "explorer"])
def test_a_page_needs_no_network_and_offers_no_upload(pages: dict[str, str], name: str) -> None:
    own = own_part(pages[name])
    assert 'src="http' not in own
    assert "cdn" not in own
    assert '"showSendToCloud": false' in own
    assert "Research use only" in own


def test_pages_are_the_same_every_time() -> None:
    sums = pd.DataFrame({"a": [0.1, -0.2, 0.3]}, index=list("xyz"))
    bare = pd.DataFrame(index=sums.index)
    one, other = (heatmap_page(sums, samples=bare, title="t") for _ in range(2))
    assert one == other


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_draws_them_and_runs_nothing_of_a_sample(
    pages: dict[str, str], chromium: str, tmp_path: Path
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    seen: list[str] = []
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 920, "height": 700})
        page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda m: seen.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: seen.append(r.url) if r.url.startswith("http") else None)
        for name, text in pages.items():
            file = tmp_path / f"{name}.html"
            file.write_text(text, encoding="utf-8")
            page.goto(file.as_uri())
            page.wait_for_selector("#figure .main-svg")
            if name == "explorer":
                points = page.locator("#figure .scatterlayer .point")
                assert points.count() == 5  # one of six is missing
                points.first.hover(force=True)
            else:
                page.mouse.move(400, 300)
            page.wait_for_selector(".hoverlayer .hovertext")
            told = page.text_content(".hoverlayer .hovertext") or ""
            assert "<script>alert(1)</script>" in told
            assert "probability of resistance: 0.250" in told
            assert page.get_by_text("Share chart").count() == 0
        browser.close()
    assert seen == []
