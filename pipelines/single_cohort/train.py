"""Train on a single cohort: patients held out, single cells looked at, logged and registered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.cells.features import cell_catalogue, default_cell_features
from features.cohort import is_gene_scaled_cohort
from features.errors import ConfigError
from features.fingerprint import find_duplicates
from features.reference import Standardisation
from models.cell_model import CellModel
from models.plan import ValidationPlan, make_nested_plan
from models.resistance_model import ResistanceModel
from models.shift import COMPONENTS
from models.signs import sign_agreement
from models.tuning import Tuner
from models.validation import OutOfFold
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset, build_dataset
from pipelines.ingest import IngestedCohort
from pipelines.screens.run import Screens
from pipelines.single_cohort.cells import (
    CellFindings,
    as_peer,
    learn_cells,
    predict_by_bulk_model,
)
from pipelines.single_cohort.validate import feature_signs, validate_single
from pipelines.training.checks import refuse_single_class, refuse_small_cohorts
from pipelines.training.final_model import TrainedArm, final_model
from pipelines.validation.shift import HELD_OUT
from pipelines.validation.validate import Validation, measure_null

__all__ = ["PreparedSingle", "TrainedSingle", "prepare_single", "train_single"]

Progress = Callable[[str], None]
_CELL_PEER, _BULK_PEER = "cells", "bulk_model"
_SCALED_CELLS = ("gene_scaled", "log2_intensity")


@dataclass(frozen=True)
class PreparedSingle:
    """A single cohort, read, checked and split, before anything is fitted."""

    config: ExperimentConfig
    project: Path
    cohort: IngestedCohort
    dataset: Dataset
    plan: ValidationPlan
    arms: tuple[Standardisation, ...]

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue with entries for what single cells show, where there are any."""
        return self.dataset.catalogue


@dataclass(frozen=True)
class TrainedSingle:
    """Everything that goes into the run of an experiment on a single cohort.

    Attributes
    ----------
    config, project, dataset, cohort
        The checked experiment, and the samples that took part.
    validations, unsigned
        Standardisation → the validation, and the reasons of the same candidates without signs.
    model
        The final model; None of a demonstration whose values have no ranks.
    signs, shift
        Tables of the features' directions, and of shift scores.
    cells
        The cell-level model and what it says; None of a cohort without single cells.
    notes
        What was left out of the comparison, and why.
    screens
        What its drug screens say, and those beside it; None where the experiment has none.
    """

    config: ExperimentConfig
    project: Path
    dataset: Dataset
    cohort: IngestedCohort
    validations: Mapping[Standardisation, Validation]
    unsigned: Mapping[Standardisation, OutOfFold]
    model: ResistanceModel | None
    signs: pd.DataFrame
    shift: pd.DataFrame
    cells: CellFindings | None
    notes: tuple[str, ...]
    screens: Screens | None = None

    @property
    def notable(self) -> bool:
        """Whether reading the cohort left notes that a card shows: of cells, of drug responses."""
        return self.cohort.cells is not None or self.cohort.screen is not None

    @property
    def features(self) -> pd.DataFrame:
        """Unstandardised features (n_samples, n_features)."""
        return self.dataset.features(list(self.dataset.cohorts))


def prepare_single(
    config: ExperimentConfig,
    *,
    project: Path,
    cohorts: Sequence[IngestedCohort],
    catalogue: Catalogue,
) -> PreparedSingle:
    """Return the cohort split by patients; what cannot be trained on is refused here.

    Raises
    ------
    ConfigError, CohortError
        There are several cohorts, signs are left open of features that there are not, or no split
        can be made.
    """
    if len(cohorts) != 1:
        raise ConfigError(
            f"validation.scheme nested takes one cohort, cohorts.train names {len(cohorts)}; with "
            "several, hold cohorts out: validation.scheme: loco"
        )
    cohort = cohorts[0]
    scaled = is_gene_scaled_cohort(cohort.adata)
    if scaled and config.demonstration is None:
        raise ConfigError(
            f"cohort '{cohort.name}' holds values centred or scaled per gene: models that others "
            "use are trained on ranks; give the values before scaling, or say under demonstration "
            "why this is one"
        )
    if cohort.cells is not None:
        catalogue = cell_catalogue(
            catalogue, setting=config.setting, cell_features=default_cell_features()
        )
    dataset = build_dataset(
        [cohort],
        timepoints=config.samples.timepoints,
        exclude=config.samples.exclude,
        catalogue=catalogue,
        min_coverage=config.features.min_coverage,
        setting=config.setting,
        score_kind="mean_z" if scaled else "rank",
    )
    refuse_small_cohorts(dataset, min_cohort_size=config.features.min_cohort_size)
    refuse_single_class(dataset)
    _refuse_empty(dataset)
    plan = make_nested_plan(
        dataset.samples,
        n_splits=config.validation.n_splits,
        n_repeats=config.validation.n_repeats,
        seed=config.seed,
        duplicates=None if scaled else find_duplicates(dataset.fingerprints()),
    )
    _refuse_unknown_signs(dataset, config)
    return PreparedSingle(config, project, cohort, dataset, plan, _arms(cohort))


def _refuse_empty(dataset: Dataset) -> None:
    """Refuse a cohort whose features are all missing."""
    features = dataset.features(list(dataset.cohorts))
    if not features.notna().any().any():
        name = next(iter(dataset.cohorts))
        raise ConfigError(
            f"cohort '{name}': no feature of setting '{dataset.setting}' can be scored from its "
            "genes; see `oncoresist check`"
        )


def _refuse_unknown_signs(dataset: Dataset, config: ExperimentConfig) -> None:
    known = set(dataset.catalogue.marker_ids)
    unknown = [name for name in config.features.open_signs if name not in known]
    if unknown:
        raise ConfigError(
            f"features.open_signs names {unknown}, no features of the catalogue; see "
            "`oncoresist markers list`"
        )


def _arms(cohort: IngestedCohort) -> tuple[Standardisation, ...]:
    """Return the standardisations that mean something: values scaled per gene have no reference."""
    scaled = cohort.cells is not None and cohort.cells.finding.unit in _SCALED_CELLS
    if scaled or not cohort.reference_offered:
        return ("cohort",)
    return ("cohort", "reference")


def train_single(
    prepared: PreparedSingle,
    *,
    tuner: Tuner,
    facts: Mapping[str, object],
    progress: Progress,
    lap: Callable[[str], None],
) -> TrainedSingle:
    """Validate, fit the final model and the cell-level one.

    Parameters
    ----------
    tuner
        Chooses inside the folds.
    facts
        Versions and hashes that the model carries.
    progress, lap
        Told of each stage as it begins, and as it ends.
    """
    config, dataset, plan = prepared.config, prepared.dataset, prepared.plan
    signs = feature_signs(dataset, config)
    cells, further, notes = _of_cells(prepared, signs=signs, progress=progress)
    found = {
        arm: validate_single(
            dataset,
            plan,
            config=config,
            standardisation=arm,
            tuner=tuner,
            further=further,
            progress=progress,
        )
        for arm in prepared.arms
    }
    lap("validation")
    validations = {
        arm: validation.with_tables(
            measure_null(validation, config=config, tuner=tuner, progress=progress)
        )
        for arm, (validation, _) in found.items()
    }
    lap("permutations")
    progress("fitting the final model")
    model = _final(prepared, validations, tuner=tuner, facts=facts, cells=cells)
    lap("final_model")
    return TrainedSingle(
        config=config,
        project=prepared.project,
        dataset=dataset,
        cohort=prepared.cohort,
        validations=validations,
        unsigned={arm: unsigned for arm, (_, unsigned) in found.items()},
        model=model,
        signs=sign_agreement(
            dataset.features(list(dataset.cohorts)),
            dataset.samples,
            signs=dataset.catalogue.signs(config.setting),
            n_resamples=config.validation.n_resamples,
            seed=config.seed,
        ),
        shift=_shift(dataset, model),
        cells=cells,
        notes=tuple(notes),
    )


def _of_cells(
    prepared: PreparedSingle, *, signs: Mapping[str, int], progress: Progress
) -> tuple[CellFindings | None, dict[str, pd.DataFrame], list[str]]:
    """Return the cell-level model and the peers that single cells allow."""
    further: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    config, cohort = prepared.config, prepared.cohort
    cells = None
    if cohort.cells is not None:
        cells = learn_cells(
            prepared.dataset,
            prepared.plan,
            cohort.cells,
            config=config,
            signs=signs,
            progress=progress,
        )
        further[_CELL_PEER] = as_peer(cells.out_of_fold, prepared.plan)
    if config.validation.bulk_model is not None:
        frame, words = predict_by_bulk_model(
            cohort, prepared.dataset, uri=config.validation.bulk_model
        )
        notes.append(words)
        if frame is not None:
            further[_BULK_PEER] = frame
    return cells, further, notes


def _final(
    prepared: PreparedSingle,
    validations: Mapping[Standardisation, Validation],
    *,
    tuner: Tuner,
    facts: Mapping[str, object],
    cells: CellFindings | None,
) -> ResistanceModel | None:
    """Return the model that serves; None where values have no ranks to be recognised by."""
    if is_gene_scaled_cohort(prepared.cohort.adata):
        return None
    everyone = np.arange(len(prepared.dataset.samples))
    arms = {
        arm: TrainedArm(
            validation, validation.learner.train(everyone, tuner=tuner, fold=f"{arm}/final")
        )
        for arm, validation in validations.items()
    }
    model = final_model(prepared.dataset, arms, config=prepared.config, facts=facts)
    cell_model: CellModel | None = None if cells is None else cells.model
    return replace(model, cells=cell_model)


def _shift(dataset: Dataset, model: ResistanceModel | None) -> pd.DataFrame:
    """Return the samples' shift, each fifth measured against the others."""
    columns = ["sample", "shift_score", "reason", *COMPONENTS, "set", "cohort"]
    if model is None:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame(
        {
            "sample": dataset.samples.index,
            "shift_score": model.training.shift.held_out_,
            "reason": "",
            "set": HELD_OUT,
            "cohort": dataset.samples["cohort"].to_numpy(),
        }
    )
    return table.reindex(columns=columns)
