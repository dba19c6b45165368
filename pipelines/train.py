"""Train: cohorts → features → validated, explained, calibrated, tracked, registered model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from features.catalogue import Catalogue, default_catalogue
from features.errors import ConfigError, examples
from features.reference import ReferenceStandardiser, Standardisation, standardise_in_cohort
from models.calibration import PlattCalibrator
from models.resistance_model import ModelArm, ResistanceModel
from models.signs import sign_agreement
from models.splits import grouped_splits, leave_one_cohort_out_splits, patient_keys
from pipelines.config import ExperimentConfig, configuration_folder, load_cohort, project_folder
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort, files_hash, ingest_cohort
from pipelines.provenance import code_versions
from pipelines.run_log import TrainedExperiment, TrainingResult, log_run
from pipelines.validate import ARMS, Validation, new_classifier, validate

__all__ = ["ingest_cohorts", "train"]

Progress = Callable[[str], None]


def ingest_cohorts(
    names: Sequence[str], config: ExperimentConfig, *, config_file: Path, labels_required: bool
) -> list[IngestedCohort]:
    """Return the named cohorts, ingested and checked.

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
        cohorts.append(ingest_cohort(cohort, root=root, labels_required=labels_required))
    return cohorts


def _refuse_repeated_cohorts(cohorts: Sequence[IngestedCohort]) -> None:
    """Refuse a cohort that takes part twice, by name or by its expression file."""
    seen: dict[str, str] = {}
    for cohort in cohorts:
        expression = next(iter(cohort.files.values()))
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
    catalogue = default_catalogue()
    progress("reading cohorts")
    excluded = set(config.cohorts.exclude)
    _refuse_unknown_exclusions(config)
    names = [name for name in config.cohorts.train if name not in excluded]
    ingested = ingest_cohorts(names, config, config_file=config_file, labels_required=True)
    extra = ingest_cohorts(
        [name for name in config.cohorts.score if name not in excluded],
        config,
        config_file=config_file,
        labels_required=False,
    )
    _refuse_repeated_cohorts([*ingested, *extra])
    dataset = build_dataset(
        ingested,
        timepoints=config.samples.timepoints,
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
    )
    _refuse_small_cohorts(dataset, min_cohort_size=config.features.min_cohort_size)
    splits = leave_one_cohort_out_splits(dataset.samples)
    folds = grouped_splits(
        dataset.samples,
        n_splits=config.validation.n_splits,
        n_repeats=config.validation.n_repeats,
        seed=config.seed,
    )
    validations = {}
    for arm in ARMS:
        progress(f"validating, {arm}-relative")
        validations[arm] = validate(
            dataset, loco_splits=splits, folds=folds, config=config, standardisation=arm
        )
    progress("fitting the final model")
    project = project_folder(config_file)
    facts = code_versions(project) | _catalogue_facts(catalogue)
    facts["data_hash"] = files_hash([*ingested, *extra])
    model = _final_model(dataset, validations, config=config, facts=facts)
    signs = sign_agreement(
        dataset.features(list(dataset.cohorts)),
        dataset.samples,
        signs=catalogue.signs(config.setting),
        n_resamples=config.validation.n_resamples,
        seed=config.seed,
    )
    progress("writing the run")
    return log_run(
        TrainedExperiment(
            config=config,
            project=project,
            dataset=dataset,
            ingested=ingested,
            extra=extra,
            splits={"loco": splits, "grouped_cv": folds},
            validations=validations,
            model=model,
            signs=signs,
            tags=facts,
        )
    )


def _refuse_unknown_exclusions(config: ExperimentConfig) -> None:
    known = [*config.cohorts.train, *config.cohorts.score]
    unknown = [name for name in config.cohorts.exclude if name not in known]
    if unknown:
        raise ConfigError(
            f"cohorts.exclude names {unknown}, not in cohorts.train or cohorts.score: "
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
    validations: Mapping[Standardisation, Validation],
    *,
    config: ExperimentConfig,
    facts: Mapping[str, str],
) -> ResistanceModel:
    names = list(dataset.cohorts)
    features, samples = dataset.features(names), dataset.samples
    labelled = samples["resistant"].notna()
    base_rate = float(samples["resistant"].mean())
    arms = {}
    for arm, validation in validations.items():
        standardiser = None
        if arm == "reference":
            standardiser = ReferenceStandardiser().fit(features, cohorts=samples["cohort"])
            X = standardiser.transform(features)
        else:
            X = standardise_in_cohort(
                features,
                cohorts=samples["cohort"],
                min_cohort_size=config.features.min_cohort_size,
            )
        classifier = new_classifier(config, dataset.catalogue).fit(
            X[labelled],
            samples.loc[labelled, "resistant"].astype(int),
            groups=patient_keys(samples[labelled]),
        )
        held_out = validation.loco.predictions.dropna(subset=["resistant"])
        calibrator = PlattCalibrator().fit(held_out["score"], held_out["resistant"])
        arms[arm] = ModelArm(classifier, calibrator, standardiser, base_rate)
    return ResistanceModel(
        setting=config.setting,
        catalogue=dataset.catalogue,
        transformer=dataset.transformer(names),
        arms=arms,
        min_cohort_size=config.features.min_cohort_size,
        facts={**facts, "training_cohorts": names, "base_rate": base_rate},
    )
