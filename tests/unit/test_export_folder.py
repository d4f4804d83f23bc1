"""An exported folder is complete, describes its model, loads if an earlier version wrote it, and notices damage."""

import json
import shutil

import pytest
import torch
from exported_models import LABELS, make_examples
from huggingface_hub import ModelCard

from nbhelpers import batching, encoders, export

pytestmark = pytest.mark.slow


def test_a_folder_contains_everything(exported, tmp_path):
    tokenizer, _, source = exported("roberta", "causal_turns")
    folder = shutil.copytree(source, tmp_path / "elsewhere")
    loaded_tokenizer, model = export.load_exported(folder)
    assert model.labels == list(LABELS)
    assert model.settings == {"speaker_format": "none"}
    assert model.metadata["causal_turns"]
    assert model.metadata["weights"] == "fp32"
    assert model.metadata["versions"]["torch"] == torch.__version__
    assert loaded_tokenizer("You did what?")["input_ids"] == tokenizer("You did what?")["input_ids"]
    assert loaded_tokenizer.model_max_length == tokenizer.model_max_length == 128
    export.add_scores(folder, {"test F1": 0.25})
    assert export.load_exported(folder)[1].metadata["scores"] == {"F1": 0.5, "test F1": 0.25}
    assert str(encoders.__file__).encode() not in (folder / export.MODEL).read_bytes()  # the exporter's stack traces


def test_the_model_card_tells_what_is_known(exported, tmp_path):
    folder = shutil.copytree(exported("roberta", "causal_turns")[2], tmp_path / "copy")
    export.add_scores(folder, {"test F1": 0.25})
    card = ModelCard.load(folder / "README.md")
    assert card.data.to_dict() == {
        "library_name": "onnxruntime",
        "pipeline_tag": "text-classification",
        "tags": ["onnx"],
    }
    for line in (
        "# A roberta classifier in ONNX",
        "This model gives each turn of a dialogue one of these labels: calm, angry, sad.",
        "- speaker_format: none",
        "- a turn sees: itself and earlier turns",
        "- F1: 0.5",
        "- test F1: 0.25",
    ):
        assert line in card.text.splitlines()


def use_names_of_earlier_versions(folder):
    """Change config.json to what earlier versions wrote."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["live"] = config.pop("causal_turns")
    metadata = config["export"]
    metadata["live"] = metadata.pop("causal_turns")
    metadata["settings"] = {"corpus": "dialogues", "form": "dialogue", "speakers": "name", "past": 5}
    # one digest, of the graph alone
    config["export"]["sha256"] = config["export"].pop("files")[export.MODEL]
    path.write_text(json.dumps(config))


def test_a_folder_of_an_earlier_version_loads_with_the_names_of_today(exported, tmp_path):
    tokenizer, _, source = exported("roberta", "causal_turns")
    folder = shutil.copytree(source, tmp_path / "copy")
    use_names_of_earlier_versions(folder)
    settings = {"corpus": "dialogues", "context": "whole_dialogues", "speaker_format": "name", "past": 5}
    _, model = export.load_exported(folder)
    assert model.settings == settings
    assert model.metadata["causal_turns"] is True
    assert "live" not in model.metadata
    batch = batching.Collator(tokenizer.pad_token_id)(make_examples(tokenizer, "causal_turns"))
    assert torch.equal(model(batch), export.load_exported(source)[1](batch))
    # the names are replaced in the files when something is written
    export.add_scores(folder, {"test F1": 0.25})
    metadata = json.loads((folder / "config.json").read_text())["export"]
    assert metadata["settings"] == settings
    assert "live" not in metadata
    assert "- a turn sees: itself and earlier turns" in (folder / "README.md").read_text()


def test_settings_of_the_user_keep_their_names(exported, tmp_path):
    folder = shutil.copytree(exported("bert", "mean")[2], tmp_path / "copy")
    metadata = export.read_metadata(folder) | {"settings": {"form": "dialogue", "speakers": 2}}
    export.write_metadata(folder, metadata)
    assert export.load_exported(folder)[1].settings == {"form": "dialogue", "speakers": 2}


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES = {  # name -> (what happens to the folder, the error message)
    "no folder": (shutil.rmtree, "has no config.json; pass a folder that"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "no model": (lambda folder: (folder / export.MODEL).unlink(), "has no model.onnx"),
    "half a config": (lambda folder: (folder / "config.json").write_text('{"export": {"lab'), "is not one that export"),
    "another config": (lambda folder: (folder / "config.json").write_text("{}"), "is not one that export"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "is not one that export"),
    "half a model": (
        lambda folder: (folder / export.MODEL).write_bytes(b"\x08"),
        "is not the file that was written",
    ),
    "one byte": (lambda folder: flip_a_byte(folder / export.MODEL), "is not the file that was written"),
    "no tokenizer": (
        lambda folder: (folder / "tokenizer_config.json").unlink(),
        "has no tokenizer_config.json",
    ),
    "half a tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text('{"ver'),
        "tokenizer.json is not the file that was written",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_a_readable_error(exported, tmp_path, name):
    folder = shutil.copytree(exported("bert", "mean")[2], tmp_path / "copy")
    damage, message = DAMAGES[name]
    damage(folder)
    with pytest.raises(export.ExportError, match=message) as caught:
        export.load_exported(folder)
    assert "\n" not in str(caught.value)


def test_a_graph_that_onnxruntime_cannot_read_is_a_readable_error(exported, tmp_path):
    folder = shutil.copytree(exported("bert", "mean")[2], tmp_path / "copy")
    metadata = export.read_metadata(folder)
    (folder / export.MODEL).write_bytes(b"no graph")
    export.write_metadata(folder, metadata)  # with the digest of the wrong file
    with pytest.raises(export.ExportError, match=r"cannot load .*; export the model again") as caught:
        export.load_exported(folder)
    assert "\n" not in str(caught.value)


def test_a_batch_that_the_model_cannot_read_is_a_readable_error(exported):
    tokenizer, _, folder = exported("roberta", "causal_turns")
    _, model = export.load_exported(folder)
    batch = batching.Collator(tokenizer.pad_token_id)(make_examples(tokenizer, "mean"))
    with pytest.raises(ValueError, match="lacks starts and ends"):
        model(batch)
    too_long = torch.ones(1, 129, dtype=torch.long)
    with pytest.raises(ValueError, match="129 tokens is too long: the model reads 128"):
        model(dict.fromkeys(model.metadata["inputs"], too_long))
