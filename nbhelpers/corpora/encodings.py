"""From the bytes of a file to its text; a file in another encoding is refused, with the encoding that fits."""

from __future__ import annotations

from .errors import CorpusError, place
from .parsing import csv_records


def decode(file: str, content: bytes, encoding: str, quotes: bool) -> str:
    """Return the text of a file; what cannot be decoded is refused with the row."""
    try:
        text = content.decode(encoding)
        before, fault = text.partition("\0")[0], "a NUL byte"
        if before == text:
            return text
    except LookupError as error:
        raise CorpusError(f"{file}: Python has no encoding {encoding!r}; {fitting(content)}") from error
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(encoding, "ignore")
        fault = f"byte 0x{content[error.start]:02x} cannot be read as {encoding}"
    if file.lower().endswith(".jsonl"):
        row = before.count("\n") + 1
    else:
        # Not strict: what comes before the fault may end inside a quoted text
        row = len(csv_records(file, before + "x", quotes, strict=False))
    raise CorpusError(f"{place(file, row)}: {fault}; {fitting(content)}")


def fitting(content: bytes) -> str:
    """Return what to do with a file whose encoding is another than was said."""
    names = ["utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8", "cp1252", "latin-1"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        names = ["utf-16"]
    elif content.count(0) > len(content) // 4:  # ASCII in UTF-16: every second byte is zero
        names = ["utf-16-be" if content[:1] == b"\0" else "utf-16-le"]
    fits = [name for name in names if not {"\0", "\ufffd"} & set(content.decode(name, "replace"))]
    if not fits:
        return "no common encoding fits, the file is damaged or no text; export it again as UTF-8"
    return f"it can be read as {' or '.join(fits)}; pass encoding={fits[0]!r} and look at a few rows"
