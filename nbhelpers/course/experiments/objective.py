"""The training objective that a row of a results table describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from nbhelpers import adversarial, augmentation, distillation, encoders, imbalance, objectives, training

Config = Mapping[str, Any]


def make_objective(config: Config, labels: Sequence[int], num_classes: int) -> training.Objective:
    """Cross-entropy, or what a configuration puts in its place: "loss", "r_drop", "shift" or "sentiment".

    Args:
        config: a row of a results table.
        labels: those of the train split, which "class_weights" and "loss" count.
        num_classes: how many there are.
    """
    if "adversarial" in config:
        settings = dict(config["adversarial"])
        wrap = getattr(adversarial, settings.pop("method"))
        rest = {name: value for name, value in config.items() if name != "adversarial"}
        return partial(wrap, objective=make_objective(rest, labels, num_classes), **settings)
    if "distillation" in config:
        return partial(distillation.distill, **config["distillation"])
    options: dict[str, Any] = {"label_smoothing": config["label_smoothing"]}
    if "class_weight_power" in config:
        power = config["class_weight_power"]
        options["class_weights"] = objectives.class_weights(labels, num_classes, power=power)
    if "effective_number_beta" in config:
        counts = imbalance.count_labels(labels, num_classes)
        options["class_weights"] = imbalance.effective_number_weights(counts, beta=config["effective_number_beta"])
    if "focal_gamma" in config:
        return partial(imbalance.focal_loss, gamma=config["focal_gamma"])
    if "logit_adjustment" in config:
        counts = imbalance.count_labels(labels, num_classes)
        return partial(imbalance.logit_adjusted_loss, counts=counts, tau=config["logit_adjustment"])
    if "mixup" in config:
        return partial(augmentation.mixup, get_vectors=pooled, head=head, alpha=config["mixup"])
    if "r_drop" in config:
        return partial(objectives.r_drop, alpha=config["r_drop"], **options)
    if config.get("shift"):
        return partial(objectives.emotion_shift, weight=config["shift"], **options)
    if "sentiment" in config:
        return partial(objectives.multi_task, weight=config["sentiment"], **options)
    return partial(objectives.cross_entropy, **options)


def pooled(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The vectors before the head, [batch, size], of a model that averages over the tokens."""
    return encoders.mean_over_text(model.encoder(**inputs).last_hidden_state, inputs["attention_mask"])


def head(model: Any, vectors: Tensor) -> Tensor:
    """The logits [items, classes] of vectors [items, size]."""
    return model.classifier(model.dropout(vectors))
