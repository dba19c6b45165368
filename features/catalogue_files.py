"""Read the catalogue's YAML files: nothing repeated, unknown or empty, the line of all known."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from features.errors import CatalogueError, examples

__all__ = ["ENTRY_NAME", "PARTS", "RawCatalogue", "RawEntry", "read_catalogue_files"]

PARTS: Mapping[str, str] = {
    "genes": "symbol",
    "sources": "key",
    "markers": "id",
    "payload_classes": "id",
    "payloads": "id",
    "drugs": "id",
    "strategies": "id",
    "not_in_expression": "id",
}
"""Part of a catalogue → the field that names its entries. Markers are a list, the rest mappings."""
ENTRY_NAME: Mapping[str, str] = {
    "genes": "gene",
    "sources": "source",
    "markers": "marker",
    "payload_classes": "payload class",
    "payloads": "payload",
    "drugs": "drug",
    "strategies": "strategy",
    "not_in_expression": "not_in_expression entry",
}
"""Part of a catalogue → what one of its entries is called in messages."""
_TEXT_PARTS = ("version", "section", "extends")


@dataclass(frozen=True)
class RawEntry:
    """One entry as it stands in a file.

    Attributes
    ----------
    part, name
        Where it belongs and what it is called.
    fields
        Its content, the name included.
    file
        The file it stands in.
    lines
        Path of keys within the entry → line; ``()`` is the entry itself.
    """

    part: str
    name: str
    fields: Mapping[str, Any]
    file: Path
    lines: Mapping[tuple[str | int, ...], int]

    def place(self, path: Sequence[str | int] = ()) -> str:
        """Return file and line of a field, or of the nearest thing around it that has a line."""
        keys = tuple(path)
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.file.name}, line {self.lines[keys]}"


@dataclass(frozen=True)
class RawCatalogue:
    """The entries of one or several files, not yet validated, and the texts above them."""

    entries: tuple[RawEntry, ...]
    texts: Mapping[str, str] = field(default_factory=dict)


class _StrictLoader(yaml.CSafeLoader):
    """The safe loader, which also refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping of a node; plain YAML would keep the last of two equal keys."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                first = lines[key.value]
                raise yaml.YAMLError(
                    f"key '{key.value}' stands twice, in lines {first} and {line}; keep one"
                )
            lines[key.value] = line
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_catalogue_files(files: Iterable[Path]) -> RawCatalogue:
    """Return the entries of catalogue files as they stand, each with its lines.

    A file is a mapping with any of :data:`PARTS`, ``version``, ``extends`` and, above markers,
    the ``section`` that they stand under.

    Raises
    ------
    CatalogueError
        A file is unreadable, repeats a key, holds an unknown part or an empty entry.
    """
    entries: list[RawEntry] = []
    texts: dict[str, str] = {}
    for file in files:
        content, root = _read(file)
        parts = _checked_parts(file, content)
        texts |= {key: str(content[key]) for key in _TEXT_PARTS if key in content}
        for part in parts:
            node = next(value for key, value in root.value if key.value == part)
            try:
                entries += _entries(file, part, content, node)
            except RecursionError as error:
                raise CatalogueError(
                    f"catalogue file {file}: '{part}' refers to itself by an anchor; write it out"
                ) from error
    return RawCatalogue(tuple(entries), texts)


def _read(file: Path) -> tuple[dict[str, Any], yaml.MappingNode]:
    try:
        text = file.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=_StrictLoader)
        root = yaml.compose(text, Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        words = _in_words(error)
        raise CatalogueError(f"catalogue file {file}: cannot be read: {words}") from error
    if not isinstance(content, dict) or not isinstance(root, yaml.MappingNode):
        raise CatalogueError(
            f"catalogue file {file}: expected a mapping; allowed at the top level: "
            f"{', '.join([*_TEXT_PARTS, *PARTS])}"
        )
    return content, root


def _in_words(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        words = f"{error.problem} (line {error.problem_mark.line + 1})"
        if "sequence entries" in str(error.problem):
            words += '; text that begins with a sign is quoted, as in sign: "-"'
        return words
    return " ".join(str(error).split())


def _checked_parts(file: Path, content: Mapping[str, Any]) -> list[str]:
    unknown = [key for key in content if key not in (*_TEXT_PARTS, *PARTS)]
    if unknown:
        raise CatalogueError(
            f"catalogue file {file}: unknown part {examples(unknown)}; allowed: "
            f"{', '.join([*_TEXT_PARTS, *PARTS])}"
        )
    lacking = [key for key, value in content.items() if value in (None, "", [], {})]
    if "markers" in content and "section" not in content:
        lacking.append("section")
    if lacking:
        raise CatalogueError(f"catalogue file {file}: '{lacking[0]}' is missing or empty")
    return [part for part in PARTS if part in content]


def _entries(file: Path, part: str, content: Mapping[str, Any], node: yaml.Node) -> list[RawEntry]:
    name = PARTS[part]
    value: Any = content[part]
    listed = part == "markers"
    if not isinstance(value, list if listed else dict):
        kind = "be a list of entries" if listed else f"map each {name} to its entry"
        raise CatalogueError(f"catalogue file {file}: '{part}' must {kind}")
    pairs = list(enumerate(value, start=1)) if listed else list(dict(value).items())
    keyed = [(child, child) for child in node.value] if listed else node.value
    if len(keyed) != len(pairs):
        raise CatalogueError(f"catalogue file {file}: '{part}' merges entries (<<); write them out")
    inside = "section" if listed else name
    found, faulty = [], []
    for (key, fields), (above, child) in zip(pairs, keyed, strict=True):
        label = f"number {key}" if listed else f"'{key}'"
        if not isinstance(fields, dict) or not fields or inside in fields:
            faulty.append(f"{ENTRY_NAME[part]} {label} (line {above.start_mark.line + 1})")
            continue
        own = {"section": content["section"], **fields} if listed else {name: key, **fields}
        called = str(own.get(name, label))
        lines = _lines(child) | {(): above.start_mark.line + 1}
        found.append(RawEntry(part, called, own, file, lines))
    if faulty:
        raise CatalogueError(
            f"catalogue file {file}: {examples(faulty)} is empty, is not a mapping of fields, or "
            f"repeats '{inside}', which stands above it"
        )
    return found


def _lines(node: yaml.Node, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], int]:
    """Return the line of a node and of everything below it, by path."""
    lines = {path: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            own = (*path, str(key.value))
            lines |= _lines(child, own)
            lines[own] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            lines |= _lines(child, (*path, position))
    return lines
