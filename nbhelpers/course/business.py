"""The measured tables of lesson 14. Each measurement is a function of a seed; `record` keeps its rows, `summary` reads.

    python -m nbhelpers.course.business "few labels" 0 1 2 3 4

It adds a line for each row and seed to data/results/business.jsonl. CLINC150 and MELD come from $NBHELPERS_DATA.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from nbhelpers import active_learning
from nbhelpers import out_of_scope as detection
from nbhelpers.course import experiments, paths, results
from nbhelpers.course.errors import CourseError
from nbhelpers.course.experiments.data import Split
from nbhelpers.course.experiments.real import real_file
from nbhelpers.course.few_labels import CONFIG, Rows, accuracy_and_f1, few_labels_rows, frozen, vectors_of

TABLE = "business"


def active_learning_rows(seed: int, corpora_: tuple[str, ...] = ("topics", "intents", "reviews")) -> Rows:
    """Macro F1 on test with 64, 104 and 164 labels that a strategy chose, from 24 random ones on."""
    for corpus in corpora_:
        (pool, labels, names), (test, gold, _) = frozen(corpus, "train"), frozen(corpus, "test")
        for strategy in active_learning.STRATEGIES:
            scores: dict[str, float] = {}

            def fit_predict(rows: list[int], known: list[int], scores: dict[str, float] = scores) -> np.ndarray:
                model = LogisticRegression(C=10, max_iter=1000).fit(pool[rows], known)  # noqa: B023
                f1 = accuracy_and_f1(gold, model.predict(test), len(names))["macro F1"]  # noqa: B023
                if len(rows) in (64, 104, 164):
                    scores[f"{len(rows)} labels"] = f1
                probabilities = np.zeros((len(pool), len(names)))  # noqa: B023
                probabilities[:, model.classes_] = model.predict_proba(pool)  # noqa: B023
                return probabilities

            options: Any = {"num_start": 24, "num_per_round": 20, "num_rounds": 8, "seed": seed}
            ask = partial(np.take, labels)
            active_learning.label_loop(fit_predict, ask, len(pool), strategy=strategy, **options)
            yield f"{corpus}, {strategy}", scores


def read_with_outside(corpus: str) -> tuple[dict[str, Split], list[str], list[str]]:
    """The splits of "intents" or "CLINC150", the class names, and the test messages that have none of the classes."""
    if corpus == "intents":
        data, names = experiments.read("intents")
        table = pd.read_csv(paths.shipped("data") / "intents" / "outside.csv")
        return data, names, table["text"][table["split"] == "test"].tolist()
    content = json.loads(real_file("clinc150", "data_full.json").read_text(encoding="utf-8"))
    return *experiments.read("clinc150"), [text for text, _ in content["oos_test"]]


def out_of_scope_rows(seed: int, corpora_: tuple[str, ...] = ("intents", "CLINC150")) -> Rows:
    """AUROC, AUPRC (positive: outside) and what slips through at 95 % in-scope recall, thresholds from dev."""
    for corpus in corpora_:
        data, names, outside = read_with_outside(corpus)
        trained = experiments.train(data, names, CONFIG, seed)
        texts = {split: part.texts for split, part in data.items()} | {"outside": outside}
        vectors = {name: vectors_of(part, trained.tokenizer, trained.model) for name, part in texts.items()}
        head = trained.model.classifier.float().cpu()
        with torch.no_grad():
            logits = {name: head(torch.tensor(x)).numpy() for name, x in vectors.items()}
        fitted = detection.fit_classes(vectors["train"], data["train"].labels)
        scores: dict[str, dict[str, Any]] = {
            "probability": {x: detection.probability_score(z) for x, z in logits.items()},
            "energy": {x: detection.energy_score(z) for x, z in logits.items()},
            "distance": {x: detection.distance_score(v, *fitted) for x, v in vectors.items()},
        }
        for name, score in scores.items():
            found = detection.detection_scores(score["test"], score["outside"])
            found |= detection.at_threshold(score["test"], score["outside"], detection.choose_threshold(score["dev"]))
            yield f"{corpus}, {name}", {column: 100 * value for column, value in found.items()}


def label_error_rows(seed: int, corpora_: tuple[str, ...] = ("intents", "reviews", "topics", "meld")) -> Rows:
    """5 % of the training labels are made wrong: how many of these does confident learning flag, and how many rows."""
    from cleanlab.filter import find_label_issues

    for corpus in corpora_:
        vectors, labels, names = frozen(corpus, "train")
        rng = np.random.default_rng(seed)
        planted = rng.permutation(len(labels))[: len(labels) // 20]
        given = labels.copy()
        given[planted] = (given[planted] + rng.integers(1, len(names), len(planted))) % len(names)
        head = LogisticRegression(C=10, max_iter=2000)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        probabilities = {
            "out of fold": cross_val_predict(head, vectors, given, cv=folds, method="predict_proba"),
            "in sample": head.fit(vectors, given).predict_proba(vectors),
        }
        for way, p in probabilities.items():
            flagged = find_label_issues(given, p, n_jobs=1)  # a forked process would inherit the state of threads
            hits = flagged[planted].sum()
            scores = {"found": 100 * hits / len(planted), "flagged": 100 * flagged.mean()}
            yield f"{corpus}, {way}", scores


MEASUREMENTS: dict[str, Callable[[int], Rows]] = {
    "active learning": active_learning_rows,
    "out of scope": out_of_scope_rows,
    "few labels": few_labels_rows,
    "label errors": label_error_rows,
}


def record(name: str, seeds: list[int]) -> None:
    """Measure with each seed, and add the rows to data/results/business.jsonl."""
    for seed in seeds:
        for row, scores in MEASUREMENTS[check_name(name)](seed):
            results.append(TABLE, {"measurement": name, "row": row, "seed": seed, "scores": scores})
            print(f"{name}, {row}, seed {seed}: {', '.join(f'{x} {value:.1f}' for x, value in scores.items())}")


def summary(name: str) -> pd.DataFrame:
    """Mean ± standard deviation over the seeds, in percent, with a line per row; of equal seeds the last run counts."""
    runs = {
        (run["row"], run["seed"]): run["scores"]
        for run in results.read(TABLE)
        if run["measurement"] == check_name(name)
    }
    if not runs:
        return pd.DataFrame(
            {"": [f"not measured yet; it is with: python -m nbhelpers.course.business {name!r} 0 1 2 3 4"]}
        )
    table = pd.DataFrame(runs).T
    lines = {
        row: {"seeds": len(part)} | {column: results.mean_sd(part[column]) for column in table.columns}
        for row, part in table.groupby(level=0, sort=False)
    }
    return pd.DataFrame(lines).T


def check_name(name: str) -> str:
    """The name of a measurement. Raises CourseError for another one."""
    if name not in MEASUREMENTS:
        raise CourseError(f"there is no measurement {name!r}; there are {', '.join(MEASUREMENTS)}")
    return name


if __name__ == "__main__":
    record(sys.argv[1], [int(seed) for seed in sys.argv[2:]])
