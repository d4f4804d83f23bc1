"""`nbhelpers monitor`: watch the sentiment of dated sentences, and send an alert when it has turned."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from nbhelpers.course import paths
from nbhelpers.course.command.screen import make_screen
from nbhelpers.course.errors import CourseError, on_interrupt

PATIENCE = 60.0  # seconds for which alerts are tried again after the last row
screen = make_screen()


def monitor(
    model: Annotated[Path, typer.Argument(help="A classifier's folder, or an export of it.")],
    source: Annotated[
        str, typer.Option("--input", "-i", help="CSV or JSON Lines; - reads what another program writes.")
    ],
    watch: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL[=SHARE]", help="A label, and its usual share of the stories; once for each."),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Earlier sentences, which the model was not trained on: for the usual shares.")
    ] = None,
    webhook: Annotated[str | None, typer.Option(help="Where alerts are sent, as https://host/path.")] = None,
    false_alarms: Annotated[
        float, typer.Option("--stories-per-false-alarm", min=1, help="On average, in ordinary times.")
    ] = 400,
    raised: Annotated[
        float | None, typer.Option(help="The share that should raise an alert; default: halfway from usual to 1.")
    ] = None,
    state: Annotated[Path, typer.Option(help="An SQLite file with what must survive a restart.")] = Path("monitor.db"),
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Serve a page, until Ctrl+C.")] = None,
    host: Annotated[str, typer.Option(help="Of the page; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    text: Annotated[str, typer.Option(help="The column with the texts.")] = "text",
    date: Annotated[str, typer.Option(help="The column with the days, such as 2041-03-05.")] = "date",
    company: Annotated[str, typer.Option(help="The column with the companies.")] = "company",
    topic: Annotated[str, typer.Option(help="The column with the topics, if there is one.")] = "topic",
    event_id: Annotated[str, typer.Option("--id", help="The column with an id for each sentence, if any.")] = "id",
) -> None:
    """Classify dated sentences as they come, and send an alert when a company's news has turned."""
    paths.require(model, history, None if source == "-" else Path(source))
    columns = {"text": text, "date": date, "company": company, "topic": topic, "id": event_id}
    from nbhelpers import alerts, serving

    from .following import follow, keep_sending
    from .reading import read_rows

    url = alerts.check_url(webhook) if webhook else None
    if port is not None:
        serving.require_free(host, port)
    with screen.status("loading the model ..."):
        classify, labels = load_classifier(model)
    past = classified(history, columns, classify) if history else []
    known = alerts.Store(state).setting("usual") or {}  # from the first start, so that later ones need no history
    usual = usual_shares(watch or list(known) or ["negative"], labels, past, known)
    rules = {name: alerts.make_rule(share, raised or (1 + share) / 2, false_alarms) for name, share in usual.items()}
    watched = alerts.Watch(state, rules)
    with watched.store.change() as change:
        change.setting("usual", usual)
    watched.add(past, notify=False)
    with ExitStack() as stack, on_interrupt(lambda: "stopped; the same command goes on"):
        if port is not None:
            from .app import create_app, served

            say(f"Page: {stack.enter_context(served(create_app(watched, usual), host, port))}")
        with open_lines(source) as lines:
            totals = follow(read_rows(lines, columns, say), classify, watched, url, log=say, patience=PATIENCE)
        say(", ".join(f"{name}: {count:,}" for name, count in totals.items()))
        if port is not None:
            say("The input has ended. The page stays until Ctrl+C.")
            keep_sending(watched.store, url, say)


def say(sentence: str) -> None:
    """Print a sentence."""
    screen.print(sentence, soft_wrap=True, highlight=False)


@contextmanager
def open_lines(source: str) -> Iterator[Any]:
    """The lines of a file, or of the standard input for "-"."""
    if source == "-":
        yield sys.stdin
    else:
        with open(source, encoding="utf-8-sig", newline="") as file:
            yield file


def load_classifier(folder: Path) -> tuple[Callable[[list[str]], list[str]], list[str]]:
    """A function from texts to labels, and all labels; CourseError for a model of another kind."""
    from nbhelpers.classifier import served
    from nbhelpers.classifier.rows import Rows, logits_of

    model = served.load_alone(folder, served.num_cores())
    if model.reads != "texts" or model.thresholds is not None:
        raise CourseError(f"{folder} does not give each text one label; train a classifier with one label per text")

    def classify(texts: list[str]) -> list[str]:
        found = model.probabilities(logits_of(model, Rows(texts, [], [], [], [])), len(texts))
        return [model.labels[int(row.argmax())] for row in found]

    return classify, list(model.labels)


def classified(
    history: Path, columns: dict[str, str], classify: Callable[[list[str]], list[str]]
) -> list[dict[str, str]]:
    """The rows of a history with the labels that the model predicts.

    A label in the file is not used: the usual share must be that of predictions, as in operation.
    """
    from .reading import read_rows

    with open_lines(str(history)) as lines, screen.status("classifying the history ..."):
        rows = list(read_rows(lines, columns, say))
        labels = classify([row["text"] for row in rows])
    return [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]


def usual_shares(
    watch: Sequence[str], labels: Sequence[str], past: Sequence[dict[str, str]], known: Mapping[str, float]
) -> dict[str, float]:
    """Label -> usual share: as given by `LABEL=SHARE`, or else as at the first start, or else from the history.

    Raises:
        CourseError: a label is unknown, or a share is none or not known.
    """
    from .following import usual_share

    given = dict(text.rpartition("=")[::2] if "=" in text else (text, "") for text in watch)
    found = {}
    for label, share in given.items():
        if label not in labels:
            raise CourseError(f"--watch {label}: the model has the labels {', '.join(labels)}")
        if not share and label in known:
            share = str(known[label])
        if not share and not past:
            raise CourseError(f"the usual share of {label} is not known; write --watch {label}=0.2, or give --history")
        try:
            found[label] = float(share) if share else usual_share(past, label, list(given))
        except ValueError as error:
            if isinstance(error, CourseError):
                raise
            raise CourseError(f"--watch {label}={share}: {share!r} is no number; write a share such as 0.2") from None
        if not 0.005 <= found[label] <= 0.8:
            raise CourseError(f"the usual share of {label} is {found[label]:g}; a rule needs one from 0.005 to 0.8")
    return found
