"""A trained experiment: everything that goes into its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.reference import Standardisation
from models.resistance_model import ResistanceModel
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.ingest import IngestedCohort
from pipelines.validation.validate import Validation

__all__ = ["TrainedExperiment"]


@dataclass(frozen=True)
class TrainedExperiment:
    """Everything that goes into the run of one experiment.

    Attributes
    ----------
    config, project
        The checked experiment, and the folder that its relative paths start from.
    dataset
        The samples that took part.
    ingested, extra
        The cohorts trained on and those that are only scored.
    validations
        Standardisation → out-of-fold predictions and figures.
    model
        The final model.
    signs, shift, drift
        Tables of the features' directions, of shift scores and of drift.
    minutes
        How long the validation took, permutations apart.
    tags
        Code, lock file, catalogue and data by version and hash.
    """

    config: ExperimentConfig
    project: Path
    dataset: Dataset
    ingested: Sequence[IngestedCohort]
    extra: Sequence[IngestedCohort]
    validations: Mapping[Standardisation, Validation]
    model: ResistanceModel
    signs: pd.DataFrame
    shift: pd.DataFrame
    drift: pd.DataFrame
    minutes: float
    tags: Mapping[str, str]

    @property
    def features(self) -> pd.DataFrame:
        """Unstandardised features of the final model (n_samples, n_features)."""
        return self.dataset.features(list(self.dataset.cohorts))
