"""The exercise of lesson 1: how much memory training needs."""

from __future__ import annotations

import math

from .hints import hint_for


def memory(answer: float) -> str:
    """Megabytes that AdamW keeps in fp32 for 22.7 million parameters: weights, gradients and two running means."""
    if math.isclose(answer, 363.2, rel_tol=0.02):
        return ""
    hints = {
        90.8: "this counts the weights only; training also keeps a gradient and two running means for each of them.",
        181.6: "weights and gradients are there; AdamW also keeps two running means for each parameter.",
        272.4: "one of the four numbers per parameter is missing: weight, gradient, and two running means.",
        1452.8: "32 bits are 4 bytes.",
    }
    return hint_for(answer, hints, "count how many numbers each parameter needs; each takes 4 bytes.", rel_tol=0.02)
