"""Training steps on a GPU: milliseconds, tokens per second and peak memory.

    python tests/benchmarks/gpu.py [--steps 20]

The architecture of roberta-large (355 M parameters), and that of the embedded encoder, with random weights and random
token ids without padding: nothing is downloaded, and speed and memory are those of the trained ones. Mixed precision as
`environment.best_precision` says. Ways that the memory does not hold are printed and left out. Adds a row per way to
data/results/gpu.jsonl.
"""

import argparse
import statistics
import sys
import time
from functools import partial

import torch
from transformers import BertConfig, RobertaConfig

from nbhelpers import adapters, encoders, environment, objectives, training
from nbhelpers.course import results

LARGE = partial(
    RobertaConfig, vocab_size=50265, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
    intermediate_size=4096, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, num_labels=7,
)  # fmt: skip
SMALL = partial(
    BertConfig, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=7
)
SHAPES = {"turns": (64, 16), "texts": (32, 128), "dialogues": (16, 256)}  # [batch, tokens]
WAYS = {  # name -> encoder, shape, what it does
    "roberta-large, single turns": (LARGE, "turns", {}),
    "roberta-large, single turns, R-Drop": (LARGE, "turns", {"objective": objectives.r_drop}),
    "roberta-large, single turns, LoRA": (LARGE, "turns", {"lora": True}),
    "roberta-large, texts of 128 tokens": (LARGE, "texts", {}),
    "roberta-large, texts of 128 tokens, R-Drop": (LARGE, "texts", {"objective": objectives.r_drop}),
    "roberta-large, texts of 128 tokens, LoRA": (LARGE, "texts", {"lora": True}),
    "roberta-large, texts of 128 tokens, checkpointing": (LARGE, "texts", {"checkpointing": True}),
    "roberta-large, whole dialogues": (LARGE, "dialogues", {}),
    "embedded encoder, single turns": (SMALL, "turns", {}),
    "embedded encoder, whole dialogues": (SMALL, "dialogues", {}),
}


def measure(
    config, shape, device, precision, steps, *, objective=objectives.cross_entropy, lora=False, checkpointing=False
):
    """Milliseconds of each step after three for warming up, peak GiB."""
    environment.set_seed(0)
    model = encoders.MeanPoolingClassifier(config())
    if lora:
        model = adapters.lora(model, r=16, alpha=32, target_modules="all")
    if checkpointing:
        model.gradient_checkpointing_enable()
    model.to(device).train()
    ids = torch.randint(10, 30000, shape, device=device)
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": torch.randint(0, 7, shape[:1], device=device),
    }
    optimizer, times = training.make_optimizer(model, 1e-5), []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(steps + 3):
        start = time.perf_counter()
        with training.autocast(device, precision):
            loss = objective(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return times[3:], torch.cuda.max_memory_allocated() / 2**30


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    device = environment.best_device()
    if device.type != "cuda":
        sys.exit("tests/benchmarks/gpu.py needs an NVIDIA GPU, and torch sees none; see lesson 1")
    precision, _ = environment.best_precision(device)
    for name, (config, shape, how) in WAYS.items():
        try:
            times, peak = measure(config, SHAPES[shape], device, precision, options.steps, **how)
        except torch.OutOfMemoryError:
            print(f"{name}: out of memory", flush=True)
            continue
        finally:
            torch.cuda.empty_cache()
        step, (size, tokens) = statistics.median(times), SHAPES[shape]
        row = {
            "row": name, "batch": [size, tokens], "step_ms": round(step, 1),
            "tokens_per_second": round(1000 * size * tokens / step), "gpu_gib": round(peak, 2),
        }  # fmt: skip
        results.append("gpu", row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
