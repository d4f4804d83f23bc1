"""Check the arguments of the loading functions, so that a wrong one is named before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from .errors import CorpusError


def names_of(argument: str, values: Any) -> list[str]:
    """Return the names in a list, tuple, array or Series as strings, with single spaces, as labels in files have them.

    >>> names_of("labels", ["very  good", 2])
    ['very good', '2']
    """
    example = f"pass a list of names, such as {argument}=['neg', 'pos']"
    # A string would become a list of its letters, and a set has no order that could give the ids
    if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Iterable):
        raise CorpusError(f"{argument}={shown(values)} is not a list of names; {example}")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)  # numpy, pandas and torch
    if not isinstance(listed, list) or not listed:
        raise CorpusError(f"{argument} is empty; {example}")
    names = []
    for name in listed:
        if not isinstance(name, str | Integral) or not str(name).strip():
            raise CorpusError(f"{argument} contains {shown(name)}, which is not a name; {example}")
        names.append(" ".join(str(name).split()))
    return names


def shown(value: Any) -> str:
    """Return a value as messages show it: on one line, and the type of what would be long.

    >>> shown("a.csv"), shown(3.5), shown(lambda: 0)
    ("'a.csv'", '3.5', 'an object of type function')
    """
    if value is None or isinstance(value, str | bytes | int | float | list | tuple | set | frozenset | dict):
        return " ".join(repr(value).split())[:60]
    return f"an object of type {type(value).__name__}"
