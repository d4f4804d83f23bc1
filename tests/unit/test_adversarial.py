"""Perturbations have the right size and direction, the losses the right gradients, and nothing is left in the model."""

import copy
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch.nn import functional as F
from training_runs import random_examples, same_weights, small_dataloader, tiny_model, train, train_by_trainer

from nbhelpers import adapters, objectives
from nbhelpers.adversarial import fgm, freelb, perturbation, perturbed, pgd, smoothness, vat


def cross_entropy(model, batch):
    """As `objectives.cross_entropy`, but in fp64 where the model is."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits, labels = model(**inputs).logits, batch["labels"].flatten()
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(logits.flatten(0, -2), labels, reduction="sum") / (labels != -100).sum().clamp(min=1)


fgm, pgd, freelb, vat = (partial(method, objective=cross_entropy) for method in (fgm, pgd, freelb, vat))
METHODS = {"fgm": fgm, "pgd": pgd, "freelb": freelb, "vat": vat}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
SIZES = dict(
    hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=30, num_labels=3
)
NO_DROPOUT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def bert(seed=0, dtype=torch.float64, **options):
    """A classifier of three classes with random weights that are large enough for it to have an opinion."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(**{**SIZES, "initializer_range": 0.3, **NO_DROPOUT, **options})
    return transformers.BertForSequenceClassification(config).to(dtype).train()


def batch_of(count=4, length=8):
    """Sentences of 3 to `length` tokens, padded; each begins with token 2 and ends with token 3."""
    generator = torch.Generator().manual_seed(count)
    input_ids = torch.randint(4, 30, (count, length), generator=generator)
    lengths = torch.arange(count) % (length - 2) + 3
    position = torch.arange(length)
    attention_mask = (position < lengths.unsqueeze(1)).long()
    input_ids[:, 0] = 2
    input_ids[position == lengths.unsqueeze(1) - 1] = 3
    labels = torch.randint(3, (count,), generator=generator)
    return {"input_ids": input_ids * attention_mask, "attention_mask": attention_mask, "labels": labels}


def rows(batch, index):
    return {name: tensor[index] for name, tensor in batch.items()}


def perturbations(model, batch, method):
    """The perturbation [batch, tokens, size] of each pass of the method, seen from inside of the model."""
    seen = []
    norm_layer = model.get_submodule("bert.embeddings.LayerNorm")
    handle = norm_layer.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach()))
    cross_entropy(model, batch)
    loss = method(model, batch)
    handle.remove()
    return [embeddings - seen[0] for embeddings in seen[1:]], loss


def norms(tensor):
    return tensor.norm(dim=(1, 2))


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(first, second, **tolerances):
    assert first.keys() == second.keys()
    for name, gradient in second.items():
        torch.testing.assert_close(first[name], gradient, **tolerances)


# --- the direction -------------------------------------------------------------------------------------------------


def test_direction_is_the_gradient_by_finite_differences():
    model, batch = bert(), batch_of(2)
    passes, _ = perturbations(model, batch, partial(fgm, epsilon=1.0))
    direction, width = passes[-1], 1e-5
    slopes = torch.zeros_like(direction)
    for index in torch.cartesian_prod(*map(torch.arange, direction.shape[:2]), torch.arange(0, 16, 5)):
        step = torch.zeros_like(direction)
        step[tuple(index)] = width
        with torch.no_grad():
            up, down = [perturbed_loss(model, batch, sign * step) for sign in (1, -1)]
        slopes[tuple(index)] = (up - down) / (2 * width)
    for sentence in range(2):
        real = slopes[sentence] != 0
        ratio = direction[sentence][real] / slopes[sentence][real]  # 1 / |g|, the same for all numbers of a sentence
        assert len(ratio) >= 9
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-5, atol=0)


def perturbed_loss(model, batch, tensor):
    with perturbed(model, tensor):
        return cross_entropy(model, batch)


def test_fgm_raises_the_loss_by_epsilon_times_the_norm_of_the_gradient():
    model, batch, epsilon = bert(), batch_of(5), 1e-5
    embeddings = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    inputs = {"inputs_embeds": embeddings, "attention_mask": batch["attention_mask"]}
    clean = objectives.mean_loss(model(**inputs).logits, batch["labels"])
    (gradient,) = torch.autograd.grad(clean, embeddings)
    increase = fgm(model, batch, epsilon=epsilon) - 2 * cross_entropy(model, batch)
    expected = (gradient * batch["attention_mask"].unsqueeze(-1)).norm(dim=(1, 2)).sum()
    assert increase.item() / epsilon == pytest.approx(expected.item(), rel=1e-3)


def test_no_other_direction_raises_the_loss_as_much():
    model, batch = bert(), batch_of(5)
    increase = fgm(model, batch, epsilon=1e-3) - 2 * cross_entropy(model, batch)
    mask = batch["attention_mask"].unsqueeze(-1)
    for seed in range(5):
        torch.manual_seed(seed)
        other = perturbation.unit(torch.randn(5, 8, 16, dtype=torch.float64) * mask)
        assert perturbed_loss(model, batch, 1e-3 * other) - cross_entropy(model, batch) < increase / 2


class SumOfWords(torch.nn.Module):
    """logits = W (sum of the word embeddings), so that gradients can be written down."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.words = torch.nn.Embedding.from_pretrained(torch.randn(30, 16, generator=generator, dtype=dtype))
        self.weight = torch.nn.Parameter(torch.randn(3, 16, generator=generator, dtype=dtype))
        self.passes = []

    def get_input_embeddings(self):
        return self.words

    def forward(self, input_ids, attention_mask):
        embeddings = self.words(input_ids)
        self.passes.append(embeddings.detach() - self.words.weight[input_ids])
        return SimpleNamespace(logits=(embeddings * attention_mask.unsqueeze(-1)).sum(1) @ self.weight.T)


def test_fgm_moves_each_token_by_the_formula():
    model, batch = SumOfWords(), batch_of(4)
    fgm(model, batch, epsilon=2.0)
    clean, moved = model.passes
    probabilities = model(batch["input_ids"], batch["attention_mask"]).logits.softmax(-1)
    slopes = ((probabilities - F.one_hot(batch["labels"], 3)) @ model.weight).detach()  # [batch, size]
    counts = batch["attention_mask"].sum(1)
    per_token = 2.0 * slopes / slopes.norm(dim=1, keepdim=True) / counts.sqrt().unsqueeze(1)
    assert clean.abs().sum() == 0
    torch.testing.assert_close(moved, per_token.unsqueeze(1) * batch["attention_mask"].unsqueeze(-1))


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_each_sentence_moves_by_epsilon_with_its_special_tokens_and_without_padding():
    model, batch = bert(), batch_of(5)
    for method in (partial(fgm, epsilon=0.7), partial(vat, epsilon=0.7), partial(pgd, epsilon=0.7, step_size=0.5)):
        last = perturbations(model, batch, method)[0][-1]
        torch.testing.assert_close(norms(last), torch.full((5,), 0.7, dtype=torch.float64))
        moved = last.abs().sum(-1) > 0
        assert torch.equal(moved, batch["attention_mask"].bool())  # the first and last token are special


@pytest.mark.parametrize("method", [fgm, pgd, partial(freelb, init_size=0.0)])
def test_a_sentence_moves_alike_alone_and_in_any_batch(method):
    model, batch = bert(), batch_of(12)
    alone = {name: tensor[:1, :3] for name, tensor in batch.items() if name != "labels"}  # without its padding
    expected = perturbations(model, {**alone, "labels": batch["labels"][:1]}, method)[0][-1]
    for count in (1, 4, 12):
        moved = perturbations(model, rows(batch, slice(count)), method)[0][-1]
        torch.testing.assert_close(moved[:1, :3], expected)
        assert moved[:1, 3:].abs().sum() == 0


def shift_of_the_common_fgm(model, batch, epsilon=1.0):
    """How far each token moves where the gradient of the whole embedding matrix is divided by its own norm."""
    matrix = model.get_input_embeddings().weight
    (gradient,) = torch.autograd.grad(cross_entropy(model, batch), matrix)
    return (epsilon * gradient / gradient.norm())[batch["input_ids"]].norm(dim=-1)  # [batch, tokens]


def test_the_common_fgm_moves_words_less_in_larger_batches():
    model, batch = bert(vocab_size=1000), batch_of(64)
    is_word = batch["input_ids"] > 3
    generator = torch.Generator().manual_seed(0)
    batch["input_ids"] += is_word * torch.randint(0, 970, is_word.shape, generator=generator)  # few occur twice
    common, ours = [], []
    for count in (4, 16, 64):
        words = is_word[:count]
        common.append(shift_of_the_common_fgm(model, rows(batch, slice(count)))[words].median().item())
        moved = perturbations(model, rows(batch, slice(count)), fgm)[0][-1]
        ours.append(moved.norm(dim=-1)[:4][words[:4]])
    assert common[0] > 1.5 * common[1] > 2 * common[2], common
    assert all(torch.allclose(shift, ours[0]) for shift in ours)


def test_pgd_stays_in_the_ball_and_finds_more_than_one_step():
    model, batch = bert(), batch_of(6)
    passes, loss = perturbations(model, batch, partial(pgd, epsilon=2.0, step_size=0.5, num_steps=8))
    assert len(passes) == 9
    assert norms(passes[0]).max() == 0
    torch.testing.assert_close(norms(passes[1]), torch.full((6,), 0.5, dtype=torch.float64))
    assert all(norms(tensor).max() <= 2.0 + 1e-9 for tensor in passes)
    one_step = partial(pgd, epsilon=2.0, step_size=2.0, num_steps=1)
    assert loss > one_step(model, batch) > cross_entropy(model, batch)


def test_pgd_of_one_step_is_the_perturbed_half_of_fgm():
    model, batch = bert(), batch_of(6)
    one_step = pgd(model, batch, epsilon=0.8, step_size=0.8, num_steps=1)
    torch.testing.assert_close(one_step, fgm(model, batch, epsilon=0.8) - cross_entropy(model, batch))


def test_freelb_starts_at_random_and_steps_inside_the_ball():
    model, batch = bert(), batch_of(6)
    method = partial(freelb, epsilon=0.5, step_size=0.2, num_steps=6, init_size=0.4)
    passes, _ = perturbations(model, batch, method)
    assert len(passes) == 6
    counts = batch["attention_mask"].sum(1) * 16  # numbers in each sentence
    assert ((passes[0].abs().amax((1, 2)) * counts.sqrt()).max() <= 0.4 + 1e-9).item()
    assert norms(passes[0]).tolist() == pytest.approx([0.4 / math.sqrt(3)] * 6, rel=0.2)
    assert (passes[0].abs().sum(-1) > 0).equal(batch["attention_mask"].bool())
    torch.testing.assert_close(norms(passes[1] - passes[0]), torch.full((6,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(norms(passes[-1]), torch.full((6,), 0.5, dtype=torch.float64))  # the border
    unlimited = perturbations(model, batch, partial(method, epsilon=math.inf))[0]
    assert norms(unlimited[-1]).max() > 0.6


def test_a_sure_model_is_perturbed_as_much_as_any_other():
    """Its gradients are tiny; FreeLB's code divides by 1e-8 at least, and shortens the step of such sentences."""
    model, batch = bert(), batch_of(4)
    with torch.no_grad():
        model.classifier.weight *= 1e-30
    last = perturbations(model, batch, partial(fgm, epsilon=1.0))[0][-1]
    torch.testing.assert_close(norms(last), torch.ones(4, dtype=torch.float64))
    tiny = torch.full((1, 2, 3), 1e-30)
    torch.testing.assert_close(perturbation.unit(tiny), torch.full((1, 2, 3), 6**-0.5))
    assert perturbation.unit(torch.zeros(1, 2, 3)).abs().sum() == 0


# --- gradients and values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("method", "weights"), [
    (fgm, [1, 1]),
    (partial(fgm, weight=0.5), [1, 0.5]),
    (partial(freelb, num_steps=4, init_size=0.0), [1 / 4] * 4),
    (partial(freelb, num_steps=4, init_size=0.3), [1 / 4] * 4),
    (partial(pgd, num_steps=2), [0, 0, 1]),
])  # fmt: skip
def test_loss_and_gradient_are_those_of_the_weighted_passes(method, weights, dropout):
    model = bert(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    batch, watch = batch_of(5), Watch(model)
    loss = method(model, batch, objective=watch)
    assert all(torch.equal(state, watch.states[0]) for state in watch.states)  # so all passes have the same dropout
    actual = gradients(model, loss)
    expected = 0
    for tensor, weight in zip(watch.perturbations(batch), weights, strict=True):
        torch.set_rng_state(watch.states[0])
        expected = expected + weight * perturbed_loss(model, batch, tensor)
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(actual, gradients(model, expected))


class Watch:
    """An objective that notes the embeddings and torch's random state of each of its calls."""

    def __init__(self, model):
        self.model, self.embeddings, self.states = model, [], []

    def __call__(self, model, batch):
        self.states.append(torch.get_rng_state())
        # this hook comes after the one of `perturbed`
        note = lambda layer, inputs, output: self.embeddings.append(output.detach())  # noqa: E731
        handle = model.get_input_embeddings().register_forward_hook(note)
        try:
            return cross_entropy(model, batch)
        finally:
            handle.remove()

    def perturbations(self, batch):
        clean = self.model.get_input_embeddings()(batch["input_ids"]).detach()
        return [embeddings - clean for embeddings in self.embeddings]


@pytest.mark.parametrize(("method", "times"), [
    (partial(fgm, epsilon=0.0), 2),
    (partial(fgm, epsilon=0.0, weight=0.5), 1.5),
    (partial(pgd, epsilon=0.0), 1),
    (partial(freelb, epsilon=0.0, init_size=0.0), 1),
    (partial(freelb, num_steps=1, init_size=0.0), 1),
])  # fmt: skip
def test_with_epsilon_0_each_is_its_objective_and_uses_as_many_random_numbers(method, times):
    model, batch = bert(hidden_dropout_prob=0.2), batch_of(5)
    torch.manual_seed(3)
    plain, next_number = cross_entropy(model, batch), torch.rand(())
    expected = {name: times * gradient for name, gradient in gradients(model, plain).items()}
    torch.manual_seed(3)
    loss = method(model, batch)
    assert torch.rand(()) == next_number
    torch.testing.assert_close(loss, times * plain)
    assert_same_gradients(gradients(model, loss), expected)


@pytest.mark.parametrize("symmetric", [False, True])
def test_vat_with_epsilon_0_is_its_objective_even_with_dropout(symmetric):
    model, batch = bert(hidden_dropout_prob=0.2), batch_of(5)
    watch = Watch(model)
    loss = vat(model, batch, epsilon=0.0, objective=watch, symmetric=symmetric)
    assert len(watch.states) == 3
    assert all(torch.equal(state, watch.states[0]) for state in watch.states)
    actual = gradients(model, loss)
    torch.set_rng_state(watch.states[0])
    expected = cross_entropy(model, batch)
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(actual, gradients(model, expected))


@each_method
def test_in_evaluation_mode_each_is_its_objective(method):
    model, batch = bert(hidden_dropout_prob=0.2).eval(), batch_of(4)
    with torch.no_grad():
        assert torch.equal(method(model, batch), cross_entropy(model, batch))


@pytest.mark.parametrize("method", [fgm, pgd, partial(freelb, init_size=0.0)])
def test_uneven_micro_batches_give_the_gradient_of_one_large_batch(method):
    model, batch = bert(), batch_of(7)
    batch["labels"][2] = -100  # has no label, so it counts in no mean
    expected = gradients(model, method(model, batch))
    model.zero_grad()
    for index in (slice(4), slice(4, 6), slice(6, 7)):
        micro_batch = rows(batch, index)
        (method(model, micro_batch) * (micro_batch["labels"] != -100).sum() / 6).backward()  # as `fit` weighs them
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected)


def test_a_batch_without_labels_has_loss_0_and_no_perturbation():
    model, batch = bert(), batch_of(3)
    batch["labels"][:] = -100
    for method in METHODS.values():
        passes, loss = perturbations(model, batch, partial(method, **({"init_size": 0.0} if method is freelb else {})))
        assert loss == 0
        assert passes[-1].abs().max() == 0
        assert all(gradient.abs().max() == 0 for gradient in gradients(model, loss).values())


def test_parameters_outside_of_the_loss_get_no_gradient():
    """A gradient of 0 would be enough for weight decay to shrink them."""
    model, batch = bert(), batch_of(3)
    model.unused = torch.nn.Linear(2, 2).double()
    for method in METHODS.values():
        assert not any("unused" in name for name in gradients(model, method(model, batch)))


def test_freelb_needs_the_memory_of_one_pass():
    model, batch = bert(), batch_of(6)

    def peak(objective):
        live = SimpleNamespace(now=0, most=0)

        class Kept:  # a tensor that autograd keeps for the backward pass
            def __init__(self, tensor):
                self.tensor = tensor
                live.now += tensor.numel()
                live.most = max(live.most, live.now)

            def __del__(self):
                live.now -= self.tensor.numel()

        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
            objective(model, batch)
        return live.most

    one_pass, weights = peak(cross_entropy), sum(p.numel() for p in model.parameters())
    assert peak(partial(freelb, num_steps=5)) <= one_pass + weights + 10  # and a few single numbers
    assert peak(fgm) <= one_pass + weights + 10
    assert peak(partial(pgd, num_steps=5)) <= one_pass + 10
    assert peak(lambda model, batch: sum(cross_entropy(model, batch) for _ in range(5))) > 4 * one_pass


# --- nothing is left -----------------------------------------------------------------------------------------------


@each_method
def test_an_exception_in_any_pass_leaves_weights_hooks_and_gradients_as_they_were(method):
    model, batch = bert(), batch_of(3)
    own_hook = model.get_input_embeddings().register_forward_hook(lambda layer, inputs, output: output)
    weights = copy.deepcopy(model.state_dict())
    counter = SimpleNamespace(calls=0)

    def failing(model, batch, *, at):
        loss = cross_entropy(model, batch)
        counter.calls += 1
        if counter.calls == at:
            raise KeyboardInterrupt
        return loss

    method(model, batch, objective=partial(failing, at=0))  # goes through
    num_passes = counter.calls
    assert num_passes >= 2
    for at in range(1, num_passes + 1):
        counter.calls = 0
        with pytest.raises(KeyboardInterrupt):
            method(model, batch, objective=partial(failing, at=at))
        assert list(model.get_input_embeddings()._forward_hooks) == [own_hook.id]
        assert not any(
            module._forward_hooks for module in model.modules() if module is not model.get_input_embeddings()
        )
        assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())


@each_method
def test_a_call_touches_no_gradient_before_backward(method):
    model, batch = bert(), batch_of(3)
    expected = gradients(model, cross_entropy(model, batch))
    method(model, batch)
    assert_same_gradients({name: p.grad for name, p in model.named_parameters()}, expected, rtol=0, atol=0)


# --- kinds of models -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_lora", [False, True])
def test_frozen_embeddings_are_perturbed_like_others(with_lora):
    model, batch = bert(), batch_of(4)
    expected = perturbations(model, batch, fgm)[0][-1]
    if with_lora:
        model = adapters.lora(model, dropout=0.0).double().train()
    else:
        model.get_input_embeddings().weight.requires_grad_(False)
    watch = Watch(model)
    loss = fgm(model, batch, objective=watch)
    torch.testing.assert_close(watch.perturbations(batch)[-1], expected)
    actual = gradients(model, loss)
    assert actual.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    plain = cross_entropy(model, batch) + perturbed_loss(model, batch, watch.perturbations(batch)[-1])
    assert_same_gradients(actual, gradients(model, plain))


ARCHITECTURES = {
    "roberta": {},
    "distilbert": {"dim": 16, "hidden_dim": 32, "n_heads": 2, "n_layers": 1},
    "albert": {"embedding_size": 8},
    "electra": {"embedding_size": 8},
    "mpnet": {},
    "deberta-v2": {"pooler_hidden_size": 16},
    "modernbert": {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures(name):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **{**SIZES, **ARCHITECTURES[name]})
    model = transformers.AutoModelForSequenceClassification.from_config(config).train()
    batch = batch_of(4)
    for method in METHODS.values():
        watch = Watch(model)
        loss = method(model, batch, objective=watch)
        last = watch.perturbations(batch)[-1]
        assert (last.abs().sum(-1) > 0).equal(batch["attention_mask"].bool())
        assert all(gradient.isfinite().all() for gradient in gradients(model, loss).values())


def test_gradient_checkpointing_changes_nothing():
    model, batch = bert(), batch_of(4)
    for method in (fgm, pgd, partial(freelb, init_size=0.0)):
        model.activation_checkpointing_disable()
        expected = gradients(model, method(model, batch))
        model.activation_checkpointing_enable()
        assert_same_gradients(gradients(model, method(model, batch)), expected)


def test_r_drop_can_be_wrapped_and_gets_two_dropout_masks():
    model, batch = bert(hidden_dropout_prob=0.3), batch_of(4)
    two_passes = partial(objectives.r_drop, alpha=5.0, one_forward_pass=False)
    torch.manual_seed(0)
    plain = two_passes(model, batch)
    torch.manual_seed(0)
    torch.testing.assert_close(fgm(model, batch, objective=two_passes, epsilon=0.0), 2 * plain)
    with pytest.raises(ValueError, match=r"of shape \[8, 8\], but the batch's input_ids have shape \[4, 8\]; wrap"):
        fgm(model, batch, objective=objectives.r_drop)


def test_turns_of_dialogues_have_one_perturbation_per_dialogue():
    model = tiny_model()
    batch = {**batch_of(2), "starts": torch.tensor([[1, 2], [1, 0]]), "ends": torch.tensor([[2, 3], [3, 0]])}
    batch["labels"] = torch.tensor([[0, 2], [1, -100]])
    for method in METHODS.values():
        watch = Watch(model)
        loss = method(model, batch, objective=watch)
        assert loss.isfinite()
        assert (watch.perturbations(batch)[-1].abs().sum(-1) > 0).equal(batch["attention_mask"].bool())


# --- precision -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@each_method
def test_under_autocast_the_gradient_is_close_to_fp32(method, dtype):
    model, batch = bert(dtype=torch.float32), batch_of(8)
    method = partial(method, xi=0.3) if method is vat else method
    torch.manual_seed(0)
    expected = gradients(model, method(model, batch))
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype):
        loss = method(model, batch)
    assert loss.dtype == torch.float32
    actual = gradients(model, loss)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient.norm() > 1e-3:
            assert F.cosine_similarity(actual[name].flatten(), gradient.flatten(), dim=0) > 0.95, name


def test_weights_in_bf16_get_a_perturbation_in_fp32():
    model, batch = bert(dtype=torch.bfloat16), batch_of(4)
    assert perturbation.random_perturbation(model, batch, 0.1).dtype == torch.float32
    assert all(gradient.dtype == torch.bfloat16 for gradient in gradients(model, fgm(model, batch)).values())


def test_the_loss_is_scaled_for_fp16_and_the_scale_cancels(monkeypatch):
    model, batch = bert(dtype=torch.float32), batch_of(4)
    with torch.no_grad():
        model.classifier.weight *= 1e-5  # the gradients by the embeddings get small

    def direction(dtype):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            start = perturbation.random_perturbation(model, batch, 0.0)
            return perturbation.ascend(model, batch, cross_entropy, start)[1]

    expected, in_fp16 = direction(torch.float32), direction(torch.float16)
    expected_gradients = gradients(model, freelb(model, batch, init_size=0.0))
    monkeypatch.setattr(perturbation, "LOSS_SCALE", 1.0)
    unscaled = direction(torch.float16)
    torch.testing.assert_close(direction(torch.float32), expected, rtol=0, atol=0)
    assert_same_gradients(gradients(model, freelb(model, batch, init_size=0.0)), expected_gradients, rtol=0, atol=0)
    error, error_unscaled = norms(in_fp16 - expected).max(), norms(unscaled - expected).max()
    assert error < 0.02 < error_unscaled


# --- training ------------------------------------------------------------------------------------------------------


def test_freelb_of_one_clean_pass_trains_like_its_objective():
    plain, by_freelb = tiny_model(), tiny_model()
    options = dict(num_epochs=1, dataloader=small_dataloader(random_examples(16)))
    train(plain, **options)
    train(by_freelb, objective=partial(freelb, num_steps=1, init_size=0.0), **options)
    assert same_weights(plain, by_freelb)


@pytest.mark.slow
@each_method
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loop_and_trainer_give_the_same_weights(tmp_path, method, precision):
    options = dict(objective=method, gradient_accumulation_steps=3, precision=precision, num_epochs=1)
    by_loop, by_trainer = tiny_model(), tiny_model()
    history = train(by_loop, **options)
    trainer = train_by_trainer(by_trainer, tmp_path, **options)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    if method is vat and precision == "bf16":
        # The loop's autocast covers both passes of a loss, so their gradients are added in bf16; the Trainer's is
        # around each call of the model.
        assert losses == pytest.approx([row["train_loss"] for row in history], rel=1e-3)
    else:
        assert losses == pytest.approx([row["train_loss"] for row in history], abs=1e-6)
        assert same_weights(by_loop, by_trainer)


@pytest.mark.slow
def test_compiled_models_are_refused():
    model, batch = bert(dtype=torch.float32), batch_of(3)
    with pytest.raises(ValueError, match="the model is compiled, so nothing can be added"):
        fgm(torch.compile(model, backend="eager"), batch)
    model.compile(backend="eager")
    with pytest.raises(ValueError, match="the model is compiled, so nothing can be added"):
        fgm(model, batch)


@pytest.mark.parametrize("method", [partial(fgm, epsilon=1.0), freelb], ids=["fgm", "freelb"])
def test_training_in_fp16_learns(method):
    model = tiny_model(num_hidden_layers=1)
    history = train(
        model, objective=method, precision="fp16", num_epochs=3, dataloader=small_dataloader(random_examples(24))
    )
    losses = [row["train_loss"] for row in history]
    assert len(losses) == 9
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


# --- VAT -----------------------------------------------------------------------------------------------------------


def test_vat_finds_the_direction_that_changes_the_prediction_most():
    """Near 0 the KL is r^T H r / 2, and the best direction is the eigenvector of H with the largest eigenvalue."""
    model = SumOfWords()
    batch = {"input_ids": torch.tensor([[5], [9]]), "attention_mask": torch.ones(2, 1), "labels": torch.tensor([0, 1])}
    vat(model, batch, num_iterations=60, xi=1e-3, epsilon=1.0)
    probabilities = model(batch["input_ids"], batch["attention_mask"]).logits.softmax(-1).detach()
    found = model.passes[61]  # after the clean pass and 60 iterations
    for row, p in enumerate(probabilities):
        hessian = model.weight.T @ (torch.diag(p) - torch.outer(p, p)) @ model.weight
        best = torch.linalg.eigh(hessian.detach()).eigenvectors[:, -1]
        assert abs(found[row, 0] @ best).item() == pytest.approx(1.0, abs=1e-3)


def test_one_power_iteration_is_a_product_with_the_hessian():
    model = SumOfWords()
    batch = {"input_ids": torch.tensor([[5]]), "attention_mask": torch.ones(1, 1), "labels": torch.tensor([0])}
    vat(model, batch, xi=1e-5, epsilon=1.0)
    _, trial, found = (tensor[0, 0] for tensor in model.passes)
    p = model(batch["input_ids"], batch["attention_mask"]).logits[0].softmax(-1).detach()
    product = model.weight.T @ ((torch.diag(p) - torch.outer(p, p)) @ (model.weight @ trial))
    assert trial.norm().item() == pytest.approx(1e-5)
    torch.testing.assert_close(found, (product / product.norm()).detach(), rtol=1e-3, atol=1e-4)


def test_a_trial_step_of_1e_6_finds_noise_in_fp32():
    def direction(dtype, xi):
        model, batch = bert(dtype=torch.float32).to(dtype), batch_of(6)
        clean = model(batch["input_ids"], batch["attention_mask"]).logits.detach()

        def change(model, batch):
            return smoothness.mean_kl(
                clean, model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"], False
            )

        generator = torch.Generator().manual_seed(0)
        start = torch.randn(6, 8, 16, generator=generator, dtype=torch.float64).to(dtype) * perturbation.word_mask(
            batch
        )
        return perturbation.ascend(model, batch, change, xi * perturbation.unit(start))[1].double()

    exact = direction(torch.float64, 1e-3)
    cosine = {xi: (direction(torch.float32, xi) * exact).sum((1, 2)) for xi in (1e-6, 0.1)}
    assert cosine[0.1].min() > 0.9
    assert cosine[1e-6].min() < 0.8


@pytest.mark.parametrize("symmetric", [False, True])
def test_vat_is_its_formula_with_the_gradient_of_the_formula(symmetric):
    model, batch = bert(), batch_of(5)
    batch["labels"][1] = -100
    watch = Watch(model)
    loss = vat(model, batch, weight=0.7, symmetric=symmetric, objective=watch)
    actual, is_labeled = gradients(model, loss), batch["labels"] != -100
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    log_p = model(**inputs).logits.log_softmax(-1)[is_labeled]
    with perturbed(model, watch.perturbations(batch)[-1]):
        log_q = model(**inputs).logits.log_softmax(-1)[is_labeled]
    if symmetric:  # F.kl_div(a, b) is KL(b || a)
        kl = F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
        kl = kl + F.kl_div(log_p, log_q, log_target=True, reduction="batchmean")
    else:
        kl = F.kl_div(log_q, log_p.detach(), log_target=True, reduction="batchmean")
    assert kl > 1e-3
    expected = cross_entropy(model, batch) + 0.7 * kl
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(actual, gradients(model, expected))


def test_labels_do_not_change_the_perturbation_of_vat():
    model, batch = bert(), batch_of(5)
    found = []
    for labels in (batch["labels"], (batch["labels"] + 1) % 3):
        torch.manual_seed(0)
        found.append(perturbations(model, {**batch, "labels": labels}, vat)[0][-1])
    torch.testing.assert_close(*found)


# --- wrong calls ---------------------------------------------------------------------------------------------------


def without_embeddings(model, batch):
    """Looks its embeddings up by itself, so the layer is never called."""
    embeddings = model.get_input_embeddings().weight[batch["input_ids"]]
    return F.cross_entropy(model(inputs_embeds=embeddings).logits, batch["labels"])


def without_gradient(model, batch):
    with torch.no_grad():
        return cross_entropy(model, batch)


def two_passes(model, batch):
    return cross_entropy(model, batch) + cross_entropy(model, batch)


def without_labels(model, batch):
    return model(batch["input_ids"]).logits.sum()


INPUTS_EMBEDS = {"inputs_embeds": torch.zeros(3, 8, 16), "labels": torch.zeros(3)}


@pytest.mark.parametrize(("call", "message"), [
    (lambda m, b: fgm(torch.nn.Linear(2, 2), b), r"Linear has no get_input_embeddings\(\) that returns a layer"),
    (lambda m, b: fgm(m, INPUTS_EMBEDS), "the batch has no 'input_ids', only inputs_embeds, labels"),
    (lambda m, b: fgm(m, b, objective=without_embeddings), "the loss does not depend on the output of model.get_"),
    (lambda m, b: vat(m, b, objective=without_embeddings), "the loss does not depend on the output of model.get_"),
    (lambda m, b: freelb(m, b, objective=without_gradient), "the loss does not depend on .*torch.no_grad"),
    (lambda m, b: pgd(m, {**b, "attention_mask": torch.ones(3, 1, 8, 8)}), r"mask has shape \[3, 1, 8, 8\] and"),
    (lambda m, b: fgm(m, b, epsilon=-1.0), "epsilon=-1.0; pass 0 or more"),
    (lambda m, b: fgm(m, b, epsilon=math.nan), "epsilon=nan; pass 0 or more"),
    (lambda m, b: pgd(m, b, num_steps=0), "num_steps=0; pass 1 or more"),
    (lambda m, b: freelb(m, b, num_steps=0), "num_steps=0; pass 1 or more"),
    (lambda m, b: freelb(m, b, init_size=-0.1), "init_size=-0.1; pass 0 or more"),
    (lambda m, b: vat(m, b, num_iterations=0), "num_iterations=0; pass 1 or more"),
    (lambda m, b: vat(m, b, xi=0.0), "xi=0.0; pass a number above 0"),
    (lambda m, b: vat(m, b, objective=two_passes), "the objective called the model 2 times; vat needs"),
    (lambda m, b: vat(m, {**b, "labels": torch.zeros(3, 3)}, objective=without_labels),
     r"logits of shape \[3, 3\], but labels of shape \[3, 3\]; vat needs a class per item"),
])  # fmt: skip
def test_errors_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call(bert(), batch_of(3))
