"""Which checkpoint a therapy binds, from the names of its drugs or of their targets."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd

from features.therapy import DrugTable

__all__ = ["DRUG_CLASSES", "name_drug_classes"]

DRUG_CLASSES = ("anti_pd1_pdl1", "anti_ctla4", "combination")
"""What a checkpoint inhibitor binds; ``combination`` is both."""
_CLASS_TARGET: Mapping[str, str] = {
    "pd1_inhibitor": "anti_pd1_pdl1",
    "pdl1_inhibitor": "anti_pd1_pdl1",
    "ctla4_inhibitor": "anti_ctla4",
}
_PARTNERS = re.compile(r"\s*(?:\+/-|[+;/&|,:]|\bplus\b|\band\b|\bwith\b)\s*", re.IGNORECASE)
_ANTI_PD1 = re.compile(r"(?<![A-Z0-9])PD-?L?-?1(?![0-9])", re.IGNORECASE)
_ANTI_CTLA4 = re.compile(r"CTLA-?4(?![0-9])", re.IGNORECASE)


def name_drug_classes(
    drugs: Sequence[object], *, therapies: Sequence[object], table: DrugTable
) -> list[str | None]:
    """Return the checkpoint that each sample's therapy binds: one of :data:`DRUG_CLASSES` or None.

    Parameters
    ----------
    drugs
        ``obs['drug']``: names of drugs, alone or joined, or of their target (``anti-PD-1``).
    therapies
        ``obs['therapy']``, asked where the drug does not say.
    table
        Knows drugs by all their names.

    Notes
    -----
    Partners that are no checkpoint inhibitors, or that the table does not know, are not counted.

    Examples
    --------
    >>> from features.catalogue import default_catalogue
    >>> table = DrugTable(default_catalogue())
    >>> drugs = ["Opdivo", "Nivolumab:Ipilimumab", "sorafenib", None]
    >>> name_drug_classes(drugs, therapies=[None, None, None, "CTLA4"], table=table)
    ['anti_pd1_pdl1', 'combination', None, 'anti_ctla4']
    """
    targets_of = cache(lambda text: _targets_of(text, table))
    classes: list[str | None] = []
    for drug, therapy in zip(drugs, therapies, strict=True):
        targets = targets_of(_text(drug)) or targets_of(_text(therapy))
        both = len(targets) > 1
        classes.append("combination" if both else next(iter(targets), None))
    return classes


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value).strip()  # type: ignore[call-overload]


def _targets_of(text: str, table: DrugTable) -> frozenset[str]:
    """Return what the drugs of a text bind: ``anti_pd1_pdl1``, ``anti_ctla4``, both, or nothing."""
    drugs = [table.find(part).drug for part in (text, *_PARTNERS.split(text))]
    found = {_CLASS_TARGET.get(drug.drug_class) for drug in drugs if drug is not None}
    if _ANTI_PD1.search(text):
        found.add("anti_pd1_pdl1")
    if _ANTI_CTLA4.search(text):
        found.add("anti_ctla4")
    return frozenset(target for target in found if target is not None)
