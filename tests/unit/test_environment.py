"""Precision follows the hardware; seeds repeat."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nbhelpers import environment


@pytest.mark.parametrize(
    ("capability", "precision"),
    [((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((8, 9), "bf16"), ((9, 0), "bf16")],
)
def test_precision_on_nvidia_gpus(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    chosen, reason = environment.best_precision(SimpleNamespace(type="cuda"))
    assert chosen == precision
    assert f"{capability[0]}.{capability[1]}" in reason


@pytest.mark.parametrize(
    ("features", "precision"),
    [
        (["AVX2"], "fp32"),
        (["AVX2", "AVX512"], "fp32"),
        (["AVX512", "AVX512-BF16"], "bf16"),
        (["AVX512", "AMX"], "bf16"),
        ([], "fp32"),
    ],
)
def test_precision_on_cpus(monkeypatch, features, precision):
    monkeypatch.setattr(environment, "cpu_features", lambda: features)
    assert environment.best_precision(torch.device("cpu"))[0] == precision


def test_precision_on_apple_gpus():
    assert environment.best_precision(torch.device("mps"))[0] == "fp32"


@pytest.mark.parametrize(
    ("level", "found"),
    [("DEFAULT", []), ("AVX2", ["AVX2"]), ("AVX512", ["AVX2", "AVX512", "AVX512-BF16", "AMX"]), ("NO AVX", [])],
)
def test_cpu_features_respect_what_torch_may_use(monkeypatch, level, found):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert environment.cpu_features() == found


def test_a_seed_repeats_torch_and_numpy():
    def draw():
        environment.set_seed(3)
        return torch.rand(2).tolist(), np.random.rand(2).tolist()

    assert draw() == draw()


def test_describe_names_device_precision_and_reason():
    facts = environment.describe()
    assert facts["precision"] in ("fp32", "bf16", "fp16")
    assert facts["because"]
    assert facts["threads"] >= 1
