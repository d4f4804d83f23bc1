"""Training on real input (RoBERTa's vocabulary, MELD's turns), and the recorded results."""

import statistics

import pytest
import torch
import transformers

from nbhelpers import batching, corpora, encoders, metrics, objectives, training
from nbhelpers.course import results


@pytest.fixture(scope="module")
def roberta(real_data, tmp_path_factory):
    """A small RoBERTa with random weights and the real 50,265-token vocabulary."""
    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = transformers.AutoTokenizer.from_pretrained(real_data / "roberta_tokenizer")
    tokenizer.save_pretrained(folder)
    sizes = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    config = transformers.RobertaConfig(**sizes, vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    torch.manual_seed(0)
    transformers.RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
def test_roberta_trains_saves_and_reloads_on_meld(real_data, roberta, tmp_path, pooling):
    data = corpora.load_meld(real_data / "meld")["train"].select(range(600))
    names, texts, labels = data.features["emotion"].names, data["text"][:], data["emotion"][:]
    torch.manual_seed(0)
    tokenizer, model = encoders.load(roberta, names, pooling=pooling)
    examples = batching.tokenize(texts, tokenizer, labels=labels)
    assert examples[0]["input_ids"][0] == 0
    assert examples[0]["input_ids"][-1] == 2
    assert tokenizer.model_max_length == 512
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id)
    optimizer = training.make_optimizer(model, 3e-3)
    scheduler = training.make_scheduler(optimizer, 4 * len(dataloader))
    history = training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, num_epochs=4)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    logits = training.predict(model, dataloader)
    majority = metrics.scores(labels, metrics.majority(labels, len(labels)), 7)["weighted_f1"]
    assert metrics.scores(labels, logits.argmax(-1).numpy(), 7)["weighted_f1"] > majority + 0.1
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    reloaded_tokenizer, reloaded = encoders.load_trained(tmp_path)
    assert torch.equal(training.predict(reloaded, dataloader), logits)
    assert reloaded_tokenizer("It's 7 o'clock!")["input_ids"] == tokenizer("It's 7 o'clock!")["input_ids"]


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
def test_roberta_reads_512_tokens_and_padding_changes_nothing(roberta, pooling):
    tokenizer, model = encoders.load(roberta, ("a", "b"), pooling=pooling)
    examples = batching.tokenize(["word " * 1000, "Fine."], tokenizer)
    assert [len(example["input_ids"]) for example in examples] == [512, 4]
    collator = batching.Collator(tokenizer.pad_token_id)
    with torch.inference_mode():
        alone, padded = model.eval()(**collator(examples[1:])).logits[0], model(**collator(examples)).logits[1]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)


def mean_scores(row):
    """Mean weighted and macro F1 on test, in percent, over at least five seeds with the row's current settings."""
    runs = results.runs("meld", row)
    assert len(runs) >= 5, f"run: nbhelpers results meld --only {row!r}"
    return [100 * statistics.mean(run["test"][score] for run in runs) for score in ("weighted_f1", "macro_f1")]


def test_recorded_scores_on_meld_reach_their_targets():
    """Always predicting the majority class scores 31.3 weighted and 9.3 macro F1."""
    weighted, macro = mean_scores("utterance only")
    assert weighted >= 59.5
    assert macro >= 37
    (majority,) = results.runs("meld", "majority")
    assert majority["test"]["weighted_f1"] == pytest.approx(0.3127, abs=1e-4)


@pytest.mark.parametrize("table", ["meld", "context"])
def test_recorded_scores_follow_from_the_recorded_predictions(real_data, table):
    test = corpora.load_meld(real_data / "meld")["test"]
    for row in results.read(table):
        predictions = results.unpack_predictions(row["predictions"])
        assert metrics.scores(test["emotion"][:], predictions, 7) == pytest.approx(row["test"])


@pytest.mark.parametrize("table", ["meld", "context", "dialogues", "transfer", "reviews"])
def test_recorded_comparisons_follow_from_the_recorded_predictions(real_data, tmp_path, table):
    results.write_tests(table, tmp_path)
    assert results.tests(table, tmp_path) == results.tests(table)


@pytest.mark.parametrize("add_prefix_space", [False, True])
def test_a_normalizing_tokenizer_of_roberta_gives_the_tokens_of_normalized_texts(real_data, tmp_path, add_prefix_space):
    """Its tokens contain the spaces, so an additional one at the beginning would change them."""
    folder = real_data / "roberta_tokenizer"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, add_prefix_space=add_prefix_space)
    normalizing = corpora.normalizing_tokenizer(tokenizer)
    normalizing.save_pretrained(tmp_path)
    raw = ["  \u201cI don\u2019t  know\u201d\r\n", "caf\u00e9", "a\u00a0b"]
    expected = tokenizer([corpora.normalize(text) for text in raw])
    transformers.RobertaConfig(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    for each in (normalizing, transformers.AutoTokenizer.from_pretrained(tmp_path)):
        assert dict(each(raw)) == dict(expected)
        assert each("Hi", "you")["input_ids"] == tokenizer("Hi", "you")["input_ids"]
