"""Tasks of cohorts: one identity a line, patients apart, groups apart."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import ConfigError
from models.regression_metrics import NO_TISSUE
from pipelines.ingest import ingest_cohort
from pipelines.screens.single_genes import genes_by_drug
from pipelines.screens.task import find_task, tasks_of
from pipelines.settings.cohort import CohortConfig
from tests.screens import Screen, ingest_screen, line_names, make_screen

GROUPS = {"tubulin": {"drugs": ["paclitaxel"]}, "platinum": {"drugs": ["cisplatin"]}}


@pytest.fixture(scope="module")
def screen() -> Screen:
    found = make_screen(
        ["OVCAR-8", "NCI/ADR-RES", *line_names(20)], drugs=("Paclitaxel", "Cisplatin")
    )
    rows = found.responses
    # A line without a number for cisplatin, and one of no known tissue.
    rows = rows[(rows["drug"] != "Cisplatin") | (rows["sample_id"] != "SIM-003")]
    return found.with_responses(
        rows.assign(cancer_type=rows["cancer_type"].mask(rows["sample_id"] == "SIM-005", ""))
    )


def test_groups_are_tasks_and_lines_of_a_donor_are_one(tmp_path: Path, screen: Screen) -> None:
    cohort = ingest_screen(tmp_path, screen, "one", drug_response={"groups": GROUPS})
    tubulin, platinum = tasks_of([cohort])
    assert [task.name for task in (tubulin, platinum)] == ["one/tubulin", "one/platinum"]
    assert tubulin.continuous
    assert (len(tubulin.samples), len(platinum.samples)) == (22, 21)
    assert list(tubulin.adata.obs_names) == list(tubulin.samples.index)
    assert tubulin.samples.loc["OVCAR-8", "line"] == tubulin.samples.loc["NCI/ADR-RES", "line"]
    assert tubulin.samples.loc["SIM-005", "tissue"] == NO_TISSUE
    assert cohort.screen is not None
    expected = cohort.screen.samples.set_index("expression_id").query("drug_group == 'platinum'")
    pd.testing.assert_series_equal(
        platinum.samples["resistance"].sort_index(),
        expected["resistance"].sort_index(),
        check_names=False,
    )
    values = platinum.adata[:, "ABCB1"].to_df()["ABCB1"]
    whole = cohort.adata[:, "ABCB1"].to_df()["ABCB1"]
    np.testing.assert_array_equal(values, whole[[f"{name}|platinum" for name in values.index]])


def test_lines_of_two_sets_are_one_by_cosmic_id_and_patients_never(
    tmp_path: Path, screen: Screen
) -> None:
    said = {"drug_response": {"columns": {"cosmic": "cosmic"}}}
    rows = screen.responses
    rows = rows[rows["drug"] == "Paclitaxel"].assign(cosmic="")
    rows.loc[rows["sample_id"] == "SIM-000", "cosmic"] = "77"
    one = ingest_screen(tmp_path, screen.with_responses(rows), "one", **said)
    names = {"SIM-000": "other", "SIM-001": "sim 001"}
    spelled = Screen(
        screen.expression.rename(index=names),
        rows.assign(sample_id=rows["sample_id"].replace(names)),
    )
    two = ingest_screen(tmp_path, spelled, "two", **said)
    clinical = pd.DataFrame({"sample_id": screen.expression.index, "response": ["R", "NR"] * 11})
    clinical.to_csv(tmp_path / "clinical.csv", index=False)
    config = CohortConfig(
        name="patients", expression="one.csv", clinical="clinical.csv", unit="log2_intensity"
    )
    patients = ingest_cohort(config, root=tmp_path, labels_required=True)
    first, second, third = tasks_of([one, two, patients])
    assert set(first.samples["line"]) == set(second.samples["line"])
    assert first.samples.loc["SIM-000", "line"] == second.samples.loc["other", "line"] == "OTHER"
    assert not set(first.samples["line"]) & set(third.samples["line"])
    assert third.name == "patients"
    assert not third.continuous


def test_unknown_groups_and_repeated_cohorts_are_refused(tmp_path: Path, screen: Screen) -> None:
    cohort = ingest_screen(tmp_path, screen, "one")
    with pytest.raises(ConfigError, match=r"names 'one/top1', which is not among .*one/all"):
        find_task("one/top1", tasks_of([cohort]))
    with pytest.raises(ConfigError, match=r"cohorts.train and screens.apart name one twice"):
        tasks_of([cohort, cohort])


def test_genes_are_held_against_drugs_whatever_their_spelling(
    tmp_path: Path, screen: Screen
) -> None:
    rows = screen.responses
    spelled = rows["drug"].where(np.arange(len(rows)) % 2 == 0, rows["drug"].str.upper())
    cohort = ingest_screen(
        tmp_path,
        screen.with_responses(rows.assign(drug=spelled)),
        "one",
        drug_response={"groups": GROUPS},
    )
    plain = ingest_screen(tmp_path, screen, "plain", drug_response={"groups": GROUPS})
    found, expected = (genes_by_drug([c], genes=["ABCB1", "NOGENE"]) for c in (cohort, plain))
    assert len(found) == 4
    pd.testing.assert_series_equal(found["rho"], expected["rho"])
    one = expected.query("gene == 'ABCB1' and drug_group == 'tubulin'").iloc[0]
    response = rows[rows["drug"] == "Paclitaxel"].set_index("sample_id")["response"]
    values = plain.adata[:, "ABCB1"].to_df()["ABCB1"]
    values = values[values.index.str.endswith("|tubulin")].rename(lambda name: name.split("|")[0])
    assert one["rho"] == pytest.approx(response.corr(values, method="spearman"))
    assert one["low"] > 0
    missing = expected[expected["gene"] == "NOGENE"]
    assert (missing["n"] == 0).all()
    assert missing["rho"].isna().all()
    assert genes_by_drug([cohort], genes=[]).empty
    assert genes_by_drug([cohort], genes=["NOGENE"])["rho"].isna().all()


def test_names_put_right_are_those_of_the_table(tmp_path: Path, screen: Screen) -> None:
    swap = {"SIM-000": "SIM-001", "SIM-001": "SIM-000"}
    wrong = Screen(
        screen.expression.rename(index=swap).loc[screen.expression.index], screen.responses
    )
    mended = ingest_screen(tmp_path, wrong, "mended", renamed=swap)
    right = ingest_screen(tmp_path, screen, "right")
    np.testing.assert_allclose(mended.adata[right.adata.obs_names].X, right.adata.X)
    assert "2 samples renamed as the configuration says (renamed)" in " ".join(
        mended.adata.uns["oncoresist"]["notes"]
    )
