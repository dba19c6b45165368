"""Scores of single cells, read in parts: what each cell says under a model, and tables for view."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.cells.cell_types import CELL_TYPES
from models.cell_model import CellModel
from pipelines.cells.prepared import PreparedCells

__all__ = ["cells_at", "dot_table", "score_parts", "scores_of_cells", "view_table"]

_FEWEST = 5


def score_parts(prepared: PreparedCells) -> Iterator[tuple[int, pd.DataFrame]]:
    """Give the scores of the cells in file order: first row, and a part with its columns."""
    if prepared.summary.scores is None:
        return
    start = 0
    file = pq.ParquetFile(prepared.summary.scores)
    for group in range(file.num_row_groups):
        part = file.read_row_group(group).to_pandas()
        yield start, part
        start += len(part)


def scores_of_cells(prepared: PreparedCells, model: CellModel) -> NDArray[np.float32]:
    """Return each cell's score under the cell-level model (n_cells,), NaN of cells left out.

    In (0, 1), uncalibrated: how much a cell looks like those of resistant samples.
    """
    found = np.full(len(prepared.samples), np.nan, dtype=np.float32)
    for start, part in score_parts(prepared):
        table = part.reindex(columns=list(model.feature_names)).astype(float)
        found[start : start + len(part)] = model.predict(table).to_numpy(dtype=np.float32)
    found[prepared.samples < 0] = np.nan
    return found


def cells_at(prepared: PreparedCells, positions: NDArray[np.intp]) -> pd.DataFrame:
    """Return the scores of some cells (n_positions, n_columns), in the order of the file."""
    wanted = np.zeros(len(prepared.samples), dtype=bool)
    wanted[positions] = True
    parts = [part[wanted[start : start + len(part)]] for start, part in score_parts(prepared)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def view_table(
    prepared: PreparedCells,
    *,
    response: "pd.Series[float]",
    resistance: NDArray[np.float32] | None,
    scores: Sequence[str],
) -> pd.DataFrame:
    """Return the cells of the view for :func:`pipelines.figures.cell_umap.umap_panels`.

    Parameters
    ----------
    response
        Label of each sample (1, 0, NaN), by sample.
    resistance
        Score of each cell, (n_cells,); None where there is no cell-level model.
    scores
        Markers whose scores are shown.
    """
    if prepared.view is None:
        return pd.DataFrame()
    order = np.argsort(prepared.positions)
    positions = prepared.positions[order]
    table = cells_at(prepared, positions)
    samples = np.asarray(prepared.sample_names, dtype=object)[prepared.samples[positions]]
    view = pd.DataFrame(
        {
            "umap_1": prepared.view.umap[order, 0],
            "umap_2": prepared.view.umap[order, 1],
            "cell_type": prepared.type_names[positions],
            "sample": samples,
            "response": response.reindex(samples).to_numpy(dtype=float),
        }
    )
    if resistance is not None:
        view["resistance"] = resistance[positions]
    for name in scores:
        if name in table:
            view[name] = table[name].to_numpy(dtype=float)
    return view


def dot_table(
    prepared: PreparedCells,
    *,
    response: "pd.Series[float]",
    names: dict[str, str],
    markers: Sequence[str],
) -> pd.DataFrame:
    """Return each marker by cell type and response, lesions weighing the same.

    Columns ``mechanism, name, cell_type, response, mean, detected_share, n_cells, n_lesions``; the
    share is of cells whose score is above zero. Lesions with fewer than five cells of a type are
    left out of its mean.
    """
    summary = prepared.summary
    above = _above_zero(prepared, markers)
    labels = response.reindex(list(summary.samples)).to_numpy(dtype=float)
    rows = []
    for code, cell_type in enumerate(CELL_TYPES):
        for label in (0.0, 1.0, np.nan):
            chosen = np.isnan(labels) if np.isnan(label) else labels == label
            chosen &= summary.n_cells[:, code] >= _FEWEST
            if not chosen.any():
                continue
            for marker in markers:
                place = summary.marker_ids.index(marker)
                cells = summary.score_cells[chosen, code, place]
                if not (cells > 0).any():
                    continue
                means = summary.score_sums[chosen, code, place] / np.maximum(cells, 1)
                shares = above[marker][chosen, code] / np.maximum(cells, 1)
                rows.append(
                    {
                        "mechanism": marker,
                        "name": names.get(marker, marker),
                        "cell_type": cell_type,
                        "response": label,
                        "mean": float(means[cells > 0].mean()),
                        "detected_share": float(shares[cells > 0].mean()),
                        "n_cells": int(cells.sum()),
                        "n_lesions": int((cells > 0).sum()),
                    }
                )
    return pd.DataFrame(rows)


def _above_zero(prepared: PreparedCells, markers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return how many cells of each sample and type score above zero, by marker."""
    shape = (len(prepared.sample_names), len(CELL_TYPES))
    found = {marker: np.zeros(shape) for marker in markers}
    for start, part in score_parts(prepared):
        rows = slice(start, start + len(part))
        samples, types = prepared.samples[rows], prepared.types[rows]
        kept = samples >= 0
        for marker in markers:
            above = kept & (part[marker].to_numpy(dtype=float) > 0)
            np.add.at(found[marker], (samples[above], types[above]), 1.0)
    return found
