"""Contractions: "isn't" becomes "is not" and back, but only where the result is correct English.

The tables in wide use, such as that of marcotcr/checklist, replace blindly: "he's gone" becomes "he is gone", "Isn't it
nice?" becomes "Is not it nice?", and "older than they are now" becomes "older than they're now". A model that stumbles
over such a text has not failed. Here, whatever is ambiguous stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

# "'s" (is, has or a possessive), "'d" (had or would) and "ain't" are not here, because they have several readings.
VERBS = "is are was were do does did has have had could would should must need"
NEGATIONS = {f"{verb}n't": f"{verb} not" for verb in VERBS.split()}
NEGATIONS |= {"can't": "cannot", "won't": "will not", "shan't": "shall not"}
SHORT_FORMS = {"let's": "let us", "i'm": "i am"}
SHORT_FORMS |= {f"{subject}'re": f"{subject} are" for subject in ("you", "we", "they")}
SHORT_FORMS |= {f"{subject}'ll": f"{subject} will" for subject in ("i", "you", "he", "she", "it", "we", "they")}
SHORT_FORMS |= {f"{word}'ve": f"{word} have" for word in ("i", "you", "we", "they", "could", "would", "should", "must")}

# Not "let us" ("please let us know") and not "I have" ("I have to go"), which often cannot be contracted.
LONG_NEGATIONS = {long: short for short, long in NEGATIONS.items()}
LONG_FORMS = {long: short for short, long in SHORT_FORMS.items() if long.endswith((" am", " are", " will"))}
LONG_FORMS |= {f"{subject} is": f"{subject}'s" for subject in ("he", "she", "it", "that", "there")}


def pattern(forms: Iterable[str], before: str = "", after: str = "") -> re.Pattern[str]:
    """Match any of the forms as whole words; the first letter may be a capital, and apostrophes may be typographic."""
    words = "|".join(f"[{form[0].upper()}{form[0]}]{form[1:]}" for form in forms).replace("'", "['’]")
    return re.compile(rf"(?<![\w'’]){before}(?:{words})(?![\w'’]){after}")


# A question turns verb and subject around ("Isn't it?", "Why can't the app ..."), and so does a pronoun after the verb.
NO_QUESTION = r"(?!\s+(?i:i|you|he|she|it|we|they)\b)(?![^.!?\n]*\?)"
SHORT_NEGATION = pattern([*NEGATIONS, *map(str.upper, NEGATIONS)], after=NO_QUESTION)
SHORT_FORM = pattern([*SHORT_FORMS, *map(str.upper, SHORT_FORMS)])
# "could have not known" and "to have not" have no short form.
LONG_NEGATION = pattern(LONG_NEGATIONS, before=r"(?<!ould )(?<!must )(?<!might )(?<!may )(?<!will )(?<!to )")
# What follows shows that the verb does not end its phrase, as it does in "than they are now". What comes before would
# make a longer subject: "both of you are".
LONG_FORM = pattern(
    LONG_FORMS,
    before=r"(?<!of )(?<!like )(?<!and )(?<!or )",
    after=r"(?=\s+(?:an?|the|not|so|very|really|just|going|sure|sorry|glad|happy|be|never|always)\b)",
)


def expand_contractions(text: str, rng: np.random.Generator | None = None) -> str:
    """Write contractions out. Ambiguous ones and questions stay as they are.

    Args:
        text: English. "'s", "'d" and "ain't" have several readings; in a question, the order of the words would change.
        rng: Not used.

    >>> expand_contractions("I'm sure it won't work. Don't try, you can't. Let's go!")
    'I am sure it will not work. Do not try, you cannot. Let us go!'
    >>> unchanged = "She's late, isn't she? Why don't they call? He'd know. It's Ann's."
    >>> expand_contractions(unchanged) == unchanged
    True
    """
    text = SHORT_NEGATION.sub(lambda match: replace(match[0], NEGATIONS), text)
    return SHORT_FORM.sub(lambda match: replace(match[0], SHORT_FORMS), text)


def contract(text: str, rng: np.random.Generator | None = None) -> str:
    """Use the short form of what is written out, where English has one for it.

    Args:
        text: English. A verb in capitals is emphasized and stays: "it is NOT good", "I AM here".
        rng: Not used.

    >>> contract("I am sure it will not work. You cannot win, and they are not here.")
    "I'm sure it won't work. You can't win, and they aren't here."
    >>> unchanged = "Here I am. Let us know if you can not only walk but also run. Both of you are so kind."
    >>> contract(unchanged) == unchanged
    True
    """
    text = LONG_NEGATION.sub(lambda match: replace(match[0], LONG_NEGATIONS), text)
    text = LONG_FORM.sub(lambda match: replace(match[0], LONG_FORMS), text)
    return text


def replace(found: str, forms: dict[str, str]) -> str:
    """Look up what replaces a word, in the same case.

    >>> replace("Isn't", {"isn't": "is not"}), replace("ISN’T", {"isn't": "is not"})
    ('Is not', 'IS NOT')
    """
    replacement = forms[found.lower().replace("’", "'")]
    return replacement.upper() if found.isupper() else found[0] + replacement[1:]
