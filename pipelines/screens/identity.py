"""Whether the expression that stands under a line's name is that line's, by its other data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cohort import dense_expression
from pipelines.screens.task import Task

__all__ = ["identity_doubts", "line_identities"]

COLUMNS = ["cohort", "other", "line", "own", "most_like", "best", "itself"]
_FEWEST_LINES = 5
_FEWEST_GENES = 50
_LEAST_RIGHT = 0.7


@dataclass(frozen=True)
class _Profiles:
    """Expression by line: as measured, and each gene centred and scaled over a set's own lines."""

    lines: list[str]
    measured: NDArray[np.float64]
    values: NDArray[np.float64]


def line_identities(tasks: Sequence[Task]) -> pd.DataFrame:
    """Return what each line that two data sets share is most like in the other set.

    Columns ``cohort, other, line, own, most_like, best, itself``: the Pearson correlation of the
    line's profile with itself in the other set, the shared line that it is most like there, with
    its correlation, and whether that is itself. Profiles are centred and scaled per gene over each
    set's lines; pairs of sets that share fewer than five lines or fifty genes, and sets of one
    expression file, have no rows.
    """
    first = {task.cohort: task for task in reversed(tasks)}
    names = list(dict.fromkeys(task.cohort for task in tasks))
    rows = []
    for one, two in combinations(names, 2):
        rows += _compare(first[one], first[two])
    return pd.DataFrame(rows, columns=COLUMNS)


def _compare(one: Task, two: Task) -> list[dict[str, object]]:
    genes = one.adata.var_names.intersection(two.adata.var_names)
    if len(genes) < _FEWEST_GENES:
        return []
    left, right = (_profiles(task, genes) for task in (one, two))
    shared = [line for line in left.lines if line in right.lines]
    if len(shared) < _FEWEST_LINES:
        return []
    mine, theirs = ([part.lines.index(line) for line in shared] for part in (left, right))
    if np.array_equal(left.measured[mine], right.measured[theirs], equal_nan=True):
        return []
    here, there = left.values[mine], right.values[theirs]
    found = np.corrcoef(here, there)[: len(shared), len(shared) :]
    best = found.argmax(axis=1)
    return [
        {
            "cohort": one.cohort,
            "other": two.cohort,
            "line": line,
            "own": float(found[place, place]),
            "most_like": shared[best[place]],
            "best": float(found[place, best[place]]),
            "itself": bool(best[place] == place),
        }
        for place, line in enumerate(shared)
    ]


def _profiles(task: Task, genes: pd.Index) -> _Profiles:
    kept = ~task.samples["line"].duplicated().to_numpy()
    values = dense_expression(task.adata[kept, genes])
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return _Profiles(list(task.samples["line"][kept]), values, np.nan_to_num(scaled))


def identity_doubts(identities: pd.DataFrame) -> list[str]:
    """Return a warning for each pair of sets in which lines are seldom most like themselves."""
    found = []
    for (cohort, other), part in identities.groupby(["cohort", "other"], sort=False):
        right = int(part["itself"].sum())
        if right < _LEAST_RIGHT * len(part):
            wrong = part[~part["itself"]].nlargest(3, "best")
            listed = ", ".join(
                f"{row.line} is most like {row.most_like}" for row in wrong.itertuples()
            )
            found.append(
                f"expression seems to stand under other lines' names: only {right} of the "
                f"{len(part)} lines that '{cohort}' and '{other}' share are most like themselves "
                f"in the other set ({listed}); look at the sample names, and put them right under "
                "renamed in the cohort's YAML"
            )
    return found
