"""Comparing variants of a model: agreement, size, speed, the table, and the variant that is refused."""

import copy

import pytest
import torch
from exported_models import DIALOGUES, LABELS, make_dataloader

from nbhelpers import encoders, export, training

pytestmark = pytest.mark.slow


def test_predict_keeps_the_order_of_the_data_set(exported):
    tokenizer, model, folder = exported("bert", "causal_turns")
    shuffled = make_dataloader(tokenizer, "causal_turns", shuffle=True)
    expected = training.predict(model, shuffled)
    _, onnx_model = export.load_exported(folder, threads=1)
    torch.testing.assert_close(export.predict(onnx_model, shuffled), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(export.predict(export.make_logits_fn(model), shuffled), expected, atol=1e-5, rtol=0)
    assert len(expected) == sum(map(len, DIALOGUES))


def test_agreement():
    agreed = export.agreement([[0.0, 5.0], [5.0, 0.0], [0.0, 1.0], [0.0, 1.0]], torch.tensor([[0.0, 1.0]] * 4))
    assert agreed["labels"] == 0.75
    assert agreed["probability"] == pytest.approx(1 / (1 + torch.e**-5) - 1 / (1 + torch.e**1))
    with pytest.raises(ValueError, match="not finite"):
        export.agreement([[0.0, 1.0]], [[float("nan"), 1.0]])
    for wrong in ([[0.0, 1.0]], [0.0, 1.0], torch.empty(0, 2)):
        with pytest.raises(ValueError, match=r"both must be \[items, classes\]"):
            export.agreement(torch.zeros(0, 2) if len(wrong) == 0 else [[0.0, 1.0]] * 2, wrong)


def test_the_table_of_variants(exported, tmp_path):
    tokenizer, model, folder = exported("bert", "whole_dialogues")
    _, _, int8_folder = exported("bert", "whole_dialogues", int8=True)
    model.save_pretrained(tmp_path)
    variants = {
        "torch": (export.make_logits_fn(model), tmp_path),
        "onnx": (export.load_exported(folder)[1], folder),
        "int8": (export.load_exported(int8_folder)[1], int8_folder),
    }
    dataloader = make_dataloader(tokenizer, "whole_dialogues")
    table = export.compare(variants, dataloader, lambda logits: float(len(logits)), force=True)
    assert list(table.index) == list(variants)
    assert list(table["score"]) == [15.0] * 3  # turns, not dialogues
    assert table.loc["torch", "same labels"] == table.loc["onnx", "same labels"] == 1
    assert table.loc["torch", "largest difference"] == 0
    assert table.loc["int8", "MiB"] < 0.35 * table.loc["onnx", "MiB"]
    assert (table[["ms per example", "items per second"]] > 0).all(axis=None)


@pytest.fixture(scope="module")
def bert(encoder_folders):
    """A tokenizer and a model."""
    return encoders.load(encoder_folders / "bert", LABELS)


def test_a_variant_that_disagrees_is_refused_unless_forced(bert, tmp_path):
    tokenizer, model = bert
    model.save_pretrained(tmp_path)
    dataloader, logits_fn = make_dataloader(tokenizer, "mean"), export.make_logits_fn(model)
    reference = export.predict(logits_fn, dataloader).argmax(-1)

    def score(logits):
        return (logits.argmax(-1) == reference).double().mean().item()

    variants = {"torch": (logits_fn, tmp_path), "broken": (lambda batch: -logits_fn(batch), tmp_path)}
    with pytest.raises(export.ExportError, match=r"broken agrees with torch on .*% of 15 labels, less than 98%"):
        export.compare(variants, dataloader, score)
    table = export.compare(variants, dataloader, score, force=True)
    assert table.loc["broken", "same labels"] == table.loc["broken", "score"] < 0.98


def test_speed_times_three_passes_and_single_examples(bert):
    tokenizer, _ = bert
    batch_sizes = []

    def logits_fn(batch):
        batch_sizes.append(len(batch["input_ids"]))
        return torch.zeros(*batch["starts"].shape, 3)

    export.speed(logits_fn, make_dataloader(tokenizer, "whole_dialogues"))
    # one pass that is not timed, three that are, and each dialogue alone
    assert batch_sizes == [4, 4, 4, 4, 1, 1, 1, 1]


def test_a_folder_without_weights_has_no_size(tmp_path):
    with pytest.raises(ValueError, match="holds no weights"):
        export.size_mib(tmp_path)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bf16_is_half_the_size_and_close(encoder_folders, tmp_path, attention):
    tokenizer, model = encoders.load(encoder_folders / "bert", LABELS, attn_implementation=attention)
    model.config.causal_turns = True
    half = copy.deepcopy(model).bfloat16()
    dataloader = make_dataloader(tokenizer, "causal_turns")
    logits, expected = (export.predict(export.make_logits_fn(variant), dataloader) for variant in (half, model))
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)
    model.save_pretrained(tmp_path / "full")
    half.save_pretrained(tmp_path / "half")
    assert export.size_mib(tmp_path / "half") == pytest.approx(export.size_mib(tmp_path / "full") / 2, rel=0.01)
