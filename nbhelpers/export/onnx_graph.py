"""From a torch model to a folder with an ONNX graph."""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .attention import OPSET, replace_attention
from .errors import ExportError
from .metadata import MODEL, make_metadata, write_metadata

PROTOBUF_LIMIT = 2_000_000_000  # bytes; larger weights go into a file of their own, model.onnx.data


class Graph(nn.Module):
    """The function that is exported. It takes and returns tensors, not the objects that transformers returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, starts: Tensor | None = None, ends: Tensor | None = None
    ) -> Tensor:
        """Compute logits [batch, classes], or [batch, turns, classes] with `starts` and `ends` [batch, turns]."""
        turns = {} if starts is None else {"starts": starts, "ends": ends}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **turns).logits


def export(
    model: nn.Module,
    tokenizer: Any,
    folder: str | Path,
    *,
    dialogue: bool = False,
    settings: Mapping[str, Any] | None = None,
    scores: Mapping[str, float] | None = None,
) -> Path:
    """Write a folder for production: model.onnx, the tokenizer, config.json and a model card. The model is not changed.

    The graph takes batches of any size and length. It comes from torch.export (`dynamo=True`). Attention is one
    operation of ONNX (opset 23) where transformers lets it be replaced, as in BERT and RoBERTa. In other architectures,
    such as DeBERTa, it is transformers' "eager" attention.

    The graph takes "input_ids" and "attention_mask" [batch, tokens] and returns logits [batch, classes]. It has no
    input for "token_type_ids", so do not export a model of pairs that was trained with them.

    Args:
        model: a transformers classifier. Adapters must be merged first.
        tokenizer: its tokenizer. `tokenizer.model_max_length` becomes the largest number of tokens of a batch.
        folder: is created if it does not exist. If it does, files of the same names are replaced.
        dialogue: whether the model classifies turns. The graph then also takes "starts" and "ends" [batch, turns], the
            first token of each turn and the one after its last, and returns logits [batch, turns, classes].
        settings: how inputs are made, for instance {"speaker_format": "name", "past": 5}. Any values that JSON can
            hold. `load_exported` returns them with the model. For a model that gives a text any number of labels
            (transformers' "multi_label_classification"), "thresholds" has the smallest probability for each label, by
            its name; by default 0.5.
        scores: what was measured, for instance {"dev weighted F1": 0.61}.

    Returns:
        The folder.

    Raises:
        ExportError: an adapter is not merged, `dialogue=True` with a model that cannot read turns, a model with a
            single output, a weight that is not finite, a tokenizer that allows more tokens than the model has
            positions, or torch cannot trace the model.
    """
    check_exportable(model, tokenizer, dialogue)
    cpu_model: Any = copy.deepcopy(model).eval().float().cpu()
    program = trace(cpu_model, dialogue, opset=OPSET if replace_attention(cpu_model) else None)
    num_bytes = sum(weight.numel() * weight.element_size() for weight in cpu_model.state_dict().values())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"{MODEL}*"):  # an earlier export may have left model.onnx.data, which this one lacks
        path.unlink()
    program.save(folder / MODEL, external_data=num_bytes > PROTOBUF_LIMIT)
    save_tokenizer(tokenizer, folder)
    cpu_model.config.save_pretrained(folder)
    metadata = make_metadata(cpu_model.config, tokenizer, dialogue=dialogue, settings=settings, scores=scores)
    write_metadata(folder, metadata)
    return folder


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer without the truncation and padding of its last call, which it would do in every program."""
    if hasattr(tokenizer, "backend_tokenizer"):
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)


def check_exportable(model: Any, tokenizer: Any, dialogue: bool) -> None:
    """Raise ExportError for a model that still has an adapter, or that cannot read what it will be given."""
    if any(type(module).__module__.startswith("peft.") for module in model.modules()):
        raise ExportError("the model still has an adapter; merge it first: export(adapters.merge(model), ...)")
    if dialogue and "starts" not in inspect.signature(model.forward).parameters:
        raise ExportError(f"a {type(model).__name__} cannot read turns; load the model with pooling='mean'")
    if model.config.num_labels < 2:
        raise ExportError("the model has a single output, so it chooses among no classes; it cannot be exported")
    for name, weight in model.state_dict().items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise ExportError(f"the weight {name} has values that are infinite or NaN; train the model again")
    num_positions = getattr(model.config, "max_position_embeddings", None) or 0
    # transformers gives a tokenizer that was saved without a limit one of 10**30
    if 0 < num_positions < tokenizer.model_max_length:
        raise ExportError(
            f"the tokenizer allows {tokenizer.model_max_length:.4g} tokens, the model has {num_positions} positions; "
            "set tokenizer.model_max_length to the largest number of tokens that the model reads"
        )


def trace(model: nn.Module, dialogue: bool, opset: int | None) -> Any:
    """Turn a model into an ONNX program that takes batches of any size and length.

    Args:
        model: on the CPU, in evaluation mode.
        dialogue: as in `export`.
        opset: the version of ONNX's operations; None: torch's default.

    Returns:
        The torch.onnx.ONNXProgram.

    Raises:
        ExportError: torch cannot trace the model, for instance because its computation depends on the values it reads.
    """
    inputs, dynamic_shapes = example_inputs(dialogue)
    try:
        with quiet():
            program: Any = torch.onnx.export(
                Graph(model).eval(),
                (),
                kwargs=inputs,
                dynamic_shapes=dynamic_shapes,
                output_names=["logits"],
                dynamo=True,
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:
        # torch's messages go on for pages; the first line has the cause
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"torch cannot export a {type(model).__name__} of this architecture ({reason})") from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # a stack trace per operation, with the paths of the machine it was exported on
    return program


def example_inputs(dialogue: bool) -> tuple[dict[str, Tensor], dict[str, dict[int, Any]]]:
    """Make the inputs that torch traces the model with, and name their axes that may have any size.

    >>> inputs, dynamic_shapes = example_inputs(dialogue=True)
    >>> {name: list(tensor.shape) for name, tensor in inputs.items()}
    {'input_ids': [2, 9], 'attention_mask': [2, 9], 'starts': [2, 3], 'ends': [2, 3]}
    """
    # No size is 1 and no two sizes are equal: torch.export would take a 1 for a constant, and two equal sizes for one.
    inputs = {"input_ids": torch.ones(2, 9, dtype=torch.long), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    shapes = {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")} for name in inputs}
    if dialogue:
        inputs |= {"starts": torch.tensor([[1, 3, 5]] * 2), "ends": torch.tensor([[2, 4, 6]] * 2)}
        shapes |= {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("turns")} for name in ("starts", "ends")}
    return inputs, shapes


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings and log messages while a block runs.

    The exporter tells of packages that only image models need, and of names that it gives to axes itself. Readers of a
    notebook would take these messages for errors.
    """
    disabled_level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled_level)
