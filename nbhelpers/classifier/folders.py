"""Write a folder as a whole, so that nobody ever finds half of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClassifierError, FolderExistsError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Write a folder as a whole: into a temporary one, which is renamed when the `with` block succeeds.

    So nobody ever reads half a model, and an error leaves nothing behind.

    Raises:
        FolderExistsError: the folder exists, perhaps since another program wrote it meanwhile.
        ClassifierError: it cannot be made there.
    """
    if folder.exists():
        raise FolderExistsError(f"{folder} exists already; remove it, or choose another folder as output")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside the final folder, because a rename works only within one file system.
        temporary = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".")
    except OSError as error:
        reason = f"{folder.parent} is a file" if folder.parent.is_file() else error.strerror
        raise ClassifierError(
            f"{folder} cannot be made ({reason}); choose a folder elsewhere as output, or with NBHELPERS_RUNS for the "
            "course's small model"
        ) from error
    with temporary as parent:
        yield Path(parent, "new")
        try:
            Path(parent, "new").rename(folder)
        except OSError as error:  # its type depends on the system
            if not folder.exists():
                raise
            raise FolderExistsError(f"{folder} was written by another program meanwhile; look at that one") from error
