"""`nbhelpers export`: write a model folder as ONNX, and compare each step with the original."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import DatasetDict

from nbhelpers import batching, corpora, encoders, export, tagging
from nbhelpers.classifier import seen
from nbhelpers.classifier.data import Task, make_examples, make_task, one_hot
from nbhelpers.classifier.folders import new_folder
from nbhelpers.classifier.loading import digest_of, labels_of, load_torch
from nbhelpers.classifier.rows import Rows
from nbhelpers.classifier.scoring import score_name
from nbhelpers.classifier.served import remembered_options
from nbhelpers.classifier.several_labels import all_scores
from nbhelpers.classifier.tags import decoded, gold_tags, load_tags
from nbhelpers.course.errors import CourseError
from nbhelpers.export.metadata import read_metadata


def export_folder(
    folder: Path,
    output: Path,
    *,
    int8: bool = False,
    corpus: str | None = None,
    encoder: str | None = None,
    force: bool = False,
) -> pd.DataFrame:
    """Export a model folder to ONNX, and compare each step with the original on the dev split of a corpus.

    Args:
        folder: a folder with a fine-tuned model or an adapter.
        output: the new folder. It is written only when every step is accepted.
        int8: also round the weights to 8 bits. Only this last step is then written.
        corpus: a corpus with a dev split, or a single file, of which all rows are used. Default: what the model was
            trained on, as its settings tell.
        encoder: as in `load_torch`.
        force: keep a step even if it agrees with the original on less than 98 % of the labels.

    Returns:
        The table of `export.compare`.

    Raises:
        CourseError: the folder is exported already, or no corpus that fits the model is known.
        ClassifierError: the output exists or cannot be made.
        ExportError: a step is refused.
    """
    if (folder / export.MODEL).is_file():
        raise CourseError(f"{folder} is exported already; pass the folder it was made from")
    tokenizer, model = load_torch(folder, encoder)
    settings = getattr(model.config, "settings", {})
    task = read_corpus(folder, corpus, model)
    dev = make_dataloader(task.splits["dev"], tokenizer, settings)
    options: Any = {"dialogue": settings.get("context", "none") != "none"}
    options["settings"] = {**settings, "exported_from": digest_of(folder)}
    score, thresholds = make_score(task, settings)
    with new_folder(output) as new, tempfile.TemporaryDirectory() as temporary, encoders.quiet():
        # An adapter's folder has no weights of the merged model, whose size the table shows.
        model.save_pretrained(Path(temporary, "torch"))
        steps: Any = {"torch": (export.make_logits_fn(model), Path(temporary, "torch"))}
        graph = Path(temporary, "onnx") if int8 else new
        export.export(model, tokenizer, graph, **options)
        steps["onnx"] = (export.load_exported(graph)[1], graph)
        if int8:
            train = make_dataloader(task.splits["train"], tokenizer, settings)  # shows how large activations get
            export.quantize(model, tokenizer, new, train, **options)
            steps["int8"] = (export.load_exported(new)[1], new)
        if (folder / seen.FILE).is_file():
            shutil.copy(folder / seen.FILE, new)
        table = export.compare(steps, dev, score, thresholds=thresholds, force=force)
        last = table.iloc[-1]
        measured = {f"dev {score_name(task)}, exported": last["score"], "same labels": last["same labels"]}
        export.add_scores(new, {**getattr(model.config, "scores", {}), **measured})
    return table


def read_corpus(folder: Path, dev: str | None, model: Any) -> Task:
    """The corpus to compare on, with the splits train and dev. A single file that the user names is both.

    Args:
        folder: of the model, for the error messages.
        dev: the corpus that the user names, or None for the one that the model names.
        model: the model.
    """
    settings, labels = getattr(model.config, "settings", {}), labels_of(model)
    corpus = dev or settings.get("corpus")
    if corpus is None:
        raise CourseError(f"{folder} does not tell what it was trained on; name a corpus with --dev to compare on")
    if settings.get("context") == "words":
        task = load_tags(corpus, settings.get("corpus_options", {}) if dev is None else {}, labels)
        return task._replace(splits={"dev": task.splits["train"], **task.splits})
    if dev is not None and Path(dev).expanduser().is_file():
        # perhaps not every class is in the file, so its names come from the model
        data = corpora.load(dev, **{"labels": labels, **remembered_options(folder)})
        data = DatasetDict(train=data["train"], dev=data["train"])
    else:
        data = corpora.load(corpus, **(settings.get("corpus_options", {}) if dev is None else {}))
    if absent := {"train", "dev"} - set(data):
        raise CourseError(
            f"{corpus} has no {' and no '.join(sorted(absent))} split; name a folder that has both, or one file, with "
            "--dev"
        )
    task = make_task(data)
    if labels != task.names:
        raise CourseError(f"the labels of {corpus} ({', '.join(task.names)}) are not the model's ({', '.join(labels)})")
    if settings.get("context", "none") != "none" and not task.is_dialogue:
        raise CourseError(f"{folder} reads dialogues, and {corpus} has none; name a folder in MELD's format with --dev")
    return task


def make_dataloader(rows: Rows, tokenizer: Any, settings: dict[str, Any]) -> Any:
    """A DataLoader of a split without its labels, in order, with inputs as in the model's training."""
    examples = make_examples(rows._replace(labels=[]), tokenizer, settings)
    return batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=32, shuffle=False)


def make_score(task: Task, settings: dict[str, Any]) -> tuple[Callable[[Any], float], list[float] | None]:
    """A function from logits [items, classes] to the weighted F1 on dev, and the thresholds of several labels."""
    from nbhelpers import metrics

    labels = task.splits["dev"].labels
    if task.tags:
        rows = task.splits["dev"]
        tags = gold_tags(rows, task.names)
        return lambda logits: tagging.entity_f1(tags, decoded(logits.numpy(), rows, task.names)), None
    if not task.several:
        return lambda logits: metrics.scores(labels, logits.argmax(-1).numpy(), len(task.names))["weighted_f1"], None
    gold, chosen = one_hot(labels, len(task.names)), settings.get("thresholds", {})
    thresholds = [chosen.get(name, 0.5) for name in task.names]

    def score(logits: Any) -> float:
        predicted = (logits.sigmoid().numpy() >= thresholds).astype(int)
        return all_scores(gold, predicted)["weighted F1"]

    return score, thresholds


def export_once(folder: Path, output: Path, *, int8: bool) -> pd.DataFrame | None:
    """Export a model folder for the service, unless its export is there already. As `export_folder`.

    Returns:
        The table of `export.compare`, or None if nothing was to be done.

    Raises:
        CourseError: the output is the export of another model.
        ExportError: the output is no export, or damaged.
    """
    if not output.exists():
        return export_folder(folder, output, int8=int8)
    if read_metadata(output)["settings"].get("exported_from") != digest_of(folder):
        raise CourseError(f"{output} was not exported from {folder} as it is now; remove it, or serve it as it is")
    return None
