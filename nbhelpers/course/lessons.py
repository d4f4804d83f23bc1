"""The lessons: where they are, their parameters, and the profiles that set them."""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    import nbformat  # takes longer than all else that `nbhelpers serve` needs of this file

    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise CourseError(f"{path.name}: {len(tagged)} cells are tagged 'parameters'; tag exactly one")
    try:
        parameters = {
            ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in ast.parse(tagged[0].source).body
        }
    except (AttributeError, SyntaxError, ValueError) as error:
        raise CourseError(f"{path.name}: the parameters cell must hold only lines name = literal") from error
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
    """profiles.yml: profile -> lesson number, or "all" -> parameter -> value.

    Raises CourseError for a lesson or, under "all", a parameter that the course does not have.
    """
    with (folder / "profiles.yml").open(encoding="utf-8") as file:
        content = {name: sections or {} for name, sections in yaml.safe_load(file).items()}
    lessons = {lesson.number: lesson for lesson in all_lessons(folder)}
    for profile, sections in content.items():
        for section, values in sections.items():
            if section != "all" and section not in lessons:
                raise CourseError(f'profiles.yml, {profile}: {section!r} is neither "all" nor a lesson such as "03"')
            owners = lessons.values() if section == "all" else [lessons[section]]
            for name in values or {}:
                if not any(name in lesson.parameters for lesson in owners):
                    raise CourseError(f"profiles.yml, {profile}: no parameter {name!r} in {section}")
    return content


def profile_parameters(profile: str, lesson: Lesson, folder: Path = NOTEBOOKS) -> dict[str, Any]:
    """What a profile sets in a lesson: its values for "all" lessons that have the parameter, then the lesson's own.

    Raises CourseError for an unknown profile, or a value of another type than the parameter's default.
    """
    known = profiles(folder)
    if profile not in known:
        raise CourseError(f"there is no profile {profile!r}; there are {', '.join(known)}")
    values = {name: value for name, value in (known[profile].get("all") or {}).items() if name in lesson.parameters}
    values |= known[profile].get(lesson.number) or {}
    for name, value in values.items():
        default = lesson.parameters[name]
        if type(value) is not type(default) and not (type(default) is float and type(value) is int):
            raise CourseError(f"profiles.yml, {profile}: {name} is {value!r}, but the lesson's is {default!r}")
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
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            if math.isfinite(value := kind(text)):
                return value
    else:
        with contextlib.suppress(ValueError, SyntaxError):
            if isinstance(value := ast.literal_eval(text), kind):
                return value
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
    raise CourseError(f"-p {pair}: the value must be {wanted}, as in the lesson's {default!r}")
