"""From a name to a tokenizer and a model: `load` gives a new head, `load_trained` reads a trained one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from .dropout import use_fast_dropout
from .embedded import EMBEDDED, embedded_folder
from .embedded_base import EMBEDDED_BASE, embedded_base_folder
from .embedded_multilingual import EMBEDDED_MULTILINGUAL, embedded_multilingual_folder
from .pooling import MeanPoolingClassifier
from .sources import EncoderError, from_source, quiet
from .tokenizer import load_tokenizer
from .weights import load_weights, renew_head

POOLINGS = ("mean", "cls")


def load(
    name: str | Path = EMBEDDED,
    labels: Sequence[str] = ("negative", "positive"),
    *,
    pooling: str = "mean",
    dropout: float | None = None,
    attention_dropout: float | None = None,
    revision: str | None = None,
    **options: Any,
) -> tuple[Any, PreTrainedModel]:
    """Load a tokenizer and a classifier whose head is new. Seed torch first if you want the same head again.

    The embedded encoder was tested with its real weights, other architectures with random weights, and Hub names with
    a local server that answers like the Hub.

    Args:
        name: "embedded", "embedded-base", "embedded-multilingual", a local folder, or a Hub name such as
                "roberta-base".
        labels: the class names in the order of their ids. They are saved with the model.
        pooling: "mean" averages the token vectors (`MeanPoolingClassifier`). "cls" is the architecture's own head on
            the first token; every program that uses transformers can load its folder.
        dropout: probability for the head's input, 0 to 1. Default: the model's own.
        attention_dropout: probability for the attention weights. Default: the model's own.
        revision: a commit, tag or branch on the Hub.
        options: further arguments of `from_pretrained`, for instance attn_implementation="eager".

    Returns:
        (tokenizer, model). `tokenizer.model_max_length` is the number of tokens that the model reads.

    Raises:
        EncoderError: the model cannot be loaded.
        ValueError: `pooling` or `labels` is wrong.

    >>> tokenizer, model = load("roberta-base", ("calm", "angry"))  # doctest: +SKIP
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
    labels = check_labels(labels)
    source, revision = find(name, revision)
    config = from_source(AutoConfig, source, revision)
    if MeanPoolingClassifier.__name__ in (config.architectures or ()):
        raise EncoderError(f"{name} is a trained classifier, not an encoder; read it with load_trained()")
    configure(config, labels, dropout, attention_dropout)
    tokenizer = load_tokenizer(source, revision, config)
    if pooling == "mean":
        encoder, _ = load_weights(AutoModel, source, revision, config, **options)
        return tokenizer, MeanPoolingClassifier(config, encoder)
    model_class = AutoModelForSequenceClassification
    # a head for another number of labels is no error: it is replaced in any case
    options = {"ignore_mismatched_sizes": True, **options}
    model, missing = load_weights(model_class, source, revision, config, **options)
    renew_head(model, model_class, missing)
    return tokenizer, model


def load_trained(folder: str | Path, **options: Any) -> tuple[Any, PreTrainedModel]:
    """Load the tokenizer and model that `save_pretrained` wrote to a folder, with the trained head and its labels.

    Args:
        folder: a folder with a classifier of this unit or of transformers ("...ForSequenceClassification").
        options: further arguments of `from_pretrained`, for instance attn_implementation="eager".

    Returns:
        (tokenizer, model).

    Raises:
        EncoderError: the folder does not contain a trained classifier with its tokenizer.
    """
    source, _ = find(folder, None)
    config = from_source(AutoConfig, source, None)
    architecture = (config.architectures or ["model of unknown type"])[0]
    if architecture == MeanPoolingClassifier.__name__:  # transformers does not know this class
        model_class = MeanPoolingClassifier
    elif architecture.endswith("ForSequenceClassification"):
        model_class = AutoModelForSequenceClassification
    else:
        raise EncoderError(f"{folder} is a {architecture}, not a trained classifier; give it a head with load()")
    tokenizer = load_tokenizer(source, None, config)
    # transformers would give a classifier without its head a random one, with no more than a warning
    model, _ = load_weights(model_class, source, None, config, head=True, **options)
    return tokenizer, model


def check_labels(labels: Any) -> list[str]:
    """The class names as a list. Raises ValueError for anything but two or more different texts.

    A dict is refused, because a list of it would be its keys, and so are numbers, which no JSON file could bring back.

    >>> check_labels(("calm", "angry"))
    ['calm', 'angry']
    """
    names = [] if isinstance(labels, str | Mapping) else list(labels)
    if len(names) < 2 or len(set(names)) < len(names) or not all(isinstance(x, str) and x.strip() for x in names):
        raise ValueError(f"labels must be two or more different names in the order of their ids, not {labels!r}")
    return [str(name) for name in names]  # a numpy string would not pass json


def use_fast_layers(model: Any, device: Any, precision: str) -> None:
    """Choose the attention and the dropout that train faster, where they are not those that transformers chooses.

    On a CPU, torch 2.13 computes the gradients of its fused attention slowly in bf16. With whole dialogues, training
    takes 1.4 to 1.6 times as long as with transformers' "eager" attention. In fp32 the fused one is faster. For the
    dropout, see `FastDropout`.

    Args:
        model: a loaded model, before an adapter is added.
        device: a torch.device, on which it will be trained.
        precision: in which it will be trained: "bf16", "fp16" or "fp32".
    """
    if device.type == "cpu":
        use_fast_dropout(model)
        if precision == "bf16":
            with quiet():
                model.set_attn_implementation("eager")


def configure(config: Any, labels: Sequence[str], dropout: float | None, attention_dropout: float | None) -> None:
    """Write the labels and the dropout into a model's configuration."""
    config.id2label = dict(enumerate(labels))  # this sets num_labels as well
    config.label2id = {label: i for i, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    if dropout is not None:
        # the head's dropout has three names: BERT's and RoBERTa's, DistilBERT's, DeBERTa's
        config.classifier_dropout = config.seq_classif_dropout = config.cls_dropout = dropout
    if attention_dropout is not None:
        # two names again: that of BERT and RoBERTa, that of DistilBERT and ModernBERT
        config.attention_probs_dropout_prob = config.attention_dropout = attention_dropout


def find(name: str | Path, revision: str | None) -> tuple[str, str | None]:
    """Where the files of a model are: (local folder, None) or (Hub name, revision).

    Raises:
        EncoderError: it is neither the name of an embedded encoder, nor a complete folder, nor possible as a Hub name.
    """
    if str(name) == EMBEDDED:
        return embedded_folder(), None
    if str(name) == EMBEDDED_BASE:
        return embedded_base_folder(), None
    if str(name) == EMBEDDED_MULTILINGUAL:
        return embedded_multilingual_folder(), None
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(f"{name} has no config.json; pass the folder that save_pretrained wrote")
        if not list(folder.glob("*.safetensors")):
            raise EncoderError(
                f"{name} has no *.safetensors; load it where you trust it and save it again as safetensors"
            )
        return str(folder), None
    # a mistyped path such as "./my-model" must not become a question to the Hub
    hub_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(name)) is not None and str(name)[0] != "."
    if folder.exists() or isinstance(name, Path) or not hub_name:
        raise EncoderError(f"{name} is not a folder; pass a model's folder, a Hub name, or 'embedded'")
    return str(name), revision
