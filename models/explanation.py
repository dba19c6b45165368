"""SHAP attributions of a prediction, per feature and summed to mechanisms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.utils.validation import validate_data

from models.calibration import Calibrator
from models.candidates import AveragedModels, FeatureModel, base_log_odds, resistance_score
from models.classifier import ResistanceClassifier
from models.linear import SignedLogisticRegression
from models.regressor import ResistanceRegressor

__all__ = [
    "NOT_MEASURED",
    "AdditivityError",
    "Attributions",
    "check_additivity",
    "explain",
    "raw_attributions",
]

Array = NDArray[np.float64]
_LEAST_DISTANCE = 1e-9
_STEP = 1e-3
_TOLERANCE = 1e-6
_CHUNK_ROWS = 4096

NOT_MEASURED = "not_measured"
"""Column of the attributions of missing features in sums over mechanisms."""


class AdditivityError(RuntimeError):
    """Attributions do not add up to what the model says: a fault of ours, not of the input."""


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
    scale
        What a row sums to: ``log_odds``, or ``probability`` (:meth:`in_probability`).
    """

    values: pd.DataFrame
    base_value: "pd.Series[float]"
    features: pd.DataFrame
    scale: Literal["log_odds", "probability"] = "log_odds"

    @property
    def log_odds(self) -> "pd.Series[float]":
        """Calibrated log-odds of resistance of each sample (n_samples,)."""
        total = self._total()
        found = logit(total) if self.scale == "probability" else total
        return pd.Series(found, index=self.values.index, name="log_odds")

    @property
    def probability(self) -> "pd.Series[float]":
        """Calibrated probability of resistance of each sample (n_samples,)."""
        total = self._total()
        found = total if self.scale == "probability" else expit(total)
        return pd.Series(found, index=self.values.index, name="probability")

    def in_probability(self) -> "Attributions":
        """Return the attributions in probability, so that a reader can add them up.

        Each sample's values are multiplied by a factor of its own, ``(p - p_base) / (l - l_base)``
        (``p`` the calibrated probability, ``l`` its log-odds, ``base`` those of the base value):
        what the features move the probability by, shared out as they share the log-odds. Signs,
        order and shares within a sample stay, and a row with its base value sums to the
        probability. They are not the Shapley values of the probability itself, which weigh each
        step of the curve anew; and as factors differ, one attribution in log-odds is more
        percentage points for a sample near one half than for one near 0 or 1: compare samples in
        log-odds.
        """
        if self.scale == "probability":
            return self
        base = self.base_value.to_numpy()
        distance = self.log_odds.to_numpy() - base
        start = expit(base)
        factor = _ratio(expit(base + distance) - start, distance, at_zero=start * (1.0 - start))
        return Attributions(
            self.values.mul(factor, axis=0),
            pd.Series(start, index=self.base_value.index, name=self.base_value.name),
            self.features,
            "probability",
        )

    @classmethod
    def concat(cls, parts: "Sequence[Attributions]") -> "Attributions":
        """Return the attributions of several sets of samples as one."""
        return cls(
            pd.concat([part.values for part in parts]),
            pd.concat([part.base_value for part in parts]),
            pd.concat([part.features for part in parts]),
            parts[0].scale,
        )

    def of(self, samples: pd.Index) -> "Attributions":
        """Return the attributions of some samples."""
        return Attributions(
            self.values.loc[samples],
            self.base_value.loc[samples],
            self.features.loc[samples],
            self.scale,
        )

    def by_group(self, groups: Mapping[str, str]) -> pd.DataFrame:
        """Return the sums over each group of features (n_samples, n_groups).

        Features without a group are ``other``. Missing features are summed to a column of their
        own, ``not_measured``: their absence says nothing about their group.
        """
        classes = self.values.columns.map(lambda feature: groups.get(str(feature), "other"))
        measured = self.features.notna()
        present = self.values.where(measured, 0.0)
        sums = present.T.groupby(np.asarray(classes), sort=True).sum().T
        absent = self.values.where(~measured, 0.0).sum(axis=1)
        return sums.assign(**{NOT_MEASURED: absent})

    def by_mechanism(self, mechanisms: Mapping[str, str]) -> pd.DataFrame:
        """Return the sums over each mechanism class (n_samples, n_mechanisms): :meth:`by_group`."""
        return self.by_group(mechanisms)

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

    def _total(self) -> Array:
        return np.asarray(self.base_value + self.values.sum(axis=1))


def explain(
    classifier: Any, calibrator: Calibrator, X: pd.DataFrame, *, log_odds: ArrayLike | None = None
) -> Attributions:
    """Return exact SHAP attributions on the calibrated scale.

    Trees are explained by LightGBM's own TreeSHAP averaged over seeds, linear models by their
    terms, averages of models by the averages of both. A calibration stretches a sample's log-odds;
    its attributions are stretched by the same factor, so that they still add up: by the slope
    where it is linear (Platt), by the ratio of the calibrated to the raw distance from the base
    value elsewhere.

    For every sample, base value and attributions are checked to add up to what the model itself
    says, to 1e-6. Rows are taken in chunks: beyond the table that is returned, memory does not
    grow with them.

    Parameters
    ----------
    classifier
        Fitted :class:`ResistanceClassifier`, :class:`SignedLogisticRegression`,
        :class:`FeatureModel` or :class:`AveragedModels`.
    calibrator
        Fitted; rises with the log-odds.
    X
        Standardised features (n_samples, n_features).
    log_odds
        What :func:`models.candidates.resistance_score` says of these samples (n_samples,), where
        it is known already: it need not be predicted again to be checked against.

    Raises
    ------
    AdditivityError
        Attributions do not add up to the log-odds.

    References
    ----------
    Lundberg et al., Nat Mach Intell 2020, doi:10.1038/s42256-019-0138-9.
    """
    known = None if log_odds is None else np.asarray(log_odds, dtype=float)
    values, base_value = np.empty(X.shape), np.empty(len(X))
    for rows in _chunks(len(X)):
        part = X.iloc[rows]
        raw, base = raw_attributions(classifier, part)
        base -= base_log_odds(classifier)
        score = resistance_score(classifier, part) if known is None else known[rows]
        check_additivity(base + raw.sum(axis=1), score, samples=part.index)
        values[rows], base_value[rows] = _calibrated(raw, base, score, calibrator)
    return Attributions(
        pd.DataFrame(values, index=X.index, columns=X.columns, copy=False),
        pd.Series(base_value, index=X.index, name="base_value"),
        X,
    )


def check_additivity(total: Array, expected: Array, *, samples: pd.Index) -> None:
    """Refuse sums (n_samples,) that are not what is expected, to 1e-6 (of it, where it exceeds 1).

    Raises
    ------
    AdditivityError
        Names the sample that is farthest off.
    """
    gap = np.abs(total - expected)
    wrong = ~(gap <= _TOLERANCE * np.maximum(1.0, np.abs(expected)))
    if not wrong.any():
        return
    worst = int(np.argmax(np.where(np.isnan(gap), np.inf, gap)))
    raise AdditivityError(
        f"SHAP of sample '{samples[worst]}' adds up to {total[worst]:.9g}; it should be "
        f"{expected[worst]:.9g}: {gap[worst]:.2g} apart, at most {_TOLERANCE:g} allowed "
        f"({int(wrong.sum())} of {len(samples)} samples breach it). A fault of OncoResist or of "
        "the library that explains, not of the input: please report it"
    )


def _chunks(n_samples: int) -> Iterator[slice]:
    """Yield slices of so many rows that what is worked out for them stays a few megabytes."""
    for start in range(0, n_samples, _CHUNK_ROWS):
        yield slice(start, start + _CHUNK_ROWS)


def _calibrated(
    raw: Array, base: float, score: Array, calibrator: Calibrator
) -> tuple[Array, Array]:
    """Return attributions (n_samples, n_features) and base values on the calibrated scale."""
    around = calibrator.calibrated_log_odds(np.array([base - _STEP, base, base + _STEP]))
    distance = calibrator.calibrated_log_odds(score) - around[1]
    slope = np.full(len(score), (around[2] - around[0]) / (2 * _STEP))
    factor = _ratio(distance, raw.sum(axis=1), at_zero=slope)
    scaled = factor[:, None] * raw
    # What the division rounds off, or a sample at the base value cannot carry, goes to its base.
    return scaled, around[1] + distance - scaled.sum(axis=1)


def _ratio(moved: Array, by: Array, *, at_zero: Array) -> Array:
    """Return ``moved / by``, and its limit where ``by`` is next to nothing."""
    return np.divide(moved, by, out=at_zero.copy(), where=np.abs(by) > _LEAST_DISTANCE)


@singledispatch
def raw_attributions(classifier: Any, X: pd.DataFrame) -> tuple[Array, float]:
    """Return attributions (n_samples, n_features) and base value of a model's raw score.

    Uncalibrated log-odds of a classifier, resistance of a regressor.
    """
    raise TypeError(f"no attributions of {X.shape} features for {type(classifier).__name__}")


@raw_attributions.register
def _of_trees(
    classifier: ResistanceClassifier | ResistanceRegressor, X: pd.DataFrame
) -> tuple[Array, float]:
    features = validate_data(
        classifier, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
    )
    total = np.zeros((features.shape[0], features.shape[1] + 1))
    for booster in classifier.estimators_:
        # The last column is the expected value of the trees.
        total += booster.predict(features, pred_contrib=True)
    total /= len(classifier.estimators_)
    return total[:, :-1], float(total[0, -1])


@raw_attributions.register
def _of_line(classifier: SignedLogisticRegression, X: pd.DataFrame) -> tuple[Array, float]:
    return classifier.contributions(X), classifier.intercept_


@raw_attributions.register
def _of_columns(classifier: FeatureModel, X: pd.DataFrame) -> tuple[Array, float]:
    columns = list(classifier.columns)
    found, base = raw_attributions(classifier.estimator_, X[columns])
    values = np.zeros(X.shape)
    values[:, X.columns.get_indexer(pd.Index(columns))] = found
    return values, base


@raw_attributions.register
def _of_average(classifier: AveragedModels, X: pd.DataFrame) -> tuple[Array, float]:
    parts = [raw_attributions(model, X) for model in classifier.models_]
    values = np.mean([values for values, _ in parts], axis=0)
    return values, float(np.mean([base for _, base in parts]))
