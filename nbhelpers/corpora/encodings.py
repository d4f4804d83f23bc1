"""From the bytes of a file to its text.

A file that is not in the encoding the user named is refused, and the error names the encoding that it is probably in.
It is never read with a guessed encoding: wrong letters in the texts would go unnoticed until the model is trained.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Mapping

from charset_normalizer import from_bytes

from .errors import CorpusError, place
from .parsing import csv_records

# One encoding for each language or group of languages, the largest of its family: text in gb2312 or gbk is also gb18030
LATIN = ("cp1252", "cp1250")  # western and central European
OTHERS = ("gb18030", "big5", "cp1251", "koi8_r", "cp1253", "cp1255", "cp1256", "cp874")
# encoding -> its script, and the smallest share of it in a text (Japanese also has Chinese characters)
JAPANESE = {"cp932": ("[\u3041-\u30ff]", 0.25), "euc_jp": ("[\u3041-\u30ff]", 0.25)}  # cp932: Shift-JIS of Windows
KOREAN = {"cp949": ("[\uac00-\ud7a3]", 0.85)}
SAMPLE = 100_000  # bytes: enough to tell the encoding, and a large file takes no longer than a small one


def decode(file: str, content: bytes, encoding: str, quotes: bool) -> str:
    """Return the text of a file; bytes that cannot be decoded raise CorpusError with the row."""
    try:
        text = content.decode(encoding)
        before, fault = text.partition("\0")[0], "contains a NUL byte"
        if before == text:
            require_no_utf8(file, content, encoding)
            return text
    except LookupError as error:
        raise CorpusError(f"{file}: Python has no encoding {encoding!r}; {advice(content, encoding)}") from error
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "ignore")
        fault = f"byte 0x{content[error.start]:02x} cannot be read as {encoding}"
    if file.lower().endswith(".jsonl"):
        row = before.count("\n") + 1
    else:
        # Not strict, because the text before the fault may end inside quotation marks
        row = len(csv_records(file, before + "x", quotes, strict=False))
    raise CorpusError(f"{place(file, row)}: {fault}; {advice(content, encoding)}")


def require_no_utf8(file: str, content: bytes, encoding: str) -> None:
    """Raise CorpusError if letters beyond ASCII are in UTF-8, but are to be read in another encoding, as other letters.

    Args:
        file: for the message.
        content: the bytes of the file, or the first of them.
        encoding: what the user named.
    """
    if content.isascii() or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return
    with contextlib.suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(content)  # not `decode`, because the last letter may be cut
        raise CorpusError(f"{file} is in utf-8, not in {encoding}; pass encoding='utf-8'")


def advice(content: bytes, encoding: str) -> str:
    """Return what to do with a file that is not in the encoding the user named."""
    damaged = broken_bytes_of_utf8(content)
    if damaged and encoding.lower().replace("_", "-") in ("utf-8", "utf-8-sig", "utf8"):
        return f"apart from {damaged} the file is UTF-8; correct the row or delete it"
    if name := "utf-8" if damaged else probable_encoding(content):
        return f"the file is probably in {name}; pass encoding={name!r} and look at a few rows"
    return "no common encoding fits, so the file is damaged or is not text; export it again as UTF-8"


def broken_bytes_of_utf8(content: bytes) -> str:
    """Return the number of broken bytes in a file that is UTF-8 otherwise, in words; "" for other files.

    >>> broken_bytes_of_utf8("Größe, Qualität, Ärger".encode() + b" und \\xe4"), broken_bytes_of_utf8(b"Gr\\xf6\\xdfe")
    ('one byte', '')
    """
    text = content.decode("utf-8", "replace")
    broken = text.count("\ufffd") - content.count("\ufffd".encode())
    # In other encodings, hardly any bytes form a valid UTF-8 sequence by chance
    right = len(text) - len(text.encode("ascii", "ignore")) - text.count("\ufffd")
    if broken < 1 or "\0" in text or right < 3 * broken:
        return ""
    return "one byte" if broken == 1 else f"{broken:,} bytes"


def probable_encoding(content: bytes) -> str | None:
    """Return the encoding in which a file probably is, by a name that Python knows; None if nothing fits.

    >>> probable_encoding("text,label\\n味道很好，送餐也快,1\\n".encode("gb18030"))
    'gb18030'
    >>> probable_encoding("text,label\\nDas Café ist schön,1\\n".encode("latin-1"))
    'cp1252'
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # the byte order mark of UTF-16
        return "utf-16" if fits(content, "utf-16") else None
    if fits(content, "utf-8"):
        return "utf-8"
    if b"\0" in content:
        # A line break occurs only in the right byte order; the other one has U+0A00 instead, which is no character
        named = [name for name in ("utf-16-le", "utf-16-be") if fits(content, name) and "\n" in content.decode(name)]
        return named[0] if named else None
    sample = lines_beyond_ascii(content)
    if looks_latin(sample):
        # latin-1 fits every file; `normalize` then removes the characters that cp1252 does not define
        candidates = [*in_own_script(sample, JAPANESE), *latin(sample), "latin-1"]
    else:
        matches = from_bytes(sample, cp_isolation=list(OTHERS), threshold=0.5)
        candidates = [*in_own_script(sample, JAPANESE | KOREAN), *(match.encoding for match in matches)]
    return next((name for name in candidates if fits(content, name)), None)


def lines_beyond_ascii(content: bytes) -> bytes:
    """Return the first lines that are not plain ASCII, up to SAMPLE bytes. ASCII is the same in all these encodings."""
    lines, size = [], 0
    for line in content.splitlines():
        if not line.isascii() and size < SAMPLE:
            lines.append(line)
            size += len(line)
    return b"\n".join(lines)


def fits(content: bytes, encoding: str) -> bool:
    """Return whether a file can be decoded, and has no NUL characters after that."""
    try:
        return "\0" not in content.decode(encoding)
    except UnicodeDecodeError:
        return False


def looks_latin(sample: bytes) -> bool:
    """Return whether letters beyond ASCII are mostly single, as in "café". In other scripts, they follow each other.

    Without this check, charset-normalizer takes some short western texts for Chinese or Korean.
    """
    runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", sample)]
    return sum(length for length in runs if length > 1) < 0.7 * sum(runs)


def latin(sample: bytes) -> list[str]:
    """Return the encodings that fit text in Latin letters, cp1252 first if it fits.

    charset-normalizer often finds cp1250 and cp1252 equally good, and cp1252 is more common. So it is often named for
    Polish, Hungarian or Turkish texts. The error asks to look at a few rows, which then show wrong letters.
    """
    matches = from_bytes(sample, cp_isolation=list(LATIN), threshold=0.5)
    named = [name for match in matches for name in match.could_be_from_charset if name in LATIN]
    return sorted(named, key=lambda name: name != "cp1252")


def in_own_script(sample: bytes, scripts: Mapping[str, tuple[str, float]]) -> list[str]:
    """Return the encodings in which enough of the characters beyond ASCII belong to the script, kana or Hangul.

    Without this check, charset-normalizer takes Shift-JIS and short Chinese texts for Korean.
    """
    named = []
    for name, (script, share) in scripts.items():
        characters = re.sub(r"[\0-\x7f]", "", sample.decode(name, "replace"))
        if len(re.findall(script, characters)) >= share * len(characters) > 0:
            named.append(name)
    return named
