"""The catalogue in other forms: YAML, GMT gene sets, a network table, the schema of its files."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import yaml

from features.catalogue import Catalogue, Marker
from features.catalogue_files import PARTS
from features.errors import CatalogueError
from features.therapy import DrugTable, Therapy

__all__ = ["catalogue_yaml", "file_schema", "gmt", "network"]


def catalogue_yaml(catalogue: Catalogue, *, setting: str | None = None) -> str:
    """Return the catalogue as one YAML file, in the form that :func:`load_catalogue` reads.

    It stands by itself (``extends: nothing``) under one section. A setting's export holds the
    markers of that setting, and the strategies for their mechanisms.

    Raises
    ------
    CatalogueError
        The setting has no marker.
    """
    if not catalogue.markers_of(setting):
        raise CatalogueError(f"the catalogue has no marker of setting '{setting}' to export")
    content: dict[str, Any] = {"version": catalogue.version, "extends": "nothing"}
    content["section"] = "All markers" if setting is None else f"Markers of setting {setting}"
    chosen = {marker.id for marker in catalogue.markers_of(setting)}
    mechanisms = {marker.mechanism for marker in catalogue.markers_of(setting)}
    for part, name in PARTS.items():
        entries = []
        for entry in getattr(catalogue, part):
            plain = entry.model_dump(mode="json", exclude_defaults=True)
            if part == "markers" and entry.id not in chosen:
                continue
            if part == "markers":
                plain.pop("section")
            if part == "strategies":
                plain["mechanisms"] = [m for m in plain["mechanisms"] if m in mechanisms]
                if not plain["mechanisms"]:
                    continue
            entries.append(plain)
        if entries:
            listed = part == "markers"
            content[part] = entries if listed else {e.pop(name): e for e in entries}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def gmt(catalogue: Catalogue, *, setting: str | None = None) -> str:
    """Return gene sets, a line each: name, description, genes, separated by tabs.

    Genes that are subtracted stand in a set of their own, ``<id>_minus``; sets that the drug
    chooses are named ``<id>.<drug>``.
    """
    lines = []
    for marker, name, plus, minus in _sets(catalogue, setting):
        description = f"{marker.name} [{marker.mechanism}, sign {marker.sign}]"
        if plus:
            lines.append("\t".join([name, description, *plus]))
        if minus:
            lines.append("\t".join([f"{name}_minus", f"{description}, subtracted", *minus]))
    return "\n".join(lines) + "\n"


def network(catalogue: Catalogue, *, setting: str | None = None) -> pd.DataFrame:
    """Return a network table: ``source`` (feature), ``target`` (gene), ``weight``.

    As decoupler reads it (DOI 10.1093/bioadv/vbac016): positive weights for genes that raise a
    score, negative ones for genes that lower it. Sets that the drug chooses are named
    ``<id>.<drug>``.
    """
    rows = [
        (name, gene, side * marker.weights.get(gene, 1))
        for marker, name, plus, minus in _sets(catalogue, setting)
        for side, genes in ((1.0, plus), (-1.0, minus))
        for gene in genes
    ]
    return pd.DataFrame(rows, columns=["source", "target", "weight"])


def _sets(
    catalogue: Catalogue, setting: str | None
) -> Iterator[tuple[Marker, str, Sequence[str], Sequence[str]]]:
    """Yield marker, name of the set, genes that raise and genes that lower the score."""
    table = DrugTable(catalogue)
    markers = {marker.id: marker for marker in catalogue.markers}
    for marker in catalogue.markers_of(setting):
        if marker.by_drug is None:
            over = markers[marker.over].genes if marker.over else ()
            yield marker, marker.id, marker.genes, marker.minus_genes + over
            continue
        for drug in catalogue.drugs:
            genes = table.genes(marker.by_drug, Therapy(drug.name, drug))
            if genes.plus or genes.minus:
                yield marker, f"{marker.id}.{drug.id}", genes.plus, genes.minus


def file_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a catalogue file, from the classes that check it."""
    schema = Catalogue.model_json_schema()
    properties = schema["properties"]
    for part, name in PARTS.items():
        reference = properties[part]["items"]
        entry = schema["$defs"][reference["$ref"].rsplit("/", 1)[-1]]
        given = "section" if part == "markers" else name
        pattern = entry["properties"].pop(given).get("pattern")
        entry["required"].remove(given)
        described = {"description": properties[part]["description"]}
        if part == "markers":
            properties[part] = {"type": "array", "minItems": 1, "items": reference, **described}
        else:
            properties[part] = {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": reference,
                **({"propertyNames": {"pattern": pattern}} if pattern else {}),
                **described,
            }
    properties["version"]["type"] = ["string", "number"]
    properties["section"] = {
        "type": "string",
        "description": "Heading that the file's markers stand under.",
    }
    properties["extends"] = {
        "enum": ["packaged", "nothing"],
        "default": "packaged",
        "description": "Whether the file adds to the packaged catalogue or stands by itself.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "OncoResist catalogue file",
        "description": "A catalogue file of your own. Markers are a list; genes, sources, payload "
        "classes, payloads, drugs, strategies and not_in_expression map a name to its entry.",
        "required": ["version"],
        "dependentRequired": {"markers": ["section"]},
    }
