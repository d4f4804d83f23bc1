"""Weights: load them in fp32, refuse a file that lacks some, and give a model a new head."""

from __future__ import annotations

import os
import re
from typing import Any

import torch
from transformers import PreTrainedModel

from .sources import EncoderError, from_source, quiet

IN_ENCODER = re.compile(r"embeddings|layers?\.\d")  # names of the weights that an encoder cannot do without


def load_weights(
    model_class: Any, source: str, revision: str | None, config: Any, *, head: bool = False, **options: Any
) -> tuple[Any, set[str]]:
    """Load a model in fp32.

    Args:
        model_class: an Auto class or a model class of transformers.
        source, revision: from `find`.
        config: the model's configuration.
        head: whether the weights of the head must be there as well. Without it, only the encoder's must.
        options: further arguments of `from_pretrained`.

    Returns:
        The model, and the names of the weights that the source lacks. These have random values.

    Raises:
        EncoderError: the source cannot be loaded, lacks weights that must be there, or has some that are not finite.
    """
    # Without this, transformers asks a service to convert a model that has no safetensors, and loads the result
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    # some models are stored in half precision; a small learning rate would round to nothing there
    options = {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True, **options}
    with quiet():  # transformers only reports missing weights; here they are an error
        model, info = from_source(model_class, source, revision, config=config, **options)
    # only a head may have another size; from a folder whose heads were pruned, attention would be random
    if wrong := sorted(name for name, *_ in info["mismatched_keys"] if IN_ENCODER.search(name)):
        raise EncoderError(
            f"{source} has weights of another size than its config.json says, such as {wrong[0]}; "
            "copy both from the same model (config.json cannot say that attention heads were pruned)"
        )
    # a pooler may be missing, since many encoders are saved without one
    required = sorted(name for name in info["missing_keys"] if head or IN_ENCODER.search(name))
    if required:
        raise EncoderError(
            f"{source} lacks {len(required)} weights of a {type(model).__name__}, such as {required[0]}; "
            "its config.json names another architecture than its weights have, so copy both from the same model"
        )
    # a run that diverged saves NaN, and its predictions would look like any others
    broken = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
    if broken:
        raise EncoderError(f"{source} has weights that are infinite or NaN, such as {broken[0]}; train the model again")
    return model, set(info["missing_keys"])


def renew_head(model: PreTrainedModel, model_class: Any, missing: set[str]) -> None:
    """Give the model a head with random weights, in place, where the source had a trained one.

    A source that is a trained classifier has a head for its own labels. It would be silently reused for other labels
    of the same number.

    Args:
        model_class: the Auto class that the model was loaded with.
        missing: the names of the weights that the source lacks, from `load_weights`; these are random already.
    """
    head = {name for name, _ in model.named_parameters() if not name.startswith(f"{model.base_model_prefix}.")}
    if head - missing:
        # a second model, because each architecture initializes its head in its own way
        fresh = dict(model_class.from_config(model.config).named_parameters())
        for name in head:
            model.get_parameter(name).data.copy_(fresh[name])
