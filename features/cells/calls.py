"""The type that each cell is called by its scores: lineage first, then down the tree of types."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from features.cells.cell_types import CELL_TYPES, TYPE_CODES, cell_types
from features.cells.type_scores import TypeScores

__all__ = ["CellCalls", "call_cells"]

_NEITHER = 0.5
"""Standardised score of "none of these", against which every type has to stand."""
_SURE = 0.5
"""Confidence below which a cell is ``unknown``, or is given the less specific type."""
_UNKNOWN = TYPE_CODES["unknown"]


@dataclass(frozen=True)
class CellCalls:
    """What cells are called by themselves.

    Attributes
    ----------
    types
        Codes of :data:`features.cells.cell_types.CELL_TYPES` (n_cells,), int8.
    confidence
        Confidence in the type (n_cells,), float32: that of the lineage, times that of each more
        specific step; of an unknown cell, that of its likeliest lineage.
    lineage_confidence
        Confidence in the lineage alone (n_cells,), float32.
    """

    types: NDArray[np.int8]
    confidence: NDArray[np.float32]
    lineage_confidence: NDArray[np.float32]


def call_cells(scores: TypeScores, *, least_excess: float = 0.1) -> CellCalls:
    """Return what cells are called by their scores, each by itself.

    ``least_excess`` is the excess that a type needs at least.
    """
    lineages = _lineages()
    best, sure, told = _choose(
        [_branch(scores, code, shared=False) for code in lineages], least_excess
    )
    types = np.where(told, np.array(lineages)[best], _UNKNOWN)
    confidence = sure.copy()
    for code in lineages:
        _descend(code, scores, types, confidence, least_excess=least_excess)
    return CellCalls(
        types.astype(np.int8),
        confidence.astype(np.float32),
        sure.astype(np.float32),
    )


def _choose(
    branches: Sequence[TypeScores], least_excess: float
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the likeliest of several branches, how likely it is, and whether that is enough.

    Each is (n_cells,); "none of these" is one more possibility.
    """
    z = np.stack([branch.standardised for branch in branches], axis=1)
    excess = np.stack([branch.excess for branch in branches], axis=1)
    likely = _probabilities(np.column_stack([z, np.full(z.shape[0], _NEITHER)]))[:, :-1]
    cells, best = np.arange(z.shape[0]), likely.argmax(axis=1)
    chance = likely[cells, best]
    enough = np.nan_to_num(excess[cells, best], nan=-np.inf) >= least_excess
    return best, chance, (chance >= _SURE) & enough


def _descend(
    code: int,
    scores: TypeScores,
    types: NDArray[np.intp],
    confidence: NDArray[np.float64],
    *,
    least_excess: float,
) -> None:
    """Give cells of a type the more specific type below it that is more likely than not."""
    below, cells = _children(code), np.flatnonzero(types == code)
    if not below or not cells.size:
        return
    of_these = TypeScores(scores.excess[cells], scores.standardised[cells])
    branches = [_branch(of_these, child, shared=True) for child in below]
    best, chance, told = _choose(branches, least_excess)
    types[cells[told]] = np.array(below)[best[told]]
    confidence[cells[told]] *= chance[told]
    for child in below:
        _descend(child, scores, types, confidence, least_excess=least_excess)


def _branch(scores: TypeScores, code: int, *, shared: bool) -> TypeScores:
    """Return the scores (n_cells,) of a type with those below it: the best of them.

    Types whose markers other lineages have too say nothing for the types above them; where
    ``shared`` is true (within their lineage) they do, if that has no markers of its own in the
    file.
    """
    own = TypeScores(scores.excess[:, code], scores.standardised[:, code])
    shared = shared and not np.isfinite(own.standardised).any()
    for child in _children(code):
        if cell_types()[child].within_parent and not shared:
            continue
        other = _branch(scores, child, shared=shared)
        better = _comparable(other.standardised) > _comparable(own.standardised)
        own = TypeScores(
            excess=np.where(better, other.excess, own.excess),
            standardised=np.where(better, other.standardised, own.standardised),
        )
    return own


def _comparable(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.nan_to_num(z, nan=-np.inf)


def _probabilities(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities of standardised scores along the last axis, of each type a priori alike.

    A score ``z > 0`` is ``exp(z**2 / 2)`` times as likely where it is real as where there is
    nothing; what is not measured has no probability.
    """
    likelihood = np.exp(np.where(np.isfinite(z), np.maximum(z, 0.0) ** 2 / 2, -np.inf))
    return np.asarray(likelihood / likelihood.sum(axis=-1, keepdims=True))


@cache
def _lineages() -> tuple[int, ...]:
    """Return the codes of the types that a cell is told by first.

    "Malignant" has no markers of its own, so that its tissues stand beside each other.
    """
    return tuple(
        TYPE_CODES[kind.id]
        for kind in cell_types()
        if kind.signatures and kind.parent in (None, "malignant")
    )


@cache
def _children(code: int) -> tuple[int, ...]:
    return tuple(TYPE_CODES[kind.id] for kind in cell_types() if kind.parent == CELL_TYPES[code])
