"""The vocabulary of cell types: markers, compartments, and what other annotations call them."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.catalogue_entries import Citation, Source
from features.errors import CatalogueError, examples
from features.gene_ids import clean, strip_version

__all__ = [
    "CELL_TYPES",
    "COMPARTMENTS",
    "TYPE_CODES",
    "CellType",
    "CellTypeCatalogue",
    "MarkerGene",
    "ancestors",
    "cell_type_catalogue",
    "cell_types",
    "lineage_of",
    "map_annotation",
    "name_marker_genes",
]

CELL_TYPES: tuple[str, ...] = (
    *("malignant", "melanocytic", "epithelial", "glial"),
    *("cd8_t", "cd4_t", "treg", "t_cell", "nk", "b", "plasma"),
    *("macrophage", "monocyte", "mdsc_like", "dc", "mast", "myeloid"),
    *("fibroblast", "endothelial", "lymphocyte", "other", "unknown"),
)
"""Ids of the cell types; their codes are positions here."""
TYPE_CODES: Mapping[str, int] = {name: code for code, name in enumerate(CELL_TYPES)}
"""Id of a cell type → its code (int8)."""
COMPARTMENTS: Mapping[str, tuple[str, ...]] = {
    "malignant": ("malignant", "melanocytic", "epithelial", "glial"),
    "t_cell": ("cd8_t", "cd4_t", "treg", "t_cell"),
    "cd8_t": ("cd8_t",),
    "cd4_t": ("cd4_t",),
    "treg": ("treg",),
    "nk_cell": ("nk",),
    "b_cell": ("b", "plasma"),
    "myeloid": ("macrophage", "monocyte", "mdsc_like", "dc", "mast", "myeloid"),
    "macrophage": ("macrophage",),
    "stroma": ("fibroblast", "endothelial"),
}
"""Compartment → the cell types that belong to it; a cell may stand in several."""

_FILE = Path(__file__).parent / "cell_types.yaml"
_MODEL = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
_SHORTEST_PLURAL = 3
_FIRST = ("unknown", "other")
_OF_ONE_TISSUE = ("melanocytic", "epithelial", "glial")


class CellType(BaseModel):
    """One cell type: how it is recognised and what it is called elsewhere."""

    model_config = _MODEL

    id: str
    """One of :data:`CELL_TYPES`."""
    name: str = Field(min_length=2)
    """Name in the field's terms."""
    compartment: Literal["malignant", "t_cell", "nk_cell", "b_cell", "myeloid", "stroma"] | None = (
        None
    )
    """Compartment of the catalogue's markers that its cells make up, None for none."""
    parent: str | None = None
    """The less specific type of a cell whose markers do not decide further."""
    within_parent: bool = False
    """Whether its markers are shared with other lineages and decide within the parent alone."""
    signatures: Mapping[str, tuple[str, ...]] = {}
    """Sets of marker genes (approved symbols), by name; the best one speaks for the type."""
    against: tuple[str, ...] = ()
    """Approved symbols of genes that speak against it."""
    aliases: tuple[str, ...] = ()
    """Spellings in annotation columns."""
    patterns: tuple[str, ...] = ()
    """Regular expressions over folded spellings, tried after all aliases."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""
    evidence: Literal["review", "field"]
    """``review``: a review of the project names the type; ``field``: standard of the field."""

    @property
    def genes(self) -> tuple[str, ...]:
        """Every marker gene that speaks for the type, each once."""
        return tuple(dict.fromkeys(gene for genes in self.signatures.values() for gene in genes))


class MarkerGene(BaseModel):
    """Identifiers of a marker gene."""

    model_config = _MODEL

    ensembl: str = Field(pattern=r"^ENSG\d{11}$")
    """Stable Ensembl gene id without version."""
    entrez: int | None = None
    """NCBI Gene id, None where the annotation gives none."""
    earlier: tuple[str, ...] = ()
    """Earlier and alias symbols that mean this gene alone."""


class CellTypeCatalogue(BaseModel):
    """The cell types, the genes they are told by and the bibliography."""

    model_config = _MODEL

    version: str
    """Version of the file."""
    sources: Mapping[str, Source]
    """Key → publication."""
    types: tuple[CellType, ...]
    """The types in the order of :data:`CELL_TYPES`."""
    genes: Mapping[str, MarkerGene]
    """Approved symbol → identifiers."""


@cache
def cell_type_catalogue() -> CellTypeCatalogue:
    """Return the catalogue of cell types that comes with the package.

    Raises
    ------
    CatalogueError
        The file is damaged, lacks a type, or names a gene, source or parent that it does not hold.
    """
    try:
        content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
        for key, source in content["sources"].items():
            source["key"] = key
        catalogue = CellTypeCatalogue.model_validate(content)
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError, ValidationError) as error:
        raise CatalogueError(f"{_FILE.name} cannot be read: {' '.join(str(error).split())}") from (
            error
        )
    _check(catalogue)
    return catalogue


def cell_types() -> tuple[CellType, ...]:
    """Return the cell types in the order of :data:`CELL_TYPES`."""
    return cell_type_catalogue().types


def _check(catalogue: CellTypeCatalogue) -> None:
    ids = tuple(kind.id for kind in catalogue.types)
    if ids != CELL_TYPES:
        differing = sorted(set(ids) ^ set(CELL_TYPES)) or ["their order"]
        raise CatalogueError(f"{_FILE.name}: types differ from CELL_TYPES: {examples(differing)}")
    named = {gene for kind in catalogue.types for gene in (*kind.genes, *kind.against)}
    faults = [f"gene {gene}" for gene in sorted(named - set(catalogue.genes))]
    for kind in catalogue.types:
        faults += [f"source {c.source}" for c in kind.sources if c.source not in catalogue.sources]
        if kind.parent is not None and kind.parent not in ids:
            faults.append(f"parent {kind.parent}")
    if faults:
        raise CatalogueError(f"{_FILE.name} names what it does not hold: {examples(faults)}")


@cache
def ancestors(type_id: str) -> tuple[str, ...]:
    """Return the less specific types above a type, the nearest first.

    Examples
    --------
    >>> ancestors("cd8_t")
    ('t_cell', 'lymphocyte')
    """
    parent = cell_types()[TYPE_CODES[type_id]].parent
    return () if parent is None else (parent, *ancestors(parent))


def lineage_of(type_id: str) -> str:
    """Return the least specific type above a type, itself where there is none.

    Examples
    --------
    >>> lineage_of("treg"), lineage_of("plasma")
    ('lymphocyte', 'plasma')
    """
    return (type_id, *ancestors(type_id))[-1]


def map_annotation(values: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the cell types that labels of an annotation mean, and the labels not understood.

    Parameters
    ----------
    values
        One label per cell, in any spelling: case, spacing, punctuation, plurals and the word
        "cell" do not matter. Ids of :data:`CELL_TYPES` mean themselves.

    Returns
    -------
    types
        One of :data:`CELL_TYPES` per label; ``unknown`` for what is not understood, and for what
        says nothing of a type ("Unassigned", "Proliferating", "Node1").
    unmapped
        The labels that were not understood, each once, in the order they come.

    Notes
    -----
    Where the labels name malignant cells as such, epithelial, glial and melanocytic labels beside
    them are read as normal cells (``other``); where they do not, as the tumour's.

    Examples
    --------
    >>> map_annotation(["CD8, T Effector Memory", "reg. T cell", "T_NK", "Node1", "Mystery"])
    (['cd8_t', 'treg', 'lymphocyte', 'unknown', 'unknown'], ('Mystery',))
    """
    meaning = {value: _meaning(str(value)) for value in dict.fromkeys(values)}
    if "malignant" in meaning.values():
        normal = [value for value, found in meaning.items() if found in _OF_ONE_TISSUE]
        meaning |= {value: "other" for value in normal if value not in _OF_ONE_TISSUE}
    types = [meaning[value] or "unknown" for value in values]
    return types, tuple(str(value) for value, found in meaning.items() if found is None)


def _meaning(label: str) -> str | None:
    if label in TYPE_CODES:
        return label
    folded = _fold(label)
    known = _aliases().get(folded)
    if known is not None:
        return known
    for pattern, type_id in _patterns():
        if pattern.search(folded):
            return type_id
    return None


def _fold(label: str) -> str:
    """Return a label in lower case, its words in the singular, without the word "cell"."""
    words = re.split(r"[^a-z0-9?]+", label.lower().replace("γδ", "gd").replace("αβ", "alpha beta"))
    return " ".join(_singular(word) for word in words if word not in ("", "cell", "cells"))


def _singular(word: str) -> str:
    plural = len(word) >= _SHORTEST_PLURAL and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


@cache
def _aliases() -> Mapping[str, str]:
    folded: dict[str, str] = {}
    for kind in cell_types():
        for spelling in (kind.id, *kind.aliases):
            known = folded.setdefault(_fold(spelling), kind.id)
            if known != kind.id:
                raise CatalogueError(
                    f"{_FILE.name}: alias '{spelling}' means both {known} and {kind.id}"
                )
    return folded


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    # "non-malignant" and "normal epithelial" would otherwise read as malignant
    ordered = sorted(cell_types(), key=lambda kind: -TYPE_CODES[kind.id] * (kind.id in _FIRST))
    return tuple((re.compile(text), kind.id) for kind in ordered for text in kind.patterns)


def name_marker_genes(symbols: Sequence[str]) -> list[str]:
    """Return the approved symbol of each marker gene among a file's genes, "" for the others.

    ``symbols`` may be approved or earlier symbols, in any letter case, Ensembl ids with or without
    version, or Entrez ids, as :func:`features.genes.translate_genes` leaves what it does not know.

    Examples
    --------
    >>> name_marker_genes(["CD3D", "IGJ", "ENSG00000153563.15", "TP53"])
    ['CD3D', 'JCHAIN', 'CD8A', '']
    """
    names = _gene_names()
    cleaned = (clean(str(symbol)) for symbol in symbols)
    return [names.get(text.upper()) or names.get(strip_version(text)) or "" for text in cleaned]


@cache
def _gene_names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    for symbol, gene in cell_type_catalogue().genes.items():
        names |= {name.upper(): symbol for name in (*gene.earlier, gene.ensembl)}
        if gene.entrez is not None:
            names[str(gene.entrez)] = symbol
    return names | {symbol.upper(): symbol for symbol in cell_type_catalogue().genes}
