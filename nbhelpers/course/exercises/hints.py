"""Find the hint for a wrong number."""

from __future__ import annotations

import math
from collections.abc import Mapping


def hint_for(
    answer: float, hints: Mapping[float, str], otherwise: str, *, abs_tol: float = 0.0, rel_tol: float = 0.0
) -> str:
    """The hint of the first wrong value that the answer is close to.

    Args:
        answer: what the learner's function returned.
        hints: wrong value -> what the learner probably did.
        otherwise: the hint for any other answer.
        abs_tol, rel_tol: how close, as in `math.isclose`.

    >>> hint_for(2.0, {1.0: "you forgot a factor", 2.0: "take half of it"}, "count again", abs_tol=1e-6)
    'take half of it'
    """
    for value, hint in hints.items():
        if math.isclose(answer, value, abs_tol=abs_tol, rel_tol=rel_tol):
            return hint
    return otherwise
