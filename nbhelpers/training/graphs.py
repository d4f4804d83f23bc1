"""Training steps as CUDA graphs: a GPU gets all of a step's kernels with one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .batches import Batch, Objective
from .precision import autocast

WARM_UP_STEPS = 3  # libraries choose their kernels and get memory in the first steps, which a graph must not record


class Recording(NamedTuple):
    """A recorded step: the tensors it reads, the loss it writes, and the function that runs it again."""

    batch: dict[str, Tensor]
    weight: Tensor
    loss: Tensor
    replay: Callable[[], object]


class GraphedStep:
    """The forward and backward pass of an objective, recorded as a CUDA graph once for each shape of batch.

    With a small batch, a GPU computes faster than Python can launch its kernels, some thousands for a step of
    roberta-large. A graph launches all of them with one call. It repeats exactly what was recorded, so the shapes must
    be few (see `padded_lengths` of `batching.make_dataloader`), and the objective must not look at values of tensors.
    `cross_entropy` and `r_drop` of the unit objectives do not while they are recorded. Gradient checkpointing cannot be
    recorded, and neither can fp16, whose scale changes, or several processes.

    The gradients stay in tensors of their own, which `zero_grad` may detach from the parameters, but not replace.

    Args:
        model: On a GPU, in training mode.
        objective: `objective(model, batch) -> loss`, the mean over the labeled items of the batch.
        precision: "fp32" or "bf16".

    Raises:
        ValueError: The precision is "fp16".

    Example:
        step = GraphedStep(model, objective, "bf16")
        for batch in dataloader:
            loss = step(batch)  # also adds the gradient to each parameter's
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    """

    def __init__(self, model: nn.Module, objective: Objective, precision: str) -> None:
        if precision == "fp16":
            raise ValueError("a CUDA graph cannot change the scale of the loss, which fp16 needs; use bf16 or fp32")
        self.model, self.objective, self.precision = model, objective, precision
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.gradients = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.recordings: dict[tuple[object, ...], Recording] = {}
        # The graphs run one after the other, so they can use the same memory.
        self.pool = torch.cuda.graph_pool_handle() if self.gradients[0].is_cuda else None

    def __call__(self, batch: Batch, weight: Tensor | float = 1.0) -> Tensor:
        """Add the gradient of `weight` times the loss to the parameters' gradients, and return that product.

        Args:
            batch: The inputs of the objective, on any device. A shape that was not seen before is recorded first.
            weight: With gradient accumulation, the batch's share of the labeled items of the update.
        """
        self.attach_gradients()
        shape = tuple((name, tensor.shape, tensor.dtype) for name, tensor in batch.items())
        if shape not in self.recordings:
            self.recordings[shape] = self.record(batch)
        recording = self.recordings[shape]
        for name, tensor in batch.items():
            recording.batch[name].copy_(tensor, non_blocking=True)
        recording.weight.copy_(torch.as_tensor(weight), non_blocking=True)
        recording.replay()
        return recording.loss.clone()  # the next replay writes into the same tensor

    def attach_gradients(self) -> None:
        """Give the parameters their gradients again, as zeros, after `zero_grad` has taken them."""
        if any(parameter.grad is None for parameter in self.parameters):
            torch._foreach_zero_(self.gradients)
            for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
                parameter.grad = gradient

    def record(self, batch: Batch) -> Recording:
        """Record a step for batches of this shape. The gradients are afterwards as they were."""
        device = self.parameters[0].device
        inputs = {name: tensor.to(device, copy=True) for name, tensor in batch.items()}
        weight = torch.ones((), device=device)

        def step() -> Tensor:
            with autocast(device, self.precision):
                loss = self.objective(self.model, inputs) * weight
            loss.backward()
            return loss.detach()

        before = [gradient.clone() for gradient in self.gradients]
        replay, loss = record_graph(step, self.pool)
        torch._foreach_copy_(self.gradients, before)
        return Recording(inputs, weight, loss, replay)


def record_graph(step: Callable[[], Tensor], pool: Any) -> tuple[Callable[[], object], Tensor]:
    """Run a function some times, then record it. Returns what runs it again, and the tensor that it writes.

    Args:
        step: what is recorded.
        pool: the graph's memory, from `torch.cuda.graph_pool_handle`.
    """
    stream = torch.cuda.Stream()  # the first runs must not use the stream on which torch puts everything else
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        result = step()
    return graph.replay, result
