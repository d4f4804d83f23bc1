"""Write a model into the cache as a whole, so that nobody ever finds half of its folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .sources import EncoderError


@contextmanager
def new_cache_folder(folder: Path, num_bytes: int, action: str) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; what the `with` block makes there under the same name is moved to it.

    Args:
        folder: where the model belongs.
        num_bytes: what writing it needs.
        action: what is done, for the error about a full disk.

    Raises:
        EncoderError: the disk is full, or the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < num_bytes:
            raise EncoderError(
                f"{folder.parent} has {free / 1e9:.1f} GB left, and {action} takes {num_bytes / 1e9:.1f} GB; make "
                "room, or set NBHELPERS_CACHE to another folder"
            )
        # beside the final folder, because a rename works only within one file system
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
            yield Path(temporary)
            try:
                Path(temporary, folder.name).rename(folder)
            except OSError:
                if not folder.is_dir():  # otherwise another program was faster, with the same files
                    raise
    except OSError as error:
        raise EncoderError(
            f"{folder} cannot be written ({error.strerror}); set NBHELPERS_CACHE to a folder that can"
        ) from error
