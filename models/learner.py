"""Fits candidates on parts of the samples, and remembers what it has fitted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.reference import ReferenceStandardiser, Standardisation, standardise_in_cohort
from models.calibration_choice import CalibrationChoice, choose_calibrator
from models.candidates import Candidate, Estimator, resistance_score
from models.conformal import ConformalSets
from models.splits import inner_splits, patient_keys
from models.tuning import Choice, Tuner

__all__ = ["FeatureSource", "Learner", "TrainedPart", "shuffle_labels"]

FeatureSource = Callable[[Sequence[str]], pd.DataFrame]
"""Training cohorts → unstandardised features of all samples, learned from those cohorts only."""
Builder = Callable[[Candidate], Estimator]


@dataclass(frozen=True)
class TrainedPart:
    """A model fitted, chosen, calibrated and given its conformal sets on training samples alone.

    Attributes
    ----------
    classifier
        Fitted on the whole training part.
    choice
        The candidate, its inner out-of-cohort scores and the trials.
    calibration
        The calibrator chosen and fitted on those scores.
    sets
        Class-conditional conformal sets, fitted on those scores. The candidate was chosen by the
        same scores, so coverage holds nearly, not exactly; it is measured on cohorts held out.
    prior
        Share of resistant samples.
    """

    classifier: Estimator
    choice: Choice
    calibration: CalibrationChoice
    sets: ConformalSets
    prior: float


@dataclass(frozen=True)
class Learner:
    """Fits candidates on parts of the samples; what was fitted once is remembered.

    Attributes
    ----------
    samples
        One row per sample: ``cohort``, ``patient_id``, ``resistant`` (1, 0, NaN).
    features_of
        Gives the features learned on some training cohorts.
    build
        Makes a candidate's unfitted model.
    standardisation
        ``cohort``: each sample against its own cohort (no label is used, the whole cohort being
        the batch to score); ``reference``: against the training part.
    min_cohort_size
        For the cohort-relative standardisation.
    coverage
        Of the conformal sets.
    """

    samples: pd.DataFrame
    features_of: FeatureSource
    build: Builder
    standardisation: Standardisation
    min_cohort_size: int
    coverage: float = 0.9
    _tables: dict[Any, pd.DataFrame] = field(default_factory=dict, repr=False)
    _scores: dict[Any, "pd.Series[float]"] = field(default_factory=dict, repr=False)

    def labelled(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return those of the positions whose sample has a label."""
        return positions[self.samples["resistant"].iloc[positions].notna().to_numpy()]

    def table(self, train: NDArray[np.intp]) -> pd.DataFrame:
        """Return all samples' features, learned and standardised on the training part."""
        cohorts = self.samples["cohort"]
        training = tuple(sorted(set(cohorts.iloc[train])))
        key = training if self.standardisation == "cohort" else train.tobytes()
        if key not in self._tables:
            raw = self.features_of(training)
            if self.standardisation == "cohort":
                table = standardise_in_cohort(
                    raw, cohorts=cohorts, min_cohort_size=self.min_cohort_size
                )
            else:
                reference = ReferenceStandardiser()
                reference.fit(raw.iloc[train], cohorts=cohorts.iloc[train])
                table = reference.transform(raw)
            self._tables[key] = table
        return self._tables[key]

    def fit(self, candidate: Candidate, train: NDArray[np.intp]) -> Estimator:
        """Return a candidate's model, fitted on the labelled samples of the training part."""
        labelled = self.labelled(train)
        rows = self.samples.iloc[labelled]
        return self.build(candidate).fit(  # type: ignore[no-any-return]
            self.table(train).iloc[labelled],
            rows["resistant"].astype(int),
            groups=patient_keys(rows),
            cohorts=rows["cohort"],
        )

    def scores(self, candidate: Candidate, train: NDArray[np.intp]) -> "pd.Series[float]":
        """Return all samples' scores (:func:`resistance_score`) by a candidate fitted on a part."""
        if candidate.members:
            members = [self.scores(member, train) for member in candidate.members]
            return sum(members[1:], start=members[0]) / len(members)
        key = (candidate.key, train.tobytes())
        if key not in self._scores:
            table = self.table(train)
            scores = resistance_score(self.fit(candidate, train), table)
            self._scores[key] = pd.Series(scores, index=table.index)
        return self._scores[key]

    def with_labels_shuffled(
        self, rng: np.random.Generator, *, by_patient: bool = False
    ) -> "Learner":
        """Return a learner of the same features whose labels are permuted within cohorts."""
        shuffled = shuffle_labels(self.samples, rng=rng, by_patient=by_patient)
        return replace(self, samples=shuffled, _scores={})

    def with_features(self, features: pd.DataFrame) -> "Learner":
        """Return a learner of the same samples on these features, whatever part they train on."""
        return replace(self, features_of=lambda cohorts: features, _tables={}, _scores={})

    def inner_scores(self, candidate: Candidate, train: NDArray[np.intp]) -> "pd.Series[float]":
        """Return scores of the training part's labelled samples, each by an inner model."""
        parts = []
        for inner in inner_splits(self.samples, train):
            held_out = self.labelled(inner.test)
            parts.append(self.scores(candidate, inner.train).iloc[held_out])
        return pd.concat(parts).reindex(self.samples.index[self.labelled(train)])

    def train(self, train: NDArray[np.intp], *, tuner: Tuner, fold: str) -> TrainedPart:
        """Return the model that a training part leads to: choice, calibration and sets inside."""
        rows = self.samples.iloc[self.labelled(train)]
        choice = tuner.choose(
            fold, samples=rows, inner_scores=lambda candidate: self.inner_scores(candidate, train)
        )
        scored = choice.scores.notna().to_numpy()
        scores, y = choice.scores[scored], rows["resistant"][scored].astype(int)
        return TrainedPart(
            classifier=self.fit(choice.candidate, train),
            choice=choice,
            calibration=choose_calibrator(scores, y, groups=rows["cohort"][scored]),
            sets=ConformalSets(coverage=self.coverage).fit(scores, y),
            prior=float(rows["resistant"].mean()),
        )


def shuffle_labels(
    samples: pd.DataFrame, *, rng: np.random.Generator, by_patient: bool = False
) -> pd.DataFrame:
    """Return samples whose labels are permuted within each cohort: the null of no signal.

    With ``by_patient`` the labels of whole patients change places, among patients of as many
    labelled samples: a patient's samples are alike, and permuted one by one the null is too
    narrow.
    """
    shuffled = samples.copy()
    if by_patient:
        return _with_patients_shuffled(shuffled, rng)
    for cohort in sorted(samples["cohort"].unique()):
        rows = ((samples["cohort"] == cohort) & samples["resistant"].notna()).to_numpy()
        shuffled.loc[rows, "resistant"] = rng.permutation(samples["resistant"].to_numpy()[rows])
    return shuffled


def _with_patients_shuffled(samples: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    labels = samples["resistant"].to_numpy(dtype=float).copy()
    labelled = np.flatnonzero(np.isfinite(labels))
    patients = patient_keys(samples).to_numpy()[labelled]
    blocks: dict[tuple[str, int], list[NDArray[np.intp]]] = {}
    for patient in dict.fromkeys(patients):
        rows = labelled[patients == patient]
        cohort = str(samples["cohort"].iloc[rows[0]])
        blocks.setdefault((cohort, rows.size), []).append(rows)
    for alike in blocks.values():
        given = [labels[rows].copy() for rows in alike]
        for rows, place in zip(alike, rng.permutation(len(alike)), strict=True):
            labels[rows] = given[place]
    return samples.assign(resistant=labels)
