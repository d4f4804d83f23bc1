"""8-bit weights, SmoothQuant, and the CPUs that add 8-bit numbers exactly."""

import json

import onnx
import onnxruntime
import pytest
import torch
from exported_models import LABELS, make_dataloader, make_examples
from onnxruntime.quantization import QuantType, quantize_dynamic

from nbhelpers import batching, encoders, export

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def quantized_in_training(encoder_folders, tmp_path_factory):
    """A model in training mode, its weights before it was quantized to 7 bits, and the folder."""
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    folder = tmp_path_factory.mktemp("quantized")
    export.quantize(model, tokenizer, folder, make_dataloader(tokenizer, "mean"), full_range=False)
    return model, before, folder


def test_export_and_quantize_do_not_change_the_model(quantized_in_training):
    model, before, _ = quantized_in_training
    assert model.training
    assert model.encoder.config._attn_implementation == model.config._attn_implementation == "sdpa"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def largest_weights(folder):
    """The largest absolute value of each 8-bit matrix of a graph."""
    matrices = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(folder / export.MODEL).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and tensor.name.endswith("_quantized")
    ]
    assert len(matrices) == 13  # six per layer, and the head
    return {abs(matrix.astype(int)).max() for matrix in matrices}


def test_weights_use_8_bits_with_full_range_and_7_without(exported, quantized_in_training):
    _, _, full_range = exported("bert", "whole_dialogues", int8=True)
    assert largest_weights(full_range) <= {126, 127}
    assert export.load_exported(full_range)[1].metadata["weights"] == "int8"
    _, _, folder = quantized_in_training
    assert largest_weights(folder) <= {63, 64}
    assert export.load_exported(folder)[1].metadata["weights"] == "int8, 7 bits used"


@pytest.mark.parametrize("name", ["distilbert", "modernbert", "deberta-v2"])
def test_8_bits_of_other_architectures(exported, name):
    tokenizer, model, _ = exported(name, "mean")
    _, int8_model = export.load_exported(exported(name, "mean", int8=True)[2], threads=1)
    batch = batching.Collator(tokenizer.pad_token_id)(make_examples(tokenizer, "mean"))
    torch.testing.assert_close(int8_model(batch), export.make_logits_fn(model)(batch), atol=0.1, rtol=0)


def test_8_bits_are_a_quarter_of_the_size_and_closer_than_quantize_dynamic_alone(exported, tmp_path):
    tokenizer, model, folder = exported("embedded", "causal_turns")
    _, _, int8_folder = exported("embedded", "causal_turns", int8=True)
    assert export.size_mib(int8_folder) < 0.27 * export.size_mib(folder)
    graph = onnx.load(folder / export.MODEL)
    del graph.graph.value_info[:]
    quantize_dynamic(graph, tmp_path / "plain.onnx", ["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    metadata = json.loads((int8_folder / "config.json").read_text())["export"]
    plain = export.OnnxModel(onnxruntime.InferenceSession(tmp_path / "plain.onnx"), metadata)
    dataloader = make_dataloader(tokenizer, "causal_turns", shuffle=False)
    reference = export.predict(export.make_logits_fn(model), dataloader)
    errors = [
        (export.predict(logits_fn, dataloader) - reference).square().mean().sqrt()
        for logits_fn in (export.load_exported(int8_folder, threads=1)[1], plain)
    ]
    assert errors[0] < errors[1] / 2


def test_smooth_quant_changes_no_logits(exported):
    tokenizer, model, _ = exported("embedded", "causal_turns")
    dataloader = make_dataloader(tokenizer, "causal_turns")
    smoothed = export.smooth_quant(model, dataloader)
    # with the original word embeddings, because those of `smooth_quant` are rounded already
    smoothed.set_input_embeddings(model.get_input_embeddings())
    expected = export.predict(export.make_logits_fn(model), dataloader)
    logits = export.predict(export.make_logits_fn(smoothed), dataloader)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_an_8_bit_embedding_is_off_by_half_a_step_at_most(exported):
    embedding = exported("embedded", "causal_turns")[1].get_input_embeddings()
    ids = torch.arange(2000)
    expected = embedding(ids)
    step = expected.abs().amax(1, keepdim=True) / 127
    assert ((export.Int8Embedding(embedding)(ids) - expected).abs() <= step / 2 * 1.001).all()


@pytest.mark.parametrize(
    ("machine", "features", "exact"),
    [
        ("x86_64", {"avx2": True}, False),
        ("AMD64", {"avx512_f": True, "avx512_vnni": False}, False),
        ("x86_64", {"avx512_vnni": True}, True),
        ("x86_64", {"avx_vnni": True}, True),
        ("arm64", {}, True),
    ],
)
def test_weights_that_this_cpu_cannot_add_exactly_are_a_warning(exported, monkeypatch, machine, features, exact):
    _, _, folder = exported("distilbert", "mean", int8=True)  # with full range
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert export.adds_8_bit_exactly() == exact
    if exact:
        export.load_exported(folder)
    else:
        with pytest.warns(UserWarning, match="quantize it again with full_range=False"):
            export.load_exported(folder)
