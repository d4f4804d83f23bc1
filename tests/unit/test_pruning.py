"""Pruning removes the smallest weights, and the hidden units that matter least."""

import pytest
import torch
from exported_models import LABELS, make_dataloader
from torch import nn

from nbhelpers import encoders, pruning, training


def linear_weights(model):
    """All weights of the encoder's linear layers."""
    return torch.cat([m.weight.detach().flatten() for m in model.encoder.modules() if isinstance(m, nn.Linear)])


def test_pruned_weights_are_the_smallest_of_the_encoder(encoder_folders):
    _, model = encoders.load(encoder_folders / "roberta", LABELS)
    pruned = pruning.prune_weights(model, 0.3)
    before, after = linear_weights(model), linear_weights(pruned)
    is_pruned = after == 0
    assert is_pruned.double().mean() == pytest.approx(0.3, abs=1e-3)
    assert before[is_pruned].abs().max() <= before[~is_pruned].abs().min()
    assert torch.equal(after[~is_pruned], before[~is_pruned])
    assert torch.equal(pruned.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize("mode", ["cls", "mean"])
@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra", "deberta-v2", "mpnet"])
def test_removing_units_without_effect_changes_nothing(encoder_folders, tmp_path, name, mode):
    tokenizer, model = encoders.load(encoder_folders / name, LABELS, pooling=mode)
    for module_name, module in model.base_model.named_modules():
        if module_name.endswith(("layer.0.output.dense", "layer.1.output.dense", "ffn.lin2")):
            module.weight.data[:, ::4] = 0  # nothing reads every fourth unit
    pruned = pruning.prune_units(model, 0.25)
    dataloader = make_dataloader(tokenizer, mode)
    expected = training.predict(model, dataloader)
    torch.testing.assert_close(training.predict(pruned, dataloader), expected, atol=1e-5, rtol=0)
    for variant, folder in ((model, tmp_path / "full"), (pruned, tmp_path / "pruned")):
        variant.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    full, small = ((tmp_path / kind / "model.safetensors").stat().st_size for kind in ("full", "pruned"))
    assert small < full
    _, loaded = encoders.load_trained(tmp_path / "pruned")
    torch.testing.assert_close(training.predict(loaded, dataloader), expected, atol=1e-5, rtol=0)


def test_an_architecture_with_other_feed_forward_blocks_is_refused(encoder_folders):
    _, model = encoders.load(encoder_folders / "modernbert", LABELS)
    with pytest.raises(
        pruning.PruningError, match="of modernbert are of a kind that cannot be pruned; use prune_weigh"
    ):
        pruning.prune_units(model, 0.5)
    pruning.prune_weights(model, 0.5)


@pytest.mark.parametrize("prune", [pruning.prune_units, pruning.prune_weights])
@pytest.mark.parametrize("amount", [1, -0.1])
def test_an_amount_out_of_range_is_refused(prune, amount):
    with pytest.raises(ValueError, match=f"amount={amount}: pass the share to remove, from 0 to below 1"):
        prune(nn.Linear(2, 2), amount)
