"""A long table of drug responses: what is read of it, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from features.catalogue import default_catalogue
from features.errors import CohortError
from features.therapy import DrugTable
from pipelines.reading.drug_tables import DrugScreen, read_drug_screen
from pipelines.settings.drug_response import DrugResponseConfig
from tests.screens import line_names

N_LINES = 24
SAMPLES = [*line_names(N_LINES - 2), "OVCAR-8", "NCI/ADR-RES"]
Read = Callable[..., DrugScreen]


def long_table(*, seed: int = 0) -> pd.DataFrame:
    """Return three drugs, one of them in two experiments, of every line."""
    rng = np.random.default_rng(seed)
    experiments = [("Topotecan", "1"), ("Topotecan", "2"), ("SN-38", "1"), ("Paclitaxel", "1")]
    parts = [
        pd.DataFrame(
            {
                "sample_id": SAMPLES,
                "drug": drug,
                "nsc": nsc,
                "response": rng.normal(5, 2, N_LINES).round(4),
                "response_type": "-log10 GI50 M (higher = more sensitive)",
                "cancer_type": ["lung", "skin"] * (N_LINES // 2),
            }
        )
        for drug, nsc in experiments
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a reader of tables, as the configuration says."""

    def read_table(
        table: pd.DataFrame, *, expression: list[str] | None = None, **said: Any
    ) -> DrugScreen:
        table.to_csv(tmp_path / "drugs.csv", index=False)
        groups = {"top1": {"drugs": ["topotecan", "SN38"]}, "taxane": {"drugs": ["paclitaxel"]}}
        config = DrugResponseConfig.model_validate({"table": "drugs.csv", "groups": groups} | said)
        index = pd.Index(SAMPLES if expression is None else expression)
        return read_drug_screen(
            tmp_path / "drugs.csv",
            config,
            expression=index,
            drugs=DrugTable(default_catalogue()),
            where="cohort 'made'",
        )

    return read_table


ONE = {"groups": {"taxane": {"drugs": ["Paclitaxel"]}}}


# --- what is read


def test_a_line_has_a_row_in_each_group(read: Read) -> None:
    screen = read(long_table())
    assert list(screen.samples.index[:2]) == ["NCI/ADR-RES|top1", "OVCAR-8|top1"]
    assert screen.samples["drug_group"].value_counts().to_dict() == {
        "top1": N_LINES,
        "taxane": N_LINES,
    }
    assert set(screen.samples["drug"]) == {"topotecan", "paclitaxel"}
    assert screen.samples["cell_line"].all()
    assert screen.samples.loc["OVCAR-8|top1", "patient_id"] == "OVCAR8"
    assert screen.samples.loc["NCI/ADR-RES|top1", "patient_id"] == "OVCAR8"


def test_resistance_is_the_mean_over_drugs_of_their_experiments(read: Read) -> None:
    table = long_table()
    wide = -table.pivot_table(index="sample_id", columns=["drug", "nsc"], values="response")
    z = wide.apply(stats.zscore, ddof=1)
    expected = (z["Topotecan"].mean(axis=1) + z["SN-38"]["1"]) / 2
    found = read(table).samples.query("drug_group == 'top1'").set_index("expression_id")
    np.testing.assert_allclose(found["resistance"].loc[wide.index], stats.zscore(expected, ddof=1))
    single = read(table, **ONE).samples["resistance"].loc[wide.index]
    np.testing.assert_allclose(single, z["Paclitaxel"]["1"])


def test_order_and_spelling_change_nothing(read: Read) -> None:
    table = long_table()
    spelled = table.assign(
        drug=[
            drug.upper().replace("-", " ") if i % 2 else drug for i, drug in enumerate(table.drug)
        ]
    )
    found = read(spelled.sample(frac=1, random_state=0)).samples
    expected = read(table).samples
    pd.testing.assert_frame_equal(found.loc[expected.index], expected)


def test_a_tissue_that_rows_disagree_on_does_not_depend_on_their_order(read: Read) -> None:
    table = long_table()
    table["cosmic"] = np.where(table["nsc"] == "2", "905", "")
    table.loc[table["drug"] == "Topotecan", "cancer_type"] = "bone"
    said = {"columns": {"cosmic": "cosmic"}}
    for rows in (table, table[::-1]):
        found = read(rows, **said).samples
        assert set(found["cosmic_id"]) == {"905"}
        assert set(found["cancer_type"]) == {"bone"}


def test_turning_numbers_and_the_measures_name_together_changes_nothing(read: Read) -> None:
    table = long_table()
    turned = table.assign(
        response=-2.303 * table["response"], response_type="ln IC50 M (lower = more sensitive)"
    )
    found, expected = read(turned).samples, read(table).samples
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("measure", ["-log10 GI50 M", "ln IC50"])
def test_a_threshold_is_in_the_tables_unit(read: Read, measure: str) -> None:
    table = long_table().query("drug == 'Paclitaxel'").assign(response_type=measure)
    label = {"rule": "threshold", "threshold": float(table["response"].iloc[3])}
    found = read(table, **ONE, label=label).samples["resistant"].loc[table["sample_id"]]
    responses = table["response"].to_numpy()
    cut = responses[3]
    resistant = responses <= cut if measure.startswith("-") else responses >= cut
    np.testing.assert_array_equal(found, resistant.astype(float))


def test_a_threshold_over_several_experiments_is_in_standard_deviations(read: Read) -> None:
    found = read(long_table(), label={"rule": "threshold", "threshold": 0.5}).samples
    top1 = found[found["drug_group"] == "top1"]
    np.testing.assert_array_equal(top1["resistant"], (top1["resistance"] >= 0.5).astype(float))


def test_quantiles_label_a_third_at_each_end(read: Read) -> None:
    labels = read(long_table(), **ONE).samples["resistant"]
    assert ((labels == 0).sum(), (labels == 1).sum(), labels.isna().sum()) == (8, 8, 8)


def test_rows_kept_samples_excluded_and_those_without_expression(read: Read) -> None:
    table = long_table()
    kept = read(table, where={"cancer_type": ["LUNG"]}, exclude=[SAMPLES[0]], **ONE).samples
    assert set(kept["expression_id"]) == set(SAMPLES[2::2])
    screen = read(table, expression=SAMPLES[:20], **ONE)
    left = f"4 samples of the drug table have no expression: {', '.join(sorted(SAMPLES[20:]))}"
    assert left in screen.notes


def test_notes_tell_directions_agreement_and_what_is_empty(read: Read) -> None:
    table = long_table().astype({"response": object})
    table.loc[0, "response"] = "NA"
    notes = " | ".join(read(table).notes)
    assert "(higher = more sensitive)': lower = more resistant" in notes
    assert "1 responses are empty and left out" in notes
    assert "top1: 24 samples, 2 drugs in 3 experiments, mean Spearman correlation" in notes


def test_cosmic_ids_that_were_once_numbers_are_text(read: Read) -> None:
    table = long_table().assign(cosmic=[924100.0 + i % N_LINES for i in range(4 * N_LINES)])
    found = read(table, columns={"cosmic": "cosmic"}).samples
    assert found.loc[f"{SAMPLES[1]}|top1", "cosmic_id"] == "924101"


def test_the_measure_and_its_direction_can_be_stated(read: Read) -> None:
    table = long_table().drop(columns="response_type")
    found = read(table, measure="score", directions={"score": "lower_resistant"}).samples
    pd.testing.assert_frame_equal(found, read(long_table()).samples)


# --- what is refused


@pytest.mark.parametrize(
    ("spoil", "said", "message"),
    [
        (
            lambda t: t.drop(columns="drug"),
            {},
            r"made' \(.*drugs\.csv\): the drug table has no column 'drug' .*columns: sample_id, ",
        ),
        (
            lambda t: t.drop(columns="response_type"),
            {},
            "no column 'response_type' .*or state what was measured under measure",
        ),
        (lambda t: t, {"columns": {"cosmic": "id"}}, r"'id' \(drug_response\.columns\.cosmic\)"),
        (lambda t: t, {"columns": {"tissue": "tisue"}}, "'tisue' .*columns.tissue"),
        (lambda t: t, {"columns": {"line": "name"}}, "'name' .*columns.line"),
        (lambda t: t, {"columns": {"protocol": ["nscc"]}}, "no column 'nscc' .*columns.protocol"),
        (lambda t: t, {"where": {"site": ["lung"]}}, r"'site' \(drug_response\.where\.site\)"),
        (lambda t: t, {"where": {"cancer_type": ["liver"]}}, "no row has cancer_type liver"),
        (
            lambda t: t,
            {"groups": {"x": {"drugs": ["Paclitaxal"]}}},
            "no response to 'Paclitaxal' .*did you mean 'Paclitaxel'.*drugs of the table",
        ),
        (
            lambda t: t.assign(response=t["response"].astype(object).mask(t.index == 3, "high")),
            {},
            "response 'high' of sample SIM-003 is not a number; give numbers",
        ),
        (
            lambda t: t.assign(response=t["response"].mask(t.index == 3, np.inf)),
            {},
            "response 'inf' of sample SIM-003 is not a number",
        ),
        (
            lambda t: t.assign(response_type="score"),
            {},
            r"measure 'score' means sensitive or resistant; state it under .*directions",
        ),
        (
            lambda t: t.assign(sample_id="X" + t["sample_id"]),
            {},
            r"no sample of the table .*XSIM-000.* is in the expression file \(SIM-000.*alike",
        ),
        (lambda t: t, {"exclude": ["nobody"]}, "exclude names nobody, no samples of the expr"),
        (lambda t: t[t["sample_id"].isin(SAMPLES[:9])], {}, "no experiment has 10 samples"),
        (
            lambda t: t[(t["drug"] != "SN-38") | t["sample_id"].isin(SAMPLES[:12])][
                lambda u: (u["drug"] != "Topotecan") | u["sample_id"].isin(SAMPLES[12:])
            ],
            {"least_share": 1.0},
            "group 'top1' has 0 samples measured for 100% of its drugs .*least_share",
        ),
    ],
)
def test_wrong_input_is_refused_with_the_mend(
    read: Read, spoil: Callable[[pd.DataFrame], pd.DataFrame], said: dict[str, Any], message: str
) -> None:
    with pytest.raises(CohortError, match=message):
        read(spoil(long_table()), **said)


# --- what a careless hand leaves


def test_a_direction_for_no_text_is_refused(read: Read) -> None:
    with pytest.raises(ValidationError, match="directions"):
        read(long_table(), directions={"": "lower_resistant"})
    with pytest.raises(ValidationError, match="measure"):
        read(long_table(), measure=" ")


def test_rows_that_do_not_say_what_was_measured_are_named(read: Read) -> None:
    table = long_table()
    table.loc[3:4, "response_type"] = ""
    with pytest.raises(
        CohortError, match=f"2 rows do not say .* first that of sample {SAMPLES[3]}"
    ):
        read(table)


def test_responses_that_are_all_empty_are_told(read: Read) -> None:
    with pytest.raises(CohortError, match=r"all 96 responses .* are empty"):
        read(long_table().assign(response=""))


def test_an_exclusion_of_everybody_is_told(read: Read) -> None:
    with pytest.raises(CohortError, match="exclude leaves no sample"):
        read(long_table(), exclude=SAMPLES)


def test_samples_that_differ_by_case_alone_and_rows_without_a_drug_are_warned_of(
    read: Read,
) -> None:
    table = long_table()
    table["sample_id"] = [
        name.swapcase() if name == "OVCAR-8" else name for name in table["sample_id"]
    ]
    table.loc[table.index[-1], "drug"] = ""
    notes = " ".join(read(table).notes)
    assert "warning: 1 samples of the drug table have no expression: ovcar-8; 1 of them" in notes
    assert "warning: 1 rows of the drug table name no drug" in notes
