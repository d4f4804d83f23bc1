"""Tables of synonyms: the one of this folder, a file of your own, or WordNet."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .words import word_set

Synonyms = Mapping[str, Sequence[str]]  # a word in lower case -> the words that can replace it
PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")  # as WordNet names its files
# Function words that WordNet knows only as adverbs or adjectives, and number words, for which it gives Roman numerals.
STOP_WORDS = word_set(
    """
    about above after ahead along also always around as away before between but by done down each ever further given
    gone hardly in just little more most needs next no not off on only out over past rather said so taken then through
    too under up very well whatever within yet
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
    """
)


def load_synonyms(path: str | Path | None = None) -> dict[str, list[str]]:
    """Read a table of synonyms; by default synonyms.txt in this folder, with about 600 sets of everyday words.

    Args:
        path: A UTF-8 text file with one set of words per line, separated by commas. Empty lines and lines that begin
            with "#" do not count.

    Returns:
        Each word in lower case, with the other words of its sets in the order of the file.

    Raises:
        ValueError: A line has fewer than two words.

    >>> load_synonyms()["gigantic"]
    ['huge', 'enormous', 'massive']
    """
    path = Path(__file__).with_name("synonyms.txt") if path is None else Path(path)
    synonyms: dict[str, list[str]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = [word.strip().lower() for word in line.split(",") if word.strip()]
        if not words or line.startswith("#"):
            continue
        if len(words) < 2:
            raise ValueError(
                f"{path.name}, line {number}: {words[0]!r} is alone; write at least two words, with commas"
            )
        for word in words:
            synonyms.setdefault(word, []).extend(other for other in words if other != word)
    return synonyms


@functools.cache
def default_synonyms() -> Synonyms:
    """The table of this folder, which is read once."""
    return load_synonyms()


def read_wordnet(folder: str | Path, parts_of_speech: Sequence[str] = ("adj", "adv")) -> dict[str, list[str]]:
    """Read synonyms from WordNet's files, in the format that wndb(5) describes.

    A word gets the other words of its most frequent sense, in the part of speech that it mostly has: "like" is mostly
    a verb, so "I like it" never becomes "I similar it". Stop words are left out, as in the paper on EDA, and so are
    names and expressions of several words. WordNet lists base forms only, so with "noun" and "verb" plurals and past
    forms are not replaced. It has more synonyms than `load_synonyms`, but many are rare or wrong today: it replaces
    "maybe" by "peradventure" and "awesome" by "awful". Read a sample before you train on them.

    Args:
        folder: The folder with index.noun, data.noun and so on: Debian's package wordnet-base has them in
            /usr/share/wordnet, and nltk in nltk_data/corpora/wordnet.
        parts_of_speech: Which words to take: "noun", "verb", "adj", "adv".

    Raises:
        ValueError: The folder is not WordNet's, or a part of speech is unknown.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for part in PARTS_OF_SPEECH:
    ...     _ = folder.joinpath(f"index.{part}").write_text("glad a 1 0 1 1 00000017" if part == "adj" else "")
    >>> _ = folder.joinpath("data.adj").write_text("  1 a license\\n00000017 00 a 02 glad 0 happy(p) 0 000 | pleased")
    >>> read_wordnet(folder, ["adj"])
    {'glad': ['happy']}
    """
    folder = Path(folder)
    if unknown := set(parts_of_speech) - set(PARTS_OF_SPEECH):
        raise ValueError(f"parts_of_speech has {sorted(unknown)[0]!r}; WordNet has {', '.join(PARTS_OF_SPEECH)}")
    if not all(folder.joinpath(f"index.{part}").exists() for part in PARTS_OF_SPEECH):
        raise ValueError(f"{folder} has no index.noun; pass WordNet's folder, such as /usr/share/wordnet")
    senses: dict[
        str, tuple[int, str, str]
    ] = {}  # word -> how many senses are tagged in texts, part of speech, first sense
    for part in PARTS_OF_SPEECH:
        for fields in read_fields(folder / f"index.{part}"):
            num_senses = int(fields[2])
            num_tagged, first_sense = int(fields[-num_senses - 1]), fields[-num_senses]
            senses[fields[0]] = max(senses.get(fields[0], (-1, "", "")), (num_tagged, part, first_sense))
    synonyms: dict[str, list[str]] = {}
    sets = {part: read_sets(folder / f"data.{part}") for part in parts_of_speech}
    for word, (_, part, sense) in senses.items():
        others = [other for other in sets[part][sense] if other != word] if part in sets else []
        if others and word.isalpha() and word not in STOP_WORDS:
            synonyms[word] = others
    return synonyms


def read_sets(path: Path) -> dict[str, list[str]]:
    """Read the sets of synonyms of a WordNet data file: the position of the set in the file -> its single words."""
    sets = {}
    for fields in read_fields(path):
        num_words = int(fields[3], 16)
        words = [re.sub(r"\(.*\)", "", word) for word in fields[4 : 4 + 2 * num_words : 2]]  # "(p)" is a usage mark
        sets[fields[0]] = [word for word in words if word.isalpha() and word.islower()]
    return sets


def read_fields(path: Path) -> list[list[str]]:
    """Read the lines of a WordNet file as lists of fields, without the license, whose lines begin with a space."""
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != " "]
