"""Helpers for fine-tuning RoBERTa-type encoders. Import the file you need: `from nbhelpers import metrics`.

Nothing is imported here, so that `nbhelpers.metrics` and `nbhelpers.plots` work where torch is not installed.
"""

__version__ = "0.1.0"
