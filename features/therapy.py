"""What a sample's drug binds and carries, and so which genes its therapy-aware features take."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from features.catalogue import Catalogue, Drug, Payload
from features.catalogue_check import normalised_name
from features.catalogue_entries import DrugRule

__all__ = ["DrugGenes", "DrugTable", "Therapy"]

_JOINED = re.compile(r"\s*(?:\+/-|[+;/&|]|\bplus\b|\band\b|\bwith\b)\s*", re.IGNORECASE)
_BRACKETED = re.compile(r"^(?P<name>[^()]+?)\s*\((?P<also>[^()]+)\)$")
_LISTED = re.compile(r"\s*[,:]\s*")
"""A comma or a colon also stands inside chemical names: it parts drugs only where all are known."""


@dataclass(frozen=True)
class DrugGenes:
    """Genes that a drug chooses for a feature.

    Attributes
    ----------
    plus, minus
        Approved symbols whose score is taken, and subtracted.
    balanced
        Whether the score is always a difference, a side without genes counting as neither high nor
        low, so that it means the same whichever side a drug has genes on.
    note
        Why there are none, empty otherwise.
    """

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    balanced: bool = False
    note: str = ""


@dataclass(frozen=True)
class Therapy:
    """What a cohort's text for a drug means.

    Attributes
    ----------
    text
        As it stands in ``obs['drug']``.
    drug
        The drug that decides the features, or None.
    note
        What could not be told, empty otherwise.
    """

    text: str
    drug: Drug | None
    note: str = ""


class DrugTable:
    """The catalogue's drugs, found by any of their names.

    Names are compared without case, spaces and signs; nothing is guessed. Of a combination
    (``A + B``) the one drug that binds a tumour antigen or carries a payload counts.

    Examples
    --------
    >>> from features.catalogue import default_catalogue
    >>> table = DrugTable(default_catalogue())
    >>> table.find("T-DM1").drug.id
    'trastuzumab_emtansine'
    >>> table.genes("payload_efflux", table.find("Trodelvy")).plus
    ('ABCG2',)
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._drugs: dict[str, Drug] = {}
        for drug in catalogue.drugs:
            self._drugs |= {
                normalised_name(text): drug for text in (drug.id, drug.name, *drug.synonyms)
            }
        self._payloads = {payload.id: payload for payload in catalogue.payloads}
        self._classes = {entry.id: entry for entry in catalogue.payload_classes}

    def find(self, text: object) -> Therapy:
        """Return what the text of ``obs['drug']`` means; a missing one means no drug."""
        written = "" if pd.isna(text) else str(text).strip()  # type: ignore[call-overload]
        if not written or written.casefold() in ("nan", "none", "na", "n/a", "unknown"):
            return Therapy("", None, "no drug is stated")
        whole = self._named(written)
        if whole is not None:
            return Therapy(written, whole)
        named = {
            part: self._named(part)
            for joined in _JOINED.split(written)
            if joined
            for part in self._listed(joined)
        }
        known = list({drug.id: drug for drug in named.values() if drug is not None}.values())
        aimed = [drug for drug in known if drug.payload or drug.target_antigens]
        strangers = [part for part, drug in named.items() if drug is None]
        if not known:
            return Therapy(written, None, f"drug '{written}' is not in the drug table")
        if len(aimed) > 1:
            listed = " and ".join(drug.name for drug in aimed)
            return Therapy(written, None, f"'{written}' names {listed}: which decides is not told")
        if not aimed and len(known) == 1 and not strangers:
            return Therapy(written, known[0])
        if not aimed or (strangers and not aimed[0].target_antigens):
            unknown = f" ({', '.join(strangers)} is not in the drug table)" if strangers else ""
            note = f"'{written}' names no conjugate or payload that is known{unknown}"
            return Therapy(written, None, note)
        left = f"; not in the drug table: {', '.join(strangers)}" if strangers else ""
        return Therapy(written, aimed[0], f"'{written}' is taken as {aimed[0].name}{left}")

    def name_of(self, text: str) -> str:
        """Return one name for a drug in all its spellings: its id in the table, else its own name.

        A salt (``-sulfate``), a substituent's position (after a comma) and a remark (after
        ``---``) are not part of it. Irinotecan and SN-38 stay two drugs.

        Examples
        --------
        >>> from features.catalogue import default_catalogue
        >>> table = DrugTable(default_catalogue())
        >>> [table.name_of(text) for text in ("Paclitaxel---Taxol", "Vinblastine-sulfate")]
        ['paclitaxel', 'vinblastine']
        """
        stem = text.split(",")[0].split("---")[0].removesuffix("-sulfate")
        drug = self.find(text).drug or self.find(stem).drug
        return normalised_name(stem) if drug is None else drug.id

    def find_all(self, texts: Iterable[object]) -> dict[object, Therapy]:
        """Return what each distinct text means."""
        return {text: self.find(text) for text in dict.fromkeys(texts)}

    def genes(self, rule: DrugRule, therapy: Therapy) -> DrugGenes:
        """Return the genes that a therapy chooses for a rule, or the note why there are none."""
        drug = therapy.drug
        if drug is None:
            return DrugGenes(note=therapy.note)
        if rule == "target_antigen":
            missing = "" if drug.target_antigens else f"{drug.name} binds no antigen of the table"
            return DrugGenes(plus=drug.target_antigens, note=missing)
        payload = self._payload(drug)
        if payload is None:
            return DrugGenes(note=f"{drug.name} carries no payload")
        if rule == "payload_efflux":
            missing = "" if payload.transporters else f"no transporter is listed for {payload.name}"
            return DrugGenes(plus=payload.transporters, note=missing)
        acts_on = self._classes[payload.payload_class]
        none = not acts_on.resistance_genes and not acts_on.sensitivity_genes
        return DrugGenes(
            plus=acts_on.resistance_genes,
            minus=acts_on.sensitivity_genes,
            balanced=True,
            note=f"no gene is listed for {acts_on.name}" if none else "",
        )

    def _named(self, text: str) -> Drug | None:
        """Return the drug of a name, or of a name with another of its names in brackets."""
        found = self._drugs.get(normalised_name(text))
        bracketed = _BRACKETED.match(text.strip())
        if found is None and bracketed:
            name, also = (self._drugs.get(normalised_name(part)) for part in bracketed.groups())
            found = name if name is also else None
        return found

    def _listed(self, text: str) -> list[str]:
        """Return the drugs of a list, or the text as one where any of them is unknown."""
        parts = [part for part in _LISTED.split(text) if part]
        return parts if all(self._named(part) for part in parts) else [text]

    def _payload(self, drug: Drug) -> Payload | None:
        return None if drug.payload is None else self._payloads[drug.payload]
