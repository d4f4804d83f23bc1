"""The dated sentences of a lesson, and the phases in which a company's news was not as usual."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError

NEEDED = ["text", "label", "date", "company"]
SPLITS = ("train", "dev", "test")


def load_stream(corpus: str = "finance", num_rows: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the sentences of all splits, in order of their dates, and the phases if they are known.

    Args:
        corpus: "finance", or a folder with train.csv, dev.csv and test.csv that have the columns text, label, date and
            company, and perhaps topic and story. events.csv may have the phases: company, start, end, kind, what.
        num_rows: only the first so many sentences of each split; 0 takes all. They are the first ones, because a gap in
            time would hide what a monitor is for.

    Returns:
        The sentences, with the columns of the files, "topic" ("" if unknown) and "split"; and the phases.

    Raises:
        CourseError: a file or a column is missing, or a date is none.
    """
    folder = paths.DATA / "finance" if corpus == "finance" else Path(corpus).expanduser()
    parts = []
    for split in SPLITS:
        path = folder / f"{split}.csv"
        if not path.is_file():
            raise CourseError(f"{path} does not exist; a stream is a folder with train.csv, dev.csv and test.csv")
        part = pd.read_csv(path, dtype=str, keep_default_na=False)
        if missing := [name for name in NEEDED if name not in part]:
            raise CourseError(f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, part.columns))}")
        part = part.sort_values("date", kind="stable")
        parts.append(part.head(num_rows or len(part)).assign(split=split))
    sentences = pd.concat(parts, ignore_index=True).sort_values("date", kind="stable", ignore_index=True)
    if "topic" not in sentences:
        sentences["topic"] = ""
    try:
        sentences["date"] = pd.to_datetime(sentences["date"], format="%Y-%m-%d").dt.strftime("%Y-%m-%d")
    except ValueError as error:
        raise CourseError(f"{folder}: a date cannot be read ({error}); write dates as 2041-03-05") from None
    events = folder / "events.csv"
    columns = ["company", "start", "end", "kind", "what"]
    return sentences, pd.read_csv(events, dtype=str) if events.is_file() else pd.DataFrame(columns=columns)
