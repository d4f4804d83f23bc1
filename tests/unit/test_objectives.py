"""Losses against torch's own, and the refusals."""

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
def test_agrees_with_torch(draws, smoothing):
    logits, labels = draws
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(objectives.mean_loss(logits, labels, label_smoothing=smoothing), expected)


def test_ignored_labels_do_not_count(draws):
    logits, labels = draws
    some = labels.clone()
    some[::2] = -100
    torch.testing.assert_close(objectives.mean_loss(logits, some), F.cross_entropy(logits[1::2], labels[1::2]))
    torch.testing.assert_close(
        objectives.mean_loss(logits.view(4, 5, 5), some.view(4, 5)), objectives.mean_loss(logits, some)
    )


def test_class_weights_reach_the_loss_and_divide_by_items(draws):
    logits, labels = draws
    weights = objectives.class_weights(labels, 5)
    losses = F.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(
        objectives.mean_loss(logits, labels, class_weights=weights), (losses * weights[labels]).mean()
    )
    assert (weights[labels]).mean() == pytest.approx(1.0)


def test_class_weights_follow_scikit_learn(draws):
    from sklearn.utils.class_weight import compute_class_weight

    labels = draws[1].numpy()
    expected = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    assert objectives.class_weights(labels.tolist(), 5).tolist() == pytest.approx(expected.tolist())


def test_no_label_at_all_gives_zero_with_a_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = objectives.mean_loss(logits, torch.tensor([-100, -100]))
    loss.backward()
    assert loss == 0
    assert logits.grad.abs().sum() == 0


def test_bf16_logits_are_summed_in_fp32(draws):
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
    ],
)  # fmt: skip
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
