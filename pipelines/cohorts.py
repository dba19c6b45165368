"""One way to a cohort, whatever its file holds: bulk samples, single cells, or cells as rows."""

from collections.abc import Sequence
from pathlib import Path

from features.catalogue import Catalogue, default_catalogue
from features.cells.features import CellFeature
from pipelines.cells.detect import holds_cells
from pipelines.cells.ingest import ingest_cells
from pipelines.ingest import IngestedCohort, ingest_cohort
from pipelines.settings.cohort import CohortConfig

__all__ = ["read_cohort"]


def read_cohort(
    config: CohortConfig,
    *,
    root: Path,
    labels_required: bool,
    catalogue: Catalogue | None = None,
    cell_features: Sequence[CellFeature] | None = None,
) -> IngestedCohort:
    """Return a checked cohort; single cells become samples unless each is a row of its own.

    ``catalogue`` and ``cell_features`` say what is read: those of a model that is to score the
    cohort; the packaged ones by default.

    Raises
    ------
    CohortError
        See :func:`pipelines.ingest.ingest_cohort` and
        :func:`pipelines.cells.ingest.ingest_cells`.
    """
    catalogue = catalogue or default_catalogue()
    path = root / config.expression
    if config.cells.rows == "sample" and holds_cells(config, path, catalogue=catalogue):
        return ingest_cells(
            config,
            root=root,
            labels_required=labels_required,
            catalogue=catalogue,
            cell_features=cell_features,
        )
    return ingest_cohort(config, root=root, labels_required=labels_required, catalogue=catalogue)
