"""`oncoresist check`: what kind of gene identifiers a file has, and which features that allows."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from features.catalogue import Catalogue, genes_of
from pipelines.cli import app

Check = Callable[..., str]
Write = Callable[..., Path]
DRUG_FEATURES = "target_antigen, payload_efflux, payload_target"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


@pytest.fixture
def check() -> Check:
    """Return a runner that expects exit 0 and gives what was printed."""

    def checked(*arguments: str | Path) -> str:
        result = run(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        assert result.stderr == ""
        return result.stdout

    return checked


@pytest.fixture
def write(tmp_path: Path, catalogue: Catalogue) -> Write:
    """Return a writer of cohorts of 6 samples: TPM of the genes named, and 40 others."""

    def written(genes: list[str] | None = None, *, name: str = "cohort.csv") -> Path:
        genes = [*(catalogue.gene_symbols if genes is None else genes)]
        genes += [f"OTHER{i}" for i in range(40)]
        tpm = np.random.default_rng(0).gamma(0.8, 400.0, (len(genes), 6)).round(3)
        table = pd.DataFrame(tpm, index=genes, columns=[f"s{i}" for i in range(6)])
        table.to_csv(tmp_path / name)
        return tmp_path / name

    return written


def line(output: str, start: str) -> str:
    """Return the only line that starts so, without the start."""
    found = [text.removeprefix(start) for text in output.splitlines() if text.startswith(start)]
    assert len(found) == 1, output
    return found[0]


# --- kinds of identifiers


def test_the_kind_of_identifiers_is_printed(check: Check, write: Write) -> None:
    assert line(check(write()), "gene identifiers: ") == "symbol"


def test_mixed_identifiers_are_counted(check: Check, write: Write, catalogue: Catalogue) -> None:
    names = [gene.ensembl_id for gene in catalogue.genes[:200]]
    names += [str(gene.entrez_id) for gene in catalogue.genes[200:]]
    output = check(write(names))
    kinds = f"mixed (200 Ensembl, {len(names) - 200} Entrez, 40 symbol)"
    assert line(output, "gene identifiers: ") == kinds
    assert f"- gene identifiers: {kinds}, translated to symbols" in output.splitlines()


def test_what_became_of_identifiers_is_printed(check: Check, write: Write) -> None:
    output = check(write(["C10orf54", "B2M", "MRP1", "VISTA2", "B2M|7157"]))
    assert "- 1 renamed genes recognised: C10orf54 → VSIR" in output
    assert "MRP1 (ABCC1 or another gene)" in output
    assert "parts mean different genes were left as they are: B2M|7157" in output


# --- coverage


def test_a_cohort_with_every_gene_is_full(check: Check, write: Write, catalogue: Catalogue) -> None:
    output = check(write(), "--setting", "ici")
    needed = len(genes_of(catalogue.markers_of("ici")))
    features = len(catalogue.markers_of("ici"))
    assert line(output, "gene coverage (ici): ") == (
        f"full: {needed} of {needed} catalogue genes (100%), "
        f"{features} of {features} features can be scored"
    )
    assert "missing genes" not in output
    assert "features not scored" not in output


def test_all_settings_are_meant_where_none_is_named(
    check: Check, write: Write, catalogue: Catalogue
) -> None:
    output = check(write())
    assert line(output, "gene coverage (all): ").startswith("full: ")
    assert line(output, "features not scored: ") == DRUG_FEATURES
    assert line(output, "- no drug") == " is stated"
    assert f"of {len(catalogue.markers)} features" in output


@pytest.mark.parametrize(
    ("setting", "knows_drugs"), [("ici", False), ("adc", True), ("hcc", False), ("sclc", False)]
)
def test_a_setting_has_its_own_features(
    check: Check, write: Write, catalogue: Catalogue, setting: str, knows_drugs: bool
) -> None:
    output = check(write(), "--setting", setting)
    features = len(catalogue.markers_of(setting))
    assert f"of {features} features can be scored" in line(output, f"gene coverage ({setting}): ")
    assert (DRUG_FEATURES in output) == knows_drugs
    assert ("no drug is stated" in output) == knows_drugs


def test_an_unknown_setting_is_refused(write: Write) -> None:
    result = run(write(), "--setting", "aml")
    assert result.exit_code == 2
    assert "'aml' is not one of" in " ".join(result.stderr.split())


def test_a_partial_cohort_names_the_features_it_lacks(
    check: Check, write: Write, catalogue: Catalogue
) -> None:
    genes = [gene for gene in catalogue.gene_symbols if gene not in ("B2M", "AXL")]
    output = check(write(genes[::2]), "--setting", "ici")
    assert line(output, "gene coverage (ici): ").startswith("partial: ")
    assert "b2m" in line(output, "features not scored: ").split(", ")
    assert "missing genes" not in output


def test_a_cohort_with_too_little_lists_every_missing_gene(
    check: Check, write: Write, catalogue: Catalogue
) -> None:
    wanted = list(genes_of(catalogue.markers_of("ici")))
    output = check(write(wanted[:50]), "--setting", "ici")
    coverage = f"too little: 50 of {len(wanted)} catalogue genes ({50 / len(wanted):.0%}), "
    assert line(output, "gene coverage (ici): ").startswith(coverage)
    assert line(output, "missing genes: ").split() == wanted[50:]


# --- the report as a file


def test_the_gene_report_is_written(
    check: Check, write: Write, catalogue: Catalogue, tmp_path: Path
) -> None:
    symbols = [gene for gene in catalogue.gene_symbols if gene not in ("VSIR", "AXL")]
    check(write(["C10orf54", *symbols]), "--setting", "ici", "--genes", tmp_path / "genes.csv")
    table = pd.read_csv(tmp_path / "genes.csv", keep_default_na=False).set_index("feature")
    assert list(table.index) == [marker.id for marker in catalogue.markers_of("ici")]
    assert list(table.columns) == [
        *("name", "genes", "found", "coverage", "scored", "found_as", "missing", "note")
    ]
    vsir = next(m for m in catalogue.markers_of("ici") if "VSIR" in m.genes)
    assert "VSIR(C10orf54)" in table.loc[vsir.id, "found_as"].split()
    axl = next(m for m in catalogue.markers_of("ici") if "AXL" in m.genes)
    assert table.loc[axl.id, "missing"] == "AXL"


def test_nothing_is_written_where_no_file_is_named(
    check: Check, write: Write, tmp_path: Path
) -> None:
    check(write())
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.csv"]


def test_a_gene_report_that_cannot_be_written_is_refused_first(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = run(write(), "--genes", tmp_path / "file" / "genes.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


# --- drugs


@pytest.fixture
def clinical(tmp_path: Path) -> Path:
    drugs = ["T-DM1", "T-DM1", "Trodelvy", "aspirin", "T-DXd + pembrolizumab", ""]
    table = pd.DataFrame({"sample_id": [f"s{i}" for i in range(6)], "drug": drugs})
    table.to_csv(tmp_path / "clinical.csv", index=False)
    return tmp_path / "clinical.csv"


def test_what_the_drugs_are_taken_for_is_printed(
    check: Check, write: Write, clinical: Path
) -> None:
    output = check(write(), "--clinical", clinical, "--setting", "adc")
    assert "- drug 'aspirin' is not in the drug table" in output.splitlines()
    assert "- 'T-DXd + pembrolizumab' is taken as Trastuzumab deruxtecan" in output.splitlines()
    assert "- no drug is stated" in output.splitlines()
    assert "features not scored" not in output


def test_drugs_are_no_matter_where_no_feature_knows_them(
    check: Check, write: Write, clinical: Path
) -> None:
    assert "aspirin" not in check(write(), "--clinical", clinical, "--setting", "ici")


def test_the_antigens_of_the_cohort_are_looked_for(
    check: Check, write: Write, catalogue: Catalogue, clinical: Path, tmp_path: Path
) -> None:
    genes = [gene for gene in catalogue.gene_symbols if gene != "TACSTD2"]
    arguments = ("--clinical", clinical, "--setting", "adc", "--genes", tmp_path / "genes.csv")
    check(write(genes), *arguments)
    row = pd.read_csv(tmp_path / "genes.csv").set_index("feature").loc["target_antigen"]
    assert (row["found_as"], row["missing"]) == ("ERBB2", "TACSTD2")
    assert row["note"] == "drug 'aspirin' is not in the drug table; no drug is stated"


# --- cohorts that cannot be used


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (["Trp53", *(f"Gene{i}" for i in range(60)), "B2m"], "those of mouse"),
        ([f"ENSG{i:011d}" for i in range(1, 60)], r"only 0 of the catalogue's \d+ genes"),
    ],
)
def test_a_cohort_without_the_genes_is_refused(
    write: Write, genes: list[str], message: str
) -> None:
    result = run(write(genes))
    assert result.exit_code == 2
    assert re.search(message, result.stderr), result.stderr


# --- real cohorts


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "found", "id_type"),
    [
        ("drug_response/GDSC_COSMIC656/expression.csv.gz", 53, "symbol"),
        ("drug_response/CCLE_SCLC_NAPY/expression.csv.gz", 2, "symbol"),
    ],
)
def test_a_real_panel_is_too_little(
    check: Check, shared: Path, catalogue: Catalogue, name: str, found: int, id_type: str
) -> None:
    output = check(shared / "cohorts" / name, "--setting", "ici")
    assert line(output, "gene identifiers: ") == id_type
    coverage = line(output, "gene coverage (ici): ")
    assert coverage.startswith("too little: ")
    assert int(coverage.split()[2]) >= found
    missing = line(output, "missing genes: ").split()
    assert len(missing) + int(coverage.split()[2]) == int(coverage.split()[4])
    assert set(missing) <= set(catalogue.gene_symbols)


@pytest.mark.real_data
def test_a_real_panel_of_717_genes_is_partial(check: Check, shared: Path) -> None:
    path = shared / "cohorts" / "bulk" / "prat_2017_gse93157" / "expression.csv.gz"
    output = check(path, "--setting", "ici")
    assert line(output, "gene coverage (ici): ").startswith("partial: ")
    assert "missing genes" not in output
