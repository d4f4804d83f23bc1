"""The words of a text and what is between them, and the words that no operation may change."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection


def word_set(words: str) -> frozenset[str]:
    """The words of a string, as a set."""
    return frozenset(words.split())


_VERBS = word_set("ai are ca could dare did do does had has have is might must need ought sha should was were wo would")
NEGATIONS = word_set(
    """
    no nope nah not never none noone nobody nothing nowhere neither nor cannot without hardly barely scarcely rarely
    seldom
    """
) | {verb + ending for verb in _VERBS for ending in ("n't", "nt")}  # many people write "dont"
EMOTION_WORDS = word_set(
    """
    adore adored adores afraid alone amazed amazing angry annoyed annoying anxious ashamed astonished awesome awful
    bad beautiful best bored boring brilliant crazy creepy cried cry crying dead delighted depressed desperate
    devastated died disappointed disappointing disgusted disgusting dreadful embarrassed enjoy enjoyed excellent
    excited exciting fantastic fear fine frightened frightening fun funny furious glad good grateful great gross
    happily happy hate hated hates heartbroken hope horrible horrified hurt incredible jealous joy laugh laughed
    laughing livid lonely love loved lovely loves mad miserable miss nasty nervous nice perfect petrified pleased poor
    proud revolting ruined sad scared scary shocked shocking sick sorry stupid superb surprised terrible terrific
    terrified terrifying thrilled ugly unhappy upset useless weird wonderful worried worry worse worst worthless wow
    yuck
    """
)  # words of feeling and judgment, which carry the label where the task is emotion or sentiment

# A word begins and ends with a letter or digit, so "3.50", "don't" and "shop.com" are one word each. A dash ends it.
WORD = re.compile(r"([^\W_](?:[^\s—–…]*[^\W_])?)")
PIECE = re.compile(r"[^\W_]+(?:'[^\W_]+)*")  # "not-so-good" has the pieces not, so, good
SENTENCE_END = re.compile(r"[.?!…\n]")


def split_words(text: str) -> list[str]:
    """Split a text into its words (odd indices) and what is around them (even indices); join the parts to get it back.

    >>> split_words("Oh, it's 3.50!")
    ['', 'Oh', ', ', "it's", ' ', '3.50', '!']
    """
    return WORD.split(text)


def normalize(text: str) -> str:
    """Lower-case a text, with straight apostrophes, so that "Don’t" and "don't" are one word."""
    return text.lower().replace("’", "'")


def normalize_protected(protected: Collection[str]) -> frozenset[str]:
    """Normalize the words of an argument `protected`, and refuse a single string, which is a collection of letters."""
    if isinstance(protected, str):
        raise ValueError(f"protected={protected!r} is one string; pass a set of words, such as {{{protected!r}}}")
    return frozenset(map(normalize, protected))


def find_protected(text: str, protected: Collection[str]) -> list[str]:
    """List the protected words of a text in their order. `protected` comes from `normalize_protected`."""
    return [piece for piece in PIECE.findall(normalize(text)) if piece in protected]


def free_positions(parts: list[str], protected: Collection[str]) -> list[int]:
    """List the indices of the words in `parts` that an operation may change."""
    return [i for i in range(1, len(parts), 2) if not find_protected(parts[i], protected)]


def starts_sentence(parts: list[str], i: int) -> bool:
    """Whether the word parts[i] is the first of the text or of a sentence."""
    return i == 1 or bool(SENTENCE_END.search(parts[i - 1]))


def capitalize(word: str) -> str:
    """Write the first letter as a capital and leave the others as they are.

    >>> capitalize("iPhone"), "iPhone".capitalize()
    ('IPhone', 'Iphone')
    """
    return word[:1].upper() + word[1:]


def match_case(new: str, old: str) -> str:
    """Write a new word as the old one is written: in capitals, with a capital letter, or as it is.

    >>> match_case("large", "Big"), match_case("large", "BIG"), match_case("large", "big"), match_case("an", "I")
    ('Large', 'LARGE', 'large', 'An')
    """
    if old.isupper() and len(old) > 1:
        return new.upper()
    return capitalize(new) if old[:1].isupper() else new


def breaks_label(text: str, new: str, protected: Collection[str] = NEGATIONS) -> list[str]:
    """List the protected words that are in only one of two texts: dropped, replaced or added; [] if there are none.

    Use it to count the labels that an operation without protection may have broken. It counts words, so it does not
    see that a negation has moved to another place.

    Args:
        text: The original.
        new: The augmented text.
        protected: The words that carry the label, for instance NEGATIONS | EMOTION_WORDS, or {"refund", "cancel"}.

    >>> breaks_label("I do not like it.", "I do like it."), breaks_label("I know.", "I no.")
    (['not'], ['no'])
    >>> breaks_label("Great. I don't mind.", "Terrific. I don't mind."), breaks_label("Great.", "Big.", EMOTION_WORDS)
    ([], ['great'])
    """
    words = normalize_protected(protected)
    before, after = Counter(find_protected(text, words)), Counter(find_protected(new, words))
    return sorted(((before - after) + (after - before)).elements())
