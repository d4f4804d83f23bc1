"""What this machine has, which precision suits it, and seeds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

PACKAGES = ("torch", "transformers", "datasets", "peft", "accelerate", "scikit-learn", "numpy", "pandas", "matplotlib")


def best_device() -> torch.device:
    """The first of: an NVIDIA or AMD GPU ("cuda"), Apple's GPU ("mps"), the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_precision(device: torch.device) -> tuple[str, str]:
    """The precision to train in on this device, and why.

    "bf16" where its matrix products are fast: NVIDIA GPUs from Ampere on, CPUs with AMX or AVX512-BF16. "fp16" (which
    needs loss scaling) on older NVIDIA GPUs such as the T4. "fp32" elsewhere, and on Apple's GPU.

    Returns: (precision, reason).
    """
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        reason = f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}"
        return ("bf16" if major >= 8 else "fp16", reason)
    if device.type == "cpu":
        features = [f for f in ("AMX", "AVX512-BF16") if f in cpu_features()]
        return ("bf16", f"the CPU has {features[0]}") if features else ("fp32", "the CPU computes bf16 slowly")
    return "fp32", f"mixed precision is not used on {device.type}"


def cpu_features() -> list[str]:
    """Those of "AVX2", "AVX512", "AVX512-BF16" and "AMX" that torch can use on this CPU."""
    level = torch.backends.cpu.get_cpu_capability()  # "AVX512" includes "AVX2"; ATEN_CPU_CAPABILITY may lower it
    features = [name for name in ("AVX2", "AVX512") if level.startswith("AVX") and level >= name]
    if "AVX512" in features and torch.cpu._is_avx512_bf16_supported():
        features.append("AVX512-BF16")
    if "AVX512" in features and torch.cpu._is_amx_tile_supported():
        features.append("AMX")
    return features


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices).

    Together with the same versions, device, number of threads and data order this repeats a run bit for bit on a CPU.
    It does not fix GPU kernels that add up in changing order, other library versions, or other hardware.

    >>> set_seed(7); first = torch.rand(1)
    >>> set_seed(7); bool(first == torch.rand(1))
    True
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Package name -> installed version, or "not installed"; first of all Python's own.

    >>> versions(["no-such-package"])["no-such-package"]
    'not installed'
    """
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def describe() -> dict[str, Any]:
    """What counts for training on this machine: system, CPU, threads, memory in GiB, device, precision, and why."""
    device = best_device()
    precision, reason = best_precision(device)
    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cpu features": ", ".join(cpu_features()) or "none that matter here",
        "threads": torch.get_num_threads(),
        "memory GiB": memory_gib(),
        "device": device.type,
        "precision": precision,
        "because": reason,
    }
    if device.type == "cuda":
        facts["device"] = torch.cuda.get_device_name(device)
        facts["device memory GiB"] = round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1)
    return facts


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def memory_gib() -> float | None:
    """Physical memory in GiB; None where the system does not tell (Windows, without psutil)."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def matmul_speed(precision: torch.dtype, device: torch.device, *, size: int = 1024, seconds: float = 0.5) -> float:
    """Measured speed of square matrix products, in TFLOP/s (a product of two n x n matrices is 2 n^3 operations).

    >>> matmul_speed(torch.float32, torch.device("cpu"), size=64, seconds=0.01) > 0
    True
    """
    a, b = (torch.rand(size, size, device=device, dtype=precision) for _ in range(2))
    wait = getattr(torch, device.type).synchronize  # GPUs work in the background: wait before reading the clock
    (a @ b, wait())  # the first product also pays for setting up
    products, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(5):
            a @ b
        wait()
        products += 5
    return 2 * size**3 * products / elapsed / 1e12


def training_memory(model: torch.nn.Module, max_tokens: int) -> float:
    """About how many GiB training this encoder takes with AdamW in bf16 or fp16 autocast, before it starts.

    When the backward pass starts: 12 bytes for each trainable parameter (fp32 weight, two running means), 4 for each
    frozen one, 2 for the 16-bit copy of each, and what the pass needs: 46 bytes for each token, layer and unit of the
    hidden size (measured on BERT and RoBERTa layers with PyTorch 2.13's fused attention). When it is done, 4 more for
    each gradient and the rest is free; the larger of both counts. On an H200, roberta-large took 2 to 5 % less than
    this, with LoRA on every layer 5 to 13 % more, the embedded encoder a tenth more. Attention dropout on a CPU, where
    it is not fused, keeps about 13 bytes more for each head and pair of tokens. Not counted: the framework itself,
    fragmentation, and what gradient checkpointing saves.

    Args:
        model: a transformers model, loaded, with `requires_grad` as it will be trained.
        max_tokens: tokens in a batch, padding included; twice as many for R-Drop.

    >>> from types import SimpleNamespace
    >>> layer = torch.nn.Linear(1024, 1024, bias=False)
    >>> layer.config = SimpleNamespace(num_hidden_layers=1, hidden_size=1024)
    >>> round(training_memory(layer, max_tokens=4096), 3)  # (14 * 1024 * 1024 + 46 * 4096 * 1024) / 2**30
    0.193
    """
    config: Any = model.config
    trainable, frozen = (sum(p.numel() for p in model.parameters() if p.requires_grad == x) for x in (True, False))
    before = 14 * trainable + 6 * frozen + 46 * max_tokens * config.num_hidden_layers * config.hidden_size
    return max(before, 16 * trainable + 4 * frozen) / 2**30
