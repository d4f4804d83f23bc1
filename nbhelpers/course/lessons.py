"""The lessons: where they are, their parameters, and the profiles that set them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


class CourseError(ValueError):
    """A wrong request: one sentence that says what is wrong and what there is instead."""


@dataclass(frozen=True)
class Lesson:
    """A notebook: its number ("03"), path, title, and the names and default values of its parameters cell."""

    number: str
    path: Path
    title: str
    parameters: Mapping[str, Any]


def all_lessons(folder: Path = NOTEBOOKS) -> list[Lesson]:
    """All lessons in order. Raises CourseError when the package was installed without them."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise CourseError(f'there are no lessons in {folder}; in a checkout, run pip install -e ".[course]"')
    return [read_lesson(path) for path in paths]


def read_lesson(path: Path) -> Lesson:
    """One lesson. Raises CourseError unless exactly one cell is tagged "parameters"."""
    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise CourseError(f"{path.name}: {len(tagged)} cells are tagged 'parameters'; tag exactly one")
    parameters = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(tagged[0].source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    title = next((line[2:] for cell in cells for line in cell.source.splitlines() if line.startswith("# ")), path.stem)
    return Lesson(path.name[:2], path, title, parameters)


def select(wanted: Sequence[str], lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons asked for by number ("3" or "03") or name, all if none is. Raises CourseError for an unknown one."""
    by_name = {name: lesson for lesson in lessons for name in (lesson.number, lesson.path.stem, lesson.path.name)}
    for name in wanted:
        if name.zfill(2) not in by_name:
            raise CourseError(f"there is no lesson {name!r}; there are {', '.join(x.path.stem for x in lessons)}")
    return [x for x in lessons if not wanted or x in [by_name[name.zfill(2)] for name in wanted]]


def profiles(folder: Path = NOTEBOOKS) -> dict[str, dict[str, dict[str, Any]]]:
    """profiles.yml: profile -> lesson number, or "all" -> parameter -> value."""
    with (folder / "profiles.yml").open(encoding="utf-8") as file:
        return {name: lessons or {} for name, lessons in yaml.safe_load(file).items()}


def profile_parameters(profile: str, lesson: Lesson, folder: Path = NOTEBOOKS) -> dict[str, Any]:
    """What a profile sets in a lesson: its values for "all" lessons that have the parameter, then the lesson's own.

    Raises CourseError for an unknown profile, or a value for a parameter that the lesson lacks.
    """
    known = profiles(folder)
    if profile not in known:
        raise CourseError(f"there is no profile {profile!r}; there are {', '.join(known)}")
    values = {name: value for name, value in known[profile].get("all", {}).items() if name in lesson.parameters}
    values |= known[profile].get(lesson.number, {})
    for name in values:
        if name not in lesson.parameters:
            raise CourseError(f"profiles.yml, {profile}: lesson {lesson.path.stem} has no parameter {name!r}")
    return values


def overrides(pairs: Sequence[str], lessons: Sequence[Lesson]) -> dict[str, dict[str, Any]]:
    """["num_epochs=2"] -> lesson number -> parameter -> value, for those of the lessons that have the parameter.

    Values get the type of the parameter's default. Raises CourseError for a pair without "=", a name that none of the
    lessons knows, or a value of another type.
    """
    result: dict[str, dict[str, Any]] = {lesson.number: {} for lesson in lessons}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise CourseError(f"-p {pair}: write name=value, for instance -p seed=1")
        owners = [lesson for lesson in lessons if name in lesson.parameters]
        if not owners:
            names = ", ".join(dict.fromkeys(name for lesson in lessons for name in lesson.parameters))
            raise CourseError(f"-p {pair}: no chosen lesson has a parameter {name!r}; there are {names}")
        for lesson in owners:
            result[lesson.number][name] = convert(text, lesson.parameters[name], pair)
    return result


def convert(text: str, default: Any, pair: str) -> Any:
    """The text as a value of the default's type."""
    kind = type(default)
    if kind is str:
        return text
    if kind is bool:
        values = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() in values:
            return values[text.lower()]
    else:
        try:
            return kind(text)
        except ValueError:
            pass
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
    raise CourseError(f"-p {pair}: the value must be {wanted}, as in the lesson's {default!r}")
