"""Load an exported folder and run its model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor
from transformers import AutoTokenizer

from .errors import ExportError
from .inference import Batch
from .metadata import MODEL, read_metadata
from .quantization import adds_8_bit_exactly


class OnnxModel:
    """An exported model. Call it with a batch, a dict of tensors, and it returns the logits as a tensor.

    Attributes:
        labels: the class names in the order of their ids.
        settings: what `export` was given as `settings`.
        metadata: all that is known of the model: also "inputs", "max_length", "causal_turns", "weights", "versions" and
            "scores".
        session: the onnxruntime.InferenceSession.
    """

    def __init__(self, session: onnxruntime.InferenceSession, metadata: Mapping[str, Any]) -> None:
        self.session, self.metadata = session, metadata
        self.labels: list[str] = metadata["labels"]
        self.settings: dict[str, Any] = metadata["settings"]

    def __call__(self, batch: Batch) -> Tensor:
        """Compute logits on the CPU.

        Args:
            batch: the tensors that `metadata["inputs"]` names, all of int64, as tokenizers give them. Others are
                ignored, also "token_type_ids".

        Returns:
            [batch, classes]; for a dialogue model [batch, turns, classes]. The logits of a turn whose end is 0, which
            only pads the batch, mean nothing.

        Raises:
            ValueError: an input is missing, or the batch has more tokens than the model reads.
        """
        missing = [name for name in self.metadata["inputs"] if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks {' and '.join(missing)}, which this model reads")
        length, max_length = batch["input_ids"].shape[1], self.metadata["max_length"]
        # the graph itself would fail at the first position that has no embedding, with a message that names a node
        if length > max_length:
            raise ValueError(f"a batch of {length} tokens is too long: the model reads {max_length}; cut the text")
        inputs = {name: batch[name].cpu().numpy() for name in self.metadata["inputs"]}
        return torch.from_numpy(self.session.run(["logits"], inputs)[0])


def load_exported(folder: str | Path, *, threads: int = 0) -> tuple[Any, OnnxModel]:
    """Load the tokenizer and the model of a folder that `export` or `quantize` wrote.

    Folders of earlier versions, which used other names in config.json, load as well.

    Args:
        folder: the folder.
        threads: how many threads compute one batch; 0: one per core.

    Returns:
        The tokenizer and the model. A UserWarning tells if the weights use all 8 bits and this CPU cannot add products
        of 8-bit numbers exactly.

    Raises:
        ExportError: a file is missing, or is not the one that was written.
    """
    folder = Path(folder)
    metadata = read_metadata(folder)
    if metadata["weights"] == "int8" and not adds_8_bit_exactly():
        warnings.warn(
            f"{folder} may predict wrong labels on this CPU; quantize it again with full_range=False", stacklevel=2
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        # transformers would silently make an empty tokenizer
        if not (folder / "tokenizer_config.json").is_file():
            raise FileNotFoundError("tokenizer_config.json is missing")
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        session = onnxruntime.InferenceSession(
            folder / MODEL,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],  # the fused operation is slower than the two it replaces
        )
    except Exception as error:
        # onnxruntime and tokenizers raise errors of many types, some without a message
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise ExportError(f"cannot load {folder} ({reason}); export the model again") from error
    # what the tokenizer's own files say may be larger than what the encoder can read
    tokenizer.model_max_length = metadata["max_length"]
    return tokenizer, OnnxModel(session, metadata)
