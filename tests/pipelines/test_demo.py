import mlflow
import numpy as np
import pandas as pd
import pytest

from pipelines.score import PREDICTION_COLUMNS
from pipelines.tracking import Store, load_model, open_store

pytestmark = pytest.mark.slow


def test_shap_finds_what_was_planted_and_ignores_the_decoy(demo_run):
    assert demo_run.findings
    judged = [finding for finding in demo_run.findings if finding.passed is not None]
    assert len(judged) == 6
    assert [finding for finding in judged if not finding.passed] == []
    told = [finding for finding in demo_run.findings if finding.passed is None]
    assert [finding.what for finding in told] == ["decoy, reference-relative: er_stress"]


def test_the_three_outputs_follow_the_contract(demo_run):
    predictions = pd.read_parquet(demo_run.scored / "predictions.parquet")
    assert tuple(predictions.columns) == PREDICTION_COLUMNS
    assert predictions["probability"].between(0, 1).all()
    assert set(predictions["call"]) <= {"resistant", "responsive", "uncertain", "out_of_scope"}
    allowed = {"resistant", "responsive", "resistant|responsive", ""}
    assert set(predictions["prediction_set"]) <= allowed
    assert predictions["shift_score"].gt(0).all()
    assert set(predictions["calibration_method"]) <= {"platt", "beta", "isotonic"}
    in_scope = predictions[predictions["shift_score"] <= 1]
    assert len(in_scope) > 0.9 * len(predictions)
    alone = in_scope[in_scope["prediction_set"].isin(["resistant", "responsive"])]
    assert alone["call"].eq(alone["prediction_set"]).all()
    assert in_scope.drop(alone.index)["call"].eq("uncertain").all()
    text = pd.read_csv(demo_run.scored / "predictions.csv", dtype={"sample_id": str})
    np.testing.assert_allclose(text["probability"], predictions["probability"])
    attributions = pd.read_parquet(demo_run.scored / "attributions.parquet")
    mechanisms = attributions.filter(like="mechanism.").sum(axis=1) + attributions["base_value"]
    np.testing.assert_allclose(1 / (1 + np.exp(-mechanisms)), predictions["probability"], atol=1e-9)
    page = (demo_run.scored / "report.html").read_text(encoding="utf-8")
    assert "Research use only" in page
    assert page.count("data:image/png;base64") == 4
    assert "<summary>Which genes were found</summary>" in page


def test_the_gene_report_of_the_scored_cohort_is_full(demo_run, catalogue):
    report = pd.read_csv(demo_run.scored / "gene_report.csv", index_col="feature")
    assert list(report.index) == [marker.id for marker in catalogue.markers_of("ici")]
    assert report["scored"].all()
    assert report["coverage"].eq(1.0).all()
    assert report["missing"].isna().all()


def test_the_run_holds_what_the_design_names(demo_run, session_store):
    open_store(Store(session_store, None))
    run = mlflow.get_run(demo_run.training.run_id)
    schemes = ("loco", "loco_reference", "nested", "nested_reference")
    baselines = ("baseline.gep_18.loco", "baseline.gep_18.loco_reference", "baseline.prior.loco")
    for prefix in (*schemes, *baselines, "tumour_type", "tumour_type_reference"):
        for metric in ("auroc", "auprc", "brier", "ece"):
            assert np.isfinite(run.data.metrics[f"{prefix}.{metric}"])
        assert np.isfinite(run.data.metrics[f"{prefix}.demo_tpm.auroc"])
    for name in ("calibration_slope", "coverage.resistant", "most_certain.brier", "n"):
        for prefix in ("loco", "loco_reference"):
            assert np.isfinite(run.data.metrics[f"{prefix}.{name}"])
    assert run.data.metrics["shift.flagged.genes_shuffled"] >= 0.95
    assert run.data.metrics["shift.flagged.held-out_tumours"] <= 0.1
    for tag in ("git_commit", "lock_hash", "catalogue_version", "catalogue_hash"):
        assert run.data.tags[tag]
    logged = {entry.dataset.name for entry in run.inputs.dataset_inputs}
    assert logged == {"demo_counts", "demo_log2_tpm", "demo_tpm"}
    client = mlflow.MlflowClient()
    children = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'"
    )
    assert {c.data.tags.get("held_out") for c in children} >= {"demo_tpm", "demo_counts"}
    artifacts = {f.path for f in client.list_artifacts(run.info.run_id, "shap")}
    assert {"shap/beeswarm.png", "shap/mechanisms.png", "shap/attributions.parquet"} <= artifacts
    assert {"shap/waterfall_most_resistant.png", "shap/waterfall_least_resistant.png"} <= artifacts


def test_the_registered_model_carries_the_alias_and_no_pickle(demo_run, session_store):
    open_store(Store(session_store, None))
    version = mlflow.MlflowClient().get_model_version_by_alias("oncoresist-demo", "champion")
    assert str(version.version) == demo_run.training.model_version
    loaded = load_model("models:/oncoresist-demo@champion")
    assert loaded.version == str(version.version)
    folder = mlflow.artifacts.download_artifacts("models:/oncoresist-demo@champion")
    from pathlib import Path

    suffixes = {file.suffix for file in Path(folder).rglob("*") if file.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".joblib", ".cloudpickle"}
