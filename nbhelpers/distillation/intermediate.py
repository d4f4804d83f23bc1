"""Losses on what the layers put out: hidden states, and how the tokens of a text relate to each other.

All of them ignore padding. They are means over the tokens of each text and then over the texts, so that a batch which
is divided into parts gives the same mean, and long texts do not count more than short ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .students import encoder_layers

# What the layers are called that compute queries, keys and values: in BERT, RoBERTa and ELECTRA, in DistilBERT, in
# MPNet, and in DeBERTa. ModernBERT has one layer for all three.
QUERY_KEY_VALUE = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"),
                   ("query_proj", "key_proj", "value_proj"))  # fmt: skip


def hidden_state_loss(
    student_hidden: Tensor, teacher_hidden: Tensor, attention_mask: Tensor, projection: nn.Module
) -> Tensor:
    """Compute the mean squared difference of hidden states, as in TinyBERT (Jiao et al. 2019, arXiv 1909.10351).

    TinyBERT's own code averages over padding as well, so that the loss of a text depends on the other texts of its
    batch.

    Args:
        student_hidden: [batch, tokens, student width], the output of one of the student's layers.
        teacher_hidden: [batch, tokens, teacher width], of the layer that it should reproduce. No gradient reaches it.
        attention_mask: [batch, tokens], 1 for tokens and 0 for padding.
        projection: A linear layer from the student's width to the teacher's. It has to be trained with the student.

    Returns:
        A scalar in fp32: the mean over the width, over the tokens of each text, and over the texts.

    Raises:
        ValueError: The shapes differ, for instance because the projection has another width.

    >>> student, teacher = torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([[[2.0], [5.0], [0.0]]])
    >>> hidden_state_loss(student, teacher, torch.tensor([[1, 1, 0]]), nn.Identity())  # (1 + 9) / 2; the 9.0 is padding
    tensor(5.)
    """
    projected = projection(student_hidden)
    if projected.shape != teacher_hidden.shape:
        raise ValueError(
            f"the student's hidden states have the shape {list(projected.shape)} after the projection, the teacher's "
            f"{list(teacher_hidden.shape)}; use the same texts and a projection to the teacher's width"
        )
    squares = (projected.float() - teacher_hidden.detach().float()) ** 2
    return mean_over_tokens(squares.mean(-1), attention_mask)


def relation_loss(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], attention_mask: Tensor, num_heads: int
) -> Tensor:
    """Compute KL(teacher || student) between the relations of tokens, as MiniLM does for the last layer.

    MiniLM (Wang et al. 2020, arXiv 2002.10957) adds two of these losses: for attention, the pair is (queries, keys),
    and for values it is (values, values). `num_heads` is then the number of attention heads, the same in both models.

    MiniLMv2 (arXiv 2012.15828) adds three: (queries, queries), (keys, keys) and (values, values). The vectors of all
    heads are joined and divided again into any number of relation heads, 48 in the paper for a teacher of width 768. So
    both the widths and the numbers of attention heads may differ, and no projection is needed.

    Args:
        student: Two tensors [batch, tokens, student width].
        teacher: Two tensors [batch, tokens, teacher width]. No gradient reaches them.
        attention_mask: [batch, tokens], 1 for tokens and 0 for padding.
        num_heads: The number of relation heads. It must divide both widths.

    Returns:
        A scalar in fp32: the mean over the relation heads, over the tokens of each text, and over the texts.

    >>> values, mask = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.ones(1, 2)
    >>> wider = torch.tensor([[[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]])
    >>> round(relation_loss((values, values), (wider, wider), mask, num_heads=1).item(), 4)
    0.1198
    """
    log_p = log_relations(*student, attention_mask, num_heads)
    with torch.no_grad():
        log_q = log_relations(*teacher, attention_mask, num_heads)
    kl = F.kl_div(log_p, log_q, log_target=True, reduction="none").sum(-1)  # [batch, heads, tokens]
    return mean_over_tokens(kl.mean(1), attention_mask)


def log_relations(first: Tensor, second: Tensor, attention_mask: Tensor, num_heads: int) -> Tensor:
    """Compute how each token relates to every other one: the log-softmax of first x second / sqrt(head width).

    Args:
        first, second: [batch, tokens, width].
        attention_mask: [batch, tokens], 1 for tokens and 0 for padding.
        num_heads: The number of parts that the width is divided into.

    Returns:
        Log-probabilities [batch, heads, tokens, tokens], of the second token given the first. Padding has the
        probability 0.

    Raises:
        ValueError: The number of heads does not divide the width.

    >>> log_relations(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.tensor([[1, 1, 0]]), num_heads=2).exp()[0, 0, 0]
    tensor([0.5000, 0.5000, 0.0000])
    """
    width = first.shape[-1]
    if width % num_heads:
        raise ValueError(f"num_heads={num_heads} does not divide the width {width}; pass a number that divides both")
    # Under autocast the product would be computed in bf16 or fp16, and the KL of two models that almost agree is small.
    with torch.autocast(first.device.type, enabled=False):
        first, second = (x.float().unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (first, second))
        scores = first @ second.transpose(-1, -2) / math.sqrt(width // num_heads)
    # Not -inf, because 0 * (-inf + inf) in the KL would be NaN.
    is_padding = attention_mask[:, None, None, :] == 0
    return scores.masked_fill(is_padding, torch.finfo(scores.dtype).min).log_softmax(-1)


def mean_over_tokens(losses: Tensor, attention_mask: Tensor) -> Tensor:
    """Average losses [batch, tokens] over the tokens of each text and then over the texts, without padding.

    >>> mean_over_tokens(torch.tensor([[1.0, 3.0], [6.0, 99.0]]), torch.tensor([[1, 1], [1, 0]]))  # (2 + 6) / 2
    tensor(4.)
    """
    mask = attention_mask.to(losses.dtype)
    return ((losses * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()


@contextmanager
def record_outputs(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Keep what some modules of a model put out, for all passes through the model in a `with` block.

    Args:
        modules: For instance a layer from `encoder_layers`, or the layers from `attention_projections`.

    Yields:
        A list that has the module's last output in the place of each module, with its gradient. It is filled when the
        model runs.

    >>> layer = nn.Linear(2, 3)
    >>> with record_outputs([layer]) as outputs:
    ...     _ = layer(torch.zeros(4, 2))
    >>> outputs[0].shape
    torch.Size([4, 3])
    """
    outputs = [torch.empty(0)] * len(modules)

    def keep(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            # MPNet's and DeBERTa's layers give a tuple whose first element is the hidden state.
            outputs[index] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [module.register_forward_hook(keep(index)) for index, module in enumerate(modules)]
    try:
        yield outputs
    finally:  # hooks that stay would keep the outputs of every later batch in memory
        for handle in handles:
            handle.remove()


def attention_projections(model: nn.Module, layer: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Find the linear layers that compute the queries, keys and values in one layer of an encoder.

    Args:
        model: A transformers model.
        layer: The number of the layer, from 0; -1 is the last one, which MiniLM uses. From a teacher with 24 layers,
            MiniLMv2 takes an upper middle layer instead.

    Raises:
        ValueError: The layer has no three such layers; ModernBERT, for instance, has one for all.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> query, key, value = attention_projections(model, -1)
    >>> query is model.bert.encoder.layer[1].attention.self.query
    True
    """
    by_name = {name.rpartition(".")[2]: module for name, module in encoder_layers(model)[layer].named_modules()}
    for names in QUERY_KEY_VALUE:
        if all(name in by_name for name in names):
            query, key, value = (by_name[name] for name in names)
            return query, key, value
    model_type = getattr(model.config, "model_type", "this model")
    raise ValueError(f"{model_type} has no layers of their own for queries, keys and values; use hidden_state_loss")
