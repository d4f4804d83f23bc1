"""The model, its loss, and what it puts into a gap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import RobertaConfig, RobertaForMaskedLM

from .masking import NO_LABEL


def new_roberta(
    tokenizer: Any,
    *,
    hidden_size: int = 192,
    num_layers: int = 4,
    num_heads: int = 4,
    max_length: int = 128,
    dropout: float = 0.1,
) -> RobertaForMaskedLM:
    """Make a RoBERTa with random weights and a masked-language head, of any size. Seed torch first to repeat it.

    Args:
        tokenizer: Its vocabulary becomes the model's.
        hidden_size, num_layers, num_heads: RoBERTa-base has 768, 12 and 12.
        max_length: Number of tokens that it reads, special tokens included.
        dropout: In all layers. RoBERTa has 0.1; a small model that reads each text only a few times needs none.

    Raises:
        ValueError: The hidden size cannot be divided among the heads.

    >>> class Letters:  # a stand-in for a tokenizer
    ...     bos_token_id, pad_token_id, eos_token_id = 0, 1, 2
    ...     __len__ = staticmethod(lambda: 31)
    >>> model = new_roberta(Letters(), hidden_size=16, num_layers=1, max_length=8)
    >>> model(input_ids=torch.tensor([[0, 7, 8, 2]])).logits.shape  # [batch, tokens, vocabulary]
    torch.Size([1, 4, 31])
    """
    if hidden_size % num_heads:
        raise ValueError(f"hidden_size={hidden_size} cannot be divided among {num_heads} heads; pass a multiple")
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=max_length + tokenizer.pad_token_id + 1,  # RoBERTa counts positions from pad id + 1
        type_vocab_size=1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        # RoBERTa-base's 0.02, but larger for a narrow model: its signals would else begin close to 0.
        initializer_range=0.02 * (768 / hidden_size) ** 0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return RobertaForMaskedLM(config)


def masked_lm_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Cross-entropy at the chosen positions, the mean over them: an objective for a training loop.

    The head, whose output is as wide as the vocabulary, is computed at these positions only. That saves six sevenths of
    its time and memory, and gives the same loss.

    Args:
        model: A transformers model ...ForMaskedLM.
        batch: "input_ids", "attention_mask" and "labels" [batch, tokens], as from `MaskingCollator`.

    Raises:
        ValueError: The batch has no labels.
    """
    if "labels" not in batch:
        raise ValueError(f"the batch has no 'labels', only {', '.join(batch)}; use MaskingCollator")
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    chosen = batch["labels"] != NO_LABEL
    logits = logits_at(model, inputs, chosen).float()
    # Not torch's own mean, which is NaN if no token was chosen.
    return F.cross_entropy(logits, batch["labels"][chosen], reduction="sum") / chosen.sum().clamp(min=1)


def logits_at(model: nn.Module, inputs: Mapping[str, Tensor], chosen: Tensor) -> Tensor:
    """Compute the logits at some positions: [chosen, vocabulary], row after row.

    Args:
        model: A transformers model ...ForMaskedLM. Those whose head is called `lm_head` (RoBERTa, MPNet) or `cls`
            (BERT) compute it there only, all others everywhere.
        inputs: Without labels.
        chosen: [batch, tokens].
    """
    head = getattr(model, "lm_head", None) or getattr(model, "cls", None)
    if not isinstance(head, nn.Module):
        return model(**inputs).logits[chosen]
    encoder: Any = model.base_model
    return head(encoder(**inputs).last_hidden_state[chosen])


@torch.no_grad()
def held_out_loss(model: nn.Module, batches: Iterable[Mapping[str, Tensor]]) -> float:
    """Compute the loss on batches from `fixed_batches`: the mean over all chosen tokens, in nats.

    A model that knows nothing has ln V, where V is the size of the vocabulary. `unigram_loss` is the next mark. exp of
    the loss is the (pseudo-)perplexity. Losses of different vocabularies cannot be compared.

    The model is left in the mode that it was in.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    total, count = 0.0, 0
    for batch in batches:
        on_device = {name: tensor.to(device) for name, tensor in batch.items()}
        num_chosen = int((batch["labels"] != NO_LABEL).sum())
        total, count = total + masked_lm_loss(model, on_device).item() * num_chosen, count + num_chosen
    model.train(was_training)
    if not count:
        raise ValueError("no token of the batches was chosen; mask more texts, or longer ones")
    return total / count


def unigram_loss(
    examples: Sequence[Mapping[str, Any]], batches: Iterable[Mapping[str, Tensor]], vocab_size: int
) -> float:
    """Compute the held-out loss of a model that ignores the text: it always predicts how frequent each token is.

    A masked language model that is above this has not learned to use the context.

    Args:
        examples: The training examples, whose tokens are counted. Each count is increased by 1, so none is 0.
        batches: From `fixed_batches`.
        vocab_size: Number of tokens.

    >>> batch = {"labels": torch.tensor([[-100, 3, -100]])}
    >>> round(unigram_loss([{"input_ids": [3, 3, 2]}], [batch], vocab_size=4), 4)  # counts 1, 1, 2, 3: -log(3 / 7)
    0.8473
    """
    ids = torch.tensor([i for example in examples for i in example["input_ids"]])
    counts = torch.bincount(ids, minlength=vocab_size) + 1.0
    log_shares = (counts / counts.sum()).log()
    labels = torch.cat([batch["labels"][batch["labels"] != NO_LABEL] for batch in batches])
    return -log_shares[labels].mean().item()


@torch.no_grad()
def fill_gaps(model: nn.Module, tokenizer: Any, text: str, *, gap: str = "___", k: int = 5) -> list[dict[str, float]]:
    """Ask a masked language model what is in the gaps of a text.

    Each gap stands for exactly one token. All gaps are filled at once, each without knowing what is put into the
    others.

    Args:
        model: ...ForMaskedLM; it is left in the mode that it was in.
        tokenizer: Of the model.
        text: With a gap or more. The tokenizer's own mask token is a gap as well.
        gap: How a gap is written.
        k: Number of proposals.

    Returns:
        For each gap, the most probable tokens and their probabilities, the best first.

    Raises:
        ValueError: The text has no gap.
    """
    inputs = tokenizer(text.replace(gap, tokenizer.mask_token), truncation=True, return_tensors="pt")
    inputs = inputs.to(next(model.parameters()).device)
    is_gap = inputs["input_ids"] == tokenizer.mask_token_id
    if not is_gap.any():
        raise ValueError(f"the text has no gap; write {gap} where a token is missing")
    was_training = model.training
    model.eval()
    probabilities = logits_at(model, dict(inputs), is_gap).float().softmax(-1).cpu()  # [gaps, vocabulary]
    model.train(was_training)
    best = probabilities.topk(min(k, probabilities.shape[-1]))
    return [
        {tokenizer.decode([i]): p for i, p in zip(ids.tolist(), shares.tolist(), strict=True)}
        for ids, shares in zip(best.indices, best.values, strict=True)
    ]
