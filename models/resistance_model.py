"""The frozen model: features, two standardisations, their classifiers and calibrations."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray

from features.catalogue import Catalogue
from features.cells.features import CellFeature
from features.cells.transformer import CellFeatures
from features.errors import ModelError, examples
from features.fingerprint import Fingerprints
from features.reference import ReferenceStandardiser, Standardisation, standardise_in_cohort
from features.transformer import MarkerFeatures
from models.calibration import Calibrator
from models.candidates import Estimator, resistance_score
from models.cell_model import CellModel
from models.conformal import ConformalSets
from models.explanation import Attributions, explain
from models.gene_reference import GeneReference
from models.interactions import interaction_values
from models.training_reference import TrainingReference
from models.transformer_parts import describe_transformer, load_transformer

__all__ = ["ModelArm", "ResistanceModel"]

FORMAT_VERSION = 5
_REFERENCE_FILE = "training.skops"
_CELLS_FILE = "cells.skops"
_TRUSTED = [
    "collections.OrderedDict",
    "collections.defaultdict",
    "features.reference.ReferenceStandardiser",
    "lightgbm.basic.Booster",
    "models.calibration.BetaCalibrator",
    "models.calibration.IsotonicCalibrator",
    "models.calibration.PlattCalibrator",
    "models.calibration.ShiftedCalibrator",
    "models.candidates.AveragedModels",
    "models.candidates.FeatureModel",
    "models.classifier.ResistanceClassifier",
    "models.conformal.ConformalSets",
    "models.drift.DriftReference",
    "models.linear.SignedLogisticRegression",
    "models.shift.ShiftDetector",
]


@dataclass(frozen=True)
class ModelArm:
    """One standardisation's fitted parts.

    Attributes
    ----------
    classifier, calibrator, sets
        Fitted on this standardisation: log-odds, their calibration, conformal prediction sets.
    standardiser
        The frozen reference (arm ``reference``), or None (arm ``cohort``).
    threshold
        Share of resistant samples in training, or in the cohort that the arm was recalibrated to.
    """

    classifier: Estimator
    calibrator: Calibrator
    sets: ConformalSets
    standardiser: ReferenceStandardiser | None
    threshold: float


@dataclass(frozen=True)
class ResistanceModel:
    """Everything needed to go from a cohort's features to explained probabilities.

    Attributes
    ----------
    setting
        ici, adc, hcc or sclc.
    catalogue
        The catalogue the model was trained with, wholly; its features are those of ``setting``.
    transformer
        Fitted :class:`features.MarkerFeatures`.
    arms
        ``cohort`` and ``reference`` → :class:`ModelArm`.
    training
        What the training samples looked like: is a new one like them, or one of them?
    min_cohort_size
        Fewest samples for the cohort-relative standardisation.
    facts
        Provenance as plain values: training cohorts, versions, hashes.
    cells
        Scores each cell by itself, for looking at; None of a model of bulk.
    """

    setting: str
    catalogue: Catalogue
    transformer: MarkerFeatures
    arms: Mapping[Standardisation, ModelArm]
    training: TrainingReference
    min_cohort_size: int
    facts: Mapping[str, Any]
    cells: CellModel | None = None

    @property
    def of_cells(self) -> bool:
        """Whether its features are read from single cells."""
        return isinstance(self.transformer, CellFeatures)

    @property
    def cell_features(self) -> tuple[CellFeature, ...] | None:
        """What the model reads from single cells beyond pseudobulk; None of a model of bulk."""
        return self.transformer.entries if isinstance(self.transformer, CellFeatures) else None

    @property
    def feature_names(self) -> list[str]:
        """Columns of the feature table the model takes."""
        return list(self.transformer.feature_names_)

    def standardise(
        self,
        features: pd.DataFrame,
        *,
        standardisation: Standardisation,
        cohorts: "pd.Series[str] | None" = None,
    ) -> pd.DataFrame:
        """Return standardised features; without ``cohorts`` all rows are one cohort.

        Raises
        ------
        CohortError
            A cohort is too small for the cohort-relative standardisation.
        ModelError
            A feature column is missing, or the standardisation is unknown.
        """
        missing = [name for name in self.feature_names if name not in features]
        if missing:
            raise ModelError(
                f"the feature table lacks {len(missing)} columns ({examples(missing)}); its "
                "columns are the catalogue ids that MarkerFeatures gives"
            )
        table = features[self.feature_names].astype(float)
        standardiser = self.arm(standardisation).standardiser
        if standardiser is not None:
            return standardiser.transform(table)
        if cohorts is None:
            cohorts = pd.Series("cohort", index=table.index)
        return standardise_in_cohort(table, cohorts=cohorts, min_cohort_size=self.min_cohort_size)

    def arm(self, standardisation: str) -> ModelArm:
        """Return the arm of a standardisation.

        Raises
        ------
        ModelError
            The standardisation is neither ``cohort`` nor ``reference``, or not one of the model's.
        """
        if standardisation not in self.arms:
            allowed = ", ".join(self.arms)
            raise ModelError(f"standardisation '{standardisation}'; allowed: {allowed}")
        return self.arms[cast(Standardisation, standardisation)]

    def predict(
        self,
        features: pd.DataFrame,
        *,
        standardisation: Standardisation,
        cohorts: "pd.Series[str] | None" = None,
    ) -> pd.DataFrame:
        """Return predictions from raw features (n_samples,).

        Columns ``log_odds`` (uncalibrated, beyond the base rate), ``probability`` (calibrated, of
        resistance), ``in_responsive`` and ``in_resistant`` (the conformal set).
        """
        X = self.standardise(features, standardisation=standardisation, cohorts=cohorts)
        arm = self.arm(standardisation)
        log_odds = resistance_score(arm.classifier, X)
        sets = arm.sets.predict_set(log_odds)
        return pd.DataFrame(
            {
                "log_odds": log_odds,
                "probability": arm.calibrator.predict(log_odds),
                "in_responsive": sets[:, 0],
                "in_resistant": sets[:, 1],
            },
            index=features.index,
        )

    def explain(
        self,
        features: pd.DataFrame,
        *,
        standardisation: Standardisation,
        cohorts: "pd.Series[str] | None" = None,
        log_odds: "pd.Series[float] | None" = None,
    ) -> Attributions:
        """Return SHAP attributions (n_samples, n_features) in calibrated log-odds.

        ``log_odds`` are those of :meth:`predict`, where known: they are not worked out again.
        """
        X = self.standardise(features, standardisation=standardisation, cohorts=cohorts)
        arm = self.arm(standardisation)
        return explain(arm.classifier, arm.calibrator, X, log_odds=log_odds)

    def interactions(
        self,
        features: pd.DataFrame,
        *,
        standardisation: Standardisation,
        cohorts: "pd.Series[str] | None" = None,
    ) -> NDArray[np.float64]:
        """Return SHAP interactions (n_samples, n_features, n_features), uncalibrated log-odds."""
        X = self.standardise(features, standardisation=standardisation, cohorts=cohorts)
        return interaction_values(self.arm(standardisation).classifier, X)

    def save(self, folder: Path) -> None:
        """Write the model as ``model.json`` and one skops file an arm; no pickle."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, arm in self.arms.items():
            parts: dict[str, Any] = {
                "classifier": arm.classifier,
                "calibrator": arm.calibrator,
                "sets": arm.sets,
            }
            if arm.standardiser is not None:
                parts["standardiser"] = arm.standardiser
            skops.io.dump(parts, folder / f"{name}.skops")
        reference = {"shift": self.training.shift, "drift": self.training.drift}
        skops.io.dump(reference, folder / _REFERENCE_FILE)
        if self.cells is not None:
            skops.io.dump(self.cells.to_parts(), folder / _CELLS_FILE)
        description = {
            "format_version": FORMAT_VERSION,
            "setting": self.setting,
            "min_cohort_size": self.min_cohort_size,
            "thresholds": {name: arm.threshold for name, arm in self.arms.items()},
            "fingerprints": self.training.fingerprints.to_json(),
            "gene_reference": self.training.genes.to_json(),
            "facts": dict(self.facts),
            "catalogue": self.catalogue.model_dump(mode="json"),
            **describe_transformer(self.transformer),
        }
        text = json.dumps(description, ensure_ascii=False, indent=1)
        (folder / "model.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ResistanceModel":
        """Return a saved model.

        Raises
        ------
        ModelError
            The folder holds no model, or one of another format.
        """
        try:
            description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise ModelError(f"no OncoResist model in {folder}: {error}") from error
        found = description.get("format_version", "unknown")
        if found != FORMAT_VERSION:
            raise ModelError(
                f"model format {found} in {folder}; this version of "
                f"OncoResist reads format {FORMAT_VERSION}: train the model again"
            )
        catalogue = Catalogue.model_validate(description["catalogue"])
        cells = folder / _CELLS_FILE
        return cls(
            setting=description["setting"],
            catalogue=catalogue,
            transformer=load_transformer(description, catalogue),
            arms={
                cast(Standardisation, name): _load_arm(folder / f"{name}.skops", threshold)
                for name, threshold in description["thresholds"].items()
            },
            training=TrainingReference(
                **skops.io.load(folder / _REFERENCE_FILE, trusted=_TRUSTED),
                fingerprints=Fingerprints.from_json(description["fingerprints"]),
                genes=GeneReference.from_json(description["gene_reference"]),
            ),
            min_cohort_size=description["min_cohort_size"],
            facts=description["facts"],
            cells=CellModel.from_parts(skops.io.load(cells, trusted=_TRUSTED))
            if cells.is_file()
            else None,
        )


def _load_arm(path: Path, threshold: float) -> ModelArm:
    parts = skops.io.load(path, trusted=_TRUSTED)
    return ModelArm(
        classifier=parts["classifier"],
        calibrator=parts["calibrator"],
        sets=parts["sets"],
        standardiser=parts.get("standardiser"),
        threshold=float(threshold),
    )
