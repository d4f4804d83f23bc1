"""The exercises of lesson 11: sampling a learning rate, the median pruner, a gain against noise, the expected best."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER, about, plain


def log_uniform(low: float, high: float, u: float) -> float:
    """The value between low and high that a number u from 0 to 1 stands for, uniform in the logarithm."""
    return low * (high / low) ** u


def uniform_inputs(draw: random.Random) -> list[tuple[float, float, float]]:
    """The middle, both ends, and other ranges and numbers."""
    ranges = ((1e-4, 1e-1), (1e-3, 1.0), (0.5, 8.0), (1.0, 100.0))
    some = [(*draw.choice(ranges), round(draw.random(), 3)) for _ in range(20)]
    return [(1e-4, 1e-2, 0.5), (1e-4, 1e-1, 0.0), (1e-4, 1e-1, 1.0), (2.0, 2.0, 0.3), *some]


def uniform_mistakes(low: float, high: float, u: float) -> dict[str, float]:
    """Other ways between two numbers."""
    exponent = math.log(low) + u * (math.log(high) - math.log(low))
    return {
        "This is uniform between low and high. It has to be uniform between their logarithms.": low + u * (high - low),
        "This is still the logarithm. Undo it with math.exp.": exponent,
        "This goes from high down to low. Return low for u = 0.": low * (high / low) ** (1 - u),
        "You undo the natural logarithm with a power of 10. Use math.exp.": 10**exponent,
        "The exponent is u times high. It has to be u alone, over high / low.": low * (high / low) ** (u * high),
        "For u = 1 this gives low * high. Multiply low by a power of high / low.": low * high**u,
    }


def stopped_after(curve: Sequence[float], complete: Sequence[Sequence[float]]) -> int:
    """After which epoch the median pruner stops a trial; 0 if it never does."""
    for epoch in range(1, len(curve) + 1):
        if max(curve[:epoch]) < statistics.median(other[epoch - 1] for other in complete):
            return epoch
    return 0


def curve_inputs(draw: random.Random) -> list[tuple[list[float], list[list[float]]]]:
    """Trials that are stopped at once, later and never, equal and falling scores, one other trial, and random ones."""

    def rising() -> list[float]:
        top, slope = draw.uniform(0.5, 0.9), draw.uniform(0.2, 2)
        return [round(top * (1 - math.exp(-slope * epoch)) + draw.gauss(0, 0.05), 2) for epoch in range(1, 6)]

    some = [(rising(), [rising() for _ in range(size)]) for size in (2, 3, 5, 6) * 8]
    others = [[0.4, 0.6, 0.7, 0.7], [0.5, 0.55, 0.6, 0.8], [0.3, 0.5, 0.65, 0.6]]
    dips = ([0.6, 0.5, 0.7, 0.72], others)
    equal = ([0.4, 0.55, 0.65, 0.7], others)
    others_dip = ([0.65, 0.7], [[0.8, 0.6], [0.5, 0.8], [0.6, 0.65]])
    return [([0.5, 0.56, 0.6, 0.7], others), dips, equal, ([0.1, 0.2], [[0.3, 0.4]]), others_dip, *some]


def stopped_mistakes(curve: Sequence[float], complete: Sequence[Sequence[float]]) -> dict[str, int]:
    """What other rules do."""

    def first(is_stopped: Any) -> int:
        return next((epoch for epoch in range(1, len(curve) + 1) if is_stopped(epoch)), 0)

    def at(epoch: int) -> list[float]:
        return [other[epoch - 1] for other in complete]

    right = stopped_after(curve, complete)
    return {
        "Epochs are counted from 1 here, and yours from 0.": right - 1 if right else 0,
        "Compare the best score so far. A trial may fall for an epoch without being stopped.": first(
            lambda epoch: curve[epoch - 1] < statistics.median(at(epoch))
        ),
        "This compares with the mean of the other trials. Use their median.": first(
            lambda epoch: max(curve[:epoch]) < statistics.fmean(at(epoch))
        ),
        "This compares with the best of the other trials. Use their median.": first(
            lambda epoch: max(curve[:epoch]) < max(at(epoch))
        ),
        "A trial that equals the median goes on. It has to be below it.": first(
            lambda epoch: max(curve[:epoch]) <= statistics.median(at(epoch))
        ),
        "Take the best score so far of this trial only. Of the others, take the scores after the same epoch.": first(
            lambda epoch: max(curve[:epoch]) < statistics.median(max(other[:epoch]) for other in complete)
        ),
        "This is the last epoch below the median. Return the first.": max(
            (e for e in range(1, len(curve) + 1) if max(curve[:e]) < statistics.median(at(e))), default=0
        ),
    }


def ratio(number: float, by: float) -> float:
    """A quotient, which is 0 where the scores do not vary."""
    return number / by if by else 0.0


def t_value(default: Sequence[float], winner: Sequence[float]) -> float:
    """The mean difference of paired scores, divided by its standard error."""
    differences = [after - before for before, after in zip(plain(default), plain(winner), strict=True)]
    return ratio(statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences)))


def t_mistakes(default: Sequence[float], winner: Sequence[float]) -> dict[str, float]:
    """Other standard errors, and other signs."""
    before, after = plain(default), plain(winner)
    differences, n = [b - a for a, b in zip(before, after, strict=True)], len(before)
    mean, sd = statistics.fmean(differences), statistics.stdev(differences)
    unpaired = math.sqrt((statistics.variance(before) + statistics.variance(after)) / n)
    return {
        "This is the mean difference. Divide it by its standard error.": mean,
        "Divide by the standard error, which is the standard deviation / sqrt(n).": ratio(mean, sd),
        "The sign is wrong: subtract the default from the winner.": -ratio(mean, sd / math.sqrt(n)),
        "This divides by the standard error of two separate groups. Subtract first, seed by seed.": ratio(
            mean, unpaired
        ),
        "Here the standard deviation divides by n. With so few seeds, use n - 1 (ddof=1).": ratio(
            mean, statistics.pstdev(differences) / math.sqrt(n)
        ),
    }


def expected_best(scores: Sequence[float], num_trials: int) -> float:
    """The expected maximum of so many scores, each drawn from all of them with replacement."""
    n = len(scores)
    return sum(
        score * ((rank / n) ** num_trials - ((rank - 1) / n) ** num_trials)
        for rank, score in enumerate(sorted(scores), start=1)
    )


def best_inputs(draw: random.Random) -> list[tuple[list[float], int]]:
    """Two scores, one trial (the mean), a single score, equal scores, and random ones that are not sorted."""
    some = [([round(draw.uniform(0.4, 0.9), 2) for _ in range(size)], draw.randint(2, 4)) for size in (4, 5, 7, 9) * 5]
    return [([0.6, 0.8], 2), ([0.7, 0.9, 0.5], 1), ([0.7], 3), ([0.8, 0.8, 0.8], 2), ([0.9, 0.5, 0.7], 3), *some]


def best_mistakes(scores: Sequence[float], num_trials: int) -> dict[str, float]:
    """Other means."""
    n, ordered = len(scores), sorted(scores)
    shares = [(rank / n) ** num_trials for rank in range(n + 1)]
    steps = [shares[i + 1] - shares[i] for i in range(n)]
    few = min(num_trials, n)
    return {
        "This is the mean of all scores, which is right for one trial only.": statistics.fmean(scores),
        "This is the highest score. It is not certain to be drawn.": max(scores),
        "This is the expected worst. Sort the scores from low to high.": sum(map(float.__mul__, ordered[::-1], steps)),
        "(i / n) ** k is the probability that all k draws are at most score i. Subtract that of score i - 1.": sum(
            map(float.__mul__, ordered, shares[1:])
        ),
        "The scores are not sorted. Score i must be the i-th lowest.": sum(map(float.__mul__, scores, steps)),
        "This draws without replacement. Here the same score can be drawn twice.": sum(
            score * math.comb(rank, few - 1) / math.comb(n, few) for rank, score in enumerate(ordered)
        ),
    }


EXERCISES = {
    "11-stopped": Exercise(
        WHOLE_NUMBER,
        stopped_after,
        inputs=curve_inputs,
        hints=(
            "Go through the epochs. For each, compare two numbers: one of this trial, one of all complete trials.",
            "The first is max(curve[:epoch]). The second is the median of other[epoch - 1] over the complete trials.",
            "if max(curve[:epoch]) < statistics.median(other[epoch - 1] for other in complete): return epoch",
        ),
        because="The rule knows nothing of what comes later, so a trial that starts slowly is lost.",
        mistakes=stopped_mistakes,
    ),
    "11-noise": Exercise(
        about(0.01),
        t_value,
        hints=(
            "Subtract the two lists seed by seed. You need the mean and the standard deviation of the differences.",
            "The standard error is the standard deviation (with ddof=1), divided by the root of the number of seeds.",
            "differences.mean() / (differences.std(ddof=1) / math.sqrt(len(differences)))",
        ),
        because="With ten seeds, chance alone gives a value between -2.3 and 2.3 in 95 % of cases.",
        mistakes=t_mistakes,
    ),
    "11-log-uniform": Exercise(
        NUMBER,
        log_uniform,
        inputs=uniform_inputs,
        hints=(
            "Which value is in the middle of 0.0001 and 0.01, if each factor of 10 is to be as likely as any other?",
            "Go from log(low) to log(high) by the share u, and undo the logarithm.",
            "math.exp(math.log(low) + u * (math.log(high) - math.log(low)))",
        ),
        because="Half of all draws are now below the geometric mean of low and high.",
        mistakes=uniform_mistakes,
    ),
    "11-expected-best": Exercise(
        NUMBER,
        expected_best,
        inputs=best_inputs,
        hints=(
            "Sort the scores from low to high. With which probability are all draws at most the i-th lowest of n?",
            "That is (i / n) ** k for k trials. The i-th is the best with (i / n) ** k - ((i - 1) / n) ** k.",
            "sum(score * ((i / n) ** k - ((i - 1) / n) ** k) for i, score in enumerate(sorted(scores), start=1))",
        ),
        because="Report this curve over the number of trials: it shows what a shorter search would have found.",
        mistakes=best_mistakes,
    ),
}
