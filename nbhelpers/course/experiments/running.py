"""One run of a results table: a configuration and a seed go in, a row of measured scores and costs comes out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
import torch

from nbhelpers import imbalance, metrics
from nbhelpers.course.provenance import commit

from .augmenting import training_rows
from .baselines import Splits, majority, tf_idf
from .data import read_for
from .fine_tuning import fine_tuning
from .perturbing import PREFIX
from .tasks import run_task

METHODS = {"majority": majority, "tf-idf": tf_idf, "fine-tuning": fine_tuning}


class Outcome(NamedTuple):
    """What one training gives: probabilities [items, classes] of dev and test, costs, and the commit of the code.

    There can be perturbed versions of test as well, such as "test, typos".
    """

    probabilities: dict[str, np.ndarray]
    costs: dict[str, float]
    commit: str
    scores: dict[str, Any] | None = None  # what a task measured, which then has no probabilities


def run(config: Mapping[str, Any], seed: int, threads: int = 0) -> Outcome:
    """Train on train, choose on dev, and read test once.

    Args:
        config: a row of a results table, but not an average.
        seed: of the training.
        threads: CPU threads to compute with; 0 leaves torch's own number.
    """
    commit_at_start = commit()  # not at the end, because files may be edited while a long run is going on
    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    if config["method"] == "task":
        scores = run_task(config, seed)
        costs = {"seconds": time.perf_counter() - start, "peak_gib": peak_bytes() / 2**30}
        return Outcome({}, {**costs, "threads": torch.get_num_threads()}, commit_at_start, scores)
    data, names = read_for(config)
    data = {**data, "train": training_rows(data["train"], config, seed)}
    start = time.perf_counter()
    probabilities, costs = METHODS[config["method"]](data, names, config, seed)
    costs |= {"seconds": time.perf_counter() - start, "peak_gib": peak_bytes() / 2**30}
    return Outcome(probabilities, {**costs, "threads": torch.get_num_threads()}, commit_at_start)


def score_run(config: Mapping[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The row of a run: scores of the mean of its trainings' probabilities, and the sum of their costs.

    Args:
        config: a row of a results table.
        outcomes: one, or that of each member of an average.

    Returns:
        Scores on dev, test and perturbed versions of test; F1 per class, the test predictions (a list of class ids),
        calibration, seconds, peak memory (of the GPU where there is one, else of the process) and threads. After
        training also its seconds alone, tokens per second, trainable parameters, and bytes on disk.
    """
    first = outcomes[0]
    if first.scores is not None:
        spent = {name: round(first.costs[name], 2) for name in ("seconds", "peak_gib")}
        return {**first.scores, **spent, "threads": int(first.costs["threads"]), "commit": first.commit}
    data, names = read_for(config)
    splits = first.probabilities
    means = {x: np.mean([outcome.probabilities[x] for outcome in outcomes], axis=0) for x in splits}
    predictions = {split: mean.argmax(-1) for split, mean in means.items()}
    if config["method"] == "decision":
        predictions = moved(config["by"], means, data, len(names))
    costs = pd.DataFrame([outcome.costs for outcome in outcomes])
    row = {
        **{x: metrics.scores(data[x].labels, predictions[x], len(names)) for x in ("dev", "test")},
        "calibration": calibration(means, data),
        "per_class": metrics.per_class(data["test"].labels, predictions["test"], names)["f1"].round(4).to_dict(),
        "predictions": predictions["test"].tolist(),
        "seconds": round(costs["seconds"].sum(), 1),
        "peak_gib": round(costs["peak_gib"].max(), 2),
        "threads": int(costs["threads"].max()),
        # Members of an average can have been trained at different commits.
        "commit": ", ".join(dict.fromkeys(outcome.commit for outcome in outcomes)),
    }
    perturbed = {split.removeprefix(PREFIX): x for split, x in predictions.items() if split.startswith(PREFIX)}
    if perturbed:
        gold = data["test"].labels  # a search reads the first texts only
        row["perturbed"] = {name: metrics.scores(gold[: len(x)], x, len(names)) for name, x in perturbed.items()}
    if "tokens" in costs:
        row["training_seconds"] = round(costs["training_seconds"].sum(), 1)
        row["tokens_per_second"] = round(costs["tokens"].sum() / costs["training_seconds"].sum())
        counted = ("trainable_parameters", "trainable_without_head", "saved_bytes")
        row |= {name: int(costs[name].sum()) for name in counted}
    if "milliseconds" in costs:
        row["milliseconds"] = round(costs["milliseconds"].sum(), 1)
    return row


def moved(by: str, probabilities: Mapping[str, np.ndarray], data: Splits, num_classes: int) -> dict[str, np.ndarray]:
    """Predictions after a decision rule that was chosen on dev.

    Args:
        by: "tau" (the prior, times a number chosen on dev) or "offsets" (an offset for each class).
        probabilities: split -> [items, classes].
        data: the splits.
        num_classes: how many there are.
    """
    logits = {split: torch.from_numpy(values).clamp(min=1e-12).log() for split, values in probabilities.items()}
    dev_labels = torch.tensor(data["dev"].labels)
    if by == "tau":
        counts = imbalance.count_labels(data["train"].labels, num_classes)
        tau = imbalance.choose_tau(logits["dev"], dev_labels, counts)
        offsets = -tau * imbalance.log_prior(counts)
    else:
        offsets = imbalance.tune_offsets(logits["dev"], dev_labels)
    return {split: (values + offsets).argmax(-1).numpy() for split, values in logits.items()}


def calibration(probabilities: Mapping[str, np.ndarray], data: Splits) -> dict[str, float]:
    """The expected calibration error on test, before and after a temperature that was fitted on dev."""
    logits = {split: np.log(np.clip(values, 1e-12, None)) for split, values in probabilities.items()}
    temperature = metrics.fit_temperature(logits["dev"], data["dev"].labels)
    scaled = torch.from_numpy(logits["test"] / temperature).softmax(-1).numpy()
    errors = (metrics.expected_calibration_error(data["test"].labels, x) for x in (probabilities["test"], scaled))
    return dict(zip(("error", "error after temperature scaling"), (round(error, 4) for error in errors), strict=True))


def peak_bytes() -> int:
    """Peak memory of this process: on the GPU if there is one, else its resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # On Linux, getrusage starts with the peak of the program that started this one; the file does not.
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    try:
        import resource
    except ImportError:  # Windows does not have this module
        memory: Any = psutil.Process().memory_info()
        return memory.peak_wset
    # macOS counts in bytes, other systems in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if psutil.MACOS else 1024)
