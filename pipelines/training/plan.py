"""Which samples each standardisation is validated on, and how they are split."""

import logging
from collections.abc import Sequence

from features.errors import ConfigError
from features.fingerprint import find_duplicates
from features.reference import Standardisation
from models.plan import ValidationPlan, make_plan
from pipelines.config import ExperimentConfig
from pipelines.dataset import Dataset
from pipelines.training.checks import refuse_single_class
from pipelines.validation.validate import ARMS

__all__ = ["planned_parts"]

_LOG = logging.getLogger(__name__)


def planned_parts(
    dataset: Dataset, *, comparable: Sequence[str], config: ExperimentConfig
) -> dict[Standardisation, tuple[Dataset, ValidationPlan]]:
    """Return each standardisation's samples and splits; what no split allows is refused here."""
    duplicates = find_duplicates(dataset.fingerprints())
    parts: dict[Standardisation, tuple[Dataset, ValidationPlan]] = {}
    for arm in ARMS:
        part = dataset if arm == "cohort" else _comparable_part(dataset, comparable)
        refuse_single_class(part)
        plan = make_plan(
            part.samples,
            n_splits=config.validation.n_splits,
            n_repeats=config.validation.n_repeats,
            seed=config.seed,
            duplicates=duplicates,
        )
        parts[arm] = (part, plan)
    return parts


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
