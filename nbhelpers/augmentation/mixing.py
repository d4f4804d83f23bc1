"""Mixup: train on mixtures of two texts' vectors instead of on new texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_LABEL = -100  # torch's and transformers' mark for an item that does not count in the loss


def mixup(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    get_vectors: Callable[[Any, dict[str, Tensor]], Tensor],
    head: Callable[[Any, Tensor], Tensor],
    alpha: float = 0.2,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mixup of pooled vectors (arXiv 1905.08941 and 2010.02394, after arXiv 1710.09412), as an objective.

    The items of the batch are paired at random. With lam from Beta(alpha, alpha), drawn for each pair:

        v    = lam * v_a + (1 - lam) * v_b
        loss = lam * CE(head(v), label_a) + (1 - lam) * CE(head(v), label_b)

    It is a mean over the labeled items of the batch; items without a label (-100) are not mixed either. An item whose
    partner is itself gives plain cross-entropy, so batches of one item are not mixed. In evaluation mode nothing is
    mixed.

    Args:
        model: Any model; only the two functions use it.
        batch: The model's inputs and "labels", [batch] or [batch, turns].
        get_vectors: `get_vectors(model, inputs)` gives the vectors before the head, [batch, size] or
            [batch, turns, size].
        head: `head(model, vectors)` turns vectors [items, size] into logits [items, classes].
        alpha: Above 0. Small values keep most mixtures close to one of the two texts, 1 makes all shares equally
            likely, and large values mix halves.
        generator: A torch generator on the CPU; None takes torch's own, which `torch.manual_seed` sets.

    For this course's classifier, and for transformers' BERT:

        objective = functools.partial(
            mixup,
            get_vectors=lambda model, inputs: mean_over_text(
                model.encoder(**inputs).last_hidden_state, inputs["attention_mask"]
            ),
            head=lambda model, vectors: model.classifier(model.dropout(vectors)),
        )
        get_vectors = lambda model, inputs: model.bert(**inputs).pooler_output  # head as above

    transformers' RoBERTa reads the first token, and its head looks for it:

        get_vectors = lambda model, inputs: model.roberta(**inputs).last_hidden_state[:, 0]
        head = lambda model, vectors: model.classifier(vectors.unsqueeze(1))

    Raises:
        ValueError: alpha is not above 0, the batch has no labels, the shapes do not fit, or a label is not a class.

    >>> model, batch = nn.Linear(2, 2), {"x": torch.eye(2), "labels": torch.tensor([0, 1])}
    >>> _ = model.weight.data.copy_(torch.eye(2)), model.bias.data.zero_()
    >>> options = {"get_vectors": lambda model, inputs: inputs["x"], "head": lambda model, vectors: model(vectors)}
    >>> generator = torch.Generator().manual_seed(2)
    >>> round(mixup(model, batch, **options, alpha=1000.0, generator=generator).item(), 3)  # two halves: ln 2
    0.693
    >>> round(mixup(model.eval(), batch, **options).item(), 3)  # plain cross-entropy
    0.313
    """
    if not alpha > 0:
        raise ValueError(f"alpha={alpha}: pass a number above 0; without mixing, train with plain cross-entropy")
    if "labels" not in batch:
        raise ValueError(f"the batch has no 'labels', only {', '.join(batch)}; add 'labels' to the examples")
    labels = batch["labels"]
    vectors = get_vectors(model, {name: tensor for name, tensor in batch.items() if name != "labels"})
    if vectors.shape[:-1] != labels.shape:
        shapes = f"vectors {list(vectors.shape)} for labels {list(labels.shape)}"
        raise ValueError(f"get_vectors returned {shapes}; return one vector per label, [*labels, size]")
    is_labeled = labels != NO_LABEL
    vectors, labels = vectors[is_labeled], labels[is_labeled]  # [items, size], [items]
    if not model.training:
        return mean_cross_entropy(head(model, vectors), labels)
    lam, partner = (tensor.to(vectors.device) for tensor in draw_pairs(len(labels), alpha, generator))
    shares = lam.to(vectors.dtype).unsqueeze(-1)  # [items, 1]
    logits = head(model, shares * vectors + (1 - shares) * vectors[partner])
    return mean_cross_entropy(logits, labels, lam) + mean_cross_entropy(logits, labels[partner], 1 - lam)


def draw_pairs(num_items: int, alpha: float, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw each item's share in its mixture, from Beta(alpha, alpha), and its partner: both [items], on the CPU.

    >>> lam, partner = draw_pairs(4, 0.2, torch.Generator().manual_seed(0))
    >>> lam.shape, sorted(partner.tolist())
    (torch.Size([4]), [0, 1, 2, 3])
    """
    # torch's Beta takes no generator, so numpy draws, with a seed from torch.
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    lam = torch.tensor(rng.beta(alpha, alpha, num_items), dtype=torch.float32)
    return lam, torch.tensor(rng.permutation(num_items), dtype=torch.long)


def mean_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits [items, classes], times `weights` [items], summed and divided by the number of items."""
    num_classes = logits.shape[-1]
    if ((labels >= num_classes) | (labels < 0)).any():
        label_range = f"labels run from {labels.min()} to {labels.max()}"
        raise ValueError(f"{label_range}, but the head has {num_classes} classes; load it with the data's labels")
    losses = F.cross_entropy(logits.float(), labels, reduction="none")  # in fp32, as a sum loses small terms in bf16
    return (losses if weights is None else losses * weights).sum() / max(len(labels), 1)
