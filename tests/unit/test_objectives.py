"""The losses agree with torch's own and with their formulas, and wrong calls give readable errors."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nbhelpers import objectives

LABELS = torch.tensor([0, 1])


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(20, 5, generator=generator), torch.randint(0, 5, (20,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mean_loss_is_torch_cross_entropy(draws, smoothing):
    logits, labels = draws
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(objectives.mean_loss(logits, labels, label_smoothing=smoothing), expected)


def test_items_without_a_label_do_not_count(draws):
    logits, labels = draws
    half_labeled = labels.clone()
    half_labeled[::2] = -100
    loss = objectives.mean_loss(logits, half_labeled)
    torch.testing.assert_close(loss, F.cross_entropy(logits[1::2], labels[1::2]))
    torch.testing.assert_close(objectives.mean_loss(logits.view(4, 5, 5), half_labeled.view(4, 5)), loss)


def test_weighted_losses_are_divided_by_the_number_of_items(draws):
    logits, labels = draws
    weights = objectives.class_weights(labels, 5)
    losses = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(
        objectives.mean_loss(logits, labels, class_weights=weights), (losses * weights[labels]).mean()
    )
    assert (weights[labels]).mean() == pytest.approx(1.0)


def test_class_weights_are_those_of_scikit_learn(draws):
    from sklearn.utils.class_weight import compute_class_weight

    labels = draws[1].numpy()
    expected = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    assert objectives.class_weights(labels.tolist(), 5).tolist() == pytest.approx(expected.tolist())


def test_class_weights_and_smoothing_together_prefer_the_gold_class(draws):
    """torch does not (issue 104776): there each smoothed share has the weight of the class that it goes to."""
    weights = torch.tensor([0.2, 5.0, 5.0])
    logits = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = objectives.mean_loss(logits, torch.tensor([0]), class_weights=weights, label_smoothing=0.1)
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = [0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]  # the smoothed target itself
    assert logits.softmax(-1)[0].tolist() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_class_weights_have_mean_1_over_the_items(power):
    labels = torch.tensor([0] * 9 + [1] * 3 + [2])
    weights = objectives.class_weights(labels, 3, power=power)
    assert weights[labels].mean().item() == pytest.approx(1)
    assert (weights[2] / weights[0]).item() == pytest.approx(9**power, rel=1e-4)


def test_a_batch_without_labels_has_loss_zero_and_a_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = objectives.mean_loss(logits, torch.tensor([-100, -100]))
    loss.backward()
    assert loss == 0
    assert logits.grad.abs().sum() == 0


def test_losses_of_bf16_logits_are_summed_in_fp32(draws):
    logits, labels = draws
    assert objectives.mean_loss(logits.bfloat16(), labels).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: objectives.mean_loss(torch.zeros(2, 3), torch.tensor([0, 3])), "labels run from 0 to 3, but"),
        (lambda: objectives.mean_loss(torch.zeros(2, 3), torch.tensor([0, -1])), "labels run from -1"),
        (lambda: objectives.mean_loss(torch.zeros(2, 3), torch.tensor([0])), "2 rows of logits, but 1 labels"),
        (lambda: objectives.mean_loss(torch.zeros(2, 3), LABELS, class_weights=torch.ones(2)), "2 class weights for 3"),
        (lambda: objectives.class_weights([0, 2], 3), "no training item has class 1"),
        (lambda: objectives.class_weights([0, 5], 3), "label 5 is outside the 3 classes"),
        (lambda: objectives.cross_entropy(lambda: SimpleNamespace(), {"input_ids": torch.zeros(1)}), "has no 'labels'"),
        (lambda: objectives.r_drop(KnownDropout(2).train(), {"items": torch.arange(2)}), "has no 'labels'"),
    ],
)
def test_errors_of_objectives_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- R-Drop --------------------------------------------------------------------------------------------------------


class KnownDropout(torch.nn.Module):
    """A linear classifier whose dropout masks are known: one for each item and each of its two copies."""

    def __init__(self, num_items, tokens=False):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(num_items, *((4,) if tokens else ()), 8, generator=generator)
        self.masks = (torch.rand(2, *self.inputs.shape, generator=generator) > 0.3).float() / 0.7
        self.layer = torch.nn.Linear(8, 3)
        torch.nn.init.normal_(self.layer.weight, generator=generator)
        self.dropout = torch.nn.Dropout(0.3)  # r_drop looks for it, but the masks above are used
        self.calls = 0

    def forward(self, items):
        hidden = self.inputs[items]
        if self.training:
            counts = {}
            copies = []  # which mask each item of the batch gets
            for item in items.tolist():  # in a doubled batch the second copy of an item gets the second mask
                copies.append((counts.get(item, 0) + self.calls) % 2)
                counts[item] = counts.get(item, 0) + 1
            self.calls += int(max(counts.values()) == 1)
            hidden = hidden * self.masks[torch.tensor(copies), items]
        return SimpleNamespace(logits=self.layer(hidden))

    def logits_of_both_passes(self, items):
        return [self.layer(self.inputs[items] * mask[items]) for mask in self.masks]


def r_drop_of_the_paper(first, second, labels, alpha, weights=None, smoothing=0.0):
    """The paper's formula with torch's functions. KL(p || q) is F.kl_div(log q, log p)."""
    options = {"reduction": "none", "label_smoothing": smoothing}
    both = F.cross_entropy(first, labels, **options) + F.cross_entropy(second, labels, **options)
    both = both if weights is None else both * weights[labels]
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    kl = F.kl_div(q, p, log_target=True, reduction="none") + F.kl_div(p, q, log_target=True, reduction="none")
    return (both + alpha * kl.sum(-1) / 2).mean()


@pytest.mark.parametrize("one_forward_pass", [True, False])
@pytest.mark.parametrize(("weighted", "smoothing"), [(False, 0.0), (True, 0.0), (False, 0.1), (True, 0.1)])
def test_r_drop_is_the_formula_of_the_paper(one_forward_pass, weighted, smoothing):
    model, items = KnownDropout(6), torch.arange(6)
    labels, weights = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0.5, 1.0, 2.0]) if weighted else None
    expected = r_drop_of_the_paper(*model.logits_of_both_passes(items), labels, 0.7, weights, smoothing)
    options = {
        "alpha": 0.7,
        "one_forward_pass": one_forward_pass,
        "class_weights": weights,
        "label_smoothing": smoothing,
    }
    loss = objectives.r_drop(model, {"items": items, "labels": labels}, **options)
    torch.testing.assert_close(loss, expected)


def test_r_drop_is_cross_entropy_in_evaluation_mode():
    model, batch = KnownDropout(4).eval(), {"items": torch.arange(4), "labels": torch.tensor([0, 1, 2, 0])}
    for one_forward_pass in (True, False):
        loss = objectives.r_drop(model, batch, alpha=5.0, one_forward_pass=one_forward_pass)
        assert torch.equal(loss, objectives.cross_entropy(model, batch))


@pytest.mark.parametrize("one_forward_pass", [True, False])
def test_r_drop_counts_only_labeled_tokens(one_forward_pass):
    model, items = KnownDropout(3, tokens=True), torch.arange(3)
    labels = torch.tensor([[0, 1, -100, -100], [2, -100, -100, -100], [1, 1, 0, 2]])
    is_labeled = labels != -100
    first, second = model.logits_of_both_passes(items)
    expected = r_drop_of_the_paper(first[is_labeled], second[is_labeled], labels[is_labeled], 1.0)
    loss = objectives.r_drop(model, {"items": items, "labels": labels}, alpha=1.0, one_forward_pass=one_forward_pass)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("one_forward_pass", [True, False])
def test_r_drop_of_uneven_micro_batches_gives_the_gradient_of_one_large_batch(one_forward_pass):
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 2])
    model = KnownDropout(7)
    objectives.r_drop(model, {"items": torch.arange(7), "labels": labels}, one_forward_pass=one_forward_pass).backward()
    expected = model.layer.weight.grad.clone()
    model.zero_grad()
    for items in (torch.arange(4), torch.arange(4, 6), torch.arange(6, 7)):
        loss = objectives.r_drop(model, {"items": items, "labels": labels[items]}, one_forward_pass=one_forward_pass)
        (loss * len(items) / 7).backward()  # as `training.fit` and `training.Trainer` weigh micro-batches
    torch.testing.assert_close(model.layer.weight.grad, expected)


def test_r_drop_in_bf16_is_close_to_fp32():
    model, batch = KnownDropout(32), {"items": torch.arange(32), "labels": torch.arange(32) % 3}
    in_fp32 = objectives.r_drop(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        in_bf16 = objectives.r_drop(model, batch)
    assert in_bf16.dtype == torch.float32
    torch.testing.assert_close(in_bf16, in_fp32, rtol=0.02, atol=0.02)


def test_r_drop_refuses_a_model_without_dropout():
    model = KnownDropout(2)
    model.dropout.p = 0.0
    with pytest.raises(ValueError, match="the model has no dropout"):
        objectives.r_drop(model, {"items": torch.arange(2), "labels": LABELS})


def test_alpha_weighs_the_kl_between_two_passes_of_a_real_model():
    from nbhelpers import batching, encoders

    tokenizer, model = encoders.load("embedded", ("a", "b"))
    batch = batching.Collator(0)(batching.tokenize(["Fine.", "You did what?"], tokenizer, labels=[0, 1]))
    model.train()
    losses = []
    for alpha in (0.0, 1.0, 2.0):
        torch.manual_seed(0)
        losses.append(objectives.r_drop(model, batch, alpha=alpha).item())
    assert losses[1] > losses[0]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)


class Logits(torch.nn.Module):
    """A "model" whose logits are its only parameter."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, x):
        return SimpleNamespace(logits=self.logits)


def two_dialogues(seed=0):
    """Logits and labels of dialogues of 4 and 2 turns, padded; 3 classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([[0, 0, 2, 1], [1, 2, -100, -100]])
    return torch.randn(2, 4, 3, generator=generator), labels


def test_emotion_shift_is_its_formula_over_labeled_neighbors():
    logits, labels = two_dialogues()
    p = logits.softmax(-1)
    pairs = [(0, 0, False), (0, 1, True), (0, 2, True), (1, 0, True)]  # dialogue, first turn, changes
    terms = [float(torch.dot(p[d, t], p[d, t + 1])) for d, t, _ in pairs]
    shift = -sum(np.log(1 - same if changes else same) for same, (_, _, changes) in zip(terms, pairs, strict=True)) / 6
    expected = objectives.mean_loss(logits, labels) + 0.5 * torch.tensor(shift, dtype=torch.float32)
    loss = objectives.emotion_shift(Logits(logits), {"x": None, "labels": labels}, weight=0.5)
    torch.testing.assert_close(loss, expected)


def test_emotion_shift_stays_finite_for_a_model_that_is_certain():
    logits = torch.tensor([[[200.0, 0, 0], [200.0, 0, 0], [0, 200.0, 0]]])
    model = Logits(logits)
    loss = objectives.emotion_shift(model, {"x": None, "labels": torch.tensor([[0, 1, 1]])})
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(model.logits.grad).all()


def test_emotion_shift_of_one_turn_is_cross_entropy_and_single_turns_are_refused():
    logits, labels = two_dialogues()
    batch = {"x": None, "labels": labels[:, :1]}
    loss = objectives.emotion_shift(Logits(logits[:, :1]), batch)
    torch.testing.assert_close(loss, objectives.mean_loss(logits[:, :1], labels[:, :1]))
    with pytest.raises(ValueError, match=r"whole dialogues: \[batch, turns, classes\]"):
        objectives.emotion_shift(Logits(logits[:, 0]), {"x": None, "labels": labels[:, 0]})


def test_multi_task_is_the_sum_of_both_losses_over_labeled_items():
    logits, labels = two_dialogues()
    sentiments = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0]])  # padded with 0, which is a class, as Collator does
    batch = {"x": None, "labels": (labels > 0).long().where(labels >= 0, labels), "sentiments": sentiments}
    both = torch.cat([logits[..., :2], logits], -1)  # two classes of emotion, three of sentiment
    first = F.cross_entropy(both[..., :2].flatten(0, 1), batch["labels"].flatten())
    second = F.cross_entropy(both[labels >= 0][:, 2:], sentiments[labels >= 0])
    loss = objectives.multi_task(Logits(both), batch, weight=0.3)
    torch.testing.assert_close(loss, first + 0.3 * second)
    with pytest.raises(ValueError, match="the batch has no 'sentiments', only x, labels"):
        objectives.multi_task(Logits(both), {"x": None, "labels": labels})
