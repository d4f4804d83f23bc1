"""Export: from a trained model to a folder for production, as ONNX, with 8-bit weights if you like.

How to use it: copy this folder into your project. It needs torch, transformers, onnx, onnxruntime, onnxscript and
pandas. Bring a transformers classifier of single texts (or of dialogues), its tokenizer, and DataLoaders whose batches
are dicts of tensors, padded to one length: "input_ids" and "attention_mask", for instance with the `collate_fn`
transformers.DataCollatorWithPadding(tokenizer).

    export(model, tokenizer, "onnx", settings={"lower_case": True}, scores={"dev weighted F1": 0.61})
    quantize(model, tokenizer, "int8", train_dataloader, scores={"dev weighted F1": 0.61})

A folder contains everything that a service needs: the graph with its weights (model.onnx), the tokenizer, the labels,
settings, versions and scores (config.json) and a model card (README.md). Load it on any machine with onnxruntime:

    tokenizer, onnx_model = load_exported("int8")
    batch = tokenizer(["Sold it.", "What do you want?"], padding=True, truncation=True, return_tensors="pt")
    logits = onnx_model(batch)                                              # [texts, classes]
    labels = [onnx_model.labels[i] for i in logits.argmax(-1)]
    probabilities = logits.softmax(-1)

Before you use a variant, compare it with the original on dev. `compare` measures size, speed, equal labels and your
score, and refuses a variant that predicts too many other labels:

    model.save_pretrained("my_model")  # so that the original has a size to compare with
    variants = {"torch": (make_logits_fn(model), "my_model"), "int8": (onnx_model, "int8")}
    table = compare(variants, dev_dataloader, score=lambda logits: weighted_f1(dev_labels, logits.argmax(-1)))

Here with a tiny model with random weights:

>>> import tempfile, transformers
>>> from pathlib import Path
>>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
>>> config = transformers.BertConfig(vocab_size=6, id2label={0: "calm", 1: "angry"}, **sizes)
>>> model = transformers.BertForSequenceClassification(config)
>>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sold", "it"]
>>> tokenizer = transformers.BertTokenizer({word: i for i, word in enumerate(words)}, model_max_length=512)
>>> folder = export(model, tokenizer, Path(tempfile.mkdtemp(), "onnx"), scores={"dev weighted F1": 0.61})
>>> tokenizer, onnx_model = load_exported(folder)
>>> batch = tokenizer(["Sold it."], return_tensors="pt")
>>> onnx_model(batch).shape, onnx_model.labels, onnx_model.metadata["scores"]
(torch.Size([1, 2]), ['calm', 'angry'], {'dev weighted F1': 0.61})
>>> agreed = agreement(make_logits_fn(model)(batch), onnx_model(batch))
>>> agreed["labels"], agreed["probability"] < 1e-5
(1.0, True)

The files: `onnx_graph` exports, with the help of `attention`; `quantization` writes 8-bit weights, with the help of
`smoothing`; `metadata` and `card` describe the model; `loading` loads a folder; `comparison` compares variants, which
`inference` runs, and `sizes` measures their files.
"""

from .attention import ATTENTION, OPSET, onnx_attention, onnx_attention_mask, replace_attention
from .card import model_card
from .comparison import MIN_AGREEMENT, agreement, compare, speed
from .errors import ExportError
from .inference import Batch, LogitsFn, logits_per_example, make_logits_fn, predict
from .loading import OnnxModel, load_exported
from .metadata import MODEL, add_scores, read_metadata, write_metadata
from .onnx_graph import PROTOBUF_LIMIT, Graph, export, quiet
from .quantization import adds_8_bit_exactly, quantize
from .sizes import size_mib, weight_files
from .smoothing import (
    NUM_CALIBRATION_EXAMPLES,
    PER_TOKEN_RATIO,
    Int8Embedding,
    SmoothQuantLinear,
    observe_inputs,
    smooth_quant,
)

__all__ = [
    "ATTENTION",
    "MIN_AGREEMENT",
    "MODEL",
    "NUM_CALIBRATION_EXAMPLES",
    "OPSET",
    "PER_TOKEN_RATIO",
    "PROTOBUF_LIMIT",
    "Batch",
    "ExportError",
    "Graph",
    "Int8Embedding",
    "LogitsFn",
    "OnnxModel",
    "SmoothQuantLinear",
    "add_scores",
    "adds_8_bit_exactly",
    "agreement",
    "compare",
    "export",
    "load_exported",
    "logits_per_example",
    "make_logits_fn",
    "model_card",
    "observe_inputs",
    "onnx_attention",
    "onnx_attention_mask",
    "predict",
    "quantize",
    "quiet",
    "read_metadata",
    "replace_attention",
    "size_mib",
    "smooth_quant",
    "speed",
    "weight_files",
    "write_metadata",
]
