"""A model's transformer as plain values, and back: of bulk, or of single cells."""

from collections.abc import Mapping
from typing import Any

from features.catalogue import Catalogue
from features.cells.features import CellFeature
from features.cells.transformer import CellFeatures
from features.transformer import MarkerFeatures

__all__ = ["describe_transformer", "load_transformer"]


def describe_transformer(transformer: MarkerFeatures) -> dict[str, Any]:
    """Return a fitted transformer as values for JSON; its catalogue and setting stand apart."""
    described = {
        "min_coverage": transformer.min_coverage,
        "score_kind": transformer.score_kind,
        "background": list(transformer.background_),
    }
    if not isinstance(transformer, CellFeatures):
        return described
    return described | {
        "compartments": list(transformer.compartments_),
        "cell_table": list(transformer.cell_table_features_),
        "cell_features": [feature.model_dump(mode="json") for feature in transformer.entries],
    }


def load_transformer(description: Mapping[str, Any], catalogue: Catalogue) -> MarkerFeatures:
    """Return the transformer of :func:`describe_transformer`, with ``setting`` beside it."""
    parameters = {name: description[name] for name in ("min_coverage", "setting", "score_kind")}
    background = description["background"]
    if "compartments" not in description:
        return MarkerFeatures(catalogue, **parameters).freeze(background)
    entries = tuple(CellFeature.model_validate(entry) for entry in description["cell_features"])
    return CellFeatures(catalogue, **parameters, cell_features=entries).restore(
        background, compartments=description["compartments"], table=description["cell_table"]
    )
