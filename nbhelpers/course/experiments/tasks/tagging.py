"""Named entities: train an encoder to tag words, and score whole entities."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from nbhelpers import batching, corpora, encoders, environment, objectives, training
from nbhelpers import tagging as tags
from nbhelpers.classifier.rows import Rows
from nbhelpers.classifier.tags import decoded, find_names, gold_tags, load_tags, per_sentence
from nbhelpers.course.experiments.real import real_file

PIECES = ("first", "mean", "all")


def tagging(
    *,
    corpus: str,
    encoder: str | None,
    seed: int,
    pieces: str = "first",
    num_epochs: int = 4,
    lr: float = 1e-4,
    head_lr: float = 1e-3,
    batch_size: int = 16,
    lower_case: bool = False,
) -> dict[str, Any]:
    """Train on train, keep the epoch with the best entity F1 on dev, and read test once.

    Args:
        corpus: "entities", or "conll-2003" from the folder in $NBHELPERS_DATA.
        encoder: what `encoders.load` knows; None: a list of the names in train.
        seed: of everything that is random.
        pieces: which tokens of a word are read and labeled: the "first", the "mean" of all, or each of "all", where
            the first one decides in the end.
        num_epochs, lr, head_lr, batch_size: of the training.
        lower_case: write all words in lower case, for a cased encoder.

    Returns:
        "test" and "dev" scores: entity_f1 with constrained decoding, precision, recall, entity_f1_without_rules (the
        most probable tag of each word), token_accuracy, token_f1 (weighted, with O), and the entity F1 of sentences
        without a lower-case letter (capitals_f1) and of the others (mixed_case_f1).
    """
    source = real_file("conll2003", "eng.train").parent if corpus == "conll-2003" else corpus
    task = load_tags(source, {})
    if lower_case:
        task = task._replace(splits={split: in_lower_case(part) for split, part in task.splits.items()})
    rows = task.splits
    if encoder is None:
        return {"test": scores(rows["test"], find_names(rows["train"], rows["test"], task.names), task.names)}
    environment.set_seed(seed)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    tokenizer, model = encoders.load(encoder, task.names, attention_dropout=0.0)
    encoders.use_fast_layers(model, device, precision)
    tokenizer, model = corpora.normalizing_tokenizer(tokenizer), model.to(device)
    train = examples_of(rows["train"], tokenizer, pieces)
    make_dataloader = partial(batching.make_dataloader, pad_token_id=tokenizer.pad_token_id, max_tokens=4096)
    dataloader = make_dataloader(train, batch_size=batch_size, seed=seed)
    deciding = "mean" if pieces == "mean" else "first"
    held_out = {
        split: make_dataloader(tags.make_examples(rows[split].texts, tokenizer, pieces=deciding), shuffle=False)
        for split in ("dev", "test")
    }

    def predict(split: str) -> list[list[str]]:
        return decoded(training.predict(model, held_out[split], precision=precision).numpy(), rows[split], task.names)

    def evaluate(_: Any) -> float:
        return tags.entity_f1(gold_tags(rows["dev"], task.names), predict("dev"))

    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    num_steps = training.updates_per_epoch(dataloader) * num_epochs
    scheduler = training.make_scheduler(optimizer, num_steps, warmup_ratio=0.1)
    training.fit(
        model, dataloader, objectives.cross_entropy, optimizer, scheduler, num_epochs=num_epochs, evaluate=evaluate,
        precision=precision,
    )  # fmt: skip
    logits = training.predict(model, held_out["test"], precision=precision).numpy()
    test = scores(rows["test"], decoded(logits, rows["test"], task.names), task.names)
    best = [[task.names[i] for i in part.argmax(-1)] for part in per_sentence(logits, rows["test"])]
    gold = gold_tags(rows["test"], task.names)
    test["entity_f1_without_rules"] = tags.entity_f1(gold, best)
    per_type = tags.entity_scores(gold, decoded(logits, rows["test"], task.names))["f1"].round(4).to_dict()
    return {"test": test, "dev": {"entity_f1": evaluate(model)}, "per_class": per_type}


def in_lower_case(rows: Rows) -> Rows:
    """The rows with all words in lower case."""
    return rows._replace(texts=[[word.lower() for word in words] for words in rows.texts])


def examples_of(rows: Rows, tokenizer: Any, pieces: str) -> list[dict[str, list[int]]]:
    """The examples to train on. With "all", each further token of a word has a label as well: I- of its entity or O."""
    if pieces not in PIECES:
        raise ValueError(f"pieces {pieces!r} is not one of {', '.join(PIECES)}")
    if pieces != "all":
        return tags.make_examples(rows.texts, tokenizer, rows.labels, pieces=pieces)
    examples = []
    for example in tags.make_examples(rows.texts, tokenizer, rows.labels, pieces="mean"):
        starts: list[int] = []
        labels: list[int] = []
        for start, end, label in zip(example["starts"], example["ends"], example["labels"], strict=True):
            inner = label + label % 2  # in `tag_names`, I- comes right after its B-, and O is 0
            starts += range(start, end)
            labels += [label, *[inner] * (end - start - 1)]
        ends = [start + 1 for start in starts]
        examples.append({"input_ids": example["input_ids"], "starts": starts, "ends": ends, "labels": labels})
    return examples


def scores(rows: Rows, predicted: Sequence[Sequence[str]], names: Sequence[str]) -> dict[str, float]:
    """Scores of the tags of each sentence."""
    gold = gold_tags(rows, names)
    whole: Any = tags.entity_scores(gold, predicted).loc["all"]
    tokens = tags.token_scores(gold, predicted)
    found = {"entity_f1": whole["f1"], "precision": whole["precision"], "recall": whole["recall"]}
    found |= {"token_accuracy": tokens["accuracy"], "token_f1": tokens["weighted F1"]}
    shouted = np.array([not any(letter.islower() for word in words for letter in word) for words in rows.texts])
    for name, chosen in (("capitals_f1", shouted), ("mixed_case_f1", ~shouted)):
        if chosen.any():
            part = np.flatnonzero(chosen).tolist()
            found[name] = tags.entity_f1([gold[i] for i in part], [predicted[i] for i in part])
    return {name: float(value) for name, value in found.items()}
