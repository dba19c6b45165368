"""The model card: from the run alone, every figure of it, nothing of the input read as mark-up."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from pipelines.demo import DemoResult
from pipelines.reports.model_card import model_card, short_model_card
from pipelines.reports.validation import RunRecord, read_run
from pipelines.tracking import Store, open_store

pytestmark = pytest.mark.slow

LONGEST_DESCRIPTION = 5000


@pytest.fixture(scope="module")
def record(demo_run: DemoResult, session_store: str) -> RunRecord:
    open_store(Store(session_store, None))
    return read_run(demo_run.training.run_id)


@pytest.fixture
def copied(record: RunRecord, tmp_path: Path) -> RunRecord:
    """Return the run's record on a copy of its tables, to change them."""
    folder = tmp_path / "run"
    for name in ("config", "data", "tables"):
        shutil.copytree(record.folder / name, folder / name)
    return replace(record, folder=folder)


def change(record: RunRecord, table: str, **values: object) -> None:
    """Set columns of a table's first row."""
    file = record.folder / "tables" / f"{table}.parquet"
    frame = pd.read_parquet(file)
    for column, value in values.items():
        frame.loc[0, column] = value
    frame.to_parquet(file, index=False)


def test_the_card_in_run_and_model_is_the_card_of_the_runs_own_tables(
    record: RunRecord, demo_run: DemoResult
) -> None:
    card = model_card(record)
    assert (record.folder / "model_card.md").read_text(encoding="utf-8") == card
    version = f"models:/oncoresist-demo/{demo_run.training.model_version}"
    file = mlflow.artifacts.download_artifacts(f"{version}/model_card.md")
    assert Path(file).read_text(encoding="utf-8") == card


def test_the_card_has_what_tripod_ai_asks_for_and_figures_of_the_run(record: RunRecord) -> None:
    card = model_card(record)
    sections = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert sections == [
        *("Intended use", "How much the data can bear", "Data", "Outcome", "Predictors", "Model"),
        *("Performance on cohorts held out", "Calibration", "Abstention"),
        *("Subgroups and fairness", "Distribution shift"),
        *("What drives the predictions, and how sure that is", "Limits"),
        *("Versions and hashes", "How to cite"),
    ]
    metrics = record.metrics
    for name in ("loco.auroc", "loco_reference.auroc", "baseline.gep_18.loco.auroc"):
        low, high = metrics[f"{name}_low"], metrics[f"{name}_high"]
        assert f"{metrics[name]:.3f} ({low:.3f} to {high:.3f})" in card
    assert f"{metrics['loco.calibration_slope']:.3f} (" in card
    assert f"{metrics['loco.ece_floor']:.3f} (" in card
    samples = record.table("cohorts").set_index("cohort")
    assert samples.loc["demo_log2_tpm", "left_out"] == "12 on_treatment"
    assert f"| {int(samples['labelled'].sum())} | {int(samples['resistant'].sum())} (" in card
    for value in (record.tags["data_hash"], *samples["sha256"]):
        assert value in card
    assert card.count("whether it leads") == 2
    for unfilled in ("{{", "{%", " nan", "None", "Undefined", "/tmp"):
        assert unfilled not in card


def test_words_of_the_input_are_cells_and_no_mark_up(copied: RunRecord) -> None:
    change(copied, "cohorts", cohort="a | <script>alert(1)</script>\nb")
    for text in (model_card(copied), short_model_card(copied)):
        assert "<script" not in text
        assert "a \\| &lt;script>alert(1)&lt;/script> b" in text


def test_a_subgroup_whose_interval_excludes_the_whole_is_told(copied: RunRecord) -> None:
    told = "**below the whole**, chance not excluded"
    assert told not in model_card(copied)
    change(copied, "subgroups", auroc=0.55, low=0.45, high=0.65)
    assert told in model_card(copied)
    change(copied, "subgroups", group="sex", level="female", low=0.51, high=0.6)
    card = model_card(copied)
    assert "| sex | female |" in card
    assert "By sex and age: sex above" in card


def test_the_short_card_fits_a_description_however_many_cohorts(copied: RunRecord) -> None:
    assert len(short_model_card(copied)) < LONGEST_DESCRIPTION / 2
    file = copied.folder / "tables" / "cohorts.parquet"
    few = pd.read_parquet(file)
    many = pd.concat([few.assign(cohort=few["cohort"] + f"_{i}" * 5) for i in range(40)])
    many.to_parquet(file, index=False)
    assert len(short_model_card(copied)) < LONGEST_DESCRIPTION


def test_an_arm_that_did_worse_than_the_base_rate_is_told_in_the_limits(copied: RunRecord) -> None:
    skill = {"loco.brier_skill": -0.05, "loco.brier_skill_low": -0.1, "loco.brier_skill_high": 0.01}
    slope = {f"loco_reference.calibration_slope{end}": -0.2 for end in ("", "_low", "_high")}
    limits = model_card(replace(copied, metrics={**copied.metrics, **skill, **slope}))
    limits = limits.partition("## Limits")[2]
    assert "Cohort-relative, the probabilities did worse than the base rate" in limits
    assert "skill −0.050 (−0.100 to 0.010); the interval reaches 0." in limits
    assert "Reference-relative, the calibration slope on cohorts held out is below 0" in limits
    good = dict.fromkeys([*skill, *slope, "loco_reference.brier_skill"], 0.5)
    good["loco.calibration_slope"] = 1.0
    limits = model_card(replace(copied, metrics={**copied.metrics, **good})).partition("## Limits")[
        2
    ]
    assert "did worse than" not in limits
    assert "is below 0" not in limits


def test_the_card_says_how_often_each_call_was_right_and_nothing_of_a_run_without_it(
    copied: RunRecord,
) -> None:
    file = copied.folder / "data" / "facts.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    assert set(facts["held_out_calls"]) == {"cohort", "reference"}
    figures = {"n": 45, "share": 0.378, "low": 0.251, "high": 0.524}
    facts["held_out_calls"] = {"cohort": {"responsive": figures}}
    file.write_text(json.dumps(facts), encoding="utf-8")
    line = "| cohort-relative | responsive | 45 | 38% (25% to 52%) |"
    assert line in model_card(copied).splitlines()
    del facts["held_out_calls"]
    file.write_text(json.dumps(facts), encoding="utf-8")
    assert "of these truly so" not in model_card(copied)
