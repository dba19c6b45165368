"""Check that the entries of a catalogue hang together: no name twice, no reference into nothing."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from features.catalogue_entries import (
    Drug,
    Gene,
    Marker,
    NotInExpression,
    Payload,
    PayloadClass,
    Source,
    Strategy,
)

__all__ = ["Problem", "catalogue_problems", "normalised_name"]


class Entries(Protocol):
    """What the check reads of a catalogue."""

    @property
    def genes(self) -> Sequence[Gene]: ...

    @property
    def sources(self) -> Sequence[Source]: ...

    @property
    def markers(self) -> Sequence[Marker]: ...

    @property
    def payload_classes(self) -> Sequence[PayloadClass]: ...

    @property
    def payloads(self) -> Sequence[Payload]: ...

    @property
    def drugs(self) -> Sequence[Drug]: ...

    @property
    def strategies(self) -> Sequence[Strategy]: ...

    @property
    def not_in_expression(self) -> Sequence[NotInExpression]: ...


@dataclass(frozen=True)
class Problem:
    """What is wrong with one entry, by part and name, and which other entry takes part in it."""

    part: str
    name: str
    message: str
    other: str = ""


def normalised_name(text: str) -> str:
    """Return a drug's name without case, spaces and signs, as names are compared.

    Examples
    --------
    >>> normalised_name("T-DM1") == normalised_name("t dm1")
    True
    """
    return re.sub(r"[^0-9a-z]", "", text.casefold())


def catalogue_problems(catalogue: Entries) -> list[Problem]:
    """Return everything that does not hang together, in the order of the parts."""
    return [
        *_repeated(catalogue),
        *_alias_problems(catalogue.genes),
        *_unknown_genes(catalogue),
        *_unknown_sources(catalogue),
        *_marker_problems(catalogue),
        *_drug_problems(catalogue),
        *_strategy_problems(catalogue),
    ]


def _repeated(catalogue: Entries) -> list[Problem]:
    keyed: list[tuple[str, str, list[tuple[str, object]]]] = [
        ("genes", "gene symbol", [(g.symbol, g.symbol.upper()) for g in catalogue.genes]),
        ("genes", "Ensembl id", [(g.symbol, g.ensembl_id) for g in catalogue.genes]),
        ("genes", "Entrez id", [(g.symbol, g.entrez_id) for g in catalogue.genes]),
        ("sources", "source key", [(s.key, s.key) for s in catalogue.sources]),
        ("sources", "DOI", [(s.key, s.doi.casefold()) for s in catalogue.sources]),
    ]
    for part, what in (
        ("markers", "marker id"),
        ("payload_classes", "payload class"),
        ("payloads", "payload"),
        ("drugs", "drug"),
        ("strategies", "strategy"),
        ("not_in_expression", "not_in_expression entry"),
    ):
        keyed.append((part, what, [(e.id, e.id) for e in getattr(catalogue, part)]))
    # sign_by_therapy names payloads and payload classes alike
    classes = {entry.id for entry in catalogue.payload_classes}
    both = [p.id for p in catalogue.payloads if p.id in classes]
    return [
        *(p for part, what, pairs in keyed for p in _twice(part, what, pairs)),
        *(Problem("payloads", name, "a payload class has the same name") for name in both),
    ]


def _twice(part: str, what: str, pairs: Iterable[tuple[str, object]]) -> list[Problem]:
    seen: dict[object, str] = {}
    problems = []
    for name, value in pairs:
        if value in seen:
            other = "" if seen[value] == name else f" ({seen[value]} and {name})"
            message = f"{what} '{value}' stands twice{other}"
            problems.append(Problem(part, name, message, other=seen[value]))
        seen.setdefault(value, name)
    return problems


def _alias_problems(genes: Sequence[Gene]) -> list[Problem]:
    """Return aliases that mean two genes; symbols are compared in capitals, as they are read."""
    symbols = {gene.symbol.upper(): gene.symbol for gene in genes}
    pairs = [(gene.symbol, alias.upper()) for gene in genes for alias in gene.aliases]
    problems = _twice("genes", "alias", list(dict.fromkeys(pairs)))
    owner = {alias: symbol for symbol, alias in pairs}
    for symbol, alias in pairs:
        if alias in symbols:
            message = f"alias '{alias}' of {symbol} is an approved symbol itself"
            problems.append(Problem("genes", symbol, message, other=symbols[alias]))
    for gene in genes:
        for alias in gene.ambiguous_aliases:
            known = owner.get(alias.upper()) or symbols.get(alias.upper())
            if known is not None:
                message = f"'{alias}' is ambiguous here and means {known} there"
                problems.append(Problem("genes", gene.symbol, message, other=known))
    return problems


def _unknown_genes(catalogue: Entries) -> list[Problem]:
    known = {gene.symbol for gene in catalogue.genes}
    owner = {alias.upper(): gene.symbol for gene in catalogue.genes for alias in gene.aliases}
    owner |= {symbol.upper(): symbol for symbol in known}
    named: list[tuple[str, str, Iterable[str]]] = [
        *(("markers", m.id, m.genes + m.minus_genes) for m in catalogue.markers),
        *(
            ("payload_classes", c.id, c.resistance_genes + c.sensitivity_genes)
            for c in catalogue.payload_classes
        ),
        *(("payloads", p.id, p.transporters) for p in catalogue.payloads),
        *(("drugs", d.id, d.target_antigens) for d in catalogue.drugs),
    ]
    return [
        Problem(
            part, name, f"names gene '{gene}', which is not in the gene table; {_mend(gene, owner)}"
        )
        for part, name, genes in named
        for gene in genes
        if gene not in known
    ]


def _mend(gene: str, owner: Mapping[str, str]) -> str:
    """Return what to write instead of a symbol that is not in the gene table."""
    if gene.upper() in owner:
        return f"write {owner[gene.upper()]}, its approved symbol"
    near = difflib.get_close_matches(gene.upper(), owner, n=1, cutoff=0.8)
    hint = f"did you mean {owner[near[0]]}? Else " if near else ""
    return f"{hint}add it under genes with its ensembl_id and entrez_id"


def _unknown_sources(catalogue: Entries) -> list[Problem]:
    keys = {source.key for source in catalogue.sources}
    parts = (
        "markers",
        "payload_classes",
        "payloads",
        "drugs",
        "strategies",
        "not_in_expression",
    )
    return [
        Problem(part, entry.id, f"cites '{citation.source}', which is not in sources")
        for part in parts
        for entry in getattr(catalogue, part)
        for citation in entry.sources
        if citation.source not in keys
    ]


def _marker_problems(catalogue: Entries) -> list[Problem]:
    markers = {marker.id: marker for marker in catalogue.markers}
    therapies = {drug.id for drug in catalogue.drugs}
    therapies |= {payload.id for payload in catalogue.payloads}
    therapies |= {entry.id for entry in catalogue.payload_classes}
    problems = []
    for marker in catalogue.markers:
        if marker.over is not None:
            problems += _excess_problems(marker, markers)
        problems += [
            Problem("markers", marker.id, f"sign_by_therapy names '{name}', no drug or payload")
            for name in marker.sign_by_therapy
            if name not in therapies
        ]
    return problems


def _excess_problems(marker: Marker, markers: Mapping[str, Marker]) -> list[Problem]:
    other = markers.get(str(marker.over))
    message = ""
    if other is None:
        message = f"is scored over '{marker.over}', which is no marker"
    elif other.score not in ("mean", "single") or other.by_drug:
        message = f"is scored over '{other.id}', whose own score is not a plain mean"
    elif set(marker.genes) & set(other.genes):
        message = f"is scored over '{other.id}', which shares genes with it"
    elif not set(marker.settings) <= set(other.settings):
        message = f"is scored over '{other.id}', which is not in all of its settings"
    return [Problem("markers", marker.id, message)] if message else []


def _drug_problems(catalogue: Entries) -> list[Problem]:
    classes = {entry.id for entry in catalogue.payload_classes}
    payloads = {entry.id for entry in catalogue.payloads}
    problems = [
        Problem("payloads", p.id, f"payload_class '{p.payload_class}' is not in payload_classes")
        for p in catalogue.payloads
        if p.payload_class not in classes
    ]
    problems += [
        Problem("drugs", d.id, f"payload '{d.payload}' is not in payloads")
        for d in catalogue.drugs
        if d.payload is not None and d.payload not in payloads
    ]
    owner: dict[str, str] = {}
    for drug in catalogue.drugs:
        for text in (drug.id, drug.name, *drug.synonyms):
            name = normalised_name(text)
            if owner.setdefault(name, drug.id) != drug.id:
                message = f"name '{text}' also means drug '{owner[name]}'"
                problems.append(Problem("drugs", drug.id, message, other=owner[name]))
    return problems


def _strategy_problems(catalogue: Entries) -> list[Problem]:
    mechanisms = {marker.mechanism for marker in catalogue.markers}
    return [
        Problem("strategies", strategy.id, f"mechanism '{name}' is that of no marker")
        for strategy in catalogue.strategies
        for name in strategy.mechanisms
        if name not in mechanisms
    ]
