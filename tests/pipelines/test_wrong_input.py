"""What a user can get wrong ends in exit 2 and one message, and leaves nothing behind."""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.catalogue import default_catalogue, genes_of
from pipelines.cli import app

CONF = Path(__file__).resolve().parents[2] / "conf"
CONSOLE_SCRIPT = Path(sys.executable).with_name("oncoresist")
EXPERIMENT = """\
setting: ici
cohorts:
  train: [alpha, beta]
model:
  registered_name: oncoresist-test
"""


def _write_cohort(project: Path, name: str, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    genes = [*default_catalogue().gene_symbols, *(f"BG{i}" for i in range(50))]
    samples = [f"{name}_{i}" for i in range(16)]
    counts = pd.DataFrame(rng.poisson(80.0, (len(genes), 16)), index=genes, columns=samples)
    clinical = pd.DataFrame({"sample_id": samples, "recist": ["CR", "PD"] * 8})
    (project / "data").mkdir(exist_ok=True)
    counts.to_csv(project / "data" / f"{name}.csv")
    clinical.to_csv(project / "data" / f"{name}_clinical.csv", index=False)
    (project / "conf" / "cohorts" / f"{name}.yaml").write_text(
        f"name: {name}\nexpression: {name}.csv\nclinical: {name}_clinical.csv\n"
    )


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the database of an MLflow store, empty, that no test may write a run to."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    shutil.copy(empty_store, database)
    yield database
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.fixture(scope="module")
def good_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with two good cohorts and an experiment, to copy."""
    folder = tmp_path_factory.mktemp("good") / "project"
    (folder / "conf" / "cohorts").mkdir(parents=True)
    (folder / "conf" / "experiments").mkdir()
    defaults = (CONF / "defaults.yaml").read_text().replace("../shared/cohorts", "data")
    (folder / "conf" / "defaults.yaml").write_text(defaults)
    (folder / "conf" / "experiments" / "test.yaml").write_text(EXPERIMENT)
    for seed, name in enumerate(("alpha", "beta")):
        _write_cohort(folder, name, seed=seed)
    return folder


@pytest.fixture
def project(
    good_project: Path, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a good project of the test's own, and a store."""
    folder = Path(shutil.copytree(good_project, tmp_path / "project"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    return folder


def _runs(store: Path) -> int:
    with contextlib.closing(sqlite3.connect(store)) as database:
        return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(project: Path, store: Path) -> Callable[..., str]:
    """Return a runner that expects exit 2, one message, and nothing left behind."""

    def run(*arguments: str, match: str) -> str:
        before = _files(project)
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 2, (result.output, result.exception)
        lines = result.stderr.splitlines()
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        assert re.search(match, lines[0]), lines[0]
        assert "Traceback" not in result.output
        assert _files(project) == before
        assert not (project / "scored").exists()
        assert _runs(store) == 0
        return lines[0]

    return run


TRAIN = ("train", "conf/experiments/test.yaml")


def _clinical(project: Path, **columns: object) -> None:
    path = project / "data" / "alpha_clinical.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def _expression(project: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = project / "data" / "alpha.csv"
    change(pd.read_csv(path, index_col=0)).to_csv(path)


def _with_gene(table: pd.DataFrame, value: object) -> pd.DataFrame:
    changed = table.astype(object)
    changed.loc["B2M"] = value
    return changed


def _z_scores(table: pd.DataFrame) -> pd.DataFrame:
    logged = np.log2(table + 1)
    return logged.sub(logged.mean(axis=1), axis=0).div(logged.std(axis=1, ddof=0), axis=0)


def _append(project: Path, file: str, text: str) -> None:
    with (project / file).open("a") as handle:
        handle.write(text)


# --- training


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda p: (p / "data" / "alpha.csv").unlink(),
            r"there is no file \S+/data/alpha\.csv; check the path \(and data\.root\)$",
            id="missing expression",
        ),
        pytest.param(
            lambda p: (p / "data" / "alpha_clinical.csv").unlink(),
            r"there is no file \S+/alpha_clinical\.csv; check the path",
            id="missing clinical table",
        ),
        pytest.param(
            lambda p: _clinical(p, sample_id=[f"q{i}" for i in range(16)]),
            r"cohort 'alpha': no sample of the expression file \(alpha_0, .*\) is in the clinical "
            r"table \(column 'sample_id': q0, .*; the ids must be spelled alike",
            id="no overlap of ids",
        ),
        pytest.param(
            lambda p: _clinical(p, recist=""),
            r"cohort 'alpha' \(\S+alpha\.csv\): none of the 16 samples has a response label; give",
            id="no labels",
        ),
        pytest.param(
            lambda p: _clinical(p, recist="PD"),
            r"cohort 'alpha' .*: all 16 labelled samples are resistant: both classes are needed; "
            "check the label rule",
            id="one class only",
        ),
        pytest.param(
            lambda p: _clinical(p, recist=["maybe"] * 2 + ["PD", "CR"] * 7),
            r"cohort 'alpha': 1 unknown response labels \['MAYBE'\] \(samples alpha_0, alpha_1\); "
            "known: CR, .* under labels",
            id="unknown label",
        ),
        pytest.param(
            lambda p: _expression(p, lambda t: t.set_axis([f"X{i}" for i in range(len(t))])),
            r"alpha\.csv: no known gene in the rows \(first: X0, X1, .*human symbols such as CD274",
            id="unknown gene ids",
        ),
        pytest.param(
            lambda p: _expression(
                p, lambda t: t.set_axis([f"ENSG{i:011d}" for i in range(len(t))])
            ),
            r"cohort 'alpha' .*: only 0 of the catalogue's \d+ genes .*translate others before",
            id="Ensembl ids",
        ),
        pytest.param(
            lambda p: _expression(p, lambda t: t.iloc[:0]),
            r"alpha\.csv is empty: 0 rows × 16 columns of expression",
            id="empty matrix",
        ),
        pytest.param(
            lambda p: _expression(p, lambda t: t * np.nan),
            r"alpha\.csv: the expression matrix holds no number",
            id="nothing measured",
        ),
        pytest.param(
            lambda p: _expression(p, lambda t: _with_gene(t, -7)),
            r"cohort 'alpha': .*16 negative counts \(-7, .*counts are zero or more",
            id="negative counts",
        ),
        pytest.param(
            lambda p: _expression(p, lambda t: _with_gene(t, "high")),
            r"alpha\.csv: 'high' in row 'B2M', column 'alpha_0' is not a number; .*NA where not",
            id="text in a cell",
        ),
        pytest.param(
            lambda p: _expression(p, _z_scores),
            r"cohorts \['alpha'\] hold values centred or scaled per gene: ranks within a sample "
            r"mean nothing there, .*; give the values before scaling, or name the cohorts under "
            r"cohorts\.score or cohorts\.exclude$",
            id="z-scores",
        ),
        pytest.param(
            lambda p: _append(p, "conf/cohorts/alpha.yaml", "unit: gene_scaled\n"),
            r"cohorts \['alpha'\] hold values centred or scaled per gene",
            id="stated to be scaled per gene",
        ),
        pytest.param(
            lambda p: (p / "data" / "alpha.csv").write_bytes(b"\x89PNG\r\n" + bytes(range(256))),
            r"alpha\.csv is not a text table in UTF-8",
            id="a picture",
        ),
        pytest.param(
            lambda p: _append(p, "conf/experiments/test.yaml", "featurs: {min_coverage: 0.5}\n"),
            r"conf/experiments/test\.yaml: unknown key 'featurs'; did you mean 'features'\?",
            id="config typo",
        ),
        pytest.param(
            lambda p: _append(p, "conf/cohorts/alpha.yaml", "unti: counts\n"),
            r"conf/cohorts/alpha\.yaml: unknown key 'unti'; did you mean 'unit'\?",
            id="cohort typo",
        ),
        pytest.param(
            lambda p: (p / "conf" / "local.yaml").write_text("seed: many\n"),
            r"conf/local\.yaml: key 'seed' is 'many': .*integer",
            id="wrong type in local.yaml",
        ),
        pytest.param(
            lambda p: (p / "conf" / "cohorts" / "beta.yaml").unlink(),
            r"there is no cohort file \S+beta\.yaml; known cohorts: alpha",
            id="missing cohort file",
        ),
        pytest.param(
            lambda p: _clinical(p, timepoint="on"),
            r"cohort 'alpha' has no sample of the timepoints .*: change samples\.timepoints",
            id="no sample of the timepoints",
        ),
    ],
)
def test_training_on_wrong_input_is_one_message(
    project: Path, refused: Callable[..., str], spoil: Callable[[Path], None], message: str
) -> None:
    spoil(project)
    refused(*TRAIN, match=message)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", r"^error: --set seed: expected a\.b=value$"),
        ("tuning.candidates={}", r"an empty one changes nothing; set the keys in it"),
        ("cohorts.exclude=[alpha", r"--set cohorts\.exclude=\[alpha: .*not a YAML value"),
        ("cohorts.exclude=[alpa]", r"cohorts\.exclude names \['alpa'\], .*: alpha, beta"),
        ("cohorts.exclude=[alpha,beta]", r"cohorts\.exclude leaves none of cohorts\.train"),
        ("cohorts.exclude=[alpha]", r"at least two cohorts, .*add cohorts under cohorts\.train"),
        ("cohorts.train=[alpha,alpha]", r"cohorts 'alpha' and 'alpha' are the same"),
        ("data.root=/no/such/folder", r"there is no file /no/such/folder/alpha\.csv; check"),
        ("validation.n_splits=99", r"99 folds need at least 99 patients .*validation\.n_splits"),
        ("classifer.n_seeds=1", r"--set: unknown key 'classifer'; did you mean 'classifier'\?"),
        (
            "samples.exclude=[alpha/alpha_0,alpha/nobody]",
            r"samples\.exclude names alpha/nobody, no samples in use; .* such as alpha/alpha_0",
        ),
        ("tuning.candidates.x.settings={num_leaves: 1}", r"candidates\.x: .*num_leaves is 1: "),
    ],
)
def test_a_wrong_override_is_one_message(
    refused: Callable[..., str], override: str, message: str
) -> None:
    # Fixed: what no split allows was told after the reference, which such counts cannot be part of.
    refused(*TRAIN, "--set", override, match=message)


def test_a_sample_copied_into_another_cohort_under_another_name_is_refused_with_both_names(
    project: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_cohort(project, "gamma", seed=9)
    path = project / "data" / "gamma.csv"
    own, copied = (
        pd.read_csv(project / "data" / f"{n}.csv", index_col=0) for n in ("gamma", "alpha")
    )
    own["gamma_3"] = 2 * copied["alpha_5"]
    own["gamma_4"] = copied["alpha_6"] + (copied["alpha_6"] % 3 == 0)
    own.to_csv(path)
    monkeypatch.setattr("pipelines.train.train_arms", None)
    listed = "cohorts.train=[alpha,beta,gamma]"
    refused(
        *TRAIN,
        "--set",
        listed,
        match=r"split 'alpha' has 2 samples on both sides under two names, by their expression: "
        r"alpha/alpha_5 = gamma/gamma_3, alpha/alpha_6 = gamma/gamma_4; name one of each pair "
        r"under samples\.exclude, or its cohort under cohorts\.exclude",
    )
    excluded = "samples.exclude=[gamma/gamma_3,alpha/alpha_6]"
    # Counts without gene lengths get past the plan and are refused for the reference alone.
    refused(*TRAIN, "--set", listed, "--set", excluded, match="hold raw counts without gene len")
    refused(*TRAIN, "--set", listed, "--set", "cohorts.exclude=[gamma]", match="without gene len")


@pytest.mark.parametrize("change", [pd.DataFrame.copy, _z_scores], ids=["counts", "z-scores"])
def test_a_cohort_to_be_scored_that_has_too_little_is_refused_before_training(
    project: Path,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    _write_cohort(project, "gamma", seed=9)
    path = project / "data" / "gamma.csv"
    catalogue = default_catalogue()
    missing = genes_of(catalogue.markers_of("ici"))[90:]
    table = change(pd.read_csv(path, index_col=0))
    table[~table.index.isin(missing)].to_csv(path)
    monkeypatch.setattr("pipelines.train.train_arms", None)
    message = refused(
        *TRAIN,
        "--set",
        "cohorts.score=[gamma]",
        match=r"cohorts\.score: cohort 'gamma' .*too little: 90 of \d+ catalogue genes .*; take it "
        r"out here, and score it with oncoresist score --force$",
    )
    listed = message.split("Missing: ")[1].split(";")[0].split()
    assert set(listed) == set(missing)


def test_a_missing_experiment_is_one_message(refused: Callable[..., str]) -> None:
    refused("train", "conf/experiments/none.yaml", match=r"there is no configuration file conf/")


# --- scoring and checking


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], r"0 cohorts named; give one: an h5ad file, --expression", id="none"),
        pytest.param(
            ["a.h5ad", "--expression", "data/alpha.csv"], r"2 cohorts named; give one", id="two"
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--cohort", "conf/cohorts/alpha.yaml"],
            r"2 cohorts named; give one",
            id="two others",
        ),
        pytest.param(
            ["--expression", "data/none.csv"], r"there is no file \S+/data/none\.csv", id="missing"
        ),
        pytest.param(["data"], r"/data is a folder; give a file", id="folder"),
        pytest.param(["none.h5ad"], r"there is no file \S+/none\.h5ad; check", id="missing h5ad"),
        pytest.param(
            ["--expression", "data/alpha.csv", "--clinical", "data/beta_clinical.csv"],
            r"cohort 'alpha': no sample of the expression file .* is in the clinical table",
            id="clinical table of another cohort",
        ),
        pytest.param(
            ["--expression", "data/alpha_clinical.csv"], r"no known gene in the rows", id="mixed up"
        ),
        pytest.param(
            ["--cohort", "conf/cohorts/alpah.yaml"],
            r"there is no cohort file .*alpah\.yaml; known cohorts: alpha, beta",
            id="missing cohort",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--model", "models:/nobody@champion"],
            r"no model 'models:/nobody@champion' in the store sqlite:.*train one with",
            id="unknown model",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--model", "models:/nobody/3"],
            r"no model 'models:/nobody/3' in the store",
            id="unknown version",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--model", "runs:/abc/model"],
            r"no model 'runs:/abc/model' in the store",
            id="unknown run",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--model", "models:/"],
            r"'models:/'",
            id="half a model URI",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--model", "data"],
            r"'data' is not an OncoResist model",
            id="no model in the folder",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--output", "data/alpha.csv"],
            r"data/alpha\.csv cannot be written: .*choose another output",
            id="output is a file",
        ),
        pytest.param(
            ["--expression", "data/alpha.csv", "--output", "data/alpha.csv/deeper/still"],
            r"data/alpha\.csv/deeper/still cannot be written: \S+/data/alpha\.csv is not a folder",
            id="output below a file",
        ),
    ],
)
def test_scoring_wrong_input_is_one_message(
    refused: Callable[..., str], arguments: list[str], message: str
) -> None:
    refused("score", *arguments, match=message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], r"there is no file \S+/none\.csv"),
        (["."], r"is a folder; give a file"),
        (["none.yaml"], r"there is no cohort file .*none\.yaml; known cohorts"),
        (["conf/experiments/test.yaml"], r"test\.yaml: unknown key|test\.yaml: key"),
        (["data/alpha.csv", "--clinical", "none.csv"], r"there is no file \S+/none\.csv"),
        (["data/alpha.csv", "--clinical", "data"], r"/data is a folder; give a file"),
        (["x" * 300], r"x"),
    ],
)
def test_checking_wrong_input_is_one_message(
    refused: Callable[..., str], arguments: list[str], message: str
) -> None:
    refused("check", *arguments, match=message)


def test_a_demo_that_cannot_write_is_one_message_before_it_begins(
    refused: Callable[..., str],
) -> None:
    refused(
        "demo", "--output", "data/alpha.csv", match=r"data/alpha\.csv cannot be written: .*choose"
    )


def test_a_message_is_never_broken_in_two_lines(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fixed: rich broke messages at 80 columns, in the middle of a path.
    monkeypatch.setenv("COLUMNS", "20")
    refused(
        "check", "a folder with a long name/[red]file.csv", match=r"long name/\[red\]file\.csv; "
    )


def test_a_good_cohort_passes_the_check(project: Path) -> None:
    result = CliRunner().invoke(app, ["check", "conf/cohorts/alpha.yaml"])
    assert result.exit_code == 0, result.output
    assert "16 samples" in result.output
    assert "8 resistant, 8 responsive, 0 without" in result.output


# --- the console script, in processes of its own


def _run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(CONSOLE_SCRIPT), *arguments],
        cwd=folder,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow  # imports everything, twice
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (TRAIN, r"cohort 'alpha' .*: all 16 labelled samples are resistant: both classes are"),
        (
            ("score", "--expression", "data/alpha.csv"),
            r"no model 'models:/oncoresist-ici@champion'",
        ),
    ],
)
def test_the_console_script_exits_2_with_one_message(
    project: Path, store: Path, arguments: tuple[str, ...], message: str
) -> None:
    _clinical(project, recist="PD")
    before = _files(project)
    result = _run(*arguments, folder=project)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.stdout + result.stderr
    assert _files(project) == before
    assert _runs(store) == 0


@pytest.mark.parametrize(
    "arguments", [["train"], ["nonsense"], ["score", "--standardisation", "x"]]
)
def test_wrong_usage_exits_2(project: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("command", [[], ["train"], ["score"], ["check"], ["demo"], ["ui"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\n"
        "from pipelines.cli import main\n"
        f"sys.argv = ['oncoresist', *{command!r}, '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = 'pandas numpy sklearn anndata scanpy mlflow lightgbm shap matplotlib'.split()\n"
        "print('loaded:', [name for name in heavy if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Usage: " in result.stdout
    assert result.stdout.splitlines()[-1] == "loaded: []"
