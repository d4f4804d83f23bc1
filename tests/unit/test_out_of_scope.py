"""Out-of-scope texts: scores that rise outside, the right class as the positive one, and thresholds from dev."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from nbhelpers import out_of_scope

NUMBERS = st.lists(st.integers(0, 8), min_size=1, max_size=40)


@pytest.fixture
def blobs():
    """Vectors of three classes, and vectors far from all of them in a direction in which classes hardly vary."""
    rng = np.random.default_rng(0)
    scale = np.array([4.0, 1.0, 0.2, 0.2])
    means = np.array([[0, 0, 0, 0], [20, 0, 0, 0], [0, 10, 0, 0]], dtype=float)
    labels = np.repeat([0, 1, 2], 200)
    return means[labels] + scale * rng.standard_normal((600, 4)), labels, means, scale


def test_the_examples_in_the_docstrings_are_right():
    assert doctest.testmod(out_of_scope).failed == 0


def test_flat_and_small_logits_are_outside():
    sure, unsure, small = [9.0, 0.0, 0.0], [9.0, 9.0, 0.0], [1.0, 0.0, 0.0]
    a, b, c = out_of_scope.probability_score([sure, unsure, small])
    assert a < min(b, c)
    sure_energy, small_energy = out_of_scope.energy_score([sure, small])
    assert sure_energy < small_energy
    for temperature in (0.5, 1.0, 4.0):
        (energy,) = out_of_scope.energy_score([sure], temperature)
        assert energy == pytest.approx(-temperature * np.log(np.exp(np.array(sure) / temperature).sum()))
    huge = out_of_scope.energy_score([[1000.0, 0.0]])
    assert huge.tolist() == [-1000.0]


def test_the_probability_forgets_a_constant_and_the_energy_does_not():
    logits = np.array([[2.0, 1.0, 0.0]])
    assert out_of_scope.probability_score(logits) == pytest.approx(out_of_scope.probability_score(logits + 7))
    assert out_of_scope.energy_score(logits + 7) == pytest.approx(out_of_scope.energy_score(logits) - 7)


def test_the_distance_uses_means_and_the_covariance_that_classes_share(blobs):
    vectors, labels, means, scale = blobs
    found, precision = out_of_scope.fit_classes(vectors, labels)
    assert found == pytest.approx(means, abs=1)
    assert np.diag(precision)[:2] == pytest.approx(1 / scale[:2] ** 2, rel=0.2)
    by_hand = min(float((vectors[5] - m) @ precision @ (vectors[5] - m)) for m in found)
    assert out_of_scope.distance_score(vectors[5:6], found, precision)[0] == pytest.approx(by_hand)


def test_a_step_in_a_quiet_direction_is_farther_than_one_in_a_loud_direction(blobs):
    vectors, labels, _, _ = blobs
    fitted = out_of_scope.fit_classes(vectors, labels)
    quiet, loud = out_of_scope.distance_score([[0, 0, 3.0, 0], [3.0, 0, 0, 0]], *fitted)
    assert quiet > 20 * loud
    outside = np.array([0, 0, 3.0, 0]) + 0.1 * np.random.default_rng(1).standard_normal((50, 4))
    scores = [out_of_scope.distance_score(x, *fitted) for x in (vectors, outside)]
    assert out_of_scope.detection_scores(*scores)["AUROC"] > 0.99


def test_class_numbers_with_gaps_and_few_rows_for_many_dimensions_work():
    vectors = np.random.default_rng(2).standard_normal((10, 50))
    means, precision = out_of_scope.fit_classes(vectors, [3] * 5 + [7] * 5)
    assert means.shape == (2, 50)
    assert np.isfinite(out_of_scope.distance_score(vectors, means, precision)).all()


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_outside_is_the_positive_class(inside, outside):
    scores = out_of_scope.detection_scores(inside, outside)
    pairs = np.subtract.outer(np.array(outside), np.array(inside))
    assert scores["AUROC"] == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    is_outside = [0] * len(inside) + [1] * len(outside)
    assert scores["AUROC"] == pytest.approx(roc_auc_score(is_outside, inside + outside))
    threshold = out_of_scope.choose_threshold(inside)
    assert scores["outside accepted"] == pytest.approx((np.array(outside) <= threshold).mean())


@settings(deadline=None)
@given(NUMBERS, st.floats(0.05, 1))
def test_the_threshold_is_the_smallest_that_keeps_the_recall(inside, recall):
    scores = np.array(inside)
    threshold = out_of_scope.choose_threshold(inside, recall)
    assert (scores <= threshold).mean() >= recall - 1e-6
    assert (scores < threshold).mean() < recall


def test_rounding_does_not_cost_a_row():
    assert out_of_scope.choose_threshold(np.arange(1, 21), 0.95) == 19
    assert out_of_scope.choose_threshold(np.arange(1, 101), 0.95) == 95


def test_auroc_does_not_see_the_base_rate_and_precision_does():
    rng = np.random.default_rng(3)
    inside, many, few = rng.normal(0, 1, 5000), rng.normal(3, 1, 5000), rng.normal(3, 1, 100)
    first, second = (out_of_scope.detection_scores(inside, x) for x in (many, few))
    assert first["AUROC"] == pytest.approx(second["AUROC"], abs=0.02)
    assert second["AUPRC"] < first["AUPRC"] - 0.1
    threshold = out_of_scope.choose_threshold(inside)
    for outside in (many, few):
        result = out_of_scope.at_threshold(inside, outside, threshold)
        share = len(outside) / (len(inside) + len(outside))
        expected = out_of_scope.precision_at(result["in-scope recall"], result["outside accepted"], share)
        assert result["precision of outside"] == pytest.approx(expected)


def test_nothing_rejected_has_no_precision():
    assert math.isnan(out_of_scope.at_threshold([0.1], [0.2], 1.0)["precision of outside"])
    assert math.isnan(out_of_scope.precision_at(1.0, 1.0, 0.5))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: out_of_scope.energy_score([[1.0, 2.0]], 0), "temperature=0: pass a number above 0"),
        (lambda: out_of_scope.energy_score([1.0, 2.0]), r"logits has shape \(2,\); pass finite numbers \[rows"),
        (lambda: out_of_scope.probability_score([[np.nan, 1.0]]), "pass finite numbers"),
        (lambda: out_of_scope.fit_classes([[1.0], [2.0]], [0]), r"vectors have shape \(2, 1\) and labels \(1,\); pass"),
        (
            lambda: out_of_scope.distance_score([[1.0, 2.0]], [[1.0]], [[1.0]]),
            r"vectors \(1, 2\), means \(1, 1\) and precision \(1, 1\) have different dimensions",
        ),
        (lambda: out_of_scope.choose_threshold([]), r"inside has shape \(0,\); pass one score for each row"),
        (lambda: out_of_scope.choose_threshold([1, 2], recall=95), "recall=95: pass a share above 0"),
        (lambda: out_of_scope.detection_scores([1], [np.nan]), "outside has shape"),
        (lambda: out_of_scope.precision_at(0.9, 0.2, 18), "share_outside=18: pass a share from 0 to 1"),
    ],
)
def test_errors_of_out_of_scope_are_readable(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
