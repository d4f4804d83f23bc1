"""A temperature in the last layer divides the logits of every architecture, and changes nothing else."""

import pytest
import torch
from exported_models import CONFIGS

from nbhelpers import adapters, encoders, training


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_logits_of_every_architecture_are_divided(encoder_folders, name, pooling, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / name, ("calm", "angry", "sad"), pooling=pooling)
    batch = {
        key: value for key, value in tokenizer(["Sold it."], return_tensors="pt").items() if key != "token_type_ids"
    }
    with torch.no_grad():
        for parameter in model.classifier.parameters():  # a new head has a bias of 0
            parameter.normal_()
        before = model.eval()(**batch).logits
        training.scale_logits(model, 1.7)
        assert torch.allclose(model(**batch).logits, before / 1.7, atol=1e-5)
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        reloaded = encoders.load_trained(tmp_path)[1].eval()
        assert torch.allclose(reloaded(**batch).logits, before / 1.7, atol=1e-5)


def test_errors_of_scale_logits_are_readable():
    _, model = encoders.load("embedded", ("calm", "angry", "sad"))
    for temperature in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="is not a positive number"):
            training.scale_logits(model, temperature)
    model.classifier = torch.nn.Linear(384, 2)
    with pytest.raises(ValueError, match="no linear layer of its own with 3 outputs at its end"):
        training.scale_logits(model, 2.0)


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_the_head_beside_an_adapter_is_scaled(method):
    _, model = encoders.load("embedded", ("calm", "angry", "sad"))
    adapted = getattr(adapters, method)(model).eval()
    batch = {"input_ids": torch.tensor([[101, 2129, 102]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    before = adapted(**batch).logits
    training.scale_logits(adapted, 2.0)
    assert torch.allclose(adapted(**batch).logits, before / 2, atol=1e-6)
    assert torch.allclose(adapters.merge(adapted)(**batch).logits, before / 2, atol=1e-5)
