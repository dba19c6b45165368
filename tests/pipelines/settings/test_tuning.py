"""Candidates as configured: what may compete, and what is refused before anything is fitted."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import ConfigError
from pipelines.config import ExperimentConfig, load_experiment

CONF = Path(__file__).resolve().parents[3] / "conf"
EXPERIMENT = """\
setting: ici
cohorts:
  train: [alpha, beta]
model:
  registered_name: oncoresist-test
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., ExperimentConfig]:
    """Return a loader of an experiment with overrides."""
    folder = tmp_path / "conf" / "experiments"
    folder.mkdir(parents=True)
    shutil.copy(CONF / "defaults.yaml", tmp_path / "conf")
    (folder / "test.yaml").write_text(EXPERIMENT)
    return lambda *overrides: load_experiment(folder / "test.yaml", overrides=overrides)


def of(count: int) -> str:
    return ", ".join(f"c{number}: {{family: linear}}" for number in range(count))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"{{{of(9)}}}", r"--set: tuning\.candidates: 9 candidates \(c0, .*, c8\); at most 8 may"),
        (
            "{x: {settings: {num_leafs: 3}}}",
            r"tuning\.candidates\.x: settings \['num_leafs'\] are unknown to boosted; known: .*'n",
        ),
        (
            "{x: {family: linear, settings: {num_leaves: 3}}}",
            r"settings \['num_leaves'\] are unknown to linear; known: \['alpha', 'l1_ratio'\]",
        ),
        ("{x: {settings: {monotone: 1}}}", r"\['monotone'\] are unknown to boosted"),
        ("{x: {family: forest}}", r"candidates\.x\.family' is 'forest': .*'boosted', 'linear' or"),
        # Fixed: a key of a candidate that is not known ended in a KeyError.
        ("{x: {familly: linear}}", r"unknown key 'tuning\.candidates\.x\.familly'; did you mean"),
        ("{x: {family: average}}", r"candidates\.x: members go with family: average, and that"),
        ("{x: {members: [y]}, y: {}}", r"candidates\.x: members go with family: average"),
        (
            "{x: {family: average, members: [y, z]}, y: {}}",
            r"members \['z'\] of candidate 'x' are no single candidates; known: \['y'\]",
        ),
        (
            "{x: {family: average, members: [y]}, y: {family: average, members: [z]}, z: {}}",
            r"members \['y'\] of candidate 'x' are no single candidates; known: \['z'\]",
        ),
        (
            "{x: {family: average, members: [y]}, y: {settings: {num_leaves: [2, 3]}}}",
            r"members \['y'\] of candidate 'x' have settings that are searched; an average takes",
        ),
    ],
)
def test_a_candidate_that_cannot_be_is_named(
    load: Callable[..., ExperimentConfig], override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(f"tuning.candidates={override}")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("num_leaves: {low: 8, high: 2}", r"settings\.num_leaves: low \(8\) must lie below high"),
        ("num_leaves: {low: 2, high: 2}", r"low \(2\) must lie below high \(2\)"),
        ("num_leaves: {low: 2}", r"key '.*x\.settings\.num_leaves\.high' is missing"),
        ("num_leaves: {low: 2, high: 8, step: 2}", r"unknown key '.*num_leaves\.step'"),
        ("learning_rate: {low: 0, high: 1, log: true}", r"low is 0; log: true needs it above 0"),
        ("num_leaves: abc", r"x\.settings\.num_leaves: expected a number, got 'abc'"),
        ("num_leaves: [2, true]", r"num_leaves\.1: expected a number, got True"),
        ("num_leaves: []", r"key '.*num_leaves' is \[\]: .*at least 1 item"),
        ("num_leaves: 1", r"settings\.num_leaves is 1: .*greater than or equal to 2"),
        ("num_leaves: 2.5", r"settings\.num_leaves is 2\.5: .*valid integer"),
        ("num_leaves: {low: 1, high: 4}", r"settings\.num_leaves is 1: .*greater than or equal"),
        ("num_leaves: {low: 2, high: 4.5}", r"settings\.num_leaves is 4\.5: .*valid integer"),
        ("subsample: [0.5, 1.5]", r"settings\.subsample is 1\.5: .*less than or equal to 1"),
        ("learning_rate: .inf", r"learning_rate: expected a number, got inf"),
    ],
)
def test_a_setting_that_would_only_fail_in_training_is_refused_with_its_key(
    load: Callable[..., ExperimentConfig], value: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load(f"tuning.candidates={{x: {{settings: {{{value}}}}}}}")
    assert "(" not in str(refused.value).split(": key")[0].split("low (")[0]
    assert "function-after" not in str(refused.value)


def test_settings_of_the_linear_family_are_checked_too(
    load: Callable[..., ExperimentConfig],
) -> None:
    with pytest.raises(ConfigError, match=r"settings\.alpha is -0\.1: .*greater than or equal to"):
        load("tuning.candidates={x: {family: linear, settings: {alpha: -0.1}}}")
    with pytest.raises(ConfigError, match=r"settings\.l1_ratio is 1\.1: .*less than or equal to 1"):
        load("tuning.candidates={x: {family: linear, settings: {l1_ratio: [0.1, 1.1]}}}")


def test_a_single_setting_of_a_candidate_can_be_overridden(
    load: Callable[..., ExperimentConfig],
) -> None:
    config = load(
        "tuning.candidates.x.settings.num_leaves=2",
        "tuning.candidates.y.family=linear",
        "tuning.candidates.y.settings={alpha: {low: 0.1, high: 1, log: true}}",
        "tuning.trials=3",
    )
    assert list(config.tuning.candidates) == ["x", "y"]
    assert config.tuning.candidates["x"].settings == {"num_leaves": 2}
    assert config.tuning.trials == 3
    again = ExperimentConfig.model_validate(config.model_dump(mode="json"))
    assert again == config


def test_the_ici_experiment_writes_down_eight_candidates() -> None:
    config = load_experiment(CONF / "experiments" / "ici.yaml", with_local=False)
    assert len(config.tuning.candidates) == 8
