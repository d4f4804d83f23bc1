"""Options that several subcommands for data of one's own have, and the values they can take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Method(StrEnum):
    """What `nbhelpers train` can train."""

    full = "full"
    lora = "lora"
    frozen = "frozen"
    ia3 = "ia3"


class TaskOption(StrEnum):
    """What a label belongs to: a text, or each word of it."""

    classes = "classes"
    tags = "tags"


class Adversarial(StrEnum):
    """Ways to train on changed word vectors."""

    fgm = "fgm"
    freelb = "freelb"


class Augment(StrEnum):
    """What can be done to the copies of the training texts."""

    typos = "typos"


class OnFault(StrEnum):
    """What is done with a faulty row."""

    stop = "raise"
    drop = "drop"


TaskName = Annotated[
    TaskOption | None,
    typer.Option(help="tags: each word has a label, as in a CoNLL file. Default: as the corpus looks."),
]
Encoder = Annotated[
    str | None, typer.Option(help="embedded, embedded-base, embedded-multilingual, a Hub name, or a folder.")
]
Corpus = Annotated[
    str,
    typer.Argument(
        help="A file, a folder, or a data set of the Hugging Face Hub; or an address: of a file, such as "
        "s3://bucket/part.parquet, or of a database, such as sqlite:///shop.db."
    ),
]
Text = Annotated[list[str] | None, typer.Option(help="The column with the texts; twice for pairs of texts.")]
Label = Annotated[
    list[str] | None, typer.Option(help="The column with the labels; several with 0 and 1 for a class each.")
]
Labels = Annotated[str | None, typer.Option(help="Names of the classes: a file with one per line, or a,b,c.")]
LabelFile = Annotated[str | None, typer.Option(help="A file whose line i is the label of line i of the texts.")]
LabelSeparator = Annotated[str | None, typer.Option(help="What separates several labels in a cell.")]
Dialogue = Annotated[str | None, typer.Option(help="The column that names the dialogue of a turn.")]
Turn = Annotated[str | None, typer.Option(help="The column with the position of a turn in its dialogue.")]
Speaker = Annotated[str | None, typer.Option(help="The column with the speaker of a turn.")]
Columns = Annotated[str | None, typer.Option(help="Names of the columns, as a,b,c, for a file without a header.")]
Delimiter = Annotated[str | None, typer.Option(help="What separates the columns.")]
NoQuotes = Annotated[bool, typer.Option("--no-quotes", help="Quotation marks are plain characters.")]
Encoding = Annotated[str | None, typer.Option(help="The encoding of the files; default: utf-8.")]
Query = Annotated[str | None, typer.Option(help="For a database: the query that gives the rows.")]
TableName = Annotated[str | None, typer.Option("--table", help="For a database: the table with the rows.")]
Faults = Annotated[OnFault | None, typer.Option(help="Stop at a faulty row (raise), or leave it out (drop).")]

# The numbers are those of the results table `intents`: means over five seeds.
ClassWeights = Annotated[
    float | None,
    typer.Option(
        help="For rare classes: weights of 1 / frequency to this power. On the course's messages, 0.5 had "
        "a macro F1 of 75.9 instead of 72.5, a gain that five seeds do not confirm."
    ),
]
LogitAdjustment = Annotated[
    float | None,
    typer.Option(
        help="For rare classes: weight of the logarithm of a class's frequency, such as 1. On the course's messages it "
        "brought nothing: a macro F1 of 72.4 instead of 72.5; try --class-weights first."
    ),
]
AdversarialOption = Annotated[
    Adversarial | None,
    typer.Option(
        help="Also train on word vectors that were moved, in about twice the time. FGM brought -0.8 points of F1"
        " (-2.6 to 0.8) on messages to a shop, and +1.7 (0.3 to 3.1) on 500 texts of SST-2; see lesson 9."
    ),
]
AugmentOption = Annotated[
    Augment | None,
    typer.Option(
        help="Also train on a copy of each text with typing errors, in twice the time. On messages to a shop with many"
        " typing errors it brought a weighted F1 of 76.4 instead of 74.9; see lesson 9."
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(help="The folder of a trained classifier from which this one learns as well; lesson 10 tells when."),
]
Search = Annotated[
    int | None,
    typer.Option(
        help="Look for better learning rates and another batch size in so many trainings, such as 20. Ten more tell "
        "whether the winner beats the default; in lesson 11 none does."
    ),
]


def corpus_options(given: dict[str, Any]) -> dict[str, Any]:
    """The options of `corpora.load` that were given on the command line.

    Args:
        given: name -> value of each option; None is left out.
    """
    plain = ["label_file", "label_separator", "dialogue", "turn", "speaker", "delimiter", "encoding", "on_fault"]
    plain += ["query", "table"]
    options = {name: given[name] for name in plain if given.get(name) is not None}
    for name in ("text", "label"):
        if given.get(name):
            options[name] = given[name][0] if len(given[name]) == 1 else list(given[name])
    if given.get("columns"):
        options["columns"] = given["columns"].split(",")
    if given.get("delimiter") == "\\t":
        options["delimiter"] = "\t"
    if given.get("no_quotes"):
        options["quotes"] = False
    if names := given.get("labels"):
        from nbhelpers import corpora

        in_file = corpora.is_address(names) or Path(names).is_file()
        options["labels"] = corpora.read_names(names) if in_file else names.split(",")
    return options
