"""The catalogue: complete against markers.md, checked against the reference tables, strict."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.errors import CatalogueError

PACKAGED = Path(default_catalogue.__wrapped__.__code__.co_filename).parent / "catalogue"

# The rows of markers.md: id | sign | genes | minus genes. "·" is a sign that is not fixed.
ROWS = {
    "Antigen presentation and interferon": """
        mhc_class_i | - | HLA-A HLA-B HLA-C HLA-E B2M TAP1 TAP2 TAPBP PSMB8 PSMB9 PSMB10 NLRC5 \
ERAP1 ERAP2 CALR PDIA3 |
        b2m | - | B2M |
        mhc_class_ii | - | HLA-DRA HLA-DRB1 HLA-DPA1 HLA-DPB1 HLA-DQA1 HLA-DQB1 CIITA CD74 |
        interferon_gamma | - | IFNG STAT1 IDO1 CXCL9 CXCL10 CXCL11 HLA-DRA CCL5 JAK1 JAK2 IFNGR1 \
IFNGR2 |
        th1_chemokines | - | CXCL9 CXCL10 |
        epigenetic_silencing | + | EZH2 DNMT1 KDM1A HDAC1 HDAC2 |
        mhc_i_suppression | + | G3BP1 SLU7 |
        pi3k_akt | + | PIK3CA PIK3CB AKT1 AKT2 MTOR RPS6KB1 | PTEN
        mapk | + | DUSP4 DUSP6 SPRY2 SPRY4 ETV4 ETV5 PHLDA1 EPHA2 EPHA4 CCND1 |
        """,
    "T cells and checkpoints": """
        tim3 | + | HAVCR2 |
        tim3_ligands | · | LGALS9 CEACAM1 |
        tim3_pd1_coexpression | · | HAVCR2 PDCD1 |
        compensatory_checkpoints | + | CTLA4 LAG3 HAVCR2 TIGIT VSIR BTLA CD160 CD244 | PDCD1
        pd1_pdl1 | · | PDCD1 CD274 PDCD1LG2 |
        cytolytic | - | GZMA PRF1 GZMB GNLY NKG7 CD8A CD8B |
        t_cell_inflamed | - | PSMB10 HLA-DQA1 HLA-DRB1 CMKLR1 HLA-E NKG7 CD8A CCL5 CXCL9 CD27 \
CXCR6 IDO1 STAT1 TIGIT LAG3 CD274 PDCD1LG2 CD276 |
        exhaustion | · | PDCD1 HAVCR2 LAG3 TIGIT CD38 ENTPD1 LAYN TOX CXCL13 |
        stem_like_memory | - | TCF7 CCR7 IL7R SELL LEF1 |
        costimulation | · | CD80 CD86 CD28 |
        dendritic_cells | - | CLEC9A XCR1 BATF3 CD1C CLEC10A LAMP3 |
        nk_cells | - | NCR1 KLRD1 KLRF1 XCL1 XCL2 KIR2DL4 IL15 IL18 |
        b_cells_tls | - | MS4A1 CD79A CD79B CD19 CXCL13 CCR7 CXCR5 LAMP3 MZB1 JCHAIN |
        b7_h3 | + | CD276 |
        """,
    "Immunosuppressive microenvironment": """
        mdsc | + | S100A8 S100A9 S100A12 CXCL8 CXCR1 CXCR2 ARG1 ITGAM CD33 FCN1 VCAN |
        treg | + | FOXP3 IL2RA CCR8 IKZF2 CTLA4 TNFRSF4 TNFRSF18 |
        tam_m2 | + | CD163 MRC1 MSR1 CSF1R TREM2 SPP1 C1QA IL10 |
        apoe_macrophages | + | APOE APOC1 GPNMB TREM2 |
        immunosuppressive_cytokines | + | IL10 TGFB1 IL6 VEGFA |
        tgf_beta_stroma | + | TGFB1 TGFB2 TGFB3 TGFBR1 TGFBR2 SMAD3 ACTA2 COL4A1 TAGLN |
        caf_ecm | + | FAP ACTA2 COL1A1 COL1A2 COL3A1 COL11A1 POSTN FN1 LOX LOXL2 MMP2 PDGFRB THY1 |
        angiogenesis | + | VEGFA KDR FLT1 PECAM1 ANGPT2 TEK ENG VWF |
        il17 | + | IL17A IL17F IL17RA RORC |
        adenosine | + | NT5E ENTPD1 ADORA2A |
        """,
    "Tumour-intrinsic programmes": """
        tmem92 | + | TMEM92 |
        jak_stat3 | + | STAT3 JAK1 JAK2 IL6 SOCS3 CCND1 BCL2 MCL1 VEGFA |
        hypoxia | + | HIF1A CA9 LDHA PGK1 SLC2A1 ADM NDRG1 BNIP3 P4HA1 EPAS1 |
        glycolysis | + | HK2 PFKP ALDOA PKM LDHA SLC2A1 ENO1 |
        lipid_metabolism | + | FASN SCD ACACA ACLY CPT1A CD36 |
        glutamine_metabolism | + | GLS SLC1A5 GLUL GOT1 |
        ferroptosis_defence | + | GPX4 SLC7A11 SLC3A2 FTH1 FTL NFE2L2 AIFM2 MT1G |
        ferroptosis_drive | - | ACSL4 TFRC LPCAT3 ALOX15 NCOA4 |
        autophagy | + | BECN1 ATG5 ATG7 ATG12 MAP1LC3B SQSTM1 ULK1 |
        apoptosis_resistance | + | BCL2 BCL2L1 MCL1 BIRC5 XIAP | BAX BAK1 BCL2L11 BBC3
        er_stress | + | HSPA5 DDIT3 ATF4 XBP1 ATF6 EIF2AK3 ERN1 |
        abc_transporters | · | ABCB1 ABCC1 ABCC2 ABCC3 ABCC4 ABCC10 ABCG2 ABCB5 |
        abcb1 | · | ABCB1 |
        abcc1 | · | ABCC1 |
        abcg2 | · | ABCG2 |
        noncoding_rna | + | HOTAIR MALAT1 NEAT1 H19 HULC SNHG1 | MEG3
        emt | + | SNAI1 SNAI2 TWIST1 ZEB1 ZEB2 VIM CDH2 | CDH1
        stemness | + | CD44 PROM1 SOX2 NANOG POU5F1 ALDH1A1 HMGA1 |
        kinase_bypass | · | MET EGFR FGFR4 FGF19 AXL IGF1R PDGFRB |
        tp53_targets | · | CDKN1A MDM2 BAX GDF15 |
        wnt | · | CTNNB1 AXIN2 LEF1 TCF7L2 GLUL |
        proliferation | · | MKI67 TOP2A PCNA CCNB1 CDK1 AURKA MCM2 |
        """,
}
PLUS_IN_HCC = {"abc_transporters", "abcb1", "abcc1", "abcg2", "kinase_bypass", "wnt"}
PLUS_IN_SINGLE_CELLS = {"tim3_pd1_coexpression", "exhaustion"}
GRADED_FIELD = {"t_cell_inflamed", "b_cells_tls", "adenosine"}
SPECIAL_RULES = {
    "tim3_pd1_coexpression": "lower_of_two",
    "compensatory_checkpoints": "excess",
    "pi3k_akt": "difference",
    "apoptosis_resistance": "difference",
    "noncoding_rna": "difference",
    "emt": "difference",
}
WITHOUT_ENTREZ_IN_REFERENCE = {"HULC", "SNHG1"}


def rows() -> list[tuple[str, str, str, tuple[str, ...], tuple[str, ...]]]:
    """Return section, id, sign, genes and minus genes of each row of markers.md."""
    table = []
    for section, text in ROWS.items():
        for line in text.strip().splitlines():
            marker, sign, genes, minus = (part.strip() for part in line.split("|"))
            table.append((section, marker, sign, tuple(genes.split()), tuple(minus.split())))
    return table


@pytest.mark.parametrize(
    ("section", "marker_id", "sign", "genes", "minus"), rows(), ids=[row[1] for row in rows()]
)
def test_every_row_of_the_marker_table_is_there_with_its_genes_and_sign(
    catalogue: Catalogue,
    section: str,
    marker_id: str,
    sign: str,
    genes: tuple[str, ...],
    minus: tuple[str, ...],
) -> None:
    marker = next(entry for entry in catalogue.markers if entry.id == marker_id)
    assert marker.section == section
    assert marker.sign == sign
    assert set(marker.genes) == set(genes)
    assert set(marker.minus_genes) == set(minus)
    assert marker.score == SPECIAL_RULES.get(marker_id, "mean")


def test_every_marker_names_a_mechanism_and_sources_with_a_doi(catalogue: Catalogue) -> None:
    dois = {source.key: source.doi for source in catalogue.sources}
    assert set(catalogue.mechanisms) == set(catalogue.marker_ids)
    for marker in catalogue.markers:
        assert marker.mechanism
        assert all(dois[citation.source].startswith("10.") for citation in marker.sources)


def test_markers_that_no_review_names_are_graded_field(catalogue: Catalogue) -> None:
    grades = {marker.id: marker.evidence for marker in catalogue.markers}
    assert {grades[marker] for marker in GRADED_FIELD} == {"field"}


@pytest.mark.parametrize("setting", ["ici", "adc", "sclc"])
def test_signs_outside_liver_cancer_are_the_defaults(catalogue: Catalogue, setting: str) -> None:
    value = {"+": 1, "-": -1, "·": 0}
    expected = {marker: value[sign] for _, marker, sign, _, _ in rows()}
    signs = catalogue.signs(setting)
    assert {marker: signs[marker] for marker in expected} == expected


def test_transporters_kinase_bypass_and_wnt_go_with_resistance_in_liver_cancer(
    catalogue: Catalogue,
) -> None:
    hcc, ici = catalogue.signs("hcc"), catalogue.signs("ici")
    in_table = {marker for _, marker, _, _, _ in rows()}
    assert {marker for marker in in_table if hcc[marker] != ici[marker]} == PLUS_IN_HCC
    assert {hcc[marker] for marker in PLUS_IN_HCC} == {1}


def test_exhaustion_and_coexpression_have_a_sign_in_single_cells_only(
    catalogue: Catalogue,
) -> None:
    in_table = {marker for _, marker, _, _, _ in rows()}
    signs = {m.id: m.sign_single_cell for m in catalogue.markers if m.id in in_table}
    assert {marker for marker, sign in signs.items() if sign is not None} == PLUS_IN_SINGLE_CELLS
    assert {signs[marker] for marker in PLUS_IN_SINGLE_CELLS} == {"+"}


def test_xist_tells_sex_and_is_in_no_marker(catalogue: Catalogue) -> None:
    assert "XIST" not in catalogue.gene_symbols


def test_gene_symbols_are_each_gene_that_a_marker_uses_once(catalogue: Catalogue) -> None:
    used = {gene for marker in catalogue.markers for gene in marker.genes + marker.minus_genes}
    assert set(catalogue.gene_symbols) == used
    assert len(catalogue.gene_symbols) == len(used)


@pytest.fixture(scope="session")
def gene_ids(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "reference" / "gene_ids.tsv.gz", sep="\t", dtype=str)


@pytest.fixture(scope="session")
def hgnc(shared: Path) -> pd.DataFrame:
    path = shared / "reference" / "hgnc_symbols.tsv.gz"
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


@pytest.mark.real_data
def test_identifiers_agree_with_the_reference_annotation(
    catalogue: Catalogue, gene_ids: pd.DataFrame
) -> None:
    wanted = gene_ids[gene_ids["ensembl_id"].isin([gene.ensembl_id for gene in catalogue.genes])]
    by_id = {str(key): rows for key, rows in wanted.groupby("ensembl_id")}
    without_entrez = set()
    for gene in catalogue.genes:
        assert gene.ensembl_id in by_id, f"{gene.symbol}: {gene.ensembl_id} is not in the table"
        found = by_id[gene.ensembl_id]
        assert set(found["symbol"]) & {gene.symbol, *gene.aliases}, gene.symbol
        entrez = set(found["entrez_id"].dropna())
        if entrez:
            assert str(gene.entrez_id) in entrez, gene.symbol
        else:
            without_entrez.add(gene.symbol)
    assert without_entrez <= WITHOUT_ENTREZ_IN_REFERENCE


@pytest.mark.real_data
def test_symbols_are_approved_by_hgnc(catalogue: Catalogue, hgnc: pd.DataFrame) -> None:
    assert {gene.symbol for gene in catalogue.genes} <= set(hgnc["approved_symbol"])


@pytest.mark.real_data
def test_every_alias_means_its_gene_alone(catalogue: Catalogue, hgnc: pd.DataFrame) -> None:
    aliases = [(alias, gene.symbol) for gene in catalogue.genes for alias in gene.aliases]
    known = hgnc[hgnc["symbol"].isin([alias for alias, _ in aliases])]
    meanings = known.groupby("symbol")["approved_symbol"].agg(set).to_dict()
    ambiguous = [(alias, own) for alias, own in aliases if meanings.get(alias) != {own}]
    approved = set(hgnc["approved_symbol"].str.upper())
    assert not ambiguous
    assert not [alias for alias, _ in aliases if alias.upper() in approved]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the packaged catalogue, to be broken."""
    return Path(shutil.copytree(PACKAGED, tmp_path / "catalogue"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_copied_folder_loads_to_the_same_catalogue(folder: Path, catalogue: Catalogue) -> None:
    copy = load_catalogue(folder)
    assert copy == catalogue
    assert copy.content_hash() == catalogue.content_hash()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("genes.yaml", "entrez_id: 5243,", "entrez_id: 5244,"),
        ("sources.yaml", 'version: "', 'version: "9.'),
        ("sources.yaml", "Oncol Res.", "Oncol  Research."),
        ("markers_tumour_intrinsic.yaml", "genes: [TMEM92]", "genes: [TMEM92, XIST]"),
        ("markers_tumour_intrinsic.yaml", 'sign: "+"', 'sign: "-"'),
    ],
)
def test_the_content_hash_follows_the_content(
    folder: Path, catalogue: Catalogue, file: str, old: str, new: str
) -> None:
    change(folder / file, old, new)
    assert load_catalogue(folder).content_hash() != catalogue.content_hash()


def test_the_content_hash_does_not_follow_comments(folder: Path, catalogue: Catalogue) -> None:
    change(folder / "genes.yaml", "genes:\n", "# a remark\ngenes:\n")
    assert load_catalogue(folder).content_hash() == catalogue.content_hash()


TUMOUR = "markers_tumour_intrinsic.yaml"
ANTIGEN = "markers_antigen_presentation.yaml"
FAULTY_ENTRIES = {
    "gene unknown": (TUMOUR, "[TMEM92]", "[TMEM920]", r"marker 'tmem92' names gene 'TMEM920'"),
    "gene twice": (TUMOUR, "[TMEM92]", "[TMEM92, TMEM92]", r"marker 'tmem92': a gene is named tw"),
    "genes empty": (TUMOUR, "genes: [TMEM92]", "genes: []", r"marker 'tmem92' genes: "),
    "sign unknown": (ANTIGEN, 'sign: "-"', 'sign: "?"', r"marker 'mhc_class_i' sign: .*'\?'"),
    "setting unknown": (
        TUMOUR,
        'sign_by_setting: {hcc: "+", adc: "·"}',
        'sign_by_setting: {liver: "+"}',
        r"marker 'abc_transporters' sign_by_setting liver",
    ),
    "field misspelt": (TUMOUR, "mechanism:", "mechanisme:", r"marker 'tmem92' mechanisme: Extra"),
    "field absent": (TUMOUR, "    evidence: review\n", "", r"marker 'tmem92' evidence: .*equired"),
    "id twice": (TUMOUR, "id: tmem92", "id: b2m", r"marker id 'b2m' stands twice"),
    "id ill-formed": (TUMOUR, "id: tmem92", "id: TMEM92", r"marker 'TMEM92' id: "),
    "id absent": (TUMOUR, "- id: tmem92\n    name", "- name", r"marker 'number \d+' id: .*equired"),
    "minus genes absent": (ANTIGEN, "    minus_genes: [PTEN]\n", "", r"'pi3k_akt': .*do not fit"),
    "source unknown": (TUMOUR, "source: zou_2025", "source: zhou_25", r"cites 'zhou_25', which is"),
    "no sources": (
        ANTIGEN,
        "    sources:\n      - source: wang_2025",
        "    sources: []\n    other:\n      - source: wang_2025",
        r"marker 'mhc_class_i' sources: ",
    ),
    "Ensembl id ill-formed": (
        "genes.yaml",
        "ENSG00000085563",
        "ENSG85563",
        r"gene 'ABCB1' ensembl_id: .*'ENSG85563'",
    ),
    "Ensembl id twice": (
        "genes.yaml",
        "ENSG00000085563",
        "ENSG00000004846",
        r"Ensembl id 'ENSG00000004846' stands twice",
    ),
    "Entrez id twice": ("genes.yaml", "5243", "340273", r"Entrez id '340273' stands twice"),
    "Entrez id zero": ("genes.yaml", "entrez_id: 5243", "entrez_id: 0", r"gene 'ABCB1' entrez_id"),
    "alias of two": ("genes.yaml", "[ABC20,", "[ABC20, EST422562,", r"alias 'EST422562' stands tw"),
    "alias approved": ("genes.yaml", "[ABC20,", "[B2M,", r"alias 'B2M' of ABCB1 is an approved"),
    "DOI ill-formed": (
        "sources.yaml",
        "doi: 10.32604/or.2025.067592",
        "doi: or.2025.067592",
        r"source 'wang_2025' doi: ",
    ),
    "symbol repeated inside": (
        "genes.yaml",
        "  ABCB1: {",
        "  ABCB1: {symbol: ABCB5, ",
        r"genes 'ABCB1' is empty, is not a mapping of fields, or repeats 'symbol'",
    ),
}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"), FAULTY_ENTRIES.values(), ids=FAULTY_ENTRIES.keys()
)
def test_a_faulty_entry_is_refused_by_name(
    folder: Path, file: str, old: str, new: str, message: str
) -> None:
    change(folder / file, old, new)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(folder)


def test_all_faulty_entries_are_listed_at_once(folder: Path) -> None:
    change(folder / "genes.yaml", "ENSG00000085563", "ENSG85563")
    change(folder / TUMOUR, "name: ", "name: x\n    surname: ")
    with pytest.raises(CatalogueError, match=r"gene 'ABCB1' .*marker 'tmem92' "):
        load_catalogue(folder)


REPEATED_KEYS = {
    "gene": ("genes.yaml", "  ABCB5: {", "  ABCB1: {", r"genes\.yaml: .*'ABCB1' stands twice"),
    "field": (
        "genes.yaml",
        "entrez_id: 5243,",
        "entrez_id: 5243, entrez_id: 5243,",
        r"genes\.yaml: .*key 'entrez_id' stands twice, in lines (\d+) and \1",
    ),
    "source": ("sources.yaml", "  murase_2025:", "  wang_2025:", r"'wang_2025' stands twice"),
    "sign": (TUMOUR, '    sign: "+"', '    sign: "+"\n    sign: "-"', r"key 'sign' stands twice"),
    "part": (TUMOUR, "markers:", "section: two\nmarkers:", r"'section' stands twice, in lines 3 a"),
}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"), REPEATED_KEYS.values(), ids=REPEATED_KEYS.keys()
)
def test_a_repeated_key_is_refused_with_its_lines(
    folder: Path, file: str, old: str, new: str, message: str
) -> None:
    change(folder / file, old, new)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(folder)


FAULTY_FILES = {
    "genes absent": ("genes.yaml", "symbols: {}\n", r"genes\.yaml: 'genes' is missing or empty"),
    "genes null": ("genes.yaml", "genes:\n", r"genes\.yaml: 'genes' is missing or empty"),
    "genes a list": ("genes.yaml", "genes: [B2M]\n", r"genes\.yaml: 'genes' must map a symbol"),
    "gene null": ("genes.yaml", "genes:\n  B2M:\n", r"genes\.yaml: genes 'B2M' is empty"),
    "gene a text": ("genes.yaml", "genes:\n  B2M: 567\n", r"genes\.yaml: genes 'B2M' is empty, is"),
    "version absent": (
        "sources.yaml",
        "sources: {a: {doi: b}}\n",
        r"sources\.yaml: 'version' is missing or empty",
    ),
    "sources absent": (
        "sources.yaml",
        'version: "1"\n',
        r"sources\.yaml: 'sources' is missing or empty",
    ),
    "source null": (
        "sources.yaml",
        'version: "1"\nsources: {wang_2025: }\n',
        r"sources\.yaml: sources 'wang_2025' is empty",
    ),
    "section absent": (TUMOUR, "markers: [{id: b2m}]\n", r"'section' is missing or empty"),
    "markers absent": (TUMOUR, "section: One\n", r"intrinsic\.yaml: 'markers' is missing or empty"),
    "markers null": (TUMOUR, "section: One\nmarkers:\n", r"'markers' is missing or empty"),
    "markers a mapping": (TUMOUR, "section: One\nmarkers: {a: 1}\n", r"'markers' must be a list"),
    "marker null": (TUMOUR, "section: One\nmarkers:\n  -\n", r"marker number 1 is empty"),
    "marker with a section": (
        TUMOUR,
        "section: One\nmarkers: [{id: b2m, section: Two}]\n",
        r"marker number 1 \('b2m'\) .*repeats 'section'",
    ),
    "part unknown": (
        TUMOUR,
        "section: One\nmarkers: [{id: b2m}]\nmarker: []\n",
        r"unknown part marker; allowed: section, markers",
    ),
    "empty": (TUMOUR, "", r"intrinsic\.yaml: expected a mapping with section, markers"),
    "a list": ("genes.yaml", "- B2M\n", r"genes\.yaml: expected a mapping with genes"),
    "not YAML": ("genes.yaml", "genes: [B2M\n", r"genes\.yaml: cannot be read: "),
}


@pytest.mark.parametrize(
    ("file", "content", "message"), FAULTY_FILES.values(), ids=FAULTY_FILES.keys()
)
def test_a_faulty_file_is_refused_by_name(
    folder: Path, file: str, content: str, message: str
) -> None:
    (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(folder)


def remove_genes(folder: Path) -> None:
    (folder / "genes.yaml").unlink()


def remove_markers(folder: Path) -> None:
    for path in folder.glob("markers_*.yaml"):
        path.unlink()


def write_latin1(folder: Path) -> None:
    (folder / "genes.yaml").write_bytes(b"genes: {B2M: \xb5}\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_genes, r"genes\.yaml: cannot be read: .*No such file"),
        (remove_markers, r"no file markers_\*\.yaml in it"),
        (write_latin1, r"genes\.yaml: cannot be read: .*utf-8"),
    ],
)
def test_a_folder_without_readable_files_is_refused(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(CatalogueError, match=message):
        load_catalogue(folder)
