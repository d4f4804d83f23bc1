"""Helpers for fine-tuning RoBERTa-type encoders. Import the unit you need: `from nbhelpers import metrics`.

Each unit, a file or a folder, can also be copied alone into a project of your own.
"""

# No unit is imported here, so that nbhelpers.metrics and nbhelpers.plots work where torch is not installed.
__version__ = "0.1.0"
