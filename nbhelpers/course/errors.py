"""The error that the command `nbhelpers` shows to its user."""

from __future__ import annotations


class CourseError(ValueError):
    """A request that cannot be carried out. The message is one sentence: what is wrong, and what to do instead."""
