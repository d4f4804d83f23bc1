"""Normalize texts: one spelling for quotes, spaces and line breaks, and no invisible characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial

CP1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
QUOTES = dict.fromkeys(range(0x2018, 0x201C), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
JOINABLE = "\u0600-\u1fff\u2190-\U0010ffff"  # emoji, and the scripts whose spelling uses joiners
JOINERS = re.compile(f"(?<![{JOINABLE}])[\u200c\u200d]|[\u200c\u200d](?![{JOINABLE}])")
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

RULES: dict[str, Callable[[str], str]] = {  # applied in this order
    "cp1252 characters": lambda text: text.translate(CP1252),
    "curly quotes": lambda text: text.translate(QUOTES),
    "line breaks": partial(re.compile("[\n\r\x0b\x0c\x1c-\x1f\u2028\u2029]+").sub, " "),
    "control characters": partial(re.compile("[\x00-\x08\x0e-\x1b\x7f]").sub, ""),
    "invisible characters": lambda text: JOINERS.sub("", INVISIBLE.sub("", text)),
    "special spaces": partial(re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]").sub, " "),
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
    |                      | and between letters of scripts that spell with them (Persian, Hindi)                      |
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
