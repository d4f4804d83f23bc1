"""Normalize texts: one spelling for quotes, spaces and line breaks, and no invisible characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import partial

CP1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
QUOTES = dict.fromkeys(range(0x2018, 0x201C), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
# Emoji, and the scripts whose spelling uses joiners. Left out are the two spaces, and Latin, Greek and Hebrew letters
# that another rule turns into characters outside these ranges: normalizing twice would then remove one more joiner
JOINABLE = re.compile("[\u0600-\u167f\u1681-\u1cff\u2190-\u2fff\u3001-\ufb1c\ufb50-\U0010ffff]")
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
LINE_BREAKS = re.compile("[\n\r\x0b\x0c\x1c-\x1f\u2028\u2029]+")
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f]")
SPACES = re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
VIRAMA = 9  # the combining class of the signs that take the vowel from a consonant, in Hindi, Bengali, Malayalam ...


def without_stray_joiners(text: str) -> str:
    """Return `text` with only those joiners (U+200C, U+200D) that change how it is written.

    They stay between two characters that can be joined. After a virama they stay at the end of a word as well, where
    they choose the form of the last letter.
    """
    if "\u200c" not in text and "\u200d" not in text:
        return text
    return re.sub("[\u200c\u200d]", lambda joiner: joiner[0] if is_joining(text, joiner.start()) else "", text)


def is_joining(text: str, position: int) -> bool:
    """Return whether the joiner at a position in the text changes how its neighbors are written."""
    before = up_to_letter(text[i] for i in range(position - 1, -1, -1))
    after = up_to_letter(text[i] for i in range(position + 1, len(text)))
    if any(unicodedata.combining(character) == VIRAMA for character in before):
        return True
    return JOINABLE.search(before) is not None and JOINABLE.search(after) is not None


def up_to_letter(characters: Iterable[str]) -> str:
    """Return the combining marks at the beginning, and what follows them.

    Their order is of no importance to the caller, because "Unicode NFC" may change it.
    """
    found = ""
    for character in characters:
        found += character
        if not unicodedata.combining(character):
            break
    return found


RULES: dict[str, Callable[[str], str]] = {  # applied in this order
    "cp1252 characters": lambda text: text.translate(CP1252),
    "curly quotes": lambda text: text.translate(QUOTES),
    "line breaks": partial(LINE_BREAKS.sub, " "),
    "control characters": partial(CONTROL.sub, ""),
    "invisible characters": lambda text: without_stray_joiners(INVISIBLE.sub("", text)),
    "special spaces": partial(SPACES.sub, " "),
    "surplus spaces": lambda text: " ".join(filter(None, text.split(" "))),
    "Unicode NFC": partial(unicodedata.normalize, "NFC"),
}


def normalize(text: str) -> str:
    r"""Return `text` on one line, with one spelling for characters that look the same.

    It accepts every string. Normalizing a second time changes nothing. The rules are applied in this order:

    | rule                 | what it does                                                                              |
    |----------------------|-------------------------------------------------------------------------------------------|
    | cp1252 characters    | U+0080-U+009F become the characters of cp1252 ("\x92": an apostrophe); the five that      |
    |                      | cp1252 does not define are removed                                                        |
    | curly quotes         | single and double, high and low quotation marks become ' and "                            |
    | line breaks          | CRLF, CR, LF and the Unicode line separators become one space                             |
    | control characters   | are removed                                                                               |
    | invisible characters | zero-width characters, soft hyphen, direction marks are removed; joiners stay in emoji    |
    |                      | and in scripts that spell with them: between letters (Persian, Hindi), and after a virama |
    |                      | at the end of a word as well (Malayalam, Bengali)                                         |
    | special spaces       | non-breaking, ideographic and other spaces, and tabs, become a space                      |
    | surplus spaces       | several spaces become one; spaces at both ends are removed                                |
    | Unicode NFC          | a letter and its combining accent become one character                                    |

    Dashes and the ellipsis character are kept, because in dialogues they mark interruption and hesitation.

    >>> normalize("\u201cI don\x92t\u00a0know ...\u201d\r\n")
    '"I don\'t know ..."'
    """
    for rule in RULES.values():
        text = rule(text)
    return text
