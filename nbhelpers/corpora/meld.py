"""MELD's three files: where they are kept, where they come from, and how the published ones are recognized."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import time
import urllib.request
from pathlib import Path

from .errors import CorpusError

COMMIT = "2d2011b409d3ca2d7e94460cd007d434b1d0a102"
MELD_SOURCES = (
    f"https://raw.githubusercontent.com/declare-lab/MELD/{COMMIT}/data/MELD/{{file}}",
    f"https://cdn.jsdelivr.net/gh/declare-lab/MELD@{COMMIT}/data/MELD/{{file}}",
)
MELD_SHA256 = {
    "train_sent_emo.csv": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
    "dev_sent_emo.csv": "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
    "test_sent_emo.csv": "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
}
PAUSE_LIMIT, FILE_LIMIT = 15.0, 120.0  # seconds: how long a server may stay silent, and how long one file may take


def meld_folder() -> Path:
    """The folder from which `load_meld()` reads, whether MELD is there already or not."""
    if os.environ.get("NBHELPERS_DATA"):
        return Path(os.environ["NBHELPERS_DATA"], "meld")
    return Path(os.environ.get("NBHELPERS_CACHE") or "~/.cache/nbhelpers").expanduser() / "meld"


def compare_with_official(file: str, content: bytes) -> list[str]:
    """Return what to note about a file that has the name of one of MELD's; nothing for other names.

    >>> compare_with_official("train_sent_emo.csv", b"my own"), compare_with_official("train.csv", b"my own")
    (['differs from the official file'], [])
    """
    if file not in MELD_SHA256:
        return []
    official = hashlib.sha256(content).hexdigest() == MELD_SHA256[file]
    return ["official file" if official else "differs from the official file"]


def download(file: str, folder: Path) -> None:
    """Put a file of MELD into `folder` unless it is there: complete and verified, or not at all."""
    target, faults = folder / file, []
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == MELD_SHA256[file]:
        return
    for source in MELD_SOURCES:
        url, content, end = source.format(file=file), b"", time.monotonic() + FILE_LIMIT
        try:
            with urllib.request.urlopen(url, timeout=PAUSE_LIMIT) as answer:
                while (chunk := answer.read1()) and time.monotonic() < end:
                    content += chunk
        except (OSError, http.client.HTTPException) as error:
            faults.append(f"{url} ({error})")
            continue
        if hashlib.sha256(content).hexdigest() != MELD_SHA256[file]:
            faults.append(f"{url} ({len(content):,} bytes, not the published file)")
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{file}.", suffix=".part", delete=False) as part:
                part.write(content)
            os.chmod(part.name, 0o644)
            os.replace(part.name, target)  # atomic: another process sees no file or the whole file
        except OSError as error:
            raise CorpusError(f"cannot write to {folder}: {error}; set NBHELPERS_CACHE to a folder of yours") from error
        return
    advice = f"put {', '.join(MELD_SHA256)} into a folder and call load_meld(folder), or name that folder meld and set"
    raise CorpusError(f"{file} cannot be downloaded: {'; '.join(faults)}; {advice} NBHELPERS_DATA to the one above it")
