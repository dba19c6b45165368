"""The catalogue: resistance mechanisms and markers of the reviews, loaded and checked.

The files under ``features/catalogue/`` are data: ``genes.yaml`` (identifiers of every gene),
``sources.yaml`` (the bibliography) and one file per section of markers. This module reads them
into frozen objects and refuses anything that does not hang together.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.catalogue_files import read_catalogue_files
from features.errors import CatalogueError

__all__ = ["Catalogue", "Gene", "Marker", "Source", "default_catalogue", "load_catalogue"]

Sign = Literal["+", "-", "·"]
Setting = Literal["ici", "adc", "hcc", "sclc"]
Compartment = Literal["malignant", "t_cell", "b_cell", "nk_cell", "myeloid", "stroma", "any"]
ScoreRule = Literal["mean", "difference", "lower_of_two", "excess"]

_SIGN_VALUE: Mapping[str, int] = {"+": 1, "-": -1, "·": 0}
_NAME_FIELD: Mapping[str, tuple[str, str]] = {
    "genes": ("gene", "symbol"),
    "sources": ("source", "key"),
    "markers": ("marker", "id"),
}
_DEFAULT_FOLDER = Path(__file__).parent / "catalogue"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Gene(_Record):
    """Identifiers of one gene; ``symbol`` is the approved HGNC symbol."""

    symbol: str
    ensembl_id: str = Field(pattern=r"^ENSG\d{11}$")
    """Stable Ensembl gene id without version."""
    entrez_id: int = Field(gt=0)
    """NCBI Gene id."""
    aliases: tuple[str, ...] = ()
    """Earlier and alias symbols that mean this gene alone."""


class Source(_Record):
    """One publication of the bibliography."""

    key: str = Field(pattern=r"^[a-z0-9_]+$")
    citation: str = Field(min_length=10)
    doi: str = Field(pattern=r"^10\.\d{4,9}/\S+$")
    found_in: str = Field(min_length=3)
    """Where the DOI stands: a review of the project, or the address and date of the look-up."""


class Citation(_Record):
    """What one source says about a marker, in our own words."""

    source: str
    """Key of a :class:`Source`."""
    paraphrase: str = Field(min_length=15)


class Marker(_Record):
    """One documented feature: genes, how they are scored, what more of it means."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: str = Field(min_length=3)
    section: str
    mechanism: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Mechanism class; SHAP attributions are summed over it."""
    genes: tuple[str, ...] = Field(min_length=1)
    """Approved symbols whose score is taken."""
    minus_genes: tuple[str, ...] = ()
    """Approved symbols whose mean score is subtracted (rules ``difference`` and ``excess``)."""
    score: ScoreRule = "mean"
    """``mean`` of the genes; ``difference``: mean minus the mean of ``minus_genes``;
    ``lower_of_two``: the lower of two genes; ``excess``: mean over what ``minus_genes`` show."""
    sign: Sign
    """``+`` more of it goes with resistance, ``-`` with response, ``·`` not fixed."""
    sign_by_setting: dict[Setting, Sign] = {}
    sign_single_cell: Sign | None = None
    """Sign where it differs in single cells, else None."""
    compartment: Compartment
    evidence: Literal["review", "class", "field"]
    """``review``: named in a review; ``class``: the review names the mechanism, the genes are the
    field's standard members; ``field``: not in the reviews, used by published predictors."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    note: str = ""

    @model_validator(mode="after")
    def _rule_fits_genes(self) -> Self:
        needs_minus = self.score in ("difference", "excess")
        if needs_minus != bool(self.minus_genes):
            raise ValueError(f"score '{self.score}' and minus_genes do not fit together")
        if self.score == "lower_of_two" and len(self.genes) != 2:
            raise ValueError("score 'lower_of_two' takes exactly two genes")
        named = self.genes + self.minus_genes
        if len(set(named)) != len(named):
            raise ValueError("a gene is named twice")
        return self

    def signed(self, setting: str) -> int:
        """Return +1, -1 or 0: the direction of resistance in ``setting`` (bulk)."""
        return _SIGN_VALUE[self.sign_by_setting.get(setting, self.sign)]  # type: ignore[call-overload]


class Catalogue(_Record):
    """All markers with their genes and sources; see :func:`default_catalogue`."""

    version: str
    genes: tuple[Gene, ...]
    sources: tuple[Source, ...]
    markers: tuple[Marker, ...]

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        problems = [
            *_repeated("gene symbol", [gene.symbol for gene in self.genes]),
            *_repeated("Ensembl id", [gene.ensembl_id for gene in self.genes]),
            *_repeated("Entrez id", [gene.entrez_id for gene in self.genes]),
            *_repeated("source key", [source.key for source in self.sources]),
            *_repeated("marker id", [marker.id for marker in self.markers]),
            *_alias_problems(self.genes),
            *_reference_problems(self),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def marker_ids(self) -> tuple[str, ...]:
        """Identifiers of the markers, in catalogue order: the feature names."""
        return tuple(marker.id for marker in self.markers)

    @property
    def gene_symbols(self) -> tuple[str, ...]:
        """Approved symbols of every gene that a marker uses, each once, in order of first use."""
        used = (gene for marker in self.markers for gene in marker.genes + marker.minus_genes)
        return tuple(dict.fromkeys(used))

    @property
    def mechanisms(self) -> dict[str, str]:
        """Mechanism class of every marker id."""
        return {marker.id: marker.mechanism for marker in self.markers}

    def signs(self, setting: str) -> dict[str, int]:
        """Return the direction of resistance (+1, -1, 0) of every marker id in ``setting``."""
        return {marker.id: marker.signed(setting) for marker in self.markers}

    def content_hash(self) -> str:
        """Return the SHA-256 (first 16 hex digits) of the catalogue's content."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _repeated(what: str, values: Iterable[object]) -> list[str]:
    seen: set[object] = set()
    twice = dict.fromkeys(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
    return [f"{what} '{value}' stands twice" for value in twice]


def _alias_problems(genes: tuple[Gene, ...]) -> list[str]:
    symbols = {gene.symbol for gene in genes}
    problems = _repeated("alias", [alias for gene in genes for alias in gene.aliases])
    for gene in genes:
        problems += [
            f"alias '{alias}' of {gene.symbol} is an approved symbol itself"
            for alias in gene.aliases
            if alias in symbols
        ]
    return problems


def _reference_problems(catalogue: Catalogue) -> list[str]:
    symbols = {gene.symbol for gene in catalogue.genes}
    keys = {source.key for source in catalogue.sources}
    problems = []
    for marker in catalogue.markers:
        problems += [
            f"marker '{marker.id}' names gene '{gene}', which is not in genes.yaml"
            for gene in marker.genes + marker.minus_genes
            if gene not in symbols
        ]
        problems += [
            f"marker '{marker.id}' cites '{citation.source}', which is not in sources.yaml"
            for citation in marker.sources
            if citation.source not in keys
        ]
    return problems


def load_catalogue(folder: Path) -> Catalogue:
    """Return the checked catalogue of a folder.

    Parameters
    ----------
    folder
        Holds ``genes.yaml`` (``genes``: symbol → identifiers), ``sources.yaml`` (``version``,
        ``sources``: key → citation) and ``markers_*.yaml`` (``section``, ``markers``).

    Raises
    ------
    CatalogueError
        A file is missing, unreadable or repeats a key, or entries break the schema (all of these
        are listed).
    """
    raw = read_catalogue_files(folder)
    try:
        return Catalogue.model_validate(raw)
    except ValidationError as error:
        faults = [_fault_in_words(fault, raw) for fault in error.errors()]
        raise CatalogueError(f"catalogue {folder}: " + "; ".join(faults)) from error


def _fault_in_words(fault: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
    """Return a fault with the name of its entry instead of its number."""
    place = [str(part) for part in fault["loc"]]
    if len(place) > 1 and place[0] in _NAME_FIELD:
        what, field = _NAME_FIELD[place[0]]
        name = raw[place[0]][fault["loc"][1]].get(field, f"number {int(place[1]) + 1}")
        place = [f"{what} '{name}'", *place[2:]]
    message = fault["msg"].removeprefix("Value error, ")
    if isinstance(fault["input"], str | int | float):
        message += f" (given: {fault['input']!r})"
    return ": ".join(part for part in (" ".join(place), message) if part)


@lru_cache(maxsize=1)
def default_catalogue() -> Catalogue:
    """Return the catalogue that comes with OncoResist.

    Examples
    --------
    >>> default_catalogue().signs("ici")["mhc_class_i"]
    -1
    """
    return load_catalogue(_DEFAULT_FOLDER)
