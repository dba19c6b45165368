"""Features that single cells give beyond pseudobulk: shares, states, low and high cells, spread."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.catalogue import Catalogue, Marker
from features.catalogue_entries import SETTINGS, Citation, Sign
from features.errors import CatalogueError

__all__ = [
    "ALL_CELLS",
    "CELL_SECTION",
    "CellFeature",
    "Measure",
    "cell_catalogue",
    "default_cell_features",
    "in_compartment",
    "load_cell_features",
]

Measure = Literal["composition", "entropy", "expression", "detected", "low", "high", "spread"]
ALL_CELLS = "all"
"""The compartment of every cell kept."""
_DEFAULT_FILE = Path(__file__).parent / "cell_features.yaml"
_OWN_COMPARTMENTS = ("malignant", "t_cell", "b_cell", "nk_cell", "myeloid", "stroma")
"""Compartments that the catalogue's markers name."""
_MARKER_COMPARTMENT: Mapping[str, str] = {
    "cd8_t": "t_cell",
    "cd4_t": "t_cell",
    "treg": "t_cell",
    "macrophage": "myeloid",
    ALL_CELLS: "any",
}
CELL_SECTION = "Single cells"
"""Section of the entries that :func:`cell_catalogue` adds."""


class CellFeature(BaseModel):
    """One feature of a sample that is read from its single cells."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Name of the feature."""
    name: str = Field(min_length=3)
    """Name in the field's terms."""
    measure: Measure
    """``composition``: share of a compartment's cells among those of ``among``; ``entropy``:
    Shannon entropy of the cell types, as a share of its highest value; ``expression``: a marker, or
    one gene, in the compartment's pseudobulk; ``detected``: share of the compartment's cells in
    which every gene is detected; ``low`` (``high``): share of its cells whose score of the marker
    lies below the 5th (above the 95th) percentile of the sample's other cells (``low`` is missing
    where that percentile is their lowest score); ``spread``: 90th
    minus 10th percentile of the marker's score over its cells."""
    compartment: str
    """A compartment of :data:`features.cells.cell_types.COMPARTMENTS`, or ``all``."""
    among: str = ALL_CELLS
    """Compartment that a composition is a share of."""
    marker: str | None = None
    """Catalogue id of the marker (``expression``, ``low``, ``high``, ``spread``)."""
    genes: tuple[str, ...] = ()
    """Genes to be detected together, or the gene that is measured; of a composition, genes that
    tell the cells in reports."""
    mechanism: str
    """Mechanism class."""
    sign: Sign
    """``+`` more of it goes with resistance, ``-`` with response, ``·`` not fixed."""
    sign_by_setting: dict[str, Sign] = {}
    """Sign in a setting where it differs."""
    evidence: Literal["review", "class", "field"]
    """As for markers."""
    sources: tuple[Citation, ...] = Field(min_length=1)
    """Who says so."""

    @model_validator(mode="after")
    def _measure_fits(self) -> Self:
        scored = self.measure in ("low", "high", "spread")
        if scored and self.marker is None:
            raise ValueError(f"measure '{self.measure}' needs a marker")
        if self.measure == "expression" and bool(self.marker) == bool(self.genes):
            raise ValueError("measure 'expression' takes either a marker or genes")
        if self.measure == "detected" and not self.genes:
            raise ValueError("measure 'detected' needs genes")
        return self


def load_cell_features(path: Path) -> tuple[CellFeature, ...]:
    """Return the checked cell features of a YAML file.

    Raises
    ------
    CatalogueError
        The file cannot be read, or an entry breaks the schema.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        return tuple(CellFeature.model_validate(entry) for entry in raw["features"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CatalogueError(
            f"cell features {path}: {error}; give a list under features"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"]))
        raise CatalogueError(f"cell features {path}: {where}: {first['msg']}") from error


@lru_cache(maxsize=1)
def default_cell_features() -> tuple[CellFeature, ...]:
    """Return the cell features that come with OncoResist."""
    return load_cell_features(_DEFAULT_FILE)


def in_compartment(marker: str, compartment: str) -> str:
    """Return the id of a marker scored in a compartment's pseudobulk.

    Examples
    --------
    >>> in_compartment("mhc_class_i", "malignant")
    'mhc_class_i_in_malignant'
    """
    return f"{marker}_in_{compartment}"


def cell_catalogue(
    catalogue: Catalogue, *, setting: str | None, cell_features: Sequence[CellFeature]
) -> Catalogue:
    """Return the catalogue with an entry for every feature that single cells can give.

    Markers stand as in bulk (scored in the pseudobulk of all cells), again in the compartment
    that the catalogue places them in (``<marker>_in_<compartment>``, with the sign that holds in
    single cells), and then the cell features. Models trained on single cells carry this one, so
    that reports, signs and mechanism sums need no other way.
    """
    markers = {marker.id: marker for marker in catalogue.markers_of(setting)}
    within = [
        _placed(marker, in_compartment(marker.id, marker.compartment), setting)
        for marker in markers.values()
        if marker.compartment in _OWN_COMPARTMENTS and marker.by_drug is None
    ]
    known = {*catalogue.marker_ids, *(marker.id for marker in within)}
    own = [_as_marker(f, markers, setting) for f in cell_features if f.id not in known]
    data = {name: getattr(catalogue, name) for name in Catalogue.model_fields}
    data["markers"] = (*catalogue.markers, *within, *own)
    return Catalogue.model_validate(data)


def _placed(marker: Marker, name: str, setting: str | None) -> Marker:
    """Return a marker as it stands in its own compartment's pseudobulk."""
    sign = marker.sign_single_cell or (marker.sign_in(setting) if setting else marker.sign)
    place = marker.compartment.replace("_", " ").replace("cell", "cells")
    return marker.model_copy(
        update={
            "id": name,
            "name": f"{marker.name} in {'malignant cells' if place == 'malignant' else place}",
            "section": CELL_SECTION,
            "sign": sign,
            "sign_by_setting": {},
        }
    )


def _as_marker(feature: CellFeature, markers: Mapping[str, Marker], setting: str | None) -> Marker:
    """Return a cell feature as a catalogue entry, with the genes that it reads."""
    base = markers.get(feature.marker or "")
    genes = base.genes + base.minus_genes if base is not None else feature.genes
    compartment = _MARKER_COMPARTMENT.get(feature.compartment, feature.compartment)
    return Marker.model_validate(
        {
            "id": feature.id,
            "name": feature.name,
            "section": CELL_SECTION,
            "mechanism": feature.mechanism,
            "settings": base.settings if base else SETTINGS,
            "genes": genes,
            "score": "single" if len(genes) == 1 else "mean",
            "sign": feature.sign_by_setting.get(setting or "", feature.sign),
            "compartment": compartment,
            "evidence": feature.evidence,
            "sources": feature.sources,
            "note": f"Read from single cells: {feature.measure} ({feature.compartment}).",
        }
    )
