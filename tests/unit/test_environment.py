"""Precision follows the hardware; seeds repeat."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers

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


def test_the_same_seed_gives_the_same_random_numbers():
    def draw():
        environment.set_seed(3)
        return torch.rand(2).tolist(), np.random.rand(2).tolist()

    assert draw() == draw()


def test_describe_names_device_precision_and_reason():
    facts = environment.describe()
    assert facts["precision"] in ("fp32", "bf16", "fp16")
    assert facts["because"]
    assert facts["threads"] >= 1


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_training_memory_is_what_the_backward_pass_keeps(kind):
    """Against the tensors that autograd really holds, and the state that AdamW really has."""
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=128, num_hidden_layers=3, num_attention_heads=2, intermediate_size=512, vocab_size=100,
        attention_probs_dropout_prob=0.0, max_position_embeddings=80,
    )  # fmt: skip
    model = getattr(transformers, f"{kind}Model")(config, add_pooling_layer=False).train()
    own, kept = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def hold(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), storage)  # held: its address must not be used again
        return tensor

    ids = torch.randint(5, 90, (16, 64))
    with torch.autograd.graph.saved_tensors_hooks(hold, lambda x: x), torch.autocast("cpu", torch.bfloat16):
        model(ids, torch.ones_like(ids)).last_hidden_state.float().sum()
    parameters = sum(p.numel() for p in model.parameters())
    measured = 12 * parameters + sum(size for address, (size, _) in kept.items() if address not in own)
    assert environment.training_memory(model, ids.numel()) == pytest.approx(measured / 2**30, rel=0.15)
    model.requires_grad_(False)
    assert environment.training_memory(model, 0) == pytest.approx(6 * parameters / 2**30)
