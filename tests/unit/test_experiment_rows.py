"""Rows of a results table without a training: the rows that are trained on, and a decision that is moved on dev."""

from collections import Counter

import numpy as np

from nbhelpers.course import experiments, results
from nbhelpers.course.experiments.augmenting import training_rows


def test_a_decision_uses_the_training_of_another_row_and_moves_it_on_dev():
    training = {"corpus": "intents", "method": "fine-tuning", "num_epochs": 3}
    config = {"corpus": "intents", "method": "decision", "by": "tau", "training": training}
    assert results.trainings(config, seed=2) == results.trainings(training, seed=2) == [(training, 2)]
    data, names = experiments.read("intents")
    rare = names.index("privacy")
    probabilities = {}
    for split in ("dev", "test"):  # a model that prefers the largest class, but has seen something of the rare one
        labels = np.array(data[split].labels)
        table = np.full((len(labels), len(names)), 0.01)
        table[np.arange(len(labels)), labels] = 0.4
        table[:, names.index("order status")] = 0.5
        probabilities[split] = table / table.sum(1, keepdims=True)
    outcome = experiments.Outcome(probabilities, {"seconds": 1.0, "peak_gib": 1.0, "threads": 1}, "")
    plain = experiments.score_run({**training, "method": "majority"}, [outcome])
    for by in ("tau", "offsets"):
        moved = experiments.score_run({**config, "by": by}, [outcome])
        assert moved["test"]["macro_f1"] == 1.0 > plain["test"]["macro_f1"]
        assert rare in moved["predictions"]
        assert rare not in plain["predictions"]
        assert moved["calibration"] == plain["calibration"]  # the probabilities are those of the training


def test_training_rows_are_taken_by_class_and_copied_with_their_labels():
    train = experiments.read("intents")[0]["train"]
    assert training_rows(train, {}, 0) is train
    few = training_rows(train, {"rows_per_class": 30}, 0)
    counts = Counter(few.labels)
    assert counts == {label: min(30, count) for label, count in Counter(train.labels).items()}
    assert few.texts != training_rows(train, {"rows_per_class": 30}, 1).texts
    more = training_rows(train, {"rows_per_class": 30, "augmentation": "typos"}, 0)
    assert more.texts[: len(few.texts)] == few.texts
    assert more.labels[: len(few.texts)] == few.labels
    assert 1.9 * len(few.texts) < len(more.texts) <= 2 * len(few.texts)
