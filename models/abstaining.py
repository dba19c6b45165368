"""A classifier that calibrates itself and declines where it does not know."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils import get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)

from models.calibration_choice import CALIBRATORS, choose_calibrator
from models.classifier import ResistanceClassifier
from models.conformal import ConformalSets

__all__ = ["ABSTAIN", "AbstainingClassifier"]

ABSTAIN = "abstain"
"""The call of a sample whose set does not hold exactly one label."""
Array = NDArray[np.float64]
_EDGE = 1e-6


class AbstainingClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Any binary classifier, with calibrated probabilities, conformal sets and abstention.

    Fitting predicts every sample by a model that has not seen its patient, chooses a calibration
    on these predictions (:func:`models.calibration.choose_calibrator`, the folds being its
    groups), takes conformal sets from them, and fits the base once more on everything. Takes any
    numeric feature table (n_samples, n_features); NaN where the base allows it. With labels
    1 = resistant and 0 = responsive, column 1 is resistance.

    Parameters
    ----------
    estimator
        Unfitted binary classifier with ``decision_function`` or ``predict_proba``; its ``fit``
        is given ``groups`` where it takes them. None: ``ResistanceClassifier()``.
    coverage
        Share of each class whose set holds its label. It is guaranteed for patients like those
        fitted on, approximately (the sets come from models of the folds, the scores of new samples
        from that of all); not for a new cohort.
    methods
        Calibrations to choose from, the preferred first.
    n_splits
        Folds, stratified by label, patients kept together; fewer where a class has fewer patients.
    random_state
        Seed of the folds.

    Attributes
    ----------
    classes_
        The two labels, sorted; the second is the positive class.
    estimator_
        The base, fitted on all samples.
    calibrator_, calibration_losses_
        The chosen calibrator, and method → Brier score of left-out folds.
    conformal_
        Fitted :class:`models.conformal.ConformalSets`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> X = pd.DataFrame({"b2m": np.linspace(0, 1, 80)})
    >>> y = (X["b2m"] < 0.5).astype(int)
    >>> model = AbstainingClassifier(ResistanceClassifier(n_seeds=1)).fit(X, y)
    >>> [str(call) for call in model.predict_call(X.iloc[[0, 79]])]
    ['1', '0']
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        coverage: float = 0.9,
        methods: Sequence[str] = tuple(CALIBRATORS),
        n_splits: int = 5,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.coverage = coverage
        self.methods = methods
        self.n_splits = n_splits
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None) -> Self:
        """Fit on features (n_samples, n_features) and labels (n_samples,).

        Parameters
        ----------
        X, y
            Features and labels; exactly two classes.
        groups
            Patient of each sample: a patient's samples stay in one fold. None: every sample is a
            patient.

        Raises
        ------
        ValueError
            There are not two classes, or a class has fewer than two patients.
        ConfigError
            The coverage is not between 0 and 1, or a calibration method is unknown.
        """
        table, encoded = self._checked(X, y)
        patients = np.arange(len(encoded)) if groups is None else np.asarray(groups)
        check_consistent_length(table, patients)
        known = None if groups is None else patients
        scores = np.full(len(encoded), np.nan)
        fold_of = np.full(len(encoded), -1)
        for fold, (train, test) in enumerate(self._folds(encoded, patients)):
            scores[test] = _log_odds(
                self._fit_base(table, encoded, train, known), _rows(table, test)
            )
            fold_of[test] = fold
        choice = choose_calibrator(scores, encoded, groups=fold_of, methods=self.methods)
        self.calibrator_ = choice.calibrator
        self.calibration_losses_ = dict(choice.losses)
        self.conformal_ = ConformalSets(coverage=self.coverage).fit(scores, encoded)
        self.estimator_ = self._fit_base(table, encoded, np.arange(len(encoded)), known)
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the calibrated log-odds of the positive class (n_samples,)."""
        scores = self._scores(X)
        return self.calibrator_.calibrated_log_odds(scores)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return calibrated probabilities (n_samples, 2); column 1 is the positive class."""
        positive = expit(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the more probable label of each sample (n_samples,); it never abstains."""
        positive = self.decision_function(X) > 0
        return np.asarray(self.classes_[positive.astype(int)])

    def predict_set(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Return which of ``classes_`` stand in each sample's conformal set (n_samples, 2)."""
        scores = self._scores(X)
        return self.conformal_.predict_set(scores)

    def predict_call(self, X: ArrayLike) -> NDArray[np.object_]:
        """Return the label of each one-label set, ``"abstain"`` elsewhere (n_samples,).

        Two labels: the sample could be either. None: it is like neither. The call follows the
        set, which holds each class to the same coverage; ``predict`` follows the probability.
        """
        sets = self.predict_set(X)
        calls = np.full(len(sets), ABSTAIN, dtype=object)
        sure = sets.sum(axis=1) == 1
        calls[sure] = self.classes_[sets[sure].argmax(axis=1)]
        return calls

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = get_tags(self._base()).input_tags.allow_nan
        return tags

    def _base(self) -> Any:
        return ResistanceClassifier() if self.estimator is None else self.estimator

    def _finite(self) -> bool | str:
        return "allow-nan" if get_tags(self._base()).input_tags.allow_nan else True

    def _checked(self, X: ArrayLike, y: ArrayLike) -> tuple[Any, NDArray[np.int_]]:
        features, labels = validate_data(
            self, X, y, dtype=np.float64, ensure_all_finite=self._finite(), ensure_min_samples=2
        )
        check_classification_targets(labels)
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        if self.classes_.size > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"multiclass with {self.classes_.size} classes."
            )
        if self.classes_.size < 2:
            raise ValueError("AbstainingClassifier needs two classes; the labels hold one class")
        return self._named(features), encoded

    def _named(self, features: Array) -> Any:
        """Return the features under their names where they came with names."""
        names = getattr(self, "feature_names_in_", None)
        return features if names is None else pd.DataFrame(features, columns=names)

    def _folds(
        self, encoded: NDArray[np.int_], patients: NDArray[Any]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield training and test positions; both classes stand in every training part."""
        fewest = min(np.unique(patients[encoded == label]).size for label in (0, 1))
        if fewest < 2:
            raise ValueError(
                f"each class needs at least two patients to be calibrated; class counts of "
                f"patients go down to {fewest}"
            )
        n_splits = max(2, min(self.n_splits, fewest))
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=self.random_state)
        for train, test in folds.split(encoded[:, None], encoded, patients):
            if np.unique(encoded[train]).size < 2:
                raise ValueError(
                    "a fold's training part holds one class: too few patients hold nearly all "
                    "samples of the other class; lower n_splits or add patients"
                )
            yield train, test

    def _fit_base(
        self,
        table: Any,
        encoded: NDArray[np.int_],
        rows: NDArray[np.intp],
        groups: NDArray[Any] | None,
    ) -> Any:
        model = clone(self._base())
        extra: dict[str, Any] = {}
        if groups is not None and has_fit_parameter(model, "groups"):
            extra["groups"] = groups[rows]
        return model.fit(_rows(table, rows), self.classes_[encoded[rows]], **extra)

    def _scores(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        features = validate_data(
            self, X, dtype=np.float64, ensure_all_finite=self._finite(), reset=False
        )
        return _log_odds(self.estimator_, self._named(features))


def _rows(table: Any, rows: NDArray[np.intp]) -> Any:
    return table.iloc[rows] if isinstance(table, pd.DataFrame) else table[rows]


def _log_odds(model: Any, table: Any) -> Array:
    """Return the log-odds of the positive class (n_samples,); a margin where there are none."""
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(table), dtype=float)
    # A share of votes can be 0 or 1.
    return np.asarray(logit(np.clip(model.predict_proba(table)[:, 1], _EDGE, 1.0 - _EDGE)))
