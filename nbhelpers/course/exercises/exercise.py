"""One exercise: what is right, and what to say of what is not."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .kinds import Kind, Unfit, short
from .running import Stopped, call


def no_mistakes(*inputs: Any) -> dict[str, Any]:
    """No mistake is known by its result."""
    return {}


@dataclass(frozen=True)
class Exercise:
    """An exercise whose answer is a value or a function.

    Args:
        kind: what the answer, or the result of the function, must be.
        right: the right value, or a function that computes it: from the inputs of the learner's function, or from what
            the lesson passes to `check` after the answer.
        hints: from a nudge to nearly the solution. Each further try shows one more.
        because: what to take away, said with the praise.
        inputs: for a function, a random number generator -> the inputs of each call, edge cases first. None: the answer
            is a value.
        mistakes: the inputs -> what a learner may have done wrong -> the value that results. A wrong answer with this
            value gets this explanation.
    """

    kind: Kind
    right: Any
    hints: Sequence[str]
    because: str = ""
    inputs: Callable[[random.Random], Iterable[tuple[Any, ...]]] | None = None
    mistakes: Callable[..., Mapping[str, Any]] = no_mistakes

    def fault_of(self, answer: Any, given: tuple[Any, ...]) -> str:
        """What is wrong with an answer, in one or two sentences; "" if it is right.

        Args:
            answer: the learner's value or function.
            given: what the lesson passed to `check` after the answer.
        """
        if self.inputs is None:
            return self.fault_of_value(answer, given)
        if not callable(answer):
            return f"The answer is a function, but {short(answer)} is none. Pass its name, without parentheses."
        for num_right, inputs in enumerate(self.inputs(random.Random())):
            mistake = ""
            try:
                result = call(answer, inputs)
                fault = self.fault_of_result(result, inputs)
                if fault:
                    mistake = self.mistake_of_function(answer, result, inputs)
            except Stopped as stopped:
                fault = f"your function {stopped}"
            if fault:
                others = "1 other input" if num_right == 1 else f"{num_right} other inputs"
                so_far = f"Right for {others}. But for" if num_right else "For"
                return f"{so_far} {sentence(f'{self.written(inputs)} {fault}')} {mistake}".rstrip()
        return ""

    def fault_of_value(self, answer: Any, given: tuple[Any, ...]) -> str:
        """As `fault_of`, for a value."""
        if callable(answer):
            return "The answer is a value, not a function."
        right = self.right(*given) if callable(self.right) else self.right
        try:
            value = self.kind.read(answer)
        except Unfit as unfit:
            return f"This cannot be the answer: {sentence(str(unfit))}"
        if self.kind.same(value, right):
            return ""
        fallback = f"{self.kind.show(value, right)[0]} is not right."
        return next(iter(self.known_mistakes(value, given)), fallback)

    def fault_of_result(self, result: Any, inputs: tuple[Any, ...]) -> str:
        """What is wrong with a function's result, to be read after "For these inputs"; "" if it is right."""
        if result is None:
            return "your function returns None; is the return missing?"
        right = self.right(*inputs)
        try:
            value = self.kind.read(result)
        except Unfit as unfit:
            return f"your function returns {short(result)}: {unfit}"
        if self.kind.same(value, right):
            return ""
        found, expected = self.kind.show(value, right)
        return f"your function returns {found}, and {expected} is right"

    def known_mistakes(self, result: Any, inputs: tuple[Any, ...]) -> list[str]:
        """The explanations of the mistakes that give this result."""
        try:
            value = self.kind.read(result)
        except Unfit:
            return []
        return [words for words, wrong in self.mistakes(*inputs).items() if self.kind.same(value, wrong)]

    def mistake_of_function(self, function: Any, result: Any, inputs: tuple[Any, ...]) -> str:
        """The explanation of the mistake that a function makes, or "". Of several, the one that fits further inputs."""
        found = self.known_mistakes(result, inputs)
        with contextlib.suppress(Stopped):  # it may stop at another input
            for more in self.inputs(random.Random(0)) if self.inputs and len(found) > 1 else ():
                fits = set(self.known_mistakes(call(function, more), more))
                found = [words for words in found if words in fits] or found
        return next(iter(found), "")

    def written(self, inputs: tuple[Any, ...]) -> str:
        """The inputs with the names that they have in the right function."""
        names = inspect.signature(self.right).parameters
        return ", ".join(f"{name} = {short(value)}" for name, value in zip(names, inputs, strict=True))


def sentence(words: str) -> str:
    """The words with a period at the end, unless they are a question.

    >>> sentence("it is nan; is there a division by 0?"), sentence("it is a list")
    ('it is nan; is there a division by 0?', 'it is a list.')
    """
    return words if words.endswith("?") else f"{words}."
