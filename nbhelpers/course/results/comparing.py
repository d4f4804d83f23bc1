"""Tests of each row's gain, and the majority vote of its seeds: computed from the stored predictions, and kept."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError

from .store import predictions, runs
from .tables import SEEDED, compared_with, load_table, score_titles, table_rows

NUM_RESAMPLES = 10_000  # Holm multiplies p-values, so that even the smallest one must be well below 0.05 / comparisons


def tests(table: str, folder: Path | None = None) -> dict[str, Any]:  # noqa: PT028 (this is no test function)
    """What `write_tests` has kept: row -> its "vote", and its comparison with another row; {} when there is nothing."""
    path = (folder or paths.RESULTS) / f"{table}.tests.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_tests(table: str, folder: Path | None = None) -> None:
    """Compute what needs the gold labels of the test split, and keep it in data/results/TABLE.tests.json.

    Lessons read the file, because some corpora, such as MELD, are not on every machine. For each row it holds the
    scores of the majority vote of its seeds, and the comparison with another row: the table's baseline, or the row
    that its "against" names. A row of another table, with the same test split, can come in addition
    ("against_other_table"). "p_holm" is the larger p-value of the two tests after Holm's correction for all
    comparisons of the table.

    Args:
        table: the table's name.
        folder: where to write the file; default: data/results.
    """
    from nbhelpers import metrics
    from nbhelpers.course import experiments  # imports torch, which showing a table does not need

    if folder is None:
        paths.require_checkout("comparing the rows of a results table")
    # Most rows of a table share a corpus.
    read_once = functools.cache(experiments.read)
    kept: dict[str, dict[str, Any]] = {}
    for name, config in table_rows(table).items():
        if config["method"] == "task" and runs(table, name):
            kept[name] = seed_tests(table, name)
        elif config["method"] in SEEDED and runs(table, name):
            kept[name] = row_tests(table, name, read_once)
    compared = [row for row in kept.values() if "against" in row]
    compared += [row["other table"] for row in kept.values() if "other table" in row]
    corrected = metrics.holm([max(row[x] for x in row if x.startswith("p_")) for row in compared])
    for row, p_value in zip(compared, corrected, strict=True):
        row["p_holm"] = round(float(p_value), 5)
    if kept:
        path = (folder or paths.RESULTS) / f"{table}.tests.json"
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def seed_tests(table: str, name: str) -> dict[str, Any]:
    """The comparison of a row of a task with another row, seed by seed, in the first score of the table (Student's t).

    It needs three seeds that both rows have. It covers other seeds, and no other test items.
    """
    from scipy import stats

    key, against = next(iter(score_titles(table))), compared_with(table, name)
    if against is None:
        return {}
    made, other = ({run["seed"]: run["test"].get(key) for run in runs(table, row)} for row in (name, against))
    seeds = [seed for seed in sorted(set(made) & set(other)) if None not in (made[seed], other[seed])]
    gains = pd.Series([made[seed] - other[seed] for seed in seeds], dtype=float)
    if len(seeds) < 3 or not gains.std():
        return {}
    half = float(stats.t.ppf(0.975, len(seeds) - 1) * gains.sem())
    p_value = float(stats.ttest_1samp(gains, 0.0).pvalue)
    found = {"difference": gains.mean(), "low": gains.mean() - half, "high": gains.mean() + half, "p_t": p_value}
    return {"against": against, "seeds": seeds, **{x: round(float(value), 5) for x, value in found.items()}}


def row_tests(table: str, name: str, read_corpus: Callable[[str], Any]) -> dict[str, Any]:
    """The scores of a row's majority vote, and its comparison with another row where both have runs with equal seeds.

    The comparison is paired: seed by seed, on the same rows of the test split. It covers other seeds and other rows. It
    draws whole dialogues where the corpus has them, since turns of one dialogue are not independent.

    Args:
        table: the table's name.
        name: the row's name.
        read_corpus: `experiments.read`.

    Raises:
        CourseError: a run predicted another number of rows than the test split has.
    """
    from nbhelpers import metrics

    config, made = table_rows(table)[name], predictions(table, name)
    data, names = read_corpus(config.get("test", config["corpus"]))
    labels, groups = data["test"].labels, data["test"].dialogue_ids or None
    check_lengths(table, name, made, len(labels))

    def compared(table_of_other: str, row: str) -> dict[str, Any]:
        other = predictions(table_of_other, row)
        check_lengths(table_of_other, row, other, len(labels))
        if not (seeds := sorted(set(other) & set(made))):
            return {}
        before, after = ([answers[seed] for seed in seeds] for answers in (other, made))
        found = metrics.compare_runs(
            labels, before, after, groups=groups, num_classes=len(names), num_resamples=NUM_RESAMPLES
        )
        return {"seeds": seeds, **{key: round(value, 5) for key, value in found.items()}}

    # `statistics.mode` gives the first of several most frequent values, so a tie goes to the lowest seed.
    vote = [statistics.mode(answers) for answers in zip(*made.values(), strict=True)]
    outcome: dict[str, Any] = {"vote": metrics.scores(labels, vote, len(names))}
    against = compared_with(table, name)
    if against and (found := compared(table, against)):
        outcome |= {"against": against, **found}
    place = load_table(table).get("against_other_table", {}).get(name)
    if place and (found := compared(place["table"], place["row"])):
        outcome["other table"] = {"against": f"{place['row']} of table {place['table']}", **found}
    return outcome


def check_lengths(table: str, row: str, made: dict[int, list[int]], num_rows: int) -> None:
    """Raise CourseError if a run has another number of predictions than the test split has rows."""
    for seed, predicted in made.items():
        if len(predicted) != num_rows:  # with ten classes or more, earlier versions stored more digits than rows
            raise CourseError(
                f"table {table}, row {row!r}, seed {seed}: {len(predicted)} predictions for the {num_rows} rows of "
                f"test; remove this run from data/results/{table}.jsonl and measure it again"
            )
