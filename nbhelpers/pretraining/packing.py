"""Packing: fill inputs with full sentences, so that hardly a token is padding.

This is FULL-SENTENCES of the RoBERTa paper (Liu et al. 2019, arXiv 1907.11692, section 4.2): sentences in their order
until the input is full; an input may cross the border of a document, with one more separator there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

# After ".", "!" or "?", with closing quotes and brackets, where a space and no small letter follows
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^a-z])")


def split_sentences(text: str) -> list[str]:
    """Split a text after ".", "!" and "?". This is rough: "Dr. Who" becomes two sentences, which does no harm here.

    >>> split_sentences("It came late. (Why?) I asked, e.g. twice. 3.5 stars!")
    ['It came late.', '(Why?)', 'I asked, e.g. twice.', '3.5 stars!']
    """
    parts, start = [], 0
    for end in SENTENCE_END.finditer(text):
        parts.append(text[start : end.end()].strip())
        start = end.end()
    return [part for part in [*parts, text[start:].strip()] if part]


def pack_sentences(
    documents: Iterable[Sequence[str]], tokenizer: Any, max_length: int, *, cross_documents: bool = True
) -> list[dict[str, list[int]]]:
    """Pack the sentences of documents into inputs of at most `max_length` tokens.

    An input is `<s> sentences </s>`. Where a document ends inside of it, one `</s>` separates it from the next. A
    sentence is never divided, except one that alone is longer than an input.

    Args:
        documents: Each is a sequence of sentences. They are used in their order; shuffle documents before, not
            sentences.
        tokenizer: Of transformers; its first and last special tokens are used ([CLS] and [SEP] for BERT).
        max_length: Of an input, with its special tokens.
        cross_documents: False begins a new input with each document (DOC-SENTENCES of the paper). Inputs are then
            shorter, and there is more padding.

    Returns:
        Examples, each with "input_ids" (a list without padding).

    Raises:
        ValueError: An input would have no room for a token, or no document has any text.

    >>> from types import SimpleNamespace
    >>> def ids_of(texts, **options):  # a stand-in: each word becomes its length plus 10
    ...     return SimpleNamespace(input_ids=[[10 + len(word) for word in text.split()] for text in texts])
    >>> class Words:
    ...     cls_token_id, sep_token_id = 0, 2
    ...     __call__ = staticmethod(ids_of)
    >>> inputs = pack_sentences([["I love it.", "So do I."], ["No."], ["I do not know."]], Words(), max_length=11)
    >>> [example["input_ids"] for example in inputs]
    [[0, 11, 14, 13, 12, 12, 12, 2, 13, 2], [0, 11, 12, 13, 15, 2]]
    """
    if max_length < 3:
        raise ValueError(f"max_length={max_length} leaves no room between the two special tokens; pass 3 or more")
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    examples: list[dict[str, list[int]]] = []
    packed: list[int] = []  # what the current input has so far, without its first and last token

    def finish() -> None:
        # A separator at the very end would be followed by the last </s>, with nothing between them.
        content = packed[:-1] if packed and packed[-1] == last else packed
        if content:
            examples.append({"input_ids": [first, *content, last]})
        packed.clear()

    for document in documents:
        for sentence in tokenize_sentences(document, tokenizer):
            for start in range(0, len(sentence), max_length - 2):  # one piece, unless it is longer than an input
                piece = sentence[start : start + max_length - 2]
                if len(packed) + len(piece) > max_length - 2:
                    finish()
                packed += piece
        if not cross_documents:
            finish()
        elif packed:
            packed.append(last)
            if len(packed) > max_length - 3:  # no room for a token after the separator
                finish()
    finish()
    if not examples:
        raise ValueError("there is nothing to pack: no document has any text; pass lists of sentences")
    return examples


def tokenize_sentences(document: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Tokenize the sentences of a document, each as it is inside of it: all but the first have a space before them.

    In a byte-level vocabulary, "It" and " It" are different tokens.
    """
    if isinstance(document, str):
        raise ValueError("a document is a text; pass a list of its sentences, such as from split_sentences")
    sentences = [sentence if i == 0 else f" {sentence}" for i, sentence in enumerate(document)]
    if not sentences:
        return []
    ids: list[list[int]] = tokenizer(sentences, add_special_tokens=False, verbose=False).input_ids
    return ids
