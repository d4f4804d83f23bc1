"""Where a measured number comes from: machine, versions, commit and date."""

from __future__ import annotations

import platform
import subprocess
import time
from typing import Any

from nbhelpers.course import paths


def circumstances() -> dict[str, Any]:
    """Device, threads, precision, versions, commit and date of a measurement that is made now."""
    from nbhelpers import environment  # imports torch, which reading stored results does not need

    facts = environment.describe()
    # The features tell CPUs of one name apart: with bf16 or 8-bit instructions the same code is several times faster.
    cpu = f"{facts['cpu']} ({facts['cpu features']})"
    return {
        "device": cpu if facts["device"] == "cpu" else facts["device"],
        "threads": facts["threads"],
        "precision": facts["precision"],
        "versions": {**environment.versions(("torch", "transformers")), "system": platform.system()},
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def commit() -> str:
    """The commit of the checkout, with "-dirty" when a tracked file other than the results was changed.

    "unknown" where git is missing, or where the package is not in a repository of its own.
    """
    # git would look for a repository in the folders above as well, and so answer for one that has nothing to do with
    # the course: for instance a project whose virtual environment contains this package.
    if not (paths.ROOT / ".git").exists():
        return "unknown"
    try:
        # Results change while they are measured; they are no part of the code that was measured.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!data/results")
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    """The output of a git command in the checkout."""
    done = subprocess.run(["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
