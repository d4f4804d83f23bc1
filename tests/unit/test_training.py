"""The training loop: the right gradients, the best weights, repeatable runs, predictions in the order of the data."""

import inspect
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from training_runs import random_examples, same_weights, small_dataloader, tiny_model, train

from nbhelpers import batching, objectives, training


def test_two_runs_with_the_same_seed_give_identical_weights():
    first, second, other_order = tiny_model(), tiny_model(), tiny_model()
    train(first)
    train(second)
    train(other_order, dataloader=small_dataloader(seed=5))
    assert same_weights(first, second)
    assert not same_weights(first, other_order)


def test_each_labeled_token_counts_the_same():
    table = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))  # logits of each token id
    model = lambda input_ids, attention_mask: SimpleNamespace(logits=table[input_ids])  # noqa: E731
    examples = [{"input_ids": [4, 5, 6], "labels": [0, -100, 1]}, {"input_ids": [7], "labels": [2]}]
    collator = batching.Collator(1)
    ((micro_batches, num_items),) = training.group_batches([collator([example]) for example in examples], 2)
    losses = [
        objectives.cross_entropy(model, batch) * training.num_labeled(batch) / num_items for batch in micro_batches
    ]
    assert num_items == 3
    torch.testing.assert_close(sum(losses), objectives.cross_entropy(model, collator(examples)))


def test_an_update_without_any_label_leaves_the_loss_at_zero():
    examples = [{"input_ids": [4, 5], "labels": -100}] * 3
    history = train(tiny_model(), num_epochs=1, dataloader=small_dataloader(examples))
    assert [row["train_loss"] for row in history] == [0.0]


def test_history_has_a_row_per_update_and_a_row_per_epoch():
    dataloader, logged = small_dataloader(), []
    history = train(tiny_model(), gradient_accumulation_steps=3, evaluate=lambda model: 0.5, log=logged.append)
    updates = [row for row in history if "train_loss" in row]
    epochs = [row for row in history if "dev_score" in row]
    per_epoch = training.updates_per_epoch(dataloader, 3)
    assert per_epoch == math.ceil(len(dataloader) / 3)
    assert logged == history
    assert [row["step"] for row in updates] == list(range(1, 2 * per_epoch + 1))
    assert [row["epoch"] for row in updates] == [step / per_epoch for step in range(1, 2 * per_epoch + 1)]
    assert epochs == [{"step": per_epoch * epoch, "epoch": epoch, "dev_score": 0.5} for epoch in (1, 2)]
    assert [list(row) for row in history[:1]] == [["step", "epoch", "train_loss", "lr"]]


def test_loop_keeps_the_best_epoch_and_stops_early():
    model, weights_by_epoch = tiny_model(), []
    scores = iter([0.3, 0.6, 0.5, 0.4, 0.9])

    def evaluate(model):
        weights_by_epoch.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(scores)

    history = train(model, num_epochs=5, evaluate=evaluate, patience=2)
    assert [row["dev_score"] for row in history if "dev_score" in row] == [0.3, 0.6, 0.5, 0.4]
    assert all(torch.equal(tensor, weights_by_epoch[1][name]) for name, tensor in model.state_dict().items())


def test_without_evaluation_the_model_keeps_its_last_weights():
    watched, unwatched = tiny_model(), tiny_model()
    rising_scores = iter(range(1, 10))
    train(watched, evaluate=lambda model: next(rising_scores))
    train(unwatched)
    assert same_weights(watched, unwatched)


def test_evaluating_on_dev_does_not_change_training():
    dev_dataloader = small_dataloader(random_examples(10, seed=4), shuffle=False)
    watched, unwatched = tiny_model(), tiny_model()
    rising_scores = iter(range(1, 10))

    def evaluate(model):
        training.predict(model, dev_dataloader)
        return next(rising_scores)

    train(watched, evaluate=evaluate)
    train(unwatched)
    assert same_weights(watched, unwatched)


def test_gradients_are_clipped():
    model = tiny_model()
    before = [parameter.clone() for parameter in model.parameters()]
    # With SGD and a learning rate of 1, an update is exactly as long as the gradient.
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    dataloader = small_dataloader(random_examples(8))
    scheduler = training.make_scheduler(optimizer, 10, schedule="constant", warmup_ratio=0)
    training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, num_epochs=1, max_grad_norm=1e-3)
    changes = [(after - start).pow(2).sum() for after, start in zip(model.parameters(), before, strict=True)]
    assert 0 < math.sqrt(sum(changes)) <= len(dataloader) * 1e-3 * 1.01


def test_a_learning_rate_of_zero_freezes_the_encoder_and_the_log_reports_it():
    model, dataloader = tiny_model(), small_dataloader(random_examples(8))
    encoder_before = [p.clone() for name, p in model.named_parameters() if training.is_encoder(model, name)]
    optimizer = training.make_optimizer(model, 0.0, head_lr=1e-2)
    scheduler = training.make_scheduler(optimizer, len(dataloader), warmup_ratio=0)
    history = training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, num_epochs=1)
    encoder_after = [p for name, p in model.named_parameters() if training.is_encoder(model, name)]
    assert [row["lr"] for row in history] == [0.0] * len(dataloader)
    assert all(torch.equal(after, before) for after, before in zip(encoder_after, encoder_before, strict=True))


def infinite_in(calls):
    """Cross-entropy, but infinite in these calls (counted from 1)."""
    num_calls = 0

    def objective(model, batch):
        nonlocal num_calls
        num_calls += 1
        return objectives.cross_entropy(model, batch) * (math.inf if num_calls in calls else 1.0)

    return objective


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite_stops_training(precision):
    with pytest.raises(FloatingPointError, match="update 3: the loss is inf"):
        train(tiny_model(), objective=infinite_in([3]), precision=precision)


def test_fp16_skips_the_update_of_a_loss_that_is_not_finite():
    one_example = small_dataloader(random_examples(1))
    model, weights = tiny_model(), []
    options = dict(dataloader=one_example, num_epochs=5, precision="fp16")
    train(model, objective=infinite_in([3]), log=lambda row: weights.append(model.classifier.weight.clone()), **options)
    changed = [not torch.equal(before, after) for before, after in itertools.pairwise(weights)]
    assert changed == [True, False, True, True]
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_fp16_stops_after_eleven_losses_in_a_row_that_are_not_finite():
    one_example = small_dataloader(random_examples(1))
    train(tiny_model(), objective=infinite_in(range(2, 12)), dataloader=one_example, num_epochs=13, precision="fp16")
    with pytest.raises(FloatingPointError, match="update 12: the loss is inf"):
        train(
            tiny_model(), objective=infinite_in(range(2, 13)), dataloader=one_example, num_epochs=13, precision="fp16"
        )


def test_fp16_learns_the_same_as_fp32():
    in_fp32, in_fp16 = (
        [row["train_loss"] for row in train(tiny_model(), precision=precision)] for precision in ("fp32", "fp16")
    )
    assert in_fp16 == pytest.approx(in_fp32, abs=0.01)


def one_example_at_a_time(model, examples):
    collator, logits = batching.Collator(1), []
    for example in examples:
        batch = collator([example])
        logits.append(model(batch["input_ids"], batch["attention_mask"]).logits)
    return torch.cat(logits).detach()


@pytest.mark.parametrize("shuffle", [True, False])
def test_predictions_are_in_the_order_of_the_data(shuffle):
    model, examples = tiny_model().eval(), random_examples(30)
    expected = one_example_at_a_time(model, examples)
    logits = training.predict(model, small_dataloader(examples, shuffle=shuffle))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_the_loop_shown_in_the_lesson_is_short_and_shows_every_step():
    _, docstring, body = inspect.getsource(training.fit).split('"""')
    lines = [line for line in body.splitlines() if line.strip()]
    assert len(lines) <= 40
    assert docstring
    for step in ("loss = objective(", ".backward()", "clip_grad_norm_(", ".step(optimizer)", "zero_grad()"):
        assert body.count(step) == 1, step


def fit_with_the_optimizer_of_another_model():
    optimizer = training.make_optimizer(tiny_model(), 1e-3)
    scheduler = training.make_scheduler(optimizer, 10)
    training.fit(tiny_model(), small_dataloader(), objectives.cross_entropy, optimizer, scheduler, num_epochs=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train(tiny_model(), precision="half"), "'half' is not one of fp32, bf16, fp16"),
        (lambda: train(tiny_model(), num_epochs=0), "num_epochs=0 must be more than 0"),
        (lambda: train(tiny_model(), patience=2), "patience=2 needs a score after each epoch"),
        (fit_with_the_optimizer_of_another_model, "the optimizer has no parameter of this model"),
    ],
)
def test_errors_of_the_loop_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_gradient_accumulation_steps_below_one_are_refused():
    model = tiny_model()
    optimizer = training.make_optimizer(model, 1e-3)
    scheduler = training.make_scheduler(optimizer, 10)
    with pytest.raises(ValueError, match="gradient_accumulation_steps=0 must be at least 1"):
        training.fit(
            model,
            small_dataloader(),
            objectives.cross_entropy,
            optimizer,
            scheduler,
            num_epochs=1,
            gradient_accumulation_steps=0,
        )


def test_a_dev_score_of_nan_is_an_error():
    with pytest.raises(ValueError, match="the dev score is NaN"):
        train(tiny_model(), evaluate=lambda model: math.nan)


def test_missing_labels_are_a_readable_error():
    examples = [{"input_ids": example["input_ids"], "label": example["labels"]} for example in random_examples(8)]
    with pytest.raises(ValueError, match=r"the batch has no 'labels', only .*; add 'labels' to the examples"):
        train(tiny_model(), dataloader=small_dataloader(examples))


@pytest.mark.parametrize("batches", [[[0, 1], [1, 2]], [[0], [2]]], ids=["twice", "left out"])
def test_predictions_need_each_example_once(batches):
    dataloader = torch.utils.data.DataLoader(
        random_examples(3), batch_sampler=batches, collate_fn=small_dataloader(random_examples(3)).collate_fn
    )
    with pytest.raises(ValueError, match="leaves examples out or gives some twice"):
        training.predict(tiny_model(), dataloader)


def test_turns_without_labels_are_predicted():
    labeled = [{"input_ids": [2, 5, 6, 3], "starts": [1], "ends": [2], "labels": [1]}]
    labeled += [{"input_ids": [2, 5, 6, 7, 3], "starts": [1, 2], "ends": [2, 4], "labels": [0, 2]}]
    unlabeled = [{name: column for name, column in example.items() if name != "labels"} for example in labeled]
    model = tiny_model()
    expected = training.predict(model, small_dataloader(labeled))
    assert expected.shape == (3, 3)
    torch.testing.assert_close(training.predict(model, small_dataloader(unlabeled)), expected)
