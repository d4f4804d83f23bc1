"""Corpora for text classification as `datasets.DatasetDict`; every fault is found here, with file and row.

    load("dialogues")          dialogues written for this course, with the emotion of each turn
    load("reviews")            product reviews written for this course: negative, neutral, positive
    load("meld")               MELD: a local copy, or downloaded once and verified
    load("reviews.csv")        your own file (.csv, .tsv, .jsonl), or a folder with train, dev and test files
    load("dair-ai/emotion")    the Hugging Face Hub

Row numbers are those of a spreadsheet: the header is row 1, and a record is one row even where a quoted text runs over
several lines of the file. A file without a header starts at row 1, JSON Lines count lines, the Hub's rows count from 0.
All text passes `normalize`; what that changed stays with each split: see `describe` and `loading_report`.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import http.client
import io
import json
import os
import re
import tempfile
import threading
import time
import unicodedata
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Value, load_dataset

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")  # the order of MELD's own label map
SENTIMENTS = ("negative", "neutral", "positive")
DIALOGUE_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
OWN = ("dialogues", "reviews")  # in DATA, written for this course
DATA = Path(__file__).resolve().parent.parent / "data"
DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": "\n"}
SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "val": "dev", "test": "test"}  # outside -> here
_TWO_CLASSES = "a classifier needs two classes at least; check the column and the file"
MAX_CHARS = 100_000  # a longer "text" is nearly always a broken quote, or a whole file in one cell

_COMMIT = "2d2011b409d3ca2d7e94460cd007d434b1d0a102"
MELD_SOURCES = (
    f"https://raw.githubusercontent.com/declare-lab/MELD/{_COMMIT}/data/MELD/{{file}}",
    f"https://cdn.jsdelivr.net/gh/declare-lab/MELD@{_COMMIT}/data/MELD/{{file}}",
)
MELD_SHA256 = {
    "train_sent_emo.csv": "d2fa2d6529cf03cac2989efec05c9b27d8fd2f4c8fc5974c7ae88aa537fa02db",
    "dev_sent_emo.csv": "2e89c6f8aa182d6f62f8c6331aece905ac7273ca4999660bfb5213e1d0370c1c",
    "test_sent_emo.csv": "8d37103938f7067600839fe29d5a114a6cd1bcdafb75bec101e06464c5006888",
}
PAUSE_LIMIT, FILE_LIMIT = 15.0, 120.0  # seconds: how long a server may stay silent, and how long one file may take


class CorpusError(ValueError):
    """A corpus cannot be used as it stands; the message says what is wrong, where, and what to do."""


# --- loading ----------------------------------------------------------------------------------------------------------


def load(name: str | Path, **options: Any) -> DatasetDict:
    """Load a corpus by name: "dialogues", "reviews", "meld", a local file or folder, or a data set of the Hub.

    Dialogues ("dialogues", "meld", a folder in MELD's format) have the columns of `load_dialogues`, all others `text`
    (string) and `label` (ClassLabel). `options` are those of `load_dialogues`, `load_table` or `load_hub`, for example
    text_column="review", label_column="stars", labels=["bad", "good"]. Raises CorpusError.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "reviews.csv")
    ...     _ = path.write_text('text,label\\nfine,pos\\n"bad, really",neg\\n')
    ...     load(path)["train"][1]
    {'text': 'bad, really', 'label': 0}
    """
    path = Path(name).expanduser()
    if name in (*OWN, "meld"):
        if options:
            raise CorpusError(f"{name!r} has fixed columns and labels; leave out {', '.join(options)}")
        if name == "meld":
            return load_meld()
        if not (DATA / name).is_dir():
            advice = "this file was copied without the course; pass the path of your own data"
            raise CorpusError(f"there is no folder {DATA / name}: {advice}")
        return load_dialogues(DATA / name) if name == "dialogues" else load_table(DATA / name)
    if path.is_dir() and not {"text_column", "label_column", "labels"} & set(options):
        with _split_files(path)["train"].open("rb") as file:
            if b"Dialogue_ID" in file.readline():
                return load_dialogues(path, **options)
    if path.exists():
        return load_table(path, **options)
    if isinstance(name, Path) or path.suffix in (*DELIMITERS, ".txt") or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise _missing(path)
    return load_hub(name, **options)


def load_dialogues(folder: str | Path, *, encoding: str = "utf-8", max_chars: int = MAX_CHARS) -> DatasetDict:
    """Load train, dev and test files with MELD's columns, `DIALOGUE_COLUMNS`; Season and Episode are optional.

    Columns: text, speaker (string), emotion (ClassLabel EMOTIONS), sentiment (ClassLabel SENTIMENTS), dialogue_id,
    utterance_id, and season, episode if present (int64). Rows are ordered by dialogue_id, then utterance_id; gaps in
    utterance_id are normal (MELD has them), a repeated pair is refused. Other columns are ignored. Raises CorpusError.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = [",".join(DIALOGUE_COLUMNS), "Hi!,Ann,joy,positive,0,1", "Who is it?,Bo,neutral,neutral,0,0"]
    ...     _ = Path(folder, "train.csv").write_text("\\n".join(rows))
    ...     load_dialogues(folder)["train"]["text"][:]
    ['Who is it?', 'Hi!']
    """
    splits = {}
    for split, path in _split_files(Path(folder)).items():
        table = _read(path, encoding)
        _require(table, DIALOGUE_COLUMNS, "rename your columns, or use load_table for texts without dialogues")
        data: dict[str, list[Any]] = {}
        data["text"], changes = _texts(table, "Utterance", max_chars)
        data["speaker"], _ = _texts(table, "Speaker", max_chars)
        for column, names in (("Emotion", EMOTIONS), ("Sentiment", SENTIMENTS)):
            ids = {name: i for i, name in enumerate(names)}
            data[column.lower()] = _cells(table, column, _class_id, ids, "correct the row")
        for column in ("Dialogue_ID", "Utterance_ID", "Season", "Episode"):
            if column in table.columns:
                data[column.lower()] = _cells(table, column, _whole_number)
        first: dict[tuple[int, int], int] = {}
        for i, turn in enumerate(zip(data["dialogue_id"], data["utterance_id"], strict=True)):
            if first.setdefault(turn, i) != i:
                place, earlier = _at(table.file, table.rows[i]), table.rows[first[turn]]
                fault = f"dialogue {turn[0]}, utterance {turn[1]} stands in row {earlier} already"
                raise CorpusError(f"{place}: {fault}; renumber or delete one of them")
        if split == "train" and len(set(data["emotion"])) == 1:
            raise CorpusError(f"{table.file}: every Emotion is the same; {_TWO_CLASSES}")
        order = [first[turn] for turn in sorted(first)]
        data = {name: [values[i] for i in order] for name, values in data.items()}
        splits[split] = _dataset(data, {"emotion": EMOTIONS, "sentiment": SENTIMENTS}, table, changes)
    return DatasetDict(splits)


def load_meld(folder: str | Path | None = None) -> DatasetDict:
    """Load MELD (Poria et al. 2019, https://github.com/declare-lab/MELD); columns as in `load_dialogues`.

    Taken from `folder`, else from $NBHELPERS_DATA/meld if that variable is set, else from the cache ($NBHELPERS_CACHE
    or ~/.cache/nbhelpers), into which its three files are downloaded once. Download and cache must have the published
    SHA-256; a folder of your own may differ, and `describe` then says so. Raises CorpusError.

    >>> sorted(load_meld()["train"].features)  # doctest: +SKIP
    ['dialogue_id', 'emotion', 'episode', 'season', 'sentiment', 'speaker', 'text', 'utterance_id']
    """
    if folder is None:
        folder = meld_folder()
        if not os.environ.get("NBHELPERS_DATA"):
            for file in MELD_SHA256:
                _fetch(file, folder)
        elif not folder.is_dir():
            raise CorpusError(f"NBHELPERS_DATA is set, but there is no folder {folder}; put MELD there or unset it")
    return load_dialogues(folder)


def meld_folder() -> Path:
    """The folder from which `load_meld()` reads, whether MELD is there already or not."""
    if os.environ.get("NBHELPERS_DATA"):
        return Path(os.environ["NBHELPERS_DATA"], "meld")
    return Path(os.environ.get("NBHELPERS_CACHE") or "~/.cache/nbhelpers").expanduser() / "meld"


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
        files = _split_files(Path(path)) if Path(path).is_dir() else {"train": Path(path)}
    tables = {split: _read(file, encoding, quotes, columns) for split, file in files.items()}
    for table in tables.values():
        _require(
            table, (text_column, label_column), "pass text_column= and label_column=, or columns= without a header"
        )
    return _classified(tables, text_column, label_column, labels, max_chars)


def load_hub(
    name: str,
    text_column: str = "text",
    label_column: str = "label",
    labels: Sequence[str | int] | None = None,
    *,
    config: str | None = None,
    revision: str | None = None,
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load a data set of the Hugging Face Hub; columns text (string), label (ClassLabel); "validation" is named "dev".

    A split without labels (all -1) is left out, which the notes say. The Hub's own cache is used; no code from the Hub
    is run. Raises CorpusError. Tested on local folders in the Hub's formats and on simulated failures only: the place
    where this was written has no internet.

    >>> data = load_hub("dair-ai/emotion", config="split")  # doctest: +SKIP
    """
    try:
        loaded = load_dataset(name, config, revision=revision)
    except (OSError, RuntimeError, ValueError) as error:
        fault = f"{' '.join(str(error).split())[:300]}; check config= and revision="
        if "scripts are no longer supported" in fault:
            fault = "needs a loading script, which `datasets` no longer runs; try revision='refs/convert/parquet', or "
            fault += "download its files and use load_table"
        elif isinstance(error, ConnectionError):
            reason = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else "the Hub cannot be reached"
            fault = f"not a local file, and {reason}; go online, set HF_ENDPOINT to a mirror, or download the files"
            fault += " elsewhere and use load_table"
        elif isinstance(error, FileNotFoundError):
            fault = "found neither here nor on the Hub; check the spelling, or log in if the data set is private"
        raise CorpusError(f"{name}: {fault}") from error
    tables, notes = {}, []
    for split, part in loaded.items():
        table = _Table(f"{name}[{split}]", range(len(part)), {column: part[column][:] for column in part.features}, [])
        _require(table, (text_column, label_column), "pass text_column= and label_column=")
        feature, values = part.features[label_column], table.columns[label_column]
        if isinstance(feature, ClassLabel):
            labels = labels or feature.names
            table.columns[label_column] = [None if v in (None, -1) else feature.int2str(v) for v in values]
        if not any(value not in (None, -1) for value in values):
            notes.append(f"split {split} left out: no labels")
        else:
            tables[SPLITS.get(split, split)] = table
    for table in tables.values():
        table.notes.extend(notes)
    return _classified(tables, text_column, label_column, labels, max_chars)


def _classified(
    tables: dict[str, _Table], text: str, label: str, labels: Sequence[str | int] | None, max_chars: int
) -> DatasetDict:
    if "train" not in tables:
        raise CorpusError(f"no split 'train' among {', '.join(tables)}; a corpus needs one")
    names, ids = _class_names(tables["train"], label, labels)
    splits = {}
    for split, table in tables.items():
        texts, changes = _texts(table, text, max_chars)
        found = _cells(table, label, _class_id, ids, "correct the row or pass labels=...")
        if split == "train" and len(set(found)) == 1:
            raise CorpusError(f"{table.file}: every {label} is the same; {_TWO_CLASSES}")
        splits[split] = _dataset({"text": texts, "label": found}, {"label": names}, table, changes)
    return DatasetDict(splits)


def _dataset(
    data: dict[str, list[Any]], classes: dict[str, Sequence[str]], table: _Table, changes: dict[str, Any]
) -> Dataset:
    types = {name: Value("string" if isinstance(values[0], str) else "int64") for name, values in data.items()}
    features = Features(types | {name: ClassLabel(names=list(names)) for name, names in classes.items()})
    report = {"file": table.file, "notes": table.notes, "normalized": changes}
    info = DatasetInfo(description=json.dumps(report, ensure_ascii=False), features=features)
    return Dataset.from_dict(data, features=features, info=info)


# --- looking at what was loaded ---------------------------------------------------------------------------------------


def loading_report(dataset: Dataset) -> dict[str, Any]:
    """Return what was noted when a split was loaded: its "file", "notes", and per rule what was "normalized".

    It is JSON in `dataset.info.description`, so it survives `map`, `select` and `save_to_disk`; {} if there is none.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "reviews.csv")
    ...     _ = path.write_text("text,label\\nreally  fine,pos\\nbad,neg\\n")
    ...     loading_report(load_table(path)["train"])["normalized"]
    {'surplus spaces': {'texts': 1, 'before': 'really  fine', 'after': 'really fine'}}
    """
    try:
        return dict(json.loads(dataset.info.description))
    except ValueError:
        return {}


def describe(data: DatasetDict) -> pd.DataFrame:
    """Return the facts of a corpus, one column per split: rows, dialogues, speakers, classes, repetitions and so on.

    More than 12 classes are summed up by the largest and the smallest. "also in train" counts rows whose text stands
    in train, too; "normalized" counts the texts that a rule changed while loading; `loading_report` has examples.

    >>> labels = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    >>> train = Dataset.from_dict({"text": ["a", "b", "b"], "label": [0, 1, 1]}, features=labels)
    >>> describe(DatasetDict(train=train)).loc[["rows", "label: pos", "repeated texts"], "train"].tolist()
    [3, 2, 1]
    """
    facts: dict[str, dict[str, Any]] = {}
    reports = {split: loading_report(part) for split, part in data.items()}
    known = set(data["train"]["text"]) if "train" in data else set()
    for split, part in data.items():
        texts, report, fact = part["text"][:], reports[split], facts.setdefault(split, {"rows": len(part)})
        for column, name in (("dialogue_id", "dialogues"), ("speaker", "speakers")):
            if column in part.features:
                fact[name] = len(set(part[column]))
        for column, feature in part.features.items():
            if isinstance(feature, ClassLabel):
                found = Counter(part[column][:])
                counts = {name: found[i] for i, name in enumerate(feature.names)}
                if len(counts) > 12:
                    (largest, most), *_, (smallest, least) = sorted(counts.items(), key=lambda item: -item[1])
                    fact |= {f"{column}: classes": len(counts), f"{column}: largest": f"{largest} ({most})"}
                    fact |= {f"{column}: smallest": f"{smallest} ({least})"}
                else:
                    fact |= {f"{column}: {name}": count for name, count in counts.items()}
        fact["empty texts"] = sum(not text.strip() for text in texts)
        fact["repeated texts"] = len(texts) - len(set(texts))
        fact["also in train"] = "-" if split == "train" else sum(text in known for text in texts)
        for rule in RULES:
            if any(rule in other.get("normalized", {}) for other in reports.values()):
                fact[f"normalized: {rule}"] = report.get("normalized", {}).get(rule, {"texts": 0})["texts"]
        fact |= {"file": report.get("file", "-"), "notes": "; ".join(report.get("notes", [])) or "-"}
    return pd.DataFrame(facts, dtype=object)


# --- normalising ------------------------------------------------------------------------------------------------------

_CP1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_QUOTES = dict.fromkeys(range(0x2018, 0x201C), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
_JOINABLE = "\u0600-\u1fff\u2190-\U0010ffff"  # emoji, and the scripts whose spelling uses joiners
_JOINERS = re.compile(f"(?<![{_JOINABLE}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINABLE}])")
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

RULES: dict[str, Callable[[str], str]] = {  # applied in this order
    "cp1252 characters": lambda text: text.translate(_CP1252),
    "curly quotes": lambda text: text.translate(_QUOTES),
    "line breaks": partial(re.compile("[\n\r\x0b\x0c\x1c-\x1f\u2028\u2029]+").sub, " "),
    "control characters": partial(re.compile("[\x00-\x08\x0e-\x1b\x7f]").sub, ""),
    "invisible characters": lambda text: _JOINERS.sub("", _INVISIBLE.sub("", text)),
    "special spaces": partial(re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]").sub, " "),
    "surplus spaces": lambda text: " ".join(filter(None, text.split(" "))),
    "Unicode NFC": partial(unicodedata.normalize, "NFC"),
}


def normalize(text: str) -> str:
    r"""Return `text` on one line, one spelling for what looks the same. Never raises; a second pass changes nothing.

    | rule                 | what it does                                                                              |
    |----------------------|-------------------------------------------------------------------------------------------|
    | cp1252 characters    | U+0080-U+009F become what cp1252 means by them ("\x92": an apostrophe); five mean nothing |
    |                      | there and are removed                                                                     |
    | curly quotes         | single and double, high and low, become ' and "                                           |
    | line breaks          | CRLF, CR, LF and their Unicode relatives become one space                                 |
    | control characters   | are removed                                                                               |
    | invisible characters | zero-width characters, soft hyphen, direction marks are removed; joiners stay in emoji    |
    |                      | and between letters of scripts that spell with them (Persian, Hindi)                      |
    | special spaces       | non-breaking, ideographic and other spaces, and tabs, become a space                      |
    | surplus spaces       | runs collapse, the ends are stripped                                                      |
    | Unicode NFC          | a letter and its combining accent become one character                                    |

    Dashes and the ellipsis character stay: in dialogue they mark interruption and hesitation.

    >>> normalize("\u201cI don\x92t\u00a0know ...\u201d\r\n")
    '"I don\'t know ..."'
    """
    for rule in RULES.values():
        text = rule(text)
    return text


# --- reading one file -------------------------------------------------------------------------------------------------


class _Table(NamedTuple):
    file: str
    rows: Sequence[int]  # the row number of each record
    columns: dict[str, list[Any]]
    notes: list[str]


def _at(file: str, row: int) -> str:
    return f"{file}, {'line' if file.lower().endswith('.jsonl') else 'row'} {row}"


def _missing(path: Path) -> CorpusError:
    near = difflib.get_close_matches(path.name, os.listdir(path.parent) if path.parent.is_dir() else [])
    advice = f"did you mean {' or '.join(near)}?" if near else "check the path"
    return CorpusError(f"{path} does not exist; {advice}")


def _distinct(names: Sequence[str], place: str) -> None:
    for name, count in Counter(names).items():
        if name and count > 1:
            raise CorpusError(f"{place}: the name {name!r} stands {count} times; rename or remove all but one")


def _split_files(folder: Path) -> dict[str, Path]:
    if folder.is_file():
        raise CorpusError(f"{folder} is a file where a folder is needed; pass the folder with train, dev and test")
    if not folder.is_dir():
        raise _missing(folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if match := re.fullmatch(rf"({'|'.join(SPLITS)})(_sent_emo)?\.(csv|tsv|jsonl)", path.name):
            other = files.setdefault(SPLITS[match[1]], path)
            if other != path:
                raise CorpusError(f"{folder} has {other.name} and {path.name} for one split; keep one of them")
    if "train" not in files:
        raise CorpusError(f"{folder} has no train.csv, train.tsv, train.jsonl or train_sent_emo.csv; name one file so")
    return {split: files[split] for split in ("train", "dev", "test") if split in files}


def _read(path: Path, encoding: str, quotes: bool = True, columns: Sequence[str] | None = None) -> _Table:
    file, suffix = path.name, path.suffix.lower()
    if path.is_dir():
        raise CorpusError(f"{path} is a folder where a file is needed; name a .csv, .tsv or .jsonl file in it")
    if not path.is_file():
        raise _missing(path)
    if suffix not in DELIMITERS:
        hint = " (if tabs separate the columns, rename it to .tsv)" if suffix == ".txt" else ""
        raise CorpusError(f"{file}: suffix {suffix!r} is not supported{hint}; save the table as .csv, .tsv or .jsonl")
    content = path.read_bytes()
    text, notes = _decode(file, content, encoding, quotes), []
    if file in MELD_SHA256:
        official = hashlib.sha256(content).hexdigest() == MELD_SHA256[file]
        notes.append("official file" if official else "differs from the official file")
    if text.startswith("\ufeff"):
        text = text[1:]
        notes.append("byte order mark removed")
    if not text.strip():
        raise CorpusError(f"{file} is empty; check that it was saved and copied completely")
    if suffix == ".jsonl":
        return _Table(file, *_json_lines(file, text), notes)
    numbered = [(row, record) for row, record in enumerate(_records(file, text, quotes), start=1) if record]
    header = list(columns) if columns else [name.strip() for name in numbered.pop(0)[1]]
    _distinct(header, f"{file}, header")
    if not numbered:
        raise CorpusError(f"{file} has a header and no rows; check that it was saved and copied completely")
    for row, record in numbered:
        if len(record) != len(header):
            advice = "put quotes around a text that contains the separator"
            raise CorpusError(f"{_at(file, row)}: {len(record)} fields for {len(header)} columns; {advice}")
    rows, records = zip(*numbered, strict=True)
    if blank := rows[-1] - len(rows) - (0 if columns else 1):
        notes.append(f"{blank} blank rows skipped")
    return _Table(file, rows, dict(zip(header, map(list, zip(*records, strict=True)), strict=True)), notes)


_CSV_LOCK = threading.Lock()  # the csv module has one field size limit for all threads


def _records(file: str, text: str, quotes: bool, strict: bool = True) -> list[list[str]]:
    """The records of a CSV or TSV text. A blank line is an empty record, so that the position gives the row."""
    records: list[list[str]] = []
    style: dict[str, Any] = {"delimiter": DELIMITERS[Path(file).suffix.lower()], "strict": strict}
    style["quoting"] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    with _CSV_LOCK:
        limit = csv.field_size_limit(2**31 - 1)
        try:
            for record in csv.reader(io.StringIO(text, newline=""), **style):
                records.append(record)
        except csv.Error as error:
            fault = "is never closed" if "end of data" in str(error) else "goes on after its closing quote"
            advice = "double each quote inside a quoted text, or pass quotes=False if quotes are plain characters here"
            raise CorpusError(f"{_at(file, len(records) + 1)}: a quoted text {fault}; {advice}") from error
        finally:
            csv.field_size_limit(limit)
    return records


def _json_lines(file: str, text: str) -> tuple[list[int], dict[str, list[Any]]]:
    rows, objects = [], []
    for row, line in enumerate(text.split("\n"), start=1):  # not splitlines(): JSON allows U+2028 inside a string
        if not line.strip():
            continue
        try:
            if not line.lstrip().startswith("{"):
                raise ValueError("not an object")
            pairs = json.loads(line, object_pairs_hook=list)
            if "\\ud" in line.lower():  # "\ud83d" without its other half makes a string that cannot be written
                json.dumps(pairs, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise CorpusError(f"{_at(file, row)}: half of a surrogate pair; write the character itself") from error
        except (ValueError, RecursionError) as error:
            raise CorpusError(f'{_at(file, row)}: {error}; write an object such as {{"text": "..."}}') from error
        _distinct([name for name, _ in pairs], _at(file, row))
        rows.append(row)
        objects.append(dict(pairs))
    names = dict.fromkeys(name for item in objects for name in item)
    return rows, {name: [item.get(name) for item in objects] for name in names}


def _decode(file: str, content: bytes, encoding: str, quotes: bool) -> str:
    try:
        text = content.decode(encoding)
        before, fault = text.partition("\0")[0], "a NUL byte"
        if before == text:
            return text
    except LookupError as error:
        raise CorpusError(f"{file}: Python has no encoding {encoding!r}; {_fitting(content)}") from error
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "ignore")
        fault = f"byte 0x{content[error.start]:02x} cannot be read as {encoding}"
    json_lines = file.lower().endswith(".jsonl")
    row = before.count("\n") + 1 if json_lines else len(_records(file, before + "x", quotes, strict=False))
    raise CorpusError(f"{_at(file, row)}: {fault}; {_fitting(content)}")


def _fitting(content: bytes) -> str:
    """What to do with a file whose encoding is another than was said."""
    names = ["utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8", "cp1252", "latin-1"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        names = ["utf-16"]
    elif content.count(0) > len(content) // 4:  # ASCII in UTF-16: every second byte is zero
        names = ["utf-16-be" if content[:1] == b"\0" else "utf-16-le"]
    fits = [name for name in names if not {"\0", "\ufffd"} & set(content.decode(name, "replace"))]
    if not fits:
        return "no common encoding fits, the file is damaged or no text; export it again as UTF-8"
    return f"it can be read as {' or '.join(fits)}; pass encoding={fits[0]!r} and look at a few rows"


# --- checking cells ---------------------------------------------------------------------------------------------------


def _require(table: _Table, columns: Sequence[str], advice: str) -> None:
    for column in columns:
        if column not in table.columns:
            listing = ", ".join(" ".join(name.split())[:40] for name in table.columns)
            raise CorpusError(f"{table.file}: no column {column!r}; it has {listing:.300}; {advice}")


def _cells(table: _Table, column: str, convert: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Convert every cell of a column; a ValueError of `convert` becomes a CorpusError with file and row."""
    values = []
    for row, cell in zip(table.rows, table.columns[column], strict=True):
        try:
            values.append(convert(cell, *arguments))
        except ValueError as error:
            raise CorpusError(f"{_at(table.file, row)}: {column} {error}") from error
    return values


def _whole_number(cell: Any) -> int:
    if not re.fullmatch("[0-9]{1,18}", str(cell).strip()):
        raise ValueError(f"{cell!r:.60} is not a whole number such as 0 or 12; correct the row")
    return int(cell)


def _text(cell: Any, max_chars: int) -> str:
    if not isinstance(cell, str | None):
        raise ValueError(f"{cell!r:.60} is not a text; put quotes around it")
    if cell and len(cell) > max_chars:
        advice = "look for a broken quote, shorten it or pass max_chars=..."
        raise ValueError(f"has {len(cell):,} characters, more than max_chars={max_chars:,}; {advice}")
    if not (cell and (re.search(r"\w", cell) or normalize(cell))):  # a word always outlives normalising
        raise ValueError("is empty after normalising; fill it in or delete the row")
    return cell


def _label(cell: Any) -> str:
    if isinstance(cell, float | list | dict):
        raise ValueError(f"{cell!r:.60} is neither a name nor a whole number; correct the row")
    label = "" if cell is None else " ".join(str(cell).split())
    if not label:
        raise ValueError("is missing; fill it in or delete the row")
    return label


def _class_id(cell: Any, ids: Mapping[str, int], advice: str) -> int:
    label = _label(cell)
    if label not in ids:
        near = ", ".join(difflib.get_close_matches(label, ids, n=5)) or "none"
        listing = ", ".join(ids) if len(ids) <= 12 else f"the {len(ids)} classes (similar: {near})"
        raise ValueError(f"{label!r:.60} is not one of {listing}; {advice}")
    return ids[label]


def _texts(table: _Table, column: str, max_chars: int) -> tuple[list[str], dict[str, Any]]:
    """The normalized texts, and for each rule how many it changed, with the shortest example."""
    texts, changes = _cells(table, column, _text, max_chars), {}
    for name, rule in RULES.items():
        before, texts = texts, [rule(text) for text in texts]
        pairs = [(old, new) for old, new in zip(before, texts, strict=True) if old != new]
        if pairs:
            old, new = min(pairs, key=lambda pair: len(pair[0]))
            changes[name] = {"texts": len(pairs), "before": old[:200], "after": new[:200]}
    return texts, changes


def _class_names(table: _Table, column: str, labels: Sequence[str | int] | None) -> tuple[list[str], dict[str, int]]:
    """The names of the classes, and the id of each label as it stands in the file."""
    found = sorted(set(_cells(table, column, _label)))
    numbers = all(re.fullmatch("[0-9]{1,9}", label) for label in found)
    names = found if labels is None else [str(label) for label in labels]
    if labels is None and numbers:
        names = [str(i) for i in range(len(found))]
        if set(found) != set(names):
            listing = ", ".join(sorted(found, key=int))
            advice = "pass labels=[...]: names for the ids from 0 on, or these numbers in the order you want"
            raise CorpusError(
                f"{table.file}: {column} ids {listing:.100} do not run from 0 to {len(found) - 1}; {advice}"
            )
    _distinct(names, "labels")
    positions = numbers and not set(found) <= set(names)  # numbers in the file, but `labels` are names: they are ids
    return names, {str(i) if positions else name: i for i, name in enumerate(names)}


# --- downloading ------------------------------------------------------------------------------------------------------


def _fetch(file: str, folder: Path) -> None:
    """Put a file of MELD into `folder` unless it is there: complete and verified, or not at all."""
    target, faults = folder / file, []
    if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == MELD_SHA256[file]:
        return
    for source in MELD_SOURCES:
        url, content, end = source.format(file=file), b"", time.monotonic() + FILE_LIMIT
        try:
            with urllib.request.urlopen(url, timeout=PAUSE_LIMIT) as answer:
                while (chunk := answer.read1()) and time.monotonic() < end:
                    content += chunk
        except (OSError, http.client.HTTPException) as error:
            faults.append(f"{url} ({error})")
            continue
        if hashlib.sha256(content).hexdigest() != MELD_SHA256[file]:
            faults.append(f"{url} ({len(content):,} bytes, not the published file)")
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{file}.", suffix=".part", delete=False) as part:
                part.write(content)
            os.chmod(part.name, 0o644)
            os.replace(part.name, target)  # atomic: another process sees no file or the whole file
        except OSError as error:
            raise CorpusError(f"cannot write to {folder}: {error}; set NBHELPERS_CACHE to a folder of yours") from error
        return
    advice = f"put {', '.join(MELD_SHA256)} into a folder and call load_meld(folder), or name that folder meld and set"
    raise CorpusError(f"{file} cannot be downloaded: {'; '.join(faults)}; {advice} NBHELPERS_DATA to the one above it")
