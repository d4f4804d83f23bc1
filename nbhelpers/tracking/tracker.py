"""`Tracker`, which records a run without ever stopping it, and `send`, which passes a recorded run on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import transformers

from .facts import describe
from .outputs import OPENERS, Close, Write


class Tracker(transformers.TrainerCallback):
    """Record a run: pass it as `log` to a training loop, or among the callbacks to transformers' Trainer.

    While the run lasts, no error of a tracker reaches the training. It becomes one warning, and only the file gets the
    rows that follow.

    Args:
        name: The name of the run. If `folder` contains a run of this name, a number is added.
        tracker: "jsonl" (only the file), "mlflow", "tensorboard" or "wandb".
        folder: Where the file goes, and what a tracker stores on this machine.
        config: The settings of the run.
        data_files: The files that it reads; their SHA-256 digests are recorded.
        project: The experiment in MLflow, or the project in W&B.
        uri: The address of an MLflow server ("http://...") or database. None is an SQLite file in `folder`; MLflow 3
            no longer writes to folders such as ./mlruns.
        every: Of the rows that `fit` writes for each update, the tracker gets one in so many; the file gets all. With
            Trainer, its `logging_steps` decide. There, set report_to="none", or it writes to trackers by itself.

    Raises:
        ValueError: The tracker is unknown or not installed, a data file does not exist, or the database or folder of
            the tracker cannot be opened. (A server that does not answer is only a warning.)

    >>> Tracker("baseline", "notebook")
    Traceback (most recent call last):
    ValueError: tracker='notebook' is unknown; use one of jsonl, mlflow, tensorboard, wandb
    """

    def __init__(
        self,
        name: str,
        tracker: str = "jsonl",
        *,
        folder: str | Path = "runs",
        config: Mapping[str, Any] | None = None,
        data_files: Sequence[str | Path] = (),
        project: str = "nbhelpers",
        uri: str | None = None,
        every: int = 10,
    ) -> None:
        check_tracker(tracker)
        facts = describe(config or {}, data_files)
        self.every, self.step = every, 0
        self.file = new_file(Path(folder), name)
        self.outputs = {"jsonl": OPENERS["jsonl"](self.file, facts, project, uri)}
        if tracker != "jsonl":
            try:
                self.outputs[tracker] = OPENERS[tracker](self.file, facts, project, uri)
            except ImportError as error:
                raise ValueError(f"{tracker} is not installed ({error}); install it, or use 'jsonl'") from error
            except Exception as error:
                if not (uri or "").startswith("http"):  # a mistake that is better corrected before the training
                    raise ValueError(f"{tracker} cannot store runs in {uri or folder}: {summary(error)}") from error
                self.give_up(tracker, error)

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Record the numbers of a row. If it has no "step", as with scores after training, they belong to the last."""
        self.step = int(row.get("step", self.step))
        numbers = {}
        for name, value in row.items():
            with suppress(TypeError, ValueError, RuntimeError):  # a text or an array
                numbers[name] = float(value)
        numbers.pop("step", None)
        for output in list(self.outputs):
            if output == "jsonl" or "train_loss" not in row or self.step % self.every == 0:
                self.use(output, lambda write, close: write(numbers, self.step))

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **others: Any) -> None:
        """Record a row of transformers' Trainer."""
        if state.is_world_process_zero:  # only one of several processes
            self({**logs, "step": state.global_step})

    def close(self, succeeded: bool = True) -> None:
        """End the run. `with` does this, and marks a run that raised an exception as failed."""
        for output in list(self.outputs):
            self.use(output, lambda write, close: close(succeeded))
        self.outputs = {}

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *others: object) -> None:
        self.close(succeeded=error_type is None)

    def use(self, output: str, action: Callable[[Write, Close], None]) -> None:
        """Write to an output or close it. If that fails, do without it from now on."""
        try:
            action(*self.outputs[output])
        except Exception as error:
            self.give_up(output, error)

    def give_up(self, output: str, error: Exception) -> None:
        """Forget an output, with a warning."""
        self.outputs.pop(output, None)
        rest = f"goes on, and its rows are in {self.file}" if self.outputs else "goes on, but is no longer recorded"
        warnings.warn(f"{output} failed ({summary(error)}); the training {rest}", stacklevel=4)


def send(file: str | Path, tracker: str, *, project: str = "nbhelpers", uri: str | None = None) -> None:
    """Send the run in a file of `Tracker` to a tracker, for instance when its server is back.

    Args:
        file: The file of JSON lines.
        tracker, project, uri: As for `Tracker`. Here errors of the tracker are raised.
    """
    check_tracker(tracker)
    facts, *rows = map(json.loads, Path(file).read_text(encoding="utf-8").splitlines())
    write, close = OPENERS[tracker](Path(file), facts, project, uri)
    for row in rows:
        if "step" in row:
            write({name: number for name, number in row.items() if name != "step"}, row["step"])
    close(bool(rows) and rows[-1].get("succeeded", False))


def check_tracker(tracker: str) -> None:
    """Raise ValueError if there is no such tracker."""
    if tracker not in OPENERS:
        raise ValueError(f"tracker={tracker!r} is unknown; use one of {', '.join(OPENERS)}")


def new_file(folder: Path, name: str) -> Path:
    """Create an empty file for a run."""
    folder.mkdir(parents=True, exist_ok=True)
    file, number = folder / f"{name}.jsonl", 1
    while True:
        try:
            file.touch(exist_ok=False)  # two processes cannot both succeed
            return file
        except FileExistsError:
            number += 1
            file = folder / f"{name}-{number}.jsonl"


def summary(error: Exception) -> str:
    """Return the type of an error and the beginning of its message; some are pages long."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:400]}"
