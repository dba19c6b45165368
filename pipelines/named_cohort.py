"""A cohort named on the command line, in one of three ways."""

import re
from collections.abc import Sequence
from pathlib import Path

from features.catalogue import Catalogue
from features.cells.features import CellFeature
from features.errors import ConfigError
from pipelines.cohorts import read_cohort
from pipelines.config import configuration_folder, data_root, load_cohort
from pipelines.ingest import IngestedCohort
from pipelines.settings.cohort import CohortConfig

__all__ = ["ingest_named"]


def ingest_named(
    file: Path | None,
    *,
    expression: Path | None,
    clinical: Path | None,
    cohort: Path | None,
    name: str | None = None,
    catalogue: Catalogue | None = None,
    cell_features: Sequence[CellFeature] | None = None,
) -> IngestedCohort:
    """Return the cohort of the one that is given: h5ad file, expression table or cohort YAML.

    Raises
    ------
    ConfigError, CohortError
        None or several are given, or what is given is wrong.
    """
    given = [name for name in (file, expression, cohort) if name is not None]
    if len(given) != 1:
        raise ConfigError(
            f"{len(given)} cohorts named; give one: an h5ad file, --expression FILE, or "
            "--cohort conf/cohorts/x.yaml"
        )
    if cohort is None:
        config = _ad_hoc(given[0].resolve(), clinical, name)
        return read_cohort(
            config,
            root=Path("/"),
            labels_required=False,
            catalogue=catalogue,
            cell_features=cell_features,
        )
    if name is not None:
        raise ConfigError("--name goes with an expression file; a cohort YAML says its own name")
    config, path = load_cohort(str(cohort), conf=configuration_folder(cohort))
    if clinical is not None and config.drug_response is not None:
        raise ConfigError(
            f"{path}: clinical and drug_response both give the samples' labels; leave --clinical "
            "out, or name a cohort file without drug_response"
        )
    if clinical is not None:
        config = config.model_copy(update={"clinical": str(clinical.resolve())})
    root = (path.parent / config.root).resolve() if config.root else data_root(path)
    return read_cohort(
        config,
        root=root,
        labels_required=False,
        catalogue=catalogue,
        cell_features=cell_features,
    )


def _ad_hoc(expression: Path, clinical: Path | None, name: str | None) -> CohortConfig:
    """Return the configuration of a cohort named on the command line alone."""
    stem = name or expression.name.split(".")[0]
    return CohortConfig(
        name=re.sub(r"[^A-Za-z0-9_.-]", "_", stem).lstrip("_.-") or "cohort",
        expression=str(expression),
        clinical=None if clinical is None else str(clinical.resolve()),
    )
