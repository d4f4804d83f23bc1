"""The error of this unit."""

from __future__ import annotations


class TagError(ValueError):
    """Tags, or a file with them, cannot be used as they are. The message says what is wrong, where, and what to do.

    Attributes:
        sentence, word: the place in a list of sentences, counted from 0, where it is known.
    """

    def __init__(self, message: str, sentence: int | None = None, word: int | None = None) -> None:
        super().__init__(message)
        self.sentence, self.word = sentence, word
