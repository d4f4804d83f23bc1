"""Fine-tune an encoder for search: in-batch negatives, hard negatives, and no answer as its own negative."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from .encoding import pool
from .ranking import rank_items


def multiple_negatives_loss(
    questions: Tensor,
    documents: Tensor,
    document_ids: Tensor,
    *,
    negatives: Tensor | None = None,
    negative_ids: Tensor | None = None,
    scale: float = 20.0,
    mask_duplicates: bool = True,
) -> Tensor:
    """Compute the multiple negatives ranking loss: each question must find its own document among all of the batch.

    That is cross-entropy over the cosines times `scale`, where the right class of question i is document i. The other
    documents are its in-batch negatives. Where two questions of a batch have the same document, that document is in
    the batch twice, and the copy would be a negative of its own question. It is left out of the sum here, and in many
    implementations it is not. (Henderson et al. 2017, arXiv 1705.00652; scale 20 as in sentence-transformers.)

    Args:
        questions, documents: vectors of length 1 [batch, hidden]; document i answers question i.
        document_ids: the number of each document [batch]; equal numbers mean the same document.
        negatives: vectors of further documents that are wrong for the questions [any number, hidden]. Each is a
            negative of all questions of the batch, but of none that it answers.
        negative_ids: the number of each of them.
        scale: the inverse of the temperature. Cosines are at most 1, so without it the softmax would stay flat.
        mask_duplicates: False leaves the mistake in, to show what it does.

    Returns:
        The mean over the questions.

    Raises:
        ValueError: there are negatives without numbers, or lengths differ.

    >>> same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # two questions with one answer, both perfect
    >>> multiple_negatives_loss(same, same, torch.tensor([7, 7])).item()
    0.0
    >>> round(multiple_negatives_loss(same, same, torch.tensor([7, 7]), mask_duplicates=False).item(), 4)  # ln 2
    0.6931
    """
    if len(document_ids) != len(documents) or len(questions) != len(documents):
        raise ValueError(
            f"{len(questions)} questions, {len(documents)} documents and {len(document_ids)} document_ids; "
            "pass one of each for every question"
        )
    columns, column_ids = documents, document_ids
    if negatives is not None:
        if negative_ids is None or len(negative_ids) != len(negatives):
            raise ValueError("each vector of negatives needs its number in negative_ids, to leave out right answers")
        columns, column_ids = torch.cat([documents, negatives]), torch.cat([document_ids, negative_ids])
    logits = scale * questions @ columns.T  # [batch, batch + negatives]
    right = torch.arange(len(questions), device=logits.device)
    if mask_duplicates:
        is_same = document_ids[:, None] == column_ids[None, :]
        is_same[right, right] = False  # the document itself stays
        logits = logits.masked_fill(is_same, -torch.inf)
    return F.cross_entropy(logits, right)


def contrastive_objective(
    model: nn.Module, batch: Mapping[str, Tensor], *, scale: float = 20.0, mask_duplicates: bool = True
) -> Tensor:
    """Compute `multiple_negatives_loss` of a batch from `PairCollator`, as an `objective(model, batch) -> loss`.

    Args:
        model: an encoder without a head: its output has `last_hidden_state`.
        batch: "input_ids" and "attention_mask" of the questions, "document_input_ids" and "document_attention_mask" of
            the documents, likewise "negative_input_ids" of hard negatives, if any, and "labels", the documents'
            numbers.
        scale, mask_duplicates: as in `multiple_negatives_loss`.
    """

    def vectors(prefix: str) -> Tensor:
        ids, mask = batch[f"{prefix}input_ids"], batch[f"{prefix}attention_mask"]
        return pool(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    has_negatives = "negative_input_ids" in batch
    return multiple_negatives_loss(
        vectors(""),
        vectors("document_"),
        batch["labels"],
        negatives=vectors("negative_") if has_negatives else None,
        negative_ids=batch["negative_ids"] if has_negatives else None,
        scale=scale,
        mask_duplicates=mask_duplicates,
    )


class PairCollator:
    """Turn pairs of a question and its document into a batch for `contrastive_objective`.

    Args:
        documents: the token ids of each document, lists without padding.
        pad_token_id: fills shorter texts; take `tokenizer.pad_token_id`.

    An example is a dict with the "input_ids" of a question, "labels": the number of its document, and optionally
    "negatives": the numbers of documents that are wrong for it. A document that is a negative of several questions is
    in the batch once, and one that is there already as a document is left out, because it is a negative anyway.

    >>> collate = PairCollator([[1, 2], [3, 4, 5], [6]], pad_token_id=0)
    >>> batch = collate([{"input_ids": [7], "labels": 1, "negatives": [2, 0]}, {"input_ids": [8], "labels": 0}])
    >>> batch["document_input_ids"].tolist(), batch["negative_input_ids"].tolist(), batch["labels"].tolist()
    ([[3, 4, 5], [1, 2, 0]], [[6]], [1, 0])
    """

    def __init__(self, documents: Sequence[Sequence[int]], pad_token_id: int) -> None:
        self.documents, self.pad_token_id = documents, pad_token_id

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        labels = [int(example["labels"]) for example in examples]
        batch = self.padded("", [example["input_ids"] for example in examples])
        batch |= self.padded("document_", [self.documents[label] for label in labels])
        batch["labels"] = torch.tensor(labels)
        wrong = [number for example in examples for number in example.get("negatives", ())]
        negatives = [number for number in dict.fromkeys(wrong) if number not in labels]
        if negatives:
            batch |= self.padded("negative_", [self.documents[number] for number in negatives])
            batch["negative_ids"] = torch.tensor(negatives)
        return batch

    def padded(self, prefix: str, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Pad rows of token ids to the longest one."""
        longest = max(map(len, rows))
        ids = [[*row, *[self.pad_token_id] * (longest - len(row))] for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        return {f"{prefix}input_ids": torch.tensor(ids), f"{prefix}attention_mask": torch.tensor(mask)}


def hard_negatives(
    scores: ArrayLike, relevant: Sequence[Collection[int]], num_negatives: int = 1, *, skip: int = 0
) -> list[list[int]]:
    """Find, for each training question, the wrong documents that a method ranks highest.

    They teach more than random ones, because the model still mixes them up with the right one. The highest of them may
    be right answers that nobody marked as such; training would then push away what it should find. Read some, and skip
    the first ones if many are right.

    Args:
        scores: of a method, such as the encoder before training [questions, documents].
        relevant: the right documents of each question.
        num_negatives: how many to take.
        skip: how many of the highest wrong ones to pass over.

    Returns:
        Document numbers, a list for each question.

    Raises:
        ValueError: lengths differ, or there are too few documents.

    >>> hard_negatives([[0.9, 0.8, 0.1, 0.7]], [{0}], num_negatives=2)
    [[1, 3]]
    """
    table = np.asarray(scores)
    if len(table) != len(relevant):
        raise ValueError(f"scores of {len(table)} questions, but relevant of {len(relevant)}; pass one of each")
    most = max((len(items) for items in relevant), default=0)
    if skip + num_negatives + most > table.shape[1]:
        raise ValueError(f"there are only {table.shape[1]} documents; take fewer negatives, or skip fewer")
    ranked = rank_items(table, skip + num_negatives + most)
    wrong = [
        [int(item) for item in row if item not in right and item >= 0]
        for row, right in zip(ranked, relevant, strict=True)
    ]
    return [row[skip : skip + num_negatives] for row in wrong]
