"""Which turns go into an example and where their tokens are: windows around a turn, and whole dialogues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .turns import as_list, spans


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

    When these do not all fit into `max_length` tokens, the turns nearest to the classified one come first, so a window
    has no gap. A turn is only cut when it is too long even alone.

    Args:
        turns: [turns] lists of token ids, from `encode_turns`.
        dialogue_ids: [turns].
        tokenizer: the one that made the turns; its special tokens separate them.
        past, future: numbers of turns, 0 or more; a large number takes all that fit.
        labels: [turns] integers.
        max_length: in tokens; default `tokenizer.model_max_length`.

    Returns:
        A dict per turn with "input_ids", and with "starts", "ends" and (when given) "labels" that have one entry each.

    Raises:
        ValueError: `past` or `future` is negative, the columns differ in length, or `max_length` is too small or more
            than the model reads.

    >>> from transformers import AutoTokenizer
    >>> tokenizer = AutoTokenizer.from_pretrained("roberta-base")  # doctest: +SKIP
    >>> turns = encode_turns(["Hi!", "Who is it?"], [0, 0], tokenizer)  # doctest: +SKIP
    >>> tokenizer.decode(windows(turns, [0, 0], tokenizer, past=1)[1]["input_ids"])  # doctest: +SKIP
    '<s>Hi!</s></s>Who is it?</s>'
    """
    if past < 0 or future < 0:
        raise ValueError(f"past={past}, future={future}: both are numbers of turns, 0 or more")
    labels = check_lengths(turns, dialogue_ids, labels)
    layout, examples = Layout(tokenizer, max_length), []
    for dialogue in spans(dialogue_ids):
        for i in dialogue:
            # cut at the ends of the dialogue; without that, a window would show turns of the dialogue before it
            allowed = range(max(dialogue.start, i - past), min(dialogue.stop, i + future + 1))
            turn = range(i, i + 1)
            shown = layout.grow(turns, turn, allowed)
            examples.append(layout.example(turns, shown, turn, labels))
    return examples


def whole_dialogues(
    turns: Sequence[list[int]],
    dialogue_ids: Sequence[int],
    tokenizer: Any,
    *,
    labels: Sequence[int] | None = None,
    max_length: int | None = None,
) -> list[dict[str, list[int]]]:
    """One example per dialogue, in which every turn is classified.

    The model sees later turns as well, unless its attention mask hides them: see the start of this unit.

    A dialogue of more than `max_length` tokens is divided into several examples. Every turn is classified once. An
    example starts with turns of the one before, so that its first classified turn has a past as well. They fill up to
    half of the length; the turn just before is there whenever both fit.

    Args:
        turns, dialogue_ids, tokenizer, labels, max_length: as in `windows`.

    Returns:
        A dict per example with "input_ids", and with "starts", "ends" and (when given) "labels" that have one entry for
        each turn to classify.

    Raises:
        ValueError: the columns differ in length, or `max_length` is too small or more than the model reads.
    """
    labels = check_lengths(turns, dialogue_ids, labels)
    layout, examples = Layout(tokenizer, max_length), []
    for dialogue in spans(dialogue_ids):
        first = dialogue.start  # the first turn that is not classified yet
        while first < dialogue.stop:
            turn = range(first, first + 1)
            past = layout.grow(turns, turn, range(dialogue.start, first + 1), layout.room // 2)
            if len(past) == 1:  # the turn before it does not fit into half of the length; perhaps into all of it
                past = layout.grow(turns, past, range(max(dialogue.start, first - 1), first + 1))
            shown = layout.grow(turns, past, range(past.start, dialogue.stop))
            examples.append(layout.example(turns, shown, range(first, shown.stop), labels))
            first = shown.stop
    return examples


def check_lengths(turns: Sequence[Any], dialogue_ids: Sequence[int], labels: Any) -> list[int] | None:
    """The labels as a list. Raises ValueError unless each turn has one dialogue id and, when given, one label."""
    labels = None if labels is None else as_list(labels)
    for name, column in (("dialogue_ids", dialogue_ids), ("labels", turns if labels is None else labels)):
        if len(column) != len(turns):
            raise ValueError(f"{len(turns)} turns, but {len(column)} {name}; each turn needs one of each")
    return labels


class Layout:
    """The special tokens of a tokenizer before, between and after turns, and how many tokens they leave for turns.

    Args:
        tokenizer: a transformers tokenizer that knows how to join two texts.
        max_length: in tokens; default `tokenizer.model_max_length`.

    Raises:
        ValueError: `max_length` leaves no room for a turn, or is more than the tokenizer says the model reads.
    """

    def __init__(self, tokenizer: Any, max_length: int | None) -> None:
        if max_length and max_length > tokenizer.model_max_length:
            raise ValueError(
                f"max_length={max_length}, but the model reads at most {tokenizer.model_max_length} tokens"
            )
        # A tokenizer does not tell its layout, but shows it: "a" alone and "a" with "a" differ in what is between them
        text = tokenizer("a", add_special_tokens=False)["input_ids"]
        single, pair = tokenizer("a")["input_ids"], tokenizer("a", "a")["input_ids"]
        position = single.index(text[0])
        self.before, self.after = single[:position], single[position + len(text) :]
        self.between = pair[position + len(text) : len(pair) - len(self.after) - len(text)]
        self.room = (max_length or tokenizer.model_max_length) - len(self.before) - len(self.after)
        if self.room < 1:
            raise ValueError(f"max_length={max_length} leaves no room for a turn; pass 8 or more")

    def grow(self, turns: Sequence[list[int]], shown: range, allowed: range, room: int | None = None) -> range:
        """Add the turns around `shown` that fit: one before, one after, and so on.

        A side ends at the first turn that does not fit; a shorter turn behind it would leave a gap.

        Args:
            turns: [turns] lists of token ids.
            shown: the turns to start from.
            allowed: the turns that may be added.
            room: in tokens; default: all that the special tokens leave.

        Returns:
            The turns that are shown then.
        """
        # n turns have n - 1 separators between them, so one of those counted for `shown` is given back
        left = (room or self.room) - sum(len(turns[i]) + len(self.between) for i in shown) + len(self.between)
        first, stop = shown.start, shown.stop
        before, after = True, True  # whether a side can still grow
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
        """The example that shows some turns and classifies some of these.

        Returns:
            A dict with "input_ids", and with "starts", "ends" and (when given) "labels" of the classified turns.
        """
        example: dict[str, list[int]] = {"input_ids": [*self.before], "starts": [], "ends": []}
        ids = example["input_ids"]
        for i in shown:
            start = len(ids)
            # only a turn that is alone can be longer than the room, because `grow` adds none that does not fit
            ids += turns[i][: self.room] + (self.between if i + 1 < shown.stop else self.after)
            if i in classified:
                example["starts"].append(start)
                example["ends"].append(start + min(len(turns[i]), self.room))
        if labels is not None:
            example["labels"] = [int(labels[i]) for i in classified]
        return example
