"""Reports of scored cohorts: rebuilt from their tables alone, inert whatever the names, usable."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.catalogue import Catalogue
from features.cohort import CohortReport
from features.errors import ConfigError
from features.gene_scores import gene_z_scores
from models.resistance_model import ResistanceModel
from pipelines.cli import app
from pipelines.ingest import IngestedCohort
from pipelines.report import page_names, write_scored
from pipelines.reports.data import TABLES, read_report
from pipelines.reports.pages import ReportPages
from pipelines.reports.templates import TEMPLATES
from pipelines.score import score_cohort
from pipelines.scoring.scored_cohort import PREDICTION_COLUMNS
from pipelines.tracking import LoadedModel

MakeCohort = Callable[..., ad.AnnData]
SCRIPT = (TEMPLATES / "report.js").read_text("utf-8")
EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a</script><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}${7}",
)


@pytest.fixture(scope="module")
def written() -> dict[str, Path]:
    return {}


@pytest.fixture
def folder_of(
    make_cohort: MakeCohort,
    catalogue: Catalogue,
    written: dict[str, Path],
    train_small_model: Callable[..., ResistanceModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """Return a giver of scored folders: ``plain`` (hostile names) and ``scaled`` (z-scores)."""

    def give(kind: str) -> Path:
        if kind not in written:
            training = make_cohort(60, seed=3, name="train")
            figures = {"auroc": "0.60 (0.55 to 0.65)", "brier": "0.24", "ece": "0.05"}
            skill = {"brier_skill": [0.01, -0.02, 0.03], "ece": [0.09, 0.0, None]}
            called = {"n": 45, "share": 0.378, "low": 0.251, "high": 0.524}
            right = {"resistant": called, "responsive": called}
            facts = {
                "training_cohorts": ["train"],
                "training_files": {"train": "0123"},
                "held_out": {arm: {"model": figures} for arm in ("cohort", "reference")},
                "calibration": dict.fromkeys(("cohort", "reference"), skill),
                "held_out_calls": dict.fromkeys(("cohort", "reference"), right),
            }
            model = train_small_model(training, catalogue, setting="ici", facts=facts)
            folder = tmp_path_factory.mktemp(kind)
            loaded = LoadedModel(model, f"models:/{EVIL[0]}/1", "1")
            scored = score_cohort(
                model,
                hostile(make_cohort(20), scaled=kind == "scaled"),
                standardisation="auto",
                uri=loaded.uri,
                version="1",
            )
            write_scored(scored, loaded, folder)
            written[kind] = folder
        return written[kind]

    return give


def hostile(adata: ad.AnnData, *, scaled: bool) -> IngestedCohort:
    """Return a cohort whose every name is an attack, and one patient of which has two samples."""
    samples = [f"{EVIL[i % len(EVIL)]}{i}" for i in range(adata.n_obs)]
    adata.obs_names = samples
    adata.obs = adata.obs.assign(
        sample_id=samples,
        patient_id=[f"{EVIL[max(i, 1) % len(EVIL)]}p{max(i, 1)}" for i in range(adata.n_obs)],
        cohort=EVIL[1],
        drug=[EVIL[i % 2] for i in range(adata.n_obs)],
        timepoint=[EVIL[2], EVIL[3]] * 10,
        cancer_type=EVIL[0],
    )
    adata = adata[:, [gene for gene in adata.var_names if gene not in ("B2M", "CD8A")]].copy()
    if scaled:
        adata.X = gene_z_scores(adata.X)
    unit = "gene_scaled" if scaled else "tpm"
    told = {"unit_meaning": EVIL[0], "unit_evidence": EVIL[1], "gene_lengths_known": True}
    adata.uns["oncoresist"] = {"unit": unit, **told}
    return IngestedCohort(adata, CohortReport((), EVIL), {f"{EVIL[2]}.csv": "4567"})


class Page(HTMLParser):
    """Tags, attributes, script and text of a page, as a browser would take them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.scripts += [""] * (tag == "script")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script" and self.scripts and not self.scripts[-1]:
            self.scripts[-1] = data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.slow
def test_the_report_is_built_again_from_its_tables_byte_for_byte(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = folder_of("plain")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("report.json", *(f"{table}.parquet" for table in TABLES)):
        (copy / name).write_bytes((folder / name).read_bytes())
    (copy / "patients").mkdir()
    (copy / "patients" / "0099-gone.html").write_text("of an earlier scoring")
    (copy / "patients" / "notes.html").write_text("the user's own")
    done = CliRunner().invoke(app, ["report", str(copy / "predictions.parquet")])
    assert done.exit_code == 0, done.output
    assert "19 patients beside it" in " ".join(done.output.split())
    pages = sorted(page.name for page in (folder / "patients").iterdir())
    again = sorted(page.name for page in (copy / "patients").iterdir())
    assert again == [*pages, "notes.html"]
    for page in ("report.html", *(f"patients/{name}" for name in pages)):
        assert (copy / page).read_bytes() == (folder / page).read_bytes(), page


@pytest.mark.slow
def test_what_stands_in_the_place_of_the_report_is_told_before_anything_is_written(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("report.html", "patients"):
        target = tmp_path / name.partition(".")[0]
        target.mkdir()
        (target / name).mkdir() if name == "report.html" else (target / name).write_text("mine")
        done = CliRunner().invoke(app, ["report", str(folder_of("plain")), "--output", str(target)])
        assert done.exit_code == 2
        assert "move it away" in " ".join(done.output.split())
        assert [file.name for file in target.iterdir()] == [name]


@pytest.mark.slow
def test_no_name_from_the_input_is_taken_for_anything_but_text(
    folder_of: Callable[[str], Path],
) -> None:
    for kind in ("plain", "scaled"):
        folder = folder_of(kind)
        pages = {"report.html": [SCRIPT], **{f"patients/{p.name}": [] for p in patients(folder)}}
        for name, scripts in pages.items():
            page = Page((folder / name).read_text("utf-8"))
            assert page.scripts == scripts, name
            assert {tag for tag, _ in page.tags}.isdisjoint({"iframe", "object", "form", "link"})
            attributes = [(tag, *pair) for tag, own in page.tags for pair in own.items()]
            assert not [one for one in attributes if one[1].startswith("on")], name
            assert all(image["src"].startswith("data:image/png") for image in page.all("img"))
            links = [link["href"] for link in page.all("a")]
            assert all(
                re.match(r"#|\.\./report|patients/0|https://doi\.org/10", at) for at in links
            )
            assert EVIL[0] in page.text
            assert EVIL[4] in page.text or name != "report.html"


def patients(folder: Path) -> list[Path]:
    return sorted((folder / "patients").iterdir())


def test_the_policy_of_the_page_lets_its_own_script_run_and_nothing_else(
    folder_of: Callable[[str], Path],
) -> None:
    page = Page((folder_of("plain") / "report.html").read_text("utf-8"))
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert f"script-src 'sha256-{digest}';" in policy


def test_every_patient_stands_inside_and_on_a_page_with_each_sample(
    folder_of: Callable[[str], Path],
) -> None:
    folder = folder_of("plain")
    page = Page((folder / "report.html").read_text("utf-8"))
    sections = [s["id"] for s in page.all("section")]
    assert sections == [f"p{number}" for number in range(1, 20)]
    targets = [link["href"] for link in page.all("a") if link["href"].startswith("#p")]
    assert {target.removeprefix("#") for target in targets} == set(sections)
    both = [p for p in patients(folder) if "sample 2 of 2" in p.read_text("utf-8")]
    assert len(both) == 1
    own = Page(both[0].read_text("utf-8")).text
    assert EVIL[2] in own
    assert EVIL[3].replace("_", " ") in own
    assert "Missing genes: " in page.text
    assert "B2M" in page.text
    assert "could not be shown to tell more than the base rate alone" in page.text
    assert "rank within the sample against the training samples (60 of 1 cohorts" in page.text
    for name in ("a", "b", "c", "m"):
        assert f'class="{name}"' in (folder / "report.html").read_text("utf-8")


def test_values_scaled_per_gene_are_held_against_a_standard_normal(
    folder_of: Callable[[str], Path],
) -> None:
    page = Page((folder_of("scaled") / "report.html").read_text("utf-8"))
    assert "z-scores within this cohort against a standard normal" in page.text
    assert "cannot be told for values scaled per gene" in page.text
    assert "Of 100 such tumours" not in page.text
    assert not read_report(folder_of("scaled")).facts.gene_quantiles


def test_the_tables_of_a_report_keep_their_contract(folder_of: Callable[[str], Path]) -> None:
    data = read_report(folder_of("plain"))
    assert tuple(data.predictions.columns) == PREDICTION_COLUMNS
    table = pd.read_parquet(folder_of("plain") / "mechanisms.parquet")
    assert list(table.columns) == ["sample_id", "level", "name", "log_odds", "probability_points"]
    of_features = table[table["level"].isin(["base", "feature"])]
    sums = of_features.groupby("sample_id")["probability_points"].sum()
    expected = 100 * data.predictions.set_index("sample_id")["probability"]
    np.testing.assert_allclose(sums[expected.index], expected, atol=1e-6)
    for facts in (data.facts, read_report(folder_of("plain")).facts):
        assert facts.groups["antigen_presentation"] == "tumour recognition"


def put(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old.encode(), new.encode())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("report.json", None, "holds no report"),
        ("report.json", lambda content: content[:200], "it cannot be read"),
        ("report.json", lambda content: b"[]", "its format is unknown"),
        ("report.json", put('_version": 1', '_version": 7'), "its format is 7"),
        ("report.json", put('"kind": "scored"', '"kind": "odd"'), "kind: Input"),
        ("report.json", put('"score_kind"', '"other"'), "score_kind: Field required"),
        ("genes.parquet", None, "cannot be read"),
        ("predictions.parquet", lambda content: content[:-9], "is not the file that report.json"),
    ],
)
def test_a_damaged_or_foreign_folder_ends_in_one_message(
    folder_of: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    change: Callable[[bytes], bytes] | None,
    message: str,
) -> None:
    for file in folder_of("plain").iterdir():
        if file.suffix in (".json", ".parquet"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if change is not None:
        (tmp_path / name).write_bytes(change(content))
    with pytest.raises(ConfigError, match=message):
        read_report(tmp_path)
    refused = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
    assert not (tmp_path / "report.html").exists()


def test_tables_of_another_scoring_are_refused(
    folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for file in folder_of("plain").iterdir():
        if file.suffix in (".json", ".parquet"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    table = pd.read_parquet(tmp_path / "genes.parquet").iloc[::-1]
    table.to_parquet(tmp_path / "genes.parquet", index=False)
    facts = json.loads((tmp_path / "report.json").read_text("utf-8"))
    content = (tmp_path / "genes.parquet").read_bytes()
    facts["tables"]["genes.parquet"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "report.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(ConfigError, match="its samples are not those of predictions"):
        read_report(tmp_path)


def test_file_names_of_patients_are_safe_whatever_their_ids(
    folder_of: Callable[[str], Path],
) -> None:
    names = page_names(ReportPages(read_report(folder_of("plain"))).patients)
    assert len(set(names)) == 19
    assert all(re.fullmatch(r"\d{4}(-[a-z0-9-]{1,40})?\.html", name) for name in names)


# --- in a browser


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


FRAME = '<iframe sandbox="allow-scripts" width="1200" height="900"></iframe>'
FILL = """(page) => { document.querySelector("iframe").src =
    URL.createObjectURL(new Blob([page], {type: "text/html"})); }"""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("framed", [False, True], ids=["file", "sandboxed frame"])
def test_a_reader_sorts_searches_filters_and_opens_a_patient(
    browser, folder_of: Callable[[str], Path], framed: bool
) -> None:
    file = folder_of("plain") / "report.html"
    page, told = browser.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: told.append("a dialog"))
    if framed:
        page.set_content(FRAME)
        page.evaluate(FILL, file.read_text("utf-8"))
        report = page.frame_locator("iframe")
    else:
        page.goto(file.as_uri())
        report = page
    probabilities = report.locator("#samples tbody tr:not([hidden]) td[data-v]:has(.p)")
    head = report.locator("#samples th", has_text="P(resistant)")
    head.get_by_role("button").click()
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in probabilities.all_inner_texts()]
    assert values == sorted(values)
    report.locator("#search").fill("onmouseover p3")
    assert report.locator("#count").inner_text() == "1 of 20 samples"
    report.locator("#search").fill("")
    chip = report.locator("#tools button").last
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    rows = report.locator("#samples tbody tr:not([hidden])")
    calls = rows.evaluate_all("rows => rows.map((row) => row.dataset.call)")
    assert set(calls) == {chip.get_attribute("data-call")}
    rows.first.get_by_role("link").click()
    section = report.locator(".patient:visible")
    assert section.count() == 1
    assert not report.locator("main").is_visible()
    section.locator("nav a").first.click()
    assert report.locator("main").is_visible()
    assert told == []
    page.close()


@pytest.mark.browser
@pytest.mark.slow
def test_a_sample_prints_on_one_sheet_of_paper(browser, folder_of: Callable[[str], Path]) -> None:
    page = browser.new_page()
    for file in patients(folder_of("plain"))[:3]:
        page.goto(file.as_uri())
        printed = page.pdf(prefer_css_page_size=True)
        sheets = page.locator(".sheet").count()
        assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == sheets
    page.close()
