"""Which layers get an adapter and which belong to the head, by the names that each architecture gives them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import peft
from torch import nn

# Query and value projections, as in Hu et al. 2021 (arXiv 2106.09685). The names are those of BERT and RoBERTa,
# DistilBERT, DeBERTa, MPNet, and ModernBERT, which has one layer for query, key and value.
QUERY_VALUE = (("query", "value"), ("q_lin", "v_lin"), ("query_proj", "value_proj"), ("q", "v"), ("Wqkv",))
# Key and value projections and the second layer of the feed-forward block, for IA3
KEY_VALUE_OUTPUT = (
    ("key", "value", "output.dense"),
    ("k_lin", "v_lin", "lin2"),
    ("Wqkv", "mlp.Wo"),
    ("key_proj", "value_proj", "output.dense"),
    ("k", "v", "output.dense"),
)
# The name of a numbered layer of the encoder, such as "encoder.layer.0."; the head and the pooler have no number
LAYER = r".*\.(?:layers?|block|h)\.\d+\."


def linear_layers(model: nn.Module) -> list[str]:
    """Names of the linear layers inside the encoder's layers, each name once: what `target_modules` may contain.

    >>> from transformers import BertConfig, BertModel
    >>> tiny = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    >>> linear_layers(nn.ModuleDict({"encoder": BertModel(tiny)}))[:3]
    ['attention.self.query', 'attention.self.key', 'attention.self.value']
    """
    names = (re.sub(LAYER, "", name) for name, module in model.named_modules() if is_linear(module, name))
    return list(dict.fromkeys(names))


def is_linear(module: nn.Module, name: str) -> bool:
    """Whether a module is a linear layer inside the encoder's layers."""
    return isinstance(module, nn.Linear) and re.match(LAYER, name) is not None


def pattern(model: nn.Module, target_modules: Sequence[str] | str | None, usual: Sequence[Sequence[str]]) -> str:
    """A regular expression for the full names of the chosen linear layers, as peft takes it.

    It only matches inside the encoder's layers. A plain name would match in the head as well: RoBERTa's head has a
    layer "dense", as its encoder does.

    Args:
        model: a classifier with an encoder.
        target_modules: names of linear layers, or "all"; None takes the first of `usual` that the model has.
        usual: groups of names, such as `QUERY_VALUE`.

    Raises:
        ValueError: the model has no layer of such a name. The message lists the names that it has.
    """
    available = linear_layers(model)

    def exists(target: str) -> bool:
        return any(name == target or name.endswith(f".{target}") for name in available)

    if target_modules is None:
        target_modules = next((names for names in usual if all(map(exists, names))), ())
        if not target_modules:
            raise ValueError(
                f"no usual target_modules for this model; pass target_modules= some of {', '.join(available)}"
            )
    elif target_modules == "all":
        target_modules = available
    elif isinstance(target_modules, str):
        target_modules = [target_modules]
    # peft alone fails only when no name exists; of two names with one misspelled it would adapt half the layers
    for target in target_modules:
        if not exists(target):
            raise ValueError(unknown_layer(target, available))
    return LAYER + r"(?:.*\.)?(?:" + "|".join(re.escape(target) for target in target_modules) + ")"


def unknown_layer(target: str, available: Sequence[str]) -> str:
    """The message for a layer that the model does not have, with the name that is most like it."""
    similar = difflib.get_close_matches(target, [name.split(".")[-1] for name in available], n=1, cutoff=0.1)
    hint = f", for instance {similar[0]}" if similar else ""
    return f"the model has no linear layer {target!r}; choose from {', '.join(available)}{hint}"


def matching(model: nn.Module, expression: str) -> list[str]:
    """Full names of the linear layers that a pattern chooses."""
    return [
        name for name, module in model.named_modules() if is_linear(module, name) and re.fullmatch(expression, name)
    ]


def heads(model: nn.Module) -> list[str]:
    """Full names of the head's modules and of BERT's pooler. They are trained in full and saved with the adapter.

    Each module has its own entry, because peft's task type "SEQ_CLS" only knows modules called "classifier" or "score",
    and because peft 0.21 cannot merge IA3 when a head of several layers is one entry.
    """
    # modules that have parameters of their own, not only those of their children
    leaves = [name for name, module in model.named_modules() if module._parameters]
    return [name for name in leaves if not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name]


def num_parameters(model: nn.Module) -> dict[str, int]:
    """Count the parameters of a model with or without an adapter.

    Returns:
        "trainable", "without head" (those of the trainable ones that do not belong to the head), and "total".
    """
    # peft keeps a frozen copy of each module that it trains in full
    parameters = [(name, p) for name, p in model.named_parameters() if ".original_module." not in name]
    trainable = [(name, p.numel()) for name, p in parameters if p.requires_grad]

    def is_head(name: str) -> bool:
        if isinstance(model, peft.PeftModel):
            return ".modules_to_save." in name
        return not name.startswith(f"{model.base_model_prefix}.")

    return {
        "trainable": sum(number for _, number in trainable),
        "without head": sum(number for name, number in trainable if not is_head(name)),
        "total": sum(p.numel() for _, p in parameters),
    }
