"""From a folder with a model of any kind to what a service needs of it.

Three kinds of folders are known: a fine-tuned model, an adapter, and an exported model. Only the first two need torch,
which takes most of the memory of a small service; so it is imported where it is needed, and not above.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from nbhelpers import dialogue, exported, serving, tagging

from .errors import ClassifierError

# options that no other corpus should inherit
OF_TRAINING = ("dev_share", "test_share", "group", "seed", "on_fault", "query", "table")


def load(folder: Path, threads: int = 0) -> serving.Model:
    """What the service needs of a model.

    Args:
        folder: from `save_pretrained`, `adapters.save`, `export.export` or `export.quantize`.
        threads: CPU threads of onnxruntime for each batch; 0 takes one per core.

    For an exported model, for instance, these lines do the same in a project of your own:

        model = exported.load(folder)
        logits_fn = serving.onnx_logits_fn(model.session)
        served = serving.make_model(logits_fn, model.tokenizer, model.labels, dialogue=dialogue, **options)

    where `options` are those of `service_options`, or what you know about your model.
    """
    if not folder.is_dir():
        raise ClassifierError(f"{folder} is no folder; pass the folder that train() wrote")
    if (folder / exported.MODEL).is_file() and is_current_export(folder):
        model = exported.load(folder, threads=threads)
        tokenizer, labels, settings = model.tokenizer, model.labels, model.settings
        logits_fn, digest = serving.onnx_logits_fn(model.session), model.metadata["sha256"]
        causal_turns = model.metadata["causal_turns"]
    else:
        tokenizer, logits_fn, labels, settings, causal_turns, digest = load_with_torch(folder, threads)
    # The service cuts longer texts where training did.
    tokenizer.model_max_length = settings.get("max_length") or tokenizer.model_max_length
    options = service_options(settings, causal_turns)
    name = folder.resolve().name
    if "thresholds" in settings:
        options["thresholds"] = [settings["thresholds"][label] for label in labels]
    make = serving.make_tagger if "tagging" in options else serving.make_model
    return make(logits_fn, tokenizer, labels, name=name, digest=digest, **options)


def load_alone(folder: Path, threads: int) -> serving.Model:
    """As `load`, for a process that does nothing else: torch computes with so many threads in all of it."""
    model = load(folder, threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    return model


def load_several(folders: Mapping[str, Path], threads: int) -> dict[str, serving.Model]:
    """As `load_alone`, for several models by name. Each computes with so many threads."""
    return {name: load_alone(folder, threads) for name, folder in folders.items()}


def remembered_options(folder: Path) -> dict[str, Any]:
    """The options of `corpora.load` that tell how other files for a classifier are read.

    Args:
        folder: from `classifier.train`, or an export of such a folder. Others give {}.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    settings = config.get("export", config).get("settings", {})
    return {name: x for name, x in settings.get("corpus_options", {}).items() if name not in OF_TRAINING}


def num_cores() -> int:
    """How many cores this process may use. Two threads of one core would wait for each other in matrix products."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, psutil.cpu_count(logical=False) or 1, core_limit())))


def core_limit(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> float:
    """How many cores a container may use, such as 2.0; infinity without a limit.

    Args:
        file: of Linux control groups: microseconds of computing, or "max", in a period of so many microseconds.
    """
    try:
        allowed, period = file.read_text().split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if allowed == "max" else int(allowed) / int(period)


def parse_limits(texts: Sequence[str]) -> serving.Limits:
    """Limits from texts such as "max_texts=128". An unknown name, or a value that does not fit: ClassifierError.

    >>> parse_limits(["max_texts=128"]).max_texts
    128
    """
    types = {field.name: field.type for field in dataclasses.fields(serving.Limits)}
    options: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in types:
            raise ClassifierError(f"there is no limit {name!r}; there are {', '.join(types)}")
        try:
            options[name] = int(value) if types[name] is int else float(value)
        except ValueError:
            raise ClassifierError(f"--limit {text}: {value!r} is not a number; write {name}=NUMBER") from None
    try:
        return serving.Limits(**options)
    except ValueError as error:
        raise ClassifierError(str(error)) from error


def is_current_export(folder: Path) -> bool:
    """Whether an export lists its files. Those of earlier versions do not, and are read by the unit `export`."""
    try:
        return "files" in json.loads((folder / "config.json").read_text(encoding="utf-8"))["export"]
    except (OSError, ValueError, KeyError, TypeError):
        return True  # whatever is wrong with it, `exported.load` says it


def load_with_torch(folder: Path, threads: int) -> tuple[Any, ...]:
    """Tokenizer, logits_fn, labels, settings, causal_turns and digest of a folder that needs torch.

    Raises:
        ClassifierError: the model does not choose one of several classes.
    """
    from nbhelpers import export

    from .loading import digest_of, labels_of, load_torch

    if (folder / exported.MODEL).is_file():
        tokenizer, onnx_model = export.load_exported(folder, threads=threads)
        about, digest = onnx_model.metadata, onnx_model.metadata["sha256"]
        logits_fn = serving.onnx_logits_fn(onnx_model.session)
        return tokenizer, logits_fn, onnx_model.labels, onnx_model.settings, about.get("causal_turns", False), digest
    tokenizer, model = load_torch(folder)
    if model.config.num_labels < 2:
        raise ClassifierError(f"{folder} has a single output, so it chooses among no classes; it cannot be served")
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # loaded weights are a view of the file, which may be replaced
    settings, causal_turns = getattr(model.config, "settings", {}), getattr(model.config, "causal_turns", False)
    labels = labels_of(model)
    if getattr(model.config, "problem_type", None) == "multi_label_classification":
        settings = {"thresholds": dict.fromkeys(labels, 0.5), **settings}
    return tokenizer, serving.torch_logits_fn(model), labels, settings, causal_turns, digest_of(folder)


def service_options(settings: Mapping[str, Any], causal_turns: bool) -> dict[str, Any]:
    """The arguments of `serving.make_model` that follow from how a model's inputs were made in training.

    Args:
        settings: the model's, such as {"context": "windows", "past": 4, "speaker_format": "name"}.
        causal_turns: whether no turn of a whole dialogue sees later ones.

    >>> service_options({"context": "whole_dialogues", "speaker_format": "name"}, causal_turns=True)["future"]
    0
    """
    context = settings.get("context", "none")
    if context == "words":
        return {"tagging": tagging, "pieces": settings["pieces"]}
    sees_later_turns = int(not causal_turns)
    return {
        "dialogue": None if context == "none" else dialogue,
        "pairs": settings.get("pairs", False),
        "speaker_format": settings.get("speaker_format", "none"),
        "past": settings.get("past"),  # None for whole dialogues
        "future": sees_later_turns if context == "whole_dialogues" else settings.get("future", 0),
    }
