"""Which files of a folder hold the weights of its model, and how large they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import onnx

from .metadata import MODEL

ADAPTER, WHOLE = ("adapter_config.json", "adapter_model.safetensors"), "model.safetensors"
INDEX = f"{WHOLE}.index.json"  # of weights that are divided into several files


def size_mib(folder: str | Path) -> float:
    """Measure the weights in a folder in MiB: its .onnx files with their data, or else its .safetensors files.

    Files that an earlier, larger model left in the folder do not count.

    Raises:
        ValueError: the folder contains no such file.
    """
    files = weight_files(folder)
    if not files:
        raise ValueError(f"{folder} holds no weights; pass the folder that the model was saved to")
    return sum(file.stat().st_size for file in files) / 2**20


def weight_files(folder: str | Path) -> list[Path]:
    """The files from which the model in a folder is loaded.

    Args:
        folder: with an exported model, an adapter, or a torch model. The first in this order counts.
    """
    folder = Path(folder)
    if (folder / MODEL).is_file():
        return with_data([folder / MODEL])
    if all((folder / name).is_file() for name in ADAPTER):
        return [folder / ADAPTER[1]]
    if (folder / WHOLE).is_file():  # transformers looks for it first
        return [folder / WHOLE]
    if (folder / INDEX).is_file():
        shards = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        return [folder / name for name in sorted(shards)]
    # names that somebody else has chosen
    return [*with_data(sorted(folder.glob("*.onnx"))), *sorted(folder.glob("*.safetensors"))]


def with_data(graphs: list[Path]) -> list[Path]:
    """The graphs of a folder, and the files in which they keep their weights."""
    # reading a graph takes time, and most folders have no such file
    if not graphs or not any(graphs[0].parent.glob("*.data")):
        return graphs
    data = {graph.parent / name for graph in graphs for name in data_names(graph)}
    return [*graphs, *sorted(path for path in data if path.is_file())]


def data_names(graph: Path) -> Iterator[str]:
    """The names of the files, relative to its folder, in which a graph keeps its weights."""
    for weight in onnx.load(graph, load_external_data=False).graph.initializer:
        for entry in weight.external_data:
            if entry.key == "location":
                yield entry.value
