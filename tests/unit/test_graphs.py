"""Steps as graphs, and batches of few shapes. Without a GPU, a graph is replayed by running its step again."""

import subprocess
import sys

import pytest
import torch
from training_runs import random_examples, small_dataloader, tiny_model, train_by_trainer, without_dropout

from nbhelpers import batching, objectives, training
from nbhelpers.course import lessons, results

PADDED_LENGTHS = (8, 24)


@pytest.fixture
def graphs_are_replayed_eagerly(monkeypatch):
    recorded = []

    def record(step, pool):
        recorded.append(step)
        step()  # the warm-up
        loss = step()
        return (lambda: loss.copy_(step())), loss

    monkeypatch.setattr("nbhelpers.training.graphs.record_graph", record)
    return recorded


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def batches_of_few_shapes(**options):
    return small_dataloader(padded_lengths=PADDED_LENGTHS, max_tokens=96, **options)


def test_few_shapes_hold_every_item_once():
    examples = [{**example, "number": i} for i, example in enumerate(random_examples(50))]
    batches = list(batches_of_few_shapes(examples=examples))
    assert {tuple(batch["input_ids"].shape) for batch in batches} == {(8, 8), (4, 24)}
    numbers = [batch["number"][batch["labels"] != training.batches.NO_LABEL] for batch in batches]
    assert sorted(torch.cat(numbers).tolist()) == list(range(50))
    assert any(batch["labels"].eq(training.batches.NO_LABEL).any() for batch in batches)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_items_that_fill_up_a_batch_change_neither_loss_nor_gradient(pooling):
    model = without_dropout(tiny_model(pooling=pooling)).train()
    examples = random_examples(3)
    found = []
    for collate in (batching.Collator(1), batching.Collator(1, shapes={24: 6})):
        model.zero_grad()
        loss = objectives.cross_entropy(model, collate(examples))
        loss.backward()
        found.append([loss.detach(), *gradients(model)])
    for plain, filled in zip(*found, strict=True):
        torch.testing.assert_close(plain, filled, atol=1e-6, rtol=1e-4)


def test_labels_of_tokens_are_padded_to_the_shape():
    batch = batching.Collator(1, shapes={4: 2})([{"input_ids": [5, 6, 7], "labels": [0, 1, 2]}])
    assert batch["labels"].tolist() == [[0, 1, 2, -100], [-100] * 4]
    assert batch["input_ids"].tolist() == [[5, 6, 7, 1], [1] * 4]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_an_item_that_no_shape_holds_is_told():
    with pytest.raises(ValueError, match="an item has 30 tokens, but the longest shape has 24; add a longer one"):
        batches_of_few_shapes(examples=[{"input_ids": [5] * 30, "labels": 0}])


def test_a_graphed_step_adds_up_the_gradients_of_an_update(graphs_are_replayed_eagerly):
    model = without_dropout(tiny_model()).train()
    batches = list(batches_of_few_shapes())[:6]
    step = training.GraphedStep(model, objectives.cross_entropy, "fp32")
    for update in (batches[:3], batches[3:], batches[:2]):
        model.zero_grad()
        expected_losses = []
        for weight, batch in enumerate(update, 1):
            loss = weight * objectives.cross_entropy(model, batch)
            loss.backward()
            expected_losses.append(loss.item())
        expected = gradients(model)
        model.zero_grad()  # sets the gradients to None, as transformers does
        losses = [step(batch, weight).item() for weight, batch in enumerate(update, 1)]
        assert losses == pytest.approx(expected_losses)
        for one, other in zip(gradients(model), expected, strict=True):
            torch.testing.assert_close(one, other)
    assert len(graphs_are_replayed_eagerly) == 2  # one for each shape


def test_a_model_with_frozen_weights_gets_gradients_for_the_others(graphs_are_replayed_eagerly):
    model = tiny_model().train()
    training.freeze_encoder(model)
    training.GraphedStep(model, objectives.cross_entropy, "bf16")(next(iter(batches_of_few_shapes())))
    assert [name for name, p in model.named_parameters() if p.grad is not None] == [
        "classifier.weight",
        "classifier.bias",
    ]


def test_the_trainer_learns_the_same_with_graphs(graphs_are_replayed_eagerly, monkeypatch, tmp_path):
    models = []
    for graphs in (False, True):
        model = without_dropout(tiny_model())
        if graphs:
            init = training.Trainer.__init__

            def with_graphs(self, *args, init=init, **options):
                init(self, *args, **options)
                self.graphed_step = training.GraphedStep(self.model, self.objective, "fp32")

            monkeypatch.setattr(training.Trainer, "__init__", with_graphs)
        train_by_trainer(model, tmp_path / str(graphs), dataloader=batches_of_few_shapes())
        models.append(model)
    assert len(graphs_are_replayed_eagerly) == 2
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_fp16_is_told_why_it_cannot_be_recorded():
    with pytest.raises(ValueError, match="a CUDA graph cannot change the scale of the loss, which fp16 needs"):
        training.GraphedStep(tiny_model(), objectives.cross_entropy, "fp16")


def test_what_was_not_measured_is_shown():
    script = lessons.ROOT / "tests" / "benchmarks" / "graphs.py"
    shown = subprocess.check_output([sys.executable, script, "--show"], text=True)
    measured = {row["row"] for row in results.read("graphs")}
    for row in ("32 utterances, graphs", "16 k tokens, torch.compile", "largest batch of 128 tokens"):
        assert (f"{row}: not measured, for want of a GPU\n" in shown) == (row not in measured)
