"""Search: choose hyperparameters with Optuna, and find out whether the best trial is better or only lucky.

How to use it: copy this folder into your project (it needs filelock, optuna, pandas and scipy). Write one function that
trains with a configuration and returns the score on dev; higher is better. If it calls `report(epoch, score)` after
each epoch, a pruner can stop it:

>>> def train_and_score(config, report):
...     for epoch in (1, 2, 3):
...         score = 0.8 - (5 + config["seed"]) * abs(config["lr"] - 0.003)  # in your project: train an epoch
...         report(epoch, score)
...     return score
>>> trials = search(train_and_score, {"lr": (1e-4, 1e-2, "log"), "batch_size": [16, 32]}, num_trials=12)
>>> len(trials), int(trials["epochs"].sum())
(12, 36)

The highest of many scores is partly luck. For 20 configurations that are equally good, the best score is 1.87 standard
deviations above what it will be the next time:

>>> round(winners_curse(20), 2)
1.87

So train the default and the best configuration again, with seeds that the search has not used:

>>> best = trials.nlargest(1, "score")["config"].iloc[0]
>>> table = confirm(train_and_score, {"default": {"lr": 0.01, "batch_size": 16}, "best": best}, seeds=[1, 2, 3])
>>> bool(table.loc["best", "difference"] > 0)
True

Then choose, and read the test set once. With `training.fit`, the reports come from its history:
`log=lambda row: report(row["epoch"], row["dev_score"]) if "dev_score" in row else None`.

The files: `trials` has `search`, which runs the trials and survives a kill; `space` turns a dict into what Optuna
needs; `luck` has `confirm`, `holm` and `winners_curse`.
"""

from .luck import confirm, holm, winners_curse
from .space import SearchError
from .trials import search

__all__ = ["SearchError", "confirm", "holm", "search", "winners_curse"]
