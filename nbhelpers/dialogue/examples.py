"""Examples from the settings that a model was trained with, so that every program makes its inputs in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .layout import whole_dialogues, windows
from .turns import as_list, encode_turns

CONTEXTS = ("none", "windows", "whole_dialogues")
INPUT_SETTINGS = ("context", "speaker_format", "past", "future", "max_length")  # what `make_examples` takes of settings
# earlier versions wrote these names and values into config.json
RENAMED_SETTINGS = {"form": "context", "speakers": "speaker_format", "live": "causal_turns"}
RENAMED_CONTEXTS = {"turn": "none", "window": "windows", "dialogue": "whole_dialogues"}


def make_examples(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    labels: Sequence[int] | None = None,
    dialogue_ids: Sequence[int] | None = None,
    speakers: Sequence[str] | None = None,
    context: str = "none",
    speaker_format: str = "none",
    past: int | None = None,
    future: int = 0,
    max_length: int | None = None,
) -> list[dict[str, Any]]:
    """Turn texts into examples for a model, as its settings tell.

    Args:
        texts: [texts] strings. With a context they are turns, in the order in which they were said.
        tokenizer: a transformers tokenizer.
        labels: [texts] integers.
        dialogue_ids: [texts], the dialogue of each turn. A context needs them.
        speakers: [texts], who said each turn. A `speaker_format` other than "none" needs them.
        context: what the model reads beside a turn: "none", "windows" or "whole_dialogues".
        speaker_format: "name", "id" or "none", as in `encode_turns`. It needs a context; for single turns with their
            speakers, use windows with `past=0`.
        past, future: for windows, how many earlier and later turns; `past` must be given.
        max_length: in tokens; default `tokenizer.model_max_length`.

    Returns:
        With context "none", a dict per text: "input_ids" (a list, not padded) and, when given, "labels" (an integer).
        With a context, the dicts of `windows` or `whole_dialogues`: "input_ids", and one entry for each turn to
        classify in "starts", "ends" and, when given, "labels".

    Raises:
        ValueError: the columns differ in length, a text is not a string, or the settings do not fit together.

    >>> def tokenizer(texts, **_):  # the length of each word, between 101 and 102
    ...     return {"input_ids": [[101, *map(len, text.split()), 102] for text in texts]}
    >>> make_examples(["You did what?", "Sold it."], tokenizer, labels=[1, 0])
    [{'input_ids': [101, 3, 3, 5, 102], 'labels': 1}, {'input_ids': [101, 4, 3, 102], 'labels': 0}]
    """
    texts, labels = as_list(texts), None if labels is None else as_list(labels)
    check_texts(texts, labels)
    check_settings(context, dialogue_ids, speaker_format, past, future)
    if context == "none" or dialogue_ids is None:  # the second is refused above with a context; mypy cannot know
        return single_texts(texts, tokenizer, labels, max_length)
    turns = encode_turns(texts, dialogue_ids, tokenizer, speakers=speakers, speaker_format=speaker_format)
    options: dict[str, Any] = {"labels": labels, "max_length": max_length}
    if context == "windows":
        options |= {"past": past, "future": future}
        return windows(turns, dialogue_ids, tokenizer, **options)
    return whole_dialogues(turns, dialogue_ids, tokenizer, **options)


def single_texts(
    texts: Sequence[str], tokenizer: Any, labels: Sequence[int] | None, max_length: int | None
) -> list[dict[str, Any]]:
    """Examples of texts that each stand alone. Arguments and return value as in `make_examples`."""
    if max_length and max_length > getattr(tokenizer, "model_max_length", max_length):
        raise ValueError(f"max_length={max_length}, but the model reads at most {tokenizer.model_max_length} tokens")
    # a tokenizer of transformers fails on an empty list
    encoded = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"] if len(texts) else []
    if labels is None:
        return [{"input_ids": ids} for ids in encoded]
    return [{"input_ids": ids, "labels": int(label)} for ids, label in zip(encoded, labels, strict=True)]


def check_texts(texts: Sequence[str], labels: Sequence[int] | None) -> None:
    """Raise ValueError unless all texts are strings and each has a label."""
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(labels)} labels; each text needs exactly one")
    for row, text in enumerate(texts):
        # pandas reads an empty cell as the number nan
        if not isinstance(text, str):
            raise ValueError(f"text {row} is {type(text).__name__}, not a string; drop or fill missing texts first")


def check_settings(
    context: str, dialogue_ids: Sequence[int] | None, speaker_format: str, past: int | None, future: int
) -> None:
    """Raise ValueError unless the settings fit together. A setting without effect is an error as well."""
    if context not in CONTEXTS:
        raise ValueError(f"context {context!r} is not one of {', '.join(CONTEXTS)}")
    # without an error, whoever forgets `context` would train without the past and the speakers, and not notice
    if context == "none" and speaker_format != "none":
        raise ValueError(
            f"speaker_format={speaker_format!r} has no effect on single texts; pass context='windows', past=0 as well"
        )
    if context != "none" and dialogue_ids is None:
        raise ValueError(f"context={context!r} needs dialogue_ids=; pass them, or context='none'")
    if context == "windows" and past is None:
        raise ValueError("context='windows' needs past=, the number of earlier turns; 0 shows each turn alone")
    if context != "windows" and (past is not None or future):
        raise ValueError(
            f"past={past}, future={future} have no effect with context={context!r}; pass context='windows'"
        )


def input_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a model's settings that `make_examples` takes as arguments, under today's names.

    Args:
        settings: such as `model.config.settings`. They may tell more, for instance the corpus.

    >>> input_options({"corpus": "dialogues", "context": "windows", "past": 5})
    {'context': 'windows', 'past': 5}
    """
    settings = upgrade_settings(settings)
    return {name: settings[name] for name in INPUT_SETTINGS if name in settings}


def upgrade_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a saved model with the names and values of earlier versions replaced by today's.

    Args:
        settings: such as `model.config.settings`. Settings with today's names come back as they are.

    >>> upgrade_settings({"corpus": "dialogues", "form": "dialogue", "speakers": "name", "live": True})
    {'corpus': 'dialogues', 'context': 'whole_dialogues', 'speaker_format': 'name', 'causal_turns': True}
    """
    upgraded = {RENAMED_SETTINGS.get(name, name): value for name, value in settings.items()}
    if "context" in upgraded:
        upgraded["context"] = RENAMED_CONTEXTS.get(upgraded["context"], upgraded["context"])
    return upgraded
