"""One run of a results table: a configuration and a seed in, measured scores out."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
import torch

from nbhelpers import adapters, batching, corpora, dialogue, encoders, environment, metrics, objectives, training
from nbhelpers.course import results

INPUTS = (
    "corpus",
    "context",
    "speaker_format",
    "past",
    "future",
    "max_length",
)  # of a configuration: what inputs follow from


class Split(NamedTuple):
    """Texts with their labels, and for dialogues who said them where."""

    texts: list[str]
    labels: list[int]
    speakers: list[str]
    dialogue_ids: list[int]
    sentiments: list[int]


def read(name: str) -> tuple[dict[str, Split], list[str]]:
    """The splits of a corpus and the names of its classes.

    Besides what `corpora.load` knows: "reviews, binary" (without neutral), and for testing only "imdb" and "amazon and
    yelp" (the UCI sentences), from the folder in $NBHELPERS_DATA.
    """
    two = ["negative", "positive"]
    if name == "imdb":
        data = corpora.load_table(real("imdb", "test_5k.csv"), labels=["neg", "pos"])
        return {"test": Split(data["train"]["text"][:], data["train"]["label"][:], [], [], [])}, two
    if name == "amazon and yelp":
        files = [real("uci_sentences", f"{site}_labelled.txt") for site in ("amazon_cells", "yelp")]
        rows = [line.rsplit("\t", 1) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        return {"test": Split([text.strip() for text, _ in rows], [int(label) for _, label in rows], [], [], [])}, two
    if name == "reviews, binary":
        polar = {x: part.to_pandas().query("label != 1") for x, part in corpora.load("reviews").items()}
        return {x: Split(list(rows["text"]), list(rows["label"] // 2), [], [], []) for x, rows in polar.items()}, two
    data = corpora.load(name)
    target = "emotion" if "emotion" in data["train"].features else "label"
    wanted = ("text", target, "speaker", "dialogue_id", "sentiment")
    columns = [column if column in data["train"].features else None for column in wanted]
    splits = {split: Split(*(part[column][:] if column else [] for column in columns)) for split, part in data.items()}
    return splits, data["train"].features[target].names


def real(*parts: str) -> Path:
    """A file of the real data sets. Raises CorpusError when NBHELPERS_DATA does not lead to it."""
    path = Path(os.environ.get("NBHELPERS_DATA", ""), *parts)
    if not path.is_file():
        raise corpora.CorpusError(f"there is no {path}; set NBHELPERS_DATA to the folder that holds {parts[0]}/")
    return path


class Outcome(NamedTuple):
    """What one training gives: the probabilities of dev and test [items, classes], what it cost, the code's commit."""

    probabilities: dict[str, np.ndarray]
    costs: dict[str, float]
    commit: str


def run(config: dict[str, Any], seed: int, threads: int = 0) -> Outcome:
    """Train on train, choose on dev, read test once (the test split of config["test"], if that is named).

    Args:
        threads: how many to compute with; 0: as many as torch takes by itself.
    """
    commit = results.commit()  # now: files may change while it runs
    if threads:
        torch.set_num_threads(threads)
    data, names = read_for(config)
    method = {"majority": majority, "tf-idf": tf_idf, "fine-tuning": fine_tuning}[config["method"]]
    start = time.perf_counter()
    probabilities, costs = method(data, names, config, seed)
    costs |= {"seconds": time.perf_counter() - start, "peak_gib": peak_bytes() / 2**30}
    return Outcome(probabilities, {**costs, "threads": torch.get_num_threads()}, commit)


def read_for(config: dict[str, Any]) -> tuple[dict[str, Split], list[str]]:
    """What `read` gives, the test split from the corpus that the configuration names for it."""
    data, names = read(config["corpus"])
    return (data | {"test": read(config["test"])[0]["test"]} if "test" in config else data), names


def scored(config: dict[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """A table's row: the scores of the mean of the outcomes' probabilities, their costs added up.

    Returns: dev and test scores, F1 per class, test predictions (a string with one digit per row), seconds, tokens per
    second in training (R-Drop reads each twice), peak memory (of the GPU where there is one, else of the process),
    trainable parameters, bytes on disk, threads, commit.
    """
    data, names = read_for(config)
    predictions = {x: np.mean([o.probabilities[x] for o in outcomes], axis=0).argmax(-1) for x in ("dev", "test")}
    costs = pd.DataFrame([outcome.costs for outcome in outcomes])
    row = {
        **{x: metrics.scores(data[x].labels, predictions[x], len(names)) for x in ("dev", "test")},
        "per_class": metrics.per_class(data["test"].labels, predictions["test"], names)["f1"].round(4).to_dict(),
        "predictions": "".join(str(p) for p in predictions["test"]),
        "seconds": round(costs["seconds"].sum(), 1),
        "peak_gib": round(costs["peak_gib"].max(), 2),
        "threads": int(costs["threads"].max()),
        "commit": ", ".join(dict.fromkeys(outcome.commit for outcome in outcomes)),
    }
    if "tokens" in costs:
        row["tokens_per_second"] = round(costs["tokens"].sum() / costs["training_seconds"].sum())
        added = ("trainable_parameters", "trainable_without_head", "saved_bytes")
        row |= {name: int(costs[name].sum()) for name in added}
    return row


def peak_bytes() -> int:
    """Peak memory of this process: on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")  # on Linux getrusage also knows the peak of the program that started this one
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    try:
        import resource
    except ImportError:  # Windows
        memory: Any = psutil.Process().memory_info()
        return memory.peak_wset
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if psutil.MACOS else 1024)


def majority(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """The most frequent class of train, for every row."""
    sure = {x: metrics.majority(data["train"].labels, len(data[x].labels)) for x in ("dev", "test")}
    return {split: np.eye(len(names))[labels] for split, labels in sure.items()}, {}


def tf_idf(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """TF-IDF of words and punctuation marks, and of character n-grams; logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False)
    regression = LogisticRegression(C=config["C"], class_weight=config.get("class_weight"), max_iter=2000)
    model = make_pipeline(make_union(words, characters), regression)
    model.fit(data["train"].texts, data["train"].labels)
    return {split: model.predict_proba(data[split].texts) for split in ("dev", "test")}, {}


def inputs(split: Split, tokenizer: Any, config: dict[str, Any], sentiments: bool = False) -> list[dict[str, Any]]:
    """Examples in the form that the configuration names: single turns (the default), windows, or whole dialogues."""
    context, speaker_format = config.get("context", "none"), config.get("speaker_format", "none")
    if context == "none":
        return batching.tokenize(split.texts, tokenizer, labels=split.labels, max_length=config.get("max_length"))
    turns = dialogue.encode_turns(
        split.texts, split.dialogue_ids, tokenizer, speakers=split.speakers, speaker_format=speaker_format
    )
    place: dict[str, Any] = {"turns": turns, "dialogue_ids": split.dialogue_ids, "tokenizer": tokenizer}
    place["max_length"] = config.get("max_length")
    numbers = range(len(turns))  # which turns an example classifies; replaced by their labels below
    if context == "whole_dialogues":
        examples = dialogue.whole_dialogues(**place, labels=numbers)
    else:
        examples = dialogue.windows(**place, labels=numbers, past=config["past"], future=config.get("future", 0))
    for example in examples:
        rows = example["labels"]
        example["labels"] = [split.labels[i] for i in rows]
        if sentiments:
            example["sentiments"] = [split.sentiments[i] for i in rows]
    return examples


def adapted(model: Any, method: str, **options: Any) -> Any:
    """The model as the configuration's "tuning" wants it trained: in full, only its head, or with an adapter."""
    if method == "head":
        training.freeze_encoder(model)
    if method in ("full", "head"):
        return model
    return getattr(adapters, method)(model, **options)  # lora, ia3, prefix


class Trained(NamedTuple):
    """What training gives: besides the model, `logits(split)` [items, classes], seconds in training, tokens read."""

    tokenizer: Any
    model: Any
    logits: Callable[[str], torch.Tensor]
    seconds: float
    tokens: int


def train(
    data: dict[str, Split],
    names: list[str],
    config: dict[str, Any],
    seed: int,
    log: Callable[[dict[str, float]], None] = lambda row: None,
) -> Trained:
    """The encoder, trained with the visible loop; the epoch with the best weighted F1 on dev is kept.

    The model's configuration remembers as "settings" how its inputs are made; `log` is told what `training.fit` tells.
    """
    environment.set_seed(seed)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    dropout = config.get("attention_dropout")
    classes = [*names, *(f"sentiment {i}" for i in range(3 if "sentiment" in config else 0))]
    tokenizer, model = encoders.load(config["encoder"], classes, pooling=config["pooling"], attention_dropout=dropout)
    model.config.causal_turns = config.get("causal_turns", False)
    model.config.settings = {name: config[name] for name in INPUTS if name in config}
    if config.get("speaker_format") == "id":
        dialogue.add_speaker_tokens(tokenizer, model)
    model = adapted(model, **config.get("tuning", {"method": "full"})).to(device)
    seconds, tokens = 0.0, 0

    def batches(split: str, config: dict[str, Any]) -> Any:
        learn = split == "train"
        return batching.make_dataloader(
            inputs(data[split], tokenizer, config, learn and "sentiment" in config), tokenizer.pad_token_id,
            max_tokens=config["max_tokens"], batch_size=config["batch_size"] if learn else 128, shuffle=learn, seed=seed,
        )  # fmt: skip

    evaluated = {split: batches(split, config) for split in data if split != "train"}

    def logits(split: str) -> torch.Tensor:
        return training.predict(model, evaluated[split], precision=precision)[:, : len(names)]

    def dev_score(_: Any) -> float:
        nonlocal seconds
        start = time.perf_counter()
        score = metrics.scores(data["dev"].labels, logits("dev").argmax(-1).numpy(), len(names))["weighted_f1"]
        seconds -= time.perf_counter() - start
        return score

    first = config.get("single_turns_first", 0)  # epochs; these have a schedule of their own and are not evaluated
    alone = {**config, "context": "windows", "past": 0, "num_epochs": first, "shift": 0}
    for part, evaluate in ((alone, None), (config, dev_score)) if first else ((config, dev_score),):
        batch, num_epochs = batches("train", part), part["num_epochs"]
        optimizer = training.make_optimizer(model, part["lr"], head_lr=part["head_lr"])
        steps = training.updates_per_epoch(batch) * num_epochs
        scheduler = training.make_scheduler(
            optimizer, steps, schedule=part["schedule"], warmup_ratio=part["warmup_ratio"]
        )
        start = time.perf_counter()
        training.fit(
            model, batch, objective(part, data["train"].labels, len(names)), optimizer, scheduler,
            num_epochs=num_epochs, evaluate=evaluate, precision=precision, log=log,
        )  # fmt: skip
        seconds += time.perf_counter() - start
        tokens += sum(len(row["input_ids"]) for row in batch.dataset) * num_epochs * (2 if "r_drop" in part else 1)
    return Trained(tokenizer, model, logits, seconds, tokens)


def fine_tuning(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """`train`, and what it cost."""
    trained = train(data, names, config, seed)
    with tempfile.TemporaryDirectory() as folder, encoders.quiet():
        trained.model.save_pretrained(folder)
        saved = sum(file.stat().st_size for file in Path(folder).iterdir())
    counted = adapters.num_parameters(trained.model)
    costs = {
        "tokens": trained.tokens,
        "training_seconds": trained.seconds,
        "trainable_parameters": counted["trainable"],
        "trainable_without_head": counted["without head"],
        "saved_bytes": saved,
    }
    return {split: trained.logits(split).softmax(-1).numpy() for split in ("dev", "test")}, costs


def objective(config: dict[str, Any], labels: Sequence[int], num_classes: int) -> training.Objective:
    """Cross-entropy, or what the configuration adds to it: one of "r_drop", "shift", "sentiment".

    Args:
        labels, num_classes: of the training set, for "class_weight_power".
    """
    options: dict[str, Any] = {"label_smoothing": config["label_smoothing"]}
    if "class_weight_power" in config:
        power = config["class_weight_power"]
        options["class_weights"] = objectives.class_weights(labels, num_classes, power=power)
    if "r_drop" in config:
        return partial(objectives.r_drop, alpha=config["r_drop"], **options)
    if config.get("shift"):
        return partial(objectives.emotion_shift, weight=config["shift"], **options)
    if "sentiment" in config:
        return partial(objectives.multi_task, weight=config["sentiment"], **options)
    return partial(objectives.cross_entropy, **options)
