"""`nbhelpers bench train`: training steps in the ways that people take, and in this package's own."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils.data import DataLoader

from nbhelpers import batching, encoders, environment, objectives, training

from .ceiling import products_of, seconds_of
from .comparing import OURS, Comparison, Way, take_turns
from .meter import Meter
from .profiling import profile
from .sample import MAX_LENGTH, Sample

BATCH_SIZE = 32
COMMON = f"stock Trainer, padded to {MAX_LENGTH}, fp32"
PROFILED_STEPS = 8


def stock_trainer(sample: Sample, *, precision: str, padding: str | bool = True, grouped: bool = False) -> float:
    """Texts per second of transformers' Trainer with its defaults, on the architecture's own head."""
    model = sample.load_model("cls")
    meter = Meter(model)
    examples = [{**example, "length": len(example["input_ids"])} for example in sample.examples]  # to group by
    with tempfile.TemporaryDirectory() as folder:
        args = transformers.TrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            save_strategy="no",
            use_cpu=not torch.cuda.is_available(),
            train_sampling_strategy="group_by_length" if grouped else "random",
            length_column_name="length",
        )
        collator = transformers.DataCollatorWithPadding(
            sample.tokenizer, padding, MAX_LENGTH if padding == "max_length" else None
        )
        trainer = transformers.Trainer(model, args, collator, examples)
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return meter.texts_per_second(sample.mean_tokens)


def plain_loop(sample: Sample) -> float:
    """Texts per second of the loop that PyTorch's tutorials teach, in fp32 with dynamic padding."""
    device = environment.best_device()
    model = sample.load_model("cls").to(device).train()
    meter = Meter(model)
    collator = transformers.DataCollatorWithPadding(sample.tokenizer)
    dataloader: Any = DataLoader(sample.examples, batch_size=BATCH_SIZE, shuffle=True, collate_fn=collator)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    scheduler = transformers.get_scheduler("linear", optimizer, 0, len(dataloader))
    for batch in dataloader:
        loss = model(**training.to_device(batch, device)).loss
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return meter.texts_per_second(sample.mean_tokens)


def prepare(sample: Sample, precision: str) -> tuple[Any, Any, Any]:
    """The model, the DataLoader and the optimizer of this package's ways."""
    device = environment.best_device()
    model = sample.load_model("mean")
    encoders.use_fast_layers(model, device, precision)
    dataloader = batching.make_dataloader(sample.examples, sample.tokenizer.pad_token_id, batch_size=BATCH_SIZE)
    return model.to(device), dataloader, training.make_optimizer(model, 1e-4)


def our_trainer(sample: Sample, *, precision: str) -> float:
    """Texts per second of this package's Trainer."""
    model, dataloader, optimizer = prepare(sample, precision)
    meter = Meter(model)
    with tempfile.TemporaryDirectory() as folder:
        args = training.make_training_arguments(
            folder, num_epochs=1, precision=precision, metric_for_best_model=None, logging_strategy="no"
        )
        training.Trainer(model, args, objectives.cross_entropy, dataloader, optimizer=optimizer).train()
    return meter.texts_per_second(sample.mean_tokens)


def prepare_loop(sample: Sample, precision: str) -> tuple[Any, Callable[[], object]]:
    """A model, and a function that trains it for an epoch with this package's loop."""
    model, dataloader, optimizer = prepare(sample, precision)
    scheduler = training.make_scheduler(optimizer, len(dataloader))
    arguments = (model, dataloader, objectives.cross_entropy, optimizer, scheduler)
    return model, partial(training.fit, *arguments, num_epochs=1, precision=precision)


def our_loop(sample: Sample, *, precision: str) -> float:
    """Texts per second of this package's loop."""
    model, run = prepare_loop(sample, precision)
    meter = Meter(model)
    run()
    return meter.texts_per_second(sample.mean_tokens)


def elsewhere(process: Executor, way: Callable[..., float], sample: Sample, precision: str) -> float:
    """The speed of a way in another process.

    This package's training has the whole process keep its memory (`training.keep_freed_memory`), which would make the
    other ways faster than their users know them.
    """
    return process.submit(way, sample, precision=precision).result()


def make_ceiling(sample: Sample, precision: str) -> Way:
    """A function that times the matrix products of an epoch of this package's ways, and returns texts per second."""
    model, dataloader, _ = prepare(sample, precision)
    products = products_of(model.train(), dataloader, precision, backward=True)
    return lambda: len(sample.examples) / seconds_of(products, environment.best_device())


def measure(
    sample: Sample, place: Path, quick: bool, say: Callable[[str], None], peers: Mapping[str, Way] | None = None
) -> Comparison:
    """Compare ways to train.

    Args:
        sample: the texts; each way trains on them once in each round.
        place: not used.
        quick: fewer rounds.
        say: called with what is measured next.
        peers: further ways, by name.
    """
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    ceiling = f"matrix products alone, {precision}"
    ways: dict[str, Way] = {
        COMMON: partial(stock_trainer, sample, precision="fp32", padding="max_length"),
        "stock Trainer, dynamic padding, fp32": partial(stock_trainer, sample, precision="fp32"),
        f"stock Trainer, by length, {precision}": partial(stock_trainer, sample, precision=precision, grouped=True),
        "PyTorch loop, dynamic padding, fp32": partial(plain_loop, sample),
        **(peers or {}),
    }
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        ways |= {
            f"{OURS}, Trainer, {precision}": partial(elsewhere, process, our_trainer, sample, precision),
            f"{OURS}, loop, {precision}": partial(elsewhere, process, our_loop, sample, precision),
            ceiling: make_ceiling(sample, precision),
        }
        speeds, failed = take_turns(ways, 2 if quick else 3, say)
    say("profiling a few steps")
    few = sample._replace(examples=sample.examples[: PROFILED_STEPS * BATCH_SIZE])
    time_shares = profile(prepare_loop(few, precision)[1], device)
    about = f"Training: {sample.describe()}, batches of {BATCH_SIZE}, on {device.type}."
    return Comparison("train", about, "texts per second", speeds, COMMON, ceiling, time_shares, failed)
