"""Turns as token ids, with or without their speaker, and where each dialogue of a table begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SPEAKER_FORMATS = ("name", "id", "none")
NUM_SPEAKER_TOKENS = 8  # nearly all dialogues have fewer speakers; those who appear later share the last token


def encode_turns(
    texts: Sequence[str],
    dialogue_ids: Sequence[int],
    tokenizer: Any,
    *,
    speakers: Sequence[str] | None = None,
    speaker_format: str = "none",
) -> list[list[int]]:
    """Token ids of each turn, without special tokens between turns: `windows` and `whole_dialogues` add these.

    Args:
        texts, dialogue_ids, speakers: [turns], in the order in which they were said.
        tokenizer: a transformers tokenizer.
        speaker_format: what comes before a turn. "name" is the speaker's name ("Ruby: Burned down?"). "id" is one token
            for each speaker of the dialogue in order of appearance ("[SPK1]", see `add_speaker_tokens`). "none" is
            nothing.

    Returns:
        A list of token ids for each turn.

    Raises:
        ValueError: lengths differ, the turns of a dialogue are not together, or the tokenizer lacks speaker tokens.

    >>> encode_turns(["Hi."], [0], lambda texts, **_: {"input_ids": [[len(t)] for t in texts]})
    [[3]]
    """
    texts, dialogue_ids = as_list(texts), as_list(dialogue_ids)
    speakers = None if speakers is None else as_list(speakers)
    check_turns(texts, dialogue_ids, speakers, speaker_format)
    if speaker_format == "name":  # as in EmoBERTa (Kim and Vossen 2021, arXiv 2108.12009)
        texts = [f"{speaker}: {text}" for speaker, text in zip(speakers or (), texts, strict=True)]
    # a tokenizer of transformers fails on an empty list
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if len(texts) else []
    if speaker_format == "id":
        tokens = speaker_token_ids(tokenizer)
        numbers = speaker_numbers(speakers or (), dialogue_ids)
        encoded = [[tokens[min(i, len(tokens) - 1)], *ids] for i, ids in zip(numbers, encoded, strict=True)]
    return encoded


def as_list(column: Any) -> list[Any]:
    """A column by position: a pandas Series with an index of its own would give `column[0]` by its index.

    >>> import pandas as pd
    >>> as_list(pd.Series([5, 6], index=[1, 0])), as_list((5, 6))
    ([5, 6], [5, 6])
    """
    return list(column.tolist() if hasattr(column, "tolist") else column)


def check_turns(
    texts: Sequence[str], dialogue_ids: Sequence[int], speakers: Sequence[str] | None, speaker_format: str
) -> None:
    """Raise ValueError unless the columns belong together. Arguments as in `encode_turns`."""
    if speaker_format not in SPEAKER_FORMATS:
        raise ValueError(f"speaker_format {speaker_format!r} is not one of {', '.join(SPEAKER_FORMATS)}")
    if speaker_format != "none" and speakers is None:
        raise ValueError(f"speaker_format={speaker_format!r} needs speakers=; pass them, or speaker_format='none'")
    spans(dialogue_ids)
    for name, column in (("dialogue_ids", dialogue_ids), ("speakers", texts if speakers is None else speakers)):
        if len(column) != len(texts):
            raise ValueError(f"{len(texts)} texts, but {len(column)} {name}; each turn needs one of each")


def speaker_tokens() -> list[str]:
    """The tokens for the speakers of a dialogue.

    >>> speaker_tokens()[:2]
    ['[SPK1]', '[SPK2]']
    """
    return [f"[SPK{i}]" for i in range(1, NUM_SPEAKER_TOKENS + 1)]


def speaker_token_ids(tokenizer: Any) -> list[int]:
    """The ids of `speaker_tokens`. Raises ValueError when the tokenizer does not know them."""
    ids = [tokenizer.convert_tokens_to_ids(token) for token in speaker_tokens()]
    if tokenizer.unk_token_id in ids or None in ids:
        raise ValueError("the tokenizer has no speaker tokens; call add_speaker_tokens(tokenizer, model) first")
    return ids


def add_speaker_tokens(tokenizer: Any, model: Any) -> None:
    """Add `speaker_tokens` to the tokenizer, and rows for them to the model's embedding.

    Call it before you encode turns with `speaker_format="id"`. Both are changed in place and saved by their
    `save_pretrained`. A second call changes nothing. The new rows are drawn with the mean and the spread of the
    vocabulary, by torch's random number generator.

    Args:
        tokenizer: of the model.
        model: of transformers; it must have `resize_token_embeddings`.
    """
    # as special tokens they are never split into pieces
    import torch  # only here: a service of ONNX models makes the same inputs without torch

    num_known = len(tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": speaker_tokens()})
    if len(tokenizer) == num_known:
        return
    # some models have more rows than tokens from the start; resizing would make the embedding smaller
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    # By default transformers starts new rows at the mean of all rows, nearly equal, and fine-tuning would not tell them
    # apart
    with torch.no_grad():
        rows = model.get_input_embeddings().weight  # [tokens, size]
        known = rows[:num_known]
        new = rows[num_known : len(tokenizer)]
        new.copy_(known.mean(0) + known.std(0) * torch.randn_like(new))


def speaker_numbers(speakers: Sequence[str], dialogue_ids: Sequence[int]) -> list[int]:
    """Each turn's speaker as a number within the dialogue, in order of appearance.

    Args:
        speakers, dialogue_ids: [turns].

    Returns:
        [turns] integers, from 0.

    >>> speaker_numbers(["Ann", "Bo", "Ann", "Cy"], [0, 0, 0, 1])
    [0, 1, 0, 0]
    """
    numbers, speakers = [], as_list(speakers)
    for span in spans(dialogue_ids):
        seen: dict[str, int] = {}
        numbers += [seen.setdefault(speakers[i], len(seen)) for i in span]
    return numbers


def spans(dialogue_ids: Sequence[int]) -> list[range]:
    """The rows of each dialogue.

    Raises:
        ValueError: the turns of a dialogue are not together.

    >>> spans([7, 7, 7, 9])
    [range(0, 3), range(3, 4)]
    """
    dialogue_ids = as_list(dialogue_ids)
    starts = [i for i, dialogue in enumerate(dialogue_ids) if i == 0 or dialogue != dialogue_ids[i - 1]]
    # an id that starts twice: a shuffled table would give windows of unrelated turns
    if len({dialogue_ids[i] for i in starts}) < len(starts):
        raise ValueError("the turns of a dialogue are not together; sort by dialogue, then by utterance")
    return [range(start, end) for start, end in zip(starts, [*starts[1:], len(dialogue_ids)], strict=True)]
