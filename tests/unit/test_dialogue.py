"""Examples for single texts, windows and whole dialogues, for the layouts of BERT and RoBERTa; the model reads them."""

import functools

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from nbhelpers import batching, dialogue, encoders, objectives, training

EVERYTHING = 10_000
COLUMNS = {"dialogue_ids": [0, 0, 0, 1], "speakers": ["Ann", "Bo", "Ann", "Cy"], "labels": [3, 0, 2, 1]}
FOUR = ["w1 w2", "w3", "w4 w5 w6", "w7"]


@functools.cache
def tokenizer_of(kind):
    """A tokenizer for which each word such as "w12" is one token, so that a test can tell what an example shows."""
    special = {"bert": ("[CLS]", "[SEP]", "[UNK]", "[PAD]"), "roberta": ("<s>", "</s>", "<unk>", "<pad>")}
    before, after, unknown, fill = special[kind]
    words = [before, after, unknown, fill, "a", *(f"w{i}" for i in range(400)), "Ann", "Bo", "Cy", ":"]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=unknown))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(":", "isolated")]
    )
    between = f"{after}:0 {after}:0" if kind == "roberta" else f"{after}:0"
    inner.post_processor = processors.TemplateProcessing(
        single=f"{before}:0 $A:0 {after}:0",
        pair=f"{before}:0 $A:0 {between} $B:0 {after}:0",
        special_tokens=[(before, 0), (after, 1)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        cls_token=before,
        sep_token=after,
        unk_token=unknown,
        pad_token=fill,
        model_max_length=512,
    )


kinds = pytest.mark.parametrize("kind", ["bert", "roberta"])
dialogues = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=9), min_size=1, max_size=5)  # words of each turn
limits = st.sampled_from([8, 16, 40, 512])


def build(kind, sizes):
    """Turns that repeat the word "w<row>", the dialogue of each turn, and the tokenizer."""
    ids = [number for number, turns in enumerate(sizes) for _ in turns]
    texts = [" ".join([f"w{row}"] * size) for row, size in enumerate(size for turns in sizes for size in turns)]
    tokenizer = tokenizer_of(kind)
    return dialogue.encode_turns(texts, ids, tokenizer), ids, tokenizer


def rows_shown(example, tokenizer):
    """The rows whose words an example contains, in its order."""
    words = [token for token in tokenizer.convert_ids_to_tokens(example["input_ids"]) if token[0] == "w"]
    return [int(word[1:]) for word in dict.fromkeys(words)]


def own_rows(example, tokenizer):
    """The rows whose words are between starts and ends."""
    spans = [example["input_ids"][a:b] for a, b in zip(example["starts"], example["ends"], strict=True)]
    assert all(len(set(span)) == 1 for span in spans)
    return [int(tokenizer.convert_ids_to_tokens(span)[0][1:]) for span in spans]


@kinds
@given(sizes=dialogues, past=st.integers(0, 9), future=st.integers(0, 9), limit=limits)
def test_a_window_shows_one_dialogue_without_gaps_and_is_not_wider_than_asked(kind, sizes, past, future, limit):
    turns, ids, tokenizer = build(kind, sizes)
    examples = dialogue.windows(
        turns, ids, tokenizer, past=past, future=future, max_length=limit, labels=range(len(ids))
    )
    assert len(examples) == len(turns)
    for row, example in enumerate(examples):
        shown = rows_shown(example, tokenizer)
        assert {ids[i] for i in shown} == {ids[row]}  # never another dialogue
        assert shown == list(range(shown[0], shown[-1] + 1))  # no gap
        assert row - past <= shown[0] <= row <= shown[-1] <= row + future  # no future unless asked
        assert own_rows(example, tokenizer) == example["labels"] == [row]
        assert len(example["input_ids"]) <= limit


@kinds
@given(sizes=dialogues, past=st.integers(0, 9), future=st.integers(0, 9), limit=limits)
def test_the_classified_turn_is_complete_and_the_nearest_turns_come_first(kind, sizes, past, future, limit):
    turns, ids, tokenizer = build(kind, sizes)
    between = 2 if kind == "roberta" else 1
    for row, example in enumerate(dialogue.windows(turns, ids, tokenizer, past=past, future=future, max_length=limit)):
        (start,), (end,) = example["starts"], example["ends"]
        assert example["input_ids"][start:end] == turns[row][: limit - 2]
        shown = rows_shown(example, tokenizer)

        def left(nearer, limit=limit):
            """How many tokens would be left beside these turns."""
            return limit - 2 - sum(len(turns[i]) + between for i in nearer) + between

        before, after = shown[0] - 1, shown[-1] + 1  # the first turns that are missing
        if before >= max(ids.index(ids[row]), row - past):
            assert len(turns[before]) + between > left([i for i in shown if abs(i - row) < row - before])
        if after < len(ids) and ids[after] == ids[row] and after <= row + future:
            assert len(turns[after]) + between > left([i for i in shown if -1 < row - i <= after - row or i > row])
    everything = dialogue.windows(turns, ids, tokenizer, past=EVERYTHING, future=EVERYTHING)
    assert all(len(rows_shown(example, tokenizer)) == ids.count(ids[row]) for row, example in enumerate(everything))


@kinds
@given(sizes=dialogues, limit=limits)
def test_whole_dialogues_classify_each_turn_once_in_order(kind, sizes, limit):
    turns, ids, tokenizer = build(kind, sizes)
    examples = dialogue.whole_dialogues(turns, ids, tokenizer, labels=range(len(ids)), max_length=limit)
    assert [label for example in examples for label in example["labels"]] == list(range(len(ids)))
    assert [row for example in examples for row in own_rows(example, tokenizer)] == list(range(len(ids)))
    for example in examples:
        assert len(example["input_ids"]) <= limit
        assert len({ids[row] for row in rows_shown(example, tokenizer)}) == 1
    if limit == 512:
        assert len(examples) == len(sizes)


@kinds
def test_turns_are_separated_as_the_architecture_separates_texts(kind):
    turns, ids, tokenizer = build(kind, [[1, 2, 1]])
    (example,) = dialogue.whole_dialogues(turns, ids, tokenizer)
    text = tokenizer.decode(example["input_ids"])
    expected = {"bert": "[CLS] w0 [SEP] w1 w1 [SEP] w2 [SEP]", "roberta": "<s> w0 </s> </s> w1 w1 </s> </s> w2 </s>"}
    assert " ".join(tokenizer.convert_ids_to_tokens(example["input_ids"])) == expected[kind], text


def test_the_next_part_of_a_long_dialogue_starts_with_earlier_turns():
    turns, ids, tokenizer = build("bert", [[6] * 9])
    first, second, *_ = dialogue.whole_dialogues(turns, ids, tokenizer, max_length=36)
    assert own_rows(first, tokenizer) == [0, 1, 2, 3, 4]
    assert rows_shown(second, tokenizer) == [4, 5, 6, 7, 8]
    assert own_rows(second, tokenizer) == [5, 6, 7, 8]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_turn_before_is_shown_whenever_both_fit(kind):
    """The turn at the border has more than half of the maximum length, but not all of it."""
    tokenizer = tokenizer_of(kind)
    turns = dialogue.encode_turns(["w1 " * 10, "w2 " * 12, "w3 " * 10], [0] * 3, tokenizer)
    examples = dialogue.whole_dialogues(turns, [0] * 3, tokenizer, max_length=26, labels=range(3))
    assert [(example["labels"], example["starts"][0] > 1) for example in examples] == [([0, 1], False), ([2], True)]


def test_speakers_are_written_as_names_or_numbered():
    tokenizer = tokenizer_of("bert")
    texts, ids, speakers = ["w1", "w2", "w3", "w4"], [0, 0, 0, 1], ["Ann", "Bo", "Ann", "Bo"]
    named = dialogue.encode_turns(texts, ids, tokenizer, speakers=speakers, speaker_format="name")
    assert tokenizer.convert_ids_to_tokens(named[1]) == ["Bo", ":", "w2"]
    with pytest.raises(ValueError, match="call add_speaker_tokens"):
        dialogue.encode_turns(texts, ids, tokenizer, speakers=speakers, speaker_format="id")
    assert dialogue.speaker_numbers(speakers, ids) == [0, 1, 0, 0]


def test_speaker_tokens_are_saved_with_the_model(tmp_path):
    tokenizer, model = encoders.load("embedded", ("a", "b"))
    rows = model.get_input_embeddings().num_embeddings
    dialogue.add_speaker_tokens(tokenizer, model)
    dialogue.add_speaker_tokens(tokenizer, model)  # twice is harmless
    assert model.get_input_embeddings().num_embeddings == rows + dialogue.NUM_SPEAKER_TOKENS
    texts, ids, speakers = ["Hi.", "Yes?", "No."], [0, 0, 0], ["Ann", "Bo", "Ann"]
    turns = dialogue.encode_turns(texts, ids, tokenizer, speakers=speakers, speaker_format="id")
    assert [tokenizer.convert_ids_to_tokens(turn)[0] for turn in turns] == ["[SPK1]", "[SPK2]", "[SPK1]"]
    many = dialogue.encode_turns(["x"] * 12, [0] * 12, tokenizer, speakers=list("abcdefghijkl"), speaker_format="id")
    assert many[11][0] == many[7][0]  # the last token is shared
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, loaded = encoders.load_trained(tmp_path)
    batch = batching.Collator(again.pad_token_id)(dialogue.whole_dialogues(turns, ids, again))
    assert torch.equal(loaded.eval()(**batch).logits, model.eval()(**batch).logits)


def test_speaker_tokens_start_as_far_apart_as_words():
    torch.manual_seed(0)
    tokenizer, model = encoders.load("embedded", ("a", "b"))
    dialogue.add_speaker_tokens(tokenizer, model)
    rows = model.get_input_embeddings().weight.detach()
    new = rows[tokenizer.convert_tokens_to_ids(dialogue.speaker_tokens())]
    words = rows[1000 : 1000 + len(new)]
    apart = torch.pdist(new).min() / torch.pdist(words).mean()
    assert 0.5 < apart < 2  # those that transformers draws are 30,000 times nearer to each other


@pytest.mark.parametrize("kind_of_column", ["list", "tuple", "array", "tensor", "Series", "shuffled index", "Column"])
def test_columns_of_any_type_are_taken_by_position(kind_of_column):
    def column(values):
        frame = pd.Series(values, index=range(len(values), 0, -1))
        kinds = {
            "list": list,
            "tuple": tuple,
            "array": np.array,
            "Series": pd.Series,
            "shuffled index": lambda _: frame,
        }
        kinds["tensor"] = lambda values: values if isinstance(values[0], str) else torch.tensor(values)
        kinds["Column"] = lambda values: datasets.Dataset.from_dict({"x": values})["x"]
        return kinds[kind_of_column](values)

    tokenizer = tokenizer_of("bert")
    texts, options = FOUR, {"speaker_format": "name", "context": "windows", "past": 2}
    expected = dialogue.make_examples(texts, tokenizer, **COLUMNS, **options)
    columns = {name: column(values) for name, values in COLUMNS.items()}
    assert dialogue.make_examples(column(texts), tokenizer, **columns, **options) == expected
    turns = dialogue.encode_turns(column(texts), columns["dialogue_ids"], tokenizer)
    ids, labels = columns["dialogue_ids"], columns["labels"]
    whole = dialogue.whole_dialogues(turns, ids, tokenizer, labels=labels)
    assert [label for example in whole for label in example["labels"]] == COLUMNS["labels"]
    assert dialogue.speaker_numbers(columns["speakers"], ids) == [0, 1, 0, 0]
    single = batching.tokenize(column(texts), tokenizer, labels=labels)
    assert [example["labels"] for example in single] == COLUMNS["labels"]
    weights = objectives.class_weights(labels, 4)
    assert torch.equal(weights, objectives.class_weights(COLUMNS["labels"], 4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: dialogue.encode_turns(["a", "b", "c"], [0, 1, 0], t), "are not together"),
        (lambda t: dialogue.encode_turns(["a", "b"], [0], t), "2 texts, but 1 dialogue_ids"),
        (
            lambda t: dialogue.encode_turns(["a"], [0], t, speaker_format="names"),
            "'names' is not one of name, id, none",
        ),
        (lambda t: dialogue.encode_turns(["a"], [0], t, speaker_format="name"), "needs speakers="),
        (lambda t: dialogue.windows([[4]], [0], t, past=-1), "0 or more"),
        (lambda t: dialogue.windows([[4]], [0], t, past=1, max_length=2), "leaves no room"),
        (lambda t: dialogue.windows([[4]], [0], t, past=1, max_length=513), "the model reads at most 512 tokens"),
        (lambda t: dialogue.make_examples(["a"], t, max_length=513), "the model reads at most 512 tokens"),
        (lambda t: dialogue.windows([[4], [5]], [0], t, past=1), "2 turns, but 1 dialogue_ids"),
        (lambda t: dialogue.whole_dialogues([[4]], [0], t, labels=[0, 1]), "1 turns, but 2 labels"),
    ],
)
def test_errors_are_readable(call, words):
    with pytest.raises(ValueError, match=words):
        call(tokenizer_of("bert"))


# --- examples from settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [None, 3])
def test_single_texts_become_the_same_examples_as_in_batching(max_length):
    tokenizer, labels = tokenizer_of("roberta"), COLUMNS["labels"]
    expected = batching.tokenize(FOUR, tokenizer, labels=labels, max_length=max_length)
    assert dialogue.make_examples(FOUR, tokenizer, **COLUMNS, max_length=max_length) == expected
    assert dialogue.make_examples(FOUR, tokenizer) == batching.tokenize(FOUR, tokenizer)
    assert dialogue.make_examples([], tokenizer, labels=[]) == []


@kinds
def test_settings_choose_windows_or_whole_dialogues(kind):
    tokenizer, ids = tokenizer_of(kind), COLUMNS["dialogue_ids"]
    make = functools.partial(dialogue.make_examples, FOUR, tokenizer, **COLUMNS)
    turns = dialogue.encode_turns(FOUR, ids, tokenizer)
    expected = dialogue.windows(turns, ids, tokenizer, past=1, future=2, labels=COLUMNS["labels"], max_length=9)
    assert make(context="windows", past=1, future=2, max_length=9) == expected
    turns = dialogue.encode_turns(FOUR, ids, tokenizer, speakers=COLUMNS["speakers"], speaker_format="name")
    expected = dialogue.whole_dialogues(turns, ids, tokenizer, labels=COLUMNS["labels"])
    assert make(context="whole_dialogues", speaker_format="name") == expected
    assert [example["labels"] for example in expected] == [[3, 0, 2], [1]]
    without = dialogue.make_examples(FOUR, tokenizer, dialogue_ids=ids, context="whole_dialogues")
    assert "labels" not in without[0]


def test_row_numbers_as_labels_tell_which_turns_an_example_classifies():
    """So a second label per turn can be added afterwards."""
    columns = {"dialogue_ids": COLUMNS["dialogue_ids"], "labels": range(4)}
    for settings in ({"context": "windows", "past": 1}, {"context": "whole_dialogues", "max_length": 8}):
        examples = dialogue.make_examples(FOUR, tokenizer_of("bert"), **columns, **settings)
        assert [row for example in examples for row in example["labels"]] == [0, 1, 2, 3]


def test_settings_of_earlier_versions_are_translated():
    old = {
        "corpus": "meld",
        "form": "window",
        "speakers": "id",
        "past": 5,
        "future": 1,
        "max_length": 128,
        "live": True,
    }
    new = {"corpus": "meld", "context": "windows", "speaker_format": "id", "past": 5, "future": 1, "max_length": 128}
    new["causal_turns"] = True
    assert dialogue.upgrade_settings(old) == dialogue.upgrade_settings(new) == new
    assert dialogue.upgrade_settings({"form": "turn"}) == {"context": "none"}
    assert dialogue.upgrade_settings({"form": "dialogue"}) == {"context": "whole_dialogues"}
    assert dialogue.upgrade_settings({}) == {}
    options = dialogue.input_options(old)
    assert options == {name: new[name] for name in dialogue.INPUT_SETTINGS}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"context": "window"}, "'window' is not one of none, windows, whole_dialogues"),
        ({"context": "windows", "dialogue_ids": None, "past": 1}, "needs dialogue_ids="),
        ({"context": "windows"}, "needs past="),
        ({"context": "windows", "past": -1}, "0 or more"),
        ({"past": 3}, "past=3, future=0 have no effect with context='none'"),
        ({"context": "whole_dialogues", "future": 1}, "have no effect with context='whole_dialogues'"),
        ({"speaker_format": "name"}, "has no effect on single texts"),
        ({"labels": [0, 1]}, "4 texts, but 2 labels"),
        ({"texts": ["a", None, "b", "c"]}, "text 1 is NoneType, not a string"),
        ({"texts": []}, "0 texts, but 4 labels"),
    ],
)
def test_errors_in_settings_are_readable(settings, words):
    with pytest.raises(ValueError, match=words):
        dialogue.make_examples(**{"texts": FOUR, "tokenizer": tokenizer_of("bert"), **COLUMNS, **settings})


# --- the model that reads them ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded():
    tokenizer, model = encoders.load("embedded", ("a", "b", "c"))
    return tokenizer, model.eval()


TEXTS = ["You did what?", "Sold it.", "Oh.", "For how much?", "Enough."]
SMALL = {"vocab_size": 500, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_labels": 3}


def logits(tokenizer, model, examples):
    with torch.inference_mode():
        return model(**batching.Collator(tokenizer.pad_token_id)(examples)).logits


def of_kind(kind, attention):
    """A causal model: the embedded BERT, or a small RoBERTa, which has two separators between turns."""
    if kind == "bert":
        tokenizer, model = encoders.load("embedded", ("a", "b", "c"), attn_implementation=attention)
    else:
        torch.manual_seed(0)
        config = transformers.RobertaConfig(
            **SMALL, num_hidden_layers=3, initializer_range=0.5, pad_token_id=3, attn_implementation=attention
        )
        tokenizer, model = tokenizer_of("roberta"), encoders.MeanPoolingClassifier(config)
    model.eval().config.causal_turns = True
    return tokenizer, model


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_causal_logits_are_those_of_each_turn_as_the_last_one(kind, attention):
    tokenizer, model = of_kind(kind, attention)
    texts = TEXTS if kind == "bert" else ["w1 w2 w3", "w4 w5", "w6", "w7 w8 w9 w10", "w11"]
    turns = dialogue.encode_turns(texts, [0] * 5, tokenizer)
    (example,) = dialogue.whole_dialogues(turns, [0] * 5, tokenizer)
    longer = dialogue.whole_dialogues(turns * 2, [0] * 10, tokenizer)
    together = logits(tokenizer, model, [example, *longer])[0, :5]  # padded, with missing turns
    for n in range(1, 6):
        cut = dialogue.whole_dialogues(turns[:n], [0] * n, tokenizer)
        torch.testing.assert_close(logits(tokenizer, model, cut)[0], together[:n], atol=1e-5, rtol=1e-4)
    model.config.causal_turns = False
    assert (logits(tokenizer, model, [example])[0] - together)[
        :4
    ].abs().max() > 1e-3  # without the mask, later turns change the logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_causal_model_keeps_the_sliding_window_of_its_encoder(attention):
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        **SMALL,
        num_hidden_layers=4,
        local_attention=8,
        initializer_range=0.5,
        pad_token_id=3,
        attn_implementation=attention,
    )
    model = encoders.MeanPoolingClassifier(config).eval()
    ids = torch.randint(5, 400, (2, 40))
    one_turn = {"starts": torch.zeros(2, 1, dtype=torch.long), "ends": torch.full((2, 1), 40)}
    with torch.inference_mode():
        plain = model(ids, torch.ones_like(ids), **one_turn).logits
        model.config.causal_turns = True
        torch.testing.assert_close(model(ids, torch.ones_like(ids), **one_turn).logits, plain, atol=1e-5, rtol=1e-4)


def test_causal_turns_are_refused_for_deberta():
    config = transformers.DebertaV2Config(**SMALL, num_hidden_layers=1)
    model = encoders.MeanPoolingClassifier(config)
    model.config.causal_turns = True
    ids = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="deberta-v2 takes no mask per token"):
        model(ids, ids, starts=ids[:, :1], ends=ids[:, :1] * 3)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_causal_model_does_not_see_the_future_of_a_window(kind):
    tokenizer, model = of_kind(kind, "sdpa")
    turns = dialogue.encode_turns(["w1 w2", "w3", "w4 w5"], [0] * 3, tokenizer)
    without, with_future = (dialogue.windows(turns, [0] * 3, tokenizer, past=1, future=m)[1:2] for m in (0, 1))
    assert len(with_future[0]["input_ids"]) > len(without[0]["input_ids"])
    expected = logits(tokenizer, model, without)
    torch.testing.assert_close(logits(tokenizer, model, with_future), expected, atol=1e-5, rtol=1e-4)
    model.config.causal_turns = False
    assert (logits(tokenizer, model, with_future) - expected).abs().max() > 1e-3


def test_a_turn_is_classified_by_the_mean_of_its_own_tokens(embedded):
    tokenizer, model = embedded
    turns = dialogue.encode_turns(TEXTS, range(5), tokenizer)
    alone = dialogue.windows(turns, range(5), tokenizer, past=3)  # five dialogues of one turn
    for example, row in zip(alone, logits(tokenizer, model, alone), strict=True):
        with torch.inference_mode():
            hidden = model.encoder(torch.tensor([example["input_ids"]])).last_hidden_state[0]
        expected = model.classifier(hidden[example["starts"][0] : example["ends"][0]].mean(0))
        torch.testing.assert_close(row[0], expected, atol=1e-5, rtol=1e-4)


def test_predict_returns_each_turn_once_in_the_order_of_the_data(embedded):
    tokenizer, model = embedded
    ids = [0, 0, 0, 1, 1]
    turns = dialogue.encode_turns(TEXTS, ids, tokenizer)
    examples = dialogue.whole_dialogues(turns, ids, tokenizer, labels=[0, 1, 2, 0, 1])
    batches = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=2, shuffle=True)
    expected = torch.cat([logits(tokenizer, model, [example])[0] for example in examples])
    torch.testing.assert_close(training.predict(model, batches), expected, atol=1e-5, rtol=1e-4)
