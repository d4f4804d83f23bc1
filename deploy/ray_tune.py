"""A search on several machines, with Ray Tune: the function and the space are those of `nbhelpers.search`.

    pip install -e ".[scale]"                    # on each machine
    ray start --head                             # on the first one
    ray start --address FIRST_MACHINE:6379       # on each other one

Then, on the first machine and in the root of the repository:

    import ray
    from deploy.ray_tune import search

    ray.init(address="auto")
    trials = search(train_and_score, {"lr": (1e-5, 1e-3, "log"), "batch_size": [16, 32]}, num_trials=20)

Each trial runs in a process of its own on whichever machine is free. It needs the same packages and the same data
there, at the same path or on a shared disk. When a process or a machine dies, its trial starts again elsewhere. Confirm
the winner with fresh seeds on one machine (`nbhelpers.search`).
"""

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution
from ray import tune

from nbhelpers.search.space import SearchError, make_distributions

MAX_FAILURES = 3  # how often a trial starts again


def search(
    train_and_score: Callable[[dict[str, Any], Callable[[int, float], None]], float],
    space: Mapping[str, Any],
    num_trials: int,
    *,
    min_epochs: int | None = None,
    cpus_per_trial: int = 1,
    gpus_per_trial: float = 0,
    seed: int = 0,
    folder: str | Path | None = None,
) -> pd.DataFrame:
    """Train with random configurations of a space, as many at a time as the machines have room for.

    Args:
        train_and_score, space, num_trials, seed: as in `nbhelpers.search.search`, with random draws.
        min_epochs: stop hopeless trials by successive halving, but none before this epoch. None stops no trial.
        cpus_per_trial, gpus_per_trial: what each trial takes.
        folder: where Ray writes its records; on several machines, one that all of them see. By default a new one.

    Returns:
        A row per trial: "config", "score" (NaN if it failed), "epochs" and "error".

    Raises:
        SearchError: the space has no valid point, or all trials failed.
    """
    ranges = {name: to_ray(distribution) for name, distribution in make_distributions(space).items()}

    def trainable(config: dict[str, Any]) -> None:
        epochs = 0

        def report(epoch: int, score: float) -> None:
            nonlocal epochs
            epochs = epoch
            tune.report({"score": score, "epoch": epoch})

        try:
            score, error = float(train_and_score({**config, "seed": seed}, report)), None
        except Exception as fault:  # it would come again, so only a trial whose process dies is started again
            score, error = math.nan, repr(fault)
        # Ray keeps the last report of a trial, and the score that counts may be that of an earlier epoch.
        tune.report({"score": score, "epoch": epochs, "error": error})

    scheduler = tune.schedulers.ASHAScheduler(time_attr="epoch", grace_period=min_epochs) if min_epochs else None
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": cpus_per_trial, "gpu": gpus_per_trial}),
        param_space=ranges,
        tune_config=tune.TuneConfig(
            metric="score", mode="max", num_samples=num_trials, scheduler=scheduler,
            search_alg=tune.search.BasicVariantGenerator(random_state=seed),
        ),
        run_config=tune.RunConfig(
            storage_path=str(Path(folder or tempfile.mkdtemp()).resolve()), verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
        ),
    )  # fmt: skip
    rows = [
        {
            "config": {**result.config, "seed": seed},
            "score": math.nan if result.error else result.metrics["score"],
            "epochs": (result.metrics or {}).get("epoch", 0),
            "error": str(result.error) if result.error else result.metrics.get("error"),
        }
        for result in tuner.fit()
    ]
    if all(row["error"] for row in rows):
        raise SearchError(f"all {len(rows)} trials failed, the last one with {rows[-1]['error']}")
    return pd.DataFrame(rows)


def to_ray(distribution: BaseDistribution) -> Any:
    """What Ray Tune calls a range or a list of choices of Optuna."""
    if isinstance(distribution, CategoricalDistribution):
        return tune.choice(list(distribution.choices))
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    log = distribution.log  # type: ignore[attr-defined]
    if isinstance(low, int):
        return (tune.lograndint if log else tune.randint)(low, high + 1)
    return (tune.loguniform if log else tune.uniform)(low, high)
