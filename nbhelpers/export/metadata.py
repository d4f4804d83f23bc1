"""What an exported folder tells about its model: the entry "export" in config.json."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .card import model_card
from .errors import ExportError

MODEL = "model.onnx"  # the name of the graph's file
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")  # their versions are recorded
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
FILES = (f"{MODEL}*", "tokenizer*.json", "merges.txt", *VOCABULARIES[1:])
DIGESTS = ("files", "sha256")
# earlier versions wrote these names and values
RENAMED = {"live": "causal_turns", "form": "context", "speakers": "speaker_format"}
RENAMED_CONTEXTS = {"turn": "none", "window": "windows", "dialogue": "whole_dialogues"}


def make_metadata(
    config: Any,
    tokenizer: Any,
    *,
    dialogue: bool,
    settings: Mapping[str, Any] | None,
    scores: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Collect what is known of a model at its export.

    Args:
        config: the model's transformers configuration.
        tokenizer, dialogue, settings, scores: as in `export`.

    Returns:
        "labels" in the order of their ids, "inputs" of the graph, "max_length" in tokens, "causal_turns" (whether a
        turn sees only itself and earlier turns), "settings", "weights" (their format), "versions" and "scores".
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    labels = [config.id2label[i] for i in range(config.num_labels)]
    if getattr(config, "problem_type", None) == "multi_label_classification":
        settings = {"thresholds": dict.fromkeys(labels, 0.5)} | dict(settings or {})
    return {
        "labels": labels,
        "inputs": ["input_ids", "attention_mask", *(["starts", "ends"] if dialogue else [])],
        "max_length": tokenizer.model_max_length,
        "causal_turns": bool(dialogue and config.causal_turns),
        "settings": dict(settings or {}),
        "weights": "fp32",
        "versions": {"python": platform.python_version(), **versions},
        "scores": dict(scores or {}),
    }


def write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Add the metadata to a folder's config.json, with the digests of its files, and write the model card."""
    path = folder / "config.json"
    metadata = {name: value for name, value in metadata.items() if name not in DIGESTS} | {"files": digests(folder)}
    entry = metadata | {"sha256": digest(metadata)}
    config = json.loads(path.read_text(encoding="utf-8")) | {"export": entry}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    model_card(config["model_type"], metadata).save(folder / "README.md")


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read what `write_metadata` wrote, under today's names, and check that all files are still the same.

    Graph, tokenizer, labels and settings belong together: with one of another model, a service would give wrong
    predictions without an error.

    Raises:
        ExportError: a file is missing, config.json is not from an export, or something is not what was written.
    """
    for name in ("config.json", MODEL):
        if not (folder / name).is_file():
            raise ExportError(f"{folder} has no {name}; pass a folder that export() or quantize() wrote")
    try:
        metadata: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["export"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder / 'config.json'} is not one that export() wrote; export the model again") from error
    check_files(folder, metadata)
    return upgrade_metadata(metadata)


def check_files(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Raise ExportError unless a folder's files and its entry in config.json are those that were written."""
    found = digests(folder)
    # Earlier versions wrote one digest, of the graph alone.
    written = metadata.get("files") or {MODEL: metadata.get("sha256")}
    for name, sha256 in written.items():
        if name not in found:
            raise ExportError(f"{folder} has no {name}; copy the whole folder again, or export the model again")
        if found[name] != sha256:  # onnxruntime may run a damaged graph without an error, and give wrong logits
            raise ExportError(f"{folder / name} is not the file that was written; copy it, or export the model, again")
    if "files" in metadata and metadata["sha256"] != digest({k: v for k, v in metadata.items() if k != "sha256"}):
        raise ExportError(f"{folder / 'config.json'} was changed by hand; export the model again")
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise ExportError(f"{folder} has no tokenizer.json; copy the whole folder again, or export the model again")


def upgrade_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Replace the names and values that earlier versions of this unit wrote by today's.

    >>> upgrade_metadata({"live": True, "settings": {"form": "dialogue", "speakers": "name", "past": 5}})
    {'causal_turns': True, 'settings': {'context': 'whole_dialogues', 'speaker_format': 'name', 'past': 5}}
    """
    # Those versions always wrote "live". Without it, a setting called "form" is the user's own and stays as it is.
    if "live" not in metadata:
        return metadata
    upgraded = {RENAMED.get(name, name): value for name, value in metadata.items()}
    settings = {RENAMED.get(name, name): value for name, value in metadata["settings"].items()}
    if "context" in settings:
        settings["context"] = RENAMED_CONTEXTS.get(settings["context"], settings["context"])
    return upgraded | {"settings": settings}


def add_scores(folder: str | Path, scores: Mapping[str, float]) -> None:
    """Add scores that were measured after the export to a folder's config.json and model card.

    Args:
        folder: as `export` or `quantize` wrote it.
        scores: for instance {"test weighted F1": 0.59}. A score of the same name is replaced.

    Raises:
        ExportError: as in `load_exported`.
    """
    metadata = read_metadata(Path(folder))
    write_metadata(Path(folder), metadata | {"scores": metadata["scores"] | dict(scores)})


def digests(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 digest of the graph and of the files of the tokenizer.

    A graph of more than 2 GB has its weights in model.onnx.data.
    """
    paths = {path for pattern in FILES for path in folder.glob(pattern) if path.is_file()}
    found = {}
    for path in sorted(paths):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def digest(metadata: Mapping[str, Any]) -> str:
    """The SHA-256 digest of all that a folder says about its model, with the digests of its files."""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
