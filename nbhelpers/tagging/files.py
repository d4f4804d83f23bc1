"""Files with tagged sentences: CoNLL's, a word per line, and JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import TagError
from .schemes import detect, fault, parse, tags_of, to_iob2
from .words import Mention, split_words, to_words

CONLL = (".conll", ".conll03", ".bio", ".iob", ".iob2", ".bioes", ".txt", ".tsv", ".testa", ".testb", ".train", ".dev")
JSON_LINES = (".jsonl", ".ndjson")
SPACES = re.compile("[ \t]+")  # not other spaces, which can be in a word: "10 000" with a space that keeps it together
DOCUMENT = "-DOCSTART-"  # CoNLL-2003's mark of a new document, which is no sentence


class Sentence(NamedTuple):
    """The words of a sentence, and their tags in IOB2. `line` is where it begins in its file."""

    words: list[str]
    tags: list[str]
    line: int = 0


def read(path: str | Path, *, scheme: str | None = None, word_column: int = 0, tag_column: int = -1) -> list[Sentence]:
    """Read tagged sentences, and return them in IOB2, whatever scheme the file has.

    Two kinds of files are known. CoNLL's have a word per line, with its tag in the last column and an empty line after
    each sentence; columns are separated by spaces or tabs. JSON lines have a sentence per line, either as {"tokens":
    [...], "tags": [...]} ("ner_tags" is known as well), or as a text with positions: {"text": "Ann left.", "entities":
    [{"start": 0, "end": 3, "label": "PER"}]}, where end is the position after the last character.

    Args:
        path: the file, in UTF-8.
        scheme: of the tags; by default the one that the tags follow.
        word_column, tag_column: of a CoNLL file, counted from 0, or from the end with negative numbers.

    Raises:
        TagError: the file is missing, empty or broken, or its tags follow no scheme. The message names the line.
    """
    path = Path(path)
    if path.suffix.lower() in JSON_LINES:
        sentences = list(json_lines(path))
    elif path.suffix.lower() in CONLL:
        sentences = list(conll(path, word_column, tag_column))
    else:
        raise TagError(f"{path.name}: the suffix is not one of {', '.join((*CONLL, *JSON_LINES))}; rename the file")
    if not sentences:
        raise TagError(f"{path} has no sentences; check that it was saved and copied completely")
    return in_iob2(path, sentences, scheme)


def in_iob2(path: Path, sentences: Sequence[Sentence], scheme: str | None) -> list[Sentence]:
    """Return the sentences with their tags in IOB2. As `read`."""
    step = 0 if path.suffix.lower() in JSON_LINES else 1  # lines from one word to the next
    try:
        if scheme is None:
            scheme = detect([sentence.tags for sentence in sentences])
        for number, sentence in enumerate(sentences):
            if found := fault(sentence.tags, scheme):
                raise TagError(found[1], number, found[0])
    except TagError as error:
        if error.sentence is None or error.word is None:
            raise
        place = sentences[error.sentence].line + step * error.word
        raise TagError(f"{path.name}, line {place}: {error}; correct it, or pass scheme=") from error
    return [sentence._replace(tags=to_iob2(sentence.tags, scheme)) for sentence in sentences]


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line. A missing file, or one in another encoding, raises TagError."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip("\r\n")
    except OSError as error:
        raise TagError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise TagError(f"{path} is not in UTF-8; save it in that encoding") from error


def conll(path: Path, word_column: int, tag_column: int) -> Iterator[Sentence]:
    """Yield the sentences of a CoNLL file, with the tags as they are. As `read`."""
    words: list[str] = []
    tags: list[str] = []
    first, num_columns = 0, 0
    for number, line in lines_of(path):
        columns = line.split("\t") if "\t" in line else SPACES.split(line.strip(" "))
        if not line.strip() or columns[0] == DOCUMENT:
            if words:
                yield Sentence(words, tags, first)
            words, tags = [], []
            continue
        if line.startswith("# ") and not words and not (len(columns) == (num_columns or 2) and is_tag(columns[-1])):
            continue  # a comment before a sentence, as in CoNLL-U; "# O" is the word # as in "# nofilter"
        num_columns = num_columns or len(columns)
        if len(columns) != num_columns or num_columns < 2:
            raise TagError(
                f"{path.name}, line {number}: {len(columns)} columns, but {max(2, num_columns)} are expected; write "
                "word and tag, with a space or a tab between them"
            )
        try:
            word, tag = columns[word_column].strip(" "), columns[tag_column].strip()
        except IndexError as error:
            raise TagError(f"{path.name}, line {number}: there are only {num_columns} columns") from error
        first = first if words else number
        words.append(word)
        tags.append(checked(tag, f"{path.name}, line {number}"))
    if words:
        yield Sentence(words, tags, first)


def json_lines(path: Path) -> Iterator[Sentence]:
    """Yield the sentences of a file with JSON lines, with the tags as they are. As `read`."""
    for number, line in lines_of(path):
        if not line.strip():
            continue
        place = f"{path.name}, line {number}"
        try:
            record: Any = json.loads(line)
            if "text" in record:
                words, tags = from_positions(record["text"], record["entities"], place)
            else:
                words = [str(word) for word in record["tokens"]]
                tags = [checked(tag, place) for tag in record["tags" if "tags" in record else "ner_tags"]]
        except (json.JSONDecodeError, KeyError, TypeError, IndexError) as error:
            raise TagError(
                f'{place}: it is not {{"tokens": [...], "tags": [...]}} or {{"text": ...}} with entities'
            ) from error
        if len(words) != len(tags):
            raise TagError(f"{place}: {len(words)} tokens, but {len(tags)} tags; each token needs one")
        if words:
            yield Sentence(words, tags, number)


def from_positions(text: str, given: Sequence[Any], place: str) -> tuple[list[str], list[str]]:
    """Return the words of a text and their tags.

    Args:
        text: the text.
        given: its entities as {"start", "end", "label"}, or as [start, end, label].
        place: for errors.
    """
    mentions = [Mention(x["start"], x["end"], x["label"]) if isinstance(x, dict) else Mention(*x) for x in given]
    for start, stop, label in mentions:
        if not (isinstance(start, int) and isinstance(stop, int) and 0 <= start < stop <= len(text)):
            raise TagError(f"{place}: an entity from {start} to {stop} is not within the {len(text)} characters")
        checked(f"B-{label}", place)
    words = split_words(text, [cut for mention in mentions for cut in mention[:2]])
    try:
        found = to_words(words, mentions)
    except TagError as error:
        raise TagError(f"{place}: {error}") from error
    return [word.text for word in words], tags_of(len(words), found)


def is_tag(text: str) -> bool:
    """Whether a text is a tag.

    >>> is_tag("B-PER"), is_tag("text")
    (True, False)
    """
    try:
        parse(text)
    except TagError:
        return False
    return True


def checked(tag: Any, place: str) -> str:
    """Return a tag, or raise TagError with its place for something that is none."""
    if not isinstance(tag, str):
        raise TagError(f"{place}: {tag!r} is not a tag; write tags as text, such as B-PER")
    try:
        parse(tag)
    except TagError as error:
        raise TagError(f"{place}: {error}") from error
    return tag


def write_conll(sentences: Sequence[Sentence], path: str | Path) -> None:
    """Write sentences as a CoNLL file: a word and its tag per line, an empty line after each sentence."""
    blocks = ("".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)) for words, tags, _ in sentences)
    Path(path).write_text("\n".join(blocks), encoding="utf-8")
