"""An exported model without torch: the same tokens and logits, and only the files that were written."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from nbhelpers import export, exported

pytestmark = pytest.mark.slow

TEXTS = ["Sold it.", "What do you WANT?!", "naïve café, 你好 😀", "a" * 3, "word " * 600, "[SEP] is only text here"]


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_tokens_and_logits_are_those_of_transformers_and_torch(exported_folder_of, name):
    tokenizer, model, folder = exported_folder_of(name, "mean")
    light = exported.load(folder, threads=1)
    for options in ({}, {"truncation": True}, {"truncation": True, "max_length": 12}, {"add_special_tokens": False}):
        assert light.tokenizer(TEXTS, **options)["input_ids"] == tokenizer(TEXTS, **options)["input_ids"]
    assert light.tokenizer("a", "b")["input_ids"] == tokenizer("a", "b")["input_ids"]
    assert light.tokenizer.pad_token_id == tokenizer.pad_token_id
    assert light.tokenizer.unk_token_id == tokenizer.unk_token_id
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model.eval()(batch["input_ids"], batch["attention_mask"]).logits.numpy()
    np.testing.assert_allclose(light.logits(TEXTS), expected, atol=1e-4)
    assert light.labels == [model.config.id2label[i] for i in range(model.config.num_labels)]


@pytest.fixture
def exported_folder_of(exported):
    """The session's fixture of the same name as the unit, under another one."""
    return exported


@pytest.fixture
def copy_of(exported_folder_of, tmp_path):
    return shutil.copytree(exported_folder_of("bert", "mean")[2], tmp_path / "copy")


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def with_other_tokenizer(folder):
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["added_tokens"] = content["added_tokens"][:-1]
    file.write_text(json.dumps(content))


def with_swapped_labels(folder):
    file = folder / "config.json"
    content = json.loads(file.read_text())
    content["export"]["labels"].reverse()
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_tokenizer, "has no tokenizer.json"),
        (with_other_tokenizer, r"tokenizer.json is not the file that was written"),
        (with_swapped_labels, r"config.json was changed by hand"),
    ],
)
def test_a_folder_that_was_changed_is_refused(copy_of, change, words):
    exported.load(copy_of)
    export.load_exported(copy_of)
    change(copy_of)
    with pytest.raises(exported.ExportedError, match=words):
        exported.load(copy_of)
    with pytest.raises(export.ExportError, match=words):
        export.load_exported(copy_of)


def test_serving_an_export_needs_neither_torch_nor_much_memory(exported_folder_of):
    folder = exported_folder_of("bert", "mean")[2]
    code = (
        "import sys, pathlib, psutil; from nbhelpers.classifier import served; from nbhelpers import serving\n"
        f"model = served.load(pathlib.Path({str(folder)!r}), 1); serving.probe(model); serving.create_app(model)\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'datasets') if name in sys.modules])\n"
        "print(psutil.Process().memory_info().rss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    modules, mebibytes = done.stdout.split("\n")[:2]
    assert modules == "[]"
    assert float(mebibytes) < 200
