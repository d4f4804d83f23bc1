"""metrics: the scores and the calibration agree with scikit-learn and with examples computed by hand."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import classification_report, f1_score

from nbhelpers import metrics

NAMES = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)


@pytest.mark.slow
@given(pairs)
def test_scores_agree_with_scikit_learn(rows):
    labels, predictions = zip(*rows, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class without rows has a defined score, so there is nothing to warn about
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


def test_reliability_and_calibration_error_by_hand():
    probabilities = [[0.95, 0.05], [0.85, 0.15], [0.3, 0.7], [0.4, 0.6], [0.6, 0.4]]
    labels = [0, 1, 1, 1, 1]  # right, wrong, right, right, wrong
    frame = metrics.reliability(labels, probabilities, num_bins=5)
    assert frame["count"].tolist() == [0, 0, 2, 1, 2]  # 0.6 is in (0.4, 0.6]: a bin contains its upper end
    assert frame.loc[2:, "accuracy"].tolist() == [0.5, 1.0, 0.5]
    assert frame.loc[2:, "confidence"].tolist() == pytest.approx([0.6, 0.7, 0.9])
    assert frame.loc[:1, ["confidence", "accuracy"]].isna().all(axis=None)
    by_hand = 2 / 5 * 0.1 + 1 / 5 * 0.3 + 2 / 5 * 0.4
    assert metrics.expected_calibration_error(labels, probabilities, num_bins=5) == pytest.approx(by_hand)
    assert metrics.expected_calibration_error([0, 1], [[1.0, 0.0], [0.0, 1.0]]) == 0
    assert metrics.reliability([0], np.array([[0.9, 0.1]], dtype=np.float16))["count"].sum() == 1


def overconfident(rng, num_rows=4000, temperature=3.0):
    """Logits of a model whose probabilities would be right after a division by the temperature, and labels."""
    calibrated = rng.normal(0, 1.5, (num_rows, 4))
    probabilities = np.exp(calibrated) / np.exp(calibrated).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > rng.random((num_rows, 1))).argmax(axis=1)
    return temperature * calibrated, labels


def calibration_error(labels, logits, temperature=1.0):
    scaled = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    return metrics.expected_calibration_error(labels, scaled / scaled.sum(axis=1, keepdims=True))


def test_a_temperature_calibrates_overconfident_logits_and_changes_no_prediction():
    rng = np.random.default_rng(0)
    (dev, dev_labels), (test, test_labels) = overconfident(rng), overconfident(rng)
    temperature = metrics.fit_temperature(dev, dev_labels)
    assert temperature == pytest.approx(3, rel=0.1)
    assert calibration_error(test_labels, test) > 0.15
    assert calibration_error(test_labels, test, temperature) < 0.03
    assert ((test / temperature).argmax(axis=1) == test.argmax(axis=1)).all()
    # logits that are right already keep their temperature, and scaling all logits scales it
    assert metrics.fit_temperature(dev / temperature, dev_labels) == pytest.approx(1, abs=1e-3)
    assert metrics.fit_temperature(dev.astype(np.float32).tolist(), dev_labels) == pytest.approx(temperature, rel=1e-4)


def test_a_small_split_without_a_mistake_does_not_make_the_model_certain():
    temperature = metrics.fit_temperature([[5.0, 0.0, 0.0]] * 61, [0] * 61)
    assert np.exp(5 / temperature) / (2 + np.exp(5 / temperature)) == pytest.approx(61.5 / 62, abs=1e-5)


def test_a_temperature_of_logits_that_tell_nothing_is_close_to_the_end_of_its_range():
    assert metrics.fit_temperature([[2.0, 0.0], [0.0, 2.0]], [0, 1]) == pytest.approx(2 / np.log(5), rel=1e-3)
    assert 19 < metrics.fit_temperature([[2.0, 0.0], [0.0, 2.0]], [1, 0]) <= 20


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([1.0, 2.0], [0, 1], "logits has shape \\(2,\\)"),
        ([[1.0], [2.0]], [0, 0], "of two or more classes"),
        ([[1.0, 2.0], [1.0, float("nan")]], [0, 1], "logits, row 1: .*not finite"),
        ([[0.2, 0.8], [0.7, 0.3]], [0, 1], "contains probabilities"),
        ([[1.0, 2.0]], [0, 1], "labels has 2 rows, logits has 1"),
        ([[1.0, 2.0], [3.0, 1.0]], [0, 2], "labels, row 1: 2 is not a class number"),
    ],
)
def test_errors_about_logits_are_readable(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.fit_temperature(logits, labels)


def test_mean_sd_and_majority():
    assert metrics.mean_sd([1, 2, 3, 4]) == pytest.approx((2.5, np.std([1, 2, 3, 4], ddof=1)))
    mean, sd = metrics.mean_sd(pd.Series([0.7]))
    assert mean == 0.7
    assert np.isnan(sd)
    assert metrics.majority(pd.Series([3, 3, 1]), 2).tolist() == [3, 3]
    for bad in ([], [0.5, float("nan")], [[1.0]]):
        with pytest.raises(ValueError, match="one-dimensional list of finite numbers"):
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
        ([0.0, float("nan")], [0, 1], "labels contains float64 values"),
        (["joy", "joy"], [0, 1], "labels contains <U3 values such as .*joy"),
        ([0, -100], [0, 1], "labels, row 1: -100 is not a class number from 0 to 2; drop"),
        ([0, 1], [0, 3], "predictions, row 1: 3 is not a class number from 0 to 2"),
    ],
)
def test_errors_about_columns_are_readable(labels, predictions, message):
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
        ([[1.0], [1.0]], "labels, row 1: 1 is not a class number from 0 to 0"),
    ],
)
def test_errors_about_probabilities_are_readable(probabilities, message):
    with pytest.raises(ValueError, match=message):
        metrics.expected_calibration_error([0, 1], probabilities)


def test_errors_about_settings_are_readable():
    with pytest.raises(ValueError, match="'f1' is not one of accuracy, weighted_f1, macro_f1"):
        metrics.bootstrap_ci([0], [0], "f1")
    with pytest.raises(ValueError, match="confidence_level=95"):
        metrics.paired_bootstrap([0], [0], [0], confidence_level=95)
    with pytest.raises(ValueError, match="num_resamples=0"):
        metrics.bootstrap_ci([0], [0], num_resamples=0)
    with pytest.raises(ValueError, match="num_bins is 0"):
        metrics.reliability([0], [[1.0]], num_bins=0)


def test_the_folder_works_alone_and_without_torch(tmp_path):
    shutil.copytree(Path(metrics.__file__).parent, tmp_path / "my_metrics")
    code = "import sys, my_metrics; print([m for m in ('torch', 'transformers', 'nbhelpers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
