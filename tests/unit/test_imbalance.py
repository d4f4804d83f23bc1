"""Rare classes: weights, losses, sampling and decisions have their hand-computed values, and the usual traps show."""

import random
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch.nn import functional as F

from nbhelpers import imbalance, objectives, training

COUNTS = [9, 1]
class_labels = st.lists(st.integers(0, 3), min_size=1, max_size=80)


class Linear(torch.nn.Module):
    """A classifier whose output looks like that of transformers."""

    def __init__(self, num_features, num_classes, seed=0):
        super().__init__()
        self.layer = torch.nn.Linear(num_features, num_classes)
        torch.nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(seed))

    def forward(self, x):
        return SimpleNamespace(logits=self.layer(x))


def fixed(*rows):
    """A "model" that returns these logits, and keeps their gradient."""
    logits = torch.tensor(rows, requires_grad=True)
    model = SimpleNamespace(logits=logits)
    return lambda x: model


def batch_of(*labels):
    return {"x": torch.zeros(len(labels)), "labels": torch.tensor(labels)}


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 5, generator=generator), torch.randint(0, 4, (24,), generator=generator)


OBJECTIVES = {
    "focal": partial(imbalance.focal_loss, gamma=2.0),
    "weighted": partial(imbalance.focal_loss, gamma=0.0, class_weights=torch.tensor([0.5, 1.0, 2.0, 4.0])),
    "weighted focal": partial(imbalance.focal_loss, gamma=0.5, class_weights=torch.tensor([0.5, 1.0, 2.0, 4.0])),
    "logit adjustment": partial(imbalance.logit_adjusted_loss, counts=[40, 20, 8, 1]),
    "logit adjustment and smoothing": partial(
        imbalance.logit_adjusted_loss, counts=[40, 20, 8, 1], tau=0.5, label_smoothing=0.1
    ),
}
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


# --- counts and weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_of_any_kind_are_counted_without_minus_100(kind):
    assert imbalance.count_labels(kind([2, 0, 0, -100]), 4).tolist() == [2, 0, 1, 0]


def test_labels_per_token_are_counted():
    assert imbalance.count_labels(torch.tensor([[0, 1], [1, -100]]), 2).tolist() == [1, 2]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_inverse_frequency_weights_are_those_of_the_unit_objectives(power):
    labels = [0] * 30 + [1] * 7 + [2]
    weights = imbalance.inverse_frequency_weights(imbalance.count_labels(labels, 3), power=power)
    torch.testing.assert_close(weights, objectives.class_weights(labels, 3, power=power))


def test_weights_have_their_hand_computed_values():
    assert imbalance.inverse_frequency_weights(COUNTS).tolist() == pytest.approx([10 / 18, 5.0])
    assert imbalance.inverse_frequency_weights(COUNTS, power=0.5).tolist() == pytest.approx([2.5 / 3, 2.5])
    # effective numbers 1.5 and 1: weights 2/3 and 1, times 3 / (2 * 2/3 + 1)
    assert imbalance.effective_number_weights([2, 1], beta=0.5).tolist() == pytest.approx([6 / 7, 9 / 7])


@pytest.mark.parametrize("beta", [0.1, 0.9, 0.999, 0.9999, 1 - 1e-12])
def test_effective_number_weights_have_mean_1_and_the_ratios_of_the_paper(beta):
    counts = torch.tensor([500, 20, 3])
    weights = imbalance.effective_number_weights(counts, beta=beta)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    if beta < 0.99999:  # beyond, the paper's own formula loses its digits
        of_paper = (1 - beta) / (1 - beta ** counts.double())
        assert (weights / weights[2]).tolist() == pytest.approx((of_paper / of_paper[2]).tolist(), rel=1e-5)


def test_effective_number_is_the_inverse_frequency_for_few_rows_and_uniform_for_many():
    few, many = [30, 3], [30_000, 3_000]
    inverse = imbalance.inverse_frequency_weights(few)
    torch.testing.assert_close(imbalance.effective_number_weights(few, beta=1 - 1e-9), inverse)
    assert imbalance.effective_number_weights(many, beta=0.99).tolist() == pytest.approx([1, 1])


def test_weights_with_mean_1_over_classes_would_shrink_the_loss():
    """The number in the docstring: the papers' normalization is a change of learning rate."""
    weights = 1 / torch.tensor(COUNTS)
    weights = weights / weights.mean()
    assert (weights * torch.tensor(COUNTS)).sum().item() / 10 == pytest.approx(0.36)


# --- losses --------------------------------------------------------------------------------------------------------


def test_focal_loss_has_its_hand_computed_value():
    p = torch.tensor([0.9, 0.6, 0.2])  # of the labels
    model = fixed(*torch.stack([p, 1 - p], -1).log().tolist())
    loss = imbalance.focal_loss(model, batch_of(0, 0, 0), gamma=2.0)
    expected = (0.01 * 0.105361 + 0.16 * 0.510826 + 0.64 * 1.609438) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_focal_loss_with_gamma_0_is_exactly_cross_entropy(draws, weighted):
    logits, labels = draws
    labels[::5] = -100
    weights = torch.tensor([0.3, 1.0, 2.0, 5.0, 1.0]) if weighted else None
    gradients, losses = [], []
    for function in (partial(imbalance.focal_loss, gamma=0.0), objectives.cross_entropy):
        leaf = logits.clone().requires_grad_()
        model = partial(lambda leaf, x: SimpleNamespace(logits=leaf), leaf)
        losses.append(function(model, {"x": None, "labels": labels}, class_weights=weights))
        losses[-1].backward()
        gradients.append(leaf.grad)
    assert torch.equal(*losses)
    assert torch.equal(*gradients)


def test_class_weights_do_not_change_the_probability_in_the_focal_factor():
    """Public code computes p = exp(-weighted cross-entropy), which is no probability."""
    model, weights = fixed([0.0, 0.0]), torch.tensor([1.0, 3.0])
    loss = imbalance.focal_loss(model, batch_of(1), class_weights=weights)
    assert loss.item() == pytest.approx(3 * 0.25 * np.log(2))
    assert loss.item() != pytest.approx((1 - 0.5**3) ** 2 * 3 * np.log(2))  # the value of that mistake


def test_the_focal_factor_belongs_to_each_item():
    """Public code takes the mean of the batch first; the factor is then the same for sure and unsure items."""
    model = fixed([3.0, 0.0], [0.0, 3.0])
    loss = imbalance.focal_loss(model, batch_of(0, 0))
    assert loss.item() == pytest.approx((0.0474259**2 * 0.0485874 + 0.9525741**2 * 3.0485874) / 2)
    assert loss.item() != pytest.approx((1 - np.exp(-1.5485874)) ** 2 * 1.5485874)  # the value of that mistake


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_of_a_certain_model_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = imbalance.focal_loss(lambda x: SimpleNamespace(logits=logits), batch_of(0, 0), gamma=gamma)
    loss.backward()
    assert loss.item() == pytest.approx(100)  # the second item is wrong by 200
    assert torch.isfinite(logits.grad).all()


def test_logit_adjusted_loss_is_cross_entropy_of_shifted_logits(draws):
    logits, labels = draws
    counts = torch.tensor([40, 20, 8, 2, 30])
    shifted = logits + 0.7 * (counts / 100).log()
    loss = imbalance.logit_adjusted_loss(
        lambda x: SimpleNamespace(logits=logits), {"x": None, "labels": labels}, counts=counts, tau=0.7
    )
    torch.testing.assert_close(loss, F.cross_entropy(shifted, labels))


def test_logit_adjustment_with_tau_1_is_balanced_softmax(draws):
    logits, labels = draws
    counts = torch.tensor([40, 20, 8, 2, 30])
    weighted = counts * logits.exp()  # the paper's n_c exp(z_c) / sum n exp(z)
    expected = -(weighted / weighted.sum(-1, keepdim=True)).log()[torch.arange(len(labels)), labels].mean()
    loss = imbalance.logit_adjusted_loss(
        lambda x: SimpleNamespace(logits=logits), {"x": None, "labels": labels}, counts=counts
    )
    torch.testing.assert_close(loss, expected)


def test_logit_adjustment_of_equal_classes_or_with_tau_0_is_cross_entropy(draws):
    logits, labels = draws
    for options in ({"counts": [7] * 5}, {"counts": [40, 20, 8, 2, 30], "tau": 0.0}):
        loss = imbalance.logit_adjusted_loss(
            lambda x: SimpleNamespace(logits=logits), {"x": None, "labels": labels}, **options
        )
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels))


@each_objective
def test_gradients_agree_with_finite_differences(objective):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, generator=generator)
    batch = {"x": None, "labels": torch.tensor([3, 0, -100])}

    def loss(values):
        return objective(lambda x: SimpleNamespace(logits=values), batch)

    leaf = logits.clone().requires_grad_()
    loss(leaf).backward()
    for index in np.ndindex(3, 4):
        step = torch.zeros(3, 4)
        step[index] = 1e-2
        slope = (loss(logits + step) - loss(logits - step)) / 2e-2
        assert leaf.grad[index].item() == pytest.approx(slope.item(), abs=2e-4)
    assert leaf.grad[2].abs().sum() == 0  # it has no label


@each_objective
def test_micro_batches_give_the_gradient_of_the_whole_batch(objective):
    generator = torch.Generator().manual_seed(2)
    inputs, labels = torch.randn(12, 6, generator=generator), torch.arange(12) % 4
    labels[[4, 9]] = -100
    model = Linear(6, 4)
    objective(model, {"x": inputs, "labels": labels}).backward()
    expected = model.layer.weight.grad.clone()
    model.zero_grad()
    for rows in (slice(0, 7), slice(7, 9), slice(9, 10), slice(10, 12)):  # one of them has no label
        batch = {"x": inputs[rows], "labels": labels[rows]}
        (objective(model, batch) * training.num_labeled(batch) / 10).backward()
    torch.testing.assert_close(model.layer.weight.grad, expected)


def test_dividing_by_the_sum_of_weights_makes_micro_batches_differ():
    """What torch does: the reason why the losses here divide by the number of items."""
    logits, labels, weights = torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]), torch.tensor([1.0, 9.0])
    logits[3, 1] = 2.0
    whole = F.cross_entropy(logits, labels, weight=weights)
    halves = sum(F.cross_entropy(logits[rows], labels[rows], weight=weights) for rows in (slice(2), slice(2, 4))) / 2
    assert abs(whole - halves) > 0.1


@each_objective
def test_labels_per_token_give_the_loss_of_the_labeled_tokens(objective):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 4, generator=generator)
    labels = torch.tensor([[0, 3, -100], [1, -100, -100]])
    loss = objective(lambda x: SimpleNamespace(logits=logits), {"x": None, "labels": labels})
    flat = {"x": None, "labels": labels[labels >= 0]}
    torch.testing.assert_close(loss, objective(lambda x: SimpleNamespace(logits=logits[labels >= 0]), flat))


@each_objective
def test_a_batch_without_labels_has_loss_zero_and_a_gradient(objective):
    model = Linear(6, 4)
    loss = objective(model, {"x": torch.ones(2, 6), "labels": torch.tensor([-100, -100])})
    loss.backward()
    assert loss == 0
    assert model.layer.weight.grad.abs().sum() == 0


@each_objective
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_are_computed_in_fp32_under_autocast(objective, dtype):
    model, batch = Linear(6, 4), {"x": torch.randn(64, 6), "labels": torch.arange(64) % 4}
    with torch.autocast("cpu", dtype):
        logits = model(batch["x"]).logits
        loss = objective(model, batch)
    assert logits.dtype == dtype
    assert loss.dtype == torch.float32
    # exactly the loss of those logits in fp32: nothing after the model was rounded
    assert loss == objective(lambda x: SimpleNamespace(logits=logits.float()), batch)


# --- the adjustment applied twice ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """Logits of a linear model on new rows of two overlapping classes, 19 to 1, after each of the two objectives."""
    counts = torch.tensor([1900, 100])
    labels = torch.repeat_interleave(torch.arange(2), counts)

    def inputs(seed):
        noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(seed))
        return noise + F.one_hot(labels, 2) * 1.5

    def logits(objective):
        model, batch = Linear(2, 2), {"x": inputs(0), "labels": labels}
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50)

        def closure():
            optimizer.zero_grad()
            loss = objective(model, batch)
            loss.backward()
            return loss

        optimizer.step(closure)
        return model(inputs(1)).logits.detach()

    plain = logits(partial(imbalance.focal_loss, gamma=0.0))
    adjusted = logits(partial(imbalance.logit_adjusted_loss, counts=counts))
    return SimpleNamespace(plain=plain, adjusted=adjusted, labels=labels, counts=counts)


def mean_recall(logits, labels):
    predictions = logits.argmax(-1)
    return np.mean([(predictions[labels == index] == index).float().mean().item() for index in (0, 1)])


def test_adjusting_in_training_or_after_it_does_the_same_and_both_are_too_much(trained):
    after = imbalance.adjust_logits(trained.plain, trained.counts)
    twice = imbalance.adjust_logits(trained.adjusted, trained.counts)
    recalls = [mean_recall(logits, trained.labels) for logits in (trained.plain, trained.adjusted, after, twice)]
    plain, in_training, afterwards, both = recalls
    assert in_training == pytest.approx(afterwards, abs=0.02)
    assert in_training > plain + 0.15
    assert in_training > both + 0.05


def test_an_adjustment_that_is_applied_already_is_noticed_on_labeled_rows(trained):
    """As far as that is possible: from logits and labels. Also for a model that is three times too confident."""
    counts, labels = trained.counts, trained.labels
    tau = partial(imbalance.applied_tau, labels=labels, counts=counts)
    assert tau(trained.plain) == pytest.approx(0, abs=0.15)
    assert tau(trained.adjusted) == pytest.approx(1, abs=0.15)
    assert tau(imbalance.adjust_logits(trained.plain, counts)) == pytest.approx(1, abs=0.15)
    assert tau(imbalance.adjust_logits(trained.adjusted, counts)) == pytest.approx(2, abs=0.15)
    assert tau(3 * trained.plain) == pytest.approx(0, abs=0.15)
    assert tau(3 * trained.adjusted) == pytest.approx(1, abs=0.15)


def test_adding_the_prior_back_gives_probabilities_for_the_frequencies_of_train(trained):
    restored = imbalance.adjust_logits(trained.adjusted, trained.counts, tau=-1.0)
    share = 100 / 2000
    assert restored.softmax(-1)[:, 1].mean().item() == pytest.approx(share, abs=0.01)
    assert trained.adjusted.softmax(-1)[:, 1].mean() > 4 * share  # those of equally frequent classes


def test_macro_f1_asks_for_a_smaller_tau_than_mean_recall(trained):
    """It counts false alarms as well. After training with tau=1, a part of the adjustment is taken back."""
    chosen = partial(imbalance.choose_tau, labels=trained.labels, counts=trained.counts)
    assert 0 < chosen(trained.plain) < 0.8
    assert chosen(trained.adjusted) == 0  # of 0.0 to 2.0
    below_0 = chosen(trained.adjusted, taus=[step / 10 for step in range(-20, 21)])
    assert below_0 == pytest.approx(chosen(trained.plain) - 1, abs=0.25)


# --- choices on dev ------------------------------------------------------------------------------------------------


def test_adjusted_logits_have_their_hand_computed_values():
    logits = imbalance.adjust_logits(torch.tensor([[[2.0, 0.0]]], dtype=torch.bfloat16), COUNTS, tau=2.0)
    assert logits.dtype == torch.float32
    assert logits.flatten().tolist() == pytest.approx([2 - 2 * np.log(0.9), -2 * np.log(0.1)])


def test_choose_tau_prefers_the_smallest_change_in_a_tie():
    logits, labels = torch.tensor([[5.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 1])
    assert imbalance.choose_tau(logits, labels, COUNTS) == 0
    assert imbalance.choose_tau(logits, labels, COUNTS, taus=[]) == 0


def random_dev(seed, num_items=60, num_classes=4):
    generator = torch.Generator().manual_seed(seed)
    rare = torch.randint(0, num_classes**2, (num_items - num_classes,), generator=generator).float().sqrt().long()
    labels = torch.cat([torch.arange(num_classes), rare])
    logits = torch.randn(num_items, num_classes, generator=generator) + 1.5 * F.one_hot(labels, num_classes)
    return logits, labels


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.floats(0, 2))
def test_offsets_are_never_worse_on_dev_than_none(seed, with_ties, shift):
    logits, labels = random_dev(seed)
    logits[:, 0] += shift
    if with_ties:
        logits = logits.round()
    offsets = imbalance.tune_offsets(logits, labels)
    before, after = (imbalance.macro_f1(labels, (logits + move).argmax(-1), 4) for move in (0 * offsets, offsets))
    assert after >= before
    assert torch.equal(offsets, imbalance.tune_offsets(logits, labels))  # the same each time
    if after == before:
        assert not offsets.any()


@pytest.mark.parametrize("with_ties", [False, True])
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_no_single_offset_improves_what_was_found(seed, with_ties):
    logits, labels = random_dev(seed)
    logits = logits.round() if with_ties else logits  # rows that tie go over together
    offsets = imbalance.tune_offsets(logits, labels)
    best = imbalance.macro_f1(labels, (logits + offsets).argmax(-1), 4)
    assert best > imbalance.macro_f1(labels, logits.argmax(-1), 4)
    for index in range(4):
        for change in torch.linspace(-5, 5, 101):
            moved = offsets + change * F.one_hot(torch.tensor(index), 4)
            assert imbalance.macro_f1(labels, (logits + moved).argmax(-1), 4) <= best + 1e-9


def test_offsets_have_their_hand_computed_value():
    """Class 1 wins nothing, because the model favors class 0 by 2. Half-way between the rows lies the threshold."""
    logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [2.0, 0.0]])
    labels = torch.tensor([0, 0, 0, 1])
    offsets = imbalance.tune_offsets(logits, labels)
    assert (offsets[1] - offsets[0]).item() == pytest.approx(3.0)
    assert imbalance.macro_f1(labels, (logits + offsets).argmax(-1), 2) == 1


def test_offsets_ignore_rows_without_a_label_and_accept_log_probabilities():
    logits, labels = random_dev(7)
    offsets = imbalance.tune_offsets(logits, labels)
    more_logits, more_labels = torch.cat([logits, -logits]), torch.cat([labels, torch.full_like(labels, -100)])
    assert torch.equal(imbalance.tune_offsets(more_logits, more_labels), offsets)
    of_log_probabilities = imbalance.tune_offsets(logits.log_softmax(-1), labels)
    torch.testing.assert_close(of_log_probabilities, offsets, atol=1e-5, rtol=0)


# --- scores --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50))
def test_f1_scores_are_those_of_scikit_learn(pairs):
    labels, predictions = torch.tensor(pairs).T
    options = {"labels": range(5), "zero_division": 0}
    expected = f1_score(labels, predictions, average=None, **options)
    assert imbalance.f1_per_class(labels, predictions, 5).tolist() == pytest.approx(expected.tolist())
    macro = f1_score(labels, predictions, average="macro", **options)
    assert imbalance.macro_f1(labels, predictions, 5) == pytest.approx(macro)
    rare = f1_score(labels, predictions, average="macro", labels=[3, 1], zero_division=0)
    assert imbalance.rarest_f1(labels, predictions, [9, 2, 9, 1, 9], k=2) == pytest.approx(rare)


def test_scores_ignore_rows_without_a_label():
    labels, predictions = torch.tensor([0, 1, -100]), torch.tensor([0, 1, 0])
    assert imbalance.macro_f1(labels, predictions, 2) == 1


# --- sampling ------------------------------------------------------------------------------------------------------


def epoch_of(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return [row for batch in sampler for row in batch]


@settings(deadline=None)
@given(class_labels, st.integers(1, 9), st.floats(0, 1), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_has_as_many_rows_as_the_data_and_each_class_its_share(labels, batch_size, power, seed, epoch):
    sampler = imbalance.BalancedSampler(labels, batch_size, power=power, seed=seed)
    rows = epoch_of(sampler, epoch)
    batches = list(sampler)
    assert len(rows) == len(labels)
    assert len(batches) == len(sampler)
    assert max(map(len, batches)) <= batch_size
    counts, drawn = Counter(labels), Counter(labels[row] for row in rows)
    total = sum(n ** (1 - power) for n in counts.values())
    for label, n in counts.items():
        assert abs(drawn[label] - len(labels) * n ** (1 - power) / total) < 1
    for row, times in Counter(rows).items():
        assert abs(times - sampler.repeats[labels[row]]) < 1


def test_power_0_draws_every_row_once():
    rows = epoch_of(imbalance.BalancedSampler([0] * 7 + [1], batch_size=3, power=0.0))
    assert sorted(rows) == list(range(8))
    assert rows != sorted(rows)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_row_is_drawn_as_often_as_its_class_weight_says(power):
    labels = [0] * 40 + [1] * 8 + [2] * 3
    sampler = imbalance.BalancedSampler(labels, batch_size=8, power=power)
    counts = torch.bincount(torch.tensor([row for epoch in range(300) for row in epoch_of(sampler, epoch)])) / 300
    weights = imbalance.inverse_frequency_weights(imbalance.count_labels(labels, 3), power=power)
    torch.testing.assert_close(counts, weights[torch.tensor(labels)], atol=0.12, rtol=0.05)


def test_epochs_and_seeds_differ_and_do_not_depend_on_other_random_numbers():
    labels = [0] * 30 + [1] * 5
    sampler = imbalance.BalancedSampler(labels, 4, seed=1)
    first = epoch_of(sampler)
    random.seed(99)
    torch.manual_seed(99)
    assert epoch_of(imbalance.BalancedSampler(torch.tensor(labels), 4, seed=1)) == first
    assert epoch_of(sampler, 1) != first
    assert epoch_of(imbalance.BalancedSampler(labels, 4, seed=2)) != first


def test_rows_of_similar_length_come_together():
    lengths = list(range(40))
    sampler = imbalance.BalancedSampler([0, 1] * 20, batch_size=4, power=0.0, lengths=lengths)
    batches = list(sampler)
    assert all(max(batch) - min(batch) == 3 for batch in batches)
    assert batches != sorted(batches)


def test_the_loop_tells_the_sampler_each_epoch():
    labels = [0] * 9 + [1] * 3
    examples = [{"x": torch.randn(3), "labels": label} for label in labels]
    sampler = imbalance.BalancedSampler(labels, batch_size=5)
    dataloader = torch.utils.data.DataLoader(examples, batch_sampler=sampler)
    seen = []

    def objective(model, batch):
        seen.append(batch["labels"].tolist())
        return imbalance.focal_loss(model, batch)

    model = Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    training.fit(model, dataloader, objective, optimizer, scheduler, num_epochs=2)
    assert len(seen) == 2 * len(dataloader) == 6
    assert sampler.epoch == 1
    assert sum(map(sum, seen)) == 12  # half of 12 rows in each of two epochs


def test_sampler_and_weights_together_correct_twice():
    """The trap of the docstring: the rare class then has nine tenths of the loss, not half."""
    labels = torch.tensor([0] * 9 + [1])
    rows = epoch_of(imbalance.BalancedSampler(labels, batch_size=10))
    drawn, weights = labels[rows], imbalance.inverse_frequency_weights(COUNTS)
    assert (drawn == 1).float().mean() == 0.5
    assert weights[labels][labels == 1].sum() / weights[labels].sum() == pytest.approx(0.5)
    assert weights[drawn][drawn == 1].sum() / weights[drawn].sum() == pytest.approx(0.9)


# --- wrong calls ---------------------------------------------------------------------------------------------------

PAIR = (torch.zeros(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: imbalance.count_labels([0, 3], 3), "label 3 is not one of the classes 0 to 2; check num_classes"),
        (lambda: imbalance.count_labels([0, -1], 3), "label -1 is not one of the classes"),
        (lambda: imbalance.log_prior([5, 0, 3, 0]), "class 1, 3 has no training row, so its prior is 0; merge it"),
        (lambda: imbalance.inverse_frequency_weights([5, 0]), "class 1 has no training row"),
        (lambda: imbalance.effective_number_weights([0, 5]), "class 0 has no training row"),
        (lambda: imbalance.effective_number_weights([1, 5], beta=1.0), "beta=1.0: pass a number above 0 and below 1"),
        (lambda: imbalance.adjust_logits(PAIR[0], [4, 2, 0]), "class 2 has no training row"),
        (lambda: imbalance.adjust_logits(PAIR[0], [4, 2]), "2 counts for 3 classes; give one for each class"),
        (lambda: imbalance.adjust_logits(PAIR[0].softmax(-1), [4, 2, 1]), "these are probabilities; pass the model's"),
        (lambda: imbalance.choose_tau(*PAIR, [4, 2, 0]), "class 2 has no training row"),
        (lambda: imbalance.choose_tau(PAIR[0], torch.zeros(3), [4, 2, 1]), r"shape \(2, 3\) and labels \(3,\); pass"),
        (lambda: imbalance.tune_offsets(*PAIR), "class 2 has no dev row, so nothing shows a good offset; use choose"),
        (lambda: imbalance.tune_offsets(PAIR[0], torch.tensor([-100, -100])), "no row has a label; pass the dev rows"),
        (lambda: imbalance.f1_per_class(PAIR[1], PAIR[1][:1], 2), "2 labels, but 1 predictions"),
        (lambda: imbalance.rarest_classes([3, 1], 3), "k=3, but there are 2 classes; pass a number from 1 to 2"),
        (lambda: imbalance.focal_loss(fixed([0.0, 0.0]), batch_of(0), gamma=-1), "gamma=-1 would make sure items"),
        (lambda: imbalance.focal_loss(fixed([0.0, 0.0]), {"x": torch.zeros(1)}), "the batch has no 'labels', only x"),
        (lambda: imbalance.focal_loss(fixed([0.0, 0.0]), batch_of(2)), "labels run from 2 to 2, but the model has 2"),
        (lambda: imbalance.focal_loss(fixed([0.0, 0.0]), batch_of(0, 1)), r"labels have shape \(2,\), logits \(1, 2\)"),
        (
            lambda: imbalance.focal_loss(fixed([0.0, 0.0]), batch_of(0), class_weights=torch.ones(3)),
            "3 class weights for 2 classes",
        ),
        (
            lambda: imbalance.logit_adjusted_loss(fixed([0.0, 0.0]), batch_of(0), counts=[3, 2, 1]),
            "3 counts for 2 classes",
        ),
        (
            lambda: imbalance.logit_adjusted_loss(fixed([0.0, 0.0]), batch_of(0), counts=[3, 0]),
            "class 1 has no training row",
        ),
        (lambda: imbalance.BalancedSampler([], 4), "labels is empty or contains -100"),
        (lambda: imbalance.BalancedSampler([0, -100], 4), "labels is empty or contains -100"),
        (lambda: imbalance.BalancedSampler([0, 1], 4, power=2), "power=2 from 0 to 1"),
        (lambda: imbalance.BalancedSampler([0, 1], 4, lengths=[3]), "2 labels, but 1 lengths"),
    ],
)
def test_errors_of_imbalance_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_tiny_number_instead_of_a_missing_prior_would_predict_that_class_for_every_row():
    """Why an unseen class is refused: the public code that the docstring of `log_prior` speaks of."""
    prior = torch.tensor([0.9, 0.1, 0.0])
    logits = torch.tensor([[8.0, -2.0, -9.0], [-3.0, 7.0, -9.0]])
    assert (logits - (prior + 1e-12).log()).argmax(-1).tolist() == [2, 2]
