"""A student made of some layers of its teacher, and a check that two models have the same labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

# Where the layers are in the encoder of each architecture, for those whose students were compared with what
# `from_pretrained` makes of their folder.
LAYERS = {
    "bert": "encoder.layer",
    "camembert": "encoder.layer",
    "deberta-v2": "encoder.layer",
    "distilbert": "transformer.layer",
    "electra": "encoder.layer",
    "modernbert": "layers",
    "mpnet": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
}


def truncate(model: nn.Module, layers: Sequence[int]) -> nn.Module:
    """Make a student: a copy of a model that has only some of the encoder's layers.

    It starts with everything that the teacher knows about words, and usually with its head. Without training it is a
    bad model, because each layer gets inputs that it has not seen. Sajjad et al. 2020 (arXiv 2004.03844) compare which
    layers to keep; the lower ones matter most. The configuration gets the new number of layers, so the student can be
    saved and loaded like any other model.

    Args:
        model: A transformers model of an architecture in `LAYERS`. It is left as it is.
        layers: The numbers of the layers to keep, from 0, in increasing order.

    Returns:
        The student.

    Raises:
        ValueError: The architecture is not in `LAYERS`, or the layers are not different numbers of its layers in
            increasing order. ModernBERT's layer 0 must be kept: it is the only one without a normalization at its
            start, and a loaded model always has one such layer.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 16}
    >>> teacher = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> student = truncate(teacher, [0, 2])
    >>> student.config.num_hidden_layers, teacher.config.num_hidden_layers
    (2, 4)
    >>> bool((encoder_layers(student)[1].output.dense.weight == encoder_layers(teacher)[2].output.dense.weight).all())
    True
    """
    layers, num_layers = list(layers), len(encoder_layers(model))
    if not layers or layers != sorted(set(layers)) or layers[0] < 0 or layers[-1] >= num_layers:
        raise ValueError(f"layers={layers}: pass different numbers from 0 to {num_layers - 1} in increasing order")
    teacher: Any = model
    if teacher.config.model_type == "modernbert" and layers[0] != 0:
        raise ValueError(f"layers={layers}: the first one must be 0, because ModernBERT's layer 0 differs from others")
    student: Any = copy.deepcopy(model)
    encoder = student.base_model
    parent, _, name = LAYERS[student.config.model_type].rpartition(".")
    setattr(encoder.get_submodule(parent), name, nn.ModuleList(encoder_layers(student)[layer] for layer in layers))
    for config in (student.config, encoder.config):  # two objects where a classifier wraps a whole encoder
        config.num_hidden_layers = len(layers)  # DistilBERT's "n_layers" has this second name
        if hasattr(config, "layer_types"):  # ModernBERT's layers see either all tokens or only those nearby
            config.layer_types = [teacher.config.layer_types[layer] for layer in layers]
    return student


def encoder_layers(model: nn.Module) -> nn.ModuleList:
    """Find the layers of the encoder in a transformers model; an unknown architecture is a ValueError.

    >>> import transformers
    >>> config = transformers.DistilBertConfig(vocab_size=20, dim=8, n_layers=3, n_heads=2, hidden_dim=16)
    >>> len(encoder_layers(transformers.DistilBertForSequenceClassification(config)))
    3
    """
    model_type = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    encoder: Any = getattr(model, "base_model", model)
    try:
        layers: nn.ModuleList = encoder.get_submodule(LAYERS[model_type])
    except (AttributeError, KeyError):  # an adapter of peft wraps the encoder, so the layers are not where they were
        raise ValueError(
            f"no layers of {model_type} can be found in a {type(model).__name__}; pass a transformers model, without "
            f"an adapter, of one of the architectures {', '.join(LAYERS)}"
        ) from None
    return layers


def check_same_labels(teacher: nn.Module, student: nn.Module) -> None:
    """Raise a ValueError unless two models have the same labels in the same order.

    Otherwise the student would learn the teacher's "joy" as its own "anger", and nothing but a bad score would tell.

    Args:
        teacher, student: Transformers models, whose `config.id2label` has the names.

    >>> import transformers
    >>> from types import SimpleNamespace
    >>> teacher = SimpleNamespace(config=transformers.BertConfig(id2label={0: "calm", 1: "angry"}))
    >>> student = SimpleNamespace(config=transformers.BertConfig(id2label={0: "angry", 1: "calm"}))
    >>> check_same_labels(teacher, student)
    Traceback (most recent call last):
    ValueError: the teacher's labels are calm, angry, the student's angry, calm; load both with the same labels
    """
    names: list[list[str]] = []
    for model in (teacher, student):
        config: Any = model.config
        names.append([config.id2label[index] for index in sorted(config.id2label)])
    if names[0] != names[1]:
        first, second = (", ".join(part) for part in names)
        raise ValueError(f"the teacher's labels are {first}, the student's {second}; load both with the same labels")
