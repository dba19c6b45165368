"""All that is done with an experiment's screens: tables, metrics, notes, refusals."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.catalogue import Catalogue
from features.errors import ConfigError
from pipelines.config import ExperimentConfig
from pipelines.ingest import IngestedCohort
from pipelines.screens import log
from pipelines.screens.log import log_screens
from pipelines.screens.options import tree_settings
from pipelines.screens.run import (
    Screens,
    plan_screens,
    run_screens,
    screen_metrics,
    screen_tables,
)
from pipelines.settings.screens import ScreensConfig
from tests.screens import Screen, ingest_screen, line_names, make_screen


def run(
    cohorts: list[IngestedCohort], catalogue: Catalogue, *transfers: tuple[str, str]
) -> Screens:
    screens = {
        "n_splits": 3,
        "n_repeats": 1,
        "genes": ["ABCB1", "NOGENE"],
        "transfers": [{"train": train, "test": test} for train, test in transfers],
    }
    config = ExperimentConfig.model_validate(
        {
            "setting": "adc",
            "cohorts": {"train": ["one"]},
            "classifier": {"n_estimators": 20, "n_seeds": 1, "num_leaves": 3},
            "validation": {"scheme": "nested", "n_resamples": 20},
            "screens": screens,
            "model": {"registered_name": "small"},
        }
    )
    assert config.screens is not None
    stages: list[str] = []
    found = run_screens(
        config, config.screens, cohorts=cohorts, catalogue=catalogue, progress=stages.append
    )
    assert len(stages) == len(found.analyses) + len(found.transfers)
    return found


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> list[IngestedCohort]:
    """Return three sets: the second turned round and its names mixed up, the third small."""
    folder = tmp_path_factory.mktemp("screens")
    one = make_screen(line_names(40), seed=1)
    two = make_screen(line_names(40, start=10), seed=2).reversed()
    names = list(two.expression.index)
    mixed = Screen(two.expression.set_axis([*names[1:], names[0]]).loc[names], two.responses)
    small = make_screen(line_names(12, start=100), seed=3)
    return [
        ingest_screen(folder, screen, name)
        for name, screen in (("one", one), ("two", mixed), ("small", small))
    ]


@pytest.fixture(scope="module")
def screens(cohorts: list[IngestedCohort], catalogue: Catalogue) -> Screens:
    return run(cohorts, catalogue, ("one/all", "small/all"), ("two/all", "two/all"))


def test_large_groups_are_analysed_and_small_ones_noted(screens: Screens) -> None:
    assert [one.task.name for one in screens.analyses] == ["one/all", "two/all"]
    assert [one.test for one in screens.transfers] == ["small/all", "two/all"]
    assert "small/all: 12 samples, too few to hold any out; looked at by transfer alone" in (
        screens.notes
    )
    assert "abcb1" not in screens.absent["one"]


def test_direction_and_mixed_up_names_are_doubted_in_the_notes(screens: Screens) -> None:
    notes = " | ".join(screens.notes)
    assert "the direction of the measure in 'one' or in 'two' is doubtful" in notes
    assert "expression seems to stand under other lines' names: only " in notes


def test_tables_hold_every_figure(screens: Screens) -> None:
    tables = screen_tables(screens, mechanisms={})
    found = tables["screens"].set_index(["cohort", "drug_group", "predictor", "metric"])
    assert found.loc[("one", "all", "model", "spearman"), "value"] == pytest.approx(
        screens.analyses[0].estimates["model"]["spearman"].value
    )
    assert set(tables["transfers"]["metric"]) >= {"spearman", "auroc"}
    assert set(tables["screen_tissues"]["tissue"]) == {"lung", "skin"}
    assert len(tables["screen_predictions"]) == 80
    assert len(tables["line_identities"]) == 30
    assert set(tables["screen_evidence"]["kind"]) == {"transporter", "shared lines"}
    assert set(tables["genes_by_drug"]["cohort"]) == {"one", "two", "small"}
    assert tables["screen_reasons"]["mean_abs_shap"].ge(0).all()


def test_metrics_have_names_and_intervals(screens: Screens) -> None:
    found = screen_metrics(screens)
    for name in (
        "screen.one.all.spearman",
        "screen.one.all.within_tissue_spearman",
        "baseline.tissue_mean.screen.one.all.spearman",
        "baseline.classifier.screen.one.all.auroc",
        "baseline.leave_one_tissue_out.screen.one.all.spearman",
        "transfer.one.all.to.small.all.spearman",
    ):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert not [name for name in found if "tissue_mean" in name and "within" in name]


def test_screens_that_allow_nothing_leave_empty_tables(
    cohorts: list[IngestedCohort],
    catalogue: Catalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: dict[str, pd.DataFrame] = {}
    monkeypatch.setattr(log, "log_table", lambda table, path: written.update({path: table}))
    monkeypatch.setattr(log, "log_figure", lambda figure, path: None)
    found = run(cohorts[2:], catalogue)
    assert found.analyses == []
    assert screen_metrics(found) == {}
    log_screens(found, catalogue=catalogue)
    assert len(written) == 10
    assert list(written["tables/screens.parquet"].columns)[:3] == ["cohort", "drug_group", "n"]
    for number, table in enumerate(written.values()):
        table.to_parquet(tmp_path / f"{number}.parquet")


def test_a_set_without_any_feature_is_noted(
    cohorts: list[IngestedCohort], catalogue: Catalogue, tmp_path: Path
) -> None:
    whole = make_screen(line_names(20, start=200), seed=4)
    genes = ["CD8A", *(name for name in whole.expression if name.startswith("BG"))]
    expression = whole.expression.assign(CD8A=5.0)[genes]
    poor = ingest_screen(tmp_path, Screen(expression, whole.responses), "poor")
    found = run([poor], catalogue)
    assert "poor/all: its genes give no feature of setting 'adc'" in found.notes
    assert screen_tables(found, mechanisms={})["screens"].empty


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"transfers": [{"train": "one/al", "test": "two/all"}]}, "names 'one/al', which is not"),
        (
            {"transfers": [{"train": "small/all", "test": "two/all"}]},
            "of small/all 12 samples .*at least 20 are needed",
        ),
        ({"n_splits": 41}, "n_splits is 41, but there are 40 lines"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    cohorts: list[IngestedCohort], said: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_screens(ScreensConfig.model_validate(said), cohorts=cohorts)


def test_trees_of_screens_are_those_of_the_classifier() -> None:
    config = ExperimentConfig.model_validate(
        {
            "setting": "adc",
            "seed": 3,
            "cohorts": {"train": ["one"]},
            "classifier": {"num_leaves": 4},
            "model": {"registered_name": "small"},
        }
    )
    found = tree_settings(config)
    assert (found["num_leaves"], found["random_state"]) == (4, 3)
    assert "monotone" not in found
