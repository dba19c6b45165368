"""The catalogue: what the reviews know of resistance, loaded, checked, and asked.

The files under ``features/catalogue/`` are data: identifiers of every gene, the bibliography, the
markers by section, the drugs with their payloads, the strategies that the reviews discuss, and
what they name that expression does not show. A user's own catalogue is one more file of the same
form. Everything becomes frozen objects; what does not hang together is refused.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.catalogue_check import Problem, catalogue_problems
from features.catalogue_entries import (
    SIGN_VALUE,
    Citation,
    Drug,
    Gene,
    Marker,
    NotInExpression,
    Payload,
    PayloadClass,
    Source,
    Strategy,
)
from features.catalogue_files import ENTRY_NAME, PARTS, RawCatalogue, RawEntry, read_catalogue_files
from features.errors import CatalogueError

__all__ = [
    "Catalogue",
    "Citation",
    "Drug",
    "Gene",
    "Marker",
    "NotInExpression",
    "Payload",
    "PayloadClass",
    "Source",
    "Strategy",
    "default_catalogue",
    "load_catalogue",
]

_DEFAULT_FOLDER = Path(__file__).parent / "catalogue"
_MOST_FAULTS = 20
_ENTRY_TYPES: Mapping[str, type[BaseModel]] = {
    "genes": Gene,
    "sources": Source,
    "markers": Marker,
    "payload_classes": PayloadClass,
    "payloads": Payload,
    "drugs": Drug,
    "strategies": Strategy,
    "not_in_expression": NotInExpression,
}


class Catalogue(BaseModel):
    """Markers with their genes, sources, drugs and strategies; see :func:`default_catalogue`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: str = Field(min_length=1)
    """Version of the content."""
    genes: tuple[Gene, ...]
    """Identifiers of every gene that an entry names."""
    sources: tuple[Source, ...]
    """The bibliography."""
    markers: tuple[Marker, ...] = Field(min_length=1)
    """The features."""
    payload_classes: tuple[PayloadClass, ...] = ()
    """What payloads act on."""
    payloads: tuple[Payload, ...] = ()
    """Cytotoxic molecules."""
    drugs: tuple[Drug, ...] = ()
    """Drugs by their names."""
    strategies: tuple[Strategy, ...] = ()
    """What the reviews discuss against mechanisms."""
    not_in_expression: tuple[NotInExpression, ...] = ()
    """What the reviews name and expression does not show."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        problems = catalogue_problems(self)
        if problems:
            raise ValueError("; ".join(f"{_called(p)}: {p.message}" for p in problems))
        return self

    @property
    def marker_ids(self) -> tuple[str, ...]:
        """Identifiers of all markers, in catalogue order: the feature names."""
        return tuple(marker.id for marker in self.markers)

    @cached_property
    def gene_symbols(self) -> tuple[str, ...]:
        """Approved symbols of every gene that an entry names, each once, in order of first use."""
        by_drugs = (drug.target_antigens for drug in self.drugs)
        by_payloads = (payload.transporters for payload in self.payloads)
        by_classes = (c.resistance_genes + c.sensitivity_genes for c in self.payload_classes)
        named = (*by_drugs, *by_payloads, *by_classes)
        return tuple(dict.fromkeys([*genes_of(self.markers), *(g for part in named for g in part)]))

    @property
    def mechanisms(self) -> dict[str, str]:
        """Mechanism class of every marker id."""
        return {marker.id: marker.mechanism for marker in self.markers}

    def markers_of(self, setting: str | None) -> tuple[Marker, ...]:
        """Return the markers that models of a setting take; of None, all."""
        if setting is None:
            return self.markers
        return tuple(marker for marker in self.markers if setting in marker.settings)

    def signs(self, setting: str) -> dict[str, int]:
        """Return the direction of resistance (+1, -1, 0) of the markers of ``setting``."""
        return {marker.id: marker.signed(setting) for marker in self.markers_of(setting)}

    def sign_under(self, marker: Marker, *, setting: str, drug: Drug | None) -> int:
        """Return the direction of resistance of a marker in a setting under a drug (bulk).

        The drug decides over its payload, the payload over its class, any of them over the setting.
        In the adc setting a transporter alone goes with resistance to the payloads that it carries.
        """
        payload = next((p for p in self.payloads if drug and p.id == drug.payload), None)
        alone = marker.genes[0] if marker.score == "single" else None
        if setting == "adc" and payload and alone in payload.transporters:
            return 1
        names = [drug.id if drug else None, payload.id if payload else None]
        names.append(payload.payload_class if payload else None)
        for name in names:
            if name in marker.sign_by_therapy:
                return SIGN_VALUE[marker.sign_by_therapy[name]]
        return marker.signed(setting)

    def strategies_for(self, mechanism: str) -> tuple[Strategy, ...]:
        """Return what the reviews discuss for a mechanism class."""
        return tuple(s for s in self.strategies if mechanism in s.mechanisms)

    def content_hash(self) -> str:
        """Return the SHA-256 (first 16 hex digits) of the catalogue's content."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def genes_of(markers: Iterable[Marker]) -> tuple[str, ...]:
    """Return the symbols that markers name themselves, each once, in order of first use."""
    used = (gene for marker in markers for gene in marker.genes + marker.minus_genes)
    return tuple(dict.fromkeys(used))


def genes_read(marker: Marker, markers: Mapping[str, Marker]) -> tuple[str, ...]:
    """Return the symbols that a marker's score reads: its own and those of the marker it is over.

    ``markers`` holds every marker by id. Genes that a drug chooses are not among them.
    """
    over = markers[marker.over].genes if marker.over else ()
    return tuple(dict.fromkeys(marker.genes + marker.minus_genes + over))


def load_catalogue(place: Path) -> Catalogue:
    """Return the checked catalogue of a folder, or the packaged one with a user's file added.

    Parameters
    ----------
    place
        A folder of YAML files, or one YAML file with any of ``version``, ``section``, ``genes``,
        ``sources``, ``markers``, ``payload_classes``, ``payloads``, ``drugs``, ``strategies``,
        ``not_in_expression`` (``docs/catalogue.schema.json``). A file adds to the packaged
        catalogue, unless it says ``extends: nothing``.

    Raises
    ------
    CatalogueError
        A file is missing, unreadable or repeats a key, or entries break the schema or do not hang
        together: the first twenty are listed, with file and line.
    """
    try:
        folder = place.is_dir()
    except OSError:  # a name that no file can have; reading it says why
        folder = False
    if folder:
        return _build(_read_folder(place), place, ())
    raw = read_catalogue_files([place])
    extends = raw.texts.get("extends", "packaged")
    if extends not in ("packaged", "nothing"):
        raise CatalogueError(
            f"catalogue file {place}: extends is '{extends}'; allowed: packaged, nothing"
        )
    if extends == "nothing":
        return _build(raw, place, ())
    own = raw.texts.get("version")
    if own is None:
        raise CatalogueError(f"catalogue file {place}: 'version' is missing or empty")
    packaged = _read_packaged()
    version = f"{packaged.texts['version']}+{own}"
    return _build(RawCatalogue(raw.entries, {"version": version}), place, packaged.entries)


@cache
def _read_packaged() -> RawCatalogue:
    return _read_folder(_DEFAULT_FOLDER)


def _read_folder(folder: Path) -> RawCatalogue:
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise CatalogueError(
            f"catalogue folder {folder}: no YAML file in it; give a folder that holds genes, "
            "sources and markers, or one file"
        )
    return read_catalogue_files(files)


def _build(raw: RawCatalogue, place: Path, packaged: Sequence[RawEntry]) -> Catalogue:
    """Return the catalogue of raw entries, added to packaged ones, which are known to be good."""
    if not raw.texts.get("version"):
        raise CatalogueError(f"catalogue {place}: 'version' is missing or empty")
    faults: list[str] = []
    parts: dict[str, list[Any]] = {part: [] for part in PARTS}
    for entry in (*packaged, *raw.entries):
        try:
            parts[entry.part].append(_ENTRY_TYPES[entry.part].model_validate(entry.fields))
        except ValidationError as error:
            faults += [_fault_in_words(fault, entry) for fault in error.errors()]
    if faults:
        raise _faulty(place, faults)
    entries = {part: tuple(found) for part, found in parts.items()}
    draft = Catalogue.model_construct(None, version=raw.texts["version"], **entries)
    faults = [
        f"{_to_mend(p, raw.entries, packaged).place()}: {_called(p)}: {p.message}"
        for p in catalogue_problems(draft)
    ]
    if faults:
        raise _faulty(place, faults)
    try:
        return Catalogue(version=raw.texts["version"], **entries)
    except ValidationError as error:
        lacking = ", ".join(str(fault["loc"][0]) for fault in error.errors())
        raise CatalogueError(f"catalogue {place}: '{lacking}' is missing or empty") from error


def _to_mend(problem: Problem, own: Sequence[RawEntry], packaged: Sequence[RawEntry]) -> RawEntry:
    """Return the entry to mend: the user's own where one takes part, the later of two."""
    for name in (problem.name, problem.other):
        for entry in reversed(own):
            if (entry.part, entry.name) == (problem.part, name):
                return entry
    return next(e for e in packaged if (e.part, e.name) == (problem.part, problem.name))


def _faulty(place: Path, faults: Sequence[str]) -> CatalogueError:
    more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    return CatalogueError(f"catalogue {place}: " + "; ".join(faults[:_MOST_FAULTS]) + more)


def _called(problem: Problem) -> str:
    return f"{ENTRY_NAME[problem.part]} '{problem.name}'"


def _fault_in_words(fault: Mapping[str, Any], entry: RawEntry) -> str:
    """Return a fault with file, line and the name of its entry."""
    field = " ".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if isinstance(fault["input"], str | int | float):
        message += f" (given: {fault['input']!r})"
    name = f"{ENTRY_NAME[entry.part]} '{entry.name}' {field}".rstrip()
    return f"{entry.place(fault['loc'])}: {name}: {message}"


@lru_cache(maxsize=1)
def default_catalogue() -> Catalogue:
    """Return the catalogue that comes with OncoResist.

    Examples
    --------
    >>> default_catalogue().signs("ici")["mhc_class_i"]
    -1
    """
    return load_catalogue(_DEFAULT_FOLDER)
