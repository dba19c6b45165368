"""What competes inside the folds: candidates, their builder and the tuner, as configured."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features.catalogue import Catalogue, genes_read
from models.candidates import Candidate, CandidateBuilder
from models.tuning import SearchRange, Tuner
from pipelines.config import ExperimentConfig
from pipelines.ingest import file_hash
from pipelines.provenance import library_requirements
from pipelines.settings.tuning import CandidateConfig, RangeConfig

__all__ = ["candidates_of", "make_builder", "make_tuner", "threads", "tuning_key"]

_PACKAGES = Path(__file__).resolve().parents[2]
_THREADS = 2
_UNTUNED = "classifier"


def candidates_of(config: ExperimentConfig) -> tuple[Candidate, ...]:
    """Return the candidates; without ``tuning.candidates`` the section ``classifier`` alone."""
    if not config.tuning.candidates:
        settings = config.classifier.model_dump()
        signs = bool(settings.pop("monotone"))
        return (Candidate(_UNTUNED, "boosted", signs=signs, settings=settings),)
    single = {
        name: _single(name, found, config)
        for name, found in config.tuning.candidates.items()
        if found.family != "average"
    }
    return tuple(
        single.get(name)
        or Candidate(name, "average", members=tuple(single[member] for member in found.members))
        for name, found in config.tuning.candidates.items()
    )


def _single(name: str, found: CandidateConfig, config: ExperimentConfig) -> Candidate:
    settings: dict[str, int | float] = {}
    if found.family == "boosted":
        settings = {k: v for k, v in config.classifier.model_dump().items() if k != "monotone"}
    fixed = {k: v for k, v in found.settings.items() if isinstance(v, int | float)}
    return Candidate(
        name,
        found.family,
        features=found.features,
        signs=found.signs,
        weights=found.weights,
        settings={**settings, **fixed},
    )


def _ranges(config: ExperimentConfig) -> dict[str, dict[str, SearchRange]]:
    ranges: dict[str, dict[str, SearchRange]] = {}
    for name, candidate in config.tuning.candidates.items():
        for setting, value in candidate.settings.items():
            if isinstance(value, RangeConfig):
                found = SearchRange(low=value.low, high=value.high, log=value.log)
            elif isinstance(value, tuple):
                found = SearchRange(choices=value)
            else:
                continue
            ranges.setdefault(name, {})[setting] = found
    return ranges


def threads(config: ExperimentConfig) -> int:
    """Return the threads that a process fits models with."""
    return max(1, _THREADS // config.validation.processes)


def make_builder(config: ExperimentConfig, catalogue: Catalogue) -> CandidateBuilder:
    """Return what makes candidates' models for a setting's features and signs."""
    markers = {marker.id: marker for marker in catalogue.markers_of(config.setting)}
    several = tuple(
        name
        for name, marker in markers.items()
        if marker.by_drug or len(genes_read(marker, markers)) > 1
    )
    return CandidateBuilder(
        features=tuple(markers),
        mechanisms=several,
        signs=catalogue.signs(config.setting),
        seed=config.seed,
        n_jobs=threads(config),
    )


def make_tuner(config: ExperimentConfig, *, storage: Path | None, key: str) -> Tuner:
    """Return the tuner of an experiment, its clock started.

    Parameters
    ----------
    config
        The experiment.
    storage
        SQLite file of trials, so that a killed run goes on where it was; None: in memory.
    key
        From :func:`tuning_key`.
    """
    candidates = candidates_of(config)
    minutes = config.tuning.minutes
    tuner = Tuner(
        candidates=candidates,
        ranges=_ranges(config),
        trials=config.tuning.trials,
        deadline=float("inf") if minutes is None else time.monotonic() + 60 * minutes,
        storage=None if storage is None else f"sqlite:///{storage}",
        key=key,
        seed=config.seed,
    )
    if storage is not None:
        storage.parent.mkdir(parents=True, exist_ok=True)
    return tuner


def tuning_key(
    config: ExperimentConfig,
    *,
    samples: pd.DataFrame,
    features: pd.DataFrame,
    catalogue: Catalogue,
) -> str:
    """Return a hash of all that decides a trial: data, folds, candidates, catalogue, code."""
    used = samples[["cohort", "patient_id", "resistant", "cancer_type"]]
    hashed = [pd.util.hash_pandas_object(table).to_numpy().tobytes() for table in (used, features)]
    settings: Mapping[str, Any] = {
        "candidates": [candidate.key for candidate in candidates_of(config)],
        "ranges": config.tuning.model_dump(mode="json"),
        "min_cohort_size": config.features.min_cohort_size,
        "n_splits": config.validation.n_splits,
        "seed": config.seed,
        "features": list(features.columns),
        "setting": config.setting,
        "catalogue": catalogue.content_hash(),
        "libraries": library_requirements(),
        "code": [
            file_hash(file)
            for folder in ("features", "models")
            for file in sorted((_PACKAGES / folder).rglob("*.py"))
        ],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for part in hashed:
        digest.update(part)
    return digest.hexdigest()[:16]
