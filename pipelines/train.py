"""Train: cohorts → features → validated, explained, calibrated, tracked, registered model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.reference import Standardisation
from models.plan import ValidationPlan
from models.signs import sign_agreement
from pipelines.claims.log import log_claims
from pipelines.cohorts import read_cohort
from pipelines.config import ExperimentConfig, configuration_folder, load_cohort, project_folder
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort, files_hash
from pipelines.provenance import code_versions
from pipelines.runs.log import TrainingResult, decide, log_run
from pipelines.runs.open_run import OpenRun, training_run
from pipelines.screens.run import plan_screens, run_screens
from pipelines.single_cohort.run import log_single
from pipelines.single_cohort.train import prepare_single, train_single
from pipelines.stopwatch import Stopwatch
from pipelines.tracking import default_store, trials_file
from pipelines.training.arms import measure_nulls, train_arms
from pipelines.training.checks import (
    refuse_gene_scaled,
    refuse_repeated_cohorts,
    refuse_small_cohorts,
    refuse_too_little,
    refuse_unknown_exclusions,
)
from pipelines.training.final_model import final_model
from pipelines.training.plan import planned_parts
from pipelines.training.trained import TrainedExperiment
from pipelines.validation.on_treatment import on_treatment_tables
from pipelines.validation.selection import make_tuner, tuning_key
from pipelines.validation.shift import drift_of_held_out, held_out_shift, probe_shift

__all__ = ["configured_catalogue", "ingest_cohorts", "train"]

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
            read_cohort(cohort, root=root, labels_required=labels_required, catalogue=catalogue)
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


def train(
    config: ExperimentConfig, *, config_file: Path, progress: Progress = lambda stage: None
) -> TrainingResult:
    """Train, validate, explain, track and register a model as an experiment says.

    The run is opened once everything that was given has been checked, and stands there as RUNNING
    meanwhile. When all is logged and the version registered, the gate decides on the alias.

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
        Something in the configuration or the files is wrong, and nothing is logged; or the
        samples cannot be validated or calibrated, and the run ends FAILED and says why.
    """
    if config.validation.scheme == "nested":
        return _train_single_cohort(config, config_file=config_file, progress=progress)
    watch = Stopwatch()
    prepared = _prepare(config, config_file=config_file, progress=progress)
    watch.lap("reading")
    store = default_store(project_folder(config_file), uri=config.tracking.uri)
    versions = _versions(prepared.catalogue, prepared.ingested)
    with training_run(config, store=store, versions=versions, watch=watch) as opened:

        def told(stage: str) -> None:
            opened.stage = stage
            progress(stage)

        trained = _train_all(prepared, opened, versions=versions, progress=told)
        told("weighing the signs of the reviews")
        log_claims(config, prepared.ingested, catalogue=prepared.catalogue)
        told("writing the run")
        logged = log_run(trained, opened)
    progress("the gate decides")
    return decide(
        logged,
        config=config,
        project=trained.project,
        validations=trained.validations,
        signs=trained.signs,
    )


def _versions(catalogue: Catalogue, ingested: Sequence[IngestedCohort]) -> dict[str, str]:
    """Return code, lock file, catalogue and data by version and hash."""
    return {
        **code_versions(),
        "catalogue_version": catalogue.version,
        "catalogue_hash": catalogue.content_hash(),
        "data_hash": files_hash(ingested),
    }


def _train_single_cohort(
    config: ExperimentConfig, *, config_file: Path, progress: Progress
) -> TrainingResult:
    """Train as :func:`train` does, on one cohort whose patients are held out."""
    watch = Stopwatch()
    catalogue = configured_catalogue(config, config_file=config_file)
    project = project_folder(config_file)
    progress("reading the cohort")
    ingested, _, _ = _ingest_all(config, config_file, catalogue)
    apart = _ingest_apart(config, config_file, catalogue)
    prepared = prepare_single(config, project=project, cohorts=ingested, catalogue=catalogue)
    if config.screens is not None:
        plan_screens(config.screens, cohorts=[*ingested, *apart], samples=config.samples)
    watch.lap("reading")
    store = default_store(project, uri=config.tracking.uri)
    versions = _versions(prepared.catalogue, [*ingested, *apart])
    with training_run(config, store=store, versions=versions, watch=watch) as opened:

        def told(stage: str) -> None:
            opened.stage = stage
            progress(stage)

        dataset = prepared.dataset
        tuner = make_tuner(
            config,
            storage=trials_file(opened.store, project=project),
            key=tuning_key(
                config,
                samples=dataset.samples,
                features=dataset.features(list(dataset.cohorts)),
                catalogue=prepared.catalogue,
            ),
        )
        files = {cohort.name: cohort.expression_hash for cohort in ingested}
        facts = {**versions, "training_files": files}
        trained = train_single(prepared, tuner=tuner, facts=facts, progress=told, lap=watch.lap)
        if config.screens is not None:
            screens = run_screens(
                config,
                config.screens,
                cohorts=[*ingested, *apart],
                catalogue=catalogue,
                progress=told,
            )
            trained = replace(trained, screens=screens)
            told("weighing the signs of the reviews")
            log_claims(config, [*ingested, *apart], catalogue=catalogue)
            watch.lap("screens")
        told("writing the run")
        logged = log_single(trained, opened)
    progress("the gate decides")
    return decide(
        logged,
        config=config,
        project=project,
        validations=trained.validations,
        signs=trained.signs,
    )


@dataclass(frozen=True)
class _Prepared:
    """An experiment whose input has been read and checked, before anything is fitted."""

    config: ExperimentConfig
    project: Path
    catalogue: Catalogue
    ingested: Sequence[IngestedCohort]
    extra: Sequence[IngestedCohort]
    probes: Sequence[IngestedCohort]
    dataset: Dataset
    parts: Mapping[Standardisation, tuple[Dataset, ValidationPlan]]


def _prepare(config: ExperimentConfig, *, config_file: Path, progress: Progress) -> _Prepared:
    """Read, check and split; what cannot be trained on is refused here."""
    catalogue = configured_catalogue(config, config_file=config_file)
    progress("reading cohorts")
    ingested, extra, probes = _ingest_all(config, config_file, catalogue)
    refuse_gene_scaled(ingested)
    refuse_too_little(extra, catalogue=catalogue, setting=config.setting)
    dataset = build_dataset(
        ingested,
        timepoints=config.samples.timepoints,
        exclude=config.samples.exclude,
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
        setting=config.setting,
    )
    refuse_small_cohorts(dataset, min_cohort_size=config.features.min_cohort_size)
    comparable = [cohort.name for cohort in ingested if cohort.reference_offered]
    parts = planned_parts(dataset, comparable=comparable, config=config)
    project = project_folder(config_file)
    return _Prepared(config, project, catalogue, ingested, extra, probes, dataset, parts)


def _train_all(
    prepared: _Prepared, opened: OpenRun, *, versions: Mapping[str, str], progress: Progress
) -> TrainedExperiment:
    """Validate both standardisations, fit the final model and measure what goes beside it."""
    config, dataset, watch = prepared.config, prepared.dataset, opened.watch
    features = dataset.features(list(dataset.cohorts))
    tuner = make_tuner(
        config,
        storage=trials_file(opened.store, project=prepared.project),
        key=tuning_key(
            config, samples=dataset.samples, features=features, catalogue=prepared.catalogue
        ),
    )
    trained = train_arms(
        prepared.parts,
        config=config,
        tuner=tuner,
        everyone=dataset,
        progress=progress,
        watch=watch,
    )
    # After all that the tuning's budget is for: the null has no share in it.
    watch.lap("validation")
    nulls = measure_nulls(trained, config=config, tuner=tuner, progress=progress, watch=watch)
    watch.lap("permutations")
    progress("samples on treatment")
    changes = on_treatment_tables(prepared.ingested, config=config, catalogue=prepared.catalogue)
    watch.lap("on_treatment")
    progress("fitting the final model")
    files = {cohort.name: cohort.expression_hash for cohort in prepared.ingested}
    facts = {**versions, "training_files": files}
    model = final_model(dataset, trained, config=config, facts=facts)
    shift = held_out_shift(dataset, seed=config.seed, progress=progress)
    if prepared.probes:
        probed = probe_shift(model.training, model.transformer, prepared.probes)
        shift = pd.concat([shift, probed])
    signs = sign_agreement(
        features,
        dataset.samples,
        signs=prepared.catalogue.signs(config.setting),
        n_resamples=config.validation.n_resamples,
        seed=config.seed,
    )
    drift = drift_of_held_out(dataset)
    watch.lap("final_model")
    return TrainedExperiment(
        config=config,
        project=prepared.project,
        dataset=dataset,
        ingested=prepared.ingested,
        extra=prepared.extra,
        validations={
            arm: found.validation.with_tables(nulls[arm] | (changes if arm == "cohort" else {}))
            for arm, found in trained.items()
        },
        model=model,
        signs=signs,
        shift=shift,
        drift=drift,
        minutes=watch.metrics["minutes.validation"],
        tags=versions,
    )


def _ingest_apart(
    config: ExperimentConfig, config_file: Path, catalogue: Catalogue
) -> list[IngestedCohort]:
    """Return the cohorts that are validated by themselves beside the model's."""
    if config.screens is None:
        return []
    return ingest_cohorts(
        config.screens.apart,
        config,
        config_file=config_file,
        labels_required=False,
        catalogue=catalogue,
    )


def _ingest_all(
    config: ExperimentConfig, config_file: Path, catalogue: Catalogue
) -> list[list[IngestedCohort]]:
    """Return the cohorts to train on, those only to score, and those the model is to decline."""
    refuse_unknown_exclusions(config)
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
    refuse_repeated_cohorts([cohort for cohorts in found[:2] for cohort in cohorts])
    return found
