"""Fit the probabilities of a trained model on dev, and report how good it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from nbhelpers import metrics
from nbhelpers import training as loops

from .data import Task, one_hot
from .report import Report, about_calibration, joined, learn_tf_idf, single_label_report
from .several_labels import best_thresholds, several_labels_report
from .tags import tags_report


def single_label(model: Any, task: Task, logits: Mapping[str, Any], split: str) -> Report:
    """Calibrate a model that gives each text, or each word, one label on dev, and report how good it is on a split.

    Args:
        model: the model, whose last layer is divided by the temperature.
        task: the data.
        logits: split -> [rows, classes].
        split: the one to report on.
    """
    labels = task.splits["dev"].labels
    if task.tags:
        labels = [label for sentence in labels for label in sentence]
    temperature = metrics.fit_temperature(logits["dev"], labels)
    loops.scale_logits(model, temperature)
    probabilities = (logits[split] / temperature).softmax(-1).numpy()
    make_report = tags_report if task.tags else single_label_report
    report = make_report(split, task.splits[split], probabilities, task.names, task.splits["train"])
    num_wrong = int((logits["dev"].argmax(-1) != torch.tensor(labels)).sum())
    calibration = about_calibration(temperature, len(labels), num_wrong, "words" if task.tags else "rows")
    return dataclasses.replace(report, calibration=calibration)


def several_labels(model: Any, task: Task, logits: Mapping[str, Any], split: str) -> Report:
    """Choose a threshold for each class on dev, and report how good the model is on a split. As `single_label`."""
    gold = {name: one_hot(rows.labels, len(task.names)) for name, rows in task.splits.items()}
    thresholds = best_thresholds(gold["dev"], logits["dev"].sigmoid().numpy())
    model.config.settings["thresholds"] = dict(zip(task.names, thresholds, strict=True))
    rows = task.splits[split]
    texts = list(joined(rows))
    baseline = learn_tf_idf(task.splits["train"], gold["train"]).predict(texts)
    probabilities = logits[split].sigmoid().numpy()
    report = several_labels_report(split, texts, gold[split], probabilities, thresholds, task.names, baseline)
    chosen = f"The probability from which a text is given a label was chosen for each label on {len(gold['dev']):,} "
    return dataclasses.replace(report, calibration=f"{chosen} dev rows.")
