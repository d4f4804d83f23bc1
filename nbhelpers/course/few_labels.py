"""Lesson 14 with few labels: vectors of a frozen encoder, a contrastive step before the head, and full fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from nbhelpers import batching, corpora, encoders, environment, metrics, objectives, training
from nbhelpers.course import experiments

Rows = Iterator[tuple[str, dict[str, float]]]  # (name of the row, scores in percent)
CONFIG: dict[str, Any] = {
    "encoder": "embedded", "pooling": "mean", "num_epochs": 5, "lr": 1e-4, "head_lr": 1e-3, "schedule": "linear",
    "warmup_ratio": 0.1, "label_smoothing": 0.0, "batch_size": 16, "max_tokens": 4096, "max_length": 128,
}  # fmt: skip


class TextVectors(torch.nn.Module):
    """An encoder and the mean over its tokens, for `training.predict`, which looks for `logits`."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """The mean vector of each text, [texts, dimensions]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return SimpleNamespace(logits=encoders.mean_over_text(hidden, attention_mask))


def vectors_of(texts: list[str], tokenizer: Any, model: Any) -> np.ndarray:
    """The pooled vectors [texts, dimensions] of a classifier's encoder."""
    examples = batching.tokenize(texts, tokenizer, max_length=CONFIG["max_length"])
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=64, shuffle=False)
    precision, _ = environment.best_precision(environment.best_device())
    text_vectors = TextVectors(model.base_model).to(environment.best_device())
    return training.predict(text_vectors, dataloader, precision=precision).numpy()


@lru_cache
def frozen(corpus: str, split: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Vectors of the frozen encoder, labels, and class names of a split."""
    data, names = experiments.read(corpus)
    tokenizer, model = encoders.load("embedded", names)
    vectors = vectors_of(data[split].texts, corpora.normalizing_tokenizer(tokenizer), model)
    return vectors, np.array(data[split].labels), names


def accuracy_and_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> dict[str, float]:
    """Accuracy and macro F1 in percent."""
    scores = metrics.scores(labels, predicted, num_classes)
    return {"accuracy": 100 * scores["accuracy"], "macro F1": 100 * scores["macro_f1"]}


def contrastive_loss(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The cosine of texts of one class should be 1, that of others 0 or less: all pairs of a batch.

    Args:
        vectors: [texts, dimensions].
        labels: [texts]. Without two texts of one class, or of two classes, that part of the loss is 0.
    """
    unit = F.normalize(vectors, dim=-1)
    cosine, same = unit @ unit.T, labels[:, None] == labels
    other_text = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    pull = ((1 - cosine) ** 2)[same & other_text]
    push = (cosine.clamp(min=0) ** 2)[~same]
    return pull.sum() / max(1, len(pull)) + push.sum() / max(1, len(push))


def few_labels_rows(seed: int, corpus: str = "topics", num_steps: int = 60) -> Rows:
    """8, 16 and 64 rows of each class: a frozen encoder, a contrastive step before the head, and full fine-tuning."""
    data, names = experiments.read(corpus)
    labels, gold = np.array(data["train"].labels), np.array(data["test"].labels)
    vectors, test = frozen(corpus, "train")[0], frozen(corpus, "test")[0]
    for size in (8, 16, 64):
        rng = np.random.default_rng(seed)
        rows = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:size] for c in range(len(names))])
        head = LogisticRegression(max_iter=2000).fit(vectors[rows], labels[rows])
        yield f"{size} a class, frozen encoder", accuracy_and_f1(gold, head.predict(test), len(names))
        texts, known = [data["train"].texts[row] for row in rows], labels[rows]
        for contrastive in (True, False):
            predicted = tune(texts, known, names, data["test"].texts, num_steps, seed, contrastive)
            way = "contrastive step" if contrastive else "full fine-tuning"
            yield f"{size} a class, {way}", accuracy_and_f1(gold, predicted, len(names))


def tune(
    texts: list[str], labels: Any, names: list[str], test: list[str], num_steps: int, seed: int, contrastive: bool
) -> np.ndarray:
    """The predictions for test, after so many updates with one of the two losses on batches of 32 texts."""
    environment.set_seed(seed)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    tokenizer, model = encoders.load("embedded", names)
    tokenizer, model = corpora.normalizing_tokenizer(tokenizer), model.to(device)
    examples = batching.tokenize(texts, tokenizer, labels=labels.tolist(), max_length=CONFIG["max_length"])
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id, batch_size=32, shuffle=True, seed=seed)
    text_vectors = TextVectors(model.base_model)

    def pull_and_push(_: Any, batch: Any) -> torch.Tensor:
        found = text_vectors(batch["input_ids"], batch["attention_mask"]).logits
        return contrastive_loss(found, batch["labels"])

    optimizer = training.make_optimizer(model, CONFIG["lr"], head_lr=CONFIG["head_lr"])
    num_epochs = max(1, num_steps // len(dataloader))
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloader))
    objective = pull_and_push if contrastive else objectives.cross_entropy
    training.fit(model, dataloader, objective, optimizer, scheduler, num_epochs=num_epochs, precision=precision)
    before, after = (vectors_of(part, tokenizer, model) for part in (texts, test))
    if contrastive:
        head = LogisticRegression(max_iter=2000).fit(before, labels)
        predicted: np.ndarray = head.predict(after)
        return predicted
    with torch.no_grad():
        return model.classifier.float().cpu()(torch.tensor(after)).argmax(-1).numpy()
