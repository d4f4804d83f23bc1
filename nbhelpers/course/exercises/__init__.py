"""The exercises of the lessons: `check` takes an answer and prints whether it is right, or else a hint.

Each lesson has a file of its own, `lesson_01` to `lesson_07`. A function there takes an answer and returns a hint, or
"" when the answer is right. `checking` has `check` and the list of all exercises.
"""

from .checking import EXERCISES, Check, NotBegun, check

__all__ = ["EXERCISES", "Check", "NotBegun", "check"]
