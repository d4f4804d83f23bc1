"""What `nbhelpers export` and `nbhelpers serve` share: where an export goes, and models that are exported first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from nbhelpers.course.errors import CourseError

from .screen import make_screen

screen = make_screen()


def exported(model: Path, int8: bool) -> Path:
    """The folder of a model's export beside it; it is made, and compared with the model, unless it is there."""
    from nbhelpers.course import deploy
    from nbhelpers.course.command.tables import print_export

    folder = beside(model, "int8" if int8 else "onnx")
    with screen.status("exporting and comparing ..."):
        table = deploy.export_once(model, folder, int8=int8)
    if table is not None:
        print_export(table, screen)
    return folder


def exported_small_model() -> Path:
    """The folder of the course's small model as ONNX; trained and exported at the first call."""
    from nbhelpers.course import deploy

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("training a small model, once", total=1)
        trained = deploy.small_model(lambda share: progress.update(task, completed=share))
    exported = beside(trained, "onnx")
    return deploy.make_once(exported, lambda: deploy.export_folder(trained, exported))


def beside(model: Path, suffix: str) -> Path:
    """Where a model's export goes by default: beside its folder, also when this is given as "." or "..".

    >>> beside(Path("models/mine"), "onnx") == Path.cwd() / "models" / "mine_onnx"
    True
    """
    # not `resolve`: the export of a link belongs beside the link, under its name
    folder = Path(os.path.abspath(model))
    return folder.parent / f"{folder.name}_{suffix}"


def require_addresses(names: Sequence[str]) -> None:
    """Raise CourseError for names of models that cannot be parts of an address."""
    from nbhelpers import serving

    try:
        serving.require_names(names)
    except ValueError as error:
        raise CourseError(str(error)) from error
