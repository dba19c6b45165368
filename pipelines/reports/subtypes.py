"""The subtypes of small-cell lung cancer in a report."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.subtype_programmes import INFLAMED, PROGRAMMES
from pipelines.reports.facts import SubtypeRow

__all__ = ["subtype_notes", "subtype_rows"]

_SCORES = (*PROGRAMMES.values(), INFLAMED)
_DECIMALS = 5


def subtype_rows(subtypes: pd.DataFrame) -> tuple[SubtypeRow, ...]:
    """Return the rows of :func:`pipelines.scoring.subtypes.subtype_table`, none of an empty one."""
    return tuple(
        SubtypeRow(
            sample_id=str(row["sample_id"]),
            subtype=row["subtype"],
            confidence=_known(row["confidence"]),
            inflamed=None if pd.isna(row["inflamed"]) else bool(row["inflamed"]),
            scores=tuple(_known(row[name]) for name in _SCORES),
            reason=row["reason"],
            caveat=row["caveat"],
        )
        for row in subtypes.to_dict("records")
    )


def subtype_notes(rows: Sequence[SubtypeRow]) -> list[str]:
    """Return why samples are unknown and what calls do not rest on, the commonest first."""
    notes = [f"unknown, {row.reason}" for row in rows if row.reason]
    notes += [row.caveat for row in rows if row.caveat]
    return [f"{n} of {len(rows)} samples: {note}" for note, n in Counter(notes).most_common()]


def _known(value: float) -> float | None:
    return round(float(value), _DECIMALS) if np.isfinite(value) else None
