"""Tell what kind of identifier a gene is written as: symbol, Ensembl, Entrez, joined, date."""

import re
from collections.abc import Sequence
from typing import Literal

from features.errors import CohortError, examples

__all__ = [
    "IdKind",
    "as_typed",
    "classify",
    "clean",
    "date_symbols",
    "pieces",
    "refuse_foreign",
    "strip_version",
]

IdKind = Literal["symbol", "ensembl", "entrez", "joined", "date"]

_ENSEMBL = re.compile(r"^ENSG\d{11}(\.\d+)?(_PAR_Y)?$", re.IGNORECASE)
_ENSEMBL_INSIDE = re.compile(r"(?<![A-Z0-9])ENSG\d{11}(?!\d)", re.IGNORECASE)
_OTHER_ENSEMBL = re.compile(r"^ENS(MUS|[A-Z]{3})?([GTPE])\d{11}(\.\d+)?$", re.IGNORECASE)
_ENTREZ = re.compile(r"^\d{1,9}(\.0)?$")
_JOINED = re.compile(r"[|;:_\s]+")
_GENCODE = re.compile(
    r"^(?:ENST[^|]*\|(ENSG[^|]*)|(ENSG[^|]*)\|ENST[^|]*)\|(?:[^|]*\|){3}([^|]+)\|\d+\|"
)
_BESIDE = re.compile(r"^(ENSG\d{11}(?:\.\d+)?(?:_PAR_Y)?)[_:;\s]+([^|\s]+)$", re.IGNORECASE)
_MOUSE = re.compile(r"^([A-Z][a-z0-9.-]*[a-z][a-z0-9.-]*|H2-[A-Z][a-z0-9]*)$")
_HUMAN_MIXED_CASE = re.compile(r"^C[0-9XY]+orf\d+$")
_MOUSE_SHARE = 0.5

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_SEPARATOR = re.compile(r"[-/ ]")
_DATE_FORMS = (
    re.compile(r"^(?P<day>\d{1,2})[-/ ](?P<month>[A-Za-z]{3})([-/ ]\d{2,4})?$"),
    re.compile(r"^(?P<month>[A-Za-z]{3})[-/ ](?P<day>\d{1,2})$"),
    re.compile(r"^(?P<month>\d{1,2})[-/](?P<day>\d{1,2})([-/]\d{2,4})?$"),
    re.compile(r"^\d{4}[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})([ T]00:00(:00)?)?$"),
)


def classify(identifier: str) -> IdKind:
    """Return the kind of one identifier, by its form alone.

    ``joined`` is several ids in one (``TP53|7157``, ``ENSG00000141510_TP53``); ``date`` is a symbol
    that a spreadsheet turned into a day (``1-Mar``).

    Examples
    --------
    >>> [classify(i) for i in ("TP53", "ENSG00000141510.12", "7157", "TP53|7157", "1-Mar")]
    ['symbol', 'ensembl', 'entrez', 'joined', 'date']
    """
    if _ENSEMBL.match(identifier):
        return "ensembl"
    if _ENTREZ.match(identifier):
        return "entrez"
    if "|" in identifier or _ENSEMBL_INSIDE.search(identifier):
        return "joined"
    if _month_and_day(identifier) is not None:
        return "date"
    return "symbol"


def clean(identifier: str) -> str:
    """Return an identifier without the spaces and quotes around it."""
    return identifier.strip().strip("\"'").strip()


def strip_version(identifier: str) -> str:
    """Return an Ensembl id in capitals without version, or an Entrez id without ``.0``."""
    return identifier.upper().split(".")[0].removesuffix("_PAR_Y")


def pieces(identifier: str) -> list[str]:
    """Return the ids that are joined in one identifier; ``?`` and empty pieces are left out."""
    header = _GENCODE.match(identifier)
    if header:
        return [header[1] or header[2], header[3]]
    beside = _BESIDE.match(identifier)
    if beside:
        return [beside[1], beside[2]]
    separator = re.compile(r"\|") if "|" in identifier else _JOINED
    parts = (part.strip() for part in separator.split(identifier))
    return [part for part in parts if part and part != "?"]


def date_symbols(identifier: str) -> tuple[str, ...]:
    """Return the approved symbols that a spreadsheet may have made this date of, likeliest first.

    ``1-Mar`` may have been MARCH1 (now MARCHF1) or MARC1 (now MTARC1). Other dates give the symbol
    as it was typed, month and number (``4-Oct``: OCT4).

    Examples
    --------
    >>> date_symbols("1-Mar")
    ('MARCHF1', 'MTARC1')
    >>> date_symbols("2001-09-07")
    ('SEPTIN7',)
    """
    found = _month_and_day(identifier)
    if found is None:
        return ()
    month, day = found
    if month == "MAR" and 1 <= day <= 11:
        return (f"MARCHF{day}", f"MTARC{day}") if day <= 2 else (f"MARCHF{day}",)
    if month == "SEP":
        special = {13: "SEPTIN7P2", 15: "SELENOF"}
        return (special.get(day, f"SEPTIN{day}"),) if day <= 15 else ()
    if month == "DEC" and day == 1:
        return ("DELEC1", "BHLHE40")
    return (f"{month}{day}",)


def as_typed(name: str) -> bool:
    """Return whether a name is a month and a number, which no approved symbol is."""
    return name[:3] in _MONTHS and name[3:].isdigit()


def _month_and_day(identifier: str) -> tuple[str, int] | None:
    if not _SEPARATOR.search(identifier):
        return None
    for form in _DATE_FORMS:
        match = form.match(identifier)
        if match is None:
            continue
        month, day = match["month"].upper(), int(match["day"])
        if month.isdigit():
            if not 1 <= int(month) <= 12:
                continue
            month = _MONTHS[int(month) - 1]
        if month in _MONTHS and 1 <= day <= 31:
            return month, day
    return None


def refuse_foreign(identifiers: Sequence[str]) -> None:
    """Refuse transcripts, proteins and the genes of another species.

    Raises
    ------
    CohortError
        Names what the identifiers are and what to do.
    """
    ensembl = [(match, i) for i in identifiers if (match := _OTHER_ENSEMBL.match(i))]
    strangers = [(m, i) for m, i in ensembl if m[1] or m[2].upper() != "G"]
    if strangers and len(strangers) > _MOUSE_SHARE * len(identifiers):
        match, first = strangers[0]
        if match[1]:
            raise _foreign("mouse" if match[1].upper() == "MUS" else "another species", first)
        raise CohortError(
            f"the gene identifiers are Ensembl transcripts, proteins or exons, such as {first}; "
            "add the values of a gene's transcripts up and give gene ids (ENSG…) or symbols"
        )
    symbols = [i for i in identifiers if classify(i) == "symbol" and sum(map(str.isalpha, i)) > 1]
    mouse = [i for i in symbols if _MOUSE.match(i) and not _HUMAN_MIXED_CASE.match(i)]
    if mouse and len(mouse) > _MOUSE_SHARE * len(symbols):
        raise _foreign("mouse", examples(mouse, most=3))


def _foreign(species: str, shown: str) -> CohortError:
    return CohortError(
        f"the gene identifiers are those of {species} (such as {shown}); the catalogue is of human "
        "genes: translate them to human orthologues before ingesting (human symbols are written "
        "in capitals)"
    )
