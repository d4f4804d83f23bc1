"""What CUDA graphs bring: training steps of roberta-large's architecture with random weights, and the largest batch.

    python tests/benchmarks/graphs.py [--steps 30]
    python tests/benchmarks/graphs.py --show     what has been measured, and what has not

It needs an NVIDIA GPU and no network, and takes about five minutes. A row says how long its way took to get ready
(recording or compiling), after how many steps that is won back, and its share of the ceiling: the speed of the matrix
products of the same step alone. Adds rows to data/results/graphs.jsonl.
"""

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from functools import partial

import torch
import transformers
from gpu import LARGE

from nbhelpers import batching, encoders, environment, objectives, training
from nbhelpers.course import results
from nbhelpers.course.bench import ceiling
from nbhelpers.course.bench.meter import Meter

SHAPES = {"32 utterances": (32, 12), "16 k tokens": (128, 128)}  # [batch, tokens]
WAYS = ("plain", "torch.compile", "graphs")
TRAINERS = ("stock Trainer, by length", "nbhelpers Trainer", "nbhelpers Trainer, graphs")
LARGEST = "largest batch of 128 tokens"
ROWS = [*(f"{shape}, {way}" for shape in SHAPES for way in WAYS), *TRAINERS, LARGEST]
PADDED_LENGTHS = (8, 16, 24, 32, 48, 64)
PAD = 1  # roberta's padding token


def load_model(device):
    """The same random weights each time, in training mode."""
    environment.set_seed(0)
    return encoders.MeanPoolingClassifier(LARGE()).to(device).train()


def random_batch(shape, device):
    """Token ids without padding, and labels."""
    ids = torch.randint(10, 30000, shape, device=device)
    labels = torch.randint(0, 7, shape[:1], device=device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def prepare(model, way, device, precision):
    """A function that computes the loss and the gradient of a batch."""
    if way == "graphs":
        return training.GraphedStep(model, objectives.cross_entropy, precision)
    if way == "torch.compile":
        model.compile()

    def step(batch):
        with training.autocast(device, precision):
            loss = objectives.cross_entropy(model, batch)
        loss.backward()
        return loss.detach()

    return step


def check(device, precision):
    """Graphs must find the gradient that the plain way finds. Dropout is off for that."""
    model, batch = load_model(device), random_batch((8, 16), device)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.encoder.config.attention_probs_dropout_prob = 0.0
    norms = []
    for way in ("plain", "graphs", "graphs"):
        model.zero_grad()
        prepare(model, way, device, precision)(batch)
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), math.inf).item())
    assert max(norms) < 1.01 * min(norms), norms


def measure_steps(shape, way, device, precision, num_steps):
    """Seconds until the first step is done, the milliseconds of a later one, and the peak GiB."""
    model, batch = load_model(device), random_batch(shape, device)
    optimizer, step, times = training.make_optimizer(model, 1e-5), prepare(model, way, device, precision), []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(num_steps + 3):
        start = time.perf_counter()
        step(batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()  # kernels run asynchronously; without it only their launch would be timed
        times.append(time.perf_counter() - start)
    return times[0], 1000 * statistics.median(times[3:]), torch.cuda.max_memory_allocated() / 2**30


def measure_shape(name, device, precision, num_steps):
    """The rows of all ways for a shape."""
    shape = SHAPES[name]
    products = ceiling.products_of(load_model(device), [random_batch(shape, device)], precision, backward=True)
    ceiling_ms, plain = 1000 * ceiling.seconds_of(products, device), None
    for way in WAYS:
        ready, step_ms, peak = measure_steps(shape, way, device, precision, num_steps)
        plain = plain or (ready, step_ms)
        won = plain[1] - step_ms  # milliseconds a step
        yield {
            "row": f"{name}, {way}",
            "batch": list(shape),
            "step_ms": round(step_ms, 1),
            "tokens_per_second": round(1000 * math.prod(shape) / step_ms),
            "of_ceiling": round(ceiling_ms / step_ms, 3),
            "gpu_gib": round(peak, 2),
            "ready_s": round(ready, 1),
            "won_back_after_steps": math.ceil(1000 * (ready - plain[0]) / won) if won > 0 else None,
        }
        torch.cuda.empty_cache()


def random_texts(count):
    """Token ids with about the lengths of MELD's utterances: 3 to 64, and 12 on average."""
    rng = random.Random(0)
    lengths = [min(64, 3 + int(rng.expovariate(1 / 9.5))) for _ in range(count)]
    return [{"input_ids": [rng.randrange(10, 30000) for _ in range(n)], "labels": rng.randrange(7)} for n in lengths]


def measure_trainer(name, examples, device, precision):
    """Tokens without padding per second over an epoch in batches of 32, the first step left out."""
    model, graphs = load_model(device), name.endswith("graphs")
    meter = Meter(model)
    with tempfile.TemporaryDirectory() as folder:
        if name.startswith("stock"):
            args = transformers.TrainingArguments(
                folder, num_train_epochs=1, per_device_train_batch_size=32, bf16=precision == "bf16",
                report_to="none", disable_tqdm=True, logging_strategy="no", save_strategy="no",
                train_sampling_strategy="group_by_length", length_column_name="length",
            )  # fmt: skip
            rows = [{**example, "length": len(example["input_ids"])} for example in examples]
            trainer = transformers.Trainer(model, args, collate_without_length, rows)
        else:
            args = training.make_training_arguments(
                folder, num_epochs=1, precision=precision, metric_for_best_model=None, logging_strategy="no"
            )
            options = {"padded_lengths": PADDED_LENGTHS} if graphs else {}
            dataloader = batching.make_dataloader(examples, PAD, batch_size=32, **options)
            trainer = training.Trainer(
                model, args, objectives.cross_entropy, dataloader,
                optimizer=training.make_optimizer(model, 1e-5), graphs=graphs,
            )  # fmt: skip
        start = time.perf_counter()
        trainer.train()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    num_tokens = sum(len(example["input_ids"]) for example in examples)
    # a replay does not call the model, so with graphs the whole epoch counts, recording included
    speed = num_tokens / seconds if graphs else meter.texts_per_second(1)
    return {"row": name, "texts": len(examples), "seconds": round(seconds, 1), "tokens_per_second": round(speed)}


def collate_without_length(items):
    return batching.Collator(PAD)([{name: item[name] for name in ("input_ids", "labels")} for item in items])


def measure_largest(device, precision):
    """The largest batch of texts of 128 tokens for which a step fits, to about 5 %, found by trying."""
    fits, too_large, best = 0, None, 0.0
    size = 64
    while too_large is None or too_large - fits > max(1, fits // 20):
        try:
            _, _, peak = measure_steps((size, 128), "plain", device, precision, 0)
            fits, best = size, peak
        except torch.OutOfMemoryError:
            too_large = size
        torch.cuda.empty_cache()
        size = 2 * fits if too_large is None else (fits + too_large) // 2
    return {"row": LARGEST, "batch": [fits, 128], "gpu_gib": round(best, 2), "mib_per_text": round(1024 * best / fits)}


def show():
    """Print the last measurement of each row."""
    measured = {row["row"]: row for row in results.read("graphs")}
    for name in ROWS:
        print(measured.get(name) or f"{name}: not measured, for want of a GPU")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if options.show:
        return show()
    device = environment.best_device()
    if device.type != "cuda":
        sys.exit("tests/benchmarks/graphs.py needs an NVIDIA GPU, and torch sees none; see lesson 1")
    precision, _ = environment.best_precision(device)
    check(device, precision)
    examples = random_texts(3200)
    ways = [partial(measure_shape, name, device, precision, options.steps) for name in SHAPES]
    ways += [lambda name=name: [measure_trainer(name, examples, device, precision)] for name in TRAINERS]
    ways += [lambda: [measure_largest(device, precision)]]
    for way in ways:
        for row in way():
            results.append("graphs", row)
            print(row, flush=True)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
