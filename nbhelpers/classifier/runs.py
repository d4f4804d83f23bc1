"""Runs that can be resumed: the folder of a run says what it is, so that it is never continued as another one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def changed_since_start(folder: Path, run: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Note what a run is when it starts. When it is resumed, return what is different: name -> (before, now).

    Args:
        folder: of the run; it is made when missing.
        run: what must be the same, as JSON can write it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = changed_since_start(Path(folder), {"lr": 0.1})
    ...     first, changed_since_start(Path(folder), {"lr": 0.2})
    ({}, {'lr': (0.1, 0.2)})
    """
    about, now = folder / "run.json", json.loads(json.dumps(run))
    if not about.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        about.write_text(json.dumps(run), encoding="utf-8")
        return {}
    before = json.loads(about.read_text(encoding="utf-8"))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return {name: (before.get(name), now.get(name)) for name in names}


@contextmanager
def discarded_if_empty(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that failed before it had anything to resume, so that the next run can start."""
    try:
        yield
    except BaseException:
        if all(path.name == "run.json" for path in folder.rglob("*") if path.is_file()):
            shutil.rmtree(folder)
        raise
