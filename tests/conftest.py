"""Where the fixtures of all tests come from."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures in the processes that run tests; one that only deals out needs none.

    They import the whole product, which takes seconds.
    """
    deals_out = bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")
    if not deals_out:
        config.pluginmanager.import_plugin("tests.fixtures")
