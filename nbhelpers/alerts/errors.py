"""The error of this unit."""


class AlertError(ValueError):
    """An argument, a sentence or a file that does not fit. The message says what, where, and what to do."""
