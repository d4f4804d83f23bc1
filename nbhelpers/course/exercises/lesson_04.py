"""The exercise of lesson 4: the size of a LoRA adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .hints import hint_for

CASES: tuple[tuple[list[tuple[int, int]], int], ...] = (
    ([(384, 1536)], 8),
    ([(384, 384), (3, 5)], 16),
    ([], 4),
    ([(7, 2)], 1),
)


def lora(answer: Callable[[list[tuple[int, int]], int], Any]) -> str:
    """How many weights LoRA of a rank adds to linear layers, given as (d_in, d_out)."""
    for layers, r in CASES:
        result = answer(layers, r)
        right = sum(r * (d_in + d_out) for d_in, d_out in layers)
        if not isinstance(result, int | float):
            return f"for the layers {layers} your function gives {result!r}; return a number."
        if result != right:
            full = sum(d_in * d_out for d_in, d_out in layers)
            hints: dict[float, str] = {
                full: "this counts W, which is frozen; count A and B.",
                full + right: "W is frozen and was there before; count A and B only.",
                r * full: "A is r x d_in and B is d_out x r: their sizes add up, they are not multiplied.",
                sum(r * d_in for d_in, _ in layers): "A is there; B, of d_out x r, is missing.",
                sum(r * d_out for _, d_out in layers): "B is there; A, of r x d_in, is missing.",
            }
            return hint_for(result, hints, f"for the layers {layers} and r = {r} it should be {right:,}, not {result}.")
    return ""
