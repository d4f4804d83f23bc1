"""The exercises of lesson 17: the mean over processes, bytes on a network, updates of an epoch, devices for a model."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER


def mean_over_processes(means: Sequence[float], counts: Sequence[int]) -> float:
    """The mean over all labeled texts, from the mean and the number of labeled texts of each process."""
    return sum(mean * count for mean, count in zip(means, counts, strict=True)) / max(1, sum(counts))


def mean_inputs(draw: random.Random) -> list[tuple[list[float], list[int]]]:
    """Unequal shares, equal ones, a process without labels, a single process, no label at all, and random ones."""
    some = [
        ([round(draw.uniform(0.1, 2.0), 2) for _ in range(size)], [draw.randint(1, 9) for _ in range(size)])
        for size in (2, 3, 4, 5) * 4
    ]
    edges = [([0.5, 0.7], [4, 4]), ([0.6, 0.0], [5, 0]), ([0.8], [3]), ([0.0, 0.0], [0, 0])]
    return [([0.9, 0.2], [6, 2]), *edges, *some]


def mean_mistakes(means: Sequence[float], counts: Sequence[int]) -> dict[str, float]:
    """Other means, and sums."""
    total, size, labeled = sum(map(float.__mul__, map(float, means), map(float, counts))), len(means), sum(counts)
    used = [mean for mean, count in zip(means, counts, strict=True) if count]
    return {
        "This is the mean of the means. A process with more labeled texts has to count more.": sum(means) / size,
        "This is a sum over all texts. Divide it by the number of labeled texts in all processes.": total,
        "You divide by the number of processes. Divide by the number of labeled texts.": total / size,
        "This leaves out processes without labels, but the others still count equally.": sum(used) / max(1, len(used)),
        "You divide by the largest count. Divide by the sum of the counts.": total / max(1, *counts),
        "You add up the means and divide by the number of labeled texts. Multiply each mean by its count first.": (
            sum(means) / max(1, labeled)
        ),
    }


def exchange_seconds(million_parameters: float, num_processes: int, gigabits_per_second: float) -> float:
    """How long the gradients in fp32 are on the way in a ring."""
    sent = 2 * (num_processes - 1) / num_processes * 4e6 * million_parameters
    return 8 * sent / (gigabits_per_second * 1e9)


def exchange_inputs(draw: random.Random) -> list[tuple[float, int, float]]:
    """Four processes, two, one that sends nothing, and random ones."""
    some = [
        (float(draw.choice((22, 66, 110, 125, 355, 1500))), draw.randint(2, 16), float(draw.choice((1, 10, 25, 100))))
        for _ in range(20)
    ]
    return [(355.0, 4, 10.0), (110.0, 2, 1.0), (22.0, 1, 10.0), *some]


def exchange_mistakes(million_parameters: float, num_processes: int, gigabits_per_second: float) -> dict[str, float]:
    """Forgotten factors."""
    n, seconds = num_processes, 8 * 4e6 * million_parameters / (gigabits_per_second * 1e9)  # all gradients, once
    right = 2 * (n - 1) / n * seconds
    return {
        "Networks count bits, and you count bytes. A byte has 8 bits.": right / 8,
        "A number in fp32 has 4 bytes.": right / 4,
        "This is only the first half of the ring. The sums have to be sent around as well.": right / 2,
        "A process sends 2 (n - 1) parts, each 1/n of the gradients. This is twice all of them.": 2 * seconds,
        "In a ring, each process sends to one other only, not to all others.": (n - 1) * seconds,
        "This is in milliseconds. Return seconds.": 1000 * right,
        "The parts are 1/n of the gradients. Divide by the number of processes.": right * n,
        "million_parameters counts millions. Multiply by 1e6.": right / 1e6,
        "Networks count in powers of ten: a gigabit is 1e9 bits.": right * 1e9 / 2**30,
    }


def updates_of_accelerate(num_batches: int) -> int:
    """How many updates an epoch has in four processes that each take whole batches."""
    return math.ceil(num_batches / 4)


def updates_mistakes(num_batches: int) -> dict[str, float]:
    """One process, four times as many, and the last round forgotten."""
    return {
        "That is right for one process. Here, four processes read a batch each for one update.": num_batches,
        "There are fewer updates, not more: one for every four batches.": 4 * num_batches,
        "The last round has fewer than four batches, but it is an update as well: rows are repeated to fill it.": (
            num_batches // 4
        ),
        "There are four processes, so divide by 4.": math.ceil(num_batches / 2),
        "What is left over after the last full round makes one more update, not more.": num_batches // 4 + 2,
        "The number of updates is a whole number.": num_batches / 4,
    }


def devices_needed(million_parameters: float, gib: float, reserved: float) -> int:
    """On how many devices weights, gradients and AdamW's states fit when all of them are divided."""
    return math.ceil(16e6 * million_parameters / 2**30 / (gib - reserved))


def device_inputs(draw: random.Random) -> list[tuple[float, float, float]]:
    """A model that needs several devices, one that needs one, nothing reserved, and random ones."""
    drawn = [
        (
            float(draw.choice((355, 900, 1500, 3500, 7500, 10700))),
            draw.choice((16.0, 24.0, 40.0, 80.0)),
            draw.choice((4.0, 8.0)),
        )
        for _ in range(30)
    ]
    # where the answer hangs on the last digit of a float, right formulas may differ
    safe = [x for x in drawn if abs(16e6 * x[0] / 2**30 / (x[1] - x[2]) % 1 - 0.5) < 0.49]
    return [(3500.0, 24.0, 8.0), (355.0, 24.0, 8.0), (1500.0, 16.0, 0.0), (10700.0, 16.0, 8.0), *safe]


def device_mistakes(million_parameters: float, gib: float, reserved: float) -> dict[str, int]:
    """Other bytes, other rounding, and no reserve."""
    needed, room = 16e6 * million_parameters / 2**30, gib - reserved
    return {
        "Round up: the last device is needed even if it is not full.": math.floor(needed / room),
        "This counts the weights alone. Gradients take as much again, and AdamW's two states twice as much.": math.ceil(
            needed / 4 / room
        ),
        "This leaves out the gradients: 4 bytes for a weight, 4 for its gradient, 8 for the two states.": math.ceil(
            needed * 12 / 16 / room
        ),
        "Keep what is reserved free on each device.": math.ceil(needed / gib),
        "Subtract what is reserved; you have added it.": math.ceil(needed / (gib + reserved)),
        "A GiB has 2**30 bytes, and you have divided by a million.": math.ceil(16 * million_parameters / room),
        "A GiB has 2**30 bytes, not 1e9.": math.ceil(16e6 * million_parameters / 1e9 / room),
    }


EXERCISES = {
    "17-mean": Exercise(
        NUMBER,
        mean_over_processes,
        inputs=mean_inputs,
        hints=(
            "A mean times its count is a sum again. What is the sum over the texts of all processes?",
            "Divide the sum of mean * count by the sum of the counts, and by 1 where no text has a label.",
            "sum(mean * count for mean, count in zip(means, counts)) / max(1, sum(counts))",
        ),
        because="Each labeled text now counts the same, in whichever process it is.",
        mistakes=mean_mistakes,
    ),
    "17-exchange": Exercise(
        NUMBER,
        exchange_seconds,
        inputs=exchange_inputs,
        hints=(
            "How many bytes are the gradients? Which share of them does each process send in the ring, in all steps?",
            "4e6 * million_parameters bytes, times 2 (n - 1) / n. A byte is 8 bits, and a gigabit is 1e9 bits.",
            "8 * 2 * (n - 1) / n * 4e6 * million_parameters / (gigabits_per_second * 1e9), with n processes",
        ),
        because="Compare this with the time of an update before you rent a second machine.",
        mistakes=exchange_mistakes,
    ),
    "17-updates": Exercise(
        NUMBER,
        updates_of_accelerate,
        hints=(
            "For one update, each of the four processes reads a whole batch.",
            "So four batches make an update. What happens to the batches that are left over?",
            "math.ceil(num_batches / 4)",
        ),
        because="With a quarter of the updates and the same learning rate, the model moves less far.",
        mistakes=updates_mistakes,
    ),
    "17-devices": Exercise(
        WHOLE_NUMBER,
        devices_needed,
        inputs=device_inputs,
        hints=(
            "Each weight takes 16 bytes in all. How many GiB is that for the whole model?",
            "Divide 16e6 * million_parameters / 2**30 by the room on a device, which is gib - reserved. Round up.",
            "math.ceil(16e6 * million_parameters / 2**30 / (gib - reserved))",
        ),
        because="Where the answer is 1, there is no need to divide the model.",
        mistakes=device_mistakes,
    ),
}
