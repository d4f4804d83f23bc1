"""Training steps on a GPU: milliseconds, tokens per second and peak memory.

    python tests/benchmarks/gpu.py [--steps 20]

The models have the architecture of roberta-large (355 M parameters) or of the embedded encoder. Their weights are
random, and so are the token ids, which have no padding. So nothing is downloaded, and speed and memory are those of the
trained models. The precision is the one that `environment.best_precision` chooses. Ways that do not fit in the GPU's
memory are printed and left out. Adds a row per way to data/results/gpu.jsonl.
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
    RobertaConfig,
    vocab_size=50265,
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    max_position_embeddings=514,
    type_vocab_size=1,
    pad_token_id=1,
    num_labels=7,
)
SMALL = partial(
    BertConfig, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=7
)
WARM_UP_STEPS = 3
SHAPES = {"turns": (64, 16), "texts": (32, 128), "dialogues": (16, 256)}  # [batch, tokens]
WAYS = {  # name -> encoder, shape, settings of `measure`
    "roberta-large, single turns": (LARGE, "turns", {}),
    "roberta-large, single turns, R-Drop": (LARGE, "turns", {"objective": objectives.r_drop}),
    "roberta-large, single turns, LoRA": (LARGE, "turns", {"lora": True}),
    "roberta-large, texts of 128 tokens": (LARGE, "texts", {}),
    "roberta-large, texts of 128 tokens, R-Drop": (LARGE, "texts", {"objective": objectives.r_drop}),
    "roberta-large, texts of 128 tokens, LoRA": (LARGE, "texts", {"lora": True}),
    "roberta-large, texts of 128 tokens, checkpointing": (LARGE, "texts", {"gradient_checkpointing": True}),
    "roberta-large, whole dialogues": (LARGE, "dialogues", {}),
    "embedded encoder, single turns": (SMALL, "turns", {}),
    "embedded encoder, whole dialogues": (SMALL, "dialogues", {}),
}


def measure(
    config,
    shape,
    device,
    precision,
    num_steps,
    *,
    objective=objectives.cross_entropy,
    lora=False,
    gradient_checkpointing=False,
):
    """Train on one random batch; returns the milliseconds of each step after the warm-up, and the peak GiB."""
    environment.set_seed(0)
    model = encoders.MeanPoolingClassifier(config())
    if lora:
        model = adapters.lora(model, r=16, alpha=32, target_modules="all")
    if gradient_checkpointing:
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
    for _ in range(num_steps + WARM_UP_STEPS):
        start = time.perf_counter()
        with training.autocast(device, precision):
            loss = objective(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()  # kernels run asynchronously; without it only their launch would be timed
        times.append(1000 * (time.perf_counter() - start))
    return times[WARM_UP_STEPS:], torch.cuda.max_memory_allocated() / 2**30


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    device = environment.best_device()
    if device.type != "cuda":
        sys.exit("tests/benchmarks/gpu.py needs an NVIDIA GPU, and torch sees none; see lesson 1")
    precision, _ = environment.best_precision(device)
    for name, (config, shape, settings) in WAYS.items():
        try:
            times, peak = measure(config, SHAPES[shape], device, precision, options.steps, **settings)
        except torch.OutOfMemoryError:
            print(f"{name}: out of memory", flush=True)
            continue
        finally:
            torch.cuda.empty_cache()
        step_ms, (batch_size, num_tokens) = statistics.median(times), SHAPES[shape]
        row = {
            "row": name,
            "batch": [batch_size, num_tokens],
            "step_ms": round(step_ms, 1),
            "tokens_per_second": round(1000 * batch_size * num_tokens / step_ms),
            "gpu_gib": round(peak, 2),
        }
        results.append("gpu", row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
