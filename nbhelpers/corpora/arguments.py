"""Check the arguments of the loading functions, so that a wrong one is named before anything is read."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from .errors import CorpusError


def is_text(value: Any) -> bool:
    """Return whether a value is a string that is not empty and has no NUL, which no name can contain."""
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def is_delimiter(value: Any) -> bool:
    """Return whether a value can separate the columns of a CSV file."""
    return isinstance(value, str) and len(value) == 1 and value not in '"\r\n\0'


def is_limit(value: Any) -> bool:
    """Return whether a value is a whole number above 0."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) > 0


def is_share(value: Any) -> bool:
    """Return whether a value is a share of the rows, from 0 to below 1."""
    return not isinstance(value, bool) and isinstance(value, Real) and 0 <= float(value) < 1


def is_column(value: Any) -> bool:
    """Return whether a value can name a column, or is None."""
    return value is None or is_text(value)


def is_columns(value: Any) -> bool:
    """Return whether a value can name columns: nothing, a name, or several names, which `names_of` looks at."""
    return value is None or is_text(value) or (isinstance(value, list | tuple) and bool(value))


# argument -> its check, what it must be, and an example
EXPECTED: dict[str, tuple[Callable[[Any], bool], str, str]] = {
    "name": (is_text, "the name of a data set", "'dair-ai/emotion'"),
    "text": (is_columns, "the name of a column, or two of them", "'text'"),
    "label": (is_columns, "the name of a column, or several", "'label'"),
    **{x: (is_column, "the name of a column", f"{x!r}") for x in ("dialogue", "turn", "speaker", "sentiment", "group")},
    "label_separator": (lambda value: value is None or (isinstance(value, str) and bool(value)), "a text", "','"),
    "dev_share": (is_share, "a share from 0 to below 1", "0.1"),
    "test_share": (is_share, "a share from 0 to below 1", "0.1"),
    "seed": (lambda value: isinstance(value, Integral) and not isinstance(value, bool), "a whole number", "0"),
    "on_fault": (lambda value: value in ("raise", "drop"), "'raise' or 'drop'", "'drop'"),
    "delimiter": (lambda value: value is None or is_delimiter(value), "one character", "';'"),
    "quotes": (lambda value: isinstance(value, bool), "True or False", "False"),
    "encoding": (is_text, "the name of an encoding", "'utf-8'"),
    "max_chars": (is_limit, "a whole number above 0", "100_000"),
    "query": (is_column, "a query", "'select text, label from messages'"),
    "table": (is_column, "the name of a table", "'messages'"),
    "config": (lambda value: value is None or is_text(value), "a name", "'split'"),
    "revision": (lambda value: value is None or is_text(value), "a name", "'main'"),
}


def check_arguments(**arguments: Any) -> None:
    """Raise CorpusError for the first argument that is not what `EXPECTED` says.

    >>> check_arguments(encoding="utf-8", quotes=True)
    """
    for argument, value in arguments.items():
        fits, kind, example = EXPECTED[argument]
        if not fits(value):
            raise CorpusError(f"{argument}={shown(value)} is not {kind}; pass for example {argument}={example}")


def check_options(function: Callable[..., Any], options: Iterable[str]) -> None:
    """Raise CorpusError for the first option that a loading function does not have.

    >>> check_options(check_options, ["options"])
    """
    known = list(inspect.signature(function).parameters)[1:]
    for option in options:
        if option not in known:
            raise CorpusError(f"{function.__name__} has no option {option!r:.60}; its options are {', '.join(known)}")


def path_of(argument: str, value: Any) -> str:
    """Return a path as a string, with the home folder for "~"; what cannot be a path raises CorpusError."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not is_text(path):
        raise CorpusError(f"{argument}={shown(value)} is not a path; pass a string or a Path, such as 'reviews.csv'")
    if path.splitlines() != [path]:  # somebody passed the table itself
        fault = f"{argument}={shown(value)} is not a path, because it contains a line break"
        raise CorpusError(f"{fault}; write the data to a file and pass its path")
    return os.path.expanduser(path)


def is_address(value: Any) -> bool:
    r"""Return whether a value is the address of a file that may be on another machine, or of a database.

    >>> is_address("s3://bucket/part.parquet"), is_address("sqlite:///shop.db"), is_address("C:\\reviews.csv")
    (True, True, False)
    """
    return isinstance(value, str) and re.match(r"[A-Za-z][\w.+-]+(::[\w.+-]+)*://", value) is not None


def is_http(address: str) -> bool:
    """Return whether an address is one of the web."""
    return address.lower().startswith(("http://", "https://"))


def without_secrets(path: Any) -> str:
    """Return a path or an address as it may be shown and written to files.

    Addresses lose passwords, and what follows a "?", because it can be a signature that gives access. Those of the web
    lose the name of the user as well, because it can be a token.

    >>> without_secrets("https://token@example.org/a.csv?signature=17"), without_secrets("what?.csv")
    ('https://example.org/a.csv', 'what?.csv')
    >>> without_secrets("postgresql://ann:secret@localhost/shop"), without_secrets("s3://bucket/C#.csv")
    ('postgresql://ann@localhost/shop', 's3://bucket/C#.csv')
    """
    if not is_address(path):
        return str(path)
    address = str(path).partition("?")[0]
    if is_http(address):
        return re.sub("//[^/]*@", "//", address.partition("#")[0])
    return without_password(address)


def without_password(address: str) -> str:
    """Return an address with the name of the user, but without a password."""
    return re.sub("(//[^/:]*):[^/]*@", r"\1@", address)


def names_of(argument: str, values: Any) -> list[str]:
    """Return the names in a list, tuple, array or Series as strings. Names of labels get single spaces, as in files.

    >>> names_of("labels", ["very  good", 2])
    ['very good', '2']
    """
    example = f"pass a list of names, such as {argument}=['text', 'label']"
    if argument == "labels":
        example = "pass a list of names, such as labels=['neg', 'pos']"
    # A string would become a list of its letters, and a set has no order that could give the ids
    if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Iterable):
        raise CorpusError(f"{argument}={shown(values)} is not a list of names; {example}")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)  # numpy, pandas and torch
    if not isinstance(listed, list) or not listed:
        raise CorpusError(f"{argument} is empty; {example}")
    names = []
    for name in listed:
        if not isinstance(name, str | Integral) or (argument == "labels" and not str(name).strip()):
            raise CorpusError(f"{argument} contains {shown(name)}, which is not a name; {example}")
        names.append(" ".join(str(name).split()) if argument == "labels" else str(name).strip())
    return names


def shown(value: Any) -> str:
    """Return a value as messages show it: on one line, and the type of what would be long.

    >>> shown("a.csv"), shown(3.5), shown(lambda: 0)
    ("'a.csv'", '3.5', 'an object of type function')
    """
    if value is None or isinstance(value, str | bytes | int | float | list | tuple | set | frozenset | dict):
        return " ".join(repr(value).split())[:60]
    return f"an object of type {type(value).__name__}"
