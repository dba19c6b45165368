"""The fresh process in a checkout and in a wheel's layout, and scores that are no numbers."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from pipelines.registry import gate_fresh
from pipelines.registry.gate_fresh import paths_without
from pipelines.registry.gate_scores import _apart, _compared

SITE_PACKAGES = str(Path(mlflow.__file__).resolve().parents[1])
CHECKOUT = str(Path(gate_fresh.__file__).resolve().parents[2])
PREDICTS = """
import mlflow, pandas as pd
{import_line}
class Probability(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({{"probability": model_input["x"] * 0.5}})
mlflow.models.set_model(Probability())
"""


def test_a_checkout_is_left_out_however_it_is_spelled(tmp_path: Path):
    (tmp_path / "link").symlink_to(CHECKOUT)
    entries = [CHECKOUT, f"{CHECKOUT}/", str(tmp_path / "link"), SITE_PACKAGES]
    assert paths_without(entries, installation=CHECKOUT) == [SITE_PACKAGES]


def test_the_folder_that_holds_mlflow_stays_as_where_a_wheel_is_installed():
    entries = [SITE_PACKAGES, CHECKOUT]
    assert paths_without(entries, installation=SITE_PACKAGES) == entries


def scored_in_a_wheel_layout(tmp_path: Path, *, own_code: bool, imports: str = "import features"):
    """Run the script as in a wheel install: ``features`` lies beside MLflow, perhaps twice."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    code, site, work = (tmp_path / name for name in ("own", "site", "work"))
    for folder in (code, site):
        (folder / "features").mkdir(parents=True)
        (folder / "features" / "__init__.py").write_text("", encoding="utf-8")
    (site / "pipelines").mkdir()
    (site / "pipelines" / "__init__.py").write_text("", encoding="utf-8")
    (site / "mlflow").symlink_to(Path(SITE_PACKAGES) / "mlflow")
    work.mkdir()
    (tmp_path / "model.py").write_text(PREDICTS.format(import_line=""), encoding="utf-8")
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, "x")]),
        outputs=Schema([ColSpec(DataType.double, "probability")]),
        params=ParamSchema([ParamSpec("standardisation", DataType.string, "reference")]),
    )
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=str(tmp_path / "model.py"),
        code_paths=[str(code / "features")] if own_code else None,
        signature=signature,
        pip_requirements=[],
    )
    (saved,) = (tmp_path / "model").glob("model.py")
    saved.write_text(PREDICTS.format(import_line=imports), encoding="utf-8")
    import pandas as pd

    pd.DataFrame({"x": [0.2, 0.8]}).to_parquet(work / "rows.parquet")
    start = (
        "import runpy, sys; sys.path.insert(0, sys.argv[4]); "
        f"runpy.run_path({gate_fresh.__file__!r}, run_name='__main__')"
    )
    command = [sys.executable, "-P", "-c", start]
    command += [str(tmp_path / "model"), str(work), str(site), str(site)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((work / "scores.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("own_code", [True, False])
def test_in_a_wheel_layout_the_models_own_code_comes_first_and_other_code_is_told(
    tmp_path: Path, own_code: bool
):
    found = scored_in_a_wheel_layout(tmp_path, own_code=own_code)
    assert found["rows/cohort"] == pytest.approx([0.1, 0.4])
    place = tmp_path / ("model/code" if own_code else "site")
    assert found["code"] == str((place / "features/__init__.py").resolve())
    assert found["installed"] is not own_code


@pytest.mark.slow
def test_in_a_wheel_layout_a_model_that_needs_the_pipelines_does_not_load(tmp_path: Path):
    with pytest.raises(AssertionError, match="pipelines"):
        scored_in_a_wheel_layout(tmp_path, own_code=True, imports="import pipelines")


@pytest.mark.parametrize("apart", [[np.nan, 0.0], [0.0, np.nan], [], [0.0, 2e-9]])
def test_a_difference_that_is_no_number_is_refused_wherever_it_stands(apart: list[float]):
    assert _compared("x", apart, 1e-9).status == "failed"
    assert _compared("x", [0.0, 1e-9], 1e-9).status == "passed"


def test_a_probability_that_is_missing_on_one_side_differs():
    apart = _apart(np.array([0.5, 0.5]), [0.5, float("nan")])
    assert _compared("x", [0.0, apart], 1e-9).status == "failed"
