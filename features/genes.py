"""Gene identifiers of every age: what they are, what they mean, what became of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from features.catalogue import Catalogue
from features.errors import examples
from features.gene_ids import (
    IdKind,
    classify,
    clean,
    date_symbols,
    pieces,
    refuse_foreign,
    strip_version,
)

__all__ = ["GeneTable", "GeneTranslation", "count_genes", "translate_genes"]

_MOSTLY = 0.9
_FEWEST_NUMBERED = 10
_WORDS: Mapping[str, str] = {
    "symbol": "symbol",
    "ensembl": "Ensembl",
    "entrez": "Entrez",
    "joined": "joined",
    "date": "date",
}


@dataclass(frozen=True)
class GeneTable:
    """Symbols of genes that the catalogue does not hold, by the ids of a user's table.

    Attributes
    ----------
    by_ensembl, by_entrez
        Ensembl id without version, or Entrez id as text → symbol.
    """

    by_ensembl: Mapping[str, str] = field(default_factory=dict)
    by_entrez: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *,
        symbols: Iterable[str],
        ensembl: Iterable[str] | None = None,
        entrez: Iterable[str] | None = None,
    ) -> "GeneTable":
        """Return the table of parallel columns; rows without a symbol or an id are left out."""
        names = [str(symbol) for symbol in symbols]

        def by(ids: Iterable[str] | None) -> dict[str, str]:
            if ids is None:
                return {}
            pairs = zip((str(i) for i in ids), names, strict=True)
            return {strip_version(i): name for i, name in pairs if name and i}

        return cls(by(ensembl), by(entrez))


@dataclass(frozen=True)
class GeneTranslation:
    """What became of a file's gene identifiers.

    Attributes
    ----------
    symbols
        One symbol per identifier, in the file's order; an unknown identifier stays as it is.
    kinds
        Kind of identifier → how many of the file's are of it.
    rescued
        Identifier → approved symbol, for every gene known by an earlier or alias symbol, another
        letter case or a date.
    left_alone
        Identifiers not translated because the approved symbol stands in the file too.
    ambiguous
        Identifier → symbols it may mean; none of them was chosen.
    conflicting
        Joined identifiers whose parts mean different genes.
    read_upper
        True when a file wholly in lower case was read in capitals.
    """

    symbols: tuple[str, ...]
    kinds: Mapping[str, int]
    rescued: dict[str, str]
    left_alone: tuple[str, ...]
    ambiguous: dict[str, tuple[str, ...]] = field(default_factory=dict)
    conflicting: tuple[str, ...] = ()
    read_upper: bool = False

    @property
    def id_type(self) -> str:
        """Kind of the identifiers in a word, or ``mixed`` with the counts."""
        total = sum(self.kinds.values())
        kind, most = max(self.kinds.items(), key=lambda item: item[1])
        if most >= _MOSTLY * total:
            return _WORDS[kind]
        shares = ", ".join(f"{count} {_WORDS[kind]}" for kind, count in sorted(self.kinds.items()))
        return f"mixed ({shares})"

    @property
    def notes(self) -> list[str]:
        """What a user should know, a sentence each."""
        notes = []
        if self.id_type != "symbol":
            notes.append(f"gene identifiers: {self.id_type}, translated to symbols")
        if self.read_upper:
            notes.append("gene symbols in lower case were read in capitals")
        if self.rescued:
            renamed = [f"{old} → {new}" for old, new in self.rescued.items()]
            notes.append(f"{len(renamed)} renamed genes recognised: {examples(renamed)}")
        if self.left_alone:
            notes.append(
                "earlier symbols left alone because the approved one is in the file: "
                + examples(self.left_alone)
            )
        if self.ambiguous:
            listed = [f"{name} ({' or '.join(may)})" for name, may in self.ambiguous.items()]
            notes.append(
                f"{len(listed)} identifiers that may mean several genes were not translated: "
                f"{examples(listed)}; write the approved symbol in the file where you know it"
            )
        if self.conflicting:
            notes.append(
                "joined identifiers whose parts mean different genes were left as they are: "
                + examples(self.conflicting)
            )
        return notes


class _Index:
    """Every name of the catalogue's genes, folded to capitals, and the user's table."""

    def __init__(self, catalogue: Catalogue, table: GeneTable | None = None) -> None:
        self.table = table or GeneTable()
        self.approved = {gene.symbol: gene.symbol for gene in catalogue.genes}
        self.folded = {gene.symbol.upper(): gene.symbol for gene in catalogue.genes}
        self.alias: dict[str, str] = {}
        self.ambiguous: dict[str, tuple[str, ...]] = {}
        for gene in catalogue.genes:
            self.alias |= {alias.upper(): gene.symbol for alias in gene.aliases}
            for name in gene.ambiguous_aliases:
                may = self.ambiguous.get(name.upper(), ())
                self.ambiguous[name.upper()] = (*may, gene.symbol)
        self.ensembl = {gene.ensembl_id: gene.symbol for gene in catalogue.genes}
        self.entrez = {str(gene.entrez_id): gene.symbol for gene in catalogue.genes}

    def symbol(self, name: str) -> str | None:
        """Return the approved symbol of a catalogue gene by any of its symbols, else None."""
        return self.approved_symbol(name) or _in_any_form(name, self.alias)

    def approved_symbol(self, name: str) -> str | None:
        """Return the approved symbol that is written so in any spelling, else None."""
        return name if name in self.approved else _in_any_form(name, self.folded)

    def by_id(self, identifier: str, kind: IdKind) -> str | None:
        """Return the symbol of an Ensembl or Entrez id, the catalogue before the user's table."""
        key = strip_version(identifier)
        own, further = (
            (self.ensembl, self.table.by_ensembl)
            if kind == "ensembl"
            else (self.entrez, self.table.by_entrez)
        )
        if key in own:
            return own[key]
        named = further.get(key)
        return None if named is None else self.symbol(named) or named

    def find(self, identifier: str) -> "_Finding":
        """Return what one identifier means."""
        text = clean(identifier)
        kind = classify(text)
        if kind in ("ensembl", "entrez"):
            return _Finding(kind, self.by_id(text, kind))
        if kind == "joined":
            return self._joined(text)
        known = self.symbol(text)  # an alias may look like a date
        if known is not None:
            own = self.approved_symbol(text) is not None
            return _Finding("symbol", known, rescued=known != identifier, own=own)
        if kind == "date":
            may = date_symbols(text)
            unsure = [gene for name in may for gene in self.ambiguous.get(name, ())]
            if unsure:
                return _Finding(kind, None, may=tuple(unsure))
            named = tuple(self.symbol(name) or name for name in may)
            return _Finding(kind, named[0] if named else None, rescued=True, may=named)
        if text.upper() in self.ambiguous:
            return _Finding("symbol", None, may=self.ambiguous[text.upper()])
        return _Finding("symbol", None)

    def _joined(self, text: str) -> "_Finding":
        """Return what joined ids mean together: an id number outweighs a symbol of any age."""
        by_number, by_symbol, written, numbered = set(), set(), None, False
        for piece in pieces(text):
            kind = classify(piece)
            if kind in ("ensembl", "entrez"):
                numbered = True
                found = self.by_id(piece, kind)
                by_number |= {found} if found else set()
            elif kind == "symbol" and written is None:
                written = piece
                found = self.symbol(piece)
                by_symbol |= {found} if found else set()
        if len(by_number) == 1:
            symbol = next(iter(by_number))
            clash = by_symbol - by_number
            return _Finding("joined", None if clash else symbol, conflicting=bool(clash))
        if by_number or (by_symbol and numbered):
            return _Finding("joined", None, conflicting=True)
        return _Finding("joined", next(iter(by_symbol), written))


@dataclass(frozen=True)
class _Finding:
    kind: IdKind
    symbol: str | None
    rescued: bool = False
    may: tuple[str, ...] = ()
    conflicting: bool = False
    own: bool = False
    """Whether it is the approved symbol itself, in any spelling."""


def _in_any_form(name: str, names: Mapping[str, str]) -> str | None:
    upper = name.upper()
    dashed = upper.replace(".", "-")  # as R writes HLA-A in column names: HLA.A
    return names.get(upper, names.get(dashed))


def translate_genes(
    identifiers: Sequence[str], *, catalogue: Catalogue, table: GeneTable | None = None
) -> GeneTranslation:
    """Return approved symbols for a file's identifiers, whatever kind each of them is.

    Symbols in any letter case, earlier and alias symbols, Ensembl ids with or without version,
    Entrez ids, several joined in one (``TP53|7157``) and dates that a spreadsheet made of symbols
    are understood, mixed as they come. An approved symbol is never translated; an alias is not
    where the approved symbol is in the file as well; what may mean several genes is reported and
    stays as it is. Genes that the catalogue does not hold are translated by ``table`` alone.

    Raises
    ------
    CohortError
        The identifiers are transcripts, or those of another species.

    Examples
    --------
    >>> from features.catalogue import default_catalogue
    >>> names = ["C10orf54", "ENSG00000120217.14", "567"]
    >>> translate_genes(names, catalogue=default_catalogue()).symbols
    ('VSIR', 'CD274', 'B2M')
    """
    refuse_foreign([clean(str(i)) for i in identifiers])
    index = _Index(catalogue, table)
    findings = [index.find(identifier) for identifier in identifiers]
    present = set(identifiers)
    spelled = {f.symbol for f in findings if f.own}
    dates = Counter(i for i, f in zip(identifiers, findings, strict=True) if f.kind == "date")
    lower = _is_lower_case(identifiers, findings)
    symbols: list[str] = []
    rescued: dict[str, str] = {}
    left_alone: dict[str, None] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    conflicting: dict[str, None] = {}
    for identifier, finding in zip(identifiers, findings, strict=True):
        target = finding.symbol
        unsure = finding.may if target is None or dates[identifier] > 1 else ()
        if finding.conflicting:
            conflicting[identifier] = None
        elif len(unsure) > 1 or (unsure and target is None):
            own = unsure if len(unsure) > 1 else (*unsure, "another gene")
            ambiguous[identifier], target = own, None
        elif (
            target is not None
            and target != identifier
            and (target in present or (target in spelled and not finding.own and finding.rescued))
        ):
            left_alone[identifier], target = None, None
        elif finding.rescued and target is not None:
            rescued[identifier] = target
        fallback = identifier.upper() if lower and finding.kind == "symbol" else identifier
        symbols.append(target or fallback)
    found = set(symbols)
    return GeneTranslation(
        tuple(symbols),
        dict(Counter(finding.kind for finding in findings)),
        rescued,
        tuple(left_alone),
        {name: may for name, may in ambiguous.items() if not found.issuperset(may[:1])},
        tuple(conflicting),
        lower,
    )


def _is_lower_case(identifiers: Sequence[str], findings: Sequence[_Finding]) -> bool:
    """Return whether the file's symbols are written in lower case throughout."""
    pairs = zip(identifiers, findings, strict=True)
    names = [i for i, f in pairs if f.kind == "symbol" and any(map(str.isalpha, i))]
    return len(names) > 1 and sum(name == name.lower() for name in names) >= _MOSTLY * len(names)


def count_genes(labels: Sequence[str] | pd.Index, *, catalogue: Catalogue) -> int:
    """Return how many of ``labels`` are catalogue genes in any form, or Ensembl gene ids.

    Numbers that follow each other are those of samples or cells, not Entrez ids.
    """
    index = _Index(catalogue)
    texts = [clean(str(label)) for label in labels]
    findings = [index.find(text) for text in texts]
    if _is_numbering(int(strip_version(t)) for t in texts if classify(t) == "entrez"):
        findings = [finding for finding in findings if finding.kind != "entrez"]
    return sum(f.symbol in index.approved or f.kind == "ensembl" for f in findings)


def _is_numbering(numbers: Iterable[int]) -> bool:
    distinct = set(numbers)
    if len(distinct) < _FEWEST_NUMBERED:
        return False
    return len(distinct) > (max(distinct) - min(distinct) + 1) / 2
