"""Pruning removes the weights, hidden units and heads that matter least, and the rest goes on working."""

import copy
import math

import pytest
import torch
import transformers
from exported_models import LABELS, check_same_logits, make_dataloader
from torch import nn
from torch.nn.utils import prune
from training_runs import random_examples, small_dataloader, tiny_model, without_dropout

from nbhelpers import batching, encoders, export, objectives, pruning, training

SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, vocab_size=100)
ROBERTA = dict(SIZES, max_position_embeddings=66, pad_token_id=1)
CONFIGS = {
    "bert": transformers.BertConfig(**SIZES),
    "camembert": transformers.CamembertConfig(**ROBERTA, bos_token_id=5, eos_token_id=6),
    "distilbert": transformers.DistilBertConfig(vocab_size=100, dim=32, n_layers=3, n_heads=4, hidden_dim=64),
    "electra": transformers.ElectraConfig(**SIZES),
    "modernbert": transformers.ModernBertConfig(
        **SIZES, pad_token_id=0, bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2
    ),
    "mpnet": transformers.MPNetConfig(**ROBERTA),
    "roberta": transformers.RobertaConfig(**ROBERTA),
    "xlm-roberta": transformers.XLMRobertaConfig(**ROBERTA),
}
OUTPUTS = {"distilbert": "out_lin", "mpnet": "attn.o", "modernbert": "attn.Wo"}  # which layer joins the heads


def make_model(name="bert", seed=0):
    """A classifier with random weights that are large enough for heads and units to differ."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_config(copy.deepcopy(CONFIGS[name]))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def batches(batch_size=4, count=12):
    """Texts of random tokens with labels 0 and 1, in their order."""
    examples = [{**example, "labels": example["labels"] % 2} for example in random_examples(count)]
    return [batching.Collator(1)(examples[row : row + batch_size]) for row in range(0, count, batch_size)]


def linear_weights(model):
    """All weights of the encoder's linear layers."""
    return torch.cat([layer.weight.detach().flatten() for layer in pruning.linear_layers(model).values()])


# --- single weights --------------------------------------------------------------------------------------------------


def test_pruned_weights_are_the_smallest_of_the_encoder(encoder_folders):
    _, model = encoders.load(encoder_folders / "roberta", LABELS)
    pruned = pruning.prune_weights(model, 0.3)
    before, after = linear_weights(model), linear_weights(pruned)
    is_pruned = after == 0
    assert is_pruned.double().mean() == pytest.approx(0.3, abs=1e-3)
    assert before[is_pruned].abs().max() <= before[~is_pruned].abs().min()
    assert torch.equal(after[~is_pruned], before[~is_pruned])
    assert torch.equal(pruned.classifier.weight, model.classifier.weight)


def test_the_smallest_weights_are_those_that_torch_prunes():
    model = make_model()
    pruned = pruning.prune_weights(model, 0.37)
    weights = [(layer, "weight") for layer in pruning.linear_layers(model).values()]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=0.37)
    for module, name in weights:
        prune.remove(module, name)
    assert torch.equal(linear_weights(pruned), linear_weights(model))


def test_scores_are_ranked_with_their_sign():
    """torch's pruning would take their absolute value, and remove what hardly moved before what shrank."""
    model = make_model()
    scores = {name: torch.ones_like(layer.weight) for name, layer in pruning.linear_layers(model).items()}
    names = list(scores)
    scores[names[3]][:] = -5.0
    count = scores[names[3]].numel()
    pruned = pruning.prune_weights(model, count / linear_weights(model).numel(), scores=scores)
    shares = {name: (layer.weight == 0).double().mean() for name, layer in pruning.linear_layers(pruned).items()}
    assert shares == {name: float(name == names[3]) for name in names}


@pytest.mark.parametrize("change", ["fewer", "other"])
def test_scores_of_another_model_are_refused(change):
    scores = {name: layer.weight.detach() for name, layer in pruning.linear_layers(make_model()).items()}
    name = next(iter(scores))
    scores[name] = scores[name][:1]
    if change == "fewer":
        del scores[name]
    with pytest.raises(ValueError, match="the scores belong to another model; pass those that track_movement made"):
        pruning.prune_weights(make_model(), 0.5, scores=scores)


class Regression(nn.Module):
    """Two inputs and two weights. The first weight starts large, but the target depends on the second input alone."""

    def __init__(self):
        super().__init__()
        self.base_model = nn.Sequential(nn.Linear(2, 1, bias=False))
        self.base_model[0].weight.data = torch.tensor([[2.0, 0.1]])
        self.inputs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])

    def loss(self):
        return (self.base_model(self.inputs)[:, 0] - self.inputs[:, 1]).square().mean()


def test_movement_keeps_what_the_task_needs_and_magnitude_what_was_large():
    model = Regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    scores = pruning.track_movement(model, optimizer)
    for _ in range(10):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()
    first, second = model.base_model[0].weight[0].tolist()
    assert first > second > 0.1  # the first weight shrinks and is still the larger one
    assert scores["0"][0, 0] < 0 < scores["0"][0, 1]
    magnitude, movement = pruning.prune_weights(model, 0.5), pruning.prune_weights(model, 0.5, scores=scores)
    assert magnitude.base_model[0].weight[0].tolist() == [first, 0.0]
    assert movement.base_model[0].weight[0].tolist() == [0.0, second]
    assert movement.loss() < 1 < magnitude.loss()  # at equal sparsity; 1 is the loss without any weight


def test_scores_are_minus_the_sum_of_weight_times_gradient():
    model = Regression()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scores, expected = pruning.track_movement(model, optimizer), torch.zeros(1, 2)
    weight = model.base_model[0].weight
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(2):  # two batches for each update: their gradients are added up
            model.loss().backward()
        expected -= weight.detach() * weight.grad
        optimizer.step()
    torch.testing.assert_close(scores["0"], expected)


def test_updates_that_overflow_in_fp16_do_not_count():
    """A fused optimizer steps in spite of the overflow, and skips the update inside its kernel."""
    model = Regression()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    scores, scaler = pruning.track_movement(model, optimizer), torch.amp.GradScaler("cpu", init_scale=4.0)
    for factor, changes in ((1.0, True), (math.inf, False), (1.0, True)):
        before, weight = scores["0"].clone(), model.base_model[0].weight.detach().clone()
        optimizer.zero_grad()
        scaler.scale(model.loss() * factor).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(scores["0"], before) != changes
        assert torch.equal(model.base_model[0].weight, weight) != changes
        assert scores["0"].isfinite().all()


@pytest.mark.slow
def test_the_loop_and_the_trainer_give_the_same_scores(tmp_path):
    results = []
    for run in ("fit", "trainer"):
        model = without_dropout(tiny_model())
        optimizer, dataloader = training.make_optimizer(model, 1e-3), small_dataloader()
        scores, options = pruning.track_movement(model, optimizer), {"gradient_accumulation_steps": 2}
        if run == "fit":
            scheduler = training.make_scheduler(optimizer, training.updates_per_epoch(dataloader, 2))
            training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, num_epochs=1, **options)
        else:
            args = training.make_training_arguments(tmp_path, num_epochs=1, metric_for_best_model=None, **options)
            training.Trainer(model, args, objectives.cross_entropy, dataloader, optimizer=optimizer).train()
        results.append(torch.cat([score.flatten() for score in scores.values()]))
    assert results[0].abs().sum() > 0
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("held", [True, False])
def test_zeros_stay_only_if_they_are_held(held):
    model = without_dropout(pruning.prune_weights(make_model(), 0.6)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    handle = pruning.keep_zeros(model, optimizer) if held else None
    is_zero, before = linear_weights(model) == 0, linear_weights(model).clone()
    for batch in batches():
        optimizer.zero_grad()
        objectives.cross_entropy(model, batch).backward()
        optimizer.step()
    assert (linear_weights(model)[is_zero] == 0).all() == held
    assert (linear_weights(model)[~is_zero] != before[~is_zero]).double().mean() > 0.9
    if held:
        handle.remove()
        optimizer.step()
        assert (linear_weights(model)[is_zero] != 0).any()


@pytest.mark.parametrize("function", [pruning.keep_zeros, pruning.track_movement])
def test_the_optimizer_of_the_original_is_refused(function):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="the optimizer trains none of the encoder's linear layers; make a new one"):
        function(pruning.prune_weights(model, 0.5), optimizer)


def test_holding_zeros_of_a_dense_model_is_refused():
    model = make_model()
    with pytest.raises(ValueError, match="no weight of the model is 0; call prune_weights first"):
        pruning.keep_zeros(model, torch.optim.SGD(model.parameters(), lr=0.1))


# --- importance ------------------------------------------------------------------------------------------------------


def expected_importance(model, layer, num_gates):
    """The mean over texts of |d loss / d gate|, one text at a time, from the gradients of the layer's weights.

    A gate multiplies some columns' inputs, so its derivative is the sum of weight x gradient over these columns.
    """
    total = torch.zeros(num_gates)
    for batch in batches(batch_size=1):
        model.zero_grad()
        objectives.cross_entropy(model, batch).backward()
        total += (layer.weight * layer.weight.grad).detach().sum(0).view(num_gates, -1).sum(1).abs()
    model.zero_grad()
    return total / 12


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_head_importance_is_the_mean_absolute_gradient_of_the_gates(name):
    model = make_model(name)
    importance = pruning.head_importance(model, batches(), objectives.cross_entropy)
    ending = OUTPUTS.get(name, "attention.output.dense")
    outputs = [module for module_name, module in model.named_modules() if module_name.endswith(ending)]
    assert len(importance) == len(outputs) == 3
    for layer_importance, output in zip(importance, outputs, strict=True):
        torch.testing.assert_close(layer_importance, expected_importance(model, output, 4), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("chunk_size", [0, 1])  # whether the feed-forward block reads all tokens at once
def test_unit_importance_is_the_mean_absolute_gradient_of_the_gates(chunk_size):
    model = make_model()
    importance = pruning.unit_importance(model, batches(), objectives.cross_entropy)
    expected = [expected_importance(model, layer.output.dense, 64) for layer in model.bert.encoder.layer]
    torch.testing.assert_close(torch.stack(importance), torch.stack(expected), rtol=1e-3, atol=1e-6)
    for layer in model.bert.encoder.layer:
        layer.chunk_size_feed_forward = chunk_size
    again = pruning.unit_importance(model, batches(), objectives.cross_entropy)
    torch.testing.assert_close(torch.stack(again), torch.stack(importance), rtol=1e-3, atol=1e-6)


def test_importance_does_not_depend_on_the_batches():
    model = make_model()
    one, four, all_at_once = (
        torch.stack(pruning.head_importance(model, batches(size), objectives.cross_entropy)) for size in (1, 4, 12)
    )
    torch.testing.assert_close(four, one, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(all_at_once, one, rtol=1e-3, atol=1e-6)
    # the absolute value of a batch's gradient, in which texts cancel each other, would be smaller
    objectives.cross_entropy(model, batches(12)[0]).backward()
    dense = model.bert.encoder.layer[0].attention.output.dense
    of_the_batch = (dense.weight * dense.weight.grad).sum(0).view(4, -1).sum(1).abs()
    assert (of_the_batch < 0.9 * one[0]).any()
    assert (of_the_batch <= one[0] + 1e-6).all()


def test_texts_without_a_label_do_not_count():
    model = make_model("roberta")
    expected = pruning.head_importance(model, batches(), objectives.cross_entropy)
    more = batches()
    for batch in batches():
        more.append({**batch, "labels": torch.full_like(batch["labels"], -100)})
    again = pruning.head_importance(model, more, lambda model, batch: model(**batch).loss)
    torch.testing.assert_close(torch.stack(again), torch.stack(expected), rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match="no text has a label, so there is no loss to measure importance by"):
        pruning.unit_importance(model, more[3:], objectives.cross_entropy)


def test_measuring_leaves_the_model_as_it_is():
    model = make_model().train()
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)  # a frozen encoder has importance as well
    before = [parameter.clone() for parameter in model.parameters()]
    first = pruning.head_importance(model, batches(), objectives.cross_entropy)
    second = pruning.head_importance(model, batches(), objectives.cross_entropy)
    assert all(torch.equal(a, b) and (a > 0).all() for a, b in zip(first, second, strict=True))  # without dropout
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))

    def fail(model, batch):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        pruning.unit_importance(model, batches(), fail)
    assert not any(module._forward_pre_hooks for module in model.modules())


# --- hidden units ----------------------------------------------------------------------------------------------------


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


def test_units_are_removed_by_their_importance():
    model = make_model()
    importance = [torch.arange(64.0).roll(layer) for layer in range(3)]
    pruned = pruning.prune_units(model, 0.75, importance=importance)
    for layer, (before, after) in enumerate(zip(model.bert.encoder.layer, pruned.bert.encoder.layer, strict=True)):
        kept = importance[layer] >= 48
        assert torch.equal(after.intermediate.dense.weight, before.intermediate.dense.weight[kept])
        assert torch.equal(after.output.dense.weight, before.output.dense.weight[:, kept])
    measured = pruning.unit_importance(model, batches(), objectives.cross_entropy)
    by_data, by_norm = pruning.prune_units(model, 0.5, importance=measured), pruning.prune_units(model, 0.5)
    assert not torch.equal(linear_weights(by_data), linear_weights(by_norm))


def test_an_architecture_with_other_feed_forward_blocks_is_refused(encoder_folders):
    _, model = encoders.load(encoder_folders / "modernbert", LABELS)
    with pytest.raises(
        pruning.PruningError, match="of modernbert are of a kind that cannot be pruned; use prune_weigh"
    ):
        pruning.prune_units(model, 0.5)
    pruning.prune_weights(model, 0.5)


# --- heads -----------------------------------------------------------------------------------------------------------


def heads_of(model):
    """The number of heads in each layer; each is 8 wide."""
    return [block[0].out_features // 8 for block in pruning.attention_blocks(model).values()]


@pytest.mark.parametrize("name", sorted(pruning.ATTENTION_LAYERS))
def test_removing_heads_without_effect_changes_nothing_and_can_be_loaded(name, tmp_path):
    model, batch = make_model(name), batches()[0]
    for (*_, output), heads in zip(pruning.attention_blocks(model).values(), ([1], [0, 3], []), strict=True):
        output.weight.data.unflatten(1, (4, 8))[:, heads] = 0
    pruned = pruning.prune_heads(model, 0.25)
    assert heads_of(pruned) == [3, 2, 4]
    assert heads_of(model) == [4, 4, 4]
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = model(**inputs).logits
    torch.testing.assert_close(pruned(**inputs).logits, expected, atol=1e-5, rtol=1e-4)
    pruned.save_pretrained(tmp_path)
    model_class = transformers.AutoModelForSequenceClassification
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):  # it fails, instead of drawing random heads
        model_class.from_pretrained(tmp_path)
    full = model_class.from_config(transformers.AutoConfig.from_pretrained(tmp_path))
    loaded = pruning.load_pruned(full, tmp_path)
    assert torch.equal(loaded(**inputs).logits, pruned(**inputs).logits)


def test_transformers_does_not_remove_heads_itself():
    """Versions before 5 had `prune_heads`, and saved the numbers of the heads in the configuration."""
    assert not hasattr(transformers.PreTrainedModel, "prune_heads")
    for config in (CONFIGS["bert"], CONFIGS["roberta"]):
        two_heads = copy.deepcopy(config)
        two_heads.num_attention_heads = 2  # of half the width: the heads become wider instead
        model = transformers.AutoModelForSequenceClassification.from_config(two_heads)
        assert model.base_model.encoder.layer[0].attention.self.query.out_features == 32


def test_heads_and_units_of_a_classifier_with_mean_pooling(tmp_path):
    model = without_dropout(tiny_model(num_hidden_layers=3, num_attention_heads=4)).eval()
    importance = pruning.head_importance(model, batches(), objectives.cross_entropy)
    pruned = pruning.prune_heads(pruning.prune_units(model, 0.5), 0.5, importance=importance)
    assert sum(heads_of(pruned)) == 6
    pruned.save_pretrained(tmp_path)
    full = encoders.MeanPoolingClassifier(transformers.AutoConfig.from_pretrained(tmp_path))
    loaded = pruning.load_pruned(full, tmp_path)
    dataloader = small_dataloader()
    assert torch.equal(training.predict(loaded, dataloader), training.predict(pruned, dataloader))
    again = pruning.prune_heads(loaded, 0.5)  # in steps: what is left can be pruned again
    assert sum(heads_of(again)) == 3
    pruning.head_importance(loaded, batches(), objectives.cross_entropy)
    objectives.cross_entropy(again.train(), batches()[0]).backward()  # and be trained
    assert all(parameter.grad is not None for parameter in again.parameters())


def test_heads_are_compared_after_each_layer_is_normalized():
    model = make_model()
    importance = [torch.tensor([3.0, 1.0, 2.0, 4.0]), torch.tensor([2.0, 1.0, 8.0, 9.0]), torch.ones(4)]
    scaled = [layer * factor for layer, factor in zip(importance, (1.0, 1e-6, 1e6), strict=True)]
    pruned, same = (pruning.prune_heads(model, 0.25, importance=x) for x in (importance, scaled))
    assert heads_of(pruned) == heads_of(same) == [3, 2, 4]
    query, kept = (x.bert.encoder.layer[1].attention.self.query.weight for x in (model, pruned))
    assert torch.equal(kept, query[16:])
    assert importance[2].isfinite().all()  # the argument is left alone


def test_one_head_remains_in_each_layer():
    importance = [torch.tensor([1.0, 1.0, 0.0, 0.0])] * 2 + [torch.ones(4)]  # the last layer's are 0.5 and not 0.7
    pruned = pruning.prune_heads(make_model(), 0.99, importance=importance)
    assert heads_of(pruned) == [1, 1, 1]
    assert pruned(**batches()[0]).logits.isfinite().all()
    assert heads_of(pruning.prune_heads(make_model(), 0.0)) == [4, 4, 4]


@pytest.mark.slow
def test_a_model_with_fewer_heads_is_exported_like_any_other(encoder_folders, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    pruned = pruning.prune_heads(model.eval(), 0.25)
    export.export(pruned, tokenizer, tmp_path)
    check_same_logits(tokenizer, pruned, export.load_exported(tmp_path)[1], "mean")


@pytest.mark.parametrize("name", ["mpnet", "modernbert"])
def test_architectures_whose_heads_cannot_go_are_refused(name):
    with pytest.raises(pruning.PruningError, match=f"the heads of {name} cannot be removed, only those of bert"):
        pruning.prune_heads(make_model(name), 0.5)


def test_loading_something_else_is_refused(tmp_path):
    pruning.prune_heads(make_model(), 0.25).save_pretrained(tmp_path)
    with pytest.raises(pruning.PruningError, match=r"has no fitting weights of roberta\.encoder\.layer\.0"):
        pruning.load_pruned(make_model("roberta"), tmp_path)
    deeper = transformers.BertForSequenceClassification(transformers.BertConfig(**{**SIZES, "vocab_size": 99}))
    with pytest.raises(pruning.PruningError, match="has the weights of another model; pass one made from its configu"):
        pruning.load_pruned(deeper, tmp_path)


@pytest.mark.parametrize("prune", [pruning.prune_units, pruning.prune_heads])
def test_importance_of_another_model_is_refused(prune):
    with pytest.raises(ValueError, match=r"has \[4, 5\] numbers for the layers, but the model has \[(64|4), .*; measu"):
        prune(make_model(), 0.5, importance=[torch.ones(4), torch.ones(5)])


@pytest.mark.parametrize("prune", [pruning.prune_units, pruning.prune_weights, pruning.prune_heads])
@pytest.mark.parametrize("amount", [1, -0.1])
def test_an_amount_out_of_range_is_refused(prune, amount):
    with pytest.raises(ValueError, match=f"amount={amount}: pass the share to remove, from 0 to below 1"):
        prune(nn.Linear(2, 2), amount)
