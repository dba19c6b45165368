"""The catalogue's files: what the hash follows, and every fault refused by name, file and line."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.errors import CatalogueError
from features.therapy import DrugTable

PACKAGED = Path(default_catalogue.__wrapped__.__code__.co_filename).parent / "catalogue"


# --- content hash and version


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the packaged catalogue."""
    return Path(shutil.copytree(PACKAGED, tmp_path / "catalogue"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A catalogue of a few entries of every part, to be broken."""
    for name, text in SMALL.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


REST = 'mechanism: other, sign: "·", compartment: any, evidence: review, sources: *cited'
SMALL = {
    "genes.yaml": """\
genes:
  ABCB1: {ensembl_id: ENSG00000085563, entrez_id: 5243, aliases: [PGY1], ambiguous_aliases: [MDR1]}
  B2M: {ensembl_id: ENSG00000166710, entrez_id: 567}
  HAVCR2: {ensembl_id: ENSG00000135077, entrez_id: 84868, aliases: [TIM3]}
  PDCD1: {ensembl_id: ENSG00000188389, entrez_id: 5133}
  PIK3CA: {ensembl_id: ENSG00000121879, entrez_id: 5290}
  PTEN: {ensembl_id: ENSG00000171862, entrez_id: 5728}
""",
    "sources.yaml": """\
version: "1"
sources:
  review_2025:
    citation: A review of 2025.
    doi: 10.1000/review
    found_in: "reviews: review_2025"
  study_2020:
    citation: A study of 2020.
    doi: 10.1000/study
    found_in: looked up
""",
    "markers.yaml": """\
section: Markers
markers:
  - id: b2m
    name: Microglobulin
    mechanism: antigen_presentation
    genes: [B2M]
    score: single
    sign: "-"
    sign_by_setting: {hcc: "·"}
    compartment: malignant
    evidence: review
    sources: &cited
      - source: study_2020
        paraphrase: It says that this matters.
  - {id: pd1, name: PD-1, settings: [ici, adc], genes: [PDCD1], score: single, <rest>}
  - {id: pathway, name: Pathway, genes: [PIK3CA], minus_genes: [PTEN], score: weighted, <rest>}
  - {id: pair, name: Both, genes: [HAVCR2, PDCD1], score: lower_of_two, <rest>}
  - {id: beyond, name: Far, settings: [adc], genes: [HAVCR2, B2M], score: excess, over: pd1, <rest>}
  - {id: repair, name: Mend, genes: [B2M, PTEN], score: mean, sign_by_therapy: {top1: "+"}, <rest>}
  - {id: efflux, name: Efflux, genes: [], score: mean, by_drug: payload_efflux, <rest>}
""".replace("<rest>", REST),
    "drugs.yaml": """\
payload_classes:
  top1:
    name: Topoisomerase I
    sensitivity_genes: [PTEN]
    sources: &cited [{source: study_2020, paraphrase: It says that this matters.}]
payloads:
  dxd: {name: DXd, payload_class: top1, transporters: [ABCB1], sources: *cited}
drugs:
  drug_a: {name: Drug A, synonyms: [AB-1], drug_class: antibody, sources: *cited}
  drug_b: {name: Drug B, drug_class: conjugate, payload: dxd, sources: *cited}
""",
    "strategies.yaml": """\
strategies:
  blockade:
    name: Blockade
    mechanisms: [antigen_presentation]
    settings: [ici]
    evidence: review
    sources: &cited [{source: study_2020, paraphrase: It says that this matters.}]
not_in_expression:
  mutations: {name: Mutations, reason: They are in the DNA alone., sources: *cited}
""",
}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_copied_folder_loads_to_the_same_catalogue(folder: Path, catalogue: Catalogue) -> None:
    copy = load_catalogue(folder)
    assert copy == catalogue
    assert copy.content_hash() == catalogue.content_hash()


def test_the_version_is_three_numbers(catalogue: Catalogue) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", catalogue.version)


def test_the_content_hash_is_sixteen_hexadecimal_digits(catalogue: Catalogue) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", catalogue.content_hash())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("genes.yaml", "entrez_id: 5243,", "entrez_id: 5244,"),
        ("genes.yaml", "[MDR1]", "[MDR2]"),
        ("sources.yaml", 'version: "1"', 'version: "2"'),
        ("sources.yaml", "A study of 2020.", "A study of  2020."),
        ("markers.yaml", "genes: [B2M, PTEN]", "genes: [B2M, PTEN, ABCB1]"),
        ("markers.yaml", "genes: [B2M, PTEN]", "genes: [PTEN, B2M]"),
        ("markers.yaml", 'sign: "-"', 'sign: "+"'),
        ("markers.yaml", "section: Markers", "section: Others"),
        ("drugs.yaml", "[AB-1]", "[AB-2]"),
        ("strategies.yaml", "settings: [ici]", "settings: [ici, hcc]"),
        ("strategies.yaml", "in the DNA alone", "in the DNA only"),
    ],
)
def test_the_content_hash_follows_the_content(small: Path, file: str, old: str, new: str) -> None:
    before = load_catalogue(small).content_hash()
    change(small / file, old, new)
    assert load_catalogue(small).content_hash() != before


def test_the_content_hash_does_not_follow_comments_and_files(small: Path) -> None:
    before = load_catalogue(small).content_hash()
    change(small / "genes.yaml", "genes:\n", "# a remark\ngenes:\n")
    (small / "drugs.yaml").rename(small / "any_name.yaml")
    assert load_catalogue(small).content_hash() == before


def test_the_sign_under_a_drug_decides_over_that_of_its_payload_class(small: Path) -> None:
    change(small / "markers.yaml", "{top1: ", '{drug_b: "-", top1: ')
    catalogue = load_catalogue(small)
    marker = next(entry for entry in catalogue.markers if entry.id == "repair")
    drug = DrugTable(catalogue).find("Drug B").drug
    assert catalogue.sign_under(marker, setting="adc", drug=drug) == -1


# --- faults


FAULTY_ENTRIES = {
    # genes
    "Ensembl id ill-formed": (
        "genes.yaml",
        "ENSG00000085563",
        "ENSG85563",
        r"genes\.yaml, line 2: gene 'ABCB1' ensembl_id: .*'ENSG85563'",
    ),
    "Ensembl id twice": (
        "genes.yaml",
        "ENSG00000166710",
        "ENSG00000085563",
        r"line 3: gene 'B2M': Ensembl id 'ENSG00000085563' stands twice \(ABCB1 and B2M\)",
    ),
    "Entrez id twice": ("genes.yaml", "567}", "5243}", r"gene 'B2M': Entrez id '5243' stands twi"),
    "Entrez id zero": ("genes.yaml", "567}", "0}", r"line 3: gene 'B2M' entrez_id: .*given: 0"),
    "alias of two": ("genes.yaml", "[TIM3]", "[PGY1]", r"gene 'HAVCR2': alias 'PGY1' stands twice"),
    "alias of two in another case": (
        "genes.yaml",
        "[TIM3]",
        "[pgy1]",
        r"line 4: gene 'HAVCR2': alias 'PGY1' stands twice \(ABCB1 and HAVCR2\)",
    ),
    "symbol in another case": (
        "genes.yaml",
        "  PTEN: {",
        "  b2m: {",
        r"line 7: gene 'b2m': gene symbol 'B2M' stands twice \(B2M and b2m\)",
    ),
    "alias approved": ("genes.yaml", "[PGY1]", "[b2m]", r"alias 'B2M' of ABCB1 is an approved"),
    "alias ambiguous": ("genes.yaml", "[TIM3]", "[MDR1]", r"'MDR1' is ambiguous here and means H"),
    "symbol repeated inside": (
        "genes.yaml",
        "  ABCB1: {",
        "  ABCB1: {symbol: ABCB5, ",
        r"genes\.yaml: gene 'ABCB1' \(line 2\) is empty, is not a mapping .* repeats 'symbol'",
    ),
    # sources
    "DOI ill-formed": (
        "sources.yaml",
        "doi: 10.1000/study",
        "doi: study",
        r"sources\.yaml, line 9: source 'study_2020' doi: .*'study'",
    ),
    "DOI twice": (
        "sources.yaml",
        "doi: 10.1000/study",
        "doi: 10.1000/REVIEW",
        r"DOI '10\.1000/review' stands twice \(review_2025 and study_2020\)",
    ),
    "source unknown": ("markers.yaml", "study_2020", "study", r"'b2m': cites 'study', which is no"),
    "no sources": (
        "strategies.yaml",
        "reason: They are in the DNA alone., sources: *cited",
        "reason: They are in the DNA alone., sources: []",
        r"strategies\.yaml, line 9: not_in_expression entry 'mutations' sources: .*at least 1",
    ),
    "paraphrase too short": (
        "markers.yaml",
        "It says that this matters.",
        "It matters.",
        r"markers\.yaml, line 14: marker 'b2m' sources 0 paraphrase: ",
    ),
    # markers
    "gene unknown": (
        "markers.yaml",
        "[B2M]",
        "[B2MM]",
        r"markers\.yaml, line 3: marker 'b2m': names gene 'B2MM', which is not in the gene table",
    ),
    "gene twice": ("markers.yaml", "[B2M, PTEN]", "[PTEN, PTEN]", r"'repair': a gene is named twi"),
    "gene on both sides": (
        "markers.yaml",
        "genes: [PIK3CA], minus",
        "genes: [PIK3CA, PTEN], minus",
        r"'pathway': a gene is named twice",
    ),
    "no genes": ("markers.yaml", "genes: [B2M]", "genes: []", r"'b2m': give either genes or by_dr"),
    "genes and by_drug": (
        "markers.yaml",
        "genes: [], score: mean, by_drug",
        "genes: [B2M, PTEN], score: mean, by_drug",
        r"marker 'efflux': give either genes or by_drug",
    ),
    "by_drug with a rule": (
        "markers.yaml",
        "genes: [], score: mean",
        "genes: [], score: ratio",
        r"marker 'efflux': by_drug goes with score 'mean'",
    ),
    "sign unknown": (
        "markers.yaml",
        'sign: "-"',
        'sign: "?"',
        r"line 8: marker 'b2m' sign: .*'\?'",
    ),
    "setting unknown": (
        "markers.yaml",
        '{hcc: "·"}',
        '{liver: "·"}',
        r"markers\.yaml, line 9: marker 'b2m' sign_by_setting liver",
    ),
    "rule unknown": (
        "markers.yaml",
        "score: single",
        "score: difference",
        r"line 7: marker 'b2m' score: .*'mean', 'single', 'weighted', .*given: 'difference'",
    ),
    "field misspelt": (
        "markers.yaml",
        "evidence:",
        "evidenz:",
        r"line 11: marker 'b2m' evidenz: Extra",
    ),
    "field absent": (
        "markers.yaml",
        "    evidence: review\n",
        "",
        r"line 3: marker 'b2m' evidence: Field required",
    ),
    "id twice": ("markers.yaml", "id: pd1", "id: b2m", r"line 15: .*'b2m': marker id 'b2m' stands"),
    "id ill-formed": ("markers.yaml", "id: b2m", "id: B2M", r"line 3: marker 'B2M' id: "),
    "id of a column": ("markers.yaml", "id: b2m", "id: cohort", r"outputs have a column 'cohort'"),
    "id absent": ("markers.yaml", "- id: b2m\n    name", "- name", r"'number 1' id: Field require"),
    "single of two": (
        "markers.yaml",
        "genes: [B2M]",
        "genes: [B2M, PTEN]",
        r"marker 'b2m': score 'single' takes exactly one gene",
    ),
    "mean of one": ("markers.yaml", "score: single", "score: mean", r"one gene has score 'single'"),
    "lower of three": (
        "markers.yaml",
        "[HAVCR2, PDCD1]",
        "[HAVCR2, PDCD1, B2M]",
        r"marker 'pair': score 'lower_of_two' takes exactly two genes",
    ),
    "minus genes with single": (
        "markers.yaml",
        "genes: [B2M]\n",
        "genes: [B2M]\n    minus_genes: [PTEN]\n",
        r"marker 'b2m': score 'single' and minus_genes do not fit",
    ),
    "weighted without minus genes": (
        "markers.yaml",
        "minus_genes: [PTEN], ",
        "",
        r"marker 'pathway': score 'weighted' needs minus_genes or weights",
    ),
    "ratio without minus genes": (
        "markers.yaml",
        "minus_genes: [PTEN], score: weighted",
        "score: ratio",
        r"marker 'pathway': score 'ratio' needs minus_genes",
    ),
    "weights of a stranger": (
        "markers.yaml",
        "score: weighted",
        "score: weighted, weights: {B2M: 2}",
        r"marker 'pathway': weights names 'B2M', which is not one of its genes",
    ),
    "weights with a mean": (
        "markers.yaml",
        "score: mean, sign_by",
        "score: mean, weights: {B2M: 2}, sign_by",
        r"marker 'repair': weights go with score 'weighted'",
    ),
    "weight zero": (
        "markers.yaml",
        "score: weighted",
        "score: weighted, weights: {PTEN: 0}",
        r"line 16: marker 'pathway' weights PTEN: .*given: 0",
    ),
    "excess over nothing": (
        "markers.yaml",
        ", over: pd1",
        "",
        r"marker 'beyond': score 'excess' and the marker it is 'over' go together",
    ),
    "over without excess": (
        "markers.yaml",
        "score: lower_of_two",
        "score: lower_of_two, over: pd1",
        r"marker 'pair': score 'excess' and the marker it is 'over' go together",
    ),
    "over unknown": (
        "markers.yaml",
        "over: pd1",
        "over: pd2",
        r"line 18: marker 'beyond': is scored over 'pd2', which is no marker",
    ),
    "over no plain mean": (
        "markers.yaml",
        "over: pd1",
        "over: pathway",
        r"marker 'beyond': is scored over 'pathway', whose own score is not a plain mean",
    ),
    "over what the drug chooses": (
        "markers.yaml",
        "over: pd1",
        "over: efflux",
        r"marker 'beyond': is scored over 'efflux', whose own score is not a plain mean",
    ),
    "over a marker of other settings": (
        "markers.yaml",
        "settings: [adc]",
        "settings: [adc, sclc]",
        r"marker 'beyond': is scored over 'pd1', which is not in all of its settings",
    ),
    "sign under a stranger": (
        "markers.yaml",
        "{top1:",
        "{top2:",
        r"line 19: marker 'repair': sign_by_therapy names 'top2', no drug or payload",
    ),
    # drugs
    "name of two drugs": (
        "drugs.yaml",
        "name: Drug B",
        "name: ab1",
        r"drugs\.yaml, line 10: drug 'drug_b': name 'ab1' also means drug 'drug_a'",
    ),
    "payload unknown": (
        "drugs.yaml",
        "payload: dxd",
        "payload: mmae",
        r"line 10: drug 'drug_b': payload 'mmae' is not in payloads",
    ),
    "payload class unknown": (
        "drugs.yaml",
        "payload_class: top1",
        "payload_class: top2",
        r"line 7: payload 'dxd': payload_class 'top2' is not in payload_classes",
    ),
    "payload named as a class": (
        "drugs.yaml",
        "  dxd: {name: DXd",
        "  top1: {name: DXd",
        r"line 7: payload 'top1': a payload class has the same name",
    ),
    "transporter unknown": ("drugs.yaml", "[ABCB1]", "[MDR1]", r"payload 'dxd': names gene 'MDR1'"),
    "class gene unknown": ("drugs.yaml", "[PTEN]", "[MMAC1]", r"class 'top1': names gene 'MMAC1'"),
    "antigen unknown": (
        "drugs.yaml",
        "drug_class: antibody",
        "drug_class: antibody, target_antigens: [HER2]",
        r"drug 'drug_a': names gene 'HER2'",
    ),
    "drug id ill-formed": ("drugs.yaml", "drug_a:", "Drug-A:", r"line 9: drug 'Drug-A' id: "),
    # strategies
    "mechanism unknown": (
        "strategies.yaml",
        "[antigen_presentation]",
        "[antigens]",
        r"strategy 'blockade': mechanism 'antigens' is that of no marker",
    ),
}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"), FAULTY_ENTRIES.values(), ids=FAULTY_ENTRIES.keys()
)
def test_a_faulty_entry_is_refused_by_name(
    small: Path, file: str, old: str, new: str, message: str
) -> None:
    change(small / file, old, new)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(small)


def test_the_packaged_catalogue_is_as_strict(folder: Path) -> None:
    change(folder / "markers_tumour_intrinsic.yaml", "[TMEM92]", "[TMEM920]")
    message = r"markers_tumour_intrinsic\.yaml, line \d+: marker 'tmem92': names gene 'TMEM920'"
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(folder)


def test_all_faulty_entries_are_listed_at_once(small: Path) -> None:
    change(small / "genes.yaml", "ENSG00000085563", "ENSG85563")
    change(small / "markers.yaml", "    name: ", "    surname: x\n    name: ")
    with pytest.raises(CatalogueError, match=r"gene 'ABCB1' .*; .*marker 'b2m' surname"):
        load_catalogue(small)


@pytest.mark.parametrize(
    ("n_faults", "end"), [(20, r"19' entrez_id[^;]*$"), (23, r"; and 3 more$")]
)
def test_at_most_twenty_faults_are_listed(small: Path, n_faults: int, end: str) -> None:
    lines = [f"  G{i}: {{ensembl_id: ENSG{i:011d}, entrez_id: 0}}\n" for i in range(n_faults)]
    change(small / "genes.yaml", "genes:\n", "genes:\n" + "".join(lines))
    with pytest.raises(CatalogueError, match=end) as caught:
        load_catalogue(small)
    assert str(caught.value).count("entrez_id") == 20


REPEATED_KEYS = {
    "gene": ("genes.yaml", "  B2M: {", "  ABCB1: {", r"genes\.yaml: .*'ABCB1' stands twice"),
    "field": (
        "genes.yaml",
        "entrez_id: 5243,",
        "entrez_id: 5243, entrez_id: 5243,",
        r"genes\.yaml: .*key 'entrez_id' stands twice, in lines 2 and 2; keep one",
    ),
    "source": ("sources.yaml", "study_2020:", "review_2025:", r"'review_2025' .*lines 3 and 7"),
    "sign": (
        "markers.yaml",
        '    sign: "-"',
        '    sign: "-"\n    sign: "+"',
        r"'sign' stands twic",
    ),
    "part": ("markers.yaml", "markers:", "section: two\nmarkers:", r"'section' .*in lines 1 and 2"),
    "drug": ("drugs.yaml", "drug_b:", "drug_a:", r"drugs\.yaml: .*'drug_a' .*in lines 9 and 10"),
}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"), REPEATED_KEYS.values(), ids=REPEATED_KEYS.keys()
)
def test_a_repeated_key_is_refused_with_its_lines(
    small: Path, file: str, old: str, new: str, message: str
) -> None:
    change(small / file, old, new)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(small)


FAULTY_FILES = {
    "genes null": ("genes.yaml", "genes:\n", r"genes\.yaml: 'genes' is missing or empty"),
    "genes a list": ("genes.yaml", "genes: [B2M]\n", r"'genes' must map each symbol to its"),
    "gene null": ("genes.yaml", "genes:\n  B2M:\n", r"yaml: gene 'B2M' \(line 2\) is empty"),
    "gene a text": ("genes.yaml", "genes:\n  B2M: 567\n", r"'B2M' \(line 2\) is empty, is not a m"),
    # Fixed: a merged mapping has other entries than nodes, and ended in a ValueError.
    "genes merged": (
        "genes.yaml",
        "genes: {<<: {B2M: {entrez_id: 1}, PTEN: {entrez_id: 2}}, TP53: {entrez_id: 3}}\n",
        r"genes\.yaml: .*<<.*; write the\w* .*out",
    ),
    "version null": ("sources.yaml", "version:\n", r"sources\.yaml: 'version' is missing or empty"),
    "sources null": ("sources.yaml", "sources:\n", r"sources\.yaml: 'sources' is missing or empty"),
    "source null": ("sources.yaml", "sources: {a: }\n", r"source 'a' \(line 1\) is empty"),
    "section absent": ("markers.yaml", "markers: [{id: b2m}]\n", r"'section' is missing or empty"),
    "markers null": ("markers.yaml", "section: One\nmarkers:\n", r"'markers' is missing or empty"),
    "markers a mapping": (
        "markers.yaml",
        "section: One\nmarkers: {a: 1}\n",
        r"'markers' must be a list of entries",
    ),
    "marker null": (
        "markers.yaml",
        "section: One\nmarkers:\n  -\n",
        r"marker number 1 \(line 3\) is empty",
    ),
    "marker with a section": (
        "markers.yaml",
        "section: One\nmarkers: [{id: b2m, section: Two}]\n",
        r"marker number 1 \(line 2\) .*repeats 'section', which stands above it",
    ),
    "drug with an id": (
        "drugs.yaml",
        "drugs: {a: {id: b, name: Drug}}\n",
        r"drug 'a' \(line 1\) .*repeats 'id'",
    ),
    "strategies null": ("strategies.yaml", "strategies:\n", r"'strategies' is missing or empty"),
    "part unknown": (
        "markers.yaml",
        "section: One\nmarkers: [{id: b2m}]\nmarker: []\n",
        r"markers\.yaml: unknown part marker; allowed: version, section, extends, genes, sources",
    ),
    "empty": ("markers.yaml", "", r"expected a mapping; allowed at the top level: version, sectio"),
    "a list": ("genes.yaml", "- B2M\n", r"genes\.yaml: expected a mapping; allowed at the top le"),
    "not YAML": ("genes.yaml", "genes: [B2M\n", r"genes\.yaml: cannot be read: "),
    "sign without quotes": (
        "markers.yaml",
        "section: One\nmarkers:\n  - id: b2m\n    sign: -\n",
        r'markers\.yaml: cannot be read: .* \(line 4\); .* is quoted, as in sign: "-"',
    ),
    "anchor within itself": (
        "markers.yaml",
        "section: One\nmarkers: &all [{id: b2m, genes: *all}]\n",
        r"markers\.yaml: 'markers' refers to itself by an anchor; write it out",
    ),
}


@pytest.mark.parametrize(
    ("file", "content", "message"), FAULTY_FILES.values(), ids=FAULTY_FILES.keys()
)
def test_a_faulty_file_is_refused_by_name(
    small: Path, file: str, content: str, message: str
) -> None:
    (small / file).write_text(content, encoding="utf-8")
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(small)


def remove_genes(folder: Path) -> None:
    (folder / "genes.yaml").unlink()


def remove_sources(folder: Path) -> None:
    (folder / "sources.yaml").unlink()


def remove_markers(folder: Path) -> None:
    (folder / "markers.yaml").unlink()
    (folder / "strategies.yaml").unlink()


def remove_all(folder: Path) -> None:
    for file in folder.glob("*.yaml"):
        file.unlink()


def write_latin1(folder: Path) -> None:
    (folder / "genes.yaml").write_bytes(b"genes: {B2M: \xb5}\n")


def make_a_folder(folder: Path) -> None:
    remove_genes(folder)
    (folder / "genes.yaml").mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_genes, r"marker 'b2m': names gene 'B2M', which is not in the gene table"),
        (remove_sources, r"'version' is missing or empty"),
        (remove_markers, r"'markers' is missing or empty"),
        (remove_all, r"no YAML file in it; give a folder that holds genes, sources and markers"),
        (write_latin1, r"genes\.yaml: cannot be read: .*utf-8"),
        (make_a_folder, r"genes\.yaml: cannot be read: .*Is a directory"),
    ],
)
def test_a_folder_without_what_is_needed_is_refused(
    small: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(small)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(small)
