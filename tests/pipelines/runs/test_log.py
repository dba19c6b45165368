"""A training run as a reviewer reads it: notes, links, tags, datasets, children, logged model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from pipelines.demo import DemoResult
from pipelines.runs.tags import TAGS
from pipelines.runs.views import VIEWS
from pipelines.tracking import Store, open_store
from tests.views import read_view

pytestmark = pytest.mark.slow

NOTE = "mlflow.note.content"


@pytest.fixture(scope="module")
def client(demo_run: DemoResult, session_store: str) -> mlflow.MlflowClient:
    open_store(Store(session_store, None))
    return mlflow.MlflowClient()


@pytest.fixture(scope="module")
def run(client: mlflow.MlflowClient, demo_run: DemoResult) -> Run:
    return client.get_run(demo_run.training.run_id)


@pytest.fixture(scope="module")
def children(client: mlflow.MlflowClient, run: Run) -> Mapping[str, Run]:
    """Return the run of each held-out cohort."""
    found = client.search_runs(
        [run.info.experiment_id],
        f"tags.mlflow.parentRunId = '{run.info.run_id}' and tags.role = 'held_out'",
    )
    return {child.data.tags["cohort"]: child for child in found}


@pytest.fixture(scope="module")
def logged_model(client: mlflow.MlflowClient, run: Run) -> Any:
    (output,) = run.outputs.model_outputs
    return client.get_logged_model(output.model_id)


def test_the_description_begins_with_the_verdict_and_links_to_what_is_there(
    client: mlflow.MlflowClient, run: Run, children: Mapping[str, Run]
) -> None:
    note = run.data.tags[NOTE]
    assert note.startswith("**Research use only.** Cohorts held out, cohort-relative: the model's")
    assert note.splitlines()[2].startswith(
        "**How much the data can bear: usable for ranking** (cohort-relative, which counts): the "
        "AUROC on 3 cohorts held out is "
    )
    assert note.splitlines()[4].startswith("**Gate:** gate ")
    assert "not asked yet" not in note
    base = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/"
    linked = [link.removeprefix(base) for link in re.findall(r"\]\((#/exp[^)]+)\)", note)]
    assert {"model_card.md", "validation.md", "reports/demo_counts.html"} <= set(linked)
    assert "figures/discrimination/loco_auroc.png" in linked
    for path in linked:
        folder = Path(path).parent.as_posix()
        there = client.list_artifacts(run.info.run_id, None if folder == "." else folder)
        assert path in {file.path for file in there}
    (comparison,) = re.findall(r"\]\((#/compare-runs[^)]+)\)", note)
    for child in children.values():
        assert f'"{child.info.run_id}"' in unquote(comparison)


def test_tags_are_few_documented_and_find_the_run(
    client: mlflow.MlflowClient, run: Run, children: Mapping[str, Run]
) -> None:
    tags = run.data.tags
    assert tags["cohorts"] == "demo_counts, demo_log2_tpm, demo_tpm"
    assert tags["gate"] in {"passed", "provisional", "refused"}
    assert tags["sufficiency"] == "usable for ranking"
    assert {tags["beats_prior"], tags["beats_gep_18"]} == {"yes"}
    assert run.data.metrics["loco.brier_skill_low"] > 0
    assert run.data.metrics["loco.difference.gep_18_low"] > 0
    assert set(TAGS) - {"cohort", "demonstration"} <= set(tags)
    assert "beats_prior" not in children["demo_tpm"].data.tags

    note = client.get_experiment(run.info.experiment_id).tags[NOTE]
    filters = re.findall(r"`((?:tags|metrics|attributes)\.[^`]*[=>][^`]*)`", note)
    assert len(filters) >= 6
    for text in filters:
        client.search_runs([run.info.experiment_id], text)
    (found,) = client.search_runs(
        [run.info.experiment_id], "tags.role = 'training' and tags.setting = 'ici'"
    )
    assert found.info.run_id == run.info.run_id


def test_the_saved_views_show_columns_that_the_runs_have(
    client: mlflow.MlflowClient, run: Run, children: Mapping[str, Run]
) -> None:
    tags = client.get_experiment(run.info.experiment_id).tags
    shown = {"oncoresist_trainings": run, "oncoresist_held_out": children["demo_tpm"]}
    assert set(shown) == set(VIEWS) - {"oncoresist_one_cohort"}
    for view, one in shown.items():
        assert view in tags[NOTE]
        state = read_view(tags[f"mlflow.sharedViewState.{view}"])
        found = client.search_runs([run.info.experiment_id], state["searchFilter"])
        assert one.info.run_id in {r.info.run_id for r in found}
        known = {"metrics": one.data.metrics, "params": one.data.params, "tags": one.data.tags}
        for column in state["selectedColumns"]:
            kind, name = column.rstrip("`").split(".`")
            assert kind == "attributes" or name in known[kind]


def test_held_out_cohorts_compare_under_the_parents_names(
    run: Run, children: Mapping[str, Run], demo_run: DemoResult
) -> None:
    assert set(children) == {"demo_counts", "demo_log2_tpm", "demo_tpm"}
    assert len({frozenset(child.data.params) for child in children.values()}) == 1
    assert len({frozenset(child.data.metrics) for child in children.values()}) == 1
    comparison = demo_run.training.comparison
    for cohort, child in children.items():
        metrics, params = child.data.metrics, child.data.params
        assert set(metrics) - {"resistant_share"} <= set(run.data.metrics)
        assert len(metrics) < 100
        for prefix in ("loco", "loco_reference", "baseline.gep_18.loco"):
            assert metrics[f"{prefix}.auroc"] == run.data.metrics[f"{prefix}.{cohort}.auroc"]
        own = comparison[
            (comparison["predictor"] == "model")
            & (comparison["scheme"] == "loco")
            & (comparison["standardisation"] == "cohort")
            & (comparison["metric"] == "auroc")
            & (comparison["cohort"] == cohort)
        ].iloc[0]
        assert [metrics["loco.auroc_low"], metrics["loco.auroc_high"]] == [own["low"], own["high"]]
        assert params["cohort"] == cohort
        share = int(params["resistant"]) / int(params["labelled"])
        assert metrics["resistant_share"] == pytest.approx(share)
        assert child.data.tags[NOTE].startswith(f"`{cohort}` ({params['cancer_type']}, ")


def test_datasets_tell_source_digest_and_schema_and_children_evaluate_on_them(
    run: Run, children: Mapping[str, Run], demo_run: DemoResult
) -> None:
    def read(name: str) -> pd.DataFrame:
        path = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path=f"{name}.parquet"
        )
        return pd.read_parquet(path).set_index("sample")

    labels = read("predictions/loco")["resistant"]
    features = read("tables/features").assign(resistant=labels)
    for entry in run.inputs.dataset_inputs:
        dataset = entry.dataset
        rows = features[features.index.str.startswith(f"{dataset.name}/")]
        again = mlflow.data.from_pandas(rows, source="any", targets="resistant")
        assert dataset.digest == again.digest
        assert str(demo_run.folder / dataset.name) in dataset.source
        assert dataset.schema.count('"type"') == rows.shape[1]
        assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]
        (evaluated,) = children[dataset.name].inputs.dataset_inputs
        assert evaluated.dataset.digest == dataset.digest
        assert [tag.value for tag in evaluated.tags] == ["evaluation"]


def test_the_logged_models_page_shows_the_headline_and_nothing_else(
    run: Run, logged_model: Any, demo_run: DemoResult
) -> None:
    linked = {metric.key: metric for metric in logged_model.metrics}
    assert {"loco.auroc", "loco_reference.brier", "nested.auroc", "loco.ece_floor"} <= set(linked)
    assert len(linked) < 80
    assert not [name for name in linked if name.startswith(("system/", "minutes", "samples"))]
    for name, metric in linked.items():
        assert metric.value == run.data.metrics[name]
    by_cohort = linked["loco.demo_tpm.auroc"]
    digests = {e.dataset.name: e.dataset.digest for e in run.inputs.dataset_inputs}
    assert (by_cohort.dataset_name, by_cohort.dataset_digest) == ("demo_tpm", digests["demo_tpm"])
    assert logged_model.name == "oncoresist-demo"
    assert logged_model.params["labelled"] == "314"
    assert logged_model.tags["beats_prior"] == "yes"
    info = mlflow.models.get_model_info(f"models:/{logged_model.model_id}")
    assert "probability" in str(info.signature.outputs)
    assert info.saved_input_example_info is not None


def test_model_and_version_describe_themselves(
    client: mlflow.MlflowClient, demo_run: DemoResult, logged_model: Any
) -> None:
    version = client.get_model_version("oncoresist-demo", demo_run.training.model_version)
    assert version.description == logged_model.tags[NOTE]
    assert version.description.startswith("**Research use only.**")
    assert "model_card.md" in version.description
    assert version.tags["setting"] == "ici"
    assert version.tags["sufficiency"] == "usable for ranking"
    assert "**How much the data can bear: usable for ranking**" in version.description
    assert version.run_id == demo_run.training.run_id
    registered = client.get_registered_model("oncoresist-demo")
    assert "models:/oncoresist-demo@champion" in registered.description
    assert "its tag `sufficiency` says what its data can bear" in registered.description


def test_a_run_tells_what_it_took_and_results_do_not(run: Run, demo_run: DemoResult) -> None:
    took = ("reading", "validation", "permutations", "final_model", "writing", "processor")
    assert all(run.data.metrics[f"minutes.{part}"] >= 0 for part in took)
    assert 0.05 < run.data.metrics["memory.peak_gib"] < 64
    assert "memory.peak_gib" not in demo_run.training.metrics


def test_the_run_holds_the_signs_of_the_reviews_against_its_cohorts(
    run: Run, tmp_path: Path
) -> None:
    path = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="tables/claims.parquet", dst_path=str(tmp_path)
    )
    table = pd.read_parquet(path)
    assert set(table["evidence"]) == {"3 cohorts pooled"}
    assert {"sign", "n", "effect", "low", "high", "verdict", "sources"} <= set(table)
    figures = mlflow.MlflowClient().list_artifacts(run.info.run_id, "figures/claims")
    assert [one.path for one in figures] == ["figures/claims/ici.png"]
