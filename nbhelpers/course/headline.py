"""The number that a lesson is known by: the lesson announces it, and the runner reads it from the executed copy."""

from __future__ import annotations

import json
from pathlib import Path

from IPython.display import display

MIME = "application/vnd.nbhelpers.headline+json"  # front ends ignore a type they do not know, and show the text


def headline(name: str, value: float) -> None:
    """Show a number as this lesson's result. The runner puts it into its table.

    >>> headline("weighted F1", 0.594)
    weighted F1: 0.594
    """
    display({"text/plain": f"{name}: {value:.4g}", MIME: {name: float(value)}}, raw=True)


def headlines(executed: Path) -> dict[str, float]:
    """All numbers that a lesson announced, from its executed copy; {} when there is no such file."""
    if not executed.exists():
        return {}
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return {name: value for output in outputs for name, value in output.get("data", {}).get(MIME, {}).items()}
