"""Where the lessons and the data are, and where results may be written.

There are two cases. In a checkout, notebooks/ and data/ are beside the package. In an installed wheel, they are inside
it. Nothing is written into an installed package: it may be read-only, and an update would delete what was written.
"""

from __future__ import annotations

import difflib
import os
import re
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
    return os.path.abspath(path) if value not in NAMES and (meant_as_path(value) or path.exists()) else value


def is_address(value: str) -> bool:
    """Whether what a user wrote is an address, such as s3://bucket/part.parquet, and no path."""
    return "://" in value


def name_of(corpus: str) -> str:
    """The name of a corpus without folders, suffixes, and the secrets that an address can have.

    >>> name_of("data/reviews.csv.gz"), name_of("https://ann:secret@host/reviews.csv?key=17")
    ('reviews', 'reviews')
    """
    path = re.split(r"[?#]", corpus)[0].rpartition("@")[2] if is_address(corpus) else corpus
    return Path(path).name.partition(".")[0]


def meant_as_path(value: str) -> bool:
    """Whether what a user wrote for a corpus or a model can only be a path: no name of the Hub, and no address."""
    path = Path(value)
    if is_address(value):
        return False
    return value.startswith((".", "~")) or path.is_absolute() or path.suffix.lower() in TABLES_OF_USERS


def require(*given: str | Path | None) -> None:
    """Raise CourseError for a path that does not exist, before the imports of what would read it, which take seconds.

    Args:
        given: what a user wrote. A string can also be the name of a corpus or of a model, and None was left out.
    """
    for value in given:
        path = Path(value or ".").expanduser()
        if value and not os.path.exists(path) and (isinstance(value, Path) or meant_as_path(value)):
            names = os.listdir(path.parent) if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, names, cutoff=0.75)  # else a suffix alone makes names similar
            advice = f"did you mean {' or '.join(near)}?" if near else "check the path"
            raise CourseError(f"{value} does not exist; {advice}")


def require_new(folder: Path) -> None:
    """Raise CourseError if a folder exists that is to be written, before the time is spent that its content takes."""
    if folder.exists():
        raise CourseError(f"{folder} exists already; remove it, or choose another folder with --output")


def fix_environment() -> None:
    """Make the paths in environment variables absolute, for programs that are started in another folder."""
    for name in PATH_VARIABLES:
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(Path(os.environ[name]).expanduser())


# those of lessons that can be paths
PARAMETERS = ("corpus", "encoder", "faq", "languages", "model_folder", "multilingual", "news", "stream")
# corpora and encoders that come with the course
CORPORA = ("dialogues", "reviews", "intents", "topics", "finance", "entities", "faq", "languages", "meld")
NAMES = ("", *CORPORA, "embedded", "embedded-base", "embedded-multilingual")
TABLES_OF_USERS = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".parquet", ".xlsx", ".gz")
PATH_VARIABLES = ("NBHELPERS_DATA", "NBHELPERS_CACHE", "HF_HOME", "HF_HUB_CACHE")

# Functions read these when they are called, so a test can set them in this one place.
NOTEBOOKS = shipped("notebooks")
DATA = shipped("data")
RESULTS = DATA / "results"  # the measured rows
TABLES = Path(__file__).with_name("tables")  # which rows are to be measured
RUNS = runs_folder()
