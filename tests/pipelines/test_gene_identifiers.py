"""Files with gene identifiers of any kind ingest to the same cohort."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Gene, default_catalogue
from features.cohort import cohort_facts
from features.errors import CohortError
from features.transformer import MarkerFeatures
from pipelines.ingest import IngestedCohort, ingest_cohort
from pipelines.settings.cohort import CohortConfig

Ingest = Callable[..., IngestedCohort]
Spell = Callable[[Gene], str]

OTHERS = 40
"""Genes beside the catalogue's, with ids of their own."""


@cache
def genes() -> tuple[Gene, ...]:
    """Return the catalogue's genes, and others that it does not hold."""
    others = (
        Gene(
            symbol=f"OTHER{i}",
            ensembl_id=f"ENSG00009{i:06d}",
            entrez_id=900_000_000 + i,
            aliases=(),
        )
        for i in range(OTHERS)
    )
    return (*default_catalogue().genes, *others)


@cache
def tpm() -> pd.DataFrame:
    """Return 8 samples × all genes, TPM by symbol."""
    rng = np.random.default_rng(20260401)
    values = rng.gamma(0.6, 2000.0, (8, len(genes()))).round(3)
    values[rng.random(values.shape) < 0.1] = 0.0
    samples = [f"s{i}" for i in range(8)]
    return pd.DataFrame(values, index=samples, columns=[gene.symbol for gene in genes()])


def spelled(*spellings: Spell) -> pd.DataFrame:
    """Return the cohort with its genes spelled one way, or several ways in turn."""
    names = [spellings[i % len(spellings)](gene) for i, gene in enumerate(genes())]
    return tpm().set_axis(names, axis=1)


SPELLINGS: Mapping[str, tuple[str, Sequence[Spell]]] = {
    "symbols": ("symbol", [lambda g: g.symbol]),
    "lower case": ("symbol", [lambda g: g.symbol.lower()]),
    "as R writes them": ("symbol", [lambda g: g.symbol.replace("-", ".")]),
    "Ensembl": ("Ensembl", [lambda g: g.ensembl_id]),
    "Ensembl with version": ("Ensembl", [lambda g: f"{g.ensembl_id}.{len(g.symbol)}"]),
    "Entrez": ("Entrez", [lambda g: str(g.entrez_id)]),
    "Entrez as decimals": ("Entrez", [lambda g: f"{g.entrez_id}.0"]),
    "TCGA": ("joined", [lambda g: f"{g.symbol}|{g.entrez_id}"]),
    "TCGA without symbols": ("joined", [lambda g: f"?|{g.entrez_id}"]),
    "Ensembl_symbol": ("joined", [lambda g: f"{g.ensembl_id}.3_{g.symbol}"]),
    "mixed": (
        "mixed",
        [lambda g: g.symbol, lambda g: f"{g.ensembl_id}.1", lambda g: str(g.entrez_id)],
    ),
}


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    """Return an ingester of a frame (genes × samples, or the other way), or of a file there."""

    def run(expression: pd.DataFrame | str, **config: Any) -> IngestedCohort:
        if isinstance(expression, pd.DataFrame):
            expression.to_csv(tmp_path / "expression.csv")
            expression = "expression.csv"
        tree = {"name": "made", "expression": expression, "unit": "tpm", **config}
        return ingest_cohort(
            CohortConfig.model_validate(tree), root=tmp_path, labels_required=False
        )

    return run


def expect_catalogue_genes(cohort: IngestedCohort) -> None:
    """Check that the catalogue's genes are there by symbol, each with its own values."""
    symbols = [gene.symbol for gene in default_catalogue().genes]
    found = cohort.adata[:, symbols]
    expected = np.log1p(tpm().div(tpm().sum(axis=1), axis=0) * 1e6)[symbols]
    np.testing.assert_allclose(found.X, expected.to_numpy(), rtol=0, atol=1e-9)
    assert cohort.adata.n_vars == tpm().shape[1]


def notes(cohort: IngestedCohort) -> str:
    return "\n".join(cohort.report.notes)


# --- every kind of identifier


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_kind_of_identifier_gives_the_same_cohort(ingest: Ingest, name: str) -> None:
    id_type, spellings = SPELLINGS[name]
    table = spelled(*spellings)
    cohort = ingest(table.T)
    expect_catalogue_genes(cohort)
    assert cohort_facts(cohort.adata)["gene_id_type"].split()[0] == id_type


def test_mixed_kinds_are_counted(ingest: Ingest) -> None:
    cohort = ingest(spelled(*SPELLINGS["mixed"][1]).T)
    third = len(genes()) // 3
    assert len(genes()) == 3 * third + 1
    counts = f"mixed ({third} Ensembl, {third} Entrez, {third + 1} symbol)"
    assert cohort_facts(cohort.adata)["gene_id_type"] == counts
    assert f"gene identifiers: {counts}, translated to symbols" in notes(cohort)


@pytest.mark.parametrize("name", ["Ensembl with version", "Entrez", "TCGA", "mixed"])
def test_samples_may_stand_in_the_rows(ingest: Ingest, name: str) -> None:
    expect_catalogue_genes(ingest(spelled(*SPELLINGS[name][1])))


@pytest.mark.parametrize("name", ["lower case", "Ensembl with version", "TCGA", "mixed"])
def test_every_kind_of_identifier_gives_the_same_features(ingest: Ingest, name: str) -> None:
    first = ingest(tpm().T).adata
    again = ingest(spelled(*SPELLINGS[name][1]).T).adata
    expected, found = (MarkerFeatures().fit(adata).transform(adata) for adata in (first, again))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_every_gene_remembers_its_id_in_the_file(ingest: Ingest) -> None:
    var = ingest(spelled(lambda g: f"{g.ensembl_id}.7").T).adata.var
    assert var.loc["VSIR", "original_id"] == "ENSG00000107738.7"
    assert var.loc["VSIR", "ensembl_id"] == "ENSG00000107738"
    assert var.loc["ENSG00009000003.7", "original_id"] == "ENSG00009000003.7"
    assert var.loc["ENSG00009000003.7", "ensembl_id"] == ""


def test_every_catalogue_gene_has_its_ensembl_id_whatever_the_file_had(ingest: Ingest) -> None:
    var = ingest(spelled(lambda g: str(g.entrez_id)).T).adata.var
    for gene in default_catalogue().genes:
        assert var.loc[gene.symbol, "ensembl_id"] == gene.ensembl_id
        assert var.loc[gene.symbol, "original_id"] == str(gene.entrez_id)


def test_two_ids_of_one_gene_are_added_up(ingest: Ingest) -> None:
    table = spelled(lambda g: f"{g.ensembl_id}.1")
    table["ENSG00000166710.1_PAR_Y"] = table["ENSG00000166710.1"] / 4
    table["ENSG00000166710.1"] *= 3 / 4
    cohort = ingest(table.T)
    expect_catalogue_genes(cohort)
    assert "1 genes stand in several rows, added up: B2M" in notes(cohort)


def test_what_may_mean_several_genes_is_noted(ingest: Ingest) -> None:
    table = tpm().rename(columns={"ABCC1": "MRP1", "OTHER1": "MIF"})
    table.insert(0, "1-Mar", 1.0)
    table.insert(0, "1-Mar", 1.0, allow_duplicates=True)
    cohort = ingest(table.T)
    assert {"MRP1", "MIF"} <= set(cohort.adata.var_names)
    assert "ABCC1" not in cohort.adata.var_names
    assert "MRP1 (ABCC1 or another gene)" in notes(cohort)
    assert "1-Mar (MARCHF1 or MTARC1)" in notes(cohort)
    assert "MARCHF1" not in cohort.adata.var_names


def test_dates_of_a_spreadsheet_become_genes(ingest: Ingest) -> None:
    renamed = {"POU5F1": "4-Oct", "OTHER1": "1-Mar", "OTHER2": "5-Sep", "OTHER3": "2001-09-09"}
    cohort = ingest(tpm().rename(columns=renamed).T)
    expect_catalogue_genes(cohort)
    assert {"POU5F1", "MARCHF1", "SEPTIN5", "SEPTIN9"} <= set(cohort.adata.var_names)
    assert cohort.adata.var.loc["SEPTIN5", "original_id"] == "5-Sep"
    assert "4 renamed genes recognised: " in notes(cohort)


@pytest.mark.parametrize("n_cells", [1000, 2000])
def test_numbered_cells_are_not_taken_for_entrez_ids(ingest: Ingest, n_cells: int) -> None:
    # Fixed: of 1,000 numbered cells 65 count as genes, more than a panel of 60 genes has.
    rng = np.random.default_rng(0)
    panel = [gene.symbol for gene in default_catalogue().genes[:60]]
    cells = pd.DataFrame(rng.gamma(0.6, 40.0, (n_cells, 60)).round(1), columns=panel)
    cohort = ingest(cells)
    assert cohort.adata.shape == (n_cells, 60)
    assert set(cohort.adata.var_names) == set(panel)


@pytest.mark.parametrize(
    ("spell", "message"),
    [
        (lambda g: g.symbol.capitalize(), "those of mouse"),
        (lambda g: g.ensembl_id.replace("ENSG", "ENSMUSG"), "those of mouse"),
        (lambda g: g.ensembl_id.replace("ENSG", "ENSRNOG"), "those of another species"),
        (lambda g: g.ensembl_id.replace("ENSG", "ENST"), "transcripts"),
    ],
    ids=["mouse symbols", "mouse Ensembl", "rat Ensembl", "transcripts"],
)
def test_what_is_not_a_human_gene_is_refused(ingest: Ingest, spell: Spell, message: str) -> None:
    # Fixed: of Ensembl ids only "no known gene in the rows" was said, orientation stated or not.
    with pytest.raises(CohortError, match=rf"expression\.csv.*{message}"):
        ingest(spelled(spell).T)


# --- a table of further genes


@pytest.fixture
def gene_table(tmp_path: Path) -> str:
    """Return the name of a table of the ids of the other genes."""
    table = pd.DataFrame(
        {
            "symbol": [gene.symbol for gene in genes()[-OTHERS:]],
            "ensembl_id": [gene.ensembl_id for gene in genes()[-OTHERS:]],
            "entrez_id": [gene.entrez_id for gene in genes()[-OTHERS:]],
        }
    )
    table.to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    return "genes.tsv"


@pytest.mark.parametrize(
    "name", ["Ensembl", "Ensembl with version", "Entrez", "Entrez as decimals", "TCGA", "mixed"]
)
def test_a_gene_table_translates_the_other_genes(
    ingest: Ingest, gene_table: str, name: str
) -> None:
    # Fixed: any gene_table ended in "The truth value of a Series is ambiguous".
    cohort = ingest(spelled(*SPELLINGS[name][1]).T, gene_table=gene_table)
    expect_catalogue_genes(cohort)
    assert sorted(cohort.adata.var_names) == sorted(gene.symbol for gene in genes())


def test_a_gene_table_is_among_the_files_read(
    ingest: Ingest, gene_table: str, tmp_path: Path
) -> None:
    cohort = ingest(tpm().T, gene_table=gene_table)
    assert str(tmp_path / gene_table) in cohort.files


def test_the_catalogue_goes_before_a_gene_table(ingest: Ingest, tmp_path: Path) -> None:
    (tmp_path / "genes.csv").write_text("symbol,entrez_id\nWRONG,567\nOTHER0,900000000\n")
    cohort = ingest(spelled(lambda g: str(g.entrez_id)).T, gene_table="genes.csv")
    expect_catalogue_genes(cohort)
    assert "OTHER0" in cohort.adata.var_names
    assert "WRONG" not in cohort.adata.var_names


def test_rows_of_a_gene_table_without_symbol_or_id_translate_nothing(
    ingest: Ingest, tmp_path: Path
) -> None:
    # Fixed: NA, as R writes a missing symbol, became the symbol of every such gene.
    (tmp_path / "genes.csv").write_text("symbol,entrez_id\n,900000000\nNA,900000001\nFOO,NA\n")
    cohort = ingest(spelled(lambda g: str(g.entrez_id)).T, gene_table="genes.csv")
    assert {"900000000", "900000001"} <= set(cohort.adata.var_names)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "gene,ensembl_id\nTP53,ENSG00000141510\n",
            r"columns symbol, and ensembl_id .*it has gene",
        ),
        ("symbol,id\nTP53,ENSG00000141510\n", r"or entrez_id; it has symbol, id"),
        ("symbol,ensembl_id\n", r"has a header but no rows"),
        ("symbol,symbol\nA,B\n", r"columns stand more than once: symbol"),
        ("", r"is empty"),
        (None, r"there is no file .*genes\.csv; check the path"),
    ],
)
def test_a_gene_table_of_no_use_is_named(
    ingest: Ingest, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "genes.csv").write_text(content)
    with pytest.raises(CohortError, match=message):
        ingest(tpm().T, gene_table="genes.csv")


# --- h5ad


def h5ad(path: Path, spell: Spell, **columns: object) -> str:
    """Write the cohort as h5ad with its genes spelled so in ``var_names``; return its name."""
    var = pd.DataFrame(columns, index=[spell(gene) for gene in genes()])
    ad.AnnData(tpm().to_numpy(), obs=pd.DataFrame(index=tpm().index), var=var).write_h5ad(path)
    return path.name


@pytest.mark.parametrize("name", ["Ensembl", "Ensembl with version", "Entrez", "TCGA"])
def test_an_h5ad_may_have_ids_for_names(ingest: Ingest, tmp_path: Path, name: str) -> None:
    id_type, spellings = SPELLINGS[name]
    cohort = ingest(h5ad(tmp_path / "made.h5ad", spellings[0]))
    expect_catalogue_genes(cohort)
    assert cohort_facts(cohort.adata)["gene_id_type"] == id_type


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Ensembl", "feature_name"),
        ("Ensembl with version", "gene_symbols"),
        ("Ensembl", "gene_name"),
        ("Entrez", "symbol"),
    ],
)
def test_an_h5ad_brings_the_symbols_of_its_ids(
    ingest: Ingest, tmp_path: Path, name: str, column: str
) -> None:
    # Fixed: any of these columns ended in "The truth value of a Index is ambiguous".
    symbols = pd.Categorical([gene.symbol for gene in genes()])
    cohort = ingest(h5ad(tmp_path / "made.h5ad", SPELLINGS[name][1][0], **{column: symbols}))
    expect_catalogue_genes(cohort)
    assert sorted(cohort.adata.var_names) == sorted(gene.symbol for gene in genes())


def test_an_h5ad_with_symbols_twice_is_read(ingest: Ingest, tmp_path: Path) -> None:
    symbols = [gene.symbol for gene in genes()]
    cohort = ingest(h5ad(tmp_path / "made.h5ad", lambda g: g.symbol, feature_name=symbols))
    expect_catalogue_genes(cohort)


def test_a_gene_table_goes_before_the_symbols_of_an_h5ad(
    ingest: Ingest, tmp_path: Path, gene_table: str
) -> None:
    wrong = [f"WRONG{i}" for i in range(len(genes()))]
    file = h5ad(tmp_path / "made.h5ad", lambda g: g.ensembl_id, feature_name=wrong)
    cohort = ingest(file, gene_table=gene_table)
    assert sorted(cohort.adata.var_names) == sorted(gene.symbol for gene in genes())


def test_an_ingested_cohort_with_ids_is_ingested_again(ingest: Ingest, tmp_path: Path) -> None:
    first = ingest(spelled(lambda g: f"{g.ensembl_id}.7").T)
    first.adata.write_h5ad(tmp_path / "again.h5ad")
    again = ingest("again.h5ad", unit="auto")
    expect_catalogue_genes(again)
    assert sorted(again.adata.var_names) == sorted(first.adata.var_names)


# --- real files


def written_as(gene: Gene, id_type: str) -> str:
    """Return how a file of that kind writes a gene, without version."""
    return {"Ensembl": gene.ensembl_id, "Entrez": str(gene.entrez_id)}[id_type]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "id_type", "at_least"),
    [
        ("glioblastoma_panobinostat_5000x300", "Ensembl", 41),
        ("scad_a375_brafi_108x2873", "Entrez", 91),
    ],
)
def test_real_cells_with_id_numbers_are_read(
    shared: Path, name: str, id_type: str, at_least: int
) -> None:
    tree = {
        "name": "cells",
        "expression": f"{name}.h5ad",
        "labels": {"responsive": ["sensitive"], "resistant": ["resistant"]},
    }
    config = CohortConfig.model_validate(tree)
    root = shared / "cohorts" / "single_cell"
    adata = ingest_cohort(config, root=root, labels_required=False).adata
    assert cohort_facts(adata)["gene_id_type"] == id_type
    found = [gene for gene in default_catalogue().genes if gene.symbol in adata.var_names]
    assert len(found) >= at_least
    originals = adata.var["original_id"].str.split(".").str[0]
    assert [originals[gene.symbol] for gene in found] == [written_as(g, id_type) for g in found]


@pytest.mark.real_data
def test_the_dates_of_gdsc_are_septins_with_their_own_values(shared: Path) -> None:
    folder = shared / "cohorts" / "drug_response" / "GDSC_COSMIC656"
    config = CohortConfig(name="gdsc", expression=str(folder / "expression.csv.gz"))
    adata = ingest_cohort(config, root=folder, labels_required=False).adata
    table = pd.read_csv(folder / "expression.csv.gz", index_col=0)
    for day in (5, 6, 9):
        assert adata.var.loc[f"SEPTIN{day}", "original_id"] == f"{day}-Sep"
        found = adata[:, f"SEPTIN{day}"].to_df().iloc[:, 0]
        pd.testing.assert_series_equal(found, table.loc[f"{day}-Sep"], check_names=False)
