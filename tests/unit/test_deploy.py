"""`nbhelpers export` and `nbhelpers serve`: from a folder with a model and its settings to an export and a service."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from nbhelpers import adapters, corpora, encoders, export
from nbhelpers.course import cli, deploy, paths, served
from nbhelpers.course.errors import CourseError

pytestmark = pytest.mark.slow

TEXTS, SPEAKERS = ["The bus left.", "Again?", "Again. I could scream."], ["Ann", "Bo", "Ann"]


def first_dialogues(part, count):
    """The rows of the first dialogues of a data set."""
    ids = part["dialogue_id"][:]
    kept = list(dict.fromkeys(ids))[:count]
    return part.select([row for row, dialogue in enumerate(ids) if dialogue in kept])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a model that was trained on three dialogues (here the corpus has no more), and its progress."""
    runs, shares = tmp_path_factory.mktemp("runs"), []
    load = corpora.load

    def load_few(name):
        splits = load(name)
        if name != "dialogues":
            return splits
        return {split: first_dialogues(part, 3) for split, part in splits.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUNS", runs)
        patch.setattr(corpora, "load", load_few)
        assert deploy.small_model(shares.append, num_dialogues=3) == runs / "small_model_3"
        deploy.small_model(lambda share: pytest.fail("trained again"), num_dialogues=3)
        yield runs / "small_model_3", shares


@pytest.fixture(scope="module")
def folder(trained):
    return trained[0]


def probabilities(model, future=True):
    """Probabilities [turns, classes] of the three turns."""
    examples = model.encode_dialogue(TEXTS, SPEAKERS, future)
    return torch.from_numpy(np.concatenate(model.predict(examples))).softmax(-1)


def run(monkeypatch, *arguments):
    """The exit code of the command with these arguments."""
    monkeypatch.setattr(sys, "argv", ["nbhelpers", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def change_config(folder, change):
    """Write config.json again after `change` was called with its content."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_the_small_model_is_trained_once_and_saved_with_its_settings(trained):
    folder, shares = trained
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"] == {"corpus": "dialogues", "context": "whole_dialogues", "speaker_format": "name"}
    assert set(config["scores"]) == {"dev weighted F1", "test weighted F1"}
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_an_exported_folder_predicts_what_the_model_does(folder, monkeypatch, capsys):
    assert run(monkeypatch, "export", folder, "--quantize", "int8", "--force") == 0
    shown = capsys.readouterr().out
    assert "int8" in shown
    assert "small_model_3_onnx" in shown.replace("\n", "")
    exported_folder = folder.with_name("small_model_3_onnx")
    original, exported = (served.load(x, threads=1) for x in (folder, exported_folder))
    assert original.future
    assert exported.future
    assert (original.name, exported.name) == ("small_model_3", "small_model_3_onnx")
    assert list(original.labels) == list(exported.labels)
    for future in (True, False):
        assert (probabilities(original, future) - probabilities(exported, future)).abs().max() < 0.05
    with_future, without = probabilities(original, True), probabilities(original, False)
    assert not torch.allclose(with_future[0], without[0], atol=1e-6)  # the first turn sees more with the future
    card = (exported_folder / "README.md").read_text()
    assert "dev weighted F1, exported" in card
    assert "speaker_format: name" in card


def test_a_refused_step_leaves_nothing_behind(folder, monkeypatch, tmp_path):
    def refuse(variants, *others, **options):
        raise export.ExportError("onnx agrees with torch on too few labels; do not use it")

    monkeypatch.setattr(export, "compare", refuse)
    with pytest.raises(export.ExportError, match="do not use it"):
        deploy.export_folder(folder, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def adapter(folder, tmp_path):
    """A folder with an adapter but without a tokenizer, the adapted model, and the tokenizer."""
    tokenizer, model = encoders.load("embedded", deploy.labels_of(encoders.load_trained(folder)[1]))
    model.config.settings = {"corpus": "dialogues", "context": "none"}
    adapted = adapters.lora(model).eval()
    torch.nn.init.normal_(next(p for name, p in adapted.named_parameters() if "lora_B" in name), std=0.1)
    adapters.save(adapted, tmp_path / "adapter", encoder="embedded")
    return tmp_path / "adapter", adapted, tokenizer


def test_an_adapter_is_merged_with_the_encoder_that_it_names(adapter):
    folder, adapted, tokenizer = adapter
    with pytest.raises(CourseError, match="its tokenizer cannot be known"):
        deploy.load_torch(folder)
    tokenizer.save_pretrained(folder)
    _, merged = deploy.load_torch(folder)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        assert (merged.eval()(**batch).logits - adapted(**batch).logits).abs().max() < 1e-5
    assert deploy.labels_of(merged) == deploy.labels_of(adapted)
    assert merged.config.settings == {"corpus": "dialogues", "context": "none"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export", "no/such/model"), "no/such/model is not a folder"),
        (("export", "{model}", "--dev", "reviews", "--output", "{new}"), "the labels of reviews (negative, neutral,"),
        (("export", "{model}", "--dev", "no/such.csv", "--output", "{new}"), "no/such.csv"),
        (("export", "{model}", "--output", "{model}"), "exists already"),
        (("serve", "no/such/model", "--port", "0"), "no/such/model is not a folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_wrong_request_gets_one_sentence(folder, monkeypatch, capsys, tmp_path, arguments, sentence):
    places = {"model": folder, "new": tmp_path / "new"}
    code = run(monkeypatch, *(argument.format(**places) for argument in arguments))
    message = code if isinstance(code, str) else capsys.readouterr().err  # Python prints a string, with exit code 1
    assert code != 0
    assert sentence in message
    assert len(message.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_an_exported_folder_is_not_exported_again(folder, tmp_path):
    tokenizer, model = encoders.load_trained(folder)
    export.export(model, tokenizer, tmp_path / "exported")
    with pytest.raises(CourseError, match="is exported already"):
        deploy.export_folder(tmp_path / "exported", tmp_path / "again")


def test_without_a_corpus_there_is_nothing_to_compare_on(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "plain")
    change_config(tmp_path / "plain", lambda config: config.pop("settings"))
    with pytest.raises(CourseError, match="name a corpus with --dev"):
        deploy.export_folder(tmp_path / "plain", tmp_path / "again")
