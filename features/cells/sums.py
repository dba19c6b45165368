"""Sums of expression, scores and detections by group of cells, a block at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cells.scores import CellBlock, CellScorer, LinearCells

__all__ = ["GroupSums"]


class GroupSums:
    """Sums by group of cells, filled block by block.

    Parameters
    ----------
    n_groups
        Number of groups; what a group has no cells of takes no memory.
    scorer
        What the blocks are scored by.
    symbols
        Symbol of each gene of the file, ``""`` where there is none, repeats allowed.
    average
        Average the columns of a symbol, or add them up.

    Attributes
    ----------
    symbols
        The symbols, each once.
    n_cells
        (n_groups,).
    expression
        (n_groups, n_symbols): sums of the values.
    score_sums, score_squares, score_cells
        (n_groups, n_markers).
    detected
        (n_groups, n_rules).
    """

    def __init__(
        self, n_groups: int, scorer: CellScorer, symbols: Sequence[str], *, average: bool
    ) -> None:
        codes, found = pd.factorize(np.asarray([name or None for name in symbols], dtype=object))
        self.symbols = tuple(str(name) for name in found)
        # Each column's place among the symbols; the last place is of columns without one.
        self._places = np.where(codes < 0, len(found), codes)
        self._copies = np.bincount(self._places, minlength=len(found)) if average else None
        n_markers = len(scorer.marker_ids)
        # Pages that no cell falls into are never touched, and take no memory.
        self.expression = np.zeros((n_groups, len(found)))
        self.score_sums, self.score_squares = np.zeros((2, n_groups, n_markers))
        self.score_cells = np.zeros((n_groups, n_markers), dtype=np.int64)
        self.detected = np.zeros((n_groups, len(scorer.detected_ids)), dtype=np.int64)
        self.n_cells = np.zeros(n_groups, dtype=np.int64)

    def add(self, cells: LinearCells, found: CellBlock, groups: NDArray[np.int64]) -> None:
        """Add a block's cells to their groups (n_cells,), -1 for none."""
        order = np.argsort(groups, kind="stable")
        order = order[np.count_nonzero(groups < 0) :]
        if order.size == 0:
            return
        present, starts = np.unique(groups[order], return_index=True)
        self.n_cells[present] += np.diff(np.append(starts, order.size))
        self.detected[present] += np.add.reduceat(found.detected[order], starts, dtype=np.int64)
        scores = found.scores[order]
        finite = np.isfinite(scores)
        scores[~finite] = 0.0
        self.score_cells[present] += np.add.reduceat(finite, starts, dtype=np.int64)
        self.score_sums[present] += np.add.reduceat(scores, starts)
        self.score_squares[present] += np.add.reduceat(scores**2, starts)
        self._add_expression(cells.values[order], present, np.append(starts, order.size))

    def _add_expression(self, values: Any, groups: NDArray[np.int64], edges: Any) -> None:
        """Add the rows of each group, which lie together in ``values``."""
        bounds, n_genes = values.indptr[edges], self._places.size
        for group, first, last in zip(groups, bounds[:-1], bounds[1:], strict=True):
            own = slice(first, last)
            by_column = np.bincount(values.indices[own], values.data[own], minlength=n_genes)
            self.expression[group] += self._by_symbol(by_column)

    def _by_symbol(self, by_column: NDArray[np.float64]) -> NDArray[np.float64]:
        n_symbols = len(self.symbols)
        if n_symbols == by_column.size:  # one column each, in the file's order
            return by_column
        by_symbol = np.bincount(self._places, by_column, minlength=n_symbols)[:n_symbols]
        return by_symbol if self._copies is None else by_symbol / self._copies[:n_symbols]
