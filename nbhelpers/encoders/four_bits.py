"""The file of the multilingual embedded encoder: its configuration, its vocabulary, and its weights in 4 bits.

It begins with the mark "E5S1" and numbers that say how large the model is. Then come the pieces of the vocabulary, and
a list of the weights: name, number, and place in the file. Vectors are in fp32. In a matrix, each group of 32 weights
has a scale in fp16, and each weight is a number from -8 to 7 times this scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GROUP = 32  # weights that share a scale
HEADER = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
NAMES = {  # in the file -> in transformers' BertModel
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Reader:
    """Reads little-endian numbers from bytes, one after another.

    >>> reader = Reader(bytes([1, 0, 0, 0, 7]))
    >>> reader.numbers("<u4", 1), reader.numbers("u1", 1)
    ([1], [7])
    """

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def array(self, kind: str, count: int) -> np.ndarray:
        """The next `count` numbers."""
        values = np.frombuffer(self.content, kind, count, self.position)
        self.position += values.nbytes
        return values

    def numbers(self, kind: str, count: int) -> list[Any]:
        """The next `count` numbers as plain Python."""
        return list(self.array(kind, count).tolist())


def read_config(reader: Reader) -> dict[str, Any]:
    """The configuration of transformers from the head of the file."""
    reader.position = 8  # after the mark of the format and its version
    config = dict(zip(HEADER, reader.numbers("<i4", len(HEADER)), strict=True))
    config["max_position_embeddings"], config["type_vocab_size"] = reader.numbers("<i4", 2)
    config["layer_norm_eps"] = 1e-12  # the file has it as a float of 32 bits
    reader.position += 8
    # the published config.json says pad id 0, which is <s> of this vocabulary
    return {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", **config, "pad_token_id": 1}


def read_pieces(reader: Reader) -> list[tuple[str, float]]:
    """The pieces of the vocabulary in the order of their ids, with their log-probabilities."""
    count = reader.numbers("<i4", 5)[0]  # then the ids of <s>, </s>, <pad> and <unk>
    num_bytes = reader.numbers("<u8", 1)[0]
    ends, scores = reader.numbers("<u4", count + 1), reader.numbers("<f4", count)
    text = bytes(reader.array("u1", num_bytes))
    _, num_bytes = reader.numbers("<u4", 2)
    reader.position += num_bytes  # a table of normalized characters, which NFKC replaces
    return [(text[ends[i] : ends[i + 1]].decode("utf-8"), scores[i]) for i in range(count)]


def read_weights(reader: Reader, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """The weights in fp32, with the names and shapes of transformers' BertModel without its pooler."""
    weights = {}
    for _ in range(reader.numbers("<i4", 1)[0]):
        name = bytes(reader.array("u1", reader.numbers("<u2", 1)[0])).decode("ascii")
        in_4_bits = reader.numbers("u1", 1)[0] == 1
        count = reader.numbers("<u4", 1)[0]
        start, _ = reader.numbers("<u8", 2)
        if in_4_bits:
            values = from_4_bits(np.frombuffer(reader.content, "u1", count // GROUP * (2 + GROUP // 2), start))
        else:
            values = np.frombuffer(reader.content, "<f4", count, start)
        # a matrix has rows of the size of the inner layer where it comes from there, and else of the hidden size
        columns = config["intermediate_size"] if name.endswith("fo.w") else config["hidden_size"]
        is_vector = name.endswith((".b", "ln.w"))
        weights[full_name(name)] = values if is_vector else values.reshape(-1, columns)
    return weights


def from_4_bits(packed: np.ndarray) -> np.ndarray:
    """Weights in fp32 from groups of 18 bytes: a scale in fp16, and two weights from 0 to 15 in each further byte.

    >>> packed = np.frombuffer(np.float16(0.5).tobytes() + bytes([0x98] * 16), "u1")
    >>> from_4_bits(packed)[[0, 16]].tolist()
    [0.0, 0.5]
    """
    groups = packed.reshape(-1, 2 + GROUP // 2)
    scales = groups[:, :2].copy().view("<f2").astype(np.float32)  # [groups, 1]
    halves = np.concatenate([groups[:, 2:] & 15, groups[:, 2:] >> 4], axis=1)  # the lower bits are the first 16
    values: np.ndarray = (halves.astype(np.float32) - 8) * scales
    return values.reshape(-1)


def full_name(name: str) -> str:
    """The name of a weight in transformers.

    >>> full_name("l3.aln.w"), full_name("emb.word")
    ('encoder.layer.3.attention.output.LayerNorm.weight', 'embeddings.word_embeddings.weight')
    """
    if name in NAMES:
        return NAMES[name]
    module, _, kind = name.rpartition(".")
    kind = {"w": "weight", "b": "bias"}[kind]
    if module in NAMES:
        return f"{NAMES[module]}.{kind}"
    layer, _, part = module.partition(".")
    return f"encoder.layer.{layer[1:]}.{NAMES[part]}.{kind}"
