"""Validate an experiment: out-of-fold predictions of model and peers, with all their figures."""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace

import numpy as np
import pandas as pd

from features.reference import Standardisation
from models.learner import Learner
from models.metrics import Estimate, evaluate_predictions
from models.plan import ValidationPlan
from models.power import learning_curve, null_auroc
from models.subgroups import subgroup_columns
from models.tuning import Tuner
from models.validation import OutOfFold, predict_out_of_fold
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.validation.assess import assess_predictions
from pipelines.validation.peers import predict_peers
from pipelines.validation.selection import make_builder

__all__ = [
    "ARMS",
    "ARM_SUFFIX",
    "Validation",
    "make_learner",
    "mean_of_repeats",
    "measure_null",
    "scored_samples",
    "validate",
]

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
    scheme, main
        What the figures are of: leave-one-cohort-out (``loco``), or with a single cohort the first
        repeat of patient-grouped folds (``nested``).
    tumour_type, nested
        Leave-one-tumour-type-out (None with one type) and repeated patient-grouped folds (a row a
        sample and repeat); choice, calibration and sets inside each split.
    per_type
        Predictions by models of the sample's own tumour type alone
        (:func:`pipelines.validation.tumour_types.with_tumour_types`); None where there are none.
    peers
        Name → leave-one-cohort-out predictions on the same samples.
    estimates
        Metric prefix (``loco``, ``baseline.gep_18.loco``, ``nested`` …) → estimates.
    sizes
        Metric prefix → labelled samples with a score, the number behind each figure.
    tables
        Name → table, of the leave-one-cohort-out predictions (:mod:`pipelines.validation.assess`),
        of tumour types and of on-treatment samples.
    """

    plan: ValidationPlan
    learner: Learner
    main: OutOfFold
    tumour_type: OutOfFold | None
    nested: OutOfFold
    peers: Mapping[str, pd.DataFrame]
    estimates: Mapping[str, Mapping[str, Estimate]]
    sizes: Mapping[str, int]
    tables: Mapping[str, pd.DataFrame]
    scheme: str = "loco"
    per_type: OutOfFold | None = None

    @property
    def prefix(self) -> str:
        """Prefix of the main figures, such as ``loco``, ``loco_reference`` or ``nested``."""
        return f"{self.scheme}{ARM_SUFFIX[self.learner.standardisation]}"

    def with_tables(self, tables: Mapping[str, pd.DataFrame]) -> "Validation":
        """Return the validation with further tables."""
        return replace(self, tables={**self.tables, **tables})

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
    progress(f"{standardisation}-relative: peers")
    peers = predict_peers(dataset, plan, config=config, standardisation=standardisation)
    suffix = ARM_SUFFIX[standardisation]
    predictions = {f"loco{suffix}": loco.predictions}
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
    return Validation(
        plan=plan,
        learner=learner,
        main=loco,
        tumour_type=tumour_type,
        nested=nested,
        peers=peers,
        estimates={name: evaluate_predictions(f, **noise) for name, f in predictions.items()}
        | {f"nested{suffix}": mean_of_repeats(nested.predictions, **noise)},
        sizes={name: scored_samples(frame) for name, frame in predictions.items()}
        | {f"nested{suffix}": scored_samples(nested.predictions) // config.validation.n_repeats},
        tables=tables,
    )


def scored_samples(predictions: pd.DataFrame) -> int:
    """Return how many rows have a label and a score."""
    return int((predictions["score"].notna() & predictions["resistant"].notna()).sum())


def measure_null(
    validation: Validation,
    *,
    config: ExperimentConfig,
    tuner: Tuner,
    progress: Progress = lambda stage: None,
) -> dict[str, pd.DataFrame]:
    """Return the table ``null`` of the whole pipeline on shuffled labels; nothing if not asked.

    Its budget is ``validation.permutations`` alone: each shuffle chooses as the true labels did.
    """
    if not config.validation.permutations:
        return {}
    arm = validation.learner.standardisation
    table = null_auroc(
        validation.learner,
        validation.plan,
        scheme=validation.scheme,
        tuner=replace(tuner, storage=None, deadline=float("inf")),
        permutations=config.validation.permutations,
        seed=config.seed,
        remembered=tuner.remembered(f"{arm}/null"),
        progress=lambda stage: progress(f"{arm}-relative: {stage}"),
    )
    return {"null": table}


def mean_of_repeats(
    predictions: pd.DataFrame, *, n_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Return the means over the repeats of their figures and intervals.

    Scores averaged over repeats would be those of an ensemble, better than any one model.
    """
    repeats = predictions["split"].str.split(".").str[0]
    found = [
        evaluate_predictions(part, n_resamples=n_resamples, seed=seed)
        for _, part in predictions.groupby(repeats.to_numpy(), sort=True)
    ]
    return {
        name: Estimate(*np.mean([astuple(one[name]) for one in found], axis=0).tolist())
        for name in found[0]
    }
