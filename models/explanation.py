"""SHAP attributions of a prediction, per feature and summed to mechanisms."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.calibration import PlattCalibrator
from models.classifier import ResistanceClassifier

__all__ = ["NOT_MEASURED", "Attributions", "explain"]

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
        (n_samples,); what the model says before it has seen a feature.
    features
        (n_samples, n_features); the standardised features the model saw. Where one is NaN, what
        stands in ``values`` is what the model makes of its absence.
    """

    values: pd.DataFrame
    base_value: "pd.Series[float]"
    features: pd.DataFrame

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


def explain(
    classifier: ResistanceClassifier, calibrator: PlattCalibrator, X: pd.DataFrame
) -> Attributions:
    """Return exact TreeSHAP attributions, averaged over seeds, on the calibrated scale.

    Parameters
    ----------
    classifier, calibrator
        Fitted; the calibrator is linear in log-odds, so attributions scale with its slope.
    X
        Standardised features (n_samples, n_features).

    References
    ----------
    Lundberg et al., Nat Mach Intell 2020, doi:10.1038/s42256-019-0138-9.
    """
    import shap

    values = np.zeros(X.shape)
    base = 0.0
    for member in classifier.estimators_:
        found = shap.TreeExplainer(member.booster_)(X.to_numpy(dtype=float))
        values += _positive_class(np.asarray(found.values)) / len(classifier.estimators_)
        base += float(np.ravel(found.base_values)[-1]) / len(classifier.estimators_)
    slope, intercept = calibrator.slope_, calibrator.intercept_
    return Attributions(
        pd.DataFrame(slope * values, index=X.index, columns=X.columns),
        pd.Series(slope * base + intercept, index=X.index, name="base_value"),
        X,
    )


def _positive_class(values: np.ndarray) -> np.ndarray:
    """Return (n_samples, n_features) whether or not shap adds an axis for the class."""
    return values[..., -1] if values.ndim == 3 else values
