"""Dialogues as model inputs: a window around each turn, or the whole dialogue in one pass.

Both give examples with "input_ids" and, per turn to classify, "starts" and "ends" of its own tokens (and "labels"), for
a model that pools each turn over its own span: `encoders.MeanPoolingClassifier`. No example holds turns of two
dialogues, and none holds a future turn unless asked.

Layout: `<s> turn </s></s> turn </s></s> turn </s>` for RoBERTa, `[CLS] turn [SEP] turn [SEP]` for BERT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SPEAKER_FORMATS = ("name", "id", "none")
NUM_SPEAKER_TOKENS = 8  # speakers who appear later share the last token


def encode_turns(
    texts: Sequence[str],
    dialogue_ids: Sequence[int],
    tokenizer: Any,
    *,
    speakers: Sequence[str] | None = None,
    speaker_format: str = "none",
) -> list[list[int]]:
    """Token ids of each turn, its speaker in front, without special tokens.

    Args:
        texts, dialogue_ids, speakers: [turns], in the order in which they were said.
        speaker_format: "name" puts the speaker's name in front ("Ruby: Burned down?"), "id" a token per speaker of the
            dialogue in order of appearance ("[SPK1]", see `add_speaker_tokens`), "none" nothing.

    Raises ValueError when lengths differ, a dialogue is in two pieces, or the tokenizer lacks the speaker tokens.

    >>> encode_turns(["Hi."], [0], lambda texts, **_: {"input_ids": [[len(t)] for t in texts]})
    [[3]]
    """
    if speaker_format not in SPEAKER_FORMATS:
        raise ValueError(f"speaker_format {speaker_format!r} is not one of {', '.join(SPEAKER_FORMATS)}")
    if speaker_format != "none" and speakers is None:
        raise ValueError(f"speaker_format={speaker_format!r} needs speakers=; pass them, or speaker_format='none'")
    spans(dialogue_ids)
    for name, column in (("dialogue_ids", dialogue_ids), ("speakers", texts if speakers is None else speakers)):
        if len(column) != len(texts):
            raise ValueError(f"{len(texts)} texts, but {len(column)} {name}; each turn needs one of each")
    if speaker_format == "name":
        texts = [f"{speaker}: {text}" for speaker, text in zip(speakers or (), texts, strict=True)]
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if len(texts) else []
    if speaker_format == "id":
        tokens = [tokenizer.convert_tokens_to_ids(token) for token in speaker_tokens()]
        if tokenizer.unk_token_id in tokens or None in tokens:
            raise ValueError("the tokenizer has no speaker tokens; call add_speaker_tokens(tokenizer, model) first")
        numbers = speaker_numbers(speakers or (), dialogue_ids)
        encoded = [[tokens[min(i, len(tokens) - 1)], *ids] for i, ids in zip(numbers, encoded, strict=True)]
    return encoded


def speaker_tokens() -> list[str]:
    """["[SPK1]", "[SPK2]", ...]"""
    return [f"[SPK{i}]" for i in range(1, NUM_SPEAKER_TOKENS + 1)]


def add_speaker_tokens(tokenizer: Any, model: Any) -> None:
    """Add `speaker_tokens` to the tokenizer and rows for them to the model's embedding; both are saved with them."""
    tokenizer.add_special_tokens({"extra_special_tokens": speaker_tokens()})
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))


def speaker_numbers(speakers: Sequence[str], dialogue_ids: Sequence[int]) -> list[int]:
    """Each turn's speaker as a number within the dialogue, in order of appearance.

    >>> speaker_numbers(["Ann", "Bo", "Ann", "Cy"], [0, 0, 0, 1])
    [0, 1, 0, 0]
    """
    numbers = []
    for span in spans(dialogue_ids):
        seen: dict[str, int] = {}
        numbers += [seen.setdefault(speakers[i], len(seen)) for i in span]
    return numbers


def spans(dialogue_ids: Sequence[int]) -> list[range]:
    """The rows of each dialogue, found in one pass. Raises ValueError when a dialogue is in two pieces.

    >>> spans([7, 7, 7, 9])
    [range(0, 3), range(3, 4)]
    """
    starts = [i for i, dialogue in enumerate(dialogue_ids) if i == 0 or dialogue != dialogue_ids[i - 1]]
    if len({dialogue_ids[i] for i in starts}) < len(starts):
        raise ValueError("the turns of a dialogue do not stand together; sort by dialogue, then by utterance")
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(dialogue_ids)], strict=True)]


def windows(
    turns: Sequence[list[int]],
    dialogue_ids: Sequence[int],
    tokenizer: Any,
    *,
    past: int,
    future: int = 0,
    labels: Sequence[int] | None = None,
    max_length: int | None = None,
) -> list[dict[str, list[int]]]:
    """One example per turn: the turn, up to `past` turns before it and up to `future` after it in the same dialogue.

    When they do not all fit into `max_length` tokens (default: what the model reads), the nearest come first; no turn
    between two that are there is missing. Only a turn that is too long by itself is cut.

    Args:
        turns: token ids, from `encode_turns`.
        past, future: how many turns; a large number takes all.
        labels: [turns] integers.

    Returns: a dict per turn with "input_ids", and "starts", "ends" and (when given) "labels" with one entry each.

    >>> from transformers import AutoTokenizer
    >>> tokenizer = AutoTokenizer.from_pretrained("roberta-base")  # doctest: +SKIP
    >>> turns = encode_turns(["Hi!", "Who is it?"], [0, 0], tokenizer)  # doctest: +SKIP
    >>> tokenizer.decode(windows(turns, [0, 0], tokenizer, past=1)[1]["input_ids"])  # doctest: +SKIP
    '<s>Hi!</s></s>Who is it?</s>'
    """
    if past < 0 or future < 0:
        raise ValueError(f"past={past}, future={future}: both are numbers of turns, 0 or more")
    layout, examples = Layout(tokenizer, max_length), []
    for dialogue in spans(dialogue_ids):
        for i in dialogue:
            allowed = range(max(dialogue.start, i - past), min(dialogue.stop, i + future + 1))
            shown = layout.grow(turns, range(i, i + 1), allowed)
            examples.append(layout.example(turns, shown, range(i, i + 1), labels))
    return examples


def whole_dialogues(
    turns: Sequence[list[int]],
    dialogue_ids: Sequence[int],
    tokenizer: Any,
    *,
    labels: Sequence[int] | None = None,
    max_length: int | None = None,
) -> list[dict[str, list[int]]]:
    """One example per dialogue, in which every turn is classified. Arguments as in `windows`.

    A dialogue longer than `max_length` tokens goes into several examples. Each starts with the turns before it, as
    many as fit into half of the length, at least one if it fits at all. So every turn is classified once.

    Returns: a dict per example with "input_ids", and "starts", "ends", "labels" of the turns to classify in it.
    """
    layout, examples = Layout(tokenizer, max_length), []
    for dialogue in spans(dialogue_ids):
        i = dialogue.start
        while i < dialogue.stop:
            past = layout.grow(turns, range(i, i + 1), range(dialogue.start, i + 1), layout.room // 2)
            if len(past) == 1:  # half has no room for the turn before it; all may have
                past = layout.grow(turns, past, range(max(dialogue.start, i - 1), i + 1))
            shown = layout.grow(turns, past, range(past.start, dialogue.stop))
            examples.append(layout.example(turns, shown, range(i, shown.stop), labels))
            i = shown.stop
    return examples


class Layout:
    """A tokenizer's special tokens before, between and after turns, and the room they leave."""

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        single, pair = tokenizer("a")["input_ids"], tokenizer("a", "a")["input_ids"]
        at = single.index(plain[0])
        self.before, self.after = single[:at], single[at + len(plain) :]
        self.between = pair[at + len(plain) : len(pair) - len(self.after) - len(plain)]
        self.room = (max_length or tokenizer.model_max_length) - len(self.before) - len(self.after)
        if self.room < 1:
            raise ValueError(f"max_length={max_length} leaves no room for a turn; pass 8 or more")

    def grow(self, turns: Sequence[list[int]], shown: range, allowed: range, room: int | None = None) -> range:
        """`shown`, and the turns around it that fit: one before, one after, in turn, each side up to its first miss."""
        left = (room or self.room) - sum(len(turns[i]) + len(self.between) for i in shown) + len(self.between)
        first, stop = shown.start, shown.stop
        before, after = True, True
        while before or after:
            before = before and first > allowed.start and len(turns[first - 1]) + len(self.between) <= left
            if before:
                first -= 1
                left -= len(turns[first]) + len(self.between)
            after = after and stop < allowed.stop and len(turns[stop]) + len(self.between) <= left
            if after:
                left -= len(turns[stop]) + len(self.between)
                stop += 1
        return range(first, stop)

    def example(
        self, turns: Sequence[list[int]], shown: range, classified: range, labels: Sequence[int] | None
    ) -> dict[str, list[int]]:
        example: dict[str, list[int]] = {"input_ids": [*self.before], "starts": [], "ends": []}
        ids = example["input_ids"]
        for i in shown:
            start = len(ids)
            ids += turns[i][: self.room] + (self.between if i + 1 < shown.stop else self.after)
            if i in classified:
                example["starts"].append(start)
                example["ends"].append(start + min(len(turns[i]), self.room))
        if labels is not None:
            example["labels"] = [int(labels[i]) for i in classified]
        return example
