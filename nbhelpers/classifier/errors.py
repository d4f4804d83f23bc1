"""The error of this package."""


class ClassifierError(ValueError):
    """A classifier cannot be trained or used as asked. The message says what is wrong, where, and what to do."""
