"""Whether a table's direction is doubted: where it is turned round, and only there."""

from pathlib import Path

import pytest

from features.catalogue import Catalogue
from pipelines.ingest import IngestedCohort
from pipelines.reading.drug_evidence import (
    COLUMNS,
    doubts_of,
    efflux_evidence,
    shared_line_evidence,
)
from tests.screens import Screen, ingest_screen, line_names, make_screen


def efflux(cohort: IngestedCohort, catalogue: Catalogue) -> list[str]:
    assert cohort.screen is not None
    return doubts_of(efflux_evidence(cohort.name, cohort.adata, cohort.screen, catalogue=catalogue))


def shared(one: IngestedCohort, two: IngestedCohort, catalogue: Catalogue) -> list[str]:
    named = [(c.name, c.screen) for c in (one, two) if c.screen is not None]
    return doubts_of(shared_line_evidence(named))


@pytest.fixture(scope="module")
def screen() -> Screen:
    return make_screen(line_names(40), drugs=("Paclitaxel---Taxol", "Cisplatin"))


def test_a_turned_measure_is_warned_of_by_what_the_transporter_carries(
    tmp_path: Path, screen: Screen, catalogue: Catalogue
) -> None:
    right = ingest_screen(tmp_path, screen, "right")
    wrong = ingest_screen(tmp_path, screen.reversed(), "wrong")
    assert efflux(right, catalogue) == []
    (doubt,) = efflux(wrong, catalogue)
    assert "measure in 'wrong' is doubtful: lines with more ABCB1, which carries pac" in doubt
    assert "40 lines); check response_type in the table, or state drug_response.dir" in doubt
    assert f"warning: {doubt}" in wrong.report.notes
    assert not [note for note in right.report.notes if note.startswith("warning: ")]


def test_drugs_that_the_transporter_does_not_carry_say_nothing(
    tmp_path: Path, screen: Screen, catalogue: Catalogue
) -> None:
    rows = screen.responses[screen.responses["drug"] == "Cisplatin"]
    cohort = ingest_screen(tmp_path, screen.with_responses(rows).reversed(), "cisplatin")
    assert cohort.screen is not None
    found = efflux_evidence("c", cohort.adata, cohort.screen, catalogue=catalogue)
    assert list(found.columns) == COLUMNS
    assert found.empty
    gone = Screen(screen.expression.drop(columns="ABCB1"), screen.reversed().responses)
    assert efflux(ingest_screen(tmp_path, gone, "unmeasured"), catalogue) == []


def test_an_effect_that_is_not_there_cannot_be_told(tmp_path: Path, catalogue: Catalogue) -> None:
    nothing = make_screen(line_names(40), gene=None)
    cohort = ingest_screen(tmp_path, nothing, "nothing")
    assert cohort.screen is not None
    found = efflux_evidence("n", cohort.adata, cohort.screen, catalogue=catalogue)
    assert list(found["verdict"]) == ["cannot be told"]


def test_shared_lines_of_two_sets_warn_of_a_turned_measure(
    tmp_path: Path, screen: Screen, catalogue: Catalogue
) -> None:
    one = ingest_screen(tmp_path, screen, "one")
    again = make_screen(line_names(30, start=20), drugs=("Taxol", "cisplatin"), seed=4)
    two = ingest_screen(tmp_path, again, "two")
    assert shared(one, two, catalogue) == []
    doubts = shared(one, ingest_screen(tmp_path, again.reversed(), "turned"), catalogue)
    assert len(doubts) == 2
    assert all("the measure in 'one' or in 'turned' is doubtful" in doubt for doubt in doubts)
    assert "respond to paclitaxel the other way round" in doubts[1] + doubts[0]
    assert "20 lines)" in doubts[0]
    # Numbers and name turned together say the same as before.
    renamed = again.reversed().responses.assign(response_type="-ln(IC50)")
    same = ingest_screen(tmp_path, again.with_responses(renamed), "renamed")
    assert shared(one, same, catalogue) == []


def test_lines_are_shared_by_their_cosmic_id_too(
    tmp_path: Path, screen: Screen, catalogue: Catalogue
) -> None:
    said = {"drug_response": {"columns": {"cosmic": "cosmic"}}}
    lines = list(screen.expression.index)
    ids = {name: str(900 + place) for place, name in enumerate(lines)}
    rows = screen.responses
    one = ingest_screen(
        tmp_path,
        screen.with_responses(rows.assign(cosmic=rows["sample_id"].map(ids))),
        "one",
        **said,
    )
    other = screen.reversed()
    new = {name: f"OTHER{place}" for place, name in enumerate(lines)}
    rows = other.responses.assign(cosmic=other.responses["sample_id"].map(ids))
    rows = rows.assign(sample_id=rows["sample_id"].map(new))
    two = ingest_screen(tmp_path, Screen(other.expression.rename(index=new), rows), "two", **said)
    assert len(shared(one, two, catalogue)) == 2


def test_few_shared_lines_and_the_same_table_say_nothing(
    tmp_path: Path, screen: Screen, catalogue: Catalogue
) -> None:
    one = ingest_screen(tmp_path, screen, "one")
    few = make_screen(line_names(30, start=33), drugs=("Taxol",)).reversed()
    assert shared(one, ingest_screen(tmp_path, few, "few"), catalogue) == []
    assert shared(one, ingest_screen(tmp_path, screen, "same"), catalogue) == []
