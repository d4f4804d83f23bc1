"""Checks of the lessons' exercises: an answer goes in, "Right" or a hint comes out; never a traceback."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], str]  # an answer -> a hint, or "" when it is right


class NotBegun(Exception):
    """The learner's function still is as the lesson gave it."""


def check(exercise: str, answer: Any) -> None:
    """Say whether an answer is right; if not, give a hint.

    An answer of None, or a function that gives None when first called, is a task not begun, and no error.

    >>> check("memory", None)
    No answer yet: replace None and run the cell again.
    >>> check("memory", 90.8)
    Not yet: this counts the weights only; training also keeps a gradient and two running means for each of them.
    >>> check("memory", 363.2)
    Right.
    """
    try:
        if answer is None:
            raise NotBegun
        hint = EXERCISES[exercise](begun(answer) if callable(answer) else answer)
        print(f"Not yet: {hint}" if hint else "Right.")
    except NotBegun:
        print("No answer yet: replace None and run the cell again.")
    except Exception as error:  # whatever a learner's function may raise
        print(f"Not yet: your function stopped with {type(error).__name__}: {error}.")


def begun(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function; it raises NotBegun when its first answer is None."""
    first = True

    def watched(*inputs: Any) -> Any:
        nonlocal first
        given = function(*inputs)
        if given is None and first:
            raise NotBegun
        first = False
        return given

    return watched


def memory(answer: float) -> str:
    """Megabytes that AdamW keeps in fp32 for 22.7 million parameters: weights, gradients and two running means."""
    hints = {
        90.8: "this counts the weights only; training also keeps a gradient and two running means for each of them.",
        181.6: "weights and gradients are there; AdamW keeps two running means for each parameter, too.",
        272.4: "one of four numbers per parameter is missing: weight, gradient, and two running means.",
        1452.8: "32 bits are 4 bytes.",
    }
    near = [hint for value, hint in hints.items() if math.isclose(answer, value, rel_tol=0.02)]
    right = math.isclose(answer, 363.2, rel_tol=0.02)
    return "" if right else (near or ["count how many numbers each parameter needs, then 4 bytes for each number."])[0]


def padding(answer: Callable[[list[int]], Any]) -> str:
    """The share of padding in one batch of texts of these lengths, padded to the longest."""
    rng = random.Random(0)
    for lengths in ([3, 9], [5], [2, 2, 8], *([rng.randint(1, 40) for _ in range(7)] for _ in range(20))):
        given, right = answer(lengths), 1 - sum(lengths) / (len(lengths) * max(lengths))
        if not isinstance(given, int | float):
            return f"for {lengths} your function gives {given!r}; return a number, 0 for no padding."
        if not math.isclose(given, right, abs_tol=1e-6):
            if math.isclose(given, 1 - right, abs_tol=1e-6):
                return "this is the share of real tokens; padding is the rest."
            if math.isclose(given, 100 * right, abs_tol=1e-4):
                return "right in percent; return a fraction between 0 and 1."
            return (
                f"for {lengths} your function gives {given:.3f}; the batch has {len(lengths)} rows of {max(lengths)}."
            )
    return ""


def f1(answer: Callable[[int, int, int], float]) -> str:
    """F1 of one class from its hits, false alarms and misses."""
    for hits, false_alarms, misses in ((8, 2, 2), (1, 0, 3), (5, 5, 0), (0, 4, 4), (0, 0, 0), (7, 1, 30)):
        try:
            given = answer(hits, false_alarms, misses)
        except ZeroDivisionError:
            return f"{hits} hits, {false_alarms} false alarms, {misses} misses end in a division by 0; F1 is 0 there."
        right = 2 * hits / max(1, 2 * hits + false_alarms + misses)
        if not math.isclose(given, right, abs_tol=1e-6):
            precision, recall = hits / max(1, hits + false_alarms), hits / max(1, hits + misses)
            if math.isclose(given, (precision + recall) / 2, abs_tol=1e-6):
                return "this is the ordinary mean of precision and recall; F1 is their harmonic mean, 2 p r / (p + r)."
            return (
                f"{hits} hits, {false_alarms} false alarms, {misses} misses should give {right:.3f}, not {given:.3f}."
            )
    return ""


def window(answer: Callable[[int, list[int], int, int], Any]) -> str:
    """The rows of a turn's window: `past` before, `future` after, all of the same dialogue."""
    ids = [4, 4, 4, 4, 7, 7, 9, 9, 9]
    for i, past, future in itertools.product(range(len(ids)), (0, 1, 3, 50), (0, 2, 50)):
        given = list(answer(i, ids, past, future))
        call = f"window({i}, {ids}, {past}, {future})"
        right = [j for j in range(max(0, i - past), min(len(ids), i + future + 1)) if ids[j] == ids[i]]
        if given != right:
            if i not in given:
                return f"{call} gives {given}, which lacks row {i} itself."
            if any(j not in range(len(ids)) for j in given):
                return f"{call} gives {given}, but there are only rows 0 to {len(ids) - 1}."
            if any(ids[j] != ids[i] for j in given):
                return f"{call} gives {given}, with a turn of another dialogue."
            if max(given) > i + future:
                return f"{call} gives {given}, with a future turn that nobody asked for."
            return f"{call} should give {right}, not {given}."
    return ""


def lora(answer: Callable[[list[tuple[int, int]], int], Any]) -> str:
    """How many weights LoRA of a rank adds to linear layers, given as (d_in, d_out)."""
    for layers, r in (([(384, 1536)], 8), ([(384, 384), (3, 5)], 16), ([], 4), ([(7, 2)], 1)):
        given, right = answer(layers, r), sum(r * (d_in + d_out) for d_in, d_out in layers)
        full = sum(d_in * d_out for d_in, d_out in layers)
        if not isinstance(given, int | float):
            return f"for the layers {layers} your function gives {given!r}; return a number."
        if given != right:
            hints: dict[float, str] = {
                full: "this counts W, which is frozen; count A and B.",
                full + right: "W is frozen and was there before; count A and B only.",
                r * full: "A is r x d_in and B is d_out x r: their sizes add up, they are not multiplied.",
                sum(r * d_in for d_in, _ in layers): "A is there; B, of d_out x r, is missing.",
                sum(r * d_out for _, d_out in layers): "B is there; A, of r x d_in, is missing.",
            }
            return hints.get(given, f"for the layers {layers} and r = {r} it should be {right:,}, not {given}.")
    return ""


def kl(answer: Callable[[list[float], list[float]], Any]) -> str:
    """(KL(p || q) + KL(q || p)) / 2 in nats, of the softmax of two lists of logits."""
    for first, second in (([2.0, 0.5, -1.0], [0.0, 0.0, 0.0]), ([1.0, 0.0], [3.0, -1.0]), ([4.0, 1.0], [4.0, 1.0])):
        p, q = ([math.exp(x) / sum(map(math.exp, logits)) for x in logits] for logits in (first, second))
        there, back = (sum(x * math.log(x / y) for x, y in zip(a, b, strict=True)) for a, b in ((p, q), (q, p)))
        given, right = float(answer(first, second)), (there + back) / 2
        if not math.isclose(given, right, abs_tol=1e-4):
            hints = {
                there: "this is KL(p || q) alone; the mean of both directions is asked.",
                back: "this is KL(q || p) alone; the mean of both directions is asked.",
                2 * right: "this is the sum of both directions; take half of it.",
                right / math.log(2): "this is in bits; nats need the natural logarithm.",
            }
            near = [hint for value, hint in hints.items() if math.isclose(given, value, abs_tol=1e-4)]
            other = f"{first} and {second} should give {right:.4f}, not {given:.4f}; did both pass through a softmax?"
            return (near or [other])[0]
    return ""


def psi(answer: Callable[[list[int], list[int]], Any]) -> str:
    """The population stability index of two lists of counts, each at least 0.5, in nats."""
    cases = ([50, 50], [90, 10]), ([9, 9], [1, 1]), ([300, 20, 80], [250, 60, 90]), ([40, 0], [30, 10])
    for now, before in cases:
        p, q = ([max(x, 0.5) / sum(max(x, 0.5) for x in counts) for x in counts] for counts in (now, before))
        try:
            given, right = float(answer(now, before)), sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
        except (ValueError, ZeroDivisionError):
            return f"for {now} and {before} your function divides by 0 or takes its logarithm; count at least 0.5."
        if not math.isclose(given, right, abs_tol=1e-4):
            hints = {
                sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)): "this is the KL divergence; use p - q.",
                -right: "the sign is turned; each term is (p - q) ln(p / q), which is never negative.",
                right / math.log(2): "this is in bits; take the natural logarithm.",
            }
            near = [hint for value, hint in hints.items() if math.isclose(given, value, abs_tol=1e-4)]
            other = f"{now} and {before} should give {right:.4f}, not {given:.4f}; are the shares those of each list?"
            return (near or [other])[0]
    return ""


EXERCISES: dict[str, Check] = {
    "memory": memory, "padding": padding, "f1": f1, "lora": lora, "kl": kl, "window": window, "psi": psi,
}  # fmt: skip
