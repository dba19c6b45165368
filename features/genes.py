"""Gene identifiers of every age: what they are, what they mean, what became of them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from features.catalogue import Catalogue
from features.errors import CohortError, examples
from features.gene_ids import classify, clean, refuse_foreign, strip_version
from features.gene_index import Finding, GeneIndex, GeneTable

__all__ = ["GeneTable", "GeneTranslation", "count_genes", "is_numbering", "translate_genes"]

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
        Identifiers whose parts, or whose name in the user's table, mean different genes.
    alternatives
        Identifier that was read from a date → further symbols it may have been.
    read_upper
        True when a file wholly in lower case was read in capitals.
    """

    symbols: tuple[str, ...]
    kinds: Mapping[str, int]
    rescued: dict[str, str]
    left_alone: tuple[str, ...]
    ambiguous: dict[str, tuple[str, ...]] = field(default_factory=dict)
    conflicting: tuple[str, ...] = ()
    alternatives: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read_upper: bool = False

    @property
    def id_type(self) -> str:
        """Kind of the identifiers in a word, or ``mixed`` with the counts."""
        total = sum(self.kinds.values())
        if not total:
            return "none"
        kind, most = max(self.kinds.items(), key=lambda item: item[1])
        if most >= _MOSTLY * total:
            return _WORDS[kind]
        return f"mixed ({self._counts})"

    @property
    def _counts(self) -> str:
        return ", ".join(f"{count} {_WORDS[kind]}" for kind, count in sorted(self.kinds.items()))

    @property
    def notes(self) -> list[str]:
        """What a user should know, a sentence each."""
        notes = []
        if self.id_type == "symbol" and len(self.kinds) > 1:
            notes.append(f"gene identifiers of several kinds: {self._counts}")
        if self.id_type != "symbol":
            notes.append(f"gene identifiers: {self.id_type}, translated to symbols")
        if self.read_upper:
            notes.append("gene symbols in lower case were read in capitals")
        if self.rescued:
            renamed = [self._renaming(old) for old in self.rescued]
            notes.append(f"{len(renamed)} renamed genes recognised: {examples(renamed)}")
        if self.left_alone:
            notes.append(
                "other names left alone because the approved one is in the file: "
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
                "identifiers whose parts mean different genes were left as they are: "
                + examples(self.conflicting)
            )
        return notes

    def _renaming(self, old: str) -> str:
        further = self.alternatives.get(old)
        return f"{old} → {self.rescued[old]}" + (f" (or {', '.join(further)})" if further else "")


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
        The identifiers are transcripts, those of another species, or row numbers.

    Examples
    --------
    >>> from features.catalogue import default_catalogue
    >>> names = ["C10orf54", "ENSG00000120217.14", "567"]
    >>> translate_genes(names, catalogue=default_catalogue()).symbols
    ('VSIR', 'CD274', 'B2M')
    """
    identifiers = [str(identifier) for identifier in identifiers]
    texts = [clean(identifier) for identifier in identifiers]
    refuse_foreign(texts)
    _refuse_numbering(texts)
    index = GeneIndex(catalogue, table)
    findings = [index.find(identifier) for identifier in identifiers]
    present = {*identifiers, *(f.symbol for f in findings if f.spelled and f.symbol)}
    days = Counter(f.may for f in findings if f.kind == "date")
    lower = _is_lower_case(identifiers, findings)
    symbols: list[str] = []
    told = _Told()
    for identifier, finding in zip(identifiers, findings, strict=True):
        target = finding.symbol
        if finding.conflicting:
            told.conflicting[identifier] = None
        elif _is_ambiguous(finding, days):
            several = len(finding.may) > 1
            told.ambiguous[identifier] = finding.may if several else (*finding.may, "another gene")
            target = None
        elif target != identifier and not finding.spelled and target in present:
            told.left_alone[identifier], target = None, None
        elif finding.renamed and target is not None:
            told.rescued[identifier] = target
            if len(finding.may) > 1:
                told.alternatives[identifier] = finding.may[1:]
        fallback = _in_capitals(identifier) if lower and finding.kind == "symbol" else identifier
        symbols.append(target or fallback)
    found = set(symbols)
    return GeneTranslation(
        symbols=tuple(symbols),
        kinds=dict(Counter(finding.kind for finding in findings)),
        rescued=told.rescued,
        left_alone=tuple(told.left_alone),
        ambiguous={n: may for n, may in told.ambiguous.items() if may[0] not in found},
        conflicting=tuple(told.conflicting),
        alternatives=told.alternatives,
        read_upper=lower,
    )


@dataclass
class _Told:
    """What there is to tell of a file's identifiers, filled as they are gone through."""

    rescued: dict[str, str] = field(default_factory=dict)
    alternatives: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_alone: dict[str, None] = field(default_factory=dict)
    ambiguous: dict[str, tuple[str, ...]] = field(default_factory=dict)
    conflicting: dict[str, None] = field(default_factory=dict)


def _is_ambiguous(finding: Finding, days: Mapping[tuple[str, ...], int]) -> bool:
    """Return whether several genes are possible, none likelier; so is a date that stands twice."""
    if finding.symbol is None:
        return bool(finding.may)
    return len(finding.may) > 1 and days[finding.may] > 1


def _in_capitals(identifier: str) -> str:
    return re.sub(r"^C([0-9]+|X|Y)ORF([0-9]+)$", r"C\1orf\2", identifier.upper())


def _refuse_numbering(texts: Sequence[str]) -> None:
    numbers = [text for text in texts if classify(text) == "entrez"]
    if len(numbers) > len(texts) / 2 and is_numbering(numbers):
        raise CohortError(
            f"the gene identifiers are row numbers ({examples(numbers, most=3)}), not genes; take "
            "their column out, so that the gene column is the first"
        )


def _is_lower_case(identifiers: Sequence[str], findings: Sequence[Finding]) -> bool:
    """Return whether the file's symbols are written in lower case throughout."""
    pairs = zip(identifiers, findings, strict=True)
    names = [i for i, f in pairs if f.kind == "symbol" and any(map(str.isalpha, i))]
    return len(names) > 1 and sum(name == name.lower() for name in names) >= _MOSTLY * len(names)


def count_genes(
    labels: Sequence[str] | pd.Index, *, catalogue: Catalogue, numbers: bool = False
) -> int:
    """Return how many of ``labels`` are catalogue genes by a name, or Ensembl gene ids.

    With ``numbers`` Entrez ids count too, unless they follow each other as those of rows or cells.
    """
    index = GeneIndex(catalogue)
    findings = [(str(label), index.find(str(label))) for label in labels]
    entrez = [clean(text) for text, finding in findings if finding.kind == "entrez"]
    counted = numbers and not is_numbering(entrez)
    return sum(
        finding.symbol in index.genes or finding.kind == "ensembl"
        for _, finding in findings
        if counted or finding.kind != "entrez"
    )


def is_numbering(texts: Sequence[str]) -> bool:
    """Return whether texts are numbers that follow each other, as those of rows and cells do."""
    if not all(classify(text) == "entrez" for text in texts):
        return False
    distinct = {int(strip_version(text)) for text in texts}
    if len(distinct) < _FEWEST_NUMBERED:
        return False
    return len(distinct) > (max(distinct) - min(distinct) + 1) / 2
