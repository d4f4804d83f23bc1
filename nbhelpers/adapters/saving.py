"""Save an adapter with its head and labels, load it again or refuse it, and merge it into the encoder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import peft
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from torch import nn

from .layers import heads


def save(model: peft.PeftModel, folder: str | Path, *, encoder: str | None = None) -> None:
    """Write the adapter with its head, and the model's configuration: labels, pooling, settings.

    `model.save_pretrained` alone would write the adapter without the names of its classes.

    Args:
        model: from `lora`, `ia3` or `prefix`.
        folder: it is created when missing.
        encoder: the name of the encoder to write into adapter_config.json, such as "roberta-base", so that a reader
            knows what to load. Default: where the encoder was loaded from, which may be a path that only exists on this
            machine.
    """
    model.save_pretrained(str(folder))
    if encoder is not None:
        config = model.active_peft_config
        config.base_model_name_or_path = encoder
        config.save_pretrained(str(folder))
    base: Any = model.get_base_model()
    # transformers fills this in only when it saves a whole model; it tells a reader which pooling the head needs
    base.config.architectures = [type(base).__name__]
    base.config.save_pretrained(folder)


def load_adapter(model: nn.Module, folder: str | Path) -> peft.PeftModel:
    """Put a saved adapter, with its head, on a newly loaded model of the same encoder, labels and pooling.

    The number and sizes of the weights are compared with those of the adapter, and the names of the classes, where both
    have names. Whether the encoder has the same weights cannot be seen from the adapter.

    Args:
        model: the classifier before an adapter was added, with any head. If its classes have no names (LABEL_0, ...),
            it gets those that were saved.
        folder: where `save` or `save_pretrained` wrote the adapter.

    Returns:
        The model with its adapter, in evaluation mode and with all weights frozen.

    Raises:
        ValueError: the folder has no adapter, an adapter without its head, or an adapter of another model, or the model
            already has an adapter. (peft loads an adapter of another model or without a head with at most a warning,
            and leaves random weights in place of those that are missing.)
    """
    if any(isinstance(module, BaseTunerLayer | peft.PeftModel) for module in model.modules()):
        raise ValueError("this model already has an adapter; merge it, or load the classifier once more")
    weights = Path(folder) / "adapter_model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{folder} holds no adapter ({weights.name}); pass a folder that save_pretrained wrote")
    with safe_open(weights, framework="pt") as file:
        saved = set(file.keys())
    restore_label_names(model, Path(folder))
    head = heads(model)
    mismatch = f"{folder} was trained on another model; load the same encoder with the same labels and pooling"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # missing weights are an error below
        try:
            adapted = peft.PeftModel.from_pretrained(model, str(folder))
        except RuntimeError as error:  # the sizes of the weights differ
            raise ValueError(mismatch) from error
    # a different number of layers, or a different pooling: the adapter has weights that the file lacks
    if set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)) - saved:
        raise ValueError(mismatch)
    if not any(f".{name}." in key for name in head for key in saved):
        raise ValueError(
            f"{folder} was saved without its head ({', '.join(head)}), and a new one would only guess; "
            "train it again with the head in modules_to_save, as lora() does"
        )
    return adapted


def restore_label_names(model: Any, folder: Path) -> None:
    """Give the model the class names that were saved with an adapter; raise ValueError if it has other names."""
    file = folder / "config.json"
    if not file.is_file():  # the adapter was saved without `save`
        return
    saved = {int(i): name for i, name in json.loads(file.read_text(encoding="utf-8")).get("id2label", {}).items()}
    # transformers leaves names of its own out of the file
    if not saved or len(saved) != model.config.num_labels:
        return
    default = {i: f"LABEL_{i}" for i in range(model.config.num_labels)}
    if model.config.id2label == default:
        model.config.id2label, model.config.label2id = saved, {name: i for i, name in saved.items()}
    elif saved not in (default, model.config.id2label):
        names = ", ".join(saved[i] for i in sorted(saved))
        raise ValueError(f"{folder} was trained for the labels {names}, in this order; load the encoder with them")


def merge(model: peft.PeftModel) -> Any:
    """Add the adapter to the encoder's weights. The result needs no peft and is as fast as a model without an adapter.

    Save it as usual. The model is changed in place, and weights that are frozen stay so. Merge in fp32: bf16 would
    round small updates away.

    Args:
        model: from `lora`, `ia3` or `load_adapter`.

    Returns:
        The classifier without peft.

    Raises:
        ValueError: the adapter is a prefix, which adds tokens and changes no weight.
    """
    if model.active_peft_config.is_prompt_learning:
        raise ValueError("a prefix has no weights to merge into the encoder; keep the adapter, or train with lora()")
    return model.merge_and_unload()
