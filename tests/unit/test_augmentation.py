"""Augmented texts keep their form and their label, copies know their source, and mixup is the formula of its papers."""

import random
import re
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F

from nbhelpers import augmentation, encoders
from nbhelpers.augmentation import mixing, noise, operations, words

TEXTS = [
    "The staff were really nice, and the room was huge!",
    "I do not like this movie. It isn't funny at all...",
    "WOW, what a big mistake - I can't believe it!",
    'he said: "maybe tomorrow" (or never), for $3.50',
    "Don’t buy it: the parcel ES/0094 was damaged, and nobody helped.",
    "Perfect. Great shop; I bought two cars & a bike there 😀",
]
PROPOSALS = {"fill": lambda texts: [["house", "Green", "##ing", ",", "never", " quickly"] for _ in texts]}
OPERATIONS = {
    "replace_synonyms": augmentation.replace_synonyms,
    "insert_synonyms": augmentation.insert_synonyms,
    "swap_words": augmentation.swap_words,
    "delete_words": augmentation.delete_words,
    "make_typos": augmentation.make_typos,
    "replace_masked_words": partial(augmentation.replace_masked_words, **PROPOSALS),
}
each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def variants(operation, text, num=60, **options):
    """What an operation makes of a text with many seeds."""
    return [operation(text, random.Random(seed), **options) for seed in range(num)]


def punctuation(text):
    return re.sub(r"[\w\s]", "", text)


@each_operation
@pytest.mark.parametrize("text", TEXTS)
def test_an_operation_changes_a_text_and_spares_protected_words(operation, text):
    for new in variants(operation, text, alpha=0.3):
        assert new != text
        assert augmentation.breaks_label(text, new) == []
        assert "  " not in new
        assert not re.search(r"\s[,.!?]", new)


@each_operation
def test_a_seed_decides_what_an_operation_makes(operation):
    assert operation(TEXTS[0], random.Random(5)) == operation(TEXTS[0], random.Random(5))
    assert len(set(variants(operation, TEXTS[0]))) > 3


@pytest.mark.parametrize("operation", [augmentation.replace_synonyms, augmentation.swap_words,
                                       augmentation.insert_synonyms], ids=lambda f: f.__name__)  # fmt: skip
@pytest.mark.parametrize("text", TEXTS)
def test_punctuation_and_the_capital_at_the_beginning_are_kept(operation, text):
    for new in variants(operation, text, alpha=0.5):
        assert sorted(punctuation(new)) == sorted(punctuation(text))
        assert new[0].isupper() == text[0].isupper()
        assert new[-1] == text[-1] or text[-1].isalnum()


def test_a_text_can_be_taken_apart_and_put_together():
    for text in [*TEXTS, "", "  ", "?!", "one", " a\n\tb ", "wait—what", "snake_case_", "5.99,-"]:
        assert "".join(words.split_words(text)) == text
    assert words.split_words("(Don’t) pay 3.50 at shop.com—ever!")[1::2] == [
        "Don’t",
        "pay",
        "3.50",
        "at",
        "shop.com",
        "ever",
    ]


@each_operation
@pytest.mark.parametrize("text", ["", "  ", "?!", "not", "No!"])
def test_a_text_that_cannot_be_changed_comes_back(operation, text):
    assert operation(text, random.Random(0)) == text


# EDA: alpha is the share of the words, rounded down, and at least one word


@pytest.mark.parametrize(
    ("num_words", "alpha", "num_edits"),
    [(1, 0.1, 1), (9, 0.1, 1), (19, 0.1, 1), (20, 0.1, 2), (30, 0.1, 3), (100, 0.29, 29), (5, 1.0, 5)],
)
def test_the_number_of_edits_is_that_of_eda(num_words, alpha, num_edits):
    text = " ".join(["big"] * num_words)
    assert augmentation.replace_synonyms(text, random.Random(0), alpha=alpha).split().count("large") == num_edits
    assert len(augmentation.insert_synonyms(text, random.Random(0), alpha=alpha).split()) == num_words + num_edits
    typos = augmentation.make_typos(text, random.Random(0), alpha=alpha).split()
    assert sum(word != "big" for word in typos) == num_edits
    distinct = [f"w{number}" for number in range(num_words)]
    swapped = augmentation.swap_words(" ".join(distinct), random.Random(0), alpha=alpha).split()
    moved = sum(new != old for new, old in zip(swapped, distinct, strict=True))
    assert moved == min(2 * num_edits, num_words // 2 * 2)
    assert Counter(swapped) == Counter(distinct)


def test_each_word_is_deleted_with_probability_alpha_and_at_least_one():
    text = " ".join(f"w{number}" for number in range(40))
    lost = [40 - len(new.split()) for new in variants(augmentation.delete_words, text, num=400, alpha=0.2)]
    assert np.mean(lost) == pytest.approx(8, abs=4 * (40 * 0.2 * 0.8 / 400) ** 0.5)
    assert set(variants(augmentation.delete_words, "Big dogs")) == {"Big", "Dogs"}
    assert {len(new.split()) for new in variants(augmentation.delete_words, text, alpha=1.0)} == {1}
    assert set(variants(augmentation.delete_words, "Not bad at all", alpha=1.0)) == {"Not"}


def test_deleting_leaves_tidy_sentences():
    deletions = {
        "I like it, really.": {"Like it, really.", "I it, really.", "I like, really.", "I like it."},
        "Yes. Really? I do": {"Really? I do", "Yes. I do", "Yes. Really? Do", "Yes. Really? I"},
        "Well, no, thanks": {"No, thanks", "Well, no"},
        "is it (any) good": {"it (any) good", "is (any) good", "is it (good", "is it (any)"},
    }
    for text, expected in deletions.items():
        assert set(variants(augmentation.delete_words, text, alpha=0.01)) == expected


# capitals, articles, synonyms


def test_a_new_word_is_written_like_the_old_one():
    for text, expected in [
        ("Big!", "Large!"),
        ("BIG!", "LARGE!"),
        ("big!", "large!"),
        ('"Big," she said', '"Large," she said'),
    ]:
        assert augmentation.replace_synonyms(text, random.Random(0)) == expected
    swapped = set(variants(augmentation.swap_words, "Tonight I eat."))
    assert swapped == {"I tonight eat.", "Eat I tonight.", "Tonight eat I."}
    assert "It's NASA" in variants(augmentation.swap_words, "NASA it's")


def test_synonyms_fit_the_article():
    table = {"big": ["huge", "enormous"], "honest": ["truthful", "upright"], "useful": ["handy", "efficient"]}
    replace = partial(augmentation.replace_synonyms, synonyms=table)
    assert set(variants(replace, "a big car")) == {"a huge car"}
    assert set(variants(replace, "an honest car")) == {"an upright car"}
    assert set(variants(replace, "a useful car")) == {"a handy car"}
    assert set(variants(replace, "the big car")) == {"the huge car", "the enormous car"}
    for word, has_vowel in [("hour", True), ("union", False), ("unimportant", True), ("one", False), ("honey", False)]:
        assert bool(operations.VOWEL_SOUND.match(word)) == has_vowel


def test_the_table_of_synonyms_is_clean():
    table = augmentation.load_synonyms()
    assert len(table) > 1000
    for word, others in table.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", word), word
        assert word not in others
        assert others
        assert all(word in table[other] and set(table[other]) == {word, *others} - {other} for other in others), word
        assert not words.find_protected(word, augmentation.NEGATIONS)


def test_synonyms_can_come_from_a_file_of_your_own(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# pets\nDog, hound\n\ncat, kitty, pussycat\n")
    synonyms = augmentation.load_synonyms(path)
    assert synonyms == {"dog": ["hound"], "hound": ["dog"], "cat": ["kitty", "pussycat"], "kitty": ["cat", "pussycat"],
                        "pussycat": ["cat", "kitty"]}  # fmt: skip
    assert augmentation.replace_synonyms("Dog!", random.Random(0), synonyms=synonyms) == "Hound!"
    path.write_text("dog, hound\ncat\n")
    with pytest.raises(ValueError, match=r"mine.txt, line 2: 'cat' is alone; write at least two words, with commas"):
        augmentation.load_synonyms(path)


WORDNET = {  # word -> senses that are tagged in texts and synsets, as WordNet writes them
    "index.adj": "  1 license\nlike a 1 1 & 1 1 00000001  \nbig a 2 0 2 9 00000002 00000001  \nred a 1 0 1 1 00000003\n"
    "off a 1 0 1 1 00000002\n",
    "data.adj": "  1 license\n00000001 00 s 02 like 0 similar 0 000 | alike\n"
    "00000002 00 a 03 large 0 big(p) 1 grown_up 0 001 ! 00000001 a 0101 | of size\n"
    "00000003 00 s 02 red 0 Ruby 0 000 | color\n",
    "index.verb": "like v 2 1 @ 2 2 00000001 00000002  \n",
    "data.verb": "00000001 30 v 02 like 0 enjoy 0 000 01 + 08 00 | feel\n",
    "index.noun": "", "data.noun": "", "index.adv": "", "data.adv": "",
}  # fmt: skip


def test_wordnet_gives_the_most_frequent_sense_of_the_usual_part_of_speech(tmp_path):
    for name, content in WORDNET.items():
        (tmp_path / name).write_text(content)
    assert augmentation.read_wordnet(tmp_path) == {"big": ["large"]}  # not "similar" for "like", "off" or "Ruby"
    assert augmentation.read_wordnet(tmp_path, ["adj", "verb"]) == {"big": ["large"], "like": ["enjoy"]}
    with pytest.raises(ValueError, match="parts_of_speech has 'adjective'; WordNet has noun, verb, adj, adv"):
        augmentation.read_wordnet(tmp_path, ["adjective"])
    with pytest.raises(ValueError, match=r"elsewhere has no index.noun; pass WordNet's folder, such as /usr/share/wor"):
        augmentation.read_wordnet(tmp_path / "elsewhere")


# typing errors


def test_a_typing_error_is_one_of_four_kinds_and_spares_the_first_letter():
    neighbor, dropped, doubled, exchanged = noise.typos_of("Best")
    assert set(dropped) == {"Bst", "Bet", "Bes"}
    assert set(doubled) == {"Beest", "Besst", "Bestt"}
    assert set(exchanged) == {"Bset", "Bets"}
    assert {typo[1] for typo in neighbor if typo[2:] == "st"} == set("wrsd")
    assert all(typo[0] == "B" for typo in [*neighbor, *dropped, *doubled, *exchanged])
    assert "BEsT" not in [typo for kind in noise.typos_of("BEST") for typo in kind]
    assert all(typo.isupper() for kind in noise.typos_of("BEST") for typo in kind)
    assert noise.typos_of("seen")[3] == ["sene"]  # two equal letters cannot be exchanged
    kinds = Counter(len(new) for new in variants(augmentation.make_typos, "best", num=800))
    assert kinds[3] == pytest.approx(200, abs=50)  # dropped
    assert kinds[5] == pytest.approx(200, abs=50)  # doubled


def test_neighbors_on_the_keyboard_are_mutual():
    assert set(noise.NEIGHBORS["s"]) == set("adwezx")
    assert set(noise.NEIGHBORS["p"]) == set("ol")
    for key, neighbors in noise.NEIGHBORS.items():
        assert 2 <= len(neighbors) <= 6
        assert all(key in noise.NEIGHBORS[other] for other in neighbors)


def test_no_typing_error_makes_or_breaks_a_negation():
    assert "no" in variants(augmentation.make_typos, "now", num=300, protected=())
    made = set(variants(augmentation.make_typos, "now", num=300)) | set(
        variants(augmentation.make_typos, "nod", num=300)
    )
    assert not made & augmentation.NEGATIONS


def test_numbers_short_words_and_other_scripts_get_no_typing_errors():
    new = augmentation.make_typos("order 55810 by ES/0094, 不好吃", random.Random(1), alpha=1.0)
    assert re.fullmatch(r"(?!order )o\w+ 55810 by ES/0094, 不好吃", new)


# masked words


def test_masked_words_are_filled_where_they_were():
    asked = []

    def fill(texts):
        asked.extend(texts)
        return [["##ing", "liked", "not", "enjoy", "!"] for _ in texts]

    new = augmentation.replace_masked_words(
        "I Liked it, truly.", random.Random(1), fill=fill, mask_token="[MASK]", alpha=1.0
    )
    assert sorted(asked) == [
        "I Liked [MASK], truly.",
        "I Liked it, [MASK].",
        "I [MASK] it, truly.",
        "[MASK] Liked it, truly.",
    ]
    # Not the old word, a negation, a part of a word or punctuation; and written like the old word.
    assert re.fullmatch(r"(Liked|Enjoy) Enjoy (liked|enjoy), (liked|enjoy)\.", new)


def test_the_pipeline_of_transformers_fills_masks_as_the_docstring_says():
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "house", "tree", "the", "old", "is"]
    tokenizer = transformers.BertTokenizer(vocab={name: number for number, name in enumerate(names)})
    model = transformers.BertForMaskedLM(transformers.BertConfig(**SIZES)).eval()
    model.cls.predictions.bias.data[5:10] = torch.tensor([9.0, 8.0, 7.0, 6.0, 5.0])  # it proposes these five
    pipe = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=5)

    def fill(texts):
        rows = pipe(texts) if len(texts) > 1 else [pipe(texts)]
        return [[proposal["token_str"].strip() for proposal in row] for row in rows]

    for alpha, num_edits in [(0.1, 1), (1.0, 4)]:
        for seed in range(3):
            options = {"fill": fill, "mask_token": "[MASK]", "alpha": alpha}
            new = augmentation.replace_masked_words("the tree is old", random.Random(seed), **options)
            pairs = zip(new.split(), ["the", "tree", "is", "old"], strict=True)
            assert sum(word != old for word, old in pairs) == num_edits
            assert set(new.split()) <= set(names[5:])


def test_a_fill_function_of_the_wrong_kind_is_refused():
    for fill in (lambda texts: [], lambda texts: ["word"] * len(texts)):
        with pytest.raises(ValueError, match="for 1 texts; return a list of words for each text"):
            augmentation.replace_masked_words("I like it.", random.Random(0), fill=fill)


# labels


def test_deleting_without_protection_drops_negations_and_they_are_counted():
    text = "This is not good"
    free = variants(augmentation.delete_words, text, num=400, protected=(), alpha=0.01)
    broken = [augmentation.breaks_label(text, new) for new in free]
    assert sum(bool(row) for row in broken) == pytest.approx(100, abs=30)  # one of four words
    assert {tuple(row) for row in broken} == {(), ("not",)}
    assert not any(augmentation.breaks_label(text, new) for new in variants(augmentation.delete_words, text, num=400))


def test_words_of_the_task_can_be_protected():
    text = "I love it, I'm so happy and glad."
    protected = augmentation.NEGATIONS | augmentation.EMOTION_WORDS
    for operation in OPERATIONS.values():
        for new in variants(operation, text, protected=protected, alpha=0.5):
            assert augmentation.breaks_label(text, new, protected) == []
    assert augmentation.breaks_label("Cancel it, please.", "Keep it, please.", {"Cancel"}) == ["cancel"]


def test_negations_are_found_however_they_are_written():
    for text in ["Don’t!", "don't", "dont", "WON'T", "'not'", "a not-so-good idea", "no-one", "ain't", "cannot", "No."]:
        assert augmentation.breaks_label(text, ""), text
    assert augmentation.breaks_label("notice the note, it can want", "") == []
    assert augmentation.breaks_label("not now, not ever", "not now, ever") == ["not"]
    with pytest.raises(ValueError, match=r"protected='not' is one string; pass a set of words, such as \{'not'\}"):
        augmentation.breaks_label("not", "", "not")


# rows


def test_copies_come_after_the_originals_with_labels_and_sources():
    result = augmentation.augment(TEXTS, list("abcdef"), augmentation.swap_words, num_copies=3, seed=1)
    assert result.texts[:6] == TEXTS
    assert len(result.texts) == len(result.labels) == len(result.sources) == 24
    assert result.num_missing == 0
    assert result.sources[:6] == list(range(6))
    for text, label, source in zip(result.texts[6:], result.labels[6:], result.sources[6:], strict=True):
        assert label == "abcdef"[source]
        assert text != TEXTS[source]
        assert Counter(re.findall(r"\w+", text.lower())) == Counter(re.findall(r"\w+", TEXTS[source].lower()))
    assert len(set(result.texts)) == 24  # the copies of a text differ from each other too
    assert result == augmentation.augment(TEXTS, list("abcdef"), augmentation.swap_words, num_copies=3, seed=1)
    assert result != augmentation.augment(TEXTS, list("abcdef"), augmentation.swap_words, num_copies=3, seed=2)


def test_copies_that_cannot_be_made_are_left_out_and_counted():
    result = augmentation.augment(["Not!", "Big", "", "a b"], [0, 1, 2, 3], augmentation.replace_synonyms, num_copies=2)
    assert result.texts[4:] == ["Large"]
    assert result.num_missing == 7
    emptied = augmentation.augment(["fine"], [0], lambda text, rng: rng.choice(["", "  "]))
    assert emptied == (["fine"], [0], [0], 1)
    assert augmentation.augment([], [], augmentation.swap_words) == ([], [], [], 0)


@pytest.mark.parametrize(("arguments", "sentence"), [
    (dict(labels=[1]), "there are 2 texts, but 1 labels; each text needs exactly one"),
    (dict(num_copies=0), "num_copies=0: pass how many copies of each text to make, at least 1"),
    (dict(texts=["a b", None]), "row 1: the text is None; pass strings, and leave out rows without a text"),
    (dict(operation=lambda text, rng: None), "the operation returned None for 'Big dog'; it must return the new text"),
])  # fmt: skip
def test_wrong_rows_are_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        augmentation.augment(
            **(dict(texts=["Big dog", "a b"], labels=[0, 1], operation=augmentation.swap_words) | arguments)
        )


@each_operation
def test_wrong_calls_of_an_operation_are_refused_in_a_sentence(operation):
    with pytest.raises(ValueError, match=r"the text is \['a'\]; pass one string \(the function augment takes a list"):
        operation(["a"], random.Random(0))
    with pytest.raises(ValueError, match=r"rng is 3; pass a generator such as random.Random\(0\), so that the result"):
        operation("a b", 3)
    for alpha in (0, 1.5, float("nan")):
        with pytest.raises(
            ValueError, match=f"alpha={alpha}: pass the share of the words to change, above 0 and at mo"
        ):
            operation("a b", random.Random(0), alpha=alpha)
    with pytest.raises(ValueError, match="protected='not' is one string; pass a set of words"):
        operation("a b", random.Random(0), protected="not")


# traps: augmenting before the split, and SMOTE on token ids


def nearest_neighbor_accuracy(texts, labels, dev_texts, dev_labels):
    """How often the most similar training text has the right label."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(2, 3)), KNeighborsClassifier(1))
    return model.fit(texts, labels).score(dev_texts, dev_labels)


def test_augmenting_before_the_split_scores_high_on_labels_without_any_signal():
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefghijklmnop", k=5)) for _ in range(500)]
    texts = [" ".join(rng.choices(vocabulary, k=10)) for _ in range(200)]
    labels = [rng.randint(0, 1) for _ in texts]  # nothing can be learned: .5 is the true accuracy

    everything = augmentation.augment(texts, labels, augmentation.make_typos, num_copies=2)
    order = rng.sample(range(600), 600)
    train, dev = order[:400], order[400:]
    pick = [[column[row] for row in rows] for rows in (train, dev) for column in everything[:3]]
    leaky = nearest_neighbor_accuracy(*pick[:2], *pick[3:5])
    with pytest.raises(
        ValueError, match=r"\d+ of 200 dev rows come from texts that are also in train, such as row \d+; s"
    ):
        augmentation.check_no_leak(pick[2], pick[5])

    right = augmentation.augment(texts[:130], labels[:130], augmentation.make_typos, num_copies=2)
    augmentation.check_no_leak(right.sources, range(130, 200))
    honest = nearest_neighbor_accuracy(right.texts, right.labels, texts[130:], labels[130:])
    assert leaky > 0.85
    assert honest < 0.65


def test_smote_makes_nonsense_of_token_ids():
    from imblearn.over_sampling import SMOTE

    rare = ["the refund never came", "my refund is missing", "please send the refund", "where is my refund"]
    common = ["the lamp is lovely", "my order came today", "please keep it", "where is the lamp", "it never broke"] * 4
    used = sorted({word for text in rare + common for word in text.split()})
    others = [f"{word}{number}" for number in range(20) for word in ("zebra", "yacht", "opera")]  # never in these texts
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *random.Random(0).sample([*used, *others], len(used) + len(others))]
    tokenizer = transformers.BertTokenizer(vocab={name: number for number, name in enumerate(names)})
    ids = np.array(tokenizer(rare + common, padding=True)["input_ids"])
    labels = np.array([1] * len(rare) + [0] * len(common))
    new_ids, new_labels = SMOTE(k_neighbors=2, random_state=0).fit_resample(ids, labels)
    synthetic = new_ids[len(ids) :]
    assert (new_labels == 1).sum() == (new_labels == 0).sum()
    rows = {tuple(row) for row in ids}
    assert not any(tuple(row) in rows for row in synthetic)
    decoded = [tokenizer.decode(row, skip_special_tokens=True) for row in synthetic]
    strangers = [set(text.split()) - set(used) for text in decoded]
    assert np.mean([bool(row) for row in strangers]) > 0.8  # words that are in none of the texts
    assert set.union(*strangers) <= set(others)


def test_smote_on_vectors_stays_between_the_rows_and_finds_more_of_the_rare_class():
    from imblearn.over_sampling import SMOTE
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    common, rare = rng.normal(size=(400, 8)), rng.normal(0.7, 1, size=(15, 8))
    vectors, labels = np.vstack([common, rare]), np.array([0] * 400 + [1] * 15)
    new_vectors, new_labels = SMOTE(random_state=0).fit_resample(vectors, labels)
    assert (new_labels == 1).sum() == 400
    for row in new_vectors[415:430]:  # each is on the line between two rare rows
        distances = np.linalg.norm(rare - row, axis=1)
        between = distances[:, None] + distances[None] - np.linalg.norm(rare[:, None] - rare[None], axis=2)
        assert between[~np.eye(15, dtype=bool)].min() < 1e-6
    test = rng.normal(0.7, 1, size=(500, 8))
    recalls = [
        LogisticRegression().fit(*data).predict(test).mean() for data in ((vectors, labels), (new_vectors, new_labels))
    ]
    assert recalls[1] > recalls[0] + 0.3


# mixup


@pytest.fixture
def toy():
    """A linear head on two-dimensional vectors, and a batch of five items, of which one has no label."""
    torch.manual_seed(0)
    head = nn.Linear(2, 3)
    return head, {"x": torch.randn(5, 2), "labels": torch.tensor([0, 2, -100, 1, 2])}


OPTIONS = dict(get_vectors=lambda model, inputs: inputs["x"], head=lambda model, vectors: model(vectors))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_mixup_is_the_formula_and_has_its_gradient(toy):
    head, batch = toy
    loss = augmentation.mixup(head, batch, **OPTIONS, alpha=0.7, generator=seeded(3))
    loss.backward()
    lam, partner = mixing.draw_pairs(4, 0.7, seeded(3))
    x, labels = batch["x"][[0, 1, 3, 4]], batch["labels"][[0, 1, 3, 4]]
    assert partner.tolist() != [0, 1, 2, 3]
    expected, weight_gradient = 0.0, torch.zeros(3, 2)
    for i, j in enumerate(partner.tolist()):
        vector = lam[i] * x[i] + (1 - lam[i]) * x[j]
        log_p = (head.weight @ vector + head.bias).log_softmax(0).detach()
        expected -= (lam[i] * log_p[labels[i]] + (1 - lam[i]) * log_p[labels[j]]).item() / 4
        target = lam[i] * F.one_hot(labels[i], 3) + (1 - lam[i]) * F.one_hot(labels[j], 3)
        weight_gradient += torch.outer(log_p.exp() - target, vector) / 4
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(head.weight.grad, weight_gradient, atol=1e-6, rtol=1e-5)


def test_two_items_mixed_by_hand():
    """lam is about .5 for a large alpha: the vector (.5, .5), logits equal, loss ln 2 whatever the labels are."""
    head = nn.Linear(2, 2, bias=False)
    head.weight.data = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    batch = {"x": torch.eye(2), "labels": torch.tensor([0, 1])}
    losses = {
        round(augmentation.mixup(head, batch, **OPTIONS, alpha=1e8, generator=seeded(s)).item(), 3) for s in range(9)
    }
    assert losses == {0.693, 0.018}  # ln 2, or ln(1 + e^-4) where each item is its own partner


def test_an_item_alone_or_in_evaluation_mode_gives_plain_cross_entropy(toy):
    head, batch = toy
    one = {"x": batch["x"][:1], "labels": batch["labels"][:1]}
    torch.testing.assert_close(augmentation.mixup(head, one, **OPTIONS), F.cross_entropy(head(one["x"]), one["labels"]))
    expected = F.cross_entropy(head(batch["x"]), batch["labels"])  # torch leaves out -100 as well
    torch.testing.assert_close(augmentation.mixup(head.eval(), batch, **OPTIONS), expected)
    # so micro-batches, weighed by their labeled items, give the loss of the whole batch
    parts = [{name: tensor[rows] for name, tensor in batch.items()} for rows in (slice(0, 2), slice(2, 5))]
    total = sum(augmentation.mixup(head, part, **OPTIONS) * (part["labels"] != -100).sum() for part in parts) / 4
    torch.testing.assert_close(total, expected)


def test_items_without_a_label_change_nothing(toy):
    head, batch = toy
    labeled = batch["labels"] != -100
    shorter = {name: tensor[labeled] for name, tensor in batch.items()}
    whole_dialogues = {name: tensor.unsqueeze(0) for name, tensor in batch.items()}  # [1, turns]
    losses = [augmentation.mixup(head, b, **OPTIONS, generator=seeded(1)) for b in (batch, shorter, whole_dialogues)]
    torch.testing.assert_close(losses, [losses[0]] * 3)
    nothing = augmentation.mixup(head, {"x": batch["x"], "labels": torch.full((5,), -100)}, **OPTIONS)
    nothing.backward()
    assert nothing == 0
    assert (head.weight.grad == 0).all()


def test_shares_are_drawn_from_a_beta_distribution_and_can_be_repeated():
    for alpha in (0.2, 1.0, 8.0):
        lam, partner = mixing.draw_pairs(20000, alpha, seeded(0))
        assert lam.mean().item() == pytest.approx(0.5, abs=0.02)
        assert lam.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
        assert sorted(partner.tolist()) == list(range(20000))
    torch.manual_seed(5)
    first = mixing.draw_pairs(8, 0.2)
    torch.manual_seed(5)
    torch.testing.assert_close(mixing.draw_pairs(8, 0.2), first)
    assert not mixing.draw_pairs(3, 1e-6, seeded(0))[0].isnan().any()


SIZES = dict(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, num_labels=3
)
HEAD = dict(head=lambda model, vectors: model.classifier(model.dropout(vectors)))
RECIPES = {  # as the docstring writes them
    "course": dict(
        get_vectors=lambda model, inputs: encoders.pooling.mean_over_text(
            model.encoder(**inputs).last_hidden_state, inputs["attention_mask"]
        ),
        **HEAD,
    ),
    "bert": dict(get_vectors=lambda model, inputs: model.bert(**inputs).pooler_output, **HEAD),
    "roberta": dict(
        get_vectors=lambda model, inputs: model.roberta(**inputs).last_hidden_state[:, 0],
        head=lambda model, vectors: model.classifier(vectors.unsqueeze(1)),
    ),
}


def make_model(name):
    torch.manual_seed(0)
    if name == "bert":
        return transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES))
    if name == "roberta":
        return transformers.RobertaForSequenceClassification(transformers.RobertaConfig(pad_token_id=1, **SIZES))
    return encoders.MeanPoolingClassifier(transformers.BertConfig(**SIZES))


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_of_the_docstring_give_the_models_own_logits_and_train_all_of_it(name):
    model = make_model(name)
    batch = {"input_ids": torch.randint(5, 40, (6, 7)), "attention_mask": torch.ones(6, 7, dtype=torch.long)}
    batch["attention_mask"][:3, 5:] = 0
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    plain = F.cross_entropy(model.eval()(**batch).logits, labels)
    torch.testing.assert_close(augmentation.mixup(model, {**batch, "labels": labels}, **RECIPES[name]), plain)
    augmentation.mixup(model.train(), {**batch, "labels": labels}, **RECIPES[name], generator=seeded(0)).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert all("pooler" in n for n in without)  # RoBERTa's classifier has none, and this course's does not use it


@pytest.mark.parametrize(("change", "sentence"), [
    (dict(alpha=0), "alpha=0: pass a number above 0; without mixing, train with plain cross-entropy"),
    (dict(batch={"x": torch.zeros(2, 2)}), "the batch has no 'labels', only x; add 'labels' to the examples"),
    (dict(batch={"x": torch.zeros(2, 2), "labels": torch.tensor([0, 3])}),
     "labels run from 0 to 3, but the head has 3 classes; load it with the data's labels"),
    (dict(batch={"x": torch.zeros(2, 4, 2), "labels": torch.tensor([0, 1])}),
     r"get_vectors returned vectors \[2, 4, 2\] for labels \[2\]; return one vector per label, \[\*labels, size\]"),
])  # fmt: skip
def test_wrong_calls_of_mixup_are_refused_in_a_sentence(toy, change, sentence):
    head, batch = toy
    with pytest.raises(ValueError, match=sentence):
        augmentation.mixup(**(dict(model=head, batch=batch, **OPTIONS) | change))
