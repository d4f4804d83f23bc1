"""Run a model that the unit `export` wrote, without torch and transformers: a fifth of the memory, and a fast start.

Copy this file into the program that uses the model. It needs onnxruntime, tokenizers and numpy.

    model = load("my_model_onnx")
    logits = model.logits(["Sold it.", "What do you want?"])             # [texts, classes]
    labels = [model.labels[i] for i in logits.argmax(-1)]

`load` refuses a folder whose files are not those that were exported. `model.tokenizer` can be called as a tokenizer of
transformers, as far as the units `dialogue` and `serving` do, and `model.session` is an onnxruntime.InferenceSession.

>>> try:
...     load("no_such_folder")
... except ExportedError as error:
...     print(error)
no_such_folder has no config.json; pass a folder that export() or quantize() wrote
"""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
from numpy.typing import NDArray

MODEL = "model.onnx"


class ExportedError(Exception):
    """A folder cannot be used; the message says why, and what to do."""


class Tokenizer:
    """tokenizer.json, called as a tokenizer of transformers is called.

    Args:
        folder: with tokenizer.json and tokenizer_config.json.
        model_max_length: the largest number of tokens that the model reads.
    """

    def __init__(self, folder: Path, model_max_length: int) -> None:
        self.inner = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.inner.no_padding()
        self.model_max_length = model_max_length
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        self.pad_token_id = self.special_token_id(config.get("pad_token"))
        self.unk_token_id = self.special_token_id(config.get("unk_token"))

    def special_token_id(self, token: Any) -> int | None:
        """The id of a special token, which tokenizer_config.json gives as text or as a dict."""
        text = token["content"] if isinstance(token, dict) else token
        return None if text is None else self.convert_tokens_to_ids(text)

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """The id of a token, or None."""
        token_id: int | None = self.inner.token_to_id(token)
        return token_id

    def __call__(
        self,
        texts: str | Sequence[str],
        pair: Any = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int | None = None,
    ) -> dict[str, Any]:
        """Token ids under "input_ids": a list for one text or pair, a list of lists for a list of texts or pairs.

        Args:
            texts: a text, or a list of them.
            pair: the second text of each pair, likewise.
            add_special_tokens: put those of the model around and between the texts.
            truncation: cut what is longer than `max_length`, of a pair first the longer text.
            max_length: in tokens; by default `model_max_length`.
        """
        if truncation:
            self.inner.enable_truncation(max_length or self.model_max_length)
        else:
            self.inner.no_truncation()
        if isinstance(texts, str):
            return {"input_ids": self.inner.encode(texts, pair, add_special_tokens=add_special_tokens).ids}
        inputs: list[Any] = list(texts) if pair is None else list(zip(texts, pair, strict=True))
        encodings = self.inner.encode_batch(inputs, add_special_tokens=add_special_tokens)
        return {"input_ids": [encoding.ids for encoding in encodings]}


class ExportedModel:
    """An exported model.

    Attributes:
        labels: the class names in the order of the logits.
        settings: how inputs were made in training.
        metadata: all that is known of the model; "sha256" identifies it.
        tokenizer: a `Tokenizer`.
        session: an onnxruntime.InferenceSession.
    """

    def __init__(self, folder: Path, metadata: Mapping[str, Any], threads: int) -> None:
        self.metadata = metadata
        self.labels: list[str] = metadata["labels"]
        self.settings: dict[str, Any] = metadata["settings"]
        self.tokenizer = Tokenizer(folder, metadata["max_length"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            folder / MODEL,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],  # the fused operation is slower than the two it replaces
        )

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits [texts, classes] of single texts, cut to what the model reads and padded to the longest."""
        rows = self.tokenizer(texts, truncation=True)["input_ids"]
        longest = max(map(len, rows))
        input_ids = [row + [self.tokenizer.pad_token_id] * (longest - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        inputs = {"input_ids": np.array(input_ids, np.int64), "attention_mask": np.array(mask, np.int64)}
        logits: NDArray[np.float32] = self.session.run(["logits"], inputs)[0]
        return logits


def load(folder: str | Path, *, threads: int = 0) -> ExportedModel:
    """Load an exported folder.

    Args:
        folder: as `export.export` or `export.quantize` wrote it.
        threads: how many threads compute one batch; 0: one per core.

    Raises:
        ExportedError: a file is missing or is not the one that was written, or onnxruntime cannot read the graph.

    Warns:
        UserWarning: the weights use all 8 bits, and this CPU cannot add products of 8-bit numbers exactly.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    if metadata["weights"] == "int8" and not adds_8_bit_exactly():
        advice = "quantize it again with full_range=False"
        warnings.warn(f"{folder} may predict wrong labels on this CPU; {advice}", stacklevel=2)
    try:
        return ExportedModel(folder, metadata, threads)
    except Exception as error:  # onnxruntime and tokenizers raise errors of many types, some without a message
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise ExportedError(f"cannot load {folder} ({reason}); export the model again") from error


def read_metadata(folder: Path) -> dict[str, Any]:
    """What the folder says of its model, after all its files were compared with their digests."""
    for name in ("config.json", MODEL, "tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise ExportedError(f"{folder} has no {name}; pass a folder that export() or quantize() wrote")
    try:
        metadata: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["export"]
        files, written = metadata["files"], metadata.pop("sha256")
    except (ValueError, KeyError, TypeError) as error:
        reason = "was not written by this version of export()"
        raise ExportedError(f"{folder / 'config.json'} {reason}; export the model again") from error
    for name, sha256 in files.items():
        if not (folder / name).is_file():
            raise ExportedError(f"{folder} has no {name}; copy the whole folder again, or export the model again")
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise ExportedError(f"{folder / name} is not the file that was written; copy the whole folder again")
    if hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest() != written:
        raise ExportedError(f"{folder / 'config.json'} was changed by hand; export the model again")
    return {**metadata, "sha256": written}


def adds_8_bit_exactly() -> bool:
    """Whether this CPU multiplies and adds 8-bit numbers without overflow: x86 with VNNI, and anything but x86.

    Where the system does not tell what an x86 CPU can do, which is only known of Linux here, it is assumed to.

    >>> adds_8_bit_exactly() in (True, False)
    True
    """
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686", "x86") or not cpuinfo.is_file():
        return True
    return "vnni" in cpuinfo.read_text(encoding="utf-8")
