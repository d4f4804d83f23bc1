"""From words to what a model reads: tokens, and where each word is among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NO_LABEL = -100  # torch's and transformers' mark for a position that does not count in the loss
PIECES = ("first", "mean")


def make_examples(
    sentences: Sequence[Sequence[str]],
    tokenizer: Any,
    labels: Sequence[Sequence[int]] | None = None,
    *,
    pieces: str = "first",
    max_length: int | None = None,
) -> list[dict[str, list[int]]]:
    """Return examples in which each word is classified exactly once, in order.

    A tokenizer divides a rare word into several tokens. `starts` and `ends` say which of them stand for the word. A
    sentence of more than `max_length` tokens gives several examples. Neighboring ones share words: each sees up to a
    quarter of the length before and after the words that it classifies, so that no word is classified at an edge.

    Args:
        sentences: the words of each sentence.
        tokenizer: a fast tokenizer of transformers, or `exported.Tokenizer`. The words are tokenized with a space
            before each but the first, as in a text.
        labels: class ids of the words; None for prediction.
        pieces: which tokens stand for a word: its "first", or the "mean" of all.
        max_length: in tokens; by default `tokenizer.model_max_length`.

    Returns:
        A dict for each example with "input_ids", and "starts", "ends" and, if given, "labels" of its words.

    Raises:
        ValueError: labels are missing, `pieces` is unknown, or `max_length` is too small or too large.

    >>> from transformers import BertTokenizer
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "ann", "lo", "##bo", "left"]
    >>> tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=512)
    >>> make_examples([["Ann", "Lobo", "left"]], tokenizer, [[1, 2, 0]])
    [{'input_ids': [2, 4, 5, 6, 7, 3], 'starts': [1, 2, 4], 'ends': [2, 3, 5], 'labels': [1, 2, 0]}]
    """
    if pieces not in PIECES:
        raise ValueError(f"pieces {pieces!r} is not one of {', '.join(PIECES)}")
    if labels is not None and [*map(len, labels)] != [*map(len, sentences)]:
        raise ValueError("each word needs exactly one label")
    limit = max_length or tokenizer.model_max_length
    before, after = special_tokens(tokenizer)
    room = limit - len(before) - len(after)
    if limit > tokenizer.model_max_length or room < 8:
        raise ValueError(f"max_length={limit}, but it must be from 16 to the {tokenizer.model_max_length} of the model")
    examples = []
    for number, tokens in enumerate(word_tokens(sentences, tokenizer)):
        for shown, classified in windows([len(word) for word in tokens], room):
            ids = list(before)
            example: dict[str, list[int]] = {"input_ids": ids, "starts": [], "ends": []}
            for i in shown:
                word = tokens[i][:room]
                if i in classified:
                    example["starts"].append(len(ids))
                    example["ends"].append(len(ids) + (1 if pieces == "first" else len(word)))
                ids += word
            ids += after
            if labels is not None:
                example["labels"] = [int(labels[number][i]) for i in classified]
            examples.append(example)
    return examples


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the token ids that a tokenizer puts before and after a text, such as [CLS] and [SEP]."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    start = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
    return list(whole[:start]), list(whole[start + len(inner) :])


def word_tokens(sentences: Sequence[Sequence[str]], tokenizer: Any) -> list[list[list[int]]]:
    """Return the token ids of each word of each sentence. A word that a tokenizer drops becomes its unknown token.

    Byte-level BPE, as RoBERTa's, writes " Paris" and "Paris" as different tokens. So each word after the first is
    tokenized with its space. WordPiece and SentencePiece ignore it, or mark it in the same way.
    """
    texts = [word if i == 0 else f" {word}" for sentence in sentences for i, word in enumerate(sentence)]
    different = list(dict.fromkeys(texts))
    ids = tokenizer(different, add_special_tokens=False)["input_ids"] if different else []
    unknown = [tokenizer.unk_token_id]
    known = {text: list(tokens) or unknown for text, tokens in zip(different, ids, strict=True)}
    iterator = iter(texts)
    return [[known[next(iterator)] for _ in sentence] for sentence in sentences]


def windows(lengths: Sequence[int], room: int) -> list[tuple[range, range]]:
    """Return which words each example shows, and which of these it classifies.

    Args:
        lengths: the number of tokens of each word.
        room: how many tokens an example has for words. A longer word is cut.

    >>> windows([1] * 6, room=8), windows([1] * 12, room=8)
    ([(range(0, 6), range(0, 6))], [(range(0, 8), range(0, 6)), (range(4, 12), range(6, 12))])
    """
    lengths = [min(length, room) for length in lengths]
    if sum(lengths) <= room:
        return [(range(len(lengths)), range(len(lengths)))] if lengths else []
    found, first = [], 0
    while first < len(lengths):
        start, used = first, 0
        while start > 0 and used + lengths[start - 1] <= room // 4:  # words before, which are only read
            start -= 1
            used += lengths[start]
        stop = first
        while stop < len(lengths) and (stop == first or used + lengths[stop] <= room):
            used += lengths[stop]
            stop += 1
        while used > room:  # one long word: the words before it must go
            used -= lengths[start]
            start += 1
        last, margin = stop, 0
        if stop < len(lengths):  # words after, which are only read
            while last > first + 1 and margin + lengths[last - 1] <= room // 4:
                last -= 1
                margin += lengths[last]
        found.append((range(start, stop), range(first, last)))
        first = last
    return found


def token_labels(example: dict[str, list[int]]) -> list[int]:
    """Return a label for each token, as transformers' ...ForTokenClassification wants it: -100 where there is none.

    Args:
        example: from `make_examples` with pieces="first" and labels.

    >>> token_labels({"input_ids": [2, 4, 5, 6, 3], "starts": [1, 2], "ends": [2, 3], "labels": [1, 2]})
    [-100, 1, 2, -100, -100]
    """
    labels = [NO_LABEL] * len(example["input_ids"])
    for start, label in zip(example["starts"], example["labels"], strict=True):
        labels[start] = label
    return labels
