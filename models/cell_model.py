"""The cell-level model: trees over cells that carry their lesion's label, added up by lesion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.utils.validation import check_is_fitted

from features.errors import ConfigError, ModelError, examples
from models.calibration import PlattCalibrator
from models.candidates import FeatureModel, Setting, resistance_score
from models.cell_table import CellTable, check_lesions
from models.classifier import ResistanceClassifier
from models.explanation import Attributions, explain
from models.splits import patient_keys

__all__ = ["CellModel", "aggregate_cells", "fit_cell_model"]

Array = NDArray[np.float64]
_CHUNK_ROWS = 65_536
_MOST_CERTAIN = 1e-12
_SET_HERE = {"monotone_constraints", "n_jobs", "random_state"}


@dataclass(frozen=True)
class CellModel:
    """Trees over cells; what they say of a cell is not calibrated.

    A lesion's label is not true of each of its cells, so a cell's score says how much it looks
    like the cells of resistant lesions, not how likely the cell itself resists.

    Attributes
    ----------
    classifier
        Fitted on standardised cells.
    feature_names
        Columns it takes, in order.
    centre, scale
        (n_features,) mean and standard deviation over the training cells, each lesion the same
        weight; 0 and 1 of a feature that was never measured, scale 1 of one that never varied.
    max_cells
        Most cells a lesion that it was fitted on.
    """

    classifier: FeatureModel
    feature_names: tuple[str, ...]
    centre: Array
    scale: Array
    max_cells: int

    def standardise(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return standardised features (n_cells, n_features), float32.

        Raises
        ------
        ModelError
            A feature column is missing.
        """
        missing = [name for name in self.feature_names if name not in features]
        if missing:
            raise ModelError(
                f"the table of cells lacks {len(missing)} columns of the cell-level model "
                f"({examples(missing)}); score the cells with the model's own catalogue"
            )
        values = features[list(self.feature_names)].to_numpy(dtype=np.float64)
        scaled = ((values - self.centre) / self.scale).astype(np.float32)
        return pd.DataFrame(scaled, index=features.index, columns=list(self.feature_names))

    def log_odds(self, features: pd.DataFrame) -> "pd.Series[float]":
        """Return each cell's log-odds beyond the base rate of the training (n_cells,)."""
        found = np.empty(len(features))
        for rows in _chunks(len(features)):
            table = self.standardise(features.iloc[rows])
            found[rows] = resistance_score(self.classifier, table)
        return pd.Series(found, index=features.index, name="log_odds")

    def predict(self, features: pd.DataFrame) -> "pd.Series[float]":
        """Return each cell's score in (0, 1); uncalibrated, 0.5 says nothing either way (n_cells,).

        The base rate of the training is taken off, so that models fitted on other lesions have
        the same middle.
        """
        return pd.Series(expit(self.log_odds(features)), index=features.index, name="score")

    def aggregate(
        self, scores: "pd.Series[float]", samples: "pd.Series[Any]"
    ) -> "pd.Series[float]":
        """Return each lesion's mean log-odds over its cells: :func:`aggregate_cells`."""
        return aggregate_cells(scores, samples)

    def explain(self, features: pd.DataFrame) -> Attributions:
        """Return SHAP values (n_cells, n_features) in uncalibrated log-odds beyond the base rate.

        References
        ----------
        Lundberg et al., Nat Mach Intell 2020, doi:10.1038/s42256-019-0138-9.
        """
        as_it_is = PlattCalibrator()
        as_it_is.slope_, as_it_is.intercept_ = 1.0, 0.0
        return explain(self.classifier, as_it_is, self.standardise(features))

    def to_parts(self) -> dict[str, Any]:
        """Return the model as plain parts: the classifier, arrays, names and a number."""
        return {
            "classifier": self.classifier,
            "feature_names": list(self.feature_names),
            "centre": self.centre,
            "scale": self.scale,
            "max_cells": self.max_cells,
        }

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> "CellModel":
        """Return the model of :meth:`to_parts`.

        Raises
        ------
        ModelError
            A part is missing, or they do not fit one another.
        """
        missing = [name for name in cls.__dataclass_fields__ if name not in parts]
        if missing:
            raise ModelError(
                f"the cell-level model lacks {examples(missing)}; train the model again"
            )
        names = tuple(str(name) for name in parts["feature_names"])
        centre, scale = (np.asarray(parts[name], dtype=float) for name in ("centre", "scale"))
        if not centre.shape == scale.shape == (len(names),):
            raise ModelError(
                f"the cell-level model has {len(names)} features, {centre.size} centres and "
                f"{scale.size} scales; train the model again"
            )
        check_is_fitted(parts["classifier"], "estimator_")
        return cls(parts["classifier"], names, centre, scale, int(parts["max_cells"]))


def aggregate_cells(
    scores: "pd.Series[float]", samples: "pd.Series[Any]", *, lesions: pd.Index | None = None
) -> "pd.Series[float]":
    """Return the mean log-odds over each lesion's cells (n_lesions,).

    Parameters
    ----------
    scores
        In (0, 1), by cell (:meth:`CellModel.predict`); cells without one are left out.
    samples
        Lesion of each cell, by cell.
    lesions
        Which, in which order; NaN where one has no cells. None: those there are, sorted.

    Examples
    --------
    >>> aggregate_cells(pd.Series([0.5, 0.8, 0.5]), pd.Series(["a", "a", "b"])).round(3).to_dict()
    {'a': 0.693, 'b': 0.0}
    """
    kept = np.clip(scores.to_numpy(dtype=float), _MOST_CERTAIN, 1.0 - _MOST_CERTAIN)
    names = samples.reindex(scores.index).to_numpy(dtype=object)
    means = pd.Series(logit(kept)).groupby(names, sort=True).mean().rename("score")
    return means if lesions is None else means.reindex(lesions)


def fit_cell_model(
    table: CellTable,
    lesions: pd.DataFrame,
    *,
    settings: Mapping[str, Setting],
    signs: Mapping[str, int] | None = None,
    max_cells: int = 500,
    seed: int = 0,
    n_jobs: int | None = None,
) -> CellModel:
    """Return trees fitted on the cells of labelled lesions, each cell with its lesion's label.

    Patients weigh the same, and so do a patient's lesions among themselves, however many cells
    they gave. With a lesion for each cell the same function learns from labels of cells.

    Parameters
    ----------
    table
        Cells; those of lesions that are not in ``lesions`` or have no label take no part.
    lesions
        Index lesion; ``resistant`` (1, 0, NaN), ``patient_id``, ``cohort``.
    settings
        Arguments of :class:`ResistanceClassifier`.
    signs
        +1, -1 or 0 by feature, held by the trees; None for none.
    max_cells
        Most cells of a lesion, drawn by ``seed``.
    n_jobs
        Threads over the classifier's seeds; the result does not depend on it.

    Raises
    ------
    CohortError
        The table of lesions lacks a column, repeats a lesion or has labels other than 1, 0, NaN.
    ConfigError
        A setting is unknown, or ``max_cells`` is less than one.
    ModelError
        The labelled lesions with cells are not of two classes.
    """
    check_lesions(lesions)
    _check_settings(settings, max_cells=max_cells)
    rows = _training_lesions(table, lesions)
    chosen = table.positions(list(rows.index), max_cells=max_cells, seed=seed)
    cells, names = table.features.iloc[chosen], table.samples.iloc[chosen].astype(str)
    centre, scale = _centre_and_scale(cells, names)
    columns = [str(name) for name in cells]
    trees = ResistanceClassifier(
        **dict[str, Any](settings),
        monotone_constraints={name: (signs or {}).get(name, 0) for name in columns},
        random_state=seed,
        n_jobs=n_jobs,
    )
    classifier = FeatureModel(trees, columns, weigh_cohorts=True)
    model = CellModel(classifier, tuple(columns), centre, scale, max_cells)
    # Two levels of equal weight: lesions stand where patients do elsewhere, patients where cohorts.
    classifier.fit(
        model.standardise(cells),
        names.map(rows["resistant"].astype(int)).to_numpy(),
        groups=names.to_numpy(),
        cohorts=names.map(patient_keys(rows)).to_numpy(),
    )
    return model


def _check_settings(settings: Mapping[str, Setting], *, max_cells: int) -> None:
    known = sorted(set(ResistanceClassifier().get_params()) - _SET_HERE)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(
            f"the cell-level model has no settings {examples(unknown)}; "
            f"allowed: {examples(known, most=len(known))}"
        )
    if max_cells < 1:
        raise ConfigError(f"max_cells of the cell-level model is {max_cells}; at least 1")


def _training_lesions(table: CellTable, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the lesions that have a label and cells, by their names as text."""
    with_cells = (table.counts(lesions.index) > 0).to_numpy()
    rows = lesions[lesions["resistant"].notna().to_numpy() & with_cells].rename(index=str)
    classes = rows["resistant"].nunique()
    if classes < 2:
        raise ModelError(
            "the cell-level model needs cells of resistant and of responsive lesions; "
            f"{len(rows)} of {len(lesions)} lesions have both a label and cells, and they are of "
            f"{classes} classes; check that the cells name their lesions as the labels do"
        )
    return rows


def _centre_and_scale(cells: pd.DataFrame, samples: "pd.Series[str]") -> tuple[Array, Array]:
    """Return mean and standard deviation of each feature, each lesion the same weight."""
    values = cells.to_numpy(dtype=np.float64)
    weights = 1.0 / samples.map(samples.value_counts()).to_numpy(dtype=float)
    measured = np.isfinite(values) * weights[:, None]
    total = measured.sum(axis=0)
    filled = np.nan_to_num(values)
    known = total > 0
    share = measured / np.where(known, total, 1.0)
    centre = (share * filled).sum(axis=0)
    spread = np.sqrt((share * (filled - centre) ** 2).sum(axis=0))
    # A constant float32 column differs from its own mean by rounding alone.
    varies = spread > 1e-6 * np.maximum(np.abs(centre), 1.0)
    return centre, np.where(known & varies, spread, 1.0)


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK_ROWS):
        yield slice(start, start + _CHUNK_ROWS)
