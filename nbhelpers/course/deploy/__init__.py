"""What `nbhelpers export` and `nbhelpers serve` do: join the units that load, export and serve a model.

A unit never imports another one, so the code that needs several is here. In a project of your own, a few lines do the
same for your kind of model folder; see `load`.

The files: `small_model` trains the course's example model, `loading` gets from a folder to a model or a service,
`exporting` writes an ONNX folder and compares it with the original.
"""

from .exporting import export_folder
from .loading import adapter_facts, labels_of, load, load_torch, service_options
from .small_model import make_once, new_folder, small_model, train

__all__ = [
    "adapter_facts",
    "export_folder",
    "labels_of",
    "load",
    "load_torch",
    "make_once",
    "new_folder",
    "service_options",
    "small_model",
    "train",
]
