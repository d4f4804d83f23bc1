"""metrics: intervals and tests agree with scipy, with a plain row-by-row bootstrap, and with the theory."""

import numpy as np
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


@given(pairs)
@settings(deadline=None, max_examples=50)
def test_scores_from_counts_are_the_scores(rows):
    gold, predicted = (np.array(column) for column in zip(*rows, strict=True))
    counts, (gold_of_cell, predicted_of_cell) = resampling.resample_cells(3, 0, gold, predicted)
    assert (counts.sum(axis=1) == len(rows)).all()
    for metric in metrics.METRICS:
        for num_classes in (None, 7):
            classes = checks.averaged_classes(num_classes, gold, predicted)
            ours = resampling.score_of_counts(counts, gold_of_cell, predicted_of_cell, classes, metric)[0]
            assert ours == pytest.approx(metrics.scores(gold, predicted, num_classes)[metric])


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
    assert metrics.bootstrap_ci([0, 1], [0, 1], "macro_f1", num_classes=4)[1] == 0.5


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


def test_contingency_tables_count_the_rows_of_each_group():
    rng = np.random.default_rng(5)
    gold, groups = rng.integers(0, 3, 50), resampling.number_groups(rng.integers(0, 4, 50), 50)
    runs = [rng.integers(0, 3, 50) for _ in range(2)]
    tables = resampling.contingency_tables(gold, runs, groups, size=3)
    assert tables.shape == (2, 4, 9)
    for run, predicted in enumerate(runs):
        for group in range(4):
            expected = metrics.confusion(gold[groups == group], predicted[groups == group], ["a", "b", "c"])
            assert tables[run, group].reshape(3, 3).tolist() == expected.to_numpy().tolist()


def test_compare_runs_with_one_run_is_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    labels, a = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    b = np.where(rng.random(300) < 0.3, labels, a)
    single = metrics.paired_bootstrap(labels, a, b, num_classes=3)
    several = metrics.compare_runs(labels, [a], [b], num_classes=3)
    assert several["difference"] == pytest.approx(single["difference"])
    assert several["low"] == pytest.approx(single["low"], abs=0.01)
    assert several["high"] == pytest.approx(single["high"], abs=0.01)
    backward = metrics.compare_runs(labels, [b], [a], num_classes=3)
    assert backward["difference"] == pytest.approx(-several["difference"])


def test_compare_runs_averages_the_runs_and_finds_nothing_between_equal_methods():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    runs = [np.where(rng.random(200) < 0.7, labels, 1 - labels) for _ in range(6)]
    outcome = metrics.compare_runs(labels, runs[:3], runs[3:], "accuracy")
    expected = np.mean([(r == labels).mean() for r in runs[3:]]) - np.mean([(r == labels).mean() for r in runs[:3]])
    assert outcome["difference"] == pytest.approx(expected)
    assert min(outcome["p_bootstrap"], outcome["p_permutation"]) > 0.05
    same = metrics.compare_runs(labels, runs[:3], runs[:3])
    assert same["difference"] == 0
    assert same["p_permutation"] == 1


def test_permutation_p_values_are_about_uniform_without_a_difference():
    rng, p_values = np.random.default_rng(2), []
    for seed in range(100):
        labels = rng.integers(0, 2, 100)
        a, b = (np.where(rng.random(100) < 0.7, labels, 1 - labels) for _ in range(2))
        outcome = metrics.compare_runs(labels, [a], [b], "accuracy", num_resamples=200, seed=seed)
        p_values.append(outcome["p_permutation"])
    assert 0.3 < np.mean(p_values) < 0.75
    assert np.mean(np.array(p_values) <= 0.05) <= 0.12


def test_groups_widen_the_interval_when_their_rows_are_alike():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), 10)
    labels = np.zeros(400, dtype=int)
    a = np.repeat(rng.integers(0, 2, 40), 10)  # each dialogue is right or wrong as a whole
    b = np.repeat(rng.integers(0, 2, 40), 10)
    by_row, by_dialogue = (metrics.compare_runs(labels, [a], [b], "accuracy", groups=g) for g in (None, groups))
    assert by_row["difference"] == by_dialogue["difference"]
    assert by_dialogue["high"] - by_dialogue["low"] > 2 * (by_row["high"] - by_row["low"])


@pytest.mark.parametrize(
    ("arguments", "groups", "message"),
    [
        (([0], [[0]], [[0], [0]]), None, "1 runs of A and 2 of B"),
        (([0], [], []), None, "equally many, at least one"),
        (([0, 1], [[0, 1]], [[0]]), None, "runs_b"),
        (([0, 1], [[0, 1]], [[0, 1]]), [3], "1 groups for 2 rows"),
        (([0, 1], [[0, 1]], [[0, 1]]), [3, None], "groups, row 1: the group is missing"),
    ],
)
def test_errors_of_compare_runs_are_readable(arguments, groups, message):
    with pytest.raises(ValueError, match=message):
        metrics.compare_runs(*arguments, groups=groups)
