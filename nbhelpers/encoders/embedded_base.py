"""The larger embedded encoder: join the parts from its packages, and check that its weights are the published ones.

The encoder is sentence-transformers/all-mpnet-base-v2. Five packages contain one zip file in five parts, because an
index limits the size of a package.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import zipfile
from pathlib import Path

from .caching import new_cache_folder
from .embedded import require_digest
from .sources import EncoderError, first_line

EMBEDDED_BASE = "embedded-base"
EMBEDDED_BASE_HUB = "sentence-transformers/all-mpnet-base-v2"
EMBEDDED_BASE_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
MODEL_NAME = "all-mpnet-base-v2"
NUM_PARTS = 5
EMBEDDED_BASE_PACKAGES = tuple(f"{MODEL_NAME}-pypi-part-{number:03}" for number in range(1, NUM_PARTS + 1))
BYTES_TO_UNPACK = 900_000_000  # the zip file and what it contains, for a moment both
INSTALL = 'run pip install "nbhelpers[base]"'


def embedded_base_folder() -> str:
    """The folder of the larger embedded encoder in the cache, which is $NBHELPERS_CACHE or ~/.cache/nbhelpers.

    The first call joins and unpacks the packages' files, which takes some seconds. None of the packages' code runs.

    Raises:
        EncoderError: a package is missing, the disk is full, the cache cannot be written, or the weights are changed.
    """
    cache = Path(os.environ.get("NBHELPERS_CACHE") or Path.home() / ".cache" / "nbhelpers")
    folder = cache / MODEL_NAME
    if not folder.is_dir():
        unpack(part_files(), folder)
    require_digest(folder / "model.safetensors", EMBEDDED_BASE_SHA256, f"delete the folder {folder}, and {INSTALL}")
    return str(folder)


def part_files() -> list[Path]:
    """The parts of the zip file, in order.

    Raises:
        EncoderError: a package is not installed, or its file is missing.
    """
    parts, missing = [], []
    for number, package in enumerate(EMBEDDED_BASE_PACKAGES, start=1):
        try:
            distribution = importlib.metadata.distribution(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
            continue
        path = f"{MODEL_NAME}-pypi-part_{number:03}/input/{MODEL_NAME}.zip.{number:03}"
        parts.append(Path(str(distribution.locate_file(path))))
        if not parts[-1].is_file():
            raise EncoderError(f"the package {package} has no {path}; reinstall it")
    if missing:
        raise EncoderError(
            f"{EMBEDDED_BASE} needs the packages {', '.join(missing)}, which are not installed; {INSTALL}"
        )
    return parts


def unpack(parts: list[Path], folder: Path) -> None:
    """Join the parts of a zip file, and unpack its folder as a whole: nobody ever finds half of it.

    Raises:
        EncoderError: the folder cannot be written, or the parts are no zip file.
    """
    try:
        with new_cache_folder(folder, BYTES_TO_UNPACK, f"unpacking {EMBEDDED_BASE}") as temporary:
            archive = temporary / "model.zip"
            with archive.open("wb") as joined:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, joined)
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(temporary)
    except zipfile.BadZipFile as error:
        raise EncoderError(
            f"the packages of {EMBEDDED_BASE} are damaged ({first_line(error)}); reinstall them"
        ) from error
