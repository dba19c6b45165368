"""What clusters make of the types of their cells: the clear majority, never against sure cells."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cells.cell_types import CELL_TYPES, TYPE_CODES, ancestors

__all__ = ["smooth"]

_CLEAR_LINEAGE = 0.6
"""Share of the votes of a cluster's cells that a lineage needs."""
_CLEAR_TYPE = 0.75
"""Share of the votes for types of one parent that one of them needs."""
_FEWEST_CALLED, _FEWEST_NAMED = 0.25, 0.1
"""Share of a cluster's cells that have to be of a lineage at all, and that have to name one of the
more specific types."""
_KEEPS_OWN = 0.7
"""Confidence with which a cell keeps a type that its cluster does not have."""
_UNKNOWN = TYPE_CODES["unknown"]


def smooth(
    types: NDArray[np.int8],
    *,
    confidence: NDArray[np.float32],
    lineage_confidence: NDArray[np.float32],
    clusters: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.int8], NDArray[np.float32], pd.DataFrame]:
    """Return types, confidence and a table of clusters after each cluster's majority.

    Parameters
    ----------
    types
        Codes of cells by themselves (n_cells,), int8.
    confidence, lineage_confidence
        Confidence in the type and in its lineage (n_cells,).
    clusters
        Cluster of each cell (n_cells,), -1 for none.

    Notes
    -----
    Cells vote with their confidence. A cluster's lineage is the one that 0.6 of the votes go to,
    where at least a quarter of its cells are called. From there it goes down to a more specific
    type as long as one takes 0.75 of the votes that name one, and a tenth of the cells do. A cell
    whose own type is more specific than its cluster's keeps it, as does a cell that is of another
    with a confidence of at least 0.7; all others take the cluster's, with its share of the votes
    as confidence.
    """
    smoothed, sure = types.copy(), confidence.copy()
    rows = []
    for cluster in np.unique(clusters[clusters >= 0]):
        cells = np.flatnonzero(clusters == cluster)
        own = types[cells]
        chosen, share = _cluster_type(own, confidence[cells])
        if chosen != _UNKNOWN:
            doubt = _in_doubt(own, confidence[cells], lineage_confidence[cells], chosen)
            smoothed[cells[doubt]], sure[cells[doubt]] = chosen, share
        changed = float((smoothed[cells] != own).mean())
        rows.append((int(cluster), cells.size, CELL_TYPES[chosen], share, changed))
    table = pd.DataFrame(rows, columns=["cluster", "n_cells", "type", "share", "changed"])
    return smoothed, sure, table.set_index("cluster")


def _cluster_type(types: NDArray[np.int8], confidence: NDArray[np.float32]) -> tuple[int, float]:
    """Return the code of a cluster's type and the share of the votes for it."""
    called = types != _UNKNOWN
    if called.sum() < _FEWEST_CALLED * types.size:
        return _UNKNOWN, 0.0
    lineages = {_lineage(int(code)) for code in np.unique(types[called])}
    votes = _count({code: _descendants(code) for code in lineages}, types, confidence)
    chosen = max(votes, key=lambda code: votes[code])
    share = votes[chosen] / sum(votes.values())
    if share < _CLEAR_LINEAGE:
        return _UNKNOWN, share
    while True:
        below = _subtrees(chosen)
        votes = _count(below, types, confidence)
        naming = np.isin(types, [code for under in below.values() for code in under])
        if naming.sum() < max(_FEWEST_NAMED * types.size, 1):
            return chosen, share
        child = max(votes, key=lambda code: votes[code])
        if votes[child] < _CLEAR_TYPE * sum(votes.values()):
            return chosen, share
        chosen, share = child, share * votes[child] / sum(votes.values())


def _count(
    groups: dict[int, list[int]], types: NDArray[np.int8], confidence: NDArray[np.float32]
) -> dict[int, float]:
    """Return the votes for each type, those for the types below it included."""
    return {code: float(confidence[np.isin(types, under)].sum()) for code, under in groups.items()}


def _in_doubt(
    own: NDArray[np.int8],
    confidence: NDArray[np.float32],
    lineage_confidence: NDArray[np.float32],
    chosen: int,
) -> NDArray[np.bool_]:
    """Return which cells of a cluster take its type."""
    within = np.isin(own, _descendants(chosen))
    above = [TYPE_CODES[name] for name in ancestors(CELL_TYPES[chosen])]
    less_specific = np.isin(own, [_UNKNOWN, *above])
    # Within one lineage the type has to be sure; in another one the lineage alone has to be.
    same_lineage = np.isin(own, _descendants(_lineage(chosen)))
    sure = np.where(same_lineage, confidence, lineage_confidence)
    return ~within & (less_specific | (sure < _KEEPS_OWN))


def _lineage(code: int) -> int:
    above = [name for name in ancestors(CELL_TYPES[code]) if name != "malignant"]
    return TYPE_CODES[above[-1]] if above else code


def _descendants(code: int) -> list[int]:
    """Return the codes of a type and of all types below it."""
    name = CELL_TYPES[code]
    return [TYPE_CODES[other] for other in CELL_TYPES if name == other or name in ancestors(other)]


def _subtrees(code: int) -> dict[int, list[int]]:
    """Return each type right below a type, with all that are below it."""
    name = CELL_TYPES[code]
    below = [other for other in CELL_TYPES if ancestors(other)[:1] == (name,)]
    return {TYPE_CODES[child]: _descendants(TYPE_CODES[child]) for child in below}
