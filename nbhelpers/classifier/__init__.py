"""From a file of texts to a classifier: train it, see how good it is, and use it.

    from nbhelpers import classifier

    folder = classifier.train("reviews.csv", text="review", label="stars")
    report = classifier.evaluate(folder, "more.csv")
    classifier.predict(folder, "big.csv", "out.csv")

The command line has the same: `nbhelpers train`, `nbhelpers evaluate`, `nbhelpers predict`, and `nbhelpers serve`.

This package joins the units of the ground floor, which never import one another. To take a part of it into your own
project, copy the units: `corpora` reads the file, `encoders` loads the model, `training` trains it, `metrics` and
`plots` tell how good it is.

The files: `training` trains, with the `settings`, the `data`, its `rows` and the `trainer`; `searching` looks for
better settings; `report` and `card` tell how good the result is; `evaluating` and `predicting` use it, with `chunks`
and `outputs`; `runs` lets a stopped run go on, and `folders` writes a folder as a whole; `loading` gets from a folder
to a torch model, and `served` to what a service needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import ClassifierError
    from .evaluating import evaluate
    from .predicting import predict
    from .settings import Settings
    from .training import train

__all__ = ["ClassifierError", "Settings", "evaluate", "predict", "train"]

HOMES = {"ClassifierError": "errors", "Settings": "settings", "evaluate": "evaluating", "predict": "predicting"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: a service of an exported model needs `served`, but not torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{HOMES.get(name, 'training')}", __name__), name)
