"""Tell by its look whether a file holds single cells."""

from pathlib import Path

import numpy as np

from features.catalogue import Catalogue
from features.cells.source import CellSource, open_cells
from features.errors import CohortError
from features.genes import translate_genes
from pipelines.settings.cohort import CohortConfig

__all__ = ["FORMATS", "holds_cells", "looks_like_cells"]

FORMATS = (".h5ad", ".zarr")
_FEWEST_CELLS = 50
_LOOKED_AT = 300
_UNDETECTED, _UNDETECTED_GROUPED = 0.4, 0.15
"""Share of the catalogue's genes that a row does not show: about 0.1 in bulk tumours, 0.5 and more
in single cells."""
_FEWEST_GROUPED, _ROWS_A_SAMPLE = 500, 20
"""Fewest rows, and rows a sample on average, that make cells whatever they show."""
_FEWEST_GENES = 20
_GROUPS = ("sample_id", "sample", "lesion_sample", "library_id", "patient_id", "donor_id")


def holds_cells(config: CohortConfig, path: Path, *, catalogue: Catalogue) -> bool:
    """Return whether a cohort's file is to be read as single cells.

    Raises
    ------
    CohortError
        ``modality: single_cell`` is stated of a file that cells are not read from.
    """
    if path.suffix.lower() not in FORMATS:
        if config.modality == "single_cell":
            raise CohortError(
                f"cohort '{config.name}': modality single_cell, but {path} is no h5ad or zarr; "
                "write the cells with anndata, or state modality: bulk"
            )
        return False
    if config.modality != "auto":
        return config.modality == "single_cell"
    if path.suffix.lower() == ".zarr" or not path.exists():
        return path.suffix.lower() == ".zarr"  # bulk is not read from such stores
    with open_cells(path) as source:
        return looks_like_cells(source, catalogue=catalogue)


def looks_like_cells(source: CellSource, *, catalogue: Catalogue) -> bool:
    """Return whether rows are single cells: most marker genes undetected, or many a sample.

    Where many rows share a sample, a fifth of the genes undetected is enough: bulk tumours show
    nearly all of the catalogue's.
    """
    if source.n_cells < _FEWEST_CELLS:
        return False
    undetected, known = _undetected_share(source, catalogue)
    if known and undetected >= _UNDETECTED:
        return True
    if source.n_cells < _FEWEST_GROUPED or undetected < _UNDETECTED_GROUPED:
        return False
    for name in (name for name in _GROUPS if name in source.obs_columns):
        stated = source.obs_column(name).dropna().astype(str).str.strip()
        groups = stated[stated != ""].nunique()
        if groups and source.n_cells / groups >= _ROWS_A_SAMPLE:
            return True
    return False


def _undetected_share(source: CellSource, catalogue: Catalogue) -> tuple[float, bool]:
    """Return the median share of the catalogue's genes that are zero in a row, and whether it is.

    Of all genes where the file has few of the catalogue's, as a panel does: that says less.
    """
    symbols = translate_genes(list(source.genes), catalogue=catalogue).symbols
    known = np.flatnonzero(np.isin(np.asarray(symbols, dtype=object), list(catalogue.gene_symbols)))
    enough = known.size >= _FEWEST_GENES
    if not enough:
        known = np.arange(len(symbols))
    chosen = np.unique(np.linspace(0, source.n_cells - 1, _LOOKED_AT).astype(np.intp))
    block = source.rows(chosen)[:, known]
    values = block.toarray() if hasattr(block, "toarray") else np.asarray(block)
    return float(np.median(np.mean(values == 0, axis=1))), enough
