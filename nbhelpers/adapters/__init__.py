"""Adapters: train a few new weights beside a frozen encoder, save them with the classifier's head, and merge them.

The library peft does the work. This unit chooses the right layers for BERT, RoBERTa and their relatives, trains and
saves the head as well, and refuses a saved adapter that does not fit, where peft would leave random weights.

    model = adapters.lora(model)                 # now only the adapter and the head have requires_grad=True
    ...                                          # train with any loop and any optimizer of these parameters
    adapters.save(model, "my_adapter")           # a few hundred kilobytes, with the head

    # later: a newly loaded model of the same encoder, with a head for the same labels
    model = adapters.load_adapter(new_model, "my_adapter")
    model = adapters.merge(model)                # a model as before, without peft

The model is a classifier of transformers, such as AutoModelForSequenceClassification.from_pretrained(...) returns. To
use the unit, copy this folder into your project; it needs torch, transformers and peft. The files: `methods` adds an
adapter, `layers` knows the names of the layers, `saving` saves, loads and merges.

A small BERT with random weights. LoRA of rank 2 trains two matrices of 8 x 2 for each query and each value layer:

>>> from transformers import BertConfig, BertForSequenceClassification
>>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
>>> model = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=3, **sizes))
>>> adapted = lora(model, r=2)
>>> num_parameters(adapted)["without head"]
64
>>> isinstance(merge(adapted), BertForSequenceClassification)
True
"""

from .layers import KEY_VALUE_OUTPUT, LAYER, QUERY_VALUE, heads, linear_layers, matching, num_parameters, pattern
from .methods import ia3, lora, prefix
from .saving import load_adapter, merge, save

__all__ = [
    "KEY_VALUE_OUTPUT",
    "LAYER",
    "QUERY_VALUE",
    "heads",
    "ia3",
    "linear_layers",
    "load_adapter",
    "lora",
    "matching",
    "merge",
    "num_parameters",
    "pattern",
    "prefix",
    "save",
]
