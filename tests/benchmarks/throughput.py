"""Training examples per second on MELD's turns, batch 32, five ways, interleaved in one run on one machine.

    python tests/benchmarks/throughput.py [--rounds 3] [--steps 40]

Each way trains the same encoder on texts drawn from MELD's train split, with the learning-rate schedule, clipping and
AdamW that its users get by default. Loading and tokenizing are outside the clock, the first steps too. The rounds take
turns, and the median round counts, so that a busy moment of the machine hits all ways alike. Adds one row per way to
data/results/throughput.jsonl.
"""

import argparse
import random
import statistics
import tempfile
import time

import torch
import transformers

from nbhelpers import batching, corpora, encoders, environment, objectives, training
from nbhelpers.course import results

transformers.utils.logging.disable_progress_bar()
WARM_UP = 5


class Clock(transformers.TrainerCallback):
    """Starts after the warm-up steps; stops at the end."""

    def __init__(self):
        self.start = self.seconds = 0.0

    def on_step_end(self, args, state, control, **_):
        if state.global_step == WARM_UP:
            self.start = time.perf_counter()

    def on_train_end(self, args, state, control, **_):
        self.seconds = time.perf_counter() - self.start


def stock(rows, tokenizer, names, folder, *, precision, padding, grouped):
    """The stock Trainer on the architecture's own head; rows are as the tokenizer gives them."""
    _, model = encoders.load("embedded", names, pooling="cls")
    clock = Clock()
    arguments = transformers.TrainingArguments(
        folder, num_train_epochs=1, per_device_train_batch_size=32, bf16=precision == "bf16", report_to="none",
        disable_tqdm=True, logging_strategy="no", save_strategy="no", use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length" if grouped else "random", length_column_name="length",
    )  # fmt: skip
    collate = transformers.DataCollatorWithPadding(tokenizer, padding=padding, max_length=128)
    trainer = transformers.Trainer(model, arguments, collate, rows, callbacks=[clock])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return 32 * (trainer.state.global_step - WARM_UP) / clock.seconds


def ours(rows, tokenizer, names, folder, *, precision, by_trainer):
    """The course's loop or Trainer over token-budget batches of at most 32."""
    model = encoders.load("embedded", names)[1].to(environment.best_device())
    batches = batching.make_dataloader(rows, tokenizer.pad_token_id, batch_size=32)
    optimizer = training.make_optimizer(model, 1e-4)
    if by_trainer:
        clock = Clock()
        arguments = training.make_training_arguments(
            folder, num_epochs=1, precision=precision, metric_for_best_model=None, logging_strategy="no"
        )
        trainer = training.Trainer(
            model, arguments, objectives.cross_entropy, batches, optimizer=optimizer, callbacks=[clock]
        )
        trainer.train()
        return 32 * (trainer.state.global_step - WARM_UP) / clock.seconds
    scheduler = training.make_scheduler(optimizer, len(batches))
    times = []
    training.fit(
        model, batches, objectives.cross_entropy, optimizer, scheduler, num_epochs=1, precision=precision,
        log=lambda row: times.append(time.perf_counter()),
    )  # fmt: skip
    return 32 * (len(times) - WARM_UP) / (times[-1] - times[WARM_UP - 1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    train = corpora.load("meld")["train"]
    names = train.features["emotion"].names
    tokenizer, _ = encoders.load("embedded", names)
    precision, _ = environment.best_precision(environment.best_device())
    chosen = random.Random(0).sample(range(len(train)), 32 * (options.steps + WARM_UP))
    texts, labels = train.select(chosen)["text"][:], train.select(chosen)["emotion"][:]
    short = batching.tokenize(texts, tokenizer, labels=labels)
    rows = [{**row, "length": len(row["input_ids"])} for row in short]
    ways = {
        'stock Trainer, padding="max_length" to 128, fp32': (
            stock,
            rows,
            {"precision": "fp32", "padding": "max_length", "grouped": False},
        ),
        "stock Trainer, dynamic padding, fp32": (stock, rows, {"precision": "fp32", "padding": True, "grouped": False}),
        f"stock Trainer, grouped by length, {precision}": (
            stock,
            rows,
            {"precision": precision, "padding": True, "grouped": True},
        ),
        f"this course's Trainer, {precision}": (ours, short, {"precision": precision, "by_trainer": True}),
        f"this course's loop, {precision}": (ours, short, {"precision": precision, "by_trainer": False}),
    }
    speeds = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (way, data, how) in ways.items():
            environment.set_seed(0)
            with tempfile.TemporaryDirectory() as folder:
                speeds[name].append(round(way(data, tokenizer, names, folder, **how), 1))
            print(name, speeds[name][-1], flush=True)
    base = statistics.median(speeds[next(iter(ways))])
    for name, measured in speeds.items():
        median = statistics.median(measured)
        results.append(
            "throughput",
            {"row": name, "examples_per_second": median, "times_common": round(median / base, 2), "rounds": measured},
        )


if __name__ == "__main__":
    main()
