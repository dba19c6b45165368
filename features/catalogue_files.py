"""Read the catalogue's YAML files: nothing repeated, nothing missing, nothing empty."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from features.errors import CatalogueError, examples

__all__ = ["read_catalogue_files"]


class _StrictLoader(yaml.SafeLoader):
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


def read_catalogue_files(folder: Path) -> dict[str, Any]:
    """Return version, genes, sources and markers as they stand in a folder, not yet validated.

    Parameters
    ----------
    folder
        See :func:`features.catalogue.load_catalogue`.

    Raises
    ------
    CatalogueError
        A file is missing or unreadable, repeats a key, lacks a part or holds an empty entry.
    """
    marker_files = sorted(folder.glob("markers_*.yaml"))
    if not marker_files:
        raise CatalogueError(
            f"catalogue folder {folder}: no file markers_*.yaml in it; give a folder that holds "
            "genes.yaml, sources.yaml and one markers_*.yaml for each section"
        )
    genes = _read_parts(folder / "genes.yaml", parts=("genes",))
    sources = _read_parts(folder / "sources.yaml", parts=("version", "sources"))
    raw = {
        "version": sources["version"],
        "genes": _named_entries(folder / "genes.yaml", "genes", genes, name="symbol"),
        "sources": _named_entries(folder / "sources.yaml", "sources", sources, name="key"),
        "markers": [],
    }
    for path in marker_files:
        raw["markers"] += _marker_entries(path, _read_parts(path, parts=("section", "markers")))
    return raw


def _read_parts(path: Path, *, parts: tuple[str, ...]) -> dict[str, Any]:
    """Return a file's mapping, which has exactly ``parts`` at the top, none of them empty."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogueError(f"catalogue file {path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CatalogueError(
            f"catalogue file {path}: expected a mapping with {', '.join(parts)} at the top level"
        )
    lacking = [part for part in parts if content.get(part) in (None, "", [], {})]
    if lacking:
        raise CatalogueError(f"catalogue file {path}: '{lacking[0]}' is missing or empty")
    unknown = [key for key in content if key not in parts]
    if unknown:
        raise CatalogueError(
            f"catalogue file {path}: unknown part {examples(unknown)}; allowed: {', '.join(parts)}"
        )
    return content


def _named_entries(
    path: Path, part: str, content: dict[str, Any], *, name: str
) -> list[dict[str, Any]]:
    """Return the entries of a mapping as a list, the key of each under ``name``."""
    entries = content[part]
    if not isinstance(entries, dict):
        raise CatalogueError(f"catalogue file {path}: '{part}' must map a {name} to its entry")
    faulty = [key for key, entry in entries.items() if not _is_entry(entry, without=name)]
    _refuse(path, [f"{part} '{key}'" for key in faulty], without=name)
    return [{name: key, **entry} for key, entry in entries.items()]


def _marker_entries(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    entries = content["markers"]
    if not isinstance(entries, list):
        raise CatalogueError(f"catalogue file {path}: 'markers' must be a list of entries")
    faulty = [
        f"marker number {number}" + (f" ('{entry.get('id')}')" if isinstance(entry, dict) else "")
        for number, entry in enumerate(entries, start=1)
        if not _is_entry(entry, without="section")
    ]
    _refuse(path, faulty, without="section")
    return [{"section": content["section"], **entry} for entry in entries]


def _is_entry(entry: object, *, without: str) -> bool:
    return isinstance(entry, dict) and bool(entry) and without not in entry


def _refuse(path: Path, faulty: list[str], *, without: str) -> None:
    if faulty:
        raise CatalogueError(
            f"catalogue file {path}: {examples(faulty)} is empty, is not a mapping of fields, or "
            f"repeats '{without}', which stands above it"
        )
