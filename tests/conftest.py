"""Where the fixtures of all tests come from, and which tests run in one process."""

import re
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

_PROJECT = Path(__file__).resolve().parent.parent
_SHARED = {"demo_run": "demo", "everyone": "real", "real_cohorts": "real"}
"""Fixtures that take long to make → the group of the files that name them."""
_LONG = (
    "demo",
    "real",
    "tests/pipelines/test_team_server.py",
    "tests/pipelines/registry/test_gate.py",
    "tests/pipelines/single_cohort/test_real_cells.py",
    "tests/pipelines/single_cohort/test_train.py",
    "tests/pipelines/test_train.py",
    "tests/features/cells/test_view.py",
    "tests/pipelines/test_resume.py",
)
"""Groups to begin with, else one of them is still at work when all the others are done."""


class WholeFiles(LoadScopeScheduling):
    """Deal out whole files, so that a module's fixtures are made once, and groups of files."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@cache
def group_of(file: str) -> str:
    """Return the group of a file of tests, its own path where it shares nothing."""
    text = (_PROJECT / file).read_text(encoding="utf-8") if file.startswith("tests/") else ""
    named = (group for name, group in _SHARED.items() if re.search(rf"\b{name}\b", text))
    return next(named, file)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures in the processes that run tests; one that only deals out needs none.

    They import the whole product, which takes seconds.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        config.option.loadscopereorder = False
    else:
        config.pluginmanager.import_plugin("tests.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    places = {group: place for place, group in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(group_of(item.nodeid.partition("::")[0]), len(_LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Let ``-n`` deal out by :class:`WholeFiles`."""
    return WholeFiles(config, log)
