"""What differs between two catalogues, in words."""

from collections.abc import Mapping
from typing import Any

from features.catalogue import Catalogue
from features.catalogue_files import PARTS
from features.errors import examples

__all__ = ["catalogue_differences"]


def catalogue_differences(first: Catalogue, second: Catalogue) -> list[str]:
    """Return what differs, a line each: markers by name, then version and the other entries.

    Entries that changed are told with the fields that did: ``markers changed: b2m (genes)``.
    """
    before, after = first.model_dump(mode="json"), second.model_dump(mode="json")
    lines = []
    if first.version != second.version:
        lines.append(f"version {first.version} → {second.version}")
    for part, name in PARTS.items():
        old, new = ({str(e[name]): e for e in side[part]} for side in (before, after))
        told = {
            "removed": [key for key in old if key not in new],
            "added": [key for key in new if key not in old],
            "changed": [
                f"{key} ({', '.join(_fields(old[key], new[key]))})"
                for key in old
                if key in new and old[key] != new[key]
            ],
        }
        what = part.replace("_", " ")
        lines += [f"{what} {how}: {examples(names)}" for how, names in told.items() if names]
    return sorted(lines, key=lambda line: not line.startswith("markers")) or ["order of entries"]


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]
