"""Drift of a cohort against a model's training: features, samples, files."""

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.catalogue import Catalogue
from features.cohort import CohortReport
from features.errors import CohortError
from models.resistance_model import ResistanceModel
from pipelines.cli import app
from pipelines.drift import measure_drift
from pipelines.ingest import IngestedCohort

MakeCohort = Callable[..., ad.AnnData]


@pytest.fixture(scope="module")
def models() -> dict[str, ResistanceModel]:
    return {}


@pytest.fixture
def model(
    make_cohort: MakeCohort,
    catalogue: Catalogue,
    models: dict[str, ResistanceModel],
    train_small_model: Callable[..., ResistanceModel],
) -> ResistanceModel:
    """A small model, trained on noise, made once."""
    if "ici" not in models:
        training = make_cohort(60, seed=3, name="train")
        models["ici"] = train_small_model(training, catalogue, setting="ici", facts={})
    return models["ici"]


def ingested(adata: ad.AnnData, *, unit: str = "tpm") -> IngestedCohort:
    adata.uns["oncoresist"] = {"unit": unit, "gene_lengths_known": True}
    return IngestedCohort(adata, CohortReport((), ()), {"made.csv": "4567"})


def test_the_feature_whose_genes_rose_drifted_most(
    model: ResistanceModel, make_cohort: MakeCohort
) -> None:
    quiet, moved = make_cohort(50, seed=5), make_cohort(50, seed=5)
    column = moved.var_names.get_loc("CD274")
    moved.X[:, column] = moved.X.max(axis=1) + 0.1
    before, after = (measure_drift(model, ingested(adata)) for adata in (quiet, moved))
    rise = after.features.set_index("feature")["psi"] - before.features.set_index("feature")["psi"]
    assert "pdl1" in rise.idxmax() or "pd1" in rise.idxmax()
    assert after.features["psi"].is_monotonic_decreasing
    assert after.drifted > before.drifted
    assert after.drifted == (after.features["verdict"] == "drifted").sum()
    assert after.beyond_training <= after.drifted


def test_samples_without_half_of_their_genes_are_out_of_scope(
    model: ResistanceModel, make_cohort: MakeCohort
) -> None:
    adata = make_cohort(20, seed=6)
    found = measure_drift(model, ingested(adata))
    assert list(found.samples.index) == list(adata.obs_names)
    assert found.out_of_scope == (found.samples["shift_score"] > 1).sum()
    for name in adata.var_names[: adata.n_vars // 2]:
        adata.X[:, adata.var_names.get_loc(name)] = 0.0
    assert measure_drift(model, ingested(adata)).out_of_scope == 20


def test_values_scaled_per_gene_are_refused(
    model: ResistanceModel, make_cohort: MakeCohort
) -> None:
    scaled = ingested(make_cohort(20, name="z"), unit="gene_scaled")
    with pytest.raises(CohortError, match=r"cohort 'z' holds values .* before scaling"):
        measure_drift(model, scaled)


def test_both_tables_are_written_with_their_ids(
    model: ResistanceModel, make_cohort: MakeCohort, tmp_path: Path
) -> None:
    adata = make_cohort(20)
    measure_drift(model, ingested(adata)).write(tmp_path / "out")
    features = pd.read_csv(tmp_path / "out" / "drift.csv")
    assert set(features["feature"]) == set(model.feature_names)
    samples = pd.read_csv(tmp_path / "out" / "shift.csv")
    assert list(samples["sample_id"]) == list(adata.obs_names)
    assert np.isfinite(samples["shift_score"]).all()


@pytest.mark.slow
def test_the_command_tells_counts_and_the_five_largest(
    demo_run, session_store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_store)
    cohort = str(demo_run.folder / "demo_new.yaml")
    asked = ["--model", "models:/oncoresist-demo@champion", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["drift", "--cohort", cohort, *asked])
    assert result.exit_code == 0, (result.output, result.exception)
    features = pd.read_csv(tmp_path / "out" / "drift.csv")
    samples = pd.read_csv(tmp_path / "out" / "shift.csv")
    drifted = (features["verdict"] == "drifted").sum()
    outside = (samples["shift_score"] > 1).sum()
    assert f"cohort 'demo_new': {drifted} of {len(features)} features drifted (" in result.output
    assert f"{outside} of {len(samples)} samples out of scope" in result.output
    for name in features["feature"].head(5):
        assert f"  {name}: " in result.output
