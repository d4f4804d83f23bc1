"""What the service knows of a model, and how such a `Model` is made from torch or ONNX."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# "input_ids", and for a model of dialogues "starts" and "ends" of the turns to classify
Example = Mapping[str, Sequence[int]]
Batch = dict[str, NDArray[np.int64]]
Logits = NDArray[np.floating[Any]]
LogitsFn = Callable[[Batch], Logits]  # -> [batch, classes] or [batch, turns, classes]

AS_MANY_AS_FIT = 1_000_000  # turns of context


class Mention(NamedTuple):
    """An entity: text[start:stop], its label, and the smallest probability among its words."""

    start: int
    stop: int
    label: str
    score: float


@dataclass(frozen=True)
class Model:
    """What the service needs of a model. One thread calls the encode functions, another one calls `predict`.

    Args:
        labels: the class names in the order of the logits.
        encode: texts -> one example for each. For a model of pairs, a text is a list of two.
        encode_dialogue: texts, speakers, whether later turns may be seen -> examples in which each turn is to be
            classified once, in order.
        predict: examples of similar length -> the logits of each, [turns, classes]. A text is one turn.
        name: shown to clients; not a path.
        future: whether the model can see later turns.
        digest: of the files it was loaded from, so that clients can tell one version from another. All workers of a
            service must have the same.
        thresholds: for a model that gives a text any number of labels, the smallest probability with which it gives
            each; its probabilities are those of a sigmoid. None: a text has exactly one label.
        reads: what it was trained on: "texts", "pairs" or "dialogues"; "tags" for a model that classifies the words of
            texts and so finds entities in them.
        encode_words: for "tags", the words of texts -> examples in which each word is to be classified once, in order.
        mentions: for "tags", texts, probabilities [words of all texts, classes] -> the entities in each text.
    """

    labels: Sequence[str]
    encode: Callable[[list[Any]], list[Example]]
    encode_dialogue: Callable[[list[str], list[str], bool], list[Example]]
    predict: Callable[[list[Example]], list[Logits]]
    name: str = "model"
    future: bool = False
    digest: str = ""
    thresholds: Sequence[float] | None = None
    reads: str = "texts"
    encode_words: Callable[[list[list[str]]], list[Example]] | None = None
    mentions: Callable[[list[str], Logits], list[list[Mention]]] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for labels that no client could tell apart."""
        names = list(self.labels)
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError(f"the labels {names} are not names; pass one text for each class")
        if len(set(names)) < len(names):
            raise ValueError(f"the labels {', '.join(names)} contain a name twice; give each class its own")
        if self.thresholds is not None and len(self.thresholds) != len(names):
            raise ValueError(f"there are {len(self.thresholds)} thresholds for {len(names)} labels; give one for each")

    def probabilities(self, logits: list[Logits], num_rows: int) -> Logits:
        """The probabilities [num_rows, classes] of what `predict` gave, as the function `probabilities` says."""
        return probabilities(logits, num_rows, len(self.labels), several=self.thresholds is not None)

    def chosen(self, row: Sequence[float]) -> list[int]:
        """The classes that a text has, most probable first.

        Args:
            row: its probabilities [classes].
        """
        order = sorted(range(len(row)), key=lambda c: -row[c])
        if self.thresholds is None:
            return order[:1]
        return [c for c in order if row[c] >= self.thresholds[c]]


def make_model(
    logits_fn: LogitsFn,
    tokenizer: Any,
    labels: Sequence[str],
    *,
    dialogue: Any = None,
    pairs: bool = False,
    speaker_format: str = "none",
    past: int | None = None,
    future: int = 0,
    name: str = "model",
    digest: str = "",
    thresholds: Sequence[float] | None = None,
) -> Model:
    """A `Model` from a function that computes logits and a transformers tokenizer.

    Args:
        logits_fn: `torch_logits_fn(model)` or `onnx_logits_fn(session)`.
        tokenizer: its `model_max_length` must be what the model reads; longer texts are cut there.
        labels: the class names in the order of the logits.
        dialogue: the module nbhelpers.dialogue for a model that takes "starts" and "ends". None for a model of single
            texts; it then reads each turn of a dialogue alone.
        pairs: whether the model was trained on pairs of texts.
        speaker_format: how the model saw speakers in training: "name", "id" or "none".
        past: how many earlier turns it saw in training; None: whole dialogues in one pass.
        future: how many later turns it saw. For whole dialogues 1 (it sees them) or 0 (`config.causal_turns`).
        name, digest, thresholds: as in `Model`.
    """

    def encode(texts: list[Any]) -> list[Example]:
        if pairs:
            first, second = ([pair[i] for pair in texts] for i in range(2))
            return [{"input_ids": ids} for ids in tokenizer(first, second, truncation=True)["input_ids"]]
        if dialogue is None:
            return [{"input_ids": ids} for ids in tokenizer(texts, truncation=True)["input_ids"]]
        dialogue_ids = range(len(texts))  # each text is a dialogue of its own
        # A single text has no known speaker. A model of speaker ids expects an id before each turn all the same.
        without_name = "id" if speaker_format == "id" else "none"
        turns = dialogue.encode_turns(
            texts, dialogue_ids, tokenizer, speakers=[""] * len(texts), speaker_format=without_name
        )
        return list(dialogue.whole_dialogues(turns, dialogue_ids, tokenizer))

    def encode_dialogue(texts: list[str], speakers: list[str], see_future: bool) -> list[Example]:
        if dialogue is None:
            return encode(texts)
        dialogue_ids = [0] * len(texts)
        turns = dialogue.encode_turns(texts, dialogue_ids, tokenizer, speakers=speakers, speaker_format=speaker_format)
        if past is None and see_future == bool(future):
            return list(dialogue.whole_dialogues(turns, dialogue_ids, tokenizer))
        # A model of whole dialogues that may not see later turns gets a window that ends at each turn.
        num_past, num_future = AS_MANY_AS_FIT if past is None else past, future if see_future else 0
        return list(dialogue.windows(turns, dialogue_ids, tokenizer, past=num_past, future=num_future))

    def predict(examples: list[Example]) -> list[Logits]:
        logits = logits_fn(collate(examples, tokenizer.pad_token_id))
        if dialogue is None:
            return list(logits[:, np.newaxis])
        return [rows[: len(example["starts"])] for rows, example in zip(logits, examples, strict=True)]

    reads = "pairs" if pairs else "texts" if dialogue is None else "dialogues"
    return Model(labels, encode, encode_dialogue, predict, name, future > 0, digest, thresholds, reads)


def num_rows(examples: Sequence[Example]) -> int:
    """How many texts, turns or words examples have to classify.

    >>> num_rows([{"input_ids": [5, 6]}, {"input_ids": [5, 6], "starts": [0, 1], "ends": [1, 2]}])
    3
    """
    return sum(len(example.get("starts", [0])) for example in examples)


def torch_logits_fn(model: Any) -> LogitsFn:
    """The logits of a torch model, such as `encoders.load_trained` returns. It is put into evaluation mode."""
    import torch  # only here: a service of ONNX models does not need torch

    model.eval()

    def logits_fn(batch: Batch) -> Logits:
        with torch.inference_mode():
            inputs = {name: torch.from_numpy(column).to(model.device) for name, column in batch.items()}
            logits: Logits = model(**inputs).logits.float().cpu().numpy()
            return logits

    return logits_fn


def onnx_logits_fn(session: Any) -> LogitsFn:
    """The first output of an onnxruntime.InferenceSession."""
    names = {node.name for node in session.get_inputs()}
    return lambda batch: session.run(None, {name: column for name, column in batch.items() if name in names})[0]


def collate(examples: Sequence[Example], pad_token_id: int) -> Batch:
    """Examples -> "attention_mask" and the columns of the examples, each [batch, longest], padded on the right.

    >>> batch = collate([{"input_ids": [5, 6]}, {"input_ids": [7]}], pad_token_id=1)
    >>> {name: column.tolist() for name, column in batch.items()}
    {'attention_mask': [[1, 1], [1, 0]], 'input_ids': [[5, 6], [7, 1]]}
    """

    def pad(column: list[Sequence[int]], value: int) -> NDArray[np.int64]:
        longest = max(map(len, column))
        return np.array([[*row, *[value] * (longest - len(row))] for row in column], dtype=np.int64)

    batch = {"attention_mask": pad([[1] * len(example["input_ids"]) for example in examples], 0)}
    for name in examples[0]:
        batch[name] = pad([example[name] for example in examples], pad_token_id if name == "input_ids" else 0)
    return batch


def probabilities(logits: list[Logits], num_rows: int, num_classes: int, *, several: bool = False) -> Logits:
    """The softmax of logits, joined to one array [num_rows, num_classes]; where a text can have several, the sigmoid.

    Raises:
        RuntimeError: the model gave another shape, or numbers that are not finite.

    >>> probabilities([np.array([[0.0, 0.0]]), np.array([[0.0, np.log(3)]])], 2, 2).round(2).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    joined = np.concatenate(logits).astype(np.float64)
    wanted = (num_rows, num_classes)
    if joined.shape != wanted or not np.isfinite(joined).all():
        raise RuntimeError(f"the model gave logits of shape {joined.shape} for {wanted}, or some that are not finite")
    if several:
        return 1 / (1 + np.exp(-joined.clip(-700, 700)))  # beyond 700 the exponential is infinite
    weights = np.exp(joined - joined.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def greeting(model: Model) -> Any:
    """A text, or a pair of texts, to try a model with."""
    return ["Hello.", "Hi!"] if model.reads == "pairs" else "Hello."


def probe(model: Model) -> None:
    """Try a model on a text and on a dialogue, and raise what is wrong with it before a client finds out."""
    tried = [model.encode([greeting(model)])]
    if model.reads in ("texts", "dialogues"):
        tried.append(model.encode_dialogue(["Hello.", "Hi!"], ["Ann", "Bo"], model.future))
    for examples in tried:
        model.probabilities(model.predict(examples), num_rows(examples))
