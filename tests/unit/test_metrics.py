"""metrics.py against scikit-learn, scipy, a plain row-by-row bootstrap and hand-computed examples."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import classification_report, f1_score

from nbhelpers import metrics

NAMES = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


def noisy(labels, share_right, rng, num_classes=7):
    return np.where(rng.random(len(labels)) < share_right, labels, rng.integers(0, num_classes, len(labels)))


@given(pairs)
@settings(deadline=None)
def test_scores_agree_with_scikit_learn(rows):
    labels, predictions = zip(*rows, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class without rows is decided, not warned about
        report = classification_report(labels, predictions, labels=range(7), zero_division=0, output_dict=True)
        ours = metrics.scores(labels, predictions, num_classes=7)
        frame = metrics.per_class(labels, predictions, NAMES)
        counts = metrics.confusion(labels, predictions, NAMES)
    assert ours["weighted_f1"] == pytest.approx(report["weighted avg"]["f1-score"])
    assert ours["macro_f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert ours["accuracy"] == pytest.approx(np.mean(np.equal(labels, predictions)))
    assert metrics.scores(labels, predictions)["macro_f1"] == pytest.approx(
        f1_score(labels, predictions, average="macro", zero_division=0)
    )
    assert frame.loc["joy"].tolist() == pytest.approx(list(report["4"].values()))
    assert counts.loc["joy", "anger"] == rows.count((4, 6))
    assert counts.to_numpy().sum() == len(rows)


@given(pairs)
@settings(deadline=None, max_examples=50)
def test_the_bootstrap_formula_is_the_score(rows):
    gold, predicted = (np.array(column) for column in zip(*rows, strict=True))
    counts, (gold_of, predicted_of) = metrics._resample(3, 0, gold, predicted)
    assert (counts.sum(axis=1) == len(rows)).all()
    for metric in metrics.METRICS:
        for num_classes in (None, 7):
            classes = metrics._classes(num_classes, gold, predicted)
            ours = metrics._score(counts, gold_of, predicted_of, classes, metric)[0]
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
    low, high = metrics.bootstrap_ci(labels, predictions, metric, num_samples=20_000)
    # One end of the naive interval has a standard error of about 0.07 sd (1,500 draws); 0.25 sd is a safe bound.
    assert np.quantile(naive, [0.025, 0.975]) == pytest.approx([low, high], abs=0.25 * np.std(naive))


def test_bootstrap_is_reproducible_and_widens_with_the_level():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 7, 500)
    predictions = noisy(labels, 0.5, rng)
    score = metrics.scores(labels, predictions)["weighted_f1"]
    low, high = metrics.bootstrap_ci(labels, predictions)
    assert (
        (low, high)
        == metrics.bootstrap_ci(labels, predictions, seed=0)
        != metrics.bootstrap_ci(labels, predictions, seed=1)
    )
    wide_low, wide_high = metrics.bootstrap_ci(labels, predictions, level=0.99)
    assert wide_low < low < score < high < wide_high
    assert metrics.bootstrap_ci(labels, labels, "macro_f1") == (1.0, 1.0)
    assert metrics.bootstrap_ci([0, 1], [0, 1], "macro_f1", num_classes=4)[1] == 0.5


def test_paired_bootstrap_is_antisymmetric():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 7, 800)
    a, b = noisy(labels, 0.5, rng), noisy(labels, 0.55, rng)
    for metric in metrics.METRICS:
        there, back = metrics.paired_bootstrap(labels, a, b, metric), metrics.paired_bootstrap(labels, b, a, metric)
        difference = metrics.scores(labels, b)[metric] - metrics.scores(labels, a)[metric]
        assert there["difference"] == pytest.approx(difference)
        assert there["low"] < difference < there["high"]
        assert [back["difference"], back["low"], back["high"], back["p_value"]] == pytest.approx(
            [-there["difference"], -there["high"], -there["low"], there["p_value"]]
        )


def test_paired_bootstrap_sees_a_difference_only_where_there_is_one():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 600)
    a = noisy(labels, 0.5, rng, num_classes=3)
    same = metrics.paired_bootstrap(labels, a, a, "macro_f1")
    assert same == {"difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0}
    # Swapping 0 and 1 right rows in equal numbers leaves accuracy the same: the test must not see anything.
    right, wrong = np.flatnonzero(a == labels)[:60], np.flatnonzero(a != labels)[:60]
    b = a.copy()
    b[right], b[wrong] = (labels[right] + 1) % 3, labels[wrong]
    equal = metrics.paired_bootstrap(labels, a, b, "accuracy")
    assert equal["difference"] == 0
    assert equal["p_value"] > 0.5
    better = metrics.paired_bootstrap(labels, a, labels, num_samples=999)
    assert better["p_value"] == 2 / 1000
    assert better["low"] > 0


def test_paired_p_values_are_about_uniform_under_the_null():
    p_values = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, 300)
        a, b = noisy(labels, 0.5, rng, num_classes=3), noisy(labels, 0.5, rng, num_classes=3)
        p_values.append(metrics.paired_bootstrap(labels, a, b, num_samples=500, seed=seed)["p_value"])
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


def test_reliability_and_ece_by_hand():
    probabilities = [[0.95, 0.05], [0.85, 0.15], [0.3, 0.7], [0.4, 0.6], [0.6, 0.4]]
    labels = [0, 1, 1, 1, 1]  # right, wrong, right, right, wrong
    frame = metrics.reliability(labels, probabilities, num_bins=5)
    assert frame["count"].tolist() == [0, 0, 2, 1, 2]  # 0.6 lies in (0.4, 0.6]: a bin contains its upper end
    assert frame.loc[2:, "accuracy"].tolist() == [0.5, 1.0, 0.5]
    assert frame.loc[2:, "confidence"].tolist() == pytest.approx([0.6, 0.7, 0.9])
    assert frame.loc[:1, ["confidence", "accuracy"]].isna().all(axis=None)
    by_hand = 2 / 5 * 0.1 + 1 / 5 * 0.3 + 2 / 5 * 0.4
    assert metrics.expected_calibration_error(labels, probabilities, num_bins=5) == pytest.approx(by_hand)
    assert metrics.expected_calibration_error([0, 1], [[1.0, 0.0], [0.0, 1.0]]) == 0
    assert metrics.reliability([0], np.array([[0.9, 0.1]], dtype=np.float16))["count"].sum() == 1


def test_mean_sd_and_majority():
    assert metrics.mean_sd([1, 2, 3, 4]) == pytest.approx((2.5, np.std([1, 2, 3, 4], ddof=1)))
    mean, sd = metrics.mean_sd(pd.Series([0.7]))
    assert mean == 0.7
    assert np.isnan(sd)
    assert metrics.majority(pd.Series([3, 3, 1]), 2).tolist() == [3, 3]
    for bad in ([], [0.5, float("nan")], [[1.0]]):
        with pytest.raises(ValueError, match="flat list of finite numbers"):
            metrics.mean_sd(bad)


def test_columns_may_be_lists_arrays_or_series_with_any_index():
    labels, predictions = [0, 1, 1, 2], [0, 1, 2, 2]
    expected = metrics.scores(labels, predictions)
    assert metrics.scores(np.array(labels, dtype=np.uint8), tuple(predictions)) == expected
    assert metrics.scores(pd.Series(labels, index=[3, 2, 1, 0]), pd.Series(predictions, dtype="Int64")) == expected


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([], [], "labels has shape \\(0,\\)"),
        ([0, 1], [0], "labels has 2, predictions has 1"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], "predictions has shape \\(2, 2\\)"),
        ([0.0, float("nan")], [0, 1], "labels holds float64 values"),
        (["joy", "joy"], [0, 1], "labels holds <U3 values such as .*joy"),
        ([0, -100], [0, 1], "labels, row 1: -100 is no class number from 0 to 2; drop"),
        ([0, 1], [0, 3], "predictions, row 1: 3 is no class number from 0 to 2"),
    ],
)
def test_wrong_columns_fail_with_a_reason(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.scores(labels, predictions, num_classes=3)
    with pytest.raises(ValueError, match=message):
        metrics.per_class(labels, predictions, ["neutral", "joy", "anger"])


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([0.2, 0.8], "shape \\(2,\\)"),
        ([[0.2, 0.8], [2.0, -1.0]], "row 1: .*apply softmax"),
        ([[0.2, 0.8], [3.0, 1.0]], "row 1: .*apply softmax"),
        ([[0.2, 0.8], [float("nan"), 1.0]], "row 1: .*nan"),
        ([[0.2, 0.8]], "labels has 2 rows, probabilities has 1"),
        ([[1.0], [1.0]], "labels, row 1: 1 is no class number from 0 to 0"),
    ],
)
def test_wrong_probabilities_fail_with_a_reason(probabilities, message):
    with pytest.raises(ValueError, match=message):
        metrics.expected_calibration_error([0, 1], probabilities)


def test_wrong_settings_fail_with_a_reason():
    with pytest.raises(ValueError, match="'f1' is not one of accuracy, weighted_f1, macro_f1"):
        metrics.bootstrap_ci([0], [0], "f1")
    with pytest.raises(ValueError, match="level=95"):
        metrics.paired_bootstrap([0], [0], [0], level=95)
    with pytest.raises(ValueError, match="num_samples=0"):
        metrics.bootstrap_ci([0], [0], num_samples=0)
    with pytest.raises(ValueError, match="num_bins is 0"):
        metrics.reliability([0], [[1.0]], num_bins=0)


def test_the_file_works_alone_and_without_torch(tmp_path):
    shutil.copy(metrics.__file__, tmp_path / "metrics.py")
    code = (
        "import sys, metrics; print([name for name in ('torch', 'transformers', 'nbhelpers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compare_runs_with_one_run_is_the_paired_bootstrap():
    rng = np.random.default_rng(0)
    labels, a = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    b = np.where(rng.random(300) < 0.3, labels, a)
    single = metrics.paired_bootstrap(labels, a, b, num_classes=3)
    several = metrics.compare_runs(labels, [a], [b], num_classes=3)
    assert several["difference"] == pytest.approx(single["difference"])
    assert several["low"] == pytest.approx(single["low"], abs=0.01)
    assert several["high"] == pytest.approx(single["high"], abs=0.01)
    back = metrics.compare_runs(labels, [b], [a], num_classes=3)
    assert back["difference"] == pytest.approx(-several["difference"])


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


def test_permutation_p_values_are_about_uniform_under_the_null():
    rng, found = np.random.default_rng(2), []
    for seed in range(100):
        labels = rng.integers(0, 2, 100)
        a, b = (np.where(rng.random(100) < 0.7, labels, 1 - labels) for _ in range(2))
        found.append(metrics.compare_runs(labels, [a], [b], "accuracy", num_samples=200, seed=seed)["p_permutation"])
    assert 0.3 < np.mean(found) < 0.75
    assert np.mean(np.array(found) <= 0.05) <= 0.12


def test_groups_widen_the_interval_when_their_rows_go_together():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), 10)
    labels = np.zeros(400, dtype=int)
    a = np.repeat(rng.integers(0, 2, 40), 10)  # right or wrong in whole dialogues
    b = np.repeat(rng.integers(0, 2, 40), 10)
    rows, whole = (metrics.compare_runs(labels, [a], [b], "accuracy", groups=g) for g in (None, groups))
    assert rows["difference"] == whole["difference"]
    assert whole["high"] - whole["low"] > 2 * (rows["high"] - rows["low"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [[0]], [[0], [0]]), "1 runs of A and 2 of B"),
        (([0], [], []), "equally many, at least one"),
        (([0, 1], [[0, 1]], [[0]]), "runs_b"),
    ],
)
def test_compare_runs_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.compare_runs(*arguments)


def test_compare_runs_refuses_missing_groups():
    with pytest.raises(ValueError, match="1 groups for 2 rows"):
        metrics.compare_runs([0, 1], [[0, 1]], [[0, 1]], groups=[3])
