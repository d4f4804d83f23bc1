"""The methods: LoRA, IA3 and prefix tuning. Each freezes the encoder and adds weights; the head is trained as well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import peft
from torch import nn

from .layers import KEY_VALUE_OUTPUT, QUERY_VALUE, heads, matching, pattern


def lora(
    model: nn.Module,
    *,
    r: int = 8,
    alpha: int = 16,
    dropout: float = 0.05,
    target_modules: Sequence[str] | str | None = None,
    trainable_token_indices: Sequence[int] | None = None,
    **options: Any,
) -> peft.PeftModel:
    """Freeze the encoder and add low-rank updates (alpha / r) B A to some of its linear layers (arXiv 2106.09685).

    LoRA needs a higher learning rate than full fine-tuning: 10 to 40 times as high in the paper's RoBERTa recipes.

    Args:
        model: a classifier with an encoder, for instance from `encoders.load`. It is changed in place.
        r: rank of the updates.
        alpha: the updates are scaled by alpha / r, as in the paper.
        dropout: probability for the inputs of the updates.
        target_modules: names of linear layers, or "all". A name means every layer whose name ends in it, so "query"
            stands for the query projection of each layer. Default: query and value.
        trainable_token_indices: ids of tokens whose rows of the embedding are trained and saved as well. New tokens,
            such as those of speakers, need it: their rows are random, and the encoder is frozen.
        options: further arguments of `peft.LoraConfig`, for instance use_dora=True.

    Returns:
        The model with its adapter.

    Raises:
        ValueError: the model has no layer of such a name (RoBERTa has no "q_proj"). The message lists its names.
    """
    config = peft.LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=pattern(model, target_modules, QUERY_VALUE),
        trainable_token_indices=None if trainable_token_indices is None else [int(i) for i in trainable_token_indices],
        # without this, peft would freeze the head with the encoder and would not save it
        modules_to_save=heads(model),
        **options,
    )
    return peft.get_peft_model(model, config)


def ia3(model: nn.Module, *, target_modules: Sequence[str] | None = None) -> peft.PeftModel:
    """Freeze the encoder and learn a factor for each unit of some linear layers (Liu et al. 2022, arXiv 2205.05638).

    Among the chosen layers, the factors multiply the outputs of those in the attention and the inputs of the others.

    Args:
        model: as in `lora`.
        target_modules: names of linear layers. Default: key, value and the second layer of the feed-forward block, as
            in the paper. (The default of peft also takes the attention's output layer in BERT.)

    Returns:
        The model with its adapter.

    Raises:
        ValueError: as in `lora`.
    """
    chosen = pattern(model, target_modules, KEY_VALUE_OUTPUT)
    if target_modules is None:
        # the attention's output layer is called "attention.output.dense", so its name ends in "output.dense" as well
        chosen = r"(?!.*\.attention\.output\.)" + chosen
    names = [name for name in matching(model, chosen) if not re.search(r"\.att(entio)?n\.", name)]
    feedforward = "|".join(re.escape(name) for name in names)
    config = peft.IA3Config(modules_to_save=heads(model), target_modules=chosen, feedforward_modules=feedforward)
    return peft.get_peft_model(model, config)


def prefix(model: nn.Module, *, num_tokens: int = 16) -> peft.PeftModel:
    """Freeze the encoder and learn keys and values that every layer sees before the text (arXiv 2101.00190).

    It works with BERT, RoBERTa and ELECTRA; peft refuses DistilBERT and ModernBERT.

    Args:
        model: a classifier with a head on the first token, for instance from `encoders.load(pooling="cls")`.
        num_tokens: length of the prefix in tokens.

    Returns:
        The model with its adapter.

    Raises:
        ValueError: the model pools by the mean; peft 0.21 only knows heads on the first token.
    """
    # compared by name, because this unit must work without the unit encoders
    if type(model).__name__ == "MeanPoolingClassifier":
        raise ValueError("peft's prefix tuning needs a head on the first token; load the model with pooling='cls'")
    # the task type adds the head itself, but not the pooler
    pooler = [name for name in heads(model) if ".pooler." in name]
    config = peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=num_tokens, modules_to_save=pooler)
    return peft.get_peft_model(model, config)
