"""Corpora for text classification as `datasets.DatasetDict`; every fault is found here, with file and row.

    load("dialogues")          dialogues written for this course, with the emotion of each turn
    load("reviews")            product reviews written for this course: negative, neutral, positive
    load("meld")               MELD: a local copy, or downloaded once and verified
    load("reviews.csv")        your own file (.csv, .tsv, .jsonl), or a folder with train, dev and test files
    load("dair-ai/emotion")    the Hugging Face Hub

Row numbers are those of a spreadsheet: the header is row 1, and a record is one row even where a quoted text runs over
several lines of the file. A file without a header starts at row 1, JSON Lines count lines, the Hub's rows count from 0.
All text passes `normalize`; what that changed stays with each split: see `describe` and `loading_report`.

The files: `loading` gets from a name to the data, with `tables`, `dialogues` and `hub`, one for each kind of source.
`readers` reads one file, with the help of `encodings` and `parsing`. `validation` checks the cells, `normalizing` has
the rules for texts, `building` makes the data sets. `meld` downloads MELD, `describing` shows what was loaded.

A file of your own, and what loading noted about it:

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

from .describing import describe, loading_report
from .dialogues import DIALOGUE_COLUMNS, EMOTIONS, SENTIMENTS, load_dialogues, load_meld
from .errors import CorpusError
from .hub import load_hub
from .loading import DATA, OWN, load
from .meld import MELD_SHA256, MELD_SOURCES, PAUSE_LIMIT, meld_folder
from .normalizing import RULES, normalize
from .parsing import DELIMITERS
from .readers import SPLITS
from .tables import load_table
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
    "describe",
    "load",
    "load_dialogues",
    "load_hub",
    "load_meld",
    "load_table",
    "loading_report",
    "meld_folder",
    "normalize",
]
