"""The optimizer's learning rates and weight decay, the schedules, and freezing the encoder."""

import pytest
import torch
import transformers
from training_runs import tiny_model, train
from transformers import BertConfig, RobertaConfig

from nbhelpers import adapters, training


def settings_by_name(model, optimizer):
    """name -> (learning rate, weight decay) of every parameter that the optimizer has."""
    by_id = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters() if id(p) in by_id}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(
    "config_class", [BertConfig, RobertaConfig, transformers.ModernBertConfig, transformers.DistilBertConfig]
)
def test_layer_decay_head_lr_and_no_weight_decay_for_biases(pooling, config_class):
    options = {"pad_token_id": 1} if config_class is transformers.ModernBertConfig else {}
    model = tiny_model(pooling=pooling, config_class=config_class, **options)
    optimizer = training.make_optimizer(model, 1.0, head_lr=7.0, layer_decay=0.5, weight_decay=0.1)
    settings = settings_by_name(model, optimizer)
    assert len(settings) == len(list(model.named_parameters()))
    for name, (lr, weight_decay) in settings.items():
        if not training.is_encoder(model, name):
            assert lr == 7.0, name
        elif "embeddings" in name:
            assert lr == 0.25, name
        elif ".0." in name:
            assert lr == 0.5, name
        else:
            assert lr == 1.0, name
        assert weight_decay == (0.1 if model.get_parameter(name).ndim > 1 else 0.0)
    assert optimizer.defaults["fused"]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_freezing_leaves_only_the_head_trainable(pooling):
    model = tiny_model(pooling=pooling, config_class=RobertaConfig)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    training.freeze_encoder(model)
    train(model)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed
    assert all(name.startswith("classifier") for name in changed)


@pytest.mark.parametrize("prefix", ["", "module.", "base_model.model.", "module._orig_mod."])
def test_encoder_parameters_are_recognized_under_peft_ddp_and_compile(prefix):
    model = tiny_model(pooling="cls", config_class=transformers.ModernBertConfig, pad_token_id=1)
    assert training.is_encoder(model, f"{prefix}model.layers.0.attn.Wqkv.weight")
    assert not training.is_encoder(model, f"{prefix}classifier.weight")


@pytest.mark.parametrize(("schedule", "halfway_down"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_schedules_warm_up_and_end_at_the_right_rate(schedule, halfway_down):
    optimizer = training.make_optimizer(tiny_model(), 1.0)
    scheduler = training.make_scheduler(optimizer, 100, schedule=schedule, warmup_ratio=0.1)
    rates = []
    for _ in range(100):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[0] == 0
    assert max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(halfway_down, abs=0.01)
    assert scheduler.get_last_lr()[0] == pytest.approx(1.0 if schedule == "constant" else 0.0)


def schedule_named(name, warmup_ratio=0.1):
    optimizer = training.make_optimizer(tiny_model(), 1.0)
    training.make_scheduler(optimizer, 10, schedule=name, warmup_ratio=warmup_ratio)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: schedule_named("step"), "schedule 'step' is not one of linear, cosine, constant"),
        (lambda: schedule_named("linear", warmup_ratio=1), "warmup_ratio=1 is not a share of all steps"),
        (
            lambda: training.make_optimizer(tiny_model().requires_grad_(False), 1.0),
            "no parameter of the model is trainable",
        ),
        (
            lambda: training.make_optimizer(torch.nn.Sequential(torch.nn.Linear(2, 2)), 1e-3),
            "a Sequential has no base_model_prefix",
        ),
    ],
)
def test_errors_of_optimizer_and_schedule_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_ia3_factors_get_no_weight_decay_and_other_adapters_do():
    model = adapters.ia3(tiny_model())
    settings = settings_by_name(model, training.make_optimizer(model, 1.0, weight_decay=0.1))
    factors = {name: decay for name, (_, decay) in settings.items() if "ia3_l" in name}
    assert factors
    assert set(factors.values()) == {0.0}
    model = adapters.lora(tiny_model(), r=1)
    settings = settings_by_name(model, training.make_optimizer(model, 1.0, weight_decay=0.1))
    assert {decay for name, (_, decay) in settings.items() if "lora_" in name} == {0.1}
