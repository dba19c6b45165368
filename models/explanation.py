"""SHAP attributions of a prediction, per feature and summed to mechanisms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from models.calibration import Calibrator
from models.candidates import AveragedModels, FeatureModel, base_log_odds
from models.classifier import ResistanceClassifier
from models.linear import SignedLogisticRegression

__all__ = ["NOT_MEASURED", "Attributions", "explain"]

Array = NDArray[np.float64]
_LEAST_DISTANCE = 1e-9

NOT_MEASURED = "not_measured"
"""Column of the attributions of missing features in sums over mechanisms."""


@dataclass(frozen=True)
class Attributions:
    """Why each sample got its probability, in calibrated log-odds of resistance.

    Attributes
    ----------
    values
        (n_samples, n_features); with ``base_value`` a row sums to the calibrated log-odds.
    base_value
        (n_samples,); what the model says before it has seen a feature, the same for all but for
        what a calibration that is not linear cannot share out.
    features
        (n_samples, n_features); the standardised features the model saw. Where one is NaN, what
        stands in ``values`` is what the model makes of its absence.
    """

    values: pd.DataFrame
    base_value: "pd.Series[float]"
    features: pd.DataFrame

    @classmethod
    def concat(cls, parts: "Sequence[Attributions]") -> "Attributions":
        """Return the attributions of several sets of samples as one."""
        return cls(
            pd.concat([part.values for part in parts]),
            pd.concat([part.base_value for part in parts]),
            pd.concat([part.features for part in parts]),
        )

    def of(self, samples: pd.Index) -> "Attributions":
        """Return the attributions of some samples."""
        return Attributions(
            self.values.loc[samples], self.base_value.loc[samples], self.features.loc[samples]
        )

    def by_mechanism(self, mechanisms: Mapping[str, str]) -> pd.DataFrame:
        """Return the sums over each mechanism class (n_samples, n_mechanisms).

        Missing features are summed to a column of their own, ``not_measured``: their absence
        says nothing about their mechanism.
        """
        classes = self.values.columns.map(lambda feature: mechanisms.get(str(feature), "other"))
        measured = self.features.notna()
        present = self.values.where(measured, 0.0)
        sums = present.T.groupby(np.asarray(classes), sort=True).sum().T
        absent = self.values.where(~measured, 0.0).sum(axis=1)
        return sums.assign(**{NOT_MEASURED: absent})

    def leading_mechanisms(self, mechanisms: Mapping[str, str], *, most: int = 3) -> pd.DataFrame:
        """Return the mechanisms that push most towards resistance (n_samples, most).

        Columns ``mechanism_1`` …; empty (None) where fewer mechanisms push that way. Only
        features that were measured count.
        """
        sums = self.by_mechanism(mechanisms).drop(columns=NOT_MEASURED)
        rows = []
        for values in sums.to_numpy():
            order = [i for i in np.argsort(-values, kind="stable")[:most] if values[i] > 0]
            names: list[str | None] = [str(sums.columns[i]) for i in order]
            rows.append(names + [None] * (most - len(names)))
        columns = [f"mechanism_{rank}" for rank in range(1, most + 1)]
        return pd.DataFrame(rows, index=sums.index, columns=columns, dtype=object)


def explain(classifier: Any, calibrator: Calibrator, X: pd.DataFrame) -> Attributions:
    """Return exact SHAP attributions on the calibrated scale.

    Trees are explained by TreeSHAP averaged over seeds, linear models by their terms, averages of
    models by the averages of both. A calibration stretches a sample's log-odds; its attributions
    are stretched by the same factor, so that they still add up: by the slope where it is linear
    (Platt), by the ratio of the calibrated to the raw distance from the base value elsewhere.

    Parameters
    ----------
    classifier
        Fitted :class:`ResistanceClassifier`, :class:`SignedLogisticRegression`,
        :class:`FeatureModel` or :class:`AveragedModels`.
    calibrator
        Fitted; rises with the log-odds.
    X
        Standardised features (n_samples, n_features).

    References
    ----------
    Lundberg et al., Nat Mach Intell 2020, doi:10.1038/s42256-019-0138-9.
    """
    values, base = _raw_attributions(classifier, X)
    base -= base_log_odds(classifier)
    raw = values.sum(axis=1)
    calibrated_base = float(calibrator.calibrated_log_odds(np.array([base]))[0])
    distance = calibrator.calibrated_log_odds(base + raw) - calibrated_base
    moved = np.abs(raw) > _LEAST_DISTANCE
    factor = np.divide(distance, raw, out=np.zeros_like(raw), where=moved)
    # What the division rounds off, or a sample at the base value cannot carry, goes to its base.
    scaled = factor[:, None] * values
    rest = distance - scaled.sum(axis=1)
    return Attributions(
        pd.DataFrame(scaled, index=X.index, columns=X.columns),
        pd.Series(calibrated_base + rest, index=X.index, name="base_value"),
        X,
    )


@singledispatch
def _raw_attributions(classifier: Any, X: pd.DataFrame) -> tuple[Array, float]:
    """Return attributions (n_samples, n_features) and base value in uncalibrated log-odds."""
    raise TypeError(f"no attributions of {X.shape} features for {type(classifier).__name__}")


@_raw_attributions.register
def _of_trees(classifier: ResistanceClassifier, X: pd.DataFrame) -> tuple[Array, float]:
    import shap

    features = validate_data(
        classifier, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
    )
    values = np.zeros(X.shape)
    base = 0.0
    for member in classifier.estimators_:
        found = shap.TreeExplainer(member.booster_)(features)
        values += _positive_class(np.asarray(found.values)) / len(classifier.estimators_)
        base += float(np.ravel(found.base_values)[-1]) / len(classifier.estimators_)
    return values, base


@_raw_attributions.register
def _of_line(classifier: SignedLogisticRegression, X: pd.DataFrame) -> tuple[Array, float]:
    return classifier.contributions(X), classifier.intercept_


@_raw_attributions.register
def _of_columns(classifier: FeatureModel, X: pd.DataFrame) -> tuple[Array, float]:
    columns = list(classifier.columns)
    found, base = _raw_attributions(classifier.estimator_, X[columns])
    values = np.zeros(X.shape)
    values[:, X.columns.get_indexer(pd.Index(columns))] = found
    return values, base


@_raw_attributions.register
def _of_average(classifier: AveragedModels, X: pd.DataFrame) -> tuple[Array, float]:
    parts = [_raw_attributions(model, X) for model in classifier.models_]
    values = np.mean([values for values, _ in parts], axis=0)
    return values, float(np.mean([base for _, base in parts]))


def _positive_class(values: Array) -> Array:
    """Return (n_samples, n_features) whether or not shap adds an axis for the class."""
    return values[..., -1] if values.ndim == 3 else values
