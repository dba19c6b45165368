"""Configuration: the frozen tree of settings, and where its files lie."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from features.errors import ConfigError, examples
from pipelines.files import is_file
from pipelines.settings.cohort import CohortConfig
from pipelines.settings.gate import GateConfig
from pipelines.settings.layers import check_layers, did_you_mean, read_overrides, read_yaml
from pipelines.settings.screens import ScreensConfig
from pipelines.settings.section import PathText, Section
from pipelines.settings.tuning import ClassifierConfig, TuningConfig

__all__ = [
    "ExperimentConfig",
    "SamplesConfig",
    "configuration_folder",
    "data_root",
    "gate_limits",
    "load_cohort",
    "load_experiment",
    "project_folder",
    "tracking_uri",
]

Timepoint = Literal["pre_treatment", "on_treatment", "post_treatment", "unstated"]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_CHECKOUT = Path(__file__).resolve().parent.parent
_INSTALLED_CONF = Path(__file__).resolve().parent / "conf"


class DataConfig(Section):
    """Where data lie."""

    root: PathText = "../shared/cohorts"
    """Folder that the paths of cohort files start from; relative to the project folder."""


class CohortsConfig(Section):
    """Which cohorts take part; names are files of conf/cohorts without .yaml, or paths."""

    train: tuple[str, ...] = Field(min_length=1)
    """Cohorts the model is trained and validated on."""
    score: tuple[str, ...] = ()
    """Cohorts that are only scored by the finished model."""
    decline: tuple[str, ...] = ()
    """Cohorts that are no tumours as trained on (cell lines, single cells, panels): measured for
    distribution shift, which is to flag them."""
    exclude: tuple[str, ...] = ()
    """Names taken out of train, score and decline."""

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if not set(self.train) - set(self.exclude):
            raise ValueError(
                "cohorts.exclude leaves none of cohorts.train; at least two are needed"
            )
        return self


class SamplesConfig(Section):
    """Which samples take part."""

    timepoints: tuple[Timepoint, ...] = ("pre_treatment", "unstated")
    """Timepoints kept; the counts of what is left out are logged."""
    exclude: tuple[str, ...] = ()
    """Samples left out, as cohort/sample_id."""


class FeaturesConfig(Section):
    """How features are built."""

    catalogue: PathText | None = None
    """A catalogue of your own, a YAML file as docs/catalogue.schema.json says, relative to the
    project folder; it adds to the packaged one. Null: the packaged one alone."""
    min_coverage: float = Field(default=0.5, gt=0, le=1)
    """Least share of a marker's genes that must be measured; below it the feature is NaN."""
    min_cohort_size: int = Field(default=15, ge=3)
    """Fewest samples for the cohort-relative standardisation."""
    open_signs: tuple[str, ...] = ()
    """Features whose sign is not held: it was learned, by others, on a training cohort itself."""


class ValidationConfig(Section):
    """How the model is validated."""

    scheme: Literal["loco", "nested"] = "loco"
    """What the figures hold out: each cohort in turn, or with a single cohort its patients, in
    repeated folds."""
    n_splits: int = Field(default=5, ge=2)
    """Folds of the patient-grouped nested cross-validation."""
    n_repeats: int = Field(default=3, ge=1)
    """Its repeats."""
    n_resamples: int = Field(default=1000, ge=10)
    """Bootstrap resamples of patients for the intervals, and swaps of paired tests."""
    processes: int = Field(default=1, ge=1, le=2)
    """2: both standardisations are validated at the same time, in a process each; the figures are
    the same, the memory is more."""
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
    """Share of each class that the prediction sets are to hold."""
    learning_curve: int = Field(default=5, ge=0)
    """Draws of training cohorts for each point of the learning curve; 0: none."""
    permutations: int = Field(default=0, ge=0)
    """Runs of the whole pipeline on labels shuffled within cohorts."""
    all_genes: bool = True
    """Compare with a plain LightGBM on all genes."""
    on_treatment: bool = True
    """Compare samples on treatment with those before it, where patients of a cohort have both; the
    training takes ``samples.timepoints`` all the same."""
    looked_at: tuple[str, ...] = ()
    """Configurations of this experiment whose held-out figures were looked at before this run, in
    words; the validation page lists them."""
    bulk_model: str | None = None
    """With single cells: a model trained on bulk, applied to the pseudobulk as a peer; left out,
    with a word, where the store has none of this URI."""
    tide: bool | None = None
    """Compare with TIDE; null: where tidepy is installed (uv sync --group benchmark)."""


class TrackingConfig(Section):
    """Where runs go."""

    uri: str | None = None
    """MLflow tracking URI; null: MLFLOW_TRACKING_URI, else SQLite at mlruns/mlflow.db."""
    experiment: str = "oncoresist"
    """MLflow experiment."""


class _Places(BaseModel):
    """The part of the layers below an experiment: where things lie, and the gate."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data: DataConfig = DataConfig()
    tracking: TrackingConfig = TrackingConfig()
    gate: GateConfig = GateConfig()


class ModelConfig(Section):
    """How the model is registered."""

    registered_name: str = Field(pattern=r"^[^/:]*[^/:\s][^/:]*$")
    """Registered model, oncoresist-<setting> for the one that others use."""
    alias: str = Field(default="champion", pattern=r"^[\w-]+$")
    """Alias that the new version gets where the gate passes it, or none stands yet; MLflow keeps
    latest, v1, v2, … to itself."""

    @model_validator(mode="after")
    def _alias_not_reserved(self) -> Self:
        word = self.alias.lower()
        if word == "latest" or (word.startswith("v") and word[1:].isdigit()):
            raise ValueError(f"model.alias is '{self.alias}', which MLflow reserves; choose a name")
        return self


class ExperimentConfig(Section):
    """A whole experiment: what conf/experiments/*.yaml may say."""

    setting: Literal["ici", "adc", "hcc", "sclc"]
    """Therapy setting; decides the signs."""
    seed: int = Field(default=20260401, ge=0, lt=2**31 - 1000)
    """Of everything random."""
    data: DataConfig = DataConfig()
    cohorts: CohortsConfig
    samples: SamplesConfig = SamplesConfig()
    features: FeaturesConfig = FeaturesConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    tuning: TuningConfig = TuningConfig()
    validation: ValidationConfig = ValidationConfig()
    screens: ScreensConfig | None = None
    """Drug screens: null where the experiment has none."""
    tracking: TrackingConfig = TrackingConfig()
    model: ModelConfig
    gate: GateConfig = GateConfig()
    demonstration: str | None = None
    """Why nothing that comes of this experiment may be used; its model is then not registered."""

    @model_validator(mode="after")
    def _screens_have_one_cohort(self) -> Self:
        if self.screens is not None and self.validation.scheme != "nested":
            raise ValueError("screens goes with validation.scheme: nested, one cohort to train on")
        return self

    @model_validator(mode="after")
    def _name_belongs_to_setting(self) -> Self:
        named = self.model.registered_name.removeprefix("oncoresist-")
        if named in ("ici", "adc", "hcc", "sclc") and named != self.setting:
            raise ValueError(
                f"model.registered_name 'oncoresist-{named}' belongs to setting {named}, not "
                f"{self.setting}; name the model otherwise"
            )
        return self


def project_folder(config_file: Path | None = None) -> Path:
    """Return the folder that relative paths start from.

    That is the folder above the ``conf`` a file lies in, else the checkout, else the working
    directory; never the installed package.
    """
    if config_file is not None:
        for folder in config_file.resolve().parents:
            if (folder / "defaults.yaml").is_file() and folder != _INSTALLED_CONF:
                return folder.parent
    return _CHECKOUT if (_CHECKOUT / "conf" / "defaults.yaml").is_file() else Path.cwd()


def configuration_folder(config_file: Path | None = None) -> Path:
    """Return the ``conf`` folder in use: the file's own, the checkout's, or the installed one."""
    own = project_folder(config_file) / "conf"
    return own if (own / "defaults.yaml").is_file() else _INSTALLED_CONF


def data_root(config_file: Path | None = None) -> Path:
    """Return ``data.root`` of the configuration in use (defaults < local), as a full path.

    Raises
    ------
    ConfigError
        A configuration file is wrong.
    """
    return (project_folder(config_file) / _places(config_file).data.root).resolve()


def tracking_uri(config_file: Path | None = None) -> str | None:
    """Return ``tracking.uri`` of the configuration in use (defaults < local).

    Raises
    ------
    ConfigError
        A configuration file is wrong.
    """
    return _places(config_file).tracking.uri


def gate_limits(config_file: Path | None = None) -> GateConfig:
    """Return the gate's limits in the configuration in use (defaults < local).

    Raises
    ------
    ConfigError
        A configuration file is wrong.
    """
    return _places(config_file).gate


def _places(config_file: Path | None) -> _Places:
    conf = configuration_folder(config_file)
    files = [file for file in (conf / "defaults.yaml", conf / "local.yaml") if file.is_file()]
    return check_layers(_Places, [(str(file), read_yaml(file)) for file in files])


def load_experiment(
    path: Path, *, overrides: Sequence[str] = (), with_local: bool = True
) -> ExperimentConfig:
    """Return the checked configuration of an experiment.

    Layers, later ones winning: ``conf/defaults.yaml``, the experiment, ``conf/local.yaml`` (not
    in git, left out where ``with_local`` is False), then ``overrides`` (``a.b=value``).

    Raises
    ------
    ConfigError
        A file is missing or not YAML, or a key is unknown or has a wrong value.
    """
    conf = configuration_folder(path)
    layers = [(str(conf / "defaults.yaml"), read_yaml(conf / "defaults.yaml"))]
    layers.append((str(path), read_yaml(path)))
    local = conf / "local.yaml"
    if with_local and local.is_file():
        layers.append((str(local), read_yaml(local)))
    layers.append(("--set", read_overrides(overrides)))
    return check_layers(ExperimentConfig, layers)


def load_cohort(name: str, *, conf: Path) -> tuple[CohortConfig, Path]:
    """Return a cohort's checked configuration and the file it stands in.

    Parameters
    ----------
    name
        A name in ``conf/cohorts``, or the path of a YAML file, relative to the folder above
        ``conf``, else to the working directory.
    conf
        The configuration folder.

    A file that says ``extends: NAME`` adds to the cohort file of that name beside it, else in
    ``conf/cohorts``, and wins over it.

    Raises
    ------
    ConfigError
        There is no such file, or it is wrong.
    """
    path = conf / "cohorts" / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")):
        path = conf.parent / name if is_file(conf.parent / name) else Path(name)
    if not is_file(path):
        known = sorted(file.stem for file in (conf / "cohorts").glob("*.yaml"))
        raise ConfigError(
            f"there is no cohort file {path}; known cohorts: {examples(known, most=20)}"
            + did_you_mean(name, known)
        )
    return check_layers(CohortConfig, _cohort_layers(path, conf=conf)), path


def _cohort_layers(path: Path, *, conf: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return a cohort's file below those that it extends."""
    layers: list[tuple[str, dict[str, Any]]] = []
    seen: list[Path] = []
    while True:
        tree = dict(read_yaml(path))
        base = tree.pop("extends", None)
        if base is not None and not (isinstance(base, str) and _PLAIN_NAME.fullmatch(base)):
            raise ConfigError(
                f"{path}: extends is {base!r}; give the name of one cohort file beside it "
                "or in conf/cohorts, without .yaml"
            )
        layers.insert(0, (str(path), tree))
        seen.append(path)
        if base is None:
            return layers
        beside, common = (folder / f"{base}.yaml" for folder in (path.parent, conf / "cohorts"))
        path = beside if is_file(beside) and beside != path else common
        if path.resolve() in [one.resolve() for one in seen]:
            raise ConfigError(f"{seen[-1]}: extends names '{base}', which leads back to it")
        if not is_file(path):
            raise ConfigError(
                f"{seen[-1]}: extends names '{base}', but there is no file {beside} or {common}"
            )
