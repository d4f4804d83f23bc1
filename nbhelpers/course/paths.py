"""Where the lessons and the data are, and where results may be written.

There are two cases. In a checkout, notebooks/ and data/ are beside the package. In an installed wheel, they are inside
it. Nothing is written into an installed package: it may be read-only, and an update would delete what was written.
"""

from __future__ import annotations

import os
from pathlib import Path

from nbhelpers.course.errors import CourseError

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # of the checkout; for an installed wheel, the folder site-packages


def shipped(name: str) -> Path:
    """A folder that comes with the course: the one inside the package, or else the one beside it."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else ROOT / name


def is_checkout() -> bool:
    """Whether this package is in a checkout of the course. Only a checkout has the sources of the lessons there."""
    return (ROOT / "pyproject.toml").is_file() and (ROOT / "notebooks" / "source").is_dir()


def runs_folder() -> Path:
    """Where trained models are kept: $NBHELPERS_RUNS, runs/ of the checkout, or runs/ in the working directory."""
    # Lessons run in a working directory of their own, so `nbhelpers run` passes its folder on in this variable.
    if "NBHELPERS_RUNS" in os.environ:
        return Path(os.environ["NBHELPERS_RUNS"])
    return (ROOT if is_checkout() else Path.cwd()) / "runs"


def require_checkout(action: str) -> None:
    """Raise CourseError unless this is a checkout.

    Args:
        action: what the user wants to do, as the beginning of a sentence, for instance "measuring a table".
    """
    if not is_checkout():
        raise CourseError(
            f"{action} needs a checkout of the course, because nothing is written into an installed package; "
            'get one with git clone, and run pip install -e ".[course]" in it'
        )


def from_here(value: str) -> str:
    """What a user wrote for a corpus or a model, for a program that runs in another folder: paths become absolute.

    The names of the course and of the Hub stay as they are, but a folder of the same name as a model of the Hub comes
    first, as where it is loaded.

    >>> from_here("reviews"), from_here("roberta-base"), from_here("./mine") == os.path.abspath("mine")
    ('reviews', 'roberta-base', True)
    """
    path = Path(value).expanduser()
    # a misspelled path as well, so that the error names the folder that the user meant
    meant_as_path = value.startswith((".", "~")) or path.suffix.lower() in TABLES_OF_USERS
    return os.path.abspath(path) if value not in NAMES and (meant_as_path or path.exists()) else value


def fix_environment() -> None:
    """Make the paths in environment variables absolute, for programs that are started in another folder."""
    for name in PATH_VARIABLES:
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(Path(os.environ[name]).expanduser())


# corpora and encoders that come with the course
NAMES = ("", "dialogues", "reviews", "intents", "topics", "meld", "embedded", "embedded-base")
TABLES_OF_USERS = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".parquet", ".xlsx", ".gz")
PATH_VARIABLES = ("NBHELPERS_DATA", "NBHELPERS_CACHE", "HF_HOME", "HF_HUB_CACHE")

# Functions read these when they are called, so a test can set them in this one place.
NOTEBOOKS = shipped("notebooks")
DATA = shipped("data")
RESULTS = DATA / "results"  # the measured rows
TABLES = Path(__file__).with_name("tables")  # which rows are to be measured
RUNS = runs_folder()
