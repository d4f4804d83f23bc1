"""The Trainer: the same curve as the loop, the right gradients, checkpoints, early stopping and resuming."""

import math
from functools import partial

import pytest
import torch
import transformers
from torch import nn
from training_runs import (
    random_examples,
    same_weights,
    small_dataloader,
    tiny_model,
    train,
    train_by_trainer,
    without_dropout,
)
from transformers import BertConfig, RobertaConfig

from nbhelpers import batching, encoders, objectives, training


class Interrupt(transformers.TrainerCallback):
    """Ends a run after this many updates, as if the process had been killed."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("gradient_accumulation_steps", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loop_and_trainer_give_the_same_curve_and_weights(tmp_path, gradient_accumulation_steps, precision):
    options = dict(gradient_accumulation_steps=gradient_accumulation_steps, precision=precision)
    by_loop, by_trainer = tiny_model(), tiny_model()
    history = train(by_loop, **options)
    trainer = train_by_trainer(by_trainer, tmp_path, **options)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses == pytest.approx([row["train_loss"] for row in history], abs=1e-6)
    assert len(losses) == 2 * math.ceil(len(small_dataloader()) / gradient_accumulation_steps)
    assert same_weights(by_loop, by_trainer)


OBJECTIVES = {
    "plain": objectives.cross_entropy,
    "class weights": partial(objectives.cross_entropy, class_weights=torch.tensor([1.0, 5.0, 0.2])),
    "label smoothing": partial(objectives.cross_entropy, label_smoothing=0.2),
}


def first_gradient_of_loop(model, dataloader, objective, gradient_accumulation_steps):
    """The gradient of each parameter in the first update, and the loss."""
    gradients = {}
    optimizer = training.make_optimizer(model, 1e-3)
    optimizer.register_step_pre_hook(lambda *_: gradients.update(copy_gradients(model)))
    scheduler = training.make_scheduler(optimizer, 1)
    options = dict(num_epochs=1, gradient_accumulation_steps=gradient_accumulation_steps, max_grad_norm=1e9)
    history = training.fit(model, dataloader, objective, optimizer, scheduler, **options)
    return gradients, history[0]["train_loss"]


def first_gradient_of_trainer(folder, model, dataloader, objective, gradient_accumulation_steps):
    """The same with the Trainer."""
    gradients = {}

    class CopyGradients(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, **_):
            gradients.update(copy_gradients(model))

    options = dict(num_epochs=1, gradient_accumulation_steps=gradient_accumulation_steps, max_grad_norm=1e9)
    trainer = train_by_trainer(
        model, folder, objective=objective, dataloader=dataloader, callbacks=[CopyGradients()], **options
    )
    return gradients, trainer.state.log_history[0]["loss"]


def copy_gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("config_class", [BertConfig, RobertaConfig])
def test_uneven_micro_batches_give_the_gradient_of_one_large_batch(tmp_path, name, pooling, config_class):
    examples = random_examples(13)

    def first_gradient(of, batch_size):  # with a batch size of 5 the micro-batches have 5, 5 and 3 examples
        model = without_dropout(tiny_model(pooling=pooling, config_class=config_class))
        dataloader = small_dataloader(examples, batch_size=batch_size, shuffle=False)
        return of(model, dataloader, OBJECTIVES[name], math.ceil(13 / batch_size))

    expected, expected_loss = first_gradient(first_gradient_of_loop, 13)
    by_trainer = partial(first_gradient_of_trainer, tmp_path)
    for of, batch_size in ((first_gradient_of_loop, 5), (by_trainer, 5), (by_trainer, 13)):
        gradients, loss = first_gradient(of, batch_size)
        assert loss == pytest.approx(expected_loss, abs=1e-5)
        assert gradients.keys() == expected.keys()
        for parameter, gradient in expected.items():
            torch.testing.assert_close(gradients[parameter], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_stock_trainer_still_has_the_fault_that_lesson_3_shows(tmp_path):
    def first_loss(batch_size):
        model = without_dropout(tiny_model(pooling="cls", config_class=RobertaConfig))
        args = training.make_training_arguments(
            tmp_path,
            num_epochs=1,
            gradient_accumulation_steps=12 // batch_size,
            per_device_train_batch_size=batch_size,
            metric_for_best_model=None,
            logging_steps=1,
        )
        trainer = transformers.Trainer(model, args, batching.Collator(1), random_examples(12))
        trainer.train()
        return trainer.state.log_history[0]["loss"]

    assert first_loss(3) == pytest.approx(4 * first_loss(12), rel=0.1)


def test_evaluation_reports_plain_cross_entropy_for_every_objective(tmp_path):
    model, dev_dataloader = tiny_model(), small_dataloader(random_examples(20, seed=3), shuffle=False)
    was_training = []

    def objective(model, batch):
        was_training.append(model.training)
        return objectives.cross_entropy(model, batch) + 100

    trainer = train_by_trainer(model, tmp_path, objective=objective, dev_dataloader=dev_dataloader, num_epochs=1)
    logits = training.predict(model, dev_dataloader)
    labels = torch.tensor([example["labels"] for example in dev_dataloader.dataset])
    expected = nn.functional.cross_entropy(logits, labels)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected.item(), abs=1e-5)
    assert all(was_training)
    assert trainer.state.log_history[0]["loss"] > 100


def test_trainer_keeps_the_best_checkpoint_stops_early_and_writes_tensorboard(tmp_path):
    scores = iter([0.3, 0.6, 0.5, 0.4, 0.9])
    trainer = train_by_trainer(
        tiny_model(),
        tmp_path,
        num_epochs=5,
        dev_dataloader=small_dataloader(shuffle=False),
        patience=2,
        tensorboard=True,
        metric_for_best_model="accuracy",
        compute_metrics=lambda _: {"accuracy": next(scores)},
    )
    assert [row["eval_accuracy"] for row in trainer.state.log_history if "eval_accuracy" in row] == [0.3, 0.6, 0.5, 0.4]
    best = tmp_path / f"checkpoint-{2 * len(small_dataloader())}"
    assert trainer.state.best_model_checkpoint == str(best)
    saved = encoders.MeanPoolingClassifier.from_pretrained(best, config=trainer.model.config)
    assert same_weights(trainer.model, saved)
    assert list(tmp_path.glob("**/events.out.tfevents*"))


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "num_epochs"), [(0.0, 6), (0.05, 4), (0.3, 3)])
def test_gains_below_the_threshold_use_up_patience_but_the_best_weights_are_kept(tmp_path, threshold, num_epochs):
    scores = [0.30, 0.42, 0.44, 0.45, 0.46, 0.47]
    by_loop, by_trainer, loop_scores, trainer_scores = tiny_model(), tiny_model(), iter(scores), iter(scores)
    options = dict(num_epochs=6, patience=2, threshold=threshold)
    history = train(by_loop, evaluate=lambda model: next(loop_scores), **options)
    trainer = train_by_trainer(
        by_trainer,
        tmp_path,
        dev_dataloader=small_dataloader(shuffle=False),
        metric_for_best_model="accuracy",
        compute_metrics=lambda _: {"accuracy": next(trainer_scores)},
        **options,
    )
    expected = scores[:num_epochs]
    assert [row["dev_score"] for row in history if "dev_score" in row] == expected
    assert [row["eval_accuracy"] for row in trainer.state.log_history if "eval_accuracy" in row] == expected
    assert trainer.state.best_metric == expected[-1]  # the last epoch was the best one, by however little
    assert same_weights(by_loop, by_trainer)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    options = dict(save_strategy="steps", save_steps=3)
    undisturbed = train_by_trainer(tiny_model(), tmp_path / "a", **options)
    with pytest.raises(KeyboardInterrupt):
        train_by_trainer(tiny_model(), tmp_path / "b", callbacks=[Interrupt(step=10)], **options)
    assert not (tmp_path / "b" / "checkpoint-12").exists()
    resumed = train_by_trainer(tiny_model(seed=9), tmp_path / "b", resume=True, **options)
    assert same_weights(undisturbed.model, resumed.model)


@pytest.mark.slow
def test_early_stopping_continues_its_count_after_a_resume(tmp_path):
    # Evaluation after epochs 1 to 4; the run is killed in epoch 4, which is evaluated only after the resume.
    scores = iter([0.5, 0.4, 0.4, 0.4])
    options = dict(
        num_epochs=6,
        dev_dataloader=small_dataloader(shuffle=False),
        patience=3,
        metric_for_best_model="accuracy",
        compute_metrics=lambda _: {"accuracy": next(scores)},
    )
    in_epoch_4 = Interrupt(step=3 * len(small_dataloader()) + 1)
    with pytest.raises(KeyboardInterrupt):
        train_by_trainer(tiny_model(), tmp_path, callbacks=[in_epoch_4], **options)
    trainer = train_by_trainer(tiny_model(), tmp_path, resume=training.last_checkpoint(tmp_path), **options)
    assert trainer.state.epoch == 4


def test_last_checkpoint_is_the_newest_complete_one(tmp_path):
    assert training.last_checkpoint(tmp_path) is None
    for step in (90, 100, 110):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if step < 110:  # the newest one was not saved completely
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    assert training.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")


@pytest.mark.slow
def test_gradient_checkpointing_does_not_change_the_result(tmp_path):
    plain = train_by_trainer(tiny_model(), tmp_path, num_epochs=1)
    recomputed = train_by_trainer(tiny_model(), tmp_path, num_epochs=1, gradient_checkpointing=True)
    for expected, parameter in zip(plain.model.parameters(), recomputed.model.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, atol=1e-5, rtol=1e-3)


def trainer_with(**options):
    model = tiny_model()
    args = training.make_training_arguments("unused", num_epochs=1, metric_for_best_model=options.pop("metric", None))
    optimizer = training.make_optimizer(options.pop("optimized", model), 1e-3)
    training.Trainer(model, args, objectives.cross_entropy, small_dataloader(), optimizer=optimizer, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training.make_training_arguments("x", num_epochs=1, precision="int8"), "'int8' is not one of"),
        (lambda: training.make_training_arguments("x", num_epochs=1, schedule="step"), "'step' is not one of"),
        (lambda: trainer_with(patience=2), "patience=2 needs a score after each epoch; pass a dev_dataloader"),
        (lambda: trainer_with(metric="loss"), "a score after each epoch; pass a dev_dataloader"),
        (lambda: trainer_with(metric="accuracy"), "metric_for_best_model='accuracy' is not computed"),
        (lambda: trainer_with(optimized=tiny_model()), "the optimizer has no parameter of this model"),
    ],
)
def test_errors_of_the_trainer_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def with_one_nan(model, batch):
    """Cross-entropy that is NaN for the batch with item 20."""
    loss = objectives.cross_entropy(model, batch)
    return loss * (float("nan") if len(batch["labels"]) == 4 else 1)


def test_a_loss_that_is_not_finite_stops_the_trainer_and_saves_nothing(tmp_path):
    dataloader = small_dataloader(random_examples(20))  # batches of 8, 8 and 4
    with pytest.raises(FloatingPointError, match=r"update \d: the loss is nan"):
        train_by_trainer(tiny_model(), tmp_path, objective=with_one_nan, dataloader=dataloader)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_a_run_is_not_resumed_with_another_number_of_updates_per_epoch(tmp_path):
    examples = random_examples(32)
    arguments = training.make_training_arguments(
        tmp_path, num_epochs=2, metric_for_best_model=None, save_strategy="epoch"
    )

    def trainer(batch_size):
        model, dataloader = tiny_model(), small_dataloader(examples, batch_size=batch_size)
        optimizer = training.make_optimizer(model, 1e-3)
        return training.Trainer(model, arguments, objectives.cross_entropy, dataloader, optimizer=optimizer)

    trainer(8).train()
    checkpoint = training.last_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="with 4 updates per epoch, but this run has 2"):
        trainer(16).train(resume_from_checkpoint=checkpoint)
    trainer(8).train(resume_from_checkpoint=checkpoint)
