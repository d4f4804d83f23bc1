"""The texts on which the benchmarks run, and the encoder that reads them."""

from __future__ import annotations

import itertools
import os
import random
from typing import Any, NamedTuple

from nbhelpers import batching, corpora, encoders, environment
from nbhelpers.course import machine
from nbhelpers.course.errors import CourseError

LABELS = ("negative", "neutral", "positive")  # speed does not depend on labels, so each text gets one of these
MAX_LENGTH = 128  # tokens that every way reads of a text


class Sample(NamedTuple):
    """Texts of a corpus, their tokens, and the encoder.

    Attributes:
        corpus, encoder: their names.
        texts: in random order.
        examples: "input_ids" (at most `MAX_LENGTH`) and "labels" of each text.
        tokenizer: of the encoder.
    """

    corpus: str
    encoder: str
    texts: list[str]
    examples: list[dict[str, Any]]
    tokenizer: Any

    @property
    def mean_tokens(self) -> float:
        """The mean number of tokens of a text."""
        return sum(len(example["input_ids"]) for example in self.examples) / len(self.examples)

    def describe(self) -> str:
        """The sample in words."""
        return (
            f"{len(self.texts):,} texts of {self.corpus} with {self.mean_tokens:.0f} tokens on average, {self.encoder}"
        )

    def load_model(self, pooling: str) -> Any:
        """A model with a new head; the same one each time."""
        environment.set_seed(0)
        with encoders.quiet():
            return encoders.load(self.encoder, LABELS, pooling=pooling)[1]


def default_corpus() -> str:
    """MELD where NBHELPERS_DATA has it, else the reviews that were written for this course."""
    return "meld" if os.environ.get("NBHELPERS_DATA") and machine.has_meld() else "reviews"


def draw_sample(corpus: str | None, num_texts: int, encoder: str, **options: Any) -> Sample:
    """Draw texts of the train split, which are repeated if the corpus has too few.

    Args:
        corpus: what `corpora.load` takes; None: `default_corpus`.
        num_texts: how many.
        encoder: what `encoders.load` takes.
        options: of `corpora.load`.

    Raises:
        CorpusError: the corpus cannot be read.
        CourseError: it has no train split, or its items are not texts.
        EncoderError: the encoder cannot be loaded.
    """
    name = corpus or default_corpus()
    data = corpora.load(name, **options)
    if "train" not in data or "text" not in data["train"].features:
        raise CourseError(f"{name} has no train split with texts; pass a table of texts with labels")
    all_texts = data["train"]["text"][:]
    random.Random(0).shuffle(all_texts)
    texts = list(itertools.islice(itertools.cycle(all_texts), num_texts))
    with encoders.quiet():
        tokenizer, _ = encoders.load(encoder, LABELS)
    labels = [i % len(LABELS) for i in range(num_texts)]
    max_length = min(MAX_LENGTH, tokenizer.model_max_length)
    return Sample(
        name, encoder, texts, batching.tokenize(texts, tokenizer, labels=labels, max_length=max_length), tokenizer
    )
