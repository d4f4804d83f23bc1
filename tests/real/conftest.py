"""The folder of real data sets that the environment variable NBHELPERS_DATA names, as the fixture `real_data`.

Where the variable is not set, tests that need it are deselected, and pytest's last lines say so. Where CI is set they
fail instead: a build server that lost its data must not turn green. A variable that names no folder always fails.
"""

import os
from pathlib import Path

import pytest

MISSING = "set NBHELPERS_DATA to the folder that holds meld/, imdb/, sst2/ and the other data sets"
DESELECTED = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("NBHELPERS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.fail(f"NBHELPERS_DATA is {folder!r}, which is no folder; {MISSING}")
    return Path(folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    real = [item for item in items if "real_data" in getattr(item, "fixturenames", ())]
    for item in real:
        item.add_marker("real")
    if not os.environ.get("NBHELPERS_DATA") and not os.environ.get("CI"):
        items[:] = [item for item in items if item not in real]
        config.hook.pytest_deselected(items=real)
        config.stash[DESELECTED] = len(real)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if number := config.stash.get(DESELECTED, 0):
        terminalreporter.write_line(f"{number} tests on real data were not run: {MISSING}", yellow=True)
