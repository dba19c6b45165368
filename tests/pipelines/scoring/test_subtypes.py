"""Subtypes of small-cell lung cancer beside the predictions, in the report and the summary."""

import re
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.catalogue import Catalogue
from features.cohort import CohortReport
from features.subtype_programmes import PROGRAMMES, programme_genes
from features.subtypes import SUBTYPE_COLUMNS
from models.resistance_model import ResistanceModel
from pipelines import cli
from pipelines.ingest import IngestedCohort
from pipelines.report import render_report, write_scored
from pipelines.reports.data import read_report
from pipelines.score import ScoredCohort, score_cohort
from pipelines.tracking import LoadedModel

MakeCohort = Callable[..., ad.AnnData]
URI = "models:/made/1"
OUTPUTS = {"subtypes.csv", "subtypes.parquet"}


def planted(adata: ad.AnnData) -> ad.AnnData:
    """Return a cohort in which one sample after the other is SCLC-A, N, P and Y."""
    for row in range(adata.n_obs):
        own = list(PROGRAMMES.values())[row % len(PROGRAMMES)]
        for name in PROGRAMMES.values():
            columns = adata.var_names.isin(programme_genes()[name])
            adata.X[row, columns] = 7.0 if name == own else 1.0
    adata.X += np.random.default_rng(0).gamma(1.0, 0.3, adata.shape)
    return adata


def truth(n_samples: int) -> list[str]:
    return [list(PROGRAMMES)[row % len(PROGRAMMES)] for row in range(n_samples)]


@pytest.fixture
def loaded(
    request: pytest.FixtureRequest,
    make_cohort: MakeCohort,
    catalogue: Catalogue,
    train_small_model: Callable[..., ResistanceModel],
) -> LoadedModel:
    """Return a small model, of small-cell lung cancer unless a test asks for another setting."""
    figures = {"auroc": "0.60 (0.55 to 0.65)", "brier": "0.24", "ece": "0.05"}
    facts: dict[str, object] = {
        "training_cohorts": ["train"],
        "training_files": {"train": "0123"},
        "held_out": {arm: {"model": figures} for arm in ("cohort", "reference")},
    }
    training = planted(make_cohort(60, seed=3, name="train"))
    setting = getattr(request, "param", "sclc")
    model = train_small_model(training, catalogue, setting=setting, facts=facts)
    return LoadedModel(model, URI, "1")


def ingested(adata: ad.AnnData) -> IngestedCohort:
    told = {"unit_meaning": "TPM", "unit_evidence": "made so", "gene_lengths_known": True}
    adata.uns["oncoresist"] = {"unit": "tpm", **told}
    return IngestedCohort(adata, CohortReport((), ()), {"made.csv": "4567"})


def scored(loaded: LoadedModel, adata: ad.AnnData) -> ScoredCohort:
    return score_cohort(loaded.model, ingested(adata), standardisation="auto", uri=URI, version="1")


def test_subtypes_are_written_a_row_a_sample_and_stand_in_the_report(
    loaded: LoadedModel, make_cohort: MakeCohort, tmp_path: Path
) -> None:
    found = scored(loaded, planted(make_cohort(20, seed=1)))
    write_scored(found, loaded, tmp_path)
    table = pd.read_parquet(tmp_path / "subtypes.parquet")
    assert list(table.columns) == ["sample_id", *SUBTYPE_COLUMNS]
    predictions = pd.read_parquet(tmp_path / "predictions.parquet")
    assert table["sample_id"].tolist() == predictions["sample_id"].tolist()
    assert table["subtype"].tolist() == truth(20)
    assert table["standardisation"].eq("cohort").all()
    text = pd.read_csv(tmp_path / "subtypes.csv", keep_default_na=False)
    assert text["subtype"].tolist() == truth(20)
    page = (tmp_path / "report.html").read_text("utf-8")
    section = page.split('id="subtypes-heading"')[1].split("<h2")[0]
    assert re.findall(r"<td>(SCLC-[ANPY])</td>", section) == truth(20)
    assert render_report(read_report(tmp_path)).count("SCLC-N</td>") == 5


def test_a_few_samples_are_held_against_those_of_training(
    loaded: LoadedModel, make_cohort: MakeCohort
) -> None:
    found = scored(loaded, planted(make_cohort(4, seed=1))).subtypes
    assert found["standardisation"].eq("reference").all()
    assert found["subtype"].tolist() == truth(4)


def test_what_is_not_measured_stands_below_the_table_of_the_report(
    loaded: LoadedModel, make_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = planted(make_cohort(20, seed=1))
    gone = programme_genes()["sclc_p"]
    write_scored(scored(loaded, cohort[:, ~cohort.var_names.isin(gone)].copy()), loaded, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    caveat = "SCLC-P can neither win nor lose: no gene of sclc_p is measured"
    assert f"<li>20 of 20 samples: {caveat}</li>" in page


@pytest.mark.parametrize("loaded", ["ici"], indirect=True)
def test_a_model_of_another_setting_writes_none(
    loaded: LoadedModel, make_cohort: MakeCohort, tmp_path: Path
) -> None:
    write_scored(scored(loaded, make_cohort(20, seed=1)), loaded, tmp_path)
    assert not OUTPUTS & {path.name for path in tmp_path.iterdir()}
    assert "subtypes-heading" not in (tmp_path / "report.html").read_text("utf-8")


def test_the_summary_says_how_many_of_each(
    loaded: LoadedModel,
    make_cohort: MakeCohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cohort = ingested(planted(make_cohort(20, seed=1)))
    monkeypatch.setattr(cli, "read_model_and_cohort", lambda *a, **o: (loaded, cohort, None))
    done = CliRunner().invoke(cli.app, ["score", "made.h5ad", "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "subtypes: 5 SCLC-A, 5 SCLC-N, 5 SCLC-P, 5 SCLC-Y; inflamed: " in done.output
    assert "subtypes.csv" in done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} >= OUTPUTS
