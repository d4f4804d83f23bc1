"""Dialogues for lesson 6: some of a corpus, and those that a learner types."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nbhelpers.course.errors import CourseError


def some_dialogues(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Keep so many dialogues, spread evenly over a table, because the parts of a corpus may differ.

    Args:
        frame: a row per turn, with the column dialogue_id.
        count: how many dialogues; 0, or more than there are, keeps all.

    >>> some_dialogues(pd.DataFrame({"dialogue_id": [3, 3, 4, 6, 6]}), 2)["dialogue_id"].tolist()
    [3, 3, 4]
    """
    ids = frame["dialogue_id"].unique()
    count = min(count or len(ids), len(ids))
    chosen = ids[np.arange(count) * len(ids) // max(count, 1)]
    return frame[frame["dialogue_id"].isin(chosen)].reset_index(drop=True)


def typed_turns(text: str) -> pd.DataFrame:
    """Turn a typed dialogue into a table with the columns dialogue_id (0), speaker and text.

    Args:
        text: one turn per line, such as "Ann: You did what?"; empty lines are left out.

    Raises:
        CourseError: there is no turn, or a line has no speaker.

    >>> typed_turns("Ann: You did what?\\nBo: Sold it: all of it.")[["speaker", "text"]].values.tolist()
    [['Ann', 'You did what?'], ['Bo', 'Sold it: all of it.']]
    """
    turns = []
    for line in filter(None, map(str.strip, text.splitlines())):
        speaker, _, words = (part.strip() for part in line.partition(":"))
        if not speaker or not words:
            raise CourseError(f"{line!r} has no speaker; write each turn like this: Ann: You did what?")
        turns.append({"dialogue_id": 0, "speaker": speaker, "text": words})
    if not turns:
        raise CourseError("there is no turn yet; write one on each line, like this: Ann: You did what?")
    return pd.DataFrame(turns)
