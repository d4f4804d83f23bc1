"""How much of the best score is luck, and whether a configuration is better than the default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

from .space import SearchError
from .trials import TrainAndScore, search


def winners_curse(num_trials: int, sd: float = 1.0) -> float:
    """Compute how far the best of several equally good trials lies above their mean, by chance alone.

    It is the expected maximum of `num_trials` independent draws from a normal distribution, computed by integration.
    If the trials differ in truth, it is an upper limit for the luck of the best one.

    Args:
        num_trials: The number of trials.
        sd: The standard deviation of the score of one configuration, over seeds and choices of dev rows. That of an
            accuracy p on n rows is sqrt(p (1 - p) / n) for the rows alone.

    Raises:
        SearchError: The number of trials is below 1, or `sd` is negative.

    Source: Cawley and Talbot, On Over-fitting in Model Selection, JMLR 11 (2010); David and Nagaraja, Order Statistics,
    3rd edition 2003, for the integral.

    >>> [round(winners_curse(num_trials), 2) for num_trials in (1, 5, 10, 20, 50)]
    [0.0, 1.16, 1.54, 1.87, 2.25]
    >>> round(0.85 + winners_curse(20, sd=math.sqrt(0.85 * 0.15 / 300)), 3)  # 20 models of accuracy 0.85 on 300 rows
    0.888
    """
    if num_trials < 1 or not sd >= 0:
        raise SearchError(f"num_trials={num_trials}, sd={sd}; pass at least one trial, and an sd of 0 or more")

    def density(x: float) -> float:  # of the maximum, times x
        return x * num_trials * stats.norm.pdf(x) * stats.norm.cdf(x) ** (num_trials - 1)

    return sd * float(integrate.quad(density, -10, 10)[0])  # a normal value beyond 10 sd has probability 1e-23


def confirm(
    train_and_score: TrainAndScore,
    configs: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    storage: str | Path | None = None,
) -> pd.DataFrame:
    """Train the default and the finalists of a search with the same fresh seeds, and test whether they differ.

    Run i of each configuration has the same seed as run i of the default, so their scores are compared in pairs, by a
    t-test. Its p-values are corrected for the number of finalists (`holm`). They cover other seeds, not other dev rows.
    Dev was used for the choice, so read the test set once for the configuration that you choose in the end.

    Args:
        train_and_score: As in `search`; it must use `config["seed"]`.
        configs: Each name with its configuration. The first is the default that the others are compared with.
        seeds: At least two that the search has not used, better five or more.
        storage: As in `search`, in a file of its own.

    Returns:
        A row per name: "mean" and "sd" of the scores; against the default the mean "difference" with "low" and "high"
        (95 % interval), "p_value" and "p_holm"; and "scores", one per seed.

    Raises:
        SearchError: There is nothing to compare, a run failed, or no score depends on the seed.

    >>> def train_and_score(config, report):
    ...     return config["seed"] * config["lr"]
    >>> table = confirm(train_and_score, {"default": {"lr": 0.1}, "best": {"lr": 0.2}}, seeds=[1, 2, 3])
    >>> table.loc["best", ["difference", "low", "high", "p_value"]].astype(float).round(3).tolist()
    [0.2, -0.048, 0.448, 0.074]
    """
    if len(configs) < 2:
        raise SearchError(f"{len(configs)} configurations; pass the default and at least one finalist")
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise SearchError(f"seeds={list(seeds)}; pass at least two, each once")
    # A grid search over all pairs, so that it survives a kill as well. The text identifies the configuration.
    labels = {f"{name}: {dict(config)}": name for name, config in configs.items()}

    def run(point: dict[str, Any], report: Any) -> float:
        return train_and_score({**configs[labels[point["label"]]], "seed": point["run"]}, report)

    space = {"label": list(labels), "run": list(seeds)}
    trials = search(run, space, len(labels) * len(seeds), sampler="grid", storage=storage)
    failed = trials[trials["state"] == "failed"]
    if len(failed):
        point, error = failed.iloc[0][["config", "error"]]
        raise SearchError(f"{labels[point['label']]} with seed {point['run']} failed with {error}")
    points = pd.DataFrame(trials["config"].tolist())
    scores = trials["score"].set_axis(pd.MultiIndex.from_frame(points[["label", "run"]])).unstack()  # [labels, seeds]
    if (scores.nunique(axis=1) == 1).all():
        raise SearchError(
            "no score depends on the seed; set config['seed'] in train_and_score before the model is made"
        )
    return compare(scores.loc[list(labels), list(seeds)].rename(index=labels))


def compare(scores: pd.DataFrame) -> pd.DataFrame:
    """Compute the table of `confirm` from scores [configurations, seeds], the default first."""
    values, num_seeds = scores.to_numpy(), scores.shape[1]
    differences = values[1:] - values[0]  # [finalists, seeds]
    means, errors = differences.mean(1), differences.std(1, ddof=1) / math.sqrt(num_seeds)
    t = stats.t(num_seeds - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 where a finalist scores exactly like the default
        p_values = np.nan_to_num(2 * t.sf(np.abs(means) / errors), nan=1.0)
    margins = t.ppf(0.975) * errors
    columns = {"difference": means, "low": means - margins, "high": means + margins, "p_value": p_values}
    against_default = pd.DataFrame({**columns, "p_holm": holm(p_values)}, index=scores.index[1:])
    table = pd.DataFrame({"mean": values.mean(1), "sd": values.std(1, ddof=1)}, index=scores.index).join(
        against_default
    )
    table["scores"] = values.tolist()
    return table


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct the p-values of several comparisons, so that each below 0.05 may be called significant.

    The smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none becomes smaller than one
    before it, or larger than 1. Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    order = values.argsort()
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(corrected, 1)
