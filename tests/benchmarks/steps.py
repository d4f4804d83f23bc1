"""What context, R-Drop and the choice of layers cost on MELD: seconds per epoch, medians of rounds that take turns.

    python tests/benchmarks/steps.py [--rounds 3] [--dialogues 300]

An epoch goes over the first dialogues of MELD's train split, in batches of at most 4,096 tokens and 64 inputs, with
nbhelpers' loop. Tokenizing is not timed. Both ways with context run without attention dropout, which is slow on CPUs.
Adds a row per way to data/results/steps.jsonl.
"""

import argparse
import statistics
import time
from functools import partial

from nbhelpers import batching, corpora, dialogue, encoders, environment, objectives, training
from nbhelpers.course import results


def time_epoch(examples, tokenizer, names, objective=objectives.cross_entropy, attention_dropout=None, layers="stock"):
    """Train for one epoch, after one batch to warm up; returns its seconds."""
    environment.set_seed(0)
    device = environment.best_device()
    model = encoders.load("embedded", names, attention_dropout=attention_dropout)[1].to(device)
    precision, _ = environment.best_precision(device)
    if layers == "eager attention":
        model.set_attn_implementation("eager")
    if layers == "fast layers":
        encoders.use_fast_layers(model, device, precision)
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=64)
    optimizer = training.make_optimizer(model, 1e-4)
    scheduler = training.make_scheduler(optimizer, len(dataloader))
    with training.autocast(device, precision):
        loss = objective(model.train(), training.to_device(next(iter(dataloader)), device))
    loss.backward()
    optimizer.zero_grad()
    start = time.perf_counter()
    training.fit(model, dataloader, objective, optimizer, scheduler, num_epochs=1, precision=precision)
    return time.perf_counter() - start


def time_windows(data, tokenizer, num_rounds):
    """Build all windows of MELD; returns the row for the results table."""
    columns = [
        (dialogue.encode_turns(split["text"][:], split["dialogue_id"][:], tokenizer), split["dialogue_id"][:])
        for split in data.values()
    ]
    seconds = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        windows = [dialogue.windows(turns, ids, tokenizer, past=5) for turns, ids in columns]
        seconds.append(time.perf_counter() - start)
    return {"row": "windows of past 5 for all of MELD, built", "inputs": sum(map(len, windows)), "rounds": seconds}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dialogues", type=int, default=300)
    options = parser.parse_args()
    data = corpora.load("meld")
    names = data["train"].features["emotion"].names
    tokenizer, _ = encoders.load("embedded", names)
    rows = [time_windows(data, tokenizer, options.rounds)]
    train = data["train"]
    num_turns = dialogue.spans(train["dialogue_id"][:])[: options.dialogues][-1].stop
    columns = {name: train[name][:num_turns] for name in ("text", "dialogue_id", "speaker", "emotion")}
    ids, labels = columns["dialogue_id"], columns["emotion"]
    turns = dialogue.encode_turns(columns["text"], ids, tokenizer, speakers=columns["speaker"], speaker_format="name")
    windows = dialogue.windows(turns, ids, tokenizer, past=5, labels=labels)
    single_turns = batching.tokenize(columns["text"], tokenizer, labels=labels)
    dialogues = dialogue.whole_dialogues(turns, ids, tokenizer, labels=labels)
    two_passes = partial(objectives.r_drop, one_forward_pass=False)
    ways = {
        "epoch of past-5 windows": (windows, {"attention_dropout": 0.0}),
        "epoch of whole dialogues": (dialogues, {"attention_dropout": 0.0}),
        "epoch of single turns": (single_turns, {}),
    }
    ways |= {
        f"{name}, {layers}": (ways[name][0], {**ways[name][1], "layers": layers})
        for name in ("epoch of whole dialogues", "epoch of single turns")
        for layers in ("eager attention", "fast layers")
    }
    ways |= {
        "epoch of single turns, R-Drop in one doubled pass": (single_turns, {"objective": objectives.r_drop}),
        "epoch of single turns, R-Drop in two passes": (single_turns, {"objective": two_passes}),
    }
    seconds = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (examples, settings) in ways.items():
            seconds[name].append(time_epoch(examples, tokenizer, names, **settings))
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    for name, (examples, _) in ways.items():
        tokens = sum(len(example["input_ids"]) for example in examples)
        rows.append({"row": name, "inputs": len(examples), "tokens": tokens, "rounds": seconds[name]})
    for row in rows:
        rounds = [round(value, 3) for value in row["rounds"]]
        results.append("steps", {**row, "rounds": rounds, "seconds": statistics.median(rounds)})


if __name__ == "__main__":
    main()
