"""What kind of identifier a gene is written as, by its form alone."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import CohortError
from features.gene_ids import (
    IdKind,
    classify,
    date_symbols,
    pieces,
    refuse_foreign,
    strip_version,
)

KINDS: dict[str, IdKind] = {
    "TP53": "symbol",
    "tp53": "symbol",
    "C10orf54": "symbol",
    "HLA-A": "symbol",
    "HLA.A": "symbol",
    "B7-H3": "symbol",
    "15-LOX-1": "symbol",
    "NKX2-1": "symbol",
    "H2AC1-2": "symbol",
    "Y_RNA": "symbol",
    "ENSG1": "symbol",
    "1234567890": "symbol",
    "7157.5": "symbol",
    "": "symbol",
    "ENSG00000141510": "ensembl",
    "ENSG00000141510.18": "ensembl",
    "ensg00000141510.18": "ensembl",
    "ENSG00000002586.20_PAR_Y": "ensembl",
    "ENSG00000002586_PAR_Y": "ensembl",
    "7157": "entrez",
    "7157.0": "entrez",
    "1": "entrez",
    "100130426": "entrez",
    "TP53|7157": "joined",
    "?|100130426": "joined",
    "ENSG00000141510_TP53": "joined",
    "TP53_ENSG00000141510.18": "joined",
    "ENSG00000141510:TP53": "joined",
    "ENSG00000141510 TP53": "joined",
    "ENSG00000141510.18|ENST00000269305.9|TP53|": "joined",
    "1-Mar": "date",
    "01-MAR": "date",
    "Mar-01": "date",
    "3/1": "date",
    "03/01/2001": "date",
    "2001-03-01": "date",
    "2001-03-01 00:00:00": "date",
    "1-Mar-2001": "date",
}


@pytest.mark.parametrize(("identifier", "kind"), KINDS.items())
def test_the_kind_of_an_identifier_is_told_by_its_form(identifier: str, kind: IdKind) -> None:
    assert classify(identifier) == kind


@pytest.mark.parametrize("sample", ["TCGA-02-0001-01A", "Pt1_Pre", "GSM2445716", "P1", "s-12"])
def test_a_sample_id_is_neither_an_id_number_nor_a_date(sample: str) -> None:
    assert classify(sample) == "symbol"


@pytest.mark.parametrize("no_date", ["13/13", "32-Mar", "0-Mar", "1-Foo", "13-1", "MARCH1", "Mar"])
def test_what_is_no_day_of_the_year_is_no_date(no_date: str) -> None:
    assert date_symbols(no_date) == ()


@pytest.mark.parametrize(
    "written",
    ["ENSG00000141510", "ENSG00000141510.18", "ensg00000141510.18", "ENSG00000141510.18_PAR_Y"],
)
def test_an_ensembl_id_is_stripped_of_version_and_case(written: str) -> None:
    assert strip_version(written) == "ENSG00000141510"


@pytest.mark.parametrize("written", ["7157", "7157.0"])
def test_an_entrez_id_is_stripped_of_its_decimal(written: str) -> None:
    assert strip_version(written) == "7157"


@pytest.mark.parametrize(
    ("identifier", "parts"),
    [
        ("TP53|7157", ["TP53", "7157"]),
        ("?|100130426", ["100130426"]),
        ("HLA-A | 3105", ["HLA-A", "3105"]),
        ("ENSG00000141510_TP53", ["ENSG00000141510", "TP53"]),
        ("ENSG00000206503.14:HLA-A", ["ENSG00000206503.14", "HLA-A"]),
        ("TP53|", ["TP53"]),
        ("|", []),
    ],
)
def test_joined_ids_come_apart(identifier: str, parts: list[str]) -> None:
    assert pieces(identifier) == parts


@pytest.mark.parametrize(
    ("date", "symbols"),
    [
        ("1-Mar", ("MARCHF1", "MTARC1")),
        ("2-Mar", ("MARCHF2", "MTARC2")),
        ("3-Mar", ("MARCHF3",)),
        ("11-Mar", ("MARCHF11",)),
        ("Mar-01", ("MARCHF1", "MTARC1")),
        ("5-Sep", ("SEPTIN5",)),
        ("9/5", ("SEPTIN5",)),
        ("2001-09-05", ("SEPTIN5",)),
        ("2001-09-05 00:00:00", ("SEPTIN5",)),
        ("13-Sep", ("SEPTIN7P2",)),
        ("15-Sep", ("SELENOF",)),
        ("1-Dec", ("DELEC1", "BHLHE40")),
        ("4-Oct", ("OCT4",)),
    ],
)
def test_a_date_gives_the_symbols_it_may_have_been_likeliest_first(
    date: str, symbols: tuple[str, ...]
) -> None:
    assert date_symbols(date) == symbols


@pytest.mark.parametrize("day", [16, 20, 31])
def test_no_septin_is_invented(day: int) -> None:
    assert date_symbols(f"{day}-Sep") == ()


@pytest.mark.real_data
def test_every_date_that_spreadsheets_are_known_to_write_gives_its_gene(shared: Path) -> None:
    table = pd.read_csv(shared / "reference" / "excel_mangled.csv", dtype=str)
    pairs = zip(table["original"], table["mogrified"], strict=True)
    others = {(gene, date_symbols(date)) for gene, date in pairs if gene not in date_symbols(date)}
    assert others == {
        ("SEPTIN6", ("SEPTIN2",)),  # SEP2 was once a name of SEPTIN6; that of SEPTIN2 is likelier
        ("POU5F1", ("OCT4",)),  # as it was typed: the gene table knows that OCT4 is POU5F1
        ("POU5F1", ("OCT3",)),  # as it was typed: OCT3 is also a name of SLC22A3
    }


# --- other species, transcripts


MOUSE = ["Trp53", "Cd274", "B2m", "H2-K1", "Gm1992", "0610005C13Rik"]


@pytest.mark.parametrize(
    ("identifiers", "message"),
    [
        (MOUSE, r"those of mouse \(such as Trp53, Cd274, B2m.*\); .*human orthologues"),
        (["ENSMUSG00000059552.14"], r"those of mouse \(such as ENSMUSG00000059552\.14\)"),
        (["ensmusg00000059552"], r"those of mouse"),
        (["ENSMUST00000108658"], r"those of mouse"),
        (["ENSRNOG00000010756"], r"those of another species \(such as ENSRNOG00000010756\)"),
        (["ENST00000269305.9"], r"transcripts, .* such as ENST00000269305\.9; add the values"),
        (["ENSP00000269305"], r"transcripts, proteins or exons"),
        (["ENSE00003820735"], r"transcripts, proteins or exons"),
    ],
)
def test_what_is_not_a_human_gene_is_refused(identifiers: list[str], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        refuse_foreign(identifiers)


def test_at_most_three_mouse_genes_are_shown() -> None:
    with pytest.raises(CohortError, match=r"such as Trp53, Cd274, B2m and 2 more\)"):
        refuse_foreign(MOUSE)


@pytest.mark.parametrize(
    "identifiers",
    [
        ["TP53", "CD274", "B2M"],
        ["tp53", "cd274", "b2m"],
        ["C10orf54", "C1orf112", "CXorf57"],
        ["ENSG00000141510", "ENSG00000120217.14"],
        ["7157", "29126"],
        ["TP53", "CD274", "Trp53"],
        ["ENSG00000141510", "ENSG00000120217", "ENSMUSG00000059552"],
        ["ERCC-00002", "ENSG00000141510", "ENST00000269305"],
        [],
    ],
)
def test_human_genes_with_a_few_strangers_are_not_refused(identifiers: list[str]) -> None:
    refuse_foreign(identifiers)


@given(st.text(max_size=20))
def test_any_text_has_a_kind_and_only_dates_give_symbols(text: str) -> None:
    assert (classify(text) == "date") or not date_symbols(text)
