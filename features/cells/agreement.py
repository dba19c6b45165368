"""How far two annotations of the same cells agree."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from features.cells.cell_types import CELL_TYPES, ancestors, lineage_of
from features.errors import CohortError

__all__ = ["AnnotationAgreement", "agree", "confusion_table"]


@dataclass(frozen=True)
class AnnotationAgreement:
    """Agreement of found types with published ones.

    Attributes
    ----------
    table
        A row per published type: ``n_cells``, ``recall`` (share of cells found as that type or a
        more specific one), ``lineage`` (share found in its lineage), ``less_specific`` (share
        found as a type above it), ``unknown`` and ``contradicted`` (share found as another).
    balanced_accuracy
        Mean of ``recall`` over the published types.
    balanced_lineage
        Mean of ``lineage`` over the published types.
    balanced_contradicted
        Mean of ``contradicted`` over the published types.
    n_cells
        Cells with a published type; the others are left out.
    """

    table: pd.DataFrame
    balanced_accuracy: float
    balanced_lineage: float
    balanced_contradicted: float
    n_cells: int


def confusion_table(found: Sequence[str], published: Sequence[str]) -> pd.DataFrame:
    """Return how many cells of each published label (rows) were found as each type (columns).

    Examples
    --------
    >>> confusion_table(["b", "b", "nk"], ["B cell", "B cell", "T_NK"]).loc["B cell", "b"]
    np.int64(2)
    """
    _same_cells(found, published)
    table = pd.crosstab(
        pd.Series([str(label) for label in published], name="published"),
        pd.Series([str(name) for name in found], name="found"),
    )
    order = [name for name in CELL_TYPES if name in table.columns]
    return table.reindex(columns=order + [c for c in table.columns if c not in order])


def agree(
    found: Sequence[str], published: Sequence[str], *, types: Collection[str] = CELL_TYPES
) -> AnnotationAgreement:
    """Return how far found types agree with published ones, both of :data:`CELL_TYPES`.

    Cells published as ``unknown`` or ``other``, or as none of ``types``, are left out: where a file
    lacks the markers of a type, nothing can be asked of its cells.

    Raises
    ------
    CohortError
        The two are not of the same cells, or no cell has a published type.

    Examples
    --------
    >>> agreement = agree(["cd8_t", "t_cell", "b"], ["cd8_t", "cd8_t", "b"])
    >>> agreement.balanced_accuracy, agreement.balanced_lineage
    (0.75, 1.0)
    """
    _same_cells(found, published)
    pairs = pd.DataFrame({"found": list(found), "published": list(published)})
    asked = pairs["published"].isin(set(types)) & ~pairs["published"].isin(["unknown", "other"])
    pairs = pairs[asked]
    if pairs.empty:
        raise CohortError("no cell has a published type; map the labels to the cell types first")
    counted = pairs.value_counts().reset_index(name="cells")
    kinds = [_relation(f, p) for f, p in zip(counted["found"], counted["published"], strict=True)]
    counted["relation"] = kinds
    shares = counted.pivot_table(
        index="published", columns="relation", values="cells", aggfunc="sum", fill_value=0
    )
    names = ("recall", "less_specific", "sibling", "unknown", "contradicted")
    shares = shares.reindex(columns=list(names), fill_value=0).astype(float)
    n_cells = shares.sum(axis=1)
    shares = shares.div(n_cells, axis=0)
    shares.insert(1, "lineage", shares[["recall", "less_specific", "sibling"]].sum(axis=1))
    shares["contradicted"] += shares.pop("sibling")
    shares.insert(0, "n_cells", n_cells.astype(int))
    table = shares.reindex([name for name in CELL_TYPES if name in shares.index])
    table.columns.name = None
    return AnnotationAgreement(
        table=table,
        balanced_accuracy=float(table["recall"].mean()),
        balanced_lineage=float(table["lineage"].mean()),
        balanced_contradicted=float(table["contradicted"].mean()),
        n_cells=len(pairs),
    )


def _relation(found: str, published: str) -> str:
    if found == published or published in ancestors(found):
        return "recall"
    if found == "unknown":
        return "unknown"
    if found in ancestors(published):
        return "less_specific"
    return "sibling" if lineage_of(found) == lineage_of(published) else "contradicted"


def _same_cells(found: Sequence[str], published: Sequence[str]) -> None:
    if len(found) != len(published):
        raise CohortError(
            f"{len(found)} cells were found types for and {len(published)} have published labels; "
            "give both of the same cells"
        )
