"""From a folder with a trained model to an exported one, and to the service: `nbhelpers export`, `nbhelpers serve`.

What only training and comparing need is imported where it is used: the service should start quickly.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nbhelpers import dialogue, encoders, export, serving
from nbhelpers.course.lessons import ROOT, CourseError

RUNS = ROOT / "runs"


def small_model(progress: Callable[[float], None] = lambda share: None, num_dialogues: int = 0) -> Path:
    """The folder of a small model of the written dialogues: trained at the first call, kept for the next.

    It is the row "past and future" of the dialogues' table, with half the epochs.

    Args:
        progress: is told the share of the training that is done.
        num_dialogues: train on the first of each split only; 0: on all.
    """
    folder = RUNS / (f"small_model_{num_dialogues}" if num_dialogues else "small_model")
    if not folder.is_dir():
        from nbhelpers.course import results

        row = results.table_rows("dialogues")["past and future"]
        train({**row, "single_turns_first": 1, "num_epochs": 3}, folder, progress, num_dialogues)
    return folder


def train(
    config: dict[str, Any],
    folder: Path,
    progress: Callable[[float], None] = lambda share: None,
    num_dialogues: int = 0,
) -> None:
    """Train what a row of a results table describes, and save it with its tokenizer, settings and scores."""
    from nbhelpers import metrics
    from nbhelpers.course import experiments

    if "sentiment" in config or "tuning" in config:
        raise CourseError("a row with an adapter or with sentiment as a second task is not deployed; take another")
    data, names = experiments.read(config["corpus"])
    if num_dialogues:
        data = {split: first(part, num_dialogues) for split, part in data.items()}
    epochs = config.get("single_turns_first", 0) + config["num_epochs"]
    passed = last = 0.0

    def log(row: dict[str, float]) -> None:
        nonlocal passed, last
        if "lr" in row:  # an update; epochs are counted anew after the single turns
            passed += row["epoch"] - (last if row["epoch"] > last else 0)
            last = row["epoch"]
            progress(passed / epochs)

    trained = experiments.train(data, names, config, seed=0, log=log)
    model = trained.model.float().cpu()
    made = {split: trained.logits(split).argmax(-1).numpy() for split in ("dev", "test")}
    scored = {split: metrics.scores(data[split].labels, made[split], len(names)) for split in made}
    model.config.scores = {f"{split} weighted F1": scored[split]["weighted_f1"] for split in scored}
    with new_folder(folder) as new, encoders.quiet():
        model.save_pretrained(new)
        trained.tokenizer.save_pretrained(new)


def first(part: Any, num_dialogues: int) -> Any:
    """The turns of the first dialogues of an `experiments.Split`; all when it has fewer."""
    stop = dialogue.spans(part.dialogue_ids)[:num_dialogues][-1].stop
    return type(part)(*(column[:stop] for column in part))


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to make and fill, that becomes this one when all went well: nobody finds it half written."""
    if folder.exists():
        raise CourseError(f"{folder} is there already; remove it, or name another folder with --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as name:
        yield Path(name, "new")
        Path(name, "new").rename(folder)


def load_torch(folder: Path, encoder: str | None = None) -> tuple[Any, Any]:
    """The tokenizer and model of a folder with a fine-tuned model, or with an adapter: that is merged.

    Args:
        encoder: what the adapter was trained on, where its folder does not tell or tells a path that is gone.
    """
    if not (folder / "adapter_config.json").is_file():
        return encoders.load_trained(folder)
    from nbhelpers import adapters

    for name, advice in (("config.json", "its labels"), ("tokenizer_config.json", "its tokenizer")):
        if not (folder / name).is_file():
            raise CourseError(f"{folder} has no {name}, so {advice} cannot be known; save it with adapters.save")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = [label for _, label in sorted(config["id2label"].items(), key=lambda item: int(item[0]))]
    pooling = "mean" if config["architectures"] == ["MeanPoolingClassifier"] else "cls"
    base = encoder or json.loads((folder / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
    tokenizer, model = encoders.load(base, labels, pooling=pooling)
    for name in ("causal_turns", "settings", "scores"):
        if name in config:
            setattr(model.config, name, config[name])
    if getattr(model.config, "settings", {}).get("speaker_format") == "id":
        dialogue.add_speaker_tokens(tokenizer, model)
    return tokenizer, adapters.merge(adapters.load_adapter(model, folder))


def labels_of(model: Any) -> list[str]:
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


def export_folder(
    folder: Path,
    output: Path,
    *,
    int8: bool = False,
    corpus: str | None = None,
    encoder: str | None = None,
    force: bool = False,
) -> pd.DataFrame:
    """Export a model folder to ONNX and compare each step with the original on the corpus's dev split.

    Args:
        corpus: default: what the model was trained on, as its settings tell.
        encoder: see `load_torch`.
        force: keep what agrees with the original on less than 98 % of the labels.

    Returns: the table of `export.compare`. Nothing is written when a step is refused.
    """
    from nbhelpers import batching, metrics
    from nbhelpers.course import experiments

    if (folder / export.MODEL).is_file():
        raise CourseError(f"{folder} is exported already; pass the folder it was made from")
    tokenizer, model = load_torch(folder, encoder)
    settings = getattr(model.config, "settings", {})
    corpus = corpus or settings.get("corpus")
    if corpus is None:
        raise CourseError(f"{folder} does not tell what it was trained on; name a corpus with --dev to compare on")
    data, names = experiments.read(corpus)
    labels = labels_of(model)
    if labels != names:
        raise CourseError(f"the labels of {corpus} ({', '.join(names)}) are not the model's ({', '.join(labels)})")

    def batches(split: str) -> Any:
        examples = experiments.inputs(data[split], tokenizer, settings)
        return batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=32, shuffle=False)

    def score(logits: Any) -> float:
        return metrics.scores(data["dev"].labels, logits.argmax(-1).numpy(), len(names))["weighted_f1"]

    options: Any = {"dialogue": settings.get("context", "none") != "none", "settings": settings}
    with new_folder(output) as new, tempfile.TemporaryDirectory() as other, encoders.quiet():
        model.save_pretrained(Path(other, "torch"))
        graph = Path(other, "onnx") if int8 else new
        export.export(model, tokenizer, graph, **options)
        steps: Any = {"torch": (export.make_logits_fn(model), Path(other, "torch"))}
        steps["onnx"] = (export.load_exported(graph)[1], graph)
        if int8:
            export.quantize(model, tokenizer, new, batches("train"), **options)
            steps["int8"] = (export.load_exported(new)[1], new)
        table = export.compare(steps, batches("dev"), score, force=force)
        found = {"dev weighted F1, exported": table["score"].iloc[-1], "same labels": table["same labels"].iloc[-1]}
        export.add_scores(new, {**getattr(model.config, "scores", {}), **found})
    return table


def load(folder: Path, threads: int = 0) -> serving.Model:
    """What the service needs of a folder: an exported one, or one with a torch model. `threads` 0: one per core."""
    if (folder / export.MODEL).is_file():
        tokenizer, graph = export.load_exported(folder, threads=threads)
        run, labels, settings, live = (
            serving.onnx_logits_fn(graph.session),
            graph.labels,
            graph.settings,
            graph.about["causal_turns"],
        )
    else:
        tokenizer, model = load_torch(folder)
        if threads:
            torch.set_num_threads(threads)
        run, labels = serving.torch_logits_fn(model), labels_of(model)
        settings, live = getattr(model.config, "settings", {}), getattr(model.config, "causal_turns", False)
    tokenizer.model_max_length = settings.get("max_length") or tokenizer.model_max_length
    context = settings.get("context", "none")
    future = int(not live) if context == "whole_dialogues" else settings.get("future", 0)
    return serving.make_model(
        run, tokenizer, labels, name=folder.resolve().name, dialogue=None if context == "none" else dialogue,
        speaker_format=settings.get("speaker_format", "none"), past=settings.get("past"), future=future,
    )  # fmt: skip
