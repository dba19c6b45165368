"""The final model of an experiment: both standardisations fitted on all samples, frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.reference import ReferenceStandardiser, Standardisation
from models.learner import TrainedPart
from models.resistance_model import ModelArm, ResistanceModel
from models.splits import patient_keys
from models.sufficiency import Sufficiency, judge_sufficiency
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.figures.estimates import interval_text
from pipelines.validation.validate import Validation

__all__ = ["TrainedArm", "calls_held_out", "final_model", "held_out_sufficiency"]

_CALLED = {"resistant": "responsive", "responsive": "resistant"}
"""Call → the label that its prediction set does not hold."""
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
        Versions and hashes; training cohorts, figures, choices and, unless it is a demonstration,
        the verdicts on its data are added.
    """
    names = list(dataset.cohorts)
    arms, figures, calibration, calls, chosen = {}, {}, {}, {}, {}
    sufficiency = {}
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
        figures[arm] = _held_out_figures(found.validation)
        calibration[arm] = _held_out_calibration(found.validation)
        calls[arm] = calls_held_out(found.validation.main.predictions)
        chosen[arm] = part.choice.candidate.key
        if config.demonstration is None:
            judged = held_out_sufficiency(found.validation, dataset.samples)
            sufficiency[arm] = judged.to_json()
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
            "scheme": next(iter(trained.values())).validation.scheme,
            "held_out": figures,
            "calibration": calibration,
            "held_out_calls": calls,
            "chosen": chosen,
            "sufficiency": sufficiency,
        },
    )


def held_out_sufficiency(validation: Validation, samples: pd.DataFrame) -> Sufficiency:
    """Return what the data behind the held-out AUROC of a standardisation can bear.

    Counted are the patients, or cell lines, with a label, of cohorts with both classes, which the
    AUROC is the mean of: several samples of one are no more data. One with samples of both labels
    counts for each.

    Parameters
    ----------
    validation
        Its main scheme holds out cohorts (``loco``) or patients of a single one (``nested``).
    samples
        A row a sample; ``cell_line`` (boolean), where there is such a column, tells cell lines.
    """
    predictions = validation.main.predictions
    scored = predictions[predictions["score"].notna() & predictions["resistant"].notna()]
    both = scored.groupby("cohort")["resistant"].transform("nunique") == 2
    judged = scored[both]
    held_out = judged["cohort"].nunique() if validation.scheme == "loco" else 0
    lines = samples.reindex(columns=["cell_line"]).loc[judged.index, "cell_line"]
    keys = patient_keys(judged)
    return judge_sufficiency(
        validation.estimates[validation.prefix]["auroc"],
        standardisation=validation.learner.standardisation,
        samples=int(keys.nunique()),
        resistant=int(keys[judged["resistant"] == 1].nunique()),
        responsive=int(keys[judged["resistant"] == 0].nunique()),
        cohorts=held_out,
        cell_lines=len(lines) > 0 and bool(lines.eq(True).all()),
    )


def calls_held_out(predictions: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return how often a call was right: call → ``n, share, low, high``; empty without sets.

    A labelled sample is called where its prediction set holds one label, whatever its shift score.
    The 95% interval is Wilson's, of single samples: several of a patient count each, and cohorts
    differ more than it tells.

    Parameters
    ----------
    predictions
        Of models that had not seen the samples, see
        :class:`models.validation.OutOfFold`.
    """
    if not {"in_responsive", "in_resistant"} <= set(predictions):
        return {}
    labelled = predictions[predictions["resistant"].notna()]
    holds = {label: labelled[f"in_{label}"].to_numpy(dtype=bool) for label in _CALLED}
    resistant = labelled["resistant"].to_numpy(dtype=float) == 1
    found = {}
    for call, other in _CALLED.items():
        right = (resistant == (call == "resistant"))[holds[call] & ~holds[other]]
        found[call] = _share(int(right.sum()), right.size)
    return found


def _share(right: int, n: int) -> dict[str, float | None]:
    from statsmodels.stats.proportion import proportion_confint

    if not n:
        return {"n": 0, "share": None, "low": None, "high": None}
    low, high = proportion_confint(right, n, alpha=0.05, method="wilson")
    return {"n": n, "share": right / n, "low": float(low), "high": float(high)}


def _held_out_figures(validation: Validation) -> dict[str, dict[str, str]]:
    """Return how model and class prior did on cohorts held out, as text for reports."""
    found = {
        "model": validation.estimates[validation.prefix],
        "class prior": validation.estimates[f"baseline.prior.{validation.prefix}"],
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
