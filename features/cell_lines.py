"""One identity for a cell line, however a data set spells it."""

import re
from collections.abc import Mapping

import pandas as pd

__all__ = ["SAME_DONOR", "line_identity", "unite_by_cosmic"]

_PREFIX = re.compile(r"^[A-Z]{2,4}:")
_NOT_NAME = re.compile(r"[^A-Z0-9]")
_NCI_H = re.compile(r"^H(\d{2,4})$")
_BANK = re.compile(r"(?<=\d)ATCC$")
_APART = {"T-T": "T-T", "T.T": "T-T", "T_T": "T-T", "KM-H2": "KM-H2", "KM_H2": "KM-H2"}
"""Names whose signs alone tell them from another tumour's line: T-T (oesophagus) from TT (thyroid),
KM-H2 (Hodgkin lymphoma) from KMH-2 (thyroid)."""
SAME_DONOR: Mapping[str, str] = {
    "NCIADRRES": "OVCAR8",
    "SNB19": "U251",
    "U251MG": "U251",
    "M14": "MDAMB435",
    "MDAN": "MDAMB435",
    "JRT3T35": "JURKAT",
    "MDAMB435S": "MDAMB435",
}
"""Lines whose DNA is another's: name → the identity they share. They may respond differently and
stay two samples; on both sides of a split they would be one tumour on both sides (Lorenzi 2009,
doi:10.1158/1535-7163.MCT-08-0921; J.RT3-T3.5 was made from Jurkat)."""


def line_identity(name: str) -> str:
    """Return the identity of a cell line: capitals and digits, without the tissue before a colon.

    ``NCI-H69``, ``NCI_H69`` and ``H69`` are one; so are lines of one donor (:data:`SAME_DONOR`). A
    name without a letter or a digit is returned in capitals.

    Examples
    --------
    >>> [line_identity(name) for name in ("BR:MCF7", "MCF-7", "LC:NCI_H23", "H2869")]
    ['MCF7', 'MCF7', 'NCIH23', 'NCIH2869']
    >>> line_identity("OV:NCI_ADR_RES") == line_identity("OVCAR-8")
    True
    """
    bare = _PREFIX.sub("", name.strip().upper())
    if bare in _APART:
        return _APART[bare]
    key = _NCI_H.sub(r"NCIH\1", _BANK.sub("", _NOT_NAME.sub("", bare)))
    return SAME_DONOR.get(key, key) or name.strip().upper()


def unite_by_cosmic(lines: pd.DataFrame) -> "pd.Series[str]":
    """Return the identity of each row (n_rows,), one for rows that share a COSMIC id.

    Parameters
    ----------
    lines
        ``line`` (:func:`line_identity`) and ``cosmic_id`` (text, empty where unknown) of samples
        of any number of data sets.

    Notes
    -----
    Names and ids are edges of a graph, its connected parts the lines; each is named after its
    first name in alphabetical order.
    """
    names = {name: name for name in lines["line"]}

    def root(name: str) -> str:
        while names[name] != name:
            name = names[name]
        return name

    for _, group in lines[lines["cosmic_id"] != ""].groupby("cosmic_id"):
        first, *others = sorted({root(name) for name in group["line"]})
        names |= dict.fromkeys(others, first)
    return lines["line"].map(root).rename("line")
