"""The vocabulary of cell types hangs together, and other annotations are understood."""

import re

import pytest

from features.catalogue import default_catalogue
from features.cells.cell_types import (
    CELL_TYPES,
    COMPARTMENTS,
    TYPE_CODES,
    ancestors,
    cell_type_catalogue,
    cell_types,
    lineage_of,
    map_annotation,
    name_marker_genes,
)


def test_codes_are_positions_and_unknown_is_the_last() -> None:
    assert [CELL_TYPES[code] for code in TYPE_CODES.values()] == list(CELL_TYPES)
    assert CELL_TYPES[-1] == "unknown"
    assert len(CELL_TYPES) < 128


def test_the_file_holds_every_type_in_order() -> None:
    assert tuple(kind.id for kind in cell_types()) == CELL_TYPES


def test_compartments_hold_the_types_that_say_they_belong_there() -> None:
    for kind in cell_types():
        if kind.compartment is None:
            assert all(kind.id not in types for types in COMPARTMENTS.values())
        else:
            assert kind.id in COMPARTMENTS[kind.compartment]
    assert {name for types in COMPARTMENTS.values() for name in types} <= set(CELL_TYPES)


def test_every_source_is_cited_and_has_a_doi_and_a_place_where_it_was_seen() -> None:
    catalogue = cell_type_catalogue()
    cited = {citation.source for kind in catalogue.types for citation in kind.sources}
    assert cited == set(catalogue.sources)
    assert all(source.doi.startswith("10.") for source in catalogue.sources.values())
    assert all(source.found_in for source in catalogue.sources.values())


def test_no_gene_is_listed_that_no_type_uses() -> None:
    used = {gene for kind in cell_types() for gene in (*kind.genes, *kind.against)}
    assert used == set(cell_type_catalogue().genes)


def test_no_gene_speaks_for_and_against_one_type() -> None:
    for kind in cell_types():
        assert not set(kind.genes) & set(kind.against), kind.id


def test_identifiers_agree_with_the_marker_catalogue() -> None:
    known = {gene.symbol: gene for gene in default_catalogue().genes}
    shared = [name for name in cell_type_catalogue().genes if name in known]
    assert len(shared) > 20
    for name in shared:
        assert cell_type_catalogue().genes[name].ensembl == known[name].ensembl_id, name


@pytest.mark.parametrize("type_id", CELL_TYPES)
def test_an_id_means_itself(type_id: str) -> None:
    assert map_annotation([type_id]) == ([type_id], ())


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("CD8, T Effector Memory", "cd8_t"),
        ("Cytotoxic CD8", "cd8_t"),
        ("Exhausted/HS Cd8+ cells", "cd8_t"),
        ("CD8-positive, alpha-beta T cell", "cd8_t"),
        ("Tcm/Naive cytotoxic T cells", "cd8_t"),
        ("Tem/Effector helper T cells", "cd4_t"),
        ("reg. T cell", "treg"),
        ("Regulatory T cells (Tregs)", "treg"),
        ("Naive T Cells", "t_cell"),
        ("NKT cells", "t_cell"),
        ("T_NK", "lymphocyte"),
        ("Lymphocytes/cell-cycle", "lymphocyte"),
        ("CD16+ NK cells", "nk"),
        ("natural killer cell", "nk"),
        ("Age-associated B cells", "b"),
        ("Plasmablasts", "plasma"),
        ("plasmacytoid dendritic cell", "dc"),
        ("Mono/Macro", "myeloid"),
        ("FCGR3A+ Monocytes", "monocyte"),
        ("M-MDSC", "mdsc_like"),
        ("Cancer-associated fibroblast", "fibroblast"),
        ("Endo.", "endothelial"),
        ("Tumor cells", "malignant"),
        ("melanoma", "melanocytic"),
        ("Platelet", "other"),
        ("Neuron", "other"),
    ],
)
def test_labels_of_other_annotations_are_understood(label: str, meaning: str) -> None:
    assert map_annotation([label]) == ([meaning], ())


@pytest.mark.parametrize(
    "label", ["Unassigned", "Node1", "Proliferating", "3", "non-malignant", ""]
)
def test_labels_that_name_no_type_are_unknown_without_a_complaint(label: str) -> None:
    assert map_annotation([label]) == (["unknown"], ())


def test_what_is_not_understood_is_told_once_in_the_order_it_comes() -> None:
    types, unmapped = map_annotation(["zzz", "B cell", "qqq", "zzz"])
    assert types == ["unknown", "b", "unknown", "unknown"]
    assert unmapped == ("zzz", "qqq")


def test_epithelial_cells_beside_named_malignant_ones_are_normal() -> None:
    assert map_annotation(["Epithelial"])[0] == ["epithelial"]
    assert map_annotation(["Malignant", "Epithelial"])[0] == ["malignant", "other"]
    assert map_annotation(["malignant", "melanocytic"])[0] == ["malignant", "melanocytic"]


def test_a_pattern_never_takes_what_an_alias_means() -> None:
    for kind in cell_types():
        for alias in kind.aliases:
            assert map_annotation([alias])[0] == [kind.id]
        for pattern in kind.patterns:
            re.compile(pattern)


def test_ancestors_lead_to_the_lineage() -> None:
    assert ancestors("treg") == ("t_cell", "lymphocyte")
    assert lineage_of("mdsc_like") == "myeloid"
    assert ancestors("unknown") == ()


def test_marker_genes_are_known_by_earlier_symbols_and_ids() -> None:
    names = ["cd3d", "SEPP1", "ENSG00000167286.9", "915", "C10orf54"]
    assert name_marker_genes(names) == ["CD3D", "SELENOP", "CD3D", "CD3D", ""]
