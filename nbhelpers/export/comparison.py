"""Compare variants of a model with the original: size, speed, agreement and score."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .errors import ExportError
from .inference import Batch, LogitsFn, logits_per_example, predict
from .sizes import size_mib

MIN_AGREEMENT = 0.98  # share of labels equal to the original's; `compare` refuses a variant below it
NUM_LATENCY_EXAMPLES = 50  # enough for a median; more would only take longer
THROUGHPUT_BATCH_SIZE = 32


def compare(
    variants: Mapping[str, tuple[LogitsFn, str | Path]],
    dataloader: DataLoader[Any],
    score: Callable[[Tensor], float],
    *,
    thresholds: Sequence[float] | None = None,
    force: bool = False,
) -> pd.DataFrame:
    """Compare variants of a model: what each costs in size and time, and how far its predictions change.

    Args:
        variants: name -> (logits_fn, folder of its weights, for their size). The first one is the original, which the
            others are compared with. A logits_fn is an `OnnxModel` or `make_logits_fn(model)`; the folder of a torch
            model is where `model.save_pretrained` wrote it.
        dataloader: the dev set, in batches padded to one length, with "input_ids" and "attention_mask".
        score: a function from logits [items, classes], in the order of the data set, to a number, for instance weighted
            F1.
        thresholds: as in `agreement`.
        force: keep a variant that predicts the original's label for less than 98 % of the items, instead of refusing.

    Returns:
        A table with a row per variant and the columns "MiB" (of weights on disk), "ms per example" and "items per
        second" (see `speed`), "same labels" and "largest difference" of a probability (see `agreement`), and "score".

    Raises:
        ExportError: a variant is refused.

    >>> import tempfile
    >>> from torch.utils.data import DataLoader
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "model.onnx").write_bytes(bytes(2**20))
    1048576
    >>> rows = [{"input_ids": torch.tensor([row, 1])} for row in range(3)]
    >>> variants = {"original": (lambda batch: batch["input_ids"].float(), folder)}
    >>> variants["rounded"] = (lambda batch: batch["input_ids"] + 0.1, folder)
    >>> table = compare(variants, DataLoader(rows), lambda logits: float(logits.argmax(-1).float().mean()))
    >>> table[["MiB", "same labels"]]
              MiB  same labels
    original  1.0          1.0
    rounded   1.0          1.0
    """
    rows: dict[str, dict[str, float]] = {}
    original = next(iter(variants), "")
    reference = torch.empty(0)
    for name, (logits_fn, folder) in variants.items():
        logits = predict(logits_fn, dataloader)
        reference = reference if rows else logits
        agreed = agreement(reference, logits, thresholds)
        if agreed["labels"] < MIN_AGREEMENT and not force:
            raise ExportError(
                f"{name} agrees with {original} on {agreed['labels']:.1%} of {len(logits)} labels, less than "
                f"{MIN_AGREEMENT:.0%} (scores: {score(logits):.3f}, {rows[original]['score']:.3f}); do not use it, or "
                "pass force=True"
            )
        rows[name] = {
            "MiB": size_mib(folder),
            **speed(logits_fn, dataloader),
            "same labels": agreed["labels"],
            "largest difference": agreed["probability"],
            "score": score(logits),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def agreement(reference_logits: Any, logits: Any, thresholds: Sequence[float] | None = None) -> dict[str, float]:
    """Measure how far two models agree on the same items.

    Args:
        reference_logits, logits: [items, classes]; tensors, arrays or lists.
        thresholds: [classes], for models that give an item any number of labels: the smallest probability with which
            each label is given. The probabilities are then those of a sigmoid, and not of a softmax.

    Returns:
        "labels", the share of items with the same predicted label, or with exactly the same labels, and "probability",
        the largest difference between two probabilities of the same class.

    Raises:
        ValueError: the shapes differ or are not [items, classes], there is no item, or a logit is infinite or NaN.

    >>> agreed = agreement([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]])
    >>> agreed["labels"], round(agreed["probability"], 3)
    (0.5, 0.462)
    >>> agreement([[2.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], thresholds=[0.4, 0.6])["labels"]
    0.0
    """
    # in fp64, so that the difference of two probabilities is not itself a rounding error
    reference, other = (torch.as_tensor(values, dtype=torch.float64) for values in (reference_logits, logits))
    if reference.shape != other.shape or reference.ndim != 2 or len(reference) == 0:
        raise ValueError(
            f"logits of shape {list(reference.shape)} and {list(other.shape)}; both must be [items, classes]"
        )
    if not (reference.isfinite().all() and other.isfinite().all()):
        raise ValueError("some logits are not finite; the model that computed them does not work")
    if thresholds is None:
        same_labels = reference.argmax(-1) == other.argmax(-1)
        difference = reference.softmax(-1) - other.softmax(-1)
    else:
        smallest = torch.as_tensor(thresholds, dtype=torch.float64)
        same_labels = ((reference.sigmoid() >= smallest) == (other.sigmoid() >= smallest)).all(-1)
        difference = reference.sigmoid() - other.sigmoid()
    return {"labels": same_labels.double().mean().item(), "probability": difference.abs().max().item()}


def speed(logits_fn: LogitsFn, dataloader: DataLoader[Any], *, num_examples: int = 256) -> dict[str, float]:
    """Measure the speed of a model on this machine as it is now. Compare only what was measured side by side.

    Args:
        logits_fn: an `OnnxModel`, or `make_logits_fn(model)`.
        dataloader: its data set and its `collate_fn` are used, not its batches.
        num_examples: how many examples of the data set to use; for the latency, at most 50 of them.

    Returns:
        "ms per example", the median time of one example alone, and "items per second" in batches of 32 examples of
        similar length. Items are texts or, for a dialogue model, turns.
    """
    dataset = dataloader.dataset
    examples = [dataset[index] for index in range(min(num_examples, len(dataset)))]  # type: ignore[arg-type]
    single = [dataloader.collate_fn([example]) for example in examples[:NUM_LATENCY_EXAMPLES]]
    # sorted, because batches of mixed lengths would measure the padding more than the model
    examples.sort(key=lambda example: len(example["input_ids"]))
    starts = range(0, len(examples), THROUGHPUT_BATCH_SIZE)
    batches = [dataloader.collate_fn(examples[start : start + THROUGHPUT_BATCH_SIZE]) for start in starts]

    def seconds(batch: Batch) -> float:
        start = time.perf_counter()
        logits_per_example(logits_fn, batch)
        return time.perf_counter() - start

    # a first pass is not timed: in it, torch and onnxruntime allocate their memory
    num_items = sum(len(logits) for batch in batches for logits in logits_per_example(logits_fn, batch))
    passes = [sum(map(seconds, batches)) for _ in range(3)]
    return {
        "ms per example": 1000 * statistics.median(map(seconds, single)),
        "items per second": num_items / statistics.median(passes),
    }
