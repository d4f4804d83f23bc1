"""`make_model`, and one service test for three kinds of the same model: torch, ONNX, and ONNX with 8-bit weights."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from standins import LABELS
from starlette.testclient import TestClient

from nbhelpers import batching, dialogue, encoders, export, serving

TEXTS = ["The ferry is cancelled.", "What? No!", "Because of the wind.", "Then it is a holiday after all. Book it!"]
SPEAKERS = ["Mara", "Jonas", "Mara", "Jonas"]
NEAR = 1e-5  # how far probabilities of the same model may be apart
# ... in a batch with others: 8 bits round all of a batch with one scale, so an answer depends a little on its company
TOGETHER = {"torch": NEAR, "onnx": NEAR, "int8": 0.005}


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    return encoders.load("embedded", LABELS)


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """The same weights as "torch", "onnx" and "int8", for "texts" and "dialogues": (`run` of the service, direct run).

    Of the encoder its first two layers, which are exported in a third of the time.
    """
    torch.manual_seed(0)
    tokenizer, classifier = encoders.load("embedded", LABELS)
    classifier.base_model.encoder.layer = classifier.base_model.encoder.layer[:2]
    classifier.config.num_hidden_layers, classifier.config.causal_turns = 2, False
    found = {}
    for form in ("texts", "dialogues"):
        folder, options = tmp_path_factory.mktemp(form), {"dialogue": form == "dialogues"}
        train = batching.make_dataloader(inputs(tokenizer, form), tokenizer.pad_token_id, shuffle=False)
        export.export(classifier, tokenizer, folder / "onnx", **options)
        export.quantize(classifier, tokenizer, folder / "int8", train, **options)
        found["torch", form] = serving.torch_logits_fn(classifier), export.make_logits_fn(classifier)
        for kind in ("onnx", "int8"):
            _, exported = export.load_exported(folder / kind, threads=1)
            found[kind, form] = serving.onnx_logits_fn(exported.session), exported
    return found


def inputs(tokenizer, form):
    """The examples of `TEXTS`: each by itself, or all as one dialogue."""
    if form == "texts":
        return batching.tokenize(TEXTS, tokenizer)
    turns = dialogue.encode_turns(TEXTS, [0] * 4, tokenizer, speakers=SPEAKERS, speaker_format="name")
    return dialogue.whole_dialogues(turns, [0] * 4, tokenizer)


def ask(model, path, content):
    with TestClient(serving.create_app(model)) as client:
        answer = client.post(path, json=content)
        assert answer.status_code == 200, answer.text
        content = answer.json()
    found = [{entry["label"]: entry["score"] for entry in result["scores"]} for result in content["results"]]
    return np.array([[scores[label] for label in LABELS] for scores in found])


def directly(run, examples):
    """The probabilities without the service, an example at a time."""
    rows = []
    for example in examples:
        batch = {name: torch.tensor([column]) for name, column in example.items()}
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        rows.append(run(batch).softmax(-1).reshape(-1, len(LABELS)))
    return torch.cat(rows).numpy()


def asked(*, future=None):
    turns = [{"speaker": speaker, "text": text} for speaker, text in zip(SPEAKERS, TEXTS, strict=True)]
    return {"turns": turns, "future": future}


def apart(a, b):
    return float(np.abs(a - b).max())


@pytest.mark.parametrize("kind", TOGETHER)
def test_single_texts(pair, variants, kind):
    tokenizer, _ = pair
    run, same = variants[kind, "texts"]
    model = serving.make_model(run, tokenizer, LABELS)
    texts = [*TEXTS, "long " * 400]  # 2,000 characters
    wanted = directly(same, batching.tokenize(texts, tokenizer))
    alone = np.concatenate([ask(model, "/classify", {"texts": [text]}) for text in texts])
    assert apart(alone, wanted) < NEAR
    assert apart(ask(model, "/classify", {"texts": texts}), wanted) < TOGETHER[kind]
    turns = ask(model, "/classify/dialogue", asked())  # a model of single texts reads each turn alone
    assert apart(turns, wanted[:4]) < TOGETHER[kind]


@pytest.mark.parametrize("kind", TOGETHER)
def test_dialogues(pair, variants, kind):
    tokenizer, _ = pair
    run, same = variants[kind, "dialogues"]
    model = serving.make_model(run, tokenizer, LABELS, dialogue=dialogue, speaker_format="name", future=1)
    serving.probe(model)
    wanted = directly(same, inputs(tokenizer, "dialogues"))
    assert apart(ask(model, "/classify/dialogue", asked()), wanted) < NEAR
    turns = dialogue.encode_turns(TEXTS, [0] * 4, tokenizer, speakers=SPEAKERS, speaker_format="name")
    past = directly(same, dialogue.windows(turns, [0] * 4, tokenizer, past=10, future=0))
    assert apart(ask(model, "/classify/dialogue", asked(future=False)), past) < TOGETHER[kind]
    assert apart(wanted[0], past[0]) > 0.005  # with the future it saw the later turns
    plain = dialogue.encode_turns(TEXTS, range(4), tokenizer)
    alone = directly(same, dialogue.whole_dialogues(plain, range(4), tokenizer))
    assert apart(ask(model, "/classify", {"texts": TEXTS}), alone) < TOGETHER[kind]


@pytest.mark.parametrize("form", ["texts", "dialogues"])
def test_the_exports_are_close_to_torch_and_are_not_torch(pair, variants, form):
    examples = inputs(pair[0], form)
    by_torch, by_onnx, by_int8 = (directly(variants[kind, form][1], examples) for kind in TOGETHER)
    assert apart(by_onnx, by_torch) < NEAR
    assert NEAR < apart(by_int8, by_torch) < 0.02


@pytest.mark.parametrize("causal_turns", [True, False], ids=["causal_turns", "with the future"])
@pytest.mark.parametrize("speaker_format", ["name", "none"])
def test_whole_dialogues_in_one_pass(pair, causal_turns, speaker_format):
    tokenizer, classifier = pair
    classifier.config.causal_turns = causal_turns
    direct = export.make_logits_fn(classifier)
    model = serving.make_model(
        serving.torch_logits_fn(classifier),
        tokenizer,
        LABELS,
        dialogue=dialogue,
        speaker_format=speaker_format,
        future=0 if causal_turns else 1,
    )
    serving.probe(model)
    turns = dialogue.encode_turns(TEXTS, [0] * 4, tokenizer, speakers=SPEAKERS, speaker_format=speaker_format)
    (example,) = dialogue.whole_dialogues(turns, [0] * 4, tokenizer)
    served = ask(model, "/classify/dialogue", asked())
    assert np.abs(served - directly(direct, [example])).max() < NEAR
    first = dialogue.whole_dialogues(turns[:1], [0], tokenizer)
    only_past = ask(model, "/classify/dialogue", asked(future=False))
    assert np.abs(only_past[0] - directly(direct, first)[0]).max() < NEAR  # the first turn sees itself only
    assert causal_turns or np.abs(served[0] - only_past[0]).max() > 1e-3
    single = ask(model, "/classify", {"texts": TEXTS[:1]})
    plain = dialogue.whole_dialogues(dialogue.encode_turns(TEXTS[:1], [0], tokenizer), [0], tokenizer)
    assert np.abs(single - directly(direct, plain)).max() < NEAR


def test_windows(pair):
    tokenizer, classifier = pair
    classifier.config.causal_turns = False
    run, direct = serving.torch_logits_fn(classifier), export.make_logits_fn(classifier)
    model = serving.make_model(run, tokenizer, LABELS, dialogue=dialogue, speaker_format="name", past=1, future=1)
    turns = dialogue.encode_turns(TEXTS, [0] * 4, tokenizer, speakers=SPEAKERS, speaker_format="name")
    for future in (True, False):
        examples = dialogue.windows(turns, [0] * 4, tokenizer, past=1, future=int(future))
        served = ask(model, "/classify/dialogue", asked(future=future))
        assert np.abs(served - directly(direct, examples)).max() < NEAR


def test_a_model_without_the_speaker_tokens_it_was_trained_with_does_not_start(pair):
    tokenizer, classifier = pair
    model = serving.make_model(
        serving.torch_logits_fn(classifier), tokenizer, LABELS, dialogue=dialogue, speaker_format="id"
    )
    with pytest.raises(SystemExit, match="the tokenizer has no speaker tokens"):
        serving.serve(lambda: model, port=0)


def test_an_onnx_session(pair, tmp_path):
    """A graph that gives each text the sum of its tokens' rows; it does not ask for "starts" and "ends"."""
    tokenizer, _ = pair
    rows = np.random.default_rng(0).normal(size=(len(tokenizer), len(LABELS))).astype(np.float32)
    node, shape = onnx.helper.make_node, ["batch", "tokens"]
    nodes = [
        node("Gather", ["rows", "input_ids"], ["each"]), node("Cast", ["attention_mask"], ["mask"], to=1),
        node("Unsqueeze", ["mask", "last"], ["mask3"]), node("Mul", ["each", "mask3"], ["kept"]),
        node("ReduceSum", ["kept", "middle"], ["logits"], keepdims=0),
    ]  # fmt: skip
    constants = {"rows": rows, "last": np.array([-1]), "middle": np.array([1])}
    inputs = [onnx.helper.make_tensor_value_info(name, 7, shape) for name in ("input_ids", "attention_mask")]
    outputs = [onnx.helper.make_tensor_value_info("logits", 1, ["batch", len(LABELS)])]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "sums", inputs, outputs, tensors)
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "sums.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "sums.onnx"), providers=["CPUExecutionProvider"])
    model = serving.make_model(serving.onnx_logits_fn(session), tokenizer, LABELS)
    logits = np.stack([rows[tokenizer(text)["input_ids"]].sum(0) for text in TEXTS])
    wanted = serving.probabilities([logits], len(TEXTS), len(LABELS))
    assert np.abs(ask(model, "/classify", {"texts": TEXTS}) - wanted).max() < 1e-5
    run = serving.onnx_logits_fn(session)
    batch = serving.collate([{"input_ids": [1, 2], "starts": [0], "ends": [2]}], 0)
    assert run(batch).shape == (1, len(LABELS))
