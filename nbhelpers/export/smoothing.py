"""SmoothQuant: prepare a model so that it loses less when it is rounded to 8 bits.

Rounding gives all numbers of a tensor the same step size, which the largest number decides. In an encoder, a few
channels of the activations are many times larger than the rest, so the rest would be rounded to very few steps.
SmoothQuant (Xiao et al. 2022, arXiv 2211.10438) divides large channels by a factor and multiplies the weights that
read them by the same factor. This changes no result, and both become easier to round.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .inference import logits_per_example, make_logits_fn

NUM_CALIBRATION_EXAMPLES = 200  # the ranges of activations hardly change with more
PER_TOKEN_RATIO = 4  # layers whose largest activation exceeds this multiple of the median use one scale per token


def smooth_quant(model: nn.Module, dataloader: DataLoader[Any]) -> nn.Module:
    """Make a copy of a model that loses less when it is rounded to 8 bits.

    The copy computes the same logits, up to the rounding of its word embeddings, which are in 8 bits already. Its
    linear layers are `SmoothQuantLinear`, its word embeddings an `Int8Embedding`.

    Args:
        model: a transformers classifier.
        dataloader: training data. Its first 200 examples are the calibration examples. Labels are not read.

    Returns:
        The copy. Quantize it next; in torch it only runs slower than the original.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes)).eval()
    >>> rows = [{"input_ids": torch.tensor([2, row, 3])} for row in range(20)]
    >>> smoothed = smooth_quant(model, DataLoader(rows))
    >>> type(smoothed.classifier).__name__
    'SmoothQuantLinear'
    >>> difference = smoothed(torch.arange(20)[None]).logits - model(torch.arange(20)[None]).logits
    >>> bool(difference.abs().max() < 0.01)
    True
    """
    model = copy.deepcopy(model).eval()
    scale_channels(model, dataloader)
    choose_per_token_scales(model, dataloader)
    transformers_model: Any = model
    transformers_model.set_input_embeddings(Int8Embedding(transformers_model.get_input_embeddings()))
    return model


def scale_channels(model: nn.Module, dataloader: DataLoader[Any]) -> None:
    """Replace each linear layer of a model by one that scales its input channels. The model is changed.

    A channel's scale is sqrt(largest weight / largest activation): alpha is 0.5 in the paper's terms.
    """
    # Query, key and value read the same tensor, and should share one scale, so that it is scaled once. Layers with
    # exactly the same ranges on all calibration examples are taken for layers that read the same tensor.
    groups = defaultdict(list)
    ranges = activation_ranges(model, dataloader)
    for linear, channel_range in ranges.items():
        groups[channel_range.cpu().numpy().tobytes()].append(linear)
    replacements: dict[nn.Module, nn.Module] = {}
    for linears in groups.values():
        weights = torch.stack([linear.weight.detach().abs().amax(0) for linear in linears]).amax(0)  # [in channels]
        # a channel that is always 0 would divide by 0
        scale = (weights.clamp(min=1e-5) / ranges[linears[0]].clamp(min=1e-5)).sqrt()
        replacements |= {linear: SmoothQuantLinear(linear, scale) for linear in linears}
    for name, module in list(model.named_modules()):
        if module in replacements:
            model.set_submodule(name, replacements[module])


def activation_ranges(model: nn.Module, dataloader: DataLoader[Any]) -> dict[Any, Tensor]:
    """Find the largest absolute value of each input channel of each linear layer, over the calibration examples.

    Returns:
        For each nn.Linear that runs, a tensor [in channels].
    """
    ranges: dict[Any, Tensor] = {}

    def update_range(linear: Any, inputs: Tensor) -> None:
        channel_range = inputs.abs().flatten(0, -2).amax(0)
        ranges[linear] = torch.maximum(ranges.get(linear, channel_range), channel_range)

    observe_inputs(model, nn.Linear, update_range, dataloader)
    return ranges


def choose_per_token_scales(model: nn.Module, dataloader: DataLoader[Any]) -> None:
    """Turn on one scale per token in the layers that read tokens of very different size. The model is changed.

    In the other layers it would gain nothing, and onnxruntime computes them faster without it.
    """
    sizes = defaultdict(list)  # layer -> for each example, the largest absolute value of each token

    def add_sizes(linear: Any, inputs: Tensor) -> None:
        sizes[linear].append((inputs * linear.scale).abs().amax(-1).flatten())

    observe_inputs(model, SmoothQuantLinear, add_sizes, dataloader)
    for linear, sizes_by_example in sizes.items():
        token_sizes = torch.cat(sizes_by_example)
        linear.per_token = bool(token_sizes.max() > PER_TOKEN_RATIO * token_sizes.median())


def observe_inputs(
    model: nn.Module, layer_type: type, observe: Callable[[Any, Tensor], Any], dataloader: DataLoader[Any]
) -> None:
    """Run a model on the calibration examples and show the inputs of its layers to a function.

    Args:
        model: a transformers classifier. It is put into evaluation mode.
        layer_type: which layers to observe, for instance nn.Linear.
        observe: is called as `observe(layer, inputs)` whenever such a layer runs.
        dataloader: the calibration examples are the first ones of its data set.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, layer_type)]
    hooks = [layer.register_forward_pre_hook(lambda layer, inputs: observe(layer, inputs[0])) for layer in layers]
    logits_fn, dataset = make_logits_fn(model), dataloader.dataset
    # one by one: in a batch, the activations of padding would count as well
    for index in range(min(NUM_CALIBRATION_EXAMPLES, len(dataset))):  # type: ignore[arg-type]
        logits_per_example(logits_fn, dataloader.collate_fn([dataset[index]]))
    for hook in hooks:
        hook.remove()


class SmoothQuantLinear(nn.Module):
    """A linear layer whose matrix product reads channels of similar size and, with `per_token`, tokens of similar size.

    Args:
        linear: the nn.Linear that it replaces.
        scale: [in channels], the factor of each input channel. The weights are divided by it.

    >>> linear = nn.Linear(3, 2)
    >>> smoothed = SmoothQuantLinear(linear, scale=torch.tensor([0.01, 1.0, 1.0]))
    >>> inputs = torch.tensor([[800.0, 1.0, -2.0]])
    >>> torch.allclose(smoothed(inputs), linear(inputs), rtol=1e-4)
    True
    """

    scale: Tensor  # [in channels]

    def __init__(self, linear: Any, scale: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(linear.weight.detach() / scale), linear.bias
        self.register_buffer("scale", scale)
        self.per_token = False

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute what the original layer computes: [..., in channels] -> [..., out channels]."""
        inputs = inputs * self.scale
        # onnxruntime makes one operation of the rounding, the product and the bias, but only without the steps below
        if not self.per_token:
            return nn.functional.linear(inputs, self.weight, self.bias)
        size = inputs.abs().amax(-1, keepdim=True).clamp(min=1e-9)  # [..., 1]
        # one division per token and a product per channel: faster than a division per channel
        outputs = nn.functional.linear(inputs * size.reciprocal(), self.weight) * size
        return outputs if self.bias is None else outputs + self.bias


class Int8Embedding(nn.Module):
    """A word embedding in 8 bits, with one scale per word. A lookup needs no matrix product, so rounding it is safe.

    Args:
        embedding: the nn.Embedding that it replaces.

    >>> embedding = nn.Embedding(20, 8)
    >>> difference = Int8Embedding(embedding)(torch.arange(20)) - embedding(torch.arange(20))
    >>> bool(difference.abs().max() < 0.02)
    True
    """

    scale: Tensor  # [words, 1]
    weight: Tensor  # [words, hidden], int8

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        weight = embedding.weight.detach()
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-9) / 127
        self.register_buffer("scale", scale)
        # onnxruntime's quantize_dynamic is told to round matrix products only, so the embedding is rounded here
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up words: [batch, tokens] -> [batch, tokens, hidden]."""
        lookup = nn.functional.embedding
        return lookup(input_ids, self.weight).to(self.scale.dtype) * lookup(input_ids, self.scale)
