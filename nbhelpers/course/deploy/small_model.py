"""The course's example model: trained at the first call, kept in runs/ for the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nbhelpers import encoders
from nbhelpers.classifier.errors import FolderExistsError
from nbhelpers.classifier.folders import new_folder
from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError


def small_model(progress: Callable[[float], None] = lambda share: None, num_dialogues: int = 0) -> Path:
    """The folder of a small model that classifies the turns of the written dialogues.

    It is the row "past and future" of the results table "dialogues", with half the epochs.

    Args:
        progress: called with the share of the training that is done, 0 to 1.
        num_dialogues: train on the first so many dialogues of each split; 0 takes all.
    """
    folder = paths.RUNS / (f"small_model_{num_dialogues}" if num_dialogues else "small_model")

    def make() -> None:
        from nbhelpers.course import results  # imported here, so that a service with a model of its own starts quickly

        row = results.table_rows("dialogues")["past and future"]
        train({**row, "single_turns_first": 1, "num_epochs": 3}, folder, progress, num_dialogues)

    return make_once(folder, make)


def train(
    config: Mapping[str, Any],
    folder: Path,
    progress: Callable[[float], None] = lambda share: None,
    num_dialogues: int = 0,
) -> None:
    """Train what a row of a results table describes, and save it with its tokenizer, settings and scores.

    Args:
        config: the row's configuration.
        folder: where to save; it must not exist yet.
        progress, num_dialogues: as in `small_model`.

    Raises:
        CourseError: the row has an adapter or a second task.
        ClassifierError: the folder exists or cannot be made.
    """
    from nbhelpers import metrics, training
    from nbhelpers.course import experiments

    if "sentiment" in config or "tuning" in config:
        raise CourseError(
            "a row with an adapter, or with sentiment as a second task, cannot be deployed; choose another row"
        )
    data, names = experiments.read(config["corpus"])
    if num_dialogues:
        data = {split: experiments.first_dialogues(part, num_dialogues) for split, part in data.items()}
    num_epochs = config.get("single_turns_first", 0) + config["num_epochs"]
    with new_folder(folder) as new:  # before the training, which takes minutes and would be lost without a folder
        trained = experiments.train(data, names, config, seed=0, log=share_of_epochs(num_epochs, progress))
        temperature = metrics.fit_temperature(trained.logits("dev"), data["dev"].labels)
        training.scale_logits(trained.model, temperature)
        scores = {"temperature": temperature}
        for split in ("dev", "test"):
            labels, logits = data[split].labels, trained.logits(split)
            scores[f"{split} weighted F1"] = metrics.scores(labels, logits.argmax(-1), len(names))["weighted_f1"]
            scores[f"{split} calibration error"] = metrics.expected_calibration_error(labels, logits.softmax(-1))
        model = trained.model.float().cpu()
        model.config.scores = scores  # transformers saves every attribute of the configuration
        with encoders.quiet():
            model.save_pretrained(new)
            trained.tokenizer.save_pretrained(new)


def share_of_epochs(num_epochs: int, progress: Callable[[float], None]) -> Callable[[dict[str, float]], None]:
    """A `log` for training that tells which share of the epochs is done.

    Args:
        num_epochs: those of all phases together. Each phase counts its epochs from 0.
        progress: called with the share after each update.
    """
    epochs_done = last = 0.0

    def log(row: dict[str, float]) -> None:
        nonlocal epochs_done, last
        if "lr" in row:  # an update; the other rows are evaluations
            # A smaller number than before: a new phase has begun, and `last` belongs to the one before it.
            epochs_done += row["epoch"] - (last if row["epoch"] > last else 0)
            last = row["epoch"]
            progress(epochs_done / num_epochs)

    return log


def make_once(folder: Path, make: Callable[[], object]) -> Path:
    """The folder, made by `make` unless it exists. Where another program makes the same one, the first one stays.

    Args:
        folder: where it is.
        make: writes it, by `new_folder`.
    """
    if folder.is_dir():
        return folder
    try:
        make()
    except FolderExistsError:
        if not folder.is_dir():
            raise
    return folder
