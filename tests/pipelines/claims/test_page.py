"""The page on claims: counts, the matrix across settings, the forest, and what it says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from features.catalogue import Catalogue
from pipelines.claims.__main__ import main
from pipelines.claims.figures import rows_to_draw, setting_forest
from pipelines.claims.page import SettingClaims, claims_page
from pipelines.claims.summary import claims_by_verdict, claims_matrix, count_verdicts, directions
from pipelines.claims.verdicts import verdict_of

SIGNS = {"+": 1, "-": -1, "·": 0}


def row(
    feature: str, sign: str, effect: float, *, setting: str = "ici", evidence: str = "e", **more
) -> dict[str, object]:
    """Return a row with an interval of 0.1 on either side."""
    low, high = effect - 0.1, effect + 0.1
    return {
        "setting": setting,
        "feature": feature,
        "name": f"Name of {feature}",
        "mechanism": "m",
        "grade": "review",
        "sign": sign,
        "evidence": evidence,
        "drug": "",
        "by_drug": False,
        "unit": "patients" if setting == "ici" else "cell lines",
        "size": 50,
        "size_resistant": 30,
        "cohorts": 1,
        "n": 50,
        "resistant": 30,
        "coverage": 1.0,
        "effect": effect,
        "low": low,
        "high": high,
        "i2": 0.1,
        "p_value": 0.01,
        "within_effect": effect / 2,
        "within_low": effect / 2 - 0.1,
        "within_high": effect / 2 + 0.1,
        "q_value": 0.05 if abs(effect) > 0.25 else 0.5,
        "verdict": verdict_of(SIGNS[sign], low, high),
        "sources": "10.32604/or.2025.067592",
        "note": "",
        **more,
    }


@pytest.fixture
def table() -> pd.DataFrame:
    untested = {"effect": np.nan, "low": np.nan, "high": np.nan, "q_value": np.nan}
    return pd.DataFrame(
        [
            row("a", "+", 0.3),
            row("b", "-", 0.15),
            row("c", "+", 0.05),
            row("d", "·", 0.3),
            row("a", "+", 0.3, setting="hcc", evidence="x/one"),
            row("a", "+", 0.0, setting="hcc", evidence="x/two"),
            row("b", "-", -0.15, setting="hcc", evidence="x/one"),
            row("c", "+", np.nan, setting="hcc", evidence="x/one", coverage=0.25)
            | untested
            | {"verdict": "not measured"},
            row("e", "-", np.nan, setting="hcc", evidence="x/one")
            | untested
            | {"verdict": "not testable in cell lines", "note": "placed in T cells"},
        ]
    )


def test_verdicts_are_counted_with_what_chance_would_tell(table: pd.DataFrame) -> None:
    counts = count_verdicts(table, ["setting"]).set_index("setting")
    ici = counts.loc["ici"]
    assert ici[["signs", "measured", "holds", "opposes", "cannot"]].tolist() == [3, 3, 1, 1, 1]
    assert ici["by_chance"] == pytest.approx(0.15)
    assert ici[["holds_stand", "opposes_stand"]].tolist() == [1, 0]
    hcc = counts.loc["hcc"]
    assert hcc[["signs", "measured", "not_measured", "not_testable"]].tolist() == [5, 3, 1, 1]
    assert hcc[["told_in_lines", "within"]].tolist() == [2, 1]


def test_the_matrix_has_signs_and_what_was_found(table: pd.DataFrame) -> None:
    matrix = claims_matrix(table)
    assert matrix.loc["Name of a"].tolist() == ["+ ↑1", "+ ↑1 ?1"]
    assert matrix.loc["Name of b"].tolist() == ["− **↑1**", "− ↓1"]
    assert matrix.loc["Name of c"].tolist() == ["+ ?1", "+ –"]
    assert matrix.loc["Name of d"].tolist() == ["· ↑1", ""]
    assert matrix.loc["Name of e"].tolist() == ["", "− –"]


def test_features_told_in_two_settings_go_one_way_or_not(table: pd.DataFrame) -> None:
    found = directions(table).set_index("name")["same"]
    assert found.to_dict() == {"Name of a": True, "Name of b": False}


def test_a_setting_is_summed_up_by_feature(table: pd.DataFrame) -> None:
    found = claims_by_verdict(table[table["setting"] == "hcc"])
    assert found["holds"] == ["Name of a *", "Name of b"]
    assert found["not_measured"] == ["Name of c", "Name of e"]


def test_a_feature_told_both_ways_is_neither() -> None:
    both = [row("a", "+", 0.3, evidence="x"), row("a", "+", -0.3, evidence="y")]
    assert claims_by_verdict(pd.DataFrame(both))["both"] == ["Name of a *"]


def test_key_features_are_drawn_whatever_is_found_and_others_where_told() -> None:
    rows = [row("tim3", "+", 0.0), row("a", "+", 0.3), row("c", "+", 0.0), row("abcb1", "·", 0.3)]
    assert rows_to_draw(pd.DataFrame(rows))["feature"].tolist() == ["a", "tim3"]


def test_the_drug_that_a_feature_is_made_for_is_drawn_beside_it() -> None:
    made = row("payload_efflux", "+", 0.3, by_drug=True, drug="sn38")
    assert rows_to_draw(pd.DataFrame([made]))["name"].tolist() == [
        "Name of payload_efflux under sn38"
    ]


def test_a_forest_names_its_evidence_and_is_none_of_nothing(table: pd.DataFrame) -> None:
    figure = setting_forest(table[table["setting"] == "hcc"])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["x/one", "Name of a (50)", "Name of b (50)"]
    assert setting_forest(table[table["feature"] == "e"]) is None


def test_the_page_says_what_was_asked_found_and_doubted(
    table: pd.DataFrame, catalogue: Catalogue
) -> None:
    parts = dict(iter(table.groupby("setting", sort=False)))
    found = [SettingClaims(f"{name}.yaml", name, parts[name], {}) for name in ("ici", "hcc")]
    found[1] = SettingClaims("hcc.yaml", "hcc", parts["hcc"], {"small": 9})
    page = claims_page(found, catalogue=catalogue, images={"hcc": "images/claims_hcc.png"})
    assert "| Name of a | + | 50 | 30 | 100% | 0.30 (0.20 to 0.40) |" in page
    assert "**holds** | [wang_2025] |" in page
    assert "[wang_2025]: https://doi.org/10.32604/or.2025.067592" in page
    assert "![Forest of the signs of hcc](images/claims_hcc.png)" in page
    assert "| Name of c | + | x/one (25%) |" in page
    assert "placed in T cells: 1 groups" in page
    assert "too small (fewer than 15): small (9)" in page
    assert "Cell lines have no immune system and no stroma" in page
    assert "renamed" in page
    assert "/work" not in page


def run(*arguments: str):
    application = typer.Typer()
    application.command()(main)
    return CliRunner().invoke(application, list(arguments))


def test_without_the_cohorts_the_command_says_so_and_exits_2(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "defaults.yaml").write_text("{}\n")
    file = conf / "mine.yaml"
    file.write_text(
        "setting: ici\ncohorts: {train: [a]}\nmodel: {registered_name: mine}\n"
        "data: {root: nowhere}\n"
    )
    found = run(str(file), "--output", str(tmp_path / "page.md"))
    assert found.exit_code == 2
    assert "the folder of cohorts" in found.output
    assert "data.root" in found.output
    assert not (tmp_path / "page.md").exists()
    twice = run(str(file), str(file), "--output", str(tmp_path / "page.md"))
    assert twice.exit_code == 2
    assert "several experiments are of setting 'ici'" in twice.output
