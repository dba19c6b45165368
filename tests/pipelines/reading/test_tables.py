"""Tables as users have them: every dialect reads alike, every fault says where and what to do."""

import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.catalogue import Catalogue
from features.errors import CohortError
from pipelines.reading.tables import (
    ExpressionTable,
    read_clinical,
    read_expression,
    read_gene_lengths,
)

GENES = ["B2M", "CD274", "CD8A", "GZMB", "IFNG", "TAP1"]
SAMPLES = ["s1", "s2", "s3"]
VALUES = np.array([[g * 10 + s + 0.5 for s in range(3)] for g in range(len(GENES))])

Read = Callable[..., ExpressionTable]


@pytest.fixture
def read(tmp_path: Path, catalogue: Catalogue) -> Read:
    """Return a reader of expression given as text or bytes."""

    def read_content(
        content: str | bytes, *, name: str = "expression.csv", orientation: str = "auto"
    ) -> ExpressionTable:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_expression(path, orientation=orientation, catalogue=catalogue)  # type: ignore[arg-type]

    return read_content


def table(
    *,
    separator: str = ",",
    header: Sequence[str] = ("gene", *SAMPLES),
    genes: Sequence[str] = GENES,
    cells: dict[tuple[int, int], str] | None = None,
) -> str:
    """Return genes × samples as text; ``cells`` are written at (row, column) instead."""
    rows = [list(header)]
    for g, gene in enumerate(genes):
        row = [(cells or {}).get((g, s), str(value)) for s, value in enumerate(VALUES[g])]
        rows.append([gene, *row])
    return "".join(separator.join(row) + "\n" for row in rows)


def expect(found: ExpressionTable, *, samples: Sequence[str] = SAMPLES) -> None:
    assert list(found.values.index) == list(samples)
    assert list(found.values.columns) == GENES
    np.testing.assert_array_equal(found.values.to_numpy(), VALUES.T)


PLAIN = table()
QUOTED = "".join(
    ",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in PLAIN.splitlines()
)
TRANSPOSED = pd.DataFrame(VALUES.T, index=SAMPLES, columns=GENES).to_csv(index_label="id")
EACH_LINE_ENDS_IN_A_COMMA = "".join(f"{line},\n" for line in PLAIN.splitlines())
GCT = "#1.2\n6\t3\n" + table(
    separator="\t", header=["NAME", "Description", *SAMPLES], genes=[f"{g}\tna" for g in GENES]
)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PLAIN, id="CSV"),
        pytest.param(table(separator="\t"), id="TSV"),
        pytest.param(table(separator=";"), id="semicolon"),
        pytest.param(gzip.compress(PLAIN.encode(), mtime=0), id="gz without .gz in the name"),
        pytest.param("\ufeff" + PLAIN, id="byte order mark"),
        pytest.param(gzip.compress(("\ufeff" + PLAIN).encode()), id="gz with byte order mark"),
        pytest.param(PLAIN.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(PLAIN.replace("\n", "\r"), id="CR"),
        pytest.param(PLAIN.rstrip("\n"), id="no line end at the end"),
        pytest.param(QUOTED, id="everything quoted"),
        pytest.param(table(header=SAMPLES), id="R header, one field less"),
        pytest.param(table(header=[f'"{s}"' for s in SAMPLES]), id="R header, quoted"),
        pytest.param(table(header=["", *SAMPLES]), id="empty corner"),
        pytest.param("# made by x, y; z\n# and more\n" + PLAIN, id="comment lines"),
        pytest.param("\ufeff# comment\n" + PLAIN, id="byte order mark and comment"),
        pytest.param("#" + table(separator="\t"), id="header begins with #"),
        pytest.param(GCT, id="GCT"),
        pytest.param("\n\n" + PLAIN, id="blank lines before"),
        pytest.param(PLAIN.replace("\n", "\n\n"), id="blank lines between"),
        pytest.param(PLAIN + "\n\n\n", id="blank lines after"),
        pytest.param(PLAIN + ",,,\n,,,\n", id="rows of separators only"),
        pytest.param(EACH_LINE_ENDS_IN_A_COMMA, id="trailing commas"),
        pytest.param(EACH_LINE_ENDS_IN_A_COMMA.replace("s3,\n", "s3\n"), id="not in the header"),
        pytest.param(PLAIN.replace("s3\n", "s3,\n"), id="only in the header"),
        pytest.param(PLAIN.replace("\n", ",,,\n"), id="several trailing commas"),
        pytest.param(table(header=["gene", " s1", "s2 ", "\ts3"]), id="whitespace around samples"),
        pytest.param(table(genes=[f" {g} " for g in GENES]), id="whitespace around genes"),
        pytest.param(table(cells={(0, 1): " 1.5 "}), id="whitespace around numbers"),
        pytest.param(TRANSPOSED, id="samples in rows"),
        pytest.param(TRANSPOSED.replace(",", "\t"), id="samples in rows, TSV"),
        pytest.param(TRANSPOSED.replace("id,", "", 1), id="samples in rows, R header"),
    ],
)
def test_every_dialect_gives_the_same_table(read: Read, content: str | bytes) -> None:
    expect(read(content))


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz", ".txt", ""])
def test_the_name_of_the_file_says_nothing(read: Read, suffix: str) -> None:
    expect(read(gzip.compress(table(separator="\t").encode()), name=f"expression{suffix}"))


def test_orientation_is_found_out_or_stated_and_said(read: Read) -> None:
    assert read(PLAIN).orientation == (
        "genes_in_rows (6 known genes in the rows, 0 in the columns)"
    )
    assert read(TRANSPOSED).orientation.startswith("samples_in_rows (0 known genes in the rows")
    expect(read(PLAIN, orientation="genes_in_rows"))
    expect(read(TRANSPOSED, orientation="samples_in_rows"))


@pytest.mark.parametrize(
    ("content", "stated"), [(PLAIN, "samples_in_rows"), (TRANSPOSED, "genes_in_rows")]
)
def test_a_stated_orientation_that_is_wrong_is_refused(
    read: Read, content: str, stated: str
) -> None:
    with pytest.raises(CohortError, match=f"orientation {stated} is stated, but .*correct orienta"):
        read(content, orientation=stated)


def test_names_with_the_separator_or_a_line_end_in_quotes_stay_whole(read: Read) -> None:
    expect(read(table(header=["gene", '"s,1"', "s2", "s3"])), samples=["s,1", "s2", "s3"])
    expect(read(table(header=["gene", '"s\n1"', "s2", "s3"])), samples=["s\n1", "s2", "s3"])
    names = ["a,1", "b,2", "c,3"]
    expect(read(table(separator="\t", header=["gene", *names])), samples=names)


@pytest.mark.parametrize("ids", [["001", "002", "010"], ["1e5", "2e5", "1.0"], ["7", "8", "9"]])
def test_ids_that_look_like_numbers_stay_as_written(read: Read, ids: list[str]) -> None:
    expect(read(table(header=["gene", *ids])), samples=ids)
    frame = pd.DataFrame(VALUES.T, index=ids, columns=GENES)
    expect(read(frame.to_csv(index_label="id")), samples=ids)


def test_a_comment_above_ids_that_look_like_numbers_is_no_header(read: Read) -> None:
    ids = ["001", "002", "003"]
    expect(read("# a,b,c,d\n" + table(header=["gene", *ids])), samples=ids)


@pytest.mark.parametrize("gene", ["NA", "nan", "None", "null", "1-Mar", "TRUE", "007"])
def test_a_gene_may_be_called_anything(read: Read, gene: str) -> None:
    found = read(table(genes=[gene, *GENES[1:]]))
    assert list(found.values.columns) == [gene, *GENES[1:]]
    np.testing.assert_array_equal(found.values[gene], VALUES[0])


def test_a_gene_without_a_name_is_left_out(read: Read) -> None:
    found = read(table(genes=["", *GENES[1:]]))
    assert list(found.values.columns) == GENES[1:]


@pytest.mark.parametrize("cell", ["", "NA", "na", "NaN", "nan", "N/A", "#N/A", "<NA>", " NA "])
def test_a_cell_not_measured_is_nan_and_only_that(read: Read, cell: str) -> None:
    found = read(table(cells={(2, 1): cell})).values.to_numpy()
    assert np.isnan(found[1, 2])
    assert np.isnan(found).sum() == 1


def test_a_last_sample_not_measured_at_all_is_no_cut_off_file(read: Read) -> None:
    found = read(table(cells={(g, 2): "" for g in range(len(GENES))})).values
    assert list(found.index) == SAMPLES
    assert found.loc["s3"].isna().all()


def test_featurecounts_gives_lengths_and_no_annotation(read: Read) -> None:
    lines = ["# Program:featureCounts v2.0; Command:x", "Geneid\tChr\tStart\tEnd\tStrand\tLength"]
    lines[1] += "\ta.bam\tb.bam"
    lines += [
        f"{gene}\tchr1;chr1\t1;5\t2;6\t+;+\t{1000 + i}\t{i}\t{2 * i}"
        for i, gene in enumerate(GENES)
    ]
    found = read("\n".join(lines))
    assert list(found.values.index) == ["a.bam", "b.bam"]
    assert found.lengths is not None
    assert found.lengths.to_dict() == {gene: 1000 + i for i, gene in enumerate(GENES)}
    np.testing.assert_array_equal(found.values.loc["b.bam"], 2 * np.arange(len(GENES)))


def test_a_table_without_a_length_column_has_no_lengths(read: Read) -> None:
    assert read(PLAIN).lengths is None
    assert read(TRANSPOSED).lengths is None


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        ("gene,s1\n" + "".join(f"{g},1\n" for g in GENES), (1, 6)),
        ("gene,s1,s2\nB2M,1,2\n", (2, 1)),
        ("gene,s1\nB2M,1\n", (1, 1)),
        ("s1\n" + "".join(f"{g}\t1\n" for g in GENES), (1, 6)),
        ("id,B2M,CD274\ns1,1,2\n", (1, 2)),
    ],
)
def test_one_sample_or_one_gene_is_a_table(
    read: Read, content: str, shape: tuple[int, int]
) -> None:
    assert read(content).values.shape == shape


def test_a_wide_table_of_few_samples_is_read(read: Read) -> None:
    # Fixed: a header of 130,000 characters was one field too large for the wrong separators.
    genes = [*GENES, *(f"ANY_GENE_WITH_A_RATHER_LONG_NAME_{i}" for i in range(5_000))]
    assert len(",".join(genes)) > 131_072
    frame = pd.DataFrame(np.ones((2, len(genes))), index=["001", "002"], columns=genes)
    assert read(frame.to_csv()).values.shape == (2, len(genes))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", r"is empty; give a table with a header line", id="empty"),
        pytest.param("\n \n", r"is empty; give a table", id="blank"),
        pytest.param("# only\n# comments\n", r"is empty; give a table", id="comments only"),
        pytest.param(gzip.compress(b"", mtime=0), r"is empty; give a table", id="empty gz"),
        pytest.param("gene,s1,s2\n", r"is empty: 0 rows × 2 columns", id="header only"),
        pytest.param("gene\nB2M\n", r"is empty: 1 rows × 0 columns", id="one column"),
        pytest.param(
            table(separator=" "), r"0 columns .*a tab, a comma or a semicolon", id="blanks"
        ),
        pytest.param(
            "Geneid,Length\nB2M,100\n", r"is empty: 1 rows × 0 columns", id="only annotation"
        ),
        pytest.param(bytes(range(128, 256)) * 9, r"is not a text table in UTF-8", id="binary"),
        pytest.param(b"\0" * 99, r"is not a text table; give CSV or TSV", id="zeros"),
        pytest.param(b"PK\x03\x04abc", r"is an Excel or zip file; save the sheet", id="xlsx"),
        pytest.param(b"\xd0\xcf\x11\xe0abc", r"is an Excel file; save the sheet", id="xls"),
        pytest.param(b"\x89HDF\r\n", r"is an HDF5 file; .*name it \.h5ad", id="HDF5"),
        pytest.param(PLAIN.encode("utf-16"), r"is text in UTF-16; save it as UTF-8", id="UTF-16"),
        pytest.param(
            table(header=["gene", "é", "s2", "s3"]).encode("latin1"),
            r"is not a text table in UTF-8 \(byte 5",
            id="Latin-1",
        ),
        pytest.param(
            gzip.compress(PLAIN.encode(), mtime=0)[:-30],
            r"is damaged or cut off: .*again",
            id="cut gz",
        ),
        pytest.param(b"\x1f\x8b" + b"x" * 99, r"is damaged or cut off", id="gz in name only"),
        pytest.param(
            gzip.compress(PLAIN.encode() * 99, mtime=0)[:60] + b"\xff" * 99,
            r"is damaged",
            id="broken gz",
        ),
        pytest.param(
            gzip.compress(PLAIN.encode(), mtime=0)[:-8] + b"12345678",
            r"is damaged.*CRC",
            id="wrong CRC",
        ),
        pytest.param(
            PLAIN + "PDCD1,1\n",
            r"line 8 \('PDCD1'\) has 2 fields where the header has 4; .*cut off",
            id="short row",
        ),
        pytest.param(
            PLAIN + "PDCD1,1,2,3,4,5\n", r"line 8 \('PDCD1'\) has 6 fields", id="long row"
        ),
        pytest.param(PLAIN[:-12], r"line 7 \('TAP1'\) has 2 fields", id="cut off in the middle"),
        pytest.param(
            table(header=["gene", "s1", "s2"]), r"first row has 4 fields, the header 3", id="short"
        ),
        pytest.param(
            table(header=["s1", "s2"]), r"first row has 4 fields, the header 2", id="far too short"
        ),
        pytest.param(
            PLAIN.replace("s1", '"s1'), r"a quote in the header does not close", id="open quote"
        ),
        pytest.param(PLAIN + '"PDCD1,1,2,3\n', r"EOF inside string", id="open quote below"),
        pytest.param("gene," + "x" * 200_000 + "\nB2M,1\n", r"larger than field limit", id="huge"),
        pytest.param(
            table(header=["gene", "s1", "s1", "s3"]),
            r"1 sample ids stand more than once: s1; give every",
            id="repeated sample",
        ),
        pytest.param(
            table(header=["gene", "s1", " s1 ", "s3"]), r"more than once: s1", id="after stripping"
        ),
        pytest.param(
            table(header=["gene", "s1", "", "s3"]), r"a sample has no id; give", id="no id"
        ),
        pytest.param(
            TRANSPOSED.replace("s2,", "s1,"), r"more than once: s1", id="repeated sample in rows"
        ),
        pytest.param(
            table(cells={(3, 1): "high"}),
            r"'high' in row 'GZMB', column 's2' is not a number; .*NA where not measured",
            id="text",
        ),
        pytest.param(
            table(separator=";", cells={(g, 0): "1,5" for g in range(6)}),
            r"'1,5' in row 'B2M', column 's1' is not a number; .*decimal point",
            id="decimal comma",
        ),
        pytest.param(
            table(cells={(g, 0): "TRUE" for g in range(6)}), r"'True' in row 'B2M'", id="truths"
        ),
        pytest.param(
            table(header=["gene", "biotype", *SAMPLES], genes=[f"{g},coding" for g in GENES]),
            r"'coding' in row 'B2M', column 'biotype'.*take 'biotype' out",
            id="text column",
        ),
        pytest.param(
            table(genes=[f"X{i}" for i in range(6)]),
            r"no known gene in the rows \(first: X0, X1, .*human symbols such as CD274",
            id="unknown genes",
        ),
        pytest.param(
            table(genes=[str(i) for i in range(6)]), r"no known gene in the rows", id="Entrez ids"
        ),
        pytest.param(
            "".join(PLAIN.splitlines(keepends=True)[1:]),
            r"first line begins with the gene 'B2M': it is no header; add",
            id="no header",
        ),
        pytest.param("<!DOCTYPE html>\n<html>\n</html>\n", r"0 columns of expression", id="HTML"),
        pytest.param('{"a": 1}', r"is empty", id="JSON"),
    ],
)
def test_a_wrong_file_is_named_with_the_fault(
    read: Read, tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(CohortError, match=message) as caught:
        read(content)
    assert str(tmp_path / "expression.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, catalogue: Catalogue) -> None:
    for name, message in {
        "none.csv": r"there is no file .*none\.csv; check the path",
        "x" * 300: r"x cannot be read: File name too long",
        "none/deeper.csv": r"there is no file .*deeper\.csv; check the path",
    }.items():
        with pytest.raises(CohortError, match=message):
            read_expression(tmp_path / name, orientation="auto", catalogue=catalogue)
    with pytest.raises(CohortError, match="is a folder; give a file"):
        read_expression(tmp_path, orientation="auto", catalogue=catalogue)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, len(PLAIN)), junk=st.text(alphabet='a1.,;\t\n\r" #\0é-', max_size=6))
def test_a_table_with_anything_put_into_it_is_read_or_refused(
    read: Read, at: int, junk: str
) -> None:
    try:
        found = read(PLAIN[:at] + junk + PLAIN[at:])
    except CohortError as error:
        assert "expression.csv" in str(error)  # noqa: PT017  read or refused, both are right
    else:
        assert found.values.dtypes.eq(np.float64).all()
        assert not found.values.index.has_duplicates


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n\r "])
def test_carriage_returns_end_a_line_and_do_not_eat_the_memory(read: Read, line_end: str) -> None:
    """A lone one at a line's start, blank behind it, sent the parser into all the memory."""
    try:
        found = read(PLAIN.replace("\n", line_end))
    except CohortError as error:
        assert "expression.csv" in str(error)  # noqa: PT017  read or refused, both are right
    else:
        expected = read(PLAIN).values
        np.testing.assert_array_equal(found.values.to_numpy(), expected.to_numpy())


# --- clinical tables


CLINICAL = "sample_id,patient_id,response\n001,1,R\n002,1,NA\n1e5,7,\n"
EXPECTED_CLINICAL = {
    "sample_id": ["001", "002", "1e5"],
    "patient_id": ["1", "1", "7"],
    "response": ["R", "NA", ""],
}


@pytest.fixture
def clinical(tmp_path: Path) -> Callable[[str | bytes], pd.DataFrame]:
    def read_content(content: str | bytes) -> pd.DataFrame:
        path = tmp_path / "clinical.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_clinical(path)

    return read_content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CLINICAL, id="CSV"),
        pytest.param(CLINICAL.replace(",", "\t"), id="TSV"),
        pytest.param(CLINICAL.replace(",", ";"), id="semicolon"),
        pytest.param(gzip.compress(CLINICAL.encode(), mtime=0), id="gz"),
        pytest.param("\ufeff" + CLINICAL.replace("\n", "\r\n"), id="Excel"),
        pytest.param("\n# from the clinic\n" + CLINICAL, id="comments and blank lines"),
        pytest.param(CLINICAL.replace("\n", ",,\n"), id="trailing commas"),
        pytest.param(CLINICAL + ",,\n", id="row of separators"),
        pytest.param(CLINICAL.replace("001", " 001 "), id="whitespace"),
    ],
)
def test_every_cell_of_a_clinical_table_is_the_text_that_stands_there(
    clinical: Callable[[str | bytes], pd.DataFrame], content: str | bytes
) -> None:
    assert clinical(content).to_dict("list") == EXPECTED_CLINICAL


def test_free_text_in_quotes_may_hold_anything(
    clinical: Callable[[str | bytes], pd.DataFrame],
) -> None:
    found = clinical('sample_id,"site, of biopsy",note\ns1,"skin, arm","two\nlines; ""x"""\n')
    assert list(found.columns) == ["sample_id", "site, of biopsy", "note"]
    assert found.iloc[0].tolist() == ["s1", "skin, arm", 'two\nlines; "x"']


def test_row_names_that_r_wrote_get_a_column_of_their_own(
    clinical: Callable[[str | bytes], pd.DataFrame],
) -> None:
    found = clinical("sample_id,response\n1,001,R\n2,002,NR\n")
    assert found["sample_id"].tolist() == ["001", "002"]
    assert found["response"].tolist() == ["R", "NR"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; give a table"),
        ("sample_id,response\n", "has a header but no rows"),
        ("a,a\n1,2\n", "columns stand more than once: a; give each a name"),
        ("a,,\n1,2,3\n", r"columns stand more than once: \(no name\)"),
        (CLINICAL + "003,4\n", r"line 5 \('003'\) has 2 fields where the header has 3"),
        (CLINICAL + "003,4,R,x,y\n", r"line 5 \('003'\) has 5 fields where the header has 3"),
        ('sample_id,site\n1,"skin\n2,x\n', "EOF inside string"),
        ("sample_id,site\n1,é\n".encode("latin1"), "is not a text table in UTF-8"),
        (gzip.compress(CLINICAL.encode(), mtime=0)[:-9], "is damaged or cut off"),
        (b"PK\x03\x04", "is an Excel or zip file; save the sheet as CSV"),
    ],
)
def test_a_wrong_clinical_table_is_named_with_the_fault(
    clinical: Callable[[str | bytes], pd.DataFrame], content: str | bytes, message: str
) -> None:
    with pytest.raises(CohortError, match=r"clinical\.csv.*" + message):
        clinical(content)


# --- gene lengths


@pytest.mark.parametrize(
    "content",
    [
        "symbol,length\nB2M,100\nCD274,200.5\n",
        "ensembl_id\tsymbol\teffective_length\nE1\tB2M\t100\nE2\tCD274\t200.5\n",
        "gene,Length\nB2M,100\nCD274,200.5\n",
        "symbol,length\nB2M,90\nB2M,100\nCD274,200.5\n",
    ],
)
def test_gene_lengths_are_found_by_column_and_the_longest_stays(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "lengths.txt").write_text(content)
    found = read_gene_lengths(tmp_path / "lengths.txt")
    assert found.to_dict() == {"B2M": 100.0, "CD274": 200.5}


def test_a_length_that_is_no_number_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "lengths.txt").write_text("symbol,length\nB2M,long\nCD274,200\n")
    found = read_gene_lengths(tmp_path / "lengths.txt")
    assert np.isnan(found["B2M"])
    assert found["CD274"] == 200


def test_a_table_without_lengths_names_the_columns_it_has(tmp_path: Path) -> None:
    (tmp_path / "lengths.txt").write_text("symbol,size\nB2M,100\n")
    message = re.escape("lengths.txt: no column length or effective_length; its columns: symbol, s")
    with pytest.raises(CohortError, match=message):
        read_gene_lengths(tmp_path / "lengths.txt")
