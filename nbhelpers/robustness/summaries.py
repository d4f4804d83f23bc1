"""Summaries of cases: failure rates with intervals, and the worst examples."""

from __future__ import annotations

from statistics import NormalDist

import pandas as pd


def summarize(cases: pd.DataFrame) -> pd.DataFrame:
    """Summarize the cases of `invariance`, `direction` and `minimum_functionality`: one row for each check.

    Args:
        cases: One such table, or several joined with `pd.concat`. A name of a check must not occur twice.

    Returns:
        A table with the index "check" and these columns:

        - texts: how many texts the check was given
        - applies: how many of them the perturbation changed; only these count in what follows
        - failures: how many of those fail, and failure_rate, their share
        - low, high: 95 % Wilson interval of the failure rate, for independent texts
        - correct_before: how many of those that the check applies to were classified correctly before
        - failure_rate_if_correct: the share of these that fail. A text that was wrong before can fail as well, even by
          becoming right; this rate leaves such texts out. Missing without labels
        - labels_changed: share with another predicted class
        - mean_change: mean change of the probability; changes in both directions cancel each other
        - mean_abs_change: mean of the absolute change
        - worst: the failed case with the largest severity, as "before -> after"

    Raises:
        ValueError: A text occurs twice in a check, as after joining two tables with the same check.

    >>> cases = pd.DataFrame({"check": "typos", "row": [0, 1, 2], "before": ["a", "b", "c"], "after": ["A", "B", "c"]})
    >>> cases = cases.assign(predicted_before=0, predicted_after=[1, 0, 0], change=[-0.6, -0.2, None])
    >>> cases["failed"] = pd.array([True, False, None], dtype="boolean")
    >>> cases["correct_before"] = pd.array([False, True, True], dtype="boolean")
    >>> table = summarize(cases.assign(severity=-cases["change"]))
    >>> table.loc["typos", ["texts", "applies", "failure_rate", "failure_rate_if_correct"]].tolist()
    [3.0, 2.0, 0.5, 0.0]
    """
    if cases.duplicated(["check", "row"]).any():
        name = cases.loc[cases.duplicated(["check", "row"]), "check"].iloc[0]
        raise ValueError(f"the check {name!r} occurs twice; give each check its own name before you join tables")
    rows = {}
    for name, group in cases.groupby("check", sort=False):
        applied = group[group["failed"].notna()]
        if_correct = applied[applied["correct_before"].fillna(False).astype(bool)]
        failures = int(applied["failed"].sum())
        low, high = wilson_interval(failures, len(applied))
        worst = worst_examples(group, num=1)
        rows[name] = {
            "texts": len(group),
            "applies": len(applied),
            "failures": failures,
            "failure_rate": share(applied["failed"]),
            "low": low,
            "high": high,
            "correct_before": len(if_correct),
            "failure_rate_if_correct": share(if_correct["failed"]),
            "labels_changed": share(applied["predicted_before"] != applied["predicted_after"]),
            "mean_change": applied["change"].mean(),
            "mean_abs_change": applied["change"].abs().mean(),
            "worst": " -> ".join(worst[["before", "after"]].iloc[0].dropna()) if len(worst) else "",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("check")


def share(truths: pd.Series) -> float:
    """The share of a column that is true, among the values that are not missing; NaN where there are none."""
    return float(truths.astype(float).mean())


def worst_examples(cases: pd.DataFrame, num: int = 3) -> pd.DataFrame:
    """Return the failed cases with the largest severity, up to `num` for each check; ties in the order of the texts.

    >>> cases = pd.DataFrame({"check": "typos", "after": ["a", "b", "c"], "severity": [0.2, 0.7, 0.9]})
    >>> cases["failed"] = pd.array([True, True, None], dtype="boolean")
    >>> worst_examples(cases, num=1)["after"].tolist()
    ['b']
    """
    failed = cases[cases["failed"].fillna(False).astype(bool)]
    ordered = failed.sort_values("severity", ascending=False, kind="stable").groupby("check", sort=False).head(num)
    # The checks in the order in which they were made, and the worst case of each first.
    position = {name: number for number, name in enumerate(cases["check"].unique())}
    return ordered.sort_values("check", key=lambda column: column.map(position), kind="stable")


def wilson_interval(failures: int, total: int, confidence_level: float = 0.95) -> tuple[float, float]:
    """Compute Wilson's confidence interval of a share. It stays valid where none or few of the texts fail.

    The texts must be independent. Texts from one template are not; the interval of their failure rate is too narrow.

    Sources: Wilson, Journal of the American Statistical Association 1927; Brown, Cai and DasGupta, Statistical Science
    2001.

    >>> low, high = wilson_interval(0, 50)  # no failure in 50 texts: up to 7 % may fail
    >>> round(low, 3), round(high, 3)
    (0.0, 0.071)
    >>> wilson_interval(0, 0)
    (nan, nan)
    """
    if not total:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf((1 + confidence_level) / 2)
    center = (failures + z**2 / 2) / (total + z**2)
    half_width = z / (total + z**2) * (failures * (total - failures) / total + z**2 / 4) ** 0.5
    return max(0.0, center - half_width), min(1.0, center + half_width)
