"""A trained model -> a folder for production: ONNX, 8-bit weights, pruning; and how far each agrees with the original.

tokenizer, model = encoders.load_trained("my_model")
export(model, tokenizer, "onnx", settings={"speaker_format": "none"}, scores={"dev weighted F1": 0.61})
quantize(model, tokenizer, "int8", train_batches, settings={"speaker_format": "none"})
steps = {"torch": (make_logits_fn(model), "my_model"), "int8": (load_exported("int8")[1], "int8")}
compare(steps, dev_batches, weighted_f1)

A folder holds all that is needed: the graph with its weights (model.onnx), the tokenizer, labels, settings, versions
and scores (config.json), and a model card (README.md).
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib.metadata
import inspect
import json
import logging
import platform
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pandas as pd
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader
from transformers import AttentionInterface, AttentionMaskInterface, AutoTokenizer, masking_utils

MIN_AGREEMENT = 0.98  # of labels with the original; a step below it is refused
MODEL = "model.onnx"
NUM_CALIBRATION = 200  # examples that show how large each activation gets
UNEVEN = 4  # tokens get a scale each where the largest is this many times as large as their median
ATTENTION = "onnx_attention"  # the name under which transformers knows `attend` and `visible`
OPSET = 23  # the first with Attention
PROTOBUF_LIMIT = 2_000_000_000  # bytes; larger weights go into a file of their own, model.onnx.data
PACKAGES = ("torch", "transformers", "onnx", "onnxruntime")
# the two linear layers of a feed-forward block, as BERT and its relatives, and as DistilBERT names them
FEED_FORWARD = {"intermediate.dense": "output.dense", "ffn.lin1": "ffn.lin2"}
FEED_FORWARD_SIZE = ("intermediate_size", "hidden_dim")

Batch = Mapping[str, Tensor]
Runner = Callable[[Batch], Tensor]  # inputs -> logits [batch, classes], or [batch, turns, classes]


class ExportError(ValueError):
    """A model that cannot be exported, read back or accepted: says which, why, and what to do."""


class Graph(nn.Module):
    """What is exported: tensors in, logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, starts: Tensor | None = None, ends: Tensor | None = None
    ) -> Tensor:
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
    """Write model.onnx, for any batch size and length, and all that belongs to it; the model itself stays as it is.

    Args:
        model, tokenizer: as `encoders.load_trained` gives them. Adapters must be merged first.
        dialogue: classify turns: the graph then also takes "starts" and "ends" [batch, turns], as dialogue.py makes
            them, and gives logits [batch, turns, classes] instead of [batch, classes].
        settings: how inputs are to be made, for instance {"speaker_format": "name", "past": 5}; anything json can hold.
        scores: what was measured, for instance {"dev weighted F1": 0.61}.

    The graph comes from torch.export (`dynamo=True`). Attention is one operation of ONNX (opset 23) where transformers
    lets it be replaced, as in BERT and RoBERTa; elsewhere, as in DeBERTa, it is "eager", which every architecture has.

    Raises ExportError for an adapter that is not merged, for `dialogue=True` with a model that cannot read turns, and
    when torch cannot trace the model.
    """
    check_exportable(model, dialogue)
    plain: Any = copy.deepcopy(model).eval().float().cpu()
    # where positions are rotations, torch also makes one operation of those, which onnxruntime 1.31 refuses to run
    rotary = getattr(plain.config, "rope_parameters", None) is not None
    fused = plain.base_model._can_set_attn_implementation() and not rotary
    plain.set_attn_implementation(ATTENTION if fused else "eager")
    # sizes of 2 and more, and all different: torch.export takes a size of 1, or two equal ones, for fixed
    inputs = {"input_ids": torch.ones(2, 9, dtype=torch.long), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    axes = {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")} for name in inputs}
    if dialogue:
        inputs |= {"starts": torch.tensor([[1, 3, 5]] * 2), "ends": torch.tensor([[2, 4, 6]] * 2)}
        axes |= {name: {0: torch.export.Dim("batch"), 1: torch.export.Dim("turns")} for name in ("starts", "ends")}
    try:
        with quiet():
            program: Any = torch.onnx.export(
                Graph(plain).eval(), (), kwargs=inputs, dynamic_shapes=axes, output_names=["logits"],
                dynamo=True, opset_version=OPSET if fused else None, verbose=False,
            )  # fmt: skip
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"torch cannot export a {type(model).__name__} of this architecture ({reason})") from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # each holds a stack trace with the paths of this machine
    size = sum(weight.numel() * weight.element_size() for weight in plain.state_dict().values())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    program.save(folder / MODEL, external_data=size > PROTOBUF_LIMIT)
    tokenizer.save_pretrained(folder)
    plain.config.save_pretrained(folder)
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    about = {
        "labels": [plain.config.id2label[i] for i in range(plain.config.num_labels)],
        "inputs": list(inputs),
        "max_length": tokenizer.model_max_length,
        "causal_turns": bool(dialogue and plain.config.causal_turns),
        "settings": dict(settings or {}),
        "weights": "fp32",
        "versions": {"python": platform.python_version(), **packages},
        "scores": dict(scores or {}),
    }
    write_about(folder, about)
    return folder


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None = None, **_: Any
) -> tuple[Tensor, None]:
    """transformers' attention, [batch, heads, tokens, size] in, [batch, tokens, heads, size] out, as one operation."""
    heads = query.shape[1]
    flat = [x.transpose(1, 2).flatten(2) for x in (query, key, value)]  # the exporter drops what undoes itself
    attention: Any = torch.onnx.ops.attention
    y = attention(*flat, mask, q_num_heads=heads, kv_num_heads=key.shape[1], scale=scaling)[0]
    return y.unflatten(2, (heads, -1)), None


def visible(*, q_length: int, attention_mask: Tensor, mask_function: Any, **options: Any) -> Tensor | None:
    """transformers' mask of what each token may attend to, [batch, 1, tokens, tokens], in as few operations as go."""
    if mask_function is masking_utils.bidirectional_mask_function:
        return attention_mask[:, None, None, :].bool().expand(-1, 1, q_length, -1)
    options |= {"q_length": q_length, "attention_mask": attention_mask, "mask_function": mask_function}
    return masking_utils.sdpa_mask(**options)


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, visible)


def check_exportable(model: nn.Module, dialogue: bool) -> None:
    if any(type(module).__module__.startswith("peft.") for module in model.modules()):
        raise ExportError("the model still has an adapter; merge it first: export(adapters.merge(model), ...)")
    if dialogue and "starts" not in inspect.signature(model.forward).parameters:
        raise ExportError(f"a {type(model).__name__} cannot read turns; load the model with pooling='mean'")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that no text model needs, and on names of its own."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def quantize(
    model: nn.Module,
    tokenizer: Any,
    folder: str | Path,
    batches: DataLoader[Any],
    *,
    full_range: bool | None = None,
    **options: Any,
) -> Path:
    """Like `export`, with 8-bit weights, a scale per output unit; activations are rounded to 8 bits as they come.

    Args:
        model, tokenizer, folder, options: as in `export`.
        batches: of training data; the first 200 examples show how large each activation gets. Labels are not read.
        full_range: weights from -127 to 127. Right for CPUs with VNNI and for ARM. Other x86 CPUs add pairs of 8-bit
            products in 16 bits, which overflow without an error (onnxruntime issues 5644, 6004): for them weights are
            kept within -64 to 64. Default: what suits this machine; pass False if the model will run on older ones.

    onnxruntime's `quantize_dynamic` alone rounds each activation with one scale for all tokens and channels of a batch,
    though a few channels of an encoder are many times larger than the rest; `smooth_quant` does something about that. Compare
    with the original on dev (`compare`) before using it.
    """
    check_exportable(model, bool(options.get("dialogue")))
    folder = export(smooth_quant(model, batches), tokenizer, folder, **options)
    about = read_about(folder)
    full_range = adds_8_bit_exactly() if full_range is None else full_range
    graph = onnx.load(folder / MODEL)
    del graph.graph.value_info[:]  # torch 2.13 leaves shapes of matrices as they were before it turned them round
    # else a note on standard error; the exporter has simplified the graph already
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    for path in folder.glob(f"{MODEL}*"):
        path.unlink()
    quantize_dynamic(
        graph, folder / MODEL, ["MatMul"], per_channel=True, reduce_range=not full_range, weight_type=QuantType.QInt8
    )
    write_about(folder, about | {"weights": "int8" if full_range else "int8, 7 bits used"})
    return folder


def smooth_quant(model: nn.Module, batches: DataLoader[Any]) -> nn.Module:
    """A copy that loses less when it is rounded to 8 bits: the same answers, up to rounding of the word embeddings.

    Channels that are large are scaled down before a linear layer, and its weights scaled up by as much (SmoothQuant;
    Xiao et al. 2022, arXiv 2211.10438, alpha 0.5). Where tokens still differ much in size, each is divided by its own
    largest value, too. Word embeddings get a scale per word.
    """
    model = copy.deepcopy(model).eval()
    largest: dict[Any, Tensor] = {}  # absolute value of each input channel

    def watch_channels(linear: Any, x: Tensor) -> None:
        found = x.abs().flatten(0, -2).amax(0)
        largest[linear] = torch.maximum(largest.get(linear, found), found)

    watch(model, nn.Linear, watch_channels, batches)
    together = defaultdict(list)  # layers that read the same tensor, as query, key and value do, share a scale
    for linear, found in largest.items():
        together[found.cpu().numpy().tobytes()].append(linear)
    eased: dict[nn.Module, nn.Module] = {}
    for linears in together.values():
        weights = torch.stack([linear.weight.detach().abs().amax(0) for linear in linears]).amax(0)
        scale = (weights.clamp(min=1e-5) / largest[linears[0]].clamp(min=1e-5)).sqrt()
        eased |= {linear: SmoothQuantLinear(linear, scale) for linear in linears}
    for name, module in list(model.named_modules()):
        if module in eased:
            model.set_submodule(name, eased[module])

    sizes = defaultdict(list)  # of each token that a layer reads
    watch(model, SmoothQuantLinear, lambda linear, x: sizes[linear].append((x * linear.scale).abs().amax(-1)), batches)
    for linear, each in sizes.items():
        size = torch.cat([found.flatten() for found in each])
        linear.by_token = bool(size.max() > UNEVEN * size.median())
    whole: Any = model
    whole.set_input_embeddings(Int8Embedding(whole.get_input_embeddings()))
    return model


def watch(model: nn.Module, kind: type, see: Callable[[Any, Tensor], Any], batches: DataLoader[Any]) -> None:
    """Call `see(layer, input)` for all layers of this kind while the model answers the first examples."""
    layers = [layer for layer in model.modules() if isinstance(layer, kind)]
    hooks = [layer.register_forward_pre_hook(lambda layer, inputs: see(layer, inputs[0])) for layer in layers]
    run, dataset = make_logits_fn(model), batches.dataset
    for i in range(min(NUM_CALIBRATION, len(dataset))):  # type: ignore[arg-type]
        answers(run, batches.collate_fn([dataset[i]]))  # one by one: no padding
    for hook in hooks:
        hook.remove()


class SmoothQuantLinear(nn.Module):
    """A linear layer whose matrix product sees inputs of even size: across channels, and, `by_token`, across tokens."""

    scale: Tensor  # [in channels]

    def __init__(self, linear: Any, scale: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(linear.weight.detach() / scale), linear.bias
        self.register_buffer("scale", scale)
        self.by_token = False

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scale
        if not self.by_token:  # onnxruntime makes one operation of the product, the rounding before and the bias after
            return nn.functional.linear(x, self.weight, self.bias)
        size = x.abs().amax(-1, keepdim=True).clamp(min=1e-9)
        y = nn.functional.linear(x * size.reciprocal(), self.weight) * size  # a product takes less time than a quotient
        return y if self.bias is None else y + self.bias


class Int8Embedding(nn.Module):
    """An embedding of one byte per number, with a scale for each word."""

    scale: Tensor  # [words, 1]
    weight: Tensor  # [words, hidden], int8

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight = embedding.weight.detach()
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-9) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))

    def forward(self, input_ids: Tensor) -> Tensor:
        take = nn.functional.embedding
        return take(input_ids, self.weight).to(self.scale.dtype) * take(input_ids, self.scale)


def adds_8_bit_exactly() -> bool:
    """Whether this CPU multiplies and adds 8-bit numbers without overflow: x86 with VNNI, and anything but x86."""
    cpu = torch.cpu.get_capabilities()
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686", "x86")
    return not x86 or bool(cpu.get("avx512_vnni") or cpu.get("avx_vnni"))


def add_scores(folder: str | Path, scores: Mapping[str, float]) -> None:
    """Write what was measured of an exported folder into its config.json and model card."""
    about = read_about(Path(folder))
    write_about(Path(folder), about | {"scores": about["scores"] | dict(scores)})


class OnnxModel:
    """An exported model. Call it with a batch as `batching.Collator` makes it: the logits come back as a tensor.

    `labels` are the class names in the order of their ids, `settings` what `export` was given, `about` all that is
    known: live, max_length, weights, versions, scores.
    """

    def __init__(self, session: onnxruntime.InferenceSession, about: Mapping[str, Any]) -> None:
        self.session, self.about = session, about
        self.labels: list[str] = about["labels"]
        self.settings: dict[str, Any] = about["settings"]

    def __call__(self, batch: Batch) -> Tensor:
        """Logits [batch, classes]; of a dialogue model [batch, turns, classes], for turns with ends 0 meaningless."""
        missing = [name for name in self.about["inputs"] if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks {' and '.join(missing)}, which this model reads")
        length, limit = batch["input_ids"].shape[1], self.about["max_length"]
        if length > limit:
            raise ValueError(f"a batch of {length} tokens is too long: the model reads {limit}; cut the text first")
        inputs = {name: batch[name].cpu().numpy() for name in self.about["inputs"]}
        return torch.from_numpy(self.session.run(["logits"], inputs)[0])


def load_exported(folder: str | Path, *, threads: int = 0) -> tuple[Any, OnnxModel]:
    """The tokenizer and the model of a folder that `export` or `quantize` wrote. `threads` 0: one per core.

    Raises ExportError, in one sentence, when something is missing or is not what was written. Warns when the weights
    use all 8 bits and this CPU cannot add them exactly.
    """
    folder = Path(folder)
    about = read_about(folder)
    if about["weights"] == "int8" and not adds_8_bit_exactly():
        warnings.warn(f"{folder} may answer wrongly on this CPU; quantize it again with full_range=False", stacklevel=2)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        if not (folder / "tokenizer_config.json").is_file():  # transformers would make up an empty tokenizer
            raise FileNotFoundError("tokenizer_config.json is not there")
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        session = onnxruntime.InferenceSession(
            folder / MODEL, options, providers=["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],  # the fused operation is slower than the two it replaces
        )  # fmt: skip
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise ExportError(f"cannot load {folder} ({reason}); export the model again") from error
    tokenizer.model_max_length = about["max_length"]
    return tokenizer, OnnxModel(session, about)


def read_about(folder: Path) -> dict[str, Any]:
    """The part of an exported folder's config.json that `export` wrote, once its files are found to be the same."""
    for name in ("config.json", MODEL):
        if not (folder / name).is_file():
            raise ExportError(f"{folder} has no {name}; pass a folder that export() or quantize() wrote")
    try:
        about: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))["export"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder / 'config.json'} is not one that export() wrote; export the model again") from error
    if digest(folder) != about.get("sha256"):
        raise ExportError(f"{folder / MODEL} is not the file that was written; copy it, or export the model, again")
    return about


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Add this to config.json, with the digest of the weights, and write the model card."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"export": {**about, "sha256": digest(folder)}}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    (folder / "README.md").write_text(model_card(config["model_type"], about), encoding="utf-8")


def digest(folder: Path) -> str:
    """SHA-256 of model.onnx and, where there is one, of its file of weights."""
    found = hashlib.sha256()
    for path in sorted(folder.glob(f"{MODEL}*")):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: found)
    return found.hexdigest()


def model_card(architecture: str, about: Mapping[str, Any]) -> str:
    """The README.md of an exported folder: what it is, what it reads and gives, and what is known of its quality."""
    dialogue = "starts" in about["inputs"]
    facts = {
        "weights": about["weights"],
        "inputs": f"{', '.join(about['inputs'])}; at most {about['max_length']} tokens",
    }
    if dialogue:
        facts["a turn sees"] = "itself and earlier turns" if about["live"] else "the whole dialogue"
    facts |= about["settings"]
    scores = {name: f"{value:.4g}" for name, value in about["scores"].items()} or {"none": "nobody recorded any"}
    return f"""# A {architecture} classifier in ONNX

It gives {"each turn of a dialogue" if dialogue else "a text"} one of these labels: {", ".join(about["labels"])}.

{bullets(facts)}

## Scores

{bullets(scores)}

## Use

    tokenizer, model = nbhelpers.export.load_exported(folder)

## Made with

{bullets(about["versions"])}
"""


def bullets(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


# --- other ways to a smaller model: all give a copy -------------------------------------------------------------------


def bf16(model: nn.Module) -> nn.Module:
    """A copy with 16-bit weights (8 bits of precision): half the size; how fast depends on the machine."""
    return copy.deepcopy(model).to(torch.bfloat16)


def prune_weights(model: nn.Module, share: float) -> nn.Module:
    """A copy whose encoder's linear layers have this share of their weights set to 0: the smallest, over all layers.

    Neither smaller nor faster: dense products multiply zeros, too. What it shows is how many weights a model can lose.
    Source: Han et al. 2015, arXiv 1506.02626.
    """
    check_share(share)
    model = copy.deepcopy(model)
    encoder: Any = model.base_model
    weights = [(module, "weight") for module in encoder.modules() if isinstance(module, nn.Linear)]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    for module, name in weights:
        prune.remove(module, name)
    return model


def prune_units(model: nn.Module, share: float) -> nn.Module:
    """A copy without this share of the hidden units of every feed-forward block: really smaller.

    In each layer the units go whose weights in, times weights out, are smallest (their norms). The configuration knows
    the new size, so that `save_pretrained` and `load_trained` work as before. Train it again for an epoch: what is left
    has to make up for what is gone. Source, for whole units: Li et al. 2017, arXiv 1608.08710.

    Raises ExportError for an architecture whose feed-forward blocks are built otherwise (ModernBERT's are gated).
    """
    check_share(share)
    model = copy.deepcopy(model)
    encoder: Any = model.base_model
    modules = dict(encoder.named_modules())
    pairs = [
        (modules[name], modules[name.removesuffix(first) + second])
        for name in modules
        for first, second in FEED_FORWARD.items()
        if name.endswith(f".{first}")
    ]
    if not pairs:
        raise ExportError(f"the feed-forward blocks of {encoder.config.model_type} are of a kind that cannot be pruned")
    kept = max(1, round((1 - share) * pairs[0][0].out_features))
    for first, second in pairs:
        importance = first.weight.norm(dim=1) * second.weight.norm(dim=0)  # [units]
        units = importance.topk(kept).indices.sort().values
        first.weight, first.bias = nn.Parameter(first.weight[units].detach()), nn.Parameter(first.bias[units].detach())
        second.weight = nn.Parameter(second.weight[:, units].detach().contiguous())
        first.out_features = second.in_features = kept
    for config in (model.config, encoder.config):
        setattr(config, next(name for name in FEED_FORWARD_SIZE if hasattr(config, name)), kept)
    return model


def check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"share={share}: it is the part that goes, from 0 to below 1")


# --- what a step costs and buys ---------------------------------------------------------------------------------------


def make_logits_fn(model: nn.Module) -> Runner:
    """A torch model that is called like an exported one: batch -> logits, fp32, on the CPU."""
    model.eval()
    device = next(model.parameters()).device

    def run(batch: Batch) -> Tensor:
        with torch.inference_mode():
            return model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits.float().cpu()

    return run


def predict(run: Runner, batches: DataLoader[Any]) -> Tensor:
    """Logits [items, classes] in the order of the data set, whatever the order of the batches; of dialogues, per turn.

    `run` is an `OnnxModel` or `make_logits_fn(model)`. Labels are not read: the data may have none.
    """
    found: dict[int, Tensor] = {}
    for indices in batches.batch_sampler or ():
        batch = batches.collate_fn([batches.dataset[index] for index in indices])
        found |= zip(indices, answers(run, batch), strict=True)
    return torch.cat([found[index] for index in range(len(found))])


def answers(run: Runner, batch: Batch) -> list[Tensor]:
    """Of each example, its logits [turns, classes], without those of turns that only fill the batch up."""
    logits = run({name: tensor for name, tensor in batch.items() if name != "labels"})
    if logits.ndim == 2:
        return list(logits.unsqueeze(1))
    return [row[there] for row, there in zip(logits, batch["ends"] > 0, strict=True)]


def agreement(reference_logits: Any, logits: Any) -> dict[str, float]:
    """How far two models agree on the same items: the share of equal labels, the largest difference of a probability.

    Args:
        reference_logits, logits: [items, classes].

    >>> found = agreement([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]])
    >>> found["labels"], round(found["probability"], 3)
    (0.5, 0.462)
    """
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (reference_logits, logits))
    if a.shape != b.shape or a.ndim != 2 or len(a) == 0:
        raise ValueError(f"logits of shape {list(a.shape)} and {list(b.shape)}; both must be [items, classes]")
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("some logits are not finite; the model that gave them does not work")
    difference = (a.softmax(-1) - b.softmax(-1)).abs().max()
    return {"labels": (a.argmax(-1) == b.argmax(-1)).double().mean().item(), "probability": difference.item()}


def size_mib(folder: str | Path) -> float:
    """Size of a folder's weights on disk, in MiB: *.onnx, *.onnx.data, *.safetensors."""
    files = [file for file in Path(folder).iterdir() if file.suffix in (".onnx", ".data", ".safetensors")]
    if not files:
        raise ValueError(f"{folder} holds no weights; pass the folder that the model was saved to")
    return sum(file.stat().st_size for file in files) / 2**20


def speed(run: Runner, batches: DataLoader[Any], *, num_items: int = 256) -> dict[str, float]:
    """Median latency in ms of one example by itself, and items per second in batches of 32 examples of like length.

    Items are texts or, of dialogues, turns. Measured on the first `num_items` examples (latency: the first 50), on this
    machine as it is now: compare only what was measured side by side.
    """
    examples = [batches.dataset[i] for i in range(min(num_items, len(batches.dataset)))]  # type: ignore[arg-type]
    single = [batches.collate_fn([example]) for example in examples[:50]]
    examples.sort(key=lambda example: len(example["input_ids"]))
    full = [batches.collate_fn(examples[i : i + 32]) for i in range(0, len(examples), 32)]

    def seconds(batch: Batch) -> float:
        start = time.perf_counter()
        answers(run, batch)
        return time.perf_counter() - start

    num_answers = sum(len(rows) for batch in full for rows in answers(run, batch))  # the first pass also sets up
    passes = [sum(map(seconds, full)) for _ in range(3)]
    return {
        "ms per example": 1000 * statistics.median(map(seconds, single)),
        "items per second": num_answers / statistics.median(passes),
    }


def compare(
    steps: Mapping[str, tuple[Runner, str | Path]],
    batches: DataLoader[Any],
    score: Callable[[Tensor], float],
    *,
    force: bool = False,
) -> pd.DataFrame:
    """What each step costs and buys, against the first one: a table with a row per step.

    Args:
        steps: name -> (runner or OnnxModel, folder of its weights); the original comes first.
        batches: of the dev set, from `batching.loader`.
        score: `score(logits [items, classes]) -> weighted F1`, or what else counts; items are in the data set's order.
        force: keep a step that agrees with the original on less than 98 % of the labels, instead of refusing it.

    Columns: MiB, those of `speed`, labels that agree and largest difference of a probability (`agreement`), score.
    Raises ExportError for a step that is refused.
    """
    rows: dict[str, dict[str, float]] = {}
    reference = torch.empty(0)
    for name, (run, folder) in steps.items():
        logits = predict(run, batches)
        reference = reference if rows else logits
        agreed = agreement(reference, logits)
        if agreed["labels"] < MIN_AGREEMENT and not force:
            raise ExportError(
                f"{name} agrees with {next(iter(rows))} on {agreed['labels']:.1%} of {len(logits)} labels, less than "
                f"{MIN_AGREEMENT:.0%} (scores: {score(logits):.3f}, {rows[next(iter(rows))]['score']:.3f}); do not use "
                "it, or pass force=True"
            )
        measured = {"MiB": size_mib(folder), **speed(run, batches)}
        rows[name] = {**measured, "same labels": agreed["labels"], "largest difference": agreed["probability"]}
        rows[name]["score"] = score(logits)
    return pd.DataFrame.from_dict(rows, orient="index")
