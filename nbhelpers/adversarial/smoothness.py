"""An objective that keeps predictions the same under the worst small perturbation: VAT, and SMART's regularizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .perturbation import (
    Batch,
    Objective,
    ascend,
    at_least_fp32,
    check_settings,
    perturbed,
    random_perturbation,
    same_random_numbers,
    unit,
    word_mask,
)

NO_LABEL = -100  # torch's and transformers' mark for an item without a label


def vat(
    model: nn.Module,
    batch: Batch,
    *,
    objective: Objective,
    epsilon: float = 1.0,
    xi: float = 0.1,
    num_iterations: int = 1,
    weight: float = 1.0,
    symmetric: bool = False,
) -> Tensor:
    """Virtual adversarial training (Miyato et al. 2018, arXiv 1704.03976): a small change must not change a prediction.

        loss = objective(x) + weight * KL(p(x) || p(x + epsilon * d))

    p(x) is the model's prediction, through which no gradient flows, and d the direction in which it changes most. d
    starts at random, and each power iteration replaces it by the direction of the gradient of KL(p(x) || p(x + xi * d))
    by xi * d. The labels have no part in it, but the KL is averaged over the labeled items, as the objective is.

    A call takes about three times as long as the objective, and the memory is that of two passes.

    Args:
        model, batch, objective: As in `fgm`. The objective calls the model once, its output has `.logits`
            [..., classes], and "labels" [...] are class numbers. The softmax runs over all logits.
        epsilon: Norm of each sentence's perturbation. With 0 the loss is the objective.
        xi: Norm of the trial step, by which the change is measured. The default is that of the authors' code for text.
            The 1e-6 of their code for images changes logits in fp32 by little more than rounding does: the direction is
            noise. bf16 rounds more, and 0.3 is better there.
        num_iterations: Power iterations, a forward and a backward pass each. The authors' code makes one.
        weight: Weight of the KL.
        symmetric: Use KL(p || q) + KL(q || p), with a gradient through both predictions, as the regularizer of SMART
            (Jiang et al. 2020, arXiv 1911.03437). SMART limits the largest number of a perturbation instead of its
            norm, and also keeps the weights near their last values, which is not done here.

    Raises:
        ValueError: As in `fgm`; or there is not one row of logits for each label.

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    >>> config = BertConfig(vocab_size=20, **sizes, initializer_range=1.0)
    >>> model = BertForSequenceClassification(config).train()
    >>> batch = {"input_ids": torch.tensor([[2, 7, 3]]), "labels": torch.tensor([1])}
    >>> def only_the_kl(model, batch):  # weighs the labels with 0
    ...     return 0 * model(**batch).loss
    >>> bool(vat(model, batch, objective=only_the_kl) > 0), vat(model, batch, objective=only_the_kl, epsilon=0.0).item()
    (True, 0.0)
    """
    check_settings(num_iterations=num_iterations, epsilon=epsilon, weight=weight)
    if not xi > 0:
        raise ValueError(f"xi={xi}; pass a number above 0, such as 0.1, to measure a change")
    if not model.training:
        return objective(model, batch)
    # Drawn before the first pass, because all passes use the random numbers after it.
    direction = unit(torch.randn_like(random_perturbation(model, batch, 0.0)) * word_mask(batch))
    with same_random_numbers(model):
        loss, clean_logits = loss_and_logits(model, batch, objective)

    def change(model: nn.Module, batch: Batch) -> Tensor:
        _, logits = loss_and_logits(model, batch, objective)
        return mean_kl(clean_logits.detach(), logits, batch["labels"], symmetric)

    for _ in range(num_iterations):
        _, direction, _ = ascend(model, batch, change, xi * direction)
    with perturbed(model, epsilon * direction):
        _, logits = loss_and_logits(model, batch, objective)
    clean_logits = clean_logits if symmetric else clean_logits.detach()
    return loss + weight * mean_kl(clean_logits, logits, batch["labels"], symmetric)


def loss_and_logits(model: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    """Call the objective, and read the logits of the one pass that it makes."""
    outputs: list[Tensor] = []
    handle = model.register_forward_hook(lambda module, inputs, output: outputs.append(output.logits))
    try:
        loss = objective(model, batch)
    finally:
        handle.remove()
    if len(outputs) != 1:
        raise ValueError(f"the objective called the model {len(outputs)} times; vat needs one that calls it once")
    return loss, outputs[0]


def mean_kl(first: Tensor, second: Tensor, labels: Tensor, symmetric: bool) -> Tensor:
    """Compute KL(p || q) of two sets of logits [..., classes], averaged over the labeled items; labels are [...].

    With `symmetric`, KL(q || p) is added.

    >>> p, q, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    >>> round(mean_kl(p, q, labels, symmetric=False).item(), 4), round(mean_kl(p, q, labels, symmetric=True).item(), 4)
    (0.1201, 0.2311)
    """
    if first.shape[:-1] != labels.shape:
        raise ValueError(
            f"logits of shape {list(first.shape)}, but labels of shape {list(labels.shape)}; vat needs a class per item"
        )
    log_p, log_q = at_least_fp32(first).log_softmax(-1), at_least_fp32(second).log_softmax(-1)
    # KL(p || q) + KL(q || p) = sum over classes of (p - q) * (log p - log q)
    share = log_p.exp() - log_q.exp() if symmetric else log_p.exp()
    kl = (share * (log_p - log_q)).sum(-1)
    is_labeled = labels != NO_LABEL
    return kl[is_labeled].sum() / is_labeled.sum().clamp(min=1)
