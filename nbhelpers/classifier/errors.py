"""The errors of this package."""


class ClassifierError(ValueError):
    """A classifier cannot be trained or used as asked. The message says what is wrong, where, and what to do."""


class FolderExistsError(ClassifierError):
    """A folder cannot be written, because there is one already, perhaps written by another program just now."""
