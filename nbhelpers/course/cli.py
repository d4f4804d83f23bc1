"""The command `nbhelpers`: run the lessons, list them, look at the machine, measure, export a model, serve it."""

from __future__ import annotations

import itertools
import json
import signal
import time
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from nbhelpers.course import lessons as course
from nbhelpers.course.lessons import CourseError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The notebook course on fine-tuning encoders.",
)
screen = Console()
ProfileOption = Annotated[str, typer.Option(help="A set of parameters from notebooks/profiles.yml.")]


@app.command()
def run(
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers, such as 01 03; all if none is given.")] = None,
    profile: ProfileOption = "default",
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter.")] = None,
    output: Annotated[Path, typer.Option(help="Executed copies go to a new folder in here.")] = Path("runs"),
    record: Annotated[bool, typer.Option(help="Add the minutes and memory to data/results/course.jsonl.")] = False,
) -> None:
    """Run lessons from first cell to last, and show how each went."""
    from nbhelpers.course import results, runner  # late: `nbhelpers list` should not wait for papermill and torch

    if record and parameter:
        raise CourseError("--record measures a profile as it is; leave out -p")
    known = course.all_lessons()
    chosen = course.select(lessons or [], known)
    given = course.overrides(parameter or [], chosen)
    parameters = {x.number: course.profile_parameters(profile, x) | given[x.number] for x in chosen}
    folder = new_folder(output, f"{time.strftime('%Y%m%d-%H%M%S')}-{profile}")
    done = []
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.fields[note]:<14}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen) as progress:
        whole = progress.add_task("course", total=len(chosen), note=f"0 of {len(chosen)}")
        for number, lesson in enumerate(chosen):
            bar = progress.add_task(lesson.path.stem, note="starting")

            def on_cell(index: int, total: int, bar: TaskID = bar, number: int = number) -> None:
                progress.update(bar, completed=index, total=total, note=f"cell {index + 1} of {total}")
                progress.update(whole, completed=number + index / total)

            result = runner.run_lesson(lesson, parameters[lesson.number], folder, on_cell)
            done.append(result)
            progress.update(bar, total=1, completed=1, note="failed" if result.failure else "passed")
            progress.update(whole, completed=number + 1, note=f"{number + 1} of {len(chosen)}")
            if not screen.is_terminal:
                screen.print(
                    f"{lesson.path.stem}: {'failed' if result.failure else 'passed'}, {result.minutes:.1f} min"
                )
            summary = {"profile": profile, "parameters": parameters, "lessons": [asdict(x) for x in done]}
            (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            if record and not result.failure:
                row = {"lesson": result.lesson, "profile": profile, "minutes": round(result.minutes, 2)}
                results.append("course", {**row, "peak_gib": round(result.peak_gib, 2), "headline": result.headline})
    show(done)
    screen.print(f"Executed copies and summary.json: {folder}", soft_wrap=True)
    if any(result.failure for result in done):
        raise typer.Exit(1)


def new_folder(parent: Path, name: str) -> Path:
    """A folder that was not there before. Raises CourseError when it cannot be made."""
    for number in itertools.count(1):
        folder = (parent / (name if number == 1 else f"{name}-{number}")).resolve()
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError as error:
            if not parent.is_dir():
                raise CourseError(f"--output {parent}: it is not a folder") from error
        except OSError as error:
            raise CourseError(f"--output {parent}: it cannot hold a new folder ({error.strerror})") from error
    return folder


def show(done: list) -> None:  # type: ignore[type-arg]
    """The table of results; before it, where each failed lesson failed."""
    table = Table("lesson", "result", "minutes", "peak memory", "headline")
    for x in done:
        if x.failure:
            screen.rule(f"[red]{x.lesson}, cell {x.failure.cell}")
            screen.print(escape(x.failure.source), highlight=False)
            screen.rule("error")
            screen.print(escape(x.failure.error), highlight=False)
        headline = ", ".join(f"{name} {value:.4g}" for name, value in x.headline.items())
        result = "[red]failed" if x.failure else "[green]passed"
        table.add_row(x.lesson, result, f"{x.minutes:.1f}", f"{x.peak_gib:.1f} GiB", headline or "-")
    table.add_section()
    table.add_row("course", "", f"{sum(x.minutes for x in done):.1f}", f"{max(x.peak_gib for x in done):.1f} GiB", "")
    screen.print(table)


@app.command("list")
def list_lessons() -> None:
    """List the lessons and what can be set in each."""
    table = Table("", "lesson", "parameters and their defaults")
    for x in course.all_lessons():
        table.add_row(x.number, x.title, ", ".join(f"{name}={value!r}" for name, value in x.parameters.items()))
    screen.print(table)
    screen.print(f"Profiles: {', '.join(course.profiles())}. Run some: nbhelpers run 01 03 --profile smoke")


@app.command()
def doctor() -> None:
    """Show what this machine has, what each profile would use, what is missing, and how to get it."""
    from nbhelpers.course import machine

    facts = Table("this machine", "")
    for name, value in machine.facts().items():
        facts.add_row(name, str(value))
    screen.print(facts)
    table = Table("profile", "data", "encoder", "device and precision", "ready?")
    for row in machine.profile_rows():
        table.add_row(*row)
    screen.print(table)
    for advice in machine.missing():
        screen.print(f"- {advice}", soft_wrap=True)


@app.command("results")
def show_results(
    table: Annotated[str, typer.Argument(help="A table's name; the files are in nbhelpers/course/tables.")],
    seeds: Annotated[int, typer.Option(help="Runs per row, with seeds 0, 1, ...")] = 5,
    only: Annotated[str | None, typer.Option(help="Only this row.")] = None,
    show: Annotated[bool, typer.Option(help="Show what has been measured, run nothing.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time; each then has its share of the threads.")] = 1,
) -> None:
    """Measure a table, row by row and seed by seed; runs that are there already are not repeated."""
    from nbhelpers.course import results

    if not show:
        results.measure(table, seeds, only, screen.print, jobs)
    rows = results.summary(table).to_dict("records")
    there = [row for row in rows if row["source"] != results.NOT_MEASURED]
    numbers = ["seeds", *results.SCORES.values(), "seconds"]
    columns = [Column(name, justify="right", no_wrap=True) for name in numbers]
    shown = Table(Column("row", min_width=18), *columns, box=box.SIMPLE)
    for row in there:
        shown.add_row(escape(row["row"]), *(str(row.get(name, "")) for name in numbers))
    screen.print(shown)
    compared = [row for row in there if row.get("against")]
    for title, lines in (
        ("Weighted F1, 95 % interval", [f"{x['row']}: {x['difference']}, against {x['against']}" for x in compared]),
        ("Published by others", [f"{x['row']}: {x['source']}" for x in there if x["source"] != results.MEASURED]),
        ("Not measured yet", [row["row"] for row in rows if row not in there]),
    ):
        if lines:
            screen.print("\n  ".join([f"{title}:", *lines]), markup=False, highlight=False)


class Format(StrEnum):
    onnx = "onnx"


class Quantize(StrEnum):
    int8 = "int8"


@app.command("export")
def export_model(
    model: Annotated[Path, typer.Argument(help="A folder with a fine-tuned model, or with an adapter and its head.")],
    to: Annotated[Format, typer.Option(help="The format.")] = Format.onnx,
    quantize: Annotated[Quantize | None, typer.Option(help="Round the weights to 8 bits.")] = None,
    output: Annotated[Path | None, typer.Option(help="The new folder; default: MODEL_onnx.")] = None,
    dev: Annotated[str | None, typer.Option(help="A corpus to compare on; default: the model's own.")] = None,
    encoder: Annotated[str | None, typer.Option(help="What an adapter was trained on, if not as noted.")] = None,
    force: Annotated[bool, typer.Option(help="Keep what agrees with the original on too few labels.")] = False,
) -> None:
    """Export a model for production, and show what each step costs and buys on the dev split."""
    from nbhelpers.course import deploy

    output = output or model.with_name(f"{model.resolve().name}_{to}")
    with screen.status("exporting and comparing ..."):
        table = deploy.export_folder(model, output, int8=quantize is not None, corpus=dev, encoder=encoder, force=force)
    table = table.rename(columns={"score": "weighted F1"})
    shown = Table("step", *table.columns)
    forms = ("{:.1f}", "{:.2f}", "{:.0f}", "{:.1%}", "{:.2g}", "{:.4f}")
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        shown.add_row(name, *(form.format(value) for form, value in zip(forms, row, strict=True)))
    screen.print(shown)
    screen.print(f"Written: {output}", soft_wrap=True)


@app.command()
def serve(
    model: Annotated[Path | None, typer.Argument(help="A model's folder; default: the course's small model.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each has its share of the cores.")] = 1,
) -> None:
    """Serve a model: page, API and documentation, until Ctrl+C. NBHELPERS_API_KEY sets a key."""
    import torch

    from nbhelpers import serving
    from nbhelpers.course import deploy

    if model is None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=screen, transient=True) as progress:
            task = progress.add_task("training a small model, once", total=1)
            small = deploy.small_model(lambda share: progress.update(task, completed=share))
        model = small.with_name(f"{small.name}_onnx")
        if not model.is_dir():
            deploy.export_folder(small, model)
    threads = max(1, torch.get_num_threads() // workers)
    serving.serve(partial(deploy.load, model, threads), host=host, port=port, workers=workers)


def main() -> None:
    """The command's entry: wrong requests end with one sentence and exit code 2, Ctrl-C with 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:  # typer's answer to KeyboardInterrupt
            Console(stderr=True).print("stopped; no process was left behind")
        raise
    except ValueError as error:
        if not type(error).__module__.startswith("nbhelpers."):  # those of ours tell the user what to do
            raise
        Console(stderr=True).print(f"nbhelpers: {error}", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
