"""`nbhelpers bench predict`: the classes of many texts, with transformers' pipeline and with this package."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers

from nbhelpers import batching, encoders, environment, export
from nbhelpers.classifier import served
from nbhelpers.classifier.rows import BATCH_TOKENS, Rows, logits_of

from .ceiling import Products, products_of, seconds_of, time_once
from .comparing import OURS, Comparison, Way, per_second, take_turns
from .sample import Sample

COMMON = "transformers' pipeline, text by text"
CEILING = "matrix products alone, int8"


def make_folders(sample: Sample, place: Path) -> dict[str, Path]:
    """A folder of a model with a new head for each form: "torch", "onnx" and "int8". Those that exist are kept.

    Neither speed nor memory depends on the weights, so nothing is trained.
    """
    folders = {form: place / form for form in ("torch", "onnx", "int8")}
    model = sample.load_model("cls")
    with encoders.quiet():
        if not folders["torch"].exists():
            model.save_pretrained(folders["torch"])
            sample.tokenizer.save_pretrained(folders["torch"])
        if not folders["onnx"].exists():
            export.export(model, sample.tokenizer, folders["onnx"])
        if not folders["int8"].exists():
            dataloader = batching.make_dataloader(sample.examples, sample.tokenizer.pad_token_id)
            export.quantize(model, sample.tokenizer, folders["int8"], dataloader)
    return folders


def texts_per_second(texts: Sequence[str], compute: Callable[[list[str]], object]) -> float:
    """The speed of a function that takes texts."""
    return per_second(len(texts), lambda: compute(list(texts)))


def make_pipeline(folder: Path) -> Any:
    """transformers' pipeline, without its complaints and progress bars."""
    with encoders.quiet():
        tokenizer, model = encoders.load_trained(folder)
        return transformers.pipeline(
            "text-classification", model=model, tokenizer=tokenizer, device=environment.best_device(), truncation=True
        )


def make_ours(folder: Path) -> Callable[[list[str]], object]:
    """What `nbhelpers predict` does with the texts of a chunk: batches of similar length."""
    model = served.load(folder, served.num_cores())
    return lambda texts: logits_of(model, Rows(texts, [], [], [], []))


def make_ceiling(sample: Sample) -> Way:
    """A function that times the matrix products for all texts, in sorted batches; it returns texts per second.

    As in the export, products with weights have 8 bits, and those of attention 32.
    """
    dataloader = batching.make_dataloader(
        sample.examples, sample.tokenizer.pad_token_id, max_tokens=BATCH_TOKENS, batch_size=None, shuffle=False
    )
    products = products_of(sample.load_model("cls"), dataloader, "fp32", backward=False)
    with_weights = Counter({pair: count for pair, count in products.items() if len(pair[0].shape) == 2})
    others, device = products - with_weights, torch.device("cpu")
    return lambda: len(sample.texts) / (int8_seconds_of(with_weights) + seconds_of(others, device))


def int8_seconds_of(products: Products, num_repeats: int = 3) -> float:
    """The seconds that products take in onnxruntime with 8-bit numbers, as `ceiling.seconds_of` in torch."""
    draw, seconds = np.random.default_rng(0), 0.0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = served.num_cores()
    for (first, second), count in products.items():
        weights = onnx.numpy_helper.from_array(draw.integers(-127, 127, second.shape, np.int8), "weights")
        inputs = onnx.helper.make_tensor_value_info("inputs", onnx.TensorProto.UINT8, first.shape)
        sums = onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.INT32, (first.shape[0], second.shape[1]))
        node = onnx.helper.make_node("MatMulInteger", ["inputs", "weights"], ["sums"])
        graph = onnx.helper.make_graph([node], "product", [inputs], [sums], [weights])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", export.OPSET)], ir_version=10)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        compute = partial(session.run, None, {"inputs": draw.integers(0, 255, first.shape, np.uint8)})
        compute()
        repeats = [time_once(compute, torch.device("cpu")) for _ in range(num_repeats)]
        seconds += count * statistics.median(repeats)
    return seconds


def measure(sample: Sample, place: Path, quick: bool, say: Callable[[str], None]) -> Comparison:
    """Compare ways to classify texts. The arguments are as in `train.measure`; the models go to `place`."""
    say("exporting a model")
    folders = make_folders(sample, place)
    pipeline = make_pipeline(folders["torch"])
    ways: dict[str, Callable[[list[str]], object]] = {
        COMMON: pipeline,
        "transformers' pipeline, batches of 32": partial(pipeline, batch_size=32),
        f"{OURS}, sorted by length, fp32": make_ours(folders["torch"]),
        f"{OURS}, sorted by length, int8": make_ours(folders["int8"]),
    }
    for compute in ways.values():
        compute(sample.texts[:4])  # the first call includes the setup
    timed: dict[str, Way] = {name: partial(texts_per_second, sample.texts, way) for name, way in ways.items()}
    speeds, failed = take_turns({**timed, CEILING: make_ceiling(sample)}, 2 if quick else 3, say)
    about = f"Predicting: {sample.describe()}, tokenizing included."
    return Comparison("predict", about, "texts per second", speeds, COMMON, CEILING, {}, failed)
