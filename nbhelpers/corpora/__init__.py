"""Load corpora for text classification as `datasets.DatasetDict`. Errors in the data are reported with file and row.

The name says where the data comes from:

    load("dialogues")          dialogues written for this course, with the emotion of each turn
    load("reviews")            product reviews written for this course: negative, neutral, positive
    load("intents")            messages to a shop written for this course: eight wishes, some of them rare
    load("topics")             news of invented events written for this course: six topics, the test rows are later
    load("meld")               MELD, downloaded once and verified, or from a local copy
    load("reviews.csv")        your own file (.csv, .tsv, .txt, .jsonl, .json, .parquet, .xlsx, also with .gz), or a
                               folder with train, dev and test files, or with a folder for each class
    load("s3://bucket/reviews.parquet")    a file of a storage or of the web, see `local_path`
    load("sqlite:///shop.db", table="messages")    rows of a database
    load("dair-ai/emotion")    a data set of the Hugging Face Hub

Row numbers in error messages are those of a spreadsheet: the header is row 1, and a record is one row, even if a quoted
text in it has several lines. In a file without a header, the first record is row 1. JSON Lines files are counted by
line. Rows of the Hub are counted from 0.

Every text is normalized (see `normalize`). `describe` counts the changes, and `loading_report` shows examples of them.
A model that is trained on such texts needs `normalizing_tokenizer`, which does the same to every text it will get.
Labels that may be a mistake, such as "Pos" beside "pos", are kept, and the notes in `describe` name them.

The files: `loading` turns a name into data. `tables`, `dialogues` and `hub` each load one kind of source. `files` finds
the files, and `readers` reads one, with the help of `encodings`, `parsing` and `spreadsheets`; `folders` and `nested`
read what is spread over files or nested in records. `columns` and `dialogue_columns` find the columns, `validation`
checks the cells, `labels` finds the classes, `splitting` makes missing splits, `normalizing` contains the rules for
texts, `tokenizing` adds them to a tokenizer, and `building` creates the data sets. `streaming` reads what a trained
model is to classify, row by row. `large` loads files that need not fit into memory, with the help of `in_parts` and
`large_passes`. `addresses` copies a file from its address, with the help of `transfer`, and `databases` reads rows of a
database. `arguments` checks what was passed, `meld` downloads MELD, and `describing` shows what was loaded.

Load a file of your own and look at what was changed:

>>> import tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "reviews.csv")
...     _ = path.write_text('text,label\\n"Well,  fine",pos\\nAwful,neg\\n')
...     data = load(path)
>>> data["train"][0]
{'text': 'Well, fine', 'label': 1}
>>> loading_report(data["train"])["normalized"]
{'surplus spaces': {'texts': 1, 'before': 'Well,  fine', 'after': 'Well, fine'}}
>>> describe(data).loc[["rows", "label: neg", "label: pos"], "train"].tolist()
[2, 1, 1]
"""

from .addresses import local_path
from .arguments import is_address, without_secrets
from .describing import describe, loading_notes, loading_report
from .dialogues import DIALOGUE_COLUMNS, EMOTIONS, SENTIMENTS, load_dialogues, load_meld
from .errors import CorpusError
from .files import SPLITS, cache_folder
from .folders import read_names
from .hub import load_hub
from .large import SeveralLabels, is_large, load_large
from .loading import DATA, OWN, load
from .meld import MELD_SHA256, MELD_SOURCES, PAUSE_LIMIT, meld_folder
from .normalizing import RULES, normalize
from .parsing import DELIMITERS
from .streaming import Stream, stream
from .tables import load_table
from .tokenizing import normalizing_tokenizer
from .validation import MAX_CHARS

__all__ = [
    "DATA",
    "DELIMITERS",
    "DIALOGUE_COLUMNS",
    "EMOTIONS",
    "MAX_CHARS",
    "MELD_SHA256",
    "MELD_SOURCES",
    "OWN",
    "PAUSE_LIMIT",
    "RULES",
    "SENTIMENTS",
    "SPLITS",
    "CorpusError",
    "SeveralLabels",
    "Stream",
    "cache_folder",
    "describe",
    "is_address",
    "is_large",
    "load",
    "load_dialogues",
    "load_hub",
    "load_large",
    "load_meld",
    "load_table",
    "loading_notes",
    "loading_report",
    "local_path",
    "meld_folder",
    "normalize",
    "normalizing_tokenizer",
    "read_names",
    "stream",
    "without_secrets",
]
