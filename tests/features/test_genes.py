"""Gene identifiers of every kind and age brought to the catalogue's approved symbols."""

from collections.abc import Callable, Iterable
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue import Catalogue, default_catalogue
from features.errors import CohortError
from features.genes import GeneTable, GeneTranslation, count_genes, translate_genes

GENCODE = "ENSG00000166710.22|ENST00000558401.6|OTTHUMG0|OTTHUMT0|B2M-201|B2M|988|protein_coding|"
WRITTEN_B2M = {
    "B2M": "symbol",
    "b2m": "symbol",
    '"B2M"': "symbol",
    " B2M ": "symbol",
    "ENSG00000166710": "ensembl",
    "ENSG00000166710.22": "ensembl",
    "ENSG00000166710.22_PAR_Y": "ensembl",
    "ensg00000166710": "ensembl",
    " ENSG00000166710": "ensembl",
    "567": "entrez",
    "567.0": "entrez",
    '"567"': "entrez",
    "B2M|567": "joined",
    "567|B2M": "joined",
    "?|567": "joined",
    "ENSG00000166710_B2M": "joined",
    "ENSG00000166710.22_B2M": "joined",
    "B2M_ENSG00000166710": "joined",
    "B2M (ENSG00000166710)": "joined",
    "ENSG00000166710|B2M|567": "joined",
    GENCODE: "joined",
}
WRITTEN_OTHERWISE = {
    "HLA.A": "HLA-A",
    "hla.drb1": "HLA-DRB1",
    "B7.H3": "CD276",
    "PD.L1": "CD274",
    "C10orf54": "VSIR",
    "C10ORF54": "VSIR",
    "c10orf54": "VSIR",
    "VISTA": "VSIR",
    "HVEM": "TNFRSF14",
    "TROP2": "TACSTD2",
    "trop2": "TACSTD2",
    "B7-H3": "CD276",
    "b7h3": "CD276",
    "PD-L1": "CD274",
    "PDL1": "CD274",
    "pd-l1": "CD274",
    "PVRL4": "NECTIN4",
    "TMEM173": "STING1",
    "OCT-4": "POU5F1",
}


def translated(
    *identifiers: str, catalogue: Catalogue, table: GeneTable | None = None
) -> GeneTranslation:
    return translate_genes(identifiers, catalogue=catalogue, table=table)


# --- every kind of identifier


@pytest.mark.parametrize(("identifier", "kind"), WRITTEN_B2M.items())
def test_a_gene_is_known_whatever_kind_of_identifier_it_has(
    catalogue: Catalogue, identifier: str, kind: str
) -> None:
    translation = translated(identifier, catalogue=catalogue)
    assert translation.symbols == ("B2M",)
    assert translation.kinds == {kind: 1}


@pytest.mark.parametrize(("identifier", "symbol"), WRITTEN_OTHERWISE.items())
def test_a_gene_is_known_whatever_its_symbol_was_and_however_it_is_spelled(
    catalogue: Catalogue, identifier: str, symbol: str
) -> None:
    translation = translated(identifier, catalogue=catalogue)
    assert translation.symbols == (symbol,)
    assert translation.rescued == {identifier: symbol}


@pytest.mark.parametrize("write", [str.upper, str.lower, str.title, str.swapcase])
def test_letter_case_does_not_matter(catalogue: Catalogue, write: Callable[[str], str]) -> None:
    human = [f"HUMAN{i}" for i in range(10)]
    names = [write(name) for name in ("CD274", "C10orf54", "HLA-A", "B7-H3")]
    symbols = translated(*names, *human, catalogue=catalogue).symbols
    assert symbols == ("CD274", "VSIR", "HLA-A", "CD276", *human)


def test_every_catalogue_gene_is_found_by_its_ids(catalogue: Catalogue) -> None:
    symbols = tuple(gene.symbol for gene in catalogue.genes)
    for ids in (
        [gene.symbol for gene in catalogue.genes],
        [gene.symbol.lower() for gene in catalogue.genes],
        [gene.symbol.replace("-", ".") for gene in catalogue.genes],
        [gene.ensembl_id for gene in catalogue.genes],
        [f"{gene.ensembl_id}.7" for gene in catalogue.genes],
        [str(gene.entrez_id) for gene in catalogue.genes],
        [f"{gene.entrez_id}.0" for gene in catalogue.genes],
        [f"{gene.symbol}|{gene.entrez_id}" for gene in catalogue.genes],
        [f"{gene.ensembl_id}_{gene.symbol}" for gene in catalogue.genes],
    ):
        assert translate_genes(ids, catalogue=catalogue).symbols == symbols


def test_kinds_of_identifiers_may_be_mixed(catalogue: Catalogue) -> None:
    translation = translated(
        "C10orf54", "ENSG00000120217.14", "567", "TP53|7157", "4-Oct", catalogue=catalogue
    )
    assert translation.symbols == ("VSIR", "CD274", "B2M", "TP53", "POU5F1")
    assert translation.id_type == "mixed (1 date, 1 Ensembl, 1 Entrez, 1 joined, 1 symbol)"


@pytest.mark.parametrize("stranger", ["FAS", "HGF", "MIF", "not_a_gene", "", "12", "ENSG1"])
def test_what_the_catalogue_does_not_know_stays_as_it_is(
    catalogue: Catalogue, stranger: str
) -> None:
    translation = translated(stranger, catalogue=catalogue)
    assert translation.symbols == (stranger,)
    assert translation.rescued == {}


def test_the_order_of_the_file_is_kept(catalogue: Catalogue) -> None:
    symbols = ["ZZZ3", "C10orf54", "A1BG", "B2M", "ZZZ3"]
    translated = translate_genes(symbols, catalogue=catalogue).symbols
    assert translated == ("ZZZ3", "VSIR", "A1BG", "B2M", "ZZZ3")


def test_no_identifier_at_all_gives_none(catalogue: Catalogue) -> None:
    assert translate_genes([], catalogue=catalogue).symbols == ()


# --- joined identifiers


@pytest.mark.parametrize(
    ("identifier", "symbol"),
    [
        ("TP53|7157", "TP53"),
        ("C10orf54|64115", "VSIR"),
        ("MRP1|4363", "ABCC1"),
        ("CDC2|983", "CDK1"),
        ("TSPAN6|7105", "TSPAN6"),
        ("ENSG00000000003.14_TSPAN6", "TSPAN6"),
        ("ENSG00000000003|TSPAN6", "TSPAN6"),
        ("?|100130426", "?|100130426"),
        ("|", "|"),
    ],
)
def test_joined_ids_become_one_symbol(catalogue: Catalogue, identifier: str, symbol: str) -> None:
    translation = translated(identifier, catalogue=catalogue)
    assert translation.symbols == (symbol,)
    assert translation.conflicting == ()


@pytest.mark.parametrize(
    "identifier",
    [
        "B2M|7157",
        "anything|567",
        "C10orf54|567",
        "B2M|999999999",
        "ENSG00000166710_CD274",
        "ENSG00000000003_B2M",
        "ENSG00000166710|29126",
    ],
)
def test_joined_ids_of_different_genes_are_left_and_reported(
    catalogue: Catalogue, identifier: str
) -> None:
    translation = translated(identifier, catalogue=catalogue)
    assert translation.symbols == (identifier,)
    assert translation.conflicting == (identifier,)
    assert any(
        f"parts mean different genes were left as they are: {identifier}" in note
        for note in translation.notes
    )


GENCODE_HEADERS = {
    "gene first": "{0}|ENST00000456328.2|OTTHUMG0|OTTHUMT0|{1}-202|{1}|{2}|protein_coding|",
    "transcript first": "ENST00000456328.2|{0}|OTTHUMG0|OTTHUMT0|{1}-202|{1}|{2}|protein_coding|",
    "without Havana": "ENST00000456328.2|{0}|-|-|{1}-202|{1}|{2}|protein_coding|",
}


@pytest.mark.parametrize("header", GENCODE_HEADERS.values(), ids=GENCODE_HEADERS)
@pytest.mark.parametrize("length", [567, 1657])
def test_a_gencode_header_is_its_gene(catalogue: Catalogue, header: str, length: int) -> None:
    # Fixed: the transcript's length counts as an Entrez id. Every transcript of 567
    # bases becomes B2M, or conflicts with its own gene.
    of_catalogue = header.format("ENSG00000120217.14", "CD274", length)
    assert translated(of_catalogue, catalogue=catalogue).symbols == ("CD274",)


@pytest.mark.parametrize("header", GENCODE_HEADERS.values(), ids=GENCODE_HEADERS)
@pytest.mark.parametrize("length", [567, 1657])
def test_a_gencode_header_of_another_gene_is_its_gene_name(
    catalogue: Catalogue, header: str, length: int
) -> None:
    # Fixed: the transcript id stood for the symbol, and a length of 567 made B2M of any gene.
    other = header.format("ENSG00000223972.5", "DDX11L1", length)
    assert translated(other, catalogue=catalogue).symbols == ("DDX11L1",)


@pytest.mark.parametrize("symbol", ["Y_RNA", "5_8S_rRNA", "Metazoa_SRP"])
def test_a_symbol_with_underscores_stays_whole_beside_an_ensembl_id(
    catalogue: Catalogue, symbol: str
) -> None:
    # Fixed: ENSG00000199900_Y_RNA became a gene Y.
    joined = f"ENSG00000199900_{symbol}"
    assert translated(joined, catalogue=catalogue).symbols == (symbol,)


# --- earlier and alias symbols


def test_earlier_symbols_become_the_approved_ones(catalogue: Catalogue) -> None:
    translation = translated("C10orf54", "B2M", catalogue=catalogue)
    assert translation.symbols == ("VSIR", "B2M")
    assert translation.rescued == {"C10orf54": "VSIR"}
    assert translation.left_alone == ()
    assert "1 renamed genes recognised: C10orf54 → VSIR" in translation.notes


def test_every_alias_of_the_catalogue_finds_its_gene(catalogue: Catalogue) -> None:
    expected = {alias: gene.symbol for gene in catalogue.genes for alias in gene.aliases}
    translation = translate_genes(list(expected), catalogue=catalogue)
    assert translation.rescued == expected


def test_two_aliases_of_one_gene_both_become_it_so_that_they_are_merged_later(
    catalogue: Catalogue,
) -> None:
    symbols = translated("C10orf54", "VISTA", catalogue=catalogue).symbols
    assert symbols == ("VSIR", "VSIR")


@pytest.mark.parametrize("alias", ["C10orf54", "VISTA", "c10orf54"])
def test_an_alias_is_left_alone_where_the_approved_symbol_is_in_the_file(
    catalogue: Catalogue, alias: str
) -> None:
    translation = translated(alias, "VSIR", catalogue=catalogue)
    assert translation.symbols == (alias, "VSIR")
    assert translation.rescued == {}
    assert translation.left_alone == (alias,)
    assert any(f"approved one is in the file: {alias}" in note for note in translation.notes)


@pytest.mark.parametrize("approved", ["vsir", '"VSIR"', " VSIR"])
def test_an_alias_is_left_alone_however_the_approved_symbol_is_spelled(
    catalogue: Catalogue, approved: str
) -> None:
    # Fixed: in a file of lower-case symbols c10orf54 and vsir both became VSIR and were added up.
    translation = translated("c10orf54", approved, "b2m", catalogue=catalogue)
    assert translation.symbols.count("VSIR") == 1
    assert translation.left_alone == ("c10orf54",)


@pytest.mark.parametrize(
    ("alias", "gene"), [("MRP1", "ABCC1"), ("CDC2", "CDK1"), ("mrp1", "ABCC1"), ("OCT3", "POU5F1")]
)
def test_an_alias_of_several_genes_is_reported_and_not_translated(
    catalogue: Catalogue, alias: str, gene: str
) -> None:
    translation = translated(alias, "B2M", catalogue=catalogue)
    assert translation.symbols == (alias, "B2M")
    assert translation.ambiguous == {alias: (gene, "another gene")}
    assert translation.notes == [
        "1 identifiers that may mean several genes were not translated: "
        f"{alias} ({gene} or another gene); write the approved symbol in the file where you know it"
    ]


def test_every_ambiguous_alias_of_the_catalogue_is_reported(catalogue: Catalogue) -> None:
    names = {name for gene in catalogue.genes for name in gene.ambiguous_aliases}
    assert {"MRP1", "CDC2", "MDR1", "OCT3"} <= names
    translation = translate_genes(sorted(names), catalogue=catalogue)
    assert translation.symbols == tuple(sorted(names))
    assert set(translation.ambiguous) == names


@pytest.mark.parametrize("known_as", ["ABCC1", "4363", "ENSG00000103222", "abcc1"])
def test_an_ambiguous_alias_is_no_news_where_its_gene_is_in_the_file(
    catalogue: Catalogue, known_as: str
) -> None:
    translation = translated("MRP1", known_as, catalogue=catalogue)
    assert translation.symbols == ("MRP1", "ABCC1")
    assert translation.ambiguous == {}


# --- approved symbols


def test_approved_symbols_of_the_catalogue_are_never_translated(catalogue: Catalogue) -> None:
    approved = [gene.symbol for gene in catalogue.genes]
    translation = translate_genes(approved, catalogue=catalogue)
    assert translation.symbols == tuple(approved)
    assert translation.notes == []


@pytest.fixture(scope="module")
def hgnc(shared: Path) -> list[str]:
    """Every approved symbol."""
    table = pd.read_csv(
        shared / "reference" / "hgnc_symbols.tsv.gz", sep="\t", dtype=str, keep_default_na=False
    )
    approved = table["approved_symbol"].unique()
    return [symbol for symbol in approved if symbol and "///" not in symbol]


@pytest.mark.real_data
def test_no_approved_symbol_of_any_gene_is_translated(
    catalogue: Catalogue, hgnc: list[str]
) -> None:
    assert len(hgnc) > 43_000
    assert {"FAS", "HGF", "MIF"} <= set(hgnc)
    translation = translate_genes(hgnc, catalogue=catalogue)
    assert translation.symbols == tuple(hgnc)
    assert translation.id_type == "symbol"
    assert translation.notes == []


@pytest.mark.real_data
def test_no_approved_symbol_is_a_name_of_another_gene_in_lower_case(
    catalogue: Catalogue, hgnc: list[str]
) -> None:
    lower = [symbol.lower() for symbol in hgnc]
    symbols = translate_genes(lower, catalogue=catalogue).symbols
    assert [symbol.upper() for symbol in symbols] == [symbol.upper() for symbol in hgnc]
    assert "C10orf105" in symbols


# --- lower case


def test_a_file_in_lower_case_is_read_in_capitals(catalogue: Catalogue) -> None:
    translation = translated("b2m", "c10orf54", "a1bg", "zzz3", catalogue=catalogue)
    assert translation.symbols == ("B2M", "VSIR", "A1BG", "ZZZ3")
    assert translation.read_upper
    assert "gene symbols in lower case were read in capitals" in translation.notes


def test_a_lower_case_symbol_among_capitals_stays_where_it_is_unknown(catalogue: Catalogue) -> None:
    translation = translated("b2m", "a1bg", "CD274", "ZZZ3", catalogue=catalogue)
    assert translation.symbols == ("B2M", "a1bg", "CD274", "ZZZ3")
    assert not translation.read_upper


# --- dates


@pytest.mark.parametrize(
    ("date", "symbol"),
    [
        ("1-Mar", "MARCHF1"),
        ("2-Mar", "MARCHF2"),
        ("3/8", "MARCHF8"),
        ("5-Sep", "SEPTIN5"),
        ("2001-09-09", "SEPTIN9"),
        ("15-Sep", "SELENOF"),
        ("1-Dec", "DELEC1"),
        ("4-Oct", "POU5F1"),
        ("10/04", "POU5F1"),
    ],
)
def test_a_date_that_stands_once_becomes_the_gene_it_was(
    catalogue: Catalogue, date: str, symbol: str
) -> None:
    translation = translated(date, "B2M", catalogue=catalogue)
    assert translation.symbols == (symbol, "B2M")
    assert translation.rescued == {date: symbol}
    assert translation.kinds == {"date": 1, "symbol": 1}


def test_a_date_that_stands_twice_for_two_genes_is_reported(catalogue: Catalogue) -> None:
    translation = translated("1-Mar", "B2M", "1-Mar", catalogue=catalogue)
    assert translation.symbols == ("1-Mar", "B2M", "1-Mar")
    assert translation.ambiguous == {"1-Mar": ("MARCHF1", "MTARC1")}
    assert any("1-Mar (MARCHF1 or MTARC1)" in note for note in translation.notes)


def test_a_date_that_stands_twice_for_one_gene_is_that_gene(catalogue: Catalogue) -> None:
    assert translated("4-Oct", "4-Oct", catalogue=catalogue).symbols == ("POU5F1", "POU5F1")


def test_a_date_is_left_alone_where_its_gene_is_in_the_file(catalogue: Catalogue) -> None:
    translation = translated("1-Mar", "MARCHF1", catalogue=catalogue)
    assert translation.symbols == ("1-Mar", "MARCHF1")
    assert translation.left_alone == ("1-Mar",)


def test_a_date_of_no_known_gene_stays(catalogue: Catalogue) -> None:
    translation = translated("20-Sep", catalogue=catalogue)
    assert translation.symbols == ("20-Sep",)
    assert translation.rescued == {}


def test_a_date_that_was_an_ambiguous_alias_is_reported(catalogue: Catalogue) -> None:
    # Fixed: 3-Oct was recognised as the renamed gene OCT3, which OCT3 itself is not.
    translation = translated("3-Oct", catalogue=catalogue)
    assert translation.rescued == {}
    assert translation.ambiguous == {"3-Oct": ("POU5F1", "another gene")}


@pytest.mark.real_data
def test_every_date_that_spreadsheets_are_known_to_write_is_translated(
    shared: Path, catalogue: Catalogue
) -> None:
    table = pd.read_csv(shared / "reference" / "excel_mangled.csv", dtype=str)
    genes = table.groupby("mogrified")["original"].agg(set)
    genes = genes[[date_is_told(date) for date in genes.index]]
    symbols = [translated(date, catalogue=catalogue).symbols[0] for date in genes.index]
    assert [s in may for s, may in zip(symbols, genes, strict=True)] == [True] * len(genes)


def date_is_told(date: str) -> bool:
    """Return False for 3 October: OCT3 is a name of POU5F1 and of SLC22A3."""
    return date not in ("3-Oct", "10/3", "10-3", "10/03", "10-03")


# --- a user's table of further genes


TABLE = GeneTable.of(
    symbols=["TSPAN6", "WRONG", "C10orf54", ""],
    ensembl=["ENSG00000000003.14", "ENSG00000166710", "ENSG00000999999", "ENSG00000000005"],
    entrez=["7105.0", "567", "999999999", "64102"],
)


@pytest.mark.parametrize(
    ("identifier", "symbol"),
    [
        ("ENSG00000000003", "TSPAN6"),
        ("ENSG00000000003.2", "TSPAN6"),
        ("ensg00000000003", "TSPAN6"),
        ("7105", "TSPAN6"),
        ("7105.0", "TSPAN6"),
        ("?|7105", "TSPAN6"),
        ("ENSG00000166710", "B2M"),
        ("567", "B2M"),
        ("ENSG00000999999", "VSIR"),
        ("ENSG00000000005", "ENSG00000000005"),
        ("ENSG00000000419", "ENSG00000000419"),
    ],
)
def test_a_table_translates_what_the_catalogue_does_not_hold(
    catalogue: Catalogue, identifier: str, symbol: str
) -> None:
    assert translated(identifier, catalogue=catalogue, table=TABLE).symbols == (symbol,)


@pytest.mark.parametrize("column", [list, tuple, pd.Series, pd.Index])
def test_a_table_is_made_of_any_columns(column: Callable[[list[str]], Iterable[str]]) -> None:
    # Fixed: a pandas column ended in "The truth value of a Series is ambiguous", so that neither
    # gene_table nor feature_name of an h5ad could be read.
    table = GeneTable.of(symbols=column(["TSPAN6"]), ensembl=column(["ENSG00000000003.14"]))
    assert table == GeneTable(by_ensembl={"ENSG00000000003": "TSPAN6"})


@pytest.mark.real_data
def test_a_table_of_the_whole_annotation_translates_every_id(
    shared: Path, catalogue: Catalogue
) -> None:
    table = pd.read_csv(
        shared / "reference" / "gene_ids.tsv.gz", sep="\t", dtype=str, keep_default_na=False
    ).drop_duplicates("ensembl_id")
    named = table[table["symbol"] != ""]
    genes = GeneTable.of(symbols=list(named["symbol"]), ensembl=list(named["ensembl_id"]))
    translation = translate_genes(list(named["ensembl_id"]), catalogue=catalogue, table=genes)
    assert translation.id_type == "Ensembl"
    assert not any(symbol.startswith("ENSG") for symbol in translation.symbols)
    assert set(catalogue.gene_symbols) <= set(translation.symbols)


# --- other species


@pytest.mark.parametrize(
    ("identifiers", "message"),
    [
        (["Trp53", "Cd274", "B2m"], "those of mouse .*human orthologues"),
        ([" Trp53", " Cd274"], "those of mouse"),
        (['"Trp53"', '"Cd274"'], "those of mouse"),  # Fixed: quotes hid the species
        (["ENSMUSG00000059552.14"], "those of mouse"),
        (["ENSRNOG00000010756"], "those of another species"),
        (["ENST00000269305.9"], "transcripts"),
    ],
)
def test_what_is_not_a_human_gene_is_refused(
    catalogue: Catalogue, identifiers: list[str], message: str
) -> None:
    with pytest.raises(CohortError, match=message):
        translate_genes(identifiers, catalogue=catalogue)


# --- properties


def _pool() -> list[str]:
    genes = [gene for gene in default_catalogue().genes if gene.aliases][:12]
    named = [name for gene in genes for name in (gene.symbol, gene.symbol.lower(), gene.aliases[0])]
    ids = [i for gene in genes for i in (f"{gene.ensembl_id}.3", str(gene.entrez_id))]
    joined = [f"{gene.symbol}|{gene.entrez_id}" for gene in genes]
    wrong = ["B2M|7157", "?|1", "|", "", "ENSG00000999999", "999999999", "ZZZ3|999999999"]
    dates = ["1-Mar", "4-Oct", "3-Oct", "20-Sep", "2001-09-05", "MARCHF1", "OCT4", "POU5F1"]
    others = ["MRP1", "mrp1", "ABCC1", "C10orf54", "VISTA", "VSIR", "vsir", "A1BG", "zzz3", "HLA.A"]
    return [*named, *ids, *joined, *wrong, *dates, *others]


files = st.lists(st.sampled_from(_pool()), max_size=12)
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(file=files, data=st.data())
@quick
def test_the_order_of_identifiers_does_not_matter(
    catalogue: Catalogue, file: list[str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(file))
    first = translate_genes(file, catalogue=catalogue)
    again = translate_genes(shuffled, catalogue=catalogue)
    assert dict(zip(file, first.symbols, strict=True)) == dict(
        zip(shuffled, again.symbols, strict=True)
    )
    assert first.rescued == again.rescued
    assert first.ambiguous == again.ambiguous
    assert set(first.left_alone) == set(again.left_alone)


@given(file=files)
@quick
def test_translating_twice_gives_the_same_as_once(catalogue: Catalogue, file: list[str]) -> None:
    once = translate_genes(file, catalogue=catalogue).symbols
    assert translate_genes(once, catalogue=catalogue).symbols == once


@given(file=files)
@quick
def test_every_identifier_has_one_symbol(catalogue: Catalogue, file: list[str]) -> None:
    translation = translate_genes(file, catalogue=catalogue)
    assert len(translation.symbols) == len(file)
    assert sum(translation.kinds.values()) == len(file)
    reported = {*translation.left_alone, *translation.ambiguous, *translation.conflicting}
    assert reported <= set(file)
    assert not reported & set(translation.rescued)


# --- genes told from samples


@pytest.mark.parametrize(
    "identifier", [*WRITTEN_B2M, *WRITTEN_OTHERWISE, "4-Oct", "ENSG00000000003"]
)
def test_a_gene_is_counted_in_any_form(catalogue: Catalogue, identifier: str) -> None:
    assert count_genes([identifier], catalogue=catalogue, numbers=True) == 1


@pytest.mark.parametrize(
    "samples",
    [
        [f"TCGA-{a}-{b}-01A-11R" for a in ("02", "A1", "BH") for b in ("0001", "A0SB", "7157")],
        [f"P{i}" for i in range(1, 31)],
        [f"s{i}" for i in range(1, 101)],
        [str(i) for i in range(1, 31)],
        [f"{i:03d}" for i in range(1, 31)],
        ["GSM2445716", "SRR5088813", "Pt1_Pre", "sample b2m", "ENSG1", "ENSG00000085563x"],
        ["", "gene", "gene_id", "Hugo_Symbol", "sample_id", "Unnamed: 0"],
        ["MRP1", "1-Mar", "?|100130426", "TSPAN6"],
    ],
)
def test_samples_and_other_genes_are_not_counted(catalogue: Catalogue, samples: list[str]) -> None:
    assert count_genes(samples, catalogue=catalogue, numbers=True) == 0


@pytest.mark.parametrize("start", [0, 1, 500])
def test_numbered_samples_are_not_counted(catalogue: Catalogue, start: int) -> None:
    # Fixed: of 2,000 numbered cells 98 counted as genes by Entrez id, more than a panel has.
    cells = [str(i) for i in range(start, start + 2000)]
    assert count_genes(cells, catalogue=catalogue, numbers=True) == 0


def test_entrez_ids_that_skip_numbers_are_counted(catalogue: Catalogue) -> None:
    ids = [str(gene.entrez_id) for gene in catalogue.genes]
    assert count_genes(ids, catalogue=catalogue, numbers=True) == len(ids)


def test_genes_of_an_index_are_counted(catalogue: Catalogue) -> None:
    labels = pd.Index(["B2M", 567, "s1"], dtype=object)
    assert count_genes(labels, catalogue=catalogue) == 1
    assert count_genes(labels, catalogue=catalogue, numbers=True) == 2


# --- the real cohorts


COHORTS = {
    "bulk/gide_2019_antiPD1": ("symbol", 371),
    "bulk/hugo_2016": ("symbol", 371),
    "bulk/imvigor210_nonbladder86_full": ("symbol", 364),
    "bulk/jung_2019_gse135222": ("symbol", 373),
    "bulk/liu_2019": ("symbol", 356),
    "bulk/miao_2018_ccrcc": ("symbol", 370),
    "bulk/prat_2017_gse93157": ("symbol", 149),
    "bulk/riaz_2017_gse91061_counts109": ("symbol", 375),
    "bulk/van_allen_2015": ("symbol", 370),
    "bulk/zhao_2019_gbm": ("symbol", 370),
    "drug_response/BRCA_Trastuzumab_5": ("symbol", 261),
    "drug_response/CCLE_SCLC_NAPY": ("symbol", 10),
    "drug_response/CGP_Camptothecin": ("symbol", 54),
    "drug_response/GDSC_COSMIC656": ("symbol", 63),
    "drug_response/HCC_GSE140901_ICI": ("symbol", 150),
    "drug_response/NCI60_HGU133A": ("symbol", 347),
    "single_cell/glioblastoma_panobinostat_5000x300.h5ad": ("Ensembl", 41),
    "single_cell/gse120575_lesion_pseudobulk_48.h5ad": ("symbol", 376),
    "single_cell/pc9_erlotinib_day11_unlabelled.h5ad": ("symbol", 272),
    "single_cell/sade_feldman_8000x450.h5ad": ("symbol", 57),
    "single_cell/sade_feldman_scfeatures_550x3523.h5ad": ("symbol", 125),
    "single_cell/scad_a375_brafi_108x2873.h5ad": ("Entrez", 91),
    "single_cell/tirosh_melanoma_chetah_150.h5ad": ("symbol", 245),
}
WITH_EARLIER_VSIR = (
    "bulk/jung_2019_gse135222",
    "bulk/miao_2018_ccrcc",
    "bulk/riaz_2017_gse91061_counts109",
    "bulk/van_allen_2015",
    "bulk/zhao_2019_gbm",
    "single_cell/gse120575_lesion_pseudobulk_48.h5ad",
    "single_cell/pc9_erlotinib_day11_unlabelled.h5ad",
    "single_cell/sade_feldman_scfeatures_550x3523.h5ad",
    "single_cell/tirosh_melanoma_chetah_150.h5ad",
)


def identifiers(path: Path) -> list[str]:
    """Return a real cohort's gene identifiers as they stand in its file."""
    if path.suffix != ".h5ad":
        table = pd.read_csv(path / "expression.csv.gz", index_col=0, usecols=[0])
        return [str(gene) for gene in table.index]
    adata = ad.read_h5ad(path, backed="r")
    genes = [str(gene) for gene in adata.var_names]
    adata.file.close()
    return genes


@pytest.mark.real_data
@pytest.mark.parametrize(("cohort", "expected"), COHORTS.items(), ids=COHORTS)
def test_the_genes_of_a_real_cohort_are_found(
    shared: Path, catalogue: Catalogue, cohort: str, expected: tuple[str, int]
) -> None:
    id_type, at_least = expected
    translation = translate_genes(identifiers(shared / "cohorts" / cohort), catalogue=catalogue)
    found = set(catalogue.gene_symbols).intersection(translation.symbols)
    assert translation.id_type == id_type
    assert len(found) >= at_least
    assert translation.conflicting == ()


@pytest.mark.real_data
@pytest.mark.parametrize("cohort", WITH_EARLIER_VSIR)
def test_vsir_is_rescued_from_its_earlier_symbol(
    shared: Path, catalogue: Catalogue, cohort: str
) -> None:
    translation = translate_genes(identifiers(shared / "cohorts" / cohort), catalogue=catalogue)
    assert translation.rescued["C10orf54"] == "VSIR"
    assert translation.symbols.count("VSIR") == 1


@pytest.mark.real_data
def test_every_real_cohort_has_its_numbers_here(shared: Path) -> None:
    folders = ("bulk", "drug_response", "single_cell")
    present = {f"{f}/{path.name}" for f in folders for path in (shared / "cohorts" / f).iterdir()}
    assert present == set(COHORTS)


@pytest.mark.real_data
def test_the_dates_of_gdsc_become_septins(shared: Path, catalogue: Catalogue) -> None:
    genes = identifiers(shared / "cohorts" / "drug_response" / "GDSC_COSMIC656")
    translation = translate_genes(genes, catalogue=catalogue)
    assert translation.kinds == {"symbol": 653, "date": 3}
    expected = {"5-Sep": "SEPTIN5", "6-Sep": "SEPTIN6", "9-Sep": "SEPTIN9"}
    assert {i: s for i, s in translation.rescued.items() if i.endswith("Sep")} == expected


@pytest.mark.real_data
def test_the_ambiguous_cdc2_of_nci60_is_reported(shared: Path, catalogue: Catalogue) -> None:
    genes = identifiers(shared / "cohorts" / "drug_response" / "NCI60_HGU133A")
    translation = translate_genes(genes, catalogue=catalogue)
    assert translation.ambiguous == {"CDC2": ("CDK1", "another gene")}
    assert "CDK1" not in translation.symbols
