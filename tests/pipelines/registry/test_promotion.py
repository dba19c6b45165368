"""Aliases move whole, by the gate or on record, and go back; nothing here is trained."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from typer import Exit
from typer.testing import CliRunner

from features.errors import ConfigError, ModelError
from pipelines.cli import app
from pipelines.commands.console import user_errors
from pipelines.registry import promotion as registry
from pipelines.registry.alias_history import history_of
from pipelines.registry.gate import GateReport
from pipelines.registry.pages import find_version, version_page
from pipelines.registry.promotion import check_alias, decide_after_training, promote, rollback
from pipelines.registry.standing import Check, read_record
from pipelines.registry.version_record import read_version
from pipelines.settings.gate import GateConfig
from pipelines.tracking import Store, open_store

pytestmark = pytest.mark.slow  # a store of its own for each test

GOOD = Check("calibrated", "slope", "passed", "0.9", "above 0")
BAD = Check("calibrated", "slope", "failed", "-0.4", "above 0", "train on more cohorts")
OTHER = Check("no leak", "splits", "failed", "1 patient", "none", "train again")
WRITES = (
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_tag",
)


@pytest.fixture
def store(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], None]:
    """Return a maker of versions of model ``m`` in a store of its own, from a run of OncoResist."""
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    open_store(Store(uri, tmp_path.as_uri()), experiment="here")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("here").experiment_id

    def register(count: int) -> None:
        if "m" not in [model.name for model in client.search_registered_models()]:
            client.create_registered_model("m")
        for _ in range(count):
            run = client.create_run(experiment, tags={"oncoresist_version": "0", "setting": "ici"})
            client.log_metric(run.info.run_id, "loco.auroc", 0.7)
            client.create_model_version("m", tmp_path.as_uri(), run_id=run.info.run_id)

    return register


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Check, ...]]:
    """Return what the gate is to find of each version; GOOD where nothing is said."""
    found: dict[str, tuple[Check, ...]] = {}

    def judge(name: str, version: str, **options: object) -> GateReport:
        run_id = read_version(name, version).run_id
        return GateReport(name, version, run_id, found.get(version, (GOOD,)), ("cohort",))

    monkeypatch.setattr(registry, "judge", judge)
    return found


def champion(alias: str = "champion") -> str | None:
    found = mlflow.MlflowClient().get_registered_model("m").aliases.get(alias)
    return None if found is None else str(found)


def decide(version: str):
    return decide_after_training(
        "m", version, alias="champion", limits=GateConfig(), project=Path()
    )


def move_to(version: str, **options):
    return promote("m", version, limits=GateConfig(), project=Path(), **options)


def test_the_first_version_that_fails_is_champion_provisionally_and_says_so(store, gate):
    store(1)
    gate["1"] = (GOOD, BAD)
    decision = decide("1")
    assert (champion(), champion("challenger")) == ("1", None)
    assert decision.lines() == [
        "gate not passed (1 of 2 checks failed): champion is version 1 provisionally, there being "
        "no other",
        "- calibrated: slope: -0.4 (limit: above 0); train on more cohorts",
    ]
    record = read_version("m", "1")
    assert read_record(record.tags).verdict == "provisional"
    assert record.run_tags["gate"] == "provisional"


def test_a_version_that_fails_leaves_the_champion_and_becomes_challenger(store, gate):
    store(2)
    decide("1")
    gate["2"] = (BAD, OTHER)
    decision = decide("2")
    assert (champion(), champion("challenger")) == ("1", "2")
    first, *failed = decision.lines()
    assert "champion stays at version 1" in first
    assert "models promote m/2 --alias champion --force --reason TEXT" in first
    assert len(failed) == 2
    tags = read_version("m", "2").tags
    assert tags["gate.verdict"] == "failed"
    assert tags["gate.failed"] == "calibrated, no leak"


def test_a_version_that_passes_takes_over_and_is_no_longer_challenger(store, gate):
    store(2)
    decide("1")
    gate["2"] = (BAD,)
    decide("2")
    del gate["2"]
    assert move_to("2").outcome == "passed"
    assert (champion(), champion("challenger")) == ("2", None)
    assert read_version("m", "2").run_tags["gate"] == "passed"


def test_promotion_refuses_with_every_reason_at_once_and_exits_2(store, gate):
    store(2)
    decide("1")
    gate["2"] = (BAD, GOOD, OTHER)
    done = CliRunner().invoke(app, ["models", "promote", "m/2"])
    assert done.exit_code == 2
    assert "- calibrated: slope: -0.4 (limit: above 0); train on more cohorts" in done.output
    assert "- no leak: splits: 1 patient (limit: none); train again" in done.output
    assert champion() == "1"


def test_what_is_forced_is_on_record_with_reason_and_failed_checks(store, gate):
    store(2)
    decide("1")
    gate["2"] = (BAD, GOOD)
    done = CliRunner().invoke(app, ["models", "promote", "m/2", "--force", "--reason", "a trial"])
    assert done.exit_code == 0, done.output
    assert champion() == "2"
    record = read_record(read_version("m", "2").tags)
    assert (record.verdict, record.reason, record.failed) == ("forced", "a trial", (BAD,))
    assert record.by
    assert record.time.endswith("+00:00")
    (event, _) = version_page(find_version("m")).history
    assert event[2:4] == ["1 → 2", "forced"]
    assert event[5] == "a trial"
    shown = CliRunner().invoke(app, ["models", "show", "m@champion"]).output
    assert "forced because: a trial" in shown
    assert "calibrated\tslope\tfailed\t-0.4\tabove 0" in shown


def test_a_reason_that_was_not_needed_is_told_and_kept_in_the_history(store, gate):
    store(1)
    done = CliRunner().invoke(app, ["models", "promote", "m/1", "--force", "--reason", "a trial"])
    assert done.exit_code == 0, done.output
    assert "gate passed: champion is version 1; it needed no force" in done.output
    record = read_record(read_version("m", "1").tags)
    assert (record.verdict, record.reason) == ("passed", "")
    (event,) = version_page(find_version("m")).history
    assert (event[3], event[5]) == ("passed", "not needed, the gate passed: a trial")


def overtaken(patch: pytest.MonkeyPatch, *, by: str) -> None:
    """Let another promotion move the champion right after each move of it."""
    move = MlflowClient.set_registered_model_alias

    def then_another(self, name: str, alias: str, version: str) -> None:
        move(self, name, alias, version)
        move(self, name, alias, by)

    patch.setattr(MlflowClient, "set_registered_model_alias", then_another)


def test_a_promotion_that_another_overtakes_says_where_the_alias_points(store, gate, monkeypatch):
    store(3)
    move_to("1")
    move_to("2")
    overtaken(monkeypatch, by="3")
    with pytest.raises(ModelError, match=r"it points at version 3, not at version 1; `oncoresist"):
        move_to("1")
    mlflow.MlflowClient().set_model_version_tag(
        "m", "3", "history.champion", read_version("m", "2").tags["history.champion"]
    )
    with pytest.raises(ModelError, match="went back to version 1, and a promotion moved it at the"):
        rollback("m")
    assert champion() == "3"


def test_a_training_that_a_promotion_overtakes_does_not_call_itself_champion(
    store, gate, monkeypatch
):
    store(2)
    overtaken(monkeypatch, by="2")
    decision = decide("1")
    assert decision.points_to == "2"
    assert decision.lines()[0] == (
        "gate: passed, but another promotion moved champion of model 'm' at the same time; it "
        "points at version 2, not at version 1"
    )


def test_an_interrupted_command_does_not_say_what_the_champion_is(capsys):
    with pytest.raises(Exit), user_errors():
        raise KeyboardInterrupt
    told = " ".join(capsys.readouterr().err.split())
    assert told == "interrupted; `oncoresist models list` shows what stands"


def test_a_refused_promotion_of_the_forced_champion_leaves_it_known_as_forced(store, gate):
    store(1)
    gate["1"] = (BAD,)
    move_to("1", reason="because")
    refused = move_to("1")
    assert refused.outcome == "refused"
    assert "it stays champion, as it was before; to promote it all the same" in refused.lines()[0]
    record = read_version("m", "1")
    assert (read_record(record.tags).verdict, record.run_tags["gate"]) == ("forced", "forced")


def test_a_provisional_champion_that_passes_later_is_confirmed_on_record(store, gate):
    store(1)
    gate["1"] = (BAD,)
    decide("1")
    del gate["1"]
    assert move_to("1").outcome == "passed"
    assert state() == ("1", ())
    moves = [row[2:4] for row in version_page(find_version("m")).history]
    assert moves == [["1 → 1", "passed"], ["none → 1", "provisional"]]


def test_rollback_goes_back_step_by_step_and_then_says_why_it_cannot(store, gate):
    store(3)
    for version in "123":
        move_to(version)
    assert rollback("m").now == "2"
    assert rollback("m").now == "1"
    with pytest.raises(ConfigError, match="cannot go back from version 1: nothing was champion be"):
        rollback("m")
    moves = [row[2:4] for row in version_page(find_version("m")).history]
    assert moves == [
        ["2 → 1", "rolled back"],
        ["3 → 2", "rolled back"],
        ["2 → 3", "passed"],
        ["1 → 2", "passed"],
        ["none → 1", "passed"],
    ]


def test_promoting_a_version_again_makes_no_circle(store, gate):
    store(3)
    for version in ("1", "2", "3", "1"):
        move_to(version)
    assert [rollback("m").now for _ in range(3)] == ["3", "2", "1"]
    with pytest.raises(ConfigError, match="cannot go back"):
        rollback("m")


def test_rollback_passes_over_versions_that_were_deleted(store, gate):
    store(3)
    for version in "123":
        move_to(version)
    mlflow.MlflowClient().delete_model_version("m", "2")
    done = CliRunner().invoke(app, ["models", "rollback", "m"])
    assert "passed over, deleted since: version 2" in done.output
    assert "champion of m is version 1 again, no longer 3" in done.output
    mlflow.MlflowClient().set_registered_model_alias("m", "champion", "3")
    mlflow.MlflowClient().delete_model_version("m", "1")
    with pytest.raises(ConfigError, match=r"that is still there \(deleted: 1, 2\)"):
        rollback("m")


def interrupted(patch: pytest.MonkeyPatch, at: int, *, before: bool) -> Iterator[int]:
    """Let the write with this number fail, before or after it reached the store; yield writes."""
    seen = [0]

    def failing(method):
        def call(self, *arguments, **options):
            place, seen[0] = seen[0], seen[0] + 1
            if place == at and before:
                raise KeyboardInterrupt
            result = method(self, *arguments, **options)
            if place == at:
                raise KeyboardInterrupt
            return result

        return call

    for name in WRITES:
        patch.setattr(MlflowClient, name, failing(getattr(MlflowClient, name)))
    return seen


def state() -> tuple[str | None, tuple[str, ...]]:
    """Return the champion and what it can go back to."""
    version = champion()
    return version, history_of(read_version("m", version).tags, alias="champion").past


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("what", ["promote", "rollback"])
def test_a_kill_at_any_write_leaves_the_old_state_or_the_new_one_whole(
    store, gate, monkeypatch, what, before
):
    store(3)
    for version in ("1", "2"):
        move_to(version)
    old = state()
    new = ("3", ("1", "2")) if what == "promote" else ("1", ())
    finished, at = False, 0
    while not finished:
        with monkeypatch.context() as patch:
            interrupted(patch, at, before=before)
            try:
                move_to("3") if what == "promote" else rollback("m")
                finished = True
            except KeyboardInterrupt:
                pass
        assert state() in (old, new)
        if state() == new and not finished:  # put it back for the next place
            move_to("2") if what == "rollback" else rollback("m")
            old = state()
            new = ("3", (*old[1], "2")) if what == "promote" else new
        at += 1
    assert state() == new
    assert at > (5 if what == "promote" else 2)


def test_an_alias_that_moves_meanwhile_is_decided_on_again(store, gate, monkeypatch):
    store(3)
    decide("1")
    gate["2"] = (BAD,)
    seen = []
    look = registry.aliased_version

    def looked(name: str, alias: str) -> str | None:
        found = look(name, alias)
        if alias == "champion" and not seen:
            seen.append(found)
            mlflow.MlflowClient().set_registered_model_alias("m", "champion", "3")
        return found

    monkeypatch.setattr(registry, "aliased_version", looked)
    assert move_to("2", reason="in a race").points_to == "2"
    assert state() == ("2", ("3",))


def test_an_alias_that_keeps_moving_is_given_up_with_a_message(store, gate, monkeypatch):
    store(2)
    decide("1")
    monkeypatch.setattr(registry, "aliased_version", lambda name, alias: "7")
    monkeypatch.setattr(registry, "read_version", lambda name, version: read_version(name, "1"))
    with pytest.raises(ModelError, match="keeps moving while this runs: others promote"):
        move_to("2")
    assert champion() == "1"


def test_aliases_that_mlflow_keeps_are_refused():
    for alias in ("latest", "v3", "a b", ""):
        with pytest.raises(ConfigError, match=f"alias '{alias}' cannot be one"):
            check_alias(alias)
    assert check_alias("champion-2") == "champion-2"


MISTAKES = {
    "show nobody": "no model 'nobody' in the store sqlite:",
    "show m/9": "model 'm' has no version '9'; it has 2, 1",
    "show m@best": "model 'm' has no alias 'best'; it has champion (version 1)",
    "compare m/1 m/7": "model 'm' has no version '7'",
    "promote m/1 --force": "--force and --reason TEXT go together",
    "promote m/1 --reason x": "--force and --reason TEXT go together",
    "promote m/1 --alias v1": "alias 'v1' cannot be one",
    "rollback m --alias best": "model 'm' has no alias best, so nothing can be rolled back",
}


def test_what_is_not_there_is_one_message_and_exit_2(store, gate):
    outcomes = {"list": CliRunner().invoke(app, ["models", "list"])}
    store(2)
    decide("1")
    outcomes |= {asked: CliRunner().invoke(app, ["models", *asked.split()]) for asked in MISTAKES}
    for asked, told in {"list": "holds no OncoResist model; train one", **MISTAKES}.items():
        assert outcomes[asked].exit_code == 2, asked
        assert told in outcomes[asked].output
        assert "Traceback" not in outcomes[asked].output


def test_without_a_store_there_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
    done = CliRunner().invoke(app, ["models", "list"])
    assert done.exit_code == 2
    assert "there is no MLflow store" in done.output


def test_the_list_holds_every_version_and_leaves_models_of_others_out(store, gate, tmp_path):
    store(2)
    decide("1")
    gate["2"] = (BAD, GOOD)
    decide("2")
    client = mlflow.MlflowClient()
    client.set_model_version_tag("m", "2", "sufficiency", "exploratory")
    client.create_registered_model("theirs")
    client.create_model_version("theirs", tmp_path.as_uri())
    lines = CliRunner().invoke(app, ["models", "list"]).output.splitlines()
    rows = [line.split("\t") for line in lines]
    assert [row[:3] for row in rows[1:]] == [["m", "2", "challenger"], ["m", "1", "champion"]]
    assert [row[-1] for row in rows[1:]] == ["failed (1 of 2 failed)", "passed"]
    assert [row[-2] for row in rows[1:]] == ["exploratory", "–"]
    assert rows[1][5] == "0.700"
    shown = {n: CliRunner().invoke(app, ["models", "show", f"m/{n}"]).output for n in (1, 2)}
    assert "sufficiency:  exploratory" in shown[2]
    assert "sufficiency:  no data sufficiency verdict is stored" in shown[1]


def test_a_store_that_refuses_is_one_message(store, gate, monkeypatch):
    store(1)

    def refuse(*arguments: object) -> None:
        raise MlflowException("Permission denied")

    monkeypatch.setattr(MlflowClient, "set_model_version_tag", refuse)
    done = CliRunner().invoke(app, ["models", "promote", "m/1"])
    assert done.exit_code == 2
    assert "refuses: Permission denied; check the name, your rights there" in done.output
