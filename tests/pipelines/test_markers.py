"""``oncoresist markers``: list, show and export the catalogue, a user's own file included."""

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.catalogue_entries import SETTINGS
from features.catalogue_export import catalogue_yaml, gmt, network
from features.errors import ConfigError
from pipelines.cli import app
from pipelines.reports.markers import marker_page, marker_rows, require_mechanism

Run = Callable[..., Result]

OWN = """\
version: "1"
section: Ours
genes: {ZYX: {ensembl_id: ENSG00000159840, entrez_id: 7791, aliases: [ESP-2]}}
sources: {ours_2026: {citation: Ours et al. 2026., doi: 10.1000/ours, found_in: our own paper}}
markers:
  - id: zyxin
    name: Zyxin over PTEN
    mechanism: cytoskeleton
    settings: [sclc]
    genes: [ZYX]
    minus_genes: [PTEN]
    weights: {ZYX: 3}
    score: weighted
    sign: "+"
    compartment: malignant
    evidence: field
    sources: [{source: ours_2026, paraphrase: More of it went with progression.}]
"""
WRITERS = {
    "yaml": catalogue_yaml,
    "gmt": gmt,
    "network": lambda catalogue, **k: network(catalogue, **k).to_csv(index=False),
}


@pytest.fixture
def run() -> Run:
    """Return a runner of ``oncoresist markers`` that expects an exit code."""

    def invoke(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["markers", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    return path


def listed(result: Result) -> list[str]:
    """Return the ids that a list holds."""
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["id", "class", "score", "sign", "evidence", "genes"]
    return [row.split()[0] for row in rows]


# --- list


def test_the_list_holds_every_marker(run: Run, catalogue: Catalogue) -> None:
    assert listed(run("list")) == list(catalogue.marker_ids)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_list_of_a_setting_holds_its_markers(
    run: Run, catalogue: Catalogue, setting: str
) -> None:
    expected = [marker.id for marker in catalogue.markers_of(setting)]
    assert listed(run("list", "--setting", setting)) == expected


def test_the_list_of_a_class_holds_its_markers(run: Run) -> None:
    assert listed(run("list", "--class", "lysosomal_dysfunction")) == [
        "lysosomal_function",
        "slc46a3",
    ]


@pytest.mark.parametrize("grade", ["review", "class", "field"])
def test_the_list_of_a_grade_holds_its_markers(run: Run, catalogue: Catalogue, grade: str) -> None:
    expected = [marker.id for marker in catalogue.markers if marker.evidence == grade]
    assert listed(run("list", "--grade", grade)) == expected


def test_filters_of_a_list_hold_together(run: Run) -> None:
    found = listed(run("list", "--setting", "ici", "--class", "stroma", "--grade", "class"))
    assert found == ["tgf_beta_stroma", "caf_ecm"]
    assert listed(run("list", "--setting", "ici", "--class", "sclc_subtype")) == []


# Fixed: rich turned the tabs into spaces, so that cut -f and read_csv found one column.
def test_a_piped_list_parts_its_columns_by_tabs(run: Run, catalogue: Catalogue) -> None:
    table = pd.read_csv(io.StringIO(run("list").stdout), sep="\t", dtype=str)
    assert list(table.columns) == ["id", "class", "score", "sign", "evidence", "genes"]
    rows = list(table.itertuples(index=False, name=None))
    assert rows == marker_rows(catalogue)


def row_of(catalogue: Catalogue, marker_id: str, setting: str | None = None) -> tuple[str, ...]:
    return next(row for row in marker_rows(catalogue, setting=setting) if row[0] == marker_id)


@pytest.mark.parametrize(
    ("marker_id", "setting", "row"),
    [
        ("b2m", None, ("antigen_presentation", "single", "-", "review", "B2M")),
        ("abcb1", None, ("drug_efflux", "single", "·", "class", "ABCB1")),
        ("abcb1", "hcc", ("drug_efflux", "single", "+", "class", "ABCB1")),
        ("abcb1", "ici", ("drug_efflux", "single", "·", "class", "ABCB1")),
        ("target_antigen", "adc", ("target_antigen", "target_antigen", "-", "class", "(by drug)")),
        (
            "slfn11_parp",
            None,
            ("dna_damage_response", "weighted", "·", "review", "PARP1 CHEK1 minus SLFN11"),
        ),
    ],
)
def test_a_row_says_class_rule_sign_evidence_and_genes(
    catalogue: Catalogue, marker_id: str, setting: str | None, row: tuple[str, ...]
) -> None:
    assert row_of(catalogue, marker_id, setting) == (marker_id, *row)


def test_the_row_of_an_excess_says_over_what(catalogue: Catalogue) -> None:
    assert row_of(catalogue, "compensatory_checkpoints")[-1].endswith("CD160 CD244 over pd1")


def test_an_unknown_class_is_refused_with_the_classes_there_are(run: Run) -> None:
    message = run("list", "--class", "stromal", code=2).stderr
    assert message.startswith("error: no marker is of class 'stromal'; classes: angiogenesis, ")
    assert "stroma, " in message
    assert len(message.splitlines()) == 1


def test_a_known_class_is_not_refused(catalogue: Catalogue) -> None:
    require_mechanism(catalogue, "stroma")
    require_mechanism(catalogue, None)
    with pytest.raises(ConfigError, match=r"no marker is of class ''; classes: "):
        require_mechanism(catalogue, "")


@pytest.mark.parametrize("option", ["--setting", "--grade"])
def test_an_unknown_setting_or_grade_is_refused(run: Run, option: str) -> None:
    assert option in run("list", option, "melanoma", code=2).stderr


# --- show


def test_a_page_shows_the_identifiers_of_its_genes(run: Run) -> None:
    page = run("show", "b2m").stdout
    assert page.startswith("b2m: β2-microglobulin\n")
    assert "  B2M  ENSG00000166710  Entrez 567" in page


def test_a_page_shows_earlier_symbols_and_minus_genes(run: Run) -> None:
    page = run("show", "slfn11_parp").stdout
    assert "  minus SLFN11  ENSG00000172716  Entrez 91607  earlier: FLJ34922" in page


def test_a_page_shows_the_signs_of_every_setting(run: Run) -> None:
    assert "sign         ici ·, adc ·, hcc +, sclc ·\n" in run("show", "abcb1").stdout
    assert "sclc ·; single cells +\n" in run("show", "exhaustion").stdout


def test_a_page_shows_under_which_drugs_the_sign_is_another(run: Run) -> None:
    assert "adc - under Trastuzumab emtansine\n" in run("show", "slc46a3").stdout
    page = " ".join(run("show", "slfn11_parp").stdout.split())
    assert "sclc + under Trastuzumab deruxtecan, " in page
    assert "Topotecan, " in page
    assert "Paclitaxel" not in page
    assert " under " not in run("show", "b2m").stdout.split("Genes")[0]


def test_a_page_shows_sources_with_doi_and_paraphrase(run: Run, catalogue: Catalogue) -> None:
    page = run("show", "tmem92").stdout
    marker = next(marker for marker in catalogue.markers if marker.id == "tmem92")
    dois = {source.key: source.doi for source in catalogue.sources}
    for citation in marker.sources:
        assert f"  {citation.source} (doi:{dois[citation.source]})\n" in page
        assert citation.paraphrase in " ".join(page.split())


def test_a_page_shows_what_the_reviews_discuss_as_no_advice(run: Run) -> None:
    page = run("show", "caf_ecm").stdout
    assert "Discussed in the reviews against stroma (research use only, no advice)" in page
    assert "TGF-β inhibition [class; ici, hcc, sclc]" in page


def test_a_page_shows_the_genes_that_each_drug_chooses(run: Run) -> None:
    page = run("show", "payload_target").stdout
    assert "  Sacituzumab govitecan: TDP1 minus TOP1 SLFN11\n" in page
    assert "  Gemtuzumab ozogamicin: minus SLFN11\n" in page
    assert "Nivolumab" not in page
    assert "\nGenes\n" not in page


def test_a_page_shows_over_which_marker_an_excess_is(run: Run) -> None:
    page = run("show", "compensatory_checkpoints").stdout
    assert "excess: mean of the genes minus the score of pd1" in page


def test_every_marker_has_a_page(catalogue: Catalogue) -> None:
    for marker in catalogue.markers:
        page = marker_page(catalogue, marker.id)
        assert marker.name in page
        assert "None" not in page
        assert "\n\n\n" not in page


@pytest.mark.parametrize(
    ("marker_id", "message"),
    [
        ("tim4", "error: there is no marker 'tim4'; did you mean tim3?"),
        ("mhc_clas_i", "error: there is no marker 'mhc_clas_i'; did you mean mhc_class_i"),
        ("zzz", "error: there is no marker 'zzz'; oncoresist markers list has them all"),
        ("", "error: there is no marker ''; oncoresist markers list has them all"),
        ("B2M", "error: there is no marker 'B2M'; gene B2M is read by mhc_class_i, b2m"),
        (
            "MHAM",
            "error: there is no marker 'MHAM'; gene PTEN is read by survival_signalling, pi3k",
        ),
        ("ENSG00000171862", "error: there is no marker 'ENSG00000171862'; gene PTEN is read by "),
        ("HER2", "error: there is no marker 'HER2'; gene ERBB2 is read by target_antigen under Tr"),
        # Fixed: these three ended in "the gene identifiers are those of mouse".
        (
            "Kadcyla",
            "error: there is no marker 'Kadcyla'; drug Trastuzumab emtansine chooses the genes of "
            "target_antigen, payload_efflux, payload_target",
        ),
        (
            "Opdivo",
            "error: there is no marker 'Opdivo'; drug Nivolumab chooses the genes of no feature",
        ),
        ("ENSMUSG00000060802", "error: there is no marker 'ENSMUSG00000060802'; "),
    ],
)
def test_an_unknown_marker_is_refused_with_what_was_meant(
    run: Run, marker_id: str, message: str
) -> None:
    assert run("show", marker_id, code=2).stderr.startswith(message)


# --- export


@pytest.mark.parametrize("form", WRITERS)
def test_an_export_is_printed_as_it_is(run: Run, catalogue: Catalogue, form: str) -> None:
    assert run("export", "--format", form).stdout == WRITERS[form](catalogue)


@pytest.mark.parametrize("form", WRITERS)
def test_an_export_is_written_to_a_file(
    run: Run, catalogue: Catalogue, form: str, tmp_path: Path
) -> None:
    file = tmp_path / "markers.out"
    said = run("export", "--format", form, "--setting", "adc", "--output", str(file)).stdout
    assert said == f"{file} written ({form}, catalogue {catalogue.version})\n"
    assert file.read_text(encoding="utf-8") == WRITERS[form](catalogue, setting="adc")
    assert list(tmp_path.iterdir()) == [file]


def test_an_exported_file_is_a_catalogue_that_can_be_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "markers.yaml"
    run("export", "--setting", "hcc", "--output", str(file))
    assert listed(run("list", "--catalogue", str(file))) == [
        marker.id for marker in default_catalogue().markers_of("hcc")
    ]


def test_a_missing_folder_for_an_export_is_made(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "markers.gmt"
    run("export", "--format", "gmt", "--output", str(file))
    assert file.is_file()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("file/markers.gmt", r"file is not a folder that can be written to; choose another output"),
        ("file/deeper/markers.gmt", r"file is not a folder that can be written to"),
        ("/proc/nowhere/markers.gmt", "cannot be written: "),
        ("folder", "cannot be written: "),
        # Fixed: a path without a name has none to put a temporary beside, a ValueError.
        (".", "cannot be written"),
    ],
)
def test_an_export_that_cannot_be_written_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, message: str
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    said = run("export", "--format", "gmt", "--output", output, code=2).stderr
    assert said.startswith("error: ")
    assert message in said
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "folder"}


# --- a user's own file


def test_an_own_catalogue_is_listed_with_the_packaged_one(
    run: Run, own: Path, catalogue: Catalogue
) -> None:
    assert listed(run("list", "--catalogue", str(own))) == [*catalogue.marker_ids, "zyxin"]
    found = listed(run("list", "--class", "cytoskeleton", "--catalogue", str(own)))
    assert found == ["zyxin"]


def test_an_own_marker_is_shown(run: Run, own: Path) -> None:
    page = run("show", "zyxin", "--catalogue", str(own)).stdout
    assert "ZYX  ENSG00000159840  Entrez 7791  weight 3  earlier: ESP-2\n" in page
    assert "  ours_2026 (doi:10.1000/ours)\n    More of it went with progression." in page
    assert "Discussed in the reviews" not in page


# Fixed: the pages named no weights.
def test_an_own_marker_is_shown_with_its_weights(own: Path) -> None:
    gene = next(
        line
        for line in marker_page(load_catalogue(own), "zyxin").splitlines()
        if line.strip().startswith("ZYX")
    )
    assert "weight 3" in gene


def test_an_own_marker_is_exported(run: Run, own: Path, catalogue: Catalogue) -> None:
    printed = run("export", "--format", "network", "--catalogue", str(own)).stdout
    assert printed.splitlines()[-2:] == ["zyxin,ZYX,3.0", "zyxin,PTEN,-1.0"]
    assert run("export", "--catalogue", str(own)).stdout.startswith(
        f"version: {catalogue.version}+1\nextends: nothing\n"
    )


@pytest.mark.parametrize("command", [["list"], ["show", "b2m"], ["export"]])
def test_a_faulty_own_catalogue_is_refused_with_its_line(
    run: Run, own: Path, command: list[str]
) -> None:
    own.write_text(OWN.replace('sign: "+"', 'sign: "plus"'), encoding="utf-8")
    message = run(*command, "--catalogue", str(own), code=2).stderr
    assert "own.yaml, line 14: marker 'zyxin' sign: " in message
    assert len(message.splitlines()) == 1


def test_a_missing_own_catalogue_is_refused(run: Run, tmp_path: Path) -> None:
    message = run("list", "--catalogue", str(tmp_path / "none.yaml"), code=2).stderr
    assert message.startswith(f"error: catalogue file {tmp_path}/none.yaml: cannot be read: ")


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    said = run(code=2).output
    assert all(command in said for command in ("list", "show", "export"))
