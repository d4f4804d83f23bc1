"""`nbhelpers export` and `nbhelpers serve`: from a folder that knows its settings to an exported one and a service."""

import json
import sys

import numpy as np
import pytest
import torch

from nbhelpers import adapters, encoders, export
from nbhelpers.course import cli, deploy, experiments
from nbhelpers.course.lessons import CourseError

TEXTS, SPEAKERS = ["The bus left.", "Again?", "Again. I could scream."], ["Ann", "Bo", "Ann"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder runs/, with a model trained on three dialogues, all there are here, and the progress it told."""
    folder, told = tmp_path_factory.mktemp("runs"), []
    whole = experiments.read

    def read(name):
        splits, names = whole(name)
        if name == "dialogues":
            splits = {split: deploy.first(part, 3) for split, part in splits.items()}
        return splits, names

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "RUNS", folder)
        patch.setattr(experiments, "read", read)
        assert deploy.small_model(told.append, num_dialogues=3) == folder / "small_model_3"
        deploy.small_model(lambda share: pytest.fail("trained again"), num_dialogues=3)
        yield folder, told


def asked(model, future=True):
    """Probabilities [turns, classes] of the three turns."""
    examples = model.encode_dialogue(TEXTS, SPEAKERS, future)
    return torch.from_numpy(np.concatenate(model.predict(examples))).softmax(-1)


def run(monkeypatch, *arguments):
    """The command, with these arguments; its exit code."""
    monkeypatch.setattr(sys, "argv", ["nbhelpers", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_the_small_model_is_trained_once_and_knows_its_settings(runs):
    folder, told = runs
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    config = json.loads((folder / "small_model_3" / "config.json").read_text())
    assert config["settings"] == {"corpus": "dialogues", "context": "whole_dialogues", "speaker_format": "name"}
    assert set(config["scores"]) == {"dev weighted F1", "test weighted F1"}
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_the_exported_folder_answers_as_the_model_does(runs, monkeypatch, capsys):
    folder, _ = runs
    assert run(monkeypatch, "export", folder / "small_model_3", "--quantize", "int8", "--force") == 0
    shown = capsys.readouterr().out
    assert "int8" in shown
    assert "small_model_3_onnx" in shown.replace("\n", "")
    original = deploy.load(folder / "small_model_3", threads=1)
    exported = deploy.load(folder / "small_model_3_onnx", threads=1)
    assert original.future
    assert exported.future
    assert (original.name, exported.name) == ("small_model_3", "small_model_3_onnx")
    assert list(original.labels) == list(exported.labels)
    for future in (True, False):
        assert (asked(original, future) - asked(exported, future)).abs().max() < 0.05
    assert not torch.allclose(
        asked(original, True)[0], asked(original, False)[0], atol=1e-6
    )  # the first turn sees more
    card = (folder / "small_model_3_onnx" / "README.md").read_text()
    assert "dev weighted F1, exported" in card
    assert "speakers: name" in card


def test_a_refused_step_leaves_nothing_behind(runs, monkeypatch, tmp_path):
    folder, _ = runs
    far = lambda a, b: {"labels": 1.0 if a is b else 0.979, "probability": 0.0 if a is b else 0.5}  # noqa: E731
    monkeypatch.setattr(export, "agreement", far)
    with pytest.raises(export.ExportError, match="do not use it"):
        deploy.export_folder(folder / "small_model_3", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_is_merged_with_the_encoder_it_names(runs, tmp_path):
    folder, _ = runs
    tokenizer, model = encoders.load("embedded", deploy.labels_of(encoders.load_trained(folder / "small_model_3")[1]))
    model.config.settings = {"corpus": "dialogues", "context": "none"}
    adapted = adapters.lora(model).eval()
    torch.nn.init.normal_(next(p for name, p in adapted.named_parameters() if "lora_B" in name), std=0.1)
    adapters.save(adapted, tmp_path / "adapter", encoder="embedded")
    with pytest.raises(CourseError, match="its tokenizer cannot be known"):
        deploy.load_torch(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    _, merged = deploy.load_torch(tmp_path / "adapter")
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        assert (merged.eval()(**batch).logits - adapted(**batch).logits).abs().max() < 1e-5
    assert deploy.labels_of(merged) == deploy.labels_of(model)
    assert merged.config.settings == {"corpus": "dialogues", "context": "none"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export", "no/such/model"), "no/such/model is not a folder"),
        (("export", "{model}", "--dev", "reviews", "--output", "{new}"), "the labels of reviews (negative, neutral,"),
        (("export", "{model}", "--dev", "no/such.csv", "--output", "{new}"), "no/such.csv"),
        (("export", "{model}", "--output", "{model}"), "is there already"),
        (("serve", "no/such/model", "--port", "0"), "no/such/model is not a folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_told_in_a_sentence(runs, monkeypatch, capsys, tmp_path, arguments, sentence):
    places = {"model": runs[0] / "small_model_3", "new": tmp_path / "new"}
    code = run(monkeypatch, *(argument.format(**places) for argument in arguments))
    told = code if isinstance(code, str) else capsys.readouterr().err  # a string is printed, exit code 1
    assert code != 0
    assert sentence in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_an_exported_folder_is_not_exported_again_nor_compared_with_an_unknown_corpus(runs, tmp_path):
    folder, _ = runs
    tokenizer, model = encoders.load_trained(folder / "small_model_3")
    export.export(model, tokenizer, tmp_path / "exported")
    with pytest.raises(CourseError, match="is exported already"):
        deploy.export_folder(tmp_path / "exported", tmp_path / "again")
    model.config.settings = {}
    model.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    with pytest.raises(CourseError, match="name a corpus with --dev"):
        deploy.export_folder(tmp_path / "plain", tmp_path / "again")
