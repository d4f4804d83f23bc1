"""Pretraining: merges are those of the package tokenizers, masks have the papers' shares, and usual traps show."""

import math
import re
import warnings
from collections import Counter

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from nbhelpers import pretraining, training

TEXTS = [
    "It came late, and I don't want it. \u201cWhy?\u201d I asked.",
    "The parcel was late. The parcel was wet, and the box was open!",
    "Where is my parcel? I want it back, or I want my money back.",
    "They told me it was on its way, twice, and it never came.",
]
DOCUMENTS = [pretraining.split_sentences(text) for text in TEXTS]
SPECIAL_IDS = range(5)


@pytest.fixture(scope="module")
def tokenizer():
    return pretraining.train_tokenizer(TEXTS * 4, vocab_size=330)


@pytest.fixture(scope="module")
def examples(tokenizer):
    return pretraining.pack_sentences(DOCUMENTS * 4, tokenizer, max_length=32)


def small_model(tokenizer, seed=0, **options):
    torch.manual_seed(seed)
    return pretraining.new_roberta(tokenizer, **{"hidden_size": 32, "num_layers": 2, "max_length": 32} | options)


def bert(tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(tokenizer), **sizes))


def word_pieces(folder):
    """A tokenizer of BERT, with the pieces that a test needs."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "par", "##cel", "late", ",", "i"]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    return transformers.BertTokenizer(str(folder / "vocab.txt"))


# --- byte-level BPE ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello world", ["Hello", "Ġworld"]),
        ("I don't", ["I", "Ġdon", "'t"]),
        ("I don\u2019t", ["I", "Ġdon", "âĢĻ", "t"]),  # a curly apostrophe is no contraction
        ("at 9:30pm", ["at", "Ġ9", ":", "30", "pm"]),
        ("two  spaces", ["two", "Ġ", "Ġspaces"]),
        ("", []),
    ],
)
def test_words_are_those_of_gpt2(text, words):
    assert pretraining.split_words(text) == words


def test_the_merges_are_learned_as_by_hand():
    merges = pretraining.learn_merges(["low low low lower lowest"], 4)
    assert merges == [(("l", "o"), 5), (("lo", "w"), 5), (("Ġ", "low"), 4), (("Ġlow", "e"), 2)]


def test_learning_stops_where_no_pair_occurs_twice():
    assert pretraining.learn_merges(["ab"], 5) == []
    assert len(pretraining.learn_merges(["ab ab"], 5)) == 1  # "Ġ" + "ab" occurs once


@pytest.mark.parametrize("texts", [TEXTS, ["aaa aaaa aa a"], ["abab abab ba"], ["你好 你好 é é"]])
def test_merges_are_those_of_the_tokenizers_package(texts):
    """Ties included, which is why the plain algorithm can stand for the fast one in a lesson."""
    merges = [pair for pair, _ in pretraining.learn_merges(texts, 40)]
    fast = pretraining.merges_of(pretraining.train_tokenizer(texts, 5 + 256 + 40))
    assert merges == fast


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("abc \n'é1", max_size=12), min_size=1, max_size=4))
def test_merges_agree_for_any_texts(texts):
    merges = [pair for pair, _ in pretraining.learn_merges(texts, 6)]
    assert merges == pretraining.merges_of(pretraining.train_tokenizer(texts, 5 + 256 + 6))


@pytest.mark.parametrize("text", ["The parcel was late.", " late", "naïve 你好 🙂", "x\u0000y\n\n  z"])
def test_pieces_are_those_of_the_tokenizer_and_every_text_comes_back(tokenizer, text):
    assert pretraining.apply_merges(text, pretraining.merges_of(tokenizer)) == tokenizer.tokenize(text)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert tokenizer.unk_token_id not in ids


def test_the_tokenizer_has_the_special_tokens_of_roberta_and_can_be_saved(tokenizer, tmp_path):
    assert tokenizer.convert_tokens_to_ids(pretraining.SPECIAL_TOKENS) == [0, 1, 2, 3, 4]
    assert tokenizer("late")["input_ids"][0] == 0
    assert tokenizer("late")["input_ids"][-1] == 2
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(again, transformers.RobertaTokenizer)
    assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_the_mask_stands_for_a_word_with_the_space_before_it(tokenizer):
    """As in RoBERTa; otherwise a lonely space would remain before each gap."""
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("is <mask> late", "is", " late")]
    assert ids[0] == [*ids[1], 4, *ids[2]]


def test_a_word_differs_with_and_without_the_space_before_it(tokenizer):
    assert tokenizer.tokenize(" late") != tokenizer.tokenize("late")


def test_words_given_one_by_one_lose_their_spaces_without_an_error(tokenizer):
    """A trap of transformers 5.23: the marks are missing, and nothing says so."""
    words = ["The", "parcel", "was", "late"]
    by_word = tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert not [token for token in tokenizer.convert_ids_to_tokens(by_word) if token.startswith("Ġ")]
    assert [t for t in tokenizer.tokenize("The parcel was late") if t.startswith("Ġ")]


def test_fertility_counts_tokens_words_characters_and_unknown_ones(tokenizer, tmp_path):
    tokenizers = {"bytes": tokenizer, "pieces": word_pieces(tmp_path)}
    table = pretraining.fertility(tokenizers, {"en": ["parcel, late"], "zh": ["你好"]}).set_index(
        ["tokenizer", "texts"]
    )
    assert table.loc[("pieces", "en"), ["tokens", "per word"]].tolist() == [4, 2]  # par ##cel , late
    assert table.loc[("pieces", "zh"), "unknown"] == 1
    assert table.loc[("bytes", "zh"), ["tokens", "per character", "unknown"]].tolist() == [6, 3, 0]  # three bytes each


# --- packing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [3, 8, 16, 32, 500])
@pytest.mark.parametrize("cross_documents", [True, False])
def test_packing_keeps_every_token_in_order(tokenizer, max_length, cross_documents):
    packed = pretraining.pack_sentences(DOCUMENTS, tokenizer, max_length, cross_documents=cross_documents)
    assert all(len(example["input_ids"]) <= max_length for example in packed)
    assert all(example["input_ids"][0] == 0 and example["input_ids"][-1] == 2 for example in packed)
    assert all(len(example["input_ids"]) > 2 for example in packed)
    kept = [i for example in packed for i in example["input_ids"] if i > 2]
    expected = [
        i for document in DOCUMENTS for i in tokenizer(" ".join(document), add_special_tokens=False)["input_ids"]
    ]
    assert kept == expected


def test_documents_are_separated_and_sentences_are_not_divided(tokenizer):
    packed = pretraining.pack_sentences(DOCUMENTS, tokenizer, 500)
    (ids,) = [example["input_ids"] for example in packed]
    assert ids.count(2) == len(DOCUMENTS)  # three separators and the end
    assert "</s></s>" not in tokenizer.decode(ids)
    shorter = pretraining.pack_sentences(DOCUMENTS, tokenizer, 40)
    sentences = {sentence for document in DOCUMENTS for sentence in document}
    longest = max(len(tokenizer(f" {x}", add_special_tokens=False)["input_ids"]) for x in sentences)
    assert longest <= 38
    for example in shorter:
        text = tokenizer.decode(example["input_ids"]).replace("<s>", "").strip()
        assert re.fullmatch(r"(.*[.!?\u201d]\s*(</s>)?\s*)+", text, re.DOTALL), text


def test_without_crossing_no_input_has_two_documents(tokenizer):
    packed = pretraining.pack_sentences(DOCUMENTS, tokenizer, 500, cross_documents=False)
    assert len(packed) == len(DOCUMENTS)
    assert all(example["input_ids"].count(2) == 1 for example in packed)


def test_packing_saves_padding(tokenizer):
    alone = [{"input_ids": tokenizer(x)["input_ids"]} for document in DOCUMENTS for x in document]
    packed = pretraining.pack_sentences(DOCUMENTS * 8, tokenizer, 64)

    def share_of_padding(rows):
        lengths = [len(row["input_ids"]) for row in rows]
        return 1 - sum(lengths) / (len(lengths) * max(lengths))

    assert share_of_padding(packed) < 0.2 < share_of_padding(alone)


# --- masking -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_masks(tokenizer):
    """(true ids, inputs, labels) of 400 rows of 100 tokens, with special tokens and padding."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, len(tokenizer), (400, 100), generator=generator)
    ids[:, 0], ids[:, 80], ids[:, 81:] = 0, 2, 1
    collator = pretraining.MaskingCollator(tokenizer, seed=3)
    special = collator.is_special_id[ids]
    options = {"mask_token_id": 4, "random_ids": collator.random_ids, "generator": collator.generator}
    return (ids, *pretraining.mask_tokens(ids, special, **options))


def test_the_shares_are_15_and_80_10_10(many_masks):
    ids, inputs, labels = many_masks
    chosen = labels != -100
    assert chosen.sum().item() / (400 * 79) == pytest.approx(0.15, abs=0.002)
    fates = [(inputs == 4), (inputs != 4) & (inputs != ids), inputs == ids]
    shares = [(fate & chosen).sum().item() / chosen.sum().item() for fate in fates]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_labels_are_the_true_tokens_and_the_rest_is_untouched(many_masks):
    ids, inputs, labels = many_masks
    chosen = labels != -100
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])


def test_special_tokens_are_never_chosen_and_never_drawn(many_masks):
    ids, inputs, labels = many_masks
    assert (labels[ids < 5] == -100).all()
    random = inputs[(labels != -100) & (inputs != 4) & (inputs != ids)]
    assert random.min() >= 5
    assert len(random.unique()) > 200  # from the whole vocabulary


def test_each_row_has_as_many_targets_as_its_length_allows(many_masks):
    _, _, labels = many_masks
    assert set((labels != -100).sum(-1).tolist()) == {11, 12}  # 0.15 * 79 = 11.85


def test_transformers_draws_random_words_from_all_ids_specials_included(tokenizer):
    """The trap that `random_ids` avoids."""
    ids = torch.full((200, 100), 50)
    torch.manual_seed(0)
    theirs = transformers.DataCollatorForLanguageModeling(tokenizer, mask_replace_prob=0.0, random_replace_prob=1.0)
    batch = theirs([{"input_ids": row.tolist()} for row in ids])
    drawn = batch["input_ids"][(batch["labels"] != -100)]
    assert set(SPECIAL_IDS) <= set(drawn.tolist())
    ours = pretraining.MaskingCollator(tokenizer, mask_share=0.0, random_share=1.0)
    batch = ours([{"input_ids": row.tolist()} for row in ids])
    assert batch["input_ids"][batch["labels"] != -100].min() >= 5


def test_short_rows_have_the_right_share_on_average(tokenizer):
    collator = pretraining.MaskingCollator(tokenizer)
    chosen = [(collator([{"input_ids": [0, 7, 8, 9, 2]}])["labels"] != -100).sum().item() for _ in range(2000)]
    assert sum(chosen) / 2000 == pytest.approx(0.45, abs=0.04)
    assert max(chosen) == 1


def test_masks_are_fresh_in_each_batch_and_fixed_for_evaluation(tokenizer, examples):
    collator = pretraining.MaskingCollator(tokenizer, seed=5)
    first, second = collator(examples), collator(examples)
    assert not torch.equal(first["labels"], second["labels"])
    assert torch.equal(first["attention_mask"], second["attention_mask"])
    torch.manual_seed(77)  # other random numbers make no difference
    assert torch.equal(pretraining.MaskingCollator(tokenizer, seed=5)(examples)["labels"], first["labels"])
    fixed = [pretraining.fixed_batches(examples, tokenizer, batch_size=4) for _ in range(2)]
    assert all(torch.equal(a[name], b[name]) for a, b in zip(*fixed, strict=True) for name in a)
    assert sum(len(batch["input_ids"]) for batch in fixed[0]) == len(examples)


def test_the_masks_of_transformers_change_with_each_call_unless_seeded(tokenizer, examples):
    """Why a held-out loss that uses its collator is not comparable from one evaluation to the next."""
    collator = transformers.DataCollatorForLanguageModeling(tokenizer)
    rows = [{"input_ids": [0, *range(10, 90), 2]}]
    assert not torch.equal(collator(rows)["labels"], collator(rows)["labels"])


@pytest.mark.slow
def test_workers_of_a_dataloader_draw_new_masks_in_each_epoch(tokenizer):
    rows = [{"input_ids": [0, *range(10, 90), 2]} for _ in range(4)]
    torch.manual_seed(0)
    dataloader = DataLoader(rows, batch_size=1, num_workers=2, collate_fn=pretraining.MaskingCollator(tokenizer))
    masks = [tuple(batch["labels"].flatten().tolist()) for _ in range(2) for batch in dataloader]
    assert len(set(masks)) == 8


def test_whole_words_are_chosen_with_all_their_tokens(tokenizer):
    collator = pretraining.MaskingCollator(tokenizer, whole_words=True, probability=0.3, seed=1)
    ids = tokenizer(" Parcels and newspapers, untruthfully late")["input_ids"]
    starts = [i for i, t in enumerate(tokenizer.convert_ids_to_tokens(ids)) if t.startswith("Ġ")]
    words = [range(a, b) for a, b in zip(starts, [*starts[1:], len(ids) - 1], strict=True)]
    assert max(map(len, words)) > 3
    seen = Counter()
    for _ in range(300):
        chosen = (collator([{"input_ids": ids}])["labels"][0] != -100).tolist()
        assert all(len({chosen[i] for i in word}) == 1 for word in words), "a part of a word was chosen"
        assert not chosen[0]
        assert not chosen[-1]
        seen.update(number for number, word in enumerate(words) if chosen[word[0]])
    assert all(count / 300 == pytest.approx(0.3, abs=0.1) for count in seen.values())
    assert len(seen) == len(words)


def test_word_starts_follow_the_marks_of_each_kind_of_vocabulary(tokenizer, tmp_path):
    starts = pretraining.word_start_ids(tokenizer)
    assert starts[tokenizer.convert_tokens_to_ids("Ġ")]
    assert not starts[tokenizer.convert_tokens_to_ids("e")]
    pieces = word_pieces(tmp_path)
    assert pretraining.word_start_ids(pieces).tolist() == [True] * 6 + [False] + [True] * 3


def test_the_first_token_after_a_special_one_begins_a_word(tokenizer):
    """Without a space before it: the first word of a text, and of a document inside of a packed input."""
    collator = pretraining.MaskingCollator(tokenizer, whole_words=True, probability=1.0)
    labels = collator([{"input_ids": [0, 70, 71, 2, 72, 73, 2]}])["labels"][0]
    assert labels.tolist() == [-100, 70, 71, -100, 72, 73, -100]
    half = pretraining.MaskingCollator(tokenizer, whole_words=True, probability=0.5)
    seen = {tuple((half([{"input_ids": [0, 70, 71, 2, 72, 73, 2]}])["labels"][0] != -100).tolist()) for _ in range(60)}
    one, other = (False, True, True, False, False, False, False), (False, False, False, False, True, True, False)
    assert seen == {one, other}


def test_whole_words_of_transformers_need_offsets(tokenizer):
    """The trap: without them it fails with an IndexError that does not name what is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collator = transformers.DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)
    with pytest.raises(IndexError):
        collator([{"input_ids": [0, 70, 71, 2]}])
    assert collator.random_replace_prob == 0  # and it gives up 80/10/10


# --- model and loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small_model, bert], ids=["roberta", "bert"])
def test_the_objective_is_the_loss_of_transformers(make, tokenizer, examples):
    model = make(tokenizer).eval()
    batch = pretraining.MaskingCollator(tokenizer)(examples)
    loss = pretraining.masked_lm_loss(model, batch)
    torch.testing.assert_close(loss, model(**batch).loss)
    loss.backward()
    mine = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model(**batch).loss.backward()
    theirs = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(mine, theirs, strict=True))


def test_a_model_without_a_known_head_is_called_as_a_whole(tokenizer, examples):
    model = small_model(tokenizer).eval()
    batch = pretraining.MaskingCollator(tokenizer)(examples)
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    chosen = batch["labels"] != -100
    expected = pretraining.logits_at(model, inputs, chosen)
    model.head, model.lm_head = model.lm_head, None
    model.forward = lambda **x: transformers.modeling_outputs.MaskedLMOutput(
        logits=model.head(model.roberta(**x).last_hidden_state)
    )
    torch.testing.assert_close(pretraining.logits_at(model, inputs, chosen), expected)


def test_the_objective_fits_the_training_loop_with_accumulation(tokenizer, examples):
    """Each micro-batch counts by its targets, so two of them give the gradient of one."""
    model = small_model(tokenizer, dropout=0.0)
    rows = pretraining.fixed_batches(examples[:4], tokenizer, batch_size=4)[0]
    parts = [{name: tensor[i : i + 2] for name, tensor in rows.items()} for i in (0, 2)]
    total = sum(training.num_labeled(part) for part in parts)
    pretraining.masked_lm_loss(model, rows).backward()
    expected = model.lm_head.dense.weight.grad.clone()
    model.zero_grad()
    for part in parts:
        (pretraining.masked_lm_loss(model, part) * training.num_labeled(part) / total).backward()
    torch.testing.assert_close(model.lm_head.dense.weight.grad, expected)


def test_training_fit_trains_with_the_collator_and_the_objective(tokenizer, examples):
    model = small_model(tokenizer)
    held_out = pretraining.fixed_batches(examples, tokenizer)
    before = pretraining.held_out_loss(model, held_out)
    dataloader = DataLoader(examples, batch_size=4, collate_fn=pretraining.MaskingCollator(tokenizer))
    optimizer = training.make_optimizer(model, lr=3e-3)
    scheduler = training.make_scheduler(optimizer, 6 * len(dataloader))
    training.fit(model, dataloader, pretraining.masked_lm_loss, optimizer, scheduler, num_epochs=6)
    assert pretraining.held_out_loss(model, held_out) < before - 0.5


def test_a_batch_without_a_target_has_loss_zero_and_a_gradient(tokenizer):
    model = small_model(tokenizer)
    loss = pretraining.masked_lm_loss(
        model, {"input_ids": torch.tensor([[0, 9, 2]]), "labels": torch.full((1, 3), -100)}
    )
    loss.backward()
    assert loss == 0


def test_an_untrained_model_has_about_ln_v_and_frequencies_alone_are_better(tokenizer, examples):
    held_out = pretraining.fixed_batches(examples, tokenizer)
    loss = pretraining.held_out_loss(small_model(tokenizer), held_out)
    assert loss == pytest.approx(math.log(len(tokenizer)), abs=0.15)
    assert pretraining.unigram_loss(examples, held_out, len(tokenizer)) < loss - 0.5


def test_the_held_out_loss_is_repeatable_whatever_the_mode_of_the_model(tokenizer, examples):
    model, held_out = small_model(tokenizer), pretraining.fixed_batches(examples, tokenizer, batch_size=3)
    model.train()
    first = pretraining.held_out_loss(model, held_out)
    assert model.training
    assert pretraining.held_out_loss(model.eval(), held_out) == first
    assert not model.training


def test_the_unigram_loss_has_its_hand_computed_value():
    batch = {"labels": torch.tensor([[-100, 3, -100]])}
    loss = pretraining.unigram_loss([{"input_ids": [3, 3, 2]}], [batch], vocab_size=4)
    assert loss == pytest.approx(-math.log(3 / 7))  # counts 1, 1, 2, 3


def test_roberta_reads_max_length_tokens_and_not_one_more(tokenizer):
    model = small_model(tokenizer, max_length=16).eval()
    assert model.config.max_position_embeddings == 18
    model(input_ids=torch.full((1, 16), 9))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, 17), 9))


def test_an_encoder_sees_what_comes_after_a_token_and_a_decoder_does_not(tokenizer):
    """RoBERTa is not autoregressive."""
    model = small_model(tokenizer, dropout=0.0).eval().roberta
    one, other = torch.tensor([[0, 20, 21, 22, 2]]), torch.tensor([[0, 20, 21, 99, 2]])
    change = (model(one).last_hidden_state - model(other).last_hidden_state)[0].abs().amax(-1)
    assert (change > 1e-4).all()
    torch.manual_seed(0)
    config = transformers.RobertaConfig(**model.config.to_dict() | {"is_decoder": True})
    causal = transformers.RobertaModel(config).eval()
    change = (causal(one).last_hidden_state - causal(other).last_hidden_state)[0].abs().amax(-1)
    assert (change[:3] < 1e-6).all()
    assert (change[3:] > 1e-4).all()


def test_roberta_has_a_masked_language_head_and_no_other(tokenizer):
    model = small_model(tokenizer)
    heads = {name.partition(".")[0] for name, _ in model.named_parameters()}
    assert heads == {"roberta", "lm_head"}
    assert not [name for name in dir(transformers) if name.startswith("RobertaFor") and "NextSentence" in name]
    assert not model.can_generate()


# --- training ------------------------------------------------------------------------------------------------------


def test_a_small_model_learns_the_texts_and_fills_a_gap(tokenizer, examples):
    model = small_model(tokenizer, dropout=0.0)
    held_out = pretraining.fixed_batches(examples, tokenizer)
    rows = []
    history = pretraining.train_masked_lm(
        model, tokenizer, examples, num_steps=250, lr=5e-3, batch_size=8, held_out=held_out, evaluate_every=100,
        log=rows.append,
    )  # fmt: skip
    losses = {int(row["step"]): row["dev_loss"] for row in history if "dev_loss" in row}
    assert list(losses) == [0, 100, 200, 250]
    assert losses[250] < pretraining.unigram_loss(examples, held_out, len(tokenizer)) - 1
    assert rows == history
    assert not model.training
    gaps = pretraining.fill_gaps(model, tokenizer, "Where is ___ parcel? I want ___ back.", k=3)
    assert [len(gap) for gap in gaps] == [3, 3]
    assert all(list(gap.values()) == sorted(gap.values(), reverse=True) for gap in gaps)
    assert not model.training


def test_gaps_of_a_learned_text_are_filled(tokenizer):
    words = " Where is my parcel?"
    ids = tokenizer(words)["input_ids"]
    model = small_model(tokenizer, dropout=0.0)
    options = {"num_steps": 150, "lr": 3e-3, "batch_size": 8, "probability": 0.3}
    pretraining.train_masked_lm(model, tokenizer, [{"input_ids": ids}] * 8, **options)
    (proposals,) = pretraining.fill_gaps(model, tokenizer, words.replace(" my", " ___"))
    assert next(iter(proposals)) == " my"
    assert proposals[" my"] > 0.9


def test_training_is_repeatable(tokenizer, examples):
    losses = []
    for _ in range(2):
        model = small_model(tokenizer)
        history = pretraining.train_masked_lm(model, tokenizer, examples, num_steps=5, batch_size=4, seed=2)
        losses.append([row["train_loss"] for row in history])
    assert losses[0] == losses[1]


def test_the_head_is_trained_first_with_the_encoder_frozen(tokenizer, examples):
    model = small_model(tokenizer)
    before = {name: p.clone() for name, p in model.named_parameters()}
    options = {"num_head_steps": 4, "num_steps": 0, "batch_size": 8}
    pretraining.continue_pretraining(model, tokenizer, examples, **options)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all(name.startswith("lm_head") for name in changed)
    assert all(p.requires_grad for p in model.parameters())
    held_out = pretraining.fixed_batches(examples, tokenizer)
    history = pretraining.continue_pretraining(
        model, tokenizer, examples, num_head_steps=2, num_steps=3, held_out=held_out, batch_size=8
    )
    assert [row["step"] for row in history if "train_loss" in row] == [1, 2, 3, 4, 5]
    assert [row["step"] for row in history if "dev_loss" in row] == [0, 2, 5]
    assert any(not torch.equal(p, before[name]) for name, p in model.roberta.named_parameters(prefix="roberta"))


def test_parameters_that_were_frozen_before_stay_frozen(tokenizer, examples):
    model = small_model(tokenizer)
    model.roberta.embeddings.requires_grad_(False)
    before = model.roberta.embeddings.word_embeddings.weight.clone()
    pretraining.continue_pretraining(model, tokenizer, examples, num_head_steps=1, num_steps=2, batch_size=4)
    assert torch.equal(model.roberta.embeddings.word_embeddings.weight, before)
    assert not model.roberta.embeddings.word_embeddings.weight.requires_grad


@pytest.mark.slow
def test_the_embedded_encoder_has_no_head_and_is_an_encoder_again_after_training(tmp_path):
    from nbhelpers import encoders

    source, _ = encoders.find("embedded", None)
    tokenizer = encoders.load("embedded")[0]
    config = transformers.AutoConfig.from_pretrained(source)
    torch.manual_seed(0)
    model, missing = encoders.load_weights(transformers.AutoModelForMaskedLM, source, None, config)
    assert any(name.startswith("cls.predictions") for name in missing)
    packed = pretraining.pack_sentences(DOCUMENTS, tokenizer, 64)
    held_out = pretraining.fixed_batches(packed, tokenizer, probability=0.5)
    assert pretraining.held_out_loss(model, held_out) > math.log(len(tokenizer))
    pretraining.continue_pretraining(model, tokenizer, packed, num_head_steps=3, num_steps=2, batch_size=2)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _, classifier = encoders.load(tmp_path, ("calm", "angry"))
    for name, weight in classifier.base_model.state_dict().items():
        assert torch.equal(weight, model.base_model.state_dict()[name]), name


def test_roberta_s_own_vocabulary_is_packed_and_masked(real_data):
    tokenizer = transformers.AutoTokenizer.from_pretrained(real_data / "roberta_tokenizer")
    assert pretraining.apply_merges("HELLO world", pretraining.merges_of(tokenizer)[:2000])
    packed = pretraining.pack_sentences(DOCUMENTS, tokenizer, 64)
    batch = pretraining.MaskingCollator(tokenizer, whole_words=True)(packed)
    random_ids = pretraining.MaskingCollator(tokenizer).random_ids
    assert not set(tokenizer.all_special_ids) & set(random_ids.tolist())
    assert (batch["labels"] != -100).any()


# --- wrong calls ---------------------------------------------------------------------------------------------------

IDS = torch.tensor([[0, 7, 2]])
MASKING = {"mask_token_id": 4, "random_ids": torch.tensor([5])}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: pretraining.learn_merges(TEXTS, -1), "num_merges=-1 is negative"),
        (lambda t: pretraining.train_tokenizer(TEXTS, 100), "vocab_size=100 is too small: .* need 261"),
        (lambda t: pretraining.pack_sentences(DOCUMENTS, t, 2), "max_length=2 leaves no room"),
        (lambda t: pretraining.pack_sentences([[], [""]], t, 8), "there is nothing to pack"),
        (lambda t: pretraining.pack_sentences(TEXTS, t, 8), "a document is a text; pass a list of its sentences"),
        (lambda t: pretraining.mask_tokens(IDS, IDS[:, :2], **MASKING), r"shape \[1, 3\]; pass is_special"),
        (lambda t: pretraining.MaskingCollator(t, probability=15), "probability=15 is not a share"),
        (lambda t: pretraining.MaskingCollator(t, random_share=0.3), "1.1 together; 1 is the most"),
        (lambda t: pretraining.new_roberta(t, hidden_size=30, num_heads=4), "hidden_size=30 cannot be divided among 4"),
        (lambda t: pretraining.masked_lm_loss(small_model(t), {"input_ids": IDS}), "the batch has no 'labels', only"),
        (lambda t: pretraining.fill_gaps(small_model(t), t, "no gap"), "the text has no gap; write ___"),
        (lambda t: pretraining.held_out_loss(small_model(t), []), "no token of the batches was chosen"),
        (lambda t: pretraining.train_masked_lm(small_model(t), t, [], num_steps=1), "there are no examples"),
        (lambda t: pretraining.train_masked_lm(small_model(t), t, [1], num_steps=0), "num_steps=0 and batch_size=32"),
        (
            lambda t: pretraining.train_masked_lm(small_model(t), t, [1], num_steps=1, precision="fp16"),
            "precision 'fp16' is not one of fp32, bf16",
        ),
        (
            lambda t: pretraining.train_masked_lm(small_model(t).requires_grad_(False), t, [1], num_steps=1),
            "no parameter of the model is trainable",
        ),
        (
            lambda t: pretraining.continue_pretraining(small_model(t), t, [1], num_head_steps=0, num_steps=0),
            "are both 0; there is nothing to train",
        ),
    ],
)
def test_errors_of_pretraining_are_readable(tokenizer, call, message):
    with pytest.raises(ValueError, match=message):
        call(tokenizer)


def test_a_tokenizer_without_a_mask_or_without_marks_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb")
    plain = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))
    with pytest.raises(ValueError, match="do not show where words begin"):
        pretraining.word_start_ids(plain)
    with pytest.raises(ValueError, match="is a WordPiece, which has no merges"):
        pretraining.merges_of(plain)
    plain.mask_token = None
    with pytest.raises(ValueError, match="the tokenizer has no mask token"):
        pretraining.MaskingCollator(plain)
