"""Configuration: the frozen tree of settings, and where its files lie."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from features.errors import ConfigError, examples
from pipelines.config_layers import check_layers, did_you_mean, read_overrides, read_yaml
from pipelines.files import is_file

__all__ = [
    "CohortConfig",
    "ColumnNames",
    "ExperimentConfig",
    "configuration_folder",
    "data_root",
    "load_cohort",
    "load_experiment",
    "project_folder",
    "tracking_uri",
]

Timepoint = Literal["pre_treatment", "on_treatment", "post_treatment", "unstated"]

_CHECKOUT = Path(__file__).resolve().parent.parent
_INSTALLED_CONF = Path(__file__).resolve().parent / "conf"


def _at_home(path: str) -> str:
    """Return a path with a leading ``~`` made the home folder; the shell leaves it in a=~/b."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        return path


PathText = Annotated[str, Field(min_length=1), AfterValidator(_at_home)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class DataConfig(_Section):
    """Where data lie."""

    root: PathText = "../shared/cohorts"
    """Folder that the paths of cohort files start from; relative to the project folder."""


class CohortsConfig(_Section):
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


class SamplesConfig(_Section):
    """Which samples take part."""

    timepoints: tuple[Timepoint, ...] = ("pre_treatment", "unstated")
    """Timepoints kept; the counts of what is left out are logged."""
    exclude: tuple[str, ...] = ()
    """Samples left out, as cohort/sample_id."""


class FeaturesConfig(_Section):
    """How features are built."""

    catalogue: PathText | None = None
    """A catalogue of your own, a YAML file as docs/catalogue.schema.json says, relative to the
    project folder; it adds to the packaged one. Null: the packaged one alone."""
    min_coverage: float = Field(default=0.5, gt=0, le=1)
    """Least share of a marker's genes that must be measured; below it the feature is NaN."""
    min_cohort_size: int = Field(default=15, ge=3)
    """Fewest samples for the cohort-relative standardisation."""


class ClassifierConfig(_Section):
    """The gradient-boosted trees without tuning, and what boosted candidates start from."""

    n_estimators: int = Field(default=200, ge=1)
    """Trees."""
    num_leaves: int = Field(default=5, ge=2)
    """Leaves a tree."""
    learning_rate: float = Field(default=0.03, gt=0)
    """Shrinkage of each tree."""
    colsample_bytree: float = Field(default=0.3, gt=0, le=1)
    """Share of features a tree may use."""
    min_child_samples: int = Field(default=20, ge=1)
    """Fewest samples in a leaf."""
    reg_lambda: float = Field(default=10.0, ge=0)
    """L2 penalty on leaf values."""
    subsample: float = Field(default=1.0, gt=0, le=1)
    """Share of samples drawn anew for each tree."""
    n_seeds: int = Field(default=3, ge=1)
    """Models with different seeds that are averaged."""
    monotone: bool = True
    """Hold the catalogue's signs as monotone constraints."""


class RangeConfig(_Section):
    """Values between which a setting is searched."""

    low: int | float
    """Least value; with ``high`` whole, whole numbers are searched."""
    high: int | float
    """Greatest value."""
    log: bool = False
    """Search on a logarithmic scale."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must lie below high ({self.high})")
        return self


Setting = int | float | tuple[int | float, ...] | RangeConfig


class CandidateConfig(_Section):
    """One configuration that competes inside the folds."""

    family: Literal["boosted", "linear", "average"] = "boosted"
    """LightGBM, elastic-net logistic regression, or the average of other candidates."""
    features: Literal["all", "mechanisms"] = "all"
    """All markers, or those that several genes make up (mechanisms) alone."""
    signs: bool = True
    """Hold the catalogue's signs."""
    weights: Literal["patients", "cohorts"] = "patients"
    """What weighs the same in training."""
    settings: dict[str, Setting] = {}
    """Settings of the family; a list or a range (low, high, log) is searched. Boosted ones start
    from the section ``classifier``; linear ones know ``alpha`` and ``l1_ratio``."""
    members: tuple[str, ...] = ()
    """Candidates that are averaged."""

    @model_validator(mode="after")
    def _known_settings(self) -> Self:
        known = {
            "boosted": sorted(set(ClassifierConfig.model_fields) - {"monotone"}),
            "linear": ["alpha", "l1_ratio"],
            "average": [],
        }[self.family]
        unknown = sorted(set(self.settings) - set(known))
        if unknown:
            raise ValueError(f"settings {unknown} are unknown to {self.family}; known: {known}")
        if bool(self.members) != (self.family == "average"):
            raise ValueError("members go with family: average, and that needs them")
        return self


class TuningConfig(_Section):
    """The choice of a configuration, made inside each fold, never on what is reported."""

    candidates: dict[str, CandidateConfig] = Field(default={}, max_length=8)
    """At most eight, written down before the run; none: the section ``classifier`` as it is."""
    trials: int = Field(default=8, ge=1)
    """Most trials a fold."""
    minutes: float | None = Field(default=None, gt=0)
    """Most minutes for all trials of a run; null: no limit. Figures may then depend on the
    machine."""

    @model_validator(mode="after")
    def _members_exist(self) -> Self:
        for name, candidate in self.candidates.items():
            single = [n for n, c in self.candidates.items() if c.family != "average"]
            unknown = [member for member in candidate.members if member not in single]
            if unknown:
                raise ValueError(
                    f"members {unknown} of candidate '{name}' are no single candidates; "
                    f"known: {single}"
                )
        return self


class ValidationConfig(_Section):
    """How the model is validated."""

    n_splits: int = Field(default=5, ge=2)
    """Folds of the patient-grouped nested cross-validation."""
    n_repeats: int = Field(default=3, ge=1)
    """Its repeats."""
    n_resamples: int = Field(default=1000, ge=10)
    """Bootstrap resamples of patients for the intervals, and swaps of paired tests."""
    coverage: float = Field(default=0.9, gt=0.5, lt=1)
    """Share of each class that the prediction sets are to hold."""
    learning_curve: int = Field(default=5, ge=0)
    """Draws of training cohorts for each point of the learning curve; 0: none."""
    permutations: int = Field(default=0, ge=0)
    """Runs of the whole pipeline on labels shuffled within cohorts."""
    all_genes: bool = True
    """Compare with a plain LightGBM on all genes."""
    looked_at: tuple[str, ...] = ()
    """Configurations of this experiment whose held-out figures were looked at before this run, in
    words; the validation page lists them."""
    tide: bool | None = None
    """Compare with TIDE; null: where tidepy is installed (uv sync --group benchmark)."""


class TrackingConfig(_Section):
    """Where runs go."""

    uri: str | None = None
    """MLflow tracking URI; null: MLFLOW_TRACKING_URI, else SQLite at mlruns/mlflow.db."""
    experiment: str = "oncoresist"
    """MLflow experiment."""


class _Places(BaseModel):
    """The part of the layers below an experiment that says where things lie."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data: DataConfig = DataConfig()
    tracking: TrackingConfig = TrackingConfig()


class ModelConfig(_Section):
    """How the model is registered."""

    registered_name: str = Field(pattern=r"^[^/:]*[^/:\s][^/:]*$")
    """Registered model, oncoresist-<setting> for the one that others use."""
    alias: str = Field(default="champion", pattern=r"^[\w-]+$")
    """Alias given to the new version; MLflow keeps latest, v1, v2, … to itself."""

    @model_validator(mode="after")
    def _alias_not_reserved(self) -> Self:
        word = self.alias.lower()
        if word == "latest" or (word.startswith("v") and word[1:].isdigit()):
            raise ValueError(f"model.alias is '{self.alias}', which MLflow reserves; choose a name")
        return self


class ExperimentConfig(_Section):
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
    tracking: TrackingConfig = TrackingConfig()
    model: ModelConfig

    @model_validator(mode="after")
    def _name_belongs_to_setting(self) -> Self:
        named = self.model.registered_name.removeprefix("oncoresist-")
        if named in ("ici", "adc", "hcc", "sclc") and named != self.setting:
            raise ValueError(
                f"model.registered_name 'oncoresist-{named}' belongs to setting {named}, not "
                f"{self.setting}; name the model otherwise"
            )
        return self


class ColumnNames(_Section):
    """Columns of the clinical table; those left at their default may be absent."""

    sample_id: str | None = None
    """Null: ``sample_id`` where there is such a column, else the one that shares most values with
    the expression file's samples; the column used is noted."""
    patient_id: str = "patient_id"
    response: str = "response"
    recist: str = "recist"
    timepoint: str = "timepoint"
    therapy: str = "treatment_class"
    drug: str = "drug"
    cancer_type: str = "cancer_type"


class LabelsConfig(_Section):
    """How published response becomes resistant or responsive."""

    stable_disease: Literal["resistant", "responsive", "exclude", "pfs6"] = "resistant"
    """What RECIST SD means; pfs6: responsive when progression-free for six months or more."""
    responsive: tuple[str, ...] = ()
    """Further spellings of responsive."""
    resistant: tuple[str, ...] = ()
    """Further spellings of resistant."""
    missing: tuple[str, ...] = ()
    """Further spellings of no label."""


class TimepointsConfig(_Section):
    """Spellings of each timepoint, any case."""

    pre_treatment: tuple[str, ...] = ("pre", "pre-treatment", "pretreatment", "baseline", "before")
    on_treatment: tuple[str, ...] = ("on", "on-treatment", "edt", "during")
    post_treatment: tuple[str, ...] = ("post", "post-treatment", "progression", "after")
    unstated: tuple[str, ...] = ("not stated in file", "unknown", "na", "nan")


class SurvivalColumn(_Section):
    """One survival endpoint in the clinical table."""

    time: str
    """Column of the time."""
    event: str
    """Column of the event; 1, Dead, TRUE and VRAI are events."""
    unit: Literal["day", "week", "month", "year"] = "month"
    """Unit of the time."""


class SurvivalConfig(_Section):
    """Endpoints the cohort has."""

    pfs: SurvivalColumn | None = None
    """Progression-free survival."""
    os: SurvivalColumn | None = None
    """Overall survival."""


class CovariateColumn(_Section):
    """One clinical covariate in the clinical table."""

    column: str
    """Column that holds it."""
    values: dict[str, float | str] = {}
    """The file's spelling, any case → a number, or a known spelling."""
    missing: tuple[str, ...] = ()
    """Further spellings of no value; empty cells, NA, unknown and the like need none."""


class CovariatesConfig(_Section):
    """Clinical covariates the cohort has; those left out are missing for all its samples."""

    tmb: CovariateColumn | None = None
    """Tumour mutational burden, any unit that holds for the whole cohort."""
    pdl1_ihc: CovariateColumn | None = None
    """PD-L1 by immunohistochemistry: IC0 to IC3, TC0 to TC3, per cent, or negative and positive."""
    ecog: CovariateColumn | None = None
    """ECOG performance status, 0 to 4."""
    stage: CovariateColumn | None = None
    """Stage I to IV, with or without letter, or M1a to M1d."""
    prior_lines: CovariateColumn | None = None
    """Number of earlier systemic therapies."""
    ldh_high: CovariateColumn | None = None
    """Lactate dehydrogenase above the upper limit of normal, yes or no."""
    liver_metastasis: CovariateColumn | None = None
    """Metastasis in the liver, yes or no."""
    age: CovariateColumn | None = None
    """Years."""
    purity: CovariateColumn | None = None
    """Share of tumour cells as measured on DNA, 0 to 1."""
    sex: CovariateColumn | None = None
    """Female or male."""
    biopsy_site: CovariateColumn | None = None
    """skin_subcutaneous, lymph_node, lung, liver_visceral, brain, bone, primary or other."""


class CohortConfig(_Section):
    """One cohort: what conf/cohorts/*.yaml may say."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name in metrics and tables."""
    expression: PathText
    """CSV, TSV (plain or gz) or h5ad; relative to data.root or to ``root``."""
    clinical: PathText | None = None
    """CSV or TSV with a row per sample; null: none, or the obs of an h5ad."""
    root: PathText | None = None
    """Folder of this cohort's files instead of data.root, relative to this YAML file."""
    unit: Literal[
        "auto", "counts", "tpm", "log2_tpm", "ln_tpm", "log2_intensity", "gene_scaled"
    ] = "auto"
    """Unit of the expression; auto finds it out and reports the evidence."""
    pseudocount: float | None = Field(default=None, ge=0)
    """Constant under the logarithm of log2_tpm when the unit is stated."""
    orientation: Literal["auto", "genes_in_rows", "samples_in_rows"] = "auto"
    """Which way the matrix stands."""
    gene_lengths: PathText | None = None
    """Table of gene lengths for raw counts (columns symbol, effective_length), as paths above."""
    gene_table: PathText | None = None
    """Table of gene ids (columns symbol, and ensembl_id or entrez_id), as paths above: symbols
    of the genes that the catalogue does not hold. The catalogue's own genes need none."""
    cancer_type: str | None = None
    """Tumour type where the clinical table has no column for it."""
    drug: str | None = None
    """Drug where the clinical table has no column for it."""
    columns: ColumnNames = ColumnNames()
    labels: LabelsConfig = LabelsConfig()
    timepoints: TimepointsConfig = TimepointsConfig()
    survival: SurvivalConfig = SurvivalConfig()
    covariates: CovariatesConfig = CovariatesConfig()

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        if self.pseudocount is not None and self.unit != "log2_tpm":
            raise ValueError("pseudocount goes with unit: log2_tpm")
        if self.labels.stable_disease == "pfs6" and self.survival.pfs is None:
            raise ValueError("labels.stable_disease: pfs6 needs the columns under survival.pfs")
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
    return check_layers(CohortConfig, [(str(path), read_yaml(path))]), path
