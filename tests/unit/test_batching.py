"""Batches contain every item once, keep to the token budget, and do not depend on what ran before."""

import pickle

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nbhelpers import batching

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@given(lengths, st.integers(1, 300), st.integers(1, 20), st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_batches_contain_every_item_once_within_the_budget(lengths, max_tokens, batch_size, shuffle, seed, epoch):
    sampler = batching.TokenBudgetSampler(lengths, max_tokens, batch_size, shuffle=shuffle, seed=seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert len(batches) == len(sampler)
    for batch in batches:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= max_tokens


@given(lengths, st.integers(50, 300))
def test_an_epoch_has_the_same_batches_each_time_and_all_epochs_have_the_same_number(lengths, max_tokens):
    first, second = (batching.TokenBudgetSampler(lengths, max_tokens, seed=3) for _ in range(2))
    list(first)  # going through it does not change it
    assert list(first) == list(second)
    second.set_epoch(1)
    assert len(list(second)) == len(first)


def test_epochs_and_seeds_have_different_orders():
    sampler = batching.TokenBudgetSampler([5] * 40 + [6] * 40, 50)
    first_epoch = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first_epoch
    assert list(batching.TokenBudgetSampler([5] * 40 + [6] * 40, 50, seed=1)) != first_epoch


def test_the_batches_of_a_seed_stay_what_they_are():
    """Scores that were measured with a seed could not be measured again otherwise."""
    sampler = batching.TokenBudgetSampler([3, 9, 3, 4, 20, 5, 5, 5, 7, 2], 16, 3, seed=7)
    assert list(sampler) == [[3, 7, 6], [1], [5, 8], [9, 0, 2], [4]]
    sampler.set_epoch(1)
    assert list(sampler) == [[1], [4], [7, 8], [3, 5, 6], [9, 0, 2]]


def test_lengths_can_be_a_column_of_a_table():
    lengths = pd.Series([3, 9, 3], index=[5, 6, 7])
    assert list(batching.TokenBudgetSampler(lengths, 12, shuffle=False)) == [[0, 2], [1]]


def test_collator_pads_texts_token_types_and_token_labels():
    examples = [
        {"input_ids": [5, 6, 7], "token_type_ids": [0, 1, 1], "labels": [1, -100, 2]},
        {"input_ids": [5], "token_type_ids": [0], "labels": [0]},
    ]
    collator = batching.Collator(pad_token_id=1, pad_to_multiple_of=8)
    batch = pickle.loads(pickle.dumps(collator))(examples)  # a worker process gets it by pickle
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == dict.fromkeys(batch, (2, 8))
    assert batch["input_ids"][1].tolist() == [5] + [1] * 7
    assert batch["attention_mask"].sum(1).tolist() == [3, 1]
    assert batch["labels"][0].tolist() == [1, -100, 2] + [-100] * 5
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_padding_share_is_the_share_in_the_batches():
    lengths = [1, 4, 5, 9, 2]
    examples = [{"input_ids": [9] * length, "labels": 0} for length in lengths]
    dataloader = batching.make_dataloader(examples, pad_token_id=0, max_tokens=10, shuffle=False)
    masks = [batch["attention_mask"] for batch in dataloader]
    share = 1 - sum(mask.sum().item() for mask in masks) / sum(mask.numel() for mask in masks)
    assert batching.padding_share(lengths, list(dataloader.batch_sampler)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: batching.TokenBudgetSampler([], 10), "nothing to batch"),
        (lambda: batching.TokenBudgetSampler([1], 0), "max_tokens=0"),
        (lambda: batching.TokenBudgetSampler([1], 5, 0), "batch_size=0"),
        (lambda: batching.tokenize(["a"], None, labels=[1, 2]), "there are 1 texts, but 2 labels"),
        (lambda: batching.tokenize(["a", None], None), "text 1 is NoneType"),
        (lambda: batching.padding_share([]), "lengths is empty"),
    ],
)
def test_errors_of_batching_are_readable(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_error_for_a_column_of_strings_names_the_column():
    with pytest.raises(ValueError, match="column 'text' holds strings"):
        batching.Collator(0)([{"input_ids": [1], "text": "Yes."}])
