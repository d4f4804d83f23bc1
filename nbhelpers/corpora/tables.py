"""Load a table of texts and labels: one file, a file for each split, or a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import DatasetDict

from .building import classification_data
from .readers import SPLITS, read, split_files
from .validation import MAX_CHARS, require_columns


def load_table(
    path: str | Path | Mapping[str, str | Path],
    text_column: str = "text",
    label_column: str = "label",
    labels: Sequence[str | int] | None = None,
    *,
    columns: Sequence[str] | None = None,
    quotes: bool = True,
    encoding: str = "utf-8",
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load CSV, TSV or JSON Lines: a folder with train, dev and test files, a dict {split: file}, or one file.

    Columns: text (string), label (ClassLabel). Labels are names (in the order of `labels`, else sorted) or ids 0..K-1,
    which `labels` can name. The train split defines the classes. Raises CorpusError.

    columns    names of the columns of a CSV or TSV file without a header row
    quotes     False: quotation marks are plain characters, as in most TSV files of shared tasks
    max_chars  longest text accepted

    One file is the train split; `data["train"].train_test_split(0.2, seed=0, stratify_by_column="label")` divides it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "phrases.tsv")
    ...     _ = path.write_text('1\\tfine\\n0\\t"bad" is no word for it\\n')
    ...     data = load_table(path, labels=["neg", "pos"], columns=["label", "text"], quotes=False)
    >>> data["train"][1], data["train"].features["label"].names
    ({'text': '"bad" is no word for it', 'label': 0}, ['neg', 'pos'])
    """
    if isinstance(path, Mapping):
        files = {SPLITS.get(split, split): Path(file) for split, file in path.items()}
    else:
        files = split_files(Path(path)) if Path(path).is_dir() else {"train": Path(path)}
    tables = {split: read(file, encoding, quotes, columns) for split, file in files.items()}
    for table in tables.values():
        require_columns(
            table, (text_column, label_column), "pass text_column= and label_column=, or columns= without a header"
        )
    return classification_data(tables, text_column, label_column, labels, max_chars)
