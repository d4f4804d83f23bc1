"""Objectives that raise the loss by a perturbation of the word embeddings, and train on it: FGM, PGD and FreeLB."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .perturbation import (
    Batch,
    KnownGradients,
    Objective,
    ascend,
    check_settings,
    perturbed,
    project,
    random_perturbation,
    trainable_parameters,
)


def fgm(model: nn.Module, batch: Batch, *, objective: Objective, epsilon: float = 0.1, weight: float = 1.0) -> Tensor:
    """Fast gradient method (Miyato et al. 2017, arXiv 1605.07725): train on the batch and on a perturbed copy of it.

        loss = objective(x) + weight * objective(x + epsilon * g / norm(g))

    x are the word embeddings of a sentence, g is the gradient of the loss by them, and norm(g) its norm over the
    tokens of this sentence. The common code divides by the norm of the gradient of the whole embedding matrix
    instead. There, all sentences of a batch share one step, so each moves less the larger the batch is.

    A call takes as long as two of the objective. The gradient is about twice as large as well, so it is clipped more
    often. The memory is that of one pass, and of a second gradient of the weights.

    Args:
        model: A transformers model in train() mode.
        batch: The objective's batch; its "input_ids", and "attention_mask" if there is padding, are read here as well.
        objective: `objective(model, batch) -> loss`, a mean over labeled items. It may have parameters in the model
            only, and calls the model on the batch's own "input_ids".
        epsilon: Norm of each sentence's perturbation. With 0 the loss is (1 + weight) times the objective. The paper's
            5.0 is for word embeddings that it normalizes first.
        weight: Weight of the perturbed copy; the authors' code uses 1.

    Raises:
        ValueError: The loss does not depend on the word embeddings, or a setting is out of range.

    >>> model = nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0]]))
    >>> model.get_input_embeddings = lambda: model
    >>> length = lambda model, batch: model(batch["input_ids"]).norm()
    >>> fgm(model, {"input_ids": torch.tensor([[0]])}, objective=length, epsilon=0.5)  # 5 + 5.5
    tensor(10.5000)
    """
    check_settings(epsilon=epsilon, weight=weight)
    if not model.training:
        return objective(model, batch)
    parameters = trainable_parameters(model)
    no_perturbation = random_perturbation(model, batch, 0.0)
    clean_loss, direction, gradients = ascend(model, batch, objective, no_perturbation, parameters)
    with perturbed(model, epsilon * direction):
        adversarial_loss = objective(model, batch)
    return KnownGradients.apply(clean_loss, gradients, *parameters) + weight * adversarial_loss


def pgd(
    model: nn.Module,
    batch: Batch,
    *,
    objective: Objective,
    epsilon: float = 0.1,
    step_size: float = 0.03,
    num_steps: int = 5,
    init_size: float = 0.0,
) -> Tensor:
    """Projected gradient descent (Madry et al. 2018, arXiv 1706.06083): train on the worst perturbation it finds.

        loss = objective(x + r), where r is moved by step_size * g / norm(g), and back into norm(r) <= epsilon

    Unlike `fgm`, and unlike much code of this name, it never trains on the clean batch. A single step of size epsilon
    from 0 finds the perturbation of `fgm`.

    A call takes `num_steps` forward passes and backward passes by the embeddings alone, and then as long as the
    objective. The memory is that of one pass.

    Args:
        model, batch, objective: As in `fgm`.
        epsilon: The largest norm of a sentence's perturbation. With 0 the loss is the objective.
        step_size: Norm of a step. The border is out of reach if `num_steps * step_size` is less than epsilon.
        num_steps: Number of steps before the pass that is trained on.
        init_size: Size of the random start, as in `freelb`. The paper starts at random, the default is to start at 0.

    Raises:
        ValueError: As in `fgm`.

    >>> model = nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0]]))
    >>> model.get_input_embeddings = lambda: model
    >>> length = lambda model, batch: model(batch["input_ids"]).norm()
    >>> batch = {"input_ids": torch.tensor([[0]])}
    >>> pgd(model, batch, objective=length, epsilon=0.5, step_size=0.3)  # 5.3, then 5.5 and no further
    tensor(5.5000)
    """
    check_settings(num_steps=num_steps, epsilon=epsilon, step_size=step_size, init_size=init_size)
    if not model.training:
        return objective(model, batch)
    perturbation = project(random_perturbation(model, batch, init_size), epsilon)
    for _ in range(num_steps):
        _, direction, _ = ascend(model, batch, objective, perturbation)
        perturbation = project(perturbation + step_size * direction, epsilon)
    with perturbed(model, perturbation):
        return objective(model, batch)


def freelb(
    model: nn.Module,
    batch: Batch,
    *,
    objective: Objective,
    epsilon: float = 0.3,
    step_size: float = 0.1,
    num_steps: int = 3,
    init_size: float = 0.1,
) -> Tensor:
    """FreeLB (Zhu et al. 2020, arXiv 1909.11764): train on the perturbations of all steps, not only of the last.

        loss = (objective(x + r_1) + ... + objective(x + r_K)) / K, with K = num_steps, r_1 random, and
        r_k+1 = r_k + step_size * g_k / norm(g_k), moved back into norm(r) <= epsilon

    One backward pass gives both the gradient of the weights and the next step, so a call takes as long as `num_steps`
    of the objective. Each pass is differentiated at once and only its gradient is kept. So the memory is that of one
    pass, and of a second gradient of the weights, where a plain sum of the losses would need that of all passes.

    The defaults are those of the paper's script for MNLI with RoBERTa-large. Over all tasks, its scripts have step_size
    0.025 to 0.2 and epsilon 0.15 to 0.7. Their `--adv-steps 2` means three passes.

    Args:
        model, batch, objective: As in `fgm`.
        epsilon: The largest norm of a sentence's perturbation; `math.inf` means no limit. With 0 the loss is the
            objective.
        step_size: Norm of a step.
        num_steps: Number of passes. The perturbation moves after each of them but the last.
        init_size: The numbers of the first perturbation are uniform between +-init_size / sqrt(n), for a sentence whose
            embeddings are n numbers, which gives it a norm near 0.58 * init_size. With 0 the first pass is clean. A
            user of the authors' code (its issue 10) had 93.0 on SST-2 without FreeLB, 91.9 with a random first pass,
            and 93.5 with a clean pass added.

    Raises:
        ValueError: As in `fgm`.

    >>> model = nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0]]))
    >>> model.get_input_embeddings = lambda: model
    >>> length = lambda model, batch: model(batch["input_ids"]).norm()
    >>> batch = {"input_ids": torch.tensor([[0]])}
    >>> freelb(model, batch, objective=length, epsilon=0.5, step_size=0.3, init_size=0.0)  # mean of 5, 5.3 and 5.5
    tensor(5.2667)
    """
    check_settings(num_steps=num_steps, epsilon=epsilon, step_size=step_size, init_size=init_size)
    if not model.training:
        return objective(model, batch)
    parameters = trainable_parameters(model)
    perturbation = project(random_perturbation(model, batch, init_size), epsilon)
    sum_of_losses = torch.zeros((), device=perturbation.device)
    sums: list[Tensor | None] = [None] * len(parameters)  # of the gradients; None where the loss does not depend on it
    for _ in range(num_steps - 1):
        loss, direction, gradients = ascend(model, batch, objective, perturbation, parameters)
        sum_of_losses = sum_of_losses + loss
        sums = [
            old if new is None else new if old is None else old + new for old, new in zip(sums, gradients, strict=True)
        ]
        perturbation = project(perturbation + step_size * direction, epsilon)
    with perturbed(model, perturbation):
        last_loss = objective(model, batch)
    return (KnownGradients.apply(sum_of_losses, sums, *parameters) + last_loss) / num_steps
