"""Figures and text as Markdown shows them: the filters of every Markdown page."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

__all__ = ["FILTERS", "interval", "number", "percent", "plain_text"]

_MARKUP = re.compile(r"([|\[\]`])")
_NOT_KNOWN = "–"


def number(value: Any, digits: int = 3) -> str:
    """Return a figure with its decimals, a true minus sign, and no minus before zero.

    Examples
    --------
    >>> number(-0.1234), number(-0.0001), number(None)
    ('−0.123', '0.000', '–')
    """
    if value is None or pd.isna(value):
        return _NOT_KNOWN
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.replace("-", "")


def interval(
    row: Mapping[str, Any],
    value: str = "value",
    low: str = "low",
    high: str = "high",
    digits: int = 3,
) -> str:
    """Return ``value (low to high)`` of a row that holds the three; a dash where it does not."""
    if not row or value not in row or pd.isna(row[value]):
        return _NOT_KNOWN
    return "{} ({} to {})".format(*(number(row[name], digits) for name in (value, low, high)))


def percent(value: Any) -> str:
    """Return a share as a percentage without decimals."""
    return _NOT_KNOWN if value is None or pd.isna(value) else f"{100 * value:.0f}%"


def plain_text(text: Any) -> str:
    r"""Return text from a file as Markdown that shows it as it is: one line, no mark-up, no link.

    Examples
    --------
    >>> plain_text("a|b [x](javascript:alert(1)) <b>")
    'a\\|b \\[x\\](javascript:alert(1)) &lt;b>'
    """
    flat = " ".join(str(text).split())
    return _MARKUP.sub(r"\\\1", flat).replace("<", "&lt;")


FILTERS: Mapping[str, Callable[..., str]] = {
    "number": number,
    "interval": interval,
    "percent": percent,
    "cell": plain_text,
}
