"""How good a classifier is: scores with intervals beside simple baselines, the classes, and the worst mistakes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nbhelpers import baselines, metrics, plots

from .rows import Rows

NUM_MISTAKES = 20
BASELINE_ROWS = 100_000  # from which TF-IDF learns; more make it slow, and hardly better
ENOUGH_WRONG = 10  # dev rows that are wrongly predicted; with fewer, the temperature is mostly chance
METRICS = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Report:
    """What is known about the quality of a classifier on one split.

    Args:
        split: its name, or that of a single file.
        num_rows: how many rows it has.
        scores: a row per model: the classifier, TF-IDF, the most frequent class. A column per score, and the ends of
            the classifier's 95 % intervals.
        per_class: precision, recall, F1 and support of each class.
        confusion: [classes, classes], a row per gold class. None where a text can have several labels.
        mistakes: the most confident wrong answers: text, label, predicted, probability.
        verdict: what must be known to trust the scores: whether the classifier is better than TF-IDF, where it was
            compared, and what looks wrong in the data.
        calibration: on what the probabilities or thresholds rest, in a sentence; "" where they were not made just now.
    """

    split: str
    num_rows: int
    scores: pd.DataFrame
    per_class: pd.DataFrame
    confusion: pd.DataFrame | None
    mistakes: pd.DataFrame
    verdict: str = ""
    calibration: str = ""


def single_label_report(
    split: str, rows: Rows, probabilities: NDArray[Any], names: Sequence[str], train: Rows | None = None
) -> Report:
    """Return the report of a classifier that gives each text one label.

    Args:
        split: the name of the split.
        rows: its texts and labels.
        probabilities: [rows, classes] of the classifier.
        names: of the classes.
        train: the rows that the baselines learn from; None leaves the baselines out.
    """
    predicted, groups = probabilities.argmax(-1), rows.dialogue_ids or None
    found = {"this classifier": predicted}
    if train is not None:
        found["TF-IDF"] = learn_tf_idf(train, train.labels).predict(list(joined(rows)))
        found["most frequent class"] = metrics.majority(train.labels, len(rows.labels))
    scores = pd.DataFrame(
        {
            model: {title: metrics.scores(rows.labels, labels, len(names))[name] for name, title in METRICS.items()}
            for model, labels in found.items()
        }
    ).T
    for name, title in METRICS.items():
        low, high = metrics.bootstrap_ci(rows.labels, predicted, name, groups=groups, num_classes=len(names))
        scores[f"{title}, from"], scores[f"{title}, to"] = None, None
        scores.loc["this classifier", [f"{title}, from", f"{title}, to"]] = low, high
    wrong = np.flatnonzero(predicted != np.array(rows.labels))
    wrong = wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:NUM_MISTAKES]
    mistakes = pd.DataFrame(
        {
            "text": [as_text(rows.texts[int(i)], rows.pairs[int(i)] if rows.pairs else None) for i in wrong],
            "label": [names[rows.labels[i]] for i in wrong],
            "predicted": [names[i] for i in predicted[wrong]],
            "probability": probabilities[wrong].max(-1).round(3),
        }
    )
    per_class = metrics.per_class(rows.labels, predicted, names)
    confusion = metrics.confusion(rows.labels, predicted, names)
    verdict = ""
    if train is not None:
        tested = metrics.paired_bootstrap(rows.labels, found["TF-IDF"], predicted, groups=groups)
        verdict = compared(tested["difference"], tested["low"], tested["high"])
        if (num_rows := len(train.texts)) > BASELINE_ROWS:
            verdict += f" TF-IDF learned from {BASELINE_ROWS:,} of the {num_rows:,} rows of train."
    return Report(split, len(rows.labels), scores, per_class, confusion, mistakes, verdict)


def compared(difference: float, low: float, high: float) -> str:
    """Say what the difference to TF-IDF in weighted F1 means.

    Args:
        difference: the classifier's score minus that of TF-IDF, as a share.
        low, high: its 95 % interval.

    >>> compared(0.076, 0.03, 0.12)
    'It has 7.6 points of weighted F1 more than TF-IDF, which is trained in seconds (95 % interval 3.0 to 12.0).'
    """
    points, interval = 100 * difference, f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
    if low > 0:
        return f"It has {points:.1f} points of weighted F1 more than TF-IDF, which is trained in seconds {interval}."
    advice = "Look for wrong labels, get more rows, or use TF-IDF, which is trained in seconds."
    if high < 0:
        return f"It has {-points:.1f} points of weighted F1 less than TF-IDF {interval}. {advice}"
    return f"It is not certain to be better than TF-IDF: {points:+.1f} points of weighted F1 {interval}. {advice}"


def about_calibration(temperature: float, num_rows: int, num_wrong: int, unit: str = "rows") -> str:
    """Say on how many dev rows a temperature was fitted, and whether they are enough for it.

    >>> print(about_calibration(1.8, 800, 90))
    One number, the temperature 1.80, fits the probabilities to 800 dev rows, of which 90 were wrongly predicted.
    """
    found = (
        f"One number, the temperature {temperature:.2f}, fits the probabilities to {num_rows:,} dev {unit}, of which "
    )
    found += f"{num_wrong:,} were wrongly predicted."
    if num_wrong >= ENOUGH_WRONG:
        return found
    return f"{found} So few mistakes hardly determine it, so the probabilities may be too high or too low."


def readable(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the table of scores as text: percent, each with its interval where there is one.

    >>> scores = pd.DataFrame({"accuracy": [0.914], "accuracy, from": [0.875], "accuracy, to": [0.948]})
    >>> readable(scores)["accuracy"].tolist()
    ['91.4 (88 to 95)']
    """
    columns: dict[str, list[str]] = {}
    records: Any = scores.to_dict(orient="records")
    for name in [name for name in scores.columns if not name.endswith((", from", ", to"))]:
        columns[name] = []
        for row in records:
            score, low, high = (row.get(x, np.nan) for x in (name, f"{name}, from", f"{name}, to"))
            interval = "" if pd.isna(low) else f" ({100 * low:.0f} to {100 * high:.0f})"
            columns[name].append("" if pd.isna(score) else f"{100 * score:.1f}{interval}")
    return pd.DataFrame(columns, index=scores.index)


def readable_classes(per_class: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the classes as text: percent, but the support as a number.

    >>> readable_classes(pd.DataFrame({"f1": [0.918], "support": [94.0]})).values.tolist()
    [['91.8', '94']]
    """
    columns = {
        name: [f"{x:.0f}" if name == "support" else f"{100 * x:.1f}" for x in per_class[name]] for name in per_class
    }
    return pd.DataFrame(columns, index=per_class.index)


def joined(rows: Rows) -> Iterator[str]:
    """The texts, as `as_text` writes them."""
    if not rows.pairs:
        return map(as_text, rows.texts)
    return (as_text(*both) for both in zip(rows.texts, rows.pairs, strict=True))


def as_text(text: Any, pair: str | None = None) -> str:
    """A text; of a pair, both texts with a line break between them; of words, the words with spaces between them."""
    if pair is not None:
        return f"{text}\n{pair}"
    return text if isinstance(text, str) else " ".join(text)


def learn_tf_idf(train: Rows, labels: Any) -> Any:
    """The baseline, from at most `BASELINE_ROWS` rows of the train split, which are drawn at random.

    Args:
        train: the rows.
        labels: their class ids, or 0 and 1 [rows, classes].
    """
    num_rows = len(train.texts)
    drawn = np.random.default_rng(0).permutation(num_rows) < BASELINE_ROWS  # all, if there are not more
    return baselines.tf_idf(list(itertools.compress(joined(train), drawn)), np.asarray(labels)[drawn])


def write_report(report: Report, folder: Path) -> None:
    """Write scores.json, mistakes.csv and confusion.png into a folder."""
    scores = {model: {name: x for name, x in row.items() if x is not None} for model, row in report.scores.T.items()}
    content = {
        "split": report.split,
        "rows": report.num_rows,
        "scores": scores,
        "verdict": report.verdict,
        "per class": report.per_class.to_dict(orient="index"),
    }
    (folder / "scores.json").write_text(
        json.dumps(content, indent=2, ensure_ascii=False, default=float) + "\n", "utf-8"
    )
    report.mistakes.to_csv(folder / "mistakes.csv", index=False)
    if report.confusion is not None:
        plots.confusion_matrix(report.confusion).savefig(folder / "confusion.png")
