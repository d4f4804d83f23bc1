"""The exercises of lesson 15 on alerts: the alarms of a CUSUM, and the stories that sentences tell."""

from __future__ import annotations

import itertools
import random

from .exercise import Exercise
from .kinds import WHOLE_NUMBER, WHOLE_NUMBERS


def alarm_places(flags: list[int], up: int, down: int, limit: int) -> list[int]:
    """The places of the alarms of a CUSUM: it starts again at 0 after each."""
    total, places = 0, []
    for place, flag in enumerate(flags):
        total = max(0, total + (up if flag else -down))
        if total >= limit:
            places.append(place)
            total = 0
    return places


def alarm_inputs(draw: random.Random) -> list[tuple[list[int], int, int, int]]:
    """A late alarm after many quiet stories, two alarms, a limit that is met exactly, none, and drawn stories."""
    fixed = [([0] * 10 + [1] * 4, 12, 8, 45), ([1] * 9, 12, 8, 45), ([1, 1, 0, 1, 1], 12, 8, 40), ([], 12, 8, 45)]
    some = [([int(draw.random() < 0.6) for _ in range(40)], 12, 8, draw.choice([30, 36, 45])) for _ in range(20)]
    return [*fixed, *some]


def alarm_mistakes(flags: list[int], up: int, down: int, limit: int) -> dict[str, list[int]]:
    """The sum that may be negative, no new start, a limit that must be passed, and places from 1."""

    def places(floor: float, again: bool, strict: bool) -> list[int]:
        total, found = 0.0, []
        for place, flag in enumerate(flags):
            total = max(floor, total + (up if flag else -down))
            if total > limit or (total == limit and not strict):
                found.append(place)
                total = 0.0 if again else total
        return found

    return {
        "The sum must not fall below 0: quiet stories must not be saved up against bad ones.": places(
            -1e9, True, False
        ),
        "After an alarm the sum starts again at 0.": places(0, False, False),
        "A sum that is equal to the limit is an alarm as well.": places(0, True, True),
        "Places are counted from 0: the first story has the place 0.": [x + 1 for x in places(0, True, False)],
    }


def num_stories(days: list[int]) -> int:
    """How many stories a company's sentences tell, if a story lasts until three days after its first sentence."""
    count, first = 0, None
    for day in sorted(days):
        if first is None or day - first > 3:
            count, first = count + 1, day
    return count


def story_inputs(draw: random.Random) -> list[tuple[list[int]]]:
    """A chain of days, the third day, days in any order, equal days, none, and drawn days."""
    fixed = [([1, 3, 5, 7],), ([1, 4],), ([1, 5],), ([9, 2, 1],), ([4, 4, 4],), ([],)]
    return [*fixed, *(([draw.randint(1, 60) for _ in range(draw.randint(1, 15))],) for _ in range(20))]


def story_mistakes(days: list[int]) -> dict[str, int]:
    """Chains, other limits, the order of the input, and sentences or days in place of stories."""
    ordered = sorted(days)

    def count(days: list[int], most: int) -> int:
        found, first = 0, None
        for day in days:
            if first is None or day - first > most:
                found, first = found + 1, day
        return found

    chained = len(days) and 1 + sum(b - a > 3 for a, b in itertools.pairwise(ordered))
    return {
        "Compare with the first sentence of the story, not with the one before it.": chained,
        "A sentence three days after the first one belongs to the story as well.": count(ordered, 2),
        "A sentence four days after the first one begins a new story.": count(ordered, 4),
        "The days can come in any order. Sort them first.": count(days, 3),
        "This counts sentences.": len(days),
        "This counts days.": len(set(days)),
    }


ALERT_EXERCISES = {
    "15-cusum": Exercise(
        WHOLE_NUMBERS,
        alarm_places,
        inputs=alarm_inputs,
        hints=(
            "Keep one number, the sum. Go through the flags with enumerate, and change the sum for each.",
            "max(0, ...) keeps the sum from falling below 0. Compare it with the limit after each flag.",
            "If the sum is at least the limit, append the place to a list and set the sum to 0.",
        ),
        because="That is the whole rule. What makes it useful is that its false alarms can be computed in advance.",
        mistakes=alarm_mistakes,
    ),
    "15-stories": Exercise(
        WHOLE_NUMBER,
        num_stories,
        inputs=story_inputs,
        hints=(
            "Sort the days. Remember the day on which the current story began.",
            "A day that is more than 3 after the first day of the story begins a new story.",
            "Start with count = 0 and first = None; for each new story add 1 and set first to the day.",
        ),
        because="find_stories does the same, and also asks whether the texts are alike.",
        mistakes=story_mistakes,
    ),
}
