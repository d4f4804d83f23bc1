"""Students and their teachers, as a row of a results table asks for: "layers" and "teachers"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from nbhelpers import distillation
from nbhelpers.course import paths
from nbhelpers.course.provenance import commit

from .baselines import Splits

TRAIN = "train, to be predicted"  # the training texts as a split that is evaluated


def teacher_logits(data: Splits, config: Mapping[str, Any], seed: int, train: Callable[..., Any]) -> torch.Tensor:
    """The logits [training rows, classes] of the teachers of a run, averaged as probabilities.

    They are kept in runs/teachers, because several students have the same teacher.

    Args:
        data: the splits.
        config: its "teachers" are changes of the configuration: {} is the same model as the student's, but whole.
            One with "seed" is the same in every run, whatever the seed of its student is.
        seed: that of the run.
        train: `train(data, config, seed)` trains a model as `fine_tuning.train` does.
    """
    shared = {name: value for name, value in config.items() if name not in ("teachers", "distillation", "layers")}
    found = []
    for changes in config["teachers"]:
        teacher = shared | changes
        own_seed = teacher.pop("seed", seed)
        key = json.dumps([teacher, own_seed, commit()], sort_keys=True)
        path = paths.RUNS / "teachers" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):  # runs side by side wait for the one that trains their teacher
            if not path.exists():
                trained = train({**data, TRAIN: data["train"]}, teacher, own_seed)
                save_file({"logits": trained.logits(TRAIN)}, path)
        found.append(load_file(path)["logits"])
    return distillation.average_logits(found)
