"""How far shares of labels may move by chance, also where items come in groups such as dialogues."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import betabinom, chi2_contingency


def drift(reference: ArrayLike, counts: ArrayLike, design_effect: float = 1.0) -> dict[str, float]:
    """Measure how far two label distributions are apart, and test whether chance explains the difference.

    Args:
        reference: [classes] how often each class was predicted on reference data.
        counts: [classes] how often each class was predicted since, in the same order.
        design_effect: how many dependent items tell as much as one independent item; see `design_effects`.

    Returns:
        "divergence", the Jensen-Shannon divergence in bits: 0 for equal distributions, 1 when no class occurs in both.
        Unlike the population stability index, it is finite when a class is empty. Chance alone makes it about
        (classes - 1) (1 / sum(reference) + 1 / sum(counts)) / (8 ln 2), times the design effect.
        "p_value", of Pearson's chi-square test of the two rows of counts, divided by the design effect. It is valid for
        expected counts of 5 or more. With many items any small difference is significant, so look at both numbers.

    Raises:
        ValueError: the counts are negative, not finite, of fewer than two classes, or all zero.

    Sources: Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 1991;
    Cochran, Some methods for strengthening the common chi-square tests, Biometrics 1954.

    >>> {name: round(value, 4) for name, value in drift([70, 20, 10], [60, 20, 20]).items()}
    {'divergence': 0.015, 'p_value': 0.1286}
    """
    table = np.array([reference, counts], dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all() or table.min() < 0:
        raise ValueError("reference and counts: pass how often each of the same two or more classes was predicted")
    if not table.sum(1).all():
        raise ValueError("reference or counts contains only zeros; wait for predictions before you compare")
    table = table[:, table.any(0)]  # the test divides by the expected count, which is 0 for a class that never occurs
    # Without Yates' correction, which scipy would use for two classes only, and which makes the test conservative.
    p_value = chi2_contingency(table / design_effect, correction=False).pvalue
    # scipy returns the distance, which is the square root of the divergence.
    return {"divergence": float(jensenshannon(*table, base=2) ** 2), "p_value": float(p_value)}


def design_effects(flags: NDArray[np.int64], groups: ArrayLike) -> NDArray[np.float64]:
    """Estimate how many items of a group tell as much about a share as one independent item.

    The turns of a dialogue are alike: an emotion lasts for several turns. So the number of angry turns varies more
    from dialogue to dialogue than if each turn were drawn on its own. The design effect is the ratio of the two
    variances. It is 1 for independent items, and at most about the size of a group, when all its items are equal.

    Args:
        flags: [items, columns] 0 or 1, such as whether an item has a class.
        groups: [items] for instance dialogue numbers.

    Returns:
        [columns] ratios, none below 1. The estimate of a column with few ones is poor, so a column gets the mean of all
        columns if that is larger.

    Raises:
        ValueError: the lengths differ, a group is missing, or there are fewer than two groups.

    Sources: Kish, Survey Sampling (1965); Rao and Scott, A Simple Method for the Analysis of Clustered Binary Data,
    Biometrics 48 (1992).

    >>> always_the_same = np.array([[1], [1], [1], [1], [0], [0], [0], [0]] * 50)  # in groups of four
    >>> design_effects(always_the_same, np.arange(400) // 4).round(1).tolist()
    [4.0]
    """
    names = np.asarray(groups).tolist()
    if np.shape(groups) != (len(flags),):
        raise ValueError(f"groups has shape {np.shape(groups)}; pass the group of each of the {len(flags)} items")
    # Only NaN differs from itself.
    if missing := [item for item, name in enumerate(names) if name is None or name != name]:
        raise ValueError(f"groups, item {missing[0]}: the group is missing; give every item one")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    number_of_item = np.array([numbers[name] for name in names])
    sizes = np.bincount(number_of_item)  # [groups]
    if len(sizes) < 2:
        raise ValueError("all items of the reference are in one group; pass several dialogues")
    sums = np.zeros((len(sizes), flags.shape[1]))
    np.add.at(sums, number_of_item, flags)
    shares = flags.mean(0)
    # The variance of the sum over all groups, and that of as many independent items with these shares.
    residuals = sums - sizes[:, None] * shares
    grouped = len(sizes) / (len(sizes) - 1) * (residuals**2).sum(0)
    independent = len(flags) * shares * (1 - shares)
    ratios = np.divide(grouped, independent, out=np.ones_like(shares), where=independent > 0)
    return np.asarray(np.maximum(ratios, max(1.0, np.average(ratios, weights=independent + 1e-9))))


def expected_counts(
    reference: ArrayLike, num_reference: int, num_items: int, level: float, design_effect: ArrayLike = 1.0
) -> NDArray[np.int64]:
    """Compute between which counts each class should lie among new items, if only chance changes it.

    This is a prediction interval. The reference is a sample as well, so its own uncertainty is included: the interval
    is that of a beta-binomial distribution, with Jeffreys' prior Beta(1/2, 1/2).

    Args:
        reference: [classes] how often each class occurred among `num_reference` earlier items.
        num_reference: the number of earlier items.
        num_items: the number of new items.
        level: the probability that a new count lies outside by chance, half of it on each side.
        design_effect: one number, or [classes]; see `design_effects`. Items in groups count as so many times fewer
            independent items.

    Returns:
        [2, classes], the lowest and the highest count of each class.

    Sources: Meeker, Hahn and Escobar, Statistical Intervals, 2nd edition 2017, on prediction intervals for binomial
    counts; Rao and Scott (1992) for dividing the counts.

    >>> expected_counts([200], 1000, 100, level=0.05).tolist()  # 200 of 1000, then 12 to 29 of 100
    [[12], [29]]
    >>> expected_counts([200], 1000, 100, level=0.05, design_effect=2).tolist()  # as among 50 independent items
    [[9], [33]]
    """
    effect = np.asarray(design_effect, dtype=float)
    counts, total = np.asarray(reference) / effect, num_reference / effect
    items = np.maximum(np.floor(num_items / effect), 1)
    lowest, highest = betabinom.interval(1 - level, items, counts + 0.5, total - counts + 0.5)
    # One of these items is several real ones. What is still outside among them is outside among the real ones.
    real = num_items / items
    lowest, highest = np.floor((lowest - 1) * real) + 1, np.ceil((highest + 1) * real) - 1
    return np.array([np.maximum(lowest, 0), np.minimum(highest, num_items)], dtype=np.int64)
