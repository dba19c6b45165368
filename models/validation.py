"""Validation without self-deception: predictions for samples that no part of the fit has seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.candidates import Candidate, resistance_score
from models.explanation import Attributions, explain
from models.learner import Learner, TrainedPart
from models.splits import Split, check_splits
from models.tuning import Tuner

__all__ = ["OutOfFold", "predict_out_of_fold"]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of samples by models that did not train on them.

    Attributes
    ----------
    predictions
        Index of the samples; ``cohort, patient_id, resistant, split, score`` (uncalibrated
        log-odds beyond the base rate), ``probability`` (calibrated), ``prior`` (share of
        resistant samples in the split's training part) and, of a calibrated model,
        ``in_responsive, in_resistant`` (the conformal set).
    folds
        A row per split, what it chose: ``split, candidate, configuration, n_train, calibration``
        and ``brier_<method>`` of each calibration compared.
    choices
        The candidate that each split chose.
    trials
        ``split, candidate, settings, value`` of every trial inside the splits.
    attributions
        SHAP of each prediction by the model that made it; None when not asked for.
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    choices: tuple[Candidate, ...]
    trials: pd.DataFrame
    attributions: Attributions | None = None


def predict_out_of_fold(
    learner: Learner,
    splits: Sequence[Split],
    *,
    tuner: Tuner,
    scheme: str = "loco",
    with_attributions: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> OutOfFold:
    """Return predictions of each split's test part by a model chosen and calibrated without it.

    Parameters
    ----------
    learner
        Samples, features and how candidates are fitted.
    splits
        From :mod:`models.splits`; a patient on both sides is refused.
    tuner
        Chooses the candidate inside each split.
    scheme
        Name of the kind of splits, for the store of trials.
    with_attributions
        Explain each prediction too.
    progress
        Told of each split as it begins.

    Raises
    ------
    CohortError
        A patient stands on both sides of a split.
    """
    check_splits(learner.samples, splits)
    parts, folds, choices, trials, explained = [], [], [], [], []
    for number, split in enumerate(splits, start=1):
        progress(f"{split.name} held out ({number} of {len(splits)})")
        fold = f"{learner.standardisation}/{scheme}/{split.name}"
        part = learner.train(split.train, tuner=tuner, fold=fold)
        test = learner.table(split.train).iloc[split.test]
        predictions = _predictions(learner.samples, split, part, test)
        parts.append(predictions)
        folds.append(_fold_row(split, part))
        choices.append(part.choice.candidate)
        trials.append(part.choice.trials.assign(split=split.name))
        if with_attributions:
            calibrator, score = part.calibration.calibrator, predictions["score"]
            explained.append(explain(part.classifier, calibrator, test, log_odds=score))
    return OutOfFold(
        pd.concat(parts),
        pd.DataFrame(folds),
        tuple(choices),
        pd.concat(trials, ignore_index=True),
        Attributions.concat(explained) if explained else None,
    )


def _predictions(
    samples: pd.DataFrame, split: Split, part: TrainedPart, test: pd.DataFrame
) -> pd.DataFrame:
    score = resistance_score(part.classifier, test)
    predictions = samples.iloc[split.test][["cohort", "patient_id", "resistant"]].copy()
    sets = part.sets.predict_set(score)
    return predictions.assign(
        split=split.name,
        score=score,
        probability=part.calibration.calibrator.predict(score),
        prior=part.prior,
        in_responsive=sets[:, 0],
        in_resistant=sets[:, 1],
    )


def _fold_row(split: Split, part: TrainedPart) -> dict[str, Any]:
    losses = {f"brier_{name}": loss for name, loss in part.calibration.losses.items()}
    return {
        "split": split.name,
        "candidate": part.choice.candidate.name,
        "configuration": part.choice.candidate.key,
        "n_train": len(part.choice.scores),
        "calibration": part.calibration.method,
        **losses,
    }
