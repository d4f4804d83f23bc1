"""Masking: which tokens are the targets of a batch, and what is in their places.

Source: Devlin et al. 2019, arXiv 1810.04805 (15 %, and 80/10/10), and Liu et al. 2019, arXiv 1907.11692 (fresh masks
each time). 15 % of the tokens are chosen. Of these, 80 % become the mask token, 10 % a random token and 10 % stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

NO_LABEL = -100  # torch's and transformers' mark for a position that does not count in the loss


def mask_tokens(
    input_ids: Tensor,
    is_special: Tensor,
    *,
    mask_token_id: int,
    random_ids: Tensor,
    probability: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    word_starts: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose tokens, hide them, and make the labels for masked language modeling.

    In each row the chosen share is `probability` as nearly as its length allows: of 30 tokens, 4 or 5 are chosen, 4.5
    on average. (Where each token is drawn independently, as in transformers, it may be none or ten.)

    Args:
        input_ids: [batch, tokens].
        is_special: [batch, tokens], True for special tokens and padding. They are never chosen.
        mask_token_id: The id of `<mask>` or [MASK].
        random_ids: The ids that a random token is drawn from. Leave the special ones out: a random `</s>` in the middle
            of a text would tell the model that the text ends there.
        probability: The share of the tokens, or with `word_starts` of the words, that are chosen.
        mask_share, random_share: Which share of the chosen tokens becomes the mask token, and which a random one. The
            rest stays as it is.
        word_starts: [batch, tokens], True where a word begins. Then whole words are chosen, with all of their tokens;
            what replaces a token is drawn for each token. Without it, tokens are chosen one by one.
        generator: Of the random numbers; by default torch's own, on the CPU.

    Returns:
        The new input_ids and the labels, both [batch, tokens]. A label is the true token, and -100 where none was
        chosen.

    Raises:
        ValueError: A share is outside 0 to 1, or both together are more than 1, or shapes do not fit.

    >>> ids = torch.tensor([[0, 7, 8, 9, 6, 2]])
    >>> special = torch.tensor([[True, False, False, False, False, True]])
    >>> options = {"mask_token_id": 4, "random_ids": torch.tensor([5, 6]), "probability": 0.5}
    >>> generator = torch.Generator().manual_seed(0)
    >>> inputs, labels = mask_tokens(ids, special, mask_share=1.0, random_share=0.0, generator=generator, **options)
    >>> inputs.tolist(), labels.tolist()
    ([[0, 7, 4, 4, 6, 2]], [[-100, -100, 8, 9, -100, -100]])
    """
    check_shares(probability, mask_share, random_share)
    if input_ids.shape != is_special.shape or (word_starts is not None and word_starts.shape != input_ids.shape):
        raise ValueError(f"input_ids has shape {[*input_ids.shape]}; pass is_special and word_starts of the same shape")
    is_special = is_special.bool()
    starts = ~is_special if word_starts is None else start_words(word_starts.bool(), is_special)
    chosen = choose_words(starts, probability, generator) & ~is_special

    labels = torch.where(chosen, input_ids, NO_LABEL)
    fate = torch.rand(input_ids.shape, generator=generator)  # one draw decides between mask, random and unchanged
    drawn = random_ids[torch.randint(len(random_ids), input_ids.shape, generator=generator)]
    masked = torch.where(chosen & (fate < mask_share), mask_token_id, input_ids)
    is_random = chosen & (fate >= mask_share) & (fate < mask_share + random_share)
    return torch.where(is_random, drawn, masked), labels


def start_words(word_starts: Tensor, is_special: Tensor) -> Tensor:
    """Mark where words begin [batch, tokens]: where they say so, and at the first token after a special one."""
    after_special = torch.ones_like(is_special)
    after_special[:, 1:] = is_special[:, :-1]
    return (word_starts | after_special) & ~is_special


def choose_words(starts: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
    """Choose a share of the words of each row at random, and mark all tokens from their first one on.

    Args:
        starts: [batch, tokens], True at the first token of each word.
        probability: The share.
        generator: Of the random numbers.

    Returns:
        [batch, tokens]. A special token after a chosen word is marked as well; the caller takes it out.
    """
    rows = len(starts)
    draws = torch.rand(starts.shape, generator=generator).masked_fill(~starts, 2.0)
    place = draws.argsort(-1).argsort(-1)  # 0 for the word with the lowest draw of its row
    # Rounded up or down at random, so that the mean is right for short rows as well
    num_chosen = (probability * starts.sum(-1) + torch.rand(rows, generator=generator)).floor()  # [batch]
    chosen_start = starts & (place < num_chosen.unsqueeze(-1))
    word_number = starts.cumsum(-1)  # 0 before the first word
    flags = torch.zeros(rows, starts.shape[1] + 1, dtype=torch.bool)
    flags.scatter_(1, torch.where(chosen_start, word_number, 0), chosen_start)
    flags[:, 0] = False  # collects the positions where no chosen word begins
    return flags.gather(1, word_number)


class MaskingCollator:
    """Turn examples into one batch with fresh masks: dynamic masking, for a DataLoader's `collate_fn`.

    Each call draws new masks, so the same text has other gaps in each epoch. The random numbers are the collator's own,
    so the same seed gives the same masks whatever else is drawn. For evaluation make the batches once, with
    `fixed_batches`.

    In the worker processes of a DataLoader the seed is that of the worker, which torch changes with each epoch.
    Otherwise every worker would start with the same masks, in every epoch.

    Args:
        tokenizer: Of transformers; it must have a mask token and a padding token.
        probability, mask_share, random_share: As in `mask_tokens`.
        whole_words: Choose whole words; see `word_start_ids` for what a word is.
        seed: Of the random numbers.

    Returns (when called):
        "input_ids", "attention_mask" and "labels", each [batch, longest example].

    Raises:
        ValueError: The tokenizer has no mask token, or a share is outside 0 to 1.

    >>> class Letters:  # a stand-in for a tokenizer: ids 0 to 4 are special, 5 to 30 are letters
    ...     mask_token_id, pad_token_id, all_special_ids = 4, 1, [0, 1, 2, 3, 4]
    ...     __len__ = staticmethod(lambda: 31)
    >>> examples = [{"input_ids": [0, 7, 8, 2]}, {"input_ids": [0, 2]}]
    >>> batch = MaskingCollator(Letters(), probability=0.5, seed=1)(examples)
    >>> batch["attention_mask"].tolist(), (batch["labels"] != -100).sum().item()
    ([[1, 1, 1, 1], [1, 1, 0, 0]], 1)
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        probability: float = 0.15,
        mask_share: float = 0.8,
        random_share: float = 0.1,
        whole_words: bool = False,
        seed: int = 0,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise ValueError("the tokenizer has no mask token; use that of a masked language model, such as RoBERTa")
        check_shares(probability, mask_share, random_share)
        self.shares = {"probability": probability, "mask_share": mask_share, "random_share": random_share}
        self.pad_token_id, self.mask_token_id = tokenizer.pad_token_id, tokenizer.mask_token_id
        self.is_special_id = torch.zeros(len(tokenizer), dtype=torch.bool)
        self.is_special_id[tokenizer.all_special_ids] = True
        self.random_ids = (~self.is_special_id).nonzero().flatten()
        self.starts_word = word_start_ids(tokenizer) if whole_words else None
        self.generator = torch.Generator().manual_seed(seed)
        self.worker_seed: int | None = None

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        worker = get_worker_info()
        if worker is not None and worker.seed != self.worker_seed:
            self.worker_seed = worker.seed
            self.generator.manual_seed(worker.seed)
        input_ids, attention_mask = pad([example["input_ids"] for example in examples], self.pad_token_id)
        inputs, labels = mask_tokens(
            input_ids,
            self.is_special_id[input_ids],
            mask_token_id=self.mask_token_id,
            random_ids=self.random_ids,
            word_starts=None if self.starts_word is None else self.starts_word[input_ids],
            generator=self.generator,
            **self.shares,
        )
        return {"input_ids": inputs, "attention_mask": attention_mask, "labels": labels}


def pad(rows: Sequence[Sequence[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Pad lists of ids to the longest one, and make the attention mask, both [batch, tokens].

    >>> pad([[0, 7, 2], [0, 2]], pad_token_id=1)[0].tolist()
    [[0, 7, 2], [0, 2, 1]]
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_token_id] * (longest - len(row))] for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])


def fixed_batches(
    examples: Sequence[Mapping[str, Any]], tokenizer: Any, *, batch_size: int = 32, seed: int = 0, **options: Any
) -> list[dict[str, Tensor]]:
    """Mask held-out examples once, so that every model and every epoch is asked the same questions.

    With masks that change per call, the loss of one and the same model changes as well, often by more than what one
    epoch of training brings.

    Args:
        examples: With "input_ids", as from `pack_sentences`. They stay in their order.
        tokenizer, options: As for `MaskingCollator`.
        batch_size: Examples in a batch. The masks depend on it, so keep it when you compare.
        seed: Of the masks.
    """
    collator = MaskingCollator(tokenizer, seed=seed, **options)
    return [collator(examples[i : i + batch_size]) for i in range(0, len(examples), batch_size)]


def word_start_ids(tokenizer: Any) -> Tensor:
    """Mark the tokens that begin a word, [vocabulary].

    What a word is depends on the tokenizer. In a byte-level BPE or SentencePiece vocabulary, a token begins a word if
    it begins with a space ("Ġthe", "▁the"), so punctuation belongs to the word before it, as in the code of RoBERTa. In
    a WordPiece vocabulary, every token without "##" begins one, punctuation too, as in BERT's. In a language that
    writes no spaces, a whole sentence would be one word: mask tokens there, not words.

    Raises:
        ValueError: No token of the vocabulary has a mark by which words can be told.

    >>> class Pieces:  # a stand-in for a tokenizer of BERT
    ...     __len__ = staticmethod(lambda: 3)
    ...     convert_ids_to_tokens = staticmethod(lambda ids: ["par", "##cel", ","])
    >>> word_start_ids(Pieces())
    tensor([ True, False,  True])
    """
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    tokens = [token or "" for token in tokens]
    if any(token.startswith(("Ġ", "▁")) for token in tokens):
        return torch.tensor([token.startswith(("Ġ", "▁")) for token in tokens])
    if any(token.startswith("##") for token in tokens):
        return torch.tensor([not token.startswith("##") for token in tokens])
    raise ValueError("the tokens do not show where words begin; use whole_words=False with this tokenizer")


def check_shares(probability: float, mask_share: float, random_share: float) -> None:
    """Raise a ValueError unless all are shares, and the last two together at most 1."""
    shares = {"probability": probability, "mask_share": mask_share, "random_share": random_share}
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} is not a share; pass a number from 0 to 1")
    if mask_share + random_share > 1 + 1e-9:
        raise ValueError(f"mask_share and random_share are {mask_share + random_share:g} together; 1 is the most")
