"""The tokenizer of a model, and how many tokens the model reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from .sources import EncoderError, from_source

# These architectures number positions from padding_idx + 1. With pad id 1, 514 positions are enough for 512 tokens.
OFFSET_POSITIONS = [
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
    "camembert",
    "mpnet",
    "longformer",
    "data2vec-text",
    "ibert",
    "luke",
    "lilt",
]


def load_tokenizer(source: str, revision: str | None, config: Any) -> Any:
    """The tokenizer of a source. Its `model_max_length` is set to the number of tokens that the model reads.

    Args:
        source, revision: from `find`.
        config: the model's configuration.

    Raises:
        EncoderError: there is no tokenizer, it has no padding token, or it has more tokens than the model.
    """
    folder = Path(source)
    # transformers 5 would create an empty tokenizer here, which turns every word into [UNK]
    if folder.is_dir() and not any(folder.glob("tokenizer.json")) and not any(folder.glob("vocab*")):
        raise EncoderError(f"{source} has no tokenizer; save it there as well: tokenizer.save_pretrained(folder)")
    tokenizer = from_source(AutoTokenizer, source, revision)
    if tokenizer.pad_token_id is None:
        raise EncoderError(f"{source}: its tokenizer has no padding token; choose an encoder that has one")
    # many tokenizers do not know the limit and have a huge number here, so that nothing would be cut
    tokenizer.model_max_length = min(tokenizer.model_max_length, max_length(config))
    # a token id beyond the embedding would only fail later: with an IndexError, or a crash on a GPU
    if len(tokenizer) > config.vocab_size:
        raise EncoderError(
            f"{source}: the tokenizer has {len(tokenizer)} tokens but the model embeds {config.vocab_size}; "
            "they do not belong together, so save the model with its own tokenizer"
        )
    return tokenizer


def max_length(config: Any) -> int:
    """How many tokens a model reads, special tokens included: 512 for BERT, and for RoBERTa with its 514 positions.

    Raises:
        EncoderError: the model has no fixed number of positions, such as T5 or XLNet.

    >>> from transformers import BertConfig, RobertaConfig
    >>> max_length(BertConfig()), max_length(RobertaConfig(max_position_embeddings=514))
    (512, 512)
    """
    positions = getattr(config, "max_position_embeddings", None) or 0  # XLNet has -1
    if positions < 1:
        raise EncoderError(f"{config.model_type} models are not supported; choose a BERT-like encoder")
    offset = config.pad_token_id + 1 if config.model_type in OFFSET_POSITIONS else 0
    return int(positions) - offset
