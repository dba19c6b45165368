"""A user's own one-file catalogue: added to the packaged one, or by itself; its faults by line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from features.catalogue import Catalogue, load_catalogue
from features.errors import CatalogueError
from features.therapy import DrugTable
from pipelines.config import load_experiment
from pipelines.train import configured_catalogue

Write = Callable[[str], Path]

CONF = Path(__file__).resolve().parents[2] / "conf"
OWN = """\
version: "lab 3"
section: Our markers
genes:
  ZYX: {ensembl_id: ENSG00000159840, entrez_id: 7791, aliases: [ESP-2]}
sources:
  ours_2026:
    citation: Ours et al. A study of zyxin. 2026.
    doi: 10.1000/ours
    found_in: our own paper
markers:
  - id: zyxin_axis
    name: Zyxin over PTEN
    mechanism: cytoskeleton
    settings: [ici]
    genes: [ZYX, AKT1]
    minus_genes: [PTEN]
    weights: {ZYX: 2}
    score: weighted
    sign: "+"
    compartment: malignant
    evidence: field
    sources: &cited [{source: ours_2026, paraphrase: More of it went with progression.}]
payload_classes:
  glue: {name: Molecular glues, resistance_genes: [ZYX], sources: *cited}
payloads:
  glue_1: {name: Glue 1, payload_class: glue, transporters: [ABCB1], sources: *cited}
drugs:
  glumab: {name: Glumab, drug_class: conjugate, target_antigens: [ZYX], payload: glue_1,
           sources: *cited}
strategies:
  zyxin_inhibitors: {name: Zyxin inhibitors, mechanisms: [cytoskeleton, stroma], settings: [ici],
                     evidence: field, sources: *cited}
"""
ALONE = """\
version: "1"
extends: nothing
section: Alone
genes:
  ZYX: {ensembl_id: ENSG00000159840, entrez_id: 7791}
sources:
  ours_2026:
    citation: Ours et al. A study of zyxin. 2026.
    doi: 10.1000/ours
    found_in: our own paper
markers:
  - id: zyx
    name: Zyxin
    mechanism: cytoskeleton
    genes: [ZYX]
    score: single
    sign: "+"
    compartment: malignant
    evidence: field
    sources:
      - source: ours_2026
        paraphrase: More of it went with progression.
drugs:
  glumab:
    name: Glumab
    drug_class: conjugate
    sources:
      - source: ours_2026
        paraphrase: More of it went with progression.
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a writer of a user's file."""

    def to_file(text: str) -> Path:
        path = tmp_path / "own.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """The packaged catalogue with :data:`OWN` added."""
    path = tmp_path_factory.mktemp("own") / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    return load_catalogue(path)


def line_of(text: str, part: str) -> int:
    """Return the line of a text on which a part of it begins."""
    assert text.count(part) == 1, part
    return text[: text.index(part)].count("\n") + 1


# --- added to the packaged catalogue


def test_an_own_file_adds_its_entries_behind_the_packaged_ones(
    added: Catalogue, catalogue: Catalogue
) -> None:
    assert added.marker_ids == (*catalogue.marker_ids, "zyxin_axis")
    assert added.genes[:-1] == catalogue.genes
    assert added.sources[:-1] == catalogue.sources
    assert added.strategies[:-1] == catalogue.strategies
    assert added.not_in_expression == catalogue.not_in_expression


def test_an_own_marker_takes_packaged_genes_a_new_gene_and_an_own_source(
    added: Catalogue,
) -> None:
    marker = added.markers[-1]
    assert marker.section == "Our markers"
    assert (marker.genes, marker.minus_genes) == (("ZYX", "AKT1"), ("PTEN",))
    assert marker.weights == {"ZYX": 2}
    assert [citation.source for citation in marker.sources] == ["ours_2026"]
    assert "ZYX" in added.gene_symbols


def test_an_own_marker_has_its_sign_in_its_settings(added: Catalogue) -> None:
    assert added.signs("ici")["zyxin_axis"] == 1
    assert "zyxin_axis" not in added.signs("sclc")
    assert added.mechanisms["zyxin_axis"] == "cytoskeleton"


def test_an_own_drug_is_found_and_chooses_genes(added: Catalogue) -> None:
    table = DrugTable(added)
    therapy = table.find("glumab")
    assert table.genes("target_antigen", therapy).plus == ("ZYX",)
    assert table.genes("payload_efflux", therapy).plus == ("ABCB1",)
    assert table.genes("payload_target", therapy).plus == ("ZYX",)
    abcb1 = next(marker for marker in added.markers if marker.id == "abcb1")
    assert added.sign_under(abcb1, setting="adc", drug=therapy.drug) == 1


def test_an_own_strategy_is_for_own_and_packaged_mechanisms(added: Catalogue) -> None:
    assert added.strategies_for("cytoskeleton")[0].id == "zyxin_inhibitors"
    assert added.strategies_for("stroma")[-1].id == "zyxin_inhibitors"


def test_an_own_version_stands_behind_the_packaged_one(
    added: Catalogue, catalogue: Catalogue
) -> None:
    assert added.version == f"{catalogue.version}+lab 3"


def test_an_own_file_changes_the_content_hash(added: Catalogue, catalogue: Catalogue) -> None:
    assert added.content_hash() != catalogue.content_hash()


def test_an_own_file_leaves_the_packaged_catalogue_alone(
    added: Catalogue, catalogue: Catalogue
) -> None:
    assert "zyxin_axis" in added.marker_ids
    assert "zyxin_axis" not in catalogue.marker_ids


def test_an_own_marker_of_packaged_genes_needs_no_gene_of_its_own(
    write: Write, catalogue: Catalogue
) -> None:
    text = """\
version: 1
section: Ours
markers:
  - {id: beyond_b2m, name: Beyond B2M, mechanism: antigen_presentation, genes: [TAP1, TAP2],
     score: excess, over: b2m, sign: "-", sign_by_therapy: {top1: "+"}, compartment: any,
     evidence: field, sources: [{source: wang_2025, paraphrase: It names the mechanism.}]}
"""
    own = load_catalogue(write(text))
    assert own.markers[-1].over == "b2m"
    assert own.genes == catalogue.genes


# --- by itself


def test_a_file_that_extends_nothing_stands_by_itself(write: Write) -> None:
    alone = load_catalogue(write(ALONE))
    assert alone.version == "1"
    assert alone.marker_ids == ("zyx",)
    assert alone.gene_symbols == ("ZYX",)


def test_a_file_that_extends_nothing_needs_all_that_it_names(write: Write) -> None:
    with pytest.raises(CatalogueError, match=r"'pathway': names gene 'AKT1', which is not in"):
        load_catalogue(write(ALONE.replace("id: zyx", "id: pathway").replace("[ZYX]", "[AKT1]")))


@pytest.mark.parametrize("said", ["packaged", '"packaged"'])
def test_saying_that_it_extends_the_packaged_one_changes_nothing(
    write: Write, added: Catalogue, said: str
) -> None:
    assert load_catalogue(write(f"extends: {said}\n{OWN}")) == added


def test_it_extends_the_packaged_catalogue_or_nothing(write: Write) -> None:
    with pytest.raises(CatalogueError, match=r"own\.yaml: extends is 'both'; allowed: packaged, n"):
        load_catalogue(write(ALONE.replace("nothing", "both")))


# --- what is refused


@pytest.mark.parametrize("text", [OWN, ALONE], ids=["added", "alone"])
def test_an_own_file_needs_a_version(write: Write, text: str) -> None:
    without = text.split("\n", 1)[1]
    with pytest.raises(CatalogueError, match=r"own\.yaml: 'version' is missing or empty"):
        load_catalogue(write(without))


def test_a_file_of_genes_alone_holds_no_markers(write: Write) -> None:
    with pytest.raises(CatalogueError, match=r"own\.yaml: 'markers' is missing or empty"):
        load_catalogue(write(ALONE[: ALONE.index("markers:")]))


REPEATS = """\
version: "1"
section: Ours
genes:
  PTEN: {ensembl_id: ENSG00000000001, entrez_id: 900000001}
  ZYX: {ensembl_id: ENSG00000159840, entrez_id: 5728}
  TLN1: {ensembl_id: ENSG00000171862, entrez_id: 7094}
  VCL: {ensembl_id: ENSG00000035403, entrez_id: 7414, aliases: [CD243]}
sources:
  wang_2025: {citation: Wang once more., doi: 10.1000/other, found_in: here}
  wang: {citation: Wang once more., doi: 10.32604/OR.2025.067592, found_in: here}
markers:
  - {id: b2m, name: Once more, mechanism: other, genes: [B2M], score: single, sign: "-",
     compartment: any, evidence: field,
     sources: &cited [{source: zou_2025, paraphrase: It names the mechanism.}]}
payloads:
  dxd: {name: Once more, payload_class: top1, sources: *cited}
  tubulin: {name: Once more, payload_class: top1, sources: *cited}
drugs:
  trastuzumab: {name: Once more, drug_class: antibody, sources: *cited}
  ours: {name: Ours, synonyms: [t dm1], drug_class: antibody, sources: *cited}
strategies:
  radiotherapy: {name: Once more, mechanisms: [stroma], settings: [ici], evidence: field,
                 sources: *cited}
not_in_expression:
  microbiota: {name: Once more, reason: They live elsewhere., sources: *cited}
"""


@pytest.fixture(scope="module")
def refusal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a file that repeats packaged entries of every part."""
    path = tmp_path_factory.mktemp("repeats") / "own.yaml"
    path.write_text(REPEATS, encoding="utf-8")
    with pytest.raises(CatalogueError, match="stands twice") as caught:
        load_catalogue(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("PTEN:", "gene 'PTEN': gene symbol 'PTEN' stands twice"),
        ("ZYX:", "gene 'ZYX': Entrez id '5728' stands twice (PTEN and ZYX)"),
        ("TLN1:", "gene 'TLN1': Ensembl id 'ENSG00000171862' stands twice (PTEN and TLN1)"),
        ("VCL:", "gene 'VCL': alias 'CD243' stands twice (ABCB1 and VCL)"),
        ("wang_2025:", "source 'wang_2025': source key 'wang_2025' stands twice"),
        ("wang:", "source 'wang': DOI '10.32604/or.2025.067592' stands twice (wang_2025 and wang)"),
        ("- {id: b2m", "marker 'b2m': marker id 'b2m' stands twice"),
        ("dxd:", "payload 'dxd': payload 'dxd' stands twice"),
        ("tubulin:", "payload 'tubulin': a payload class has the same name"),
        ("trastuzumab:", "drug 'trastuzumab': drug 'trastuzumab' stands twice"),
        ("ours:", "drug 'ours': name 't dm1' also means drug 'trastuzumab_emtansine'"),
        ("radiotherapy:", "strategy 'radiotherapy': strategy 'radiotherapy' stands twice"),
        (
            "microbiota:",
            "not_in_expression entry 'microbiota': not_in_expression entry 'microbiota' stands "
            "twice",
        ),
    ],
)
def test_what_repeats_a_packaged_entry_is_refused(refusal: str, entry: str, message: str) -> None:
    assert f"own.yaml, line {line_of(REPEATS, f'  {entry}')}: {message}" in refusal


# Fixed: the fault was also said of a payload that there is not, and ended in a KeyError.
def test_a_repeated_payload_class_is_refused(write: Write) -> None:
    text = """\
version: "1"
payload_classes:
  top1: {name: Once more, sources: [{source: zou_2025, paraphrase: It names the mechanism.}]}
"""
    message = r"own\.yaml, line 3: payload class 'top1': payload class 'top1' stands twice"
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(write(text))


def test_a_gene_named_by_the_alias_of_a_packaged_one_is_refused(write: Write) -> None:
    text = """\
version: "1"
genes:
  CD243: {ensembl_id: ENSG00000159840, entrez_id: 7791}
"""
    with pytest.raises(CatalogueError, match=r"own\.yaml, line 3: gene .*'CD243' of ABCB1 is an"):
        load_catalogue(write(text))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        pytest.param('sign: "+"', 'sign: "x"', 'sign: "x"', "marker 'zyx' sign: .*'x'", id="field"),
        pytest.param(
            "- source: ours_2026\n        paraphrase: More of it went with progression.\ndrugs",
            "- source: ours_2026\n        paraphrase: More.\ndrugs",
            "paraphrase: More.\n",
            "marker 'zyx' sources 0 paraphrase: ",
            id="field deep inside",
        ),
        pytest.param(
            "genes: [ZYX]",
            "genes:\n      ZYX: 1",
            "genes:\n      ZYX: 1",
            "marker 'zyx' genes: ",
            id="field over several lines",
        ),
        pytest.param(
            "[ZYX]", "[ZYX, 7]", "genes: [ZYX, 7]", "marker 'zyx' genes 1: .*7", id="list item"
        ),
        pytest.param(
            "    name: Zyxin\n", "", "- id: zyx", "marker 'zyx' name: Field required", id="missing"
        ),
        pytest.param(
            "      - source: ours_2026\n        paraphrase: More of it went with progression.\nd",
            "      - source: ours_2026\nd",
            "      - source: ours_2026\nd",
            "marker 'zyx' sources 0 paraphrase: Field required",
            id="missing deep inside",
        ),
        pytest.param("[ZYX]", "[TLN1]", "- id: zyx", "marker 'zyx': names gene 'TLN1'", id="gene"),
        pytest.param(
            "doi: 10.1000/ours", "doi: ours", "doi: ours", "source 'ours_2026' doi: ", id="source"
        ),
        # Fixed: an entry that a name is mapped to had the line of its first field.
        pytest.param(
            "    drug_class: conjugate\n",
            "",
            "  glumab:",
            "drug 'glumab' drug_class: Field required",
            id="missing in a mapped entry",
        ),
        pytest.param(
            "    drug_class: conjugate\n",
            "    drug_class: conjugate\n    payload: dm1\n",
            "  glumab:",
            "drug 'glumab': payload 'dm1' is not in payloads",
            id="reference of a mapped entry",
        ),
    ],
)
def test_a_fault_is_named_with_its_line(
    write: Write, old: str, new: str, line: str, message: str
) -> None:
    assert ALONE.count(old) == 1
    text = ALONE.replace(old, new)
    with pytest.raises(CatalogueError, match=rf"own\.yaml, line {line_of(text, line)}: {message}"):
        load_catalogue(write(text))


def test_a_faulty_entry_of_an_added_file_is_named_with_its_line(write: Write) -> None:
    text = OWN.replace("evidence: field\n", "evidence: hearsay\n")
    line = line_of(text, "evidence: hearsay")
    with pytest.raises(CatalogueError, match=rf"own\.yaml, line {line}: marker 'zyxin_axis' evid"):
        load_catalogue(write(text))


def test_an_entry_repeated_within_the_file_is_named_where_it_stands_last(write: Write) -> None:
    marker = ALONE[ALONE.index("  - id: zyx") : ALONE.index("drugs:")]
    text = ALONE.replace("drugs:", f"{marker}drugs:")
    line = text[: text.rindex("- id: zyx")].count("\n") + 1
    with pytest.raises(CatalogueError, match=rf"line {line}: marker 'zyx': marker id 'zyx' stands"):
        load_catalogue(write(text))


@pytest.mark.parametrize("name", ["none.yaml", "no/such/folder.yaml"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        CatalogueError, match=rf"catalogue file \S+/{name}: cannot be read: .*No su"
    ):
        load_catalogue(tmp_path / name)


# Fixed: PyYAML's message had several lines, and said "<unicode string>" for the file.
def test_a_file_that_is_no_yaml_is_refused_in_one_line(write: Write) -> None:
    text = ALONE.replace('sign: "+"', "sign: -")
    place = rf"own\.yaml: cannot be read: .*line {line_of(text, 'sign: -')}\b"
    with pytest.raises(CatalogueError, match=place) as caught:
        load_catalogue(write(text))
    assert "\n" not in str(caught.value)
    assert "<unicode string>" not in str(caught.value)


# Fixed: the path is looked at before it is read, and ended in an OSError.
def test_a_file_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"x: cannot be read: .*too long"):
        load_catalogue(tmp_path / ("x" * 300))


# --- named in the configuration


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """An experiment of a project of its own that names an own catalogue."""
    folder = tmp_path / "project" / "conf"
    (folder / "experiments").mkdir(parents=True)
    (folder / "defaults.yaml").write_text((CONF / "defaults.yaml").read_text())
    path = folder / "experiments" / "test.yaml"
    path.write_text(
        "setting: ici\ncohorts: {train: [alpha, beta]}\nmodel: {registered_name: oncoresist-test}\n"
        "features: {catalogue: markers/own.yaml}\n"
    )
    return path


def test_the_configured_file_is_found_from_the_project_folder(
    experiment: Path, added: Catalogue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "project" / "markers"
    folder.mkdir()
    (folder / "own.yaml").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = load_experiment(experiment)
    assert configured_catalogue(config, config_file=experiment) == added


def test_a_configured_file_that_is_missing_is_named(experiment: Path) -> None:
    config = load_experiment(experiment)
    with pytest.raises(
        CatalogueError, match=r"/project/markers/own\.yaml: cannot be read: .*No su"
    ):
        configured_catalogue(config, config_file=experiment)


def test_without_a_configured_file_the_packaged_catalogue_is_used(
    experiment: Path, catalogue: Catalogue
) -> None:
    config = load_experiment(experiment, overrides=["features.catalogue=null"])
    assert configured_catalogue(config, config_file=experiment) is catalogue
