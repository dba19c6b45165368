"""Predictions of drug response by models that had not seen the line, or its tissue."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from features.errors import ConfigError, examples
from models.classifier import ResistanceClassifier
from models.explanation import Attributions, raw_attributions
from models.regression_metrics import NO_TISSUE
from models.regressor import ResistanceRegressor

__all__ = [
    "Held",
    "lines_to_hold_out",
    "predict_by_folds",
    "predict_by_tissue",
    "responses_of",
]

Positions = NDArray[np.intp]
COLUMNS = ["line", "tissue", "resistance", "resistant"]


@dataclass(frozen=True)
class Held:
    """Predictions of samples that the model had not seen.

    Attributes
    ----------
    predictions
        Index of samples; ``line, tissue, resistance, resistant, predicted`` (the regression) and
        ``score`` (log-odds of the classification), ``repeat``: a row a sample and repeat.
    attributions
        SHAP of the first repeat's regressions, in the unit of the response; None where there is
        no number to predict.
    """

    predictions: pd.DataFrame
    attributions: Attributions | None


def predict_by_folds(
    X: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    settings: Mapping[str, Any],
    signs: Mapping[str, int],
    n_splits: int,
    n_repeats: int,
    seed: int,
    classify: bool = True,
) -> Held:
    """Return out-of-fold predictions of a response and of its label, lines held out.

    Parameters
    ----------
    X
        Features (n_samples, n_features), standardised without labels.
    samples
        ``line``, ``tissue``, ``resistance`` and ``resistant`` on the same index.
    settings, signs
        Of the trees: one configuration, nothing is chosen.
    n_splits, n_repeats, seed
        Folds; those of a line depend on the line's place in alphabetical order, so that groups of
        one cohort that hold the same lines share them.
    classify
        Predict the label too, not the number alone; else ``score`` is NaN.

    Raises
    ------
    ConfigError
        There are fewer lines than folds.
    """
    parts, explained = [], []
    for repeat, train, test in _folds(samples, n_splits, n_repeats, seed):
        learner = _Learner(X, samples, train, settings, signs, classify=classify)
        parts.append(learner.predict(test).assign(repeat=repeat))
        if repeat == 0 and learner.regressor is not None:
            explained.append(_explain(learner.regressor, X.iloc[test]))
    attributions = Attributions.concat(explained) if explained else None
    return Held(pd.concat(parts), attributions)


def lines_to_hold_out(samples: pd.DataFrame, *, n_splits: int) -> NDArray[np.object_]:
    """Return the lines of samples in alphabetical order.

    Raises
    ------
    ConfigError
        There are fewer lines than folds.
    """
    lines = np.array(sorted(set(samples["line"])), dtype=object)
    if len(lines) < n_splits:
        raise ConfigError(
            f"screens.n_splits is {n_splits}, but there are {len(lines)} lines to hold out "
            f"({examples(lines)}); lower it"
        )
    return lines


def _folds(
    samples: pd.DataFrame, n_splits: int, n_repeats: int, seed: int
) -> Iterator[tuple[int, Positions, Positions]]:
    """Yield the repeats' folds of lines."""
    lines = lines_to_hold_out(samples, n_splits=n_splits)
    place = samples["line"].to_numpy()
    for repeat in range(n_repeats):
        folds = KFold(n_splits, shuffle=True, random_state=seed + repeat)
        for _, held in folds.split(lines):
            test = np.isin(place, lines[held])
            yield repeat, np.flatnonzero(~test), np.flatnonzero(test)


def predict_by_tissue(
    X: pd.DataFrame,
    samples: pd.DataFrame,
    *,
    settings: Mapping[str, Any],
    signs: Mapping[str, int],
    least: int,
) -> pd.DataFrame:
    """Return predictions for each tissue of ``least`` lines or more by a model of the others.

    A line that stands in another tissue too is left out of training with its tissue. Empty where
    there are fewer than two such tissues.
    """
    sizes = samples["tissue"][samples["tissue"] != NO_TISSUE].value_counts()
    large = sorted(sizes.index[sizes >= least])
    parts = []
    for tissue in large if len(large) > 1 else []:
        test = (samples["tissue"] == tissue).to_numpy()
        known = samples["line"].isin(samples["line"][test]).to_numpy()
        learner = _Learner(X, samples, np.flatnonzero(~known), settings, signs)
        parts.append(learner.predict(np.flatnonzero(test)))
    return pd.concat(parts) if parts else pd.DataFrame(columns=[*COLUMNS, "predicted", "score"])


def responses_of(
    train_X: pd.DataFrame,
    train: pd.DataFrame,
    test_X: pd.DataFrame,
    test: pd.DataFrame,
    *,
    settings: Mapping[str, Any],
    signs: Mapping[str, int],
) -> pd.DataFrame:
    """Return the predictions for the samples of one table by a model of another."""
    X = pd.concat([train_X, test_X], keys=["train", "test"])
    samples = pd.concat([train, test], keys=["train", "test"])
    learner = _Learner(X, samples, np.arange(len(train)), settings, signs)
    found = learner.predict(np.arange(len(train), len(samples)))
    return found.droplevel(0)


class _Learner:
    """Regression and classification fitted on some of the samples."""

    def __init__(
        self,
        X: pd.DataFrame,
        samples: pd.DataFrame,
        train: Positions,
        settings: Mapping[str, Any],
        signs: Mapping[str, int],
        *,
        classify: bool = False,
    ) -> None:
        self.X, self.samples = X, samples
        held = {name: sign for name, sign in signs.items() if name in X}
        response = samples["resistance"].iloc[train]
        known = train[response.notna().to_numpy()]
        self.regressor: ResistanceRegressor | None = None
        if known.size:
            self.regressor = ResistanceRegressor(**settings, monotone_constraints=held).fit(
                X.iloc[known],
                samples["resistance"].iloc[known],
                groups=samples["line"].iloc[known],
            )
        labelled = train[samples["resistant"].iloc[train].notna().to_numpy()]
        y = samples["resistant"].iloc[labelled].astype(int)
        self.classifier: ResistanceClassifier | None = None
        if classify and y.nunique() > 1:
            self.classifier = ResistanceClassifier(**settings, monotone_constraints=held).fit(
                X.iloc[labelled], y, groups=samples["line"].iloc[labelled]
            )

    def predict(self, test: Positions) -> pd.DataFrame:
        """Return the predictions of some samples."""
        X = self.X.iloc[test]
        missing = np.full(len(test), np.nan)
        return (
            self.samples[COLUMNS]
            .iloc[test]
            .assign(
                predicted=missing if self.regressor is None else self.regressor.predict(X),
                score=missing if self.classifier is None else self.classifier.decision_function(X),
            )
        )


def _explain(model: ResistanceRegressor, X: pd.DataFrame) -> Attributions:
    values, base = raw_attributions(model, X)
    return Attributions(
        pd.DataFrame(values, index=X.index, columns=X.columns),
        pd.Series(base, index=X.index, name="base_value"),
        X,
    )
