"""From a folder with a fine-tuned model or an adapter to the torch model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from nbhelpers import dialogue, encoders, export

from .errors import ClassifierError

TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model")
ABOUT = ("config.json", "adapter_config.json", *TOKENIZER)  # what belongs to a model beside its weights


def digest_of(folder: Path) -> str:
    """The SHA-256 digest of a torch model or an adapter: of its configuration, weights and tokenizer, and their names.

    Files that no program loads do not count, such as notes, or weights that an earlier save left behind.
    """
    sha256 = hashlib.sha256()
    about = {path for pattern in ABOUT for path in folder.glob(pattern)}
    for path in sorted({*about, *export.weight_files(folder)}):
        sha256.update(path.name.encode())
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: sha256)
    return sha256.hexdigest()


def load_torch(folder: Path, encoder: str | None = None) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder with a fine-tuned model, or with an adapter, which is merged.

    Args:
        folder: from `save_pretrained` or `adapters.save`.
        encoder: what the adapter was trained on, where its folder names none, or a path that no longer exists.

    Raises:
        ClassifierError: an adapter's folder has no labels, no tokenizer, or no rows of its speaker tokens.
        EncoderError: the model cannot be loaded.
    """
    if not (folder / "adapter_config.json").is_file():
        tokenizer, model = encoders.load_trained(folder)
        if hasattr(model.config, "settings"):  # a folder of an earlier version has them under earlier names
            model.config.settings = dialogue.upgrade_settings(model.config.settings)
        return tokenizer, model
    from nbhelpers import adapters  # imports peft, which only adapters need

    facts = adapter_facts(folder)
    tokenizer, model = encoders.load(encoder or facts["encoder"], facts["labels"], pooling=facts["pooling"])
    for name, value in facts["config"].items():
        setattr(model.config, name, value)
    if getattr(model.config, "settings", {}).get("speaker_format") == "id":
        # The adapter's head was trained on an embedding with these rows. The new ones are random until it is loaded.
        dialogue.add_speaker_tokens(tokenizer, model)
        require_token_rows(folder)
    # The adapter's own tokenizer may normalize texts, or have a smaller model_max_length
    tokenizer = encoders.load_tokenizer(str(folder), None, model.config)
    return tokenizer, adapters.merge(adapters.load_adapter(model, folder))


def require_token_rows(folder: Path) -> None:
    """Raise ClassifierError unless a saved adapter contains rows of the embedding."""
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        if any("trainable_tokens" in name or "embeddings" in name for name in file.keys()):  # noqa: SIM118
            return
    raise ClassifierError(
        f"{folder} was saved without the rows of its speaker tokens, and new ones would be random; train it again with "
        "adapters.lora(model, trainable_token_indices=...)"
    )


def adapter_facts(folder: Path) -> dict[str, Any]:
    """What must be known to load the encoder of a saved adapter.

    Args:
        folder: from `adapters.save`, with the tokenizer saved there as well.

    Returns:
        "encoder" (a name or path), "labels", "pooling", and "config": those of the attributes `causal_turns`,
        `settings` and `scores` that the model's configuration had.

    Raises:
        ClassifierError: the configuration or the tokenizer is missing.
    """
    for name, missing in (("config.json", "its labels"), ("tokenizer_config.json", "its tokenizer")):
        if not (folder / name).is_file():
            raise ClassifierError(
                f"{folder} has no {name}, so {missing} cannot be known; save the adapter with adapters.save(model, "
                "folder), and its tokenizer with tokenizer.save_pretrained(folder)"
            )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    adapter = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if "live" in config:  # the name in earlier versions
        config["causal_turns"] = config.pop("live")
    if "settings" in config:
        config["settings"] = dialogue.upgrade_settings(config["settings"])
    ids = sorted(config["id2label"], key=int)  # JSON has text as keys; as text, "10" would come before "2"
    return {
        "encoder": adapter["base_model_name_or_path"],
        "labels": [config["id2label"][i] for i in ids],
        "pooling": "mean" if config["architectures"] == ["MeanPoolingClassifier"] else "cls",
        "config": {name: config[name] for name in ("causal_turns", "settings", "scores") if name in config},
    }


def labels_of(model: Any) -> list[str]:
    """The class names of a model in the order of its logits."""
    return [model.config.id2label[i] for i in range(model.config.num_labels)]
