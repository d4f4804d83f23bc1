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
    return {
        "labels": [config.id2label[i] for i in range(config.num_labels)],
        "inputs": ["input_ids", "attention_mask", *(["starts", "ends"] if dialogue else [])],
        "max_length": tokenizer.model_max_length,
        "causal_turns": bool(dialogue and config.causal_turns),
        "settings": dict(settings or {}),
        "weights": "fp32",
        "versions": {"python": platform.python_version(), **versions},
        "scores": dict(scores or {}),
    }


def write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Add the metadata to a folder's config.json, with the digest of the graph, and write the model card."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"export": {**metadata, "sha256": digest(folder)}}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    model_card(config["model_type"], metadata).save(folder / "README.md")


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read what `write_metadata` wrote, under today's names, and check that the graph is still the same file.

    Raises:
        ExportError: a file is missing, config.json is not from an export, or the graph is not the one that was written.
    """
    for name in ("config.json", MODEL):
        if not (folder / name).is_file():
            raise ExportError(f"{folder} has no {name}; pass a folder that export() or quantize() wrote")
    try:
        metadata: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["export"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder / 'config.json'} is not one that export() wrote; export the model again") from error
    # onnxruntime may run a damaged graph without an error, and give wrong logits
    if digest(folder) != metadata.get("sha256"):
        raise ExportError(
            f"{folder / MODEL} is not the file that was written; copy it again, or export the model again"
        )
    return upgrade_metadata(metadata)


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


def digest(folder: Path) -> str:
    """Compute the SHA-256 digest of model.onnx and, if there is one, of model.onnx.data."""
    sha256 = hashlib.sha256()
    # sorted, because the order in which a folder lists its files differs between file systems
    for path in sorted(folder.glob(f"{MODEL}*")):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: sha256)
    return sha256.hexdigest()
