"""The subcommands for data of one's own: `nbhelpers train`, `evaluate` and `predict`."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from nbhelpers.classifier.processes import is_first, leave
from nbhelpers.classifier.settings import Settings  # without torch
from nbhelpers.course import paths
from nbhelpers.course.command.options import (
    AdversarialOption,
    AugmentOption,
    ClassWeights,
    Columns,
    Corpus,
    Delimiter,
    Dialogue,
    Encoder,
    Encoding,
    Faults,
    Label,
    LabelFile,
    Labels,
    LabelSeparator,
    LogitAdjustment,
    Method,
    NoQuotes,
    Query,
    Search,
    Speaker,
    TableName,
    TaskName,
    Teacher,
    Text,
    Turn,
    corpus_options,
)
from nbhelpers.course.command.processes import train_in_processes
from nbhelpers.course.command.progress import TrainingProgress, fetch
from nbhelpers.course.command.screen import make_screen
from nbhelpers.course.errors import CourseError, on_interrupt

screen = make_screen()


def train(
    corpus: Corpus,
    task: TaskName = None,
    text: Text = None,
    label: Label = None,
    labels: Labels = None,
    label_file: LabelFile = None,
    label_separator: LabelSeparator = None,
    dialogue: Dialogue = None,
    turn: Turn = None,
    speaker: Speaker = None,
    dev: Annotated[str | None, typer.Option(help="A file with the dev split.")] = None,
    test: Annotated[str | None, typer.Option(help="A file with the test split.")] = None,
    dev_share: Annotated[float | None, typer.Option(help="Share of the rows for a missing dev split.")] = None,
    test_share: Annotated[float | None, typer.Option(help="Share of the rows for a missing test split.")] = None,
    group: Annotated[str | None, typer.Option(help="Rows with the same cell in this column stay together.")] = None,
    columns: Columns = None,
    delimiter: Delimiter = None,
    no_quotes: NoQuotes = False,
    encoding: Encoding = None,
    query: Query = None,
    table: TableName = None,
    on_fault: Faults = None,
    encoder: Encoder = None,
    method: Annotated[Method | None, typer.Option(help="What is trained.")] = None,
    past_only: Annotated[bool, typer.Option("--past-only", help="Hide from a turn what comes after it.")] = False,
    no_context: Annotated[bool, typer.Option("--no-context", help="Classify each turn of a dialogue alone.")] = False,
    r_drop: Annotated[float | None, typer.Option(help="The weight of R-Drop's second term, such as 1.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="From 0 to below 1, such as 0.1.")] = None,
    class_weights: ClassWeights = None,
    logit_adjustment: LogitAdjustment = None,
    adversarial: AdversarialOption = None,
    augment: AugmentOption = None,
    teacher: Teacher = None,
    search: Search = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate of the encoder.")] = None,
    head_lr: Annotated[float | None, typer.Option(help="The learning rate of the head.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts for each update.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Cut longer texts to so many tokens.")] = None,
    gradient_accumulation_steps: Annotated[int | None, typer.Option(help="Batches for each update.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better score.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is random.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train together, such as one per GPU.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The new folder; default: runs/NAME.")] = None,
) -> None:
    """Train a classifier on texts of your own, and show how good it is."""
    options = training_options(dict(locals()))
    paths.require(corpus, dev, test, label_file, encoder, teacher)
    folder = output or Path("runs", paths.name_of(corpus) or "classifier")
    checkpoints = folder.with_name(f"{folder.name}.checkpoints")
    if is_first():
        require_new_run(folder, checkpoints, resume)
        fetch(screen, None if query or table else corpus, dev, test, label_file)
    if processes > 1:
        train_in_processes(processes, checkpoints)
        return
    files = {split: file for split, file in {"train": corpus, "dev": dev, "test": test}.items() if file}
    source: Any = files if len(files) > 1 else corpus
    run_training(source, folder, checkpoints, resume, options)


def require_new_run(folder: Path, checkpoints: Path, resume: bool) -> None:
    """Raise CourseError if a folder exists, or the run that would write it was stopped and is not to be resumed."""
    paths.require_new(folder)
    if checkpoints.is_dir() and not resume:
        raise CourseError(f"{checkpoints} is a run that was stopped; go on with --resume, or remove it")


def run_training(source: Any, folder: Path, checkpoints: Path, resume: bool, options: dict[str, Any]) -> None:
    """Train with a progress bar, and show how good the classifier is."""
    from nbhelpers import classifier
    from nbhelpers.course.command.own_data import print_next_commands, print_saved_report

    kept = "stopped; the same command with --resume goes on"
    with on_interrupt(lambda: kept if checkpoints.is_dir() else "stopped"), TrainingProgress(screen) as progress:
        classifier.train(source, folder, resume=resume, progress=progress, log=show, **options)
    if is_first():
        print_saved_report(folder, screen)
        print_next_commands(folder, screen)
    leave()


def evaluate(
    folder: Annotated[Path, typer.Argument(help="A classifier's folder, or an export of it.")],
    corpus: Corpus,
    text: Text = None,
    label: Label = None,
    labels: Labels = None,
    label_file: LabelFile = None,
    dialogue: Dialogue = None,
    turn: Turn = None,
    speaker: Speaker = None,
    columns: Columns = None,
    delimiter: Delimiter = None,
    no_quotes: NoQuotes = False,
    encoding: Encoding = None,
    query: Query = None,
    table: TableName = None,
    on_fault: Faults = None,
) -> None:
    """Score a classifier on rows with labels that it has not seen."""
    options = corpus_options(dict(locals()))
    paths.require(folder, corpus, label_file)
    fetch(screen, None if query or table else corpus, label_file)
    from nbhelpers import classifier
    from nbhelpers.course.command.own_data import print_report

    with screen.status("classifying ..."):
        report = classifier.evaluate(folder, corpus, log=show, **options)
    print_report(report, screen)


def predict(
    folder: Annotated[Path, typer.Argument(help="A classifier's folder, or an export of it.")],
    source: Annotated[str, typer.Argument(help="A file, or an address, as for `train`; it needs no labels.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="The new file: .csv, .tsv, .jsonl or .parquet; or its address.")
    ],
    text: Text = None,
    dialogue: Dialogue = None,
    speaker: Speaker = None,
    all_probabilities: Annotated[
        bool, typer.Option("--all-probabilities", help="Also write the probability of each class.")
    ] = False,
    columns: Columns = None,
    delimiter: Delimiter = None,
    no_quotes: NoQuotes = False,
    encoding: Encoding = None,
    query: Query = None,
    table: TableName = None,
) -> None:
    """Classify the texts of a file, and write them with their labels. A run that was stopped goes on."""
    options = corpus_options(dict(locals()))
    paths.require(folder, source if paths.is_address(source) else Path(source))
    fetch(screen, None if query or table else source)
    from nbhelpers import classifier, corpora

    shown = (TextColumn("{task.completed:,} rows"), TimeElapsedColumn())
    going_on = on_interrupt(lambda: "stopped; the same command goes on")
    with going_on, Progress(*shown, console=screen, transient=True) as bar:
        task = bar.add_task("", total=None)
        classifier.predict(
            folder,
            source,
            output,
            all_probabilities=all_probabilities,
            progress=lambda rows: bar.update(task, completed=rows),
            log=show,
            **options,
        )
    screen.print(f"Written: {corpora.without_secrets(output)}", soft_wrap=True)


def training_options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of `classifier.train` that were given on the command line. As `corpus_options`."""
    names = {field.name for field in fields(Settings)} | {"dev_share", "test_share", "group"}
    options = corpus_options(given) | {name: x for name, x in given.items() if name in names and x not in (None, False)}
    if given["epochs"] is not None:
        options["num_epochs"] = given["epochs"]
    if given["task"] is not None:
        options["task"] = str(given["task"])
    if given["no_context"]:
        options["context"] = "none"
    return options


def show(sentence: str) -> None:
    """Print a sentence of the library with options in place of arguments."""
    screen.print(as_options(sentence), soft_wrap=True, highlight=False)


def as_options(sentence: str) -> str:
    """A sentence of the library for the command line: "pass text=" becomes "pass --text".

    >>> as_options("read with text='Review', label='stars'; pass dev_share=0.1")
    "read with --text 'Review', --label 'stars'; pass --dev-share 0.1"
    """
    names = "|".join(inspect.signature(train).parameters)
    switches = re.sub(rf"\b({names})=True", r"--\1", sentence.replace("quotes=False", "--no-quotes"))
    with_value = re.sub(rf"\b({names})=(?=[^\s.,;])", r"--\1 ", switches)
    options = re.sub(rf"\b({names})=(\.\.\.)?", r"--\1", with_value)
    return re.sub(r"--\w+", lambda option: option[0].replace("_", "-"), options)
