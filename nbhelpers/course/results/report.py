"""What a results table says: means over the seeds, the majority vote of the seeds, and tests of each row's gain."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError

from .store import predictions, runs
from .tables import SEEDED, load_table, table_rows

SCORES = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "accuracy": "accuracy"}
COSTS = {  # column -> what a run measured, its unit, digits after the point
    "trainable": ("trainable_parameters", 1, 0),
    "without head": ("trainable_without_head", 1, 0),
    "GiB": ("peak_gib", 1, 2),
    "ms per text": ("milliseconds", 1, 1),
    "MB on disk": ("saved_bytes", 1e6, 1),
}
MEASURED, NOT_MEASURED = "measured here", "not measured yet"
COVERS = (  # what "difference" means in `summary`
    "Intervals and p-values cover other seeds and other test items (whole dialogues, where the corpus has them), and "
    "the p-values are corrected for the number of comparisons in the table (Holm)."
)
COVERS_SEEDS = (  # the same for tables of tasks, whose predictions are not stored
    "Intervals and p-values cover other seeds, not other test items, and the p-values are corrected for the number of "
    "comparisons in the table (Holm)."
)
NUM_RESAMPLES = 10_000  # Holm multiplies p-values, so that even the smallest one must be well below 0.05 / comparisons


def summary(table: str, rows: Sequence[str] | None = None, costs: bool = False) -> pd.DataFrame:
    """One line per row: mean ± standard deviation of the test scores over the seeds, in percent.

    Only runs with the table's present configurations count.

    Args:
        table: the table's name.
        rows: show these, in this order; rows that others have published can be among them. Default: all.
        costs: also show the trainable parameters (with and without the head), the peak memory and the megabytes on
            disk.

    Returns:
        A table with the columns row, seeds, the scores, seconds, threads, and source. Where a row was compared with
        another, `difference` and `against` show how; `COVERS` says what the interval and the p-value mean.

    Raises:
        CourseError: there is no such table or row.
    """
    known, compared, titles = table_rows(table), tests(table), score_titles(table)
    columns = ("row", "seeds", *titles.values(), "seconds", "source")
    published = {line[0]: dict(zip(columns, line, strict=True)) for line in load_table(table).get("published", [])}
    lines: list[dict[str, Any]] = []
    for name in [*known, *published] if rows is None else rows:
        if name in published:
            lines.append(published[name])
        elif name in known:
            lines.append(measured_line(name, pd.DataFrame(runs(table, name)), compared.get(name, {}), costs, titles))
        else:
            raise CourseError(f"table {table} has no row {name!r}; there are {', '.join([*known, *published])}")
    frame = pd.DataFrame(lines).fillna("")
    last = [column for column in ("difference", "against", "source") if column in frame]
    frame = frame[[*frame.columns.drop(last), *last]]
    frame.attrs["scores"] = [title for title in titles.values() if title in frame]
    frame.attrs["covers"] = COVERS if titles == SCORES else COVERS_SEEDS
    return frame


def score_titles(table: str) -> dict[str, str]:
    """Score -> its title, for the scores that a table shows."""
    return dict(load_table(table).get("scores", SCORES))


def measured_line(
    name: str, row_runs: pd.DataFrame, compared: dict[str, Any], costs: bool, titles: dict[str, str]
) -> dict[str, Any]:
    """The line of `summary` for a row of the table.

    Args:
        name: the row's name.
        row_runs: its runs, one per seed.
        compared: what `write_tests` kept for the row.
        costs: as in `summary`.
        titles: from `score_titles`.
    """
    line: dict[str, Any] = {"row": name, "seeds": len(row_runs)}
    if len(row_runs):
        scores = 100 * pd.DataFrame(list(row_runs["test"]))
        line |= {column: mean_sd(scores[key].dropna()) for key, column in titles.items() if key in scores}
        if row_runs["threads"].nunique() == 1:  # seconds with different numbers of threads have no useful mean
            line |= {"seconds": f"{row_runs['seconds'].mean():.0f}", "threads": str(row_runs["threads"].max())}
    for column, (key, unit, digits) in COSTS.items() if costs else ():
        # Methods that train no network have no parameters to count.
        line[column] = f"{row_runs[key].mean() / unit:,.{digits}f}" if key in row_runs else ""
    if len(row_runs) and "p_holm" in compared:  # earlier versions wrote tests that left the seeds out
        line |= {"difference": comparison(compared), "against": compared["against"]}
    return {**line, "source": MEASURED if len(row_runs) else NOT_MEASURED}


def votes(table: str, rows: Sequence[str]) -> pd.DataFrame:
    """One line per row: the mean test scores of its seeds, and the scores of the seeds' majority vote, in percent."""
    kept, lines = tests(table), []
    for name in rows:
        scores = 100 * pd.DataFrame([run["test"] for run in runs(table, name)])
        line = {"row": name, "seeds": len(scores)}
        if len(scores) and name in kept:
            for key in ("weighted_f1", "macro_f1"):
                line[SCORES[key]] = mean_sd(scores[key])
                line[f"{SCORES[key]} of their vote"] = f"{100 * kept[name]['vote'][key]:.1f}"
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def tests(table: str, folder: Path | None = None) -> dict[str, Any]:  # noqa: PT028 (this is no test function)
    """What `write_tests` has kept: row -> its "vote", and its comparison with another row; {} when there is nothing."""
    path = (folder or paths.RESULTS) / f"{table}.tests.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_tests(table: str, folder: Path | None = None) -> None:
    """Compute what needs the gold labels of the test split, and keep it in data/results/TABLE.tests.json.

    Lessons read the file, because some corpora, such as MELD, are not on every machine. For each row it holds the
    scores of the majority vote of its seeds, and the comparison with another row: the table's baseline, or the row
    that its "against" names. "p_holm" is the larger p-value of the two tests after Holm's correction for all
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

    content, key = load_table(table), next(iter(score_titles(table)))
    against = content.get("against", {}).get(name, content.get("baseline"))
    if against in (None, name):
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

    content, config, made = load_table(table), table_rows(table)[name], predictions(table, name)
    data, names = read_corpus(config.get("test", config["corpus"]))
    labels, groups = data["test"].labels, data["test"].dialogue_ids or None
    for seed, predicted in made.items():
        if len(predicted) != len(labels):  # with ten classes or more, earlier versions stored more digits than rows
            raise CourseError(
                f"table {table}, row {name!r}, seed {seed}: {len(predicted)} predictions for the {len(labels)} rows of "
                f"test; remove this run from data/results/{table}.jsonl and measure it again"
            )
    # `statistics.mode` gives the first of several most frequent values, so a tie goes to the lowest seed.
    vote = [statistics.mode(answers) for answers in zip(*made.values(), strict=True)]
    outcome: dict[str, Any] = {"vote": metrics.scores(labels, vote, len(names))}
    against = content.get("against", {}).get(name, content.get("baseline"))
    other = predictions(table, against) if against not in (None, name) else {}
    if seeds := sorted(set(other) & set(made)):
        before, after = ([row[seed] for seed in seeds] for row in (other, made))
        compared = metrics.compare_runs(
            labels, before, after, groups=groups, num_classes=len(names), num_resamples=NUM_RESAMPLES
        )
        outcome |= {"against": against, "seeds": seeds}
        outcome |= {key: round(value, 5) for key, value in compared.items()}
    return outcome


def mean_sd(values: pd.Series) -> str:
    """The mean and the standard deviation. A single value has no standard deviation.

    >>> mean_sd(pd.Series([61.1, 61.9])), mean_sd(pd.Series([61.5]))
    ('61.5 ± 0.6', '61.5')
    """
    return f"{values.mean():.1f} ± {values.std():.1f}" if len(values) > 1 else f"{values.mean():.1f}"


def comparison(test: dict[str, Any]) -> str:
    """The gain in points with its 95 % confidence interval, and the p-value that `write_tests` has corrected.

    >>> comparison({"difference": 0.021, "low": 0.01, "high": 0.032, "p_bootstrap": 0.001, "p_holm": 0.004})
    '+2.1 (1.0 to 3.2), p 0.004'
    """
    interval = f"{100 * test['difference']:+.1f} ({100 * test['low']:.1f} to {100 * test['high']:.1f})"
    # A p-value is never 0, which three digits would show.
    return f"{interval}, p {test['p_holm']:.3f}" if test["p_holm"] >= 0.0005 else f"{interval}, p < 0.001"
