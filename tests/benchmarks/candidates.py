"""Ideas to make training on a CPU faster: what each was expected to bring, what it brought, and whether it was kept.

    python tests/benchmarks/candidates.py [--rounds 3] [--turns 2841]
    python tests/benchmarks/candidates.py --page     write docs/training_speed.md again, and measure nothing

Each way trains the embedded encoder for an epoch on utterances of MELD, in the loop of this package. It differs from
what the package does in one thing. The ways take turns, and each run is a process of its own. A row has the speed of
each round (without the first update), and the mean loss of its last 30 updates: a way that is faster because it learns
less would show there. Adds a row per way to data/results/candidates.jsonl.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader

from nbhelpers import batching, corpora, encoders, environment, objectives, training
from nbhelpers.course import results

PAGE = Path(__file__).parents[2] / "docs" / "training_speed.md"
AS_IT_IS = "as the package trains"
LAST_UPDATES = 30
LR, HEAD_LR = 1e-4, 1e-3
PACKED_TOKENS = 128  # the length of a row in which several texts are packed


class Idea(NamedTuple):
    """A way that differs in one thing.

    Attributes:
        about: what is done differently, and why it could be faster or slower.
        expected: the expected share of the time of a step, from the profile of `nbhelpers bench train`.
        change: called with the setup of a run before it begins.
    """

    about: str
    expected: str
    change: Callable[[SimpleNamespace], None]


def stock_dropout(run):
    for module in run.model.modules():
        for name, child in module.named_children():
            if type(child) is encoders.FastDropout:
                setattr(module, name, nn.Dropout(child.p))


def fused_attention(run):
    with encoders.quiet():
        run.model.set_attn_implementation("sdpa")


def give_memory_back(run):
    training.loop.keep_freed_memory = lambda: None


def groups_of(optimizer):
    return [{key: group[key] for key in ("params", "lr", "weight_decay")} for group in optimizer.param_groups]


def separate_adamw(run):
    run.optimizer = torch.optim.AdamW(groups_of(run.optimizer), lr=LR, foreach=True)


def batches_at_random(run):
    collator = batching.Collator(run.tokenizer.pad_token_id)
    run.dataloader = DataLoader(run.examples, batch_size=32, shuffle=True, collate_fn=collator)


def batches_by_a_worker(run):
    loader = run.dataloader
    run.dataloader = DataLoader(
        loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn, num_workers=1
    )


class Masters(torch.optim.Optimizer):
    """AdamW over fp32 copies of bf16 weights, which are rounded from the copies after each update."""

    def __init__(self, groups):
        super().__init__(groups, {"lr": LR})
        self.pairs = [(p, p.detach().float()) for group in groups for p in group["params"]]
        masters = dict(self.pairs)
        copies = [{**group, "params": [masters[p] for p in group["params"]]} for group in groups]
        self.adamw = torch.optim.AdamW(copies, fused=True)

    @torch.no_grad()
    def step(self, closure=None):
        for mine, theirs in zip(self.param_groups, self.adamw.param_groups, strict=True):
            theirs["lr"] = mine["lr"]
        for parameter, master in self.pairs:
            master.grad = parameter.grad.float()
        self.adamw.step()
        torch._foreach_copy_([p for p, _ in self.pairs], [master for _, master in self.pairs])


def bf16_weights(run):
    run.optimizer = Masters(groups_of(run.optimizer))  # the masters are made before the weights are rounded
    run.model.to(torch.bfloat16)


def pack(examples):
    """Join texts to rows of at most `PACKED_TOKENS` tokens; a text keeps its own positions and sees only itself."""
    rows = []
    for example in examples:
        if not rows or sum(map(len, rows[-1])) + len(example["input_ids"]) > PACKED_TOKENS:
            rows.append([])
        rows[-1].append(example["input_ids"])
    shape = len(rows), max(sum(map(len, row)) for row in rows)
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    number = torch.full(shape, -1)
    for i, row in enumerate(rows):
        start = 0
        for j, tokens in enumerate(row):
            place = slice(start, start + len(tokens))
            ids[i, place], positions[i, place] = torch.tensor(tokens), torch.arange(len(tokens))
            number[i, place] = j
            start += len(tokens)
    labels = torch.tensor([example["labels"] for example in examples])
    return {"input_ids": ids, "positions": positions, "number": number, "labels": labels}


def packed_loss(model, batch):
    """Cross-entropy of texts that are packed, with a mask that keeps them apart."""
    number = batch["number"]
    same = (number.unsqueeze(1) == number.unsqueeze(2)) & (number >= 0).unsqueeze(1)
    same = same | torch.eye(number.shape[1], dtype=torch.bool)  # padding sees itself, since attention to none is NaN
    mask = encoders.mask_for_encoder(same, model.config, model.dtype)
    inputs = {"input_ids": batch["input_ids"], "position_ids": batch["positions"], "attention_mask": mask}
    hidden = model.encoder(**inputs).last_hidden_state
    texts = nn.functional.one_hot(number + 1)[..., 1:].transpose(1, 2).to(hidden.dtype)  # [rows, texts, tokens]
    pooled = (texts @ hidden / texts.sum(-1, keepdim=True).clamp(min=1))[texts.sum(-1) > 0]
    return objectives.mean_loss(model.classifier(model.dropout(pooled)), batch["labels"])


def packed(run):
    sampler = run.dataloader.batch_sampler
    run.dataloader = DataLoader(run.examples, batch_sampler=sampler, collate_fn=pack)
    run.objective = packed_loss


IDEAS = {
    AS_IT_IS: Idea(
        "fast dropout, attention of separate operations in bf16, kept memory, fused AdamW", "", lambda run: None
    ),
    "torch's dropout": Idea(
        "`nn.Dropout`. torch 2.13 draws a number of 64 bits for each value, on one thread.",
        "a quarter slower",
        stock_dropout,
    ),
    "torch's fused attention": Idea(
        "`scaled_dot_product_attention`, which transformers chooses. Its backward pass is slow in bf16 on a CPU.",
        "a tenth slower",
        fused_attention,
    ),
    "memory given back": Idea(
        "without `training.keep_freed_memory`: the system fills the pages of each step's tensors with zeros.",
        "a fifth slower",
        give_memory_back,
    ),
    "AdamW of several kernels": Idea(
        "`foreach=True` instead of `fused=True`: each step goes over all weights several times.",
        "a tenth slower",
        separate_adamw,
    ),
    "batches at random": Idea(
        "32 texts in random order instead of texts of similar length: more than half of the tokens are padding.",
        "a third slower",
        batches_at_random,
    ),
    "batches made by a worker": Idea(
        "`num_workers=1`: a second process makes the batches, while this one computes.",
        "as fast: making a batch takes well under 1 % of a step",
        batches_by_a_worker,
    ),
    "bf16 weights, fp32 masters": Idea(
        "no cast of each weight in each step, but copies from and to the masters in the optimizer.",
        "a tenth faster",
        bf16_weights,
    ),
    "texts packed into rows": Idea(
        f"texts joined to rows of {PACKED_TOKENS} tokens with a block-diagonal mask: no padding, but attention computes"
        " the products between all texts of a row.",
        "as fast: batches of similar length have little padding left",
        packed,
    ),
}


def train(name, seed, num_turns):
    """Texts per second of an epoch, its first update left out, and the mean loss of the last updates."""
    data = corpora.load("meld")["train"]
    names = data.features["emotion"].names
    environment.set_seed(seed)
    tokenizer, model = encoders.load("embedded", names)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    encoders.use_fast_layers(model, device, precision)
    examples = batching.tokenize(data["text"][:num_turns], tokenizer, labels=data["emotion"][:num_turns])
    run = SimpleNamespace(
        model=model,
        tokenizer=tokenizer,
        examples=examples,
        dataloader=batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=32, seed=seed),
        optimizer=training.make_optimizer(model, LR, head_lr=HEAD_LR),
        objective=objectives.cross_entropy,
    )
    IDEAS[name].change(run)
    scheduler = training.make_scheduler(run.optimizer, len(run.dataloader))
    times, num_texts = [], []

    def objective(model, batch):
        num_texts.append(len(batch["labels"]))
        return run.objective(model, batch)

    history = training.fit(
        run.model, run.dataloader, objective, run.optimizer, scheduler,
        num_epochs=1, precision=precision, log=lambda row: times.append(time.perf_counter()),
    )  # fmt: skip
    losses = [row["train_loss"] for row in history[-LAST_UPDATES:]]
    return sum(num_texts[1:]) / (times[-1] - times[0]), statistics.mean(losses)


def measure(num_rounds, num_turns):
    """Let the ways take turns, and store a row for each."""
    found = {name: [] for name in IDEAS}
    for seed in range(num_rounds):
        for name in IDEAS:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                found[name].append(process.submit(train, name, seed, num_turns).result())
            print(f"round {seed + 1}, {name}: {found[name][-1][0]:.0f} texts a second", flush=True)
    for name, rounds in found.items():
        speeds, losses = zip(*rounds, strict=True)
        row = {
            "row": name,
            "turns": num_turns,
            "rounds": [round(speed, 1) for speed in speeds],
            "texts_per_second": round(statistics.median(speeds), 1),
            "losses": [round(loss, 3) for loss in losses],
        }
        results.append("candidates", row)


def table():
    """The ideas and what they brought, in Markdown."""
    rows = {row["row"]: row for row in results.read("candidates")}
    base = rows[AS_IT_IS]["texts_per_second"]
    lines = ["| way | texts a second | of the first | expected | loss at the end |", "|---|---|---|---|---|"]
    for name, idea in IDEAS.items():
        row = rows[name]
        losses = f"{statistics.mean(row['losses']):.2f} ({min(row['losses']):.2f} to {max(row['losses']):.2f})"
        speed = row["texts_per_second"]
        lines.append(f"| **{name}**: {idea.about} | {speed:.0f} | {speed / base:.0%} | {idea.expected} | {losses} |")
    device = rows[AS_IT_IS]["device"]
    return "\n".join([*lines, "", f"Measured on: {device}, {rows[AS_IT_IS]['threads']} threads."])


def write_page():
    """Put the table between the two marks of the page."""
    start, end = "<!-- table -->", "<!-- end of table -->"
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(start)[0], text.partition(end)[2]
    PAGE.write_text(f"{before}{start}\n{table()}\n{end}{after}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2841)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if not options.page:
        measure(options.rounds, options.turns)
    write_page()


if __name__ == "__main__":
    main()
