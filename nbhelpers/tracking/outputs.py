"""Where rows go. Each function opens one kind of output for a run, and returns how to write to it and to close it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

Write = Callable[[Mapping[str, float], int], None]  # the numbers of a row, and the step they belong to
Close = Callable[[bool], None]  # whether the run ended without an exception


def open_jsonl(file: Path, facts: Mapping[str, Any], project: str, uri: str | None) -> tuple[Write, Close]:
    """Append JSON lines to the file of the run. It is closed after each, so a kill loses none."""

    def append(line: Mapping[str, Any]) -> None:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")

    append(facts)
    return (lambda numbers, step: append({"step": step, **numbers})), (
        lambda succeeded: append({"succeeded": succeeded})
    )


def open_mlflow(file: Path, facts: Mapping[str, Any], project: str, uri: str | None) -> tuple[Write, Close]:
    """Start a run in MLflow: the configuration becomes its parameters, the other facts its tags.

    MLflow would try for about four minutes to reach a server that is down. Here it tries once, for five seconds, unless
    MLflow's own variables in the environment say otherwise. Its usage statistics are turned off in the same way.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(uri or f"sqlite:///{file.resolve().with_name('mlflow.db')}")
    # Without the lock, two runs that start together could both create the tables or the experiment.
    with FileLock(file.with_name("mlflow.lock")):
        experiment = client.get_experiment_by_name(project)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(project)
    tags = flatten({"environment": facts["environment"], "data": facts["data"]}, max_length=5000)
    tags["mlflow.source.git.commit"] = str(facts["commit"])  # the tag that MLflow's page shows as the version
    run_id = client.create_run(experiment_id, run_name=file.stem, tags=tags).info.run_id
    params = [Param(name, value) for name, value in flatten(facts["config"], max_length=6000).items()]
    for start in range(0, len(params), 100):  # more are refused
        client.log_batch(run_id, params=params[start : start + 100])

    def write(numbers: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in numbers.items()])

    return write, lambda succeeded: client.set_terminated(run_id, "FINISHED" if succeeded else "FAILED")


def flatten(facts: Mapping[str, Any], max_length: int, prefix: str = "") -> dict[str, str]:
    """Make one level of texts of nested dicts, with names that MLflow accepts.

    >>> flatten({"lr": 1e-4, "data": {"train (1).csv": "5d41"}}, max_length=5000)
    {'lr': '0.0001', 'data/train _1_.csv': '5d41'}
    """
    texts: dict[str, str] = {}
    for name, value in facts.items():
        path = prefix + re.sub(r"[^\w\-. /]", "_", str(name), flags=re.ASCII)
        if isinstance(value, Mapping):
            texts |= flatten(value, max_length, f"{path}/")
        else:
            texts[path[-250:]] = str(value)[:max_length]
    return texts


def open_tensorboard(file: Path, facts: Mapping[str, Any], project: str, uri: str | None) -> tuple[Write, Close]:
    """Write event files to the folder "tensorboard" beside the file; TensorBoard shows the facts under "Text"."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(file.with_name("tensorboard") / file.stem))
    writer.add_text("facts", f"```\n{json.dumps(facts, indent=1, default=str)}\n```")

    def write(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    return write, lambda succeeded: writer.close()


def open_wandb(file: Path, facts: Mapping[str, Any], project: str, uri: str | None) -> tuple[Write, Close]:
    """Write to a W&B run in the folder "wandb" beside the file, without its server; `wandb sync` uploads it later."""
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    run = wandb.init(
        project=project, name=file.stem, dir=str(file.parent), config=dict(facts), mode="offline", settings=settings
    )
    return (lambda numbers, step: run.log(dict(numbers), step=step)), (lambda succeeded: run.finish(int(not succeeded)))


OPENERS = {"jsonl": open_jsonl, "mlflow": open_mlflow, "tensorboard": open_tensorboard, "wandb": open_wandb}
