"""Configuration: layers win in order, every error names file, key and mend."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.errors import ConfigError
from pipelines.config import (
    ExperimentConfig,
    configuration_folder,
    data_root,
    load_cohort,
    load_experiment,
    project_folder,
)
from pipelines.settings.cohort import CohortConfig

CONF = Path(__file__).resolve().parents[2] / "conf"
EXPERIMENT = """\
setting: ici
cohorts:
  train: [alpha, beta]
model:
  registered_name: oncoresist-test
"""
COHORT = "name: alpha\nexpression: alpha.csv\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project of its own: conf/ with the defaults and one experiment."""
    (tmp_path / "conf" / "experiments").mkdir(parents=True)
    (tmp_path / "conf" / "cohorts").mkdir()
    shutil.copy(CONF / "defaults.yaml", tmp_path / "conf")
    (tmp_path / "conf" / "experiments" / "test.yaml").write_text(EXPERIMENT)
    (tmp_path / "conf" / "cohorts" / "alpha.yaml").write_text(COHORT)
    return tmp_path


@pytest.fixture
def load(project: Path) -> Callable[..., ExperimentConfig]:
    """Return a loader of experiments given as text (or bytes)."""

    def load_text(text: str | bytes = EXPERIMENT, *overrides: str) -> ExperimentConfig:
        path = project / "conf" / "experiments" / "test.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_experiment(path, overrides=overrides)

    return load_text


@pytest.fixture
def load_cohort_text(project: Path) -> Callable[[str], CohortConfig]:
    def load_text(text: str) -> CohortConfig:
        (project / "conf" / "cohorts" / "alpha.yaml").write_text(text)
        return load_cohort("alpha", conf=project / "conf")[0]

    return load_text


# --- layers


def test_layers_win_in_order_defaults_experiment_local_set(project: Path) -> None:
    conf = project / "conf"
    path = conf / "experiments" / "test.yaml"
    (conf / "defaults.yaml").write_text("seed: 1\nvalidation: {n_splits: 3, n_repeats: 7}\n")
    assert load_experiment(path).seed == 1
    path.write_text(EXPERIMENT + "seed: 2\nvalidation: {n_splits: 4}\n")
    assert load_experiment(path).seed == 2
    (conf / "local.yaml").write_text("seed: 3\n")
    assert load_experiment(path).seed == 3
    config = load_experiment(path, overrides=["seed=4", "classifier.num_leaves=9"])
    assert config.seed == 4
    assert config.classifier.num_leaves == 9
    assert (config.validation.n_splits, config.validation.n_repeats) == (4, 7)


def test_a_list_of_a_later_layer_replaces_the_earlier_one(
    load: Callable[..., ExperimentConfig],
) -> None:
    assert load(EXPERIMENT, "cohorts.train=[gamma]").cohorts.train == ("gamma",)


def test_the_last_of_several_overrides_of_a_key_wins(load: Callable[..., ExperimentConfig]) -> None:
    assert load(EXPERIMENT, "seed=1", "seed=2").seed == 2


def test_an_override_may_hold_an_equals_sign_and_a_home_folder(
    load: Callable[..., ExperimentConfig],
) -> None:
    assert load(EXPERIMENT, "data.root=/a=b").data.root == "/a=b"
    assert load(EXPERIMENT, "data.root=~/cohorts").data.root == str(Path.home() / "cohorts")


def test_an_override_may_be_null(load: Callable[..., ExperimentConfig]) -> None:
    assert load(EXPERIMENT + "tracking: {uri: x}\n", "tracking.uri=null").tracking.uri is None


def test_byte_order_mark_and_windows_line_ends_are_read(
    load: Callable[..., ExperimentConfig],
) -> None:
    text = "\ufeff" + EXPERIMENT.replace("\n", "\r\n")
    assert load(text).cohorts.train == ("alpha", "beta")


def test_the_tree_is_frozen(load: Callable[..., ExperimentConfig]) -> None:
    config = load()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 5  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.cohorts.train = ("x",)  # type: ignore[misc]
    assert isinstance(config.cohorts.train, tuple)


@pytest.mark.parametrize("path", sorted(CONF.glob("experiments/*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_of_the_repository_loads(path: Path) -> None:
    config = load_experiment(path)
    assert config.model.registered_name.startswith("oncoresist-")


@pytest.mark.parametrize("path", sorted(CONF.glob("cohorts/*.yaml")), ids=lambda p: p.stem)
def test_every_cohort_of_the_repository_loads_and_is_named_after_its_file(path: Path) -> None:
    config, found = load_cohort(path.stem, conf=CONF)
    assert config.name == path.stem
    assert found == path


def test_the_cohorts_that_ici_names_exist_and_prat_is_scored_not_trained_on() -> None:
    config = load_experiment(CONF / "experiments" / "ici.yaml")
    assert len(config.cohorts.train) == 9
    assert config.cohorts.score == ("prat_2017_gse93157",)
    for name in (*config.cohorts.train, *config.cohorts.score):
        load_cohort(name, conf=CONF)


# --- places


def test_data_root_is_relative_to_the_project_and_local_wins(project: Path) -> None:
    path = project / "conf" / "experiments" / "test.yaml"
    assert data_root(path) == (project / "../shared/cohorts").resolve()
    (project / "conf" / "local.yaml").write_text("data: {root: here}\n")
    assert data_root(path) == project / "here"
    (project / "conf" / "local.yaml").write_text("data: {root: /absolute}\n")
    assert data_root(path) == Path("/absolute")


@pytest.mark.parametrize(
    ("local", "message"),
    [
        ("data:\n", r"local.yaml: key 'data' is empty: expected keys and values"),
        ("data: foo\n", r"local.yaml: key 'data' is 'foo': expected keys and values"),
        ("data: [a]\n", r"local.yaml: key 'data' is \['a'\]: expected keys and values"),
        ("data: {rot: x}\n", r"local.yaml: unknown key 'data.rot'; did you mean 'root'"),
        ("data: {root: ''}\n", r"local.yaml: key 'data.root' is ''"),
        ("- a\n", r"local.yaml: expected keys and values at the top level"),
    ],
)
def test_data_root_names_the_fault_of_local_yaml(project: Path, local: str, message: str) -> None:
    (project / "conf" / "local.yaml").write_text(local)
    with pytest.raises(ConfigError, match=message):
        data_root(project / "conf" / "experiments" / "test.yaml")


def test_another_working_directory_changes_nothing(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "conf" / "experiments" / "test.yaml"
    before = load_experiment(path), data_root(path), project_folder(path)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert (load_experiment(path), data_root(path), project_folder(path)) == before
    assert configuration_folder(path) == project / "conf"
    assert configuration_folder() == CONF


def test_a_relative_experiment_path_finds_its_own_conf(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "conf")
    path = Path("experiments/test.yaml")
    assert load_experiment(path).cohorts.train == ("alpha", "beta")
    assert project_folder(path) == project


def test_an_experiment_outside_any_conf_uses_the_checkouts(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(EXPERIMENT)
    assert load_experiment(tmp_path / "mine.yaml").seed == 20260401
    assert project_folder(tmp_path / "mine.yaml") == CONF.parent


def test_a_cohort_path_starts_from_the_project_then_the_working_directory(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "here.yaml").write_text(COHORT.replace("alpha", "here"))
    monkeypatch.chdir(elsewhere)
    assert load_cohort("conf/cohorts/alpha.yaml", conf=project / "conf")[0].name == "alpha"
    assert load_cohort("here.yaml", conf=project / "conf")[0].name == "here"


# --- faults, each with its file, key and mend


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "key 'setting' is missing; add it", id="empty file"),
        pytest.param("# nothing\n", "key 'cohorts' is missing; add it", id="only a comment"),
        pytest.param("setting: ici\n", "key 'model' is missing; add it", id="missing key"),
        pytest.param("- a\n- b\n", "expected keys and values at the top level", id="list"),
        pytest.param("3\n", "not readable as YAML", id="number"),
        pytest.param("hello\n", "unknown key 'hello'; known keys: setting, seed", id="word"),
        pytest.param(
            EXPERIMENT.replace("cohorts:", "cohrots:"),
            "unknown key 'cohrots'; did you mean 'cohorts'",
            id="typo",
        ),
        pytest.param(
            EXPERIMENT + "features: {min_coverge: 0.3}\n",
            "unknown key 'features.min_coverge'; did you mean 'min_coverage'",
            id="nested typo",
        ),
        pytest.param(
            EXPERIMENT + "features: {3: 4}\n", r"unknown key 'features\.3'", id="number as key"
        ),
        pytest.param(EXPERIMENT + "größe: 3\n", "unknown key 'größe'", id="unicode key"),
        pytest.param(EXPERIMENT + "seed: x\n", "key 'seed' is 'x': .*integer", id="wrong type"),
        pytest.param(EXPERIMENT + "seed: -1\n", "key 'seed' is -1", id="negative seed"),
        pytest.param(EXPERIMENT + "seed: 1.5\n", "key 'seed' is 1.5", id="fractional seed"),
        pytest.param(
            EXPERIMENT + "seed: 99999999999999999999\n", "key 'seed' is 99999", id="huge seed"
        ),
        pytest.param(
            EXPERIMENT + "features: {min_coverage: .nan}\n",
            r"key 'features\.min_coverage' is nan",
            id="nan",
        ),
        pytest.param(
            EXPERIMENT + "classifier: {reg_lambda: .inf}\n",
            r"key 'classifier\.reg_lambda' is inf: .*finite",
            id="infinite",
        ),
        pytest.param(
            EXPERIMENT.replace("setting: ici", "setting: icy"),
            "key 'setting' is 'icy': .*'ici', 'adc', 'hcc' or 'sclc'",
            id="unknown choice",
        ),
        pytest.param(
            EXPERIMENT.replace("[alpha, beta]", "[alpha, 2019]"),
            r"key 'cohorts\.train\.1' is 2019: expected text; put it in quotes$",
            id="list item of the wrong type",
        ),
        pytest.param(
            EXPERIMENT.replace("[alpha, beta]", "alpha"),
            r"key 'cohorts\.train' is 'alpha': expected a list, such as \[a, b\]",
            id="text for a list",
        ),
        pytest.param(
            EXPERIMENT.replace("[alpha, beta]", "[]"), r"key 'cohorts\.train' is \[\]", id="empty"
        ),
        pytest.param(
            "setting: ici\ncohorts: foo\nmodel: {registered_name: m}\n",
            "key 'cohorts' is 'foo': expected keys and values under it",
            id="text for a section",
        ),
        pytest.param(
            EXPERIMENT + "features: [1, 2]\n",
            r"key 'features' is \[1, 2\]: expected keys and values under it",
            id="list for a section",
        ),
        pytest.param(
            EXPERIMENT + "features:\n",
            "key 'features' is empty: expected keys and values under it",
            id="null section",
        ),
        pytest.param(EXPERIMENT + "setting: adc\n", "duplicate key setting", id="duplicate key"),
        pytest.param("setting: ici\n\tseed: 1\n", r"tab character.* \(line 2", id="tab"),
        pytest.param("setting: [ici\n", r"not readable as YAML: .* \(line 2", id="unclosed"),
        pytest.param("setting: ici: x\n", "not readable as YAML: mapping values", id="colon"),
        pytest.param(EXPERIMENT + "---\na: 1\n", "another document", id="two documents"),
        pytest.param("x: &x [*x]\n", "recursive", id="recursive anchor"),
        pytest.param(EXPERIMENT + "seed: !!set {a}\n", "not readable as YAML", id="set"),
        pytest.param(
            EXPERIMENT + "seed: !!python/object:os.system x\n", "constructor", id="python object"
        ),
        pytest.param(
            EXPERIMENT + "seed: ${nope}\n", r"'nope' not found \(key 'seed'\)", id="interpolation"
        ),
        pytest.param(EXPERIMENT + "seed: ${\n", "not readable as YAML", id="half interpolation"),
        pytest.param(EXPERIMENT + "~: 3\n", "not readable as YAML", id="null key"),
        pytest.param(EXPERIMENT + "? [a]\n: 3\n", "unhashable key", id="list as key"),
        pytest.param(EXPERIMENT + "a: \x00\n", "not readable as YAML", id="control character"),
        pytest.param(EXPERIMENT.encode("utf-16"), "not UTF-8 text; save it", id="UTF-16"),
        pytest.param(b"a: \xfc\n", "not UTF-8 text; save it as UTF-8", id="Latin-1"),
        pytest.param(b"\x1f\x8b\x08\x00", "not UTF-8 text", id="gz"),
        pytest.param(
            EXPERIMENT.replace("oncoresist-test", "a/b"),
            r"key 'model\.registered_name' is 'a/b'",
            id="slash in model name",
        ),
        pytest.param(
            EXPERIMENT + "  alias: v1\n", r"model\.alias is 'v1', which MLflow", id="alias"
        ),
        pytest.param(
            EXPERIMENT.replace("model:", "  exclude: [alpha, beta]\nmodel:"),
            r"cohorts\.exclude leaves none of cohorts\.train",
            id="all excluded",
        ),
    ],
)
def test_a_wrong_experiment_names_file_key_and_mend(
    load: Callable[..., ExperimentConfig], text: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(text)
    assert "test.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_listed_at_once(load: Callable[..., ExperimentConfig]) -> None:
    with pytest.raises(ConfigError, match=r"'seed'.*n_splits.*unknown key 'sede'") as found:
        load("seed: x\nsede: 3\nvalidation: {n_splits: 1}\n" + EXPERIMENT)
    assert str(found.value).count("test.yaml: ") == 3


def test_a_wrong_value_is_blamed_on_the_layer_it_stands_in(
    project: Path, load: Callable[..., ExperimentConfig]
) -> None:
    with pytest.raises(ConfigError, match=r"^--set: key 'seed' is 'y'"):
        load(EXPERIMENT, "seed=y")
    (project / "conf" / "local.yaml").write_text("seed: x\n")
    with pytest.raises(ConfigError, match=r"local\.yaml: key 'seed' is 'x'"):
        load()
    (project / "conf" / "local.yaml").unlink()
    (project / "conf" / "defaults.yaml").write_text("cohorts: {train: {a: 1}}\n")
    with pytest.raises(ConfigError, match=r"defaults\.yaml: key 'cohorts\.train' is .*a list"):
        load()


@pytest.mark.parametrize(
    "override", ["seed", "=", "seed=", "=3", "a.b", "a..b=1", ".seed=1", "seed.=1", "seed: 3", ""]
)
def test_an_override_without_key_or_value_is_refused(
    load: Callable[..., ExperimentConfig], override: str
) -> None:
    with pytest.raises(ConfigError, match=r"^--set .*: expected a\.b=value$"):
        load(EXPERIMENT, override)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cohorts.exclude=[x", r"^--set cohorts\.exclude=\[x: '\[x' is not a YAML value"),
        ("features={a", r"^--set features=\{a: '\{a' is not a YAML value"),
        ("seed=${nope}", r"^--set seed=\$\{nope\}: .*'nope' not found"),
        ("seed=\t1", r"^--set seed=\t1: .*not a YAML value"),
        ("features.min_coverge=1", r"^--set: unknown key .*did you mean 'min_coverage'"),
        ("seed.x=1", r"^--set: key 'seed' is \{'x': 1\}"),
        ("cohorts=foo", r"^--set: key 'cohorts' is 'foo': expected keys and values"),
        ("cohorts=null", r"^--set: key 'cohorts' is empty: expected keys and values"),
        ("cohorts.train.0=z", r"^--set: key 'cohorts\.train' is \{'0': 'z'\}: expected a list"),
        ("cohorts.train[0]=z", r"^--set: key 'cohorts\.train' is .*expected a list"),
        ("cohorts.train=a,b", r"^--set: key 'cohorts\.train' is 'a,b': expected a list"),
        ("features=[1]", r"^--set: key 'features' is \[1\]: expected keys and values"),
        ("features.min_coverage=0,5", r"^--set: key 'features\.min_coverage' is '0,5'"),
        ("__class__=1", r"^--set: unknown key '__class__'"),
    ],
)
def test_a_wrong_override_names_itself(
    load: Callable[..., ExperimentConfig], override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(EXPERIMENT, "tracking.experiment=other", override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["no.yaml", "", ".", "x" * 300 + ".yaml", "no/such/folder.yaml"])
def test_a_missing_experiment_is_named(project: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file .*give the path of a"):
        load_experiment(project / "conf" / "experiments" / path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gide_2019_antiPD", "did you mean 'gide_2019_antiPD1'"),
        ("gide_2019_antiPD1.yaml", "did you mean 'gide_2019_antiPD1'"),
        ("nothing like it", "known cohorts: .*hugo_2016"),
        ("", "known cohorts"),
        ("x" * 300, "known cohorts"),
        ("a\0b.yaml", "known cohorts"),
    ],
)
def test_a_missing_cohort_is_named_with_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no cohort file .*{hint}"):
        load_cohort(name, conf=CONF)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 'name' is missing; add it; .*key 'expression' is missing; add it"),
        ("- a\n", "expected keys and values at the top level"),
        (COHORT.replace("alpha\n", "a b\n"), "key 'name' is 'a b'"),
        (COHORT.replace("alpha\n", "2019\n"), "key 'name' is 2019: expected text; put it in quote"),
        (COHORT.replace("alpha\n", "../x\n"), "key 'name' is '../x'"),
        (COHORT + "unit: fpkm\n", "key 'unit' is 'fpkm': .*'counts', 'tpm'"),
        (COHORT + "pseudocount: 1\n", r"alpha\.yaml: pseudocount goes with unit: log2_tpm$"),
        (COHORT + "unit: log2_tpm\npseudocount: -1\n", "key 'pseudocount' is -1"),
        (COHORT + "columns:\n", "key 'columns' is empty: expected keys and values"),
        (COHORT + "columns: {sampel_id: x}\n", "unknown key 'columns.sampel_id'; did you mean"),
        (COHORT + "survival: {pfs: foo}\n", "key 'survival.pfs' is 'foo': expected keys"),
        (COHORT + "survival: {pfs: {time: t}}\n", r"key 'survival\.pfs\.event' is missing; add"),
        (
            COHORT + "survival: {pfs: {time: t, event: e, unti: day}}\n",
            r"unknown key 'survival\.pfs\.unti'; did you mean 'unit'",
        ),
        (COHORT + "labels: {responsive: CR}\n", "key 'labels.responsive' is 'CR': expected a list"),
        (COHORT + "labels: {resistant: [no]}\n", "'labels.resistant.0' is False: .*quotes"),
        (COHORT + "timepoints: {on_treatment: [1]}\n", "'timepoints.on_treatment.0' is 1: .*quot"),
        ("name: alpha\nexpression:\n", "key 'expression' is empty: expected text"),
        ("name: alpha\nexpression: ''\n", "key 'expression' is ''"),
    ],
)
def test_a_wrong_cohort_names_file_key_and_mend(
    load_cohort_text: Callable[[str], CohortConfig], text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_cohort_text(text)
    assert "alpha.yaml: " in str(caught.value)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(alphabet="ab:-[]{}#&*!|>'\"%@`~?, \n\tseting0.$\\", max_size=40))
def test_any_text_is_refused_as_a_configuration_error(
    load: Callable[..., ExperimentConfig], text: str
) -> None:
    with pytest.raises(ConfigError, match=r"test\.yaml"):
        load(text)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    key=st.sampled_from(["seed", "cohorts.train", "features", "data.root", "a.b", "model.alias"]),
    value=st.text(alphabet="ab:-[]{}#&*!|>'\"%@`~?, \n\t0.$\\=", max_size=15),
)
def test_any_override_is_taken_or_refused_as_a_configuration_error(
    load: Callable[..., ExperimentConfig], key: str, value: str
) -> None:
    try:
        config = load(EXPERIMENT, f"{key}={value}")
    except ConfigError as error:
        assert "--set" in str(error)  # noqa: PT017  taken or refused, both are right
    else:
        assert isinstance(config, ExperimentConfig)


@pytest.mark.parametrize(
    "file", sorted((CONF / "experiments").glob("*.yaml")), ids=lambda file: file.stem
)
def test_every_experiment_and_each_of_its_cohorts_is_read(file: Path) -> None:
    config = load_experiment(file, with_local=False)
    named = [*config.cohorts.train, *config.cohorts.score, *config.cohorts.decline]
    named += config.screens.apart if config.screens else []
    for name in named if file.stem != "demo" else []:
        assert load_cohort(name, conf=CONF)[0].name == name
