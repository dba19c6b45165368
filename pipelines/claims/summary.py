"""Many verdicts in few figures: by evidence, by setting, by feature across settings."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.claims.verdicts import (
    CANNOT_BE_TOLD,
    HOLDS,
    LEVEL,
    NO_SIGN,
    NOT_MEASURED,
    NOT_TESTABLE,
    OPPOSES,
    TOLD,
)

__all__ = ["claims_by_verdict", "claims_matrix", "count_verdicts", "directions", "stands"]

_BY_CHANCE = 0.05
_COUNTED = {
    "holds": HOLDS,
    "opposes": OPPOSES,
    "cannot": CANNOT_BE_TOLD,
    "not_measured": NOT_MEASURED,
    "not_testable": NOT_TESTABLE,
}


def stands(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows are told at a false discovery rate below 10% over their setting."""
    return table["verdict"].isin(TOLD) & (table["q_value"] < LEVEL)


def count_verdicts(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return how many signs got each verdict, a row a group of ``by`` in order of appearance.

    ``n, resistant`` (of the largest evidence), ``signs, holds, opposes, cannot, not_measured,
    not_testable, measured``; ``holds_stand, opposes_stand`` (:func:`stands`); ``by_chance``: how
    many would be told were no feature tied to resistance, 5% of those measured; ``within``: how
    many of those told in cell lines are told, the same way, over pairs of lines of one tissue;
    ``told_in_lines``.
    """
    signed = table[table["verdict"] != NO_SIGN]
    rows = []
    for key, part in signed.groupby(list(by), sort=False):
        counts = {name: int((part["verdict"] == one).sum()) for name, one in _COUNTED.items()}
        measured = counts["holds"] + counts["opposes"] + counts["cannot"]
        standing = part[stands(part)]
        told = part[part["verdict"].isin(TOLD) & (part["unit"] == "cell lines")]
        same = (told["within_low"] > 0) & (told["effect"] > 0)
        same |= (told["within_high"] < 0) & (told["effect"] < 0)
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "n": int(part["size"].max()),
                "resistant": int(part["size_resistant"].max()),
                "signs": len(part),
                **counts,
                "measured": measured,
                "holds_stand": int((standing["verdict"] == HOLDS).sum()),
                "opposes_stand": int((standing["verdict"] == OPPOSES).sum()),
                "by_chance": _BY_CHANCE * measured,
                "within": int(same.sum()),
                "told_in_lines": len(told),
            }
        )
    return pd.DataFrame(rows)


def claims_by_verdict(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return one setting's features with a sign by what all their evidence comes to.

    ``holds``: told for the sign at least once and never against it; ``opposes``: the reverse;
    ``both``: told both ways; ``cannot``: measured, never told; ``not_measured``: nowhere. Each
    name is followed by ``*`` where a verdict stands (:func:`stands`).
    """
    signed = table[table["verdict"] != NO_SIGN].assign(stands=stands(table))
    found: dict[str, list[str]] = {
        name: [] for name in ("holds", "opposes", "both", "cannot", "not_measured")
    }
    for _, part in signed.groupby("feature", sort=False):
        verdicts = set(part["verdict"])
        name = f"{part['name'].iloc[0]}{' *' if part['stands'].any() else ''}"
        found[_overall(verdicts)].append(name)
    return found


def _overall(verdicts: set[str]) -> str:
    if {HOLDS, OPPOSES} <= verdicts:
        return "both"
    for name in ("holds", "opposes", "cannot"):
        if _COUNTED[name] in verdicts:
            return name
    return "not_measured"


def claims_matrix(table: pd.DataFrame) -> pd.DataFrame:
    """Return features by settings (n_features, n_settings): sign, and what is found.

    A cell is the sign (``+``, ``−``, ``·``), then ``↑`` (more of it goes with resistance), ``↓``
    (with response) and ``?`` (cannot be told), each with the number of evidences; against the sign
    in bold; ``–`` where nothing is measured; empty where no model of the setting takes it. Index
    ``name``.
    """
    settings = list(table["setting"].unique())
    names, rows = [], []
    for _, part in table.groupby("feature", sort=False):
        by_setting = dict(iter(part.groupby("setting", sort=False)))
        names.append(part["name"].iloc[0])
        rows.append([_cell(by_setting[one]) if one in by_setting else "" for one in settings])
    return pd.DataFrame(rows, index=pd.Index(names, name="name"), columns=settings)


def _cell(part: pd.DataFrame) -> str:
    signs = [sign for sign in part["sign"] if sign != "·"]
    sign = signs[0] if signs else "·"
    measured = part[part["effect"].notna()]
    up, down = int((measured["low"] > 0).sum()), int((measured["high"] < 0).sum())
    unclear = len(measured) - up - down
    words = [
        f"**{arrow}{count}**" if sign == against else f"{arrow}{count}"
        for arrow, count, against in (("↑", up, "-"), ("↓", down, "+"))
        if count
    ]
    words += [f"?{unclear}"] if unclear else []
    return " ".join([sign.replace("-", "−"), *(words or ["–"])])


def directions(table: pd.DataFrame) -> pd.DataFrame:
    """Return the features that are told in two settings or more, and whether one way in all.

    Columns ``name, same`` and one a setting: 1 (more, resistance), −1, 0 (both), NaN (not told).
    """
    told = table[(table["low"] > 0) | (table["high"] < 0)]
    wide = told.assign(way=np.sign(told["effect"])).pivot_table(
        index="name",
        columns="setting",
        values="way",
        aggfunc=lambda ways: ways.iloc[0] if ways.nunique() == 1 else 0.0,
        sort=False,
    )
    wide = wide[wide.notna().sum(axis=1) >= 2]
    same = (wide.nunique(axis=1) == 1) & ~(wide == 0).any(axis=1)
    return pd.DataFrame(wide.assign(same=same).reset_index())
