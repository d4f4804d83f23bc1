"""Byte-level BPE: learn merges step by step, apply them to a text, and make a RoBERTa tokenizer of one's own.

A text becomes bytes first, so every text can be written: there are only 256 of them. Each byte is shown as a printable
character, a space as "Ġ". Then the most frequent pair of neighbors is merged into one symbol, again and again.
Sources: Sennrich et al. 2016, arXiv 1508.07909; bytes instead of characters: Radford et al. 2019 (GPT-2).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import RobertaTokenizer

SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # ids 0 to 4; RoBERTa also has <pad> at 1

Pair = tuple[str, str]

BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BYTE_SYMBOLS = sorted(pre_tokenizers.ByteLevel.alphabet())  # one printable character for each of the 256 bytes


def split_words(text: str) -> list[str]:
    """Split a text as GPT-2 and RoBERTa do, before any merge; the bytes are written as printable characters.

    A word keeps the space before it. Endings such as 's and 't, digits and punctuation are separated. Merges never
    cross these borders.

    >>> split_words("I don't, at 9.")
    ['I', 'Ġdon', "'t", ',', 'Ġat', 'Ġ9', '.']
    >>> split_words("é")  # two bytes
    ['Ã©']
    """
    return [word for word, _ in BYTE_LEVEL.pre_tokenize_str(text)]


def learn_merges(texts: Iterable[str], num_merges: int) -> list[tuple[Pair, int]]:
    """Learn the merges of a byte-level BPE: the most frequent pair of neighboring symbols, again and again.

    This is the algorithm in its plainest form, for reading and for small texts. It counts all pairs again after each
    merge, which `train_tokenizer` avoids. Both give the same merges: of equally frequent pairs, the one whose symbols
    have the lower ids comes first (bytes before merged symbols, and earlier merges before later ones).

    Args:
        texts: The training texts.
        num_merges: How many merges; fewer if no pair is left that occurs twice.

    Returns:
        The merges in their order, each as a pair of symbols and how often the pair occurred when it was merged.

    Raises:
        ValueError: `num_merges` is negative.

    >>> learn_merges(["low low lower"], 3)
    [(('l', 'o'), 3), (('lo', 'w'), 3), (('Ġ', 'low'), 2)]
    """
    if num_merges < 0:
        raise ValueError(f"num_merges={num_merges} is negative; pass 0 or more")
    words = Counter(word for text in texts for word in split_words(text))
    pieces = {word: list(word) for word in words}  # the symbols that each word is made of so far
    ids = {symbol: number for number, symbol in enumerate(BYTE_SYMBOLS)}
    merges: list[tuple[Pair, int]] = []
    while len(merges) < num_merges:
        counts = count_pairs(pieces, words)
        best = min(counts, key=lambda pair: (-counts[pair], ids[pair[0]], ids[pair[1]]), default=None)
        if best is None or counts[best] < 2:
            break
        merges.append((best, counts[best]))
        ids.setdefault("".join(best), len(ids))
        pieces = {word: merge_pair(symbols, best) for word, symbols in pieces.items()}
    return merges


def count_pairs(pieces: dict[str, list[str]], words: Counter[str]) -> Counter[Pair]:
    """Count each pair of neighboring symbols, in all words together.

    >>> count_pairs({"low": ["lo", "w"]}, Counter(low=3))
    Counter({('lo', 'w'): 3})
    """
    counts: Counter[Pair] = Counter()
    for word, symbols in pieces.items():
        for pair in itertools.pairwise(symbols):
            counts[pair] += words[word]
    return counts


def merge_pair(symbols: Sequence[str], pair: Pair) -> list[str]:
    """Merge each occurrence of a pair into one symbol, from left to right.

    >>> merge_pair(["l", "o", "w", "l", "o"], ("l", "o"))
    ['lo', 'w', 'lo']
    """
    merged: list[str] = []
    for symbol in symbols:
        # A symbol that was itself made by this merge cannot be its first half again.
        if merged and (merged[-1], symbol) == pair:
            merged[-1] = merged[-1] + symbol
        else:
            merged.append(symbol)
    return merged


def apply_merges(text: str, merges: Sequence[Pair]) -> list[str]:
    """Split a text into the pieces that it has after the merges, applied in their order.

    >>> apply_merges("a lower", [("l", "o"), ("lo", "w"), ("Ġ", "low")])
    ['a', 'Ġlow', 'e', 'r']
    """
    words = [list(word) for word in split_words(text)]
    for pair in merges:
        words = [merge_pair(symbols, pair) for symbols in words]
    return [symbol for symbols in words for symbol in symbols]


def train_tokenizer(texts: Iterable[str], vocab_size: int, *, max_length: int = 512) -> Any:
    """Train a byte-level BPE tokenizer with the special tokens of RoBERTa. The package tokenizers does the counting.

    Args:
        texts: The training texts. Take those of train alone, as for a model.
        vocab_size: Number of tokens: five special ones, 256 bytes, and merges. Fewer if no pair occurs twice.
        max_length: Written into the tokenizer as the number of tokens that its model reads.

    Returns:
        A `transformers.RobertaTokenizer`, which `save_pretrained` writes as usual.

    Raises:
        ValueError: The vocabulary is too small for the special tokens and the bytes.

    >>> tokenizer = train_tokenizer(["low low lower"], 263)
    >>> tokenizer.tokenize(" low lower")
    ['Ġ', 'low', 'Ġ', 'low', 'e', 'r']
    """
    smallest = len(SPECIAL_TOKENS) + len(BYTE_SYMBOLS)
    if vocab_size < smallest:
        raise ValueError(f"vocab_size={vocab_size} is too small: the special tokens and bytes alone need {smallest}")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = BYTE_LEVEL
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=BYTE_SYMBOLS,
        min_frequency=2,
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    # As in RoBERTa, the mask takes the place of a word with the space before it: "my <mask>" has no lonely space.
    mask = AddedToken("<mask>", lstrip=True, special=True)
    merges = merges_of(bpe)
    return RobertaTokenizer(vocab=bpe.get_vocab(), merges=merges, mask_token=mask, model_max_length=max_length)


def merges_of(tokenizer: Any) -> list[Pair]:
    """The merges of a BPE tokenizer, of tokenizers or transformers, in their order.

    >>> merges_of(train_tokenizer(["low low lower"], 263))
    [('l', 'o'), ('lo', 'w')]
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    model = json.loads(backend.to_str())["model"]
    if model["type"] != "BPE":
        raise ValueError(f"the tokenizer is a {model['type']}, which has no merges; pass a BPE tokenizer")
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return [(first, second) for first, second in pairs]


def fertility(tokenizers: dict[str, Any], texts: dict[str, Sequence[str]]) -> pd.DataFrame:
    """Measure how many tokens texts need, and how much of them a vocabulary cannot write.

    Fertility is the number of tokens per word. Where words are not separated by spaces, as in Chinese, it means
    nothing; compare the tokens per character, or those of translations of the same text.

    Args:
        tokenizers: Name -> a transformers tokenizer.
        texts: Name, such as the language -> its texts.

    Returns:
        A row for each tokenizer and text: "tokenizer", "texts", "tokens" (without special tokens), "per word", "per
        character", and "unknown", the share of tokens that are the unknown token.

    >>> table = fertility({"small": train_tokenizer(["low low lower"], 263)}, {"English": ["low lower"]})
    >>> table[["tokens", "per word"]].values.tolist()
    [[5.0, 2.5]]
    """
    rows = []
    for (name, tokenizer), (language, parts) in ((a, b) for a in tokenizers.items() for b in texts.items()):
        ids = [i for part in parts for i in tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]]
        num_words, num_characters = sum(len(part.split()) for part in parts), sum(map(len, parts))
        row = {"tokenizer": name, "texts": language, "tokens": len(ids), "per word": len(ids) / max(1, num_words)}
        row |= {"per character": len(ids) / max(1, num_characters)}
        rows.append(row | {"unknown": sum(i == tokenizer.unk_token_id for i in ids) / max(1, len(ids))})
    return pd.DataFrame(rows)
