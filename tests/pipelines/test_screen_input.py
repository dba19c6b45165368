"""Drug screens on the command line: what is wrong ends in exit 2 and one message, no run."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from features.errors import ConfigError
from pipelines.cli import app
from pipelines.config import load_cohort, load_experiment
from tests.screens import Screen, line_names, make_screen

CONF = Path(__file__).resolve().parents[2] / "conf"
TRAIN = ("train", "conf/experiments/test.yaml")


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def write_cohort(project: Path, screen: Screen, name: str) -> None:
    """Write a screen's files, and its cohort file over one with the expression alone."""
    cohorts = project / "conf" / "cohorts"
    screen.expression.T.to_csv(project / "data" / f"{name}.csv")
    screen.responses.to_csv(project / "data" / f"{name}_drugs.csv", index=False)
    base = {"name": f"{name}_lines", "expression": f"{name}.csv", "unit": "log2_intensity"}
    write_yaml(cohorts / f"{name}_lines.yaml", base)
    groups = {"taxane": {"drugs": ["Paclitaxel"]}}
    response = {"table": f"{name}_drugs.csv", "groups": groups}
    write_yaml(
        cohorts / f"{name}.yaml",
        {"extends": f"{name}_lines", "name": name, "drug_response": response},
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with two screens and an experiment on them."""
    folder = tmp_path / "project"
    (folder / "conf" / "cohorts").mkdir(parents=True)
    (folder / "conf" / "experiments").mkdir()
    (folder / "data").mkdir()
    defaults = (CONF / "defaults.yaml").read_text().replace("../shared/cohorts", "data")
    (folder / "conf" / "defaults.yaml").write_text(defaults)
    write_cohort(folder, make_screen(line_names(30), seed=1), "one")
    write_cohort(folder, make_screen(line_names(30, start=15), seed=2), "two")
    write_yaml(
        folder / "conf" / "experiments" / "test.yaml",
        {
            "setting": "adc",
            "cohorts": {"train": ["one"]},
            "validation": {"scheme": "nested", "n_splits": 3},
            "screens": {"apart": ["two"]},
            "model": {"registered_name": "oncoresist-test"},
        },
    )
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/none.db")
    return folder


def refused(*arguments: str) -> str:
    """Return the one message of a command that ends in exit 2."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2, (result.output, result.exception)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert not Path("none.db").exists()
    return lines[0]


def change(path: str, spoil: Callable[[dict[str, Any]], Any]) -> None:
    content = yaml.safe_load(Path(path).read_text())
    spoil(content)
    write_yaml(Path(path), content)


def change_table(spoil: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = Path("data/one_drugs.csv")
    spoil(pd.read_csv(path)).to_csv(path, index=False)


ONE = "conf/cohorts/one.yaml"


def _said(**settings: Any) -> Callable[[Path], None]:
    """Return what says more under drug_response."""
    return lambda project: change(ONE, lambda c: c["drug_response"].update(settings))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            _said(groups={"taxane": {"drugs": ["Paclitaxal"]}}),
            "cohort 'one' (*one_drugs.csv): no response to 'Paclitaxal' (drug_response.groups); "
            "did you mean 'Paclitaxel'?*",
            id="unknown drug",
        ),
        pytest.param(
            lambda p: change_table(lambda t: t.drop(columns="response")),
            "*the drug table has no column 'response' (drug_response.columns.response); its*",
            id="missing column",
        ),
        pytest.param(
            lambda p: change_table(lambda t: t.assign(response="low")),
            "*the response 'low' of sample SIM-000 is not a number; give numbers*",
            id="text for a number",
        ),
        pytest.param(
            lambda p: change_table(lambda t: t.assign(response_type="score")),
            "*it cannot be told whether more of the measure 'score'*drug_response.directions*",
            id="direction",
        ),
        pytest.param(
            lambda p: change_table(lambda t: t.assign(sample_id="x" + t["sample_id"])),
            "*no sample of the table*is in the expression file*spelled alike",
            id="no shared samples",
        ),
        pytest.param(
            lambda p: change_table(lambda t: t.head(9)),
            "*no experiment has 10 samples that respond differently*",
            id="too few lines",
        ),
        pytest.param(
            _said(exclude=["NOBODY"]),
            "*drug_response.exclude names NOBODY, no samples of the expression file*",
            id="excluded name",
        ),
        pytest.param(
            lambda p: change(ONE, lambda c: c.update(renamed={"NOBODY": "SIM-001"})),
            "cohort 'one' (*one.csv): renamed names NOBODY, no samples of the expression file; its"
            " samples: SIM-000*",
            id="renamed name",
        ),
        pytest.param(
            lambda p: change(ONE, lambda c: c.update(renamed={"SIM-000": "SIM-001"})),
            "*renamed gives 1 names to two samples: SIM-001; rename the other one too",
            id="two samples renamed to one",
        ),
        pytest.param(
            lambda p: change(ONE, lambda c: c.update(clinical="one_drugs.csv")),
            "*one.yaml: clinical and drug_response both give the samples' labels; name one",
            id="clinical and drug_response",
        ),
        pytest.param(
            _said(label={"rule": "threshold"}),
            "*one.yaml: drug_response.label: threshold goes with rule: threshold, and that needs*",
            id="rule without threshold",
        ),
        pytest.param(
            _said(label={"threshold": 1.0}),
            "*one.yaml: drug_response.label: threshold goes with rule: threshold, and that needs*",
            id="threshold without rule",
        ),
        pytest.param(
            _said(groups={"a+b": {"drugs": ["Paclitaxel"]}}),
            "*one.yaml: key 'drug_response.groups.a+b*pattern*",
            id="a group that no metric can be named after",
        ),
        pytest.param(
            lambda p: change(ONE, lambda c: c.update(extends="three")),
            "*one.yaml: extends names 'three', but there is no file *conf/cohorts/three.yaml",
            id="extends a missing file",
        ),
        pytest.param(
            lambda p: change("conf/cohorts/one_lines.yaml", lambda c: c.update(extends="one")),
            "*one_lines.yaml: extends names 'one', which leads back to it",
            id="extends in a circle",
        ),
        pytest.param(
            lambda p: change(ONE, lambda c: c.update(extends="one")),
            "*one.yaml: extends names 'one', which leads back to it",
            id="extends itself",
        ),
    ],
)
def test_a_wrong_cohort_is_refused(
    project: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(project)
    found = refused("check", ONE).removeprefix("error: ")
    assert fnmatchcase(found, message), found


@pytest.mark.parametrize(
    ("screens", "message"),
    [
        (
            {"transfers": [{"train": "one", "test": "two/taxane"}]},
            "screens.transfers names 'one', which is not among the groups of cohorts.train and "
            "screens.apart: one/taxane, two/taxane",
        ),
        (
            {"transfers": [{"train": "one/taxane", "test": "two/taxane"}]},
            "of one/taxane 15 samples with a measured response are left to train on (15 lines "
            "stand in two/taxane too); at least 20 are needed: take this transfer out",
        ),
        ({"n_splits": 31}, "screens.n_splits is 31, but there are 30 lines to hold out"),
        ({"apart": ["two", "one"]}, "cohorts.train and screens.apart name one twice; name it once"),
        ({"apart": ["twoo"]}, "did you mean 'two'?"),
        ({"apart": [], "least_tissue": 1}, "screens.least_tissue"),
    ],
)
def test_a_wrong_experiment_is_refused_before_the_run_opens(
    project: Path, screens: dict[str, Any], message: str
) -> None:
    change(TRAIN[1], lambda content: content["screens"].update(screens))
    assert message in refused(*TRAIN)


def test_screens_need_the_nested_scheme(project: Path) -> None:
    message = refused(*TRAIN, "--set", "validation.scheme=loco")
    assert "screens goes with validation.scheme: nested, one cohort to train on" in message


def test_a_clinical_table_beside_a_screen_is_refused_on_the_command_line(project: Path) -> None:
    message = refused("check", ONE, "--clinical", "data/one_drugs.csv")
    assert "clinical and drug_response both give the samples' labels; leave --clinical" in message


def test_check_shows_the_doubt_of_a_turned_table(project: Path) -> None:
    def warnings() -> list[str]:
        result = CliRunner().invoke(app, ["check", ONE])
        assert result.exit_code == 0, result.output
        return [line for line in result.stdout.splitlines() if line.startswith("- warning: ")]

    assert warnings() == []
    change_table(lambda table: table.assign(response=-table["response"]))
    (found,) = warnings()
    assert found.startswith("- warning: the direction of the measure in 'one' is doubtful: lines ")


# --- extends


def test_a_cohort_that_extends_wins_over_what_it_extends(project: Path) -> None:
    conf = project / "conf"
    change(ONE, lambda content: content.update(unit="auto"))
    config, path = load_cohort("one", conf=conf)
    assert path == conf / "cohorts" / "one.yaml"
    assert (config.name, config.expression, config.unit) == ("one", "one.csv", "auto")
    third = {"extends": "one", "name": "three", "drug_response": {"least_share": 0.9}}
    write_yaml(conf / "cohorts" / "three.yaml", third)
    deeper, _ = load_cohort("three", conf=conf)
    assert deeper.drug_response is not None
    assert deeper.drug_response.least_share == 0.9
    assert set(deeper.drug_response.groups) == {"taxane"}


def test_what_is_extended_lies_beside_the_file_first(project: Path) -> None:
    own = project / "own"
    own.mkdir()
    write_yaml(own / "mine.yaml", {"extends": "one", "name": "mine"})
    found, _ = load_cohort("own/mine.yaml", conf=project / "conf")
    assert found.unit == load_cohort("one", conf=project / "conf")[0].unit
    change(ONE, lambda content: write_yaml(own / "one.yaml", {**content, "expression": "near.csv"}))
    found, _ = load_cohort("own/mine.yaml", conf=project / "conf")
    assert (found.name, found.expression) == ("mine", "near.csv")


def test_a_sample_is_not_renamed_to_nothing(project: Path) -> None:
    change("conf/cohorts/one_lines.yaml", lambda content: content.update(renamed={"A": " "}))
    with pytest.raises(ConfigError, match=r"one_lines\.yaml: .*renamed"):
        load_cohort("one", conf=project / "conf")


def test_a_fault_names_the_file_that_it_stands_in(project: Path) -> None:
    change("conf/cohorts/one_lines.yaml", lambda content: content.update(unit="grams"))
    with pytest.raises(ConfigError, match=r"one_lines\.yaml: key 'unit' is 'grams'"):
        load_cohort("one", conf=project / "conf")


def test_the_experiments_of_drug_screens_are_whole() -> None:
    for name in ("adc", "hcc", "sclc"):
        config = load_experiment(CONF / "experiments" / f"{name}.yaml")
        assert config.screens is not None
        named = [*config.cohorts.train, *config.screens.apart]
        groups = set()
        for cohort in named:
            found, _ = load_cohort(cohort, conf=CONF)
            assert found.name == cohort
            if found.drug_response is None:
                groups.add(cohort)
            else:
                groups |= {f"{cohort}/{group}" for group in found.drug_response.groups}
        asked = {side for one in config.screens.transfers for side in (one.train, one.test)}
        assert asked <= groups
