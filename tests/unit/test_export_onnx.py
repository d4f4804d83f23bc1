"""Exported graphs compute the same logits as torch for every batch shape; what cannot be exported is refused."""

import functools

import onnxruntime
import pytest
import torch
from exported_models import DIALOGUES, LABELS, MODES, check_same_logits, make_dataloader, make_examples
from torch import nn

from nbhelpers import adapters, batching, encoders, export, pruning

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_onnx_gives_the_logits_of_torch_for_every_shape(exported, name, mode):
    tokenizer, model, folder = exported(name, mode)
    _, onnx_model = export.load_exported(folder, threads=1)
    check_same_logits(tokenizer, model, onnx_model, mode)


@pytest.mark.parametrize("mode", ["whole_dialogues", "causal_turns"])
def test_the_embedded_encoder_gives_the_same_logits_in_onnx(exported, mode):
    tokenizer, model, folder = exported("embedded", mode)
    _, onnx_model = export.load_exported(folder, threads=1)
    check_same_logits(tokenizer, model, onnx_model, mode)
    assert onnx_model.metadata["causal_turns"] == (mode == "causal_turns")


def test_a_causal_graph_does_not_see_later_turns(exported):
    tokenizer, _, folder = exported("bert", "causal_turns")
    _, causal = export.load_exported(folder, threads=1)
    _, not_causal = export.load_exported(exported("bert", "whole_dialogues")[2], threads=1)
    three_turns, first_turn = (
        batching.Collator(tokenizer.pad_token_id)(make_examples(tokenizer, "causal_turns", [turns]))
        for turns in (DIALOGUES[1], DIALOGUES[1][:1])
    )
    alone = causal(first_turn)[0, 0]
    torch.testing.assert_close(causal(three_turns)[0, 0], alone, atol=1e-5, rtol=0)
    assert (not_causal(three_turns)[0, 0] - alone).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["distilbert", "electra", "modernbert", "deberta-v2", "mpnet"])
def test_other_architectures_give_the_same_logits(exported, name):
    tokenizer, model, folder = exported(name, "mean")
    check_same_logits(tokenizer, model, export.load_exported(folder, threads=1)[1], "mean")


def test_a_pruned_model_is_exported_like_any_other(encoder_folders, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    pruned = pruning.prune_units(model, 0.5)
    export.export(pruned, tokenizer, tmp_path)
    check_same_logits(tokenizer, pruned, export.load_exported(tmp_path)[1], "mean")


def test_weights_too_large_for_one_file_go_into_a_second(encoder_folders, tmp_path, monkeypatch):
    monkeypatch.setattr(export.onnx_graph, "PROTOBUF_LIMIT", 1000)
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    export.export(model, tokenizer, tmp_path / "large")
    data = tmp_path / "large" / f"{export.MODEL}.data"
    assert data.stat().st_size > 1e6
    check_same_logits(tokenizer, model.eval(), export.load_exported(tmp_path / "large")[1], "mean")
    export.quantize(model, tokenizer, tmp_path / "small", make_dataloader(tokenizer, "mean"))
    assert not list((tmp_path / "small").glob("*.data"))
    export.load_exported(tmp_path / "small")
    data.unlink()
    with pytest.raises(export.ExportError, match=r"has no model.onnx.data"):
        export.load_exported(tmp_path / "large")


@pytest.mark.parametrize("attach", [adapters.lora, adapters.ia3])
def test_an_adapter_is_refused_until_it_is_merged(encoder_folders, tmp_path, attach):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    adapted = attach(model)
    for parameter in adapted.parameters():  # a new adapter changes nothing; a trained one does
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    dataloader = make_dataloader(tokenizer, "mean")
    expected = export.predict(export.make_logits_fn(adapted), dataloader)
    for refused in (adapted, adapted.base_model.model):
        with pytest.raises(export.ExportError, match="merge it first"):
            export.export(refused, tokenizer, tmp_path)
        with pytest.raises(export.ExportError, match="merge it first"):
            export.quantize(refused, tokenizer, tmp_path, dataloader)
    assert not list(tmp_path.iterdir())
    export.export(adapters.merge(adapted), tokenizer, tmp_path)
    logits = export.predict(export.load_exported(tmp_path)[1], dataloader)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_a_model_that_cannot_read_turns_is_refused(encoder_folders, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS, pooling="cls")
    with pytest.raises(export.ExportError, match="BertForSequenceClassification cannot read turns"):
        export.export(model, tokenizer, tmp_path, dialogue=True)


@pytest.mark.parametrize("write", [export.export, functools.partial(export.quantize, dataloader=[])])
def test_a_tokenizer_without_a_limit_is_refused(encoder_folders, tmp_path, write):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    tokenizer.model_max_length = 10**30  # what transformers gives a tokenizer that was saved without a limit
    sentence = r"allows 1e\+30 tokens, the model has \d+ positions; set tokenizer.model_max_length"
    with pytest.raises(export.ExportError, match=sentence):
        write(model, tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_torch_cannot_trace_is_a_readable_error(encoder_folders, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS)
    model.dropout = nn.Identity()
    model.dropout.forward = lambda x: x if x.sum() > 0 else -x  # the graph would depend on the values
    with pytest.raises(export.ExportError, match="torch cannot export a MeanPoolingClassifier") as caught:
        export.export(model, tokenizer, tmp_path)
    assert "\n" not in str(caught.value)


# --- what tutorials do, and why this unit does not ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore::UserWarning")
def test_a_dynamically_quantized_torch_model_cannot_be_saved(encoder_folders, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS, pooling="cls")
    small = torch.ao.quantization.quantize_dynamic(model.eval(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(AttributeError, match="data_ptr"):  # transformers 5.23, after it has written the configuration
        small.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(encoders.EncoderError, match=r"has no .*safetensors"):
        encoders.load_trained(tmp_path)
    with pytest.raises(RuntimeError, match="Unexpected key"):  # its weights do not fit into the original model either
        model.load_state_dict(small.state_dict())


def test_example_inputs_of_fixed_size_give_a_graph_for_that_size(encoder_folders, tmp_path):
    _, model = encoders.load(encoder_folders / "bert", LABELS, pooling="cls")
    ids = torch.ones(2, 9, dtype=torch.long)
    with export.quiet():
        torch.onnx.export(export.Graph(model.eval()), (ids, ids), tmp_path / "fixed.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "fixed.onnx")
    names = [tensor.name for tensor in session.get_inputs()]
    assert session.run(None, dict.fromkeys(names, ids.numpy()))[0].shape == (2, 3)
    for shape in ((2, 8), (3, 9)):
        other = torch.ones(shape, dtype=torch.long).numpy()
        with pytest.raises(Exception, match="invalid dimensions"):
            session.run(None, dict.fromkeys(names, other))
