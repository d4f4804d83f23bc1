"""Perturbations: small changes of a text, most of which should not change its label.

A perturbation is a function `perturb(text, rng) -> text`. It returns the text as it is where it does not apply. All
are written for English. Set their options with `functools.partial`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .contractions import contract, expand_contractions
from .names import swap_names

Perturbation = Callable[[str, np.random.Generator], str]

# Each key of a QWERTY keyboard, and the keys around it.
KEYS = (
    "q:wa w:qeas e:wrsd r:etdf t:ryfg y:tugh u:yihj i:uojk o:ipkl p:ol a:qwsz s:weadzx d:ersfxc f:rtdgcv g:tyfhvb "
    "h:yugjbn j:uihknm k:iojlm l:opk z:asx x:zsdc c:xdfv v:cfgb b:vghn n:bhjm m:njk"
)
NEIGHBORS = dict(pair.split(":") for pair in KEYS.split())
# What makes a sentence negative already, so that a second "not" would cancel the first.
NEGATIVE = re.compile(r"n['’]t\b|\b(?:not|no|never|nothing|nobody|none|nor|neither|hardly|barely|cannot)\b", re.I)
# A form of "to be" after its subject, unless what follows is a clause ("is that", "was when") or restricts it ("only").
TO_BE = re.compile(
    r"(?:(?<=\w )(?:is|are|was|were)|(?<=\bI )am|\b(?:it|that|he|she|there)['’]s|\bI['’]m|\b(?:you|we|they)['’]re)"
    r"(?=\s+[a-z])(?!\s+(?:that|what|why|how|when|where|who|because|if|to|only|just|all)\b)",
    re.I,
)


def perturb_texts(texts: Sequence[str], perturbation: Perturbation, *, seed: int = 0) -> list[str]:
    """Perturb each text. The result for a text depends on the text and the seed only, not on the texts beside it.

    Args:
        texts: [texts].
        perturbation: A function of a text and a generator of random numbers, which returns a text.
        seed: From 0.

    Returns:
        [texts], in the same order. Texts to which the perturbation does not apply are unchanged.

    Raises:
        ValueError: The perturbation returns no text, or nothing is left of a text.

    >>> perturb_texts(["What a lovely room", "ok"], add_typos)
    ['What a lovely rooom', 'ok']
    """
    results = []
    for row, text in enumerate(texts):
        result = perturbation(text, generator_for(text, seed))
        if not isinstance(result, str) or (text.strip() and not result.strip()):
            raise ValueError(
                f"text {row}: the perturbation returned {result!r} for {text[:50]!r}; return the text as it is where "
                "the perturbation does not apply"
            )
        results.append(result)
    return results


def generator_for(text: str, seed: int) -> np.random.Generator:
    """Make a generator of random numbers for one text."""
    # Not Python's hash(), which differs from one process to the next.
    return np.random.default_rng([seed, zlib.crc32(text.encode("utf-8", "surrogatepass"))])


def add_typos(text: str, rng: np.random.Generator, *, share: float = 0.1) -> str:
    """Mistype some words: hit a key beside the right one, swap two letters, leave one out, or type it twice.

    Only words of four letters or more, and never the first letter: "not" could become "now". Every typo changes the
    text; swapping two random neighbors, as marcotcr/checklist does, often swaps the same letter ("ll").

    Args:
        share: Of the words of four letters or more, above 0 up to 1. At least one word gets a typo.

    >>> add_typos("The battery lasts forever", np.random.default_rng(1), share=1.0)
    'The batteru laste flrever'
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: pass the share of words that get a typo, above 0 and at most 1")
    words = list(re.finditer(r"\b[A-Za-z]{4,}\b", text))
    if not words:
        return text
    chosen = rng.choice(len(words), max(1, round(share * len(words))), replace=False)
    for index in sorted(chosen, reverse=True):  # from the end, so that the positions of the other words stay valid
        start, end = words[index].span()
        text = text[:start] + mistype(text[start:end], rng) + text[end:]
    return text


def mistype(word: str, rng: np.random.Generator) -> str:
    """Put one typo into a word of at least two ASCII letters, behind its first letter."""
    at = int(rng.integers(1, len(word)))
    before, letter, after = word[:at], word[at], word[at + 1 :]
    kind = rng.choice(["neighbor", "swap", "omit", "double"])
    if kind == "omit":
        return before + after
    if kind == "double":
        return before + letter + letter + after
    if kind == "swap" and after and after[0] != letter:
        return before + after[0] + letter + after[1:]
    keys = NEIGHBORS[letter.lower()]
    key = keys[rng.integers(len(keys))]
    return before + (key.upper() if letter.isupper() else key) + after


def upper_case(text: str, rng: np.random.Generator | None = None) -> str:
    """Write everything in capitals. An uncased tokenizer undoes this, so that such a model cannot fail."""
    return text.upper()


def lower_case(text: str, rng: np.random.Generator | None = None) -> str:
    """Write everything in small letters."""
    return text.lower()


def title_case(text: str, rng: np.random.Generator | None = None) -> str:
    """Start every word with a capital.

    >>> title_case("it isn't NASA's")  # str.title makes "Isn'T Nasa'S" of it
    "It Isn't NASA's"
    """
    return re.sub(r"(?<!\w)(?<!\w['’])[^\W\d_]", lambda match: match[0].upper(), text)


def drop_final_period(text: str, rng: np.random.Generator | None = None) -> str:
    """Drop a period at the end. "!", "?" and "..." stay, because emotions and intents depend on them.

    >>> drop_final_period("It broke."), drop_final_period("It broke!"), drop_final_period("It broke...")
    ('It broke', 'It broke!', 'It broke...')
    """
    return re.sub(r"(?<=\w)\.\s*$", "", text)


def add_final_period(text: str, rng: np.random.Generator | None = None) -> str:
    """Add a period to a text that ends with a letter or a digit."""
    return re.sub(r"(?<=\w)\s*$", ".", text, count=1)


def change_numbers(text: str, rng: np.random.Generator) -> str:
    """Change the last digit of every whole number with two or more digits, which keeps its size.

    Ratings, shares, times, decimals and codes stay as they are: "10/10", "95 %", "10 stars", "7:30", "A40". A date can
    become one that does not exist.

    >>> change_numbers("Order 4711 took 12 days, 10/10 from me", np.random.default_rng(0))
    'Order 4719 took 18 days, 10/10 from me'
    """
    not_before = r"(?<![\w/.,:%#-])(?<!out of )"
    not_after = r"(?![\w/:%-]|[.,]\d|\s*(?:%|percent\b|stars?\b|points?\b|out of\b))"
    return re.sub(
        rf"{not_before}(\d+)(\d){not_after}",
        lambda match: match[1] + str((int(match[2]) + rng.integers(1, 10)) % 10),
        text,
    )


def double_spaces(text: str, rng: np.random.Generator | None = None) -> str:
    """Make every space two. BERT's tokenizer ignores this, but RoBERTa's makes tokens of it."""
    return text.replace(" ", "  ")


def add_negation(text: str, rng: np.random.Generator | None = None) -> str:
    """Add "not" to the first form of "to be" in each sentence. This changes the label; use it with `direction`.

    Questions, sentences that are negative already and forms before a clause ("is that", "was when") stay as they are.
    The rule is simple and knows no grammar: read some results before you trust it.

    >>> add_negation("The room was clean, and it's quiet. Is it cheap? I wasn't sad.")
    "The room was not clean, and it's quiet. Is it cheap? I wasn't sad."
    """

    def negate(sentence: re.Match[str]) -> str:
        if "?" in sentence[0] or NEGATIVE.search(sentence[0]):
            return sentence[0]
        return TO_BE.sub(lambda match: f"{match[0]} not", sentence[0], count=1)

    return re.sub(r"[^.!?\n]+[.!?]*", negate, text)


# The default checks of `invariance`.
INVARIANT: Mapping[str, Perturbation] = {
    "typos": add_typos,
    "upper case": upper_case,
    "lower case": lower_case,
    "title case": title_case,
    "contractions expanded": expand_contractions,
    "contractions used": contract,
    "names swapped": swap_names,
    "final period dropped": drop_final_period,
    "final period added": add_final_period,
    "numbers changed": change_numbers,
    "spaces doubled": double_spaces,
}
