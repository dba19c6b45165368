"""Validation without self-deception: predictions for samples that no part of the fit has seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.dummy import DummyClassifier

from features.errors import CohortError, examples
from features.reference import ReferenceStandardiser, Standardisation, standardise_in_cohort
from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier
from models.explanation import Attributions, explain
from models.signatures import SIGNATURES, SignatureClassifier
from models.splits import (
    Split,
    check_splits,
    grouped_splits,
    leave_one_cohort_out_splits,
    patient_keys,
)

__all__ = [
    "FeatureSource",
    "OutOfFold",
    "predict_baselines",
    "predict_out_of_fold",
    "shuffle_labels",
]

FeatureSource = Callable[[Sequence[str]], pd.DataFrame]
"""Training cohorts → unstandardised features of all samples, learned from those cohorts only."""
_INNER_FOLDS = 3
_INNER_SEED = 0


class Estimator(Protocol):
    """What is validated: a classifier with log-odds."""

    def fit(self, X: Any, y: Any, *, groups: ArrayLike | None = None) -> Any: ...
    def decision_function(self, X: Any) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of samples by models that did not train on them.

    Attributes
    ----------
    predictions
        Index of the samples; ``cohort, patient_id, resistant, split, score`` (uncalibrated
        log-odds) and ``probability`` (calibrated).
    attributions
        SHAP of each prediction by the model that made it; None when not asked for, or when the
        predictions are not calibrated (attributions stand on the calibrated scale).
    """

    predictions: pd.DataFrame
    attributions: Attributions | None


def predict_out_of_fold(
    samples: pd.DataFrame,
    splits: Sequence[Split],
    *,
    features_of: FeatureSource,
    make_classifier: Callable[[], Estimator],
    standardisation: Standardisation,
    min_cohort_size: int,
    calibrate: bool = True,
    with_attributions: bool = False,
) -> OutOfFold:
    """Return out-of-fold predictions, calibrated by out-of-fold predictions of the training part.

    Parameters
    ----------
    samples
        One row per sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN).
    splits
        From :mod:`models.splits`; a patient on both sides is refused.
    features_of
        Gives the features learned on a split's training cohorts.
    make_classifier
        Returns a fresh classifier.
    standardisation
        ``cohort``: each sample against its own cohort (no label is used, the whole cohort being
        the batch to score); ``reference``: against the split's training samples.
    calibrate
        Fit a Platt scaling inside each split on inner out-of-cohort predictions; without it the
        probability is that of the bare classifier.

    Raises
    ------
    CohortError
        A patient stands on both sides of a split.
    """
    check_splits(samples, list(splits))
    parts, explained = [], []
    for split in splits:
        raw = features_of(sorted(set(samples["cohort"].iloc[split.train])))
        table = _FoldTable(samples, raw, standardisation, min_cohort_size)
        classifier = table.fit(split.train, make_classifier)
        calibrator = table.calibrator(split.train, make_classifier) if calibrate else None
        test = table.standardised(split.train).iloc[split.test]
        parts.append(_predictions(samples, split, classifier, calibrator, test))
        if with_attributions and isinstance(classifier, ResistanceClassifier) and calibrator:
            explained.append(explain(classifier, calibrator, test))
    attributions = None
    if explained:
        attributions = Attributions(
            pd.concat([part.values for part in explained]),
            pd.concat([part.base_value for part in explained]),
            pd.concat([part.features for part in explained]),
        )
    return OutOfFold(pd.concat(parts), attributions)


@dataclass(frozen=True)
class _FoldTable:
    """Features of one split and how they are standardised, for the outer and the inner fits."""

    samples: pd.DataFrame
    raw: pd.DataFrame
    standardisation: Standardisation
    min_cohort_size: int

    def standardised(self, train: NDArray[np.intp]) -> pd.DataFrame:
        if self.standardisation == "cohort":
            return standardise_in_cohort(
                self.raw, cohorts=self.samples["cohort"], min_cohort_size=self.min_cohort_size
            )
        part, cohorts = self.raw.iloc[train], self.samples["cohort"].iloc[train]
        return ReferenceStandardiser().fit(part, cohorts=cohorts).transform(self.raw)

    def fit(self, train: NDArray[np.intp], make_classifier: Callable[[], Estimator]) -> Estimator:
        labelled = train[self.samples["resistant"].iloc[train].notna().to_numpy()]
        rows = self.samples.iloc[labelled]
        X = self.standardised(train).iloc[labelled]
        classifier = make_classifier()
        classifier.fit(X, rows["resistant"].astype(int), groups=patient_keys(rows))
        return classifier

    def calibrator(
        self, train: NDArray[np.intp], make_classifier: Callable[[], Estimator]
    ) -> PlattCalibrator:
        rows = self.samples.iloc[train]
        log_odds = pd.Series(np.nan, index=rows.index)
        for inner in _inner_splits(rows):
            inner_train = train[inner.train]
            classifier = self.fit(inner_train, make_classifier)
            held = self.standardised(inner_train).iloc[train[inner.test]]
            log_odds[rows.index[inner.test]] = classifier.decision_function(held)
        usable = (rows["resistant"].notna() & log_odds.notna()).to_numpy()
        return PlattCalibrator().fit(log_odds[usable], rows["resistant"][usable])


def _inner_splits(rows: pd.DataFrame) -> list[Split]:
    """Leave-one-cohort-out where there are cohorts to leave out, else patient-grouped folds.

    Raises
    ------
    CohortError
        A class has a single patient: nothing can be calibrated.
    """
    if rows["cohort"].nunique() > 1:
        splits = leave_one_cohort_out_splits(rows)
        labels = rows["resistant"].to_numpy(dtype=float)
        if all({0.0, 1.0} <= set(labels[split.train]) for split in splits):
            return splits
    labelled = rows[rows["resistant"].notna()]
    fewest = int(patient_keys(labelled).groupby(labelled["resistant"]).nunique().min())
    if fewest < 2:
        raise CohortError(
            f"the training part of a split ({examples(sorted(set(rows['cohort'])))}) has a single "
            "patient of one class: it cannot be calibrated; add cohorts under cohorts.train"
        )
    folds = min(_INNER_FOLDS, fewest)
    return grouped_splits(rows, n_splits=folds, n_repeats=1, seed=_INNER_SEED)


def _predictions(
    samples: pd.DataFrame,
    split: Split,
    classifier: Estimator,
    calibrator: PlattCalibrator | None,
    test: pd.DataFrame,
) -> pd.DataFrame:
    score = classifier.decision_function(test)
    part = samples.iloc[split.test][["cohort", "patient_id", "resistant"]].copy()
    part["split"] = split.name
    part["score"] = score
    part["probability"] = expit(score) if calibrator is None else calibrator.predict(score)
    return part


class _PriorClassifier:
    """The class prior with a score: the trivial baseline."""

    def fit(self, X: pd.DataFrame, y: ArrayLike, *, groups: ArrayLike | None = None) -> None:
        self._dummy = DummyClassifier(strategy="prior").fit(X, y)

    def decision_function(self, X: pd.DataFrame) -> NDArray[np.float64]:
        probability = self._dummy.predict_proba(X)[:, 1]
        return np.asarray(np.log(probability / (1.0 - probability)))


def predict_baselines(
    samples: pd.DataFrame,
    splits: Sequence[Split],
    *,
    scores: pd.DataFrame,
    standardisation: Standardisation,
    min_cohort_size: int,
) -> dict[str, OutOfFold]:
    """Return out-of-fold predictions of every published signature and of the class prior.

    Parameters
    ----------
    samples, splits, standardisation, min_cohort_size
        As in :func:`predict_out_of_fold`, so that the samples are the same.
    scores
        From :func:`models.signatures.signature_scores` (n_samples, n_signatures). Each becomes a
        probability by a logistic curve over the training samples' standardised score.
    """
    makers: dict[str, Callable[[], Estimator]] = {
        name: lambda name=name: SignatureClassifier(signature=name)  # type: ignore[misc]
        for name in SIGNATURES
    }
    makers["prior"] = _PriorClassifier
    return {
        name: predict_out_of_fold(
            samples,
            splits,
            features_of=lambda cohorts: scores,
            make_classifier=maker,
            standardisation=standardisation,
            min_cohort_size=min_cohort_size,
            calibrate=False,
        )
        for name, maker in makers.items()
    }


def shuffle_labels(samples: pd.DataFrame, *, rng: np.random.Generator) -> pd.DataFrame:
    """Return samples whose labels are permuted within each cohort: the null of no signal."""
    shuffled = samples.copy()
    for cohort in sorted(samples["cohort"].unique()):
        rows = ((samples["cohort"] == cohort) & samples["resistant"].notna()).to_numpy()
        shuffled.loc[rows, "resistant"] = rng.permutation(samples["resistant"].to_numpy()[rows])
    return shuffled
