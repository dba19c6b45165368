"""What two samples of a patient say: features before therapy, on therapy, and their change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from models.baselines import predict_baseline, predict_signatures
from models.candidates import FeatureModel
from models.linear import SignedLogisticRegression
from models.splits import Split

__all__ = ["FeatureSet", "feature_sets", "predict_feature_set", "predict_scores"]


@dataclass(frozen=True)
class FeatureSet:
    """Features of patients (n_patients, n_features), and the signs held: +1, -1 or 0 by name."""

    features: pd.DataFrame
    signs: Mapping[str, int]


def feature_sets(
    pre: pd.DataFrame, on: pd.DataFrame, *, signs: Mapping[str, int]
) -> dict[str, FeatureSet]:
    """Return what a model of pairs can be given, by name.

    Parameters
    ----------
    pre, on
        Unstandardised rank features of the same transformer (n_patients, n_features), before and
        on therapy, same index and columns.
    signs
        Of the catalogue, by feature.

    Returns
    -------
    sets
        ``pre``, ``on``; ``change`` (on minus pre); ``pre_and_change``; and ``pre_unsigned``,
        which tells what the signs do.

    Notes
    -----
    The catalogue's signs are of the level of a feature, and are held for levels alone: that a
    marker of resistance rises under therapy need not go with resistance. The change is taken of
    unstandardised features: a rank among one fixed background means the same at both timepoints,
    while each timepoint standardised by itself would lose what moves in all patients and would
    put the two on different scales.
    """
    change = on - pre
    both = pre.add_prefix("pre.").join(change.add_prefix("change."))
    held = {str(name): signs.get(str(name), 0) for name in pre.columns}
    return {
        "pre": FeatureSet(pre, held),
        "on": FeatureSet(on, held),
        "change": FeatureSet(change, {}),
        "pre_and_change": FeatureSet(both, {f"pre.{name}": sign for name, sign in held.items()}),
        "pre_unsigned": FeatureSet(pre, {}),
    }


def predict_feature_set(
    patients: pd.DataFrame, found: FeatureSet, *, splits: Sequence[Split], min_cohort_size: int
) -> pd.DataFrame:
    """Return out-of-fold predictions of one small model that nothing is tuned of.

    It is a sign-held elastic-net logistic regression (``alpha`` 0.3, ``l1_ratio`` 0.1) on features
    standardised within the cohort; its probabilities are taken as they are.

    Parameters
    ----------
    patients
        One row a patient: ``cohort, patient_id, resistant``.
    found
        Features and signs on the same index.
    splits
        Patient-grouped folds; their repeats may give a patient several rows.
    min_cohort_size
        Fewest patients of a cohort to standardise.
    """
    columns = [str(name) for name in found.features.columns]
    return predict_baseline(
        patients,
        splits,
        features_of=lambda cohorts: found.features,
        make_classifier=lambda: FeatureModel(
            SignedLogisticRegression(alpha=0.3, l1_ratio=0.1, signs=dict(found.signs)), columns
        ),
        standardisation="cohort",
        min_cohort_size=min_cohort_size,
    )


def predict_scores(
    patients: pd.DataFrame, scores: pd.DataFrame, *, splits: Sequence[Split], min_cohort_size: int
) -> dict[str, pd.DataFrame]:
    """Return the predictions of scores that are not fitted, and of the class prior (``prior``).

    A score (n_patients, n_scores; higher is resistant) ranks as it stands; a logistic curve over
    the training part makes it a probability. The prior ranks nobody: its score is 0.
    """
    predicted = predict_signatures(
        patients,
        splits,
        scores=scores,
        standardisation="cohort",
        min_cohort_size=min_cohort_size,
    )
    for name, frame in predicted.items():
        # Curves and shares of different folds must not shift the ranks against one another.
        own = scores[name].reindex(frame.index).to_numpy() if name in scores else 0.0
        frame["score"] = own
    return predicted
