"""Fixed predictors on the splits of a validation: published scores and the class prior."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.dummy import DummyClassifier

from features.reference import Standardisation
from models.candidates import Candidate, Estimator, base_log_odds, resistance_score
from models.learner import FeatureSource, Learner
from models.signatures import SignatureClassifier
from models.splits import Split, check_splits

__all__ = ["predict_baseline", "predict_signatures"]


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
        test = learner.table(split.train).iloc[split.test]
        score = resistance_score(classifier, test)
        rows = samples.iloc[split.test][["cohort", "patient_id", "resistant"]]
        prior = float(samples["resistant"].iloc[split.train].mean())
        probability = expit(score + base_log_odds(classifier))
        parts.append(
            rows.assign(split=split.name, score=score, probability=probability, prior=prior)
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
