"""Browser tests need Chromium on the machine; without it they are deselected, and under CI they fail."""

import os
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESELECTED = pytest.StashKey[int]()


@pytest.fixture(scope="session")
def chromium() -> str:
    if CHROMIUM is None:
        pytest.fail("there is no Chromium; install it (Debian: apt install chromium)")
    return CHROMIUM


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if CHROMIUM is None and not os.environ.get("CI"):
        browser = [item for item in items if "chromium" in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in browser]
        config.hook.pytest_deselected(items=browser)
        config.stash[DESELECTED] = len(browser)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if number := config.stash.get(DESELECTED, 0):
        terminalreporter.write_line(f"{number} browser tests were not run: there is no Chromium", yellow=True)
