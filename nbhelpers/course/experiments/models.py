"""The model that a row of a results table describes, before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbhelpers import adapters, corpora, dialogue, distillation, encoders, environment, training
from nbhelpers.course.errors import CourseError
from nbhelpers.course.new_tokens import new_tokens_fault

from .data import INPUT_SETTINGS

Config = Mapping[str, Any]


def load_model(names: list[str], config: Config) -> tuple[Any, Any]:
    """The tokenizer and the model of a configuration, ready to be trained."""
    # The classes of sentiment share the head with the others; `objectives.multi_task` tells them apart.
    sentiments = [f"sentiment {i}" for i in range(3)] if "sentiment" in config else []
    tokenizer, model = encoders.load(
        config["encoder"],
        [*names, *sentiments],
        pooling=config["pooling"],
        attention_dropout=config.get("attention_dropout"),
    )
    if "layers" in config:
        model = distillation.truncate(model, config["layers"])
    device = environment.best_device()
    encoders.use_fast_layers(model, device, environment.best_precision(device)[0])
    tokenizer = corpora.normalizing_tokenizer(tokenizer)
    model.config.causal_turns = config.get("causal_turns", False)
    model.config.settings = {name: config[name] for name in INPUT_SETTINGS if name in config}
    tuning = dict(config.get("tuning", {"method": "full"}))
    if config.get("speaker_format") == "id":
        if fault := new_tokens_fault(config):
            raise CourseError(fault)
        dialogue.add_speaker_tokens(tokenizer, model)
        if tuning["method"] == "lora":  # it freezes the embedding
            tuning["trainable_token_indices"] = tokenizer.convert_tokens_to_ids(dialogue.speaker_tokens())
    return tokenizer, adapt(model, **tuning)


def adapt(model: Any, method: str, **options: Any) -> Any:
    """The model with what is to be trained: "full", only its "head", or a new adapter ("lora", "ia3", "prefix").

    Args:
        model: a classifier.
        method: one of these five.
        options: further arguments of the function of the unit adapters.
    """
    if method == "head":
        training.freeze_encoder(model)
    if method in ("full", "head"):
        return model
    return getattr(adapters, method)(model, **options)
