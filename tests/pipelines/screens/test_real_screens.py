"""The real drug screens: they are read, their lines recognised, wrong directions and names seen."""

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from features.catalogue import Catalogue
from pipelines.cohorts import read_cohort
from pipelines.config import configuration_folder, load_cohort
from pipelines.ingest import IngestedCohort, ingest_cohort
from pipelines.reading.drug_evidence import doubts_of, efflux_evidence, shared_line_evidence
from pipelines.screens.identity import identity_doubts, line_identities
from pipelines.screens.task import Task, tasks_of

pytestmark = pytest.mark.real_data

# Cohort → samples (a row a line and group) by drug group; patients without a group.
SIZES = {
    "nci60_adc_payloads": {"top1": 58, "tubulin": 58},
    "nci60_multikinase": {"multikinase": 57},
    "nci60_sclc_drugs": {"topotecan_irinotecan": 58, "etoposide": 58, "cisplatin": 58},
    "cgp_camptothecin": {"camptothecin": 200},
    "gdsc_adc_payloads": {"top1": 800, "tubulin": 797},
    "gdsc_hcc_drugs": {"sorafenib": 783, "regorafenib": 451, "lenvatinib": 475, "erastin": 479},
    "gdsc_sclc_lines": {"topotecan_irinotecan": 44, "etoposide": 41, "cisplatin": 44},
    "ccle_sclc_drugs": {"topotecan_irinotecan": 35, "etoposide": 33, "cisplatin": 35},
    "brca_trastuzumab": {"": 65},
    "hcc_ici_panel": {"": 9},
}
NCI60, CGP, GDSC = "nci60_adc_payloads", "cgp_camptothecin", "gdsc_adc_payloads"


@pytest.fixture(scope="session")
def screens(shared: Path) -> dict[str, IngestedCohort]:
    """Return the cohorts of the drug settings, read once; nobody changes them."""
    conf = configuration_folder()
    found = {}
    for name in SIZES:
        config, _ = load_cohort(name, conf=conf)
        found[name] = read_cohort(config, root=shared / "cohorts", labels_required=True)
    return found


def tasks(*cohorts: IngestedCohort) -> list[Task]:
    """Return the first task of each cohort."""
    found = tasks_of(cohorts)
    return [next(task for task in found if task.cohort == cohort.name) for cohort in cohorts]


def lines_of_both(one: IngestedCohort, two: IngestedCohort) -> int:
    lines: dict[str, set[str]] = {one.name: set(), two.name: set()}
    for task in tasks_of([one, two]):
        lines[task.cohort] |= set(task.samples["line"])
    return len(lines[one.name] & lines[two.name])


def doubts(*cohorts: IngestedCohort, catalogue: Catalogue) -> list[str]:
    """Return the doubts of direction by transporter and by shared lines."""
    named = [(cohort.name, cohort.screen) for cohort in cohorts if cohort.screen is not None]
    found = doubts_of(shared_line_evidence(named))
    for cohort in cohorts:
        if cohort.screen is not None:
            evidence = efflux_evidence(
                cohort.name, cohort.adata, cohort.screen, catalogue=catalogue
            )
            found += doubts_of(evidence)
    return found


def with_responses_turned(name: str, shared: Path, folder: Path) -> IngestedCohort:
    """Return a cohort whose numbers are turned round, and what is said of them left."""
    config, _ = load_cohort(name, conf=configuration_folder())
    assert config.drug_response is not None
    table = pd.read_csv(shared / "cohorts" / config.drug_response.table, dtype={"sample_id": str})
    path = folder / "turned.csv"
    table.assign(response=-table["response"]).to_csv(path, index=False)
    response = config.drug_response.model_copy(update={"table": str(path)})
    turned = config.model_copy(update={"drug_response": response, "name": "turned"})
    return ingest_cohort(turned, root=shared / "cohorts", labels_required=False)


# --- reading


def test_every_cohort_is_read_with_its_groups(screens: dict[str, IngestedCohort]) -> None:
    found = {
        name: {task.group: len(task.samples) for task in tasks_of([cohort])}
        for name, cohort in screens.items()
    }
    assert found == SIZES
    for cohort in screens.values():
        assert not [note for note in cohort.report.notes if note.startswith("warning: ")]
    patients = screens["brca_trastuzumab"].adata.obs["resistant"]
    assert patients.value_counts().to_dict() == {1.0: 46, 0.0: 19}


def test_measures_go_the_way_that_their_sources_say(screens: dict[str, IngestedCohort]) -> None:
    ways: dict[str, set[str]] = {"lower": set(), "higher": set()}
    for cohort in screens.values():
        for note in cohort.report.notes:
            if note.startswith("measure "):
                ways[note.split("': ")[1].split(" = ")[0]].add(note.split("'")[1].split(" (")[0])
    assert ways == {
        "lower": {"-log10 GI50 M", "-log10 IC50 M", "activity_area_observed"},
        "higher": {"ln_IC50_uM", "AUC CTRPv2"},
    }


# --- lines


def test_lines_are_shared_between_sets(screens: dict[str, IngestedCohort]) -> None:
    assert lines_of_both(screens[NCI60], screens[CGP]) >= 10
    assert lines_of_both(screens[CGP], screens[GDSC]) >= 173
    assert lines_of_both(screens["ccle_sclc_drugs"], screens[GDSC]) >= 15


def test_lines_of_a_tissue_are_counted_once(screens: dict[str, IngestedCohort]) -> None:
    obs = screens[GDSC].adata.obs
    lines = obs.groupby("cancer_type", observed=True)["patient_id"].nunique()
    assert (lines["lung_small_cell_carcinoma"], lines["liver"]) == (45, 15)
    assert obs["patient_id"].nunique() == 800


def test_lines_of_a_donor_are_one_line_of_nci60(screens: dict[str, IngestedCohort]) -> None:
    (task,) = tasks(screens[NCI60])
    several = task.samples.groupby("line").groups
    assert {tuple(sorted(found)) for found in several.values() if len(found) > 1} == {
        ("CNS:SNB_19", "CNS:U251"),
        ("ME:M14", "ME:MDA_MB_435", "ME:MDA_N"),
        ("OV:NCI_ADR_RES", "OV:OVCAR_8"),
    }


# --- direction


def test_no_direction_is_doubted_as_the_files_are(
    screens: dict[str, IngestedCohort], catalogue: Catalogue
) -> None:
    for names in ((NCI60, CGP, GDSC), ("nci60_sclc_drugs", "gdsc_sclc_lines", "ccle_sclc_drugs")):
        assert doubts(*(screens[name] for name in names), catalogue=catalogue) == []


def test_nci60_turned_round_is_seen_by_abcb1_and_by_gdsc(
    screens: dict[str, IngestedCohort], shared: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    turned = with_responses_turned(NCI60, shared, tmp_path)
    by_itself = doubts(turned, catalogue=catalogue)
    told = "lines with more ABCB1, which carries paclitaxel, resist it less"
    assert any(told in doubt for doubt in by_itself)
    assert {f"warning: {doubt}" for doubt in by_itself} <= set(turned.report.notes)
    beside = doubts(turned, screens[GDSC], catalogue=catalogue)
    drugs = [
        one.split("respond to ")[1].split(" the other")[0] for one in beside if "respond" in one
    ]
    assert {"camptothecin", "paclitaxel", "sn38", "topotecan", "vinblastine"} <= set(drugs)


def test_cgp_turned_round_is_seen_by_gdsc(
    screens: dict[str, IngestedCohort], shared: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    turned = with_responses_turned(CGP, shared, tmp_path)
    (doubt,) = doubts(turned, screens[GDSC], catalogue=catalogue)
    assert "in 'turned' or in 'gdsc_adc_payloads' is doubtful" in doubt
    assert "174 lines)" in doubt  # 173 by name or COSMIC id, and Jurkat's derivative


# --- names


def test_the_lines_of_sets_are_most_like_themselves(screens: dict[str, IngestedCohort]) -> None:
    found = line_identities(tasks(screens[NCI60], screens[CGP], screens[GDSC]))
    right = found.groupby(["cohort", "other"])["itself"].mean()
    assert set(right.index) == set(combinations((NCI60, CGP, GDSC), 2))
    assert right[(NCI60, GDSC)] >= 0.9
    assert right[(NCI60, CGP)] == 1
    assert right[(CGP, GDSC)] >= 0.85
    assert identity_doubts(found) == []


def test_nci60_under_the_files_own_names_is_doubted(
    screens: dict[str, IngestedCohort], shared: Path
) -> None:
    config, _ = load_cohort(NCI60, conf=configuration_folder())
    own = ingest_cohort(
        config.model_copy(update={"renamed": {}, "name": "own_names"}),
        root=shared / "cohorts",
        labels_required=False,
    )
    found = line_identities(tasks(own, screens[GDSC]))
    assert found["itself"].mean() < 0.4
    (doubt,) = identity_doubts(found)
    assert f"only {found['itself'].sum()} of the {len(found)} lines that 'own_names'" in doubt
