"""Validate on one cohort: repeated patient-grouped folds, everything chosen inside each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from features.reference import Standardisation
from models.candidates import CandidateBuilder
from models.learner import Learner
from models.metrics import Estimate, evaluate_predictions
from models.plan import ValidationPlan
from models.splits import Split
from models.subgroups import PURITY_FEATURES, subgroup_columns
from models.tuning import Tuner
from models.validation import OutOfFold, predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.single_cohort.peers import naive_peers
from pipelines.validation.assess import assess_predictions
from pipelines.validation.validate import (
    ARM_SUFFIX,
    Validation,
    mean_of_repeats,
    scored_samples,
)

__all__ = [
    "feature_signs",
    "first_repeat",
    "make_single_learner",
    "timepoint_table",
    "validate_single",
]

Progress = Callable[[str], None]
UNSIGNED = "unsigned"
"""Peer: the same candidates without signs."""


def feature_signs(dataset: Dataset, config: ExperimentConfig) -> dict[str, int]:
    """Return the signs held, by feature of the data set; those left open are 0."""
    signs = dataset.catalogue.signs(config.setting)
    names = dataset.features(list(dataset.cohorts)).columns
    return {
        str(name): 0 if name in config.features.open_signs else signs.get(str(name), 0)
        for name in names
    }


def make_single_learner(
    dataset: Dataset,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
    signs: Mapping[str, int],
) -> Learner:
    """Return what fits candidates on parts of a cohort, on the features that it has."""
    names = tuple(str(name) for name in dataset.features(list(dataset.cohorts)).columns)
    markers = {marker.id: marker for marker in dataset.catalogue.markers}
    several = tuple(name for name in names if markers[name].score != "single")
    build = CandidateBuilder(names, several, dict(signs), seed=config.seed, n_jobs=2)
    return Learner(
        dataset.samples,
        dataset.features,
        build,
        standardisation,
        config.features.min_cohort_size,
        config.validation.coverage,
    )


def first_repeat(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first repeat: each sample once."""
    return predictions[predictions["split"].str.startswith("repeat0.")]


def validate_single(
    dataset: Dataset,
    plan: ValidationPlan,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
    tuner: Tuner,
    further: Mapping[str, pd.DataFrame],
    progress: Progress = lambda stage: None,
) -> tuple[Validation, OutOfFold]:
    """Return the validation of one standardisation, and the first repeat of it without signs.

    Where no candidate holds a sign, the second is the same.

    The figures ``nested`` are means over the repeats; tables (calibration, coverage, subgroups)
    and reasons are of the first repeat, each sample once.

    Parameters
    ----------
    further
        Name → out-of-fold predictions of further peers (all repeats, or once a sample).

    Raises
    ------
    CohortError
        A patient stands on both sides of a split, or a training part cannot be calibrated.
    """
    signs = feature_signs(dataset, config)
    learner = make_single_learner(
        dataset, config=config, standardisation=standardisation, signs=signs
    )
    held = any(signs.values()) and any(candidate.signs for candidate in tuner.candidates)
    splits = plan.schemes["nested"]

    def told(what: str) -> Progress:
        return lambda stage: progress(f"{standardisation}-relative, {what}: {stage}")

    main, nested = _predict(learner, splits, tuner=tuner, scheme="nested", progress=told("nested"))
    free, free_nested = main, nested
    if held:
        # Trials of other signs must not be taken for those of these.
        free, free_nested = _predict(
            make_single_learner(dataset, config=config, standardisation=standardisation, signs={}),
            splits,
            tuner=replace(tuner, storage=None),
            scheme=UNSIGNED,
            progress=told("without signs"),
        )
    progress(f"{standardisation}-relative: peers")
    peers = {
        **({UNSIGNED: free_nested.predictions} if held else {}),
        **naive_peers(dataset, plan, config=config, standardisation=standardisation),
        **further,
    }
    suffix = ARM_SUFFIX[standardisation]
    frames = {f"nested{suffix}": nested.predictions}
    frames |= {f"baseline.{name}.nested{suffix}": frame for name, frame in peers.items()}
    noise = {"n_resamples": config.validation.n_resamples, "seed": config.seed}
    validation = Validation(
        plan=plan,
        learner=learner,
        main=main,
        tumour_type=None,
        nested=nested,
        peers=peers,
        estimates={name: _estimates(frame, **noise) for name, frame in frames.items()},
        sizes={name: scored_samples(_once(frame)) for name, frame in frames.items()},
        tables=_tables(main, frames, peers, dataset=dataset, config=config),
        scheme="nested",
    )
    return validation, free


def _tables(
    main: OutOfFold,
    frames: Mapping[str, pd.DataFrame],
    peers: Mapping[str, pd.DataFrame],
    *,
    dataset: Dataset,
    config: ExperimentConfig,
) -> dict[str, pd.DataFrame]:
    """Return the tables of the first repeat, and of all predictions by timepoint."""
    noise = {"n_resamples": config.validation.n_resamples, "seed": config.seed}
    tables = assess_predictions(
        main.predictions,
        samples=dataset.samples,
        groups=subgroup_columns(dataset.samples, _purity_features(dataset)),
        peers={name: _once(frame) for name, frame in peers.items()},
        coverage=config.validation.coverage,
        **noise,
    )
    return {**tables, "timepoints": timepoint_table(frames, dataset.samples, **noise)}


def _predict(
    learner: Learner, splits: Sequence[Split], *, tuner: Tuner, scheme: str, progress: Progress
) -> tuple[OutOfFold, OutOfFold]:
    """Return the first repeat, explained, and all repeats."""
    first = [split for split in splits if split.name.startswith("repeat0.")]
    rest = [split for split in splits if not split.name.startswith("repeat0.")]
    main = predict_out_of_fold(
        learner, first, tuner=tuner, scheme=scheme, with_attributions=True, progress=progress
    )
    if not rest:
        return main, main
    more = predict_out_of_fold(learner, rest, tuner=tuner, scheme=scheme, progress=progress)
    return main, OutOfFold(
        pd.concat([main.predictions, more.predictions]),
        pd.concat([main.folds, more.folds], ignore_index=True),
        main.choices + more.choices,
        pd.concat([main.trials, more.trials], ignore_index=True),
    )


def _purity_features(dataset: Dataset) -> pd.DataFrame:
    """Return the features for subgroups by purity; a cohort of cells alone may lack them."""
    features = dataset.features(list(dataset.cohorts))
    wanted = [name for names in PURITY_FEATURES.values() for name in names]
    return features.reindex(columns=[*features.columns, *(n for n in wanted if n not in features)])


def _repeated(frame: pd.DataFrame) -> bool:
    return bool(frame.index.duplicated().any())


def _once(frame: pd.DataFrame) -> pd.DataFrame:
    return first_repeat(frame) if _repeated(frame) else frame


def _estimates(frame: pd.DataFrame, *, n_resamples: int, seed: int) -> dict[str, Estimate]:
    if _repeated(frame):
        return mean_of_repeats(frame, n_resamples=n_resamples, seed=seed)
    return evaluate_predictions(frame, n_resamples=n_resamples, seed=seed)


def timepoint_table(
    frames: Mapping[str, pd.DataFrame], samples: pd.DataFrame, *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Return the AUROC within each timepoint by predictor, the same predictions looked at apart.

    Columns ``prefix, timepoint, n, resistant, value, low, high``; no figure where a timepoint
    lacks a class.
    """
    rows = []
    for timepoint in sorted(set(samples["timepoint"])):
        chosen = samples.index[(samples["timepoint"] == timepoint).to_numpy()]
        labels = samples.loc[chosen, "resistant"].dropna()
        if labels.nunique() < 2:
            continue
        for prefix, frame in frames.items():
            part = frame[frame.index.isin(chosen)]
            found = _estimates(part, n_resamples=n_resamples, seed=seed).get("auroc")
            if found is not None and np.isfinite(found.value):
                rows.append(
                    {
                        "prefix": prefix,
                        "timepoint": timepoint,
                        "n": len(labels),
                        "resistant": int(labels.sum()),
                        "value": found.value,
                        "low": found.low,
                        "high": found.high,
                    }
                )
    columns = ["prefix", "timepoint", "n", "resistant", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
