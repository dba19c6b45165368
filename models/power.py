"""How much the data can say: a learning curve over cohorts, and the null of the whole pipeline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from models.candidates import Candidate
from models.learner import Learner
from models.metrics import area_under_roc, evaluate_predictions
from models.plan import ValidationPlan
from models.splits import Split
from models.tuning import Tuner
from models.validation import predict_out_of_fold

__all__ = ["learning_curve", "null_auroc"]

_RESAMPLES = 1000


def learning_curve(
    learner: Learner, chosen: Mapping[str, Candidate], *, draws: int, seed: int
) -> pd.DataFrame:
    """Return how the ranking of a held-out cohort grows with the number of training cohorts.

    Parameters
    ----------
    learner
        Samples and features.
    chosen
        Held-out cohort → the candidate that its fold chose; it is fitted, not chosen again, on
        fewer cohorts.
    draws
        Sets of training cohorts a held-out cohort and size; all sets where there are fewer.
    seed
        Of the draws.

    Returns
    -------
    table
        ``n_cohorts, value, low, high, n_models``: mean AUROC over held-out cohorts (of the means
        over draws) with the 95% interval of a bootstrap over the held-out cohorts.
    """
    rng = np.random.default_rng(seed)
    cohorts = learner.samples["cohort"].to_numpy(dtype=str)
    names = sorted(set(cohorts))
    labels = learner.samples["resistant"].to_numpy(dtype=float)
    rows = []
    for size in range(1, len(names)):
        means, n_models = [], 0
        for held_out in names:
            others = [name for name in names if name != held_out]
            values = []
            for training in _draw(others, size, draws=draws, rng=rng):
                train = np.flatnonzero(np.isin(cohorts, training))
                test = np.flatnonzero((cohorts == held_out) & np.isfinite(labels))
                both = {0.0, 1.0}
                if not both <= set(labels[train]) or not both <= set(labels[test]):
                    continue
                score = learner.scores(chosen[held_out], train).to_numpy()[test]
                values.append(_auroc(labels[test], score))
            n_models += len(values)
            means.append(np.mean(values) if values else np.nan)
        rows.append({"n_cohorts": size, **_mean_over_cohorts(means, rng), "n_models": n_models})
    return pd.DataFrame(rows)


def _draw(
    names: list[str], size: int, *, draws: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Return distinct sets of names; all of them where there are no more than asked for."""
    if comb(len(names), size) <= draws:
        return list(combinations(names, size))
    found: dict[tuple[str, ...], None] = {}
    while len(found) < draws:
        found[tuple(sorted(rng.choice(names, size, replace=False)))] = None
    return list(found)


def _auroc(y: np.ndarray, score: np.ndarray) -> float:
    return float(area_under_roc(y, score, np.ones((1, y.size)))[0])


def _mean_over_cohorts(means: list[float], rng: np.random.Generator) -> dict[str, float]:
    usable = np.array([mean for mean in means if np.isfinite(mean)])
    if usable.size == 0:
        return {"value": np.nan, "low": np.nan, "high": np.nan}
    drawn = rng.choice(usable, (_RESAMPLES, usable.size)).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"value": float(usable.mean()), "low": float(low), "high": float(high)}


def null_auroc(
    learner: Learner,
    plan: ValidationPlan,
    *,
    tuner: Tuner,
    permutations: int,
    seed: int,
    scheme: str = "loco",
    remembered: Callable[[int, Callable[[], float]], float] = lambda number, measure: measure(),
    progress: Callable[[str], None] = lambda stage: None,
) -> pd.DataFrame:
    """Return the mean leave-one-cohort-out AUROC of the whole pipeline without any signal.

    Labels are shuffled within cohorts (of one cohort those of whole patients), then candidates are
    chosen, calibrated and tested as with the true ones.

    Parameters
    ----------
    learner, plan, tuner
        Those of the validation; the tuner's trials are kept in memory here: those in a store
        are of the true labels.
    permutations, seed
        How many shuffles; each has a seed of its own.
    scheme
        Of the plan; of repeated folds the first repeat.
    remembered
        Given a permutation's number and how to measure it, returns its AUROC: lets a killed run
        go on where it was.

    Returns
    -------
    table
        ``permutation, auroc``.
    """
    values = []
    splits = _first_repeat(plan.schemes[scheme])
    forgetful = replace(tuner, storage=None)
    for number in range(permutations):

        def measure(number: int = number) -> float:
            shuffled = learner.with_labels_shuffled(
                np.random.default_rng([seed, number]), by_patient=scheme == "nested"
            )
            found = predict_out_of_fold(shuffled, splits, tuner=forgetful)
            estimates = evaluate_predictions(found.predictions, n_resamples=2, seed=seed)
            return estimates["auroc"].value

        progress(f"labels shuffled, {number + 1} of {permutations}")
        values.append({"permutation": number, "auroc": remembered(number, measure)})
    return pd.DataFrame(values, columns=["permutation", "auroc"])


def _first_repeat(splits: Sequence[Split]) -> list[Split]:
    """Return the splits of the first repeat; all of them where there are none."""
    first = [split for split in splits if split.name.startswith("repeat0.")]
    return first or list(splits)
