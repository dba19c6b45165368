"""The model as MLflow serves it: logged from this file as code, so nothing is pickled."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from models.resistance_model import ResistanceModel

__all__ = ["ServedModel"]


class ServedModel(PythonModel):
    """Unstandardised feature table → calibrated probability of resistance.

    The table's columns are the catalogue ids, plus an optional ``cohort``. The parameter
    ``standardisation`` is ``reference`` (default, where the model has it) or ``cohort`` (the rows
    of one cohort in the batch are the cohort). It calls nobody resistant or responsive: whether the
    model's data would bear that, its facts say (:mod:`models.sufficiency`).
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the frozen model from the artifacts."""
        self.model = ResistanceModel.load(Path(context.artifacts["model"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a frame with ``probability`` (n_samples,)."""
        cohorts = model_input["cohort"] if "cohort" in model_input else None
        predictions = self.model.predict(
            model_input,
            standardisation=(params or {}).get("standardisation", "reference"),
            cohorts=cohorts,
        )
        return predictions[["probability"]]


mlflow.models.set_model(ServedModel())
