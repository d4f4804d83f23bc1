"""What a run depends on: configuration, commit, versions, device and data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "peft", "numpy", "scikit-learn")


def describe(config: Mapping[str, Any], data_files: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Describe a run that starts now: "time", "config", "commit", "environment" (versions) and "data" (digests).

    Raises:
        ValueError: A data file does not exist.

    >>> describe({"lr": 1e-4})["config"]
    {'lr': 0.0001}
    """
    environment = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            environment[package] = importlib.metadata.version(package)
    environment["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "config": dict(config),
        "commit": commit(),
        "environment": environment,
        "data": {str(file): digest(file) for file in data_files},
    }


def commit() -> str | None:
    """Return the commit of the repository around the working folder; None if there is none, or no git.

    If a file of the repository has changed since, the commit ends in "-dirty": it does not tell what code ran.
    """
    try:
        head, changes = (
            subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if changes else head


def digest(file: str | Path) -> str:
    """Return the SHA-256 digest of a file, which tells whether it is still the same.

    Raises:
        ValueError: There is no such file.
    """
    if not Path(file).is_file():
        raise ValueError(f"there is no data file {file}; pass the files that the run reads, not their folder")
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
