"""Retrieval: rankings have hand-computed scores, the loss knows its duplicates, and an index finds what is there."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score
from torch.nn import functional as F
from torch.utils.data import DataLoader

from nbhelpers import encoders, retrieval, training

DOCUMENTS = [
    "The swimming pool opens at seven in the morning.",
    "A passport costs seventy euros and takes three weeks.",
    "Return library books within four weeks.",
    "Dogs must be on a lead in the park.",
]


def unit(*shape, seed=0):
    """Random vectors of length 1."""
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def letters(texts):
    """A stand-in for an encoder: how often each letter comes."""
    return np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float)


@pytest.fixture(scope="module")
def embedded():
    tokenizer, model = encoders.load("embedded", ("no", "yes"))
    return tokenizer, model.base_model


# --- rankings ------------------------------------------------------------------------------------------------------


def test_equal_scores_are_in_the_order_of_the_numbers_or_against_the_relevant_item():
    scores = [[0.0, 1.0, 1.0, 1.0]]
    assert retrieval.rank_items(scores).tolist() == [[1, 2, 3, 0]]
    assert retrieval.rank_items(scores, relevant_last=[{1, 0}]).tolist() == [[2, 3, 1, 0]]


def test_a_method_without_knowledge_gets_no_credit_for_the_order_of_the_items():
    relevant = [{0}] * 5
    zeros = np.zeros((5, 50))
    by_number = retrieval.score_rankings(retrieval.rank_items(zeros, 10), relevant)
    fair = retrieval.score_rankings(retrieval.rank_items(zeros, 10, relevant_last=relevant), relevant)
    assert by_number["MRR@10"].mean() == 1
    assert fair["MRR@10"].mean() == 0


def test_an_item_that_is_not_above_the_limit_is_not_found():
    assert retrieval.rank_items([[0.0, 2.0, -1.0]], above=0.0).tolist() == [[1, -1, -1]]
    assert retrieval.rank_items([[float("-inf"), 2.0]]).tolist() == [[1, -1]]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(1, 25))
def test_ranking_sorts_and_cuts(scores, k):
    ranked = retrieval.rank_items([scores], k)[0]
    assert len(ranked) == min(k, len(scores))
    assert [scores[i] for i in ranked] == sorted(scores, reverse=True)[:k]


def test_scores_have_their_hand_computed_values():
    found = retrieval.score_rankings([[4, 2, 7, 1]], [{2: 1.0, 1: 3.0, 9: 2.0}], k=4).iloc[0]
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert found["MRR@4"] == 1 / 2  # the grade does not matter
    assert found["nDCG@4"] == pytest.approx((1 / math.log2(3) + 3 / math.log2(5)) / best)
    assert found["recall@4"] == pytest.approx(2 / 3)
    assert found["hit@4"] == 1


def test_what_is_beyond_k_does_not_count():
    found = retrieval.score_rankings([[3, 1, 2]], [{2}], k=2)
    assert found.to_numpy().tolist() == [[0, 0, 0, 0]]
    assert retrieval.score_rankings([[3, 1, 2]], [{2}], k=3)["MRR@3"][0] == pytest.approx(1 / 3)


def test_recall_and_hit_differ_with_several_relevant_items():
    found = retrieval.score_rankings([[1, 2]], [{1, 5, 6, 7}], k=2).iloc[0]
    assert (found["recall@2"], found["hit@2"]) == (1 / 4, 1)
    # the best ranking has k relevant items, so 1 can be reached although recall cannot
    assert retrieval.score_rankings([[1, 5]], [{1, 5, 6}], k=2)["nDCG@2"][0] == 1


@given(st.lists(st.integers(0, 3), min_size=4, max_size=12).filter(any), st.randoms(use_true_random=False))
def test_ndcg_is_that_of_scikit_learn(grades, random):
    scores = random.sample(range(100), len(grades))  # no ties, which scikit-learn averages
    ranking = retrieval.rank_items([scores])
    relevant = {i: float(grade) for i, grade in enumerate(grades) if grade}
    expected = ndcg_score([grades], [scores], k=3)
    assert retrieval.score_rankings(ranking, [relevant], k=3)["nDCG@3"][0] == pytest.approx(expected)


def test_places_without_an_item_are_left_out():
    found = retrieval.score_rankings([[3, -1, -1]], [{3}], k=3).iloc[0]
    assert found["MRR@3"] == found["recall@3"] == 1


@pytest.mark.parametrize(
    ("rankings", "relevant", "words"),
    [
        ([[1]], [{1}, {2}], "1 rankings, but relevant items of 2 questions"),
        ([[1]], [set()], "question 0 has no relevant item"),
        ([[1, 1]], [{1}], "contains item 1 twice"),
        ([[1]], [{1: 0.0}], "grade of 0 or less"),
    ],
)
def test_ranking_errors_are_readable(rankings, relevant, words):
    with pytest.raises(ValueError, match=words):
        retrieval.score_rankings(rankings, relevant)


def test_nan_cannot_be_ranked():
    with pytest.raises(ValueError, match="question 1 and item 0 is NaN"):
        retrieval.rank_items([[0.0, 1.0], [float("nan"), 1.0]])


def test_fused_rankings_reward_agreement():
    fused = retrieval.fuse_rankings([[0, 1, 2]], [[3, 1, -1]], num_items=5)
    assert retrieval.rank_items(fused)[0].tolist() == [1, 0, 3, 2, 4]
    assert fused[0, 1] == pytest.approx(2 / 62)


# --- intervals -----------------------------------------------------------------------------------------------------


def test_interval_of_a_mean_is_that_of_the_normal_distribution_for_many_questions():
    values = np.random.default_rng(0).uniform(size=400)
    mean, low, high = retrieval.mean_interval(values)
    half = stats.norm.ppf(0.975) * values.std() / 20
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half, abs=0.003), pytest.approx(mean + half, abs=0.003))


def test_pairs_show_a_difference_that_two_intervals_hide():
    rng = np.random.default_rng(0)
    first = rng.uniform(size=100)
    second = first + rng.uniform(0, 0.04, size=100)
    _, _, high = retrieval.mean_interval(first)
    _, low, _ = retrieval.mean_interval(second)
    result = retrieval.paired_difference(first, second)
    assert low < high  # they overlap
    assert result["low"] > 0
    assert result["p_value"] < 0.001


def test_equal_methods_differ_by_nothing():
    values = [0.1, 0.5, 1 / 3]
    assert retrieval.paired_difference(values, values) == {"difference": 0, "low": 0, "high": 0, "p_value": 1}


def test_the_other_order_turns_the_sign():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    there, back = retrieval.paired_difference(first, second), retrieval.paired_difference(second, first)
    assert there["difference"] == -back["difference"]
    assert there["low"] == pytest.approx(-back["high"], abs=0.03)


@pytest.mark.parametrize("values", [[], [0.5, float("nan")]])
def test_no_interval_without_scores(values):
    with pytest.raises(ValueError, match="there are no scores"):
        retrieval.mean_interval(values)


def test_pairs_need_the_same_questions():
    with pytest.raises(ValueError, match="2 and 1 scores"):
        retrieval.paired_difference([1, 0], [1])


# --- thresholds ----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=12),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
)
def test_threshold_is_the_best_of_all(rows, cost):
    scores, right = np.array([score for score, _ in rows]), np.array([x for _, x in rows])

    def gain(threshold):
        shown = scores >= threshold
        return (shown & right).sum() - cost * (shown & ~right).sum()

    chosen = retrieval.choose_threshold(scores, right, wrong_cost=cost)
    assert gain(chosen) == max(gain(t) for t in [*np.unique(scores), np.inf])


def test_no_answer_at_all_is_best_if_all_are_wrong():
    assert retrieval.choose_threshold([0.9, 0.2], [False, False]) == math.inf


def test_a_dearer_mistake_raises_the_threshold():
    scores, right = [0.9, 0.8, 0.7, 0.6], [True, False, True, True]
    assert retrieval.choose_threshold(scores, right) < retrieval.choose_threshold(scores, right, wrong_cost=5)


def test_rates_are_counted_for_each_kind():
    kinds = ["answered", "near", "answered", "near"]
    table = retrieval.answer_rates([0.9, 0.8, 0.3, 0.1], [True, False, True, False], kinds, threshold=0.5)
    assert table.loc["answered"].tolist() == [2, 0.5, 0, 0.5]
    assert table.loc["near"].tolist() == [2, 0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("scores", "right", "words"),
    [([0.1], [True, False], "pass one of each"), ([], [], "there is no question"), ([float("nan")], [True], "NaN")],
)
def test_threshold_errors_are_readable(scores, right, words):
    with pytest.raises(ValueError, match=words):
        retrieval.choose_threshold(scores, right)


def test_other_threshold_errors_are_readable():
    with pytest.raises(ValueError, match="wrong_cost"):
        retrieval.choose_threshold([0.5], [True], wrong_cost=-1)
    with pytest.raises(ValueError, match="2 scores, but 1 kinds"):
        retrieval.answer_rates([0.5, 0.6], [True, True], ["near"], 0.5)


# --- words ---------------------------------------------------------------------------------------------------------


def bm25_by_hand(question, documents, k1=1.5, b=0.75):
    """The formula of the docstring, for texts without stopwords."""
    words = [document.lower().split() for document in documents]
    mean = sum(map(len, words)) / len(words)
    scores = []
    for document in words:
        total = 0.0
        for word in question.lower().split():
            n, tf = sum(word in other for other in words), document.count(word)
            idf = math.log(1 + (len(words) - n + 0.5) / (n + 0.5))
            total += idf * tf / (tf + k1 * (1 - b + b * len(document) / mean))
        scores.append(total)
    return scores


def test_bm25_has_its_hand_computed_values():
    documents = ["red bus bus stop", "red tram", "green tram line nine runs late"]
    for question in ("red bus", "tram tram", "late"):
        for settings_ in ({}, {"k1": 0.9, "b": 0.4}):
            found = retrieval.bm25_scores([question], documents, stopwords="", **settings_)[0]
            assert found.tolist() == pytest.approx(bm25_by_hand(question, documents, **settings_), abs=1e-5)


@pytest.mark.parametrize("question", ["", "the of", "xylophone"])
def test_bm25_without_a_common_word_is_0(question):
    assert retrieval.bm25_scores([question], DOCUMENTS).tolist() == [[0.0] * 4]


def test_bm25_needs_documents():
    with pytest.raises(ValueError, match="no words to search for"):
        retrieval.bm25_scores(["pool"], ["the", ""])


# --- encoding ------------------------------------------------------------------------------------------------------


def test_padding_does_not_count():
    hidden, mask = torch.randn(2, 5, 3), torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    torch.testing.assert_close(retrieval.pool(hidden, mask, normalize=False)[0], hidden[0, :3].mean(0))
    torch.testing.assert_close(retrieval.pool(hidden, mask).norm(dim=-1), torch.ones(2))


@pytest.mark.slow
def test_texts_are_encoded_in_their_order_whatever_the_batches(embedded):
    texts = [*DOCUMENTS, "Pool", "x" * 300]
    one = retrieval.encode(texts, *embedded, batch_size=1)
    three = retrieval.encode(texts, *embedded, batch_size=3)
    assert one.shape == (6, 384)
    np.testing.assert_allclose(one, three, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
    assert embedded[0].backend_tokenizer.padding is None  # the tokenizer is left as it was
    prefixed = retrieval.encode(["Pool"], *embedded, prefix="query: ")
    np.testing.assert_allclose(prefixed, retrieval.encode(["query: Pool"], *embedded), atol=1e-6)


@pytest.mark.slow
def test_vectors_are_those_of_sentence_transformers(embedded, tmp_path):
    import sentence_transformers  # here, because it takes seconds to import
    from sentence_transformers.sentence_transformer import modules as models

    embedded[1].save_pretrained(tmp_path)
    embedded[0].save_pretrained(tmp_path)
    word = models.Transformer(str(tmp_path))
    pooling = models.Pooling(word.get_embedding_dimension(), pooling_mode="mean")
    theirs = sentence_transformers.SentenceTransformer(modules=[word, pooling], device="cpu").encode(
        DOCUMENTS, normalize_embeddings=True, show_progress_bar=False
    )
    np.testing.assert_allclose(retrieval.encode(DOCUMENTS, *embedded), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "words"), [([], "no text"), (["a", None], "text 1 is NoneType"), ("pool", "one string was passed")]
)
def test_encoding_errors_are_readable(texts, words):
    with pytest.raises(ValueError, match=words):
        retrieval.encode(texts, None, torch.nn.Linear(1, 1))


# --- the loss ------------------------------------------------------------------------------------------------------


def test_loss_is_cross_entropy_over_cosines():
    questions, documents = unit(6, 8), unit(6, 8, seed=1)
    loss = retrieval.multiple_negatives_loss(questions, documents, torch.arange(6), scale=10.0)
    torch.testing.assert_close(loss, F.cross_entropy(10 * questions @ documents.T, torch.arange(6)))


@pytest.mark.slow
def test_loss_is_that_of_sentence_transformers():
    from sentence_transformers.sentence_transformer import losses

    questions, documents, negatives = unit(5, 8), unit(5, 8, seed=1), unit(5, 8, seed=2)
    theirs = losses.MultipleNegativesRankingLoss(model=SimpleNamespace(), scale=20.0)
    ours = retrieval.multiple_negatives_loss(
        questions, documents, torch.arange(5), negatives=negatives, negative_ids=torch.arange(5, 10)
    )
    expected = theirs.compute_loss_from_embeddings([questions, documents, negatives], labels=None)
    torch.testing.assert_close(ours, expected)


def test_a_duplicate_is_left_out_and_the_mistake_is_larger():
    questions, documents = unit(4, 8), unit(4, 8, seed=1)
    documents[3] = documents[0]  # questions 0 and 3 have the same answer
    ids = torch.tensor([5, 6, 7, 5])
    loss = retrieval.multiple_negatives_loss(questions, documents, ids)
    logits = 20 * questions @ documents.T
    by_hand = [
        F.cross_entropy(logits[i, columns], torch.tensor(columns.index(i)))
        for i, columns in enumerate(([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3], [1, 2, 3]))
    ]
    torch.testing.assert_close(loss, torch.stack(by_hand).mean())
    assert retrieval.multiple_negatives_loss(questions, documents, ids, mask_duplicates=False) > loss


def test_a_hard_negative_that_answers_another_question_is_no_negative_of_that_one():
    questions, documents = unit(2, 8), unit(2, 8, seed=1)
    ids = torch.tensor([1, 2])
    plain = retrieval.multiple_negatives_loss(questions, documents, ids)
    extra = retrieval.multiple_negatives_loss(
        questions, documents, ids, negatives=documents[:1], negative_ids=torch.tensor([1])
    )
    logits = 20 * questions @ torch.cat([documents, documents[:1]]).T
    logits[0, 2] = -math.inf
    torch.testing.assert_close(extra, F.cross_entropy(logits, torch.tensor([0, 1])))
    assert extra > plain  # question 1 has one negative more


def test_without_mask_perfect_vectors_still_have_a_loss():
    same = F.normalize(torch.ones(3, 4), dim=-1)
    ids = torch.tensor([1, 1, 1])
    assert retrieval.multiple_negatives_loss(same, same, ids).item() == 0
    wrong = retrieval.multiple_negatives_loss(same, same, ids, mask_duplicates=False)
    assert wrong.item() == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    "arguments",
    [
        {"document_ids": torch.arange(2)},
        {"negatives": unit(2, 4)},
        {"negatives": unit(2, 4), "negative_ids": torch.arange(3)},
    ],
)
def test_loss_needs_a_number_for_each_document(arguments):
    with pytest.raises(ValueError, match=r"document_ids|negative_ids"):
        retrieval.multiple_negatives_loss(unit(3, 4), unit(3, 4), **{"document_ids": torch.arange(3), **arguments})


def test_hard_negatives_are_the_best_wrong_documents():
    scores = [[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]]
    assert retrieval.hard_negatives(scores, [{0}, {0}], 2) == [[1, 2], [3, 2]]
    assert retrieval.hard_negatives(scores, [{0, 1}, {3}], 1, skip=1) == [[3], [1]]
    with pytest.raises(ValueError, match="only 4 documents"):
        retrieval.hard_negatives(scores, [{0}, {1}], 4)
    with pytest.raises(ValueError, match="2 questions, but relevant of 1"):
        retrieval.hard_negatives(scores, [{0}])


def test_collator_pads_each_kind_and_has_each_negative_once():
    collate = retrieval.PairCollator([[1, 2], [3], [4, 5, 6], [7]], pad_token_id=9)
    examples = [
        {"input_ids": [10, 11, 12], "labels": 0, "negatives": [1, 2]},
        {"input_ids": [13], "labels": 3, "negatives": [2, 0]},
    ]
    batch = collate(examples)
    assert batch["input_ids"].tolist() == [[10, 11, 12], [13, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["document_input_ids"].tolist() == [[1, 2], [7, 9]]
    assert batch["negative_input_ids"].tolist() == [[3, 9, 9], [4, 5, 6]]  # 0 is in the batch as a document
    assert batch["negative_ids"].tolist() == [1, 2]
    assert "negative_ids" not in collate([{"input_ids": [1], "labels": 0}])


@pytest.mark.slow
def test_training_finds_answers_that_the_encoder_did_not(embedded):
    """Nonsense words become questions for documents, which no encoder can know beforehand."""
    tokenizer, _ = embedded
    model = encoders.load("embedded", ("no", "yes"))[1].base_model
    questions = ["blorp", "zindle", "quaffy", "mirtok"]
    documents = [tokenizer(text)["input_ids"] for text in DOCUMENTS]
    examples = [{"input_ids": tokenizer(text)["input_ids"], "labels": i} for i, text in enumerate(questions)]
    collate = retrieval.PairCollator(documents, tokenizer.pad_token_id)
    dataloader = DataLoader(examples, batch_size=4, collate_fn=collate)
    optimizer = training.make_optimizer(model, 2e-4)
    scheduler = training.make_scheduler(optimizer, 12)
    training.fit(model, dataloader, retrieval.contrastive_objective, optimizer, scheduler, num_epochs=12)
    scores = retrieval.encode(questions, tokenizer, model) @ retrieval.encode(DOCUMENTS, tokenizer, model).T
    assert retrieval.rank_items(scores, 1).ravel().tolist() == [0, 1, 2, 3]


# --- searching -----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 1000))
def test_exact_search_finds_the_highest(num_vectors, k, seed):
    rng = np.random.default_rng(seed)
    vectors, queries = (rng.standard_normal((n, 4)).astype(np.float32) for n in (num_vectors, 5))
    scores, numbers = retrieval.exact_search(vectors, queries, k, block_size=2)
    products = queries @ vectors.T
    np.testing.assert_allclose(scores, -np.sort(-products, axis=1)[:, :k], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(products, numbers, axis=1), scores, rtol=1e-5)


@pytest.mark.parametrize("kind", ["faiss", "hnsw", "ivf"])
def test_faiss_finds_nearly_the_same(kind):
    vectors, queries = unit(2000, 16).numpy(), unit(20, 16, seed=1).numpy()
    _, exact = retrieval.exact_search(vectors, queries, 10)
    _, found = retrieval.make_faiss_index(vectors, kind).search(queries, 10)
    recall = retrieval.index_recall(found, exact)
    assert recall == 1 if kind == "faiss" else recall > 0.9


def test_ivf_works_with_few_vectors():
    vectors = unit(3, 8).numpy()
    _, found = retrieval.make_faiss_index(vectors, "ivf").search(vectors, 1)
    assert found.ravel().tolist() == [0, 1, 2]


def test_searching_errors_are_readable():
    vectors = unit(3, 8).numpy()
    with pytest.raises(ValueError, match="4 dimensions and the vectors 8"):
        retrieval.exact_search(vectors, np.zeros((1, 4)))
    with pytest.raises(ValueError, match="no vectors"):
        retrieval.exact_search(vectors[:0], np.zeros((1, 8)))
    with pytest.raises(ValueError, match="k=0"):
        retrieval.exact_search(vectors, vectors, 0)
    with pytest.raises(ValueError, match="'annoy' is not one of"):
        retrieval.make_faiss_index(vectors, "annoy")
    with pytest.raises(ValueError, match="same queries and k"):
        retrieval.index_recall([[1]], [[1, 2]])


# --- the index -----------------------------------------------------------------------------------------------------


@pytest.fixture
def index():
    made = retrieval.Index(letters)
    made.add(["pool", "passport", "books", "dogs"], DOCUMENTS)
    return made


def test_index_finds_each_of_its_texts(index):
    hits = index.search(DOCUMENTS, k=2)
    assert [row[0].id for row in hits] == ["pool", "passport", "books", "dogs"]
    assert hits[0][0] == retrieval.Hit("pool", pytest.approx(1), DOCUMENTS[0])
    assert all(len(row) == 2 and row[0].score >= row[1].score for row in hits)


def test_index_gives_no_more_than_it_has_and_nothing_below_the_threshold(index):
    assert len(index.search(["dog"], k=99)[0]) == 4
    assert index.search(["dog"], threshold=1.01) == [[]]


def test_texts_can_be_added_later(index):
    index.add(["late"], ["zzz"])
    assert len(index) == 5
    assert index.search(["zz"], k=1)[0][0].id == "late"
    index.add([], [])
    assert len(index) == 5


@pytest.mark.parametrize("kind", ["exact", "faiss"])
def test_index_is_saved_and_loaded(kind, tmp_path):
    first = retrieval.Index(letters, kind=kind)
    first.add(range(4), [text + '\u2028\n"é' for text in DOCUMENTS])  # a line separator inside a text
    first.save(tmp_path / "deep" / "index")
    second = retrieval.Index.load(tmp_path / "deep" / "index", letters)
    assert second.kind == kind
    assert second.ids == ["0", "1", "2", "3"]
    assert second.search(["pass"], k=3) == first.search(["pass"], k=3)
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["index"]  # nothing temporary is left


def test_an_index_is_replaced_but_nothing_else(index, tmp_path):
    index.save(tmp_path / "index")
    index.add(["new"], ["new text"])
    index.save(tmp_path / "index")
    assert len(retrieval.Index.load(tmp_path / "index", letters)) == 5
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="exists and is no index"):
        index.save(tmp_path / "mine")


def test_another_encoder_is_noticed(index, tmp_path):
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match="made with another encoder"):
        retrieval.Index.load(tmp_path / "index", lambda texts: letters(texts)[:, ::-1])
    with pytest.raises(ValueError, match="made with another encoder"):
        retrieval.Index.load(tmp_path / "index", lambda texts: letters(texts)[:, :5])


@pytest.mark.parametrize("broken", ["index.json", "texts.jsonl", "vectors.npy"])
def test_a_broken_folder_is_said_in_a_sentence(index, tmp_path, broken):
    index.save(tmp_path / "index")
    (tmp_path / "index" / broken).write_text("{")
    with pytest.raises(ValueError, match="is not an index that can be loaded"):
        retrieval.Index.load(tmp_path / "index", letters)


def test_a_missing_or_incomplete_folder_is_said_in_a_sentence(index, tmp_path):
    with pytest.raises(ValueError, match="is not an index that can be loaded"):
        retrieval.Index.load(tmp_path / "none", letters)
    index.save(tmp_path / "index")
    facts = json.loads((tmp_path / "index" / "index.json").read_text())
    (tmp_path / "index" / "index.json").write_text(json.dumps({**facts, "texts": 3}))
    with pytest.raises(ValueError, match="not complete"):
        retrieval.Index.load(tmp_path / "index", letters)


@pytest.mark.parametrize(
    ("ids", "texts", "words"),
    [
        (["a"], ["x", "y"], "1 ids, but 2 texts"),
        (["a", "a"], ["x", "y"], "'a', which another text has"),
        (["pool"], ["x"], "'pool', which another text has"),
        (["a"], ["  "], "text 0 .* is empty"),
        (["a"], [None], "text 0 .* is empty or not a string"),
    ],
)
def test_adding_errors_are_readable_and_change_nothing(index, ids, texts, words):
    with pytest.raises(ValueError, match=words):
        index.add(ids, texts)
    assert len(index) == 4


def test_other_index_errors_are_readable(index, tmp_path):
    with pytest.raises(ValueError, match="not one of exact"):
        retrieval.Index(letters, kind="annoy")
    with pytest.raises(ValueError, match="at least one query"):
        index.search("pool")
    with pytest.raises(ValueError, match="no vectors"):
        retrieval.Index(letters).search(["pool"])
    with pytest.raises(ValueError, match="index is empty"):
        retrieval.Index(letters).save(tmp_path / "index")
    with pytest.raises(ValueError, match="1 vectors for 2 texts"):
        retrieval.Index(lambda texts: np.ones((1, 3))).add(["a", "b"], ["x", "y"])
    with pytest.raises(ValueError, match="not finite"):
        retrieval.unit_vectors([[float("inf"), 1.0]])


# --- recommending --------------------------------------------------------------------------------------------------


@pytest.fixture
def reads():
    """Readers 0 and 1 like items 0 and 1; reader 2 likes 2; nobody has read item 3."""
    return retrieval.read_matrix([0, 0, 1, 1, 2, 1], [0, 1, 0, 1, 2, 1], 3, 4)


def test_a_second_read_does_not_count(reads):
    assert reads.toarray().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert retrieval.popularity_scores(reads, 2).tolist() == [[2, 2, 1, 0]] * 2


def test_item_item_similarity_has_its_hand_computed_values(reads):
    history = retrieval.read_matrix([0], [0], 1, 4)
    assert retrieval.item_item_scores(reads, history, shrinkage=2.0)[0].tolist() == [0, 2 / (2 + 2), 0, 0]


def test_a_cold_item_is_found_by_its_text_alone(reads):
    history = retrieval.read_matrix([0], [0], 1, 4)
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.8, 0.6]])
    by_text = retrieval.without_read(retrieval.text_scores(history, vectors), history)
    assert retrieval.rank_items(by_text, 1).tolist() == [[3]]
    assert retrieval.item_item_scores(reads, history)[0, 3] == 0


def test_nearest_texts_keep_two_interests_apart():
    vectors = unit(3, 6).numpy()
    vectors = np.stack(
        [vectors[0], vectors[1], vectors[0], (vectors[0] + vectors[1]) / np.linalg.norm(vectors[0] + vectors[1])]
    )
    history = retrieval.read_matrix([0, 0], [0, 1], 1, 4)
    assert retrieval.text_scores(history, vectors)[0, 3] == pytest.approx(1)  # the mean of both interests
    nearest = retrieval.text_scores(history, vectors, nearest=1)[0]
    assert nearest[2] == pytest.approx(1)
    assert nearest[2] > nearest[3]


def test_a_reader_without_a_history_has_scores_of_0():
    vectors = unit(4, 3).numpy()
    for nearest in (0, 2):
        assert not retrieval.text_scores(retrieval.read_matrix([], [], 2, 4), vectors, nearest=nearest).any()


def test_read_matrix_errors_are_readable():
    with pytest.raises(ValueError, match="readers has a number outside 0 to 1"):
        retrieval.read_matrix([2], [0], 2, 2)
    with pytest.raises(ValueError, match="items has a number outside"):
        retrieval.read_matrix([0], [-1], 2, 2)
    with pytest.raises(ValueError, match="one of each"):
        retrieval.read_matrix([0], [0, 1], 2, 2)


def test_scores_come_as_a_table():
    assert isinstance(retrieval.score_rankings([[0]], [{0}]), pd.DataFrame)
