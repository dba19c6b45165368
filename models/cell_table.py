"""Cells with the lesion each came from, and how few of many are drawn of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.errors import CohortError, examples

__all__ = ["CellTable", "check_lesions"]

_LESION_COLUMNS = ("resistant", "patient_id", "cohort")


@dataclass(frozen=True)
class CellTable:
    """Cells, what was measured of each, and the lesion each came from.

    Attributes
    ----------
    features
        (n_cells, n_features) numbers, float32 for short; NaN means not measured.
    samples
        (n_cells,) lesion of each cell, same index; missing: the cell takes no part.

    Raises
    ------
    CohortError
        Cell ids repeat, the two indices differ, a column is no number or holds an infinite one.
    """

    features: pd.DataFrame
    samples: "pd.Series[Any]"

    def __post_init__(self) -> None:
        """Refuse tables that do not fit one another."""
        index = self.features.index
        if not index.is_unique:
            repeated = index[index.duplicated()].unique()
            raise CohortError(
                f"{len(repeated)} cell ids occur more than once ({examples(repeated)}); "
                "make them unique, e.g. with the sample's name in front"
            )
        if not index.equals(self.samples.index):
            raise CohortError(
                f"features of {len(index)} cells and lesions of {len(self.samples)} do not have "
                "the same cell ids in the same order; reindex one by the other"
            )
        faulty = [str(name) for name in self.features if not _is_finite(self.features[name])]
        if faulty:
            raise CohortError(
                f"{len(faulty)} cell features are not finite numbers ({examples(faulty)}); "
                "what is not measured is NaN"
            )

    @cached_property
    def _positions(self) -> dict[str, NDArray[np.intp]]:
        """Positions of each lesion's cells, in the order of their ids."""
        codes, names = pd.factorize(self.samples.astype(object).to_numpy(), sort=False)
        ids = self.features.index.astype(str).to_numpy(dtype=str)
        order = np.lexsort((ids, codes))
        starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
        return {
            str(name): order[starts[code] : starts[code + 1]] for code, name in enumerate(names)
        }

    def positions(
        self, lesions: Sequence[str], *, max_cells: int | None = None, seed: int = 0
    ) -> NDArray[np.intp]:
        """Return where the lesions' cells are, at most ``max_cells`` of each.

        Which cells of a lesion are drawn hangs on its name, its own cells and the seed alone, and
        they stand sorted by lesion and cell id: neither other lesions nor the order of the table
        change them.
        """
        chosen = []
        for name in sorted(map(str, lesions)):
            found = self._positions.get(name, np.empty(0, dtype=np.intp))
            if max_cells is not None and found.size > max_cells:
                rng = np.random.default_rng([seed, _number(name)])
                found = found[np.sort(rng.choice(found.size, max_cells, replace=False))]
            chosen.append(found)
        return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.intp)

    def counts(self, lesions: pd.Index) -> "pd.Series[int]":
        """Return the number of cells of each lesion."""
        counts = [len(self._positions.get(str(name), ())) for name in lesions]
        return pd.Series(counts, index=lesions, name="n_cells", dtype=int)


def check_lesions(lesions: pd.DataFrame) -> None:
    """Refuse a table of lesions that no model can be fitted on; see :func:`fit_cell_model`."""
    missing = [name for name in _LESION_COLUMNS if name not in lesions]
    if missing:
        raise CohortError(
            f"the table of lesions lacks {examples(missing)}; it has {examples(lesions.columns)}"
        )
    if not lesions.index.is_unique:
        repeated = lesions.index[lesions.index.duplicated()].unique()
        raise CohortError(f"lesions {examples(repeated)} occur more than once; one row a lesion")
    labels = set(lesions["resistant"].dropna().astype(float))
    if not labels <= {0.0, 1.0}:
        raise CohortError(
            f"resistant holds {examples(sorted(labels - {0.0, 1.0}))}; allowed: 1 (resistant), "
            "0 (responsive), missing"
        )


def _is_finite(column: "pd.Series[Any]") -> bool:
    if not pd.api.types.is_numeric_dtype(column):
        return False
    return not bool(np.isinf(column.to_numpy(dtype=float, na_value=np.nan)).any())


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
