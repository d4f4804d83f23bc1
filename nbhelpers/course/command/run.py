"""`nbhelpers run`: execute lessons one after another, with progress bars, a summary file, and perhaps a record."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from nbhelpers.course import paths, results, runner
from nbhelpers.course.errors import CourseError
from nbhelpers.course.lessons import Lesson

Parameters = Mapping[str, Mapping[str, Any]]  # lesson number -> parameter -> value


def run_lessons(
    lessons: Sequence[Lesson], parameters: Parameters, profile: str, output: Path, screen: Console, *, record: bool
) -> list[runner.Result]:
    """Run lessons, and write their executed copies and summary.json into a new folder.

    Args:
        lessons: to run, in this order. A lesson that fails does not keep the next ones from running.
        parameters: what to set in each lesson.
        profile: its name, for the folder and the summary.
        output: the folder in which the new folder is made.
        screen: where to show the progress.
        record: also add minutes and memory of each lesson that passed to data/results/course.jsonl.

    Returns:
        How each lesson went. After Ctrl+C, only those that had ended.

    Raises:
        CourseError: the folder cannot be made, or there is no checkout to record in.
    """
    if record:
        paths.require_checkout("--record")
    folder = new_folder(output, f"{time.strftime('%Y%m%d-%H%M%S')}-{profile}")
    # The lessons run in `folder`, but paths mean what they mean where the user stands. What lessons keep for later
    # runs, such as the small model, belongs outside of it.
    os.environ["NBHELPERS_RUNS"] = str(paths.RUNS.resolve())
    paths.fix_environment()
    parameters = {number: {name: resolved(name, x) for name, x in each.items()} for number, each in parameters.items()}
    done: list[runner.Result] = []
    expected = recorded_minutes(lessons, profile)
    with LessonProgress(screen, len(lessons), expected) as progress, contextlib.suppress(KeyboardInterrupt):
        for lesson in lessons:
            progress.start(lesson.path.stem)
            result = runner.run_lesson(lesson, parameters[lesson.number], folder, progress.on_cell)
            progress.finish(result)
            done.append(result)
            # After each lesson, so that an interrupted run leaves the summary of those that were done.
            write_summary(folder, profile, parameters, done)
            if record and not result.failure:
                record_lesson(result, profile)
    screen.print(f"Executed copies and summary.json: {folder}", soft_wrap=True)
    return done


def rest_command(rest: Sequence[Lesson], profile: str, pairs: Sequence[str], output: Path) -> str:
    """The command that runs the lessons that are left, with the options that the user gave.

    Args:
        rest: the lessons.
        profile: its name.
        pairs: of the options `-p`. One that none of these lessons has would be refused.
        output: as in `run_lessons`.
    """
    command = ["nbhelpers", "run", *(lesson.number for lesson in rest)]
    command += ["--profile", profile] if profile != "default" else []
    kept = [pair for pair in pairs if any(pair.partition("=")[0] in lesson.parameters for lesson in rest)]
    command += [word for pair in kept for word in ("-p", pair)]
    return shlex.join([*command, *(["--output", str(output)] if output != Path("runs") else [])])


def recorded_minutes(lessons: Sequence[Lesson], profile: str) -> list[float]:
    """The minutes that each lesson took when it was last recorded with a profile; [] unless all were."""
    last = {row["lesson"]: row["minutes"] for row in results.read("course") if row["profile"] == profile}
    return [last[lesson.path.stem] for lesson in lessons] if {x.path.stem for x in lessons} <= set(last) else []


def resolved(name: str, value: Any) -> Any:
    """The value of a parameter for a lesson that runs in another folder than the one where the user stands."""
    return paths.from_here(value) if name in paths.PARAMETERS else value


class LessonProgress:
    """Progress bars: one for each lesson, and one for the whole course. Use it in a `with` statement.

    Args:
        screen: where to show them. Without a terminal, each lesson gets a line when it is done.
        num_lessons: how many will run.
        expected: about how many minutes each takes, on any machine; [] if that is not known.
    """

    def __init__(self, screen: Console, num_lessons: int, expected: Sequence[float] = ()) -> None:
        columns = (
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[note]:<14}", markup=False),
            TimeElapsedColumn(),
        )
        self.screen, self.num_lessons, self.num_done, self.expected = screen, num_lessons, 0, expected
        self.minutes, self.started = 0.0, time.monotonic()  # of the lessons that are done; when this one began
        self.bars = Progress(*columns, console=screen)
        self.course = self.bars.add_task("course", total=num_lessons, note=f"0 of {num_lessons}")
        self.lesson: TaskID = self.course

    def __enter__(self) -> LessonProgress:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def start(self, name: str) -> None:
        """Show a bar for a lesson."""
        self.started = time.monotonic()
        self.lesson = self.bars.add_task(name, note="starting")

    def on_cell(self, index: int, total: int) -> None:
        """Show that a lesson has come to its cell `index` of `total`, counted from 0."""
        self.bars.update(self.lesson, completed=index, total=total, note=f"cell {index + 1} of {total}")
        self.bars.update(self.course, completed=self.num_done + index / total, note=self.course_note())

    def finish(self, result: runner.Result) -> None:
        """Show that a lesson has ended, and how."""
        outcome = "failed" if result.failure else "passed"
        self.num_done, self.minutes, self.started = self.num_done + 1, self.minutes + result.minutes, time.monotonic()
        self.bars.update(self.lesson, total=1, completed=1, note=outcome)
        self.bars.update(self.course, completed=self.num_done, note=self.course_note())
        if not self.screen.is_terminal:
            self.screen.print(f"{result.lesson}: {outcome}, {result.minutes:.1f} min")

    def course_note(self) -> str:
        """How many lessons are done, and, after the first one, about how many minutes are left at this pace."""
        note = f"{self.num_done} of {self.num_lessons}"
        if not self.expected or not 0 < self.num_done < self.num_lessons:
            return note
        # The first lesson is short, and also waits for the disk: a minute at the recorded pace keeps it from deciding.
        pace = (1 + self.minutes) / (1 + sum(self.expected[: self.num_done]))
        left = pace * sum(self.expected[self.num_done :]) - (time.monotonic() - self.started) / 60
        return f"{note}, about {max(left, 1):.0f} min left"


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder that did not exist, with a number after its name if need be.

    Raises:
        CourseError: it cannot be made.
    """
    for number in itertools.count(1):
        folder = (parent / (name if number == 1 else f"{name}-{number}")).resolve()
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError as error:
            # Either this folder exists, and the next number will do, or `parent` is a file, and none will.
            if not parent.is_dir():
                raise CourseError(f"--output {parent}: it is not a folder") from error
        except OSError as error:
            raise CourseError(f"--output {parent}: it cannot hold a new folder ({error.strerror})") from error
    return folder


def write_summary(folder: Path, profile: str, parameters: Parameters, done: Sequence[runner.Result]) -> None:
    """Write summary.json: the parameters, and how each lesson went."""
    summary = {"profile": profile, "parameters": parameters, "lessons": [asdict(result) for result in done]}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def record_lesson(result: runner.Result, profile: str) -> None:
    """Add a row to data/results/course.jsonl."""
    row = {"lesson": result.lesson, "profile": profile, "minutes": round(result.minutes, 2)}
    results.append("course", {**row, "peak_gib": round(result.peak_gib, 2), "headline": result.headline})
