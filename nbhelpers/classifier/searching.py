"""Look for better learning rates on dev, and keep the default unless fresh seeds show that they are better."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nbhelpers import environment, training

from .data import Task, one_hot
from .errors import ClassifierError
from .fitting import fit, load_model, make_dataloader
from .scoring import scores_on
from .settings import Settings

NUM_SEEDS = 5  # with which the default and the winner are trained again
FRESH_SEED = 1000  # the first of them, far from those of the search


def better_settings(
    task: Task,
    settings: Settings,
    remembered: Mapping[str, Any],
    folder: Path,
    log: Callable[[str], None],
    num_parts: int = 1,
) -> Settings:
    """The winner of a search, or the settings as they are if it is not shown to be better.

    The best of many trials is partly lucky. So it is trained again with `NUM_SEEDS` fresh seeds, and so is the default.
    The winner is used if the 95 % interval of the difference of their dev scores is above zero.

    Args:
        task: the data.
        settings: complete ones. "search" is the number of trials.
        remembered: what the model remembers of its corpus.
        folder: that of the run. The trials are kept there, so a search that was killed goes on.
        log: called with what the search does and finds.
        num_parts: into how many parts each batch is cut.

    Raises:
        ClassifierError: Optuna is not installed.
    """
    try:
        from nbhelpers import search
    except ModuleNotFoundError as error:
        raise ClassifierError(f"search needs {error.name}; run pip install optuna, or leave it out") from error
    default = {name: getattr(settings, name) for name in ("lr", "head_lr", "batch_size")}
    space: dict[str, Any] = {
        name: (rate / 5, rate * 5, "log") for name, rate in default.items() if name != "batch_size"
    }
    space["batch_size"] = sorted({max(1, default["batch_size"] // 2), default["batch_size"], 2 * default["batch_size"]})
    log(
        f"search: {settings.search} trainings, then {2 * NUM_SEEDS} to compare the best of them with the default, and "
        "the last one"
    )

    def train_and_score(config: dict[str, Any], report: Any) -> float:
        return dev_score(task, replace(settings, **config), remembered, folder, num_parts)

    try:
        seed = settings.seed
        trials = search.search(train_and_score, space, settings.search, seed=seed, storage=folder / "search.db")
        best = trials.nlargest(1, "score").iloc[0]
        winner = {name: best["config"][name] for name in default}
        seeds = range(FRESH_SEED, FRESH_SEED + NUM_SEEDS)
        storage = folder / "confirm.db"
        table = search.confirm(train_and_score, {"default": default, "best": winner}, seeds, storage=storage)
    except search.SearchError as error:
        log(f"search: {error}; the default is kept")
        return settings
    percent: dict[str, float] = {"trial": 100 * float(best["score"])}
    percent |= {name: 100 * float(table["mean"][name]) for name in ("default", "best")}
    percent |= {name: 100 * float(table[name]["best"]) for name in ("difference", "low", "high")}
    is_better = percent["low"] > 0
    log(
        f"search: the best trial has a weighted F1 of {percent['trial']:.1f} % on dev with "
        f"{', '.join(f'{name}={value:.3g}' for name, value in winner.items())}. With {NUM_SEEDS} fresh seeds it has "
        f"{percent['best']:.1f} %, the default {percent['default']:.1f} %; difference {percent['difference']:+.1f} "
        f"points, 95 % interval {percent['low']:+.1f} to {percent['high']:+.1f}. "
        + ("Its settings are used" if is_better else "The default is kept")
    )
    return replace(settings, **winner) if is_better else settings


def dev_score(task: Task, settings: Settings, remembered: Mapping[str, Any], folder: Path, num_parts: int) -> float:
    """Train with these settings, and return the weighted F1 on dev of the best epoch."""
    name = hashlib.sha256(json.dumps(vars(settings), sort_keys=True).encode()).hexdigest()[:12]
    checkpoints = folder / f"trial-{name}"
    environment.set_seed(settings.seed)
    tokenizer, model = load_model(task, settings, remembered)
    model = fit(model, tokenizer, task, settings, checkpoints, lambda step: None, num_parts)
    shutil.rmtree(checkpoints)
    dataloader = make_dataloader(task.splits["dev"], tokenizer, model.config.settings, task, settings)
    precision, _ = environment.best_precision(environment.best_device())
    labels: Any = task.splits["dev"].labels
    labels = one_hot(labels, len(task.names)) if task.several else np.array(labels)
    return scores_on(training.predict(model, dataloader, precision=precision).numpy(), labels, task)["weighted_f1"]
