"""Where the fixtures of all tests come from, and which tests run in one process."""

import pytest

_SHARED = {"demo_run": "demo", "real_cohorts": "real", "everyone": "real"}
"""Fixtures that take long to make → a group of files that share them."""


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures in the processes that run tests; one that only deals out needs none.

    They import the whole product, which takes seconds.
    """
    deals_out = bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")
    if not deals_out:
        config.pluginmanager.import_plugin("tests.fixtures")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a file's tests run in one process, and files that share what takes long to make.

    Under ``--dist loadgroup``; so each fixture of a module is made once.
    """
    groups = {item.path: item.nodeid.partition("::")[0] for item in items}
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in _SHARED:
                groups[item.path] = _SHARED[name]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
