"""Gene symbols of a file brought to the catalogue's approved symbols."""

import pytest

from features.catalogue import Catalogue
from features.genes import count_genes, translate_genes


def test_earlier_symbols_become_the_approved_ones(catalogue: Catalogue) -> None:
    translation = translate_genes(["C10orf54", "B2M"], catalogue=catalogue)
    assert translation.symbols == ("VSIR", "B2M")
    assert translation.rescued == {"C10orf54": "VSIR"}
    assert translation.left_alone == ()


def test_an_alias_is_left_alone_where_the_approved_symbol_is_in_the_file(
    catalogue: Catalogue,
) -> None:
    translation = translate_genes(["C10orf54", "VSIR"], catalogue=catalogue)
    assert translation.symbols == ("C10orf54", "VSIR")
    assert translation.rescued == {}
    assert translation.left_alone == ("C10orf54",)


def test_approved_symbols_are_never_translated(catalogue: Catalogue) -> None:
    approved = [gene.symbol for gene in catalogue.genes]
    assert translate_genes(approved, catalogue=catalogue).symbols == tuple(approved)


def test_every_alias_of_the_catalogue_finds_its_gene(catalogue: Catalogue) -> None:
    expected = {alias: gene.symbol for gene in catalogue.genes for alias in gene.aliases}
    translation = translate_genes(list(expected), catalogue=catalogue)
    assert translation.rescued == expected


@pytest.mark.parametrize("stranger", ["FAS", "HGF", "MIF", "not_a_gene", "", "12"])
def test_what_the_catalogue_does_not_know_stays_as_it_is(
    catalogue: Catalogue, stranger: str
) -> None:
    translation = translate_genes([stranger], catalogue=catalogue)
    assert translation.symbols == (stranger,)
    assert translation.rescued == {}


def test_two_aliases_of_one_gene_both_become_it_so_that_they_are_merged_later(
    catalogue: Catalogue,
) -> None:
    gene = next(gene for gene in catalogue.genes if len(gene.aliases) >= 2)
    translation = translate_genes(list(gene.aliases[:2]), catalogue=catalogue)
    assert translation.symbols == (gene.symbol, gene.symbol)


def test_the_order_of_the_file_is_kept(catalogue: Catalogue) -> None:
    symbols = ["ZZZ3", "C10orf54", "A1BG", "B2M", "ZZZ3"]
    translated = translate_genes(symbols, catalogue=catalogue).symbols
    assert translated == ("ZZZ3", "VSIR", "A1BG", "B2M", "ZZZ3")


def test_genes_are_told_from_samples_by_symbols_aliases_and_ensembl_ids(
    catalogue: Catalogue,
) -> None:
    genes = ["B2M", "C10orf54", "ENSG00000085563", "ENSG00000085563.17"]
    assert count_genes(genes, catalogue=catalogue) == 4
    samples = ["Pt1_Pre", "ENSG1", "ENSG00000085563x", "GSM2445716", "sample b2m"]
    assert count_genes(samples, catalogue=catalogue) == 0
