"""Validation without self-deception: predictions for samples that no part of the fit has seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.dummy import DummyClassifier

from features.reference import ReferenceStandardiser, Standardisation, standardise_in_cohort
from models.calibration_choice import CalibrationChoice, choose_calibrator
from models.candidates import Candidate, Estimator, resistance_score
from models.conformal import ConformalSets
from models.explanation import Attributions, explain
from models.signatures import SignatureClassifier
from models.splits import Split, check_splits, inner_splits, patient_keys
from models.tuning import Choice, Tuner

__all__ = [
    "FeatureSource",
    "Learner",
    "OutOfFold",
    "TrainedPart",
    "predict_baseline",
    "predict_out_of_fold",
    "predict_signatures",
    "shuffle_labels",
]

FeatureSource = Callable[[Sequence[str]], pd.DataFrame]
"""Training cohorts → unstandardised features of all samples, learned from those cohorts only."""
Builder = Callable[[Candidate], Estimator]


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
        Class-conditional conformal sets, fitted on those scores.
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

    def with_labels_shuffled(self, rng: np.random.Generator) -> "Learner":
        """Return a learner of the same features whose labels are permuted within cohorts."""
        return replace(self, samples=shuffle_labels(self.samples, rng=rng), _scores={})

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
        parts.append(_predictions(learner.samples, split, part, test))
        folds.append(_fold_row(split, part))
        choices.append(part.choice.candidate)
        trials.append(part.choice.trials.assign(split=split.name))
        if with_attributions:
            explained.append(explain(part.classifier, part.calibration.calibrator, test))
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


def predict_baseline(
    samples: pd.DataFrame,
    splits: Sequence[Split],
    *,
    features_of: FeatureSource,
    make_classifier: Callable[[], Estimator],
    standardisation: Standardisation,
    min_cohort_size: int,
) -> pd.DataFrame:
    """Return out-of-fold predictions of one fixed classifier, its own probabilities as they are.

    The columns are those of :attr:`OutOfFold.predictions`, without conformal sets.
    """
    check_splits(samples, splits)
    learner = Learner(
        samples, features_of, lambda _: make_classifier(), standardisation, min_cohort_size
    )
    fixed = Candidate("baseline", "boosted")
    parts = []
    for split in splits:
        classifier = learner.fit(fixed, split.train)
        score = classifier.decision_function(learner.table(split.train).iloc[split.test])
        rows = samples.iloc[split.test][["cohort", "patient_id", "resistant"]]
        prior = float(samples["resistant"].iloc[split.train].mean())
        parts.append(
            rows.assign(split=split.name, score=score, probability=expit(score), prior=prior)
        )
    return pd.concat(parts)


class _PriorClassifier:
    """The class prior with a score: the trivial baseline."""

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        cohorts: ArrayLike | None = None,
    ) -> "_PriorClassifier":
        self._dummy = DummyClassifier(strategy="prior").fit(X, y)
        return self

    def decision_function(self, X: pd.DataFrame) -> NDArray[np.float64]:
        probability = self._dummy.predict_proba(X)[:, 1]
        return np.asarray(np.log(probability / (1.0 - probability)))


def predict_signatures(
    samples: pd.DataFrame,
    splits: Sequence[Split],
    *,
    scores: pd.DataFrame,
    standardisation: Standardisation,
    min_cohort_size: int,
) -> dict[str, pd.DataFrame]:
    """Return out-of-fold predictions of every score of resistance and of the class prior.

    Parameters
    ----------
    samples, splits, standardisation, min_cohort_size
        As in :func:`predict_baseline`, so that the samples are the same.
    scores
        From :func:`models.signatures.signature_scores` (n_samples, n_signatures), and any further
        score of resistance. Each becomes a probability by a logistic curve over the training
        samples' standardised score.
    """
    makers: dict[str, Callable[[], Estimator]] = {
        str(name): lambda name=name: SignatureClassifier(signature=name)  # type: ignore[misc]
        for name in scores.columns
    }
    makers["prior"] = _PriorClassifier
    return {
        name: predict_baseline(
            samples,
            splits,
            features_of=lambda cohorts: scores,
            make_classifier=maker,
            standardisation=standardisation,
            min_cohort_size=min_cohort_size,
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
