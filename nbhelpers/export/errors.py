"""The error that this unit raises for a model or a folder that it cannot use."""


class ExportError(ValueError):
    """A model cannot be exported, loaded or accepted. The message says in one sentence which, why, and what to do."""
