"""Files at an address, such as s3://bucket/part.parquet: they are copied into the cache and read from there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from filelock import FileLock

from .arguments import is_address, is_http, path_of, without_password, without_secrets
from .errors import CorpusError
from .files import cache_folder
from .transfer import RemoteFile, find, steady_pieces

Progress = Callable[[int, int | None], None]  # called with the bytes that are there, and with all, if that is known


def local_path(path: Any, progress: Progress = lambda done, size: None, *, argument: str = "path") -> Path:
    """Return the path of a file on this machine. A file that is given by its address is copied first.

    The address is one of the web, or of a storage that fsspec knows: s3://, gs://, hf:// and many more, each with a
    package of its own, such as s3fs or gcsfs. Credentials are those that these packages find in the environment.

    The copy is in the folder "files" of the cache, which is $NBHELPERS_CACHE or ~/.cache/nbhelpers. It is used again as
    long as the file has the same size, and the same ETag or time of change; a newer one replaces it. Only a few MB are
    in memory at a time. A copy that broke goes on at the next call, and no part of a file is ever returned.

    Args:
        path: a path, which is returned as it is, or an address.
        progress: called after each piece with the number of bytes that are copied, and of all, or None.
        argument: the name of the argument, for the error message.

    Raises:
        CorpusError: there is no such file, it cannot be read, or the cache cannot be written.

    >>> local_path("reviews.csv").name
    'reviews.csv'
    """
    if not is_address(path):
        return Path(path_of(argument, path))
    address = str(path)
    file, place = find(address), place_of(address, "files")
    copied = place / digest(f"{file.size} {file.version}") / name_of(address)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / "lock"):  # two processes would write into one part
            whole = copied.is_file() and file.size in (None, copied.stat().st_size)
            if file.version is None or not whole:
                copy(address, file, copied, progress)
        return copied
    except OSError as error:
        fault = f"cannot write to {place}: {error.strerror or error}"
        raise CorpusError(f"{fault}; set NBHELPERS_CACHE to a folder on a disk with more room") from error


def copy(address: str, file: RemoteFile, copied: Path, progress: Progress) -> None:
    """Copy a file as a whole, and remove the copies of its earlier versions."""
    part = copied.with_name("part")
    part.parent.mkdir(exist_ok=True)
    if file.version is None or file.size is None:  # then nobody knows whether the part belongs to this file
        part.unlink(missing_ok=True)
    done = part.stat().st_size if part.exists() else 0
    require_room(part.parent, (file.size or 0) - done)
    with part.open("ab") as opened:
        for piece in steady_pieces(address, file, done):
            opened.write(piece)
            done += len(piece)
            progress(done, file.size)
        opened.flush()
        os.fsync(opened.fileno())
    now = find(address)
    if (now.size, now.version) != (file.size, file.version) or done != (file.size or done):
        part.unlink()
        raise CorpusError(f"{without_secrets(address)} changed while it was copied; copy it again")
    part.replace(copied)
    for other in copied.parent.parent.iterdir():
        if other.is_dir() and other != copied.parent:
            shutil.rmtree(other, ignore_errors=True)


def require_room(folder: Path, num_bytes: int) -> None:
    """Raise CorpusError unless so many bytes fit on the disk of a folder."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        fault = f"{folder} has {free / 1e9:.1f} GB left, and the copy needs {num_bytes / 1e9:.1f} GB"
        raise CorpusError(f"{fault}; make room, or set NBHELPERS_CACHE to another folder")


def place_of(address: str, kind: str) -> Path:
    """Return the folder of the cache for what belongs to an address."""
    # The query counts, because it can choose the file. A password does not, as nothing of it should be kept.
    return cache_folder() / kind / digest(without_password(address))


def name_of(address: str) -> str:
    """Return the name of the file at an address, as a name that every system allows.

    >>> name_of("https://example.org/data/my%20reviews.csv?signature=17"), name_of("s3://bucket/part.parquet")
    ('my_reviews.csv', 'part.parquet')
    """
    path = without_secrets(address)
    name = PurePosixPath(unquote(path) if is_http(address) else path).name
    return re.sub(r"[^\w.-]", "_", name)[-100:].lstrip(".") or "file"


def digest(text: str) -> str:
    """Return a short name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
