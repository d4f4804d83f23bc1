"""What an answer can be: how it is read, compared with the right one, and shown.

A learner's result may be a number of numpy or torch, a tuple, an array or a tensor: what has the right value is right.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class Unfit(Exception):
    """A result that cannot be an answer. The message says what was expected, in a few words."""


@dataclass(frozen=True)
class Kind:
    """A kind of answer.

    Args:
        read: turns a result into plain Python, or raises Unfit.
        same: whether a value that was read is the expected one.
        show: two values -> two texts that differ if the values do.
    """

    read: Callable[[Any], Any]
    same: Callable[[Any, Any], bool]
    show: Callable[[Any, Any], tuple[str, str]]


def plain(result: Any) -> Any:
    """A result without numpy and torch: their scalars become numbers, arrays and tensors become lists.

    >>> import numpy as np
    >>> plain(np.float32(0.5)), plain(np.array([1, 2])), plain((3, np.int64(4)))
    (0.5, [1, 2], [3, 4])
    """
    if hasattr(result, "detach"):  # a tensor
        result = result.detach().cpu()
    if hasattr(result, "tolist"):
        return result.tolist()
    return [plain(x) for x in result] if isinstance(result, list | tuple | range) else result


def read_number(result: Any) -> float:
    """A number, which may be in an array or a list of its own."""
    value = plain(result)
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Unfit(f"a number was expected, not {short(result)}")
    if math.isnan(value):
        raise Unfit("it is nan, which is not a number; is there a division of 0 by 0, or of infinity by infinity?")
    return float(value)


def read_whole_number(result: Any) -> int:
    """A whole number; 3.0 is taken as 3."""
    value = read_number(result)
    if math.isinf(value) or value != int(value):
        raise Unfit(f"a whole number was expected, not {short(result)}")
    return int(value)


def read_positions(result: Any) -> list[int]:
    """A list of positions, which are whole numbers and not floats, because they are to be used as an index."""
    values = read_list(result)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unfit(f"a list of whole numbers was expected, but it contains {short(value)}")
    return values


def read_whole_numbers(result: Any) -> list[int]:
    """A list of whole numbers; 3.0 is taken as 3."""
    return list(map(read_whole_number, read_list(result)))


def read_numbers(result: Any) -> list[float]:
    """A list of numbers."""
    return list(map(read_number, read_list(result)))


def read_list(result: Any) -> list[Any]:
    """A list."""
    values = plain(result)
    if not isinstance(values, list):
        raise Unfit(f"a list of numbers was expected, not {short(result)}")
    return values


def read_text(result: Any) -> str:
    """A text; case and outer spaces do not matter."""
    if not isinstance(result, str):
        raise Unfit(f"a text in quotation marks was expected, not {short(result)}")
    return result.strip().casefold()


def close(value: float, right: float, rel_tol: float = 1e-4, abs_tol: float = 1e-9) -> bool:
    """Whether two numbers are equal up to rounding."""
    return math.isclose(value, right, rel_tol=rel_tol, abs_tol=abs_tol)


def all_close(values: Sequence[float], right: Sequence[float]) -> bool:
    """Whether two lists of numbers are equal up to rounding."""
    return len(values) == len(right) and all(map(close, values, right))


def show_numbers(value: float, right: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart.

    >>> show_numbers(0.66671, 0.6667234), show_numbers(3, 4.0)
    (('0.66671', '0.66672'), ('3', '4'))
    """
    for digits in range(3, 17):
        texts = f"{value:.{digits}g}", f"{right:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return texts


def show_plainly(value: Any, right: Any) -> tuple[str, str]:
    """Two values as Python writes them."""
    return short(value), short(right)


def short(value: Any) -> str:
    """A value as Python writes it, on one line, cut if it is long.

    >>> len(short("a" * 500)), short([1, 2])
    (99, '[1, 2]')
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else text[:98] + "…"


NUMBER = Kind(read_number, close, show_numbers)
WHOLE_NUMBER = Kind(read_whole_number, int.__eq__, show_plainly)
NUMBERS = Kind(read_numbers, all_close, show_plainly)
WHOLE_NUMBERS = Kind(read_whole_numbers, list.__eq__, show_plainly)
POSITIONS = Kind(read_positions, list.__eq__, show_plainly)
TEXT = Kind(read_text, lambda value, right: value == right.casefold(), show_plainly)
ONE_OF = Kind(read_text, lambda value, right: value in right, show_plainly)  # of several right texts


def about(rel_tol: float) -> Kind:
    """A number for which a relative error is no mistake, such as 0.05 for an estimate."""
    return Kind(read_number, lambda value, right: close(value, right, rel_tol), show_numbers)
