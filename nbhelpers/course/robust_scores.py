"""Clean and robust scores of a results table side by side: what lesson 9 shows of the runs that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nbhelpers.course import results


def robust_scores(table: str = "robustness", rows: Sequence[str] | None = None) -> pd.DataFrame:
    """One line per row: mean ± standard deviation of the weighted F1 over the seeds, in percent.

    Args:
        table: the name of a results table whose rows have "perturbations".
        rows: show these, in this order. Default: all.

    Returns:
        A table with the columns row, seeds, clean (the test texts as they are), one for each perturbation of the test
        texts, and "tokens per second" in training. A row without runs has 0 seeds and is empty otherwise.

    Raises:
        CourseError: there is no such table.
        KeyError: there is no such row.
    """
    known = results.table_rows(table)
    lines: list[dict[str, Any]] = []
    for name in known if rows is None else rows:
        perturbations = known[name].get("perturbations", [])
        runs = results.runs(table, name)
        line: dict[str, Any] = {"row": name, "seeds": len(runs), "clean": ""} | dict.fromkeys(perturbations, "")
        if runs:
            line["clean"] = mean_sd([run["test"] for run in runs])
            line |= {each: mean_sd([run["perturbed"][each] for run in runs]) for each in perturbations}
            line["tokens per second"] = f"{sum(run['tokens_per_second'] for run in runs) / len(runs):,.0f}"
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def mean_sd(scores: Sequence[dict[str, float]]) -> str:
    """Mean ± standard deviation of the weighted F1 of several runs, in percent."""
    return results.mean_sd(100 * pd.Series([score["weighted_f1"] for score in scores]))
