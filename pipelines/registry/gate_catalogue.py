"""Gate, catalogue: what a version was trained with must be what is in use."""

from pathlib import Path

from features.catalogue import Catalogue, default_catalogue, load_catalogue
from features.cells.features import CELL_SECTION, cell_catalogue, default_cell_features
from features.errors import CatalogueError
from pipelines.registry.catalogue_difference import catalogue_differences
from pipelines.registry.standing import Check
from pipelines.registry.version_record import VersionRecord

__all__ = ["catalogue_check"]

_GROUP = "catalogue fresh"


def catalogue_check(record: VersionRecord, catalogue: Catalogue, *, project: Path) -> Check:
    """Return whether a version's catalogue is, by its content, the one in use now.

    In use is the packaged catalogue, or with it the user's own file that the run's configuration
    names (``features.catalogue``, relative to ``project``).
    """
    config = record.origin.document("config/resolved.yaml") or {}
    own = (config.get("features") or {}).get("catalogue")
    what = "content hash" if own is None else f"content hash, with {own}"
    trained_with = catalogue.content_hash()
    try:
        now = default_catalogue() if own is None else load_catalogue(project / own)
        if any(marker.section == CELL_SECTION for marker in catalogue.markers):
            setting = config.get("setting")
            now = cell_catalogue(now, setting=setting, cell_features=default_cell_features())
    except CatalogueError as error:
        mend = "put the file back that it was trained with, or train again with one that loads"
        return Check(_GROUP, what, "failed", f"{trained_with}; now: {error}", "the same", mend)
    in_use = now.content_hash()
    if trained_with == in_use:
        return Check(_GROUP, what, "passed", trained_with, "the same as in use")
    return Check(
        _GROUP,
        what,
        "failed",
        f"{trained_with}, edited since: {'; '.join(catalogue_differences(catalogue, now))}",
        f"{in_use}, in use now",
        "train again with the catalogue in use, or put back the one it was trained with",
    )
