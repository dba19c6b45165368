"""Every name of the catalogue's genes, and what an identifier means among them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from features.catalogue import Catalogue
from features.gene_ids import (
    IdKind,
    as_typed,
    classify,
    clean,
    date_symbols,
    pieces,
    strip_version,
)

__all__ = ["Finding", "GeneIndex", "GeneTable"]


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
class Finding:
    """What one identifier means.

    Attributes
    ----------
    kind
        Kind of the identifier, by its form.
    symbol
        The gene, None where none is known or several are possible.
    renamed
        Whether it is another name or spelling of a symbol.
    spelled
        Whether it is the approved symbol itself, in any spelling.
    may
        Symbols it may mean, where more than one is possible or certain.
    conflicting
        Whether its parts, or the user's table, mean different genes.
    """

    kind: IdKind
    symbol: str | None
    renamed: bool = False
    spelled: bool = False
    may: tuple[str, ...] = ()
    conflicting: bool = False


class GeneIndex:
    """Names of the catalogue's genes, folded to capitals, before those of a user's table."""

    def __init__(self, catalogue: Catalogue, table: GeneTable | None = None) -> None:
        self._table = table or GeneTable()
        self._approved = {gene.symbol.upper(): gene.symbol for gene in catalogue.genes}
        self._alias: dict[str, str] = {}
        self._ambiguous: dict[str, tuple[str, ...]] = {}
        for gene in catalogue.genes:
            self._alias |= {alias.upper(): gene.symbol for alias in gene.aliases}
            for name in gene.ambiguous_aliases:
                may = self._ambiguous.get(name.upper(), ())
                self._ambiguous[name.upper()] = (*may, gene.symbol)
        self._ids = {
            "ensembl": {gene.ensembl_id: gene.symbol for gene in catalogue.genes},
            "entrez": {str(gene.entrez_id): gene.symbol for gene in catalogue.genes},
        }
        self._further = {"ensembl": self._table.by_ensembl, "entrez": self._table.by_entrez}
        self.genes = frozenset(self._approved.values())

    def find(self, identifier: str) -> Finding:
        """Return what one identifier means."""
        text = clean(identifier)
        kind = classify(text)
        if kind in ("ensembl", "entrez"):
            return self._by_number(text, kind)
        if kind == "joined":
            return self._joined(text)
        known = self._symbol(text)  # an alias may look like a date
        if known is not None:
            spelled = _in_any_form(text, self._approved) is not None
            return Finding("symbol", known, renamed=known != identifier, spelled=spelled)
        if kind == "date":
            return self._date(text)
        return Finding("symbol", None, may=self._ambiguous.get(text.upper(), ()))

    def _symbol(self, name: str) -> str | None:
        """Return the approved symbol of a catalogue gene by any of its symbols, else None."""
        return _in_any_form(name, self._approved) or _in_any_form(name, self._alias)

    def _by_number(self, text: str, kind: IdKind) -> Finding:
        """Return the gene of an Ensembl or Entrez id; none if the table says another known one."""
        key = strip_version(text)
        own, named = self._ids[kind].get(key), self._further[kind].get(key)
        told = None if named is None else self._symbol(named) or named
        if own is None or told is None:
            return Finding(kind, own or told)
        clash = told != own and told in self.genes
        return Finding(kind, None if clash else own, conflicting=clash)

    def _date(self, text: str) -> Finding:
        """Return the gene whose symbol a spreadsheet turned into a date."""
        may = date_symbols(text)
        unsure = [gene for name in may for gene in self._ambiguous.get(name, ())]
        if unsure:
            return Finding("date", None, may=tuple(unsure))
        known = [(self._symbol(name), name) for name in may]
        named = tuple(own or name for own, name in known if own or not as_typed(name))
        return Finding("date", named[0] if named else None, renamed=True, may=named)

    def _joined(self, text: str) -> Finding:
        """Return what joined ids mean together: an id number outweighs a symbol of any age."""
        by_number, by_symbol, written, numbered = set(), set(), None, False
        bare = True
        for piece in pieces(text):
            kind = classify(piece)
            if kind in ("ensembl", "entrez"):
                numbered, bare = True, bare and kind == "entrez"
                found = self._by_number(piece, kind).symbol
                by_number |= {found} if found else set()
            elif kind == "symbol" and written is None:
                written = piece
                found = self._symbol(piece)
                by_symbol |= {found} if found else set()
        if len(by_number) == 1:
            symbol = next(iter(by_number))
            may = self._ambiguous.get((written or "").upper(), ())
            # a bare number beside a name that is no name of its gene may be a row's
            unnamed = written is None or bool(by_symbol) or symbol in may
            stranger = bare and symbol in self.genes and not unnamed
            clash = bool(by_symbol - by_number) or stranger
            return Finding("joined", None if clash else symbol, conflicting=clash)
        if by_number or (by_symbol and numbered):
            return Finding("joined", None, conflicting=True)
        return Finding("joined", next(iter(by_symbol), written))


def _in_any_form(name: str, names: Mapping[str, str]) -> str | None:
    upper = name.upper()
    dashed = upper.replace(".", "-")  # as R writes HLA-A in column names: HLA.A
    return names.get(upper, names.get(dashed))
