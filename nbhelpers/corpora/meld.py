"""MELD's three files: where they are kept, where they come from, and how to recognize the published ones."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch

from .errors import CorpusError
from .files import cache_folder

COMMIT = "2d2011b409d3ca2d7e94460cd007d434b1d0a102"
MELD_SOURCES = (  # tried in this order
    f"https://raw.githubusercontent.com/declare-lab/MELD/{COMMIT}/data/MELD/{{file}}",
    f"https://cdn.jsdelivr.net/gh/declare-lab/MELD@{COMMIT}/data/MELD/{{file}}",
)
MELD_SHA256 = {
    "train_sent_emo.csv": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
    "dev_sent_emo.csv": "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
    "test_sent_emo.csv": "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
}
PAUSE_LIMIT = 15.0  # seconds that a server may stay silent


def meld_folder() -> Path:
    """Return the folder from which `load_meld()` reads, whether MELD is already there or not."""
    if os.environ.get("NBHELPERS_DATA"):
        return Path(os.environ["NBHELPERS_DATA"], "meld")
    return cache_folder() / "meld"


def compare_with_official(file: str, content: bytes) -> list[str]:
    """Return the note for a file that has the name of one of MELD's; no note for other names.

    >>> compare_with_official("train_sent_emo.csv", b"my own"), compare_with_official("train.csv", b"my own")
    (['differs from the official file'], [])
    """
    if file not in MELD_SHA256:
        return []
    official = hashlib.sha256(content).hexdigest() == MELD_SHA256[file]
    return ["official file" if official else "differs from the official file"]


def download(file: str, folder: Path) -> None:
    """Download one of MELD's files into `folder`, unless it is already there and has the published SHA-256 digest.

    A download that fails or has another digest leaves nothing behind, and the next mirror is tried.
    """
    faults = []
    for source in MELD_SOURCES:
        url = source.format(file=file)
        try:
            with without_log_messages():
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{MELD_SHA256[file]}",
                    fname=file,
                    path=folder,
                    processor=readable_by_all,
                    downloader=pooch.HTTPDownloader(timeout=PAUSE_LIMIT),
                )
            return
        except OSError as error:
            # Errors of the network have no number: they come from `requests`, not from the operating system
            if error.errno is not None:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                advice = "on a disk with more room" if full else "of your own"
                raise CorpusError(
                    f"cannot write to {folder}: {error}; set NBHELPERS_CACHE to a folder {advice}"
                ) from error
            faults.append(f"{url} ({cause(error)})")
        except ValueError:  # what pooch raises for a wrong digest
            faults.append(f"{url} (not the published file)")
    advice = f"put {', '.join(MELD_SHA256)} into a folder and call load_meld(folder), or name that folder meld and set"
    raise CorpusError(f"{file} cannot be downloaded: {'; '.join(faults)}; {advice} NBHELPERS_DATA to its parent folder")


def cause(error: Exception) -> str:
    """Return the part of a message of `requests` that a reader needs; the rest is about its connection pool.

    >>> cause(OSError("HTTPSConnectionPool(host='cdn.example', port=443): Read timed out. (read timeout=15.0)"))
    'Read timed out'
    """
    known = r"\[(?:Errno|SSL)[^'\")]*|Read timed out|Connection broken|timed out|\d{3} \w+ Error: .*(?= for url: )"
    match = re.search(known, str(error))
    return match[0] if match else str(error)


def readable_by_all(path: str, action: str, _: object) -> str:
    """Let other users of a shared cache read a new file. pooch creates it for the current user only."""
    if action != "fetch":  # that is pooch's word for a file that was there already
        os.chmod(path, 0o644)
    return path


@contextmanager
def without_log_messages() -> Iterator[None]:
    """Silence pooch's messages: a notebook would show them as errors, and a mirror that failed is in ours."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
