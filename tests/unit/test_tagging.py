"""The unit tagging: schemes, files, words, windows, decoding and scores."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2
from transformers import AutoTokenizer

from nbhelpers import encoders, tagging

TYPES = ("PER", "LOC", "ORG")


@st.composite
def tagged(draw):
    """The tags of a sentence in IOB2."""
    tags = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(("O", *TYPES)))
        length = draw(st.integers(1, 3))
        tags += ["O"] * length if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    return tags


@given(tagged(), st.sampled_from(tagging.SCHEMES))
def test_each_scheme_can_be_converted_there_and_back(tags, scheme):
    converted = tagging.from_iob2(tags, scheme)
    assert tagging.fault(converted, scheme) is None
    assert tagging.to_iob2(converted, scheme) == tags
    assert tagging.tags_of(len(tags), tagging.entities(tags)) == tags


@pytest.mark.parametrize(
    ("tags", "scheme", "place", "words"),
    [
        (["O", "I-PER"], "iob2", 1, "begins with B-PER"),
        (["B-PER", "I-LOC"], "iob2", 1, "begins with B-LOC"),
        (["B-PER", "O"], "iob1", 0, "only divides two entities"),
        (["B-PER", "O"], "bioes", 0, "has no end"),
        (["O", "E-PER"], "bioes", 1, "begins with B-PER or S-PER"),
        (["S-PER", "I-PER"], "bioes", 1, "begins with B-PER or S-PER"),
    ],
)
def test_a_tag_that_breaks_the_scheme_is_found(tags, scheme, place, words):
    position, message = tagging.fault(tags, scheme)
    assert position == place
    assert words in message


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_in_iob1_is_read_as_iob2(tmp_path):
    source = (
        "-DOCSTART- -X- O O\n\nAnn NNP I-NP I-PER\nLobo NNP I-NP I-PER\n\nParis NNP I-NP I-LOC\nRome NNP I-NP B-LOC\n"
    )
    first, second = tagging.read(write(tmp_path / "a.conll", source))
    assert (first.words, first.tags, first.line) == (["Ann", "Lobo"], ["B-PER", "I-PER"], 3)
    assert second.tags == ["B-LOC", "B-LOC"]


@pytest.mark.parametrize("scheme", tagging.SCHEMES)
def test_the_same_sentences_in_each_scheme_are_read_as_equal(tmp_path, scheme):
    tags = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "O"]
    lines = [f"w{i}\t{tag}" for i, tag in enumerate(tagging.from_iob2(tags, scheme))]
    (sentence,) = tagging.read(write(tmp_path / "a.bio", "\r\n".join(lines) + "\r\n"))
    assert sentence.tags == tags


def test_json_lines_with_tokens_or_positions(tmp_path):
    text = "Ann's cat left St. Louis 👩‍🚀."
    records = [
        {"tokens": ["Ann", "left"], "ner_tags": ["B-PER", "O"]},
        {"text": text, "entities": [{"start": 0, "end": 3, "label": "PER"}, [15, 24, "LOC"]]},
    ]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(record) + "\n\n" for record in records))
    first, second = tagging.read(path)
    assert (first.tags, first.line, second.line) == (["B-PER", "O"], 1, 3)
    assert second.words == ["Ann", "'s", "cat", "left", "St", ".", "Louis", "👩‍🚀", "."]
    assert second.tags == ["B-PER", "O", "O", "O", "B-LOC", "I-LOC", "I-LOC", "O", "O"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conll", "Ann B-PER\nLobo I-LOC\n", "a.conll, line 2: I-LOC follows B-PER, but in IOB2"),
        ("a.conll", "\n\nAnn PER\n", "a.conll, line 3: 'PER' is not a tag"),
        ("a.conll", "Ann B-PER\nLobo\n", "a.conll, line 2: 1 columns, but 2 are expected"),
        ("a.conll", "\n\n", "has no sentences"),
        ("a.csv", "Ann,B-PER\n", "a.csv: the suffix is not one of"),
        ("a.jsonl", '{"tokens": ["Ann"], "tags": []}\n', "a.jsonl, line 1: 1 tokens, but 0 tags"),
        ("a.jsonl", "{\n", "a.jsonl, line 1: it is not"),
        ("a.jsonl", '{"tokens": ["Ann"], "tags": [1]}\n', "a.jsonl, line 1: 1 is not a tag"),
        (
            "a.jsonl",
            '{"text": "Ann", "entities": [[0, 9, "PER"]]}\n',
            "line 1: an entity from 0 to 9 is not within the 3",
        ),
        ("a.jsonl", '{"text": "Ann Lo", "entities": [[0, 5, "PER"], [4, 6, "LOC"]]}\n', "line 1: the entity at 4 to 6"),
    ],
)
def test_a_faulty_file_is_refused_with_its_line(tmp_path, name, content, message):
    with pytest.raises(tagging.TagError) as error:
        tagging.read(write(tmp_path / name, content))
    assert message in str(error.value)


def test_a_file_that_is_missing_or_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(tagging.TagError, match="cannot be read"):
        tagging.read(tmp_path / "none.conll")
    (tmp_path / "latin.conll").write_bytes("Zoë B-PER\n".encode("latin-1"))
    with pytest.raises(tagging.TagError, match="is not in UTF-8"):
        tagging.read(tmp_path / "latin.conll")


def test_each_word_that_is_written_is_read_again(tmp_path):
    words = ["#", "10\u00a0000", "\u3000", "#", "-"]
    tagging.write_conll([tagging.Sentence(words, ["O", "B-PROD", "O", "O", "O"])] * 2, tmp_path / "a.conll")
    assert [sentence.words for sentence in tagging.read(tmp_path / "a.conll")] == [words] * 2


def test_comments_before_a_sentence_are_left_out(tmp_path):
    source = "# sent_id = 1\n# text = Ann left\nAnn B-PER\nleft O\n\n# newpar\n# O\nmonday B-DATE\n"
    found = tagging.read(write(tmp_path / "a.conll", source))
    assert [sentence.words for sentence in found] == [["Ann", "left"], ["#", "monday"]]


def test_missing_splits_are_made_and_equal_sentences_stay_together(tmp_path):
    sentences = [tagging.Sentence([f"w{i // 2}"], ["B-PER"]) for i in range(40)]
    tagging.write_conll(sentences, tmp_path / "all.conll")
    splits = tagging.load(tmp_path / "all.conll", dev_share=0.2, test_share=0.2)
    assert {split: len(part) for split, part in splits.items()} == {"train": 24, "dev": 8, "test": 8}
    words = [word for part in splits.values() for word in {x.words[0] for x in part}]
    assert len(words) == len(set(words))
    again = tagging.load(tmp_path / "all.conll", dev_share=0.2, test_share=0.2)
    assert again == splits


def test_the_splits_of_a_folder_are_found(tmp_path):
    for name in ("eng.train", "eng.testa", "eng.testb", "notes.md"):
        tagging.write_conll([tagging.Sentence([name], ["B-PER"])], tmp_path / name)
    found = {split: part[0].words for split, part in tagging.load(tmp_path).items()}
    assert found == {"train": ["eng.train"], "dev": ["eng.testa"], "test": ["eng.testb"]}
    tagging.write_conll([tagging.Sentence(["x"], ["B-LOC"])], tmp_path / "dev.conll")
    with pytest.raises(tagging.TagError, match="two files for dev"):
        tagging.load(tmp_path)


def test_a_type_that_train_lacks_is_told():
    splits = {"train": [tagging.Sentence(["a"], ["B-PER"])], "test": [tagging.Sentence(["a"], ["B-LOC"])]}
    with pytest.raises(tagging.TagError, match="test has entities of type LOC, which train lacks"):
        tagging.entity_types(splits)


@given(st.text(max_size=60))
def test_words_are_parts_of_the_text_and_leave_out_only_spaces(text):
    words = tagging.split_words(text)
    assert all(text[word.start : word.stop] == word.text for word in words)
    edges = [0, *(edge for word in words for edge in word[:2]), len(text)]
    assert edges == sorted(edges)
    gaps = "".join(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
    assert not gaps.strip()


def test_positions_are_exact_for_emojis_and_combining_characters():
    text = "👨‍👩‍👧 José\u0301 in Sa\u0303o Paulo"
    words = tagging.split_words(text)
    assert [word.text for word in words] == ["👨‍👩‍👧", "José\u0301", "in", "Sa\u0303o", "Paulo"]
    ((start, stop, _),) = tagging.to_text(words, [tagging.Entity(3, 5, "LOC")])
    assert text[start:stop] == "Sa\u0303o Paulo"


def test_scripts_without_spaces_are_divided_by_letter():
    words = [word.text for word in tagging.split_words("東京タワーへ 3 回, กรุงเทพ 서울에")]
    assert words[:6] == ["東", "京", "タ", "ワ", "ー", "へ"]
    assert "서울에" in words
    assert "กรุงเทพ" not in words


@given(st.lists(st.integers(1, 12), max_size=60), st.integers(8, 30))
def test_each_word_is_classified_once_and_an_example_fits(lengths, room):
    from nbhelpers.tagging.examples import windows

    found = windows(lengths, room)
    assert [i for _, classified in found for i in classified] == list(range(len(lengths)))
    for shown, classified in found:
        assert shown.start <= classified.start
        assert classified.stop <= shown.stop
        assert sum(min(lengths[i], room) for i in shown) <= room


def test_words_of_a_long_sentence_have_context_on_both_sides():
    from nbhelpers.tagging.examples import windows

    (_, first), (shown, classified), *_ = windows([1] * 100, 40)
    assert first == range(30)
    assert shown.start == 20
    assert classified == range(30, 50)
    assert shown.stop == 60


@pytest.fixture(scope="module")
def tokenizers(real_data):
    roberta = AutoTokenizer.from_pretrained(real_data / "roberta_tokenizer")
    return {"bert": encoders.load()[0], "roberta": roberta}


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_tokens_are_those_of_the_running_text(tokenizers, name):
    tokenizer = tokenizers[name]
    words = ["Zsófia", "Lindqvist-O'Hara", "joined", "ACME", "on", "1996-08-30", "!"]
    (example,) = tagging.make_examples([words], tokenizer, [list(range(7))])
    assert example["input_ids"] == tokenizer(" ".join(words))["input_ids"]
    pieces = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(f" {word}"))[0] for word in words[1:]]
    assert [example["input_ids"][start] for start in example["starts"][1:]] == pieces
    assert example["ends"] == [start + 1 for start in example["starts"]]
    (mean,) = tagging.make_examples([words], tokenizer, pieces="mean")
    assert mean["ends"][:-1] == mean["starts"][1:]
    labels = tagging.token_labels(example)
    assert [label for label in labels if label != -100] == list(range(7))


def test_a_word_that_the_tokenizer_drops_is_unknown(tokenizers):
    tokenizer = tokenizers["bert"]
    (example,) = tagging.make_examples([["\u200b", "left"]], tokenizer)
    assert example["input_ids"][1] == tokenizer.unk_token_id
    assert example["starts"] == [1, 2]


def test_wrong_calls_are_refused(tokenizers):
    tokenizer = tokenizers["bert"]
    with pytest.raises(ValueError, match="pieces 'last' is not one of first, mean"):
        tagging.make_examples([["a"]], tokenizer, pieces="last")
    with pytest.raises(ValueError, match="exactly one label"):
        tagging.make_examples([["a", "b"]], tokenizer, [[1]])
    with pytest.raises(ValueError, match="max_length=9999"):
        tagging.make_examples([["a"]], tokenizer, max_length=9999)


def test_decoding_finds_the_best_allowed_sequence():
    names = tagging.tag_names(["PER", "LOC"])
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.normal(size=(4, len(names)))
        tags = tagging.decode(scores, names)
        assert tagging.fault(tags, "iob2") is None
        best = max(
            sum(scores[i, j] for i, j in enumerate(path))
            for path in np.ndindex(*[len(names)] * 4)
            if tagging.fault([names[j] for j in path], "iob2") is None
        )
        assert sum(scores[i, names.index(tag)] for i, tag in enumerate(tags)) == pytest.approx(best)
    assert tagging.decode(np.zeros((0, 5)), names) == []


def test_scores_are_seqevals_in_strict_mode():
    rng = random.Random(0)
    names = tagging.tag_names(TYPES)
    gold = [tagging.decode(np.random.default_rng(i).normal(size=(9, 7)), names) for i in range(30)]
    predicted = [[tag if rng.random() < 0.7 else rng.choice(names) for tag in tags] for tags in gold]
    table = tagging.entity_scores(gold, predicted)
    report = classification_report(gold, predicted, mode="strict", scheme=IOB2, output_dict=True)
    for kind in TYPES:
        assert table.loc[kind, "f1"] == pytest.approx(report[kind]["f1-score"])
        assert table.loc[kind, "support"] == report[kind]["support"]
    assert table.loc["all", "f1"] == pytest.approx(f1_score(gold, predicted, mode="strict", scheme=IOB2))
    assert tagging.entity_f1(gold, predicted) == pytest.approx(table.loc["all", "f1"])
    drawn = tagging.draw_entity_f1(gold, [predicted, gold], num_draws=200)
    assert drawn[:, 1].tolist() == [1.0] * 200
    low, high = np.quantile(drawn[:, 0], [0.025, 0.975])
    assert low < table.loc["all", "f1"] < high


def test_token_scores_look_better_than_entity_scores():
    gold = [["B-PER", "I-PER", "O", "O", "O", "O"]]
    predicted = [["B-PER", "O", "O", "O", "O", "O"]]
    scores = tagging.token_scores(gold, predicted)
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["weighted F1"] == pytest.approx((1 + 0 + 4 * 8 / 9) / 6)
    assert scores["weighted F1 without O"] == pytest.approx(0.5)
    assert tagging.entity_f1(gold, predicted) == 0.0
    assert tagging.entity_scores([["O"]], [["O"]]).loc["all", "f1"] == 0.0


def test_conll_2003_has_the_published_counts(real_data):
    splits = tagging.load(real_data / "conll2003")
    table = tagging.describe(splits)
    assert table.loc["sentences"].tolist() == [14041, 3250, 3453]
    kinds = ["PER", "LOC", "ORG", "MISC"]
    assert table.loc[kinds].sum().tolist() == [23499, 5942, 5648]
    assert sorted(tagging.entity_types(splits)) == sorted(kinds)
    raw = [line.split() for line in (real_data / "conll2003" / "eng.train").read_text().splitlines()]
    # In the file, which is in IOB1, only these entities begin with B-
    assert sum(bool(columns) and columns[-1].startswith("B-") for columns in raw) == 70
