"""The lessons: which there are, their parameters, and the profiles that set these."""

from __future__ import annotations

import ast
import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError
from nbhelpers.course.paths import NOTEBOOKS, ROOT

__all__ = [
    "NOTEBOOKS",
    "ROOT",
    "CourseError",
    "Lesson",
    "all_lessons",
    "core_lessons",
    "overrides",
    "profile_parameters",
    "profiles",
    "read_lesson",
    "select",
]

Sections = dict[str, dict[str, Any]]  # lesson number, or "all" -> parameter -> value


@dataclass(frozen=True)
class Lesson:
    """A notebook: its number ("03"), path, title, and the names and default values of its parameters cell."""

    number: str
    path: Path
    title: str
    parameters: Mapping[str, Any]


def all_lessons(folder: Path | None = None) -> list[Lesson]:
    """All lessons in order.

    Args:
        folder: where they are; default: those of the course.

    Raises:
        CourseError: the folder has no lessons.
    """
    folder = folder or paths.NOTEBOOKS
    files = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not files:
        raise CourseError(f'there are no lessons in {folder}; in a checkout, run pip install -e ".[course]"')
    return [read_lesson(path) for path in files]


def core_lessons(folder: Path | None = None) -> list[Lesson]:
    """The lessons that build on each other, 01 to 07. The others are electives.

    Args:
        folder: as in `all_lessons`.
    """
    return [lesson for lesson in all_lessons(folder) if lesson.number <= "07"]


def read_lesson(path: Path) -> Lesson:
    """Read one lesson.

    Raises:
        CourseError: not exactly one cell is tagged "parameters", or that cell holds more than literals.
    """
    return parse_lesson(path, path.stat().st_mtime_ns)


@functools.cache
def parse_lesson(path: Path, modified: int) -> Lesson:
    """Read one lesson, once for each time at which the file was modified.

    Reading a notebook is slow, and a command asks for each lesson many times.
    """
    import nbformat  # takes longer to import than everything else that `nbhelpers serve` needs of this file

    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise CourseError(f"{path.name}: {len(tagged)} cells are tagged 'parameters'; tag exactly one")
    try:
        statements = ast.parse(tagged[0].source).body
        parameters = {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in statements}
    except (AttributeError, SyntaxError, ValueError) as error:
        raise CourseError(f"{path.name}: the parameters cell must hold only lines name = literal") from error
    lines = [line for cell in cells for line in cell.source.splitlines()]
    title = next((line[2:] for line in lines if line.startswith("# ")), path.stem)
    # Callers share the cached lesson, so none of them may change it.
    return Lesson(path.name[:2], path, title, MappingProxyType(parameters))


def select(wanted: Sequence[str], lessons: Sequence[Lesson]) -> list[Lesson]:
    """The lessons asked for by number ("3" or "03") or name, in the order of the course; all if none is asked for.

    Raises:
        CourseError: there is no such lesson.
    """
    by_name = {name: lesson for lesson in lessons for name in (lesson.number, lesson.path.stem, lesson.path.name)}
    for name in wanted:
        if name.zfill(2) not in by_name:
            known = ", ".join(lesson.path.stem for lesson in lessons)
            raise CourseError(f"there is no lesson {name!r}; there are {known}")
    numbers = {by_name[name.zfill(2)].number for name in wanted}
    return [lesson for lesson in lessons if not wanted or lesson.number in numbers]


def profiles(folder: Path | None = None) -> dict[str, Sections]:
    """The content of profiles.yml: profile -> lesson number, or "all" -> parameter -> value.

    Args:
        folder: where the file and the lessons are; default: those of the course.

    Raises:
        CourseError: it sets a parameter that the lesson (or with "all", every lesson) lacks, or names an unknown one.
    """
    folder = folder or paths.NOTEBOOKS
    content = yaml.safe_load((folder / "profiles.yml").read_text(encoding="utf-8"))
    lessons = {lesson.number: lesson for lesson in all_lessons(folder)}
    for profile, sections in content.items():
        for section, values in (sections or {}).items():
            if section != "all" and section not in lessons:
                raise CourseError(f'profiles.yml, {profile}: {section!r} is neither "all" nor a lesson such as "03"')
            owners = lessons.values() if section == "all" else [lessons[section]]
            for name in values or {}:
                if not any(name in lesson.parameters for lesson in owners):
                    raise CourseError(f"profiles.yml, {profile}: no parameter {name!r} in {section}")
    return {profile: sections or {} for profile, sections in content.items()}


def profile_parameters(profile: str, lesson: Lesson, folder: Path | None = None) -> dict[str, Any]:
    """What a profile sets in a lesson: its values for "all" lessons that have the parameter, then the lesson's own.

    Args:
        profile: its name.
        lesson: the lesson.
        folder: as in `profiles`.

    Raises:
        CourseError: there is no such profile, or a value has another type than the parameter's default.
    """
    known = profiles(folder)
    if profile not in known:
        raise CourseError(f"there is no profile {profile!r}; there are {', '.join(known)}")
    values = {name: value for name, value in (known[profile].get("all") or {}).items() if name in lesson.parameters}
    values |= known[profile].get(lesson.number) or {}
    for name, value in values.items():
        default = lesson.parameters[name]
        whole_number = type(default) is float and type(value) is int  # YAML reads "1" as an integer
        if type(value) is not type(default) and not whole_number:
            raise CourseError(f"profiles.yml, {profile}: {name} is {value!r}, but the lesson's is {default!r}")
    return values


def overrides(pairs: Sequence[str], lessons: Sequence[Lesson]) -> dict[str, dict[str, Any]]:
    """What the options `-p NAME=VALUE` set in each lesson.

    Args:
        pairs: for instance ["num_epochs=2"]. Values get the type of the parameter's default.
        lessons: a parameter is set in those that have it.

    Returns:
        Lesson number -> parameter -> value.

    Raises:
        CourseError: a pair has no "=", none of the lessons has the parameter, or the value has another type.
    """
    values: dict[str, dict[str, Any]] = {lesson.number: {} for lesson in lessons}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise CourseError(f"-p {pair}: write name=value, for instance -p seed=1")
        owners = [lesson for lesson in lessons if name in lesson.parameters]
        if not owners:
            names = ", ".join(dict.fromkeys(name for lesson in lessons for name in lesson.parameters))
            raise CourseError(f"-p {pair}: no chosen lesson has a parameter {name!r}; there are {names}")
        for lesson in owners:
            values[lesson.number][name] = convert(text, lesson.parameters[name], pair)
    return values


def convert(text: str, default: Any, pair: str) -> Any:
    """A text as a value of the same type as a default.

    Args:
        text: what the user wrote after "=".
        default: the parameter's default value.
        pair: all that the user wrote, for the error message.

    Raises:
        CourseError: the text is no such value.
    """
    kind = type(default)
    if kind is str:
        return text
    if kind is bool:
        values = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() in values:
            return values[text.lower()]
    elif kind in (int, float):
        with contextlib.suppress(ValueError):
            # Python also reads "nan" and "inf" as numbers.
            if math.isfinite(value := kind(text)):
                return value
    else:
        with contextlib.suppress(ValueError, SyntaxError):
            if isinstance(value := ast.literal_eval(text), kind):
                return value
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
    raise CourseError(f"-p {pair}: the value must be {wanted}, as in the lesson's {default!r}")
