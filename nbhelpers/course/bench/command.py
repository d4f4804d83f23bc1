"""`nbhelpers bench`: measure this package beside other ways to do the same, on the machine at hand."""

from __future__ import annotations

import importlib
import os
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nbhelpers.course import paths
from nbhelpers.course.command.options import Encoder, Label, Labels, Text, corpus_options
from nbhelpers.course.command.screen import make_screen
from nbhelpers.course.errors import CourseError, on_interrupt

if TYPE_CHECKING:
    from .comparing import Comparison
    from .sample import Sample

screen = make_screen()
QUICK_TEXTS, NUM_TEXTS = 96, 800  # 3 and 25 batches


class Subject(StrEnum):
    """What `nbhelpers bench` can measure."""

    train = "train"
    serve = "serve"
    predict = "predict"
    data = "data"


def bench(
    subject: Annotated[Subject | None, typer.Argument(help="What to measure; default: all.")] = None,
    corpus: Annotated[
        str | None, typer.Argument(help="Your texts with labels; default: MELD in $NBHELPERS_DATA, or the reviews.")
    ] = None,
    text: Text = None,
    label: Label = None,
    labels: Labels = None,
    encoder: Encoder = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer texts and rounds: about three minutes for all.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Add the rows to data/results/speed.jsonl.")] = False,
    output: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("runs"),
) -> None:
    """Measure how much faster this package is here than other ways, and how close to what the machine can do."""
    options = corpus_options(dict(locals()))
    if record and quick:
        raise CourseError("--record measures all texts and rounds; leave out --quick")
    if record:
        paths.require_checkout("--record")
    paths.require(corpus, encoder)
    # The profiler of torch reads this when torch is imported, and else prints its start and end
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    from .sample import draw_sample

    measured = []
    stopping = on_interrupt(lambda: "stopped; nothing is recorded")
    with stopping, tempfile.TemporaryDirectory() as place, screen.status("reading the texts ...") as status:
        sample = draw_sample(corpus, QUICK_TEXTS if quick else NUM_TEXTS, encoder or "embedded", **options)
        for name in [subject] if subject else list(Subject):
            measure = importlib.import_module(f"{__package__}.{name}").measure
            measured.append(measure(sample, Path(place), quick, lambda step, of=name: status.update(f"{of}: {step}")))
    show(measured, output)
    if quick:
        say(
            f"These numbers are rough: {QUICK_TEXTS} texts and few rounds. Without --quick there are {NUM_TEXTS} texts."
        )
    if record:
        add_rows(measured, sample)


def show(measured: list[Comparison], output: Path) -> None:
    """Print what was found in sentences, then the tables, and write the pictures."""
    from .reporting import draw, footnotes, readable, sentences

    for comparison in measured:
        say(*sentences(comparison), "")
    for comparison in measured:
        screen.print(readable(comparison))
        picture = output / f"bench_{comparison.subject}.png"
        draw(comparison, picture)
        say(*footnotes(comparison), f"Picture: {picture}", "")


def say(*lines: str) -> None:
    """Print lines of text."""
    for line in lines:
        screen.print(line, soft_wrap=True, highlight=False)


def add_rows(measured: list[Comparison], sample: Sample) -> None:
    """Add what was found to data/results/speed.jsonl."""
    from .reporting import record

    for comparison in measured:
        record(comparison, corpus=sample.corpus, encoder=sample.encoder, texts=len(sample.texts))
