"""From texts to token ids, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def tokenize(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    pairs: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    max_length: int | None = None,
) -> list[dict[str, Any]]:
    """Turn texts into examples: one dict per text with "input_ids" (a list without padding) and, if given, "labels".

    Token types are left out. They are all 0 then, also for pairs, whose texts are told apart by the separator between
    them, as in RoBERTa. So no program that uses the model later has to pass them.

    Args:
        texts: Strings [items].
        tokenizer: A transformers tokenizer; it adds its special tokens.
        pairs: Strings [items], the second text of each pair. The longer text of a pair is cut first.
        labels: Integers [items], or, where an item can have several labels, 0 and 1 [items, classes].
        max_length: Cut longer texts to this many tokens; by default `tokenizer.model_max_length`.

    Raises:
        ValueError: The columns differ in length, a text is not a string, or the model reads fewer tokens.

    >>> def tokenizer(texts, truncation, max_length):  # a stand-in: each word becomes its length
    ...     return {"input_ids": [[0, *map(len, text.split()), 2] for text in texts]}
    >>> tokenize(["I love it."], tokenizer, labels=[1])
    [{'input_ids': [0, 1, 4, 3, 2], 'labels': 1}]
    """
    texts, labels = list(texts), None if labels is None else list(labels)  # by position, whatever index they have
    for name, column in (("labels", labels), ("pairs", pairs)):
        if column is not None and len(column) != len(texts):
            raise ValueError(f"there are {len(texts)} texts, but {len(column)} {name}; each text needs exactly one")
    for row, text in enumerate([*texts, *([] if pairs is None else pairs)]):
        if not isinstance(text, str):
            raise ValueError(f"text {row} is {type(text).__name__}, not a string; drop or fill missing texts first")
    if max_length and max_length > getattr(tokenizer, "model_max_length", max_length):
        raise ValueError(f"max_length={max_length}, but the model reads at most {tokenizer.model_max_length} tokens")
    if not texts:  # tokenizers raise an IndexError for an empty list
        return []
    both = (texts,) if pairs is None else (texts, list(pairs))
    encoded = tokenizer(*both, truncation=True, max_length=max_length)
    columns = {"input_ids": encoded["input_ids"]}
    if hasattr(tokenizer, "backend_tokenizer"):
        # Otherwise `save_pretrained` would write this truncation into tokenizer.json, for every program.
        tokenizer.backend_tokenizer.no_truncation()
    if labels is not None:
        columns["labels"] = [list(x) if isinstance(x, list | tuple) else int(x) for x in labels]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
