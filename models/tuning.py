"""The choice of a configuration inside a fold, by Optuna: budgeted, resumable."""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from models.candidates import Candidate, Setting
from models.metrics import area_under_roc

__all__ = ["Choice", "SearchRange", "Tuner", "weighted_within_cohort_auroc"]

_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
_BUSY_SECONDS = 60

InnerScores = Callable[[Candidate], "pd.Series[float]"]
"""Candidate → log-odds of the labelled training samples, each by a model without its cohort."""


@dataclass(frozen=True)
class SearchRange:
    """Values that a setting may take: a list of choices, or low to high."""

    choices: tuple[Setting, ...] = ()
    low: Setting = 0.0
    high: Setting = 0.0
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """The candidate that a fold has chosen.

    Attributes
    ----------
    candidate
        With the settings chosen.
    scores
        Its inner out-of-cohort log-odds, on which calibration and conformal sets are fitted.
    trials
        ``candidate, settings, value`` of every trial of the fold; empty without a choice.
    """

    candidate: Candidate
    scores: "pd.Series[float]"
    trials: pd.DataFrame


def weighted_within_cohort_auroc(samples: pd.DataFrame, scores: "pd.Series[float]") -> float:
    """Return the mean AUROC of the cohorts, each weighted by the inverse of its null variance.

    The weight is ``n1 * n0 / (n1 + n0 + 1)`` (van Elteren), so that a cohort of 17 does not count
    as much as one of 116. Cohorts with one class take no part; 0.5 where none is left.

    References
    ----------
    van Elteren, Bull Inst Int Stat 1960.
    """
    values, weights = [], []
    for _, part in samples.assign(score=scores).groupby("cohort", sort=True):
        y, score = part["resistant"].to_numpy(float), part["score"].to_numpy(float)
        positive, negative = (y == 1).sum(), (y == 0).sum()
        if positive and negative:
            values.append(float(area_under_roc(y, score, np.ones((1, y.size)))[0]))
            weights.append(positive * negative / (positive + negative + 1))
    return float(np.average(values, weights=weights)) if values else 0.5


@dataclass(frozen=True)
class Tuner:
    """Chooses among candidates in each fold, and remembers trials in an Optuna store.

    Attributes
    ----------
    candidates
        Those that compete; a single one without ranges is taken without any trial.
    ranges
        Candidate → setting → :class:`SearchRange`, for settings that are searched.
    trials
        Most trials a fold.
    deadline
        Of the clock :func:`time.monotonic`: no trial begins after it, but for the first of a fold.
    storage
        URL of an Optuna store (``sqlite:///…``), where trials survive a killed process; None
        keeps them in memory.
    key
        What makes a store's trials the same: a hash of data, candidates and code.
    seed
        Of the sampler.
    """

    candidates: tuple[Candidate, ...]
    ranges: Mapping[str, Mapping[str, SearchRange]] = field(default_factory=dict)
    trials: int = 8
    deadline: float = np.inf
    storage: str | None = None
    key: str = ""
    seed: int = 0

    @property
    def chooses(self) -> bool:
        """Whether there is anything to choose."""
        return len(self.candidates) > 1 or any(self.ranges.values())

    def choose(self, fold: str, *, samples: pd.DataFrame, inner_scores: InnerScores) -> Choice:
        """Return the best candidate by inner out-of-cohort ranking.

        Parameters
        ----------
        fold
            Name of the outer fold; its trials stand in a study ``<key>/<fold>``.
        samples
            The fold's labelled training samples: ``cohort``, ``resistant``.
        inner_scores
            Gives a candidate's inner out-of-cohort log-odds on these samples.
        """
        if not self.chooses:
            only = self.candidates[0]
            return Choice(only, inner_scores(only), pd.DataFrame())
        study = self._study(fold)

        def measure(candidate: Candidate) -> tuple[float, list[float]]:
            scores = inner_scores(candidate).loc[samples.index]
            return weighted_within_cohort_auroc(samples, scores), [float(one) for one in scores]

        def objective(trial: Any) -> float:
            value, scores = measure(self._suggest(trial))
            trial.set_user_attr("scores", scores)
            return value

        while self._goes_on(study):
            if self._searches:
                untried = self._untried(study)
                if untried:  # each is met once before any is searched further
                    study.enqueue_trial({"candidate": untried[0].name}, skip_if_exists=True)
                study.optimize(objective, n_trials=1)
            else:
                self._try_next(study, measure)
        return self._choice(study, samples)

    @property
    def _searches(self) -> bool:
        return any(self.ranges.values())

    def _goes_on(self, study: Any) -> bool:
        """Return whether a trial may begin: the first always, others in budget and in time."""
        done = len(_finished(study))
        budget = self.trials if self._searches else min(self.trials, len(self.candidates))
        return done == 0 or (done < budget and time.monotonic() < self.deadline)

    def _untried(self, study: Any) -> list[Candidate]:
        """Return the candidates without a finished trial, in the order written down."""
        tried = {trial.params["candidate"] for trial in _finished(study)}
        return [candidate for candidate in self.candidates if candidate.name not in tried]

    def _try_next(
        self, study: Any, measure: Callable[[Candidate], tuple[float, list[float]]]
    ) -> None:
        """Add the trial of the first candidate without one: only finished trials are stored."""
        import optuna

        candidate = self._untried(study)[0]
        value, scores = measure(candidate)
        names = optuna.distributions.CategoricalDistribution([c.name for c in self.candidates])
        trial = optuna.trial.create_trial(
            value=value,
            params={"candidate": candidate.name},
            distributions={"candidate": names},
            user_attrs={"scores": scores},
        )
        study.add_trial(trial)

    def remembered(self, what: str) -> Callable[[int, Callable[[], float]], float]:
        """Return a memory of numbered measurements, kept in the store beside the trials.

        It is called with a number and how to measure it; what was measured before is not
        measured again.
        """
        if self.storage is None:
            return lambda number, measure: measure()
        study = _open_study(self.storage, f"{self.key}/{what}")

        def remember(number: int, measure: Callable[[], float]) -> float:
            import optuna

            for trial in _finished(study):
                if trial.user_attrs.get("number") == number:
                    return float(trial.value)
            value = measure()
            study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"number": number}))
            return value

        return remember

    def _study(self, fold: str) -> Any:
        import optuna

        study = _open_study(self.storage, f"{self.key}/{fold}" if self.storage else None)
        # A resumed search goes on with numbers of its own, or it would repeat its first trials.
        study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(study.trials))
        return study

    def _suggest(self, trial: Any) -> Candidate:
        names = [candidate.name for candidate in self.candidates]
        name = trial.suggest_categorical("candidate", names)
        chosen: dict[str, Setting] = {}
        for setting, found in self.ranges.get(name, {}).items():
            parameter = f"{name}.{setting}"
            if found.choices:
                chosen[setting] = trial.suggest_categorical(parameter, list(found.choices))
            elif isinstance(found.low, int) and isinstance(found.high, int):
                chosen[setting] = trial.suggest_int(parameter, found.low, found.high, log=found.log)
            else:
                chosen[setting] = trial.suggest_float(
                    parameter, found.low, found.high, log=found.log
                )
        return self._with_settings(name, chosen)

    def _with_settings(self, name: str, chosen: Mapping[str, Setting]) -> Candidate:
        found = next(candidate for candidate in self.candidates if candidate.name == name)
        return replace(found, settings={**found.settings, **chosen})

    def _choice(self, study: Any, samples: pd.DataFrame) -> Choice:
        """Return the best finished trial; of equal ones the candidate written down first."""
        order = [candidate.name for candidate in self.candidates]
        trials = sorted(
            _finished(study),
            key=lambda trial: (-trial.value, order.index(trial.params["candidate"]), trial.number),
        )
        rows = pd.DataFrame(
            [
                {
                    "candidate": trial.params["candidate"],
                    "settings": json.dumps(_settings(trial), sort_keys=True),
                    "value": float(trial.value),
                }
                for trial in sorted(trials, key=lambda trial: trial.number)
            ]
        )
        best = trials[0]
        scores = pd.Series(best.user_attrs["scores"], index=samples.index, dtype=float)
        chosen = self._with_settings(best.params["candidate"], _settings(best))
        return Choice(chosen, scores, rows)


def _open_study(storage: str | None, name: str | None) -> Any:
    """Return a study of a store, made where it is not there yet."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="optuna")
        return optuna.create_study(
            storage=None if storage is None else _open_trials(storage),
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )


def _open_trials(storage: str) -> Any:
    """Return the store of trials, its tables made where they are not there yet.

    Trainings that begin at the same moment make the same tables; who comes second tries again and
    finds them made.
    """
    import optuna
    from sqlalchemy.exc import DBAPIError

    patient = {"connect_args": {"timeout": _BUSY_SECONDS}} if storage.startswith("sqlite") else {}
    for pause in _PAUSES:
        with suppress(DBAPIError, optuna.exceptions.StorageInternalError):
            return optuna.storages.RDBStorage(storage, engine_kwargs=patient)
        time.sleep(pause)
    return optuna.storages.RDBStorage(storage, engine_kwargs=patient)


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name == "COMPLETE"]


def _settings(trial: Any) -> dict[str, Setting]:
    """Return the settings that a trial searched, by their names in the classifier."""
    prefix = f"{trial.params['candidate']}."
    return {
        name.removeprefix(prefix): value
        for name, value in trial.params.items()
        if name.startswith(prefix)
    }
