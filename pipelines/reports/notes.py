"""Markdown notes as MLflow shows them: a line break in the text is one on the page."""

import re
from typing import Any

from pipelines.reports.templates import page_environment

__all__ = ["render_note", "unwrapped"]

_OWN_LINE = re.compile(r"(\||#|- |\d+\. |<!--|```)")
_CELL_END = re.compile(r"(?<=\S) \|")


def render_note(template: str, **values: Any) -> str:
    """Return a note rendered from a template of this package, for a description in MLflow's UI."""
    environment = page_environment(html=False)
    return unwrapped(environment.get_template(template).render(**values).strip()) + "\n"


def unwrapped(text: str) -> str:
    r"""Return Markdown with a paragraph a line, and room at the end of each cell of a table.

    MLflow's descriptions keep line breaks and set the columns of a table side by side without any
    space.

    Examples
    --------
    >>> print(unwrapped("one\ntwo\n- three\n  four\n| a | b |"))
    one two
    - three four
    | a&emsp;| b&emsp;|
    """
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("|"):
            is_rule = set(line) <= set("|-: ")
            lines.append(line if is_rule else _CELL_END.sub("&emsp;|", line))
        elif lines and _joins(lines[-1], line):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _joins(line: str, following: str) -> bool:
    """Return whether the following line is of the same paragraph or item of a list."""
    if not line or not following.strip() or _OWN_LINE.match(following):
        return False
    return not line.startswith(("|", "#", "<!--", "```"))
