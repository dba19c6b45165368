"""Gene identifiers: bring the symbols of a file to the approved symbols of the catalogue."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from features.catalogue import Catalogue

__all__ = ["GeneTranslation", "count_genes", "translate_symbols"]

_ENSEMBL = re.compile(r"^ENSG\d{11}(\.\d+)?$")


@dataclass(frozen=True)
class GeneTranslation:
    """What became of a file's gene identifiers.

    Attributes
    ----------
    symbols
        One symbol per identifier, in the file's order.
    rescued
        Identifier of the file → approved symbol, for every renamed gene.
    left_alone
        Aliases that were not translated because the approved symbol stands in the file too.
    """

    symbols: tuple[str, ...]
    rescued: dict[str, str]
    left_alone: tuple[str, ...]


def translate_symbols(identifiers: Sequence[str], *, catalogue: Catalogue) -> GeneTranslation:
    """Return approved symbols for a file's identifiers.

    An approved symbol is never translated. An earlier or alias symbol of a catalogue gene becomes
    the approved one (``C10orf54`` → ``VSIR``) unless the approved symbol is in the file as well.

    Examples
    --------
    >>> from features.catalogue import default_catalogue
    >>> translate_symbols(["C10orf54", "CD274"], catalogue=default_catalogue()).symbols
    ('VSIR', 'CD274')
    """
    present = set(identifiers)
    approved = {gene.symbol for gene in catalogue.genes}
    alias_of = {alias: gene.symbol for gene in catalogue.genes for alias in gene.aliases}
    symbols, rescued, left_alone = [], {}, []
    for identifier in identifiers:
        target = None if identifier in approved else alias_of.get(identifier)
        if target is None:
            symbols.append(identifier)
        elif target in present:
            symbols.append(identifier)
            left_alone.append(identifier)
        else:
            symbols.append(target)
            rescued[identifier] = target
    return GeneTranslation(tuple(symbols), rescued, tuple(left_alone))


def count_genes(labels: Sequence[str], *, catalogue: Catalogue) -> int:
    """Return how many of ``labels`` are catalogue genes (approved or alias) or Ensembl ids."""
    known = {gene.symbol for gene in catalogue.genes}
    known.update(alias for gene in catalogue.genes for alias in gene.aliases)
    return sum(label in known or bool(_ENSEMBL.match(label)) for label in labels)
