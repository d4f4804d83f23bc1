"""metrics: intervals and tests of trained models agree with scipy, with a plain bootstrap, and with the theory."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from nbhelpers import metrics
from nbhelpers.metrics import checks, resampling

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


def noisy(labels, share_right, rng, num_classes=7):
    """Predictions: this share is right, and the others are random classes."""
    return np.where(rng.random(len(labels)) < share_right, labels, rng.integers(0, num_classes, len(labels)))


@pytest.mark.slow
@given(pairs)
@settings(max_examples=50)
def test_scores_from_counts_are_the_scores(rows):
    gold, predicted = (np.array(column) for column in zip(*rows, strict=True))
    each_row = np.arange(len(rows))
    counts, (gold_of_cell, predicted_of_cell) = resampling.resample_cells(3, 0, each_row, gold, predicted)
    assert (counts.sum(axis=1) == len(rows)).all()
    for metric in metrics.METRICS:
        for num_classes in (None, 7):
            classes = checks.averaged_classes(num_classes, gold, predicted)
            cells = (counts, gold_of_cell, predicted_of_cell, classes)
            ours = resampling.score_of_counts(*cells, np.unique(gold), metric)[0]
            assert ours == pytest.approx(metrics.scores(gold, predicted, num_classes)[metric])


@pytest.mark.slow
@pytest.mark.parametrize("metric", metrics.METRICS)
def test_bootstrap_agrees_with_resampling_rows(metric):
    rng = np.random.default_rng(1)
    labels = rng.choice(4, size=300, p=[0.5, 0.3, 0.15, 0.05])
    predictions = noisy(labels, 0.6, rng, num_classes=4)
    naive = []
    for _ in range(1500):
        rows = rng.integers(0, 300, 300)
        if metric == "accuracy":
            naive.append(np.mean(labels[rows] == predictions[rows]))
        else:
            average = metric.removesuffix("_f1")
            naive.append(f1_score(labels[rows], predictions[rows], labels=range(4), average=average, zero_division=0))
    low, high = metrics.bootstrap_ci(labels, predictions, metric, num_resamples=20_000)
    # One end of the naive interval has a standard error of about 0.07 sd (1,500 draws); 0.25 sd is a safe bound.
    assert np.quantile(naive, [0.025, 0.975]) == pytest.approx([low, high], abs=0.25 * np.std(naive))


def test_bootstrap_is_reproducible_and_widens_with_the_confidence_level():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 7, 500)
    predictions = noisy(labels, 0.5, rng)
    score = metrics.scores(labels, predictions)["weighted_f1"]
    low, high = metrics.bootstrap_ci(labels, predictions)
    assert (low, high) == metrics.bootstrap_ci(labels, predictions, seed=0)
    assert (low, high) != metrics.bootstrap_ci(labels, predictions, seed=1)
    wide_low, wide_high = metrics.bootstrap_ci(labels, predictions, confidence_level=0.99)
    assert wide_low < low < score < high < wide_high
    assert metrics.bootstrap_ci(labels, labels, "macro_f1") == (1.0, 1.0)


def test_a_draw_without_a_rare_class_says_nothing_about_it():
    labels = [0] * 150 + [1] * 148 + [2] * 2  # 14 % of all draws miss class 2
    assert metrics.bootstrap_ci(labels, labels, "macro_f1", num_classes=3) == (1.0, 1.0)
    # a class without any gold row counts as 0, as in `scores`, and so in every draw
    assert metrics.scores([0, 1], [0, 1], num_classes=4)["macro_f1"] == 0.5
    assert metrics.bootstrap_ci([0, 1], [0, 1], "macro_f1", num_classes=4) == (0.5, 0.5)


def test_macro_f1_of_draws_is_that_of_the_classes_with_gold_rows():
    rng = np.random.default_rng(6)
    labels = np.array([0] * 40 + [1] * 40 + [2] * 2)
    a, b = noisy(labels, 0.7, rng, num_classes=3), noisy(labels, 0.7, rng, num_classes=3)
    drawn_rows = rng.integers(0, len(labels), (5000, len(labels)))

    def macro_f1(predictions):
        gold, predicted = labels[drawn_rows][..., None] == range(3), predictions[drawn_rows][..., None] == range(3)
        f1 = 2 * (gold & predicted).sum(1) / np.maximum(gold.sum(1) + predicted.sum(1), 1)  # [draws, classes]
        return np.array([of_draw[occurs].mean() for of_draw, occurs in zip(f1, gold.any(1), strict=True)])

    plain_a, plain_difference = macro_f1(a), macro_f1(b) - macro_f1(a)
    options = {"metric": "macro_f1", "num_classes": 3, "num_resamples": 20_000}
    paired, runs = metrics.paired_bootstrap(labels, a, b, **options), metrics.compare_runs(labels, [a], [b], **options)
    for plain, interval in (
        (plain_a, metrics.bootstrap_ci(labels, a, **options)),
        (plain_difference, [paired["low"], paired["high"]]),
        (plain_difference, [runs["low"], runs["high"]]),
    ):
        assert np.quantile(plain, [0.025, 0.975]) == pytest.approx(list(interval), abs=0.25 * np.std(plain))


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_intervals_of_one_model_can_draw_whole_dialogues(metric):
    rng = np.random.default_rng(7)
    groups = pd.Series(np.repeat(np.arange(60), 5), index=rng.permutation(300))  # taken by position
    labels = rng.integers(0, 3, 300)
    a, b = (np.where(np.repeat(rng.random(60) < 0.6, 5), labels, (labels + 1) % 3) for _ in range(2))
    for interval in (
        lambda **extra: metrics.bootstrap_ci(labels, a, metric, **extra),
        lambda **extra: [metrics.paired_bootstrap(labels, a, b, metric, **extra)[end] for end in ("low", "high")],
    ):
        (row_low, row_high), (low, high) = interval(), interval(groups=groups)
        assert high - low > 1.7 * (row_high - row_low)  # five equal rows: the square root of 5 is 2.2
        assert list(interval(groups=np.arange(300))) == [row_low, row_high]
    paired = metrics.paired_bootstrap(labels, a, b, metric, groups=groups, num_resamples=20_000)
    runs = metrics.compare_runs(labels, [a], [b], metric, groups=groups, num_resamples=20_000)
    assert [paired["low"], paired["high"]] == pytest.approx([runs["low"], runs["high"]], abs=0.01)
    with pytest.raises(ValueError, match="2 groups for 300 rows"):
        metrics.bootstrap_ci(labels, a, groups=[0, 1])


def test_paired_bootstrap_is_antisymmetric():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 7, 800)
    a, b = noisy(labels, 0.5, rng), noisy(labels, 0.55, rng)
    for metric in metrics.METRICS:
        forward = metrics.paired_bootstrap(labels, a, b, metric)
        backward = metrics.paired_bootstrap(labels, b, a, metric)
        difference = metrics.scores(labels, b)[metric] - metrics.scores(labels, a)[metric]
        assert forward["difference"] == pytest.approx(difference)
        assert forward["low"] < difference < forward["high"]
        assert [backward["difference"], backward["low"], backward["high"], backward["p_value"]] == pytest.approx(
            [-forward["difference"], -forward["high"], -forward["low"], forward["p_value"]]
        )


def test_paired_bootstrap_finds_a_difference_only_where_there_is_one():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 600)
    a = noisy(labels, 0.5, rng, num_classes=3)
    same = metrics.paired_bootstrap(labels, a, a, "macro_f1")
    assert same == {"difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}
    # 60 right rows become wrong and 60 wrong rows become right. Accuracy stays the same, so there is nothing to find.
    right, wrong = np.flatnonzero(a == labels)[:60], np.flatnonzero(a != labels)[:60]
    b = a.copy()
    b[right], b[wrong] = (labels[right] + 1) % 3, labels[wrong]
    equal = metrics.paired_bootstrap(labels, a, b, "accuracy")
    assert equal["difference"] == 0
    assert equal["p_value"] > 0.5
    better = metrics.paired_bootstrap(labels, a, labels, num_resamples=999)
    assert better["p_value"] == 2 / 1000
    assert better["low"] > 0


def test_paired_p_values_are_about_uniform_without_a_difference():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, 300)
        a, b = noisy(labels, 0.5, rng, num_classes=3), noisy(labels, 0.5, rng, num_classes=3)
        p_values.append(metrics.paired_bootstrap(labels, a, b, num_resamples=500, seed=seed)["p_value"])
    assert np.mean(np.array(p_values) < 0.05) < 0.10  # 5 % expected, standard error 1.5 points
    assert 0.4 < np.mean(p_values) < 0.6


def test_mcnemar_by_hand():
    labels = np.zeros(20, dtype=int)
    a, b = np.array([0] * 12 + [1] * 8), np.array([0] * 10 + [1] * 2 + [0] * 7 + [1])
    result = metrics.mcnemar(labels, a, b)
    assert (result["only_a_right"], result["only_b_right"]) == (2, 7)
    assert result["p_value"] == pytest.approx(binomtest(2, 9, 0.5).pvalue)
    assert result["p_value"] == pytest.approx(2 * (1 + 9 + 36) / 2**9)
    assert metrics.mcnemar(labels, a, a)["p_value"] == 1.0
    assert metrics.mcnemar(labels, b, a)["p_value"] == result["p_value"]
