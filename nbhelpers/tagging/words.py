"""From a text to its words, and back to positions in the text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import regex

from .errors import TagError
from .schemes import Entity

# Scripts that put no space between words. Each letter is a word of its own there: a name could not be found inside of a
# "word" that is a whole sentence.
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}--\p{N}]"
# Letters and digits with the accents that follow them, also joined by one of . ' - & /, as in U.S., O'Hara, T-shirt.
# Everything else is a word for each character as a reader sees it: an emoji of five code points is one.
LETTER, INNER = rf"[[\p{{L}}\p{{N}}]--{UNSPACED}]", rf"[[\p{{L}}\p{{M}}\p{{N}}_]--{UNSPACED}]"
WORD = regex.compile(rf"(?V1){UNSPACED}\p{{M}}*|{INNER}+(?:[.'’&/-]{LETTER}{INNER}*)*|(?!\s)\X")


class Word(NamedTuple):
    """A word of a text: text[start:stop]."""

    start: int
    stop: int
    text: str


class Mention(NamedTuple):
    """An entity in a text: text[start:stop], counted in Python's characters (code points)."""

    start: int
    stop: int
    type: str


def split_words(text: str, cuts: Sequence[int] = ()) -> list[Word]:
    """Divide a text into words. The possessive 's is a word of its own, as in CoNLL-2003.

    Args:
        text: any text.
        cuts: positions in the text where a word must end, because an entity begins or ends there.

    >>> [word.text for word in split_words("Ann's café in St. Louis, U.S. 👩‍🚀!")]
    ['Ann', "'s", 'café', 'in', 'St', '.', 'Louis', ',', 'U.S', '.', '👩‍🚀', '!']
    >>> [word.text for word in split_words("李雷在北京")]
    ['李', '雷', '在', '北', '京']
    """
    words = []
    for match in WORD.finditer(text):
        start, stop = match.span()
        if match[0].lower().endswith(("'s", "’s")) and stop - start > 2:
            inner = [start, stop - 2, stop]
        else:
            inner = [start, stop]
        edges = sorted({*inner, *(cut for cut in cuts if start < cut < stop)})
        words += [Word(a, b, text[a:b]) for a, b in itertools.pairwise(edges)]
    return words


def to_words(words: Sequence[Word], mentions: Sequence[Mention]) -> list[Entity]:
    """Return which words each mention has.

    Raises:
        TagError: a mention has no word, or shares one with another mention.
    """
    found: list[Entity] = []
    for mention in sorted(mentions):
        inside = [i for i, word in enumerate(words) if word.start < mention.stop and word.stop > mention.start]
        if not inside:
            raise TagError(f"the entity at {mention.start} to {mention.stop} ({mention.type}) contains no word")
        if found and inside[0] < found[-1].stop:
            raise TagError(f"the entity at {mention.start} to {mention.stop} overlaps with another one; remove one")
        found.append(Entity(inside[0], inside[-1] + 1, mention.type))
    return found


def to_text(words: Sequence[Word], found: Sequence[Entity]) -> list[Mention]:
    """Return where the entities are in the text.

    >>> words = split_words("Ana Lobo left.")
    >>> to_text(words, [Entity(0, 2, "PER")])
    [Mention(start=0, stop=8, type='PER')]
    """
    return [Mention(words[start].start, words[stop - 1].stop, entity_type) for start, stop, entity_type in found]
