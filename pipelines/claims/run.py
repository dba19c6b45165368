"""From experiment files to the page on claims: read cohorts, weigh signs, draw, write."""

from collections.abc import Callable, Sequence
from pathlib import Path

from features.errors import ConfigError
from pipelines.claims.evidence import too_small
from pipelines.claims.figures import setting_forest
from pipelines.claims.page import SettingClaims, claims_page
from pipelines.claims.table import claims_table
from pipelines.config import load_experiment, project_folder
from pipelines.figures.style import png_bytes
from pipelines.files import replaced_when_done, require_folder, write_text
from pipelines.train import configured_catalogue, ingest_cohorts

__all__ = ["weigh_claims", "write_claims"]


def weigh_claims(
    file: Path, *, progress: Callable[[str], None] = lambda stage: None
) -> SettingClaims:
    """Return what the cohorts of an experiment, those apart included, say of its setting's signs.

    Raises
    ------
    ConfigError, CohortError
        The folder of cohorts is not there, or the experiment or a cohort is wrong.
    """
    config = load_experiment(file)
    root = (project_folder(file) / config.data.root).resolve()
    if not root.is_dir():
        raise ConfigError(
            f"{file}: the folder of cohorts {root} (data.root) is not there; put the cohorts "
            "there, or state data.root in conf/local.yaml"
        )
    catalogue = configured_catalogue(config, config_file=file)
    apart = config.screens.apart if config.screens else ()
    names = [n for n in (*config.cohorts.train, *apart) if n not in config.cohorts.exclude]
    progress(f"{config.setting}: reading {len(names)} cohorts")
    cohorts = ingest_cohorts(
        names, config, config_file=file, labels_required=False, catalogue=catalogue
    )
    progress(f"{config.setting}: weighing the signs")
    table = claims_table(config, cohorts, catalogue=catalogue)
    return SettingClaims(file.name, config.setting, table, too_small(config, cohorts))


def write_claims(
    files: Sequence[Path],
    *,
    output: Path,
    progress: Callable[[str], None] = lambda stage: None,
) -> list[Path]:
    """Write the page of some experiments, and a forest a setting into ``images`` beside it.

    Nothing is written before all is known. Returns what was written, the page first.

    Raises
    ------
    ConfigError, CohortError
        As :func:`weigh_claims`; or two experiments are of one setting, or of two catalogues, or
        the output cannot be written.
    """
    require_folder(output.parent)
    configs = [load_experiment(file) for file in files]
    settings = [config.setting for config in configs]
    repeated = sorted({name for name in settings if settings.count(name) > 1})
    if repeated:
        raise ConfigError(f"several experiments are of setting '{repeated[0]}'; give one of them")
    if len({config.features.catalogue for config in configs}) > 1:
        raise ConfigError("the experiments take several catalogues; write a page for each")
    found = [weigh_claims(file, progress=progress) for file in files]
    forests = {one.setting: setting_forest(one.table) for one in found}
    drawn = {name: png_bytes(figure) for name, figure in forests.items() if figure is not None}
    places = {name: f"images/claims_{name}.png" for name in drawn}
    catalogue = configured_catalogue(configs[0], config_file=files[0])
    page = claims_page(found, catalogue=catalogue, images=places)
    for name, data in drawn.items():
        with replaced_when_done(output.parent / places[name]) as temporary:
            temporary.write_bytes(data)
    write_text(page, output)
    return [output, *(output.parent / place for place in places.values())]
