"""Which exercises are done: a small file in the folder of the course's runs, which git ignores."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from nbhelpers.course import paths


def file() -> Path:
    """Where the progress is kept."""
    return paths.RUNS / "progress.json"


def read() -> dict[str, dict[str, Any]]:
    """Exercise -> {"tries": how many were wrong since the last right one, "done": whether it was ever right}."""
    try:
        found = json.loads(file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def record(exercise: str, is_right: bool) -> int:
    """Note a try, and return how many wrong ones there were in a row, with this one."""
    known = read()
    entry = known.get(exercise, {"tries": 0, "done": False})
    entry = {"tries": 0 if is_right else entry["tries"] + 1, "done": entry["done"] or is_right}
    with contextlib.suppress(OSError):  # a folder that cannot be written costs the progress, not the answer
        file().parent.mkdir(parents=True, exist_ok=True)
        file().write_text(json.dumps(known | {exercise: entry}, indent=1) + "\n", encoding="utf-8")
    return int(entry["tries"])
