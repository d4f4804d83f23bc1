"""How a `Model` that finds entities is made."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .model import Example, Logits, LogitsFn, Mention, Model, collate


def make_tagger(
    logits_fn: LogitsFn,
    tokenizer: Any,
    labels: Sequence[str],
    *,
    tagging: Any,
    pieces: str = "first",
    name: str = "model",
    digest: str = "",
) -> Model:
    """A `Model` that finds entities.

    Args:
        logits_fn: `torch_logits_fn(model)` or `onnx_logits_fn(session)`, of a model that takes "starts" and "ends".
        tokenizer: its `model_max_length` must be what the model reads; longer texts are read in several parts.
        labels: the tags in the order of the logits, such as O, B-PER, I-PER.
        tagging: the module nbhelpers.tagging.
        pieces: which tokens stand for a word, as in `tagging.make_examples`.
        name, digest: as in `Model`.
    """

    def encode_words(sentences: list[list[str]]) -> list[Example]:
        return list(tagging.make_examples(sentences, tokenizer, pieces=pieces))

    def encode(texts: list[Any]) -> list[Example]:
        return encode_words([[word.text for word in tagging.split_words(text)] for text in texts])

    def mentions(texts: list[str], probabilities: Logits) -> list[list[Mention]]:
        found, start = [], 0
        for text in texts:
            words = tagging.split_words(text)
            rows = probabilities[start : start + len(words)]
            start += len(words)
            tags = tagging.decode(np.log(rows.clip(1e-12)), labels)
            sure = [float(row[list(labels).index(tag)]) for row, tag in zip(rows, tags, strict=True)]
            entities = tagging.entities(tags)
            scores = [min(sure[entity.start : entity.stop]) for entity in entities]
            places = zip(tagging.to_text(words, entities), scores, strict=True)
            found.append([Mention(start, stop, label, score) for (start, stop, label), score in places])
        return found

    def predict(examples: list[Example]) -> list[Logits]:
        logits = logits_fn(collate(examples, tokenizer.pad_token_id))
        return [rows[: len(example["starts"])] for rows, example in zip(logits, examples, strict=True)]

    def encode_dialogue(texts: list[str], speakers: list[str], see_future: bool) -> list[Example]:
        return encode(texts)

    options: dict[str, Any] = {"reads": "tags", "encode_words": encode_words, "mentions": mentions}
    return Model(labels, encode, encode_dialogue, predict, name, digest=digest, **options)
