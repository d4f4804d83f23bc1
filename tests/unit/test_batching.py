"""Batches hold everything once, keep to the budget, and do not depend on what ran before."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nbhelpers import batching

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@given(lengths, st.integers(1, 300), st.integers(1, 20), st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_every_item_once_within_the_budget(lengths, max_tokens, batch_size, shuffle, seed, epoch):
    sampler = batching.TokenBudgetSampler(lengths, max_tokens, batch_size, shuffle=shuffle, seed=seed)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert sorted(i for batch in drawn for i in batch) == list(range(len(lengths)))
    assert len(drawn) == len(sampler)
    for batch in drawn:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_tokens


@given(lengths, st.integers(50, 300))
def test_the_same_epoch_gives_the_same_batches_and_another_one_the_same_number(lengths, max_tokens):
    first, second = (batching.TokenBudgetSampler(lengths, max_tokens, seed=3) for _ in range(2))
    list(first)  # reading it does not change it
    assert list(first) == list(second)
    second.set_epoch(1)
    assert len(list(second)) == len(first)


def test_epochs_and_seeds_differ():
    sampler = batching.TokenBudgetSampler([5] * 40 + [6] * 40, 50)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(batching.TokenBudgetSampler([5] * 40 + [6] * 40, 50, seed=1)) != first


def test_collate_pads_text_token_types_and_token_labels():
    rows = [
        {"input_ids": [5, 6, 7], "token_type_ids": [0, 1, 1], "labels": [1, -100, 2]},
        {"input_ids": [5], "token_type_ids": [0], "labels": [0]},
    ]
    batch = pickle.loads(pickle.dumps(batching.Collator(pad_token_id=1, pad_to_multiple_of=8)))(rows)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == dict.fromkeys(batch, (2, 8))
    assert batch["input_ids"][1].tolist() == [5] + [1] * 7
    assert batch["attention_mask"].sum(1).tolist() == [3, 1]
    assert batch["labels"][0].tolist() == [1, -100, 2] + [-100] * 5
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_padding_share_is_what_the_batches_hold():
    rows = [{"input_ids": [9] * n, "labels": 0} for n in (1, 4, 5, 9, 2)]
    data = batching.make_dataloader(rows, pad_token_id=0, max_tokens=10, shuffle=False)
    masks = [batch["attention_mask"] for batch in data]
    padding = 1 - sum(m.sum().item() for m in masks) / sum(m.numel() for m in masks)
    assert batching.padding_share([1, 4, 5, 9, 2], list(data.batch_sampler)) == pytest.approx(padding)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batching.TokenBudgetSampler([], 10), "nothing to batch"),
        (lambda: batching.TokenBudgetSampler([1], 0), "max_tokens=0"),
        (lambda: batching.TokenBudgetSampler([1], 5, 0), "batch_size=0"),
        (lambda: batching.tokenize(["a"], None, labels=[1, 2]), "1 texts, but 2 labels"),
        (lambda: batching.tokenize(["a", None], None), "text 1 is NoneType"),
        (lambda: batching.padding_share([]), "no lengths"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_column_of_strings_is_named():
    with pytest.raises(ValueError, match="column 'text' holds strings"):
        batching.Collator(0)([{"input_ids": [1], "text": "Yes."}])
