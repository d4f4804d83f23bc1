"""Abstention: decisions by cost, the risk at each coverage, thresholds chosen on dev, and the queue for a person."""

import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhelpers import abstention

COSTS = [[0, 1, 8, 2], [1, 0, 1, 2], [4, 1, 0, 2]]  # the last column: a person
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=60)


def test_the_examples_in_the_docstrings_are_right():
    assert doctest.testmod(abstention).failed == 0


def test_equal_costs_give_the_most_probable_class():
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], size=200)
    assert (abstention.decide(probabilities, 1 - np.eye(3)) == probabilities.argmax(1)).all()


def test_decisions_by_cost_are_cheaper_than_the_most_probable_class_if_probabilities_are_calibrated():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([1, 1, 1], size=4000)
    labels = np.array([rng.choice(3, p=row) for row in probabilities])
    by_cost = abstention.mean_cost(labels, abstention.decide(probabilities, COSTS), COSTS)
    assert by_cost < abstention.mean_cost(labels, probabilities.argmax(1), COSTS) - 0.1
    expected = abstention.expected_costs(probabilities, COSTS).min(1).mean()
    assert by_cost == pytest.approx(expected, abs=0.05)


def test_a_person_is_asked_below_chows_threshold():
    p = np.linspace(0.5, 1, 51)
    probabilities = np.stack([p, 1 - p], axis=1)
    decisions = abstention.decide(probabilities, [[0, 5, 1], [5, 0, 1]])  # a mistake costs 5 and a person 1
    threshold = abstention.threshold_of_costs(review=1, error=5)
    clear = abs(p - threshold) > 1e-6  # there both cost the same
    assert ((decisions == 2) == (p < threshold))[clear].all()
    answers = abstention.abstain(probabilities, threshold)
    assert ((answers == abstention.ABSTAIN) == (p < threshold)).all()


@settings(deadline=None)
@given(ROWS)
def test_the_curve_counts_what_a_threshold_does(rows):
    labels, predictions, confidence = (np.array(column) for column in zip(*rows, strict=True))
    curve = abstention.risk_coverage(labels, predictions, confidence)
    assert curve["threshold"].is_monotonic_decreasing
    assert curve["coverage"].iloc[-1] == 1
    for _, row in curve.iterrows():
        kept = confidence >= row["threshold"]
        assert row["answered"] == kept.sum()
        assert row["coverage"] == pytest.approx(kept.mean())
        assert row["risk"] == pytest.approx((labels != predictions)[kept].mean())


@settings(deadline=None)
@given(ROWS, st.floats(0, 1))
def test_the_chosen_threshold_keeps_the_risk_on_dev(rows, max_risk):
    labels, predictions, confidence = (np.array(column) for column in zip(*rows, strict=True))
    threshold = abstention.choose_threshold(labels, predictions, confidence, max_risk)
    kept = confidence >= threshold
    assert not kept.any() or (labels != predictions)[kept].mean() <= max_risk
    lower = np.unique(confidence[confidence < threshold])
    assert all((labels != predictions)[confidence >= t].mean() > max_risk for t in lower)


def test_the_area_is_lowest_if_the_mistakes_come_last():
    labels, predictions = np.zeros(10, int), np.array([0] * 8 + [1] * 2)
    best = abstention.mean_risk(labels, predictions, np.arange(10, 0, -1))
    assert best < abstention.mean_risk(labels, predictions, np.ones(10)) == pytest.approx(0.2)
    assert abstention.mean_risk(labels, predictions, np.arange(10)) > 0.2
    assert best == pytest.approx((1 / 9 + 2 / 10) / 10)


def test_the_queue_has_the_least_sure_texts_first_and_keeps_their_rows():
    probabilities = [[0.6, 0.3, 0.1], [0.98, 0.01, 0.01], [0.2, 0.45, 0.35]]
    queue = abstention.review_queue(["a", "b", "c"], probabilities, ["no", "so-so", "yes"], threshold=0.9)
    assert queue.index.tolist() == [2, 0]
    assert queue.loc[2, ["text", "predicted", "or else"]].tolist() == ["c", "so-so", "yes"]
    assert queue["margin"].tolist() == pytest.approx([0.1, 0.3])
    assert len(abstention.review_queue(["a", "b", "c"], probabilities, ["no", "so-so", "yes"])) == 3


def test_lists_and_series_are_fine():
    labels = pd.Series([0, 1], index=[5, 7])
    assert abstention.mean_cost(labels, [0, 0], [[0, 1], [3, 0]]) == 1.5
    assert len(abstention.risk_coverage(labels, [0, 1], pd.Series([0.5, 0.6]))) == 2


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: abstention.decide([[2.0, -1.0]], [[0, 1], [1, 0]]), "row 0 of probabilities is not a softmax; pass"),
        (lambda: abstention.decide([0.5, 0.5], [[0, 1], [1, 0]]), r"probabilities have shape \(2,\); pass \[rows"),
        (lambda: abstention.decide([[0.5, 0.5]], [[0, 1]]), r"costs have shape \(1, 2\) for 2 classes; give a line"),
        (lambda: abstention.decide([[0.5, 0.5]], [[0], [1]]), r"costs have shape \(2, 1\) for 2 classes"),
        (lambda: abstention.mean_cost([0], [2], [[0, 1], [1, 0]]), "decisions run from 2 to 2, but costs have"),
        (lambda: abstention.mean_cost([0, 1], [0], COSTS), r"labels have shape \(2,\) and decisions \(1,\); pass"),
        (lambda: abstention.mean_cost([], [], COSTS), "pass one number for each row"),
        (lambda: abstention.threshold_of_costs(6, 5), "review=6, error=5: a person pays only if"),
        (lambda: abstention.risk_coverage([0], [0], [np.nan]), "pass one number per row, none nan"),
        (lambda: abstention.choose_threshold([0], [0], [1], max_risk=5), "max_risk=5: pass a share from 0 to 1"),
        (lambda: abstention.review_queue(["a"], [[0.5, 0.5]], ["x"]), r"1 texts and 1 names, but probabilities have"),
    ],
)
def test_errors_of_abstention_are_readable(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_no_threshold_is_good_enough_if_the_surest_text_is_wrong():
    assert abstention.choose_threshold([0, 0], [1, 0], [0.9, 0.5], max_risk=0.1) == np.inf
