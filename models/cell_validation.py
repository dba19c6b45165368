"""Validation of the cell-level model: cells and lesions scored by models that saw neither."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from models.calibration import Calibrator, PlattCalibrator
from models.candidates import Setting, base_log_odds
from models.cell_model import CellModel, aggregate_cells, fit_cell_model
from models.cell_table import CellTable, check_lesions
from models.explanation import Attributions
from models.splits import Split, check_splits, inner_splits

__all__ = ["CellOutOfFold", "predict_cells_out_of_fold"]


@dataclass(frozen=True)
class CellOutOfFold:
    """Scores of cells and lesions by models that trained on none of the patient's cells.

    Attributes
    ----------
    cells
        Index cell id (again for each repeat): ``sample`` (its lesion), ``split``, ``log_odds``
        (beyond the base rate) and ``score`` in (0, 1), both uncalibrated.
    lesions
        Index lesion, as :attr:`models.validation.OutOfFold.predictions` without sets:
        ``cohort, patient_id, resistant, split, score`` (mean log-odds of its cells),
        ``probability``, ``prior`` (share of resistant lesions in the training part) and
        ``n_cells``. A lesion without cells has neither score nor probability.
    importance
        (n_splits, n_features) mean |SHAP| over the cells held out that were explained, each lesion
        the same weight, uncalibrated log-odds. Without columns where none were explained.
    attributions
        SHAP of those cells, each by the model that did not see it (again for each repeat); None
        where none were explained.
    """

    cells: pd.DataFrame
    lesions: pd.DataFrame
    importance: pd.DataFrame
    attributions: Attributions | None = None

    def cell_scores(self) -> "pd.Series[float]":
        """Return one score in (0, 1) a cell: of its mean log-odds over the repeats."""
        means = self.cells["log_odds"].groupby(level=0, sort=False).mean()
        return pd.Series(expit(means), index=means.index, name="score")


def predict_cells_out_of_fold(
    table: CellTable,
    lesions: pd.DataFrame,
    *,
    splits: Sequence[Split],
    settings: Mapping[str, Setting],
    signs: Mapping[str, int] | None = None,
    max_cells: int = 500,
    explained_cells: int = 0,
    calibrate: bool = True,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> CellOutOfFold:
    """Return scores of each split's test cells and lesions by a model fitted on its training part.

    Parameters
    ----------
    table, lesions, settings, signs, max_cells, seed, n_jobs
        As for :func:`models.cell_model.fit_cell_model`.
    splits
        Positions among the rows of ``lesions``; a patient on both sides is refused.
    explained_cells
        Most cells a lesion whose score is explained; 0 explains none.
    calibrate
        Fit Platt's map of each split on the scores of splits inside its training part, which costs
        as many further models. Without it a probability is the score with the training's base rate
        given back, uncalibrated.
    progress
        Told of each split as it begins.

    Raises
    ------
    CohortError
        A patient stands on both sides of a split, or a training part has a single patient of one
        class: it cannot be calibrated.
    ModelError
        A training part lacks cells of one class.
    """
    check_lesions(lesions)
    check_splits(lesions, splits)

    fit = partial(
        fit_cell_model,
        table,
        settings=settings,
        signs=signs,
        max_cells=max_cells,
        seed=seed,
        n_jobs=n_jobs,
    )
    cells, rows, importance, explained = [], [], [], []
    for number, split in enumerate(splits, start=1):
        progress(f"{split.name} held out ({number} of {len(splits)})")
        model, test = fit(lesions.iloc[split.train]), lesions.iloc[split.test]
        scored = _score_cells(model, table, test)
        calibrator = _inner_calibrator(fit, table, lesions, split) if calibrate else None
        cells.append(scored.assign(split=split.name))
        rows.append(_lesion_rows(scored, lesions, split, model=model, calibrator=calibrator))
        if explained_cells:
            drawn = table.positions(list(test.index), max_cells=explained_cells, seed=seed)
            found = model.explain(table.features.iloc[drawn])
            explained.append(found)
            importance.append(_importance(found, table.samples.iloc[drawn]).rename(split.name))
    names = pd.Index([split.name for split in splits], name="split")
    return CellOutOfFold(
        pd.concat(cells),
        pd.concat(rows),
        pd.DataFrame(importance, index=names),
        Attributions.concat(explained) if explained else None,
    )


def _score_cells(model: CellModel, table: CellTable, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return ``sample, log_odds, score`` of all cells of the lesions."""
    positions = table.positions(list(lesions.index))
    log_odds = model.log_odds(table.features.iloc[positions])
    samples = table.samples.iloc[positions].astype(str)
    return pd.DataFrame({"sample": samples, "log_odds": log_odds, "score": expit(log_odds)})


def _lesion_scores(scored: pd.DataFrame, lesions: pd.Index) -> NDArray[np.float64]:
    """Return the mean log-odds of each lesion's cells (n_lesions,)."""
    names = lesions.astype(str)
    return np.asarray(aggregate_cells(scored["score"], scored["sample"], lesions=names), float)


def _inner_calibrator(
    fit: Callable[[pd.DataFrame], CellModel], table: CellTable, lesions: pd.DataFrame, split: Split
) -> Calibrator:
    """Return Platt's map, fitted on training lesions that an inner model did not see."""
    counts = table.counts(lesions.index).to_numpy()
    labelled = lesions["resistant"].notna().to_numpy()
    train = split.train[(labelled & (counts > 0))[split.train]]
    scores, labels = [], []
    for inner in inner_splits(lesions, train):
        test = lesions.iloc[inner.test]
        scored = _score_cells(fit(lesions.iloc[inner.train]), table, test)
        scores.append(_lesion_scores(scored, test.index))
        labels.append(test["resistant"].to_numpy(dtype=float))
    return PlattCalibrator().fit(np.concatenate(scores), np.concatenate(labels))


def _lesion_rows(
    scored: pd.DataFrame,
    lesions: pd.DataFrame,
    split: Split,
    *,
    model: CellModel,
    calibrator: Calibrator | None,
) -> pd.DataFrame:
    test = lesions.iloc[split.test]
    score = _lesion_scores(scored, test.index)
    if calibrator is None:
        probability = expit(score + base_log_odds(model.classifier))
    else:
        probability = calibrator.predict(score)
    columns: dict[str, Any] = {
        "split": split.name,
        "score": score,
        "probability": probability,
        "prior": float(lesions["resistant"].iloc[split.train].mean()),
        "n_cells": scored["sample"].value_counts().reindex(test.index.astype(str)).to_numpy(),
    }
    found = test[["cohort", "patient_id", "resistant"]].assign(**columns)
    return found.assign(n_cells=found["n_cells"].fillna(0).astype(int))


def _importance(found: Attributions, samples: "pd.Series[Any]") -> "pd.Series[float]":
    """Return the mean |SHAP| of each feature, each lesion the same weight."""
    by_lesion = found.values.abs().groupby(samples.astype(str).to_numpy()).mean()
    return by_lesion.mean()
