"""The forest of a setting: what can be told, and the features one asks for first."""

import pandas as pd
from matplotlib.figure import Figure

from pipelines.claims.verdicts import TOLD
from pipelines.figures.forests import claims_forest

__all__ = ["KEY_FEATURES", "rows_to_draw", "setting_forest"]

KEY_FEATURES = (
    *("mhc_class_i", "b2m", "tim3", "t_cell_inflamed", "cytolytic", "tgf_beta_stroma"),
    *("abcb1", "abcc1", "abcg2", "target_antigen", "payload_efflux", "payload_target"),
    *("slc46a3", "kinase_bypass", "ferroptosis_defence", "slfn11_parp", "neuroendocrine"),
)
"""Drawn whatever is found of them: antigen presentation, checkpoints, transporters, targets."""
_MOST_TOLD = 20


def rows_to_draw(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the key features, and of the largest effects that can be told.

    ``table``: of :func:`pipelines.claims.table.claims_table`; rows of an evidence stand together,
    from most resistance to most response.
    """
    measured = table[table["effect"].notna()]
    told = measured[measured["verdict"].isin(TOLD)]
    largest = told["effect"].abs().nlargest(_MOST_TOLD).index
    key = measured.index[measured["feature"].isin(KEY_FEATURES) & (measured["sign"] != "·")]
    chosen = measured.loc[largest.union(key)]
    order = {name: number for number, name in enumerate(table["evidence"].unique())}
    drug = (" under " + chosen["drug"]).where(chosen["by_drug"] & (chosen["drug"] != ""), "")
    by = chosen.assign(name=chosen["name"] + drug, place=chosen["evidence"].map(order))
    return by.sort_values(["place", "effect"], ascending=[True, False]).drop(columns="place")


def setting_forest(table: pd.DataFrame) -> Figure | None:
    """Return the forest of one setting's rows, or None where nothing is measured."""
    rows = rows_to_draw(table)
    if rows.empty:
        return None
    setting = str(rows["setting"].iloc[0])
    return claims_forest(
        rows,
        title=f"Signs of the catalogue against the data: {setting}",
        note=f"The {_MOST_TOLD} largest effects that can be told, and key features; in brackets: "
        f"{' and '.join(rows['unit'].unique())}.",
    )
