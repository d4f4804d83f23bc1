"""What a results table says: means over the seeds, the scores of their majority vote, and the gain of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nbhelpers.course.errors import CourseError

from .comparing import tests
from .store import runs
from .tables import SCORES, load_table, score_titles, table_rows

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
        another, `difference` and `against` show how; `COVERS` says what the interval and the p-value mean. A comparison
        with a row of another table is a line of the attribute "other tables".

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
    frame.attrs["other tables"] = [
        f"{name}: {comparison(test)}, against {test['against']}"
        for name, seeds in zip(frame["row"], frame["seeds"], strict=True)
        if seeds and (test := compared.get(name, {}).get("other table"))
    ]
    frame.attrs["scores"] = [title for title in titles.values() if title in frame]
    frame.attrs["covers"] = COVERS if titles == SCORES else COVERS_SEEDS
    return frame


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
