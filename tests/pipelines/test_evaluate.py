"""Evaluate a frozen model on a labelled cohort: figures, refusals, page, recalibration."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata as ad
import mlflow
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines.utils import concordance_index
from scipy.special import logit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from typer.testing import CliRunner

from features.catalogue import Catalogue
from features.cohort import CohortReport
from features.errors import CohortError, ConfigError, ModelError
from models.resistance_model import ResistanceModel
from pipelines.cli import app
from pipelines.commands.evaluate import _print_evaluation
from pipelines.evaluate import Evaluation, evaluate_cohort, require_labels
from pipelines.ingest import IngestedCohort
from pipelines.recalibrate import name_to_register
from pipelines.reports.evaluation import render_evaluation
from pipelines.score import PREDICTION_COLUMNS, ScoredCohort, score_cohort
from pipelines.tracking import LoadedModel, Store, load_model, open_store

pytestmark = pytest.mark.slow

MakeCohort = Callable[..., ad.AnnData]
RESAMPLES = 50
OUT_OF_SCOPE = 6


@pytest.fixture(scope="module")
def model(
    make_cohort: MakeCohort,
    catalogue: Catalogue,
    train_small_model: Callable[..., ResistanceModel],
) -> ResistanceModel:
    """A small model, trained on noise, made once."""
    training = make_cohort(60, seed=3, name="train")
    facts = {"training_cohorts": ["train"], "training_files": {"train": "0123"}}
    return train_small_model(training, catalogue, setting="ici", facts=facts)


@pytest.fixture
def cohort(make_cohort: MakeCohort) -> IngestedCohort:
    """Forty-four samples, four without a label, of nobody's survival."""
    adata = make_cohort(44, seed=8, name="<new>")
    adata.obs.loc[adata.obs_names[-4:], "resistant"] = np.nan
    return ingested(adata)


@pytest.fixture(scope="module")
def followed(make_cohort: MakeCohort) -> IngestedCohort:
    """The same samples with progression-free survival; nobody changes them."""
    adata = make_cohort(44, seed=8, name="<new>")
    rng = np.random.default_rng(0)
    adata.obs.loc[adata.obs_names[-4:], "resistant"] = np.nan
    adata.obs["pfs_time"] = rng.exponential(10.0, 44).round(1)
    adata.obs["pfs_event"] = (rng.random(44) < 0.7).astype(float)
    return ingested(adata)


@pytest.fixture(scope="module")
def evaluation(model: ResistanceModel, followed: IngestedCohort) -> Evaluation:
    """The evaluation of the cohort with survival, made once."""
    return evaluated(model, followed)


@pytest.fixture(scope="module")
def recalibrated(model: ResistanceModel, followed: IngestedCohort) -> Evaluation:
    """The same, and the model recalibrated on the cohort."""
    return evaluated(model, followed, recalibrating=True)


def ingested(adata: ad.AnnData) -> IngestedCohort:
    adata.uns["oncoresist"] = {
        "unit": "tpm",
        "unit_meaning": "TPM",
        "unit_evidence": "made so",
        "gene_lengths_known": True,
    }
    return IngestedCohort(adata, CohortReport((), ()), {"made.csv": "4567"})


def scored(model: ResistanceModel, new: IngestedCohort) -> ScoredCohort:
    """Return a cohort as scored, of which the first samples are out of scope."""
    found = score_cohort(model, new, standardisation="auto", uri="models:/made/1", version="1")
    calls = ["out_of_scope"] * OUT_OF_SCOPE + ["uncertain"] * (len(found.predictions) - 6)
    return replace(found, predictions=found.predictions.assign(call=calls))


def evaluated(
    model: ResistanceModel, new: IngestedCohort, *, recalibrating: bool = False
) -> Evaluation:
    return evaluate_cohort(
        model, scored(model, new), recalibrating=recalibrating, n_resamples=RESAMPLES
    )


def figure(evaluation: Evaluation, what: str, group: str = "all") -> "pd.Series[float]":
    table = evaluation.figures
    rows = table[(table["what"] == what) & (table["group"] == group)]
    assert len(rows) == 1, (what, group)
    return rows.iloc[0]


# --- figures


def test_figures_are_those_of_independent_references(evaluation: Evaluation) -> None:
    found = evaluation
    for group, rows in (
        ("all", found.samples),
        ("in_scope", found.samples[found.samples["call"] != "out_of_scope"]),
    ):
        rows = rows.dropna(subset=["resistant"])
        y, p = rows["resistant"].to_numpy(), rows["probability"].to_numpy()
        x = sm.add_constant(logit(p))
        line = sm.Logit(y, x).fit(disp=0).params
        large = sm.GLM(y, np.ones(len(y)), sm.families.Binomial(), offset=logit(p)).fit().params
        prior = brier_score_loss(y, np.full(len(y), 0.5))
        expected = {
            "auroc": roc_auc_score(y, p),
            "auprc": average_precision_score(y, p),
            "brier": brier_score_loss(y, p),
            "brier_of_base_rate": prior,
            "brier_skill": 1 - brier_score_loss(y, p) / prior,
            "calibration_slope": line[1],
            "calibration_intercept": line[0],
            "calibration_in_the_large": large[0],
            "share_resistant": y.mean(),
            "coverage.resistant": rows.loc[y == 1, "in_resistant"].mean(),
            "coverage.responsive": rows.loc[y == 0, "in_responsive"].mean(),
        }
        for what, value in expected.items():
            row = figure(found, what, group)
            assert row["value"] == pytest.approx(value, abs=1e-5), (group, what)
            assert row["low"] <= row["high"]
        assert figure(found, "auroc", group)["n"] == len(rows)


def test_calls_are_shares_of_all_samples_and_none_in_scope_is_out_of_it(
    evaluation: Evaluation,
) -> None:
    found = evaluation
    assert figure(found, "share_called.out_of_scope")["value"] == pytest.approx(6 / 44)
    assert figure(found, "share_called.out_of_scope")["n"] == 44
    assert figure(found, "share_called.out_of_scope", "in_scope")["value"] == 0
    assert figure(found, "share_called.uncertain", "in_scope")["value"] == 1
    assert found.groups == ["all", "in_scope"]


def test_predictive_values_stand_at_the_base_rate_and_by_the_sets(evaluation: Evaluation) -> None:
    found = evaluation
    rows = found.samples.dropna(subset=["resistant"])
    y = rows["resistant"] == 1
    sets = rows["prediction_set"]
    for rule, called in {
        "base_rate": rows["probability"] >= 0.5,
        "set_resistant": sets == "resistant",
        "set_responsive": sets != "responsive",
    }.items():
        table = found.thresholds
        table = table[(table["group"] == "all") & (table["rule"] == rule)].set_index("figure")
        assert table.loc["sensitivity", "value"] == pytest.approx(called[y].mean())
        assert table.loc["specificity", "value"] == pytest.approx((~called)[~y].mean())
        assert table.loc["ppv", "value"] == pytest.approx(y[called].mean(), nan_ok=True)
        assert table.loc["npv", "value"] == pytest.approx((~y)[~called].mean(), nan_ok=True)
        assert table.loc["share_called", "value"] == pytest.approx(called.mean())
    at = found.thresholds.set_index("rule")["threshold"]
    assert at["base_rate"].eq(0.5).all()
    assert at["set_resistant"].isna().all()


def test_survival_goes_by_the_score_of_patients(evaluation: Evaluation) -> None:
    found = evaluation
    patients = found.samples.groupby("patient_id").agg(
        {"pfs_time": "first", "pfs_event": "first", "log_odds": "mean"}
    )
    expected = concordance_index(patients["pfs_time"], -patients["log_odds"], patients["pfs_event"])
    row = figure(found, "pfs.concordance")
    assert row["value"] == pytest.approx(expected, abs=1e-9)
    assert row["n"] == len(patients) == 41
    assert set(found.survival) == {"pfs"}
    assert not found.figures["what"].str.startswith("os.").any()


def test_a_cohort_out_of_scope_wholly_has_figures_of_all_samples_alone(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    one = scored(model, cohort)
    none_left = replace(one, predictions=one.predictions.assign(call="out_of_scope"))
    found = evaluate_cohort(model, none_left, n_resamples=RESAMPLES)
    assert found.groups == ["all"]


def test_too_few_samples_in_scope_to_recalibrate_on_are_told_from_too_few_labels(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    # Fixed: a labelled cohort out of scope was told that it had 0 labelled samples.
    one = scored(model, cohort)
    for left, told in ((0, "^0 of 40"), (19, "^19 of 40")):
        calls = ["uncertain"] * left + ["out_of_scope"] * (44 - left)
        few = replace(one, predictions=one.predictions.assign(call=calls))
        mend = r"at least 20 are needed .* leave out --recalibrate, and call_reason .* add labelled"
        message = rf"{told} labelled samples are in scope of the model, cohort '<new>'; {mend}"
        with pytest.raises(ModelError, match=message):
            evaluate_cohort(model, few, recalibrating=True, n_resamples=RESAMPLES)
    cohort.adata.obs.loc[cohort.adata.obs_names[15:], "resistant"] = np.nan
    every = scored(model, cohort)
    every = replace(every, predictions=every.predictions.assign(call="uncertain"))
    with pytest.raises(ModelError, match=r"cohort '<new>' has 15 labelled samples to"):
        evaluate_cohort(model, every, recalibrating=True, n_resamples=RESAMPLES)


# --- refusals and warnings


def test_a_cohort_without_labels_of_both_classes_is_refused(cohort: IngestedCohort) -> None:
    require_labels(cohort)
    cohort.adata.obs["resistant"] = [1.0] * 40 + [np.nan] * 4
    with pytest.raises(CohortError, match=r"'<new>' cannot be evaluated: all 40 labelled samples"):
        require_labels(cohort)
    cohort.adata.obs["resistant"] = np.nan
    with pytest.raises(CohortError, match=r"none of its 44 samples .* clinical table .*--clinical"):
        require_labels(cohort)


def test_a_cohort_trained_on_is_warned_of_loudly_and_not_recalibrated_on(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    seen = IngestedCohort(cohort.adata, cohort.report, {"made.csv": "0123"})
    found = evaluated(model, seen)
    assert found.warnings[0].startswith("IN-SAMPLE: the model was trained on this cohort")
    page = render_evaluation(found, LoadedModel(model, "models:/made/1", "1"))
    assert '<p class="warning">IN-SAMPLE' in page
    with pytest.raises(ConfigError, match=r"--recalibrate on cohort '<new>', which the model was"):
        evaluated(model, seen, recalibrating=True)
    assert evaluated(model, cohort).warnings == ()


def test_one_sample_trained_on_is_told_in_the_singular(
    model: ResistanceModel, cohort: IngestedCohort, make_cohort: MakeCohort
) -> None:
    # Fixed: "the model was trained on 1 samples of this cohort".
    training = make_cohort(60, seed=3, name="train")
    for count, told in ((1, "1 sample of"), (2, "2 samples of")):
        cohort.adata.X[:count] = training.X[:count]
        notes = scored(model, cohort).notes
        assert notes[0].startswith(f"the model was trained on {told} this cohort (")


def test_the_registered_name_is_the_model_s_own_or_the_asked_one(model: ResistanceModel) -> None:
    by_alias = LoadedModel(model, "models:/oncoresist-ici@champion", "3")
    assert name_to_register(by_alias, asked=None) == "oncoresist-ici"
    assert name_to_register(LoadedModel(model, "models:/made/3", "3"), asked=None) == "made"
    assert name_to_register(LoadedModel(model, "runs:/ab/model", None), asked="own") == "own"
    with pytest.raises(ConfigError, match=r"'runs:/ab/model' is not a registered .*--register"):
        name_to_register(LoadedModel(model, "runs:/ab/model", None), asked=None)
    with pytest.raises(ConfigError, match="belongs to setting adc, not ici"):
        name_to_register(by_alias, asked="oncoresist-adc")
    with pytest.raises(ConfigError, match="has no / or :"):
        name_to_register(by_alias, asked="a/b")


# --- recalibration


def test_the_recalibrated_figures_are_cross_fitted_and_stand_beside_the_model_s(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    cohort.adata.obs["resistant"] = np.arange(44) % 4 != 0  # three in four, trained on one in two
    cohort.adata.obs["resistant"] = cohort.adata.obs["resistant"].astype(float)
    found = evaluated(model, cohort, recalibrating=True)
    done = found.recalibration
    assert done is not None
    assert done.delta > 0
    assert found.groups == ["all", "in_scope", "recalibrated"]
    assert figure(found, "brier", "recalibrated")["n"] == done.n_samples == 38
    y = found.samples.loc[done.cross_fitted.index, "resistant"]
    assert figure(found, "brier", "recalibrated")["value"] == pytest.approx(
        brier_score_loss(y, done.cross_fitted["probability"])
    )
    assert figure(found, "brier_of_base_rate", "recalibrated")["value"] == pytest.approx(
        brier_score_loss(y, done.cross_fitted["prior"])
    )
    large = [figure(found, "calibration_in_the_large", g)["value"] for g in found.groups[1:]]
    assert abs(large[1]) < abs(large[0])
    recalibrated = found.figures[found.figures["group"] == "recalibrated"]["what"]
    assert not recalibrated.str.contains("auroc|coverage|called", regex=True).any()
    assert set(found.thresholds.query("group == 'recalibrated'")["rule"]) == {"base_rate"}
    assert done.model.facts["recalibrations"][0]["model"] == "models:/made/1"


def test_the_recalibrated_calls_are_made_at_the_cohort_s_own_cross_fitted_base_rate(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    # Fixed: they were made at the base rate of training, which the shift had left behind.
    cohort.adata.obs["resistant"] = (np.arange(44) % 8 != 0).astype(float)
    found = evaluated(model, cohort, recalibrating=True)
    done = found.recalibration
    assert done is not None
    table = found.thresholds.query("group == 'recalibrated'").set_index("figure")
    y = found.samples.loc[done.cross_fitted.index, "resistant"] == 1
    called = done.cross_fitted["probability"] >= done.cross_fitted["prior"]
    assert table.loc["sensitivity", "value"] == pytest.approx(called[y].mean())
    assert table.loc["specificity", "value"] == pytest.approx((~called)[~y].mean())
    assert table.loc["share_called", "value"] == pytest.approx(called.mean())
    assert 0 < called.mean() < 1
    at = table["threshold"].unique()
    assert at == pytest.approx([done.cross_fitted["prior"].mean()])
    assert at[0] == pytest.approx(y.mean(), abs=0.05)
    others = found.thresholds.query("group != 'recalibrated' and rule == 'base_rate'")
    assert others["threshold"].eq(0.5).all()


def test_page_and_caption_say_whose_base_rate_it_is(
    model: ResistanceModel,
    cohort: IngestedCohort,
    recalibrated: Evaluation,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = recalibrated
    assert found.recalibration is not None
    page = render_evaluation(found, LoadedModel(model, "models:/made/1", "1"), registered="made")
    mean = found.recalibration.cross_fitted["prior"].mean()
    for text in (
        "the share of resistant samples in training,\n0.500 (under “recalibrated” that of this",
        "probability at least the base rate of training (0.500)",
        f"probability at least the base rate of this cohort, cross-fitted (mean {mean:.3f})",
        f"the base rate is now theirs,\n{found.recalibration.base_rate:.3f} (smoothed",
    ):
        assert text in page
    _print_evaluation(found)
    told = " ".join(capsys.readouterr().out.split())
    assert "base rate: of training; recalibrated: of this cohort, cross-fitted" in told

    again = evaluated(found.recalibration.model, cohort)
    assert again.samples["prior"].eq(found.recalibration.base_rate).all()
    page = render_evaluation(again, LoadedModel(found.recalibration.model, "models:/made/2", "2"))
    assert "the share of resistant samples in cohort &#39;&lt;new&gt;&#39;," in page
    assert "in training," not in page
    _print_evaluation(again)
    assert "base rate: of cohort '<new>'" in " ".join(capsys.readouterr().out.split())


def test_a_recalibrated_model_keeps_ranking_and_sets_is_saved_and_warns_where_it_learned(
    model: ResistanceModel, cohort: IngestedCohort, recalibrated: Evaluation, tmp_path: Path
) -> None:
    done = recalibrated.recalibration
    assert done is not None
    done.model.save(tmp_path / "model")
    loaded = ResistanceModel.load(tmp_path / "model")
    before, after = (scored(m, cohort).predictions for m in (model, loaded))
    pd.testing.assert_series_equal(before["prediction_set"], after["prediction_set"])
    moved = logit(after["probability"]) - logit(before["probability"])
    np.testing.assert_allclose(moved, done.delta, atol=1e-9)
    assert after["calibration_method"].eq("platt+intercept").all()
    assert scored(loaded, cohort).threshold == done.base_rate
    found = evaluated(loaded, cohort)
    assert [w for w in found.warnings if "was recalibrated on this cohort" in w]
    with pytest.raises(ConfigError, match="was recalibrated before: nothing is left to learn"):
        evaluated(done.model, cohort, recalibrating=True)


# --- what is written


def test_the_page_is_one_file_and_escapes_what_the_cohort_is_called(
    model: ResistanceModel, recalibrated: Evaluation
) -> None:
    found = recalibrated
    page = render_evaluation(found, LoadedModel(model, "models:/made/1", "1"), registered="made")
    assert "<h1>&lt;new&gt;</h1>" in page
    assert "<new>" not in page
    assert page.count("data:image/png;base64,") == 3  # reliability, decision curve, PFS
    assert "src=" not in page.replace('src="data:', "")
    assert "cross-fitted" in page
    assert "Prediction sets and calls stay" in page
    assert "PFS: hazard ratio per SD of the score" in page


def test_every_table_is_written_and_the_predictions_as_score_writes_them(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    evaluation.write(tmp_path / "out")
    figures = pd.read_csv(tmp_path / "out" / "evaluation.csv")
    assert list(figures) == ["what", "group", "value", "low", "high", "n"]
    assert not figures.duplicated(["what", "group"]).any()
    for name in ("reliability", "decision_curve", "thresholds"):
        assert set(pd.read_csv(tmp_path / "out" / f"{name}.csv")["group"]) == {"all", "in_scope"}
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert tuple(predictions) == PREDICTION_COLUMNS
    assert not [path for path in (tmp_path / "out").iterdir() if ".part" in path.name]


def test_register_without_recalibrate_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    arguments = ["evaluate", "none.h5ad", "--register", "x", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--register goes with --recalibrate" in result.stderr
    assert not (tmp_path / "out").exists()


# --- end to end


@pytest.fixture
def run(demo_run, session_store: str, monkeypatch: pytest.MonkeyPatch):
    """Return a runner of the command line on the demo's store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_store)

    def invoke(*arguments: object):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_a_recalibrated_version_scores_with_its_own_intercept(
    demo_run, run, session_store: str, tmp_path: Path
) -> None:
    new = demo_run.folder / "demo_new.yaml"
    trained = demo_run.training.model_version
    asked = ("--cohort", new, "--model", "models:/oncoresist-demo@champion")
    result = run("evaluate", *asked, "--output", tmp_path / "ev", "--recalibrate", "--register",
                 "demo-recalibrated")  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert "model models:/demo-recalibrated/1 (no alias moved)" in result.output
    open_store(Store(session_store, None))
    client = mlflow.MlflowClient()
    champion = client.get_model_version_by_alias("oncoresist-demo", "champion")
    assert str(champion.version) == trained
    version = client.get_model_version("demo-recalibrated", "1")
    assert version.aliases == []
    assert version.tags["recalibrated_on"] == "demo_new"
    assert version.tags["sufficiency"] == "usable for ranking"
    assert version.tags["recalibrated_from"] == f"models:/oncoresist-demo/{trained}"
    logged = client.get_run(version.run_id)
    assert logged.info.run_name == "recalibrated: demo_new"
    parent = client.get_run(demo_run.training.run_id)
    assert logged.info.experiment_id == parent.info.experiment_id
    figures = pd.read_csv(tmp_path / "ev" / "evaluation.csv").set_index(["what", "group"])["value"]
    for what, group in (("auroc", ""), ("brier", "recalibrated."), ("brier", "in_scope.")):
        key = (what, group.removesuffix(".") or "all")
        assert logged.data.metrics[f"evaluate.{group}{what}"] == pytest.approx(figures[key])
    assert "evaluation.html" in {f.path for f in client.list_artifacts(version.run_id)}

    result = run("score", "--cohort", new, "--model", "models:/demo-recalibrated/1", "--output",
                 tmp_path / "scored")  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    before, after = (
        pd.read_parquet(tmp_path / folder / "predictions.parquet") for folder in ("ev", "scored")
    )
    moved = logit(after["probability"]) - logit(before["probability"])
    delta = float(version.tags["recalibrated_delta"])
    np.testing.assert_allclose(moved, delta, atol=1e-6)
    pd.testing.assert_series_equal(before["prediction_set"], after["prediction_set"])
    facts = load_model("models:/demo-recalibrated/1").model.facts
    assert facts["recalibrations"][0]["n"] == int(version.tags["recalibrated_n"])


def test_a_cohort_of_the_training_is_evaluated_with_a_warning(demo_run, run, tmp_path) -> None:
    asked = ("--cohort", demo_run.folder / "demo_tpm.yaml", "--model")
    result = run("evaluate", *asked, "models:/oncoresist-demo@champion", "--output", tmp_path / "x")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "WARNING: IN-SAMPLE" in result.stderr
    assert "IN-SAMPLE" in (tmp_path / "x" / "evaluation.html").read_text(encoding="utf-8")


def test_an_unlabelled_cohort_ends_in_one_message_and_writes_nothing(
    demo_run, run, tmp_path
) -> None:
    adata = ad.read_h5ad(demo_run.folder / "demo_new.h5ad")
    adata.obs = adata.obs.drop(columns=["recist", "response"])
    adata.write_h5ad(tmp_path / "bare.h5ad")
    asked = ("--model", "models:/oncoresist-demo@champion", "--output", tmp_path / "x")
    result = run("evaluate", tmp_path / "bare.h5ad", *asked)
    assert result.exit_code == 2, (result.output, result.exception)
    assert "cohort 'bare' cannot be evaluated: none of its 112 samples" in result.stderr
    assert not (tmp_path / "x").exists()
