"""One run of a results table: a configuration and a seed in, measured scores out."""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from nbhelpers import adapters, batching, corpora, dialogue, encoders, environment, metrics, objectives, training


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


def run(config: dict[str, Any], seed: int, threads: int = 0) -> dict[str, Any]:
    """Train on train, choose on dev, read test once (the test split of config["test"], if that is named).

    Args:
        threads: how many to compute with; 0: as many as torch takes by itself.

    Returns: dev and test scores, F1 per class, test predictions (a string with one digit per row), seconds, tokens per
    second in training, peak memory of this process, trainable parameters, bytes on disk, threads.
    """
    if threads:
        torch.set_num_threads(threads)
    data, names = read(config["corpus"])
    if "test" in config:
        data["test"] = read(config["test"])[0]["test"]
    method = {"majority": majority, "tf-idf": tf_idf, "fine-tuning": fine_tuning}[config["method"]]
    start = time.perf_counter()
    predictions, extra = method(data, names, config, seed)
    seconds = time.perf_counter() - start
    memory = psutil.Process().memory_info()
    return {
        **{x: metrics.scores(data[x].labels, predictions[x], len(names)) for x in ("dev", "test")},
        "per_class": metrics.per_class(data["test"].labels, predictions["test"], names)["f1"].round(4).to_dict(),
        "predictions": "".join(str(p) for p in predictions["test"]),
        "seconds": round(seconds, 1),
        "peak_gib": round(getattr(memory, "peak_wset", peak_bytes()) / 2**30, 2),
        "threads": torch.get_num_threads(),
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
    return {split: metrics.majority(data["train"].labels, len(data[split].labels)) for split in ("dev", "test")}, {}


def tf_idf(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """TF-IDF of words and of character n-grams, logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=config["C"], max_iter=2000))
    model.fit(data["train"].texts, data["train"].labels)
    return {split: model.predict(data[split].texts) for split in ("dev", "test")}, {}


def inputs(split: Split, tokenizer: Any, config: dict[str, Any], training: bool = False) -> list[dict[str, Any]]:
    """Examples in the form that the configuration names: single turns (the default), windows, or whole dialogues.

    With "alone", training also sees each turn without its dialogue.
    """
    form = config.get("form", "turn")
    if form == "turn":
        return batching.tokenize(split.texts, tokenizer, labels=split.labels, max_length=config.get("max_length"))
    style, labels = config.get("speakers", "none"), split.labels
    if training and "sentiment" in config:  # two targets a turn; taken apart below
        labels = list(range(len(split.labels)))
    turns = dialogue.encode_turns(split.texts, split.dialogue_ids, tokenizer, speakers=split.speakers, style=style)
    windows = partial(dialogue.windows, turns, split.dialogue_ids, tokenizer, labels=labels)
    if form == "dialogue":
        examples = dialogue.whole(turns, split.dialogue_ids, tokenizer, labels=labels)
    else:
        examples = windows(past=config["past"], future=config.get("future", 0))
    if training and config.get("alone"):
        examples += windows(past=0)
    if training and "sentiment" in config:
        for example in examples:
            rows = example["labels"]
            example |= {"labels": [split.labels[i] for i in rows], "sentiments": [split.sentiments[i] for i in rows]}
    return examples


def adapted(model: Any, method: str, **options: Any) -> Any:
    """The model as the configuration's "tuning" wants it trained: in full, only its head, or with an adapter."""
    if method == "head":
        training.freeze_encoder(model)
    if method in ("full", "head"):
        return model
    return getattr(adapters, method)(model, **options)  # lora, ia3, prefix


def fine_tuning(data: Any, names: list[str], config: dict[str, Any], seed: int) -> Any:
    """The encoder, trained with the visible loop; the epoch with the best weighted F1 on dev is kept."""
    environment.set_seed(seed)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    dropout = config.get("attention_dropout")
    classes = [*names, *(f"sentiment {i}" for i in range(3 if "sentiment" in config else 0))]
    tokenizer, model = encoders.load(config["encoder"], classes, pooling=config["pooling"], attention_dropout=dropout)
    model.config.live = config.get("live", False)
    if config.get("speakers") == "id":
        dialogue.add_speaker_tokens(tokenizer, model)
    model = adapted(model, **config.get("tuning", {"method": "full"})).to(device)
    splits = ("train", "dev", "test")
    examples = {split: inputs(data[split], tokenizer, config, split == "train") for split in splits}
    batches = {
        split: batching.loader(
            rows, tokenizer.pad_token_id, max_tokens=config["max_tokens"],
            max_items=config["max_items"] if split == "train" else 128, shuffle=split == "train", seed=seed,
        )
        for split, rows in examples.items()
    }  # fmt: skip

    def predicted(split: str) -> Any:
        logits = training.predict(model, batches[split], precision=precision)
        return logits[:, : len(names)].argmax(-1).numpy()

    def evaluate(_: Any) -> float:
        return metrics.scores(data["dev"].labels, predicted("dev"), len(names))["weighted_f1"]

    optimizer = training.make_optimizer(model, config["lr"], head_lr=config["head_lr"])
    steps = training.updates_per_epoch(batches["train"]) * config["num_epochs"]
    scheduler = training.make_scheduler(optimizer, steps, schedule=config["schedule"], warmup=config["warmup"])
    objective = partial(objectives.cross_entropy, label_smoothing=config["label_smoothing"])
    if "r_drop" in config:
        objective = partial(objectives.r_drop, alpha=config["r_drop"], label_smoothing=config["label_smoothing"])
    if "shift" in config:
        objective = partial(objectives.emotion_shift, weight=config["shift"])
    if "sentiment" in config:
        objective = partial(objectives.multi_task, weight=config["sentiment"])
    start = time.perf_counter()
    training.fit(
        model, batches["train"], objective, optimizer, scheduler,
        num_epochs=config["num_epochs"], evaluate=evaluate, precision=precision,
    )  # fmt: skip
    tokens = sum(len(row["input_ids"]) for row in examples["train"]) * config["num_epochs"]
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved = sum(file.stat().st_size for file in Path(folder).iterdir())
    extra = {
        "saved_bytes": saved,
        "tokens_per_second": round(tokens / (time.perf_counter() - start)),
        "trainable_parameters": (counted := adapters.num_parameters(model))["trainable"],
        "trainable_without_head": counted["without head"],
    }
    return {split: predicted(split) for split in ("dev", "test")}, extra
