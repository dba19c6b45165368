"""``docs/cell_types.md``: the catalogue of cell types, and how it agrees with published calls."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.catalogue import Catalogue
from features.cells.agreement import agree, confusion_table
from features.cells.annotation import CellAnnotation, annotate_cells
from features.cells.cell_types import CELL_TYPES, cell_type_catalogue, map_annotation
from features.cells.source import open_cells
from features.cells.view import sketch, view_cells
from features.genes import translate_genes
from pipelines.cells.prepare import cell_unit
from pipelines.reports.templates import page_environment
from pipelines.settings.cohort import CohortConfig

__all__ = ["cell_types_page"]

_SKETCH = 10_000
_SEED = 0


@dataclass(frozen=True)
class _Published:
    """A file whose cells others have named: where, in which column, and whose calls they are."""

    path: str
    column: str
    whose: str
    meant: tuple[tuple[str, str], ...] = ()


_FILES = (
    _Published(
        "single_cell/sade_feldman_scfeatures_550x3523.h5ad",
        "cell_type_original_study",
        "the study's own",
        (("Cytotoxicity", "cd8_t"),),
    ),
    _Published("single_cell/tirosh_melanoma_chetah_150.h5ad", "cell_type_chetah", "CHETAH's calls"),
    _Published("single_cell/sade_feldman_8000x450.h5ad", "cell_type", "another program's calls"),
)


def cell_types_page(root: Path, *, catalogue: Catalogue) -> str:
    """Return the page in Markdown; agreement is given for the files that are below ``root``."""
    known = cell_type_catalogue()
    text = (
        page_environment(html=False)
        .get_template("cell_types.md.j2")
        .render(
            types=known.types,
            sources=known.sources,
            files=[
                _agreement(root, one, catalogue) for one in _FILES if (root / one.path).is_file()
            ],
        )
    )
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def _agreement(root: Path, published: _Published, catalogue: Catalogue) -> dict[str, Any]:
    """Return how the calls of a file agree with the published ones, for the template."""
    annotation, labels = _annotate(root / published.path, published.column, catalogue)
    meaning, (known, _) = dict(published.meant), map_annotation(labels)
    mapped = [meaning.get(label, name) for label, name in zip(labels, known, strict=True)]
    types = np.asarray(CELL_TYPES, dtype=object)
    calls = {
        "Smoothed over clusters": list(types[annotation.types]),
        "Per cell": list(types[annotation.per_cell]),
    }
    asked = {"told types": annotation.measured, "all types": CELL_TYPES}
    return {
        "name": Path(published.path).stem,
        "column": published.column,
        "whose": published.whose,
        "meant": published.meant,
        "n_cells": f"{len(labels):,}",
        "agreements": {
            f"{how}, {which}": agree(found, mapped, types=wanted)
            for how, found in calls.items()
            for which, wanted in asked.items()
        },
        "confusions": {how: confusion_table(found, labels) for how, found in calls.items()},
    }


def _annotate(path: Path, column: str, catalogue: Catalogue) -> tuple[CellAnnotation, list[str]]:
    """Return how the cells of a file are called, and what others called them."""
    with open_cells(path) as source:
        symbols = translate_genes(list(source.genes), catalogue=catalogue).symbols
        finding = cell_unit(source, CohortConfig(name="file", expression=path.name))
        one_sample = np.zeros(source.n_cells, dtype=np.int32)
        positions = sketch(source, samples=one_sample, size=_SKETCH, seed=_SEED)
        view = view_cells(source, symbols=symbols, finding=finding, positions=positions, seed=_SEED)
        annotation = annotate_cells(
            source,
            symbols=symbols,
            finding=finding,
            clusters=view.clusters if view.umap.any() else None,
        )
        return annotation, [str(label) for label in source.obs([column])[column]]
