"""Read and write the bytes of files at an address: with requests over HTTP, with fsspec everywhere else."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import requests

from .arguments import is_http, without_secrets
from .errors import CorpusError
from .meld import PAUSE_LIMIT, cause

PIECE = 2**20  # bytes that are read from the web, or written, at a time
BLOCK = 2**24  # bytes of one request to a storage, of which each takes some hundredths of a second, however small it is
ATTEMPTS = 4  # how often the network may break at the same place
PAUSE = 1.0  # seconds before the second attempt; before each further one, one more
# What storages call the mark of a version, or the time of the last change, from the most to the least exact
VERSIONS = ("etag", "lastmodified", "updated", "modified", "mtime", "created")


class RemoteFile(NamedTuple):
    """A file at an address.

    Args:
        size: in bytes; None where the server does not tell.
        version: a text that changes with the file; None where the server tells no such thing.
        pieces: a function that yields the bytes from a position on.
    """

    size: int | None
    version: str | None
    pieces: Callable[[int], Iterator[bytes]]


def find(address: str) -> RemoteFile:
    """Look at the file at an address, without reading it. Raises CorpusError if there is none that can be read."""
    with explained(address):
        return http_file(address) if is_http(address) else stored_file(address)


def http_file(address: str) -> RemoteFile:
    """Return a file of the web."""

    def get(start: int) -> requests.Response:
        # Uncompressed, so that sizes are those of the file. A signed address allows only GET, so HEAD is not asked.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        response = requests.get(address, headers=headers, stream=True, timeout=PAUSE_LIMIT)
        response.raise_for_status()
        return response

    def pieces(start: int) -> Iterator[bytes]:
        with get(start) as response:
            skip = 0 if response.status_code == 206 else start  # not every server can begin at a position
            for piece in response.raw.stream(PIECE, decode_content=False):
                if len(piece) > skip:
                    yield piece[skip:]
                skip = max(0, skip - len(piece))

    with get(0) as response:
        size = response.headers.get("Content-Length")
        return RemoteFile(None if size is None else int(size), version_of(response.headers), pieces)


def stored_file(address: str) -> RemoteFile:
    """Return a file of a storage that fsspec knows."""
    storage, path = storage_of(address)
    about = storage.info(path)
    if about["type"] == "directory":
        raise CorpusError(f"{without_secrets(address)} is a folder, but a file is needed; pass a file in it")
    size = int(about["size"])

    def pieces(start: int) -> Iterator[bytes]:
        while start < size and (piece := storage.cat_file(path, start=start, end=min(start + BLOCK, size))):
            yield piece
            start += len(piece)

    return RemoteFile(size, version_of(about), pieces)


def version_of(about: Any) -> str | None:
    """Return what tells the version of a file: the ETag, or else the time of the last change.

    >>> version_of({"size": 7, "Last-Modified": "today", "ETag": '"a1"'}), version_of({"size": 7})
    ('"a1"', None)
    """
    facts = {re.sub("[-_]", "", name).lower(): value for name, value in about.items()}
    return next((str(facts[name]) for name in VERSIONS if facts.get(name)), None)


def storage_of(address: str) -> tuple[Any, str]:
    """Return the storage of an address, as fsspec has it, and the path there.

    Its credentials are those that s3fs, gcsfs and the like find in the environment.
    """
    try:
        storage, path = fsspec.core.url_to_fs(address)
    except ValueError as error:
        if "Protocol not known" not in str(error):
            raise
        fault = f"{without_secrets(address)} begins with no storage that fsspec knows"
        raise CorpusError(f"{fault}; check the address, and of a database pass query= or table= as well") from None
    storage.invalidate_cache()  # it may have listed the folder before the file changed
    return storage, path


def steady_pieces(address: str, file: RemoteFile, start: int) -> Iterator[bytes]:
    """Yield the bytes of a file from a position on. Where the network breaks, go on at that place.

    Raises CorpusError if it breaks at one place again and again.
    """
    position, failures = start, 0
    while file.size is None or position < file.size:
        try:
            for piece in file.pieces(position):
                yield piece
                position += len(piece)
                failures = 0
            if file.size is None:
                return
            if position < file.size:
                raise EOFError("the server closed the connection")
        except Exception as error:  # each storage has errors of its own
            failures += 1
            if failures == ATTEMPTS or lasting_fault(error):
                about = without_secrets(address)
                fault = lasting_fault(error) or (
                    f"the copy broke after {position / 1e6:,.1f} MB ({reason(error)}); the same call goes on there"
                )
                raise CorpusError(f"{about}: {fault}") from None
            time.sleep(PAUSE * failures)


def write_to(address: str, file: Path) -> None:
    """Write a file of this machine to an address, in pieces. It is visible there when all of it is.

    Raises CorpusError if it cannot be written.
    """
    with explained(address):
        storage, path = storage_of(address)
        with storage.transaction, file.open("rb") as source, storage.open(path, "wb", block_size=BLOCK) as target:
            shutil.copyfileobj(source, target, PIECE)
        storage.invalidate_cache()
        if storage.info(path)["size"] != file.stat().st_size:
            raise EOFError("not all of it arrived")


def exists(address: str) -> bool:
    """Return whether there is something at an address that can be written to. Raises CorpusError for others."""
    if is_http(address):
        raise CorpusError(f"{without_secrets(address)} is an address of the web, where nothing can be written")
    with explained(address):
        storage, path = storage_of(address)
        return bool(storage.exists(path))


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn the errors of a storage, in a `with` block, into a CorpusError without secrets."""
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:  # each storage has errors of its own
        fault = lasting_fault(error) or f"cannot be reached ({reason(error)}); check the address and the network"
        # `from None`, because the message of the cause can contain the whole address
        raise CorpusError(f"{without_secrets(address)}: {fault}") from None


def lasting_fault(error: Exception) -> str:
    """Return what is wrong and will stay wrong, and what to do; "" for a fault that may be over at the next attempt."""
    status = getattr(getattr(error, "response", None), "status_code", getattr(error, "code", None))
    if isinstance(error, ImportError):
        package = getattr(error.__cause__, "name", None) or error.name or "a package for this storage"
        return f"{package} is missing; run pip install {package}"
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "it does not exist; check the bucket and the path"
    if isinstance(error, PermissionError) or status in (401, 403) or "Credential" in type(error).__name__:
        return "there is no permission; check the credentials in the environment"
    return ""


def reason(error: Exception) -> str:
    """Return the message of an error on one line, without secrets that an address in it may have.

    >>> reason(OSError("no answer from https://ann:secret@example.org/a.csv?signature=17 today"))
    'no answer from https://example.org/a.csv today'
    """
    message = re.sub(r"(?<=://)[^/\s]*@|\?\S*", "", " ".join(cause(error).split()))
    return message[:200] or type(error).__name__
