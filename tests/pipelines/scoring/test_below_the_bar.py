"""Score with a model whose data do not suffice: no calls, a banner, and the way round it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata as ad
import mlflow
import pytest
from typer.testing import CliRunner

from features.catalogue import Catalogue
from features.cohort import CohortReport
from models.metrics import Estimate
from models.resistance_model import ResistanceModel
from models.sufficiency import judge_sufficiency
from pipelines.cli import app
from pipelines.evaluate import evaluate_cohort
from pipelines.ingest import IngestedCohort
from pipelines.report import render_report
from pipelines.reports.build import build_report
from pipelines.reports.evaluation import render_evaluation
from pipelines.runs.logged_model import register_model
from pipelines.score import ScoredCohort, score_cohort
from pipelines.scoring.data_verdict import NO_VERDICT
from pipelines.tracking import LoadedModel

HELD_OUT = {"auroc": "0.60 (0.55 to 0.65)", "brier": "0.24", "ece": "0.05"}
BANNER = re.compile(r'<p class="warning"><b>What the model’s data can bear:</b> (.*?)</p>')
SAYS = "no call: the model's data do not suffice (the AUROC on patients held out is 0.600 (95%"


def verdict(samples: int, arm: str) -> dict[str, object]:
    return judge_sufficiency(
        Estimate(0.6, 0.52, 0.68, 0.05),
        standardisation=arm,  # type: ignore[arg-type]
        samples=samples,
        resistant=samples // 2,
        cohorts=0,
    ).to_json()


@pytest.fixture(scope="module")
def trained() -> dict[str, ResistanceModel]:
    return {}


@pytest.fixture
def model(
    make_cohort: Callable[..., ad.AnnData],
    catalogue: Catalogue,
    trained: dict[str, ResistanceModel],
    train_small_model: Callable[..., ResistanceModel],
) -> ResistanceModel:
    """Return a small model, cohort-relative below the bar, reference-relative exploratory."""
    if not trained:
        facts = {
            "training_cohorts": ["train"],
            "training_files": {"train": "0123"},
            "held_out": {
                arm: {"model": HELD_OUT, "class prior": HELD_OUT} for arm in ("cohort", "reference")
            },
            "sufficiency": {"cohort": verdict(26, "cohort"), "reference": verdict(60, "reference")},
        }
        training = make_cohort(60, seed=3, name="train")
        trained["ici"] = train_small_model(training, catalogue, setting="ici", facts=facts)
    return trained["ici"]


@pytest.fixture
def cohort(make_cohort: Callable[..., ad.AnnData]) -> IngestedCohort:
    adata = make_cohort(60, seed=3, name="new")
    adata.uns["oncoresist"] = {
        "unit": "tpm",
        "unit_meaning": "tpm",
        "unit_evidence": "made so",
        "gene_lengths_known": True,
    }
    return IngestedCohort(adata, CohortReport((), ()), {"made.csv": "4567"})


def scored_by(model: ResistanceModel, cohort: IngestedCohort, **options: object) -> ScoredCohort:
    given = {"standardisation": "cohort", "uri": "models:/made/1", "version": "1", **options}
    return score_cohort(model, cohort, **given)  # type: ignore[arg-type]


def page_of(model: ResistanceModel, scored: ScoredCohort) -> str:
    return render_report(build_report(scored, LoadedModel(model, "models:/made/1", "1")))


def without_verdict(model: ResistanceModel) -> ResistanceModel:
    return replace(model, facts={k: v for k, v in model.facts.items() if k != "sufficiency"})


def test_no_patient_is_called_and_everything_else_stays(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    held, free = scored_by(model, cohort), scored_by(without_verdict(model), cohort)
    called = free.predictions["call"].isin(["resistant", "responsive"])
    assert called.any()
    assert not held.predictions["call"].isin(["resistant", "responsive"]).any()
    assert held.predictions.loc[called, "call"].eq("uncertain").all()
    assert held.predictions.loc[called, "call_reason"].str.startswith(SAYS).all()
    rest = [name for name in held.predictions if not name.startswith("call")]
    assert held.predictions[rest].equals(free.predictions[rest])
    assert held.predictions[~called].equals(free.predictions[~called])


def test_an_older_version_is_scored_as_before_with_a_note(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    old = without_verdict(model)
    scored = scored_by(old, cohort)
    assert scored.notes[-1] == NO_VERDICT
    assert scored.data_warning is None
    page = page_of(old, scored)
    assert "What the model’s data can bear" not in page
    assert NO_VERDICT[1:] in page
    assert NO_VERDICT not in scored_by(model, cohort).notes


def test_the_verdict_of_the_standardisation_in_use_decides(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    scored = scored_by(model, cohort, standardisation="reference")
    assert scored.sufficiency is not None
    assert scored.sufficiency.verdict == "exploratory"
    assert scored.predictions["call"].isin(["resistant", "responsive"]).any()
    page = page_of(model, scored)
    assert not BANNER.search(page)
    assert '<p class="rule"><b>What the model’s data can bear:</b> Exploratory. The AUROC' in page


def test_the_report_opens_with_a_banner_and_each_patient_has_it(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    page = page_of(model, scored_by(model, cohort))
    first, *others = BANNER.findall(page)
    assert first.startswith("Not enough data. So no sample is called resistant or responsive.")
    assert "The AUROC on patients held out is 0.600 (95% interval 0.520 to 0.680)" in first
    assert "26 with a label are fewer than 30" in first
    assert page.index(first) < page.index("<main>")
    assert len(others) == cohort.adata.n_obs
    assert set(others) == {"Not enough data. So no sample is called resistant or responsive."}


def test_called_anyway_reasons_and_report_say_so(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    scored = scored_by(model, cohort, call_anyway=True)
    free = scored_by(without_verdict(model), cohort)
    assert scored.predictions["call"].equals(free.predictions["call"])
    called = scored.predictions["call"].isin(["resistant", "responsive"])
    against = scored.predictions["call_reason"].str.contains("called against the verdict")
    assert against.equals(called.rename("call_reason"))
    assert "made against this verdict" in BANNER.findall(page_of(model, scored))[0]


def test_an_evaluation_warns_and_judges_what_does_not_rest_on_calls(
    model: ResistanceModel, cohort: IngestedCohort
) -> None:
    held = evaluate_cohort(model, scored_by(model, cohort), n_resamples=20)
    old = without_verdict(model)
    free = evaluate_cohort(old, scored_by(old, cohort), n_resamples=20)
    assert held.warnings[0].startswith("no sample is called resistant or responsive")
    assert not any("no sample is called" in warning for warning in free.warnings)
    chosen = ~held.figures["what"].str.startswith("share_called")
    assert held.figures[chosen].equals(free.figures[chosen])
    page = render_evaluation(held, LoadedModel(model, "models:/made/1", "1"))
    assert '<p class="warning">no sample is called' in page


def test_the_command_line_warns_and_takes_the_option(
    model: ResistanceModel,
    cohort: IngestedCohort,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "mlflow.db"
    store.write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    mlflow.set_tracking_uri(f"sqlite:///{store}")
    mlflow.set_registry_uri(f"sqlite:///{store}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("x", tmp_path.as_uri()))
    with mlflow.start_run():
        register_model(model, name="low")
    file = tmp_path / "new.csv"
    cohort.adata.to_df().T.to_csv(file)
    asked = ["score", "--model", "models:/low/1", "--expression", str(file)]
    asked += ["--standardisation", "cohort", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert done.output.count("WARNING: no sample is called resistant or responsive") == 1
    assert "--call-anyway makes the calls" in done.output
    assert not re.search(r"\d+ (resistant|responsive)\b(?! samples)", done.stdout)
    done = CliRunner().invoke(app, [*asked, "--call-anyway"])
    assert "WARNING: calls were made against the verdict on the model's data" in done.output
    assert re.search(r"relative: .*\d+ (resistant|responsive)", done.stdout)
