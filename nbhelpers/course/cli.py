"""The command `nbhelpers`: run the lessons, list them, look at the machine, measure, export a model, serve it.

This file has the subcommands with their options. What they print is in the folder command/. Each imports what it needs
when it is called: `nbhelpers list` should not wait for torch.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from nbhelpers.course import lessons as course
from nbhelpers.course import own_data, paths
from nbhelpers.course.bench.command import bench
from nbhelpers.course.command.exports import beside, exported, exported_small_model, require_addresses
from nbhelpers.course.command.screen import make_screen, replace_what_cannot_be_shown
from nbhelpers.course.errors import CourseError, Interrupted, on_interrupt
from nbhelpers.course.finding.command import search
from nbhelpers.course.monitor.command import monitor

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help texts may contain brackets
    help="The notebook course on fine-tuning encoders.",
)
screen = make_screen()
ProfileOption = Annotated[str, typer.Option(help="A set of parameters from notebooks/profiles.yml.")]


app.command()(own_data.train)
app.command()(own_data.evaluate)
app.command()(own_data.predict)
app.command()(monitor)
app.command()(search)
app.command()(bench)


class Format(StrEnum):
    """What `nbhelpers export` can write."""

    onnx = "onnx"


class Quantize(StrEnum):
    """How `nbhelpers export` can round the weights."""

    int8 = "int8"


@app.command()
def run(
    lessons: Annotated[list[str] | None, typer.Argument(help="Numbers, such as 01 03; by default 01 to 07.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All lessons, also the electives from 08 on.")] = False,
    profile: ProfileOption = "default",
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter.")] = None,
    output: Annotated[Path, typer.Option(help="Executed copies go to a new folder in here.")] = Path("runs"),
    record: Annotated[bool, typer.Option(help="Add the minutes and memory to data/results/course.jsonl.")] = False,
) -> None:
    """Run lessons from the first cell to the last, and show how each went."""
    if record and parameter:
        raise CourseError("--record measures a profile as it is; leave out -p")
    if everything and lessons:
        raise CourseError("--all runs every lesson; leave out the numbers")
    chosen = course.select(lessons or [], course.all_lessons() if everything or lessons else course.core_lessons())
    overrides = course.overrides(parameter or [], chosen)
    paths.require(*(values.get(name) for values in overrides.values() for name in paths.PARAMETERS))
    parameters = {
        lesson.number: course.profile_parameters(profile, lesson) | overrides[lesson.number] for lesson in chosen
    }
    # only now, so that a wrong request is answered at once
    from nbhelpers.course.command.run import rest_command, run_lessons
    from nbhelpers.course.command.tables import print_lesson_results

    done = run_lessons(chosen, parameters, profile, output, screen, record=record)
    if done:
        print_lesson_results(done, screen)
    if rest := chosen[len(done) :]:
        command = rest_command(rest, profile, parameter or [], output)
        raise Interrupted(f"stopped after {len(done)} of {len(chosen)} lessons; run the rest with: {command}")
    if any(result.failure for result in done):
        raise typer.Exit(1)


@app.command("list")
def list_lessons() -> None:
    """List the lessons and what can be set in each."""
    from nbhelpers.course.command.tables import print_lessons

    print_lessons(course.all_lessons(), list(course.profiles()), screen)


@app.command()
def doctor() -> None:
    """Show what this machine has, what each profile would use, what is missing, and how to get it."""
    from nbhelpers.course import machine
    from nbhelpers.course.command.tables import print_machine

    print_machine(machine.facts(), machine.profile_rows(), machine.missing(), screen)


@app.command("results")
def show_results(
    table: Annotated[str, typer.Argument(help="A table's name; the files are in nbhelpers/course/tables.")],
    seeds: Annotated[int, typer.Option(help="Runs per row, with the seeds 0, 1, and so on.")] = 5,
    only: Annotated[str | None, typer.Option(help="Only this row.")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Add rows with this encoder first, a folder or a Hub name (table encoders).")
    ] = None,
    show: Annotated[bool, typer.Option(help="Show what has been measured, and run nothing.")] = False,
    tests: Annotated[bool, typer.Option(help="Compare the rows again, from the stored predictions.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time; each has its share of the threads.")] = 1,
) -> None:
    """Measure a table, row by row and seed by seed. Runs that are stored already are not repeated."""
    from nbhelpers.course import results
    from nbhelpers.course.command.tables import print_summary

    if encoder and not show:
        results.add_encoder(table, encoder)
    if not show and not tests:
        with on_interrupt(lambda: "stopped; the same command goes on"):
            results.measure(table, seeds, only, screen.print, jobs)
    if tests:
        results.write_tests(table)
    print_summary(results.summary(table), screen)


@app.command("export")
def export_model(
    model: Annotated[Path, typer.Argument(help="A folder with a fine-tuned model, or with an adapter and its head.")],
    to: Annotated[Format, typer.Option(help="The format.")] = Format.onnx,
    quantize: Annotated[Quantize | None, typer.Option(help="Round the weights to 8 bits.")] = None,
    output: Annotated[Path | None, typer.Option(help="The new folder; default: MODEL_onnx.")] = None,
    dev: Annotated[
        str | None,
        typer.Option(help="A corpus with a dev split, or one file, to compare on; default: the model's own."),
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="What an adapter was trained on, if not as noted.")] = None,
    force: Annotated[bool, typer.Option(help="Keep what agrees with the original on too few labels.")] = False,
) -> None:
    """Export a model for production, and show on the dev split what each step costs and gains."""
    paths.require(model, dev, encoder)
    paths.require_new(output := output or beside(model, str(to)))
    from nbhelpers.course import deploy
    from nbhelpers.course.command.tables import print_export

    with screen.status("exporting and comparing ..."):
        table = deploy.export_folder(model, output, int8=quantize is not None, corpus=dev, encoder=encoder, force=force)
    print_export(table, screen)
    screen.print(f"Written: {output}", soft_wrap=True)


@app.command()
def serve(
    model: Annotated[
        list[Path] | None, typer.Argument(help="Folders of models; several are served under /NAME each.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="First export the model to ONNX, which answers sooner.")] = False,
    quantize: Annotated[Quantize | None, typer.Option(help="First export it, with weights of 8 bits.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes; each has its share of the cores.")] = 1,
    limit: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, such as max_texts=128; once for each.")] = None,
) -> None:
    """Serve a model with a page, an API and its documentation, until Ctrl+C. NBHELPERS_API_KEY sets a key.

    Without a model, the course's small one is served. With several workers, the signal SIGHUP brings changed files into
    service without a gap.
    """
    paths.require(*(model or []))
    from nbhelpers import serving
    from nbhelpers.classifier import served

    limits = served.parse_limits(limit or [])
    serving.require_free(host, port)
    folders = model or [exported_small_model()]
    names = [Path(os.path.abspath(folder)).name for folder in folders]  # of a link, its own
    if len(set(names)) < len(names):
        raise CourseError(f"two of the models have the same name, among {', '.join(names)}; rename a folder")
    if len(names) > 1 and workers > 1:
        raise CourseError("several models have one worker; leave out --workers, or start a service for each model")
    if len(names) > 1:
        require_addresses(names)
    if model and (onnx or quantize):
        folders = [exported(folder, quantize is not None) for folder in folders]
    threads = max(1, served.num_cores() // workers)
    load: Any = partial(served.load_alone, folders[0], threads)
    if len(folders) > 1:
        load = partial(served.load_several, dict(zip(names, folders, strict=True)), threads)
    serving.serve(load, host=host, port=port, limits=limits, workers=workers)


def main() -> None:
    """The command's entry point. A wrong request ends with one sentence and exit code 2, Ctrl+C with 130."""
    # SIGTERM, as systems send it at shutdown, then ends kernels and runs as Ctrl+C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    replace_what_cannot_be_shown()
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:  # what typer makes of a KeyboardInterrupt
            make_screen(stderr=True).print("stopped")
        raise
    except Interrupted as interrupted:
        make_screen(stderr=True).print(str(interrupted), highlight=False, soft_wrap=True)
        raise SystemExit(130) from None
    except ValueError as error:
        # Our own errors tell the user what to do. Any other one is a fault whose traceback is needed.
        if not type(error).__module__.startswith("nbhelpers."):
            raise
        make_screen(stderr=True).print(f"nbhelpers: {own_data.as_options(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
