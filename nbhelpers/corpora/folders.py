"""Tables that are spread over files: a folder for each class, or texts and labels in two files of equal length."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from .addresses import local_path
from .encodings import decode
from .errors import CorpusError
from .files import SPLITS, by_split, content_of
from .parsing import json_value
from .readers import Format, Table


def class_folders(folder: Path) -> list[Path]:
    """Return the folders inside a folder that have .txt files, the texts of a class each. A single one is no class."""
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and any(path.glob("*.txt"))]
    return found if len(found) > 1 else []


def split_folders(folder: Path) -> dict[str, Path]:
    """Return a dict from split to a folder with class folders. A folder that has them itself is the train split."""
    if class_folders(folder):
        return {"train": folder}
    named = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() in SPLITS}
    return by_split({name: path for name, path in named.items() if class_folders(path)}, str(folder))


def read_class_folders(folder: Path, form: Format, classes: Collection[str] = ()) -> Table:
    """Read a folder with a folder for each class. The columns are text and label; a row is a file.

    Args:
        folder: the folder.
        form: only the encoding is used.
        classes: the names of the folders that are read; by default, all of them.
    """
    rows: list[str] = []
    columns: dict[str, list[str]] = {"text": [], "label": []}
    notes = []
    for path in class_folders(folder):
        if classes and path.name not in classes:
            notes.append(f"the folder {path.name} is not read, because it is not among the labels")
            continue
        for file in sorted(path.glob("*.txt")):
            rows.append(f"{path.name}/{file.name}")
            columns["text"].append(decode(f"{folder.name}/{rows[-1]}", content_of(file), form.encoding, quotes=False))
            columns["label"].append(path.name)
    if not rows:
        raise CorpusError(f"{folder} has no folder for any of the labels {', '.join(classes)}; check labels=")
    return Table(folder.name, rows, columns, notes)


def parallel_files(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return a dict from split to a file of texts and one of labels, such as train_text.txt and train_labels.txt."""
    pairs = {}
    for name in SPLITS:
        texts, labels = folder / f"{name}_text.txt", folder / f"{name}_labels.txt"
        if texts.is_file() and labels.is_file():
            pairs[name] = (texts, labels)
    return by_split(pairs, str(folder))


def read_parallel(texts: Path, labels: Path, form: Format) -> Table:
    """Read two files: line i of the second one is the label of line i of the first one."""
    lines = {}
    for column, path in (("text", texts), ("label", labels)):
        content = decode(path.name, content_of(path), form.encoding, quotes=False).removeprefix("\ufeff")
        # not splitlines(): a text may contain U+2028 or a form feed
        lines[column] = content.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines["text"]) != len(lines["label"]):
        counts = f"{texts.name} has {len(lines['text']):,} lines, but {labels.name} has {len(lines['label']):,}"
        raise CorpusError(f"{counts}; each text needs its label on the same line")
    return Table(texts.name, range(1, 1 + len(lines["text"])), dict(lines))


def read_names(path: str | Path, encoding: str = "utf-8") -> list[str] | dict[str, str]:
    """Read names of classes from a file: one on each line, or an id, a tab and the name; or a JSON list or object.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "mapping.txt")
    ...     _ = file.write_text("0\\tanger\\n1\\tjoy\\n")
    ...     read_names(file)
    {'0': 'anger', '1': 'joy'}
    """
    path = local_path(path)
    text = decode(path.name, content_of(path), encoding, quotes=False).removeprefix("\ufeff")
    if path.suffix.lower() == ".json":
        names = json_value(path.name, text, "write a list of names")
        if not isinstance(names, list | dict):
            raise CorpusError(f"{path.name} is neither a list of names nor an object of ids and names")
        return names
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if all("\t" in line for line in lines):
        pairs = (line.split("\t", 1) for line in lines)
        return {number.strip(): name.strip() for number, name in pairs}
    return lines
