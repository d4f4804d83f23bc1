"""Train one model on several machines, with Ray Train: `nbhelpers train --processes` beyond one machine.

    pip install -e ".[course,scale]"             # on each machine
    ray start --head                             # on the first one
    ray start --address FIRST_MACHINE:6379       # on each other one

Then, on the first machine and in the root of the repository:

    python -m deploy.ray_train reviews.csv --text review --processes 4 -o runs/reviews

The options are those of `nbhelpers train`, and the model is the one that a single process trains, up to rounding and
dropout. All machines must see this folder, the corpus and the output under the same path, as on a shared disk, because
the checkpoints are there. When a process or a machine dies, all processes start again from the last checkpoint. When
the cluster itself dies, the same command with --resume goes on.
"""

import functools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
import typer
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from nbhelpers import classifier
from nbhelpers.classifier.training import name_of, require_new
from nbhelpers.course import own_data
from nbhelpers.course.command.own_data import print_next_commands, print_saved_report

MAX_FAILURES = 3  # how often the processes start again


def train(
    corpus: Any,
    output: str | Path | None = None,
    *,
    processes: int,
    cpus_per_process: int = 1,
    use_gpu: bool = False,
    resume: bool = False,
    **options: Any,
) -> Path:
    """Train a classifier in several processes of a cluster, which share each batch.

    Args:
        corpus, output, resume, options: as in `nbhelpers.classifier.train`.
        processes: how many train together; they are spread over the machines.
        cpus_per_process: cores for each.
        use_gpu: whether each process takes a GPU. Processes on a CPU were tested, and no GPUs.

    Returns:
        The folder.

    Raises:
        ClassifierError, CorpusError, EncoderError: as `nbhelpers.classifier.train`.
        ClassifierError: the cluster has too few cores, or the processes died too often.
    """
    folder = Path(output or Path("runs", name_of(corpus))).resolve()
    require_new(folder, checkpoints_of(folder), resume)
    cores = int(ray.cluster_resources()["CPU"])
    if not 1 <= processes * cpus_per_process <= cores:  # Ray would wait for more of them
        raise classifier.ClassifierError(f"processes={processes} with {cpus_per_process} cores each: there are {cores}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ray-") as records:
        refusal = Path(records, "refusal")
        trainer = TorchTrainer(
            functools.partial(train_share, Path.cwd(), corpus, folder, refusal, options),
            scaling_config=ScalingConfig(
                num_workers=processes,
                use_gpu=use_gpu,
                resources_per_worker={"CPU": cpus_per_process},
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(storage_path=records, failure_config=FailureConfig(max_failures=MAX_FAILURES)),
        )
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            raise classifier.ClassifierError(f"the processes died {MAX_FAILURES + 1} times; see Ray's log") from error
        if refusal.is_file():
            raise classifier.ClassifierError(refusal.read_text(encoding="utf-8"))
    return folder


def train_share(here: Path, corpus: Any, folder: Path, refusal: Path, options: dict[str, Any]) -> None:
    """What each process does. Ray has set the variables from which `classifier.train` knows its place among them."""
    if refusal.is_file() or folder.is_dir():  # of an attempt before this one
        return
    os.chdir(here)  # so that relative paths mean the same everywhere
    try:
        classifier.train(corpus, folder, resume=checkpoints_of(folder).is_dir(), **options)
    except ValueError as error:  # a wrong setting or file does not get better by trying again
        refusal.write_text(str(error), encoding="utf-8")
        raise


def checkpoints_of(folder: Path) -> Path:
    """Where `classifier.train` keeps what a stopped run needs to go on."""
    return folder.with_name(f"{folder.name}.checkpoints")


@functools.wraps(own_data.train)
def command(**given: Any) -> None:
    """The command, with the options of `nbhelpers train`."""
    options = own_data.training_options(given)
    files = {split: given[name] for split, name in (("train", "corpus"), ("dev", "dev"), ("test", "test"))}
    files = {split: file for split, file in files.items() if file}
    corpus = files if len(files) > 1 else given["corpus"]
    ray.init(address="auto")
    try:
        folder = train(corpus, given["output"], processes=given["processes"], resume=given["resume"], **options)
    except ValueError as error:
        sys.exit(own_data.as_options(str(error)))
    print_saved_report(folder, own_data.screen)
    print_next_commands(folder, own_data.screen)


if __name__ == "__main__":
    typer.run(command)
