"""``docs/claims.md``: which signs of the reviews hold in the data at hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.catalogue import Catalogue
from pipelines.claims.summary import (
    claims_by_verdict,
    claims_matrix,
    count_verdicts,
    directions,
    stands,
)
from pipelines.claims.table import RESAMPLES
from pipelines.claims.verdicts import LEVEL, NO_SIGN, NOT_MEASURED, NOT_TESTABLE
from pipelines.reports.templates import page_environment
from pipelines.reports.words import SETTING_NAMES

__all__ = ["SettingClaims", "claims_page"]

_WHOSE = {
    "review": "named in a review",
    "class": "the review names the mechanism, the genes are the field's",
    "field": "not of the reviews: used by published predictors",
}


@dataclass(frozen=True)
class SettingClaims:
    """What one experiment says of the signs of its setting.

    Attributes
    ----------
    experiment
        Name of its file.
    setting
        ``ici``, ``adc``, ``hcc`` or ``sclc``.
    table
        Of :func:`pipelines.claims.table.claims_table`.
    too_small
        Cohort or drug group → samples, where there were too few.
    """

    experiment: str
    setting: str
    table: pd.DataFrame
    too_small: Mapping[str, int]


def claims_page(
    found: list[SettingClaims], *, catalogue: Catalogue, images: Mapping[str, str]
) -> str:
    """Return the page in Markdown; ``images`` gives the path of a setting's forest."""
    table = pd.concat([one.table for one in found], ignore_index=True)
    whose = table["grade"].map(_WHOSE)
    text = (
        page_environment(html=False)
        .get_template("claims.md.j2")
        .render(
            catalogue=catalogue,
            names=SETTING_NAMES,
            drugs={drug.id: drug.name for drug in catalogue.drugs},
            resamples=RESAMPLES,
            level=LEVEL,
            settings=[_setting(one, images) for one in found],
            evidence=count_verdicts(table, ["setting", "evidence", "unit"]).to_dict("records"),
            totals=count_verdicts(table, ["setting"]).to_dict("records"),
            grades=count_verdicts(table.assign(whose=whose), ["whose", "unit"]).to_dict("records"),
            matrix=claims_matrix(table).reset_index().to_dict("records"),
            moved=directions(table).to_dict("records"),
            links=_links(table, catalogue),
            sources=_sources(table, catalogue),
        )
    )
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n"


def _setting(one: SettingClaims, images: Mapping[str, str]) -> dict[str, Any]:
    signed = one.table[one.table["verdict"] != NO_SIGN]
    table = signed.assign(stands=stands(signed))
    apart = table["verdict"].isin([NOT_MEASURED, NOT_TESTABLE])
    return {
        "experiment": one.experiment,
        "setting": one.setting,
        "image": images.get(one.setting),
        "too_small": one.too_small,
        "conclusions": claims_by_verdict(one.table),
        "measured": [
            {"evidence": name, "unit": part["unit"].iloc[0], "rows": part.to_dict("records")}
            for name, part in table[~apart].groupby("evidence", sort=False)
        ],
        "apart": [_apart(part) for _, part in table[apart].groupby("feature", sort=False)],
    }


def _apart(part: pd.DataFrame) -> dict[str, Any]:
    """Return where and why a feature has no figure."""
    untestable = part[part["verdict"] == NOT_TESTABLE]
    where = f"{untestable['note'].iloc[0]}: {len(untestable)} groups" if len(untestable) else ""
    return {
        **dict(part.iloc[0]),
        "not_measured": part[part["verdict"] == NOT_MEASURED].to_dict("records"),
        "not_testable": where,
    }


def _links(table: pd.DataFrame, catalogue: Catalogue) -> dict[str, str]:
    """Return for each list of DOIs the links that stand in its place."""
    keys = {source.doi: source.key for source in catalogue.sources}
    return {
        text: ", ".join(f"[{keys[doi]}]" for doi in text.split())
        for text in table["sources"].unique()
    }


def _sources(table: pd.DataFrame, catalogue: Catalogue) -> list[Any]:
    cited = {doi for text in table["sources"].unique() for doi in text.split()}
    return [source for source in catalogue.sources if source.doi in cited]
