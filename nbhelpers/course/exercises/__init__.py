"""The exercises of the lessons: `check` takes an answer and prints whether it is right, or else what is wrong.

Each lesson has a file, such as `lesson_01`, with its exercises. The other files: `checking` has `check`;
`exercise` says what an exercise is, and `kinds` what an answer can be; `running` calls a learner's function; `progress`
remembers what is done.
"""

from .checking import EXERCISES, check, show_progress
from .exercise import Exercise

__all__ = ["EXERCISES", "Exercise", "check", "show_progress"]
