import shutil

import numpy as np
import pytest

from features.errors import ConfigError, ModelError
from models.metrics import Estimate
from pipelines.tracking import Store, default_store, estimate_metrics, load_model, open_store


def test_the_default_store_is_sqlite_beside_its_artifacts(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = default_store(tmp_path)
    assert store.uri == f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}"
    assert store.artifacts == (tmp_path / "mlruns" / "artifacts").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert default_store(tmp_path) == Store("http://127.0.0.1:9", None)
    assert default_store(tmp_path, uri="sqlite:////x/y.db").uri == "sqlite:////x/y.db"


def test_a_store_that_is_no_database_is_told_before_it_is_opened(tmp_path):
    other = tmp_path / "notes.md"
    other.write_text("# not a database\n")
    with pytest.raises(ConfigError, match=r"notes\.md is not an SQLite database; name that of"):
        open_store(Store(f"sqlite:///{other}", None))
    assert other.read_text() == "# not a database\n"


def test_metrics_carry_intervals_where_all_cohorts_are_meant():
    estimate = Estimate(0.6, 0.5, 0.7, 0.05)
    metrics = estimate_metrics(
        {"auroc": estimate, "x.auroc": estimate, "ece": Estimate(np.nan, 0, 0, 0)}, prefix="loco"
    )
    assert metrics["loco.auroc"] == 0.6
    assert metrics["loco.auroc_high"] == 0.7
    assert metrics["loco.x.auroc"] == 0.6
    assert "loco.x.auroc_low" not in metrics
    assert "loco.ece" not in metrics


def test_a_missing_model_is_named_with_what_there_is(tmp_path, empty_store):
    store = default_store(tmp_path, uri=f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    with pytest.raises(ConfigError, match=r"there is no MLflow store .*train a model first"):
        open_store(store)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    open_store(store, experiment="x")
    nothing = r"no model 'models:/nothing@champion'.*none \(write models:/NAME@champion\); train"
    with pytest.raises(ModelError, match=nothing):
        load_model("models:/nothing@champion")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="is not an OncoResist model"):
        load_model(str(tmp_path / "empty"))


def test_a_store_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match=r"store http://127.0.0.1:9 does not answer"):
        open_store(Store("http://127.0.0.1:9", None), experiment="x")
