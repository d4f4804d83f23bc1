"""Which files of a folder count as the weights of its model."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nbhelpers import export


def write_graph(folder, external):
    """A graph that adds 1,000 weights, which are in model.onnx or in model.onnx.data."""
    weights = numpy_helper.from_array(np.ones(1000, dtype=np.float32), "weights")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1000]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "weights"], ["y"])], "graph", [x], [y], [weights])
    options = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 0} if external else {}
    onnx.save(helper.make_model(graph), folder / "model.onnx", **options)


def names(folder):
    return [path.name for path in export.weight_files(folder)]


def test_the_data_of_a_graph_count_but_not_those_of_an_earlier_one(tmp_path):
    write_graph(tmp_path, external=True)
    assert names(tmp_path) == ["model.onnx", "model.onnx.data"]
    assert export.size_mib(tmp_path) > 4000 / 2**20
    write_graph(tmp_path, external=False)
    assert (tmp_path / "model.onnx.data").is_file()
    assert names(tmp_path) == ["model.onnx"]
    assert export.size_mib(tmp_path) == (tmp_path / "model.onnx").stat().st_size / 2**20


def test_of_a_torch_model_only_the_files_that_are_loaded_count(tmp_path):
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in (*shards, "model-00001-of-00003.safetensors", "optimizer.bin"):
        (tmp_path / name).write_bytes(bytes(8))
    index = {"weight_map": {"a": shards[0], "b": shards[1], "c": shards[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert names(tmp_path) == shards
    (tmp_path / "model.safetensors").write_bytes(bytes(2**20))  # saved later, in one file
    assert names(tmp_path) == ["model.safetensors"]
    assert export.size_mib(tmp_path) == 1


@pytest.mark.parametrize(
    ("files", "counted"),
    [
        (["adapter_config.json", "adapter_model.safetensors", "model.safetensors"], ["adapter_model.safetensors"]),
        (["adapter_model.safetensors", "model.safetensors"], ["model.safetensors"]),
        (["mine.onnx", "mine.safetensors"], ["mine.onnx", "mine.safetensors"]),
        (["model.onnx", "model.safetensors"], ["model.onnx"]),
        (["notes.txt"], []),
    ],
)
def test_the_kind_of_a_folder_decides_which_files_count(tmp_path, files, counted):
    for name in files:
        (tmp_path / name).touch()
    assert names(tmp_path) == counted
