"""Adapters: train a few new weights beside a frozen encoder (peft), save them with their head, merge them.

model = lora(model)                      # only the adapter and the head are trainable now
save(model, folder)                      # a few hundred kilobytes, head included
again = load_adapter(fresh_model, folder)
plain = merge(again)                     # a model as before, without peft
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
from safetensors import safe_open
from torch import nn

# Query and value projections (Hu et al. 2021, arXiv 2106.09685) as the architectures name them
QUERY_VALUE = (("query", "value"), ("q_lin", "v_lin"), ("query_proj", "value_proj"), ("q", "v"), ("Wqkv",))
KEY_VALUE_OUTPUT = (("key", "value", "output.dense"), ("k_lin", "v_lin", "lin2"), ("Wqkv", "mlp.Wo"),
                    ("key_proj", "value_proj", "output.dense"), ("k", "v", "output.dense"))  # fmt: skip
LAYER = r".*\.(?:layers?|block|h)\.\d+\."  # a layer of the encoder; the head and the pooler lie outside


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
    return isinstance(module, nn.Linear) and re.match(LAYER, name) is not None


def lora(
    model: nn.Module,
    *,
    r: int = 8,
    alpha: int = 16,
    dropout: float = 0.05,
    target_modules: Sequence[str] | str | None = None,
    **options: Any,
) -> peft.PeftModel:
    """Freeze the encoder and add low-rank updates (alpha / r) B A to some of its linear layers; the head trains, too.

    Args:
        model: a classifier with an encoder, from `encoders.load`; it is changed in place.
        r: rank of the updates; alpha: their scale is alpha / r, as in the paper.
        dropout: of the updates' inputs.
        target_modules: names of linear layers ("query" means every layer whose name ends in it), "all" for all of them;
            default: query and value.
        options: further arguments of `peft.LoraConfig`, for instance use_dora=True.

    LoRA wants a higher learning rate than full fine-tuning, 10 to 40 times as high in the paper's RoBERTa recipes.

    Raises ValueError, with the names that exist, for a target that does not (RoBERTa has no "q_proj").
    """
    config = peft.LoraConfig(
        r=r, lora_alpha=alpha, lora_dropout=dropout, modules_to_save=heads(model),
        target_modules=pattern(model, target_modules, QUERY_VALUE), **options,
    )  # fmt: skip
    return peft.get_peft_model(model, config)


def ia3(model: nn.Module, *, target_modules: Sequence[str] | None = None) -> peft.PeftModel:
    """Freeze the encoder and learn one factor per unit of some linear layers (Liu et al. 2022, arXiv 2205.05638).

    The factors multiply the outputs of the attention layers among `target_modules` and the inputs of the others. Default: key,
    value and the feed-forward block's second layer, as in the paper (peft's own default takes BERT's attention output,
    too).
    """
    chosen = pattern(model, target_modules, KEY_VALUE_OUTPUT)
    if target_modules is None:
        chosen = r"(?!.*\.attention\.output\.)" + chosen  # its name, too, ends in "output.dense"
    names = [name for name in matching(model, chosen) if not re.search(r"\.att(entio)?n\.", name)]
    feedforward = "|".join(re.escape(name) for name in names)
    config = peft.IA3Config(modules_to_save=heads(model), target_modules=chosen, feedforward_modules=feedforward)
    return peft.get_peft_model(model, config)


def prefix(model: nn.Module, *, num_tokens: int = 16) -> peft.PeftModel:
    """Freeze the encoder and learn keys and values that every layer sees in front of the text (arXiv 2101.00190).

    Raises ValueError for mean pooling: peft 0.21 knows only heads on the first token, `encoders.load(pooling="cls")`.
    Works with BERT, RoBERTa and ELECTRA; peft refuses DistilBERT and ModernBERT.
    """
    if type(model).__name__ == "MeanPoolingClassifier":
        raise ValueError("peft has prefix tuning only for heads on the first token; load the model with pooling='cls'")
    pooler = [name for name in heads(model) if ".pooler." in name]
    config = peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=num_tokens, modules_to_save=pooler)
    return peft.get_peft_model(model, config)  # the task type adds the head


def heads(model: nn.Module) -> list[str]:
    """The modules of the head, and of BERT's pooler: they train in full and are saved with the adapter.

    Named one by one and not by peft's task type, which knows "classifier" only and cannot merge IA3 beside a head of
    several layers (peft 0.21).
    """
    leaves = [name for name, module in model.named_modules() if module._parameters]
    return [name for name in leaves if not name.startswith(f"{model.base_model_prefix}.") or ".pooler." in name]


def pattern(model: nn.Module, target_modules: Sequence[str] | str | None, usual: Sequence[Sequence[str]]) -> str:
    """A regular expression for the chosen linear layers: within the encoder's layers only, so never the head."""
    there = linear_layers(model)

    def exists(target: str) -> bool:
        return any(name == target or name.endswith(f".{target}") for name in there)

    if target_modules is None:
        target_modules = next((names for names in usual if all(map(exists, names))), ())
        if not target_modules:
            raise ValueError(f"no usual target_modules for this model; pass target_modules= some of {', '.join(there)}")
    target_modules = (
        there if target_modules == "all" else [target_modules] if isinstance(target_modules, str) else target_modules
    )
    for target in target_modules:
        if not exists(target):
            near = difflib.get_close_matches(target, [name.split(".")[-1] for name in there], n=1, cutoff=0.1)
            hint = f", for instance {near[0]}" if near else ""
            raise ValueError(f"the model has no linear layer {target!r}; choose from {', '.join(there)}{hint}")
    return LAYER + r"(?:.*\.)?(?:" + "|".join(re.escape(target) for target in target_modules) + ")"


def matching(model: nn.Module, expression: str) -> list[str]:
    """Full names of the linear layers that a pattern chooses."""
    return [
        name for name, module in model.named_modules() if is_linear(module, name) and re.fullmatch(expression, name)
    ]


def num_parameters(model: nn.Module) -> dict[str, int]:
    """How many are trainable, how many of these do not belong to the head, and how many there are in total."""
    parameters = [(name, p) for name, p in model.named_parameters() if ".original_module." not in name]
    trainable = [(name, p.numel()) for name, p in parameters if p.requires_grad]

    def of_head(name: str) -> bool:
        adapted = isinstance(model, peft.PeftModel)
        return ".modules_to_save." in name if adapted else not name.startswith(f"{model.base_model_prefix}.")

    return {
        "trainable": sum(number for _, number in trainable),
        "without head": sum(number for name, number in trainable if not of_head(name)),
        "total": sum(p.numel() for _, p in parameters),
    }


def save(model: peft.PeftModel, folder: str | Path, *, encoder: str | None = None) -> None:
    """Write the adapter with its head, and the configuration: labels, pooling, and what else the model knows of itself.

    (`model.save_pretrained` writes the adapter alone, which does not tell what its classes are called.)

    Args:
        encoder: the name to note for the encoder, such as "roberta-base"; default: where it was loaded from, which may
            be a path of this machine.
    """
    model.save_pretrained(str(folder))
    if encoder is not None:
        config = model.active_peft_config
        config.base_model_name_or_path = encoder
        config.save_pretrained(str(folder))
    base: Any = model.get_base_model()
    base.config.architectures = [type(base).__name__]
    base.config.save_pretrained(folder)


def load_adapter(model: nn.Module, folder: str | Path) -> peft.PeftModel:
    """Put a saved adapter, with its head, on a freshly loaded model of the same encoder, labels and pooling.

    Raises ValueError when the folder holds no adapter, an adapter without its head, or one trained on another model.
    (peft loads such adapters, the last with at most a warning, and leaves random weights where it found none.)
    """
    weights = Path(folder) / "adapter_model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{folder} holds no adapter ({weights.name}); pass a folder that save_pretrained wrote")
    with safe_open(weights, framework="pt") as file:
        saved = set(file.keys())
    head = heads(model)
    mismatch = f"{folder} was trained on another model; load the same encoder with the same labels and pooling"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error below
        try:
            adapted = peft.PeftModel.from_pretrained(model, str(folder))
        except RuntimeError as error:  # sizes differ
            raise ValueError(mismatch) from error
    if set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)) - saved:
        raise ValueError(mismatch)
    if not any(f".{name}." in key for name in head for key in saved):
        raise ValueError(
            f"{folder} was saved without its head ({', '.join(head)}), and a new one would only guess; "
            "train it again with the head in modules_to_save, as lora() does"
        )
    return adapted


def merge(model: peft.PeftModel) -> Any:
    """The model with the adapter added into its weights: no peft inside, no extra cost, saved as a plain folder.

    Changes the model in place; its encoder stays frozen. Merge in fp32: in bf16 the small updates would be rounded
    away.

    Raises ValueError for prefix tuning, which adds tokens and changes no weight.
    """
    if model.active_peft_config.is_prompt_learning:
        raise ValueError("a prefix has no weights to merge into the encoder; keep the adapter, or train with lora()")
    return model.merge_and_unload()
