"""Where `predict` writes: to a file of this machine, or first into the cache and from there to an address."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from nbhelpers import corpora
from nbhelpers.corpora import addresses, transfer

from .chunks import in_chunks, join_parts, write_part
from .errors import ClassifierError


def local_output(output: str | Path) -> Path:
    """The file of this machine that becomes an output: itself, or for an address one in the cache.

    Raises:
        ClassifierError: the output exists.
        CorpusError: nothing can be written to the address.
    """
    at_address = corpora.is_address(output)
    if transfer.exists(str(output)) if at_address else Path(output).exists():
        raise ClassifierError(f"{corpora.without_secrets(output)} exists already; remove it, or choose another name")
    if not at_address:
        return Path(output)
    return addresses.place_of(str(output), "outputs") / addresses.name_of(str(output))


def deliver(file: Path, output: str | Path) -> None:
    """Move a file of the cache to its address. A file that has no address stays where it is.

    Raises:
        ClassifierError: it cannot be written there. The file is kept.
    """
    if corpora.is_address(output):
        try:
            transfer.write_to(str(output), file)
        except corpora.CorpusError as error:
            advice = f"all rows are done and in {file}, and the same call writes them again"
            raise ClassifierError(f"{error}; {advice}") from None
        file.unlink()


def kept_rows(rows: corpora.Stream, file: Path, size: int, log: Callable[[str], None]) -> corpora.Stream:
    """Write the rows of a database to a parquet file, with `size` of them in memory at a time, and read them from it.

    A run can take hours, and no database should keep a query open for so long. A run that was stopped also needs the
    same rows in the same order, which a second query would not promise.

    Raises:
        ClassifierError: there are no rows.
    """
    log(f"the rows are first copied to {file}")
    parts = file.with_name(f"{file.name}.parts")
    shutil.rmtree(parts, ignore_errors=True)  # of a copy that was stopped
    parts.mkdir(parents=True)
    for number, chunk in enumerate(in_chunks(file.name, rows, size, 0, None)):
        write_part(chunk, parts / f"{number:09}.parquet", ".parquet")
    written = sorted(parts.glob("*.parquet"))
    if written:
        join_parts(written, rows.names, file, ".parquet")
    shutil.rmtree(parts)
    if not written:
        raise ClassifierError("the query or the table gives no rows; check it")
    return corpora.stream(file)
