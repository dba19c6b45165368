"""Validate an experiment: out-of-fold predictions of model and peers, with all their figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from features.reference import Standardisation
from models.learner import Learner
from models.metrics import Estimate, evaluate_predictions
from models.plan import ValidationPlan
from models.power import learning_curve, null_auroc
from models.subgroups import subgroup_columns
from models.tuning import Tuner
from models.validation import OutOfFold, predict_out_of_fold
from pipelines.assess import assess_predictions
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.peers import predict_peers
from pipelines.selection import make_builder

__all__ = ["ARMS", "ARM_SUFFIX", "Validation", "make_learner", "validate"]

ARMS: tuple[Standardisation, ...] = ("cohort", "reference")
ARM_SUFFIX: Mapping[Standardisation, str] = {"cohort": "", "reference": "_reference"}
"""What a standardisation adds to metric prefixes and file names: 'loco', 'loco_reference'."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Validation:
    """Out-of-fold predictions of one standardisation, and their figures.

    Attributes
    ----------
    plan
        The splits, and the samples that took part.
    learner
        Fits candidates on parts of the samples.
    loco, tumour_type, nested
        Leave-one-cohort-out, leave-one-tumour-type-out (None with one type) and repeated
        patient-grouped folds (``predictions`` averaged over repeats); choice, calibration and
        sets inside each split.
    peers
        Name → leave-one-cohort-out predictions on the same samples.
    estimates
        Metric prefix (``loco``, ``baseline.gep_18.loco``, ``nested`` …) → estimates.
    sizes
        Metric prefix → labelled samples with a score, the number behind each figure.
    tables
        Name → table, of the leave-one-cohort-out predictions (:mod:`pipelines.assess`).
    """

    plan: ValidationPlan
    learner: Learner
    loco: OutOfFold
    tumour_type: OutOfFold | None
    nested: OutOfFold
    nested_mean: pd.DataFrame
    peers: Mapping[str, pd.DataFrame]
    estimates: Mapping[str, Mapping[str, Estimate]]
    sizes: Mapping[str, int]
    tables: Mapping[str, pd.DataFrame]

    @property
    def samples(self) -> pd.DataFrame:
        """The samples that took part."""
        return self.plan.samples


def make_learner(
    dataset: Dataset, *, config: ExperimentConfig, standardisation: Standardisation
) -> Learner:
    """Return what fits candidates on parts of a data set."""
    return Learner(
        dataset.samples,
        dataset.features,
        make_builder(config, dataset.catalogue),
        standardisation,
        config.features.min_cohort_size,
        config.validation.coverage,
    )


def validate(
    dataset: Dataset,
    plan: ValidationPlan,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
    tuner: Tuner,
    progress: Progress = lambda stage: None,
) -> Validation:
    """Return out-of-fold predictions and figures of one standardisation.

    Raises
    ------
    CohortError
        A patient stands on both sides of a split, or a training part cannot be calibrated.
    """
    learner = make_learner(dataset, config=config, standardisation=standardisation)

    def predict(scheme: str) -> OutOfFold:
        return predict_out_of_fold(
            learner,
            plan.schemes[scheme],
            tuner=tuner,
            scheme=scheme,
            with_attributions=scheme == "loco",
            progress=lambda stage: progress(f"{standardisation}-relative, {scheme}: {stage}"),
        )

    loco, nested = predict("loco"), predict("nested")
    tumour_type = predict("tumour_type") if plan.schemes["tumour_type"] else None
    nested_mean = _average_repeats(nested.predictions)
    progress(f"{standardisation}-relative: peers")
    peers = predict_peers(dataset, plan, config=config, standardisation=standardisation)
    suffix = ARM_SUFFIX[standardisation]
    predictions = {f"loco{suffix}": loco.predictions, f"nested{suffix}": nested_mean}
    if tumour_type is not None:
        predictions[f"tumour_type{suffix}"] = tumour_type.predictions
    predictions |= {f"baseline.{name}.loco{suffix}": frame for name, frame in peers.items()}
    progress(f"{standardisation}-relative: figures")
    noise = {"n_resamples": config.validation.n_resamples, "seed": config.seed}
    tables = assess_predictions(
        loco.predictions,
        samples=dataset.samples,
        groups=subgroup_columns(dataset.samples, dataset.features(list(dataset.cohorts))),
        peers=peers,
        coverage=config.validation.coverage,
        **noise,
    )
    if config.validation.learning_curve:
        tables["learning_curve"] = learning_curve(
            learner,
            dict(zip(loco.folds["split"], loco.choices, strict=True)),
            draws=config.validation.learning_curve,
            seed=config.seed,
        )
    if config.validation.permutations:
        tables["null"] = null_auroc(
            learner,
            plan,
            tuner=replace(tuner, storage=None),
            permutations=config.validation.permutations,
            seed=config.seed,
            remembered=tuner.remembered(f"{standardisation}/null"),
            progress=lambda stage: progress(f"{standardisation}-relative: {stage}"),
        )
    return Validation(
        plan=plan,
        learner=learner,
        loco=loco,
        tumour_type=tumour_type,
        nested=nested,
        nested_mean=nested_mean,
        peers=peers,
        estimates={name: evaluate_predictions(f, **noise) for name, f in predictions.items()},
        sizes={
            name: int((frame["score"].notna() & frame["resistant"].notna()).sum())
            for name, frame in predictions.items()
        },
        tables=tables,
    )


def _average_repeats(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row a sample: score and probability averaged over the repeats."""
    grouped = predictions.groupby(level=0, sort=False)
    first = grouped[["cohort", "patient_id", "resistant"]].first()
    return first.join(grouped[["score", "probability", "prior"]].mean())
