"""robustness: what each perturbation may change, who counts in a rate, and what a search may ask."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from nbhelpers.robustness import (
    INVARIANT,
    add_final_period,
    add_negation,
    add_typos,
    change_numbers,
    contract,
    direction,
    double_spaces,
    drop_final_period,
    expand_contractions,
    invariance,
    lower_case,
    minimum_functionality,
    perturb_texts,
    substitute_words,
    summarize,
    summarize_search,
    swap_names,
    template,
    title_case,
    upper_case,
    wilson_interval,
    worst_examples,
)
from nbhelpers.robustness.names import MEN, WOMEN
from nbhelpers.robustness.perturbations import NEIGHBORS

SENTENCE = "The battery lasted three wonderful weeks, not 2 days."


def rng(seed=0):
    return np.random.default_rng(seed)


def from_table(table):
    """A model of two classes: the probability of class 1 for each text, 0.2 for all others."""
    return lambda texts: np.array([[1 - table.get(text, 0.2), table.get(text, 0.2)] for text in texts])


# Perturbations


def test_neighbors_on_the_keyboard_are_mutual():
    assert set(NEIGHBORS) == set("abcdefghijklmnopqrstuvwxyz")
    for key, neighbors in NEIGHBORS.items():
        assert key not in neighbors
        assert all(key in NEIGHBORS[neighbor] for neighbor in neighbors)


@pytest.mark.parametrize("seed", range(50))
def test_a_typo_changes_one_long_word_behind_its_first_letter(seed):
    words, new_words = SENTENCE.split(), add_typos(SENTENCE, rng(seed)).split()
    changed = [(old, new) for old, new in zip(words, new_words, strict=True) if old != new]
    assert len(changed) == 1
    old, new = changed[0]
    assert len(old) >= 4
    assert new[0] == old[0]
    assert abs(len(new) - len(old)) <= 1


@pytest.mark.parametrize(("share", "num_typos"), [(0.01, 1), (0.3, 2), (0.5, 3), (1.0, 6)])
def test_the_share_of_typos_counts_long_words(share, num_typos):
    """Six words have four letters or more, and at least one gets a typo."""
    new_words = add_typos(SENTENCE, rng(), share=share).split()
    assert sum(old != new for old, new in zip(SENTENCE.split(), new_words, strict=True)) == num_typos


def test_a_typo_never_swaps_equal_letters():
    """Every result differs, also for a word that is full of double letters."""
    assert all(add_typos("Mississippi", rng(seed)) != "Mississippi" for seed in range(300))
    assert add_typos("not a bad dog", rng()) == "not a bad dog"  # too short to mistype safely


def test_typos_keep_capitals():
    assert add_typos("WONDERFUL", rng(2), share=1.0).isupper()


@pytest.mark.parametrize("share", [0, 1.1, -0.1])
def test_a_wrong_share_of_typos_is_refused(share):
    with pytest.raises(ValueError, match="share of words that get a typo"):
        add_typos("anything", rng(), share=share)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It isn't good", "It is not good"),
        ("I can’t go and I won’t", "I cannot go and I will not"),
        ("We shan't. Let's go.", "We shall not. Let us go."),
        ("You should've seen it, they've won", "You should have seen it, they have won"),
        ("I'M SURE IT ISN'T", "I AM SURE IT IS NOT"),
        ("Don't buy it. Isn't good.", "Do not buy it. Is not good."),
        ("the thing that doesn't work", "the thing that does not work"),
    ],
)
def test_contractions_are_expanded(text, expected):
    assert expand_contractions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "She's gone, it's Ann's",  # has, is, and a possessive
        "I'd say he'd gone",  # would and had
        "It ain't over",
        "Isn't it nice!",  # not "Is not it nice"
        "Why can't the app do it?",
        "You like it, don't you",
        "She couldn't've known",
        "Donut, cant, wont, lets",
    ],
)
def test_ambiguous_contractions_and_questions_stay(text):
    assert expand_contractions(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is not good and I cannot go", "It isn't good and I can't go"),
        ("Will not work. Do not buy.", "Won't work. Don't buy."),
        ("I am not sure they are very happy", "I'm not sure they're very happy"),
        ("It is a shame, we will never know", "It's a shame, we'll never know"),
    ],
)
def test_long_forms_are_contracted(text, expected):
    assert contract(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Here I am. That is how it is.",
        "They were older than they are now",
        "Please let us know",
        "I have to go",
        "You can not only walk",
        "He could have not known",
        "Both of you are so kind",
        "It is NOT good, I AM sure",
    ],
)
def test_what_has_no_short_form_stays(text):
    assert contract(text) == text


def test_names_are_swapped_within_a_gender_and_consistently():
    for seed in range(50):
        first, verb, second, possessive, *_ = swap_names("Priya called Omar. Priya's sister.", rng(seed)).split()
        assert verb == "called"
        assert first in WOMEN
        assert first != "Priya"
        assert second.rstrip(".") in MEN
        assert possessive == f"{first}'s"


def test_two_people_stay_two_people():
    text = "Marcus, Omar and Ravi met Thabo"
    for seed in range(200):
        names = swap_names(text, rng(seed)).replace(",", "").replace(" and", "").replace(" met", "").split()
        assert len(set(names)) == 4
        assert not {"Marcus", "Omar", "Ravi", "Thabo"} & set(names)


def test_only_names_are_swapped():
    text = "I will pay Bill in June. Anne-Rachel and meiosis, MARCUS, Omarion."
    assert swap_names(text, rng()) == text


def test_the_tables_of_names_are_clean():
    names = WOMEN + MEN
    assert len(set(names)) == len(names) >= 250
    assert all(name[0].isupper() and name.isalpha() for name in names)
    words = {
        "Will",
        "Mark",
        "Grace",
        "June",
        "Hope",
        "Bill",
        "Jack",
        "Rose",
        "Frank",
        "Max",
        "Paris",
        "Sydney",
        "Alexa",
    }
    assert not words & set(names)


def test_final_periods_but_no_other_marks():
    texts = ["Fine.", "Fine", "Fine!", "Fine?", "Fine...", "5. ", "."]
    assert [drop_final_period(text) for text in texts] == ["Fine", "Fine", "Fine!", "Fine?", "Fine...", "5", "."]
    assert [add_final_period(text) for text in texts] == ["Fine.", "Fine.", "Fine!", "Fine?", "Fine...", "5. ", "."]


def test_numbers_keep_their_size_and_meaningful_ones_stay():
    for seed in range(50):
        new = change_numbers("Order 4711, paid $129, 45 minutes", rng(seed))
        assert new != "Order 4711, paid $129, 45 minutes"
        assert [number[:-1] for number in new.replace("$", "").replace(",", "").split() if number.isdigit()] == [
            "471",
            "12",
            "4",
        ]
    stays = "10/10, 95 %, 95%, 10 stars, out of 10, 7:30, 12.50, 1,200, A40, #12, 5G, 3 days, 20-30"
    assert change_numbers(stays, rng()) == stays


def test_cases_and_spaces():
    assert upper_case("It isn't") == "IT ISN'T"
    assert lower_case("NASA's") == "nasa's"
    assert title_case("über 2nd it isn’t NASA") == "Über 2nd It Isn’t NASA"
    assert double_spaces("a b") == "a  b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The food was great.", "The food was not great."),
        ("It's great. They’re kind!", "It's not great. They’re not kind!"),
        ("I am happy", "I am not happy"),
        ("The food was great and it was warm", "The food was not great and it was warm"),  # once per sentence
        ("Is it good? Was there any?", "Is it good? Was there any?"),
        ("It was never good. Nothing is great.", "It was never good. Nothing is great."),
        ("The best thing is that it works", "The best thing is that it works"),
        ("We open at 10 am daily. This is", "We open at 10 am daily. This is"),
    ],
)
def test_negation_is_added_to_simple_sentences(text, expected):
    assert add_negation(text) == expected


@given(st.text(), st.integers(0, 5))
def test_no_text_breaks_a_perturbation_or_loses_everything(text, seed):
    for perturbation in [*INVARIANT.values(), add_negation]:
        first = perturb_texts([text], perturbation, seed=seed)
        assert first == perturb_texts([text], perturbation, seed=seed)
        assert bool(first[0].strip()) == bool(text.strip())


def test_a_text_is_perturbed_alike_whatever_is_beside_it():
    texts = [f"{SENTENCE} Number {number} of many" for number in range(20)]
    for perturbation in (add_typos, change_numbers):
        whole = perturb_texts(texts, perturbation, seed=3)
        assert perturb_texts(texts[::-1], perturbation, seed=3)[::-1] == whole
        assert perturb_texts(texts[7:9], perturbation, seed=3) == whole[7:9]
        assert perturb_texts(texts, perturbation, seed=4) != whole


def test_similar_texts_are_not_perturbed_in_the_same_way():
    numbers = {
        text.split()[1] for text in perturb_texts([f"Order 4710 {letter}" for letter in "abcdefghij"], change_numbers)
    }
    assert len(numbers) > 3


@pytest.mark.parametrize("result", [None, "", "  ", ["a"]])
def test_a_perturbation_that_leaves_no_text_is_named(result):
    with pytest.raises(ValueError, match=r"text 1: the perturbation returned .* for 'b'; return the text as it is"):
        perturb_texts(["a", "b"], lambda text, rng: text if text == "a" else result)


# Checks

# Four texts; "shout" applies to three of them. Class 1 is predicted from 0.5 on.
TEXTS, LABELS = ["good", "fine", "bad", "OK"], [1, 1, 1, 1]
MODEL = from_table({"good": 0.9, "GOOD": 0.3, "fine": 0.8, "FINE": 0.7, "bad": 0.4, "BAD": 0.6, "OK": 0.9})
SHOUT = {"shout": upper_case}


def test_rates_by_hand():
    """good fails; fine holds; bad was wrong before and becomes right, which is a change as well; OK does not count."""
    cases = invariance(MODEL, TEXTS, LABELS, perturbations=SHOUT)
    assert cases["failed"].tolist() == [True, False, True, pd.NA]
    assert cases["change"].round(9).tolist()[:3] == [-0.6, -0.1, -0.2]  # of the class that was predicted before
    row = summarize(cases).loc["shout"]
    assert (row["texts"], row["applies"], row["failures"], row["correct_before"]) == (4, 3, 2, 2)
    assert row["failure_rate"] == row["labels_changed"] == pytest.approx(2 / 3)
    assert row["failure_rate_if_correct"] == 1 / 2
    assert row["mean_change"] == pytest.approx(-0.3)
    assert row["mean_abs_change"] == pytest.approx(0.3)
    assert (row["low"], row["high"]) == wilson_interval(2, 3)
    assert row["worst"] == "good -> GOOD"


def test_counting_texts_that_were_wrong_or_unchanged_gives_other_numbers():
    """The two mistakes: 2 of 4 would be 50 %, and 2 failures of 2 correct ones 100 %."""
    cases = invariance(MODEL, TEXTS, LABELS, perturbations=SHOUT)
    assert cases["failed"].fillna(False).astype(float).mean() == 1 / 2
    assert cases["failed"].mean() == pytest.approx(2 / 3)  # missing values protect a mean from the first
    row = summarize(cases).loc["shout"]
    assert row["failures"] / row["correct_before"] == 1 != row["failure_rate_if_correct"]


def test_accuracy_counts_all_texts():
    cases = invariance(MODEL, TEXTS, LABELS, perturbations=SHOUT)
    assert cases[["correct_before", "correct_after"]].mean().tolist() == [3 / 4, 3 / 4]


def test_changes_in_both_directions_do_not_hide():
    model = from_table({"a": 0.7, "A": 0.9, "b": 0.9, "B": 0.7})
    row = summarize(invariance(model, ["a", "b"], perturbations=SHOUT)).loc["shout"]
    assert row["mean_change"] == pytest.approx(0)
    assert row["mean_abs_change"] == pytest.approx(0.2)


def test_a_check_that_applies_to_no_text_is_listed():
    row = summarize(invariance(MODEL, ["OK"], [1], perturbations=SHOUT)).loc["shout"]
    assert (row["texts"], row["applies"], row["failures"], row["worst"]) == (1, 0, 0, "")
    assert np.isnan([row["failure_rate"], row["low"], row["high"], row["labels_changed"], row["mean_change"]]).all()


def test_without_labels_only_the_rate_of_correct_ones_is_missing():
    row = summarize(invariance(MODEL, TEXTS, perturbations=SHOUT)).loc["shout"]
    assert row["failure_rate"] == pytest.approx(2 / 3)
    assert np.isnan(row["failure_rate_if_correct"])


def test_only_changed_texts_are_predicted_again():
    calls = []

    def predict(texts):
        calls.append(texts)
        return MODEL(texts)

    invariance(predict, pd.Series(TEXTS, index=[7, 7, 8, 9]), np.array(LABELS), perturbations=SHOUT)
    assert calls[-1] == ["GOOD", "FINE", "BAD"]
    assert all(isinstance(texts, list) for texts in calls)


def test_default_checks_on_a_model_of_scikit_learn():
    texts = ["It isn't good, Marcus.", "I do not like 25 of them", "Great film.", "A lovely day"] * 5
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [0, 0, 1, 1] * 5)
    table = summarize(invariance(model.predict_proba, texts, [0, 0, 1, 1] * 5))
    assert list(table.index) == list(INVARIANT)
    # It lower-cases and drops punctuation, so that it cannot fail these.
    blind = ["upper case", "lower case", "title case", "final period dropped", "final period added", "spaces doubled"]
    assert table.loc[blind, "mean_abs_change"].tolist() == pytest.approx([0] * 6)
    applies = table["applies"].to_dict()
    assert (applies["names swapped"], applies["numbers changed"]) == (5, 5)
    assert (applies["contractions expanded"], applies["contractions used"]) == (5, 5)
    assert (applies["final period dropped"], applies["final period added"]) == (10, 10)


def test_a_model_with_dropout_is_refused():
    generator = torch.Generator().manual_seed(0)

    def predict(texts):
        return torch.rand(len(texts), 3, generator=generator).softmax(-1)

    with pytest.raises(ValueError, match=r"other probabilities when it gets the same texts.*model.eval\(\)"):
        invariance(predict, TEXTS)


def test_torch_in_half_precision_is_read():
    row = summarize(invariance(lambda texts: torch.tensor(MODEL(texts)).half(), TEXTS, LABELS, perturbations=SHOUT))
    assert row.loc["shout", "failures"] == 2


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([[2.0, -1.0]], r"\[2.0, -1.0\] for text 0, which are not probabilities; apply softmax"),
        ([[0.3, 0.3]], "apply softmax"),
        ([[np.nan, np.nan]], "apply softmax"),
        ([0.5], r"shape \(1,\) for 1 texts"),
        ([[0.5, 0.5]] * 2, r"shape \(2, 2\) for 1 texts"),
        ([[1.0]], r"shape \(1, 1\)"),
    ],
)
def test_what_is_no_probability_is_refused(result, message):
    with pytest.raises(ValueError, match=message):
        invariance(lambda texts: result, ["one"])
    with pytest.raises(ValueError, match=message):
        substitute_words(lambda texts: result, ["one"], [0], {}.get)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("one text", [0], "single string"),
        ([], [], "there are no texts"),
        (["a", None], [0, 0], "text 1 is None"),
        (["a", "b"], [0], r"labels has shape \(1,\) for 2 texts"),
        (["a", "b"], [0, 2], "class numbers from 0 to 1"),
        (["a", "b"], [-100, 0], "class numbers from 0 to 1"),
        (["a", "b"], ["pos", "neg"], "class numbers from 0 to 1"),
    ],
)
def test_wrong_texts_and_labels_are_refused(texts, labels, message):
    with pytest.raises(ValueError, match=message):
        invariance(MODEL, texts, labels)
    with pytest.raises(ValueError, match=message):
        substitute_words(MODEL, texts, labels, {}.get)


def test_no_perturbation_is_refused():
    with pytest.raises(ValueError, match="there are no perturbations"):
        invariance(MODEL, TEXTS, perturbations={})


NEGATE = {"negation": add_negation}


@pytest.mark.parametrize(
    ("after", "min_change", "fails"),
    [
        (0.3, 0.0, False),
        (0.3, 0.7, True),  # it moved by 0.6 only
        (0.9, 0.0, True),  # it does not react: CheckList's test would pass
        (0.95, 0.0, True),
        (0.95, -0.1, False),  # within the tolerance
    ],
)
def test_direction_by_hand(after, min_change, fails):
    model = from_table({"It is good": 0.9, "It is not good": after})
    check = partial(direction, model, ["It is good"], [1], perturbations=NEGATE, min_change=min_change)
    for class_index, expected in ((1, "down"), (0, "up")):
        case = check(class_index=class_index, expected=expected).iloc[0]
        assert case["failed"] == fails
        assert case["severity"] == pytest.approx(after - 0.9)
    assert case["correct_before"]
    assert case["correct_after"] is pd.NA  # "not" changes the label


def test_direction_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="class_index=2: the model has the classes 0 to 1"):
        direction(MODEL, TEXTS, perturbations=SHOUT, class_index=2, expected="down")
    with pytest.raises(ValueError, match="pass 'up' or 'down'"):
        direction(MODEL, TEXTS, perturbations=SHOUT, class_index=1, expected="lower")


def test_templates_make_all_combinations_once():
    texts = template("{a} and {b}", a=["x", "y"], b=["1", "2", "1"])
    assert texts == ["x and 1", "x and 2", "y and 1", "y and 2"]
    assert template("{pattern}", pattern=["p"]) == ["p"]


@pytest.mark.parametrize(
    ("pattern", "values", "message"),
    [
        ("The {thing}", {}, r"placeholders \['thing'\], but values for \[\]"),
        ("The", {"thing": ["a"]}, r"placeholders \[\], but values for \['thing'\]"),
        ("The {thing}", {"thing": "room"}, "thing='room': pass a list"),
        ("The {thing}", {"thing": []}, "thing=.*: pass a list"),
    ],
)
def test_wrong_templates_are_refused(pattern, values, message):
    with pytest.raises(ValueError, match=message):
        template(pattern, **values)


def test_minimum_functionality_by_hand():
    model = from_table({"good": 0.9, "fine": 0.8, "superb": 0.3})
    cases = minimum_functionality(model, {"praise": (["good", "superb", "fine"], 1), "blame": (["bad"], 0)})
    table = summarize(cases)
    assert table["failure_rate"].tolist() == [pytest.approx(1 / 3), 0]
    assert table.loc["praise", "worst"] == "superb"
    assert cases["severity"].round(9).tolist() == [0.1, 0.7, 0.2, 0.2]
    assert table["failure_rate_if_correct"].isna().all()  # nothing was before
    with pytest.raises(ValueError, match="class numbers from 0 to 1"):
        minimum_functionality(model, {"praise": (["good"], 2)})
    with pytest.raises(ValueError, match="there are no checks"):
        minimum_functionality(model, {})


def test_tables_of_all_kinds_are_summarized_together():
    parts = [
        invariance(MODEL, TEXTS, LABELS, perturbations=SHOUT),
        direction(MODEL, TEXTS, LABELS, perturbations={"up": upper_case}, class_index=1, expected="up"),
        minimum_functionality(MODEL, {"praise": (["good"], 1)}),
    ]
    joined = summarize(pd.concat(parts))
    pd.testing.assert_frame_equal(joined, pd.concat([summarize(part) for part in parts]))
    assert joined["failures"].tolist() == [2, 2, 0]
    with pytest.raises(ValueError, match="'shout' occurs twice"):
        summarize(pd.concat([parts[0], parts[0]]))


def test_worst_examples_come_first_and_check_by_check():
    cases = pd.concat(
        [
            invariance(MODEL, TEXTS, perturbations={"z": upper_case}),
            invariance(MODEL, TEXTS, perturbations={"a": upper_case}),
        ]
    )
    assert worst_examples(cases)[["check", "after"]].values.tolist() == [
        ["z", "GOOD"],
        ["z", "BAD"],
        ["a", "GOOD"],
        ["a", "BAD"],
    ]
    assert worst_examples(cases, num=1)["after"].tolist() == ["GOOD", "GOOD"]


@pytest.mark.parametrize(("failures", "total"), [(0, 1), (0, 10), (3, 10), (10, 10), (17, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_interval_is_that_of_scipy(failures, total, level):
    expected = binomtest(failures, total).proportion_ci(level, method="wilson")
    assert wilson_interval(failures, total, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


# The search


def bag_of_words(weights, calls=None):
    """A model of two classes: the logit of class 1 is the sum of the weights of the words."""

    def predict(texts):
        if calls is not None:
            calls.append(list(texts))
        words = ([word.strip(".,!").lower() for word in text.split()] for text in texts)
        logits = np.array([sum(weights.get(word, 0) for word in each) for each in words])
        positive = 1 / (1 + np.exp(-logits))
        return np.stack([1 - positive, positive], 1)

    return predict


WEIGHTS = {
    "great": 2.0,
    "nice": 1.0,
    "fine": 0.6,
    "pleasant": 0.4,
    "good": 1.9,
    "film": 0.1,
    "movie": -0.2,
    "odd": -0.3,
}
SYNONYMS = {"great": ["good", "fine"], "nice": ["pleasant"], "film": ["movie"]}


def test_a_search_by_hand():
    """Logit 2.8. Ranking asks 3 texts. great -> fine: 1.4, nice -> pleasant: 0.8, film -> movie: 0.5. It holds."""
    calls = []
    found = substitute_words(bag_of_words(WEIGHTS, calls), ["Great, nice film! Odd."], [1], SYNONYMS.get).iloc[0]
    assert calls == [
        ["Great, nice film! Odd."],
        [", nice film! Odd.", "Great, film! Odd.", "Great, nice! Odd."],
        ["Good, nice film! Odd.", "Fine, nice film! Odd."],
        ["Fine, pleasant film! Odd."],
        ["Fine, pleasant movie! Odd."],
    ]
    assert found["status"] == "held"
    assert (found["queries"], found["words"]) == (8, 4)
    assert found["changes"] == [("Great", "Fine"), ("nice", "pleasant"), ("film", "movie")]
    assert found["new_text"] == "Fine, pleasant movie! Odd."
    assert found["probability_before"] == pytest.approx(1 / (1 + np.exp(-2.8)))
    assert found["probability_after"] == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_the_closest_candidate_that_flips_is_taken():
    weights = {"great": 1.0, "odd": -0.5, "fine": 0.4, "poor": -3.0, "ok": 0.9}
    found = substitute_words(bag_of_words(weights), ["great odd"], [1], {"great": ["ok", "fine", "poor"]}.get).iloc[0]
    assert (found["status"], found["new_text"], found["queries"]) == ("flipped", "fine odd", 4)


def test_a_change_that_raises_the_probability_again_is_not_made():
    """TextFooler's code compares with the original text, where 0.8 is still below 0.9."""
    model = from_table({"a b": 0.9, "b": 0.5, "a": 0.6, "x b": 0.6, "x y": 0.8})
    found = substitute_words(model, ["a b"], [1], {"a": ["x"], "b": ["y"]}.get).iloc[0]
    assert found["changes"] == [("a", "x")]
    assert found["probability_after"] == pytest.approx(0.6)


def random_texts(num=30, seed=0):
    words = [f"w{number}" for number in range(40)]
    weights = dict(zip(words, rng(seed).normal(0.5, 1, 40), strict=True))
    lists = rng(seed + 1).choice(words, (num, 12))
    texts = [" ".join(row[: 1 + number % 12]) for number, row in enumerate(lists)]
    candidates = {word: rng(number).choice(words, number % 5).tolist() for number, word in enumerate(words)}
    return texts, weights, candidates


@pytest.mark.parametrize("max_queries", [1, 2, 3, 4, 5, 8, 13, 21, 34, 200])
def test_the_budget_is_respected_and_the_queries_are_counted(max_queries):
    texts, weights, candidates = random_texts()
    for text in texts:
        calls = []
        found = substitute_words(bag_of_words(weights, calls), [text], [1], candidates.get, max_queries=max_queries)
        assert sum(map(len, calls)) == found.loc[0, "queries"] <= max_queries
        assert all(query.strip() for call in calls for query in call), "an empty text was sent"


def test_more_queries_than_needed_change_nothing_and_fewer_are_reported():
    texts, weights, candidates = random_texts()
    search = partial(substitute_words, bag_of_words(weights), texts, [1] * len(texts), candidates.get)
    plenty = search(max_queries=1000)
    assert set(plenty["status"]) == {"flipped", "held", "wrong before"}
    enough = search(max_queries=int(plenty["queries"].max() * 2))
    pd.testing.assert_frame_equal(plenty, enough)
    few = search(max_queries=6)
    # What was cut short is never called robust.
    assert (plenty["queries"][few["status"] == "held"] <= 6).all()
    assert (few["status"] == "out of queries").any()


def test_all_texts_share_their_calls_and_do_not_disturb_each_other():
    texts, weights, candidates = random_texts()
    calls = []
    together = substitute_words(bag_of_words(weights, calls), texts, [1] * len(texts), candidates.get, max_queries=20)
    most = 0
    for row, text in enumerate(texts):
        own_calls = []
        alone = substitute_words(bag_of_words(weights, own_calls), [text], [1], candidates.get, max_queries=20)
        pd.testing.assert_series_equal(alone.loc[0], together.loc[row], check_names=False)
        most = max(most, len(own_calls))
    assert len(calls) == most
    assert sum(map(len, calls)) == together["queries"].sum()


def test_what_is_reported_is_true():
    texts, weights, candidates = random_texts(60)
    predict = bag_of_words(weights)
    table = substitute_words(predict, texts, [1] * len(texts), candidates.get)
    flips = predict(table["new_text"].tolist()).argmax(1) != 1
    right = predict(texts).argmax(1) == 1
    assert (table["status"] == "flipped").tolist() == (flips & right).tolist()
    assert (table["status"] != "wrong before").tolist() == right.tolist()
    assert (table["probability_after"] <= table["probability_before"]).all()
    assert predict(table["new_text"].tolist())[:, 1] == pytest.approx(table["probability_after"])
    wrong = table[table["status"] == "wrong before"]
    assert len(wrong) >= 5
    assert wrong["queries"].eq(1).all()
    assert wrong["new_text"].tolist() == wrong["text"].tolist()


def test_a_limit_on_changes_can_be_applied_afterwards():
    texts, weights, candidates = random_texts(60)
    predict = bag_of_words(weights)
    table = substitute_words(predict, texts, [1] * len(texts), candidates.get)
    several = table[(table["status"] == "flipped") & (table["changes"].map(len) > 1)]
    assert len(several) > 3
    for text, changes in several[["text", "changes"]].itertuples(index=False):
        if len(set(text.split())) == len(text.split()):  # so that replacing by the word is the same
            for old, new in changes[:-1]:
                text = " ".join(new if word == old else word for word in text.split())
            assert predict([text]).argmax() == 1


def test_a_long_text_keeps_queries_for_replacements():
    """Ranking 100 words would use up 50 queries, and every long text would seem robust."""
    text = " ".join(["nice"] * 100)
    predict = bag_of_words({"nice": 0.01, "poor": -2.0})
    found = substitute_words(predict, [text], [1], {"nice": ["poor"]}.get, max_queries=50).iloc[0]
    assert found["status"] == "flipped"
    assert found["queries"] == 1 + 24 + 1


def test_a_search_cut_short_depends_on_the_seed_only():
    texts = [" ".join(f"w{number}" for number in range(40))]
    weights = {f"w{number}": 0.1 for number in range(40)}
    search = partial(
        substitute_words, bag_of_words(weights), texts, [1], lambda word: [f"{word}x", f"{word}y"], max_queries=20
    )
    assert search(seed=1).equals(search(seed=1))
    assert search(seed=1).loc[0, "new_text"] != search(seed=2).loc[0, "new_text"]


def test_words_without_candidates_are_neither_ranked_nor_replaced():
    calls = []
    substitute_words(bag_of_words(WEIGHTS, calls), ["great film"], [1], {"great": ["good"], "film": []}.get)
    assert calls == [["great film"], ["good film"]]  # a single word needs no ranking


def test_a_text_without_candidates_is_not_called_robust():
    table = substitute_words(bag_of_words(WEIGHTS), ["great film", "nice"], [1, 1], {"nice": np.array(["odd"])}.get)
    assert table[["status", "queries"]].values.tolist() == [["no candidates", 1], ["flipped", 2]]
    found = summarize_search(table)
    assert (found["flip_rate_if_correct"], found["flip_rate_if_attacked"]) == (1 / 2, 1)


def test_replacements_are_written_like_the_word():
    asked = []

    def candidates(word):
        asked.append(word)
        return {"great": ["GREAT", "so good", " ", "so good"]}.get(word, [])

    calls = []
    substitute_words(
        bag_of_words({"great": 1, "good": 0.7}, calls), ["GREAT Great don’t", "A great"], [1, 1], candidates
    )
    assert {query for call in calls for query in call} == {
        "GREAT Great don’t",
        "A great",
        "Great don’t",  # for the ranking
        "GREAT don’t",
        "SO GOOD Great don’t",
        "SO GOOD So good don’t",
        "A so good",
    }
    assert asked == ["great", "don’t", "a"]  # each word once, in small letters


def test_a_wrong_search_is_refused():
    with pytest.raises(ValueError, match=r"candidates\('good'\) returned the string 'fine'"):
        substitute_words(MODEL, ["good"], [1], lambda word: "fine")
    with pytest.raises(ValueError, match="max_queries=0"):
        substitute_words(MODEL, ["good"], [1], {}.get, max_queries=0)


def test_summary_of_a_search_by_hand():
    """Six texts: two wrong before; one of four correct and of three attacked ones flips. 1 - accuracy_after is 50 %."""
    table = pd.DataFrame(
        {
            "status": ["flipped", "wrong before", "held", "out of queries", "wrong before", "no candidates"],
            "queries": [4, 1, 6, 20, 1, 1],
            "changes": [[("a", "b"), ("c", "d")], [], [("e", "f")], [], [], []],
        }
    )
    found = summarize_search(table)
    assert (found["texts"], found["correct_before"], found["attacked"]) == (6, 4, 3)
    assert (found["accuracy_before"], found["accuracy_after"]) == (4 / 6, 3 / 6)
    assert found["flip_rate_if_correct"] == 1 / 4
    assert found["flip_rate_if_attacked"] == found["out_of_queries"] == pytest.approx(1 / 3)
    assert (found["low"], found["high"]) == wilson_interval(1, 4)
    assert (found["mean_queries"], found["mean_changes"]) == (10, 2)


def test_summary_when_everything_was_wrong_before():
    found = summarize_search(substitute_words(MODEL, ["good"], [0], {}.get))
    assert found["accuracy_before"] == found["accuracy_after"] == 0
    assert np.isnan([found["flip_rate_if_correct"], found["flip_rate_if_attacked"]]).all()
    assert np.isnan([found["low"], found["mean_queries"], found["mean_changes"]]).all()
