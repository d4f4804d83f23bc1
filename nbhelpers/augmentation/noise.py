"""Operations beyond EDA: typing errors, and words that a language model proposes."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

from .operations import prepare
from .words import NEGATIONS, WORD, find_protected, free_positions, match_case, normalize, normalize_protected

# The rows of a QWERTY keyboard, and how far each is shifted to the right, in keys.
KEYBOARD_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
KEYS = {
    key: (column + shift, row) for row, (keys, shift) in enumerate(KEYBOARD_ROWS) for column, key in enumerate(keys)
}


def neighbor_keys(key: str) -> str:
    """The keys that touch a key: left, right, above and below.

    >>> neighbor_keys("g"), neighbor_keys("q")
    ('tyfhvb', 'wa')
    """
    x, y = KEYS[key]
    return "".join(
        k for k, (kx, ky) in KEYS.items() if k != key and abs(kx - x) <= (1 if ky == y else 0.9) and abs(ky - y) <= 1
    )


NEIGHBORS = {key: neighbor_keys(key) for key in KEYS}


def make_typos(text: str, rng: random.Random, *, alpha: float = 0.1, protected: Collection[str] = NEGATIONS) -> str:
    """Make one typing error in each chosen word.

    A letter is replaced by a neighbor on a QWERTY keyboard, dropped, doubled or exchanged with the next one; the four
    kinds are equally likely. The first letter stays, as in most real typing errors. Words of fewer than three letters
    and words with digits, such as order numbers, stay as they are.

    Args:
        text: The text to change.
        rng: The source of all random choices.
        alpha: The share of the words to change, above 0 and at most 1; at least one word is changed.
        protected: Words that are not changed, and that no typing error may produce ("now" would become "no").

    >>> make_typos("Where is my parcel, order 55810?", random.Random(1), alpha=0.4)
    'Whhere is my parcel, oredr 55810?'
    """
    parts, num_edits = prepare(text, rng, alpha)
    words = normalize_protected(protected)
    places = [i for i in free_positions(parts, words) if typing_places(parts[i])]
    for i in rng.sample(places, min(num_edits, len(places))):
        kinds = [[typo for typo in kind if not find_protected(typo, words)] for kind in typos_of(parts[i])]
        parts[i] = rng.choice(rng.choice([kind for kind in kinds if kind]))
    return "".join(parts)


def typing_places(word: str) -> list[int]:
    """List the letters of a word that can be mistyped: none in short words and words with digits.

    >>> typing_places("don't"), typing_places("of"), typing_places("ES-94")
    ([1, 2, 4], [], [])
    """
    if len(word) < 3 or any(character.isdigit() for character in word):
        return []
    return [i for i in range(1, len(word)) if word[i].lower() in NEIGHBORS]


def typos_of(word: str) -> list[list[str]]:
    """List all words that one typing error makes of a word, by kind: neighboring key, dropped, doubled, exchanged.

    >>> [kind[-2:] for kind in typos_of("key")]
    [['keg', 'keh'], ['ky', 'ke'], ['keey', 'keyy'], ['kye']]
    """
    letters = typing_places(word)
    return [
        [word[:i] + match_case(key, word[i]) + word[i + 1 :] for i in letters for key in NEIGHBORS[word[i].lower()]],
        [word[:i] + word[i + 1 :] for i in letters],
        [word[:i] + word[i] + word[i:] for i in letters],
        [
            word[:i] + word[i + 1] + word[i] + word[i + 2 :]
            for i in letters
            if i + 1 in letters and word[i] != word[i + 1]
        ],
    ]


def replace_masked_words(
    text: str,
    rng: random.Random,
    *,
    fill: Callable[[list[str]], Sequence[Sequence[str]]],
    mask_token: str = "<mask>",
    alpha: float = 0.1,
    protected: Collection[str] = NEGATIONS,
) -> str:
    """Replace words by what a masked language model proposes for their places.

    The proposals fit the sentence but not the label: for "I love it", a model proposes "hate" as well as "like".
    Protect the words that carry the label, and read a sample.

    The model needs its masked-language head. This course's embedded encoder has none (its head would be random, and so
    would the words), and neither has any encoder that was saved for embeddings or classification. With a model that
    has one:

        pipe = transformers.pipeline("fill-mask", "FacebookAI/roberta-base", top_k=10)

        def fill(texts):  # the pipeline returns a flat list for a single text
            rows = pipe(texts) if len(texts) > 1 else [pipe(texts)]
            return [[proposal["token_str"].strip() for proposal in row] for row in rows]

    Args:
        text, rng, alpha: As in `make_typos`.
        fill: A function from texts with one mask each to a list of candidate words for each text. One of them is
            drawn, all with the same probability. Those that are no whole word, protected or the old word do not count.
        mask_token: How the model writes a mask: "<mask>" for RoBERTa and MPNet, "[MASK]" for BERT.
        protected: Words that are neither replaced nor inserted.

    Raises:
        ValueError: `fill` did not return a list of candidates for each text.

    >>> fill = lambda texts: [["##ed", "love", "prefer"]] * len(texts)  # a stand-in for a model
    >>> replace_masked_words("I like it.", random.Random(0), fill=fill)
    'I prefer it.'
    """
    parts, num_edits = prepare(text, rng, alpha)
    words = normalize_protected(protected)
    free = free_positions(parts, words)
    chosen = rng.sample(free, min(num_edits, len(free)))
    masked_texts = ["".join([*parts[:i], mask_token, *parts[i + 1 :]]) for i in chosen]
    proposals = list(fill(masked_texts)) if chosen else []
    if len(proposals) != len(chosen) or any(isinstance(row, str) for row in proposals):
        raise ValueError(f"fill returned {proposals!r} for {len(chosen)} texts; return a list of words for each text")
    for i, row in zip(chosen, proposals, strict=True):
        candidates = [word.strip() for word in row if is_replacement(word.strip(), parts[i], words)]
        if candidates:
            parts[i] = match_case(rng.choice(candidates), parts[i])
    return "".join(parts)


def is_replacement(word: str, old: str, protected: Collection[str]) -> bool:
    """Whether a candidate is a whole word (not "##ing" or ","), differs from the old one and is not protected."""
    return bool(WORD.fullmatch(word)) and normalize(word) != normalize(old) and not find_protected(word, protected)
