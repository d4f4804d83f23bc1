"""Perturbations of word embeddings: add one, differentiate the loss by it, measure and limit its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]  # the model's inputs, among them "input_ids", and "labels"
Objective = Callable[[nn.Module, Batch], Tensor]  # (model, batch) -> loss, the mean over the batch's labeled items

# In fp16 numbers below 6e-8 become 0, as the gradients of a model do that is sure of its predictions. A power of two
# changes no other digit.
LOSS_SCALE = 2.0**12


@contextmanager
def perturbed(model: nn.Module, perturbation: Tensor) -> Iterator[None]:
    """Add a perturbation to the model's word embeddings while the context lasts; the weights do not change.

    Args:
        model: Has `get_input_embeddings()`, as models of transformers do.
        perturbation: [batch, tokens, size], the shape of that layer's output.

    Raises:
        ValueError: The model has no word embeddings, or they have another shape.

    >>> model = nn.Embedding.from_pretrained(torch.tensor([[3.0, 4.0]]))
    >>> model.get_input_embeddings = lambda: model
    >>> with perturbed(model, torch.tensor([[[0.5, 0.0]]])):
    ...     model(torch.tensor([[0]]))
    tensor([[[3.5000, 4.0000]]])
    """

    def add(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if output.shape != perturbation.shape:
            raise ValueError(
                f"the objective embeds tokens of shape {list(output.shape[:-1])}, but the batch's input_ids have shape "
                f"{list(perturbation.shape[:-1])}; wrap one that does not repeat them (r_drop: one_forward_pass=False)"
            )
        return output + perturbation.to(output.dtype)

    handle = embedding_layer(model).register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()  # after an exception as well


def embedding_layer(model: Any) -> nn.Module:
    """Find the layer that looks up word embeddings; raise a ValueError if there is none, or if it is compiled."""
    # Compiled code keeps the hooks that it was compiled with, and ignores new ones.
    if hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None):
        raise ValueError("the model is compiled, so nothing can be added to its embeddings; leave out torch.compile")
    try:
        layer = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        layer = None
    if not isinstance(layer, nn.Module):
        raise ValueError(
            f"{type(model).__name__} has no get_input_embeddings() that returns a layer; pass a model of transformers"
        )
    return layer


def word_mask(batch: Batch) -> Tensor:
    """Mark the tokens of a batch that are not padding: [batch, tokens, 1]. Without "attention_mask" that is all."""
    if "input_ids" not in batch:
        raise ValueError(
            f"the batch has no 'input_ids', only {', '.join(batch)}; there are no word embeddings to perturb"
        )
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
    if mask.shape != batch["input_ids"].shape:
        raise ValueError(
            f"the attention_mask has shape {list(mask.shape)} and the input_ids {list(batch['input_ids'].shape)}; "
            "pass one number per token"
        )
    return (mask != 0).unsqueeze(-1)


def random_perturbation(model: nn.Module, batch: Batch, init_size: float) -> Tensor:
    """Draw the perturbation [batch, tokens, size] that a search starts from.

    Its numbers are uniform between +-init_size / sqrt(tokens * size), and 0 at padding. `tokens` counts those of the
    sentence. With an init_size of 0 nothing is drawn, so that later random numbers stay the same.
    """
    mask = word_mask(batch)
    with torch.no_grad():
        embeddings = embedding_layer(model)(batch["input_ids"])  # only for its shape, device and data type
    zeros = torch.zeros_like(at_least_fp32(embeddings))
    if init_size == 0:
        return zeros
    num_numbers = mask.sum(1, keepdim=True).clamp(min=1) * zeros.shape[-1]  # [batch, 1, 1]
    return zeros.uniform_(-1, 1) * mask * init_size / num_numbers.sqrt()


def ascend(
    model: nn.Module, batch: Batch, objective: Objective, perturbation: Tensor, parameters: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """Compute the loss of perturbed embeddings, and the direction in which each sentence's loss grows fastest.

    `torch.autograd.grad` leaves the parameters' `.grad` alone, and the memory of the pass is free afterwards.

    Args:
        parameters: What else to differentiate by, in the same backward pass.

    Returns:
        The loss without its graph; the direction [batch, tokens, size], of norm 1 in each sentence; and for
        `KnownGradients` the gradient of LOSS_SCALE * loss by each parameter, None where the loss does not depend on it.

    Raises:
        ValueError: The loss does not depend on the word embeddings.
    """
    perturbation = perturbation.detach().requires_grad_()
    with same_random_numbers(model), perturbed(model, perturbation):
        loss = objective(model, batch)
    gradients: Sequence[Tensor | None] = [None]
    if loss.requires_grad:
        # torch advises against backward passes under autocast; they have the data types of the forward pass anyway.
        with torch.autocast(loss.device.type, enabled=False):
            gradients = torch.autograd.grad(loss * LOSS_SCALE, [perturbation, *parameters], allow_unused=True)
    gradient, *gradients_of_parameters = gradients
    if gradient is None:
        raise ValueError(
            "the loss does not depend on the output of model.get_input_embeddings(); let the objective pass input_ids "
            "to the model, and do not call it inside torch.no_grad()"
        )
    return loss.detach(), unit(gradient * word_mask(batch)), gradients_of_parameters


class KnownGradients(torch.autograd.Function):
    """A loss that was differentiated before: the gradients that `ascend` found are its gradients.

    `KnownGradients.apply(loss, gradients, *parameters)` returns the loss. Its backward pass needs no graph.
    """

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor | None], *parameters: Tensor) -> Tensor:
        """Keep the gradients until the backward pass."""
        ctx.save_for_backward(*gradients)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> Any:
        """Multiply each gradient by that of the final loss by this one: a weight, and the loss scale of fp16."""
        factor = outer / LOSS_SCALE
        return (None, None, *(None if gradient is None else factor * gradient for gradient in ctx.saved_tensors))


def trainable_parameters(model: nn.Module) -> list[Tensor]:
    """List the parameters that get a gradient."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def same_random_numbers(model: nn.Module) -> AbstractContextManager[None]:
    """Make a context after which torch draws the random numbers of the context again, so dropout masks are the same."""
    device = next(model.parameters()).device
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def unit(tensor: Tensor) -> Tensor:
    """Divide the tensor of each sentence [batch, tokens, size] by its norm; zeros stay zeros.

    >>> unit(torch.tensor([[[3e-30, 4e-30]], [[0.0, 0.0]]]))
    tensor([[[0.6000, 0.8000]],
    <BLANKLINE>
            [[0.0000, 0.0000]]])
    """
    # First by the largest number, as in Miyato's code: the squares of the numbers above would be 0.
    tensor = tensor / tensor.abs().amax((1, 2), keepdim=True).clamp(min=torch.finfo(tensor.dtype).tiny)
    return tensor / norm(tensor).clamp(min=1)  # its norm is now at least 1, or 0


def project(perturbation: Tensor, epsilon: float) -> Tensor:
    """Shorten the perturbation [batch, tokens, size] of each sentence to norm epsilon where it is longer.

    >>> project(torch.tensor([[[3.0, 4.0]], [[0.3, 0.4]]]), 1.0).flatten()
    tensor([0.6000, 0.8000, 0.3000, 0.4000])
    """
    return perturbation * (epsilon / norm(perturbation).clamp(min=torch.finfo(perturbation.dtype).tiny)).clamp(max=1)


def norm(tensor: Tensor) -> Tensor:
    """Compute the norm of the tensor of each sentence, [batch, 1, 1]."""
    return torch.linalg.vector_norm(tensor, dim=(1, 2), keepdim=True)


def at_least_fp32(tensor: Tensor) -> Tensor:
    """Convert bf16 and fp16 to fp32, where sums keep their small terms."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def check_settings(**settings: float) -> None:
    """Raise a ValueError if a setting is below 0, or a number of steps below 1."""
    for name, value in settings.items():
        lowest = 1 if name.startswith("num_") else 0
        if not value >= lowest:
            raise ValueError(f"{name}={value}; pass {lowest} or more")
