"""Export: the same answers from ONNX in every shape, what 8 bits and pruning do, folders, refusals, known dead ends."""

import functools
import json
import shutil

import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from nbhelpers import adapters, batching, dialogue, encoders, export, training

LABELS = ("calm", "angry", "sad")
TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=31000)
CONFIGS = {
    "bert": transformers.BertConfig(**TINY),
    "roberta": transformers.RobertaConfig(max_position_embeddings=130, pad_token_id=1, **TINY),
    "distilbert": transformers.DistilBertConfig(vocab_size=31000, dim=32, n_layers=2, n_heads=2, hidden_dim=64),
    "electra": transformers.ElectraConfig(**TINY),
    "modernbert": transformers.ModernBertConfig(pad_token_id=0, **TINY),
    "deberta-v2": transformers.DebertaV2Config(**TINY),
    "mpnet": transformers.MPNetConfig(pad_token_id=1, **TINY),
}
MODES = ("cls", "mean", "whole", "causal_turns")  # the last two classify turns
DIALOGUES = (  # lists of turns; by themselves and together they make batches of several shapes and paddings
    ["Hi."],
    ["You did what?", "Sold it.", "Oh."],
    ["Well, that is one way of looking at it, I suppose.", "Fine."],
    ["No."] * 9,
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder per architecture with random weights and the embedded encoder's tokenizer."""
    root = tmp_path_factory.mktemp("encoders")
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.embedded_folder())
    torch.manual_seed(0)
    for name, config in CONFIGS.items():
        transformers.AutoModel.from_config(config).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


@pytest.fixture(scope="session")
def make(folder, tmp_path_factory):
    """(name, mode) -> tokenizer, model, exported folder; made once."""

    @functools.cache
    def made(name, mode, int8=False):
        torch.manual_seed(0)
        pooling = "cls" if mode == "cls" else "mean"
        source = name if name == "embedded" else folder / name
        tokenizer, model = encoders.load(source, LABELS, pooling=pooling)
        model.eval().config.causal_turns = mode == "causal_turns"
        to, turns = tmp_path_factory.mktemp("exported"), mode in ("whole", "causal_turns")
        if int8:
            export.quantize(model, tokenizer, to, batches(tokenizer, mode), dialogue=turns, full_range=True)
        else:
            export.export(model, tokenizer, to, dialogue=turns, settings={"speaker_format": "none"}, scores={"F1": 0.5})
        return tokenizer, model, to

    return made


def examples(tokenizer, mode, dialogues=DIALOGUES):
    """Single turns, or whole dialogues."""
    texts = [text for turns in dialogues for text in turns]
    if mode in ("cls", "mean"):
        return batching.tokenize(texts, tokenizer, labels=[0] * len(texts))
    ids = [number for number, turns in enumerate(dialogues) for _ in turns]
    turns = dialogue.encode_turns(texts, ids, tokenizer)
    return dialogue.whole_dialogues(turns, ids, tokenizer, labels=[0] * len(texts))


def batches(tokenizer, mode, **options):
    return batching.make_dataloader(examples(tokenizer, mode), tokenizer.pad_token_id, batch_size=3, **options)


def check_same_logits(tokenizer, model, exported, mode):
    """In every batch shape: each example alone, all together, padded further, and a batch of two."""
    rows = examples(tokenizer, mode)
    shapes = set()
    for part, multiple in [*(([row], 1) for row in rows), (rows, 1), (rows, 32), (rows[:2], 1), (rows[::-1], 8)]:
        batch = batching.Collator(tokenizer.pad_token_id, multiple)(part)
        shapes.add(tuple(batch["input_ids"].shape))
        expected = torch.cat(export.answers(export.make_logits_fn(model), batch))
        found = torch.cat(export.answers(exported, batch))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert len(shapes) >= 6
    assert expected.std() > 1e-3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_onnx_answers_like_torch_for_every_shape(make, name, mode):
    tokenizer, model, to = make(name, mode)
    _, exported = export.load_exported(to, threads=1)
    check_same_logits(tokenizer, model, exported, mode)


@pytest.mark.parametrize("mode", ["whole", "causal_turns"])
def test_the_embedded_encoder_answers_alike_in_onnx(make, mode):
    tokenizer, model, to = make("embedded", mode)
    _, exported = export.load_exported(to, threads=1)
    check_same_logits(tokenizer, model, exported, mode)
    assert exported.about["causal_turns"] == (mode == "causal_turns")


def test_the_live_graph_does_not_see_later_turns(make):
    tokenizer, _, to = make("bert", "causal_turns")
    _, live = export.load_exported(to, threads=1)
    _, open_ = export.load_exported(make("bert", "whole")[2], threads=1)
    whole, cut = (examples(tokenizer, "causal_turns", [turns]) for turns in (DIALOGUES[1], DIALOGUES[1][:1]))
    collate = batching.Collator(tokenizer.pad_token_id)
    alone = live(collate(cut))[0, 0]
    torch.testing.assert_close(live(collate(whole))[0, 0], alone, atol=1e-5, rtol=0)
    assert (open_(collate(whole))[0, 0] - alone).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["distilbert", "electra", "modernbert", "deberta-v2", "mpnet"])
def test_other_architectures(make, name):
    tokenizer, model, to = make(name, "mean")
    check_same_logits(tokenizer, model, export.load_exported(to, threads=1)[1], "mean")


@pytest.mark.parametrize("name", ["distilbert", "modernbert", "deberta-v2"])
def test_8_bits_of_other_architectures(make, name):
    tokenizer, model, _ = make(name, "mean")
    _, small = export.load_exported(make(name, "mean", int8=True)[2], threads=1)
    batch = batching.Collator(tokenizer.pad_token_id)(examples(tokenizer, "mean"))
    torch.testing.assert_close(small(batch), export.make_logits_fn(model)(batch), atol=0.1, rtol=0)


def test_the_model_stays_as_it_was(folder, tmp_path):
    tokenizer, model = encoders.load(folder / "bert", LABELS)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    export.quantize(model, tokenizer, tmp_path, batches(tokenizer, "mean"))
    assert model.training
    assert model.encoder.config._attn_implementation == model.config._attn_implementation == "sdpa"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_predict_keeps_the_order_of_the_data_set(make):
    tokenizer, model, to = make("bert", "causal_turns")
    shuffled = batches(tokenizer, "causal_turns", shuffle=True)
    expected = training.predict(model, shuffled)
    _, exported = export.load_exported(to, threads=1)
    torch.testing.assert_close(export.predict(exported, shuffled), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(export.predict(export.make_logits_fn(model), shuffled), expected, atol=1e-5, rtol=0)
    assert len(expected) == sum(map(len, DIALOGUES))


# --- 8 bits -----------------------------------------------------------------------------------------------------------


def test_8_bits_are_a_quarter_of_the_size_and_closer_than_quantize_dynamic_alone(make, tmp_path):
    tokenizer, model, to = make("embedded", "causal_turns")
    _, _, small = make("embedded", "causal_turns", int8=True)
    assert export.size_mib(small) < 0.27 * export.size_mib(to)
    graph = onnx.load(to / export.MODEL)
    del graph.graph.value_info[:]
    quantize_dynamic(graph, tmp_path / "plain.onnx", ["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
    about = json.loads((small / "config.json").read_text())["export"]
    plain = export.OnnxModel(onnxruntime.InferenceSession(tmp_path / "plain.onnx"), about)
    rows = batches(tokenizer, "causal_turns", shuffle=False)
    reference = export.predict(export.make_logits_fn(model), rows)
    errors = [
        (export.predict(run, rows) - reference).square().mean().sqrt()
        for run in (export.load_exported(small, threads=1)[1], plain)
    ]
    assert errors[0] < errors[1] / 2


def test_easing_changes_no_answer(make):
    tokenizer, model, _ = make("embedded", "causal_turns")
    rows = batches(tokenizer, "causal_turns")
    eased = export.smooth_quant(model, rows)
    word = model.get_input_embeddings()
    eased.set_input_embeddings(word)  # what is left of a difference is the rounding of words
    expected = export.predict(export.make_logits_fn(model), rows)
    torch.testing.assert_close(export.predict(export.make_logits_fn(eased), rows), expected, atol=1e-4, rtol=0)
    bytes_ = export.Int8Embedding(word)
    ids = torch.arange(2000)
    assert ((bytes_(ids) - word(ids)).abs() <= word(ids).abs().amax(1, keepdim=True) / 127 / 2 * 1.001).all()


@pytest.mark.parametrize(("full_range", "largest"), [(True, 127), (False, 64)])
def test_weights_keep_to_7_bits_where_sums_overflow(folder, tmp_path, full_range, largest):
    tokenizer, model = encoders.load(folder / "bert", LABELS)
    export.quantize(model, tokenizer, tmp_path, batches(tokenizer, "mean"), full_range=full_range)
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / export.MODEL).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and tensor.name.endswith("_quantized")
    ]
    assert len(weights) == 13  # six per layer, and the head
    assert {abs(weight.astype(int)).max() for weight in weights} <= {largest - 1, largest}


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
def test_the_cpu_decides_on_the_range(make, monkeypatch, machine, features, exact):
    _, _, to = make("distilbert", "mean", int8=True)  # all 8 bits used
    monkeypatch.setattr(export.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert export.adds_8_bit_exactly() == exact
    if exact:
        export.load_exported(to)
    else:
        with pytest.warns(UserWarning, match="quantize it again with full_range=False"):
            export.load_exported(to)


# --- the folder -------------------------------------------------------------------------------------------------------


def test_everything_travels_in_the_folder(make, tmp_path):
    tokenizer, _, source = make("roberta", "causal_turns")
    to = shutil.copytree(source, tmp_path / "elsewhere")
    again, model = export.load_exported(to)
    assert model.labels == list(LABELS)
    assert model.settings == {"speaker_format": "none"}
    assert model.about["causal_turns"]
    assert model.about["weights"] == "fp32"
    assert model.about["versions"]["torch"] == torch.__version__
    assert again("You did what?")["input_ids"] == tokenizer("You did what?")["input_ids"]
    assert again.model_max_length == tokenizer.model_max_length == 128
    export.add_scores(to, {"test F1": 0.25})
    assert export.load_exported(to)[1].about["scores"] == {"F1": 0.5, "test F1": 0.25}
    card = (to / "README.md").read_text()
    for line in ("calm, angry, sad", "- speakers: none", "- a turn sees: itself and earlier turns", "- test F1: 0.25"):
        assert line in card
    assert str(encoders.__file__).encode() not in (to / export.MODEL).read_bytes()  # the exporter's stack traces


def test_weights_too_large_for_one_file_go_into_a_second(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PROTOBUF_LIMIT", 1000)
    tokenizer, model = encoders.load(folder / "bert", LABELS)
    export.export(model, tokenizer, tmp_path / "large")
    data = tmp_path / "large" / f"{export.MODEL}.data"
    assert data.stat().st_size > 1e6
    check_same_logits(tokenizer, model.eval(), export.load_exported(tmp_path / "large")[1], "mean")
    export.quantize(model, tokenizer, tmp_path / "small", batches(tokenizer, "mean"))
    assert not list((tmp_path / "small").glob("*.data"))
    export.load_exported(tmp_path / "small")
    data.unlink()
    with pytest.raises(export.ExportError, match="is not the file that was written"):
        export.load_exported(tmp_path / "large")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


FAULTS = {
    "no folder": (shutil.rmtree, "has no config.json; pass a folder that"),
    "no config": (lambda to: (to / "config.json").unlink(), "has no config.json"),
    "no model": (lambda to: (to / export.MODEL).unlink(), "has no model.onnx"),
    "half a config": (lambda to: (to / "config.json").write_text('{"export": {"lab'), "is not one that export"),
    "another config": (lambda to: (to / "config.json").write_text("{}"), "is not one that export"),
    "a list": (lambda to: (to / "config.json").write_text("[]"), "is not one that export"),
    "half a model": (lambda to: (to / export.MODEL).write_bytes(b"\x08"), "is not the file that was written"),
    "one byte": (lambda to: flip(to / export.MODEL), "is not the file that was written"),
    "no tokenizer": (lambda to: (to / "tokenizer_config.json").unlink(), "cannot load .*tokenizer_config.json"),
    "half a tokenizer": (lambda to: (to / "tokenizer.json").write_text('{"ver'), "cannot load .*; export the model"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_folder_is_one_sentence(make, tmp_path, fault):
    to = shutil.copytree(make("bert", "mean")[2], tmp_path / "copy")
    damage, message = FAULTS[fault]
    damage(to)
    with pytest.raises(export.ExportError, match=message) as caught:
        export.load_exported(to)
    assert "\n" not in str(caught.value)


def test_a_graph_that_onnxruntime_cannot_read_is_one_sentence(make, tmp_path):
    to = shutil.copytree(make("bert", "mean")[2], tmp_path / "copy")
    (to / export.MODEL).write_bytes(b"no graph")
    export.write_about(to, json.loads((to / "config.json").read_text())["export"])  # digest and all
    with pytest.raises(export.ExportError, match=r"cannot load .*; export the model again") as caught:
        export.load_exported(to)
    assert "\n" not in str(caught.value)


def test_wrong_batches_are_refused(make):
    tokenizer, _, to = make("roberta", "causal_turns")
    _, model = export.load_exported(to)
    batch = batching.Collator(tokenizer.pad_token_id)(examples(tokenizer, "mean"))
    with pytest.raises(ValueError, match="lacks starts and ends"):
        model(batch)
    long = torch.ones(1, 129, dtype=torch.long)
    with pytest.raises(ValueError, match="129 tokens is too long: the model reads 128"):
        model(dict.fromkeys(model.about["inputs"], long))


# --- dead ends --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore::UserWarning")
def test_dead_end_a_dynamically_quantized_torch_model_cannot_be_saved(folder, tmp_path):
    tokenizer, model = encoders.load(folder / "bert", LABELS, pooling="cls")
    small = torch.ao.quantization.quantize_dynamic(model.eval(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(AttributeError, match="data_ptr"):  # transformers 5.23, after it has written the configuration
        small.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(encoders.EncoderError, match=r"has no .*safetensors"):
        encoders.load_trained(tmp_path)
    with pytest.raises(RuntimeError, match="Unexpected key"):  # nor do its weights fit into the model they came from
        model.load_state_dict(small.state_dict())


def test_dead_end_a_dummy_input_of_fixed_length_gives_a_graph_for_that_length(folder, tmp_path):
    _, model = encoders.load(folder / "bert", LABELS, pooling="cls")
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


@pytest.mark.parametrize("attach", [adapters.lora, adapters.ia3])
def test_dead_end_an_adapter_is_refused_until_it_is_merged(folder, tmp_path, attach):
    tokenizer, model = encoders.load(folder / "bert", LABELS)
    adapted = attach(model)
    for parameter in adapted.parameters():  # as if trained
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    rows = batches(tokenizer, "mean")
    expected = export.predict(export.make_logits_fn(adapted), rows)
    for refused in (adapted, adapted.base_model.model):
        with pytest.raises(export.ExportError, match="merge it first"):
            export.export(refused, tokenizer, tmp_path)
        with pytest.raises(export.ExportError, match="merge it first"):
            export.quantize(refused, tokenizer, tmp_path, rows)
    assert not list(tmp_path.iterdir())
    export.export(adapters.merge(adapted), tokenizer, tmp_path)
    found = export.predict(export.load_exported(tmp_path)[1], rows)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_model_that_cannot_read_turns_is_refused(folder, tmp_path):
    tokenizer, model = encoders.load(folder / "bert", LABELS, pooling="cls")
    with pytest.raises(export.ExportError, match="BertForSequenceClassification cannot read turns"):
        export.export(model, tokenizer, tmp_path, dialogue=True)


def test_a_model_that_torch_cannot_trace_is_one_sentence(folder, tmp_path, monkeypatch):
    tokenizer, model = encoders.load(folder / "bert", LABELS)
    model.dropout = nn.Identity()
    model.dropout.forward = lambda x: x if x.sum() > 0 else -x  # the graph would depend on the data
    with pytest.raises(export.ExportError, match="torch cannot export a MeanPoolingClassifier") as caught:
        export.export(model, tokenizer, tmp_path)
    assert "\n" not in str(caught.value)


# --- pruning, bf16 ----------------------------------------------------------------------------------------------------


def test_pruned_weights_are_the_smallest_of_the_encoder(folder):
    _, model = encoders.load(folder / "roberta", LABELS)
    pruned = pruning.prune_weights(model, 0.3)
    before, after = (
        torch.cat([m.weight.detach().flatten() for m in made.encoder.modules() if isinstance(m, nn.Linear)])
        for made in (model, pruned)
    )
    gone = after == 0
    assert gone.double().mean() == pytest.approx(0.3, abs=1e-3)
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(after[~gone], before[~gone])
    assert torch.equal(pruned.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize("mode", ["cls", "mean"])
@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra", "deberta-v2", "mpnet"])
def test_units_without_effect_can_go_without_effect(folder, tmp_path, name, mode):
    tokenizer, model = encoders.load(folder / name, LABELS, pooling="cls" if mode == "cls" else "mean")
    for module_name, module in model.base_model.named_modules():
        if module_name.endswith(("layer.0.output.dense", "layer.1.output.dense", "ffn.lin2")):
            module.weight.data[:, ::4] = 0  # every fourth unit does nothing
    pruned = pruning.prune_units(model, 0.25)
    rows = batches(tokenizer, mode)
    expected = export.predict(export.make_logits_fn(model), rows)
    torch.testing.assert_close(export.predict(export.make_logits_fn(pruned), rows), expected, atol=1e-5, rtol=0)
    for made, kind in ((model, "full"), (pruned, "pruned")):
        made.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
    assert export.size_mib(tmp_path / "pruned") < export.size_mib(tmp_path / "full")
    _, again = encoders.load_trained(tmp_path / "pruned")
    torch.testing.assert_close(export.predict(export.make_logits_fn(again), rows), expected, atol=1e-5, rtol=0)


def test_a_pruned_model_is_exported_like_any_other(folder, tmp_path):
    tokenizer, model = encoders.load(folder / "bert", LABELS)
    pruned = pruning.prune_units(model, 0.5)
    export.export(pruned, tokenizer, tmp_path)
    check_same_logits(tokenizer, pruned, export.load_exported(tmp_path)[1], "mean")


def test_pruning_refuses(folder):
    _, model = encoders.load(folder / "modernbert", LABELS)
    with pytest.raises(export.ExportError, match="of modernbert are of a kind that cannot be pruned"):
        pruning.prune_units(model, 0.5)
    for share in (1, -0.1):
        for prune in (pruning.prune_units, pruning.prune_weights):
            with pytest.raises(ValueError, match="from 0 to below 1"):
                prune(model, share)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bf16_is_half_the_size_and_close(folder, tmp_path, attention):
    tokenizer, model = encoders.load(folder / "bert", LABELS, attn_implementation=attention)
    model.config.causal_turns = True
    half = export.bf16(model)
    assert next(model.parameters()).dtype == torch.float32
    rows = batches(tokenizer, "causal_turns")
    found, expected = (export.predict(export.make_logits_fn(made), rows) for made in (half, model))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
    for made, name in ((model, "full"), (half, "half")):
        made.save_pretrained(tmp_path / name)
    assert export.size_mib(tmp_path / "half") == pytest.approx(export.size_mib(tmp_path / "full") / 2, rel=0.01)


# --- comparing --------------------------------------------------------------------------------------------------------


def test_agreement():
    found = export.agreement([[0.0, 5.0], [5.0, 0.0], [0.0, 1.0], [0.0, 1.0]], torch.tensor([[0.0, 1.0]] * 4))
    assert found["labels"] == 0.75
    assert found["probability"] == pytest.approx(1 / (1 + torch.e**-5) - 1 / (1 + torch.e**1))
    with pytest.raises(ValueError, match="not finite"):
        export.agreement([[0.0, 1.0]], [[float("nan"), 1.0]])
    for wrong in ([[0.0, 1.0]], [0.0, 1.0], torch.empty(0, 2)):
        with pytest.raises(ValueError, match=r"both must be \[items, classes\]"):
            export.agreement(torch.zeros(0, 2) if len(wrong) == 0 else [[0.0, 1.0]] * 2, wrong)


def test_the_table_of_steps(make, tmp_path):
    tokenizer, model, to = make("bert", "whole")
    _, _, small = make("bert", "whole", int8=True)
    model.save_pretrained(tmp_path)
    rows = batches(tokenizer, "whole")
    steps = {
        "torch": (export.make_logits_fn(model), tmp_path),
        "onnx": (export.load_exported(to)[1], to),
        "int8": (export.load_exported(small)[1], small),
    }
    table = export.compare(steps, rows, lambda logits: float(len(logits)), force=True)
    assert list(table.index) == list(steps)
    assert list(table["score"]) == [15.0] * 3  # turns, not dialogues
    assert table.loc["torch", "same labels"] == table.loc["onnx", "same labels"] == 1
    assert table.loc["torch", "largest difference"] == 0
    assert table.loc["int8", "MiB"] < 0.35 * table.loc["onnx", "MiB"]
    assert (table[["ms per example", "items per second"]] > 0).all(axis=None)


def test_a_step_that_disagrees_is_refused_unless_forced(make, tmp_path):
    tokenizer, model, _ = make("bert", "mean")
    model.save_pretrained(tmp_path)
    rows, run = batches(tokenizer, "mean"), export.make_logits_fn(model)
    reference = export.predict(run, rows).argmax(-1)

    def score(logits):
        return (logits.argmax(-1) == reference).double().mean().item()

    steps = {"torch": (run, tmp_path), "broken": (lambda batch: -run(batch), tmp_path)}
    with pytest.raises(export.ExportError, match=r"broken agrees with torch on .*% of 15 labels, less than 98%"):
        export.compare(steps, rows, score)
    table = export.compare(steps, rows, score, force=True)
    assert table.loc["broken", "same labels"] == table.loc["broken", "score"] < 0.98


def test_speed_and_size_count_what_they_say(make, tmp_path):
    tokenizer, _, _ = make("bert", "whole")
    rows, calls = batches(tokenizer, "whole"), []

    def run(batch):
        calls.append(len(batch["input_ids"]))
        return torch.zeros(*batch["starts"].shape, 3)

    export.speed(run, rows)
    assert calls == [4, 4, 4, 4, 1, 1, 1, 1]  # a pass to set up, three that count, each dialogue by itself
    with pytest.raises(ValueError, match="holds no weights"):
        export.size_mib(tmp_path)
