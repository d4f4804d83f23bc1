"""How time and memory grow: with rows, text length, model size, classes and context. One change at a time.

    python tests/benchmarks/costs.py [rows|length|size|classes|context ...]
    python tests/benchmarks/costs.py figure     draw docs/_static/costs.png again, and measure nothing

The rows are those of MELD, in $NBHELPERS_DATA. Part "rows" times `nbhelpers train` and `nbhelpers evaluate` as
commands, on files of up to a million rows, with one layer of the embedded encoder and texts cut to 16 tokens: how
memory grows does not depend on the layers. Texts are repeated, each with its own number behind it. The other parts time
a training step on random tokens, as the median of several, after a step to warm up. Adds a row for each size to
data/results/costs.jsonl.
"""

import contextlib
import itertools
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import torch
import transformers
from matplotlib.figure import Figure

from nbhelpers import batching, corpora, dialogue, encoders, environment, objectives, training
from nbhelpers.course import results

ROWS = (1_000, 10_000, 100_000, 1_000_000)
FIGURE = Path(__file__).parents[2] / "docs" / "_static" / "costs.png"
TOKENS = 2048  # in a batch of the other parts
STEPS = 5


def record(part, x, **numbers):
    """Keep and print a row."""
    row = {"row": f"{part}, {x:,}", "part": part, "x": x, **numbers}
    print(row, flush=True)
    results.append("costs", row)


def shallow_encoder(folder, layers=1):
    """The embedded encoder with its first layers alone, as a folder."""
    tokenizer, model = encoders.load("embedded", ["a", "b"])
    model.base_model.encoder.layer = model.base_model.encoder.layer[:layers]
    model.base_model.config.num_hidden_layers = layers
    model.base_model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path, num_rows):
    """A csv with so many rows, none of which is equal to another."""
    pairs = [pair for part in corpora.load_meld().values() for pair in zip(part["text"], part["emotion"], strict=True)]
    rows = ((f"{text} {i}", corpora.EMOTIONS[label]) for i, (text, label) in enumerate(itertools.cycle(pairs)))
    pd.DataFrame(itertools.islice(rows, num_rows), columns=["text", "label"]).to_csv(path, index=False)


def anonymous_mib(process):
    """The memory of a process without what it has mapped from files, which the system takes back when it needs it."""
    with contextlib.suppress(OSError, psutil.Error):
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0.0)
    return 0.0


def run_command(*arguments):
    """Seconds and peak memory of a command in a process of its own."""
    command = [str(Path(sys.executable).with_name("nbhelpers")), *map(str, arguments)]
    start, peak, whole = time.perf_counter(), 0.0, 0.0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, anonymous_mib(process))
        with contextlib.suppress(psutil.Error):
            whole = max(whole, process.memory_info().rss / 2**20)
        time.sleep(0.05)
    assert process.returncode == 0, f"{arguments[0]} ended with {process.returncode}"
    return {"seconds": round(time.perf_counter() - start, 1), "mib": round(peak), "mib_with_files": round(whole)}


def measure_rows():
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        encoder = shallow_encoder(folder / "encoder")
        for num_rows in ROWS:
            write_rows(folder / f"{num_rows}.csv", num_rows)
            model, file = folder / f"model-{num_rows}", folder / f"{num_rows}.csv"
            options = ("--encoder", encoder, "--epochs", 1, "--max-length", 16, "--batch-size", 128, "-o", model)
            record("rows, train", num_rows, **run_command("train", file, *options))
            record("rows, evaluate", num_rows, **run_command("evaluate", model, file))
            file.unlink()


def random_examples(num_examples, length, num_classes):
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 30_000, (num_examples, length), generator=draw).tolist()
    labels = torch.randint(num_classes, (num_examples,), generator=draw).tolist()
    return [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]


def time_steps(model, examples):
    """The median seconds of a step on all examples, which fit into one batch, and the tokens in it."""
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    encoders.use_fast_layers(model, device, precision)
    if device.type == "cpu":
        training.keep_freed_memory()
    model = model.to(device).train()
    batch = training.to_device(batching.Collator(0)(examples), device)
    optimizer, seconds = training.make_optimizer(model, 1e-5), []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        with training.autocast(device, precision):
            loss = objectives.cross_entropy(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[1:])
    return {"seconds": round(step, 4), "tokens": batch["input_ids"].numel(), "precision": precision}


def measure_length():
    """Texts of 8 to 512 tokens, in batches of the same number of tokens."""
    for length in (8, 16, 32, 64, 128, 256, 512):
        model = encoders.load("embedded", ["a", "b"], attention_dropout=0.0)[1]
        record("tokens of a text", length, **time_steps(model, random_examples(TOKENS // length, length, 2)))


def measure_size():
    """BERT with random weights, from the shape of the embedded encoder's layers to that of roberta-large's."""
    shapes = ((3, 384), (6, 384), (12, 384), (6, 768), (12, 768), (24, 1024))
    for layers, hidden in shapes:
        config = transformers.BertConfig(
            num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=hidden // 64,
            intermediate_size=4 * hidden, attention_probs_dropout_prob=0.0, num_labels=2,
        )  # fmt: skip
        model = transformers.BertForSequenceClassification(config)
        weights = sum(p.numel() for p in model.base_model.encoder.parameters())
        examples = random_examples(TOKENS // 32, 32, 2)
        record("weights in the layers", weights, layers=layers, hidden=hidden, **time_steps(model, examples))


def measure_classes():
    for num_classes in (2, 10, 100, 1000):
        model = encoders.load("embedded", [str(i) for i in range(num_classes)], attention_dropout=0.0)[1]
        record("classes", num_classes, **time_steps(model, random_examples(TOKENS // 16, 16, num_classes)))


def measure_context():
    """Windows of earlier turns, for the first turns of MELD: tokens and time for each turn; and whole dialogues."""
    train = corpora.load_meld()["train"]
    ids, labels = train["dialogue_id"][:], train["emotion"][:]
    stop = dialogue.spans(ids)[20].stop
    ids, labels = ids[:stop], labels[:stop]
    tokenizer, _ = encoders.load("embedded", corpora.EMOTIONS)
    turns = dialogue.encode_turns(train["text"][:stop], ids, tokenizer)
    whole = dialogue.whole_dialogues(turns, ids, tokenizer, labels=labels)
    inputs = {past: dialogue.windows(turns, ids, tokenizer, past=past, labels=labels) for past in (0, 1, 2, 4, 8, 16)}
    for past, examples in (*inputs.items(), (-1, whole)):
        model = encoders.load("embedded", corpora.EMOTIONS, attention_dropout=0.0)[1]
        loader = batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=TOKENS, shuffle=False)
        batches = [[examples[i] for i in chosen] for chosen in loader.batch_sampler]
        seconds = sum(time_steps(model, batch)["seconds"] for batch in batches[:: max(1, len(batches) // 8)])
        tokens = sum(len(example["input_ids"]) for example in examples)
        scale = len(batches) / len(batches[:: max(1, len(batches) // 8)])
        name = "earlier turns" if past >= 0 else "whole dialogues"
        record(name, max(past, 0), seconds=round(scale * seconds, 3), tokens=tokens, turns=stop)


PANELS = {  # name of the part in a row -> label of its axis, quantity, unit
    "rows, train": ("rows of a file", "seconds", "seconds of `nbhelpers train`"),
    "rows, evaluate": ("rows of a file", "mib", "MiB of `train` (blue) and `evaluate`"),
    "tokens of a text": ("tokens of a text, 2,048 in a batch", "seconds", "seconds of a step"),
    "weights in the layers": ("weights in the layers", "seconds", "seconds of a step"),
    "classes": ("classes", "seconds", "seconds of a step"),
    "earlier turns": ("tokens for each turn, with 0 to 16 earlier turns", "seconds", "seconds for each turn"),
}


def points(part, quantity):
    """The last measurement of each size, by size. For context, tokens and seconds for each turn."""
    last = {row["x"]: row for row in results.read("costs") if row["part"] == part}
    rows = [last[x] for x in sorted(last)]
    if part == "earlier turns":
        return [(row["tokens"] / row["turns"], row["seconds"] / row["turns"]) for row in rows]
    return [(row["x"], row[quantity]) for row in rows]


def slope(line):
    """The exponent with which a line of points grows, by least squares of the logarithms."""
    sizes, numbers = ([math.log(value) for value in axis] for axis in zip(*line, strict=True))
    return statistics.linear_regression(sizes, numbers).slope


def draw():
    """One panel for each quantity that grows, with logarithmic axes, so that a slope of 1 is proportional growth."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    for axes, (part, (label, quantity, unit)) in zip(figure.subplots(2, 3).flat, PANELS.items(), strict=True):
        lines = [points(name, quantity) for name in (["rows, train", part] if quantity == "mib" else [part])]
        for line in lines:
            axes.loglog(*zip(*line, strict=True), marker="o")
        numbers = [number for line in lines for _, number in line]
        axes.set_ylim(min(numbers) / 3, max(numbers) * 3)  # so that what hardly grows looks flat
        slopes = " and ".join(f"{slope(line):.2f}" for line in lines)
        axes.set(title=f"slope {slopes}", xlabel=label, ylabel=unit)
        axes.grid(alpha=0.3)
    figure.savefig(FIGURE, dpi=100)


PARTS = {
    "figure": draw,
    "rows": measure_rows,
    "length": measure_length,
    "size": measure_size,
    "classes": measure_classes,
    "context": measure_context,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or reversed(PARTS):  # the figure last
        PARTS[part]()
