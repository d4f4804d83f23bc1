"""How fast the matrix products of a model are when nothing else is computed.

No way to train or run a model can be faster than its matrix products. They are timed at the model's own shapes, because
small and narrow products reach much less than the speed that a processor has with large square ones.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nbhelpers import encoders, objectives, training

from .meter import synchronize

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")


class Operand(NamedTuple):
    """A factor of a matrix product; the stride tells which of its dimensions is transposed."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


Products = Counter[tuple[Operand, Operand]]  # a product -> how often it is computed


class Recorder(TorchDispatchMode):
    """Counts the matrix products of all that is computed in a `with` block, backward passes included.

    >>> with Recorder() as recorder:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 4)
    >>> [(first.shape, second.shape) for first, second in recorder.products]
    [((2, 3), (3, 4))]
    """

    def __init__(self) -> None:
        super().__init__()
        self.products: Products = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count the call of a function if it is a product, and do it."""
        if function.overloadpacket._qualified_op_name in PRODUCTS:
            # the last two tensors are the factors; before them, addmm has what is added
            first, second = [x for x in args if isinstance(x, torch.Tensor)][-2:]
            self.products[operand(first), operand(second)] += 1
        return function(*args, **(kwargs or {}))


def operand(tensor: torch.Tensor) -> Operand:
    """What of a tensor decides how fast a product with it is."""
    return Operand(tuple(tensor.shape), tensor.stride(), tensor.dtype)


def products_of(model: Any, batches: Iterable[Mapping[str, Any]], precision: str, *, backward: bool) -> Products:
    """The matrix products of a pass over batches, in training (forward and backward) or without gradients.

    Args:
        model: a classifier; its attention becomes "eager", so that its products are products of their own.
        batches: with labels.
        precision: "fp32", "bf16" or "fp16".
        backward: whether to compute the gradients.
    """
    device = next(model.parameters()).device
    with encoders.quiet():
        model.set_attn_implementation("eager")
    with Recorder() as recorder, torch.set_grad_enabled(backward):
        for batch in batches:
            with training.autocast(device, precision):
                loss = objectives.cross_entropy(model, training.to_device(batch, device))
            if backward:
                loss.backward()
                model.zero_grad()
    return recorder.products


def seconds_of(products: Products, device: torch.device, num_repeats: int = 3) -> float:
    """The seconds that products take alone: the median of repeats for each, times how often it is computed."""
    seconds = 0.0
    for (first, second), count in products.items():
        a, b = random_tensor(first, device), random_tensor(second, device)
        compute = partial(torch.bmm if a.ndim == 3 else torch.mm, a, b)
        compute()  # the first time includes the setup
        seconds += count * statistics.median(time_once(compute, device) for _ in range(num_repeats))
    return seconds


def time_once(compute: Callable[[], Any], device: torch.device) -> float:
    """The seconds that a computation takes, until a GPU has finished it."""
    synchronize(device)
    start = time.perf_counter()
    compute()
    synchronize(device)
    return time.perf_counter() - start


def random_tensor(operand: Operand, device: torch.device) -> torch.Tensor:
    """Random numbers in the layout of an operand."""
    span = 1 + sum((size - 1) * step for size, step in zip(operand.shape, operand.stride, strict=True))
    return torch.rand(span, device=device).to(operand.dtype).as_strided(operand.shape, operand.stride)
