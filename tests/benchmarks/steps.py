"""What context and R-Drop cost on MELD: seconds, medians of interleaved rounds, on one machine.

    python tests/benchmarks/steps.py [--rounds 3] [--dialogues 300]

An epoch is one over the first dialogues of MELD's train split, in batches of at most 4,096 tokens and 64 inputs, with
nbhelpers' loop; tokenizing is outside the clock. Neither form of context has attention dropout here, which CPUs compute
slowly. Adds a row per way to data/results/steps.jsonl.
"""

import argparse
import statistics
import time
from functools import partial

from nbhelpers import batching, corpora, dialogue, encoders, environment, objectives, training
from nbhelpers.course import results


def epoch(examples, tokenizer, names, objective=objectives.cross_entropy, attention_dropout=None):
    """Seconds of one epoch, after one batch to warm up."""
    environment.set_seed(0)
    device = environment.best_device()
    model = encoders.load("embedded", names, attention_dropout=attention_dropout)[1].to(device)
    batches = batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=64)
    optimizer = training.make_optimizer(model, 1e-4)
    scheduler = training.make_scheduler(optimizer, len(batches))
    precision, _ = environment.best_precision(device)
    with training.autocast(device, precision):
        loss = objective(model.train(), {name: tensor.to(device) for name, tensor in next(iter(batches)).items()})
    loss.backward()
    optimizer.zero_grad()
    start = time.perf_counter()
    training.fit(model, batches, objective, optimizer, scheduler, num_epochs=1, precision=precision)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dialogues", type=int, default=300)
    options = parser.parse_args()
    data = corpora.load("meld")
    names = data["train"].features["emotion"].names
    tokenizer, _ = encoders.load("embedded", names)
    build = []
    columns = [
        (dialogue.encode_turns(part["text"][:], part["dialogue_id"][:], tokenizer), part["dialogue_id"][:])
        for part in data.values()
    ]
    for _ in range(options.rounds):
        start = time.perf_counter()
        made = [dialogue.windows(turns, ids, tokenizer, past=5) for turns, ids in columns]
        build.append(time.perf_counter() - start)
    rows = [{"row": "windows of past 5 for all of MELD, built", "inputs": sum(map(len, made)), "rounds": build}]

    part = data["train"]
    kept = dialogue.spans(part["dialogue_id"][:])[: options.dialogues][-1].stop
    columns = {name: part[name][:kept] for name in ("text", "dialogue_id", "speaker", "emotion")}
    ids, labels = columns["dialogue_id"], columns["emotion"]
    turns = dialogue.encode_turns(columns["text"], ids, tokenizer, speakers=columns["speaker"], speaker_format="name")
    windows = dialogue.windows(turns, ids, tokenizer, past=5, labels=labels)
    single = batching.tokenize(columns["text"], tokenizer, labels=labels)
    wholes = dialogue.whole_dialogues(turns, ids, tokenizer, labels=labels)
    twice = partial(objectives.r_drop, doubled=False)
    ways = {
        "epoch of past-5 windows": (windows, {"attention_dropout": 0.0}),
        "epoch of whole dialogues": (wholes, {"attention_dropout": 0.0}),
        "epoch of single turns": (single, {}),
        "epoch of single turns, R-Drop in one doubled pass": (single, {"objective": objectives.r_drop}),
        "epoch of single turns, R-Drop in two passes": (single, {"objective": twice}),
    }
    seconds = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (examples, how) in ways.items():
            seconds[name].append(epoch(examples, tokenizer, names, **how))
            print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    for name, (examples, _) in ways.items():
        tokens = sum(len(example["input_ids"]) for example in examples)
        rows.append({"row": name, "inputs": len(examples), "tokens": tokens, "rounds": seconds[name]})
    for row in rows:
        rounds = [round(value, 3) for value in row["rounds"]]
        results.append("steps", {**row, "rounds": rounds, "seconds": statistics.median(rounds)})


if __name__ == "__main__":
    main()
