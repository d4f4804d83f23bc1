"""What `nbhelpers export` does: join the units that load, train and export a model.

A unit never imports another one, so the code that needs several is here.

The files: `small_model` trains the course's example model, `exporting` writes an ONNX folder and compares it with the
original.
"""

from .exporting import export_folder, export_once
from .small_model import make_once, small_model, train

__all__ = [
    "export_folder",
    "export_once",
    "make_once",
    "small_model",
    "train",
]
