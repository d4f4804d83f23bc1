"""From the probabilities of tags to tags that form entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .schemes import parse


def allowed_transitions(tags: Sequence[str]) -> NDArray[np.bool_]:
    """Return which tag may follow which in IOB2: [tags, tags], true where the second may follow the first.

    I-PER may follow only B-PER and I-PER.

    >>> allowed_transitions(["O", "B-PER", "I-PER"]).tolist()
    [[True, True, False], [True, True, True], [True, True, True]]
    """
    parsed = [parse(tag) for tag in tags]
    return np.array(
        [[prefix != "I" or entity_type == last for prefix, entity_type in parsed] for _, last in parsed], dtype=bool
    )


def decode(log_probabilities: Any, tags: Sequence[str]) -> list[str]:
    """Return the most probable sequence of tags in which each I- continues an entity (the Viterbi algorithm).

    The most probable tag of each word alone can give I-LOC after O. Here, the product of the probabilities is as large
    as the rules of IOB2 allow. Nothing is learned for it.

    Args:
        log_probabilities: [words, tags], of one sentence.
        tags: the names of the tags.

    >>> probabilities = np.array([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]])
    >>> tags = ["O", "B-PER", "I-PER"]
    >>> [tags[i] for i in probabilities.argmax(-1)], decode(np.log(probabilities), tags)
    (['O', 'I-PER'], ['B-PER', 'I-PER'])
    """
    scores = np.asarray(log_probabilities, dtype=np.float64)  # [words, tags]
    if not len(scores):
        return []
    forbidden = np.where(allowed_transitions(tags), 0.0, -np.inf)
    starts = np.where([parse(tag)[0] != "I" for tag in tags], 0.0, -np.inf)
    best = scores[0] + starts  # of the sequences that end in each tag
    came_from = []
    for word in scores[1:]:
        through = best[:, np.newaxis] + forbidden  # [tag before, tag]
        came_from.append(through.argmax(0))
        best = through.max(0) + word
    path = [int(best.argmax())]
    for back in reversed(came_from):
        path.append(int(back[path[-1]]))
    return [tags[i] for i in reversed(path)]
