"""`nbhelpers search`: index the texts of a file, ask it questions, see how good the answers are, and serve it."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from nbhelpers.course import paths
from nbhelpers.course.command.screen import make_screen
from nbhelpers.course.errors import CourseError, on_interrupt

if TYPE_CHECKING:  # it imports torch, which showing the help does not need
    from nbhelpers.course.finding.indexing import Searcher

screen = make_screen()


class Kind(StrEnum):
    """How an index searches."""

    exact = "exact"
    faiss = "faiss"
    hnsw = "hnsw"
    ivf = "ivf"


def search(
    source: Annotated[Path, typer.Argument(help="A table of texts to index, or the folder of an index.")],
    question: Annotated[list[str] | None, typer.Argument(help="What to search for.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder of a new index; default: runs/NAME_index.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(help="embedded, embedded-base, embedded-multilingual, a Hub name, or a folder.")
    ] = "embedded",
    text: Annotated[list[str] | None, typer.Option(help="The column with the texts; several are joined.")] = None,
    name: Annotated[str | None, typer.Option("--id", help="The column with an id for each text.")] = None,
    kind: Annotated[
        Kind, typer.Option(help="exact, or an approximate search for some 100,000 texts or more.")
    ] = Kind.exact,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many texts to show.")] = 3,
    questions: Annotated[
        Path | None, typer.Option(help="Questions with the id of their answer (text,answer): scores and a threshold.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Serve a page and POST /search.")] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> None:
    """Find the texts that answer a question: index a file, ask, measure, serve."""
    paths.require(source, questions)
    from nbhelpers.course.finding import indexing

    if port is not None:
        from nbhelpers import serving

        serving.require_free(host, port)
    if source.is_dir():
        folder = source
        with screen.status("loading the index ..."):
            searcher = indexing.load(folder)
    else:
        folder = output or Path("runs", f"{source.name.partition('.')[0]}_index")
        paths.require_new(folder)
        with screen.status("reading the texts ..."):
            searcher = indexing.index_file(source, encoder, text or ["text"], name, kind.value)
        indexing.save(searcher, folder)
        screen.print(f"Written: {folder}  ({len(searcher.index):,} texts)", soft_wrap=True)
    if questions is not None:
        searcher = measured(searcher, questions, folder)
    for asked in question or []:
        show(searcher, asked, k)
    if port is not None:
        serve(searcher, host, port)
    elif not question and questions is None:
        screen.print(
            f'  nbhelpers search {folder} "a question"\n  nbhelpers search {folder} --port 8000', highlight=False
        )


def measured(searcher: Searcher, questions: Path, folder: Path) -> Searcher:
    """Print how well an index answers questions, and keep the threshold that suits them in its folder."""
    from nbhelpers.course.finding import indexing

    with screen.status("answering the questions ..."):
        scores, threshold = indexing.evaluate(searcher, questions)
    table = Table("", "percent", "95 % interval", title=f"{questions.name}, the questions that have an answer")
    for title, score, low, high in scores.itertuples():
        table.add_row(str(title), f"{100 * score:.1f}", f"{100 * low:.0f} to {100 * high:.0f}")
    screen.print(table)
    searcher = dataclasses.replace(searcher, threshold=threshold)
    indexing.save(searcher, folder)
    screen.print(f"From now on, texts with a similarity below {threshold:.2f} are not shown.", highlight=False)
    return searcher


def show(searcher: Searcher, question: str, k: int) -> None:
    """Print the texts that are found for a question."""
    if not question.strip():
        raise CourseError("the question is empty; write some words")
    (hits,) = searcher.index.search([question], k, threshold=searcher.threshold)
    for hit in hits:
        screen.print(f"{hit.score:.2f}  {hit.id}  {hit.text}", highlight=False, soft_wrap=True)
    if not hits:
        screen.print("No text is near enough to this question.", highlight=False)


def serve(searcher: Searcher, host: str, port: int) -> None:
    """Serve an index until Ctrl+C."""
    import uvicorn

    from nbhelpers.course.finding import app

    screen.print(f"http://{host}:{port}", highlight=False)
    with on_interrupt(lambda: "stopped"):
        uvicorn.run(app.create_app(searcher), host=host, port=port, log_level="warning", access_log=False)
