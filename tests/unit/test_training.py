"""The loop and the Trainer: same curve, right gradients, repeatable, resumable."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn
from transformers import BertConfig, RobertaConfig

from nbhelpers import batching, encoders, objectives, training

SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=100)


def tiny_model(seed=0, pooling="mean", kind=BertConfig, **options):
    torch.manual_seed(seed)
    config = kind(**{**SIZES, "num_labels": 3, "max_position_embeddings": 66, **options})
    if pooling == "mean":
        return encoders.MeanPoolingClassifier(config)
    return transformers.AutoModelForSequenceClassification.from_config(config)


def examples(count=50, seed=0):
    draw = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        length = int(torch.randint(3, 20, (), generator=draw))
        ids = torch.randint(4, 100, (length,), generator=draw).tolist()
        rows.append({"input_ids": ids, "labels": ids[0] % 3})
    return rows


def batches(rows=None, **options):
    return batching.make_dataloader(rows or examples(), pad_token_id=1, **{"batch_size": 8, **options})


def train(model, *, num_epochs=2, objective=objectives.cross_entropy, data=None, **options):
    data = data or batches()
    optimizer = training.make_optimizer(model, 1e-3)
    steps = training.updates_per_epoch(data, options.get("gradient_accumulation_steps", 1)) * num_epochs
    scheduler = training.make_scheduler(optimizer, steps)
    torch.manual_seed(1)
    return training.fit(model, data, objective, optimizer, scheduler, num_epochs=num_epochs, **options)


def train_by_trainer(model, folder, *, num_epochs=2, objective=objectives.cross_entropy, data=None, resume=False,
                     callbacks=None, dev=None, patience=None, threshold=0.0, compute_metrics=None,
                     **options):  # fmt: skip
    data = data or batches()
    arguments = training.make_training_arguments(
        folder, num_epochs=num_epochs, seed=1, **{"score": None, "logging_steps": 1, **options}
    )
    optimizer = training.make_optimizer(model, 1e-3)
    trainer = training.Trainer(model, arguments, objective, data, dev, optimizer=optimizer, callbacks=callbacks,
                               patience=patience, threshold=threshold, compute_metrics=compute_metrics)  # fmt: skip
    torch.manual_seed(1)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loop_and_trainer_give_the_same_curve_and_weights(tmp_path, gradient_accumulation_steps, precision):
    by_loop, by_trainer = tiny_model(), tiny_model()
    history = train(by_loop, gradient_accumulation_steps=gradient_accumulation_steps, precision=precision)
    trainer = train_by_trainer(
        by_trainer, tmp_path, gradient_accumulation_steps=gradient_accumulation_steps, precision=precision
    )
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses == pytest.approx([row["train_loss"] for row in history], abs=1e-6)
    assert len(losses) == 2 * math.ceil(len(batches()) / gradient_accumulation_steps)
    assert same_weights(by_loop, by_trainer)


def test_two_runs_with_one_seed_give_identical_weights():
    first, second, other = tiny_model(), tiny_model(), tiny_model()
    train(first)
    train(second)
    train(other, data=batches(seed=5))
    assert same_weights(first, second)
    assert not same_weights(first, other)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


OBJECTIVES = {
    "plain": objectives.cross_entropy,
    "class weights": partial(objectives.cross_entropy, class_weights=torch.tensor([1.0, 5.0, 0.2])),
    "label smoothing": partial(objectives.cross_entropy, label_smoothing=0.2),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", [BertConfig, RobertaConfig])
def test_uneven_micro_batches_give_the_gradient_of_one_big_batch(tmp_path, name, pooling, kind):
    rows = examples(13)  # 5 + 5 + 3: the last micro-batch is smaller

    def first_gradient(size, by_trainer):
        model = without_dropout(tiny_model(pooling=pooling, kind=kind))
        kept = {}
        data = batches(rows, batch_size=size, shuffle=False)
        micro = math.ceil(13 / size)

        class Keep(transformers.TrainerCallback):
            def on_pre_optimizer_step(self, args, state, control, **_):
                kept.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

        if by_trainer:
            trainer = train_by_trainer(model, tmp_path, num_epochs=1, objective=OBJECTIVES[name], data=data,
                                       gradient_accumulation_steps=micro, max_grad_norm=1e9, callbacks=[Keep()])  # fmt: skip
            return kept, trainer.state.log_history[0]["loss"]
        optimizer = training.make_optimizer(model, 1e-3)
        optimizer.register_step_pre_hook(lambda *_: Keep().on_pre_optimizer_step(None, None, None))
        scheduler = training.make_scheduler(optimizer, 1)
        history = training.fit(
            model,
            data,
            OBJECTIVES[name],
            optimizer,
            scheduler,
            num_epochs=1,
            gradient_accumulation_steps=micro,
            max_grad_norm=1e9,
        )
        return kept, history[0]["train_loss"]

    whole, loss = first_gradient(13, by_trainer=False)
    for size, by_trainer in ((5, False), (5, True), (13, True)):
        parts, other = first_gradient(size, by_trainer)
        assert other == pytest.approx(loss, abs=1e-5)
        assert parts.keys() == whole.keys()
        for parameter, gradient in whole.items():
            torch.testing.assert_close(parts[parameter], gradient, atol=1e-6, rtol=1e-4)


def test_stock_trainer_still_has_the_fault_that_lesson_3_shows(tmp_path):
    def first_loss(size):
        model = without_dropout(tiny_model(pooling="cls", kind=RobertaConfig))
        arguments = training.make_training_arguments(tmp_path, num_epochs=1, gradient_accumulation_steps=12 // size, metric_for_best_model=None, logging_steps=1,
                                       per_device_train_batch_size=size)  # fmt: skip
        trainer = transformers.Trainer(model, arguments, batching.Collator(1), examples(12))
        trainer.train()
        return trainer.state.log_history[0]["loss"]

    assert first_loss(3) == pytest.approx(4 * first_loss(12), rel=0.1)


def test_token_labels_count_by_token_not_by_row():
    model = lambda input_ids, attention_mask: SimpleNamespace(logits=scores[input_ids])  # noqa: E731
    scores = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": [4, 5, 6], "labels": [0, -100, 1]}, {"input_ids": [7], "labels": [2]}]
    collate = batching.Collator(1)
    whole = objectives.cross_entropy(model, collate(rows))
    parts = [collate([row]) for row in rows]
    total = sum(training.num_labeled(part) for part in parts)
    summed = sum(objectives.cross_entropy(model, part) * training.num_labeled(part) / total for part in parts)
    assert total == 3
    torch.testing.assert_close(summed, whole)


def test_evaluation_is_plain_cross_entropy_whatever_the_objective(tmp_path):
    model, dev = tiny_model(), batches(examples(20, seed=3), shuffle=False)
    calls = []

    def objective(model, batch):
        calls.append(model.training)
        return objectives.cross_entropy(model, batch) + 100

    trainer = train_by_trainer(model, tmp_path, objective=objective, dev=dev, num_epochs=1)
    logits = training.predict(model, dev)
    plain = nn.functional.cross_entropy(logits, torch.tensor([row["labels"] for row in dev.dataset]))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(plain.item(), abs=1e-5)
    assert all(calls)
    assert trainer.state.log_history[0]["loss"] > 100


def test_keeps_the_best_epoch_and_stops_early():
    model, seen = tiny_model(), []
    scores = iter([0.3, 0.6, 0.5, 0.4, 0.9])

    def evaluate(model):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(scores)

    history = train(model, num_epochs=5, evaluate=evaluate, patience=2)
    assert [row["dev_score"] for row in history if "dev_score" in row] == [0.3, 0.6, 0.5, 0.4]
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in model.state_dict().items())


def test_trainer_keeps_the_best_checkpoint_stops_early_and_writes_tensorboard(tmp_path):
    scripted = iter([0.3, 0.6, 0.5, 0.4, 0.9])
    trainer = train_by_trainer(
        tiny_model(), tmp_path, num_epochs=5, dev=batches(shuffle=False), patience=2, tensorboard=True,
        score="accuracy", compute_metrics=lambda _: {"accuracy": next(scripted)},
    )  # fmt: skip
    assert [row["eval_accuracy"] for row in trainer.state.log_history if "eval_accuracy" in row] == [0.3, 0.6, 0.5, 0.4]
    best = tmp_path / f"checkpoint-{2 * len(batches())}"
    assert trainer.state.best_model_checkpoint == str(best)
    weights = encoders.MeanPoolingClassifier.from_pretrained(best, config=trainer.model.config)
    assert same_weights(trainer.model, weights)
    assert list(tmp_path.glob("**/events.out.tfevents*"))


@pytest.mark.parametrize(("threshold", "epochs"), [(0.0, 6), (0.05, 4), (0.3, 3)])
def test_small_gains_wear_out_patience_but_the_best_weights_are_kept(tmp_path, threshold, epochs):
    scores = [0.30, 0.42, 0.44, 0.45, 0.46, 0.47]
    by_loop, by_trainer, given, scripted = tiny_model(), tiny_model(), iter(scores), iter(scores)
    settings = dict(num_epochs=6, patience=2, threshold=threshold)
    history = train(by_loop, evaluate=lambda model: next(given), **settings)
    trainer = train_by_trainer(
        by_trainer, tmp_path, dev=batches(shuffle=False), score="accuracy",
        compute_metrics=lambda _: {"accuracy": next(scripted)}, **settings,
    )  # fmt: skip
    assert [row["dev_score"] for row in history if "dev_score" in row] == scores[:epochs]
    assert [row["eval_accuracy"] for row in trainer.state.log_history if "eval_accuracy" in row] == scores[:epochs]
    assert trainer.state.best_metric == scores[epochs - 1]  # the last one was the best, by however little
    assert same_weights(by_loop, by_trainer)


def test_resumes_after_a_kill_with_the_same_result(tmp_path):
    class PullThePlug(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step == 10:
                raise KeyboardInterrupt

    every = dict(save_strategy="steps", save_steps=3, gradient_accumulation_steps=1)
    undisturbed = train_by_trainer(tiny_model(), tmp_path / "a", **every)
    with pytest.raises(KeyboardInterrupt):
        train_by_trainer(tiny_model(), tmp_path / "b", callbacks=[PullThePlug()], **every)
    assert not (tmp_path / "b" / "checkpoint-12").exists()
    resumed = train_by_trainer(tiny_model(seed=9), tmp_path / "b", resume=True, **every)
    assert same_weights(undisturbed.model, resumed.model)


def test_checkpointing_changes_memory_not_the_result(tmp_path):
    plain = train_by_trainer(tiny_model(), tmp_path, num_epochs=1)
    recomputed = train_by_trainer(tiny_model(), tmp_path, num_epochs=1, gradient_checkpointing=True)
    for a, b in zip(plain.model.parameters(), recomputed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_reading_dev_does_not_change_training():
    dev = batches(examples(10, seed=4), shuffle=False)
    watched, alone = tiny_model(), tiny_model()
    rising = iter(range(1, 10))
    train(watched, evaluate=lambda model: [training.predict(model, dev), next(rising)][1])
    train(alone)
    assert same_weights(watched, alone)


def test_predict_gives_the_order_of_the_data():
    model, rows = tiny_model().eval(), examples(30)
    one_by_one = torch.cat([model(**collated(row)).logits for row in rows]).detach()
    for shuffle in (True, False):
        torch.testing.assert_close(
            training.predict(model, batches(rows, shuffle=shuffle)), one_by_one, atol=1e-5, rtol=1e-4
        )


def collated(row):
    batch = batching.Collator(1)([row])
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def rates(model, **options):
    optimizer = training.make_optimizer(model, 1.0, **options)
    by_id = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters() if id(p) in by_id}, optimizer


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(
    "kind", [BertConfig, RobertaConfig, transformers.ModernBertConfig, transformers.DistilBertConfig]
)
def test_layer_decay_head_rate_and_no_decay_for_biases(pooling, kind):
    sizes = {"pad_token_id": 1} if kind is transformers.ModernBertConfig else {}
    model = tiny_model(pooling=pooling, kind=kind, **sizes)
    found, optimizer = rates(model, head_lr=7.0, layer_decay=0.5, weight_decay=0.1)
    assert len(found) == len(list(model.named_parameters()))
    for name, (rate, decay) in found.items():
        if not training.is_encoder(model, name):
            assert rate == 7.0, name
        elif "embeddings" in name:
            assert rate == 0.25, name
        elif ".0." in name:
            assert rate == 0.5, name
        else:
            assert rate == 1.0, name
        assert decay == (0.1 if model.get_parameter(name).ndim > 1 else 0.0)
    assert optimizer.defaults["fused"]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_freezing_leaves_only_the_head(pooling):
    model = tiny_model(pooling=pooling, kind=RobertaConfig)
    before = {name: p.clone() for name, p in model.named_parameters()}
    training.freeze_encoder(model)
    train(model)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all(name.startswith("classifier") for name in changed)


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("cosine", 0.5), ("constant", 1.0)])
def test_schedules_warm_up_and_end_where_they_should(schedule, middle):
    optimizer = training.make_optimizer(tiny_model(), 1.0)
    scheduler = training.make_scheduler(optimizer, 100, schedule=schedule, warmup_ratio=0.1)
    rates = []
    for _ in range(100):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[0] == 0
    assert max(rates) == rates[10] == 1.0
    assert rates[55] == pytest.approx(middle, abs=0.01)
    assert scheduler.get_last_lr()[0] == pytest.approx(1.0 if schedule == "constant" else 0.0)


def test_gradients_are_clipped():
    model = tiny_model()
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    data = batches(examples(8))
    scheduler = training.make_scheduler(optimizer, 10, schedule="constant", warmup_ratio=0)
    training.fit(model, data, objectives.cross_entropy, optimizer, scheduler, num_epochs=1, max_grad_norm=1e-3)
    moved = math.sqrt(sum((p - q).pow(2).sum().item() for p, q in zip(model.parameters(), before, strict=True)))
    assert moved <= len(data) * 1e-3 * 1.01
    assert moved > 0


def fit_with_foreign_optimizer():
    optimizer = training.make_optimizer(tiny_model(), 1e-3)
    scheduler = training.make_scheduler(optimizer, 10)
    training.fit(tiny_model(), batches(), objectives.cross_entropy, optimizer, scheduler, num_epochs=1)


def test_a_loss_that_is_not_finite_stops_training():
    with pytest.raises(FloatingPointError, match="update 1: the loss is nan"):
        train(tiny_model(), objective=lambda model, batch: objectives.cross_entropy(model, batch) * math.nan)


def test_early_stopping_goes_on_counting_after_a_resume(tmp_path):
    def scripted(prediction, scores=(0.5, 0.4, 0.4, 0.4, 0.4, 0.4)):
        return {"accuracy": scores[len(list(tmp_path.glob("**/eval-*")))]}

    def counted(prediction):
        answer = scripted(prediction)
        (tmp_path / f"eval-{len(list(tmp_path.glob('eval-*')))}").touch()
        return answer

    class PullThePlug(transformers.TrainerCallback):
        def on_epoch_begin(self, args, state, control, **_):
            if state.epoch >= 3:
                raise KeyboardInterrupt

    settings = dict(num_epochs=6, dev=batches(shuffle=False), patience=3, score="accuracy", compute_metrics=counted)
    with pytest.raises(KeyboardInterrupt):
        train_by_trainer(tiny_model(), tmp_path / "run", callbacks=[PullThePlug()], **settings)
    checkpoint = training.last_checkpoint(tmp_path / "run")
    trainer = train_by_trainer(tiny_model(), tmp_path / "run", resume=checkpoint, **settings)
    assert trainer.state.epoch == 4


def test_last_checkpoint_is_the_newest_complete_one(tmp_path):
    assert training.last_checkpoint(tmp_path) is None
    for step in (90, 100, 110):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if step < 110:  # the newest was not written to its end
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert training.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")


def test_parameters_under_peft_ddp_and_compile_are_told_apart():
    model = tiny_model(pooling="cls", kind=transformers.ModernBertConfig, pad_token_id=1)
    for prefix in ("", "module.", "base_model.model.", "module._orig_mod."):
        assert training.is_encoder(model, f"{prefix}model.layers.0.attn.Wqkv.weight")
        assert not training.is_encoder(model, f"{prefix}classifier.weight")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: training.make_scheduler(training.make_optimizer(tiny_model(), 1.0), 10, schedule="step"),
            "'step' is not one of",
        ),
        (lambda: train(tiny_model(), precision="half"), "'half' is not one of fp32, bf16, fp16"),
        (lambda: training.make_training_arguments("x", num_epochs=1, precision="int8"), "'int8' is not one of"),
        (
            lambda: training.make_optimizer(tiny_model().requires_grad_(False), 1.0),
            "no parameter of the model is trainable",
        ),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_rate_of_zero_holds_the_encoder_and_the_log_tells_the_schedule():
    model, data = tiny_model(), batches(examples(8))
    optimizer = training.make_optimizer(model, 0.0, head_lr=1e-2)
    scheduler = training.make_scheduler(optimizer, len(data), warmup_ratio=0)
    history = training.fit(model, data, objectives.cross_entropy, optimizer, scheduler, num_epochs=1)
    assert [row["lr"] for row in history] == [0.0] * len(data)


def test_a_model_that_does_not_name_its_encoder_is_refused():
    with pytest.raises(ValueError, match="a Sequential has no base_model_prefix"):
        training.make_optimizer(torch.nn.Sequential(torch.nn.Linear(2, 2)), 1e-3)
