"""The four operations of EDA, each a function from a text and a random generator to a changed text.

EDA is "easy data augmentation" (Wei and Zou 2019, arXiv 1901.11196). Its code also lower-cases the text and removes
punctuation and apostrophes, which turns "can't" into "cant". Here both are kept. `alpha` is the paper's: the share of
the words to change, and at least one word. A text in which nothing can be changed is returned as it is.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection

from .synonyms import Synonyms, default_synonyms
from .words import (
    NEGATIONS,
    SENTENCE_END,
    capitalize,
    find_protected,
    free_positions,
    match_case,
    normalize,
    normalize_protected,
    split_words,
    starts_sentence,
)

ARTICLES = ("a", "an")
VOWEL_SOUND = re.compile(r"(?!uni[^nm]|use|usu|eu|one\b|once)[aeiou]|honest|hono|hour", re.IGNORECASE)


def replace_synonyms(
    text: str,
    rng: random.Random,
    *,
    synonyms: Synonyms | None = None,
    alpha: float = 0.1,
    protected: Collection[str] = NEGATIONS,
) -> str:
    """Replace words by synonyms; capitals and punctuation stay as they are.

    EDA replaces every occurrence of a chosen word; this replaces the chosen one. After "a" and "an", a synonym must
    begin with the same kind of sound.

    Args:
        text: The text to change.
        rng: The source of all random choices.
        synonyms: From `load_synonyms` or `read_wordnet`; by default the table of this folder.
        alpha: The share of the words to replace, above 0 and at most 1; at least one word is replaced.
        protected: Words that are neither replaced nor inserted.

    >>> replace_synonyms("Big, isn't it? It was a huge mistake!", random.Random(1), alpha=0.4)
    "Large, isn't it? It was a massive error!"
    """
    parts, num_edits = prepare(text, rng, alpha)
    choices = find_synonyms(parts, synonyms, normalize_protected(protected))
    for i in rng.sample(list(choices), min(num_edits, len(choices))):
        parts[i] = match_case(rng.choice(choices[i]), parts[i])
    return "".join(parts)


def insert_synonyms(
    text: str,
    rng: random.Random,
    *,
    synonyms: Synonyms | None = None,
    alpha: float = 0.1,
    protected: Collection[str] = NEGATIONS,
) -> str:
    """Insert synonyms of words of the text, each after a random word that is not protected.

    Arguments as in `replace_synonyms`; `alpha` is the number of insertions as a share of the number of words.

    >>> insert_synonyms("That was a huge mistake!", random.Random(1))
    'That was a huge gigantic mistake!'
    """
    parts, num_edits = prepare(text, rng, alpha)
    words = normalize_protected(protected)
    choices = find_synonyms(parts, synonyms, words)
    # Not after an article, because "a" and "an" would no longer fit the next word.
    places = [i for i in free_positions(parts, words) if parts[i].lower() not in ARTICLES]
    if not choices or not places:
        return text
    for i in rng.choices(list(choices), k=num_edits):
        word = rng.choice(choices[i])
        parts[rng.choice(places)] += f" {word.upper() if text.isupper() else word}"  # before the next punctuation
    return "".join(parts)


def swap_words(text: str, rng: random.Random, *, alpha: float = 0.1, protected: Collection[str] = NEGATIONS) -> str:
    """Let pairs of words change places. Punctuation stays, and a sentence still begins with a capital letter.

    Args:
        text, rng: As in `replace_synonyms`.
        alpha: The number of swaps as a share of the number of words; at least one.
        protected: Words that keep their place. A swap around a negation can still change what is negated.

    >>> swap_words("She came home late, and I left.", random.Random(2))
    'Left came home late, and I she.'
    """
    parts, num_swaps = prepare(text, rng, alpha)
    free = free_positions(parts, normalize_protected(protected))
    for _ in range(num_swaps):
        if not free:
            break
        i = rng.choice(free)
        partners = [j for j in free if normalize(parts[j]) != normalize(parts[i])]
        if not partners:  # fewer than two different words are left
            break
        j = rng.choice(partners)
        new_words = without_capital(parts, j), without_capital(parts, i)
        for place, word in zip((i, j), new_words, strict=True):
            parts[place] = capitalize(word) if opens_sentence(parts, place) else word
        free = [k for k in free if k not in (i, j)]  # so that a later swap cannot undo this one
    return "".join(parts)


def delete_words(text: str, rng: random.Random, *, alpha: float = 0.1, protected: Collection[str] = NEGATIONS) -> str:
    """Delete each word with probability `alpha`; at least one is deleted, and at least one is left.

    Args:
        text, rng: As in `replace_synonyms`.
        alpha: The probability, above 0 and at most 1.
        protected: Words that are not deleted. With an empty set, "not good" can become "good".

    >>> delete_words("Well, that is not bad, really.", random.Random(3), alpha=0.3)
    'That is not bad, really.'
    """
    parts, _ = prepare(text, rng, alpha)
    free = free_positions(parts, normalize_protected(protected))
    num_words = len(parts) // 2
    if num_words < 2 or not free:
        return text
    chosen = [i for i in free if rng.random() < alpha] or [rng.choice(free)]
    if len(chosen) == num_words:
        chosen.remove(rng.choice(chosen))
    for i in reversed(chosen):  # from the end, so that the earlier indices stay right
        was_capital = opens_sentence(parts, i)
        parts[i - 1 : i + 2] = [join_gaps(parts, i)]
        if was_capital and i < len(parts):  # parts[i] is the next word now
            parts[i] = capitalize(parts[i])
    return "".join(parts).strip()


def join_gaps(parts: list[str], i: int) -> str:
    """Choose what is between the neighbors of word i once it is gone: the gap before or after it.

    The end of the sentence before it stays as it is, and so does the end of its own, or else a comma.
    """
    before, after = parts[i - 1], parts[i + 1]
    if starts_sentence(parts, i):
        return before
    if SENTENCE_END.search(after) or not before.strip():
        return after
    is_last = i + 2 == len(parts)
    return before.rstrip(" ,;:") if is_last else before


def opens_sentence(parts: list[str], i: int) -> bool:
    """Whether the word parts[i] begins a sentence with a capital letter."""
    return starts_sentence(parts, i) and parts[i][0].isupper()


def without_capital(parts: list[str], i: int) -> str:
    """The word parts[i] as it is inside a sentence: "The" at the beginning becomes "the"; I and NASA stay."""
    word = parts[i]
    if word.isupper() or normalize(word).startswith("i'") or not opens_sentence(parts, i):
        return word
    return word[0].lower() + word[1:]


def find_synonyms(parts: list[str], synonyms: Synonyms | None, protected: Collection[str]) -> dict[int, list[str]]:
    """Find the words that have synonyms: index in `parts` -> the synonyms that fit there."""
    table = default_synonyms() if synonyms is None else synonyms
    choices = {}
    for i in free_positions(parts, protected):
        words = [word for word in table.get(parts[i].lower(), ()) if not find_protected(word, protected)]
        if i > 1 and parts[i - 2].lower() in ARTICLES:
            has_vowel = bool(VOWEL_SOUND.match(parts[i]))
            words = [word for word in words if bool(VOWEL_SOUND.match(word)) == has_vowel]
        if words:
            choices[i] = words
    return choices


def prepare(text: str, rng: random.Random, alpha: float) -> tuple[list[str], int]:
    """Check the arguments that all operations have; return the parts of the text and the number of words to change."""
    if not isinstance(text, str):
        raise ValueError(f"the text is {text!r}; pass one string (the function augment takes a list of texts)")
    if not isinstance(rng, random.Random):
        raise ValueError(
            f"rng is {rng!r}; pass a generator such as random.Random(0), so that the result can be repeated"
        )
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha={alpha}: pass the share of the words to change, above 0 and at most 1")
    parts = split_words(text)
    return parts, max(1, int(alpha * (len(parts) // 2) + 1e-9))  # 0.29 * 100 is 28.999999999999996
