"""Write a folder with 8-bit weights."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn
from torch.utils.data import DataLoader

from .metadata import MODEL, read_metadata, write_metadata
from .onnx_graph import check_exportable, export
from .smoothing import smooth_quant


def quantize(
    model: nn.Module,
    tokenizer: Any,
    folder: str | Path,
    dataloader: DataLoader[Any],
    *,
    full_range: bool | None = None,
    **options: Any,
) -> Path:
    """Do what `export` does, with 8-bit weights: a quarter of the size, and faster on most CPUs.

    Weights have one scale per output unit. Activations are rounded to 8 bits while the model runs. onnxruntime's
    `quantize_dynamic` alone loses much: it rounds each activation with one scale for all tokens and channels of a
    batch, although a few channels of an encoder are many times larger than the rest. `smooth_quant` therefore evens
    them out first. Compare the result with the original on dev (`compare`) before you use it.

    Args:
        model, tokenizer, folder: as in `export`.
        dataloader: training data. Its first 200 examples are the calibration examples, which show how large each
            activation gets. Labels are not read.
        full_range: whether weights go from -127 to 127, which is right for CPUs with VNNI and for ARM. Other x86 CPUs
            add pairs of 8-bit products in 16 bits, which overflow without an error (onnxruntime issues 5644 and 6004);
            for them, weights stay between -64 and 64. By default, what is right for this machine. Pass False if the
            model will also run on older ones.
        options: `dialogue`, `settings` and `scores`, as in `export`.

    Returns:
        The folder.

    Raises:
        ExportError: as in `export`.
    """
    check_exportable(model, tokenizer, bool(options.get("dialogue")))  # before the calibration, which takes a while
    folder = export(smooth_quant(model, dataloader), tokenizer, folder, **options)
    metadata = read_metadata(folder)
    full_range = adds_8_bit_exactly() if full_range is None else full_range
    round_weights(folder, full_range)
    write_metadata(folder, metadata | {"weights": "int8" if full_range else "int8, 7 bits used"})
    return folder


def round_weights(folder: Path, full_range: bool) -> None:
    """Replace a folder's graph by one whose matrix products have 8-bit weights.

    Args:
        folder: as `export` wrote it.
        full_range: as in `quantize`.
    """
    graph = onnx.load(folder / MODEL)
    # torch 2.13 transposes matrices but leaves their old shapes in the graph, on which quantize_dynamic would fail
    del graph.graph.value_info[:]
    # without this mark, quantize_dynamic prints advice to simplify the graph first; torch's exporter has done that
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    for path in folder.glob(f"{MODEL}*"):  # with model.onnx.data, which the smaller graph may not need any more
        path.unlink()
    quantize_dynamic(
        graph, folder / MODEL, ["MatMul"], per_channel=True, reduce_range=not full_range, weight_type=QuantType.QInt8
    )


def adds_8_bit_exactly() -> bool:
    """Tell whether this CPU multiplies and adds 8-bit numbers without overflow: x86 with VNNI, and anything but x86.

    >>> adds_8_bit_exactly() in (True, False)
    True
    """
    cpu = torch.cpu.get_capabilities()
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686", "x86")
    return not x86 or bool(cpu.get("avx512_vnni") or cpu.get("avx_vnni"))
