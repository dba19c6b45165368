"""The logged model of a run, and the registered version that it becomes."""

import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from models.resistance_model import ResistanceModel
from pipelines.provenance import library_requirements
from pipelines.store_faults import again_if_raced

__all__ = ["describe_registered_model", "log_model", "register_model", "register_version"]

_PACKAGES = Path(__file__).resolve().parents[2]
_MODEL_ARTIFACT = "model"
_LONGEST_DESCRIPTION = 5000
# MLflow links a run's metrics of the model's step to the model, asking for each by itself. No
# metric has this one; those that the model's page is to show are linked as they are logged.
_NO_STEP = -1


def log_model(
    model: ResistanceModel,
    *,
    name: str,
    card: str = "",
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> str:
    """Log the model to the active run and return the logged model's id.

    It holds its code, catalogue and reference, and no pickle. Its input example is made up, never
    a patient. ``card`` lies beside it as ``model_card.md``.
    """
    served = "reference" if "reference" in model.arms else "cohort"
    columns = [ColSpec(DataType.double, feature) for feature in model.feature_names]
    signature = ModelSignature(
        inputs=Schema([*columns, ColSpec(DataType.string, "cohort", required=False)]),
        outputs=Schema([ColSpec(DataType.double, "probability")]),
        params=ParamSchema([ParamSpec("standardisation", DataType.string, served)]),
    )
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), _no_uv_detection():
        warnings.filterwarnings("ignore", module="mlflow")
        model.save(Path(folder) / _MODEL_ARTIFACT)
        info = mlflow.pyfunc.log_model(
            name=re.sub(r"""[/:.%"']""", "-", name),
            python_model=str(_PACKAGES / "models" / "served.py"),
            artifacts={_MODEL_ARTIFACT: str(Path(folder) / _MODEL_ARTIFACT)},
            code_paths=[str(_PACKAGES / "features"), str(_PACKAGES / "models")],
            signature=signature,
            input_example=_made_up_example(model, standardisation=served),
            pip_requirements=library_requirements(),
            model_type="classifier",
            tags=dict(tags or {}),
            params=dict(params or {}),
            step=_NO_STEP,
        )
        if card:
            file = Path(folder) / "model_card.md"
            file.write_text(card, encoding="utf-8")
            mlflow.MlflowClient().log_model_artifact(info.model_id, str(file))
    return str(info.model_id)


def register_version(
    model_id: str, *, name: str, description: str = "", tags: Mapping[str, str] | None = None
) -> str:
    """Register a logged model and return its version; no alias moves."""
    registered = again_if_raced(
        lambda: mlflow.register_model(f"models:/{model_id}", name, tags=dict(tags or {}))
    )
    version = str(registered.version)
    if description:
        text = shortened(description, most=_LONGEST_DESCRIPTION)
        mlflow.MlflowClient().update_model_version(name, version, text)
    return version


def register_model(model: ResistanceModel, *, name: str) -> str:
    """Log the model to the active run, register it, and return its version."""
    return register_version(log_model(model, name=name), name=name)


def describe_registered_model(name: str, *, description: str, tags: Mapping[str, str]) -> None:
    """Describe a registered model, unless its people have done so; tags are set anew."""
    client = mlflow.MlflowClient()
    known = client.get_registered_model(name)
    if not known.description:
        client.update_registered_model(name, shortened(description, most=_LONGEST_DESCRIPTION))
    for key, value in tags.items():
        if known.tags.get(key) != value:
            again_if_raced(partial(client.set_registered_model_tag, name, key, value))


def shortened(text: str, *, most: int) -> str:
    r"""Return the text, cut at the end of a line where it is longer than a store takes.

    Examples
    --------
    >>> shortened("one\ntwo\nthree", most=9)
    'one\ntwo\n…'
    """
    if len(text) <= most:
        return text
    return text[: most - 1].rpartition("\n")[0] + "\n…"


def _made_up_example(model: ResistanceModel, *, standardisation: str) -> pd.DataFrame:
    n_rows = 3 if standardisation == "reference" else max(3, model.min_cohort_size)
    shape = (n_rows, len(model.feature_names))
    values = np.random.default_rng(0).uniform(0.2, 0.8, shape).round(3)
    return pd.DataFrame(values, columns=model.feature_names).assign(cohort="synthetic")


@contextmanager
def _no_uv_detection() -> Iterator[None]:
    """Keep MLflow from packing the uv project of whatever folder the user stands in."""
    variable = mlflow.environment_variables.MLFLOW_UV_AUTO_DETECT
    before = variable.get_raw()
    variable.set(False)
    try:
        yield
    finally:
        variable.unset() if before is None else variable.set(before)
