"""Train: cohorts → features → validated, explained, calibrated, tracked, registered model."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.cohort import is_gene_scaled_cohort
from features.errors import ConfigError, examples
from features.fingerprint import find_duplicates
from features.gene_scores import ScoreKind
from features.reference import ReferenceStandardiser, Standardisation
from features.transformer import MarkerFeatures
from models.learner import TrainedPart
from models.plan import ValidationPlan, make_plan
from models.resistance_model import ModelArm, ResistanceModel
from models.signs import sign_agreement
from models.tuning import Tuner
from pipelines.config import ExperimentConfig, configuration_folder, load_cohort, project_folder
from pipelines.dataset import Dataset, build_dataset
from pipelines.figures import interval_text
from pipelines.ingest import IngestedCohort, files_hash, ingest_cohort
from pipelines.provenance import code_versions
from pipelines.run_log import TrainedExperiment, TrainingResult, log_run
from pipelines.score import too_little
from pipelines.selection import make_tuner, tuning_key
from pipelines.shift import drift_of_held_out, held_out_shift, probe_shift
from pipelines.tracking import default_store, trials_file
from pipelines.validate import ARM_SUFFIX, ARMS, Validation, measure_null, validate

__all__ = ["configured_catalogue", "ingest_cohorts", "train"]

_LOG = logging.getLogger(__name__)

Progress = Callable[[str], None]


def ingest_cohorts(
    names: Sequence[str],
    config: ExperimentConfig,
    *,
    config_file: Path,
    labels_required: bool,
    catalogue: Catalogue | None = None,
) -> list[IngestedCohort]:
    """Return the named cohorts, ingested and checked; ``catalogue`` is the packaged one by default.

    Raises
    ------
    ConfigError, CohortError
        A cohort file is missing or wrong, or its data break the contract.
    """
    conf = configuration_folder(config_file)
    data_root = (project_folder(config_file) / config.data.root).resolve()
    cohorts = []
    for name in names:
        cohort, path = load_cohort(name, conf=conf)
        root = data_root if cohort.root is None else (path.parent / cohort.root).resolve()
        cohorts.append(
            ingest_cohort(cohort, root=root, labels_required=labels_required, catalogue=catalogue)
        )
    return cohorts


def configured_catalogue(config: ExperimentConfig, *, config_file: Path) -> Catalogue:
    """Return the packaged catalogue, with the user's own file added where one is named.

    Raises
    ------
    CatalogueError
        The file is missing or an entry is faulty; the message names entry and line.
    """
    if config.features.catalogue is None:
        return default_catalogue()
    return load_catalogue(project_folder(config_file) / config.features.catalogue)


def _refuse_gene_scaled(cohorts: Sequence[IngestedCohort]) -> None:
    scaled = [cohort.name for cohort in cohorts if is_gene_scaled_cohort(cohort.adata)]
    if scaled:
        raise ConfigError(
            f"cohorts {scaled} hold values centred or scaled per gene: ranks within a sample mean "
            "nothing there, and models are trained on ranks; give the values before scaling, or "
            "name the cohorts under cohorts.score or cohorts.exclude"
        )


def _refuse_too_little(
    cohorts: Sequence[IngestedCohort], *, catalogue: Catalogue, setting: str
) -> None:
    """Refuse cohorts that could only be scored by force, before any work is done."""
    for cohort in cohorts:
        kind: ScoreKind = "mean_z" if is_gene_scaled_cohort(cohort.adata) else "rank"
        features = MarkerFeatures(catalogue, setting=setting, score_kind=kind).fit(cohort.adata)
        genes = features.gene_report(cohort.adata)
        if genes.grade == "too little":
            raise ConfigError(
                f"cohorts.score: {too_little(cohort.name, genes)}; take it out here, and score it "
                "with oncoresist score --force"
            )


def _refuse_repeated_cohorts(cohorts: Sequence[IngestedCohort]) -> None:
    """Refuse a cohort that takes part twice, by name or by its expression file."""
    seen: dict[str, str] = {}
    for cohort in cohorts:
        expression = cohort.expression_hash
        for key in (cohort.name, expression):
            if key in seen:
                raise ConfigError(
                    f"cohorts '{seen[key]}' and '{cohort.name}' are the same (name or expression "
                    "file); name it once, in cohorts.train or cohorts.score"
                )
        seen |= {cohort.name: cohort.name, expression: cohort.name}


def train(
    config: ExperimentConfig, *, config_file: Path, progress: Progress = lambda stage: None
) -> TrainingResult:
    """Train, validate, explain, track and register a model as an experiment says.

    Parameters
    ----------
    config
        The checked experiment.
    config_file
        Where it stands; relative paths start from the folder above its ``conf``.
    progress
        Told the name of each stage as it begins.

    Raises
    ------
    ConfigError, CohortError
        Something in the configuration or the files is wrong; nothing is logged then.
    """
    begun = time.monotonic()
    catalogue = configured_catalogue(config, config_file=config_file)
    progress("reading cohorts")
    ingested, extra, probes = _ingest_all(config, config_file, catalogue)
    _refuse_gene_scaled(ingested)
    _refuse_too_little(extra, catalogue=catalogue, setting=config.setting)
    dataset = build_dataset(
        ingested,
        timepoints=config.samples.timepoints,
        exclude=config.samples.exclude,
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
        setting=config.setting,
    )
    _refuse_small_cohorts(dataset, min_cohort_size=config.features.min_cohort_size)
    comparable = [cohort.name for cohort in ingested if cohort.reference_offered]
    parts = _planned_parts(dataset, comparable=comparable, config=config)
    features = dataset.features(list(dataset.cohorts))
    store = default_store(project_folder(config_file), uri=config.tracking.uri)
    tuner = make_tuner(
        config,
        storage=trials_file(store, project=project_folder(config_file)),
        key=tuning_key(config, samples=dataset.samples, features=features, catalogue=catalogue),
    )
    trained = {
        arm: _train_arm(
            part,
            plan,
            config=config,
            standardisation=arm,
            tuner=tuner,
            everyone=dataset,
            progress=progress,
        )
        for arm, (part, plan) in parts.items()
    }
    # After all that the tuning's budget is for: the null has no share in it.
    minutes = (time.monotonic() - begun) / 60
    nulls = {
        arm: measure_null(found.validation, config=config, tuner=tuner, progress=progress)
        for arm, found in trained.items()
    }
    progress("fitting the final model")
    tags = code_versions() | _catalogue_facts(catalogue) | {"data_hash": files_hash(ingested)}
    facts = {**tags, "training_files": {c.name: c.expression_hash for c in ingested}}
    model = _final_model(dataset, trained, config=config, facts=facts)
    shift = held_out_shift(dataset, seed=config.seed, progress=progress)
    if probes:
        shift = pd.concat([shift, probe_shift(model.training, model.transformer, probes)])
    signs = sign_agreement(
        features,
        dataset.samples,
        signs=catalogue.signs(config.setting),
        n_resamples=config.validation.n_resamples,
        seed=config.seed,
    )
    progress("writing the run")
    return log_run(
        TrainedExperiment(
            config=config,
            project=project_folder(config_file),
            dataset=dataset,
            ingested=ingested,
            extra=extra,
            validations={
                arm: found.validation.with_tables(nulls[arm]) for arm, found in trained.items()
            },
            model=model,
            signs=signs,
            shift=shift,
            drift=drift_of_held_out(dataset),
            minutes=minutes,
            tags=tags,
        )
    )


@dataclass(frozen=True)
class _TrainedArm:
    """One standardisation: how it was validated, and the final parts, chosen on all samples."""

    validation: Validation
    final: TrainedPart


def _planned_parts(
    dataset: Dataset, *, comparable: Sequence[str], config: ExperimentConfig
) -> dict[Standardisation, tuple[Dataset, ValidationPlan]]:
    """Return each standardisation's samples and splits; what no split allows is refused here."""
    duplicates = find_duplicates(dataset.fingerprints())
    parts: dict[Standardisation, tuple[Dataset, ValidationPlan]] = {}
    for arm in ARMS:
        part = dataset if arm == "cohort" else _comparable_part(dataset, comparable)
        _refuse_single_class(part)
        plan = make_plan(
            part.samples,
            n_splits=config.validation.n_splits,
            n_repeats=config.validation.n_repeats,
            seed=config.seed,
            duplicates=duplicates,
        )
        parts[arm] = (part, plan)
    return parts


def _train_arm(
    dataset: Dataset,
    plan: ValidationPlan,
    *,
    config: ExperimentConfig,
    standardisation: Standardisation,
    tuner: Tuner,
    everyone: Dataset,
    progress: Progress,
) -> _TrainedArm:
    """Return how the planned samples validate, and the final parts fitted on all of them.

    The final parts take the features of ``everyone``, whose background the model serves.
    """
    validation = validate(
        dataset,
        plan,
        config=config,
        standardisation=standardisation,
        tuner=tuner,
        progress=progress,
    )
    progress(f"{standardisation}-relative: the final choice")
    served = everyone.features(list(everyone.cohorts)).loc[dataset.samples.index]
    learner = validation.learner
    if len(everyone.cohorts) > len(dataset.cohorts):
        learner = learner.with_features(served)
    positions = np.arange(len(dataset.samples))
    final = learner.train(positions, tuner=tuner, fold=f"{standardisation}/final")
    return _TrainedArm(validation, final)


def _ingest_all(
    config: ExperimentConfig, config_file: Path, catalogue: Catalogue
) -> list[list[IngestedCohort]]:
    """Return the cohorts to train on, those only to score, and those the model is to decline."""
    _refuse_unknown_exclusions(config)
    chosen = [
        [name for name in names if name not in config.cohorts.exclude]
        for names in (config.cohorts.train, config.cohorts.score, config.cohorts.decline)
    ]
    found = [
        ingest_cohorts(
            names,
            config,
            config_file=config_file,
            labels_required=required,
            catalogue=catalogue,
        )
        for names, required in zip(chosen, (True, False, False), strict=True)
    ]
    _refuse_repeated_cohorts([cohort for cohorts in found[:2] for cohort in cohorts])
    return found


def _comparable_part(dataset: Dataset, comparable: Sequence[str]) -> Dataset:
    """Return the cohorts whose samples can be compared across cohorts: lengths divided out."""
    left_out = [name for name in dataset.cohorts if name not in comparable]
    if not left_out:
        return dataset
    if len(comparable) < 2:
        raise ConfigError(
            f"cohorts {left_out} hold raw counts without gene lengths and cannot be part of the "
            "reference, which leaves fewer than two cohorts; name a table under gene_lengths in "
            "conf/cohorts/*.yaml"
        )
    _LOG.warning("left out of the reference (raw counts, no gene lengths): %s", left_out)
    return dataset.of(comparable)


def _refuse_single_class(dataset: Dataset) -> None:
    """Refuse cohorts that leave a training part with one class once timepoints are chosen."""
    labels = dataset.samples["resistant"]
    for name in dataset.cohorts:
        found = labels[dataset.samples["cohort"] != name].dropna()
        if len(dataset.cohorts) > 1 and found.nunique() < 2:
            others = [other for other in dataset.cohorts if other != name]
            raise ConfigError(
                f"without cohort '{name}' the samples of {examples(others)} in use are all of one "
                "class; add cohorts under cohorts.train, or widen samples.timepoints"
            )


def _refuse_unknown_exclusions(config: ExperimentConfig) -> None:
    known = [*config.cohorts.train, *config.cohorts.score, *config.cohorts.decline]
    unknown = [name for name in config.cohorts.exclude if name not in known]
    if unknown:
        raise ConfigError(
            f"cohorts.exclude names {unknown}, not in cohorts.train, score or decline: "
            f"{examples(known, most=20)}"
        )


def _refuse_small_cohorts(dataset: Dataset, *, min_cohort_size: int) -> None:
    sizes = {name: adata.n_obs for name, adata in dataset.cohorts.items()}
    small = [f"{name} ({size})" for name, size in sizes.items() if size < min_cohort_size]
    if small:
        raise ConfigError(
            f"cohorts with fewer than {min_cohort_size} samples of the timepoints in use: "
            f"{examples(small)}; name them under cohorts.exclude, or lower "
            "features.min_cohort_size"
        )


def _catalogue_facts(catalogue: Catalogue) -> dict[str, str]:
    return {
        "catalogue_version": catalogue.version,
        "catalogue_hash": catalogue.content_hash(),
    }


def _final_model(
    dataset: Dataset,
    trained: Mapping[Standardisation, _TrainedArm],
    *,
    config: ExperimentConfig,
    facts: Mapping[str, Any],
) -> ResistanceModel:
    names = list(dataset.cohorts)
    arms, figures, chosen = {}, {}, {}
    for arm, found in trained.items():
        standardiser = None
        if arm == "reference":
            samples = found.validation.samples
            raw = dataset.features(names).loc[samples.index]
            standardiser = ReferenceStandardiser().fit(raw, cohorts=samples["cohort"])
        part = found.final
        arms[arm] = ModelArm(
            part.classifier, part.calibration.calibrator, part.sets, standardiser, part.prior
        )
        figures[arm] = _held_out_figures(arm, found.validation)
        chosen[arm] = part.choice.candidate.key
    return ResistanceModel(
        setting=config.setting,
        catalogue=dataset.catalogue,
        transformer=dataset.transformer(names),
        arms=arms,
        training=dataset.training_reference(),
        min_cohort_size=config.features.min_cohort_size,
        facts={**facts, "training_cohorts": names, "held_out": figures, "chosen": chosen},
    )


def _held_out_figures(arm: Standardisation, validation: Validation) -> dict[str, dict[str, str]]:
    """Return how model and class prior did on cohorts held out, as text for reports."""
    suffix = ARM_SUFFIX[arm]
    found = {
        "model": validation.estimates[f"loco{suffix}"],
        "class prior": validation.estimates[f"baseline.prior.loco{suffix}"],
    }
    return {
        name: {metric: interval_text(estimates[metric]) for metric in ("auroc", "brier", "ece")}
        for name, estimates in found.items()
    }
