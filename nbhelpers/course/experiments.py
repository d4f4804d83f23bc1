"""One run of a results table: a configuration and a seed in, measured scores out."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import psutil

from nbhelpers import batching, corpora, encoders, environment, metrics, objectives, training


def run(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train on train, choose on dev, read test once.

    Returns: dev and test scores, F1 per class, test predictions (a string with one digit per row), seconds, tokens per
    second in training, peak memory of this process, trainable parameters.
    """
    data = corpora.load(config["corpus"])
    names = data["train"].features["emotion"].names
    method = {"majority": majority, "tf-idf": tf_idf, "fine-tuning": fine_tuning}[config["method"]]
    start = time.perf_counter()
    predictions, extra = method(data, names, config, seed)
    seconds = time.perf_counter() - start
    gold = {split: data[split]["emotion"] for split in ("dev", "test")}
    memory = psutil.Process().memory_info()
    return {
        **{split: metrics.scores(gold[split], predictions[split], len(names)) for split in gold},
        "per_class": metrics.per_class(gold["test"], predictions["test"], names)["f1"].round(4).to_dict(),
        "predictions": "".join(str(p) for p in predictions["test"]),
        "seconds": round(seconds, 1),
        "peak_gib": round(getattr(memory, "peak_wset", peak_bytes()) / 2**30, 2),
        **extra,
    }


def peak_bytes() -> int:
    """Peak resident memory of this process; 0 where the system has no getrusage (Windows tells it otherwise)."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if psutil.MACOS else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def majority(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """The most frequent class of train, for every row."""
    return {split: metrics.majority(data["train"]["emotion"][:], len(data[split])) for split in ("dev", "test")}, {}


def tf_idf(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """TF-IDF of words and of character n-grams, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=config["C"], max_iter=2000))
    model.fit(data["train"]["text"], data["train"]["emotion"])
    return {split: model.predict(data[split]["text"]) for split in ("dev", "test")}, {}


def fine_tuning(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """The encoder, trained with the visible loop; the epoch with the best weighted F1 on dev is kept."""
    environment.set_seed(seed)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    tokenizer, model = encoders.load(config["encoder"], names, pooling=config["pooling"])
    model.to(device)
    splits = ("train", "dev", "test")
    examples = {x: batching.tokenize(data[x]["text"][:], tokenizer, labels=data[x]["emotion"][:]) for x in splits}
    batches = {
        split: batching.loader(
            rows, tokenizer.pad_token_id, max_tokens=config["max_tokens"],
            max_items=config["max_items"] if split == "train" else 128, shuffle=split == "train", seed=seed,
        )
        for split, rows in examples.items()
    }  # fmt: skip

    def predicted(split: str) -> Any:
        return training.predict(model, batches[split], precision=precision).argmax(-1).numpy()

    def evaluate(_: Any) -> float:
        return metrics.scores(data["dev"]["emotion"], predicted("dev"), len(names))["weighted_f1"]

    optimizer = training.make_optimizer(model, config["lr"], head_lr=config["head_lr"])
    steps = training.updates_per_epoch(batches["train"]) * config["num_epochs"]
    scheduler = training.make_scheduler(optimizer, steps, schedule=config["schedule"], warmup=config["warmup"])
    objective = partial(objectives.cross_entropy, label_smoothing=config["label_smoothing"])
    start = time.perf_counter()
    training.fit(
        model, batches["train"], objective, optimizer, scheduler,
        num_epochs=config["num_epochs"], evaluate=evaluate, precision=precision,
    )  # fmt: skip
    tokens = sum(len(row["input_ids"]) for row in examples["train"]) * config["num_epochs"]
    extra = {
        "tokens_per_second": round(tokens / (time.perf_counter() - start)),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    return {split: predicted(split) for split in ("dev", "test")}, extra
