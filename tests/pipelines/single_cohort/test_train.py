"""Training on one cohort of single cells: patients held out, the planted found, the model used."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import mlflow
import numpy as np
import pandas as pd
import pytest

from features.catalogue import Catalogue, default_catalogue
from features.errors import CohortError, ConfigError
from models.resistance_model import ResistanceModel
from pipelines.cohorts import read_cohort
from pipelines.config import ExperimentConfig, load_experiment
from pipelines.ingest import IngestedCohort
from pipelines.registry import gate
from pipelines.registry.gate import judge
from pipelines.registry.version_record import read_version
from pipelines.runs.log import TrainingResult
from pipelines.score import PREDICTION_COLUMNS, score_cohort
from pipelines.settings.cohort import CohortConfig
from pipelines.single_cohort import cells as cell_peers
from pipelines.single_cohort import run
from pipelines.single_cohort.cells import predict_by_bulk_model
from pipelines.single_cohort.train import prepare_single
from pipelines.tracking import LoadedModel, Store, load_model, open_store
from pipelines.train import train
from tests.cells import leave_out_umap, make_cells
from tests.fixtures import leave_out_fresh_process

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[3]
MELANOMA = PROJECT / "conf" / "experiments" / "sc_melanoma.yaml"
BRAFI = PROJECT / "conf" / "experiments" / "sc_brafi.yaml"
QUICK = [
    "tuning.trials=1",
    "tuning.candidates.additive_signs.settings.n_estimators=60",
    "tuning.candidates.additive_signs.settings.n_seeds=1",
    "tuning.candidates.additive_signs.settings.learning_rate=0.1",
    "classifier.n_seeds=1",
    "validation.n_splits=3",
    "validation.n_repeats=2",
    "validation.permutations=2",
    "validation.n_resamples=50",
    "model.registered_name=small_cells",
]
EXHAUSTED = ("exhaustion", "tim3", "pd1", "lag3", "tigit")
PLANTED = (*EXHAUSTED, "b_cells")


def use_store(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let trainings go to a store in the folder, and draw nothing."""
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    leave_out_umap(patch)
    leave_out_fresh_process(patch)
    for name in ("_log_figures", "_log_cells", "_log_report"):
        patch.setattr(run, name, lambda *told: None)


def cohort_file(folder: Path, adata: ad.AnnData, name: str, **settings: str) -> str:
    """Write cells with their YAML and return its path."""
    adata.write_h5ad(folder / f"{name}.h5ad")
    said = {"name": name, "expression": folder / f"{name}.h5ad", **settings}
    path = folder / f"{name}.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in said.items()), encoding="utf-8")
    return str(path)


def experiment(*cohorts: str, extra: tuple[str, ...] = ()) -> ExperimentConfig:
    """Return a small experiment on cohorts of cells."""
    listed = f"cohorts.train=[{','.join(cohorts)}]"
    return load_experiment(MELANOMA, overrides=[listed, *QUICK, *extra])


@dataclass(frozen=True)
class Trained:
    """A training, its store and its cohort."""

    folder: Path
    cohort: str
    config: ExperimentConfig
    result: TrainingResult

    def table(self, name: str) -> pd.DataFrame:
        """Return a parquet artifact of the run."""
        path = f"{name}.parquet"
        found = mlflow.artifacts.download_artifacts(run_id=self.result.run_id, artifact_path=path)
        return pd.read_parquet(found)

    def text(self, name: str) -> str:
        """Return a text of the run."""
        return str(mlflow.artifacts.load_text(f"runs:/{self.result.run_id}/{name}"))


@pytest.fixture(scope="module")
def trained_once(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("single")
    shutil.copy(empty_store, folder / "mlflow.db")
    cells = make_cells(n_patients=22, n_pairs=6, cells=40, background=80)
    cohort = cohort_file(folder, cells.adata, "made")
    config = experiment(cohort)
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, folder)
        return Trained(folder, cohort, config, train(config, config_file=MELANOMA))


@pytest.fixture
def trained(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Return the training, its store open."""
    use_store(monkeypatch, trained_once.folder)
    open_store(Store(f"sqlite:///{trained_once.folder / 'mlflow.db'}", None))
    return trained_once


@pytest.fixture(scope="module")
def new_cells(tmp_path_factory: pytest.TempPathFactory) -> IngestedCohort:
    """Return other patients' cells."""
    folder = tmp_path_factory.mktemp("new")
    cells = make_cells(n_patients=16, n_pairs=0, cells=40, background=80, seed=9)
    cells.adata.write_h5ad(folder / "new.h5ad")
    config = CohortConfig(name="new", expression="new.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        leave_out_umap(patch)
        return read_cohort(config, root=folder, labels_required=True)


def test_figures_have_the_names_of_the_contract(trained: Trained) -> None:
    metrics = trained.result.metrics
    for arm in ("nested", "nested_reference"):
        for name in ("auroc", "auprc", "brier", "ece", "null_auroc", "pre_treatment.auroc"):
            assert np.isfinite(metrics[f"{arm}.{name}"]), f"{arm}.{name}"
        for peer in ("unsigned", "cells", "prior", "clinical", "marker_tcf7", "gep_18"):
            assert np.isfinite(metrics[f"baseline.{peer}.{arm}.auroc"]), peer
        low, value, high = (metrics[f"{arm}.auroc{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high
    assert metrics["samples.labelled"] == 28
    assert (
        metrics["cells.kept"]
        == trained.table("cells/composition").drop(columns="sample").to_numpy().sum()
    )
    assert not any(name.startswith(("loco", "baseline.bulk_model")) for name in metrics)
    logged = mlflow.get_run(trained.result.run_id).data.metrics
    assert {name: logged[name] for name in metrics} == pytest.approx(dict(metrics))


def test_no_patient_stands_on_both_sides_of_a_logged_split(trained: Trained) -> None:
    for name in ("splits/plan", "splits/plan_reference"):
        plan = trained.table(name)
        assert set(plan["scheme"]) == {"nested"}
        assert plan[plan["inner"] == ""]["split"].nunique() == 6
        sides = plan.groupby(["split", "inner", "patient_id"])["side"].nunique()
        assert (sides == 1).all()
        lesions = plan.groupby("patient_id")["sample"].nunique()
        assert (lesions == 2).sum() == 6


def test_each_lesion_is_predicted_once_a_repeat_without_its_patient(trained: Trained) -> None:
    plan = trained.table("splits/plan")
    trains = plan[(plan["inner"] == "") & (plan["side"] == "train")]
    seen = trains.groupby("split")["patient_id"].agg(set)
    for name in ("nested", "baseline.unsigned", "baseline.cells"):
        table = trained.table(f"predictions/{name}")
        assert (table.groupby("sample")["split"].nunique() == 2).all()
        for split, patient in zip(table["split"], table["patient_id"], strict=True):
            assert patient not in seen[split]
    cells = trained.table("cells/out_of_fold")
    repeats = cells["split"].str.partition(".")[0]
    assert set(repeats) == {"repeat0", "repeat1"}
    assert not pd.DataFrame({"cell": cells["cell_id"], "repeat": repeats}).duplicated().any()
    patients = cells["sample"].str.partition("_")[0]
    assert all(p not in seen[s] for s, p in set(zip(cells["split"], patients, strict=True)))


def test_the_planted_mechanism_is_found(trained: Trained) -> None:
    assert trained.result.metrics["nested.auroc"] > 0.85
    for attribution in trained.result.mean_absolute_attribution.values():
        planted = attribution.index.str.startswith(PLANTED)
        assert attribution[planted].sum() > 0.5 * attribution.sum()
        assert str(attribution.idxmax()).startswith(PLANTED)
    biology = trained.table("tables/biology").set_index("feature")
    assert biology.loc["exhaustion_in_cd8_t", "auroc"] > 0.9
    assert biology.loc["b_cells_share", "auroc"] < 0.2
    assert biology.loc["b_cells_share", "verdict"] == "agrees"


def test_labels_shuffled_give_nothing(trained: Trained) -> None:
    null = trained.table("tables/null")
    assert len(null) == 2
    assert null["auroc"].mean() < 0.8


def test_the_card_and_the_note_say_what_was_held_out(trained: Trained) -> None:
    card = trained.text("model_card.md")
    assert "Held out within one cohort" in card or "patients" in card
    note = mlflow.get_run(trained.result.run_id).data.tags["mlflow.note.content"]
    assert "its patients are held out in 2 × 3 folds" in note
    assert "Research use only" in note


def test_one_cohort_is_at_most_exploratory_and_card_note_and_version_say_so(
    trained: Trained,
) -> None:
    found = trained.result.sufficiency
    assert [one.standardisation for one in found] == ["cohort", "reference"]
    assert found[0].verdict != "usable for ranking"
    assert found[0].reasons[0].startswith("the AUROC on patients held out is ")
    card = trained.text("model_card.md")
    assert "## How much the data can bear" in card
    assert all(f"| {one.verdict} | {one.why} |" in card for one in found)
    line = f"**How much the data can bear: {found[0].verdict}** (cohort-relative, which counts)"
    tags = mlflow.get_run(trained.result.run_id).data.tags
    assert line in tags["mlflow.note.content"]
    version = mlflow.MlflowClient().get_model_version("small_cells", trained.result.model_version)
    assert line in version.description
    assert version.tags["sufficiency"] == tags["sufficiency"] == found[0].verdict


def test_a_bulk_model_that_the_store_has_not_is_left_out_with_a_note(trained: Trained) -> None:
    assert trained.config.validation.bulk_model == "models:/oncoresist-ici@champion"
    card = trained.text("model_card.md")
    assert "bulk model models:/oncoresist-ici@champion: takes no part" in card


def test_the_registered_model_scores_other_cells(
    trained: Trained, new_cells: IngestedCohort
) -> None:
    loaded = load_model(f"models:/small_cells/{trained.result.model_version}")
    assert loaded.model.of_cells
    assert loaded.model.cells is not None
    scored = score_cohort(
        loaded.model, new_cells, standardisation="auto", uri=loaded.uri, version=loaded.version
    )
    assert list(scored.predictions.columns) == list(PREDICTION_COLUMNS)
    assert not scored.in_sample
    labels = new_cells.adata.obs["resistant"].to_numpy()
    probability = scored.predictions["probability"].to_numpy()
    assert probability[labels == 1].mean() > probability[labels == 0].mean()
    single = score_cohort(
        loaded.model, new_cells, standardisation="reference", uri=loaded.uri, version=None
    )
    assert (single.predictions["standardisation"] == "reference").all()


def test_a_training_cohort_that_is_scored_is_told(trained: Trained) -> None:
    loaded = load_model("models:/small_cells/1")
    config = CohortConfig(name="again", expression=str(trained.folder / "made.h5ad"))
    cohort = read_cohort(config, root=trained.folder, labels_required=False)
    scored = score_cohort(loaded.model, cohort, standardisation="auto", uri="x", version=None)
    assert scored.in_sample


def test_the_registered_model_refuses_bulk(
    trained: Trained, make_cohort: Callable[..., ad.AnnData], tmp_path: Path
) -> None:
    make_cohort(20).write_h5ad(tmp_path / "bulk.h5ad")
    config = CohortConfig(name="bulk", expression="bulk.h5ad")
    bulk = read_cohort(config, root=tmp_path, labels_required=False)
    model = load_model("models:/small_cells/1").model
    with pytest.raises(CohortError, match="the cohort has none: give an h5ad of cells"):
        score_cohort(model, bulk, standardisation="auto", uri="x", version=None)


def test_the_gate_judges_what_was_held_out_of_one_cohort(trained: Trained) -> None:
    record = read_version("small_cells", "1")
    assert record.scheme == "nested"
    decision = trained.result.decision
    assert decision is not None
    report = judge("small_cells", "1", limits=trained.config.gate, project=PROJECT, spare=True)
    checks = {check.what: check for check in report.checks}
    ranking = checks["AUROC, cohort-relative"]
    assert ranking.value.startswith(f"{trained.result.metrics['nested.auroc']:.3f}")
    assert checks["predictions, cohort-relative"].status == "passed"
    leaks = [c for c in report.checks if c.group == "no leak" and "shuffled" not in c.what]
    assert all(check.status == "passed" for check in leaks), leaks  # two shuffles tell little
    assert all(c.status == "passed" for c in report.checks if c.group == "catalogue fresh")


def test_the_gate_judges_the_standardisations_that_the_model_has(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_model("models:/small_cells/1")

    def one_arm(uri: str) -> LoadedModel:
        arms = {"cohort": whole.model.arms["cohort"]}
        return replace(whole, model=replace(whole.model, arms=arms))  # type: ignore[arg-type]

    monkeypatch.setattr(gate, "load_model", one_arm)
    report = judge("small_cells", "1", limits=trained.config.gate, project=PROJECT, spare=True)
    told = [check.what for check in report.checks]
    assert any("cohort-relative" in what for what in told)
    assert not any("reference-relative" in what for what in told)


# --- a bulk model as a peer


@pytest.fixture(scope="module")
def bulk_model(
    train_small_model: Callable[..., ResistanceModel], catalogue: Catalogue
) -> ResistanceModel:
    rng = np.random.default_rng(2)
    genes = [*catalogue.gene_symbols, *(f"BG{i:04d}" for i in range(80))]
    obs = pd.DataFrame(
        {
            "cohort": "bulk",
            "resistant": np.arange(40) % 2,
            "sample_id": [f"b{i}" for i in range(40)],
        },
        index=[f"b{i}" for i in range(40)],
    )
    training = ad.AnnData(
        np.log1p(rng.gamma(0.8, 40.0, (40, len(genes)))), obs=obs, var=pd.DataFrame(index=genes)
    )
    training.obs["patient_id"] = training.obs["sample_id"]
    facts = {"training_cohorts": ["bulk"], "training_files": {"bulk": "0123"}}
    return train_small_model(training, catalogue, setting="ici", facts=facts)


def test_a_bulk_model_speaks_of_the_pseudobulk_of_each_lesion(
    bulk_model: ResistanceModel,
    new_cells: IngestedCohort,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = LoadedModel(bulk_model, "models:/bulk/3", "3")
    monkeypatch.setattr(cell_peers, "load_model", lambda uri: loaded)
    prepared = prepare_single(
        experiment("x"), project=PROJECT, cohorts=[new_cells], catalogue=default_catalogue()
    )
    frame, words = predict_by_bulk_model(new_cells, prepared.dataset, uri="models:/bulk@champion")
    assert frame is not None
    assert list(frame.index) == list(prepared.dataset.samples.index)
    assert frame["probability"].between(0, 1).all()
    assert words.startswith("bulk model models:/bulk/3 version 3 on the pseudobulk")
    assert "of the samples out of scope by its shift score" in words


# --- what is refused


def prepare(config: ExperimentConfig, *cohorts: IngestedCohort) -> object:
    return prepare_single(
        config, project=PROJECT, cohorts=list(cohorts), catalogue=default_catalogue()
    )


def test_several_cohorts_are_refused_with_the_mend(new_cells: IngestedCohort) -> None:
    with pytest.raises(ConfigError, match=r"takes one cohort, cohorts.train names 2.*scheme: loco"):
        prepare(experiment("a", "b"), new_cells, new_cells)


def test_signs_left_open_of_features_that_there_are_not_are_refused(
    new_cells: IngestedCohort,
) -> None:
    config = experiment("a", extra=("features.open_signs=[stem_like_memory,no_such_feature]",))
    with pytest.raises(ConfigError, match=r"open_signs names \['no_such_feature'\]"):
        prepare(config, new_cells)


def test_a_cohort_that_is_too_small_is_refused(new_cells: IngestedCohort) -> None:
    config = experiment("a", extra=("features.min_cohort_size=50",))
    with pytest.raises(ConfigError, match=r"fewer than 50 samples.*new \(16\)"):
        prepare(config, new_cells)


def test_a_failing_training_registers_nothing(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*told: object, **options: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr("pipelines.train.train_single", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        train(trained.config, config_file=MELANOMA)
    versions = mlflow.MlflowClient().search_model_versions("name='small_cells'")
    assert [str(version.version) for version in versions] == ["1"]


# --- a demonstration


@pytest.fixture(scope="module")
def sublines(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a YAML of cells scaled per gene, whose label is the culture that they came from."""
    folder = tmp_path_factory.mktemp("sublines")
    cells = make_cells(n_patients=2, n_pairs=0, cells=36, types=("melanocytic",), background=20)
    counts = cells.adata.X.toarray()
    log = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    spread = log.std(axis=0)
    adata = cells.adata[:, spread > 0].copy()
    adata.X = ((log - log.mean(axis=0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]
    adata.obs = adata.obs[["response"]].copy()
    settings = {"cells": "{rows: cell}", "unit": "gene_scaled", "modality": "single_cell"}
    return cohort_file(folder, adata, "sublines", **settings)


def demonstration(cohort: str, *, words: str) -> ExperimentConfig:
    few = [
        f"cohorts.train=[{cohort}]",
        f"demonstration={words}",
        "tuning.trials=1",
        "tuning.candidates.boosted_free.settings={n_estimators: 20, n_seeds: 1}",
        "validation.n_splits=2",
        "validation.n_repeats=1",
        "validation.permutations=0",
        "validation.n_resamples=20",
        "model.registered_name=shown",
    ]
    return load_experiment(BRAFI, overrides=few)


def test_a_demonstration_registers_nothing_and_says_so(
    sublines: str, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    use_store(monkeypatch, tmp_path)
    words = "labels are of cultures"
    result = train(demonstration(sublines, words=words), config_file=BRAFI)
    assert (result.model_version, result.decision) == ("", None)
    assert result.demonstration == words
    assert mlflow.MlflowClient().search_registered_models() == []
    data = mlflow.get_run(result.run_id).data
    assert data.tags["demonstration"] == words
    assert "sufficiency" not in data.tags
    assert result.sufficiency == ()
    assert words in data.tags["mlflow.note.content"]
    assert words in mlflow.artifacts.load_text(f"runs:/{result.run_id}/model_card.md")
    assert "nested.auroc" in data.metrics
    assert not any("reference" in name for name in data.metrics)


def test_values_scaled_per_gene_are_trained_on_as_a_demonstration_alone(
    sublines: str, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    use_store(monkeypatch, tmp_path)
    with pytest.raises(ConfigError, match="say under demonstration why this is one"):
        train(demonstration(sublines, words="null"), config_file=BRAFI)
