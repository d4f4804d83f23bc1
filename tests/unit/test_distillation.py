"""The distillation losses are their formulas, a batch in parts has the same gradient, and students survive saving."""

import copy
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F
from training_runs import tiny_model, without_dropout

from nbhelpers import batching, dialogue, distillation, encoders, training

SIZES = dict(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64, vocab_size=100)
ROBERTA = dict(SIZES, max_position_embeddings=40, pad_token_id=1)
MODERN = dict(SIZES, pad_token_id=0, bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2)
DEBERTA = dict(SIZES, relative_attention=True, pos_att_type=["c2p", "p2c"], conv_kernel_size=3, conv_act="gelu")
CONFIGS = {
    "bert": transformers.BertConfig(**SIZES),
    "camembert": transformers.CamembertConfig(**ROBERTA, bos_token_id=5, eos_token_id=6),
    "deberta-v2": transformers.DebertaV2Config(**DEBERTA),
    "distilbert": transformers.DistilBertConfig(vocab_size=100, dim=32, n_layers=4, n_heads=4, hidden_dim=64),
    "electra": transformers.ElectraConfig(**SIZES),
    "modernbert": transformers.ModernBertConfig(**MODERN, local_attention=4),  # a token sees two on either side
    "mpnet": transformers.MPNetConfig(**ROBERTA),
    "roberta": transformers.RobertaConfig(**ROBERTA),
    "xlm-roberta": transformers.XLMRobertaConfig(**ROBERTA),
}


def make_model(name, seed=0, **options):
    torch.manual_seed(seed)
    model_class = transformers.AutoModelForSequenceClassification
    model = model_class.from_config(copy.deepcopy(CONFIGS[name]), **options)
    for parameter in model.parameters():  # large enough that attention is not almost uniform
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def padded_batch(pad_token_id=0, padding=0):
    """Texts of 12, 7 and 2 tokens, and further columns of padding."""
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(7, 100, (length,), generator=generator) for length in (12, 7, 2)]
    input_ids = nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=pad_token_id)
    input_ids = F.pad(input_ids, (0, padding), value=pad_token_id)
    return {"input_ids": input_ids, "attention_mask": (input_ids != pad_token_id).long()}


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 5, generator=generator) * 2
    return student, teacher, torch.tensor([0, 1, -100, 4, 2, -100, 3, 0])


# --- the loss on logits ----------------------------------------------------------------------------------------------


def loss_of_the_paper(student, teacher, labels, temperature, alpha):
    """The formula with Python numbers, term by term."""
    total = 0.0
    for p_logits, q_logits, label in zip(student.tolist(), teacher.tolist(), labels.tolist(), strict=True):
        log_p, log_q = (
            [x / temperature - math.log(sum(math.exp(y / temperature) for y in row)) for x in row]
            for row in (p_logits, q_logits)
        )
        kl = sum(math.exp(q) * (q - p) for p, q in zip(log_p, log_q, strict=True))
        log_sum = math.log(sum(math.exp(x) for x in p_logits))
        total += alpha * temperature**2 * kl + (0 if label < 0 else (1 - alpha) * (log_sum - p_logits[label]))
    return total / len(labels)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_loss_is_its_formula(draws, temperature, alpha):
    loss = distillation.distillation_loss(*draws, temperature=temperature, alpha=alpha)
    assert loss.item() == pytest.approx(loss_of_the_paper(*draws, temperature, alpha), rel=1e-5)


def test_one_row_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    loss = partial(distillation.distillation_loss, student, teacher, torch.tensor([0]))
    # T = 2: q = sigmoid(1) = 0.7311 and 0.2689; KL(q || 0.5) = ln 2 - 0.5822 = 0.1109
    # the other direction, KL(0.5 || q), would be 0.1201
    assert loss(temperature=2.0, alpha=1.0).item() == pytest.approx(4 * 0.1109, abs=4e-4)  # 4 is T^2
    assert loss(temperature=2.0, alpha=0.0).item() == pytest.approx(math.log(2))
    assert loss(temperature=2.0, alpha=0.25).item() == pytest.approx(0.75 * math.log(2) + 0.25 * 0.4438, abs=1e-4)


def test_alpha_0_is_cross_entropy_over_all_rows_and_alpha_1_ignores_the_labels(draws):
    student, teacher, labels = draws
    only_labels = distillation.distillation_loss(*draws, alpha=0.0)
    torch.testing.assert_close(only_labels, F.cross_entropy(student, labels, reduction="sum") / 8)
    only_teacher = [
        distillation.distillation_loss(student, teacher, other, alpha=1.0)
        for other in (labels, torch.full_like(labels, -100), torch.zeros_like(labels))
    ]
    assert only_teacher[0] == only_teacher[1] == only_teacher[2]


@pytest.mark.parametrize("temperature", [1.0, 3.0, 20.0])
def test_the_gradient_is_t_times_the_difference_of_probabilities(draws, temperature):
    """So it stays about the same for any temperature; without T^2 it would shrink to a 400th at T = 20."""
    student, teacher, labels = draws
    student.requires_grad_(True)
    distillation.distillation_loss(student, teacher, labels, temperature, alpha=1.0).backward()
    p, q = ((logits.detach() / temperature).softmax(-1) for logits in (student, teacher))
    torch.testing.assert_close(student.grad, temperature * (p - q) / len(labels))


def test_gradient_agrees_with_finite_differences(draws):
    student, teacher, labels = (tensor.double() if tensor.is_floating_point() else tensor for tensor in draws)

    def loss(logits):  # in fp64, which `float()` would undo
        log_p, log_q = (logits / 2).log_softmax(-1), (teacher / 2).log_softmax(-1)
        return (0.3 * F.cross_entropy(logits, labels, reduction="none") + 2.8 * F.kl_div(
            log_p, log_q, log_target=True, reduction="none").sum(-1)).mean()  # fmt: skip

    assert torch.autograd.gradcheck(loss, (student.requires_grad_(True),))
    torch.testing.assert_close(
        distillation.distillation_loss(student, teacher, labels, 2.0, 0.7).double(), loss(student), rtol=1e-5, atol=0
    )


def test_a_class_that_nobody_expects_changes_nothing(draws):
    """A loss that is divided by the number of elements would become smaller with each class."""
    student, teacher, labels = draws
    wider = [torch.cat([logits, torch.full((8, 5), -1e4)], -1) for logits in (student, teacher)]
    expected = distillation.distillation_loss(*draws)
    torch.testing.assert_close(distillation.distillation_loss(*wider, labels), expected)


def test_a_student_that_agrees_has_no_gradient_from_the_teacher(draws):
    _, teacher, labels = draws
    student = (teacher + 3.0).requires_grad_(True)  # the same probabilities
    loss = distillation.distillation_loss(student, teacher, labels, alpha=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert student.grad.abs().max() < 1e-6


def test_bf16_logits_give_a_loss_in_fp32_and_no_rows_give_zero(draws):
    student, teacher, labels = draws
    loss = distillation.distillation_loss(student.bfloat16(), teacher.bfloat16(), labels)
    torch.testing.assert_close(loss, distillation.distillation_loss(*draws), rtol=0.02, atol=0)
    empty = distillation.distillation_loss(student[:0].requires_grad_(True), teacher[:0], labels[:0])
    empty.backward()
    assert empty == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature=0.0: pass a number above 0"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"alpha": 1.5}, "alpha=1.5: pass the teacher's share of the loss, from 0 to 1"),
        ({"teacher_logits": torch.zeros(2, 4)}, r"have the shapes \[2, 3\], \[2, 4\] and \[2\]"),
        ({"labels": torch.tensor([0])}, "of models with the same classes"),
        ({"labels": torch.tensor([0, 3])}, "labels run from 0 to 3, but the student has 3 classes"),
        ({"teacher_logits": torch.zeros(2, 3, requires_grad=True)}, "the teacher's logits have a gradient; pass the s"),
    ],
)
def test_wrong_calls_of_the_loss_are_refused(change, message):
    arguments = {"student_logits": torch.zeros(2, 3, requires_grad=True), "teacher_logits": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match=message):
        distillation.distillation_loss(**{**arguments, "labels": torch.tensor([0, 1]), **change})


def test_swapped_models_are_refused(draws):
    student, teacher, labels = draws
    with pytest.raises(ValueError, match="pass the student's first"):
        distillation.distillation_loss(teacher, student.requires_grad_(True), labels)


# --- the examples and the objective ----------------------------------------------------------------------------------


def labeled_and_unlabeled(count=24):
    """Texts of random tokens; two of three have a label. The first ones have none, so parts of the data differ."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for row in range(count):
        length = int(torch.randint(3, 20, (), generator=generator))
        example = {"input_ids": torch.randint(4, 100, (length,), generator=generator).tolist()}
        examples.append(example if row < count // 3 else {**example, "labels": row % 3})
    return examples, torch.randn(count, 3, generator=generator) * 2


def test_examples_get_logits_a_label_everywhere_and_a_mark():
    examples, logits = labeled_and_unlabeled()
    before = [dict(example) for example in examples]
    added = distillation.add_teacher_logits(examples, logits)
    assert examples == before
    assert [example["has_label"] for example in added] == [0] * 8 + [1] * 16
    assert [example["labels"] for example in added[:8]] == logits[:8].argmax(-1).tolist()
    assert [example["labels"] for example in added[8:]] == [example["labels"] for example in examples[8:]]
    torch.testing.assert_close(torch.tensor([example["teacher_logits"] for example in added]), logits)


def test_collators_leave_the_logits_alone():
    """Texts with as many tokens as classes: a list would be taken for a column with an entry per token, and padded."""
    examples = [{"input_ids": [5, 6, 7], "labels": 0}, {"input_ids": [5, 8, 7], "labels": 1}]
    added = distillation.add_teacher_logits(examples, torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    batch = batching.Collator(0, pad_to_multiple_of=8)(added)
    assert batch["teacher_logits"].tolist() == [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]


def test_texts_without_a_label_count_as_items_and_have_only_the_teacher():
    examples, logits = labeled_and_unlabeled()
    model = without_dropout(tiny_model())
    batch = batching.Collator(1)(distillation.add_teacher_logits(examples, logits))
    loss = distillation.distill(model, batch, temperature=3.0, alpha=0.4)
    student = model(batch["input_ids"], batch["attention_mask"]).logits
    gold = torch.tensor([example.get("labels", -100) for example in examples])
    torch.testing.assert_close(loss, distillation.distillation_loss(student, logits, gold, 3.0, 0.4))
    assert training.batches.num_labeled(batch) == 24
    del batch["has_label"]  # where all labels are gold labels, the column may be missing
    other = distillation.distill(model, batch, temperature=3.0, alpha=0.4)
    torch.testing.assert_close(other, distillation.distillation_loss(student, logits, batch["labels"], 3.0, 0.4))


@pytest.mark.parametrize("batch_size", [3, 5])
def test_accumulated_batches_give_the_weights_of_one_large_batch(batch_size):
    """Some of the small batches have no gold label at all; they count by their items like the others."""
    examples = distillation.add_teacher_logits(*labeled_and_unlabeled())
    models = []
    for size in (24, batch_size):
        model = without_dropout(tiny_model())
        loader = torch.utils.data.DataLoader(examples, batch_size=size, collate_fn=batching.Collator(1))
        assert size == 24 or any(not batch["has_label"].any() for batch in loader)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        steps = -(-24 // size)
        training.fit(model, loader, distillation.distill, optimizer, scheduler, num_epochs=1,
                     gradient_accumulation_steps=steps, max_grad_norm=0.0)  # fmt: skip
        models.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(models[0], models[1], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(models[0], nn.utils.parameters_to_vector(tiny_model().parameters()))


def dialogues(labels):
    """Three dialogues of 3, 1 and 2 turns as examples, with the labels of their turns."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.embedded_folder())
    ids = [0, 0, 0, 1, 2, 2]
    turns = dialogue.encode_turns(["Hi.", "You did what?", "Sold it.", "No.", "Fine.", "Good for you."], ids, tokenizer)
    return dialogue.whole_dialogues(turns, ids, tokenizer, labels=labels)


def test_turns_of_dialogues_are_items():
    examples, logits = dialogues([0, -100, 2, 1, -100, 0]), torch.randn(6, 3)
    added = distillation.add_teacher_logits(examples, logits)
    assert [example["has_label"] for example in added] == [[1, 0, 1], [1], [0, 1]]
    model = without_dropout(tiny_model(vocab_size=31000, max_position_embeddings=64)).eval()
    batch = batching.Collator(0)(added[1:])  # the longest dialogue is not in this batch
    assert batch["labels"].shape == (2, 2)
    assert training.batches.num_labeled(batch) == 3
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "starts", "ends")}
    student = model(**inputs).logits[torch.tensor([[True, False], [True, True]])]  # [3 turns, classes]
    expected = distillation.distillation_loss(student, logits[3:], torch.tensor([1, -100, 0]))
    torch.testing.assert_close(distillation.distill(model, batch), expected)
    parts = [distillation.distill(model, batching.Collator(0)([example])) for example in added[1:]]
    torch.testing.assert_close((parts[0] * 1 + parts[1] * 2) / 3, expected)


def test_dialogues_without_labels_get_the_teachers():
    examples, logits = dialogues(None), torch.eye(3).repeat(2, 1)
    added = distillation.add_teacher_logits(examples, logits)
    assert [example["labels"] for example in added] == [[0, 1, 2], [0], [1, 2]]
    assert [example["has_label"] for example in added] == [[0, 0, 0], [0], [0, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: distillation.distill(None, {"labels": torch.zeros(1)}), "has no 'teacher_logits', only labels; call"),
        (lambda: distillation.distill(None, {"teacher_logits": torch.zeros(1)}), "has no 'labels', only teacher_logit"),
        (lambda: distillation.add_teacher_logits([{"labels": 0}], torch.zeros(2, 3)), r"\[2, 3\]; the examples need 1"),
        (lambda: distillation.add_teacher_logits([{"labels": [0, 1]}], torch.zeros(1, 3)), "examples need 2 rows"),
        (lambda: distillation.add_teacher_logits([{"labels": 0}], torch.tensor([[math.nan, 0]])), "infinite or NaN"),
        (lambda: distillation.average_logits([]), "pass one or more tensors of the same shape"),
        (lambda: distillation.average_logits([torch.zeros(1, 2), torch.zeros(1, 3)]), r"\[\(1, 2\), \(1, 3\)\]; pass"),
    ],
)
def test_errors_of_distillation_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_text_that_the_loop_would_not_count_is_refused():
    model = lambda input_ids: SimpleNamespace(logits=torch.zeros(2, 3))  # noqa: E731
    batch = {"input_ids": torch.zeros(2, 1), "labels": torch.tensor([1, -100]), "teacher_logits": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match="1 of 2 texts have the label -100, so a training loop would not count them"):
        distillation.distill(model, batch)


def test_the_average_is_that_of_probabilities(draws):
    first, second, _ = draws
    average = distillation.average_logits([first, second])
    torch.testing.assert_close(average.softmax(-1), (first.softmax(-1) + second.softmax(-1)) / 2)
    torch.testing.assert_close(average.exp().sum(-1), torch.ones(8))
    torch.testing.assert_close(distillation.average_logits([first]).softmax(-1), first.softmax(-1))
    # one sure teacher against two that disagree with it a little: the mean of logits follows the one
    votes = [torch.tensor([[30.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 2.0]])]
    assert distillation.average_logits(votes).argmax() == 1
    assert torch.stack(votes).mean(0).argmax() == 0
    assert distillation.average_logits([torch.tensor([[300.0, 0.0]])] * 3).isfinite().all()


# --- hidden states and attention -------------------------------------------------------------------------------------


def test_hidden_states_ignore_padding_and_other_texts():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(3, 5, 4, generator=generator), torch.randn(3, 5, 6, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])
    projection = nn.Linear(4, 6)
    loss = distillation.hidden_state_loss(student, teacher, mask, projection)
    lengths = (5, 2, 3)
    parts = [F.mse_loss(projection(student[i, :n]), teacher[i, :n]) for i, n in enumerate(lengths)]
    torch.testing.assert_close(loss, torch.stack(parts).mean())
    loss.backward()
    assert projection.weight.grad.abs().sum() > 0
    student[mask == 0] = 1e6
    torch.testing.assert_close(distillation.hidden_state_loss(student, teacher, mask, projection), loss)
    with pytest.raises(ValueError, match=r"the shape \[3, 5, 4\] after the projection, the teacher's \[3, 5, 6\]; use"):
        distillation.hidden_state_loss(student, teacher, mask, nn.Identity())


def relations_of_the_paper(first, second, num_heads):
    """softmax(A B^T / sqrt(d)) of one text without padding, head by head: [heads, tokens, tokens]."""
    size = first.shape[-1] // num_heads
    heads = [slice(head * size, (head + 1) * size) for head in range(num_heads)]
    return torch.stack([(first[:, head] @ second[:, head].T / size**0.5).softmax(-1) for head in heads])


def test_relations_are_their_formula_for_models_of_different_widths():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 2, 5, 8, generator=generator), torch.randn(2, 2, 5, 12, generator=generator)
    mask, lengths = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]), (5, 3)
    student.requires_grad_(True)
    loss = distillation.relation_loss(tuple(student), tuple(teacher), mask, num_heads=4)
    parts = []
    for row, n in enumerate(lengths):
        p, q = (relations_of_the_paper(*(x[row, :n] for x in both), 4) for both in (student, teacher))
        parts.append((q * (q / p).log()).sum() / (4 * n))
    torch.testing.assert_close(loss, torch.stack(parts).mean())
    loss.backward()
    assert student.grad.isfinite().all()
    assert student.grad[:, 1, 3:].abs().max() == 0  # nothing from padding
    assert student.grad[:, 1, :3].abs().min() > 0


def test_relations_of_equal_models_do_not_differ_and_heads_must_divide_the_width():
    values, mask = torch.randn(2, 5, 12), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    for num_heads in (1, 3, 12):
        loss = distillation.relation_loss((values, values), (values, values), mask, num_heads)
        assert loss.item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="num_heads=5 does not divide the width 12"):
        distillation.relation_loss((values, values), (values, values), mask, 5)


def test_relations_are_computed_in_fp32_under_autocast():
    values, mask = torch.randn(2, 5, 64), torch.ones(2, 5)
    expected = distillation.log_relations(values, values, mask, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distillation.log_relations(values, values, mask, 2), expected)


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_the_relation_of_queries_and_keys_is_the_models_attention(name):
    model = make_model(name, attn_implementation="eager")
    batch = padded_batch(model.config.pad_token_id)
    query, key, _ = distillation.attention_projections(model, -1)
    with torch.no_grad(), distillation.record_outputs([query, key]) as outputs:
        attention = model(**batch, output_attentions=True).attentions[-1]  # [batch, heads, tokens, tokens]
    relations = distillation.log_relations(*outputs, batch["attention_mask"], num_heads=4).exp()
    torch.testing.assert_close(relations, attention, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"modernbert"}))
def test_the_projections_of_each_layer_are_found(name):
    model = make_model(name)
    for layer in range(4):
        found = distillation.attention_projections(model, layer)
        names = {module: name for name, module in model.named_modules()}
        assert all(f".{layer}." in names[module] for module in found)
        assert [names[module].rpartition(".")[2][0] for module in found] == ["q", "k", "v"]


def test_an_encoder_with_one_layer_for_queries_keys_and_values_is_refused():
    with pytest.raises(ValueError, match="modernbert has no layers of their own for queries, keys and values"):
        distillation.attention_projections(make_model("modernbert"), 0)


def test_recorded_hidden_states_are_those_of_transformers_and_the_hooks_go_away():
    for name in ("bert", "mpnet", "deberta-v2"):
        model = make_model(name)
        batch = padded_batch(model.config.pad_token_id)
        layers = distillation.encoder_layers(model)
        expected = model(**batch, output_hidden_states=True).hidden_states[1:]
        before = [len(layer._forward_hooks) for layer in layers]  # transformers has put hooks of its own there
        with distillation.record_outputs(layers) as outputs:
            model(**batch)
        for mine, theirs in list(zip(outputs, expected, strict=True))[1:]:  # DeBERTa has a convolution after the first
            torch.testing.assert_close(mine, theirs)
        assert [len(layer._forward_hooks) for layer in layers] == before
    with pytest.raises(RuntimeError, match="stop"), distillation.record_outputs(layers):
        raise RuntimeError("stop")
    assert [len(layer._forward_hooks) for layer in layers] == before


def test_a_student_learns_logits_hidden_states_and_values_at_once():
    """The objective of the unit's docstring, with MiniLM's relation of values."""
    teacher = make_model("roberta")
    student = tiny_model(pooling="cls", config_class=transformers.RobertaConfig, pad_token_id=1, num_labels=2,
                         hidden_size=16, max_position_embeddings=40)  # fmt: skip
    without_dropout(student).projection = nn.Linear(16, 32)
    batch = padded_batch(1)
    batch |= {"labels": torch.tensor([0, 1, 0]), "teacher_logits": teacher(**batch).logits.detach()}
    parts = [
        [distillation.encoder_layers(model)[-1], distillation.attention_projections(model, -1)[2]]
        for model in (student, teacher)
    ]

    def objective(model, batch):
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with distillation.record_outputs(parts[0]) as mine:
            loss = distillation.distill(model, batch, temperature=1.0, alpha=1.0)
        with torch.no_grad(), distillation.record_outputs(parts[1]) as theirs:
            teacher(**inputs)
        mask = batch["attention_mask"]
        hidden = distillation.hidden_state_loss(mine[0], theirs[0], mask, model.projection)
        values = distillation.relation_loss((mine[1], mine[1]), (theirs[1], theirs[1]), mask, num_heads=8)
        return torch.stack([loss, hidden, values])

    optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
    before = objective(student, batch)
    for _ in range(20):
        optimizer.zero_grad()
        objective(student, batch).sum().backward()
        optimizer.step()
    assert (objective(student, batch) < before / 2).all()
    assert all(parameter.grad is None for parameter in teacher.parameters())


# --- students --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_saved_student_gives_the_same_logits(name, tmp_path):
    teacher = make_model(name)
    batch = padded_batch(teacher.config.pad_token_id)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    student = distillation.truncate(teacher, [0, 1, 3])
    logits = student(**batch).logits
    student.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.num_hidden_layers == 3
    torch.testing.assert_close(loaded(**batch).logits, logits, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(logits, teacher(**batch).logits, atol=1e-3)
    for parameter in student.parameters():  # a copy, which can be trained without changing the teacher
        parameter.data.zero_()
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert teacher.config.num_hidden_layers == len(distillation.encoder_layers(teacher)) == 4


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_student_with_all_layers_is_its_teacher(name):
    teacher = make_model(name)
    batch = padded_batch(teacher.config.pad_token_id)
    student = distillation.truncate(teacher, range(4))
    torch.testing.assert_close(student(**batch).logits, teacher(**batch).logits)


def test_a_student_runs_the_chosen_layers_one_after_the_other():
    teacher = make_model("bert")
    batch = padded_batch()
    student = distillation.truncate(teacher, [1, 2])
    with distillation.record_outputs(distillation.encoder_layers(student)) as outputs:
        student(**batch)
    mask = batch["attention_mask"][:, None, None, :].bool()
    hidden = teacher.bert.embeddings(batch["input_ids"])
    for number, layer in enumerate(teacher.bert.encoder.layer[1:3]):
        hidden = layer(hidden, mask)
        torch.testing.assert_close(outputs[number][:, :2], hidden[:, :2])


def test_the_kinds_of_modernberts_layers_follow_them(tmp_path):
    teacher = make_model("modernbert")
    assert [kind[:4] for kind in teacher.config.layer_types] == ["full", "slid", "slid", "full"]
    student = distillation.truncate(teacher, [0, 1, 3])
    assert [kind[:4] for kind in student.config.layer_types] == ["full", "slid", "full"]
    with pytest.raises(ValueError, match=r"layers=\[1, 3\]: the first one must be 0, because ModernBERT's layer 0"):
        distillation.truncate(teacher, [1, 3])


def test_a_classifier_around_an_encoder_is_truncated_and_saved(tmp_path):
    teacher = tiny_model(num_hidden_layers=4).eval()
    student = distillation.truncate(teacher, [0, 3])
    student.save_pretrained(tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    loaded = encoders.MeanPoolingClassifier.from_pretrained(tmp_path, config=config).eval()
    batch = padded_batch()
    torch.testing.assert_close(loaded(**batch).logits, student(**batch).logits)
    assert loaded.config.num_hidden_layers == student.encoder.config.num_hidden_layers == 2


@pytest.mark.parametrize("layers", [[], [1, 0], [0, 0], [-1], [0, 4]])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(ValueError, match="pass different numbers from 0 to 3 in increasing order"):
        distillation.truncate(make_model("bert"), layers)


def test_architectures_without_separate_layers_and_adapters_are_refused():
    albert = transformers.AlbertConfig(**SIZES, embedding_size=8)
    with pytest.raises(ValueError, match="no layers of albert can be found in a AlbertModel; pass a transformers mode"):
        distillation.truncate(transformers.AlbertModel(albert), [0])
    import peft

    adapted = peft.get_peft_model(make_model("bert"), peft.LoraConfig(target_modules=["query"]))
    with pytest.raises(ValueError, match="without an adapter"):
        distillation.truncate(adapted, [0])


def test_other_labels_or_another_order_are_refused():
    def model(*names):
        return SimpleNamespace(config=transformers.BertConfig(id2label=dict(enumerate(names))))

    distillation.check_same_labels(model("calm", "angry", "sad"), model("calm", "angry", "sad"))
    for other in (("angry", "calm", "sad"), ("calm", "angry"), ("calm", "Angry", "sad")):
        with pytest.raises(ValueError, match=r"the teacher's labels are calm, angry, sad, the student's .*; load both"):
            distillation.check_same_labels(model("calm", "angry", "sad"), model(*other))
