"""The final model of an experiment: both standardisations fitted on all samples, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.reference import ReferenceStandardiser, Standardisation
from models.learner import TrainedPart
from models.resistance_model import ModelArm, ResistanceModel
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.figures.estimates import interval_text
from pipelines.validation.validate import ARM_SUFFIX, Validation

__all__ = ["TrainedArm", "final_model"]

_CALIBRATION = ("brier_skill", "ece", "ece_floor")


@dataclass(frozen=True)
class TrainedArm:
    """One standardisation: how it was validated, and the final parts, chosen on all samples."""

    validation: Validation
    final: TrainedPart


def final_model(
    dataset: Dataset,
    trained: Mapping[Standardisation, TrainedArm],
    *,
    config: ExperimentConfig,
    facts: Mapping[str, Any],
) -> ResistanceModel:
    """Return the model that serves: parts of both standardisations, catalogue, reference, facts.

    Parameters
    ----------
    dataset
        All samples that take part.
    trained
        Standardisation → validation and final parts.
    config
        The experiment.
    facts
        Versions and hashes; training cohorts, figures and choices are added.
    """
    names = list(dataset.cohorts)
    arms, figures, calibration, chosen = {}, {}, {}, {}
    for arm, found in trained.items():
        standardiser = None
        if arm == "reference":
            samples = found.validation.samples
            raw = dataset.features(names).loc[samples.index]
            standardiser = ReferenceStandardiser().fit(raw, cohorts=samples["cohort"])
        part = found.final
        arms[arm] = ModelArm(
            part.classifier, part.calibration.calibrator, part.sets, standardiser, part.prior
        )
        figures[arm] = _held_out_figures(arm, found.validation)
        calibration[arm] = _held_out_calibration(found.validation)
        chosen[arm] = part.choice.candidate.key
    return ResistanceModel(
        setting=config.setting,
        catalogue=dataset.catalogue,
        transformer=dataset.transformer(names),
        arms=arms,
        training=dataset.training_reference(),
        min_cohort_size=config.features.min_cohort_size,
        facts={
            **facts,
            "training_cohorts": names,
            "held_out": figures,
            "calibration": calibration,
            "chosen": chosen,
        },
    )


def _held_out_figures(arm: Standardisation, validation: Validation) -> dict[str, dict[str, str]]:
    """Return how model and class prior did on cohorts held out, as text for reports."""
    suffix = ARM_SUFFIX[arm]
    found = {
        "model": validation.estimates[f"loco{suffix}"],
        "class prior": validation.estimates[f"baseline.prior.loco{suffix}"],
    }
    return {
        name: {metric: interval_text(estimates[metric]) for metric in ("auroc", "brier", "ece")}
        for name, estimates in found.items()
    }


def _held_out_calibration(validation: Validation) -> dict[str, list[float | None]]:
    """Return how well probabilities held on cohorts held out: name → value, low, high."""
    table = validation.tables["calibration"].set_index("name")
    figures = table.loc[list(_CALIBRATION), ["value", "low", "high"]]
    return {
        str(name): [float(value) if np.isfinite(value) else None for value in row]
        for name, row in zip(figures.index, figures.to_numpy(dtype=float), strict=True)
    }
