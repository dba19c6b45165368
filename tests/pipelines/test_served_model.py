"""The logged model in a process that knows nothing of the checkout."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow

_SCRIPT = """
import json, sys
sys.path = [entry for entry in sys.path if entry != {checkout!r}]
import mlflow, pandas as pd
mlflow.set_tracking_uri({store!r})
model = mlflow.pyfunc.load_model("models:/oncoresist-demo@champion")
import features
assert not features.__file__.startswith({checkout!r}), features.__file__
example = model.input_example
alone = model.predict(example.drop(columns="cohort").iloc[:1])
cohort = pd.read_parquet({table!r})
print(json.dumps({{
    "example": model.predict(example)["probability"].tolist(),
    "alone": alone["probability"].tolist(),
    "cohort": model.predict(cohort, params={{"standardisation": "cohort"}})["probability"].tolist(),
}}))
"""


def test_it_loads_and_predicts_without_the_checkout(demo_run, session_store, tmp_path):
    import mlflow

    from pipelines.tracking import Store, load_model, open_store

    open_store(Store(session_store, None))  # the registry too, which a fresh process inherits
    features = pd.read_parquet(
        mlflow.artifacts.download_artifacts(
            run_id=demo_run.training.run_id, artifact_path="tables/features.parquet"
        )
    )
    cohort = features[features["sample"].str.startswith("demo_tpm/")].drop(columns="sample")
    cohort.assign(cohort="demo_tpm").to_parquet(tmp_path / "cohort.parquet")
    script = _SCRIPT.format(
        checkout=str(PROJECT), store=session_store, table=str(tmp_path / "cohort.parquet")
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["alone"][0] == found["example"][0]
    assert all(0 < p < 1 for p in found["cohort"])
    here = load_model("models:/oncoresist-demo@champion").model.predict(
        cohort, standardisation="cohort"
    )
    assert found["cohort"] == here["probability"].tolist()


def test_the_top_level_names_resolve_to_oncoresist(tmp_path):
    script = "import features, models, pipelines; print(features.__file__, models.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        str(PROJECT / "features" / "__init__.py"),
        str(PROJECT / "models" / "__init__.py"),
    ]
