"""Simulated readers of a news site, for the lesson on recommendations. There are no data about real readers in it.

How a reader chooses, each time:

- With the share `by_story`, the next item of a story: one of the last 60 days that shares a rare name, such as that of
  a person or a town, with an item read before.
- With the share `by_circle`, an item that somebody of the reader's circle has read in the last 30 days. No text
  tells who is in which circle.
- Otherwise an item by desk, appeal and age. Each reader prefers some desks (Dirichlet, 0.5 for each), some items have
  more appeal than others (log-normal), and the chance falls with the age (a mean of 30 days).

The first way is in the texts, the second is only in who has read what, and the third is in both. So the shares decide
which method can win: a simulation shows how methods work, and never which one is best for real readers. No encoder
takes part in it; otherwise texts would be compared with themselves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nbhelpers.course.errors import CourseError

STORY_DAYS, CIRCLE_DAYS, MEAN_AGE = 60, 30, 30
CIRCLE_SIZE = 10
FEWEST_READS, MORE_READS = 10, 30  # a reader reads 10 items and a random number more, 30 on average


def simulate_reads(
    items: pd.DataFrame, num_readers: int = 400, *, by_story: float = 0.3, by_circle: float = 0.3, seed: int = 0
) -> pd.DataFrame:
    """Simulate who reads what, and when.

    Args:
        items: a row per item with "text", "label" (its desk) and "date" (such as "2041-03-17").
        num_readers: how many readers there are.
        by_story, by_circle: how often a reader chooses in these ways.
        seed: the same seed gives the same reads.

    Returns:
        A row per read with "reader" and "item" (numbers from 0) and "date", in the order of time. Nobody reads an item
        twice, or before it is published.

    Raises:
        CourseError: a column is missing, or the shares are not possible.
    """
    missing = {"text", "label", "date"} - set(items)
    if missing or not len(items):
        raise CourseError(f"the items have no {', '.join(sorted(missing)) or 'rows'}; pass text, label and date")
    if min(by_story, by_circle) < 0 or by_story + by_circle > 1:
        raise CourseError(f"by_story={by_story} and by_circle={by_circle}: pass shares from 0, together at most 1")
    rng = np.random.default_rng(seed)
    dates = pd.to_datetime(items["date"])
    published = (dates - dates.min()).dt.days.to_numpy()
    desks = pd.factorize(items["label"])[0]
    appeal = rng.lognormal(0, 1, len(items))
    taste = rng.dirichlet(np.full(desks.max() + 1, 0.5), num_readers)
    stories = story_matrix(items["text"].tolist())
    read = np.zeros((num_readers, len(items)), dtype=bool)
    related = np.zeros((num_readers, len(items)))  # rare names that an item shares with what the reader has read
    last_read = np.full((num_readers // CIRCLE_SIZE + 1, len(items)), -np.inf)  # by somebody of the circle
    counts = FEWEST_READS + rng.geometric(1 / MORE_READS, num_readers)
    readers = np.repeat(np.arange(num_readers), counts)
    days = rng.uniform(1, published.max() + 1, len(readers))
    rows = []
    for place in np.argsort(days):
        reader, day = readers[place], days[place]
        age, circle = day - published, reader // CIRCLE_SIZE
        possible = (age >= 0) & ~read[reader]
        way = rng.uniform()
        chance = possible * 0.0
        if way < by_story:
            chance = possible * (age < STORY_DAYS) * related[reader]
        elif way < by_story + by_circle:
            chance = possible * (day - last_read[circle] < CIRCLE_DAYS)
        if not chance.any():  # there is no such item yet, or it is the third way
            chance = possible * taste[reader, desks] * appeal * np.exp(-np.maximum(age, 0) / MEAN_AGE)
        if chance.any():
            upper = np.cumsum(chance)  # one draw, much faster than rng.choice
            item = int(np.searchsorted(upper, rng.uniform() * upper[-1], side="right"))
            read[reader, item], last_read[circle, item] = True, day
            related[reader] += stories[item]
            rows.append((int(reader), item, dates.min() + pd.Timedelta(days=int(day))))
    return pd.DataFrame(rows, columns=["reader", "item", "date"])


def story_matrix(texts: Sequence[str], most: int = 12) -> NDArray[np.float64]:
    """Which items belong to a story: how many rare names two texts share [items, items], 0 on the diagonal.

    A name is a capitalized word of four letters or more that is never written small and comes in 2 to `most` texts.

    >>> story_matrix(["The mayor of Norrow resigns.", "A leak near Norrow.", "Rain. Rain again, much rain."])
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 0., 0.]])
    """
    words = [set(re.findall(r"\w+", text)) for text in texts]
    small = {word for row in words for word in row if word.islower()}
    counts = Counter(word for row in words for word in row)
    names = {
        word
        for word, count in counts.items()
        if len(word) >= 4 and word[0].isupper() and word.lower() not in small and 2 <= count <= most
    }
    number = {name: place for place, name in enumerate(sorted(names))}
    has = np.zeros((len(texts), max(1, len(names))))
    for row, found in enumerate(words):
        has[row, [number[word] for word in found & names]] = 1
    shared: NDArray[np.float64] = has @ has.T
    np.fill_diagonal(shared, 0)
    return shared
