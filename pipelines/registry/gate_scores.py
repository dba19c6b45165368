"""Gate, scores: a fresh process loads a version and scores as here and as at its training."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from features.reference import Standardisation
from models.resistance_model import ResistanceModel
from pipelines.registry.standing import Check
from pipelines.registry.version_record import VersionRecord
from pipelines.validation.validate import ARMS

__all__ = ["EXPECTED_TABLE", "expected_scores", "fresh_process_checks"]

EXPECTED_TABLE = "gate/expected.parquet"
"""Artifact of a training run: made-up rows, and what the model said of them then."""
_LOADS, _SAME = "loads in a fresh process", "scores identical"
_ROWS = 24
_MISSING = 0.05
_SEED = 0
_MOST_SECONDS = 300
_PACKAGES = Path(__file__).resolve().parents[2]
_SCRIPT = Path(__file__).with_name("gate_fresh.py")
_PYTHON_SETTINGS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")


def expected_scores(model: ResistanceModel) -> pd.DataFrame:
    """Return made-up rows and the probabilities that a model gives them; never a patient.

    Returns
    -------
    table
        The model's features (uniform on 0 to 1, one in twenty missing), ``cohort``, and
        ``probability_<standardisation>`` of each.
    """
    rng = np.random.default_rng(_SEED)
    shape = (max(_ROWS, model.min_cohort_size), len(model.feature_names))
    values = rng.uniform(0.0, 1.0, shape)
    values[rng.random(shape) < _MISSING] = np.nan
    rows = pd.DataFrame(values, columns=model.feature_names).assign(cohort="synthetic")
    scores = {f"probability_{arm}": _scores_here(model, rows, arm) for arm in model.arms}
    return rows.assign(**scores)


def fresh_process_checks(
    record: VersionRecord, model: ResistanceModel | None, *, tolerance: float
) -> Iterator[Check]:
    """Give the checks of a version in a process that knows nothing of this installation.

    Its probabilities of the run's samples and of made-up rows are compared with those of ``model``
    here, and with those that the run logged at its training (:func:`expected_scores`).

    Parameters
    ----------
    record
        The version.
    model
        The version as this installation reads it; None where it cannot.
    tolerance
        Largest difference of a probability.
    """
    expected = record.table(EXPECTED_TABLE)
    tables = {"made up": _made_up(model, expected), "logged": _logged(record, model)}
    rows = {name: table for name, table in tables.items() if table is not None}
    begun = time.monotonic()
    found = _score_elsewhere(record.uri, rows)
    limit = "a process outside the checkout loads it and predicts"
    if isinstance(found, str):
        mend = "train again in the environment of uv.lock"
        yield Check(_LOADS, "MLflow", "failed", found, limit, mend)
        yield Check(_SAME, "probabilities", "not run", "it did not load", "")
        return
    told = f"loaded, {sum(map(len, rows.values()))} rows in {time.monotonic() - begun:.1f} s"
    yield Check(_LOADS, "MLflow", "passed", told, limit)
    yield _as_here(model, rows, found, tolerance)
    yield _as_at_training(expected, found, tolerance)


def _as_here(
    model: ResistanceModel | None,
    rows: Mapping[str, pd.DataFrame],
    found: Mapping[str, list[float]],
    tolerance: float,
) -> Check:
    what = "fresh process against this one"
    if model is None:
        mend = "use the version of OncoResist that it was trained with, or train again"
        return Check(_SAME, what, "failed", "cannot be read here", "read here", mend)
    apart = [
        _apart(_scores_here(model, table, arm), found[f"{name}/{arm}"])
        for name, table in rows.items()
        for arm in model.arms
    ]
    return _compared(what, apart, tolerance)


def _as_at_training(
    expected: pd.DataFrame | None, found: Mapping[str, list[float]], tolerance: float
) -> Check:
    what = "fresh process against training"
    if expected is None:
        return Check(_SAME, what, "not applicable", f"the run logged no {EXPECTED_TABLE}", "")
    apart = [
        _apart(expected[f"probability_{arm}"].to_numpy(), found[f"made up/{arm}"])
        for arm in ARMS
        if f"probability_{arm}" in expected
    ]
    return _compared(what, apart, tolerance)


def _compared(what: str, apart: Sequence[float], tolerance: float) -> Check:
    """Return the check of each table's largest difference; one that is no number fails."""
    largest = float(np.max(apart)) if apart else np.nan  # Python's max passes over NaN
    value, limit = f"largest difference {largest:.2g}", f"{tolerance:g}"
    if largest <= tolerance:
        return Check(_SAME, what, "passed", value, limit)
    mend = "its code or its libraries changed: train again, or go back to those of its run"
    return Check(_SAME, what, "failed", value, limit, mend)


def _apart(first: "np.ndarray[Any, Any]", second: list[float]) -> float:
    if len(first) != len(second):
        return float("inf")
    return float(np.abs(np.asarray(first) - np.asarray(second)).max(initial=0.0))


def _scores_here(
    model: ResistanceModel, rows: pd.DataFrame, arm: Standardisation
) -> "np.ndarray[Any, Any]":
    found = model.predict(rows, standardisation=arm, cohorts=rows["cohort"])
    return found["probability"].to_numpy(dtype=float)


def _made_up(model: ResistanceModel | None, expected: pd.DataFrame | None) -> pd.DataFrame | None:
    if expected is None:
        if model is None:
            return None
        expected = expected_scores(model)
    return expected.loc[:, ~expected.columns.str.startswith("probability_")]


def _logged(record: VersionRecord, model: ResistanceModel | None) -> pd.DataFrame | None:
    """Return the features of the run's samples with their cohorts, None where it has none."""
    features, plan = record.table("tables/features.parquet"), record.table("splits/plan.parquet")
    if features is None or plan is None:
        return None
    cohorts = plan.drop_duplicates("sample").set_index("sample")["cohort"]
    rows = features.assign(cohort=features["sample"].map(cohorts)).dropna(subset=["cohort"])
    if model is not None:
        rows = rows[[*model.feature_names, "cohort"]]
    return rows.reset_index(drop=True)


def _score_elsewhere(uri: str, rows: Mapping[str, pd.DataFrame]) -> dict[str, list[float]] | str:
    """Return the scores of a fresh process, or why there are none, in a line."""
    hidden = {name: value for name, value in os.environ.items() if name not in _PYTHON_SETTINGS}
    store = {
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "MLFLOW_REGISTRY_URI": mlflow.get_registry_uri(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, table in rows.items():
            table.to_parquet(Path(folder) / f"{name}.parquet", index=False)
        command = [sys.executable, "-P", str(_SCRIPT), uri, folder, str(_PACKAGES)]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=hidden | store,
                capture_output=True,
                text=True,
                timeout=_MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no answer in {_MOST_SECONDS} s"
        if done.returncode:
            return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        scores = json.loads((Path(folder) / "scores.json").read_text(encoding="utf-8"))
    code = scores.pop("code")
    if scores.pop("installed"):
        return f"it ran on the code of this installation ({code}), not on its own"
    return dict(scores)
