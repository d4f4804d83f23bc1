"""metrics: comparisons of methods with several seeds cover seeds and test rows, and agree with the theory."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from nbhelpers import metrics
from nbhelpers.metrics import resampling


def runs_with_accuracies(num_rows, numbers_right):
    """Runs on rows of class 0 that have the first rows right, as many as stated."""
    return [np.where(np.arange(num_rows) < right, 0, 1) for right in numbers_right]


def simulated_comparison(rng, spread_of_seeds, spread_of_groups, num_seeds=5):
    """Compare two equally good methods on 40 dialogues of 5 turns. Accuracy varies with the seed and the dialogue."""
    seeds = rng.normal(0, spread_of_seeds, (2, num_seeds, 1))
    groups = np.repeat(rng.normal(0, spread_of_groups, (2, 1, 40)), 5, axis=2)
    # the same row is as hard for all runs
    right = np.broadcast_to(rng.random((1, 1, 200)), (2, num_seeds, 200)) < 0.7 + seeds + groups
    a, b = (~right).astype(int)
    ids = np.arange(200) // 5
    return metrics.compare_runs(np.zeros(200, dtype=int), a, b, "accuracy", groups=ids, num_resamples=400)


@pytest.mark.parametrize(
    ("spread_of_seeds", "spread_of_groups"), [(0.06, 0), (0, 0.2), (0.06, 0.2)], ids=["seeds", "dialogues", "both"]
)
def test_the_interval_contains_the_true_difference_whatever_varies(spread_of_seeds, spread_of_groups):
    """Of 300 intervals 285 should; 3 standard errors are 11. With rows drawn alone, 72 do where only seeds vary."""
    rng = np.random.default_rng(0)
    results = [simulated_comparison(rng, spread_of_seeds, spread_of_groups) for _ in range(300)]
    assert sum(result["low"] <= 0 <= result["high"] for result in results) >= 274
    for test in ("p_bootstrap", "p_permutation"):
        assert sum(result[test] < 0.05 for result in results) <= 26


def test_where_only_the_seeds_vary_the_interval_is_that_of_a_t_test():
    """The five seed differences of label smoothing on MELD, in points, whose p-value without the seeds was 0.007."""
    differences = np.array([0.09, -0.14, -0.85, -1.79, -0.03])
    num_rows, right = 20_000, 12_000
    b = runs_with_accuracies(num_rows, right + np.round(num_rows / 100 * differences))
    a = runs_with_accuracies(num_rows, [right] * 5)
    alike = np.arange(num_rows) % 200  # groups that are as right as all rows, so that their choice hardly matters
    result = metrics.compare_runs([0] * num_rows, a, b, "accuracy", groups=alike, num_resamples=20_000)
    test = ttest_1samp(differences, 0)
    low, high = test.confidence_interval(0.95)
    assert result["difference"] == pytest.approx(differences.mean() / 100)
    # the ends of an interval of 20,000 draws have a standard error of 0.02 points
    assert [100 * result["low"], 100 * result["high"]] == pytest.approx([low, high], abs=0.1)
    assert result["low"] < 0 < result["high"]
    assert result["p_bootstrap"] == pytest.approx(test.pvalue, abs=0.02)
    assert result["p_permutation"] == pytest.approx(test.pvalue, abs=0.02)


def test_five_differences_are_too_few_to_draw_from():
    """Why `seed_deviations` does not draw seeds with replacement; its docstring names the share."""
    rng, covered_by_draws, covered = np.random.default_rng(1), 0, 0
    for _ in range(1000):
        differences = rng.normal(0, 1, 5)
        drawn = rng.choice(differences, (2000, 5)).mean(1)
        low, high = resampling.percentile_interval(drawn, 0.95)
        covered_by_draws += low <= 0 <= high
        deviations = resampling.seed_deviations(differences, 2000, rng)
        low, high = resampling.percentile_interval(differences.mean() + deviations, 0.95)
        covered += low <= 0 <= high
    assert 0.80 < covered_by_draws / 1000 < 0.87
    assert 0.93 < covered / 1000 < 0.97


def test_one_run_of_each_method_tells_nothing_about_seeds():
    assert not resampling.seed_deviations(np.array([0.3]), 10, np.random.default_rng(0)).any()


def test_holm_by_hand_and_in_any_order():
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert metrics.holm([0.04]).tolist() == [0.04]
    assert metrics.holm([0.6, 0.7]).tolist() == [1, 1]
    assert metrics.holm([]).tolist() == []
    for bad in ([0.5, float("nan")], [1.5], [[0.5]], [-0.1]):
        with pytest.raises(ValueError, match="numbers between 0 and 1"):
            metrics.holm(bad)


def test_holm_keeps_false_findings_rare_among_many_comparisons():
    rng = np.random.default_rng(2)
    tables = rng.random((2000, 11))  # p-values where nothing differs
    assert np.mean((tables < 0.05).any(axis=1)) > 0.3
    assert np.mean([(metrics.holm(table) < 0.05).any() for table in tables]) < 0.065


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
