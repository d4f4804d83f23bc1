"""Mixed precision: the data type of the matrix products, and the loss scaling that fp16 needs."""

from __future__ import annotations

import math

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# The largest number in fp16 is 65,504, so the forward pass of an unusual batch can overflow. The update of such a batch
# is skipped and training continues. If this many updates in a row are skipped, the model itself overflows.
MAX_SKIPPED_UPDATES = 10


def check_precision(precision: str) -> None:
    """Raise a ValueError unless the precision is "fp32", "bf16" or "fp16"."""
    if precision not in DTYPES:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(DTYPES)}; choose one of these")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Make a context in which matrix products run in "bf16" or "fp16", while the weights stay in fp32.

    Use it around the forward pass and the loss. For "fp32" it does nothing.

    Raises:
        ValueError: The precision is not "fp32", "bf16" or "fp16".

    >>> with autocast(torch.device("cpu"), "bf16"):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.bfloat16
    """
    check_precision(precision)
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


class LossScaler(torch.amp.GradScaler):
    """torch's GradScaler, active for fp16 only, and a check that the loss stays finite for every precision.

    The smallest positive number in fp16 is about 6e-8, so small gradients become 0. The scaler therefore multiplies
    the loss, and with it all gradients, by a large factor. `unscale_` divides the gradients by it again. Where the
    factor was too large and a gradient became infinite, `step` skips the update and `update` halves the factor.

    For fp32 and bf16, `scale` returns the loss as it is, `step` calls `optimizer.step()`, and the others do nothing.

    Args:
        device: The device that the model is on.
        precision: "fp32", "bf16" or "fp16".

    >>> scaler = LossScaler(torch.device("cpu"), "fp32")
    >>> scaler.scale(torch.tensor(2.0))
    tensor(2.)
    >>> scaler.check_loss(float("nan"), update=7)
    Traceback (most recent call last):
    FloatingPointError: update 7: the loss is nan; lower the learning rate or train in fp32
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        check_precision(precision)
        super().__init__(device.type, enabled=precision == "fp16")
        self.max_skipped = MAX_SKIPPED_UPDATES if precision == "fp16" else 0
        self.skipped = 0  # updates in a row whose loss was not finite

    def check_loss(self, loss: float, update: int) -> None:
        """Stop training when the loss is not finite: its gradient would turn every weight into NaN.

        In fp16 up to ten such losses in a row are tolerated, because `step` skips their updates.

        Raises:
            FloatingPointError: The loss is infinite or NaN and the update would not be skipped, or too many were.
        """
        self.skipped = 0 if math.isfinite(loss) else self.skipped + 1
        if self.skipped > self.max_skipped:
            raise FloatingPointError(f"update {update}: the loss is {loss}; lower the learning rate or train in fp32")
