"""Training examples per second on MELD's turns with a batch size of 32, in five ways that take turns in one run.

    python tests/benchmarks/throughput.py [--rounds 3] [--steps 40]

Each way trains the same encoder on texts drawn from MELD's train split, with the learning-rate schedule, clipping and
AdamW that its users get by default. Loading, tokenizing and the first steps are not timed. Each round times every way
once, and the median over the rounds counts, so that a busy moment of the machine affects all ways alike. Adds one row
per way to data/results/throughput.jsonl.
"""

import argparse
import random
import statistics
import tempfile
import time
from functools import partial

import torch
import transformers

from nbhelpers import batching, corpora, encoders, environment, objectives, training
from nbhelpers.course import results

transformers.utils.logging.disable_progress_bar()
BATCH_SIZE = 32
WARM_UP_STEPS = 5  # not timed: the first steps allocate memory and are slower


class Clock(transformers.TrainerCallback):
    """Measures the seconds of a run without its warm-up steps."""

    def __init__(self):
        self.start = self.seconds = 0.0

    def on_step_end(self, args, state, control, **_):
        if state.global_step == WARM_UP_STEPS:
            self.start = time.perf_counter()

    def on_train_end(self, args, state, control, **_):
        self.seconds = time.perf_counter() - self.start


def stock_trainer(examples, tokenizer, names, folder, *, precision, padding, grouped):
    """Examples per second of transformers' own Trainer on the architecture's own head."""
    _, model = encoders.load("embedded", names, pooling="cls")
    clock = Clock()
    args = transformers.TrainingArguments(
        folder,
        num_train_epochs=1,
        per_device_train_batch_size=BATCH_SIZE,
        bf16=precision == "bf16",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length" if grouped else "random",
        length_column_name="length",
    )
    collator = transformers.DataCollatorWithPadding(tokenizer, padding=padding, max_length=128)
    trainer = transformers.Trainer(model, args, collator, examples, callbacks=[clock])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return BATCH_SIZE * (trainer.state.global_step - WARM_UP_STEPS) / clock.seconds


def course_trainer(examples, tokenizer, names, folder, *, precision):
    """Examples per second of nbhelpers' Trainer over token-budget batches."""
    model, dataloader, optimizer = course_setup(examples, tokenizer, names)
    clock = Clock()
    args = training.make_training_arguments(
        folder, num_epochs=1, precision=precision, metric_for_best_model=None, logging_strategy="no"
    )
    trainer = training.Trainer(
        model, args, objectives.cross_entropy, dataloader, optimizer=optimizer, callbacks=[clock]
    )
    trainer.train()
    return BATCH_SIZE * (trainer.state.global_step - WARM_UP_STEPS) / clock.seconds


def course_loop(examples, tokenizer, names, folder, *, precision):
    """Examples per second of nbhelpers' loop over the same batches."""
    model, dataloader, optimizer = course_setup(examples, tokenizer, names)
    scheduler = training.make_scheduler(optimizer, len(dataloader))
    times = []
    options = dict(num_epochs=1, precision=precision, log=lambda row: times.append(time.perf_counter()))
    training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, **options)
    return BATCH_SIZE * (len(times) - WARM_UP_STEPS) / (times[-1] - times[WARM_UP_STEPS - 1])


def course_setup(examples, tokenizer, names):
    model = encoders.load("embedded", names)[1].to(environment.best_device())
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=BATCH_SIZE)
    return model, dataloader, training.make_optimizer(model, 1e-4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    train = corpora.load("meld")["train"]
    names = train.features["emotion"].names
    tokenizer, _ = encoders.load("embedded", names)
    precision, _ = environment.best_precision(environment.best_device())
    rows = random.Random(0).sample(range(len(train)), BATCH_SIZE * (options.steps + WARM_UP_STEPS))
    texts, labels = train.select(rows)["text"][:], train.select(rows)["emotion"][:]
    examples = batching.tokenize(texts, tokenizer, labels=labels)
    with_length = [{**example, "length": len(example["input_ids"])} for example in examples]  # to group by
    stock = partial(stock_trainer, with_length, grouped=False)
    ways = {
        'stock Trainer, padding="max_length" to 128, fp32': partial(stock, precision="fp32", padding="max_length"),
        "stock Trainer, dynamic padding, fp32": partial(stock, precision="fp32", padding=True),
        f"stock Trainer, grouped by length, {precision}": partial(
            stock, precision=precision, padding=True, grouped=True
        ),
        f"this course's Trainer, {precision}": partial(course_trainer, examples, precision=precision),
        f"this course's loop, {precision}": partial(course_loop, examples, precision=precision),
    }
    speeds = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            environment.set_seed(0)
            with tempfile.TemporaryDirectory() as folder:
                speeds[name].append(round(way(tokenizer, names, folder), 1))
            print(name, speeds[name][-1], flush=True)
    base = statistics.median(speeds[next(iter(ways))])
    for name, rounds in speeds.items():
        median = statistics.median(rounds)
        row = {"row": name, "examples_per_second": median, "times_common": round(median / base, 2), "rounds": rounds}
        results.append("throughput", row)


if __name__ == "__main__":
    main()
