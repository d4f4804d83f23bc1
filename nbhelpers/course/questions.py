"""What lesson 15 reads: questions with the help pages that answer them, and items with a date."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError

SPLITS = ("train", "dev", "test")


def load_questions(folder: str, num_questions: int = 0) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Load help pages and the questions about them.

    Args:
        folder: "faq", which comes with the course, or a folder of yours. Its answers.csv has the columns id, answer
            and optionally title; its three splits have text and answer (an id, empty for a question without an
            answer), and optionally kind ("answered", or what kind of unanswerable question it is) and way.
        num_questions: at most so many questions of each split, spread evenly over it; 0 takes all.

    Returns:
        The answers with a column "document" (title and answer), and of each split the questions with a column "number":
        the row of the answer, and -1 where there is none.

    Raises:
        CourseError: a file or a column is missing, an id comes twice, or a question has the id of no answer.
    """
    source = folder_of(folder)
    answers = read(source / "answers.csv", "id", "answer")
    if answers["id"].duplicated().any():
        twice = answers.loc[answers["id"].duplicated(), "id"].iloc[0]
        raise CourseError(f"answers.csv has the id {twice} twice; give each answer its own")
    title = answers["title"] + ". " if "title" in answers else ""
    answers["document"] = title + answers["answer"]
    number = {name: row for row, name in enumerate(answers["id"])}
    questions = {}
    for split in SPLITS:
        rows = read(source / f"{split}.csv", "text", "answer")
        unknown = set(rows["answer"]) - {""} - set(number)
        if unknown:
            raise CourseError(f"{split}.csv has questions for {min(unknown)}, which answers.csv does not have; add it")
        rows["number"] = [number.get(name, -1) for name in rows["answer"]]
        if "kind" not in rows:
            rows["kind"] = ["answered" if name else "unanswerable" for name in rows["answer"]]
        step = max(1, len(rows) / num_questions) if num_questions else 1
        questions[split] = rows.iloc[[int(i * step) for i in range(int(len(rows) / step))]].reset_index(drop=True)
    return answers, questions


def load_items(folder: str, num_items: int = 0) -> pd.DataFrame:
    """Load texts that readers may read: all splits of a folder, in the order of their dates.

    Args:
        folder: "topics", which comes with the course, or a folder of yours with train.csv, dev.csv and test.csv, which
            have the columns text, label and date.
        num_items: at most so many items, spread evenly over time; 0 takes all.

    Raises:
        CourseError: a file or a column is missing.
    """
    source = folder_of(folder)
    rows = pd.concat([read(source / f"{split}.csv", "text", "label", "date") for split in SPLITS])
    rows = rows.sort_values("date", kind="stable").reset_index(drop=True)
    return rows.iloc[:: max(1, len(rows) // num_items) if num_items else 1].reset_index(drop=True)


def folder_of(name: str) -> Path:
    """The folder of a corpus of the course, or the user's own."""
    return paths.DATA / name if (paths.DATA / name).is_dir() else Path(name).expanduser()


def read(path: Path, *columns: str) -> pd.DataFrame:
    """Read a csv as texts, and check its columns."""
    if not path.is_file():
        raise CourseError(f"{path} does not exist; check the folder, and the names of its files")
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [name for name in columns if name not in rows]
    if missing or rows.empty:
        raise CourseError(f"{path.name} has no {missing[0] if missing else 'rows'}; it needs {' and '.join(columns)}")
    return rows
