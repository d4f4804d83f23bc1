"""Serving: a web service and a page for any text classifier. Texts or dialogues in, labels with probabilities out.

Make a `Model` from what computes the logits and from the tokenizer, and serve it:

    model = make_model(torch_logits_fn(classifier), tokenizer, labels)
    serve(lambda: model)  # http://127.0.0.1:8000 has a page, /docs says how to call it

An exported model needs no torch: `onnx_logits_fn(onnxruntime.InferenceSession("model.onnx"))`. For a model of dialogues
pass `dialogue=nbhelpers.dialogue` and how it saw context in training. `create_app` returns the application without
starting it, for a server of your own.

The service computes requests that arrive together in batches of similar length, lets short requests overtake long
ones, refuses in one clear sentence what exceeds its `Limits`, and counts what it does at /metrics. Each response
carries an id in X-Request-ID that its log line carries as well; a client or proxy may send one of its own.

It needs fastapi, uvicorn, prometheus-fastapi-instrumentator, asgi-correlation-id and numpy; torch only in
`torch_logits_fn`. The files: `run` and `workers` start it, `app` puts it together from `routes`, `pages` and
`middleware`, `batcher` is the queue, `model` what it knows of a model.

A model needs four things: its labels, two functions that encode, and one that predicts. This one calls all long texts
"long":

>>> from starlette.testclient import TestClient
>>> import numpy as np
>>> encode = lambda texts: [{"input_ids": list(range(len(text.split())))} for text in texts]
>>> predict = lambda examples: [np.array([[3.0, len(example["input_ids"])]]) for example in examples]
>>> model = Model(("short", "long"), encode, lambda texts, speakers, future: encode(texts), predict)
>>> with TestClient(create_app(model)) as client:
...     response = client.post("/classify", json={"texts": ["Hi!", "one two three four five"]})
>>> [result["label"] for result in response.json()["results"]]
['short', 'long']
"""

from .app import API_KEY, create_app
from .batcher import Batcher, ModelThread
from .limits import DEFAULTS, Limits
from .metrics import Metrics
from .middleware import Guard
from .model import (
    Model,
    collate,
    make_model,
    onnx_logits_fn,
    probabilities,
    probe,
    torch_logits_fn,
)
from .pages import page
from .run import serve
from .schemas import Answer, Result, Score
from .workers import load_app

__all__ = [
    "API_KEY",
    "DEFAULTS",
    "Answer",
    "Batcher",
    "Guard",
    "Limits",
    "Metrics",
    "Model",
    "ModelThread",
    "Result",
    "Score",
    "collate",
    "create_app",
    "load_app",
    "make_model",
    "onnx_logits_fn",
    "page",
    "probabilities",
    "probe",
    "serve",
    "torch_logits_fn",
]
