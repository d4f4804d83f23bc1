"""`nbhelpers export` and `nbhelpers serve`: from a folder with a model and its settings to an export and a service."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nbhelpers import adapters, corpora, dialogue, encoders, export
from nbhelpers.classifier import ClassifierError, served
from nbhelpers.classifier.folders import new_folder
from nbhelpers.classifier.loading import labels_of, load_torch
from nbhelpers.course import cli, deploy, experiments, paths, results
from nbhelpers.course.command import exports
from nbhelpers.course.errors import CourseError

pytestmark = pytest.mark.slow

TEXTS, SPEAKERS = ["The bus left.", "Again?", "Again. I could scream."], ["Ann", "Bo", "Ann"]


def first_dialogues(part, count):
    """The rows of the first dialogues of a data set."""
    ids = part["dialogue_id"][:]
    kept = list(dict.fromkeys(ids))[:count]
    return part.select([row for row, dialogue in enumerate(ids) if dialogue in kept])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shallow_encoder):
    """The folder of a model that was trained on three dialogues (here the corpus has no more), and its progress."""
    runs, shares = tmp_path_factory.mktemp("runs"), []
    load, rows = corpora.load, results.table_rows("dialogues")
    shallow = {name: {**row, "encoder": shallow_encoder} for name, row in rows.items()}

    def load_few(name, **options):
        splits = load(name, **options)
        if name != "dialogues":
            return splits
        return {split: first_dialogues(part, 3) for split, part in splits.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RUNS", runs)
        patch.setattr(results, "table_rows", lambda table: shallow)
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
    measured = {f"{split} {score}" for split in ("dev", "test") for score in ("weighted F1", "calibration error")}
    assert set(config["scores"]) == {"temperature", *measured}
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


def test_a_text_that_is_not_normalized_gets_the_prediction_of_the_normalized_one(folder, tmp_path):
    """The model was trained on texts that `corpora.load` had normalized, and so it treats every text it is given."""
    tokenizer, model = encoders.load_trained(folder)
    export.export(model, tokenizer, tmp_path / "onnx", dialogue=True, settings=model.config.settings)
    raw = ["\u201cThe bus\u00a0left.\u201d", "Again ?\u200b", "I\x92m  late\r\n"]
    for model in (served.load(folder, threads=1), served.load(tmp_path / "onnx", threads=1)):
        for encode in (model.encode, lambda texts: model.encode_dialogue(texts, SPEAKERS, True)):  # noqa: B023
            assert encode(raw) == encode([corpora.normalize(text) for text in raw])


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
    tokenizer, model = encoders.load("embedded", labels_of(encoders.load_trained(folder)[1]))
    model.config.settings = {"corpus": "dialogues", "context": "none"}
    adapted = adapters.lora(model).eval()
    torch.nn.init.normal_(next(p for name, p in adapted.named_parameters() if "lora_B" in name), std=0.1)
    adapters.save(adapted, tmp_path / "adapter", encoder="embedded")
    return tmp_path / "adapter", adapted, tokenizer


def test_an_adapter_is_merged_with_the_encoder_that_it_names(adapter):
    folder, adapted, tokenizer = adapter
    with pytest.raises(ClassifierError, match="its tokenizer cannot be known"):
        load_torch(folder)
    corpora.normalizing_tokenizer(tokenizer).save_pretrained(folder)
    tokenizer, merged = load_torch(folder)
    assert tokenizer.tokenize("It isn\u2019t  bad") == tokenizer.tokenize("It isn't bad")
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        assert (merged.eval()(**batch).logits - adapted(**batch).logits).abs().max() < 1e-5
    assert labels_of(merged) == labels_of(adapted)
    assert merged.config.settings == {"corpus": "dialogues", "context": "none"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export", "no/such/model"), "no/such/model does not exist; check the path"),
        (("export", "{model}", "--dev", "reviews", "--output", "{new}"), "the labels of reviews (negative, neutral,"),
        (("export", "{model}", "--dev", "no/such.csv", "--output", "{new}"), "no/such.csv"),
        (("export", "{model}", "--output", "{model}"), "exists already"),
        (("export", "{model}", "--output", "{model}/config.json/new"), "config.json is a file"),
        (("serve", "no/such/model", "--port", "0"), "no/such/model does not exist; check the path"),
        (("serve", "{model}", "{model}", "--port", "0"), "two of the models have the same name"),
        (("serve", "{model}", "{place}", "--port", "0", "--workers", "2"), "several models have one worker"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_wrong_request_gets_one_sentence(folder, monkeypatch, capsys, tmp_path, arguments, sentence):
    places = {"model": folder, "new": tmp_path / "new", "place": tmp_path}
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


@pytest.fixture(scope="module")
def reviewer(tmp_path_factory, shallow_encoder):
    """The folder of a model with a new head for the classes of the written reviews, which names no corpus."""
    folder = tmp_path_factory.mktemp("reviewer") / "reviewer"
    torch.manual_seed(0)
    tokenizer, model = encoders.load(shallow_encoder, ["negative", "neutral", "positive"])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_reviews(path, labels=("positive", "negative")):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\n" + "".join(f"Text number {i}.,{labels[i % len(labels)]}\n" for i in range(8)))


def test_a_single_file_is_compared_on_even_if_a_class_is_missing_in_it(reviewer, tmp_path):
    write_reviews(tmp_path / "mine.csv")
    table = deploy.export_folder(reviewer, tmp_path / "new", int8=True, corpus=str(tmp_path / "mine.csv"), force=True)
    assert list(table.index) == ["torch", "onnx", "int8"]
    assert (tmp_path / "new" / "model.onnx").is_file()


def test_a_corpus_that_lacks_what_the_comparison_needs_is_refused_in_a_sentence(reviewer, folder, tmp_path):
    write_reviews(tmp_path / "no_dev" / "train.csv", ["negative", "neutral", "positive"])
    write_reviews(tmp_path / "emotions.csv", corpora.EMOTIONS)
    with pytest.raises(CourseError, match="no_dev has no dev split; name a folder that has both, or one file"):
        deploy.export_folder(reviewer, tmp_path / "new", corpus=str(tmp_path / "no_dev"))
    with pytest.raises(CourseError, match=r"reads dialogues, and .*emotions\.csv has none; name a folder in MELD's"):
        deploy.export_folder(folder, tmp_path / "new", corpus=str(tmp_path / "emotions.csv"))
    assert not (tmp_path / "new").exists()


def test_serve_exports_first_if_asked_and_never_serves_the_export_of_another_model(
    shallow_encoder, tmp_path, monkeypatch, capsys
):
    write_reviews(tmp_path / "reviews.csv", ("positive", "negative", "neutral"))
    folder = tmp_path / "mine"
    torch.manual_seed(0)
    tokenizer, model = encoders.load(shallow_encoder, ["negative", "neutral", "positive"])
    model.config.settings = {"corpus": str(tmp_path / "reviews.csv"), "corpus_options": {"dev_share": 0.4}}
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loads = []
    monkeypatch.setattr("nbhelpers.serving.serve", lambda load, **_: loads.append(load))
    for _ in range(2):
        cli.app(["serve", str(folder), "--onnx"], standalone_mode=False)
    assert capsys.readouterr().out.count("items") == 1  # a table is shown once: the second call finds the export
    assert (tmp_path / "mine_onnx" / "model.onnx").is_file()
    texts = loads[0]().encode(["Fine."]), served.load(folder).encode(["Fine."])
    assert np.allclose(loads[0]().predict(texts[0])[0], served.load(folder).predict(texts[1])[0], atol=1e-4)
    model.classifier.weight.data += 1
    model.save_pretrained(folder)
    with pytest.raises(CourseError, match=r"mine_onnx was not exported from .*mine as it is now; remove it"):
        cli.app(["serve", str(folder), "--onnx"], standalone_mode=False)


def test_several_models_are_served_under_the_names_of_their_folders(shallow_encoder, tmp_path, monkeypatch):
    for name in ("first", "second"):
        tokenizer, model = encoders.load(shallow_encoder, [f"{name} a", f"{name} b"])
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    loads = []
    monkeypatch.setattr("nbhelpers.serving.serve", lambda load, **_: loads.append(load))
    cli.app(["serve", str(tmp_path / "first"), str(tmp_path / "second")], standalone_mode=False)
    assert {name: model.labels[0] for name, model in loads[0]().items()} == {"first": "first a", "second": "second a"}


def test_a_model_is_not_scored_on_the_single_file_that_it_was_trained_on(reviewer, tmp_path):
    write_reviews(tmp_path / "train.csv", ["negative", "neutral", "positive"])
    shutil.copytree(reviewer, tmp_path / "mine")
    change_config(tmp_path / "mine", lambda config: config.update(settings={"corpus": str(tmp_path / "train.csv")}))
    with pytest.raises(CourseError, match=r"train\.csv has no dev split"):
        deploy.export_folder(tmp_path / "mine", tmp_path / "new")


def write_second(folder):
    """Write a folder while another program writes the same one, and is done first."""
    with new_folder(folder) as mine:
        mine.mkdir()
        (mine / "second").touch()
        folder.mkdir()
        (folder / "first").touch()


def test_a_folder_that_another_program_wrote_meanwhile_is_kept_and_named(tmp_path):
    with pytest.raises(ClassifierError, match="new was written by another program meanwhile"):
        write_second(tmp_path / "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "first"]


def test_of_two_programs_that_make_the_same_folder_both_use_the_first(tmp_path):
    folder = tmp_path / "small_model"
    assert deploy.make_once(folder, lambda: write_second(folder)) == folder
    assert [path.name for path in folder.iterdir()] == ["first"]
    deploy.make_once(folder, lambda: pytest.fail("made again"))


@pytest.mark.parametrize("name", ["file/new", "file/deeper/new"])
def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(ClassifierError, match=r"new cannot be made \(.+\); choose a folder elsewhere"):
        write_second(tmp_path / name)


def test_a_folder_for_the_small_model_is_tried_before_the_training(monkeypatch, tmp_path):
    (tmp_path / "runs").touch()
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(experiments, "train", lambda *_, **__: pytest.fail("was trained"))
    with pytest.raises(ClassifierError, match=r"small_model_3 cannot be made \(.*runs is a file\)"):
        deploy.small_model(num_dialogues=3)


def test_the_export_of_the_working_directory_goes_beside_it(reviewer, monkeypatch, tmp_path):
    shutil.copytree(reviewer, tmp_path / "models" / "mine")
    write_reviews(tmp_path / "mine.csv")
    monkeypatch.chdir(tmp_path / "models" / "mine")
    assert run(monkeypatch, "export", ".", "--dev", tmp_path / "mine.csv") == 0
    assert (tmp_path / "models" / "mine_onnx" / "model.onnx").is_file()
    assert exports.beside(Path(".."), "onnx") == tmp_path / "models_onnx"


def test_a_link_to_a_model_has_its_export_beside_the_link(tmp_path):
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    (tmp_path / "best").symlink_to(tmp_path / "checkpoints" / "5")
    assert exports.beside(tmp_path / "best", "onnx") == tmp_path / "best_onnx"


def test_the_digest_of_a_model_counts_what_is_loaded_and_nothing_else(reviewer, tmp_path):
    shutil.copytree(reviewer, tmp_path / "mine")
    before = served.load(tmp_path / "mine").digest
    for name in ("notes.txt", "trainer_state.json", "model-00001-of-00002.safetensors"):
        (tmp_path / "mine" / name).write_text("{}")
    assert served.load(tmp_path / "mine").digest == before
    change_config(tmp_path / "mine", lambda config: config.update(scores={"dev weighted F1": 0.5}))
    assert served.load(tmp_path / "mine").digest != before


def test_an_adapter_with_speaker_tokens_comes_with_their_rows_or_is_refused(tmp_path):
    settings = {"corpus": "dialogues", "context": "windows", "past": 1, "speaker_format": "id"}
    tokenizer, model = encoders.load("embedded", corpora.EMOTIONS)
    dialogue.add_speaker_tokens(tokenizer, model)
    model.config.settings = settings
    ids = tokenizer.convert_tokens_to_ids(dialogue.speaker_tokens())
    adapted = adapters.lora(model, trainable_token_indices=ids).eval()
    adapters.save(adapted, tmp_path, encoder="embedded")
    tokenizer.save_pretrained(tmp_path)
    _, merged = load_torch(tmp_path)
    batch = {"input_ids": torch.tensor([[101, *ids, 102]]), "attention_mask": torch.ones(1, len(ids) + 2).long()}
    with torch.inference_mode():
        assert (merged.eval()(**batch).logits - adapted(**batch).logits).abs().max() < 1e-5
    plain = encoders.load("embedded", corpora.EMOTIONS)[1]
    plain.config.settings = settings
    adapters.save(adapters.lora(plain), tmp_path, encoder="embedded")  # without rows of its own
    with pytest.raises(
        ClassifierError, match="saved without the rows of its speaker tokens, and new ones would be random"
    ):
        load_torch(tmp_path)
